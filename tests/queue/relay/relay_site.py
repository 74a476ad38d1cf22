"""A real postern-relay on a free port, and small hand-made clients of it: service, administrator, connector, vandal."""
import base64
import http.client
import json
import os
import pty
import random
import secrets
import select
import signal
import socket
import ssl
import string
import subprocess
import tempfile
import threading
import time

RELAY, FORGE = None, None


def new_id():
    return ''.join(random.choices(string.ascii_letters + string.digits, k=26))


def forge(*args):
    return subprocess.run([FORGE, *map(str, args)], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def request_of(line):
    """The data of a request event: one line of fields with blanks between."""
    id, seq, budget, trace, shared, recipient, *_ = line.split(' ')
    return {'id': id, 'seq': int(seq), 'budget': int(budget), 'trace': trace, 'sealed': f'{shared}\n{recipient}\n'}


def b64u(data):
    return base64.urlsafe_b64encode(data).decode().rstrip('=')


def wait_for(what, probe, seconds=180):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = probe()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f'timeout: {what}')


def at_a_terminal(argv, *talk):
    """Runs a program that asks a person. talk: (what it asks, the answer; None ends the input). Its exit code and all that was seen."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(argv[0], argv)
    seen, talk = b'', list(talk)
    try:
        while True:
            if talk and talk[0][0].encode() in seen:
                answer = talk.pop(0)[1]
                os.write(fd, b'\x04' if answer is None else answer.encode() + b'\n')
            if not select.select([fd], [], [], 30)[0]:
                raise AssertionError(f'it asks nothing more: {seen!r}')
            try:
                data = os.read(fd, 4096)
            except OSError:  # it has ended
                break
            if not data:
                break
            seen += data
    finally:
        os.close(fd)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if talk:
        raise AssertionError(f'it never asked {talk[0][0]!r}: {seen!r}')
    return code, seen.decode(errors='replace').replace('\r\n', '\n')


def read_answer(s):
    """One whole answer with Content-Length from a raw connection."""
    data = b''
    while b'\r\n\r\n' not in data:
        part = s.recv(65536)
        if not part:
            return data
        data += part
    head, body = data.split(b'\r\n\r\n', 1)
    length = [int(line.split(b':')[1]) for line in head.split(b'\r\n') if line.lower().startswith(b'content-length:')]
    while length and len(body) < length[0]:
        part = s.recv(65536)
        if not part:
            break
        body += part
    return head + b'\r\n\r\n' + body


class Relay:
    """The process under test, with one tenant."""
    env = {}

    def __init__(self, tenant='acme', tail='', **settings):
        self.tmp = tempfile.TemporaryDirectory(prefix='relay-test-')
        self.dir = self.tmp.name
        os.mkdir(self.path('state'), 0o700)
        self.tls('server')
        keys = {'listen': '127.0.0.1:0', 'certificate': self.path('server.pem'), 'key': self.path('server.key'),
                'state_dir': self.path('state'), 'ready_file': self.path('ready'), 'log_level': 'debug', 'node': 'test-node', **settings}
        with open(self.path('relay.conf'), 'w', encoding='ascii') as f:
            f.write('[relay]\n' + ''.join(f'{k} = {v}\n' for k, v in keys.items()) + tail)
        self.tenant = tenant
        self.process = None
        self.begin()

    def begin(self):
        """Starts, and makes the tenant."""
        self.tenant_key = json.loads(forge('key', self.path('tenant.key')))
        self.start()
        made = json.loads(self.cli('tenant', 'add', self.tenant, '--pin', self.tenant_key['pin'], '--json'))
        self.admin, self.service = made['admin_secret'], made['service_secret']
        self.members, self.seq = [], 0

    def path(self, name):
        return os.path.join(self.dir, name)

    def tls(self, name, subject='/CN=relay'):
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '90', '-subj',
                        subject, '-addext', 'subjectAltName=IP:127.0.0.1', '-addext', 'keyUsage=critical,digitalSignature,keyCertSign', '-keyout', self.path(name + '.key'), '-out',
                        self.path(name + '.pem')], check=True, stderr=subprocess.DEVNULL)

    def cli(self, *words, check=True):
        run = subprocess.run([RELAY, '--config', self.path('relay.conf'), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if check and run.returncode:
            raise AssertionError(f'{words}: {run.stderr}')
        return run.stdout if check else run

    def start(self):
        if os.path.exists(self.path('ready')):
            os.unlink(self.path('ready'))
        self.log = open(self.path('log'), 'a', encoding='utf-8')
        self.process = subprocess.Popen([RELAY, '--config', self.path('relay.conf')], stdout=self.log, stderr=self.log,
                                        env={**os.environ, **self.env})
        wait_for('the relay is ready', lambda: self.alive() and os.path.exists(self.path('ready')))
        with open(self.path('ready'), encoding='ascii') as f:
            self.port = int(f.read().strip().rsplit(':', 1)[1])

    def alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f'the relay ended with {self.process.returncode}:\n' + self.log_text()[-4000:])
        return True

    def log_text(self):
        with open(self.path('log'), encoding='utf-8', errors='replace') as f:
            return f.read()

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(20)
        self.log.close()
        return self.process.returncode

    def close(self):
        code = self.stop()
        log = self.log_text()
        self.tmp.cleanup()
        if code != 0 or 'Sanitizer' in log or 'runtime error' in log:
            raise AssertionError(f'the relay ended with {code}:\n{log[-6000:]}')

    # -- raw connections --
    def context(self, cert=None, key=None):
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname = False
        ctx.load_verify_locations(self.path('server.pem'))
        if cert:
            ctx.load_cert_chain(cert, key)
        return ctx

    def connect(self, cert=None, key=None, timeout=200):
        raw = socket.create_connection(('127.0.0.1', self.port), timeout)
        return self.context(cert, key).wrap_socket(raw)

    def request(self, method, path, body=None, headers=None, cert=None, timeout=200):
        """(status, headers, body); JSON bodies are parsed."""
        c = http.client.HTTPSConnection('127.0.0.1', self.port, context=self.context(*(cert or ())), timeout=timeout)
        try:
            c.request(method, path, body, headers or {})
            r = c.getresponse()
            data = r.read()
        finally:
            c.close()
        if 'json' in (r.headers.get('Content-Type') or ''):
            data = json.loads(data)
        return r.status, r.headers, data

    # -- service and administrator --
    def tenant_path(self, what):
        return f'/v1/tenants/{self.tenant}/{what}'

    def as_service(self, **more):
        return {'Authorization': 'Bearer ' + self.service, **more}

    def as_admin(self, **more):
        return {'Authorization': 'Bearer ' + self.admin, **more}

    def put_roster(self, text, **more):
        return self.request('PUT', self.tenant_path('roster'), text, self.as_admin(**{'Content-Type': 'application/jose', **more}))

    def roster(self, seq=None, key='tenant.key', tenant=None, life=86400):
        self.seq = seq or self.seq + 1
        return forge('roster', self.path(key), tenant or self.tenant, self.seq, life, *self.members)

    def approve(self, *connectors):
        for c in connectors:
            self.members.append(f'c:{c.id}:{c.name}:{c.key_file}')
        status, _, body = self.put_roster(self.roster())
        assert status == 204, (status, body)

    def seal(self, *connectors, length=2048):
        return forge('seal', length, *[c.enc_file for c in connectors]) + '\n'

    def sign_in(self, jwe, id=None, budget=None, **more):
        headers = self.as_service(**{'Content-Type': 'application/postern-request', 'Postern-Id': id or new_id()})
        if budget:
            headers['Postern-Budget'] = str(budget)
        headers.update(more)
        return self.request('POST', self.tenant_path('sign-ins'), jwe, headers)

    def sign_in_later(self, jwe, **more):
        """A sign-in on a thread of its own; result() waits for the answer."""
        class Later(threading.Thread):
            def run(me):
                me.answer = self.sign_in(jwe, **more)

            def result(me):
                me.join(25)
                return me.answer
        later = Later()
        later.start()
        return later


class Connector:
    """Enrols, holds a stream, reports: what a connector does, by hand."""

    def __init__(self, relay, name='dc1', enrol=True):
        self.relay, self.name, self.id, self.boot = relay, name, new_id(), b64u(secrets.token_bytes(16))
        self.key_file, self.enc_file = relay.path(self.id + '.identity'), relay.path(self.id + '.enc')
        self.identity = json.loads(forge('key', self.key_file))
        forge('key', self.enc_file)
        self.transport = relay.path(self.id + '.key')
        forge('key', self.transport)
        self.cert = relay.path(self.id + '.pem')
        self.stream, self.session, self.events, self.granted, self.statement_seq = None, None, b'', 0, 0
        self.pending = []
        if enrol:
            status, _, body = self.enrol(relay.cli('token', relay.tenant, name).strip())
            assert status == 200, (status, body)
            self.save_cert(body)

    def twin(self, boot=None):
        """One more of the same identity, linked by a stream of its own; boot: that of the other, or a new one."""
        twin = Connector(self.relay, self.name, enrol=False)
        for name in ('id', 'identity', 'key_file', 'cert', 'transport'):
            setattr(twin, name, getattr(self, name))
        twin.boot = boot or twin.boot
        return twin

    def at(self, relay):
        """The same start of it, for a link to another node."""
        if relay is self.relay and not self.stream:
            return self
        other = self.twin(self.boot)
        other.enc_file, other.relay, other.statement = self.enc_file, relay, self.statement
        return other

    def enrol(self, token, name=None, tenant=None, key=None, id=None):
        csr = forge('csr', key or self.transport, tenant or self.relay.tenant, id or self.id)
        basic = base64.b64encode(f'{name or self.name}:{token}'.encode()).decode()
        return self.relay.request('POST', f'/.well-known/est/{self.relay.tenant}/simpleenroll', csr,
                                  {'Authorization': 'Basic ' + basic, 'Content-Type': 'application/pkcs10'})

    def save_cert(self, pkcs7, path=None):
        der = base64.b64decode(pkcs7)
        pem = subprocess.run(['openssl', 'pkcs7', '-inform', 'DER', '-print_certs'], input=der, check=True, stdout=subprocess.PIPE).stdout
        with open(path or self.cert, 'wb') as f:
            f.write(pem)

    def credentials(self):
        return self.cert, self.transport

    def call(self, method, path, body=None, headers=None):
        return self.relay.request(method, path, body, headers, cert=self.credentials())

    def announce(self, age=0, id=None, key=None, domains=None):
        proof = forge('proof', key or self.key_file, self.relay.tenant, id or self.id, age, *([json.dumps(domains)] if domains else []))
        body = json.dumps({'jwk': self.identity['jwk'], 'proof': proof})
        return self.call('PUT', '/v1/link/identity', body, {'Content-Type': 'application/json'})

    # -- the stream --
    def open_stream(self, receive_buffer=None, agent='test/1'):
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(20)
        raw.connect(('127.0.0.1', self.relay.port))
        self.stream = self.relay.context(*self.credentials()).wrap_socket(raw)
        self.stream.sendall(f'GET /v1/link/stream?boot={self.boot} HTTP/1.1\r\nHost: relay\r\nUser-Agent: {agent}\r\n\r\n'.encode())
        self.events, self.granted = b'', 0
        head = self.read_until(b'\r\n\r\n')
        assert head.startswith(b'HTTP/1.1 200 '), head
        assert b'text/event-stream' in head and b'chunked' in head, head
        name, hello = self.event()
        assert name == 'hello', name
        self.session = hello['session']
        return hello

    def read_until(self, mark):
        while mark not in self.events:
            data = self.stream.recv(65536)
            if not data:
                raise EOFError('the stream ended')
            self.events += data
        part, self.events = self.events.split(mark, 1)
        return part

    def read_chunk(self):
        """One chunk of the stream, its events into self.pending."""
        size = int(self.read_until(b'\r\n') or b'0', 16)
        if size == 0:
            raise EOFError('the stream ended properly')
        while len(self.events) < size + 2:
            data = self.stream.recv(65536)
            if not data:
                raise EOFError('the stream ended')
            self.events += data
        chunk, self.events = self.events[:size], self.events[size + 2:]
        self.pending += [text for text in chunk.decode().split('\n\n') if text and not text.startswith(':')]

    def event(self, seconds=180):
        """The next event: (name, data). Heartbeats are skipped."""
        self.stream.settimeout(seconds)
        while not self.pending:
            self.read_chunk()
        name, data = self.pending.pop(0).split('\n', 1)
        name, data = name.removeprefix('event: '), data.removeprefix('data: ')
        return name, request_of(data) if name in ('request', 'question') else json.loads(data)

    def next(self, wanted, seconds=180):
        """The next event of this name."""
        while True:
            name, data = self.event(seconds)
            if name == wanted:
                return data

    def report(self, items=(), credit=0, ready=True, reasons=(), load=0.0, statement=None, **more):
        self.granted += credit
        body = {'session': self.session, 'boot': self.boot, 'granted': self.granted, 'ready': {'corp.example': ready},
                'reasons': list(reasons), 'load': load, 'items': list(items), **more}
        if statement:
            body['statement'] = statement
        return self.call('POST', '/v1/link/report', json.dumps(body), {'Content-Type': 'application/json'})

    def statement(self, key=None, id=None):
        self.statement_seq += 1
        return forge('statement', key or self.key_file, self.relay.tenant, id or self.id, self.boot, self.statement_seq, self.enc_file,
                     'corp.example')

    def go(self, credit=16, **more):
        """Open a stream and be ready."""
        self.open_stream(**more)
        status, _, body = self.report(credit=credit, statement=self.statement())
        assert status == 200, (status, body)

    def hang_up(self):
        self.stream.close()
        self.stream, self.pending = None, []
