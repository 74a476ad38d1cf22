#!/usr/bin/python3
"""What the relay bears: too few descriptors. Usage: test_strength.py RELAY FORGE [unittest words]"""
import os
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import relay_site  # noqa: E402
from relay_site import Connector, Relay, new_id, wait_for  # noqa: E402

VERDICT = 'aaaa..bbbb.cccc.dddd'


class StrengthTest(unittest.TestCase):
    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.relay = Relay(**cls.settings)

    @classmethod
    def tearDownClass(cls):
        cls.relay.close()

    def linked(self, name):
        c = Connector(self.relay, name)
        self.relay.approve(c)
        c.go()
        return c

    def sign_in(self, c):
        """One that goes through."""
        id = new_id()
        later = self.relay.sign_in_later(self.relay.seal(c), id=id, budget=15000)
        self.assertEqual(c.next('request')['id'], id)
        self.assertEqual(c.report([{'id': id, 'is': 'verdict', 'jwe': VERDICT}], credit=1)[0], 200)
        self.assertEqual(later.result()[0], 200)


class Descriptors(StrengthTest):
    settings = {'connections': 400}

    def started_with(self, files, *more):
        """The relay's exit where it may open so few files, and may not raise that."""
        argv = ['prlimit', f'--nofile={files}:{files}', 'setpriv', '--bounding-set', '-sys_resource', '--inh-caps', '-sys_resource'] \
            if os.getuid() == 0 else ['prlimit', f'--nofile={files}:{files}']
        return subprocess.run([*argv, relay_site.RELAY, '--config', self.relay.path('relay.conf'), *more], text=True, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def test_a_start_with_too_few(self):
        for words in ((), ('--check-config',)):
            with self.subTest(words=words):
                run = self.started_with(300, *words)
                self.assertEqual(run.returncode, 78, run.stdout)
                self.assertIn('connections = 400 needs 464 open files, and this process may have 300', run.stdout)
                self.assertIn('set connections to 236 at most', run.stdout)
        self.assertEqual(self.started_with(464, '--check-config').returncode, 0)

    def test_none_left(self):
        """Silent connections that take all make room for those that say something, and the log stays small."""
        c = self.linked('fd')
        pid, before = self.relay.process.pid, len(self.relay.log_text())
        n = len(os.listdir(f'/proc/{pid}/fd'))
        subprocess.run(['prlimit', f'--nofile={n + 20}:{n + 20}', '--pid', str(pid)], check=True)
        silent = [socket.create_connection(('127.0.0.1', self.relay.port), 60) for _ in range(200)]
        try:
            wait_for('descriptors have run out', lambda: 'accept_failed' in self.relay.log_text())
            for _ in range(3):
                self.sign_in(c)
            more = self.relay.log_text()[before:]
            self.assertEqual(more.count('accept_failed'), 1, more)
            self.assertLess(len(os.listdir(f'/proc/{pid}/fd')), n + 21)
        finally:
            for s in silent:
                s.close()
            c.hang_up()


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = sys.argv[1:3]
    os.environ['ASAN_OPTIONS'] = os.environ.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=1' + (':detect_leaks=0' if os.getuid() else '')
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
