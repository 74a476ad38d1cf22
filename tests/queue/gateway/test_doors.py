#!/usr/bin/python3
"""The gateway's doors for software that knows nothing of it, on the sandbox: every reason, without a domain.

usage: test_doors.py BUILD
"""
import grp
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import unittest

BUILD = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'e2e'))
from gateway_site import Gateway  # noqa: E402
from postern_site import wait_for  # noqa: E402


class Sandbox:
    """What a Site is to a Gateway."""

    def __init__(self, directory):
        self.build, self.dir = BUILD, directory
        self.env = {**os.environ, 'HOME': directory}
        self.process = subprocess.Popen([os.path.join(BUILD, 'connector/sandbox/postern-sandbox'), '--json', '--quiet'],
                                        stdout=subprocess.PIPE, text=True)
        self.facts = json.loads(self.process.stdout.readline())
        self.service = self.facts['service']

    def run(self, argv, check=True):
        return subprocess.run(argv, capture_output=True, text=True, env=self.env, timeout=60, check=check)

    def close(self):
        self.process.terminate()
        self.process.communicate(timeout=60)


def counted(text):
    data = text.encode()
    return struct.pack('>H', len(data)) + data


class Records(unittest.TestCase):
    def test_whose_names_are_told(self):
        """events_names = clear: those that an answer showed to be an account's. People type passwords into the name's box."""
        top = tempfile.TemporaryDirectory(prefix='postern-records-')
        self.addCleanup(top.cleanup)
        os.chmod(top.name, 0o755)
        site = Sandbox(top.name)
        self.addCleanup(site.close)
        gateway = Gateway(site, settings=f'sandbox = yes\nevents_file = {top.name}/events.jsonl\nevents_names = clear\nname_failures = 1000\n')
        gateway.start()
        self.addCleanup(gateway.stop)

        def record(user, password):
            answer = gateway.sign_in(user, password)

            def found():
                if not os.path.exists(f'{top.name}/events.jsonl'):
                    return None
                with open(f'{top.name}/events.jsonl', encoding='utf-8') as f:
                    return [r for r in map(json.loads, f.read().splitlines()) if r.get('id') == answer['id']]
            told = wait_for('the record', found)[0]
            self.assertEqual(told['reason'], answer['reason'])
            return told
        pseudonym = record('ok@sandbox.invalid', 'wrong')['pseudonym']
        for user, password, reason, name in (
                ('ok@sandbox.invalid', 'wrong 2', 'wrong_password', None), ('throttled@sandbox.invalid', 'x', 'throttled', None),
                ('ok@sandbox.invalid', 'sandbox', 'ok', 'ok@sandbox.invalid'), ('ok@sandbox.invalid', 'wrong 3', 'wrong_password', 'ok@sandbox.invalid'),
                ('disabled@sandbox.invalid', 'sandbox', 'disabled', 'disabled@sandbox.invalid')):
            with self.subTest(user=user, password=password):
                told = record(user, password)
                self.assertEqual((told['reason'], told.get('user')), (reason, name))
                self.assertEqual(told['pseudonym'] == pseudonym, user == 'ok@sandbox.invalid')


    @unittest.skipUnless(os.geteuid() == 0, 'a file system that is full is mounted by root alone')
    def test_a_full_disk_keeps_nobody_from_signing_in(self):
        """The key of the pseudonyms cannot be stored: a warning, and records by one that lasts. With room it is kept, and half of one counts as none."""
        top = tempfile.TemporaryDirectory(prefix='postern-full-')
        self.addCleanup(top.cleanup)
        os.chmod(top.name, 0o755)
        site = Sandbox(top.name)
        self.addCleanup(site.close)
        gateway = Gateway(site, settings=f'sandbox = yes\nevents_file = {top.name}/events.jsonl\n')
        state = f'{gateway.dir}/state'
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=4k,mode=700', 'none', state], check=True)
        self.addCleanup(subprocess.run, ['umount', state], check=True)
        with open(f'{state}/filling', 'wb') as f:
            f.write(bytes(4096))
        size = []

        def pseudonym():
            gateway.start()
            answer = gateway.sign_in('ok@sandbox.invalid', 'sandbox')
            self.assertEqual(answer['verdict'], 'accepted')

            def found():
                if not os.path.exists(f'{top.name}/events.jsonl'):
                    return None
                with open(f'{top.name}/events.jsonl', encoding='utf-8') as f:
                    return [r['pseudonym'] for r in map(json.loads, f.read().splitlines()) if r.get('id') == answer['id']]
            told = wait_for('the record', found)[0]
            gateway.stop()
            size.append(os.path.getsize(f'{state}/events-key') if os.path.exists(f'{state}/events-key') else 0)
            return told
        without = pseudonym()
        with open(gateway.log, encoding='utf-8') as f:
            self.assertRegex(f.read(), 'events.no_key .*No space left')
        os.unlink(f'{state}/filling')
        subprocess.run(['mount', '-o', 'remount,size=64k', state], check=True)
        first = pseudonym()
        self.assertEqual(pseudonym(), first)
        os.truncate(f'{state}/events-key', 16)
        other = pseudonym()
        self.assertEqual((size, len({without, first, other})), ([0, 32, 32, 32], 3))


class Doors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.TemporaryDirectory(prefix='postern-doors-')
        cls.addClassCleanup(cls.top.cleanup)
        os.chmod(cls.top.name, 0o755)
        cls.site = Sandbox(cls.top.name)
        cls.addClassCleanup(cls.site.close)
        cls.sasl = os.path.join(cls.top.name, 'mux')
        cls.gateway = Gateway(cls.site, settings=f'listen = saslauthd:{cls.sasl}\nsandbox = yes\nname_failures = 1000\nsource_failures = 100000\n')
        cls.addClassCleanup(lambda: cls.gateway.daemon and cls.gateway.daemon.stop())
        cls.gateway.start()

    def ask_sasl(self, login, password, service='imap', realm='', pieces=False):
        """What comes back, whole, until the end."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(self.sasl)
            question = b''.join(map(counted, (login, password, service, realm)))
            for part in [question[i:i + 1] for i in range(len(question))] if pieces else [question]:
                s.sendall(part)
            said = b''
            while part := s.recv(99):
                said += part
        return said

    def test_saslauthd(self):
        yes, no = b'\0\2OK', b'\0\2NO'
        for login, password, realm, said in (
                ('ok@sandbox.invalid', 'sandbox', '', yes), ('ok', 'sandbox', 'sandbox.invalid', yes), ('ok', 'sandbox', '', yes),
                ('SANDBOX\\ok', 'sandbox', 'ignored.example', yes), ('ok@sandbox.invalid', 'wrong', '', no), ('ok@sandbox.invalid', '', '', no),
                ('locked@sandbox.invalid', 'sandbox', '', no), ('must-change@sandbox.invalid', 'sandbox', '', no),
                ('throttled@sandbox.invalid', 'x', '', no), ('nobody@elsewhere.example', 'x', '', no),
                ('no-dc@sandbox.invalid', 'sandbox', '', b''), ('outcome-unknown@sandbox.invalid', 'sandbox', '', b'')):
            with self.subTest(login=login, password=password):
                self.assertEqual(self.ask_sasl(login, password, realm=realm), said)
        self.assertEqual(self.ask_sasl('ok@sandbox.invalid', 'sandbox', pieces=True), yes)

    def test_saslauthd_that_break_the_rules(self):
        """Whoever says too much, or something else, is closed on without a word; the others notice nothing."""
        for question in (b'\xff\xff', counted('a' * 257), b''.join(map(counted, 'abcd')) + b'more', b'GET / HTTP/1.1\r\n\r\n' * 200):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(60)
                s.connect(self.sasl)
                try:
                    s.sendall(question)
                    said = s.recv(99)
                except (BrokenPipeError, ConnectionResetError):
                    said = b''
                self.assertEqual(said, b'')
        idle = [socket.socket(socket.AF_UNIX) for _ in range(100)]
        for s in idle:
            s.connect(self.sasl)
        gone = socket.socket(socket.AF_UNIX)  # before its answer
        gone.connect(self.sasl)
        gone.sendall(b''.join(map(counted, ('slow@sandbox.invalid', 'sandbox', 'imap', ''))))
        gone.close()
        self.assertEqual(self.ask_sasl('ok@sandbox.invalid', 'sandbox'), b'\0\2OK')
        for s in idle:
            s.close()

    def test_many_at_once(self):
        """Half heads of strangers, and more sign-ins at once than a megabyte has room for, shut nobody out."""
        half = [socket.create_connection(('127.0.0.1', self.gateway.port), timeout=60) for _ in range(300)]
        for s in half:
            self.addCleanup(s.close)
            s.sendall(b'POST /v1/sign-in HTTP/1.1\r\n')
        self.assertEqual(self.gateway.sign_in('ok@sandbox.invalid', 'sandbox')['verdict'], 'accepted')
        asked = [('slow@sandbox.invalid', 'sandbox', 'accepted')] * 150 + [('ok@sandbox.invalid', f'wrong {i}', 'refused') for i in range(150)]
        under_way = [self.gateway.connection(tcp=i % 2 == 0) for i in range(len(asked))]
        for conn, (user, password, _) in zip(under_way, asked):
            self.addCleanup(conn.close)
            conn.request('POST', '/v1/sign-in', json.dumps({'username': user, 'password': password}), {'Content-Type': 'application/json'})
        said = [conn.getresponse() for conn in under_way]
        self.assertEqual({answer.status for answer in said}, {200})
        self.assertEqual([json.loads(answer.read())['verdict'] for answer in said], [verdict for _, _, verdict in asked])

    def connections_to_the_relay(self):
        """By their numbers in the kernel."""
        children = subprocess.run(['pgrep', '-P', str(self.gateway.daemon.pid)], stdout=subprocess.PIPE, text=True, check=True).stdout.split()
        port = int(self.site.facts['relay'].rsplit(':', 1)[1])
        with open('/proc/net/tcp', encoding='ascii') as f:
            to_relay = {line.split()[9] for line in f if line.split()[2].endswith(f':{port:04X}')}
        held = set()
        for pid in children:
            for fd in os.listdir(f'/proc/{pid}/fd'):
                name = os.readlink(f'/proc/{pid}/fd/{fd}')
                held |= {name[8:-1]} & to_relay if name.startswith('socket:[') else set()
        return held

    def test_connections_are_kept(self):
        """Sign-ins side by side do not begin with a handshake each: the next go by the same connections."""
        def many():
            under_way = [self.gateway.connection() for _ in range(16)]
            for i, conn in enumerate(under_way):
                name = ''.join(c.upper() if i >> at & 1 else c for at, c in enumerate('slow'))  # no two are the same question
                conn.request('POST', '/v1/sign-in', json.dumps({'username': name + '@sandbox.invalid', 'password': 'sandbox'}),
                             {'Content-Type': 'application/json'})
            for conn in under_way:
                self.assertEqual(json.loads(conn.getresponse().read())['verdict'], 'accepted')
                conn.close()
        many()
        before = self.connections_to_the_relay()
        self.assertGreaterEqual(len(before), 16)
        many()
        self.assertGreaterEqual(len(before & self.connections_to_the_relay()), 16)

    def test_http_says_that_it_is_a_sandbox(self):
        status, headers, _ = self.gateway.request('GET', '/readyz')
        self.assertEqual((status, headers['postern-sandbox']), (200, 'no password is checked here'))


    def test_status(self):
        """postern-gateway status: what it did, the last fault with its id, who is stopped; 0 only where it is ready."""
        def status(*words):
            done = self.site.run([self.gateway.program(), '--config', self.gateway.config, 'status', *words], check=False)
            return done.returncode, done.stdout + done.stderr
        before = json.loads(status('--json')[1])
        self.gateway.sign_in('ok@sandbox.invalid', 'sandbox')
        self.gateway.sign_in('ok@sandbox.invalid', 'wrong')
        fault = self.gateway.sign_in('no-dc@sandbox.invalid', 'x')
        code, text = status('--json')
        after = json.loads(text)
        self.assertEqual((code, after['ready'], after['names_stopped']), (0, True, 0), text)
        self.assertEqual([after['sign_ins'][v] - before['sign_ins'][v] for v in ('accepted', 'refused', 'unavailable', 'remembered')], [1, 1, 1, 0])
        self.assertEqual((after['last_fault']['reason'], after['last_fault']['id']), ('no_dc', fault['id']))
        code, text = status()
        self.assertEqual(code, 0, text)
        self.assertIn('ready: sign-ins can be decided\n', text)
        self.assertIn(f'last one that nobody could decide: no_dc (id {fault["id"]}, ', text)
        with open(os.path.join(self.top.name, 'other.conf'), 'w', encoding='ascii') as f:
            f.write(f'[gateway]\nlisten = unix:{self.top.name}/nothing\n')
        done = self.site.run([self.gateway.program(), '--config', f.name, 'status'], check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('is postern-gateway running', done.stderr)
        self.assertEqual(self.site.run([self.gateway.program(), 'state'], check=False).returncode, 2)
        self.assertEqual(self.site.run([self.gateway.program(), '--json'], check=False).returncode, 2)
        self.assertEqual(self.gateway.request('GET', '/v1/status', tcp=True)[0], 404)

    @unittest.skipUnless(os.geteuid() == 0, 'sockets become another group\'s by root alone')
    def test_a_reload_with_another_group(self):
        """The socket that goes on listening becomes the group's; a group that is none changes nothing."""
        def reload(more, until):
            with open(self.gateway.config, 'w', encoding='utf-8') as f:
                f.write(before + more)
            os.kill(self.gateway.daemon.pid, signal.SIGHUP)
            wait_for('the reload is done', until)
            self.assertEqual(self.gateway.sign_in('ok@sandbox.invalid', 'sandbox')['verdict'], 'accepted')

        def groups():
            return {os.stat(path).st_gid for path in (self.gateway.socket, self.sasl)}

        def refused():
            with open(self.gateway.log, encoding='utf-8') as f:
                return any('reload.refused' in line and 'postern-no-such-group' in line for line in f)
        with open(self.gateway.config, encoding='utf-8') as f:
            before = f.read()
        inode, users = os.stat(self.gateway.socket).st_ino, grp.getgrnam('users').gr_gid
        self.assertEqual(groups(), {os.getegid()})
        reload('socket_group = users\n', lambda: groups() == {users})
        reload('socket_group = postern-no-such-group\n', refused)
        self.assertEqual((groups(), os.stat(self.gateway.socket).st_mode & 0o777), ({users}, 0o660))
        reload('', lambda: groups() == {os.getegid()})
        self.assertEqual(os.stat(self.gateway.socket).st_ino, inode)

    def test_examples(self):
        """The programs of queue/gateway/examples, in each language that is there."""
        examples = os.path.join(HERE, '..', '..', '..', 'queue', 'gateway', 'examples')
        programs = [['/usr/bin/python3', '-B', os.path.join(examples, 'sign_in.py')]]
        if shutil.which('node'):
            programs.append(['node', os.path.join(examples, 'sign-in.mjs')])
        if shutil.which('go'):
            built = os.path.join(self.top.name, 'sign-in-go')
            env = {**os.environ, 'GO111MODULE': 'off', 'GOFLAGS': '', 'GOCACHE': os.environ.get('GOCACHE') or os.path.join(self.top.name, 'go')}
            subprocess.run(['go', 'build', '-o', built, os.path.join(examples, 'sign_in.go')], check=True, env=env, timeout=300)
            programs.append([built])
        java = shutil.which('java') and shutil.which('javac')
        if java:
            programs.append(['java', os.path.join(examples, 'SignIn.java')])
        for program in programs:
            for user, password, good, says in (('ok@sandbox.invalid', 'sandbox', True, 'corp.sandbox.invalid S-1-5-21-'),
                                               ('ok@sandbox.invalid', 'wrong', False, 'refused: The user name or the password is wrong.'),
                                               ('no-dc@sandbox.invalid', 'x', False, 'unavailable: '),
                                               ('x' * 9000, 'x', False, 'unavailable: ')):  # more than the gateway reads: a problem
                with self.subTest(program=program[-1], user=user[:30], password=password):
                    where = f'http://127.0.0.1:{self.gateway.port}' if program[0] == 'java' else self.gateway.socket
                    done = subprocess.run([*program, where, user], input=password + '\n', capture_output=True, text=True, timeout=60,
                                          check=False)
                    self.assertEqual(done.returncode == 0, good, done.stderr)
                    self.assertIn(says, done.stdout + done.stderr)


@unittest.skipUnless(shutil.which('node'), 'node is not installed')
class Auth0(unittest.TestCase):
    """queue/gateway/auth0/login.js, as Auth0 runs it; the gateway by TLS at an address, as AUTH0.md has it."""

    def ask(self, user, password, **settings):
        done = subprocess.run(['node', os.path.join(HERE, 'auth0.mjs'), os.path.join(HERE, '..', '..', '..', 'queue', 'gateway', 'auth0', 'login.js'),
                               json.dumps({**self.settings, **settings}), user], input=password, capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def test(self):
        with tempfile.TemporaryDirectory(prefix='postern-auth0-') as top:
            os.chmod(top, 0o755)
            secret = 'a' * 64
            with open(os.path.join(top, 'secret'), 'w', encoding='ascii') as f:
                f.write(secret)
            os.chmod(f.name, 0o600)
            subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', f'{top}/key.pem', '-out', f'{top}/cert.pem',
                            '-days', '2', '-subj', '/CN=gateway', '-addext', 'subjectAltName=IP:127.0.0.1'], check=True, capture_output=True)
            site = Sandbox(top)
            self.addCleanup(site.close)
            gateway = Gateway(site, settings=f'listen = https:127.0.0.1:0\ncertificate = {top}/cert.pem\nkey = {top}/key.pem\nsandbox = yes\nname_failures = 1000\n',
                              sections=f'[application auth0]\nsecret_file = {top}/secret\n')
            gateway.start()
            self.addCleanup(gateway.daemon.stop)
            with open(gateway.ready_file, encoding='ascii') as f:
                port = int(re.search(r'^https:127.0.0.1:(\d+)$', f.read(), re.M)[1])
            with open(f'{top}/cert.pem', encoding='ascii') as f:
                self.settings = {'POSTERN_URL': f'https://127.0.0.1:{port}', 'POSTERN_SECRET': secret, 'POSTERN_CA': f.read()}
            user = gateway.sign_in('ok@sandbox.invalid', 'sandbox')['user']
            said = self.ask('ok@sandbox.invalid', 'sandbox')['profile']
            self.assertEqual((said['user_id'], said['email'], said['email_verified']), (f'{user["domain"]}:{user["id"]}', 'ok@sandbox.invalid', False))
            self.assertEqual(self.ask('SANDBOX\\ok', 'sandbox')['profile']['user_id'], said['user_id'])
            for name, password, settings, error, text in (
                    ('ok@sandbox.invalid', 'wrong', {}, 'WrongUsernameOrPasswordError', 'The user name or the password is wrong.'),
                    ('nobody@sandbox.invalid', 'x', {}, 'WrongUsernameOrPasswordError', ''), ('ok@sandbox.invalid', '', {}, 'WrongUsernameOrPasswordError', ''),
                    ('disabled@sandbox.invalid', 'sandbox', {}, 'UnauthorizedError', 'disabled'), ('must-change@sandbox.invalid', 'sandbox', {}, 'UnauthorizedError', ''),
                    ('throttled@sandbox.invalid', 'x', {}, 'UnauthorizedError', ''), ('no-dc@sandbox.invalid', 'sandbox', {}, 'Error', 'no_dc'),
                    ('outcome-unknown@sandbox.invalid', 'sandbox', {}, 'Error', 'outcome_unknown'), ('ok@sandbox.invalid', 'sandbox', {'POSTERN_SECRET': 'b' * 64}, 'Error', 'HTTP 401'),
                    ('ok@sandbox.invalid', 'sandbox', {'POSTERN_CA': ''}, 'Error', 'self-signed'), ('x' * 9000, 'x', {}, 'Error', 'HTTP 413'),
                    ('ok@sandbox.invalid', 'sandbox', {'POSTERN_URL': 'https://127.0.0.1:1'}, 'Error', 'ECONNREFUSED')):
                with self.subTest(name=name[:40], password=password, settings=list(settings)):
                    answer = self.ask(name, password, **settings)
                    self.assertEqual(answer.get('error'), error, answer)
                    self.assertIn(text, answer['message'])


class HangUps(unittest.TestCase):
    def test(self):
        """Whoever closes before the answer is judged by the answer all the same: it is no failure where the password was right."""
        with tempfile.TemporaryDirectory(prefix='postern-doors-') as top:
            os.chmod(top, 0o755)
            site = Sandbox(top)
            self.addCleanup(site.close)
            gateway = Gateway(site, settings='sandbox = yes\nname_failures = 3\nfailure_window = 3600\n')
            gateway.start()
            self.addCleanup(gateway.daemon.stop)

            def answered(verdict):
                return sum(float(line.split()[-1]) for line in gateway.get('/metrics')[2].decode().split('\n')
                           if line.startswith('postern_gateway_sign_ins_total{verdict="%s"' % verdict))

            def hang_up(password, verdict):
                before = answered(verdict)
                body = json.dumps({'username': 'slow@sandbox.invalid', 'password': password})
                conn = gateway.connection()
                conn.request('POST', '/v1/sign-in', body, {'Content-Type': 'application/json'})
                conn.close()
                wait_for('the verdict is there', lambda: answered(verdict) == before + 1)
            for _ in range(4):
                hang_up('sandbox', 'accepted')
            self.assertEqual(gateway.sign_in('slow@sandbox.invalid', 'sandbox')['verdict'], 'accepted')
            for i in range(3):
                hang_up(f'wrong {i}', 'refused')
            self.assertEqual(gateway.sign_in('slow@sandbox.invalid', 'sandbox')['reason'], 'throttled')
            self.assertEqual(json.loads(gateway.get('/v1/status')[2])['names_stopped'], 1)
            with open(gateway.log, encoding='utf-8') as log:
                self.assertEqual(log.read().count('sign_in.forgotten'), 7)


class Sources(unittest.TestCase):
    def test(self):
        """A web server's user who fails too often is stopped by address; a server that names no user's address stops nobody else."""
        with tempfile.TemporaryDirectory(prefix='postern-doors-') as top:
            os.chmod(top, 0o755)
            site = Sandbox(top)
            self.addCleanup(site.close)
            gateway = Gateway(site, settings='sandbox = yes\nname_failures = 1000\nsource_failures = 3\nfailure_window = 3600\n')
            gateway.start()
            self.addCleanup(gateway.daemon.stop)
            for tcp in (False, True):
                self.assertEqual([gateway.forward('ok@sandbox.invalid', f'wrong {i}', tcp=tcp)[0] for i in range(5)], [401] * 5)
                user = {'X-Forwarded-For': f'192.0.2.{tcp + 1}'}
                self.assertEqual([gateway.forward('ok@sandbox.invalid', f'wrong {i}', user, tcp=tcp)[0] for i in range(5)], [401] * 3 + [403] * 2)
                self.assertEqual(gateway.forward('ok@sandbox.invalid', 'sandbox', user, tcp=tcp)[0], 403)
                self.assertEqual(gateway.forward('ok@sandbox.invalid', 'sandbox', tcp=tcp)[0], 204)
            self.assertEqual(json.loads(gateway.get('/v1/status')[2])['sources_stopped'], 2)


class Ordinary(unittest.TestCase):
    def test_an_ordinary_gateway_takes_no_sandbox(self):
        with tempfile.TemporaryDirectory(prefix='postern-doors-') as top:
            os.chmod(top, 0o755)
            site = Sandbox(top)
            self.addCleanup(site.close)
            gateway = Gateway(site)
            gateway.start(ready=False)
            self.addCleanup(gateway.daemon.stop)
            wait_for('the gateway tells why', lambda: 'sandbox' in str(gateway.request('GET', '/readyz')))
            status, _, body = gateway.request('POST', '/v1/sign-in', json.dumps({'username': 'ok@sandbox.invalid', 'password': 'sandbox'}),
                                              {'Content-Type': 'application/json'})
            self.assertNotIn(b'accepted', body, status)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
