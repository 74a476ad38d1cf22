#!/usr/bin/python3
"""Debian's own software in front of the gateway, by the lines of SASLAUTHD.md and RADIUS.md, on the sandbox: every verdict, no domain.

usage: test_consumers.py BUILD      skips what is not installed (tests/packages.sh --consumers)
"""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_doors import HERE, Sandbox, Gateway, wait_for  # noqa: E402

PAGES = os.path.join(HERE, '..', '..', '..', 'queue', 'gateway')


def blocks(page):
    """The blocks of code of a page: what a reader would copy."""
    with open(os.path.join(PAGES, page), encoding='utf-8') as f:
        return re.findall(r'```\w*\n(.*?)```', f.read(), re.S)


def free_port(kind=socket.SOCK_DGRAM):
    with socket.socket(socket.AF_INET, kind) as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Consumer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix='postern-consumers-')
        cls.addClassCleanup(shutil.rmtree, cls.top)
        os.chmod(cls.top, 0o755)
        cls.site = Sandbox(cls.top)
        cls.addClassCleanup(cls.site.close)
        cls.mux = os.path.join(cls.top, 'mux')
        cls.gateway = Gateway(cls.site, settings=f'listen = saslauthd:{cls.mux}\nsandbox = yes\nname_failures = 1000\n')
        cls.addClassCleanup(lambda: cls.gateway.daemon and cls.gateway.daemon.stop())
        cls.gateway.start()

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
            f.write(blocks('SASLAUTHD.md')[1].replace('/run/saslauthd/mux', self.mux))
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
        rest, site = (text.replace('127.0.0.1:8480', f'127.0.0.1:{cls.gateway.port}') for text in blocks('RADIUS.md'))
        cls.port = free_port()
        folder = os.path.join(cls.top, 'raddb')
        os.mkdir(folder)
        with open(os.path.join(folder, 'radiusd.conf'), 'w', encoding='ascii') as f:
            f.write(f'libdir = /usr/lib/freeradius\nlogdir = {cls.top}\nrun_dir = {cls.top}\nmax_request_time = 30\n'
                    'security {\nallow_vulnerable_openssl = yes\n}\n'
                    f'client localhost {{\nipaddr = 127.0.0.1\nsecret = testing123\nrequire_message_authenticator = no\n}}\n'
                    f'modules {{\n{rest}\nalways handled {{\nrcode = handled\n}}\n}}\n'
                    'policy {\n$INCLUDE /etc/freeradius/3.0/policy.d/control\n}\n'
                    f'server default {{\nlisten {{\ntype = auth\nipaddr = 127.0.0.1\nport = {cls.port}\n}}\n{site}}}\n')
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


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
