"""State files of programs before and after this one: those of the first version are read and written on, newer ones are refused.

test_state.py POSTERN FIXTURES: FIXTURES was made by commit 4a49a11 (a tenant's folder with a roster of the form before domains, a service's).
"""
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

POSTERN, FIXTURES = sys.argv.pop(1), sys.argv.pop(1)


class StateTest(unittest.TestCase):
    def setUp(self):
        self.top = tempfile.mkdtemp(prefix='postern-state-')
        self.addCleanup(shutil.rmtree, self.top)
        for name in ('tenant', 'service'):
            shutil.copytree(os.path.join(FIXTURES, name), os.path.join(self.top, name))
            os.chmod(os.path.join(self.top, name), 0o700)
            os.chmod(os.path.join(self.top, name, f'{name}.key'), 0o600)
        self.tenant, self.service = os.path.join(self.top, 'tenant'), os.path.join(self.top, 'service')

    def postern(self, *words, code=0):
        done = subprocess.run([POSTERN, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def change(self, path, **members):
        with open(path, encoding='utf-8') as f:
            content = json.load(f)
        with open(path, 'w', encoding='utf-8') as f:
            json.dump({**content, **members}, f)

    def payload(self):
        with open(os.path.join(self.tenant, 'roster.jws'), encoding='ascii') as f:
            part = f.read().split('.')[1]
        return json.loads(base64.urlsafe_b64decode(part + '=' * (-len(part) % 4)))

    def test_a_roster_of_the_first_form(self):
        """It keeps its number and members, who speak for nothing until the admin says for what."""
        old = self.payload()
        self.assertEqual(old['v'], 1)
        self.assertIn('FOR NO DOMAIN', self.postern('tenant', 'roster', '--dir', self.tenant))
        self.postern('tenant', 'domain', 'set', 'corp.example', '--netbios', 'CORP', '--suffixes', 'corp.com', '--dir', self.tenant)
        self.postern('tenant', 'connector-domains', 'berlin-1', 'corp.example', '--dir', self.tenant)
        new = self.payload()
        self.assertEqual((new['v'], new['seq']), (2, old['seq'] + 2))
        self.assertEqual(new['domains'], [{'name': 'corp.example', 'suffixes': ['corp.com'], 'netbios': ['CORP'], 'default': True}])
        self.assertEqual(new['connectors'], [{**old['connectors'][0], 'domains': ['corp.example']}])
        self.assertEqual(new['services'], [{**old['services'][0], 'role': 'sign-in'}])

    def test_a_service_of_the_first_version(self):
        shown = json.loads(self.postern('service', 'show', '--service', self.service, '--json'))
        with open(os.path.join(self.service, 'service.json'), encoding='utf-8') as f:
            meta = json.load(f)
        self.assertEqual((meta['v'], meta['id'], meta['tenant'], meta['relay']), (2, shown['id'], 'acme', 'https://relay.example'))

    def test_newer_ones_are_refused(self):
        for path, words in ((os.path.join(self.tenant, 'tenant.json'), ('tenant', 'roster', 'sign', '--dir', self.tenant)),
                            (os.path.join(self.service, 'service.json'), ('service', 'show', '--service', self.service)),
                            (os.path.join(self.service, 'service.pub.json'),
                             ('tenant', 'approve-service', os.path.join(self.service, 'service.pub.json'), 'x', '--dir', self.tenant))):
            with open(path, 'rb') as f:
                good = f.read()
            self.change(path, v=99)
            with open(path, 'rb') as f:
                newer = f.read()
            self.assertIn('a newer one wrote it', self.postern(*words, code=1), path)
            with open(path, 'rb') as f:
                self.assertEqual(f.read(), newer, 'it was written over')
            with open(path, 'wb') as f:
                f.write(good)

    def test_a_newer_enrolment_is_refused(self):
        state = os.path.join(self.top, 'state')
        os.mkdir(state, 0o700)
        with open(os.path.join(state, 'enrolment.json'), 'w', encoding='utf-8') as f:
            json.dump({'v': 99, 'relay': 'https://relay.example', 'tenant': 'acme', 'id': 'A' * 26, 'name': 'berlin-1', 'pin': 'A' * 43}, f)
        self.assertIn('a newer one wrote it', self.postern('enroll', '--renew', '--state-dir', state, code=1))


if __name__ == '__main__':
    unittest.main()
