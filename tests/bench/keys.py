"""What a refresh of the keys costs where one tenant has as many connectors as a roster can hold: bytes of the whole and of what changed, and
the relay's CPU, while connectors come and go.

usage: keys.py RELAY FORGE LINKS [CONNECTORS]      512 where nothing is said
"""
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import idle  # noqa: E402
import relay_site  # noqa: E402
from relay_site import forge, wait_for  # noqa: E402

ASKED = 50


class Keys:
    def __init__(self, relay):
        self.relay, self.state = relay, None

    def fetch(self, query=''):
        status, _, body = self.relay.request('GET', self.relay.tenant_path('keys') + query, headers=self.relay.as_service())
        assert status == 200, status
        self.state = body['state']
        return body, len(json.dumps(body, separators=(',', ':')))

    def changes(self):
        """(gone, statements, bytes) since the last look."""
        body, n = self.fetch(f'?since={self.state}&wait=30000')
        assert body['since'], 'everything came'
        return len(body['gone']), len(body['statements']), n


def cpu_each(site, times, what):
    before = site.cpu_us()
    for _ in range(times):
        what()
    return (site.cpu_us() - before) / times


def main(driver, n):
    site = idle.Site(n, links_per_tenant=n + 8)
    relay, links = site.relay, None
    try:
        fleet = forge('fleet', relay.path('state'), relay.tenant, n, site.key, site.dir, relay.path('tenant.key')).splitlines()
        with open(os.path.join(site.dir, relay.tenant + '.roster'), encoding='ascii') as f:
            assert relay.put_roster(f.read().strip())[0] == 204
        links = idle.Driver(driver, relay, [f'{who.split()[0]} {relay.tenant} {who.split()[1]}' for who in fleet], [site.key, site.dir])
        before = site.pss()
        links.join(n)
        links.until('all are linked', lambda s: s['live'] == n, 600)
        time.sleep(5)  # the relay gives back what the handshakes took
        print(f'{n} links with statements in force: {(site.pss() - before) / n:.1f} KiB each', flush=True)
        keys = Keys(relay)
        wait_for('all are shown', lambda: len(keys.fetch()[0]['ready']) == n)
        whole, size = keys.fetch()
        print(f"{n} connectors: everything is {size} bytes ({size / n:.0f} each), of them the roster {len(whole['roster'])}, statements "
              f"{sum(map(len, whole['statements']))}, who is ready {len(json.dumps(whole['ready'], separators=(',', ':')))}", flush=True)
        print(f'everything costs the relay {cpu_each(site, ASKED, keys.fetch):.0f} us of CPU each, the handshake included', flush=True)

        links.say('drop 0')
        seen, began = [], time.monotonic()
        while sum(s for _, s, _ in seen) < 1 and time.monotonic() - began < 60:
            seen.append(keys.changes())
        print('one goes and comes back: ' + ', '.join(f'{gone} gone and {came} new in {size} bytes' for gone, came, size in seen), flush=True)

        # each of these drops makes the relay look at all of its links again
        before, began, got = site.cpu_us(), time.monotonic(), []
        for i in range(20):
            links.say(f'drop {i}')
            got.append(keys.changes())
            time.sleep(0.3)
        took = time.monotonic() - began
        print(f'20 of them go and come back within {took:.0f} s: {len(got)} refreshes of {sum(size for _, _, size in got) / len(got):.0f} bytes and '
              f'{sum(came for _, came, _ in got) / len(got):.1f} verifications each; {(site.cpu_us() - before) / took / 10000:.1f} % of a processor', flush=True)
    finally:
        if links:
            links.close()
        site.close()


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = sys.argv[1:3]
    main(sys.argv[3], *(list(map(int, sys.argv[4:5])) or [512]))
