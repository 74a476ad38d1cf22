"""Injects faults for real, one at a time, and looks at what `postern check` and `postern status` say: the cause's code and no other
cause's, and the sentences by the golden table FAULTS.md beside this file, which is the documentation.

usage: test_faults.py BUILD_DIR SOURCE_DIR [--write]      --write: writes FAULTS.md anew
"""
import concurrent.futures
import contextlib
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import unittest
import warnings

BUILD, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
WRITE = '--write' in sys.argv
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fakes import (Certificates, Hole, Names, Server, closed, directory, proxy, reset, says, silent, srv, starttls,  # noqa: E402
                   tls)

POSTERN = os.path.join(BUILD, 'connector', 'cli', 'postern')
TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'FAULTS.md')
USERS = {'user_link': 'daemon', 'user_validator': 'bin', 'user_ledger': 'nobody'} if os.geteuid() == 0 else {}
DOMAIN, DC = 'corp.example', 'dc1.corp.example'
WELL = 'not_running'  # no posternd runs here: a warning of each check
BAD_REQUEST = b'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'


def http(answer):
    """Inside TLS: this answer to each request."""
    def serve(connection):
        while connection.recv(65536):
            connection.sendall(answer)
    return serve


class World:
    """An enrolled connector with a relay and a DC that are well, each in a folder of its own."""

    def __init__(self, certificates, folder):
        self.certificates, self.dir = certificates, folder
        self.state = self.path('state')
        os.mkdir(self.state, 0o700)
        self.connector = {'name': 'north', 'state_dir': self.state, 'runtime_dir': self.path('run'), 'relay_ca_file': certificates.path('ca.pem'),
                          **USERS}
        self.domain = {'dcs': f'{DC}@127.0.0.1', 'methods': 'ldap', 'ca_file': certificates.path('ca.pem')}
        self.text = None  # of the configuration, instead
        self.env = {k: v for k, v in os.environ.items() if 'proxy' not in k.lower()}

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, path, content, mode=0o600):
        with open(path, 'w', encoding='utf-8') as f:
            f.write(content)
        os.chmod(path, mode)
        return path

    def enroll(self, relay):
        for key in ('identity.pem', 'transport.key'):
            subprocess.run(['openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', os.path.join(self.state, key)],
                           check=True, capture_output=True)
            os.chmod(os.path.join(self.state, key), 0o600)
        subprocess.run(['openssl', 'req', '-x509', '-new', '-key', os.path.join(self.state, 'transport.key'), '-subj', '/CN=x', '-days', '2', '-out',
                        os.path.join(self.state, 'transport.pem')], check=True, capture_output=True)
        self.write(os.path.join(self.state, 'enrolment.json'), json.dumps(
            {'v': 1, 'relay': relay, 'tenant': 'contoso', 'id': 'TESTCONNECTOR00000001', 'name': 'north', 'pin': 'A' * 43}))

    def config(self):
        path = self.path('postern.conf')
        self.write(path, self.text or '[connector]\n' + ''.join(f'{k} = {v}\n' for k, v in self.connector.items()) +
                   f'[domain {DOMAIN}]\n' + ''.join(f'{k} = {v}\n' for k, v in self.domain.items()))
        return path

    def check(self):
        done = subprocess.run([POSTERN, 'check', '--json', '--config', self.config()], capture_output=True, text=True, timeout=300, check=False,
                              env=self.env)
        return [s for s in json.loads(done.stdout)['steps'] if s['result'] in ('warning', 'failed') and s.get('code') != WELL], done.returncode


FAULTS = []  # (section, name, codes, inject(world, stack))


def fault(section, name, codes, inject):
    FAULTS.append((section, name, codes.split(), inject))


def server(serve):
    return lambda world: Server(serve(world) if serve.__name__ == '<lambda>' else serve)


# ---- domain controllers ----

def dc(name, code, make, tail='no_dc_usable', **domain):
    """make(certificates): a context manager that gives the DC's port."""
    def inject(world, stack):
        port = stack.enter_context(make(world.certificates))
        world.domain.update({'ldaps_port': port, **{k: v(world.certificates) if callable(v) else v for k, v in domain.items()}})
    fault('A domain controller', name, f'{code} {tail}', inject)


GOOD = [f'DNS:{DC}', f'DNS:{DOMAIN}']


def cert(names=None, inside=None, version=None, **how):
    return lambda c: Server(tls(c.make(GOOD if names is None else names, **how), inside or directory(), version))


dc('refuses connections', 'dc_refused', lambda c: closed())
dc('swallows connections', 'dc_unreachable', lambda c: Hole())
dc('hangs before TLS', 'dc_tls_timeout', lambda c: Server(silent))
dc('hangs behind TLS', 'dc_timeout', cert(inside=silent))
dc('has a port that speaks LDAP in clear', 'port_without_tls', lambda c: Server(says(b'0\x84\0\0\0\x10\x02\x01\x01x')))
dc('has a port that speaks HTTP', 'port_without_tls', lambda c: Server(says(b'HTTP/1.1 400 Bad Request\r\n\r\n')))
dc('has a port that closes at once', 'port_without_tls', lambda c: Server(lambda connection: connection.close()))
dc('has a port that resets', 'port_without_tls', lambda c: Server(reset))
dc('speaks TLS 1.1 alone', 'tls_version', cert(version=ssl.TLSVersion.TLSv1_1))
dc('has a certificate that has expired', 'certificate_expired', cert(days=(-30, -3)))
dc('has a certificate that is not valid yet', 'certificate_not_yet_valid', cert(days=(3, 30)))
dc('has a certificate of an unknown CA', 'certificate_unknown_ca', cert(ca='other-ca'))
dc('has a certificate that it signed itself', 'certificate_self_signed', cert(ca='self'))
dc('has a certificate of another domain', 'certificate_other_domain', cert(names=['DNS:dc1.other.example', 'DNS:other.example']))
dc('has a certificate that names its host alone', 'certificate_other_domain', cert(names=[f'DNS:{DC}']))
dc('has a certificate of another host, with dc_identity = list', 'certificate_other_host', cert(names=['DNS:web.corp.example']), dc_identity='list')
dc('has a certificate without a DNS name', 'certificate_without_name', cert(names=['IP:192.0.2.1']))
dc('has a certificate without any name', 'certificate_without_name', cert(names=[]))
dc('has another key than the pinned one', 'certificate_not_pinned', cert(), dc_identity='pin', pins='A' * 43)
dc('has a certificate with RSA of 1024 bits', 'certificate_weak', cert(kind='rsa1024'))
dc('has a certificate for clients alone', 'certificate_purpose', cert(usage='clientAuth'))
dc('answers half a message', 'dc_closed', cert(inside=directory(cut=True)))
dc('answers what is no LDAP', 'dc_protocol', cert(inside=says(b'HTTP/1.1 200 OK\r\n\r\n')))
dc('closes behind TLS', 'dc_closed', cert(inside=lambda connection: connection.recv(1)))
dc('has a clock that is ahead', 'dc_clock_ahead', cert(inside=directory(skew=900)), tail='')
dc('has a clock that is behind', 'dc_clock_behind', cert(inside=directory(skew=-900)), tail='')
dc('has a clock that is 2 min ahead', 'dc_clock_ahead', cert(inside=directory(skew=120)), tail='')
dc('refuses StartTLS', 'starttls_refused', lambda c: Server(starttls(2)), tls='starttls', ldap_port=0)
dc('answers StartTLS with what is no LDAP', 'dc_protocol', lambda c: Server(says(b'HTTP/1.1 400 Bad Request\r\n\r\n')), tls='starttls', ldap_port=0)
dc('hangs at StartTLS', 'dc_tls_timeout', lambda c: Server(silent), tls='starttls', ldap_port=0)
dc('begins StartTLS with a certificate of an unknown CA', 'certificate_unknown_ca',
   lambda c: Server(starttls(0, tls(c.make(GOOD, ca='other-ca'), directory()))), tls='starttls', ldap_port=0)


def kdc(name, code, make):
    def inject(world, stack):
        good = stack.enter_context(Server(tls(world.certificates.make(GOOD), directory())))
        world.domain.update(methods='ldap, krb5', ldaps_port=good, kdc_port=stack.enter_context(make()), realm='CORP.EXAMPLE',
                            keytab=keytab(world), service_principal='host/c.corp.example')
    fault("A domain controller's Kerberos, by LDAP it is well", name, code, inject)


def keytab(world):
    import struct

    def counted(value):
        return struct.pack('>H', len(value)) + value.encode()
    entry = struct.pack('>H', 2) + counted('CORP.EXAMPLE') + counted('host') + counted('c.corp.example') + struct.pack('>IIB', 1, 0, 1)
    entry += struct.pack('>HH', 18, 32) + bytes(range(32)) + struct.pack('>I', 1)
    path = world.path('keytab')
    with open(path, 'wb') as f:
        f.write(b'\x05\x02' + struct.pack('>i', len(entry)) + entry)
    os.chmod(path, 0o600)
    return path


kdc('refuses connections', 'dc_refused', closed)
kdc('swallows connections', 'dc_unreachable', Hole)
kdc('takes a question and is silent', 'dc_timeout', lambda: Server(silent))
kdc('answers what is no Kerberos', 'dc_protocol', lambda: Server(says(b'\0\0\0\x05hello')))
kdc('closes at once', 'dc_refused', lambda: Server(lambda connection: connection.close()))


def names(name, code, make, tail='no_dc_usable', **domain):
    def inject(world, stack):
        good = stack.enter_context(Server(tls(world.certificates.make(GOOD), directory())))
        port = stack.enter_context(make(good))
        world.domain.update({'ldaps_port': good, **domain})
        world.connector['dns_servers'] = f'127.0.0.1:{port}'
    fault('Names of domain controllers', name, f'{code} {tail}', inject)


names('the name of dcs does not exist', 'dns_no_name', lambda p: Names(code=3), dcs=DC)
names('the name servers fail', 'dns_no_server', lambda p: Names(code=2), dcs=DC)
names('the name servers are silent', 'dns_no_server', lambda p: Names(mute=True), dcs=DC)
names('no name server is there', 'dns_no_server', lambda p: closed(), dcs=DC)


def found(name, make):
    def inject(world, stack):
        port = stack.enter_context(make())
        del world.domain['dcs']
        world.domain['discover'] = 'yes'
        world.connector['dns_servers'] = f'127.0.0.1:{port}'
    fault('Names of domain controllers', name, 'no_dc_known', inject)


found('the domain has no SRV records', lambda: Names())
found('the domain does not exist', lambda: Names(code=3))
found('no name server is there, with discover', closed)
found('the name servers fail, with discover', lambda: Names(code=2))
names('the SRV records name a host without an address', 'dns', lambda p: Names(records=[srv(DC, 636)]), dcs='', discover='yes')


def unlisted(world, stack):
    both = [f'DNS:{DC}', f'DNS:dc2.{DOMAIN}', f'DNS:{DOMAIN}']
    port = stack.enter_context(Server(tls(world.certificates.make(both), directory())))
    found_by = stack.enter_context(Names(records=[srv(DC, port), (1, bytes((127, 0, 0, 1)))]))
    world.domain.update(ldaps_port=port, dcs=f'dc2.{DOMAIN}@127.0.0.1', discover='yes', dc_identity='list')
    world.connector['dns_servers'] = f'127.0.0.1:{found_by}'


fault('Names of domain controllers', 'the SRV records name a host that dcs does not, with dc_identity = list', 'certificate_host_not_listed', unlisted)

# ---- the relay ----

RELAY = ['DNS:localhost', 'IP:127.0.0.1']


def relay(name, code, make, host='127.0.0.1', **connector):
    def inject(world, stack):
        port = stack.enter_context(make(world.certificates))
        world.relay = f'https://{host}:{port}'
        for key, value in connector.items():
            value = value(world, stack) if callable(value) else value
            world.connector.update({key: value} if value is not None else {})
            if value is None:
                del world.connector[key]
    fault('The way to the relay', name, code, inject)


def relay_cert(names=None, inside=None, version=None, **how):
    return lambda c: Server(tls(c.make(RELAY if names is None else names, **how), inside or http(BAD_REQUEST), version))


def via(serve):
    return lambda world, stack: f'http://127.0.0.1:{stack.enter_context(Server(serve))}'


relay('its name does not exist', 'relay_dns', lambda c: closed(), host='no-such-host.invalid')
relay('refuses connections', 'relay_refused', lambda c: closed())
relay('is in a network that no route leads to', 'relay_unreachable', lambda c: closed(), host='224.0.0.1')
relay('has a certificate for clients alone', 'relay_certificate', relay_cert(usage='clientAuth'))
relay('swallows connections', 'relay_timeout', lambda c: Hole())
relay('hangs before TLS', 'relay_timeout', lambda c: Server(silent))
relay('hangs behind TLS', 'relay_silent', relay_cert(inside=silent))
relay('speaks HTTP in clear', 'relay_tls', lambda c: Server(says(b'HTTP/1.1 400 Bad Request\r\n\r\n')))
relay('speaks TLS 1.1 alone', 'relay_tls', relay_cert(version=ssl.TLSVersion.TLSv1_1))
relay('has a certificate that has expired', 'relay_certificate_expired', relay_cert(days=(-30, -3)))
relay('has a certificate that is not valid yet', 'relay_certificate_not_yet', relay_cert(days=(3, 30)))
relay('has a certificate of an unknown CA', 'relay_certificate_ca', relay_cert(ca='other-ca'))
relay('has a certificate that it signed itself', 'relay_certificate_ca', relay_cert(ca='self'))
relay('has a certificate for another name', 'relay_certificate_name', relay_cert(names=['DNS:relay.example']))
relay('closes behind TLS', 'relay_broke', relay_cert(inside=lambda connection: connection.recv(1)))
relay('refuses the transport certificate', 'relay_refuses_certificate', relay_cert(inside=http(b'HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n')))
relay('fails inside', 'relay_fails', relay_cert(inside=http(b'HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n')))
relay('the proxy refuses connections', 'proxy_refused', relay_cert(), proxy=lambda w, s: f'http://127.0.0.1:{s.enter_context(closed())}')
relay("the proxy's name does not exist", 'proxy_dns', relay_cert(), proxy='http://no-such-host.invalid:3128')
relay('the proxy asks for a password (Basic)', 'proxy_asks_password', relay_cert(),
      proxy=via(proxy(b'HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n')))
relay('the proxy asks for a password (Negotiate, NTLM)', 'proxy_asks_password', relay_cert(),
      proxy=via(proxy(b'HTTP/1.1 407 Auth\r\nProxy-Authenticate: Negotiate\r\nProxy-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n')))
relay('the proxy refuses the password', 'proxy_refuses_password', relay_cert(),
      proxy=lambda w, s: via(proxy(b'HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'))(w, s).replace(
          '//', '//user:wrong@'))
relay('the proxy forbids the relay', 'proxy_forbids', relay_cert(), proxy=via(proxy(b'HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n')))
relay('the proxy cannot reach the relay', 'proxy_answers', relay_cert(), proxy=via(proxy(b'HTTP/1.1 502 No\r\nContent-Length: 0\r\n\r\n')))
relay('the proxy hangs', 'relay_timeout', relay_cert(), proxy=via(silent))
relay('the proxy breaks TLS open', 'relay_certificate_ca', relay_cert(),
      proxy=lambda w, s: via(proxy(b'HTTP/1.1 200 OK\r\n\r\n', tls(w.certificates.make(RELAY, ca='other-ca'), http(BAD_REQUEST))))(w, s))


# ---- files, users, folders: what a start would find ----

def start(name, break_it, codes='start_refused'):
    fault('What posternd finds at its start', name, codes, lambda world, stack: break_it(world))


def in_state(name):
    return lambda world: os.path.join(world.state, name)


def remove(name):
    return lambda world: os.unlink(in_state(name)(world))


def fill(name, content, mode=0o600):
    return lambda world: world.write(in_state(name)(world), content, mode)


def mode(name, bits):
    return lambda world: os.chmod(in_state(name)(world), bits)


def setting(**keys):
    return lambda world: world.connector.update(keys)


def domain_file(key, content=None, bits=0o644, **more):
    def break_it(world):
        path = world.path('file')
        if content is not None:
            world.write(path, content, bits)
        world.domain.update({key: path, **more})
    return break_it


def another_key(world):
    subprocess.run(['openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', in_state('transport.key')(world)],
                   check=True, capture_output=True)


start('anybody may write into state_dir', mode('.', 0o777))
start('others may read the identity key', mode('identity.pem', 0o644))
start('the identity key is missing', remove('identity.pem'))
start('the identity key is no key', fill('identity.pem', 'nonsense\n'))
start('the transport key is missing', remove('transport.key'))
start('others may read the transport key', mode('transport.key', 0o644))
start('the transport key is no key', fill('transport.key', 'nonsense\n'), 'start_refused transport_unfit')
start('the transport certificate is none', fill('transport.pem', 'nonsense\n'), 'start_refused transport_unfit')
start('the transport key is of another certificate', another_key, 'start_refused transport_unfit')
start('the transport certificate is missing', remove('transport.pem'))
start('the enrolment is no JSON', fill('enrolment.json', 'nonsense'))
start('the enrolment lacks its id', fill('enrolment.json', '{"v":1,"relay":"https://127.0.0.1:9","tenant":"contoso","name":"north","pin":"' + 'A' * 43 + '"}'))
start('the configuration names another relay', lambda w: w.connector.update(relay=w.relay.replace('127.0.0.1', 'localhost')))
start('the configuration names another tenant', setting(tenant='other'))
start('the configuration names another connector', setting(name='south'))
start('the key for hashing names is too short', fill('hash.key', 'short'))
start('the control group is missing', setting(control_group='no-such-group'))
start('the CA file of the relay is missing', setting(relay_ca_file='/no/such/file'))
start('the folder of the ledger is a file', fill('ledger', 'x'))
start('the keytab is no keytab', domain_file('keytab', 'nonsense', 0o600, service_principal='host/c.corp.example', methods='krb5', realm='CORP.EXAMPLE'),
      'start_refused domain_unfit')
start('others may read the keytab', lambda w: (w.domain.update(keytab=keytab(w), service_principal='host/c.corp.example', realm='CORP.EXAMPLE'), os.chmod(w.path('keytab'), 0o644)), 'start_refused')
start('the CA file of a domain is missing', domain_file('ca_file'), 'start_refused file_unfit')
start('the CA file of a domain holds no certificate', domain_file('ca_file', 'nonsense\n'), 'start_refused file_unfit')
start('a certificate in the CA file is damaged', domain_file('ca_file', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
      'start_refused file_unfit')
if os.geteuid() == 0:
    for user in USERS:
        start(f'the user of {user} is missing', setting(**{user: 'no-such-user'}))
    start('two processes have one user', setting(user_link='bin'), 'config_invalid')


# ---- the configuration ----

def wrong(name, more_connector='', more_domain='', domains='', text=None):
    def inject(world, stack):
        for keys, more in ((world.connector, more_connector), (world.domain, more_domain)):
            for key in {line.split(' = ')[0] for line in more.split('\n') if more.count('drain_ms') < 2}:
                keys.pop(key, None)
        world.text = text if text is not None else (
            '[connector]\n' + ''.join(f'{k} = {v}\n' for k, v in world.connector.items()) + more_connector + '\n' + f'[domain {DOMAIN}]\n' +
            ''.join(f'{k} = {v}\n' for k, v in world.domain.items()) + more_domain + '\n' + domains)
    fault('The configuration', name, 'config_invalid', inject)


wrong('a key that is unknown', 'nonsense = 1')
wrong('a key that stands twice', 'drain_ms = 3000\ndrain_ms = 4000')
wrong('a number that is none', 'drain_ms = soon')
wrong('a number that is out of range', 'in_flight = 0')
wrong('a word that is not one of those allowed', 'confinement = maybe')
wrong('a relay without https', 'relay = http://relay.example')
wrong('a relay with a path', 'relay = https://relay.example/path')
wrong('a proxy of an unknown kind', 'proxy = ftp://proxy.example:21')
wrong('a default domain that is none', 'default_domain = other.example')
wrong('a name server that is no address', 'dns_servers = ns.example')
wrong('a path that is not absolute', 'identity_key = keys/identity.pem')
wrong('a tenant with other characters', 'tenant = Contoso!')
wrong('a method that is unknown', more_domain='methods = telepathy')
wrong('a SID that is none of a domain', more_domain='domain_sid = S-1-5-32')
wrong('a DC by its address alone', more_domain='dcs = 192.0.2.1')
wrong('Kerberos without a keytab', more_domain='methods = krb5')
wrong('a pin that is none', more_domain='dc_identity = pin\npins = abc')
wrong('a path of runtime_dir that is too long for a socket', 'runtime_dir = /tmp/' + 'x' * 120)
wrong('a domain without a dot', domains=f'[domain two]\ndcs = {DC}')
wrong('a domain that stands twice', domains=f'[domain {DOMAIN}]\ndcs = {DC}')
wrong('a suffix of two domains', more_domain='suffixes = same.example', domains=f'[domain two.example]\ndcs = dc.two.example\nsuffixes = same.example')
wrong('a section that is unknown', domains='[nonsense]\nx = 1')
wrong('a line that is none', 'this is no line')
wrong('no domain at all', text='[connector]\nname = north\n')


def plain(words):
    """Without what differs from run to run."""
    words = re.sub(r'/dev/shm/[^ :,;)]*postern-faults[^ :,;)/]*(/[^ :,;)]*)?', lambda m: '…' + os.path.basename(m.group(1) or ''), words)
    words = re.sub(r'(127\.0\.0\.1|localhost):\d+', r'\1:PORT', words)
    words = re.sub(r'\d{4}-\d\d-\d\d \d\d:\d\d', 'DATE', words)
    # what libcurl says, which differs by its version and OpenSSL's
    words = re.sub(r'(OpenSSL/[\w.]+|TLS connect error): ', 'OpenSSL: ', words)
    words = words.replace('target ipv4 address', 'target host name')
    words = re.sub(r'\b(89[0-9]|90[0-9]) s ', '900 s ', words)
    words = re.sub(r'\b(11[5-9]|12[0-5]) s ', '120 s ', words)
    # whether an end of a connection is seen as one or as a reset is a matter of moments
    words = re.sub(r'(the port takes no TLS|the connection broke|dc_refused: KDC): (?!Connection refused).*', r'\1: it ended', words)
    return re.sub(r'\b\d+ ms\b', 'N ms', words)


def row(section, name, found):
    cell = '<br>'.join(f"`{s.get('code', s['step'])}` {plain(s['text'])}" + (f" — *{plain(s['remedy'])}*" if s.get('remedy') else '') for s in found)
    return section, f"| {name} | {cell.replace('|', chr(92) + '|')} |"


HEAD = '''# Faults, and what is said of them

Made by `test_faults.py --write`, which injects each of these faults for real and then compares: the codes of `postern check --json`, no other
cause's among them, and the sentences with their remedies. One row a fault.
'''


class FaultsTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        warnings.simplefilter('ignore', DeprecationWarning)  # TLS 1.1 is meant

    def one(self, certificates, folder, section, name, codes, inject):
        world = World(certificates, folder)
        with contextlib.ExitStack() as stack:
            good = stack.enter_context(Server(tls(certificates.make(GOOD), directory())))
            world.domain['ldaps_port'] = good
            world.relay = None
            after = section.startswith('What posternd')  # it breaks what the enrolment made
            if not after:
                inject(world, stack)
            if world.domain.get('tls') == 'starttls':
                world.domain['ldap_port'] = world.domain.pop('ldaps_port')
            if not world.domain.get('dcs', 'x'):
                del world.domain['dcs']
            if world.relay is None:
                port = stack.enter_context(Server(tls(certificates.make(RELAY), http(BAD_REQUEST))))
                world.relay = f'https://127.0.0.1:{port}'
            world.enroll(world.relay)
            if after:
                inject(world, stack)
            found, code = world.check()
        return section, name, codes, found, code

    def test_faults(self):
        self.assertGreaterEqual(len(FAULTS), 100)
        faults, rows = [], []
        with tempfile.TemporaryDirectory(prefix='postern-faults-', dir='/dev/shm') as folder, concurrent.futures.ThreadPoolExecutor(4) as pool:
            os.chmod(folder, 0o755)
            os.mkdir(os.path.join(folder, 'certs'))
            certificates = Certificates(os.path.join(folder, 'certs'))
            certificates.make(GOOD)
            def run(n):
                path = os.path.join(folder, f'w{n}')
                os.mkdir(path)
                try:
                    return self.one(certificates, path, *FAULTS[n])
                finally:
                    shutil.rmtree(path, ignore_errors=True)
            for section, name, codes, found, code in pool.map(run, range(len(FAULTS))):
                got = [s.get('code', s['step']) for s in found]
                if sorted(set(got)) != sorted(set(codes)) or code != any(s['result'] == 'failed' for s in found):
                    faults.append(f'{section}: {name}: {got} ({code}) instead of {codes}: {[s["text"] for s in found]}')
                rows.append(row(section, name, found))
        text = HEAD
        for section in dict.fromkeys(s for s, _ in rows):
            text += f'\n## {section}\n\n| fault | what is said |\n|---|---|\n' + ''.join(r + '\n' for s, r in rows if s == section)
        if WRITE:
            with open(TABLE, 'w', encoding='utf-8') as f:
                f.write(text)
        self.assertTrue(not faults, '\n' + '\n'.join(faults))
        with open(TABLE, encoding='utf-8') as f:
            self.assertEqual(f.read(), text, 'FAULTS.md is made anew by test_faults.py BUILD SOURCE --write')


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
