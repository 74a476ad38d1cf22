"""Sign-ins that go on while connectors renew their certificates."""
import os
import socket
import ssl
import subprocess
import threading

from e2e import SiteTest, lab_clock, wait_for

# The relay's clock is behind by this, within what everybody tolerates. So its certificates of three minutes, which are
# renewed after two, are renewed 6 to 24 s after their making, and end 75 s after it.
LIFE_S, BEHIND_S = 180, 105
ENOUGH, PAUSE_S = 10, 0.2


class Proxy(threading.Thread):
    """CONNECT and nothing else, counting what it was asked for; by TLS where it has a certificate and its key."""

    def __init__(self, name='127.0.0.1', cert=None, key=None):
        super().__init__(daemon=True)
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.url = f'{"https" if cert else "http"}://{name}:{self.listener.getsockname()[1]}'
        self.connects = 0
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if cert else None
        if cert:
            self.tls.load_cert_chain(cert, key)

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        if self.tls:
            try:
                client = self.tls.wrap_socket(client, server_side=True)
            except OSError:  # it is probed, or left in the middle of the handshake
                return
        head = b''
        while b'\r\n\r\n' not in head:
            part = client.recv(4096)
            if not part:
                return
            head += part
        host, port = head.split()[1].decode().rsplit(':', 1)
        self.connects += 1
        server = socket.create_connection((host, int(port)))
        client.sendall(b'HTTP/1.1 200 OK\r\n\r\n')
        self.join(client, server)

    def join(self, client, server):
        back = threading.Thread(target=self.copy, args=(server, client), daemon=True)
        back.start()
        self.copy(client, server)
        back.join()
        client.close()
        server.close()

    @staticmethod
    def copy(source, to):
        try:
            while data := source.recv(65536):
                to.sendall(data)
        except OSError:
            pass
        for s in (source, to):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class RenewingTest(SiteTest):
    CONNECTORS = []
    RELAY = {'certificate_minutes': LIFE_S // 60}

    @classmethod
    def prepare(cls):
        super().prepare()
        cls.clock = lab_clock.Clock(os.path.join(cls.top, 'clock'), -BEHIND_S)
        cls.site.relay_env = cls.clock.environment(lab_clock.library(cls.site.build))

    @classmethod
    def set_clock(cls, seconds):
        """The relay's, against everybody else's."""
        cls.clock.set(seconds)

    def log_text(self, connector):
        with open(os.path.join(connector.dir, 'log'), encoding='utf-8') as f:
            return f.read()

    def renewals(self, connector):
        return self.log_text(connector).count('certificate.renewed')

    def not_after(self, connector):
        done = subprocess.run(['openssl', 'x509', '-noout', '-enddate', '-in', os.path.join(connector.state, 'transport.pem')],
                              check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def load(self, connector, stop, seen):
        user, password, _ = self.account('GOOD1')
        while not stop.wait(PAUSE_S):
            seen.append(self.site.sign_in(user, password, connector=connector.id)[1])

    def renew_under_load(self, connectors, times):
        """Sign-ins by each of them all the while, until each has renewed so often again: none is lost, and the certificate is another."""
        before = {c.name: (self.not_after(c), self.renewals(c)) for c in connectors}
        stop, seen = threading.Event(), {c.name: [] for c in connectors}
        threads = [threading.Thread(target=self.load, args=(c, stop, seen[c.name])) for c in connectors for _ in range(2)]
        for t in threads:
            t.start()
        try:
            wait_for(f'each has renewed {times} times under load', lambda: all(
                c.daemon.check() and self.renewals(c) >= before[c.name][1] + times and len(seen[c.name]) > ENOUGH for c in connectors),
                times * LIFE_S)
        finally:
            stop.set()
            for t in threads:
                t.join()
        for c in connectors:
            verdicts = seen[c.name]
            bad = [v for v in verdicts if v['verdict'] != 'accepted']
            print(f'{c.name}: {len(verdicts)} sign-ins, {self.renewals(c)} renewals, {len(bad)} not accepted')
            self.assertEqual(bad[:3], [], f'the first of {len(bad)}')
            self.assertNotEqual(self.not_after(c), before[c.name][0])
            # key, or its name, and certificate in one file of root's alone
            self.assertEqual(os.stat(os.path.join(c.state, 'transport.pem')).st_mode & 0o777, 0o600)
            self.assertFalse(os.path.exists(os.path.join(c.state, 'transport.key')))
        self.assertNotIn('connector_runs_twice', self.site.postern('tenant', 'events', *self.site.tenant_options()))
