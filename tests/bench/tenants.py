"""What a sign-in's way through the relay costs where there are many tenants: CPU of the relay for each POST, up to the look for its keys,
with one tenant and with many; and how long the relay takes to start with them.

usage: tenants.py RELAY FORGE [TENANTS [POSTS]]      10000 tenants and 3000 sign-ins where nothing is said
"""
import hashlib
import http.client
import os
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'queue', 'relay'))
import relay_site  # noqa: E402
from relay_site import Relay, forge, new_id  # noqa: E402


def cpu(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def posts(relay, n):
    """us of the relay's CPU for each of n sign-ins, sealed to nobody whom it knows."""
    key = relay.path('nobody.key')
    if not os.path.exists(key):
        forge('key', key)
    body = forge('seal', 2048, key) + '\n'
    link = http.client.HTTPSConnection('127.0.0.1', relay.port, context=relay.context(), timeout=60)
    before = cpu(relay.process.pid)
    for _ in range(n):
        link.request('POST', relay.tenant_path('sign-ins'), body,
                     relay.as_service(**{'Content-Type': 'application/postern-request', 'Postern-Id': new_id()}))
        answer = link.getresponse()
        answer.read()
        assert answer.status == 422, answer.status
    link.close()
    return (cpu(relay.process.pid) - before) * 1e6 / n


def main(tenants, n):
    relay = Relay(log_level='warning', sign_ins_per_second=100000, sign_in_burst=100000)
    try:
        posts(relay, n // 10)
        one = posts(relay, n)
        relay.stop()
        now = int(time.time())
        with sqlite3.connect(relay.path('state/relay.db')) as db:
            for i in range(tenants):
                db.execute('INSERT INTO tenant VALUES(?,?,?)', (f'tenant-{i}', relay.tenant_key['pin'], now))
                db.execute('INSERT INTO secret VALUES(?,1,?,?)', (f'tenant-{i}', hashlib.sha256(str(i).encode()).digest(), now))
        began = time.monotonic()
        relay.start()
        print(f'start with {tenants} tenants: {time.monotonic() - began:.2f} s', flush=True)
        posts(relay, n // 10)
        many = posts(relay, n)
        print(f'a sign-in up to the look for its keys: {one:.0f} us with one tenant, {many:.0f} us with {tenants + 1}: x {many / one:.2f}',
              flush=True)
    finally:
        relay.close()


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = sys.argv[1:3]
    main(*(list(map(int, sys.argv[3:5])) + [10000, 3000][len(sys.argv) - 3:]))
