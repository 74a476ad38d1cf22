"""`postern check` against the lab's Samba: each hop shown, right and wrong password, what is skipped and why; no password anywhere.

usage (in the lab): test_check.py POSTERN
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

POSTERN = os.path.abspath(sys.argv[1])
LAB = os.environ
# Accounts that every Debian has: posternd's own check wants users, and only root can become them.
USERS = 'user_link = daemon\nuser_validator = nobody\nuser_ledger = bin\n' if os.geteuid() == 0 else ''
UPN, PASSWORD = LAB['LAB_GOOD1_UPN'], LAB['LAB_GOOD1_PASSWORD']


class CheckTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix='postern-check-')
        self.addCleanup(self.dir.cleanup)
        os.mkdir(os.path.join(self.dir.name, 'state'), 0o700)

    def config(self, **more):
        keys = {'realm': LAB['LAB_AD_REALM'], 'netbios': LAB['LAB_AD_NETBIOS'], 'suffixes': LAB['LAB_AD_SUFFIX'],
                'dcs': f"{LAB['LAB_AD_HOST']}@{LAB['LAB_AD_ADDRESS']}", 'ca_file': LAB['LAB_CA'], 'methods': 'ldap',
                'keytab': LAB['LAB_AD_KEYTAB'].removeprefix('FILE:'), 'service_principal': LAB['LAB_AD_SERVICE'],
                'ldaps_port': LAB['LAB_AD_LDAPS_PORT'], 'kdc_port': LAB['LAB_AD_KDC_PORT'], **more}
        path = os.path.join(self.dir.name, 'postern.conf')
        with open(path, 'w', encoding='utf-8') as f:
            f.write(f"[connector]\nname = test\nstate_dir = {self.dir.name}/state\n{USERS}[domain {LAB['LAB_AD_DOMAIN']}]\n")
            f.writelines(f'{k} = {v}\n' for k, v in keys.items())
        return path

    def check(self, *words, stdin='', **more):
        done = subprocess.run([POSTERN, 'check', '--config', self.config(**more), *words], capture_output=True, text=True,
                              timeout=300, check=False, input=stdin)
        for secret in filter(None, stdin.splitlines()):
            self.assertNotIn(secret, done.stdout + done.stderr)
        return done

    def test_hops(self):
        done = self.check()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for wanted in ('config   ok', 'start    ok', 'file     ok', 'domains  ok', 'dc       ok', 'ready    ok'):
            self.assertIn(wanted, done.stdout)
        self.assertNotIn('Password', done.stderr)

    def test_what_a_start_would_find(self):
        """By posternd's own check, each fault in its own words; and the exit code says so."""
        os.chmod(os.path.join(self.dir.name, 'state'), 0o777)
        done = self.check()
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r'start +FAILED +state_dir .* chmod 700')
        self.assertIn('ready    ok', done.stdout)

    def test_ca_file(self):
        """As an editor on Windows leaves it; and one damaged certificate anywhere refuses it."""
        with open(LAB['LAB_CA'], encoding='ascii') as f:
            good = f.read()
        other = subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout',
                                '/dev/null', '-subj', '/CN=other'], check=True, capture_output=True, text=True).stdout
        ca = os.path.join(self.dir.name, 'ca.pem')

        def check(text):
            with open(ca, 'w', encoding='utf-8') as f:
                f.write(text)
            return self.check(ca_file=ca)
        done = check('\ufeff# two\r\n' + (other + good).replace('\n', '\r\n'))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r'file +ok +CA file of .*, 2 certificates\n')
        lines = other.splitlines()
        broken = '\n'.join(lines[:3] + lines[4:]) + '\n'
        for text, place in ((broken + good, '1: certificate 1 '), (good + broken, ': certificate 2 '),
                            (good + other.replace('-----BEGIN', '----BEGIN'), 'a certificate is damaged here'),
                            (good + other[:-30], ': certificate 2 ')):
            done = check(text)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertRegex(done.stdout, r'file +FAILED +' + re.escape(ca) + r':\d*')
            self.assertIn(place, done.stdout)

    def test_a_long_keytab(self):
        """One limit, wherever it is copied: a hole (an entry that was taken out) makes it long."""
        keytab = os.path.join(self.dir.name, 'long.keytab')
        with open(LAB['LAB_AD_KEYTAB'].removeprefix('FILE:'), 'rb') as f:
            entries = f.read()
        for size, code in ((300 << 10, 0), (2 << 20, 1)):
            with open(keytab, 'wb') as f:
                f.write(entries[:2] + (-size & 0xffffffff).to_bytes(4, 'big') + bytes(size) + entries[2:])
            os.chmod(keytab, 0o600)
            done = self.check(keytab=keytab, methods='krb5')
            self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        self.assertIn('longer than 1024 KiB', done.stdout)

    def test_a_keytab_says_what_it_holds(self):
        """Principals, key numbers and kinds of keys; and that capitals are all that differs."""
        service = LAB['LAB_AD_SERVICE']
        holds = f"it holds {service}@{LAB['LAB_AD_REALM']} number "
        for wanted, further in (('host/another.corp.example', ''), (service.upper(), 'which differs in its capitals only')):
            done = self.check(methods='krb5', service_principal=wanted)
            said = ' '.join((done.stdout + done.stderr).split())
            self.assertNotEqual(done.returncode, 0, said)
            for words in (f'keytab for {wanted}@', holds, 'aes256-cts-hmac-sha1-96', further):
                self.assertIn(words, said)

    def test_users(self):
        for method in ('ldap', 'krb5'):
            for password, code, reason, counted in ((PASSWORD, 0, 'ok', '0'), ('wrong-' + PASSWORD[:4], 1, 'wrong_password', '1')):
                done = self.check('--user', UPN, '--method', method, '--json', stdin=password + '\n')
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                shown = json.loads(done.stdout)
                verdict = shown['verdict']
                self.assertEqual((verdict['reason'], verdict['method'], verdict['may_have_counted']), (reason, method, counted))
                self.assertEqual(verdict['user_id'].startswith('S-1-5-21-'), code == 0)
                self.assertEqual([s['step'] for s in shown['steps'] if s['step'] not in ('trace', 'file', 'start', 'relay', 'daemon', 'keytab')],
                                 ['config', 'domains', 'dc', 'ready', 'name', 'sign-in'])
                self.assertTrue(any(('ldap_attempt' if method == 'ldap' else 'krb_state') in s['text'] for s in shown['steps']))
                wanted = 'dc_certificate' if method == 'ldap' else 'krb_ticket'
                self.assertEqual(any(wanted in s['text'] for s in shown['steps']), method == 'ldap' or code == 0)
                self.assertIn('real attempt', done.stderr)

    def test_text(self):
        done = self.check('--user', UPN, stdin=PASSWORD + '\n')
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn('sent as ' + UPN, done.stdout)
        self.assertRegex(done.stdout, r'\nverdict +accepted \(ok, none\)\naccount +S-1-5-21-')

    def test_a_dc_that_cannot_be_used_has_a_remedy(self):
        """Also one that takes connections and says nothing until the time is over."""
        done = self.check(ca_file=LAB['LAB_OTHER_CA'], methods='ldap')
        self.assertRegex(done.stdout, r'(?s)dc +FAILED .*TLS failed.*dc_certificate: its certificate is of a CA that is not known here: its issuer is .*Set ca_file of the domain')
        with socket.create_server((LAB['LAB_AD_ADDRESS'], 0)) as silent:
            done = self.check(methods='krb5', kdc_port=silent.getsockname()[1])
        self.assertRegex(done.stdout, r"(?s)dc +FAILED .*answer failed: dc_timeout.*Check the domain controller's load")
        self.assertRegex(done.stdout, '(?s)ready +FAILED .*No sign-in of its users can be decided')

    def codes(self, *words, **more):
        """The codes of the lines that are not well, in order."""
        done = self.check(*words, '--json', **more)
        shown = json.loads(done.stdout)
        bad = [s for s in shown['steps'] if s['result'] in ('warning', 'failed')]
        self.assertEqual(done.returncode, 1 if any(s['result'] == 'failed' for s in bad) else 0, done.stdout)
        return [s['code'] for s in bad if 'code' in s]

    def test_codes(self):
        """Each fault by its code; the daemon does not run here, which is a warning."""
        self.assertEqual(self.codes(), ['not_running'])
        self.assertEqual(self.codes(methods='krb5, ldap'), ['not_running'])
        self.assertEqual(self.codes(ldaps_port=LAB['LAB_AD_LDAP_PORT']), ['port_without_tls', 'no_dc_usable', 'not_running'])
        self.assertEqual(self.codes(ldaps_port='1'), ['dc_refused', 'no_dc_usable', 'not_running'])
        self.assertEqual(self.codes(ca_file=LAB['LAB_OTHER_CA']), ['certificate_unknown_ca', 'no_dc_usable', 'not_running'])
        # the method that is not asked first is tested as well
        self.assertEqual(self.codes(methods='krb5, ldap', ldaps_port='1'), ['dc_refused', 'not_running'])

    def test_all_is_black_holed(self):
        """Side by side: whatever hangs costs no more than the longest of them."""
        with socket.create_server(('127.0.0.1', 0), backlog=0) as hole:
            port = hole.getsockname()[1]
            held = []
            for _ in range(3):  # a full backlog swallows what comes
                waiting = socket.socket()
                waiting.setblocking(False)
                waiting.connect_ex(('127.0.0.1', port))
                held.append(waiting)
            began = time.monotonic()
            codes = self.codes(ldaps_port=port, kdc_port=port, methods='krb5, ldap', dcs=f"{LAB['LAB_AD_HOST']}@127.0.0.1")
            took = time.monotonic() - began
            for waiting in held:
                waiting.close()
        self.assertEqual(codes[-2:], ['no_dc_usable', 'not_running'])
        self.assertLess(took, 60)  # 15 s, on a machine that has nothing else to do

    def test_each_error_of_the_configuration_is_a_line(self):
        done = self.check(nonsense='1', further='2')
        self.assertEqual(len(re.findall(r'config +FAILED .*: the key is unknown; .*[^?]\n', done.stdout)), 2, done.stdout)

    def test_skipped(self):
        for words, more, wanted in (((), {'methods': 'telepathy'}, 'the configuration has errors'),
                                    ((), {'ca_file': '/no/such/file'}, 'a file could not be read'),
                                    (('--domain', 'other.example'), {}, 'there is no such domain'),
                                    ((), {'ldaps_port': '1'}, 'no domain controller that answers')):
            done = self.check('--user', UPN, *words, stdin=PASSWORD + '\n', **more)
            self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
            self.assertIn('FAILED', done.stdout)
            self.assertIn('skipped', done.stdout)
            self.assertIn(wanted, done.stdout)
            self.assertNotIn('verdict', done.stdout)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
