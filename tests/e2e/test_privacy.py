"""What relay and link may never hold: user names, passwords, outcomes. Their memory is read while sign-ins run and afterwards; the relay's
database, logs and everything the service sent it in clear (behind TLS) are searched. The validator's memory is searched for passwords."""
import base64
import os
import re
import socket
import ssl
import subprocess
import threading
import unittest

from e2e import LAB, SiteTest, WRONG, main


def memory(pid):
    """Every readable byte of a process, region by region."""
    with open(f'/proc/{pid}/maps', encoding='ascii') as maps, open(f'/proc/{pid}/mem', 'rb') as mem:
        for line in maps:
            m = re.match(r'([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \S+ ?(.*)', line)
            start, end, perms, name = int(m[1], 16), int(m[2], 16), m[3], m[4].strip()
            if 'r' not in perms or name in ('[vvar]', '[vsyscall]', '[vdso]'):
                continue
            try:
                mem.seek(start)
                yield start, name, mem.read(end - start)
            except OSError:
                continue


def forms(text):
    """The bytes of a word as they might lie about: plain, UTF-16, base64url at its three alignments."""
    raw = text.encode()
    yield raw
    yield text.encode('utf-16-le')
    for shift in range(3):
        encoded = base64.urlsafe_b64encode(b'\0' * shift + raw)
        yield encoded[(0, 2, 3)[shift] + (1 if shift else 0):-4]


class Recorder(threading.Thread):
    """In front of the relay, with its certificate: keeps in clear all that a service and the relay say to each other."""

    def __init__(self, site):
        super().__init__(daemon=True)
        self.site, self.said = site, []
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.url = f'https://127.0.0.1:{self.listener.getsockname()[1]}'
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server.load_cert_chain(os.path.join(site.dir, 'relay.pem'), os.path.join(site.dir, 'relay.key'))
        self.client = ssl.create_default_context(cafile=site.ca)

    def run(self):
        while True:
            try:
                raw, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(raw,), daemon=True).start()

    def serve(self, raw):
        with self.server.wrap_socket(raw, server_side=True) as caller, \
                socket.create_connection(('127.0.0.1', self.site.port)) as out, \
                self.client.wrap_socket(out, server_hostname='127.0.0.1') as relay:
            back = threading.Thread(target=self.copy, args=(relay, caller), daemon=True)
            back.start()
            self.copy(caller, relay)
            back.join(10)

    def copy(self, source, to):
        try:
            while data := source.recv(65536):
                self.said.append(data)
                to.sendall(data)
        except (OSError, ssl.SSLError):
            pass
        try:
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Privacy(SiteTest):
    USERS = [f'GOOD{i}' for i in range(1, 9)]

    def found(self, blobs, words):
        hits = []
        needles = [(word, form) for word in words for form in forms(word) if len(form) >= 8]
        for where, blob in blobs:
            hits += [(where, word) for word, form in needles if form in blob]
        return hits

    def sign_ins(self, count):
        users = ''.join(f"{LAB[f'LAB_{u}_UPN']}\t{LAB[f'LAB_{u}_PASSWORD']}\n" for u in self.USERS)
        users += f"{LAB['LAB_GOOD9_UPN']}\t{WRONG}\n"
        argv = [os.path.join(self.site.build, 'tests', 'bench', 'load'), '-s', self.site.service, '-n', str(count), '-p', '8', '-l']
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.site.env)
        process.stdin.write(users)
        process.stdin.close()
        process.stdin = None
        return process

    def names(self):
        return [LAB[f'LAB_{u}_UPN'] for u in self.USERS + ['GOOD9']]

    def passwords(self):
        return [LAB[f'LAB_{u}_PASSWORD'] for u in self.USERS] + [WRONG]

    def sids(self):
        return [LAB[f'LAB_{u}_SID'] for u in self.USERS]

    def test_relay_and_link_hold_nothing(self):
        links = {c.name: c.daemon.children()['postern-link'] for c in self.site.connectors.values()}
        targets = {'relay': self.site.relay.pid, **links}
        process = self.sign_ins(36)
        hits, rounds = [], 0
        words = self.names() + self.passwords() + self.sids() + ['wrong_password', '"verdict":"accepted"', '"verdict":"refused"']
        while process.poll() is None or rounds == 0:
            for name, pid in targets.items():
                hits += self.found(((f'{name} {region}', blob) for _, region, blob in memory(pid)), words)
            rounds += 1
        output = process.stdout.read()
        process.stdout.close()
        self.assertEqual(process.returncode, 0)
        self.assertIn('accepted', output)
        for name, pid in targets.items():
            hits += self.found(((f'{name} {region}', blob) for _, region, blob in memory(pid)), words)
        self.assertEqual(hits, [])

    def test_scan_finds_what_is_there(self):
        """The search itself works: the relay's memory holds the path of its state folder."""
        pid = self.site.relay.pid
        self.assertNotEqual(self.found(((r, b) for _, r, b in memory(pid)), ['relay-state']), [])

    def test_traffic(self):
        """What goes over the wire between service and relay, TLS taken off: sealed requests and verdicts only."""
        recorder = Recorder(self.site)
        self.addCleanup(recorder.listener.close)
        recorder.start()
        user, password, sid = self.account('GOOD1')
        for word, expected in ((password, 0), (WRONG, 1)):
            done = self.site.postern('sign-in', '--service', self.site.service, '--relay', recorder.url, '--user', user, check=False,
                                     stdin=word + '\n')
            self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        self.site.postern('service', 'show', '--service', self.site.service, '--relay', self.site.url)
        said = b''.join(recorder.said)
        self.assertIn(b'/sign-ins', said)
        self.assertIn(b'Content-Type: application/postern-request', said)
        words = [user, LAB['LAB_GOOD1_SAM'] + '@', password, WRONG, sid, 'wrong_password', 'password_proved', 'may_have_counted']
        blobs = [('plain', said)] + [('base64url', base64.urlsafe_b64decode(m + b'=' * (-len(m) % 4)))
                                     for m in re.findall(rb'[A-Za-z0-9_-]{16,}', said) if len(m) % 4 != 1]
        self.assertEqual(self.found(blobs, words), [])

    def test_database_and_logs(self):
        process = self.sign_ins(9)
        process.communicate()
        words = self.names() + self.passwords() + self.sids() + ['wrong_password']
        blobs = []
        for folder, _, files in os.walk(os.path.join(self.site.dir, 'relay-state')):
            for name in files:
                if name.endswith('.sock'):
                    continue
                with open(os.path.join(folder, name), 'rb') as f:
                    blobs.append((name, f.read()))
        with open(os.path.join(self.site.dir, 'relay.log'), 'rb') as f:
            blobs.append(('relay.log', f.read()))
        self.assertEqual(self.found(blobs, words), [])
        # the connector's own records may hold names and outcomes, never passwords
        blobs = []
        for c in self.site.connectors.values():
            for folder, _, files in os.walk(c.dir):
                for name in files:
                    if os.path.isfile(os.path.join(folder, name)):
                        with open(os.path.join(folder, name), 'rb') as f:
                            blobs.append((os.path.join(c.name, name), f.read()))
        self.assertEqual(self.found(blobs, self.passwords()), [])

    def test_no_password_left_in_any_process(self):
        """After the sign-ins, no process of a connector holds a password: the validator has wiped it."""
        process = self.sign_ins(1000)
        process.communicate()
        hits = []
        for c in self.site.connectors.values():
            for name, pid in {'supervisor': c.daemon.pid, **c.daemon.children()}.items():
                hits += self.found(((f'{c.name} {name} {region}', blob) for _, region, blob in memory(pid)), self.passwords())
                for what in ('cmdline', 'environ'):
                    with open(f'/proc/{pid}/{what}', 'rb') as f:
                        hits += self.found([(f'{name} {what}', f.read())], self.passwords())
        self.assertEqual(hits, [])


if __name__ == '__main__':
    if os.geteuid() != 0:
        raise unittest.SkipTest('reading the memory of undumpable processes needs root')
    main()
