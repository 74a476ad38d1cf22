"""A connector's clock is set while it runs and while it is off: what it announced before takes the place of nothing that it announces now.

usage: test_clock_steps.py BUILD
"""
import json
import os
import unittest

import chaos
from e2e import SiteTest, lab_clock, wait_for

FAR, NEAR = 600, 30  # s: by the first a clock is wrong, by the second within what everybody tolerates


class ClockSteps(SiteTest):
    CONNECTORS = []

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.clock = lab_clock.Clock(os.path.join(cls.top, 'clock'))
        north = cls.north = cls.site.add_connector('north', 'ldap')
        north.env = cls.clock.environment(lab_clock.library(cls.site.build))
        north.program = chaos.clocked_posternd(cls.site, os.path.join(cls.top, 'programs'), north.env)
        north.up()

    def setUp(self):
        self.clock.set(0)
        self.signs_in()

    def sign_in(self):
        user, password, _ = self.account('GOOD1')
        verdict = self.site.sign_in(user, password)[1]
        return verdict.get('verdict', verdict.get('problem'))

    def signs_in(self):
        self.north.wait_ready()
        seen = []

        def accepted():
            seen.append(self.sign_in())
            return seen[-1] == 'accepted'
        wait_for('a sign-in', accepted, interval=0.5)
        print(f'  {self.id().split(".")[-1]}: {seen}', flush=True)
        return seen

    def starts_at(self, seconds):
        """The length of its log before."""
        self.north.daemon.stop()
        self.clock.set(seconds)
        before = len(self.log())
        self.north.start()
        return before

    def log(self):
        with open(os.path.join(self.north.dir, 'log'), encoding='utf-8') as f:
            return f.read()

    def test_off_at_the_start_and_set_right(self):
        """A host whose clock in hardware was slow, or fast, and that sets it once it has a network."""
        for seconds in (-FAR, FAR):
            before = self.starts_at(seconds)
            wait_for('it knows that its clock is wrong', lambda at=before: 'clock.state is=wrong' in self.log()[at:])
            self.clock.set(0)
            self.signs_in()

    def test_set_back_a_little_before_a_start(self):
        """What it announces is older than what it announced before, for as long as the clock was set back."""
        self.starts_at(-NEAR)
        self.signs_in()

    def test_set_while_it_runs(self):
        for seconds in (NEAR, -NEAR, 0):
            self.clock.set(seconds)
            self.signs_in()


class RelayAhead(SiteTest):
    """A relay that starts by a clock of the future takes no statement: whoever is linked to it knows why it gets no sign-ins."""
    CONNECTORS = [('north', 'ldap')]

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.clock = lab_clock.Clock(os.path.join(cls.top, 'clock'))
        cls.site.relay_env = cls.clock.environment(lab_clock.library(cls.site.build))

    def finding(self, code):
        told = self.north.postern('status', '--json', check=False).stdout
        return next((f for f in json.loads(told or '{"findings": []}')['findings'] if f['code'] == code), None)

    def starts_at(self, seconds):
        self.site.relay.stop()
        self.clock.set(seconds)
        self.site.restart_relay()

    def test_status_says_it(self):
        self.north = self.site.connectors['north']
        self.north.wait_ready()
        self.assertIsNone(self.finding('statement_refused'))
        self.starts_at(3 * 3600)
        found = wait_for('status says that no service can seal to it', lambda: self.finding('statement_refused'), interval=1)
        print(' ', found['cause'], found['remedy'], flush=True)
        self.assertEqual(found['level'], 'stops')
        self.assertIn("does not take this connector's key statement", found['cause'])
        self.assertIn('clock', found['remedy'])
        self.assertEqual(self.site.sign_in(*self.account('GOOD1')[:2])[1]['verdict'], 'unavailable')
        self.starts_at(0)
        wait_for('it is well again', lambda: not self.finding('statement_refused'), interval=1)
        self.north.wait_ready()


if __name__ == '__main__':
    from e2e import main
    main()
