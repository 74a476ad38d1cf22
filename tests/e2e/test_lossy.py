"""A bad network between the relay and whoever speaks to it: every twentieth packet is lost, each way, at once and on a way of 200 ms there and
back; and 20 sign-ins a second go on.

usage: test_lossy.py BUILD STEADY [COUNT]     sign-ins at each place. It wants a network of its own (unshare --net).
"""
import os
import sys
import unittest

import chaos
import slow_network
from e2e import SiteTest, wait_for
from steady import Driver

PERCENT = 5
COUNT = int(sys.argv[3]) if len(sys.argv) > 3 else 400


class Lossy(SiteTest):
    CONNECTORS = [('north', 'ldap'), ('south', 'ldap')]

    def test_sign_ins_go_on(self):
        chaos.make_chain()
        port = str(self.site.port)
        with chaos.Lossy(['tcp', 'dport', port], PERCENT), chaos.Lossy(['tcp', 'sport', port], PERCENT), Driver(self.site) as driver:
            wait_for('sign-ins', lambda: len(driver.since(0)) >= COUNT)
        self.judge(driver)

    def judge(self, driver):
        slowest = sorted(a.ended - a.began for a in driver.answers)
        lost = [(a.word, a.started, a.id) for a in driver.lost()]
        print(f'  {len(driver.answers)} sign-ins, {len(lost)} undecided; half of them within {1000 * slowest[len(slowest) // 2]:.0f} ms, '
              f'the slowest {1000 * slowest[-1]:.0f} ms')
        self.assertEqual(driver.wrong(), [])
        self.assertLessEqual(len(lost), len(driver.answers) // 100, lost)


class Far(SiteTest):
    """The relay is 200 ms away from everybody, and the way loses every twentieth packet, each way."""
    CONNECTORS = Lossy.CONNECTORS
    RELAY = {'listen': '0.0.0.0:0'}
    DELAY_MS = 100  # each way

    @classmethod
    def prepare(cls):
        start = cls.site.start_relay
        cls.enterClassContext(slow_network.SlowWay(cls.DELAY_MS, PERCENT))

        def start_far(**settings):
            start(**settings)
            cls.site.url = f'https://{slow_network.FAR}:{cls.site.port}'
        cls.site.start_relay = start_far

    def test_sign_ins_go_on(self):
        with Driver(self.site) as driver:
            wait_for('sign-ins', lambda: len(driver.since(0)) >= COUNT)
        Lossy.judge(self, driver)
        self.assertGreater(min(a.ended - a.began for a in driver.answers), 2 * self.DELAY_MS / 1000)


if __name__ == '__main__':
    if os.geteuid() != 0:
        print('needs root: a firewall in a network of its own')
        sys.exit(77)
    from e2e import main
    main()
