#!/usr/bin/python3
"""The gateway's LDAP door by Debian's ldap-utils, and by raw bytes, on the sandbox; and its TLS listeners, LDAP's and HTTP's.

usage: test_ldap.py BUILD      as root it gives itself a network of its own, with an address that is not loopback
"""
import http.client
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_doors import HERE, Gateway, Sandbox  # noqa: E402
sys.path.insert(0, os.path.join(HERE, '..', '..', 'lab'))
import lab_certs  # noqa: E402
from postern_site import wait_for  # noqa: E402

OWN_NETWORK = os.environ.get('POSTERN_OWN_NETWORK') == 'yes'
OUTSIDE = '192.0.2.1'
SECRET = 'f' * 64
OK = 'ok@sandbox.invalid'


def element(tag, *parts):
    body = b''.join(p if isinstance(p, bytes) else p.encode() for p in parts)
    n = len(body)
    return bytes([tag]) + (bytes([n]) if n < 128 else bytes([0x84]) + n.to_bytes(4, 'big')) + body


def number(n):
    return element(2, bytes([n]))


def bind(name, password, ident=1, version=3, choice=0x80):
    return element(0x30, number(ident), element(0x60, number(version), element(4, name), element(choice, password)))


def search(base='', scope=0, filter_=element(0x87, 'objectClass'), ident=2, controls=b''):
    return element(0x30, number(ident), element(0x63, element(4, base), element(10, bytes([scope])), element(10, b'\0'), number(0), number(0),
                                                element(1, b'\0'), filter_, element(0x30)), controls)


class Wire:
    """An LDAP connection by hand."""

    def __init__(self, port, host='127.0.0.1'):
        self.sock = socket.create_connection((host, port), timeout=60)

    def __del__(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def answer(self):
        """(id, tag, result code, text) of the next message; None at the end."""
        head = self.exactly(2)
        if not head:
            return None
        n = head[1]
        if n >= 128:
            n = int.from_bytes(self.exactly(n & 127), 'big')
        body = self.exactly(n)
        ident, rest = body[2], body[3:]
        assert body[0] == 2 and body[1] == 1, body
        at = 2 if rest[1] < 128 else 2 + (rest[1] & 127)
        if rest[0] == 0x64:
            return ident, rest[0], None, rest[at:]
        code = rest[at + 2]
        return ident, rest[0], code, rest[at + 3:]

    def exactly(self, n):
        data = b''
        while len(data) < n:
            try:
                part = self.sock.recv(n - len(data))
            except ConnectionResetError:
                part = b''
            if not part:
                return b''
            data += part
        return data

    def close(self):
        self.sock.close()


class Ldap(unittest.TestCase):
    SETTINGS = ''
    SECTIONS = ''

    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix='postern-ldap-')
        cls.addClassCleanup(shutil.rmtree, cls.top)
        os.chmod(cls.top, 0o755)
        cls.site = Sandbox(cls.top)
        cls.addClassCleanup(cls.site.close)
        cls.before_start()
        cls.ldapi = os.path.join(cls.top, 'ldapi')
        cls.gateway = Gateway(cls.site, settings=f'listen = ldap:127.0.0.1:0 ldapi:{cls.ldapi}\nsandbox = yes\nname_failures = 1000\n'
                              f'ldap_dn = uid=%u,ou=people,dc=sandbox,dc=invalid\nldap_name = %u@sandbox.invalid\n{cls.SETTINGS}', sections=cls.SECTIONS)
        cls.addClassCleanup(lambda: cls.gateway.daemon and cls.gateway.daemon.stop())
        cls.gateway.start()
        with open(cls.gateway.ready_file, encoding='ascii') as f:
            cls.ports = {}
            for line in f:
                door, _, rest = line.strip().partition(':')
                if door in ('ldap', 'ldaps'):
                    cls.ports.setdefault((door, rest.rsplit(':', 1)[0]), int(rest.rsplit(':', 1)[1]))
        cls.port = cls.ports['ldap', '127.0.0.1']
        cls.url = f'ldap://127.0.0.1:{cls.port}'

    @classmethod
    def before_start(cls):
        pass

    def tool(self, name, *words, url=None, user=None, password=None, env=None):
        """A tool of ldap-utils: (result code, what it says)."""
        who = [] if user is None else ['-D', user, '-w', password]
        done = subprocess.run([name, '-x', '-H', url or self.url, *who, *words], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, 'LDAPCONF': '/dev/null', **(env or {})}, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr

    def whoami(self, user, password, **more):
        return self.tool('ldapwhoami', user=user, password=password, **more)


class Binds(Ldap):
    def test_codes(self):
        """Refusals are 49 with AD's sub-code, infrastructure never is."""
        for user, password, code, said in (
                (OK, 'sandbox', 0, 'dn:posternUserId=S-1-5-21-'), ('ok', 'sandbox', 0, ',dc=corp,dc=sandbox,dc=invalid'), ('SANDBOX\\ok', 'sandbox', 0, 'dn:'),
                ('uid=ok,ou=people,dc=sandbox,dc=invalid', 'sandbox', 0, 'dn:'), ('UID = ok , OU=People,dc=sandbox,dc=INVALID', 'sandbox', 0, 'dn:'),
                ('uid=ok@sandbox.invalid,ou=people,dc=sandbox,dc=invalid', 'sandbox', 0, 'dn:'), ('uid=\\6fk,ou=people,dc=sandbox,dc=invalid', 'sandbox', 0, 'dn:'),
                (OK, 'wrong', 49, 'AcceptSecurityContext error, data 52e, v0; The user name or the password is wrong.'),
                ('nobody@sandbox.invalid', 'x', 49, 'data 52e'), ('nobody@elsewhere.example', 'x', 49, 'data 52e'),
                ('disabled@sandbox.invalid', 'sandbox', 49, 'data 533'), ('locked@sandbox.invalid', 'sandbox', 49, 'data 775'),
                ('must-change@sandbox.invalid', 'sandbox', 49, 'data 773'), ('throttled@sandbox.invalid', 'x', 49, 'data 775'),
                ('no-dc@sandbox.invalid', 'sandbox', 52, 'no_dc'), ('outcome-unknown@sandbox.invalid', 'sandbox', 53, 'do not repeat'),
                ('uid=ok,ou=others,dc=sandbox,dc=invalid', 'sandbox', 53, 'ldap_dn'), ('cn=ok,ou=people,dc=sandbox,dc=invalid', 'sandbox', 53, 'ldap_dn'),
                ('uid=ok,dc=sandbox,dc=invalid', 'sandbox', 53, 'ldap_dn'), ('uid=ok', '', 53, 'without a password'), (OK, '', 53, 'without a password')):
            with self.subTest(user=user, password=password):
                got, text = self.whoami(user, password)
                self.assertEqual(got, code, text)
                self.assertIn(said, re.sub(r'\n\s*', ' ', text))

    def test_anonymous_finds_the_root_and_nothing_else(self):
        self.assertEqual(self.tool('ldapwhoami'), (0, 'anonymous\n'))
        code, text = self.tool('ldapsearch', '-LLL', '-b', '', '-s', 'base')
        self.assertEqual(code, 0, text)
        self.assertIn('supportedLDAPVersion: 3', text)
        self.assertNotIn('1.3.6.1.4.1.1466.20037', text)
        code, text = self.tool('ldapsearch', '-LLL', '-b', '', '-s', 'base', 'supportedExtension')
        self.assertEqual(text, 'dn:\nsupportedExtension: 1.3.6.1.4.1.4203.1.11.3\n\n')
        code, text = self.tool('ldapsearch', '-LLL', '-b', 'dc=sandbox,dc=invalid', '(uid=ok)')
        self.assertEqual(code, 50, text)
        self.assertIn('sign in by a bind first', text)
        self.assertEqual(self.tool('ldapcompare', 'uid=ok,ou=people,dc=sandbox,dc=invalid', 'uid:ok')[0], 50)

    def find(self, *words, base='dc=sandbox,dc=invalid', user=OK):
        return self.tool('ldapsearch', '-LLL', '-o', 'ldif-wrap=no', '-b', base, *words, user=user, password='sandbox')

    def test_the_own_entry(self):
        answer = self.gateway.sign_in(OK, 'sandbox')['user']
        code, text = self.find('(uid=ok)')
        self.assertEqual(code, 0, text)
        for line in (f'dn: posternUserId={answer["id"]},dc=corp,dc=sandbox,dc=invalid', f'posternUserId: {answer["id"]}',
                     f'posternUserDomain: {answer["domain"]}', f'cn: {answer["name"]}', 'objectClass: person', f'userPrincipalName: {answer["upn"]}'):
            self.assertIn(line, text.split('\n'))
        mine = f'posternUserId={answer["id"]},dc=corp,dc=sandbox,dc=invalid'
        for words, found in (
                (['(objectClass=*)'], True), (['(UID=OK)'], True), (['(uid=alice)'], False), ([f'(userPrincipalName={answer["upn"]})'], True),
                (['(&(objectClass=user)(uid=ok))'], True), (['(&(objectClass=group)(uid=ok))'], False), (['(|(uid=x)(uid=ok))'], True),
                (['(!(uid=x))'], True), (['(!(uid=ok))'], False), (['(!(memberOf=cn=blocked))'], False), (['(uid=o*)'], True), (['(uid=*k)'], True),
                (['(cn=*s*nd*q*)'], False), (['(uid=*o*k*)'], True), (['(uid=*kk)'], False), (['(uid>=a)'], False),
                (['(!(userAccountControl:1.2.840.113556.1.4.803:=2))'], True), (['(userAccountControl:1.2.840.113556.1.4.803:=512)'], True),
                (['(userAccountControl:1.2.840.113556.1.4.804:=514)'], True), (['(memberOf:1.2.840.113556.1.4.1941:=cn=x)'], False), (['(&)'], True), (['(|)'], False),
                ([f'(sAMAccountName={OK})'], False), ([f'(uid={OK})'], True)):
            with self.subTest(words=words):
                code, text = self.find(*words)
                self.assertEqual((code, 'dn: ' in text), (0, found), text)
        self.assertEqual(self.find('-s', 'base', '(objectClass=*)', '1.1', base=mine), (0, f'dn: {mine}\n\n'))
        self.assertEqual(self.find('-s', 'base', '(objectClass=*)', 'CN', base=mine.upper())[0], 0)
        self.assertEqual(self.find('-s', 'base', base='cn=admins,dc=sandbox,dc=invalid')[0], 32)
        bound = 'uid=ok,ou=people,dc=sandbox,dc=invalid'
        self.assertEqual(self.find('-s', 'base', '(objectClass=*)', 'posternUserId', base=bound, user=bound), (0, f'dn: {mine}\nposternUserId: {answer["id"]}\n\n'))
        sid, guid = self.find('(uid=ok)', 'objectSid')[1], self.find('(uid=ok)', 'entryUUID')[1]
        self.assertIn('objectSid:: AQUAAAAAAAUVAAAA', sid)
        self.assertEqual('entryUUID: ' in guid, bool(answer.get('guid')))
        for value, code in ((answer['id'], 6), ('other', 5)):
            self.assertEqual(self.tool('ldapcompare', mine, f'posternUserId:{value}', user=OK, password='sandbox')[0], code)
        self.assertEqual(self.tool('ldapcompare', 'cn=admins', 'member:x', user=OK, password='sandbox')[0], 32)
        self.assertEqual(self.tool('ldapcompare', mine, 'memberOf:x', user=OK, password='sandbox')[0], 16)
        self.assertEqual(self.tool('ldapdelete', mine, user=OK, password='sandbox')[0], 53)
        self.assertEqual(self.tool('ldapwhoami', url='ldapi://' + self.ldapi.replace('/', '%2F'), user=OK, password='sandbox')[0], 0)

    def test_a_bind_as_the_own_entry(self):
        """As Apache does: the DN that a search found is bound as, on the same connection; on another it is unknown."""
        wire = Wire(self.port)
        self.assertEqual(wire.send(bind(OK, 'sandbox')).answer()[2], 0)
        wire.send(element(0x30, number(2), element(0x77, element(0x80, '1.3.6.1.4.1.4203.1.11.3'))))
        dn = re.search(rb'dn:(posternUserId=.*)', wire.answer()[3])[1]
        self.assertEqual([wire.send(bind(dn, p)).answer()[2] for p in ('sandbox', 'wrong', 'sandbox')], [0, 49, 0])
        wire.close()
        other = Wire(self.port)
        self.assertEqual(other.send(bind(dn, 'sandbox')).answer()[2], 53)
        other.close()


class Rules(Ldap):
    def test_what_is_not_spoken(self):
        wire = Wire(self.port)
        for data, code in ((bind(OK, 'sandbox', version=2), 2), (bind(OK, element(4, 'PLAIN'), choice=0xa3), 7), (bind('', ''), 0), (bind('', 'x'), 49),
                           (search(controls=element(0xa0, element(0x30, element(4, '1.2.3'), element(1, b'\xff')))), 12),
                           (element(0x30, number(1), element(0x77, element(0x80, '1.2.3'))), 2),
                           (element(0x30, number(1), element(0x77, element(0x80, '1.3.6.1.4.1.1466.20037'))), 2), (element(0x30, number(1), element(0x4a, 'cn=x')), 53),
                           (element(0x30, number(1), element(0x66, element(4, 'cn=x'), element(0x30))), 53), (bind('a\0b@sandbox.invalid', 'x'), 53), (bind('x' * 300, 'x'), 53),
                           (bind(b'\xff@sandbox.invalid', 'x'), 49)):
            with self.subTest(data=data):
                self.assertEqual(wire.send(data).answer()[2], code)
        entry, end = wire.send(search(controls=element(0xa0, element(0x30, element(4, '1.2.3'))))).answer(), wire.answer()
        self.assertEqual((entry[1], end[1], end[2]), (0x64, 0x65, 0))
        deep = element(0x87, 'objectClass')
        for _ in range(40):
            deep = element(0xa2, deep)
        self.assertEqual(wire.send(search(filter_=deep)).answer()[2], 2)
        wire.send(bind(OK, 'sandbox')).answer()
        self.assertEqual(wire.send(search(base='dc=x', scope=2, filter_=element(0xa4, element(4, 'uid'), element(0x30, element(0x83, 'x'))))).answer()[2], 2)
        wire.send(element(0x30, number(9), element(0x50, b'\1')))  # abandon: no answer, and no harm
        self.assertEqual(wire.send(search(ident=7)).answer()[0], 7)
        self.assertEqual(wire.answer()[2], 0)
        self.assertIsNone(wire.send(element(0x30, number(1), element(0x42))).answer())
        wire.close()

    def test_a_new_bind_ends_the_old_one(self):
        wire = Wire(self.port)
        self.assertEqual(wire.send(bind(OK, 'sandbox')).answer()[2], 0)
        self.assertEqual(wire.send(bind(OK, 'wrong')).answer()[2], 49)
        self.assertEqual(wire.send(search(base='dc=x', scope=2)).answer()[2], 50)
        wire.close()

    def test_those_that_break_the_rules(self):
        """They are told and ended; the others notice nothing."""
        for data in (b'GET / HTTP/1.1\r\n\r\n', b'\x30\x80', b'\x30\x84\x7f\xff\xff\xff', element(0x30, number(1)), element(0x30, number(1), element(0x7f, b'')),
                     element(0x30, number(1), element(0x60, b'\xff')), element(0x30, number(1), element(0x63, element(4, ''))), element(0x30, b'\2\4\xff\xff\xff\xff'),
                     bind(OK, 'sandbox')[:-1] + b'\0' + b'x', b'\x30\x05\x02\x01\x01\x60\x7f'):
            with self.subTest(data=data):
                wire = Wire(self.port).send(data)
                said = wire.answer()
                if data.endswith(b'x'):
                    self.assertEqual(said[2], 49)
                    said = wire.answer()
                self.assertIn(said and said[:3], ((0, 0x78, 2), None))
                self.assertIsNone(wire.answer())
                wire.close()
        idle, half = [Wire(self.port) for _ in range(100)], [Wire(self.port).send(bind(OK, 'sandbox')[:20]) for _ in range(100)]
        gone = Wire(self.port).send(bind('slow@sandbox.invalid', 'sandbox'))
        gone.close()
        pipelined = Wire(self.port).send(b''.join(bind(OK, 'sandbox' if i % 2 else 'wrong', ident=i + 1) for i in range(8)))
        self.assertEqual([pipelined.answer()[::2][:2] for _ in range(8)], [(i + 1, 0 if i % 2 else 49) for i in range(8)])
        self.assertEqual(self.whoami(OK, 'sandbox')[0], 0)
        for wire in (*idle, *half, pipelined):
            wire.close()

    def test_a_reload(self):
        """Who has nothing under way is told; who waits for a verdict gets it."""
        idle, waits = Wire(self.port), Wire(self.port).send(bind('slow@sandbox.invalid', 'sandbox'))
        self.assertEqual(idle.send(search()).answer()[1], 0x64)
        idle.answer()
        os.kill(self.gateway.daemon.pid, signal.SIGHUP)
        self.assertEqual(idle.answer()[:3], (0, 0x78, 52))
        self.assertEqual(waits.answer()[2], 0)
        self.assertIsNone(waits.answer())
        wait_for('the next doors are there', lambda: self.whoami(OK, 'sandbox')[0] == 0)
        idle.close()
        waits.close()


class Hung(Ldap):
    SETTINGS = 'budget_ms = 500\n'

    def test_a_sealer_that_hangs(self):
        """The doors answer by themselves, and not "wrong password"; long before the supervisor ends the sealer."""
        sealer = int(subprocess.run(['pgrep', '-P', str(self.gateway.daemon.pid), '-f', 'role=sealer'], capture_output=True, text=True, check=True).stdout)
        os.kill(sealer, signal.SIGSTOP)
        try:
            answer = self.gateway.sign_in(OK, 'sandbox')
            self.assertEqual((answer['verdict'], answer['reason'], answer['may_have_counted']), ('unavailable', 'deadline', 'unknown'))
            self.assertEqual(self.whoami(OK, 'sandbox')[0], 53)
        finally:
            os.kill(sealer, signal.SIGCONT)
        wait_for('it goes on', lambda: self.gateway.sign_in(OK, 'sandbox')['verdict'] == 'accepted')


@unittest.skipUnless(OWN_NETWORK, 'needs root, for an address that is not loopback')
class Tls(Ldap):
    """Listeners at an address that is not loopback: who may ask, by which door."""
    CAS = ('ca', 'other-ca')
    NAMES = {'server': ('ca', ['gateway.example', f'127.0.0.1,IP:127.0.0.1,IP:{OUTSIDE}']), 'portal': ('ca', ['portal.example']), 'stranger': ('ca', ['stranger.example']),
             'other': ('other-ca', ['portal.example'])}

    @classmethod
    def before_start(cls):
        os.makedirs(os.path.join(cls.top, 'certs'))
        folder = os.path.join(cls.top, 'certs')
        for name in cls.CAS:
            lab_certs.make_ca(folder, name)
        for name, made in cls.NAMES.items():
            lab_certs.SERVERS[name] = made
            lab_certs.make_server(folder, name)
        lab_certs.SERVERS['old'] = ('ca', ['portal.example'])
        lab_certs.DAYS, days = -0.5, lab_certs.DAYS  # since half a day
        lab_certs.make_server(folder, 'old')
        lab_certs.DAYS = days
        with open(os.path.join(cls.top, 'secret'), 'w', encoding='ascii') as f:
            f.write(SECRET + '\n')
        os.chmod(f.name, 0o600)
        cls.SETTINGS = (f'listen = {OUTSIDE}:0 ldap:{OUTSIDE}:0 ldaps:{OUTSIDE}:636 ldaps:127.0.0.1:0\ncertificate = {folder}/server.pem\nkey = {folder}/server.key\n'
                        f'client_ca = {folder}/ca.pem\nldap_clients = 192.0.2.77\nconnections = 100\n')
        cls.SECTIONS = f'[application portal]\ncertificate_name = portal.example\n[application wiki]\nsecret_file = {cls.top}/secret\n'

    def cert(self, name):
        return {'LDAPTLS_CACERT': f'{self.top}/certs/ca.pem', **({'LDAPTLS_CERT': f'{self.top}/certs/{name}.pem', 'LDAPTLS_KEY': f'{self.top}/certs/{name}.key'} if name else {})}

    def context(self, name=None):
        context = ssl.create_default_context(cafile=f'{self.top}/certs/ca.pem')
        if name:
            context.load_cert_chain(f'{self.top}/certs/{name}.pem', f'{self.top}/certs/{name}.key')
        return context

    def post(self, name=None, secret=None):
        """(status, the answer) of a sign-in by HTTPS."""
        with open(self.gateway.ready_file, encoding='ascii') as f:
            port = int(re.search(rf'^{OUTSIDE}:(\d+)$', f.read(), re.M)[1])
        conn = http.client.HTTPSConnection(OUTSIDE, port, timeout=60, context=self.context(name))
        headers = {'Content-Type': 'application/json', **({'Authorization': f'Bearer {secret}'} if secret else {})}
        conn.request('POST', '/v1/sign-in', json.dumps({'username': OK, 'password': 'sandbox', 'client': {'app': 'liar'}}), headers)
        answer = conn.getresponse()
        said = answer.status, json.loads(answer.read())
        conn.close()
        return said

    def test_https(self):
        """A secret or a client certificate, each of an [application]; and the records name it, whatever it says itself."""
        for name, secret, status in ((None, None, 401), (None, SECRET, 200), (None, 'g' * 64, 401), ('portal', None, 200), ('portal', 'g' * 64, 401),
                                     ('stranger', None, 401), ('other', None, 401), ('old', None, 401), ('stranger', SECRET, 200)):
            with self.subTest(name=name, secret=secret):
                got, answer = self.post(name, secret)
                self.assertEqual(got, status, answer)
                if status == 200:
                    with open(self.gateway.log, encoding='utf-8') as f:
                        line = [line for line in f if answer['id'] in line and 'sign_in' in line]
                    self.assertIn('portal' if not secret else 'wiki', line[-1])

    def test_ldap(self):
        plain, tls = (f'{scheme}://{OUTSIDE}:{self.ports[scheme, OUTSIDE]}' for scheme in ('ldap', 'ldaps'))
        self.assertEqual(self.whoami(OK, 'sandbox', url=plain)[0], 13)
        code, text = self.tool('ldapsearch', '-LLL', '-b', '', '-s', 'base', url=plain)
        self.assertIn('supportedExtension: 1.3.6.1.4.1.1466.20037', text)
        for name, code in (('portal', 0), (None, 50), ('stranger', 50), ('old', 50)):
            with self.subTest(name=name):
                self.assertEqual(self.whoami(OK, 'sandbox', url=tls, env=self.cert(name))[0], code)
                self.assertEqual(self.tool('ldapwhoami', '-ZZ', url=plain, user=OK, password='sandbox', env=self.cert(name))[0], code)
        self.assertIn(self.whoami(OK, 'sandbox', url=tls, env=self.cert('other'))[0], (50, 254, 255))  # not shown at all, or no handshake
        inner = f'ldaps://127.0.0.1:{self.ports["ldaps", "127.0.0.1"]}'
        self.assertEqual(self.whoami(OK, 'sandbox', url=inner, env=self.cert(None))[0], 0)
        self.assertEqual(self.whoami(OK, 'wrong', url=inner, env=self.cert(None))[0], 49)
        self.assertEqual(self.whoami(OK, 'sandbox', url=inner, env={'LDAPTLS_CACERT': f'{self.top}/certs/other-ca.pem'})[0], 255)

    def test_what_stands_before_tls_is_not_believed(self):
        starttls = element(0x30, number(1), element(0x77, element(0x80, '1.3.6.1.4.1.1466.20037')))
        wire = Wire(self.ports['ldap', OUTSIDE], OUTSIDE).send(starttls + bind(OK, 'sandbox'))
        self.assertEqual(wire.answer()[2], 0)
        self.assertIsNone(wire.answer())
        wire.close()
        wire = Wire(self.port).send(bind(OK, 'sandbox'))
        self.assertEqual(wire.answer()[2], 0)
        self.assertEqual(wire.send(starttls).answer()[2], 0)
        wire.sock = self.context().wrap_socket(wire.sock, server_hostname='127.0.0.1')
        self.assertEqual(wire.send(search(base='dc=x', scope=2)).answer()[2], 50)
        self.assertEqual(wire.send(starttls).answer()[2], 1)
        self.assertEqual(wire.send(bind(OK, 'sandbox')).answer()[2], 0)
        wire.close()

    def test_z_ports_below_1024(self):
        """Taken at a reload, too; of root's capabilities the supervisor has three."""
        with open('/proc/%d/status' % self.gateway.daemon.pid, encoding='ascii') as f:
            self.assertIn('CapPrm:\t%016x\n' % (1 << 6 | 1 << 7 | 1 << 10), f.read())
        with open(self.gateway.config, encoding='utf-8') as f:
            before = f.read()
        with open(self.gateway.config, 'w', encoding='utf-8') as f:
            f.write(before.replace(f'ldap:{OUTSIDE}:0', f'ldap:{OUTSIDE}:389'))
        os.kill(self.gateway.daemon.pid, signal.SIGHUP)
        wait_for('it listens there', lambda: self.whoami(OK, 'sandbox', url=f'ldap://{OUTSIDE}')[0] == 13)

    def test_handshakes_that_are_none(self):
        """More of them than may be held shut nobody out."""
        port = self.ports['ldaps', OUTSIDE]
        held = [socket.create_connection((OUTSIDE, port), timeout=60) for _ in range(200)]
        junk = socket.create_connection((OUTSIDE, port), timeout=60)
        junk.sendall(bind(OK, 'sandbox') * 50)
        self.assertEqual(self.whoami(OK, 'sandbox', url=f'ldaps://{OUTSIDE}:{port}', env=self.cert('portal'))[0], 0)
        for s in (*held, junk):
            s.close()

    def test_strangers(self):
        """More of them than there is room for, which begin TLS and no more, or ask for what anybody may see, push out no application."""
        apps = [Wire(self.port) for _ in range(3)]
        for _ in range(3):
            wire = Wire(self.ports['ldaps', OUTSIDE], OUTSIDE)
            wire.sock = self.context('portal').wrap_socket(wire.sock, server_hostname=OUTSIDE)
            apps.append(wire)
        for wire in apps:
            self.assertEqual(wire.send(bind(OK, 'sandbox')).answer()[2], 0)
        starttls = element(0x30, number(1), element(0x77, element(0x80, '1.3.6.1.4.1.1466.20037')))
        crowd = []
        for i in range(240):
            crowd.append(Wire(self.ports['ldap', OUTSIDE], OUTSIDE).send(starttls if i % 2 else search()))
            crowd[-1].answer()
        for wire in apps:
            self.assertEqual(wire.send(bind(OK, 'sandbox')).answer()[2], 0)
        for wire in (*apps, *crowd):
            wire.close()


@unittest.skipUnless(OWN_NETWORK, 'needs root, for an address that is not loopback')
class Networks(Tls):
    """Without client certificates the list of networks alone decides."""

    @classmethod
    def before_start(cls):
        super().before_start()
        cls.SETTINGS = re.sub(r'client_ca = .*\n', '', cls.SETTINGS).replace('192.0.2.77', '192.0.2.0/30')
        cls.SECTIONS = f'[application wiki]\nsecret_file = {cls.top}/secret\n'

    def test_ldap(self):
        url = f'ldaps://{OUTSIDE}:{self.ports["ldaps", OUTSIDE]}'
        env = self.cert(None)
        self.assertEqual(self.whoami(OK, 'sandbox', url=url, env=env)[0], 0)
        self.assertEqual(self.whoami(OK, 'wrong', url=url, env=env)[0], 49)
        far = socket.socket()
        far.bind(('192.0.2.9', 0))
        far.settimeout(60)
        far.connect((OUTSIDE, self.ports['ldaps', OUTSIDE]))
        self.assertEqual(far.recv(1), b'')
        far.close()

    def test_https(self):
        self.assertEqual([self.post('portal')[0], self.post(None, SECRET)[0]], [401, 200])

    def test_handshakes_that_are_none(self):
        self.skipTest('as before')

    test_strangers = test_handshakes_that_are_none


def main():
    if os.geteuid() == 0 and not OWN_NETWORK and subprocess.run(['unshare', '--net', 'true'], check=False, capture_output=True).returncode == 0:
        os.execvpe('unshare', ['unshare', '--net', sys.executable, *sys.argv[:0], '-B', *sys.argv], {**os.environ, 'POSTERN_OWN_NETWORK': 'yes'})
    if OWN_NETWORK:
        for words in ('link set lo up', f'addr add {OUTSIDE}/24 dev lo', 'addr add 192.0.2.9/32 dev lo'):
            subprocess.run(['ip', *words.split()], check=True)
    unittest.main(argv=[sys.argv[0], *sys.argv[2:], '-v'])


if __name__ == '__main__':
    main()
