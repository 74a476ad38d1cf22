#!/usr/bin/python3
"""Debian's own software in front of the gateway, by the lines of their pages in queue/gateway, on the sandbox: every verdict, no domain.

usage: test_consumers.py BUILD      skips what is not installed (tests/packages.sh --consumers)
"""
import base64
import http.client
import imaplib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'systemd'))
import pages  # noqa: E402
from test_doors import Sandbox, Gateway, wait_for  # noqa: E402


def files(page, heading=None):
    """What a reader would copy into files: path -> text, by the pages' own form (tests/systemd/pages.py)."""
    return {step[1]: step[2] for step in pages.steps(pages.text_of(f'queue/gateway/{page}', heading)) if step[0] == 'write'}


def free_port(kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Consumer(unittest.TestCase):
    SETTINGS = ''

    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix='postern-consumers-')
        cls.addClassCleanup(shutil.rmtree, cls.top)
        os.chmod(cls.top, 0o755)
        cls.site = Sandbox(cls.top)
        cls.addClassCleanup(cls.site.close)
        cls.mux = os.path.join(cls.top, 'mux')
        cls.gateway = Gateway(cls.site, settings=f'listen = saslauthd:{cls.mux} ldap:127.0.0.1:0\nsandbox = yes\nname_failures = 1000\n{cls.SETTINGS}')
        cls.addClassCleanup(lambda: cls.gateway.daemon and cls.gateway.daemon.stop())
        cls.gateway.start()
        with open(cls.gateway.ready_file, encoding='ascii') as f:
            cls.ldap = int(re.search(r'^ldap:127.0.0.1:(\d+)$', f.read(), re.M)[1])

    def asked(self, verdict='accepted'):
        """How many sign-ins ended so, as the gateway counts them; what was remembered is none."""
        return sum(float(line.split()[-1]) for line in self.gateway.get('/metrics')[2].decode().split('\n')
                   if line.startswith(f'postern_gateway_sign_ins_total{{verdict="{verdict}"') and 'remembered' not in line)

    @classmethod
    def serve(cls, name, argv, env=None):
        """Runs a server until the end of the class; its log."""
        log = os.path.join(cls.top, name + '.log')
        with open(log, 'wb') as out:
            process = subprocess.Popen(argv, stdout=out, stderr=out, stdin=subprocess.DEVNULL, env=env, cwd=cls.top)

        def end():
            process.terminate()
            process.wait(60)
        cls.addClassCleanup(end)
        return process, log


    @staticmethod
    def log_of(path):
        with open(path, encoding='utf-8', errors='replace') as f:
            return f.read()[-3000:]


@unittest.skipUnless(shutil.which('testsaslauthd') and shutil.which('slapd'), 'sasl2-bin and slapd are not installed')
class Saslauthd(Consumer):
    def test_testsaslauthd(self):
        for user, password, says in (('ok', 'sandbox', 'OK "Success."'), ('ok', 'wrong', 'NO "authentication failed"'),
                                     ('no-dc', 'sandbox', '')):
            done = subprocess.run(['testsaslauthd', '-f', self.mux, '-u', user, '-p', password, '-r', 'sandbox.invalid', '-s', 'smtp'],
                                  capture_output=True, text=True, timeout=60, check=False)
            self.assertIn(says, done.stdout + done.stderr)
            self.assertEqual('OK' in done.stdout, says.startswith('OK'))

    def test_openldap(self):
        """A bind as an entry with {SASL}, by libsasl2's own configuration. slapd has 49 for every answer but OK, and for none."""
        etc = os.path.join(self.top, 'ldap')  # in the place of /etc/ldap, where Debian's slapd looks
        shutil.copytree('/etc/ldap', etc, ignore=shutil.ignore_patterns('slapd.d'))
        sasl = os.path.join(etc, 'sasl2')
        os.makedirs(sasl, exist_ok=True)
        with open(os.path.join(sasl, 'slapd.conf'), 'w', encoding='ascii') as f:
            f.write(files('SASLAUTHD.md')['/etc/ldap/sasl2/slapd.conf'].replace('/run/postern-gateway/saslauthd', self.mux))
        people = {name: f'{name}@sandbox.invalid' for name in ('ok', 'disabled', 'no-dc')}
        ldif = 'dn: dc=example\nobjectClass: organization\nobjectClass: dcObject\no: x\ndc: example\n\n' + ''.join(
            f'dn: cn={cn},dc=example\nobjectClass: person\ncn: {cn}\nsn: {cn}\nuserPassword: {{SASL}}{user}\n\n' for cn, user in people.items())
        os.mkdir(os.path.join(self.top, 'data'))
        with open(os.path.join(self.top, 'slapd.conf'), 'w', encoding='ascii') as f:
            f.write(f'include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile {self.top}/slapd.pid\n'
                    f'sasl-host localhost\nsasl-secprops none\ndatabase mdb\nsuffix dc=example\ndirectory {self.top}/data\n')
        with open(os.path.join(self.top, 'entries.ldif'), 'w', encoding='ascii') as f:
            f.write(ldif)
        subprocess.run(['slapadd', '-f', f'{self.top}/slapd.conf', '-l', f'{self.top}/entries.ldif'], check=True, capture_output=True, timeout=60)
        url = 'ldapi://' + f'{self.top}/slapd.sock'.replace('/', '%2F')
        process, log = self.serve('slapd', ['unshare', '--mount', '--propagation', 'private', 'sh', '-c',
                                            f"mount --bind {etc} /etc/ldap && exec slapd -d 0 -f {self.top}/slapd.conf -h {url}"])
        wait_for('slapd answers', lambda: process.poll() is not None or
                 subprocess.run(['ldapwhoami', '-x', '-H', url], capture_output=True, timeout=60, check=False).returncode == 0)
        self.assertIsNone(process.poll(), self.log_of(log))
        for cn, password, code in (('ok', 'sandbox', 0), ('ok', 'wrong', 49), ('disabled', 'sandbox', 49), ('no-dc', 'sandbox', 49)):
            done = subprocess.run(['ldapwhoami', '-x', '-H', url, '-D', f'cn={cn},dc=example', '-w', password], capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual(done.returncode, code, f'{cn} {password}: {done.stdout}{done.stderr}{self.log_of(log)}')


@unittest.skipUnless(shutil.which('freeradius') and os.path.exists('/usr/lib/freeradius/rlm_rest.so'), 'freeradius-rest is not installed')
class Radius(Consumer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.port = free_port()
        rest, site = (files('RADIUS.md')[f'/etc/freeradius/3.0/{file}'].replace('127.0.0.1:8480', f'127.0.0.1:{cls.gateway.port}').replace(
            'ipaddr = *', 'ipaddr = 127.0.0.1').replace('port = 1812', f'port = {cls.port}') for file in ('mods-available/rest', 'sites-available/postern'))
        folder = os.path.join(cls.top, 'raddb')
        os.mkdir(folder)
        with open(os.path.join(folder, 'radiusd.conf'), 'w', encoding='ascii') as f:
            f.write(f'libdir = /usr/lib/freeradius\nlogdir = {cls.top}\nrun_dir = {cls.top}\nmax_request_time = 30\n'
                    'security {\nallow_vulnerable_openssl = yes\n}\n'
                    f'client localhost {{\nipaddr = 127.0.0.1\nsecret = testing123\nrequire_message_authenticator = no\n}}\n'
                    f'modules {{\n{rest}\nalways handled {{\nrcode = handled\n}}\n}}\n'
                    'policy {\n$INCLUDE /etc/freeradius/3.0/policy.d/control\n}\n'
                    f'{site}')
        cls.process, cls.radius_log = cls.serve('radius', ['freeradius', '-f', '-l', 'stdout', '-xx', '-d', folder])
        wait_for('FreeRADIUS is ready', lambda: cls.process.poll() is not None or 'Ready to process requests' in cls.said())
        if cls.process.poll() is not None:
            raise AssertionError(cls.said()[-3000:])

    @classmethod
    def said(cls):
        with open(cls.radius_log, encoding='utf-8', errors='replace') as f:
            return f.read()

    def ask(self, user, password, retries='1', wait='30'):
        done = subprocess.run(['radclient', '-x', '-r', retries, '-t', wait, f'127.0.0.1:{self.port}', 'auth', 'testing123'],
                              input=f'User-Name = "{user}", User-Password = "{password}"\n', capture_output=True, text=True, timeout=120, check=False)
        found = re.search(r'Received (Access-\w+)', done.stdout)
        return found[1] if found else 'nothing'

    def test_verdicts(self):
        for user, password, said in (('ok@sandbox.invalid', 'sandbox', 'Access-Accept'), ('ok', 'sandbox', 'Access-Accept'),
                                     ('ok@sandbox.invalid', 'wrong', 'Access-Reject'), ('disabled@sandbox.invalid', 'sandbox', 'Access-Reject'),
                                     ('locked@sandbox.invalid', 'sandbox', 'Access-Reject')):
            self.assertEqual(self.ask(user, password), said, f'{user} {password}\n{self.said()[-3000:]}')

    def test_infrastructure_is_not_answered(self):
        self.assertEqual(self.ask('no-dc@sandbox.invalid', 'sandbox', wait='5'), 'nothing', self.said()[-3000:])
        self.assertEqual(self.ask('ok@sandbox.invalid', 'sandbox'), 'Access-Accept')


@unittest.skipUnless(os.path.exists('/usr/lib/apache2/modules/mod_authnz_ldap.so'), 'apache2 is not installed')
class Apache(Consumer):
    SETTINGS = 'remember_s = 30\n'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        page = files('APACHE.md')['/etc/apache2/conf-available/postern.conf'].replace('127.0.0.1:3389', f'127.0.0.1:{cls.ldap}')
        cls.port = free_port(socket.SOCK_STREAM)
        cls.conf = os.path.join(cls.top, 'apache.conf')
        root = os.path.join(cls.top, 'htdocs')
        os.mkdir(root)
        # mod_cgid and the like are not needed to see what the application hears: the log has its environment
        with open(os.path.join(root, 'index.html'), 'w', encoding='ascii') as f:
            f.write('the application\n')
        modules = ''.join(f'LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n' for m in (
            'mpm_event', 'authn_core', 'authz_core', 'authz_user', 'auth_basic', 'ldap', 'authnz_ldap', 'dir', 'mime'))
        with open(cls.conf, 'w', encoding='ascii') as f:
            f.write(f'{modules}ServerRoot {cls.top}\nServerName localhost\nListen 127.0.0.1:{cls.port}\nPidFile {cls.top}/apache.pid\nErrorLog {cls.top}/apache-error.log\n'
                    f'Mutex file:{cls.top} default\nTypesConfig /etc/mime.types\nDocumentRoot {root}\nUser www-data\nGroup www-data\n'
                    f'LogFormat "%u %{{AUTHENTICATE_POSTERNUSERDOMAIN}}e %{{AUTHENTICATE_POSTERNUSERID}}e" who\nCustomLog {cls.top}/who.log who\n{page}')
        cls.process, cls.apache_log = cls.serve('apache', ['/usr/sbin/apache2', '-D', 'FOREGROUND', '-f', cls.conf])
        wait_for('Apache answers', lambda: cls.process.poll() is not None or cls.get() == 401)
        if cls.process.poll() is not None:
            raise AssertionError(cls.log_of(cls.apache_log))

    @classmethod
    def get(cls, user=None, password=''):
        conn = http.client.HTTPConnection('127.0.0.1', cls.port, timeout=60)
        pair = base64.b64encode(f'{user}:{password}'.encode()).decode()
        try:
            conn.request('GET', '/', headers={'Authorization': f'Basic {pair}'} if user else {})
            return conn.getresponse().status
        except ConnectionRefusedError:
            return 0
        finally:
            conn.close()

    def test_verdicts(self):
        for user, password, status in (('ok@sandbox.invalid', 'sandbox', 200), ('ok', 'sandbox', 200), ('SANDBOX\\ok', 'sandbox', 200), ('ok@sandbox.invalid', 'wrong', 401),
                                       ('disabled@sandbox.invalid', 'sandbox', 401), ('nobody@sandbox.invalid', 'x', 401), ('ok@sandbox.invalid', '', 401),
                                       ('no-dc@sandbox.invalid', 'sandbox', 500), ('outcome-unknown@sandbox.invalid', 'sandbox', 500)):
            with self.subTest(user=user, password=password):
                self.assertEqual(self.get(user, password), status, self.log_of(os.path.join(self.top, 'apache-error.log')))
        with open(os.path.join(self.top, 'who.log'), encoding='ascii') as f:
            self.assertRegex(f.read(), r'(?m)^ok@sandbox.invalid corp.sandbox.invalid S-1-5-21-[0-9-]+$')

    def test_what_it_costs(self):
        """A wrong password is asked once, and so is what nobody may repeat; repetitions of the right one are remembered."""
        for user, password, verdict in (('ok@sandbox.invalid', 'wrong again', 'refused'), ('outcome-unknown@sandbox.invalid', 'again', 'unavailable')):
            before = self.asked(verdict)
            self.assertIn(self.get(user, password), (401, 500))
            self.assertEqual(self.asked(verdict) - before, 1, user)
        with open(self.gateway.log, encoding='utf-8') as f:
            before = f.read().count('remembered=1')
        self.assertEqual([self.get('ok@sandbox.invalid', 'sandbox') for _ in range(3)], [200] * 3)
        with open(self.gateway.log, encoding='utf-8') as f:
            self.assertGreaterEqual(f.read().count('remembered=1') - before, 5)  # of six binds


@unittest.skipUnless(shutil.which('dovecot') and os.path.exists('/usr/lib/dovecot/modules/auth/libauthdb_ldap.so') and os.geteuid() == 0,
                     'dovecot-ldap and dovecot-imapd are not installed, or this is not root')
class Dovecot(Consumer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        ldap, site = (files('DOVECOT.md', 'Dovecot 2.3 (Debian 12)')[f'/etc/dovecot/{file}'] for file in ('dovecot-ldap.conf.ext', 'local.conf'))
        cls.port = free_port(socket.SOCK_STREAM)
        conf, ext = os.path.join(cls.top, 'dovecot.conf'), os.path.join(cls.top, 'dovecot-ldap.conf.ext')
        with open(ext, 'w', encoding='ascii') as f:
            f.write(ldap.replace('127.0.0.1:3389', f'127.0.0.1:{cls.ldap}'))
        os.mkdir(os.path.join(cls.top, 'mail'), 0o777)
        os.chmod(os.path.join(cls.top, 'mail'), 0o777)
        site = site.replace('/etc/dovecot/dovecot-ldap.conf.ext', ext).replace('uid=vmail gid=vmail home=/srv/vmail', f'uid=mail gid=mail home={cls.top}/mail')
        with open(conf, 'w', encoding='ascii') as f:
            f.write(f'base_dir = {cls.top}/run\nstate_dir = {cls.top}/state\nlog_path = {cls.top}/dovecot.log\nprotocols = imap\nssl = no\ndisable_plaintext_auth = no\n'
                    f'first_valid_uid = 1\nlisten = 127.0.0.1\nauth_failure_delay = 0\n'
                    f'service imap-login {{\ninet_listener imap {{\nport = {cls.port}\n}}\ninet_listener imaps {{\nport = 0\n}}\n}}\n{site}')
        cls.process, cls.dovecot_log = cls.serve('dovecot', ['dovecot', '-F', '-c', conf])

        def up():
            with socket.socket() as s:
                return cls.process.poll() is not None or s.connect_ex(('127.0.0.1', cls.port)) == 0
        wait_for('Dovecot listens', up)
        if cls.process.poll() is not None:
            raise AssertionError(cls.log_of(cls.dovecot_log))

    def test_verdicts(self):
        for user, password, said in (('ok@sandbox.invalid', 'sandbox', 'OK'), ('ok@sandbox.invalid', 'wrong', 'AUTHENTICATIONFAILED'),
                                     ('disabled@sandbox.invalid', 'sandbox', 'AUTHENTICATIONFAILED'), ('no-dc@sandbox.invalid', 'sandbox', 'UNAVAILABLE'),
                                     ('outcome-unknown@sandbox.invalid', 'sandbox', 'UNAVAILABLE')):
            with self.subTest(user=user, password=password):
                before = self.asked('refused')
                mail = imaplib.IMAP4('127.0.0.1', self.port, timeout=60)
                try:
                    got = mail.login(user, password)[0]
                except imaplib.IMAP4.error as e:
                    got = str(e)
                self.assertIn(said, got, self.log_of(os.path.join(self.top, 'dovecot.log')))
                if said == 'AUTHENTICATIONFAILED':
                    self.assertEqual(self.asked('refused') - before, 1)
                mail.shutdown()


@unittest.skipUnless(shutil.which('ldapsearch'), 'ldap-utils is not installed')
class Grafana(Consumer):
    def test_the_contract(self):
        """What Grafana does with the page's ldap.toml: a bind by bind_dn and, on that connection, the search for the entry."""
        page = files('GRAFANA.md')['/etc/grafana/ldap.toml']

        def value(key):
            return re.search(rf'^{key} = \[?"(.*?)"', page, re.M)[1]
        login = 'ok@sandbox.invalid'
        done = subprocess.run(['ldapsearch', '-x', '-LLL', '-o', 'ldif-wrap=no', '-H', f'ldap://127.0.0.1:{self.ldap}', '-D', value('bind_dn').replace('%s', login),
                               '-w', 'sandbox', '-b', value('search_base_dns'), value('search_filter').replace('%s', login),
                               *(value(key) for key in ('username', 'name', 'surname', 'email', 'member_of'))],
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r'^dn: posternUserId=S-1-5-21-[0-9-]+,dc=corp,dc=sandbox,dc=invalid\n')
        self.assertIn('userPrincipalName: ok@sandbox.invalid\n', done.stdout)
        self.assertEqual(done.stdout.count('dn: '), 1)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
