"""`postern account` against the lab's two domain controllers of Samba: which account a name reaches, what stands in its way, the
counters of each controller, both kinds of credential; and that asking counts nothing.

usage (in the lab): test_account.py POSTERN
"""
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

POSTERN = os.path.abspath(sys.argv[1])
LAB = os.environ
DOMAIN, DC1, DC2 = LAB['LAB_AD_DOMAIN'], LAB['LAB_AD_HOST'], 'dc2.corp.example'
# Accounts that every Debian has: only root can become them.
USERS = 'user_link = daemon\nuser_validator = nobody\nuser_ledger = bin\nuser_account = games\n' if os.geteuid() == 0 else ''
READER = LAB['LAB_SVC_SEARCH_UPN']


def lab(command, *words):
    done = subprocess.run([LAB['LAB_TOOL'], command, '--dir', LAB['LAB_DIR'], *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start_dnsmasq(*words):
    """The process, and the port that it answers at; another program may take a free port before it does, so it tries some."""
    for _ in range(10):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        server = subprocess.Popen(['dnsmasq', '-k', '-p', str(port), '--no-resolv', '--no-hosts', '--conf-file=/dev/null', '--pid-file=',
                                   '--listen-address=127.0.0.1', '--bind-interfaces', '--user=', '--log-facility=-', *words],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while server.poll() is None:
            try:  # it answers by TCP, too, once it answers
                socket.create_connection(('127.0.0.1', port), 120).close()
                return server, port
            except OSError:
                time.sleep(0.05)
    raise AssertionError('dnsmasq found no free port in ten tries')


class AccountTest(unittest.TestCase):
    maxDiff = None
    asan = os.environ.get('ASAN_OPTIONS', '')

    def setUp(self):
        self.dir = tempfile.TemporaryDirectory(prefix='postern-account-')
        self.addCleanup(self.dir.cleanup)
        os.mkdir(self.path('state'), 0o700)
        self.write('reader', LAB['LAB_SVC_SEARCH_PASSWORD'] + '\n')

    def path(self, name):
        return os.path.join(self.dir.name, name)

    def write(self, name, text, mode=0o600):
        with open(self.path(name), 'w', encoding='utf-8') as f:
            f.write(text)
        os.chmod(self.path(name), mode)

    def config(self, dns_servers=None, **more):
        keys = {'netbios': LAB['LAB_AD_NETBIOS'], 'suffixes': LAB['LAB_AD_SUFFIX'], 'methods': 'ldap', 'ca_file': LAB['LAB_CA'],
                'dcs': f"{DC1}@{LAB['LAB_AD_ADDRESS']}, {DC2}@{LAB['LAB_AD2_ADDRESS']}", 'reader': READER,
                'reader_password_file': self.path('reader'), 'kdc_port': LAB['LAB_AD_KDC_PORT'], **more}
        self.write('postern.conf', f'[connector]\nstate_dir = {self.path("state")}\nruntime_dir = {self.dir.name}\n{USERS}' +
                   (f'dns_servers = {dns_servers}\n' if dns_servers else '') + f'[domain {DOMAIN}]\n' +
                   ''.join(f'{k} = {v}\n' for k, v in keys.items() if v is not None))
        return self.path('postern.conf')

    def run_it(self, *words, **more):
        done = subprocess.run([POSTERN, 'account', '--config', self.config(**more), *words], capture_output=True, text=True, timeout=300,
                              check=False, env=dict(os.environ, TZ='UTC', ASAN_OPTIONS=self.asan))
        self.assertNotIn(LAB['LAB_SVC_SEARCH_PASSWORD'], done.stdout + done.stderr)
        return done

    def ask(self, name, *words, code=None, **more):
        done = self.run_it(name, '--json', *words, **more)
        self.assertEqual(done.stderr, '')
        told = json.loads(done.stdout)
        self.assertEqual(done.returncode, code if code is not None else int(any(f['stops'] for f in told['findings'])), done.stdout)
        return told

    def codes(self, told):
        return [f['code'] for f in told['findings']]

    def test_states(self):
        for label, codes in (('GOOD1', []), ('DISABLED', ['account_disabled']), ('EXPIRED', ['password_expired']),
                             ('MUST_CHANGE', ['password_must_change']), ('ACCOUNT_EXPIRED', ['account_expired']),
                             ('HOURS', ['logon_hours_now']), ('WORKSTATION', ['workstations_only']), ('PROTECTED', ['protected_user']),
                             ('SMARTCARD', ['smartcard_only']), ('COMPUTER', ['account_no_person'])):
            with self.subTest(label):
                told = self.ask(LAB[f'LAB_{label}_UPN'])
                self.assertEqual(self.codes(told), codes, told)
                self.assertTrue(told['account']['sid'].startswith('S-1-5-21-'))
        told = self.ask(LAB['LAB_LOCKED_UPN'])
        self.assertEqual(self.codes(told)[0], 'account_locked')
        self.assertRegex(told['findings'][0]['text'], r"locked out since 20\d\d-\S+ \S+ \(dc\d\.corp\.example\), until 20\d\d-")

    def test_names(self):
        """Each form leads to the same account, and says by what."""
        for name, by in ((LAB['LAB_GOOD1_ALT_UPN'].upper(), ['userPrincipalName']), ('CORP\\good1', ['sAMAccountName']),
                         ('  good1@corp.example. ', ['sAMAccountName'])):
            with self.subTest(name):
                told = self.ask(name)
                self.assertEqual((told['account']['sam'], told['account']['by']), ('good1', by))
        told = self.ask(LAB['LAB_UTF8_UPN'])
        self.assertEqual(told['account']['sam'], 'rené')
        told = self.ask('nobody)(cn@corp.example')
        self.assertEqual((told['account'], self.codes(told)), (None, ['account_none']))

    def test_twins(self):
        told = self.ask(LAB['LAB_TWIN_A_UPN'])
        self.assertEqual((told['account']['sam'], told['account']['by']), ('twina', ['userPrincipalName']))
        self.assertEqual(self.codes(told), ['account_twin'])
        self.assertIn('sAMAccountName of CN=twinb', told['findings'][0]['text'])

    def test_what_was_meant(self):
        """A mail address that is no UPN; a plain name of another suffix; with alternate_id the address is a name."""
        told = self.ask('good1.box@corp.com')
        self.assertEqual(self.codes(told), ['account_none'])
        told = self.ask('altsuffix@corp.example')
        self.assertEqual(told['account']['by'], ['sAMAccountName'])
        mail = LAB['LAB_GOOD2_MAIL']
        self.assertEqual(self.run_it(mail).returncode, 1)
        told = self.ask(mail, alternate_id='mail', alternate_id_suffixes=mail.split('@')[1], netbios='CORP', service_account=READER,
                        service_password_file=self.path('reader'))
        self.assertEqual((told['account']['sam'], told['account']['by']), ('good2', ['mail']))

    def test_counters_and_that_asking_counts_nothing(self):
        before = lab('badpwdcount', 'good3')
        subprocess.run(['ldapwhoami', '-x', '-H', f'ldaps://{DC2}', '-D', LAB['LAB_GOOD3_UPN'], '-w', 'wrong'], capture_output=True, check=False,
                       env=dict(os.environ, LDAPTLS_CACERT=LAB['LAB_CA']))
        told = self.ask(LAB['LAB_GOOD3_UPN'], '--all-dcs')
        rows = {row['dc']: row for row in told['dcs']}
        self.assertEqual(set(rows), {DC1, DC2})
        self.assertEqual((rows[DC1]['pdc'], rows[DC1]['asked'], rows[DC2]['pdc'], rows[DC2]['asked']), (True, True, False, False))
        self.assertTrue(all(row['password_set'] > 0 for row in rows.values()), rows)
        for _ in range(6):
            self.ask(LAB['LAB_GOOD3_UPN'])
        self.assertEqual(self.ask(LAB['LAB_GOOD3_UPN'], '--all-dcs')['dcs'], told['dcs'])
        self.assertEqual(lab('badpwdcount', 'good3').split()[:1], before.split()[:1])

    def test_a_dc_that_is_gone(self):
        """The next one is asked, and the row of the first says why there is nothing."""
        told = self.ask(LAB['LAB_GOOD1_UPN'], '--all-dcs', dcs=f"{DC1}@127.0.0.254, {DC2}@{LAB['LAB_AD2_ADDRESS']}")
        self.assertEqual(told['dc'], DC2)
        self.assertIn('refused', {row['dc']: row for row in told['dcs']}[DC1]['error'])
        done = self.run_it(LAB['LAB_GOOD1_UPN'], dcs=f'{DC1}@127.0.0.254')
        self.assertEqual(done.returncode, 3)
        self.assertIn('Connection refused', done.stderr)
        self.assertIn('Get-ADUser', done.stdout)

    def test_a_dc_that_is_none_gets_no_password(self):
        done = self.run_it(LAB['LAB_GOOD1_UPN'], ca_file=LAB['LAB_OTHER_CA'])
        self.assertEqual(done.returncode, 3)
        self.assertIn('TLS', done.stderr)

    def test_found_by_dns(self):
        """By the domain's SRV records; a name server that is not there is named in the error."""
        server, port = start_dnsmasq(f'--srv-host=_ldap._tcp.dc._msdcs.{DOMAIN},{DC1},389', f"--host-record={DC1},{LAB['LAB_AD_ADDRESS']}")
        try:
            self.assertEqual(self.ask(LAB['LAB_GOOD1_UPN'], dcs=None, dns_servers=f'127.0.0.1:{port}')['dc'], DC1)
        finally:
            server.kill()
            server.wait()
        done = self.run_it(LAB['LAB_GOOD1_UPN'], dcs=None, dns_servers=f'127.0.0.1:{port}')
        self.assertEqual(done.returncode, 3)
        self.assertIn(f'no domain controller of {DOMAIN} is known: _ldap._tcp.dc._msdcs.{DOMAIN}: ', done.stderr)

    def test_gssapi(self):
        self.asan = 'detect_leaks=0'  # of libkrb5's plugins, and of cyrus's
        keytab = LAB['LAB_AD_ARMOR_KEYTAB'].removeprefix('FILE:')
        told = self.ask(LAB['LAB_GOOD1_UPN'], reader=LAB['LAB_AD_ARMOR_PRINCIPAL'] + '@corp.example', reader_keytab=keytab, reader_password_file=None)
        self.assertEqual(told['account']['sam'], 'good1')
        done = self.run_it(LAB['LAB_GOOD1_UPN'], reader='another@corp.example', reader_keytab=keytab, reader_password_file=None)
        self.assertEqual(done.returncode, 3)
        self.assertIn('no ticket by reader_keytab', done.stderr)

    def test_text(self):
        done = self.run_it(LAB['LAB_DISABLED_UPN'])
        self.assertEqual((done.returncode, done.stderr), (1, ''))
        self.assertRegex(done.stdout, r'reached +by sAMAccountName, at dc1\.corp\.example\n')
        self.assertRegex(done.stdout, r'dc1\.corp\.example +PDC, asked +\d')
        self.assertIn('\nto know:\n  it is disabled\n    Ask who disabled it', done.stdout)
        done = self.run_it(LAB['LAB_GOOD1_UPN'])
        self.assertEqual(done.returncode, 0)
        self.assertIn('nothing in the account stands in the way', done.stdout)

    def test_without_a_reader(self):
        """The commands of PowerShell, in which the name can do nothing."""
        done = self.run_it("o'neil(@corp.example", reader=None, reader_password_file=None)
        self.assertEqual(done.returncode, 3)
        self.assertIn('no reader is configured', done.stderr)
        self.assertIn("(sAMAccountName=o''neil\\28)(userPrincipalName=o''neil\\28@corp.example)", done.stdout)
        done = self.run_it('nobody@elsewhere.example')
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertIn('no domain of this configuration', done.stderr)

    def test_a_credential_that_others_can_read(self):
        os.chmod(self.path('reader'), 0o644)
        self.config()
        os.chmod(self.path('reader'), 0o644)
        done = self.run_it(LAB['LAB_GOOD1_UPN'])
        self.assertEqual(done.returncode, 3)
        self.assertIn('chmod 600', done.stderr)

    def test_a_wrong_credential_is_tried_once(self):
        """Not at each domain controller: every attempt counts for the reader's account."""
        def count():
            return [int(lab('badpwdcount', 'good7', '--dc', str(dc))) for dc in (1, 2)]
        self.write('reader', 'not the password\n')
        before = count()
        done = self.run_it(LAB['LAB_GOOD1_UPN'], '--all-dcs', reader=LAB['LAB_GOOD7_UPN'])
        self.assertEqual(done.returncode, 3)
        self.assertIn(f"the credential of reader {LAB['LAB_GOOD7_UPN']} ({self.path('reader')}) was refused; no other domain controller is "
                      f"tried with it: {DC1}: the reader's bind: Invalid credentials", done.stderr)
        self.assertEqual(sum(count()) - sum(before), 1)
        config = self.config(reader=LAB['LAB_GOOD7_UPN'])
        done = subprocess.run([POSTERN, 'check', '--config', config], capture_output=True, text=True, timeout=300, check=False)
        self.assertRegex(done.stdout, r'reader +warning .*the credential of reader .* was refused')
        self.assertEqual(sum(count()) - sum(before), 2)

    def test_a_wrong_key_is_tried_once(self):
        self.asan = 'detect_leaks=0'  # of libkrb5's plugins, and of cyrus's
        subprocess.run(['ktutil'], input=f"addent -password -p good8@CORP.EXAMPLE -k 1 -e aes256-cts\nnot the password\nwkt {self.path('keytab')}\nq\n",
                       text=True, check=True, timeout=60, stdout=subprocess.DEVNULL)
        os.chmod(self.path('keytab'), 0o600)
        before = [int(lab('badpwdcount', 'good8', '--dc', str(dc))) for dc in (1, 2)]
        done = self.run_it(LAB['LAB_GOOD1_UPN'], reader=LAB['LAB_GOOD8_UPN'], reader_keytab=self.path('keytab'), reader_password_file=None)
        self.assertEqual(done.returncode, 3)
        self.assertIn(f"({self.path('keytab')}) was refused; no other domain controller is tried with it: {DC1} gives the reader", done.stderr)
        self.assertEqual([int(lab('badpwdcount', 'good8', '--dc', str(dc))) for dc in (1, 2)], [before[0] + 1, before[1]])

    def test_a_slow_kdc_gets_a_wrong_key_once(self):
        """It takes the proof of the key by TCP and keeps the answer; libkrb5 itself would ask by UDP as well ten seconds later, and count twice."""
        self.asan = 'detect_leaks=0'
        kdc, place = (LAB['LAB_AD_ADDRESS'], int(LAB['LAB_AD_KDC_PORT'])), '127.0.0.201'
        datagrams, asked, ended = [], [], threading.Event()
        tcp = socket.create_server((place, 0))
        port = tcp.getsockname()[1]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind((place, port))
        udp.settimeout(0.2)

        def pass_on():
            while not ended.is_set():
                try:
                    data, sender = udp.recvfrom(65536)
                except TimeoutError:
                    continue
                datagrams.append(data)
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                    s.settimeout(30)
                    s.sendto(data, kdc)
                    udp.sendto(s.recv(65536), sender)

        def pass_on_late():
            while True:
                try:
                    client = tcp.accept()[0]
                except OSError:
                    return
                with client, socket.create_connection(kdc, 30) as s:
                    head = client.recv(4, socket.MSG_WAITALL)
                    if not head:  # whether somebody is there
                        continue
                    s.sendall(head + client.recv(int.from_bytes(head, 'big'), socket.MSG_WAITALL))
                    asked.append(head)
                    if len(asked) > 1:  # the first one was without a proof
                        ended.wait(60)
                    head = s.recv(4, socket.MSG_WAITALL)
                    client.sendall(head + s.recv(int.from_bytes(head, 'big'), socket.MSG_WAITALL))
        ldap = socket.create_server((place, 389))  # nothing is asked there: the ticket comes first
        threads = [threading.Thread(target=f, daemon=True) for f in (pass_on, pass_on_late)]
        for thread in threads:
            thread.start()
        try:
            subprocess.run(['ktutil'], input=f"addent -password -p good9@CORP.EXAMPLE -k 1 -e aes256-cts\nnot the password\nwkt {self.path('keytab')}\nq\n",
                           text=True, check=True, timeout=60, stdout=subprocess.DEVNULL)
            os.chmod(self.path('keytab'), 0o600)
            before = int(lab('badpwdcount', 'good9', '--dc', '1'))
            done = self.run_it(LAB['LAB_GOOD1_UPN'], dcs=f'{DC1}@{place}', kdc_port=port, reader=LAB['LAB_GOOD9_UPN'],
                               reader_keytab=self.path('keytab'), reader_password_file=None)
        finally:
            ended.set()
            tcp.shutdown(socket.SHUT_RDWR)
            tcp.close()
            threads[0].join()
            udp.close()
            ldap.close()
        self.assertEqual(done.returncode, 3)
        self.assertIn('may have been refused; no other domain controller is tried with it', done.stderr)
        self.assertEqual((int(lab('badpwdcount', 'good9', '--dc', '1')) - before, datagrams), (1, []))

    def test_a_bind_without_an_answer_is_not_repeated(self):
        """It may have counted. The first domain controller here takes the bind and hangs up; the second would answer."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(LAB['LAB_CERT_DC'], LAB['LAB_KEY_DC'])
        got = []

        def take_bind(listener):
            with listener, listener.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as s:
                got.append(s.recv(1000))
        thread = threading.Thread(target=take_bind, args=(socket.create_server(('127.0.0.200', 636)),), daemon=True)
        thread.start()
        done = self.run_it(LAB['LAB_GOOD1_UPN'], dcs=f"{DC1}@127.0.0.200, {DC2}@{LAB['LAB_AD2_ADDRESS']}")
        thread.join(30)
        self.assertIn(READER.encode(), got[0])
        self.assertEqual(done.returncode, 3, done.stdout)
        self.assertIn('may have been refused; no other domain controller is tried with it', done.stderr)

    def test_check_warns_of_a_reader_with_rights(self):
        def reader_line(**more):
            done = subprocess.run([POSTERN, 'check', '--config', self.config(**more)], capture_output=True, text=True, timeout=300, check=False)
            return [line for line in done.stdout.splitlines() if re.match(r' *\d+ ms +reader ', line) or ' reader ' in line][0]
        self.assertRegex(reader_line(), 'reader +ok +svc-search@.* may change no account')
        self.write('admin', LAB['LAB_ADMIN_PASSWORD'] + '\n')
        self.assertRegex(reader_line(reader=LAB['LAB_ADMIN_UPN'], reader_password_file=self.path('admin')),
                         'reader +warning .*is a member of (Domain|Enterprise|Schema) Admins|reader +warning .*Administrators')
        self.write('reader', 'not the password\n')
        self.assertRegex(reader_line(), "reader +warning .*the reader's bind: Invalid credentials")

    def test_rate(self):
        """Thirty a minute, by whomever."""
        self.config()
        said = ''
        for _ in range(31):
            done = self.run_it('nobody@elsewhere.example')
            said = done.stderr
        self.assertEqual(done.returncode, 3)
        self.assertIsNotNone(re.search(r'30 questions in a minute are enough; ask again in \d+ s', said), said)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1])
