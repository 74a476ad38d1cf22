"""A postern-gateway beside a Site: its configuration, its process, and how applications ask it."""
import base64
import contextlib
import http.client
import json
import os
import socket

from postern_site import Daemon, SiteError, wait_for

# Accounts that every Debian has, one per process, as of the connectors.
USERS = 'user_doors = daemon\nuser_sealer = nobody\nuser_link = bin\n' if os.geteuid() == 0 else ''


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a UNIX socket."""

    def __init__(self, path, timeout=60):
        super().__init__('localhost', timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Gateway:
    """One postern-gateway with a folder of its own. It listens on a UNIX socket and on loopback."""

    GUARD = 'without_guard = allow\n'  # the connectors of most tests only watch

    def __init__(self, site, settings='', sections='', listen='127.0.0.1:0'):
        self.site = site
        self.dir = os.path.join(site.dir, 'gateway')
        os.makedirs(self.dir, mode=0o755)
        os.makedirs(os.path.join(self.dir, 'state'), mode=0o700)
        self.socket = os.path.join(self.dir, 'gateway.sock')
        self.ready_file = os.path.join(self.dir, 'ready')
        self.config = os.path.join(self.dir, 'gateway.conf')
        self.log = os.path.join(self.dir, 'log')
        self.listen = listen
        self.daemon = self.port = None
        self.write_config(settings, sections)

    def write_config(self, settings='', sections=''):
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write(f'[gateway]\nservice = {self.site.service}\nstate_dir = {self.dir}/state\nready_file = {self.ready_file}\n'
                    f'listen = unix:{self.socket}\nlisten = {self.listen}\n{USERS}{self.GUARD}{settings}\n{sections}')

    def program(self):
        return os.path.join(self.site.build, 'queue/gateway/postern-gateway')

    def check(self):
        """--check-config: (exit code, what it says)."""
        done = self.site.run([self.program(), '--config', self.config, '--check-config'], check=False)
        return done.returncode, done.stdout + done.stderr

    def start(self, ready=True):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.ready_file)
        self.daemon = Daemon('postern-gateway', [self.program(), '--config', self.config], self.log, self.site.env)
        wait_for('postern-gateway listens', lambda: self.daemon.check() and os.path.exists(self.ready_file))
        with open(self.ready_file, encoding='ascii') as f:
            self.port = [int(line.rsplit(':', 1)[1]) for line in f if '/' not in line][0]
        if ready:
            self.wait_ready()

    def wait_ready(self):
        try:
            wait_for('postern-gateway is ready', lambda: self.daemon.check() and self.get('/readyz')[0] == 200)
        except SiteError as e:
            raise SiteError(f'{e}; its log ends:\n{self.daemon.tail()}') from None

    def connection(self, tcp=False):
        return http.client.HTTPConnection('127.0.0.1', self.port, timeout=60) if tcp else UnixConnection(self.socket)

    def request(self, method, path, body=None, headers=None, tcp=False):
        """(status, headers in lower case, body)."""
        conn = self.connection(tcp)
        try:
            conn.request(method, path, body=body, headers=headers or {})
            answer = conn.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            conn.close()

    def get(self, path, **more):
        return self.request('GET', path, **more)

    def post(self, path, what, **more):
        headers = {'Content-Type': 'application/json', **more.pop('headers', {})}
        status, headers, body = self.request('POST', path, json.dumps(what), headers, **more)
        return status, json.loads(body), headers

    def sign_in(self, user, password, **more):
        """The verdict, which any question that was taken gets."""
        status, answer, _ = self.post('/v1/sign-in', {'username': user, 'password': password, **more})
        if status != 200:
            raise SiteError(f'sign-in: {status} {answer}')
        return answer

    def forward(self, user, password, headers=None, **more):
        pair = base64.b64encode(f'{user}:{password}'.encode()).decode()
        return self.get('/v1/forward', headers={'Authorization': f'Basic {pair}', **(headers or {})}, **more)

    def stop(self):
        return self.daemon.stop() if self.daemon else None
