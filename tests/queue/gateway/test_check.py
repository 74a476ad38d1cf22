#!/usr/bin/python3
"""postern-gateway --check-config: all that a start would refuse, each with a sentence and what to do; and a reload refuses the same.

usage: test_check.py BUILD
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from test_doors import HERE, Gateway, Sandbox, wait_for  # noqa: E402
sys.path.insert(0, os.path.join(HERE, '..', '..', 'lab'))
import lab_certs  # noqa: E402

UNFIT = 78


class Check(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix='postern-check-')
        cls.addClassCleanup(shutil.rmtree, cls.top)
        os.chmod(cls.top, 0o755)
        cls.site = Sandbox(cls.top)
        cls.addClassCleanup(cls.site.close)
        folder = cls.path('certs')
        os.makedirs(folder)
        lab_certs.make_ca(folder, 'ca')
        for name in ('server', 'other'):
            lab_certs.SERVERS[name] = ('ca', ['gateway.example'])
            lab_certs.make_server(folder, name)
        shutil.copytree(cls.site.service, cls.path('service'), ignore=shutil.ignore_patterns('relay', '*.sock'))
        cls.site.service = cls.path('service')
        cls.gateway = Gateway(cls.site)
        cls.write('secret', 'f' * 64 + '\n', 0o600)

    @classmethod
    def path(cls, name):
        return os.path.join(cls.top, name)

    @classmethod
    def write(cls, name, text, mode=0o644):
        with open(cls.path(name), 'w', encoding='utf-8') as f:
            f.write(text)
        os.chmod(f.name, mode)
        return f.name

    def configure(self, settings='', sections='', listen='127.0.0.1:0'):
        self.gateway.listen = listen
        self.gateway.write_config(f'sandbox = yes\n{settings}', sections)

    def refused(self, *said):
        """The check says all of it, and a start ends for it, too."""
        code, text = self.gateway.check()
        self.assertEqual(code, UNFIT, text)
        for one in said:
            self.assertRegex(text, one)
        start = subprocess.run([self.gateway.program(), '--config', self.gateway.config], capture_output=True, text=True, env=self.site.env, timeout=60,
                               check=False)
        self.assertEqual(start.returncode, UNFIT, start.stderr)

    def test_all_is_well(self):
        self.configure(f'certificate = {self.top}/certs/server.pem\nkey = {self.top}/certs/server.key\nclient_ca = {self.top}/certs/ca.pem\n',
                       f'[application wiki]\nsecret_file = {self.top}/secret\n')
        code, text = self.gateway.check()
        self.assertEqual((code, 'is fine: 2 places' in text), (0, True), text)
        self.assertFalse(os.path.exists(self.gateway.socket))

    def test_certificates(self):
        for certificate, key, ca, said in (('server', 'other', 'ca', 'key .*/other.key is not that of the certificate .*/server.pem'), ('server', 'nothing', 'ca', 'nothing.key: No such file'),
                                           ('secret', 'server', 'ca', 'certificate'), ('server', 'server', 'secret', 'client_ca')):
            with self.subTest(certificate=certificate, key=key, ca=ca):
                shutil.copy(self.path('secret'), self.path('certs/secret.pem'))
                os.chmod(self.path('certs/secret.pem'), 0o644)
                self.configure(f'certificate = {self.top}/certs/{certificate}.pem\nkey = {self.top}/certs/{key}.key\nclient_ca = {self.top}/certs/{ca}.pem\n')
                self.refused(said)

    def test_secrets(self):
        for name, text, mode, said in (('open', 'f' * 64, 0o644, 'chmod 600'), ('short', 'f' * 31, 0o600, 'openssl rand -hex 32'), ('empty', '', 0o600, 'openssl rand')):
            with self.subTest(name):
                self.configure(sections=f'[application wiki]\nsecret_file = {self.write(name, text, mode)}\n')
                self.refused(said)
        self.configure(sections=f'[application wiki]\nsecret_file = {self.top}/none\n')
        self.refused('none: No such file')

    def test_addresses(self):
        with socket.create_server(('127.0.0.1', 0)) as taken, socket.socket(socket.AF_UNIX) as living, socket.socket(socket.AF_UNIX) as busy, \
                socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
            living.bind(self.path('living'))
            living.listen()
            busy.bind(self.path('busy'))
            busy.listen(0)
            datagrams.bind(self.path('datagrams'))
            waiting = []
            with contextlib.suppress(BlockingIOError):  # its queue is full then
                while len(waiting) < 64:
                    waiting.append(self.enterContext(socket.socket(socket.AF_UNIX)))
                    waiting[-1].setblocking(False)
                    waiting[-1].connect(self.path('busy'))
            self.write('file', '')
            for listen, said in ((f'127.0.0.1:{taken.getsockname()[1]}', 'Address already in use; ss -ltnp'), (f'saslauthd:{self.top}/living', 'another program listens'),
                                 (f'saslauthd:{self.top}/busy', 'another program listens'), (f'ldapi:{self.top}/datagrams', 'another program listens'),
                                (f'saslauthd:{self.top}/file', 'no socket is there'), (f'ldapi:{self.top}/none/ldapi', 'its folder .*none: No such file')):
                with self.subTest(listen):
                    self.configure(listen=listen)
                    self.refused(said)
            self.assertTrue(os.path.exists(self.path('living')))
        self.configure(listen='https:192.0.2.123:0', settings=f'certificate = {self.top}/certs/server.pem\nkey = {self.top}/certs/server.key\n',
                       sections=f'[application wiki]\nsecret_file = {self.top}/secret\n')
        self.refused('no such address')

    def test_the_service(self):
        self.configure()
        for name, text, mode, said in (('service.key', 'no key\n', 0o600, 'service.key'), ('service.key', None, 0o644, 'chmod 600'), ('service.json', '{}', 0o644, 'service.json'),
                                       ('service.key', '-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n', 0o600, 'service.key')):
            with self.subTest(name=name, mode=mode):
                path = self.path(f'service/{name}')
                shutil.copy2(path, self.path('kept'))
                if text is not None:
                    self.write(f'service/{name}', text)
                os.chmod(path, mode)
                self.refused(said)
                shutil.copy2(self.path('kept'), path)
        self.configure(f'ca_file = {self.top}/secret\n')
        os.chmod(self.path('secret'), 0o644)
        self.refused('CA file')
        os.chmod(self.path('secret'), 0o600)
        self.configure(f'words = {self.top}/none\n')
        self.refused('words')

    def test_state(self):
        self.configure()
        for text, said in (('rubbish\n', 'is damaged'), (f'{7:<20} {"h" * 43} {"p" * 43}\n', 'another tenant')):
            with self.subTest(said):
                self.write('gateway/state/roster', text, 0o600)
                self.refused(said)
        os.unlink(self.path('gateway/state/roster'))
        self.configure(f'state_dir = {self.top}/none\n')
        self.refused('(?s)another|state_dir|given twice')

    def test_all_at_once(self):
        """Whatever is wrong is told in one run."""
        self.write('short', 'f' * 31, 0o600)
        os.chmod(self.path('service/service.key'), 0o644)
        self.addCleanup(os.chmod, self.path('service/service.key'), 0o600)
        self.configure(f'ca_file = {self.top}/none\n', f'[application wiki]\nsecret_file = {self.path("short")}\n', listen=f'ldapi:{self.top}/none/ldapi')
        self.refused('service.key', 'openssl rand', 'none/ldapi', '(?m)^3 errors|^4 errors')

    def test_beside_one_that_runs(self):
        """Its own addresses are not in use, a second one with its folder is refused, and a reload with a fault ends nothing."""
        with socket.create_server(('127.0.0.1', 0)) as free:
            port = free.getsockname()[1]
        self.configure(listen=f'127.0.0.1:{port}')
        self.gateway.start()
        self.addCleanup(self.gateway.stop)
        code, text = self.gateway.check()
        self.assertEqual(code, 0, text)
        second = subprocess.run([self.gateway.program(), '--config', self.gateway.config], capture_output=True, text=True, env=self.site.env, timeout=60, check=False)
        self.assertEqual((second.returncode, 'another postern-gateway' in second.stderr), (UNFIT, True), second.stderr)
        self.configure(f'certificate = {self.top}/certs/server.pem\nkey = {self.top}/certs/other.key\n', listen=f'127.0.0.1:{port}')
        code, said = self.reload()
        self.assertEqual((code, 'process doors' in said), (1, True), said)
        self.assertEqual(self.gateway.sign_in('ok@sandbox.invalid', 'sandbox')['verdict'], 'accepted')

    def reload(self):
        """postern-gateway --reload: (exit code, what it says)."""
        done = self.site.run([self.gateway.program(), '--config', self.gateway.config, '--reload'], check=False)
        return done.returncode, done.stdout + done.stderr

    def speaks(self, path, question):
        """The first bytes that come back."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(path)
            s.sendall(question)
            return s.recv(64)

    def processes(self):
        pid = self.gateway.daemon.pid
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
            return f.read()

    def test_a_reload(self):
        """When --reload ends the new sockets serve; one that cannot listen as it is told to is refused, and has touched nothing."""
        http, whoami = b'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n', bytes.fromhex('302102010160') + b'\x1c\x02\x01\x03\x04\x00\x80\x15' + b'x' * 21
        path = self.path('given')
        self.assertEqual(self.reload()[0], 1)
        self.configure(listen=f'ldapi:{path}\nlisten = 127.0.0.1:0')
        self.gateway.start()
        self.addCleanup(self.gateway.stop)
        self.assertEqual(self.speaks(path, whoami)[:1], b'\x30')
        inode = os.stat(path).st_ino
        with socket.create_server(('127.0.0.1', 0)) as taken:
            before = self.processes()
            self.configure(listen=f'unix:{path}\nlisten = 127.0.0.1:{taken.getsockname()[1]}')
            code, said = self.reload()
            self.assertEqual((code, 'what runs goes on as it was' in said, 'Address already in use' in said), (1, True, True), said)
            self.assertEqual(self.processes(), before)
            port = taken.getsockname()[1]
        self.assertEqual((os.stat(path).st_ino, self.speaks(path, whoami)[:1]), (inode, b'\x30'))
        for _ in range(3):
            self.assertEqual(self.reload(), (0, 'reloaded\n'))
            with socket.create_connection(('127.0.0.1', port), timeout=60) as s:
                s.sendall(http)
                self.assertEqual(s.recv(12), b'HTTP/1.1 200')
        self.assertEqual((os.stat(path).st_ino, self.speaks(path, http)[:12]), (inode, b'HTTP/1.1 200'))
        self.configure(listen=f'127.0.0.1:{port}')
        self.assertEqual(self.reload(), (0, 'reloaded\n'))
        self.assertFalse(os.path.exists(path))
        self.configure('rubbish = 1\n')
        self.assertEqual(self.reload()[0], UNFIT)

    def test_a_reload_that_does_not_get_ready(self):
        """A file goes between the check and the start: who waits is told, and the next reload is taken."""
        self.configure()
        self.gateway.start()
        self.addCleanup(self.gateway.stop)
        doors = next(pid for pid in self.processes().split() if b'--role=doors' in pathlib.Path(f'/proc/{pid}/cmdline').read_bytes())
        secret = self.write('late', 'f' * 64 + '\n', 0o600)
        self.configure(sections=f'[application wiki]\nsecret_file = {secret}\n')
        log = pathlib.Path(self.gateway.log)
        before = log.stat().st_size
        os.kill(int(doors), signal.SIGSTOP)  # so the drain lasts
        waiting = subprocess.Popen([self.gateway.program(), '--config', self.gateway.config, '--reload'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   text=True, env=self.site.env)
        try:
            wait_for('the drain begins', lambda: re.search(b'(?m) info reload$', log.read_bytes()[before:]))
            os.unlink(secret)
        finally:
            os.kill(int(doors), signal.SIGCONT)
            said = waiting.communicate(timeout=120)[0]
        self.assertEqual((waiting.returncode, 'what ran is gone' in said, secret in said), (1, True, True), said)
        self.configure()
        self.assertEqual(self.reload(), (0, 'reloaded\n'))
        self.assertEqual(self.gateway.sign_in('ok@sandbox.invalid', 'sandbox')['verdict'], 'accepted')


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], *sys.argv[2:], '-v'])
