#!/usr/bin/python3
"""What a hop costs: sign-ins by a link of the node that is asked, and by one of another node over NATS. usage: hops.py BUILD [SIGN-INS]

Two relay nodes, three NATS servers and a connector that answers at once, all on this machine; one sign-in at a time on a connection that
stays. Prints the median and the CPU time of the relays' processes for each way, and their ratios. BUILD: a release build; its tests, or
those of another build (FORGE in the environment), have relay-forge.
"""
import http.client
import os
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'queue', 'relay'))
import relay_site  # noqa: E402
from nodes_site import Site  # noqa: E402
from relay_site import new_id  # noqa: E402

TICK = os.sysconf('SC_CLK_TCK')


def family(pid):
    """A process and its children."""
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
        return [pid, *map(int, f.read().split())]


def cpu(pids):
    """Seconds that they have used."""
    used = 0
    for pid in pids:
        with open(f'/proc/{pid}/stat', encoding='utf-8') as f:
            fields = f.read().rsplit(')', 1)[1].split()
        used += int(fields[11]) + int(fields[12])
    return used / TICK


def measure(site, node, connector, n):
    """(ms of the median, ms of CPU of the relays a sign-in)"""
    relay = site.nodes[node]
    body = relay.seal(connector)
    pids = [pid for each in site.nodes for pid in family(each.process.pid)]
    c = http.client.HTTPSConnection('127.0.0.1', relay.port, context=relay.context())
    took, before = [], 0
    for i in range(n + n // 10):
        if i == n // 10:
            before = cpu(pids)
        began = time.perf_counter()
        c.request('POST', relay.tenant_path('sign-ins'), body,
                  relay.as_service(**{'Content-Type': 'application/postern-request', 'Postern-Id': new_id()}))
        answer = c.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f'a sign-in was answered {answer.status}')
        if i >= n // 10:
            took.append((time.perf_counter() - began) * 1000)
    used = (cpu(pids) - before) * 1000 / n
    c.close()
    return statistics.median(took), used


def main():
    build, n = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    relay_site.RELAY = os.path.join(build, 'queue/relay/postern-relay')
    relay_site.FORGE = os.environ.get('FORGE', os.path.join(build, 'tests/queue/relay-forge'))
    with tempfile.TemporaryDirectory(prefix='bench-hops-') as folder:
        site = Site(folder, 2, 1, log_level='info')
        try:
            site.work(0, 0)
            for node in site.nodes:
                node.sees(site.connectors[0])
            (near, near_cpu), (far, far_cpu) = (measure(site, node, site.connectors[0], n) for node in (0, 1))
        finally:
            site.close()
    print(f'{n} sign-ins each way, one at a time; the connector is a Python program')
    print(f'link of the node   median {near:6.2f} ms   CPU of the relays {near_cpu:5.2f} ms')
    print(f'over NATS          median {far:6.2f} ms   CPU of the relays {far_cpu:5.2f} ms')
    print(f'ratio              median {far / near:6.2f}      CPU of the relays {far_cpu / near_cpu:5.2f}')


if __name__ == '__main__':
    main()
