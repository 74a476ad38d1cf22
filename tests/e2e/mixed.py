"""Two versions side by side, under load: relay, connectors and services of the version before and of this one, in every mixture, and the
upgrade of each while sign-ins go on. No test of the build, for it needs the other version's.

usage: tests/lab/lab run --with samba -- python3 tests/e2e/mixed.py BUILD STEADY OLD-BUILD [OLD-STEADY]
"""
import os
import signal
import sys
import time
import unittest

import e2e
import steady
from e2e import SiteTest, wait_for
from postern_site import Site
from steady import Driver

NEW, NEW_STEADY, OLD = sys.argv[1:4]
OLD_STEADY = sys.argv[4] if len(sys.argv) > 4 else None
FOLLOW = 10


class MixedSite(Site):
    """Whose programs come from the build that is said when each is started."""
    builds = {}

    def program(self, name):
        self.build, new = os.path.abspath(self.builds.get(name, NEW)), self.build
        try:
            return super().program(name)
        finally:
            self.build = new


e2e.Site = MixedSite


class Mixed(SiteTest):
    """The relay of one version, and of two connectors each one."""
    CONNECTORS = []

    @classmethod
    def setUpClass(cls):
        MixedSite.builds = {'postern-relay': cls.RELAY_BUILD}
        super().setUpClass()
        for name, build in (('old', OLD), ('new', NEW)):
            cls.site.builds['posternd'] = build
            cls.site.add_connector(name, 'ldap').up()

    def settle(self, driver):
        since = time.monotonic()
        wait_for('sign-ins went on', lambda: len(driver.since(since)) >= FOLLOW)

    def judge(self, driver, what):
        print(f'  {type(self).__name__}: {what}: {len(driver.lost())} of {len(driver.answers)} lost', flush=True)
        self.assertEqual(driver.wrong(), [])
        self.assertEqual(driver.lost(), [])
        self.assertEqual({a.connector for a in driver.answers}, {'old', 'new'})

    def through_upgrades(self, driver):
        """Each connector becomes one of the other version, and then of its own again."""
        for version in ((NEW, OLD), (OLD, NEW)):
            for c, build in zip(self.site.connectors.values(), version):
                c.daemon.process.send_signal(signal.SIGTERM)
                c.daemon.process.wait(60)
                self.site.builds['posternd'] = build
                c.start()
                c.wait_ready()
                self.settle(driver)

    def go(self, program, what):
        steady.STEADY = program
        with Driver(self.site) as driver:
            self.settle(driver)
            self.through_upgrades(driver)
        self.judge(driver, what)

    def test_new_service(self):
        self.go(NEW_STEADY, 'a new service')

    @unittest.skipUnless(OLD_STEADY, 'no service of the old version was given')
    def test_old_service(self):
        self.go(OLD_STEADY, 'an old service')


class OldRelay(Mixed):
    RELAY_BUILD = OLD


class NewRelay(Mixed):
    RELAY_BUILD = NEW


del Mixed, SiteTest  # what is left is run

if __name__ == '__main__':
    from e2e import main
    main()
