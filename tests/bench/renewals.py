"""Renewals of transport certificates beside sign-ins: as many as 10000 connectors make in an hour, on shortened time, and then all of them at
once, which the relay answers by and by (202, Retry-After). Counted are renewals, those that were put off, and what sign-ins took meanwhile.

usage: renewals.py RELAY FORGE LINKS [CONNECTORS [RATE]]      1000 connectors and 100 renewals a second where nothing is said
"""
import os
import statistics
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import idle  # noqa: E402
import relay_site  # noqa: E402
from relay_site import Connector  # noqa: E402

VERDICT = 'aaaa..bbbb.cccc.dddd'
PAUSE_S = 0.02  # between two sign-ins


class SignIns:
    """One after the other, by threads of their own: who asks, and a connector that answers."""

    def __init__(self, relay):
        self.relay, self.took, self.bad, self.stopped = relay, [], [], False
        self.connector = Connector(relay, 'answering')
        relay.approve(self.connector)
        self.connector.go(credit=100000)
        self.sealed = relay.seal(self.connector)
        self.threads = [threading.Thread(target=target, daemon=True) for target in (self.answer, self.ask)]
        for t in self.threads:
            t.start()

    def answer(self):
        try:
            while True:
                request = self.connector.next('request', 3600)
                self.connector.report([{'id': request['id'], 'is': 'verdict', 'jwe': VERDICT}])
        except (EOFError, OSError, ValueError):
            if not self.stopped:
                raise

    def ask(self):
        while not self.stopped:
            began = time.monotonic()
            status = self.relay.sign_in(self.sealed, budget=15000)[0]
            self.took.append((time.monotonic() - began) * 1000)
            if status != 200:
                self.bad.append(status)
            time.sleep(PAUSE_S)

    def told(self, what):
        took, self.took = sorted(self.took), []
        print(f'{what}: {len(took)} sign-ins, median {statistics.median(took):.1f} ms, p99 {took[len(took) * 99 // 100]:.1f} ms, '
              f'{len(self.bad)} failed {self.bad[:3]}', flush=True)

    def stop(self):
        self.stopped = True
        self.threads[1].join(60)
        self.connector.hang_up()


def renew(site, links, sign_ins, n, rate, what):
    cpu, began = site.cpu_us(), time.monotonic()
    links.say(f'renew {n} {rate}')
    total = {'renewed': 0, 'put_off': 0, 'refused': 0, 'lost': 0, 'renewal_ms': 0}

    def look():
        time.sleep(0.1)
        now = links.status()
        for key in total:
            total[key] = max(total[key], now[key]) if key == 'renewal_ms' else total[key] + now[key]
        return total['renewed'] + total['refused'] >= n
    relay_site.wait_for(what, look, 600)
    took = time.monotonic() - began
    sign_ins.told(f"{what}: {total['renewed']} renewed in {took:.1f} s, {total['put_off']} times put off, the slowest had its certificate after "
                  f"{total['renewal_ms'] / 1000:.1f} s, {total['refused']} refused, {total['lost']} links lost, "
                  f'{(site.cpu_us() - cpu) / took / 10000:.1f} % of a processor')


def main(driver, n, rate):
    site = idle.Site(n + 2)
    links = sign_ins = None
    try:
        links = idle.Driver(driver, site.relay, site.enrolled(n), [site.key, site.dir])
        links.join(n)
        links.until('all are linked', lambda s: s['live'] == n, 600)
        sign_ins = SignIns(site.relay)
        time.sleep(5)
        sign_ins.told('without renewals')
        renew(site, links, sign_ins, n, rate, f'{rate} a second, {rate * 3600 / 10000:.0f} times as fast as 10000 in an hour')
        renew(site, links, sign_ins, n, 1000000, 'all at once')
    finally:
        if sign_ins:
            sign_ins.stop()
        if links:
            links.close()
        site.close()


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = sys.argv[1:3]
    main(sys.argv[3], *(list(map(int, sys.argv[4:6])) + [1000, 100][len(sys.argv) - 4:]))
