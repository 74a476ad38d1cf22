#!/usr/bin/python3
"""What the relay bears: too few descriptors, a locked database, the end of its store process. Usage: test_strength.py RELAY FORGE [unittest words]"""
import base64
import os
import re
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import relay_site  # noqa: E402
from relay_site import Connector, Relay, forge, new_id, read_answer, wait_for  # noqa: E402

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
        return id


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

    def test_many_join_at_once(self):
        """Handshakes go on a few at a time, behind those who are served already: everybody gets in, and nobody waits in vain."""
        c = self.linked('crowd')
        codes = []

        def join():
            codes.append(self.relay.request('GET', '/')[0])
        threads = [threading.Thread(target=join) for _ in range(150)]
        for t in threads:
            t.start()
        for _ in range(5):
            self.sign_in(c)
        for t in threads:
            t.join()
        self.assertEqual(codes, [404] * 150)
        c.hang_up()

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


class Store(StrengthTest):
    """The database, and the process that has it open."""

    def locked(self):
        db = sqlite3.connect(self.relay.path('state/relay.db'), isolation_level=None)
        db.execute('BEGIN EXCLUSIVE')
        return db

    def store(self):
        """The store process's number; None: there is none."""
        found = subprocess.run(['pgrep', '-P', str(self.relay.process.pid)], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
        return int(found[0]) if found else None

    def state_of(self, id):
        status, _, body = self.relay.request('GET', self.relay.tenant_path('sign-ins/' + id), headers=self.relay.as_service())
        return body['state'] if status == 200 else None

    def test_a_locked_database(self):
        """Somebody else holds the database's lock: nobody who signs in, and no connector, waits for it."""
        c = self.linked('lock')
        db = self.locked()
        ids = [self.sign_in(c) for _ in range(12)]
        c.hang_up()
        c.go()
        ids.append(self.sign_in(c))
        self.assertEqual(self.relay.request('GET', self.relay.tenant_path('keys'), headers=self.relay.as_service())[0], 200)
        db.execute('ROLLBACK')  # not one of them was done after this
        db.close()
        for id in ids:
            wait_for('its metadata is written', lambda: self.state_of(id) == 'answered')
        self.assertNotIn('metadata_dropped', self.relay.log_text())
        c.hang_up()

    def test_many_enrol_at_once(self):
        """As many as fit wait; the others are told at once when to come again, and nothing of theirs is used up."""
        c = Connector(self.relay, 'fleet', enrol=False)
        token = self.relay.cli('token', self.relay.tenant, 'fleet').strip()
        csr = forge('csr', c.transport, self.relay.tenant, c.id)
        bad = base64.b64encode(b'fleet:' + b'A' * 43).decode()
        crowd = [self.relay.connect() for _ in range(90)]
        store = self.store()
        os.kill(store, signal.SIGSTOP)
        for s in crowd:
            s.sendall(f'POST /.well-known/est/{self.relay.tenant}/simpleenroll HTTP/1.1\r\nHost: relay\r\nAuthorization: Basic {bad}\r\n'
                      f'Content-Type: application/pkcs10\r\nContent-Length: {len(csr)}\r\n\r\n{csr}'.encode())
        wait_for('those who find no place are answered', lambda: len(select.select(crowd, [], [], 1)[0]) >= 90 - 64 - 4)
        os.kill(store, signal.SIGCONT)
        answers = [read_answer(s) for s in crowd]
        for s in crowd:
            s.close()
        put_off = [a for a in answers if a.startswith(b'HTTP/1.1 202 ')]
        self.assertGreaterEqual(len(put_off), 90 - 64 - 4)
        for a in put_off:
            after = int(re.search(rb'Retry-After: (\d+)\r\n', a)[1])
            self.assertTrue(1 <= after <= 10, a)
            self.assertIn(b'ask again in %d s' % after, a)
        for a in answers:
            self.assertIn(a.split(b' ')[1], (b'202', b'401'), a)
        status, _, body = c.enrol(token)
        self.assertEqual(status, 200, body)

    def test_its_end(self):
        c = self.linked('end')
        was = self.store()
        os.kill(was, signal.SIGKILL)
        self.sign_in(c)
        wait_for('another one', lambda: self.store() not in (None, was))
        wait_for('that the relay knows', lambda: 'store_started_again' in self.relay.log_text())
        made = self.relay.cli('secret', self.relay.tenant, 'service').strip()
        self.assertEqual(self.relay.request('GET', self.relay.tenant_path('keys'), headers={'Authorization': 'Bearer ' + made})[0], 200)
        id = self.sign_in(c)
        wait_for('its metadata is written', lambda: self.state_of(id) == 'answered')
        # what was written while there was none counts, too
        os.kill(self.store(), signal.SIGSTOP)
        stopped = self.store()
        with sqlite3.connect(self.relay.path('state/relay.db')) as db:
            db.execute("DELETE FROM secret WHERE tenant=? AND kind=1", (self.relay.tenant,))
        os.kill(stopped, signal.SIGKILL)
        wait_for('the secrets are gone', lambda: self.relay.request('GET', self.relay.tenant_path('keys'), headers=self.relay.as_service())[0] == 401)
        c.hang_up()

    def test_it_hangs(self):
        c = self.linked('hang')
        was = self.store()
        os.kill(was, signal.SIGSTOP)
        self.sign_in(c)
        wait_for('another one', lambda: self.store() not in (None, was))
        wait_for('that the relay knows', lambda: 'the store process hangs' in self.relay.log_text() and 'store_started_again' in self.relay.log_text())
        self.assertEqual(Connector(self.relay, 'after').call('GET', '/v1/link/stream?boot=x')[0], 400)  # enrolled by the new one
        c.hang_up()

    def test_it_ends_with_the_relay(self):
        other = Relay()
        store = int(subprocess.run(['pgrep', '-P', str(other.process.pid)], stdout=subprocess.PIPE, text=True, check=True).stdout)
        other.process.kill()
        other.process.wait()
        other.log.close()

        def gone():
            try:
                with open(f'/proc/{store}/stat', encoding='ascii') as f:
                    return f.read().rsplit(')', 1)[1].split()[0] == 'Z'
            except (FileNotFoundError, ProcessLookupError):
                return True
        wait_for('it is gone', gone)
        other.tmp.cleanup()


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = sys.argv[1:3]
    os.environ['ASAN_OPTIONS'] = os.environ.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=1' + (':detect_leaks=0' if os.getuid() else '')
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
