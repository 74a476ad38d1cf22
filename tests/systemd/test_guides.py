"""From the packages to a sign-in, by README.md and the guides in queue/gateway as they stand: their files are written and their commands run
in a booted Debian that has nothing else, and a real Samba domain controller decides. What each must show: the right password is accepted,
a wrong one is refused and counts once.

usage: test_guides.py BUILD [TEST]...
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

import pages
from machine import Machine
from test_booted import certificates

BUILD = os.path.abspath(sys.argv.pop(1))
LAB = os.path.join(pages.ROOT, 'tests', 'lab', 'lab')
DEBS = ['postern', 'postern-connector', 'postern-relay', 'postern-gateway', 'libpam-postern']
GUIDES = [f'queue/gateway/{name}.md' for name in ('FORWARD', 'APACHE', 'DOVECOT', 'RADIUS', 'SASLAUTHD', 'LDAP', 'PAM')]
RELAY = 'relay.example'
PASSPHRASE = 'correct horse battery staple\n'
APPLICATION = '''
import http.server
class Application(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{self.headers['X-Postern-User-Domain']} {self.headers['X-Postern-User-Id']}".encode())
    def log_message(self, *args):
        pass
http.server.ThreadingHTTPServer(('127.0.0.1', 8082), Application).serve_forever()
'''


def wait_for(what, run, seconds=180):
    """Runs a command until it succeeds, as somebody does who was told to try again."""
    deadline = time.monotonic() + seconds
    while (done := run()).returncode != 0:
        if time.monotonic() > deadline:
            raise AssertionError(f'{what}: {done.stdout}{done.stderr}')
        time.sleep(0.2)


class Guides(unittest.TestCase):
    """The tests share one machine and run in the order of their names."""
    ready = False  # README.md was followed to its end

    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix='postern-guides-')
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)
        more = {name for page in GUIDES for name in pages.installs(pages.text_of(page))} | {'curl'}
        cls.m = Machine(BUILD, os.path.join(cls.top, 'boot.log'), more)
        cls.addClassCleanup(cls.m.close)
        cls.packages()
        cls.lab = cls.domain()
        cls.known = {}
        cls.used = 0

    @classmethod
    def packages(cls):
        """`apt install FOLDER/postern_*.deb …`; apt has no network, so what they depend on is what the libraries say."""
        debs = os.environ.get('POSTERN_DEBS')
        if not debs:
            debs = os.path.join(cls.top, 'debs')
            done = subprocess.run([os.path.join(pages.ROOT, 'connector/packaging/deb.sh'), debs], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        for path in glob.glob(os.path.join(debs, '*.deb')):
            shutil.copy(path, f'{cls.m.root}/root/')
        cls.m.run('sh', '-ec', 'cd /root; DEBIAN_FRONTEND=noninteractive apt-get install -qy ' + ' '.join(f'./{name}_*.deb' for name in DEBS))

    @classmethod
    def there(cls, *argv, **more):
        """A program of this host, in the machine's network: the domain, an application, a browser."""
        return subprocess.Popen(['nsenter', '-t', str(cls.m.leader), '-n', '--', *argv], text=True, **more)

    @classmethod
    def domain(cls):
        """A Samba domain controller in the machine's network; it ends with this process. Its LAB_ variables."""
        lab = cls.there(LAB, 'run', '--with', 'samba', '--', 'sh', '-c', 'env | grep ^LAB_; echo; exec cat',
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        cls.addClassCleanup(lambda: (lab.stdin.close(), lab.stdout.close(), lab.wait(60)))
        found = {}
        while (line := lab.stdout.readline().rstrip('\n')):
            name, value = line.split('=', 1)
            found[name] = value
        assert 'LAB_GOOD1_UPN' in found, found
        application = cls.there('/usr/bin/python3', '-c', APPLICATION, stdin=subprocess.DEVNULL)
        cls.addClassCleanup(application.wait)
        cls.addClassCleanup(application.terminate)
        return found

    def bad_passwords(self, sam):
        with self.there(LAB, 'badpwdcount', '--dir', self.lab['LAB_DIR'], sam, stdout=subprocess.PIPE) as asked:
            return int(asked.stdout.read())

    # -- what a reader does --
    def run_line(self, line, stdin='', check=True):
        """A command of a page, as root in /root."""
        return self.m.run('sh', '-ec', 'export HOME=/root; cd; ' + line, check=check, stdin=stdin)

    def write(self, path, text):
        self.m.run('sh', '-ec', 'cat >"$1"', '-', path, stdin=text)

    def add_settings(self, text):
        """Lines of a page into gateway.conf: a key that is there once gets the new value."""
        have = self.m.run('cat', pages.GATEWAY_CONF).stdout
        for line in text.splitlines():
            key = line.split(' = ')[0]
            if key == 'listen' or not re.search(rf'(?m)^{key} = ', have):
                have += '' if line in have else line + '\n'
            else:
                have = re.sub(rf'(?m)^{key} = .*', line, have)
        self.write(pages.GATEWAY_CONF, have)

    def take(self, step, typed=''):
        """One step of a page: a file is written, or a command run and what it printed noted. typed: what it asks for."""
        if step[0] == 'write':
            if step[1] == pages.GATEWAY_CONF:
                self.add_settings(step[2])
            else:
                self.write(step[1], step[2])
            return
        said = self.run_line(step[1], typed).stdout
        for word, pattern in (('PIN', r'Pin .*?\n\n  (\S{43})\n'), ('FINGERPRINT', r'(?:fingerprint|tenant approve north) +(\S{43})'), ('admin', r'admin secret +(\S+)'),
                              ('service', r'service secret +(\S+)')):
            found = re.search(pattern, said, re.S)
            self.known[word] = found[1] if found else self.known.get(word)
        if step[1].startswith('postern-relay token'):
            self.known['token'] = said

    def guide(self, text, here=lambda text: text):
        """Each step of a guide, with this site's names for the page's."""
        for step in pages.steps(text):
            self.take((*step[:-1], here(step[-1])))

    def door(self, ask, accepted, refused):
        """The right password of an account is accepted, and a wrong one refused; it counts once."""
        type(self).used += 1
        user, password, sam = (self.lab[f'LAB_GOOD{self.used}_{what}'] for what in ('UPN', 'PASSWORD', 'SAM'))
        self.assertEqual(ask(user, password), accepted)
        before = self.bad_passwords(sam)
        self.assertEqual(ask(user, f'Wrong-{self.used}'), refused)
        self.assertEqual(self.bad_passwords(sam), before + 1)

    # -- README.md, the steps of "Use it" --
    def for_here(self, step):
        """The values of this site in the place of the page's."""
        if step[0] == 'run':
            return 'run', re.sub(r'\b(PIN|FINGERPRINT)\b', lambda word: self.known[word[0]], step[1])
        # there is no DNS here
        more = f"dcs = {self.lab['LAB_AD_HOST']}@{self.lab['LAB_AD_ADDRESS']}\n" if step[1] == '/etc/postern/postern.conf' else ''
        return *step[:2], step[2] + more

    def prepared(self):
        """What the page tells its reader to have: certificates, and a relay whose name is found."""
        files = certificates(self.top, f'DNS:{RELAY}')
        self.write('/etc/hosts', f'127.0.0.1 localhost {RELAY}\n')
        self.write('/usr/local/share/ca-certificates/relay-ca.crt', files['ca.pem'])
        self.m.run('update-ca-certificates')
        for name in ('relay.pem', 'relay.key'):
            self.m.write(f'/etc/postern-relay/{name}', files[name], 0o640, 'postern-relay')
        with open(self.lab['LAB_CA'], encoding='ascii') as f:
            self.m.write('/etc/postern/dc-ca.pem', f.read(), 0o644)

    def test_1_readme(self):
        self.prepared()
        typed = {'postern tenant': lambda: PASSPHRASE, 'postern enroll': lambda: self.known['token'], 'postern service': lambda: self.known['service']}
        for step in map(self.for_here, pages.steps(pages.text_of('README.md', 'Use it'))):
            words = ' '.join(step[1].split()[:2])
            if step[1].startswith('postern tenant approve '):
                self.write('/root/admin.secret', self.known['admin'] + '\n')
                wait_for(step[1], lambda s=step: self.run_line(s[1], PASSPHRASE, check=False))
                continue
            if step[1].startswith('postern tenant approve-service'):
                self.run_line('cp /etc/postern-gateway/service/service.pub.json .')
            self.take(step, typed[words]() if words in typed else '')
        wait_for('the gateway can decide', lambda: self.run_line('postern-gateway status', check=False))
        self.assertIn('well', self.run_line('postern status').stdout)

        type(self).ready = True

    def setUp(self):
        if not self.ready and 'readme' not in self.id():
            self.skipTest('README.md could not be followed')

    def test_2_a_gateway_is_made_once_and_with_all_that_it_needs(self):
        line = f'postern service init other --gateway --relay https://{RELAY}'
        self.assertIn('is never overwritten', self.run_line(line, check=False).stderr)
        self.run_line('mv /etc/postern-gateway/service .')
        try:
            self.assertIn('--gateway needs --tenant', self.run_line(line, check=False).stderr)
            line += ' --tenant contoso --pin ' + self.known['PIN']
            self.assertIn('the service secret is empty', self.run_line(line, check=False).stderr)
            self.assertIn('/nowhere', self.run_line(line + ' --secret-file /nowhere', check=False).stderr)
            self.m.run('test', '!', '-e', '/etc/postern-gateway/service')
            # a secret that is none; gateway.conf stays
            before = self.run_line('cat /etc/postern-gateway/gateway.conf').stdout
            self.assertIn('was there and stays', self.run_line(line, 'x' * 43 + '\n').stdout)
            self.assertEqual(self.run_line('cat /etc/postern-gateway/gateway.conf').stdout, before)
            self.run_line('systemctl restart postern-gateway')
            wait_for('the gateway says why', lambda: self.run_line('postern-gateway status | grep "refuses the service secret"', check=False))
        finally:
            self.run_line('rm -rf /etc/postern-gateway/service; mv service /etc/postern-gateway/; systemctl restart postern-gateway')
        wait_for('the gateway can decide', lambda: self.run_line('postern-gateway status', check=False))

    def test_3_nginx_by_three_commands_and_one_file(self):
        page = pages.text_of('queue/gateway/FORWARD.md', 'nginx')
        gateway = re.search(r'(?s)^\*\*5\. .*?\Z', pages.text_of('README.md', 'Use it'), re.M)[0]
        kinds = [step[0] for step in [*pages.steps(gateway), *pages.steps(page)]]
        self.assertEqual((kinds.count('run'), kinds.count('write')), (3, 1))
        self.m.run('systemctl', 'start', 'nginx')
        self.guide(page)

        self.door(self.http('http://127.0.0.1:8081/'), '200', '401')
        self.m.run('systemctl', 'stop', 'nginx')

    def http(self, url):
        """What asks a page by HTTP: a function of user and password to the status."""
        return lambda user, password: self.m.run('curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '-K', '-', url,
                                                 stdin=f'user = "{user}:{password}"\n').stdout

    def test_4_apache(self):
        self.m.run('systemctl', 'start', 'apache2')
        self.guide(pages.text_of('queue/gateway/APACHE.md'))
        self.door(self.http('http://127.0.0.1/'), '200', '401')
        self.m.run('systemctl', 'stop', 'apache2')

    def test_5_dovecot(self):
        self.m.run('systemctl', 'start', 'dovecot')
        page = pages.text_of('queue/gateway/DOVECOT.md')
        old = '2.3.' in self.m.run('dovecot', '--version').stdout
        self.guide(page[:page.index('## ')] + pages.text_of('queue/gateway/DOVECOT.md', 'Dovecot 2.3 (Debian 12)' if old else 'Dovecot 2.4 (Debian 13)'))

        def mailbox(user, password):
            asked = self.m.run('curl', '-s', '-K', '-', 'imap://127.0.0.1/INBOX', stdin=f'user = "{user}:{password}"\n', check=False)
            return asked.returncode
        self.door(mailbox, 0, 67)  # CURLE_LOGIN_DENIED

    def test_6_freeradius(self):
        self.m.run('systemctl', 'start', 'freeradius')
        self.guide(pages.text_of('queue/gateway/RADIUS.md'))

        def ask(user, password):
            self.write('/root/question', f'User-Name = "{user}", User-Password = "{password}"\n')
            said = self.run_line('radclient -x -f question 127.0.0.1 auth testing123', check=False)
            return re.findall(r'Received (Access-\w+)', said.stdout)
        self.door(ask, ['Access-Accept'], ['Access-Reject'])

    def test_7_openldap(self):
        # on this host the domain controller has port 389 of another address
        self.m.run('sed', '-i', 's,^SLAPD_SERVICES=.*,SLAPD_SERVICES="ldap://127.0.0.1/ ldapi:///",', '/etc/default/slapd')
        self.m.run('systemctl', 'start', 'slapd')
        self.guide(pages.text_of('queue/gateway/SASLAUTHD.md'))
        self.door(lambda user, password: self.run_line(f"testsaslauthd -f /run/postern-gateway/saslauthd -u '{user}' -p '{password}'", check=False).stdout.split()[1],
                  'OK', 'NO')
        user = self.lab[f'LAB_GOOD{self.used + 1}_UPN']
        self.m.run('systemctl', 'stop', 'slapd')
        self.m.run('runuser', '-u', 'openldap', '--', 'slapadd', '-F', '/etc/ldap/slapd.d', '-b', 'dc=nodomain',
                   stdin=f'dn: cn=alice,dc=nodomain\nobjectClass: person\ncn: alice\nsn: alice\nuserPassword: {{SASL}}{user}\n')
        self.m.run('systemctl', 'start', 'slapd')
        self.door(lambda _, password: self.m.run('ldapwhoami', '-x', '-H', 'ldap://127.0.0.1', '-D', 'cn=alice,dc=nodomain', '-y', '/dev/stdin', stdin=password, check=False).stdout,
                  'dn:cn=alice,dc=nodomain\n', '')
        self.m.run('systemctl', 'stop', 'slapd')

    def test_8_ldap_front(self):
        self.guide(pages.text_of('queue/gateway/LDAP.md'))

        def entry(user, password):
            asked = self.m.run('ldapsearch', '-x', '-LLL', '-H', 'ldap://127.0.0.1:3389', '-D', user, '-y', '/dev/stdin', '-b', 'dc=corp,dc=example',
                               stdin=password, check=False)
            return asked.returncode, asked.stdout.count('posternUserId: ')
        self.door(entry, (0, 1), (49, 0))

    def test_9_pam_and_ssh(self):
        sam = self.lab[f'LAB_GOOD{self.used + 1}_SAM']
        self.m.run('systemctl', 'start', 'ssh')
        self.guide(pages.text_of('queue/gateway/PAM.md'), lambda text: text.replace('alice', sam))
        self.door(lambda _, password: self.m.run('pamtester', 'sshd', sam, 'authenticate', 'acct_mgmt', stdin=password + '\n', check=False).returncode, 0, 1)
        self.door(self.ssh, (0, 'in\n'), (255, ''))
        self.m.run('useradd', '--create-home', 'local')
        self.m.run('chpasswd', stdin='local:a local password\n')
        self.assertEqual(self.ssh('local', 'a local password'), (0, 'in\n'))

    def ssh(self, user, password):
        """Keyboard-interactive, on this host's ssh as Debian starts it."""
        user = user.split('@')[0]
        if user != 'local':
            self.m.run('useradd', '--create-home', user, check=False)
        self.m.write('/root/askpass', f"#!/bin/sh\nprintf '%s\\n' '{password}'\n", 0o700)
        done = self.run_line('SSH_ASKPASS=/root/askpass SSH_ASKPASS_REQUIRE=force ssh -o StrictHostKeyChecking=no -o NumberOfPasswordPrompts=1 '
                             f'-o PubkeyAuthentication=no -o LogLevel=ERROR {user}@127.0.0.1 echo in', check=False)
        return done.returncode, done.stdout


if __name__ == '__main__':
    if os.geteuid() != 0:
        raise unittest.SkipTest('booting a systemd needs root')
    unittest.main(verbosity=2)
