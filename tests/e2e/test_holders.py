"""kill -9 of each postern-keyholder, and of the supervisor, of one of two connectors whose keys are in hardware, while 20 sign-ins a second
go on.

usage: test_holders.py BUILD STEADY [ROUNDS]
"""
import os
import signal
import sys
import time
import unittest

from e2e import wait_for
from hardware import HardwareTest
from steady import Driver

ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 0
FOLLOW = 10


class Holders(HardwareTest):
    def settle(self, driver, since):
        wait_for('sign-ins went on', lambda: len(driver.since(since)) >= FOLLOW)

    def status(self, connector):
        return next(s for s in self.site.get('status')['connectors'] if s['id'] == connector.id)

    def kill_each(self, what, ends):
        """ends(connector, number): kills something of it, and waits until there is another."""
        kills, most = [], 0
        with Driver(self.site) as driver:
            self.settle(driver, time.monotonic())
            for connector in (self.north, self.south) * (ROUNDS or 1):
                for number in range(2):
                    looked, before = time.monotonic(), self.status(connector)
                    ends(connector, number)
                    connector.wait_ready()
                    known = time.monotonic()
                    self.settle(driver, known)
                    kills.append((looked, known))
                    most += before['in_hand'] + driver.began_within(looked, known)
        lost = driver.lost()
        print(f'  kill -9 of {what}, {len(kills)} times: {len(lost)} of {len(driver.answers)} lost, at most {most} may be; the slowest heard after '
              f'{1000 * max([a.ended - a.began for a in lost], default=0):.0f} ms', flush=True)
        self.assertEqual(driver.wrong(), [])
        self.assertLessEqual(len(lost), most)
        self.assertEqual([a for a in lost if not any(a.began <= known and a.ended >= looked for looked, known in kills)], [])

    def test_each_holder(self):
        """Who signs by it answers what it has, as far as it need not sign by it, and then serves again."""
        def ends(connector, number):
            holders = sorted(self.holders(connector))
            self.assertEqual(len(holders), 2)
            os.kill(holders[number], signal.SIGKILL)
            wait_for('another holder', lambda: len(self.holders(connector)) == 2 and set(self.holders(connector)) != set(holders))
        self.kill_each('a keyholder', ends)

    def test_the_supervisor(self):
        """Its holders end with it, and the others have last words all the same."""
        def ends(connector, _):
            os.kill(connector.daemon.pid, signal.SIGKILL)
            connector.daemon.process.wait(60)
            connector.start()
        self.kill_each('a supervisor with keys in hardware', ends)


if __name__ == '__main__':
    from e2e import main
    main()
