#!/usr/bin/python3
"""The lab tested with the clients of the system, so that a test which uses it may believe it.

Every account state is signed in to by LDAP and by Kerberos and must answer what the table of accounts says.
"""
import concurrent.futures
import fcntl
import glob
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

LAB = os.path.abspath(os.path.dirname(__file__))
sys.path.insert(0, LAB)
import lab_accounts as table  # noqa: E402
import lab_certs  # noqa: E402
import lab_env  # noqa: E402
import lab_ldap  # noqa: E402
import lab_samba2  # noqa: E402
import lab_system as system  # noqa: E402

TOOL = os.path.join(LAB, 'lab')
KDC_ERROR = re.compile(r'Received error from KDC: (-?\d+)/')
KRB_BASE, PREAUTH_REQUIRED = -1765328384, 25


def kinit(lab, name, password, *options):
    """table.OK, or the KRB-ERROR code that decided."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(['kinit', '-c', os.path.join(folder, 'cc'), *options, name], input=password + '\n',
                              text=True, capture_output=True, check=False,
                              env={'KRB5_CONFIG': lab['krb5_config'], 'PATH': system.SYSTEM_PATH,
                                   'KRB5_TRACE': '/dev/stderr', 'LC_ALL': 'C.UTF-8'})
    codes = [int(code) - KRB_BASE for code in KDC_ERROR.findall(done.stderr)]
    codes = [code for code in codes if code != PREAUTH_REQUIRED]
    if done.returncode == 0:
        return table.OK
    return codes[0] if codes else done.stderr


def ldap_tool(lab, tool, host, port, name, password, *rest):
    """A program of ldap-utils against a server by its name, which only libnss-wrapper knows."""
    wrapper = glob.glob('/usr/lib/*/libnss_wrapper.so')
    with tempfile.NamedTemporaryFile('w') as secret:
        secret.write(password)
        secret.flush()
        return subprocess.run([tool, '-x', '-H', f'ldaps://{host}:{port}', '-D', name, '-y', secret.name, *rest],
                              capture_output=True, text=True, check=False,
                              env={'LDAPTLS_CACERT': lab['ca'], 'LD_PRELOAD': wrapper[0],
                                   'NSS_WRAPPER_HOSTS': lab['hosts'], 'PATH': system.SYSTEM_PATH})


class States(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.lab = lab_env.Lab(lab_env.PARTS)
        cls.lab.__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.lab.__exit__(None, None, None)

    def bind(self, name, password):
        """(table.OK, the SID) or (AD's data code, None)"""
        ad = self.lab['ad']
        with lab_ldap.Ldaps(ad['address'], ad['ldaps_port'], ad['host'], self.lab['ca']) as ldap:
            try:
                ldap.bind(name, password)
            except lab_ldap.LdapError as e:
                return e.data, None
            groups = ldap.search('', ['tokenGroups'])[0][1]['tokenGroups']
            return table.OK, lab_ldap.sid_text(groups[0])

    def each_user(self):
        for label, user in self.lab['users'].items():
            if label != 'admin':
                with self.subTest(label):
                    yield label, user

    def test_ldap_right_password(self):
        for _, user in self.each_user():
            sid = user['sid'] if user['expect_ldap'] == table.OK else None
            self.assertEqual(self.bind(user['upn'], user['password']), (user['expect_ldap'], sid))

    def test_krb_right_password(self):
        names = [(u['sam'], u) for label, u in self.lab['users'].items() if not re.match(r'admin|good[2-9]|good1.', label)]
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            answers = pool.map(lambda one: kinit(self.lab, one[0], one[1]['password'], '-S',
                                                 self.lab['ad']['service']), names)
            for (name, user), answer in zip(names, answers):
                # newer Sambas tell that a smart card is needed before they look at the password
                self.assertIn(answer, (12, user['expect_krb']) if name == 'smartcard' else (user['expect_krb'],), name)

    def test_names(self):
        alt = self.lab['users']['alt-suffix']
        self.assertEqual(kinit(self.lab, alt['upn'], alt['password'], '-E', '-C'), table.OK)
        self.assertEqual(self.bind(f"{table.NETBIOS}\\{alt['sam']}", alt['password']), (table.OK, alt['sid']))
        self.assertEqual(self.bind('nobody@corp.example', 'x')[0], '52e')
        self.assertEqual(kinit(self.lab, 'nobody', 'x'), 6)

    def test_wrong_password_counts_one(self):
        for i, attempt in enumerate((lambda u: self.bind(u['upn'], 'Wrong-1')[0], lambda u: kinit(self.lab, u['sam'],
                                                                                                'Wrong-1'))):
            user = self.lab['users'][f'good{19 + i}']
            self.assertEqual(self.lab.bad_pwd_count(user['sam']), 0)
            self.assertEqual(attempt(user), ('52e', 24)[i])
            self.assertEqual(self.lab.bad_pwd_count(user['sam']), 1)
            self.lab.unlock(user['sam'])
            self.assertEqual(self.lab.bad_pwd_count(user['sam']), 0)

    def test_lockout_by_wrong_binds(self):
        user = self.lab['users']['good18']
        for _ in range(table.LOCKOUT_THRESHOLD):
            self.assertEqual(self.bind(user['upn'], 'Wrong-1')[0], '52e')
        self.assertEqual(self.bind(user['upn'], user['password'])[0], '775')
        self.assertEqual(kinit(self.lab, user['sam'], user['password']), 18)
        self.lab.unlock(user['sam'])
        self.assertEqual(self.bind(user['upn'], user['password'])[0], table.OK)

    def test_previous_password(self):
        user = self.lab['users']['previous']
        self.assertEqual(self.bind(user['upn'], user['previous_password'])[0], table.OK)
        self.assertEqual(kinit(self.lab, user['sam'], user['previous_password']), 24)

    def test_clear_bind_is_refused(self):
        ad, user = self.lab['ad'], self.lab['users']['good1']
        done = subprocess.run(['ldapsearch', '-x', '-H', f"ldap://{ad['address']}", '-D', user['upn'], '-w', 'x', '-b',
                               '', '-s', 'base'], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 8, done.stderr)

    def test_ldap_utils(self):
        ad, slapd, user = self.lab['ad'], self.lab['slapd'], self.lab['slapd_users']['u7']
        done = ldap_tool(self.lab, 'ldapwhoami', slapd['host'], slapd['ldaps_port'], user['dn'], user['password'])
        self.assertEqual(done.stdout.strip(), 'dn:' + user['dn'], done.stderr)
        done = ldap_tool(self.lab, 'ldapwhoami', slapd['host'], slapd['ldaps_port'], user['dn'], 'wrong')
        self.assertEqual(done.returncode, 49, done.stderr)
        user = self.lab['users']['utf8']
        done = ldap_tool(self.lab, 'ldapsearch', ad['host'], ad['ldaps_port'], user['upn'], user['password'], '-b',
                         ad['base'], f"(sAMAccountName={user['sam']})", 'sAMAccountType')
        self.assertIn('sAMAccountType: 805306368', done.stdout, done.stderr)

    def test_slapd_own_entry_only(self):
        slapd, users = self.lab['slapd'], self.lab['slapd_users']
        with lab_ldap.Ldaps(slapd['address'], slapd['ldaps_port'], slapd['domain'], self.lab['ca']) as ldap:
            ldap.bind(users['u1']['dn'], users['u1']['password'])
            found = ldap.search(users['u1']['dn'], ['objectSid', 'userPassword'])[0][1]
            self.assertEqual({k: lab_ldap.sid_text(v[0]) for k, v in found.items()}, {'objectSid': users['u1']['sid']})
            with self.assertRaises(lab_ldap.LdapError) as refused:
                ldap.search(users['u2']['dn'], ['uid'])
            self.assertEqual(refused.exception.code, 32)

    def test_mit_states(self):
        service = f"{self.lab['mit']['service']}@{table.MIT_REALM}"
        for label, user in self.lab['mit_users'].items():
            if not re.fullmatch(r'u[1-9]|u[1-4].', label):
                # a far realm's account gets a ticket for the service in a second exchange only
                to = ['-S', service] if user['principal'].endswith('@' + table.MIT_REALM) else []
                with self.subTest(label):
                    self.assertEqual(kinit(self.lab, user['principal'], user['password'], *to), user['expect_krb'])
        self.assertEqual(kinit(self.lab, 'u0@MIT.EXAMPLE', 'wrong'), 24)
        self.assertEqual(kinit(self.lab, 'nobody@MIT.EXAMPLE', 'wrong'), 6)

    def test_keytabs_open_service_tickets(self):
        for keytab, principal in ((self.lab['ad']['keytab'], f"{table.SERVICE_SPN}@{table.REALM}"),
                                  (self.lab['mit']['keytab'], f'{table.MIT_SERVICE}@{table.MIT_REALM}')):
            listed = subprocess.run(['klist', '-kte', keytab], capture_output=True, text=True, check=True).stdout
            self.assertIn(principal, listed)
            self.assertIn('aes256-cts-hmac-sha1-96', listed)
            self.assertNotIn('arcfour', listed)

    def test_certificates(self):
        expected = {'good': 0, 'host-only': 62, 'other-ca': 20}
        for kind, code in expected.items():
            cert = self.lab['certs']['dc' + lab_certs.KINDS[kind]]['cert']
            done = subprocess.run(['openssl', 'verify', '-CAfile', self.lab['ca'], '-verify_hostname', table.DOMAIN,
                                   cert], capture_output=True, text=True, check=False)
            found = re.search(r'^error (\d+) ', done.stderr, re.MULTILINE)
            self.assertEqual(int(found.group(1)) if found else 0, code, kind)

    def test_a_second_lab_disturbs_nobody(self):
        with lab_env.Lab(['samba'], cert='host-only') as other:
            self.assertNotEqual(other['address'], self.lab['address'])
            self.assertEqual(other.bad_pwd_count('locked'), table.LOCKOUT_THRESHOLD)
        self.assertFalse(os.path.exists(other['dir']))
        self.assertEqual(self.lab.bad_pwd_count('locked'), table.LOCKOUT_THRESHOLD)


class Pair(unittest.TestCase):
    """Two controllers with real replication."""

    def test_replication_and_counting(self):
        with lab_env.Lab(['samba', 'samba2']) as lab:
            user = lab['users']['good7']
            second = lab['ad2']
            for source, target in ((1, 2), (2, 1)):
                lab_samba2.wait_replicated(lab, source, target)
            for expected in (1, 2):
                with lab_ldap.Ldaps(second['address'], second['ldaps_port'], second['host'], lab['ca']) as ldap:
                    with self.assertRaises(lab_ldap.LdapError):
                        ldap.bind(user['upn'], 'Wrong-1')
                self.assertEqual((lab.bad_pwd_count('good7', 1), lab.bad_pwd_count('good7', 2)), (0, expected))


class CommandLine(unittest.TestCase):
    """What the tool itself promises: exit codes, and that nothing stays behind."""

    def setUp(self):
        self.temp = tempfile.TemporaryDirectory(prefix='labtest-', dir='/tmp')
        self.addCleanup(self.temp.cleanup)
        self.seen = os.path.join(self.temp.name, 'seen')

    def lab(self, *args):
        return subprocess.run([TOOL, *args], capture_output=True, text=True, check=False)

    def assert_nothing_left(self):
        with open(self.seen + '.dir', encoding='utf-8') as f:
            folder = f.read().strip()
        with open(self.seen, encoding='utf-8') as f:
            entries = json.load(f)
        self.assertTrue(entries)
        deadline = time.monotonic() + 10
        while any(system.session_members(e['pid']) for e in entries) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual([system.session_members(e['pid']) for e in entries], [[] for _ in entries])
        return folder

    def note(self):
        """Shell code that notes the lab it runs in for assert_nothing_left."""
        return f'cp "$LAB_DIR/daemons.json" {self.seen} && echo "$LAB_DIR" >{self.seen}.dir && '

    def test_up_status_down(self):
        folder = os.path.join(self.temp.name, 'l')
        up = self.lab('up', '--dir', folder)
        self.assertEqual(up.returncode, 0, up.stderr)
        again = self.lab('up', '--dir', folder)
        self.assertEqual((again.returncode, 'is not empty' in again.stderr), (1, True))
        shell = subprocess.run(['sh', '-euc', f'. {folder}/lab.env; {self.note()} "$LAB_TOOL" badpwdcount "$LAB_UTF8_SAM"; '
                                'echo "$LAB_PARTS $LAB_GOOD20_UPN $LAB_MIT_U49_PRINCIPAL $LAB_SLAPD_U49_DN"'],
                               capture_output=True, text=True, check=False, env={**os.environ, 'LAB_DIR': folder})
        self.assertEqual(shell.stdout.split(), ['0', ','.join(lab_env.PARTS), 'good20@corp.example', 'u49@MIT.EXAMPLE',
                                                'uid=u49,ou=people,dc=slapd,dc=example'], shell.stderr)
        status = self.lab('status', '--dir', folder)
        self.assertEqual((status.returncode, status.stdout.count(' up ')), (0, len(lab_env.PARTS)))
        os.kill(lab_env.load(folder)['slapd']['pid'], signal.SIGKILL)
        self.assertEqual(self.lab('status', '--dir', folder).returncode, 1)
        self.assertEqual(self.lab('down', '--dir', folder).returncode, 0)
        self.assertFalse(os.path.exists(folder))
        self.assert_nothing_left()
        self.assertEqual(self.lab('down', '--dir', folder).stdout, f'no lab in {folder}\n')

    def test_run_gives_the_exit_code(self):
        done = self.lab('run', '--with', 'mit,slapd', '--', 'sh', '-c', self.note() + 'exit 7')
        self.assertEqual(done.returncode, 7, done.stderr)
        self.assertFalse(os.path.exists(self.assert_nothing_left()))
        self.assertEqual(self.lab('run', '--with', 'slapd', '--', 'no-such-command').returncode, 127)

    def signalled(self, number):
        run = subprocess.Popen([TOOL, 'run', '--', 'sh', '-c', self.note() + 'echo up; exec sleep 60'],
                               stdout=subprocess.PIPE, text=True)
        self.assertEqual(run.stdout.readline(), 'up\n')
        run.send_signal(number)
        code = run.wait(timeout=300)
        self.assertEqual(run.stdout.read(), '')  # the command has ended, too
        run.stdout.close()
        return code

    def test_run_ends_on_signals(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.assertEqual(self.signalled(number), 128 + number)
            self.assertFalse(os.path.exists(self.assert_nothing_left()))

    def test_killed_run_leaves_no_daemon(self):
        self.signalled(signal.SIGKILL)
        folder = self.assert_nothing_left()
        self.assertEqual(self.lab('down', '--dir', folder).returncode, 0)
        self.assertFalse(os.path.exists(folder))

    def test_what_killed_runs_left_is_swept(self):
        old = time.time() - 2 * system.YOUNG_SECONDS
        folders = {}
        for name, age, held in (('left', old, False), ('in-use', old, True), ('young', time.time(), False)):
            folders[name] = os.path.join(self.temp.name, system.NAME + name)
            os.mkdir(folders[name])
            os.utime(folders[name], (age, age))
            if held:
                fd = os.open(folders[name], os.O_RDONLY)
                self.addCleanup(os.close, fd)
                fcntl.flock(fd, fcntl.LOCK_EX)
        other = os.path.join(self.temp.name, 'another-name')
        os.mkdir(other)
        os.utime(other, (old, old))
        system.sweep(self.temp.name)
        self.assertEqual({name for name, path in folders.items() if os.path.isdir(path)}, {'in-use', 'young'})
        self.assertTrue(os.path.isdir(other))

    def test_wrong_words(self):
        self.assertEqual(self.lab('sideways').returncode, 2)
        self.assertEqual(self.lab('up', '--with', 'oracle').returncode, 2)
        self.assertEqual(self.lab('users', '--dir', self.temp.name).returncode, 1)
        self.assertIn('badpwdcount', self.lab('--help').stdout)


if __name__ == '__main__':
    lab_env.become_root()
    unittest.main()
