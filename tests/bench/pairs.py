"""What a sign-in costs in CPU with two builds, in turns: before and now, so that a busy machine disturbs both alike. Whole sign-ins by LDAP
through each build's own relay and connector, 64 in flight.

usage, in the lab: tests/lab/lab run --with slapd -- python3 tests/bench/pairs.py BUILD-BEFORE BUILD-NOW [KEY=VALUE...]

KEY=VALUE: what else the connector of now has in its [connector] section, to turn on what is off by default; the same folder twice then tells
what that costs. Five rounds of 1000 sign-ins. The goal is 1.03 at most.
"""
import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bench  # noqa: E402
from postern_site import Connector, Site  # noqa: E402

IN_FLIGHT, ROUNDS, COUNT = 64, 5, 1000


def site_of(build, top, extra):
    site = Site(build, top, bench.LAB)
    site.start_relay(sign_ins_per_second=100000, sign_in_burst=100000)
    site.make_tenant()
    site.make_service()
    c = Connector(site, 'pair', bench.config(site, 'pair', 'ldap').replace('[connector]\n', '[connector]\n' + extra))
    c.domains = bench.LAB['LAB_SLAPD_DOMAIN']
    site.connectors['pair'] = c
    c.up()
    return site, c


def turn(site, c, count=COUNT):
    """us for each sign-in, by process."""
    pids = {'relay': site.relay.pid, **c.daemon.children()}
    before = {name: ns(pid) for name, pid in pids.items()}
    bench.load(site, c, 'ldap', IN_FLIGHT, count)
    return {name.replace('postern-', ''): (ns(pid) - before[name]) / 1000 / count for name, pid in pids.items()}


def ns(pid):
    with open(f'/proc/{pid}/schedstat', encoding='ascii') as f:
        return int(f.read().split()[0])


def main(before, now, *settings):
    with tempfile.TemporaryDirectory(prefix='postern-pairs-') as top:
        os.chmod(top, 0o755)
        sides = []
        try:
            sides = [site_of(before, os.path.join(top, 'before'), ''), site_of(now, os.path.join(top, 'now'), ''.join(s + '\n' for s in settings))]
            for side in sides:
                turn(*side, 200)
            pairs = []
            for _ in range(ROUNDS):
                pairs.append([turn(*side) for side in sides])
                print('; '.join(f'{word}: ' + ', '.join(f'{name} {us:.0f}' for name, us in sorted(took.items())) + f', together {sum(took.values()):.0f} us'
                                for word, took in zip(('before', 'now'), pairs[-1])), flush=True)
            for word, left_out in (('now', ()), ('the connector alone', ('relay',))):
                ratio = statistics.median(sum(us for name, us in b.items() if name not in left_out) /
                                          sum(us for name, us in a.items() if name not in left_out) for a, b in pairs)
                print(f'{word} costs x {ratio:.3f} (median of {ROUNDS} pairs; goal 1.03)', flush=True)
        finally:
            for site, _ in sides:
                site.close()


if __name__ == '__main__':
    main(*sys.argv[1:])
