#!/usr/bin/python3
"""What packages.sh does to a host, on a dpkg, apt-get and systemctl that keep their state in a folder: the real ones would change this one."""
import os
import subprocess
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
# What a package holds, as `dpkg-query -L` says it; any other holds nothing.
FILES = {'slapd': ['/etc/init.d/slapd'],
         'samba': ['/usr/lib/systemd/system/smbd.service', '/etc/init.d/smbd', '/usr/lib/systemd/system/smb@.service'],
         'tpm2-abrmd': ['/lib/systemd/system/tpm2-abrmd.service'],
         'nftables': ['/lib/systemd/system/nftables.service'],
         'systemd': ['/lib/systemd/system/systemd-networkd.service'],
         'libevent-dev': ['/lib/systemd/system/odd.service']}
STUBS = {
    'id': 'echo 0',
    'dpkg-query': '''case "$1" in
-L) cat "$STATE/files/$2" 2>/dev/null || true ;;
*) sed 's/^/installed /' "$STATE/installed" ;;
esac''',
    # Busy as long as $STATE/busy holds lines; each word that names a package is installed.
    'apt-get': '''echo "$*" >>"$STATE/apt"
if [ -s "$STATE/busy" ]; then
  cat "$STATE/busy" >&2
  : >"$STATE/busy"
  exit 100
fi
case " $* " in *" install "*) ;; *) exit 0 ;; esac
for word; do echo "$word"; done | grep -v -e ^- -e = -e '^install$' >>"$STATE/installed"
[ ! -e "$STATE/breaks" ]''',
    # All units of FILES are enabled but nftables'.
    'systemctl': '''case "$1" in
is-enabled) [ "$2" = nftables.service ] && echo disabled || echo enabled ;;
*) echo "$*" >>"$STATE/systemctl" ;;
esac''',
}


class Packages(unittest.TestCase):
    def setUp(self):
        top = tempfile.TemporaryDirectory()
        self.addCleanup(top.cleanup)
        self.state, self.bin = (os.path.join(top.name, name) for name in ('state', 'bin'))
        os.makedirs(self.state + '/files')
        os.mkdir(self.bin)
        for name, text in STUBS.items():
            self.write(f'{self.bin}/{name}', f'#!/bin/sh\nset -eu\n{text}\n', 0o755)
        for package, files in FILES.items():
            self.write(f'{self.state}/files/{package}', '\n'.join(files) + '\n')
        self.write(self.state + '/installed', 'samba\n')
        self.policy = top.name + '/policy-rc.d'

    @staticmethod
    def write(path, text, mode=0o644):
        with open(path, 'w', encoding='utf-8') as out:
            out.write(text)
        os.chmod(path, mode)

    def read(self, name):
        try:
            with open(f'{self.state}/{name}', encoding='utf-8') as text:
                return text.read()
        except FileNotFoundError:
            return ''

    def run_script(self, *words, code=0):
        env = dict(os.environ, PATH=f'{self.bin}:{os.environ["PATH"]}', STATE=self.state, POSTERN_POLICY_RC=self.policy,
                   POSTERN_APT_WAIT='0')
        done = subprocess.run([ROOT + '/tests/packages.sh', *words], env=env, capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertFalse(os.path.exists(self.policy))
        return done.stdout + done.stderr

    def test_build_brings_no_server(self):
        said = self.run_script('--build')
        got = set(self.read('installed').split())
        self.assertTrue({'gcc', 'libevent-dev', 'libcurl4-openssl-dev'} <= got)
        self.assertFalse({'samba-ad-dc', 'slapd', 'krb5-kdc', 'tpm2-abrmd', 'dnsmasq-base', 'libcmocka-dev', 'npm'} & got)
        self.assertEqual(self.read('systemctl'), '')
        self.assertNotIn('masked', said)
        self.assertEqual(self.run_script('--build', '--list'), '')

    def test_servers_of_the_lab_are_masked(self):
        """Those that came now: not samba, which was there; not what the system is made of; not what no boot would start."""
        said = self.run_script()
        self.assertIn('mask odd.service slapd.service tpm2-abrmd.service\n', self.read('systemctl'))
        self.assertIn('disable odd.service slapd.service tpm2-abrmd.service\n', self.read('systemctl'))
        self.assertIn('Disabled and masked, the lab runs its own: odd.service slapd.service tpm2-abrmd.service', said)

    def test_masked_too_when_the_installation_breaks(self):
        self.write(self.state + '/breaks', '')
        self.run_script(code=1)
        self.assertIn('slapd.service', self.read('systemctl'))

    def test_a_busy_apt_is_waited_for(self):
        for lock in ('E: Could not get lock /var/lib/apt/lists/lock. It is held by process 4711 (apt-get)',
                     'E: Unable to acquire the dpkg frontend lock (/var/lib/dpkg/lock-frontend), is another process using it?'):
            self.write(self.state + '/installed', '')
            self.write(self.state + '/busy', lock + '\n')
            said = self.run_script('--build')
            self.assertIn('apt is busy, waiting for it', said)
            self.assertIn('gcc', self.read('installed'))

    def test_another_failure_ends_it(self):
        self.write(self.state + '/busy', 'E: Unable to locate package postern-no-such\n')
        self.assertIn('Unable to locate', self.run_script('--build', code=1))


class Build(unittest.TestCase):
    def test_warnings_are_errors_in_tests_alone(self):
        """An operator's compiler may know a warning that ours does not."""
        for name, there in (('meson.build', False), ('tests/run.sh', True), ('tests/fuzz/run.sh', True)):
            with open(os.path.join(ROOT, name), encoding='utf-8') as text:
                self.assertEqual('werror=true' in text.read(), there, name)

    def test_operators_are_sent_to_the_small_set(self):
        with open(ROOT + '/README.md', encoding='utf-8') as text:
            use = text.read().split('## Use it')[1].split('```')[0]
        self.assertIn('tests/packages.sh --build', use)
        self.assertIn('-Dtests=false', use)


if __name__ == '__main__':
    unittest.main()
