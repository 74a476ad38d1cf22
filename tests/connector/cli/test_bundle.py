"""`postern support-bundle`: marked secrets and names everywhere, and none of them in the archive.

usage: test_bundle.py BUILD_DIR SOURCE_DIR
"""
import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import time
import unittest

BUILD, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.argv[1:] = [BUILD, SOURCE]
sys.path.insert(0, os.path.join(SOURCE, 'tests', 'connector', 'supervisor'))
import test_supervisor  # noqa: E402

POSTERN = os.path.join(BUILD, 'connector', 'cli', 'postern')
SECRET = 'MARKEDSECRET'
PERSON = 'Markeduser'


class BundleTest(test_supervisor.SupervisorTest):
    def bundle(self, *words):
        path = self.path(f'bundle{len(words)}.tar')
        done = subprocess.run([POSTERN, 'support-bundle', '--config', self.config, '--out', path, *words], capture_output=True, text=True,
                              timeout=300, check=False, env=dict(self.env, POSTERN_NOTE=SECRET + 'env'))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path, 'rb') as f:
            raw = f.read()
        with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
            files = {m.name: tar.extractfile(m).read().decode() for m in tar.getmembers()}
        return raw, files

    def test_no_secret_and_no_name_is_in_it(self):
        self.write(self.path('service-password'), SECRET + 'service\n')
        self.write_config(f'# the proxy of the old site: {SECRET}comment\nproxy = http://{PERSON.lower()}:{SECRET}proxy@127.0.0.1:9')
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write(f'service_account = reader@corp.example\nservice_password_file = {self.path("service-password")}\n')
        self.enroll()
        self.start()
        test_supervisor.wait_for('a status', lambda: 'link' in (self.parts() or {'parts': {}})['parts'])
        self.assertEqual(self.daemon.stop(), 0)
        for name in ('token', 'notes.txt'):
            self.write(os.path.join(self.state, name), SECRET + name)
        db = sqlite3.connect(os.path.join(self.state, 'ledger', 'ledger.db'))
        columns = {'id': '0123456789ABCDEFGHJKMNPQRS', 'wall': int(time.time()), 'user': f'{PERSON}@corp.example', 'upn': f'{PERSON}@corp.example',
                   'sam': PERSON, 'user_id': 'S-1-5-21-1-2-3-1104', 'client_ip': '192.0.2.77', 'verdict': 'refused', 'reason': 'wrong_password',
                   'class': 'credentials', 'context': f'the KDC says of {PERSON.lower()}@corp.example: no'}
        db.execute(f"INSERT INTO records({','.join(columns)}) VALUES({','.join('?' * len(columns))})", list(columns.values()))
        db.execute('INSERT INTO events(wall, name, detail) VALUES(?, ?, ?)', (int(time.time()), 'a.note', f'CORP\\{PERSON} was here, {PERSON}'))
        db.commit()
        db.close()
        raw, files = self.bundle()
        for marker in (SECRET, PERSON, PERSON.lower(), PERSON.upper(), '192.0.2.77', 'S-1-5-21-1-2-3-1104', 'BEGIN'):
            self.assertEqual([line for text in files.values() for line in text.splitlines() if marker in line], [], marker)
            self.assertFalse(marker.encode() in raw, marker)
        for name in ('identity.pem', 'transport.key'):
            with open(os.path.join(self.state, name), encoding='ascii') as f:
                self.assertFalse(f.read().splitlines()[1].encode() in raw)
        self.assertLessEqual({'status.json', 'sign-ins.json', 'events.json', 'postern.conf', 'check.json', 'versions.json', 'missing.json'}, set(files))
        record = json.loads(files['sign-ins.json'])['records'][0]
        self.assertEqual((record['reason'], record['user']), ('wrong_password', record['upn']))
        self.assertRegex(record['user'], '^person-[0-9a-f]{12}$')
        self.assertIn(record['user'], record['context'])
        self.assertIn(record['sam'], files['events.json'])
        self.assertIn('[domain corp.example]', files['postern.conf'])
        self.assertRegex(files['postern.conf'], r'proxy = http://\(cut\)@127\.0\.0\.1:9')
        self.assertIn('service_password_file = ', files['postern.conf'])
        self.assertEqual(json.loads(files['status.json'])['findings'][0]['code'], 'not_running')
        self.assertTrue(json.loads(files['check.json']))
        # another archive has other pseudonyms; with --names they are names
        self.assertNotEqual(json.loads(self.bundle('--json')[1]['sign-ins.json'])['records'][0]['user'], record['user'])
        raw, files = self.bundle('--names', '--json')
        self.assertEqual(json.loads(files['sign-ins.json'])['records'][0]['sam'], PERSON)
        self.assertFalse(SECRET.encode() in raw)

    def test_it_replaces_nothing(self):
        self.write(self.path('bundle0.tar'), 'mine')
        done = subprocess.run([POSTERN, 'support-bundle', '--config', self.config, '--out', self.path('bundle0.tar')], capture_output=True, text=True,
                              timeout=300, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('File exists', done.stderr)


if __name__ == '__main__':
    suite = unittest.TestSuite(map(BundleTest, ('test_no_secret_and_no_name_is_in_it', 'test_it_replaces_nothing')))
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful())
