"""Removals: at once through an honest relay; through one that withholds them only where the service has no second source of the roster.
And canaries, through real connectors."""
import json
import os
import shutil
import sqlite3
import time
import unittest

from e2e import SiteTest, bad_password_count, main, wait_for
from e2e import LAB

AT_ONCE_S = 5


class Rosters(SiteTest):
    CONNECTORS = [('north', 'ldap'), ('south', 'ldap')]

    def sign_in(self, connector, service=None):
        user, password, _ = self.account('GOOD1')
        return self.site.sign_in(user, password, connector=connector, service=service)

    def service_copy(self, name, **changes):
        """The service's folder as another machine of it would have it: with no memory of rosters."""
        folder = os.path.join(self.top, name)
        shutil.copytree(self.site.service, folder)
        path = os.path.join(folder, 'service.json')
        with open(path, encoding='utf-8') as f:
            meta = json.load(f)
        meta.update({'roster_seq': 0, **changes})
        with open(path, 'w', encoding='utf-8') as f:
            json.dump(meta, f)
        return folder

    def tenant(self, *words, **more):
        return self.site.postern('tenant', *words, *self.site.tenant_options(), **more)

    def test_a_canary(self):
        """Honest connectors refuse, the account pays one wrong password for each, and exit codes say so."""
        user, sam = LAB['LAB_GOOD8_UPN'], LAB['LAB_GOOD8_SAM']
        before = bad_password_count(sam)
        done = self.site.postern('service', 'canary', '--service', self.site.service, '--user', user, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(done.stdout.count('refused it, as it must (wrong_password)'), 2)
        self.assertEqual(bad_password_count(sam), before + 2)
        told = json.loads(self.site.postern('service', 'canary', '--service', self.site.service, '--user', user, '--json'))
        self.assertEqual([c['state'] for c in told], ['honest', 'honest'])
        self.assertEqual(self.site.postern('service', 'trust', 'x', '--service', self.site.service, check=False).returncode, 1)

    def test_b_service_removed(self):
        folder = os.path.join(self.site.dir, 'second')
        old = self.site.service
        self.site.make_service('second')
        self.site.service = old
        wait_for('the second service is served', lambda: self.sign_in('north', service=folder)[0] == 0)
        self.tenant('remove', 'second')
        began = time.monotonic()
        wait_for('connectors refuse it', lambda: self.sign_in('north', service=folder)[1]['verdict'] != 'accepted', AT_ONCE_S)
        self.assertLess(time.monotonic() - began, AT_ONCE_S)
        self.assertEqual(self.sign_in('north')[0], 0)

    def test_c_connector_removed(self):
        relay_db = os.path.join(self.site.dir, 'relay-state', 'relay.db')
        with sqlite3.connect(relay_db) as db:
            older = db.execute('SELECT tenant, seq, jws, since FROM roster').fetchone()
        south = self.site.connectors['south']
        forgetful = self.service_copy('forgetful')
        tenant_roster = os.path.join(self.site.dir, 'tenant', 'roster.jws')
        careful = self.service_copy('careful', roster_source=tenant_roster)
        self.assertEqual(self.sign_in('south', service=forgetful)[0], 0)
        self.tenant('remove', 'south')
        began = time.monotonic()
        wait_for('nobody asks it', lambda: self.sign_in('south')[1]['verdict'] != 'accepted', AT_ONCE_S)
        self.assertLess(time.monotonic() - began, AT_ONCE_S)
        self.assertNotIn(south.fingerprint, json.dumps(self.site.keys()['ready']))

        # a relay that takes it back: the older roster, as if the removal had never come
        self.site.relay.stop()
        with sqlite3.connect(relay_db) as db:
            db.execute('UPDATE roster SET seq=?, jws=?, since=?', older[1:])
        self.site.restart_relay()
        # a connector that saw the newer one does not go back, but one that was away might: here it forgets
        south.daemon.stop()
        os.unlink(os.path.join(south.state, 'roster'))
        south.start()
        for c in self.site.connectors.values():
            wait_for(f'{c.name} is linked again', c.ready)
        fresh = self.service_copy('fresh')
        self.assertEqual(self.sign_in('south', service=fresh)[0], 0, 'withheld, and nothing contradicts it: until the roster ends')
        # a service that has seen the newer one refuses the older
        code, said = self.sign_in('south')
        self.assertEqual((code, said['verdict']), (3, 'unavailable'))
        self.assertIn('seq', json.dumps(said))
        # and one with a second source never was deceived: that connector is nobody, the other serves
        code, said = self.sign_in('south', service=careful)
        self.assertEqual((code, said['reason']), (3, 'no-connector'), said)
        code, said = self.sign_in('north', service=careful)
        self.assertEqual((code, said['verdict']), (0, 'accepted'), said)
        # an unreadable second source is said, not passed over
        broken = self.service_copy('broken', roster_source=os.path.join(self.top, 'nothing.jws'))
        code, said = self.sign_in('north', service=broken)
        self.assertEqual(code, 3)
        self.assertIn('second source', json.dumps(said))
        # the admin sees it when publishing again
        self.tenant('roster', 'publish')
        wait_for('the relay has the newer one again', lambda: self.sign_in('north')[0] == 0)

    def test_d_near_its_end(self):
        done = self.tenant('roster', 'sign', '--days', '1', check=False)
        self.assertEqual(done.returncode, 0)
        self.assertIn('the roster ends in 2', done.stderr)
        self.assertIn('postern tenant roster sign', done.stderr)
        self.tenant('roster', 'sign')

    def test_e_offline(self):
        """Files in, files out: the key's machine needs no network."""
        offline = os.path.join(self.top, 'offline')
        shutil.copytree(os.path.join(self.site.dir, 'tenant'), offline)
        self.site.postern('tenant', 'roster', 'sign', '--dir', offline, '--no-publish')
        shutil.copy(os.path.join(offline, 'roster.jws'), os.path.join(self.site.dir, 'tenant', 'roster.jws'))
        before = json.loads(self.tenant('roster', 'show', '--json'))['seq']
        self.tenant('roster', 'publish')
        self.assertEqual(json.loads(self.tenant('roster', 'show', '--json'))['seq'], before)
        # a new connector, by the file that its enrolment wrote; the relay is not asked
        new = self.site.add_connector('carried', 'ldap')
        new.enroll()
        identity = os.path.join(new.state, 'connector.pub.json')
        words = ('tenant', 'approve', '--dir', offline, '--no-publish', '--identity', identity)
        refused = self.site.postern(*words, 'carried', self.site.connectors['north'].fingerprint, check=False)
        self.assertEqual(refused.returncode, 1)
        self.site.postern(*words, 'carried', new.fingerprint)
        shutil.copy(os.path.join(offline, 'roster.jws'), os.path.join(self.site.dir, 'tenant', 'roster.jws'))
        self.tenant('roster', 'publish')
        new.start()
        new.wait_ready()
        wait_for('sign-ins go on', lambda: self.sign_in('north')[0] == 0)


if __name__ == '__main__':
    if os.geteuid() != 0:
        raise unittest.SkipTest('changing the state folder of a connector needs root')
    main()
