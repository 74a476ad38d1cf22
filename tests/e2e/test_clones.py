"""One identity on two machines is seen and gets no work; restarts are not; a revoked certificate loses its link at once."""
import json
import os
import shutil
import unittest

from e2e import SiteTest, main, wait_for
from postern_site import Connector



class Clones(SiteTest):
    CONNECTORS = [('north', 'ldap'), ('south', 'ldap')]

    def sign_in(self, connector):
        user, password, _ = self.account('GOOD1')
        return self.site.sign_in(user, password, connector=connector.id)[1]

    def events(self, name):
        listed = json.loads(self.site.postern('tenant', 'events', '--json', *self.site.tenant_options()))
        return [e for e in listed if e['event'] == name]

    def relay_says(self, connector):
        return next(c for c in self.site.get('status')['connectors'] if c['id'] == connector.id)

    def copy_of(self, connector, name):
        """What a copied disk, or a machine restored from a snapshot, is: the same files on another machine."""
        config = self.site.connector_config(name, 'ldap').replace(f'name = {name}\n', f'name = {connector.name}\n', 1)
        copy = Connector(self.site, name, config)
        shutil.rmtree(copy.state)
        shutil.copytree(connector.state, copy.state, ignore=shutil.ignore_patterns('ledger', 'lock'))
        copy.id, copy.fingerprint = connector.id, connector.fingerprint
        self.addCleanup(lambda: copy.daemon and copy.daemon.stop())
        return copy

    def test_a_new_connectors_are_told(self):
        self.assertEqual({e['connector'] for e in self.events('connector_pending')}, {c.id for c in self.site.connectors.values()})
        self.assertIn('fingerprint', self.events('connector_pending')[0]['text'])

    def test_b_restarts_are_no_clones(self):
        north = self.site.connectors['north']
        for _ in range(3):
            north.daemon.stop()
            north.start()
            north.wait_ready()
        north.daemon.process.kill()  # and one that ends without a word
        north.daemon.process.wait()
        north.start()
        north.wait_ready()
        wait_for('north serves', lambda: self.sign_in(north)['verdict'] == 'accepted')
        self.assertEqual(self.events('connector_runs_twice'), [])

    def test_c_a_copied_disk(self):
        north, south = self.site.connectors['north'], self.site.connectors['south']
        copy = self.copy_of(north, 'copy')
        copy.start()
        wait_for('the copy is seen', lambda: copy.daemon.check() and self.events('connector_runs_twice'))
        text = self.events('connector_runs_twice')[0]['text']
        self.assertEqual(text.count('127.0.0.1'), 2, text)
        self.assertIn('postern tenant release ' + north.id, text)
        self.assertTrue(self.relay_says(north)['quarantined'])
        for one in (north, copy):  # and each of them says so itself, instead of that all is well
            wait_for('it says so', lambda c=one: 'quarantined' in [f['code'] for f in json.loads(
                c.postern('status', '--json', check=False).stdout or '{"findings": []}')['findings']])
        # neither gets work, and services are told of neither key; the other connector serves
        self.assertNotIn(north.fingerprint, [r['kid'] for r in self.site.keys()['ready']])
        self.assertNotEqual(self.sign_in(north)['verdict'], 'accepted')
        self.assertEqual(self.sign_in(south)['verdict'], 'accepted')
        # nor after a restart of the relay's link
        north.daemon.stop()
        north.start()
        wait_for('north is linked', lambda: self.relay_says(north)['linked'])
        self.assertFalse(self.relay_says(north)['ready'])
        # until an admin has decided
        copy.daemon.stop()
        self.site.postern('tenant', 'release', north.id, *self.site.tenant_options())
        north.wait_ready()
        wait_for('north serves again', lambda: self.sign_in(north)['verdict'] == 'accepted')
        self.assertEqual(len(self.events('connector_runs_twice')), 1)
        self.assertEqual(len(self.events('connector_released')), 1)
        self.assertEqual(self.site.postern('tenant', 'release', north.id, *self.site.tenant_options(), check=False).returncode, 1)

    def test_d_a_start_that_comes_back(self):
        """A and B by turns, never long enough together: A's start is known to be over once B has come."""
        south = self.site.connectors['south']
        copy = self.copy_of(south, 'snapshot')
        relay_log = os.path.join(self.site.dir, 'relay.log')
        os.kill(south.daemon.pid, 19)  # a machine that is paused, with all its processes
        children = south.daemon.children()
        for pid in children.values():
            os.kill(pid, 19)
        copy.start()
        wait_for('the copy is linked', lambda: copy.daemon.check() and self.relay_says(south)['linked'] and copy.ready())
        def given_up():
            with open(relay_log, encoding='utf-8') as f:
                return 'no report for 12 s' in f.read()
        wait_for('the relay has given the paused one up', given_up)
        copy.daemon.stop()
        for pid in [*children.values(), south.daemon.pid]:
            os.kill(pid, 18)
        wait_for('the return is seen', lambda: any(e['connector'] == south.id for e in self.events('connector_runs_twice')))
        self.site.relay_admin('connector', 'release', self.site.tenant, 'south')
        wait_for('south serves again', lambda: self.sign_in(south)['verdict'] == 'accepted')

    def test_e_revoked(self):
        north = self.site.connectors['north']
        listed = json.loads(self.site.relay_admin('connector', 'list', self.site.tenant, '--json'))
        self.assertEqual({c['name']: c['certificates'] for c in listed}, {'north': 1, 'south': 1})
        self.site.relay_admin('connector', 'revoke', self.site.tenant, 'north')
        wait_for('its link is gone', lambda: not self.relay_says(north)['linked'])
        wait_for('it is told why', lambda: 'revoked' in north.postern('status', check=False).stdout)
        self.assertNotEqual(self.sign_in(north)['verdict'], 'accepted')
        self.assertEqual(len(self.events('connector_revoked')), 1)


if __name__ == '__main__':
    if os.geteuid() != 0:
        raise unittest.SkipTest('reading the state folder of a connector needs root')
    main()
