"""Faults that need a real directory, injected one at a time, and what the helpdesk is told of each: by `postern explain` of the sign-in,
by `postern account`, or by `postern check`. The cause's code, no other cause's, and the sentences by the golden table SAMBA-FAULTS.md in
tests/connector/findings. Service, relay, two connectors (LDAP, Kerberos with a keytab) and Samba are real.

usage (in the lab, --with samba,samba2): test_helpdesk.py BUILD [--write]
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys

WRITE = '--write' in sys.argv
from e2e import LAB, SiteTest, WRONG, lab_clock, main, wait_for  # noqa: E402

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'connector', 'findings', 'SAMBA-FAULTS.md')
DOMAIN, DC1, DC2 = LAB['LAB_AD_DOMAIN'], LAB['LAB_AD_HOST'], 'dc2.corp.example'
READER = LAB['LAB_SVC_SEARCH_UPN']
NORTH, SOUTH = 'north', 'south'  # by LDAP, by Kerberos

HEAD = '''# Faults that need a directory, and what the helpdesk is told

Made by `test_helpdesk.py BUILD --write` in the lab, which injects each of these faults for real into a domain of Samba and then compares
what is said: the codes, no other cause's among them, and the sentences. One row a fault.
'''

# label -> code by LDAP, by Kerberos; the password is right
STATES = {'DISABLED': ('disabled', 'disabled'), 'LOCKED': ('locked_out', 'locked_out'), 'EXPIRED': ('password_expired', 'password_expired'),
          'MUST_CHANGE': ('must_change_password', 'must_change_password'), 'ACCOUNT_EXPIRED': ('account_expired', 'account_expired'),
          'HOURS': ('logon_hours', 'logon_hours'), 'WORKSTATION': ('workstation', None), 'PROTECTED': ('account_restriction', None),
          'COMPUTER': ('not_a_user', 'not_a_user')}
WHAT = {'DISABLED': 'is disabled', 'LOCKED': 'is locked out', 'EXPIRED': 'has an expired password', 'MUST_CHANGE': 'must change its password',
        'ACCOUNT_EXPIRED': 'has expired', 'HOURS': 'may not sign in at this hour', 'WORKSTATION': 'may sign in from some computers only',
        'PROTECTED': 'is in Protected Users', 'COMPUTER': "is a computer's", 'SMARTCARD': 'must use a smart card'}
ACCOUNT = {'DISABLED': 'account_disabled', 'LOCKED': 'account_locked', 'EXPIRED': 'password_expired', 'MUST_CHANGE': 'password_must_change',
           'ACCOUNT_EXPIRED': 'account_expired', 'HOURS': 'logon_hours_now', 'WORKSTATION': 'workstations_only', 'PROTECTED': 'protected_user',
           'COMPUTER': 'account_no_person', 'SMARTCARD': 'smartcard_only', 'TWIN_A': 'account_twin'}


def plain(words):
    """Without what differs from run to run."""
    words = re.sub(r'\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?', 'DATE', words)
    words = re.sub(r'S-1-5-21-[\d-]+', 'SID', words)
    words = re.sub(r'\b[A-Za-z0-9]{26}\b', 'ID', words)
    words = re.sub(r'/tmp/postern-[^ :,;)]*/', '…/', words)
    words = re.sub(r'(/dev/shm|/tmp|/var)[^ :,;)]*/([^ /:,;)]+)', r'…/\2', words)
    words = re.sub(r'127\.\d+\.\d+\.\d+(:\d+)?', 'ADDRESS', words)
    words = re.sub(r'\b(59\d|60\d) s ', '600 s ', words)
    words = re.sub(r'(the port takes no TLS|the connection broke|dc_refused: KDC): (?!Connection refused)[^—<]*', r'\1: it ended ', words)
    words = re.sub(r'\b\d+ wrong passwords? (is|are) counted', 'N wrong passwords are counted', words)
    words = re.sub(r'number \d+', 'number N', words)
    words = re.sub(r'\bdc[12]\.corp\.example(?= \(DATE|\), until)', 'a DC', words)
    return re.sub(r'\b\d+ ms\b', 'N ms', words)


class Helpdesk(SiteTest):
    maxDiff = None
    ROWS = []  # (section, text)

    @classmethod
    def prepare(cls):
        reader = cls.file('reader', LAB['LAB_SVC_SEARCH_PASSWORD'] + '\n')
        cls.keytab = cls.file('keytab', '')
        shutil.copy(LAB['LAB_AD_KEYTAB'].removeprefix('FILE:'), cls.keytab)
        lines = f'reader = {READER}\nreader_password_file = {reader}\n'
        cls.DOMAIN = {NORTH: lines, SOUTH: lines}

    @classmethod
    def file(cls, name, text):
        path = os.path.join(cls.top, name)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        os.chmod(path, 0o600)
        return path

    @classmethod
    def setUpClass(cls):
        cls.faults = []
        super().setUpClass()
        for c in cls.site.connectors.values():
            with open(c.config, encoding='utf-8') as f:
                text = f.read()
            with open(c.config, 'w', encoding='utf-8') as f:
                f.write(text.replace('[connector]\n', '[connector]\nuser_account = games\nguard = on\nguard_failures = 40\n'))
            c.daemon.stop()
            c.start()
            c.wait_ready()

    def row(self, section, name, codes, wanted, text):
        if codes != wanted:
            self.faults.append(f'{section}: {name}: {codes} instead of {wanted}: {text}')
        cell = plain(text).replace('|', '\\|')
        self.ROWS.append((section, f'| {name} | {cell} |'))

    # ---- a sign-in, explained ----

    def explained(self, section, name, connector, user, password, wanted, newer=None):
        """wanted: reason, and the detail of it or of the directory. newer: what a newer Samba leads to; its row is not in the table."""
        _, v = self.site.sign_in(user, password, connector)
        self.forget_rate()
        c = self.site.connectors[connector]
        wait_for('the record', lambda: self.explain(c, v['id']))
        self.forget_rate()
        done = self.explain(c, user)  # as who has the user on the telephone: a name that nothing shows to exist is on record masked
        self.assertEqual(done['records'][0]['id'], v['id'])
        told = done['records'][0]['explanation']
        codes = [done['records'][0]['reason']] + [told[k] for k in ('detail_code',) if k in told]
        text = f"`{' '.join(codes)}` {told['meaning']} — *{told.get('remedy', '')}*"
        for key in ('seen', 'directory'):
            text += ''.join(f'<br>{key}: {line}' for line in told.get(key, ()) if 'not long before the attempt' not in line and 'counted, the latest' not in line)
        if newer and codes == newer.split():
            self.assertIn('is one that the account had before', text)
            with open(TABLE, encoding='utf-8') as f:
                self.ROWS.append((section, next(line for line in f.read().splitlines() if line.startswith(f'| {name} |'))))
        else:
            self.row(section, name, codes, wanted.split(), text)
        return v

    def explain(self, connector, id):
        done = self.site.run([self.site.program('postern'), 'explain', id, '--account', '--json', '--config', connector.config, '--socket',
                              connector.socket], check=False)
        return done.returncode == 0 and json.loads(done.stdout)

    def forget_rate(self):
        """Thirty questions a minute are a person's pace."""
        for c in self.site.connectors.values():
            path = os.path.join(c.state, 'account-asked')
            if os.path.exists(path):
                os.unlink(path)

    # ---- an account, read ----

    def account_says(self, section, name, user, wanted, *words):
        self.forget_rate()
        c = self.site.connectors[NORTH]
        done = self.site.run([self.site.program('postern'), 'account', user, '--json', *words, '--config', c.config, '--socket', c.socket], check=False)
        told = json.loads(done.stdout)
        self.assertIn('findings', told, done.stdout + done.stderr)
        # what other tests counted, and that the lab is new, is no fault
        told['findings'] = [f for f in told['findings'] if f['code'] not in ('bad_attempts', 'password_set_before')]
        codes = [f['code'] for f in told['findings']]
        text = '<br>'.join(f"`{f['code']}` {f['text']}" + (f" — *{f['remedy']}*" if 'remedy' in f else '') for f in told['findings'])
        self.row(section, name, codes, wanted.split(), text)

    # ---- a domain controller, checked ----

    def check_says(self, section, name, method, wanted, env=None, connector='', **keys):
        """What `postern check` finds in a configuration of its own."""
        settings = {'realm': LAB['LAB_AD_REALM'], 'netbios': LAB['LAB_AD_NETBIOS'], 'dcs': f"{DC1}@{LAB['LAB_AD_ADDRESS']}", 'ca_file': LAB['LAB_CA'],
                    'methods': method, **({'keytab': self.keytab, 'service_principal': LAB['LAB_AD_SERVICE']} if 'krb5' in method else {}), **keys}
        state = os.path.join(self.top, 'checked')
        shutil.rmtree(state, ignore_errors=True)
        os.mkdir(state, 0o700)
        domain = settings.pop('domain', DOMAIN)
        path = self.file('check.conf', f'[connector]\nname = x\nstate_dir = {state}\nruntime_dir = {state}\nuser_link = daemon\n'
                         f'user_validator = bin\nuser_ledger = nobody\n{connector}[domain {domain}]\n' +
                         ''.join(f'{k} = {v}\n' for k, v in settings.items() if v is not None))
        done = subprocess.run([self.site.program('postern'), 'check', '--json', '--config', path], capture_output=True, text=True, check=False,
                              timeout=300, env={**os.environ, **(env or {})})
        bad = [s for s in json.loads(done.stdout)['steps'] if s['result'] in ('warning', 'failed') and s['step'] not in ('start', 'daemon') or
               s.get('code') == 'start_refused']
        codes = [s.get('code', s['step']) for s in bad]
        text = '<br>'.join(f"`{s.get('code', s['step'])}` {s['text']}" + (f" — *{s['remedy']}*" if s.get('remedy') else '') for s in bad)
        self.row(section, name, sorted(set(codes)), sorted(wanted.split()), text)

    # ---- the faults ----

    def test_1_states(self):
        section = 'The account, its password being right'
        for label, codes in STATES.items():
            user, password, _ = self.account(label)
            for connector, way, code in zip((NORTH, SOUTH), ('LDAP', 'Kerberos'), codes):
                if code:
                    self.explained(section, f'{WHAT[label]}, by {way}', connector, user, password, code)

    def test_2_passwords(self):
        section = 'The password is refused, and why'
        good, password, _ = self.account('GOOD1')
        self.explained(section, 'it is wrong, by LDAP; the name was never seen', NORTH, good, WRONG, 'wrong_password')
        self.assertEqual(self.site.sign_in(good, password, NORTH)[0], 0)
        self.explained(section, 'it is wrong, by LDAP; the name was accepted before', NORTH, good, WRONG + '2', 'wrong_password')
        self.explained(section, 'it is the same wrong one again', NORTH, good, WRONG + '2', 'wrong_password guard_repeat')
        self.explained(section, 'it is wrong, by Kerberos', SOUTH, self.account('GOOD2')[0], WRONG, 'wrong_password')
        self.explained(section, 'there is no such account, by LDAP', NORTH, f'nobody-here@{DOMAIN}', WRONG, 'wrong_password account_none')
        self.explained(section, 'there is no such account, by Kerberos', SOUTH, f'nobody-there@{DOMAIN}', WRONG, 'unknown_user account_none')
        self.explained(section, "the name is also another account's (UPN twin), by LDAP", NORTH, LAB['LAB_TWIN_B_UPN'], LAB['LAB_TWIN_B_PASSWORD'],
                       'wrong_password account_twin')
        self.explained(section, 'the account must use a smart card, by LDAP', NORTH, *self.account('SMARTCARD')[:2], 'wrong_password smartcard_only')
        self.explained(section, 'it is one that the account had before, by Kerberos', SOUTH, LAB['LAB_PREVIOUS_UPN'], LAB['LAB_PREVIOUS_PREVIOUS_PASSWORD'],
                       'wrong_password', 'wrong_password password_previous')  # one of 4.22 does not count it, as Windows does not
        self.explained(section, 'the domain of the name is none of ours', NORTH, 'good1@elsewhere.test', WRONG, 'unknown_domain')
        self.explained(section, 'the domain of the name has a typing mistake', NORTH, 'good1@corp.exmaple', WRONG, 'unknown_domain domain_mistyped')
        self.explained(section, 'it is empty', NORTH, good, '', 'empty_password')

    def test_3_accounts(self):
        section = 'The account, as `postern account` reads it'
        for label, code in ACCOUNT.items():
            self.account_says(section, WHAT.get(label, "has a name that is another's, too"), LAB[f'LAB_{label}_UPN'], code)
        self.account_says(section, 'does not exist', f'nobody@{DOMAIN}', 'account_none')

    def test_4_domain_controllers(self):
        section = 'A domain controller'
        self.check_says(section, 'is well, by LDAP and Kerberos', 'ldap, krb5', '')
        self.check_says(section, 'has a certificate of another CA', 'ldap', 'certificate_unknown_ca no_dc_usable', ca_file=LAB['LAB_OTHER_CA'])
        self.check_says(section, 'has a certificate that does not name the host of dcs', 'ldap', 'certificate_other_host no_dc_usable',
                        dcs=f"web.{DOMAIN}@{LAB['LAB_AD_ADDRESS']}", dc_identity='list')
        self.check_says(section, 'has a certificate that does not name the domain', 'ldap', 'certificate_other_domain no_dc_usable', domain='other.example',
                        netbios='OTHER', realm=None)
        self.check_says(section, 'has another key than the pinned one', 'ldap', 'certificate_not_pinned no_dc_usable', dc_identity='pin', pins='A' * 43)
        self.check_says(section, 'is asked at its LDAP port for LDAPS', 'ldap', 'port_without_tls no_dc_usable', ldaps_port=389)
        self.check_says(section, "is asked at a port that is not the KDC's", 'krb5', 'dc_refused no_dc_usable', kdc_port=636)
        self.check_says(section, 'is not there', 'ldap', 'dc_refused no_dc_usable', dcs=f'{DC1}@127.0.0.254')
        self.check_says(section, 'names another SID than the configuration', 'ldap', 'sid_differs', domain_sid='S-1-5-21-7-8-9')
        for seconds, code in ((-600, 'dc_clock_ahead'), (600, 'dc_clock_behind')):
            env = lab_clock.Clock(os.path.join(self.top, 'clock'), seconds).environment(lab_clock.library(self.site.build))
            self.check_says(section, f"has a clock that is 10 min {'ahead' if seconds < 0 else 'behind'}, by LDAP", 'ldap', code, env=env)
            self.check_says(section, f"has a clock that is 10 min {'ahead' if seconds < 0 else 'behind'}, by Kerberos", 'krb5', code, env=env)
            self.check_says(section, f"and another have clocks that are 10 min {'ahead' if seconds < 0 else 'behind'}", 'ldap', code, env=env,
                            dcs=f"{DC1}@{LAB['LAB_AD_ADDRESS']}, {DC2}@{LAB['LAB_AD2_ADDRESS']}")

    def hang(self, pid, signo):
        os.killpg(os.getpgid(pid), signo) if os.getpgid(pid) == pid else os.kill(pid, signo)

    def test_5_a_hung_domain_controller(self):
        """SIGSTOP: its ports are open, and nobody answers."""
        section = 'A domain controller'
        pid = int(LAB['LAB_AD_PID'])
        self.hang(pid, signal.SIGSTOP)
        try:
            self.check_says(section, 'hangs, by LDAP', 'ldap', 'dc_tls_timeout no_dc_usable')
            self.check_says(section, 'hangs, by Kerberos', 'krb5', 'dc_timeout no_dc_usable')
            self.check_says(section, 'hangs, and another does not', 'ldap', 'dc_tls_timeout',
                            dcs=f"{DC1}@{LAB['LAB_AD_ADDRESS']}, {DC2}@{LAB['LAB_AD2_ADDRESS']}")
        finally:
            self.hang(pid, signal.SIGCONT)
        self.site.connectors[NORTH].wait_ready()
        self.site.connectors[SOUTH].wait_ready()

    def ktutil(self, name, principal, number, password='not the password'):
        path = os.path.join(self.top, name)
        if os.path.exists(path):
            os.unlink(path)
        subprocess.run(['ktutil'], input=f'addent -password -p {principal} -k {number} -e aes256-cts\n{password}\nwkt {path}\nq\n', text=True,
                       check=True, timeout=60, stdout=subprocess.DEVNULL)
        os.chmod(path, 0o600)
        return path

    def key_number(self):
        done = subprocess.run(['klist', '-k', LAB['LAB_AD_KEYTAB'].removeprefix('FILE:')], capture_output=True, text=True, check=True)
        return max(int(n) for n in re.findall(r'^ *(\d+) ', done.stdout, re.M))

    def test_6_keytabs(self):
        """The connector's keytab is exchanged for one that does not fit, and a sign-in shows what is wrong with it."""
        section = "The connector's keytab"
        south = self.site.connectors[SOUTH]
        with open(south.config, encoding='utf-8') as f:
            before = f.read()
        user, password, _ = self.account('GOOD5')
        service, number = f"{LAB['LAB_AD_SERVICE']}@{LAB['LAB_AD_REALM']}", self.key_number()
        for name, wanted, keytab in (
                ('has the keys from before its account got a new password', 'kdc_not_verified keytab_old_key', self.ktutil('old', service, number - 1 or 99)),
                ('has another key of the right number', 'kdc_not_verified keytab_wrong_key', self.ktutil('wrong', service, number))):
            self.use_keytab(south, before, keytab)
            self.explained(section, name, SOUTH, user, password, wanted)
        self.use_keytab(south, before, None)
        self.assertEqual(self.site.sign_in(user, password, SOUTH)[0], 0)
        self.check_says(section, 'is of another principal', 'krb5', 'domain_unfit start_refused',
                        keytab=self.ktutil('other', f"host/another.{DOMAIN}@{LAB['LAB_AD_REALM']}", 1))

    def use_keytab(self, connector, config, keytab):
        with open(connector.config, 'w', encoding='utf-8') as f:
            f.write(re.sub(r'(?m)^keytab = .*$', f'keytab = {keytab}', config) if keytab else config)
        connector.daemon.stop()
        connector.start()
        connector.wait_ready()

    def test_9_table(self):
        """Last: what was said of all of them."""
        text = HEAD
        for section in dict.fromkeys(s for s, _ in self.ROWS):
            text += f'\n## {section}\n\n| fault | what is said |\n|---|---|\n' + ''.join(r + '\n' for s, r in self.ROWS if s == section)
        if WRITE:
            with open(TABLE, 'w', encoding='utf-8') as f:
                f.write(text)
        self.assertTrue(not self.faults, '\n' + '\n'.join(self.faults))
        with open(TABLE, encoding='utf-8') as f:
            self.assertEqual(f.read(), text, 'SAMBA-FAULTS.md is made anew by test_helpdesk.py BUILD --write')


if __name__ == '__main__':
    main()
