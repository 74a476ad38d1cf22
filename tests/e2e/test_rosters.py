"""Removals: at once through an honest relay; through one that withholds them only where the service has no second source of the roster.
And canaries, through real connectors."""
import json
import os
import shutil
import sqlite3
import unittest

from e2e import SiteTest, bad_password_count, main, wait_for
from e2e import LAB



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
        self.tenant('remove', 'second', '--yes')
        wait_for('connectors refuse it', lambda: self.sign_in('north', service=folder)[1]['verdict'] != 'accepted')
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
        self.tenant('remove', 'south', '--yes')
        wait_for('nobody asks it', lambda: self.sign_in('south')[1]['verdict'] != 'accepted')
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

    def copy_of_tenant(self, name):
        folder = os.path.join(self.top, name)
        shutil.copytree(os.path.join(self.site.dir, 'tenant'), folder)
        return folder

    def test_f_restored_backup(self):
        """A folder from before a removal brings nobody back: each edit starts from the relay's roster where that is newer."""
        kept = self.site.service
        self.site.make_service('removed-later')
        self.site.service = kept
        backup = self.copy_of_tenant('backup')
        self.tenant('remove', 'removed-later', '--yes')
        gone = json.loads(self.tenant('roster', 'show', '--json'))
        done = self.site.postern('tenant', 'roster', 'sign', '--dir', backup, '--json', check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn('the relay has a newer roster', done.stderr)
        signed = json.loads(done.stdout)
        self.assertEqual(signed['seq'], gone['seq'] + 1)
        self.assertNotIn('removed-later', [m['name'] for m in signed['services']])
        # and this folder, which is the older one now, goes on from there; the other way round it asks nobody but the relay
        self.assertEqual(json.loads(self.tenant('roster', 'sign', '--json'))['seq'], gone['seq'] + 2)
        wait_for('sign-ins go on', lambda: self.sign_in('north')[0] == 0)
        # without the relay nobody knows whether there is a newer one
        done = self.site.postern('tenant', 'roster', 'sign', '--dir', backup, '--relay', 'https://127.0.0.1:1', check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('nothing is changed', done.stderr)

    def test_g_two_rosters_of_one_number(self):
        """The one that is in force stays; the other is told, and nothing is signed on top of it."""
        other = self.copy_of_tenant('other')
        self.site.postern('tenant', 'roster', 'sign', '--dir', other, '--no-publish')
        self.tenant('roster', 'sign')
        seq = json.loads(self.tenant('roster', 'show', '--json'))['seq']
        for words in (('publish',), ('sign',), ('fetch',)):
            done = self.site.postern('tenant', 'roster', *words, '--dir', other, check=False)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn(f'another roster of number {seq} ', done.stderr)
        self.tenant('roster', 'publish')
        # the way out that it names
        os.unlink(os.path.join(other, 'roster.jws'))
        self.assertEqual(json.loads(self.site.postern('tenant', 'roster', 'sign', '--dir', other, '--json'))['seq'], seq + 1)
        self.tenant('roster', 'fetch')

    def test_h_a_service_is_not_displaced(self):
        """A file with another service's id and its own key pushes nobody out, but where the admin says so."""
        kept = self.site.service
        for name in ('victim', 'attacker'):
            self.site.make_service(name)
        self.site.service = kept
        with open(os.path.join(self.site.dir, 'victim', 'service.pub.json'), encoding='utf-8') as f:
            victim = json.load(f)
        self.tenant('remove', 'attacker', '--yes')
        made = json.loads(self.site.postern('service', 'init', 'third', '--service', os.path.join(self.top, 'third'), '--json'))
        with open(made['public'], encoding='utf-8') as f:
            forged = json.load(f)
        forged['id'] = victim['id']
        path = os.path.join(self.top, 'forged.pub.json')
        with open(path, 'w', encoding='utf-8') as f:
            json.dump(forged, f)
        done = self.tenant('approve-service', path, made['fingerprint'], check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('--replace', done.stderr)
        self.assertIn('victim', done.stderr)
        listed = {m['name']: m for m in json.loads(self.tenant('roster', 'show', '--json'))['services']}
        self.assertEqual(listed['victim']['fingerprint'], victim['kid'])
        listed = json.loads(self.tenant('approve-service', path, made['fingerprint'], '--replace', '--json'))['services']
        self.assertEqual([m['fingerprint'] for m in listed if m['id'] == victim['id']], [made['fingerprint']])
        self.assertEqual(self.tenant('approve-service', os.path.join(self.site.dir, 'victim', 'service.pub.json'), victim['kid'],
                                     '--replace', check=False).returncode, 1, 'the old key is back')

    def test_i_domains(self):
        """A connector that may not speak for the domain gets none of its names, and no name goes to a domain that nobody has."""
        def reason(connector, user=None):
            return self.site.sign_in(user or self.account('GOOD1')[0], self.account('GOOD1')[1], connector=connector)[1]['reason'].replace('-', '_')
        listed = json.loads(self.tenant('domain', 'list', '--json'))
        self.assertEqual([(d['name'], d['default']) for d in listed['domains']], [('corp.example', True)])
        self.assertEqual([m['domains'] for m in listed['connectors']], [['corp.example']] * len(listed['connectors']))
        self.tenant('domain', 'set', 'partner.example', '--netbios', 'PARTNER')
        self.tenant('connector-domains', 'north', 'partner.example')
        wait_for('its names go elsewhere', lambda: reason('north') == 'no_connector')
        wait_for('it reports the domain not ready', lambda: not self.site.connectors['north'].ready())
        self.assertEqual(reason(None, 'nobody@partner.example'), 'no_connector')
        done = self.tenant('domain', 'set', 'partner.example', '--suffixes', 'corp.example', check=False)
        self.assertIn('is in it twice', done.stderr)
        self.assertEqual(self.tenant('domain', 'remove', 'partner.example', check=False).returncode, 1)
        self.tenant('connector-domains', 'north', 'corp.example')
        self.tenant('domain', 'remove', 'partner.example')
        wait_for('it serves again', lambda: self.sign_in('north')[0] == 0)
        # the domain's SID in the roster: the right one lets sign-ins go on, another one refuses every account
        right = self.sign_in('north')[1]['user']['id'].rsplit('-', 1)[0]
        self.tenant('domain', 'set', 'corp.example', '--sid', right)
        wait_for('accounts of that SID', lambda: self.sign_in('north')[0] == 0)
        self.tenant('domain', 'set', 'corp.example', '--sid', 'S-1-5-21-1-2-3')
        wait_for('accounts of no other', lambda: self.sign_in('north')[1]['verdict'] == 'unavailable')
        self.tenant('domain', 'set', 'corp.example', '--sid', '-')
        wait_for('it serves again', lambda: self.sign_in('north')[0] == 0)


if __name__ == '__main__':
    if os.geteuid() != 0:
        raise unittest.SkipTest('changing the state folder of a connector needs root')
    main()
