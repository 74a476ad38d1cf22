"""The Debian packages in a booted Debian: built, judged by lintian, installed, an upgrade under way, removed, purged.

usage: test_packages.py BUILD
"""
import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from machine import Machine
from test_booted import CHILDREN, CONF, CONNECTOR, RELAY, RELAY_CONF, certificates, enrol

BUILD = os.path.abspath(sys.argv.pop(1))
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
NAMES = ['libpam-postern', 'libpostern-dev', 'libpostern0', 'postern', 'postern-connector', 'postern-gateway', 'postern-relay', 'postern-sandbox',
         'postern-web']
SERVED = ['postern', 'postern-connector', 'postern-relay', 'postern-gateway', 'postern-web']
NEXT = '99.0'


class Packages(unittest.TestCase):
    """The tests share one machine and run in the order of their names."""

    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix='postern-packages-')
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)
        cls.debs = os.path.join(cls.top, 'debs')
        done = subprocess.run([os.path.join(SOURCE, 'connector/packaging/deb.sh'), cls.debs], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        cls.m = Machine(BUILD, os.path.join(cls.top, 'boot.log'))
        cls.addClassCleanup(cls.m.close)
        cls.files = certificates(cls.top)

    def packages(self, *names):
        return [path for name in names for path in glob.glob(os.path.join(self.debs, f'{name}_*.deb'))]

    def raise_version(self):
        """The same packages under a later version, as an upgrade has them."""
        os.mkdir(os.path.join(self.top, 'next'))
        for name in SERVED:
            folder = os.path.join(self.top, 'next', name)
            subprocess.run(['dpkg-deb', '-R', *self.packages(name), folder], check=True)
            control = os.path.join(folder, 'DEBIAN', 'control')
            with open(control, encoding='utf-8') as f:
                text = f.read()
            version = next(line.split()[1] for line in text.splitlines() if line.startswith('Version:'))
            with open(control, 'w', encoding='utf-8') as f:
                f.write(text.replace(f'Version: {version}', f'Version: {NEXT}').replace(f'(= {version})', f'(= {NEXT})'))
            subprocess.run(['dpkg-deb', '--root-owner-group', '-b', folder, os.path.join(self.top, 'next')], check=True, capture_output=True)
        return [os.path.join(self.top, 'next', f'{name}_{NEXT}_{self.architecture()}.deb') for name in SERVED]

    @staticmethod
    def architecture():
        return subprocess.run(['dpkg', '--print-architecture'], capture_output=True, text=True, check=True).stdout.strip()

    def dpkg(self, *words, check=True):
        return self.m.run('dpkg', '--force-confold', *words, check=check)

    def put(self, paths):
        """Into the machine, installed there; what they depend on is there by what the build links."""
        for path in paths:
            shutil.copy(path, f'{self.m.root}/root/')
        return self.dpkg('-i', *[f'/root/{os.path.basename(path)}' for path in paths])

    def pid(self, unit):
        return int(self.m.run('systemctl', 'show', '-P', 'MainPID', unit).stdout)

    def state(self, unit):
        return self.m.run('systemctl', 'show', '-P', 'ActiveState', unit).stdout.strip()

    def test_1_all_are_made_and_lintian_is_content(self):
        self.assertEqual(sorted(os.path.basename(p).split('_')[0] for p in glob.glob(os.path.join(self.debs, '*.deb')) if '-dbgsym_' not in p), NAMES)
        if not shutil.which('lintian'):
            self.skipTest('lintian is not installed: tests/packages.sh --packaging')
        said = subprocess.run(['lintian', '--allow-root', '--fail-on', 'error,warning', *self.packages(*NAMES)], capture_output=True, text=True, check=False)
        self.assertEqual(said.returncode, 0, said.stdout + said.stderr)

    def test_2_installed_they_wait_to_be_configured(self):
        self.put(self.packages(*SERVED))
        for unit in ('postern', 'postern-relay', 'postern-gateway', 'postern-web'):
            self.assertEqual(self.m.run('systemctl', 'is-enabled', unit, check=False).stdout.strip(), 'disabled')
            self.assertEqual(self.state(unit), 'inactive')
        self.assertNotEqual(self.m.run('systemctl', 'start', 'postern', check=False).returncode, 0)
        self.assertIn('write one, like the sample', self.m.run('journalctl', '-u', 'postern', '-o', 'cat').stdout)
        users = self.m.run('getent', 'passwd').stdout
        for user in ('postern-link', 'postern-validator', 'postern-ledger', 'postern-relay', 'postern-web', 'postern-asker', 'postern-doors', 'postern-sealer'):
            self.assertIn(f'\n{user}:', users)
        self.assertIn('postern', self.m.run('postern', '--version').stdout)

    def test_3_configured_they_run(self):
        self.m.write(CONF, CONNECTOR)
        self.m.write(RELAY_CONF, RELAY, 0o640, 'postern-relay')
        for name in ('relay.pem', 'relay.key'):
            self.m.write(f'/etc/postern-relay/{name}', self.files[name], 0o640, 'postern-relay')
        self.m.run('systemctl', 'enable', '--now', 'postern-relay')
        enrol(self.m, self.files['ca.pem'])
        self.m.run('systemctl', 'enable', '--now', 'postern')
        self.assertEqual(set(self.m.processes(self.pid('postern'))), CHILDREN)

    def test_4_an_upgrade_starts_anew_what_runs_and_nothing_else(self):
        before = {unit: self.pid(unit) for unit in ('postern', 'postern-relay')}
        self.put(self.raise_version())
        for unit, pid in before.items():
            self.assertEqual(self.state(unit), 'active')
            self.assertNotIn(self.pid(unit), (0, pid))
        for unit in ('postern-gateway', 'postern-web'):
            self.assertEqual(self.state(unit), 'inactive')
        self.assertEqual(set(self.m.processes(self.pid('postern'))), CHILDREN)

    def test_5_removed_they_stop_and_purged_they_leave_nothing(self):
        names = list(reversed(SERVED))
        self.dpkg('-r', *names)
        self.assertEqual([self.state(unit) for unit in ('postern', 'postern-relay')], ['inactive'] * 2,
                         self.m.run('journalctl', '-u', 'postern', '-n', '20', '--no-pager', '-o', 'cat').stdout)
        self.m.run('test', '-e', '/var/lib/postern/identity.pem')
        self.dpkg('-P', *names)
        for path in ('/var/lib/postern', '/var/lib/postern-asker', '/var/lib/postern-relay', '/usr/libexec/postern'):
            self.assertNotEqual(self.m.run('test', '-e', path, check=False).returncode, 0, path)
        self.m.run('test', '-e', CONF)  # what a person wrote stays


if __name__ == '__main__':
    unittest.main(verbosity=2)
