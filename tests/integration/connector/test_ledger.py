"""postern-ledger alone, with this test as its supervisor and validator; and what `postern log` and `explain` make of it.

usage: test_ledger.py BUILD_DIR SOURCE_DIR
"""
import array
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

BUILD, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, os.path.join(SOURCE, 'tests', 'e2e'))
from postern_site import wait_for  # noqa: E402

LEDGER = os.path.join(BUILD, 'connector', 'ledger', 'postern-ledger')
POSTERN = os.path.join(BUILD, 'connector', 'cli', 'postern')


def header_numbers():
    """Names and values of the enums in connector/messages.h, so that this test can't use others than the programs."""
    numbers = {}
    with open(os.path.join(SOURCE, 'connector', 'messages.h'), encoding='utf-8') as f:
        text = f.read()
    for block in text.split('enum ')[1:]:
        value = -1
        body = block[block.index('{') + 1:block.index('};')]
        while '/*' in body:
            body = body[:body.index('/*')] + body[body.index('*/') + 2:]
        for item in body.replace('\n', ' ').split(','):
            name, _, given = (part.strip() for part in item.partition('='))
            if name:
                value = int(given) if given else value + 1
                numbers[name] = value
    return numbers


N = header_numbers()


def frame(kind, **fields):
    data = bytes([N[kind]])
    for name, value in fields.items():
        raw = struct.pack('<Q', value) if isinstance(value, int) else value.encode() if isinstance(value, str) else value
        data += struct.pack('<BH', N[name], len(raw)) + raw
    return data


def send(channel, data, fd=None):
    extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))] if fd is not None else []
    channel.sendmsg([data], extra)


class LedgerTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix='postern-ledger-')
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.socket = os.path.join(self.dir, 'control.sock')
        self.db_dir = os.path.join(self.dir, 'db')
        os.mkdir(self.db_dir)
        self.process = None
        self.addCleanup(self.kill)
        self.start()

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def start(self):
        """Plays the supervisor: config, files, a channel as validator, start."""
        listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        listener.bind(self.socket)
        listener.listen()
        listener.setblocking(False)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def on_fd_3():
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)
        with open(os.path.join(self.dir, 'log'), 'ab') as log:
            # pylint: disable=subprocess-popen-preexec-fn
            self.process = subprocess.Popen([LEDGER, '--role=ledger'], preexec_fn=on_fd_3, close_fds=False, stderr=log)
        theirs.close()
        self.control = ours
        self.addCleanup(ours.close)
        config = os.memfd_create('config')
        os.write(config, b'[domain corp.example]\ndcs = dc1.corp.example\n')
        key = os.memfd_create('key')
        os.write(key, b'k' * 32)
        folder = os.open(self.db_dir, os.O_DIRECTORY)
        self.validator, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.validator.close)
        send(ours, frame('FRAME_CONFIG'), config)
        send(ours, frame('FRAME_FILE', TAG_NAME='hash.key'), key)
        send(ours, frame('FRAME_FILE', TAG_NAME='ledger-dir'), folder)
        send(ours, frame('FRAME_FILE', TAG_NAME='control.sock'), listener.fileno())
        send(ours, frame('FRAME_PEER', TAG_NAME='validator'), peer.fileno())
        send(ours, frame('FRAME_START', TAG_BOOT='b' * 22, TAG_CONNECTOR_ID='TESTCONNECTOR00000001'))
        ours.settimeout(20)
        self.assertEqual(ours.recv(100), bytes([N['FRAME_READY']]))
        for fd in (config, key, folder):
            os.close(fd)
        peer.close()
        listener.close()

    def record(self, ident, **fields):
        base = {'TAG_ID': ident, 'R_WALL': int(time.time()), 'R_USER': 'alice@corp.example', 'R_SERVICE': 'portal',
                'R_CLIENT_IP': '192.0.2.7', 'R_VERDICT': 'refused', 'R_CLASS': 'credentials', 'R_REASON': 'wrong_password',
                'R_PROVED': 0, 'R_COUNTED': '1', 'R_DC': 'dc1.corp.example', 'R_METHOD': 'ldap', 'R_RAW': 'ldap=49 data=52e',
                'R_MS_OPENED': 1, 'R_MS_DC': 7, 'R_MS_TOTAL': 9}
        base.update(fields)
        send(self.validator, frame('FRAME_RECORD', **{k: v for k, v in base.items() if v is not None}))

    def deliver(self, ident, state):
        send(self.validator, frame('FRAME_DELIVERY', TAG_ID=ident, TAG_STATE=state))

    def cli(self, *words, code=0):
        done = subprocess.run([POSTERN, *words, '--socket', self.socket], capture_output=True, text=True, timeout=30, check=False,
                              env=dict(os.environ, TZ='UTC'))
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done.stdout if code == 0 else done.stdout + done.stderr

    def records(self, *words):
        return json.loads(self.cli('log', '--json', *words))['records']

    def known(self, n):
        wait_for(f'{n} records', lambda: len(self.records()) == n, 10)

    def test_explain_wrong_password(self):
        self.record('REFUSED000000001')
        self.deliver('REFUSED000000001', 'confirmed')
        send(self.validator, frame('FRAME_EVENT', TAG_NAME='a.note', TAG_TEXT='about it', TAG_ID='REFUSED000000001'))
        self.known(1)
        text = self.cli('explain', 'REFUSED000000001')
        for word in ('alice@corp.example', 'portal', '192.0.2.7', 'refused: wrong_password', 'dc1.corp.example answered by LDAP, 7 ms',
                     'the relay confirmed it', 'counted as one wrong password', 'ldap=49 data=52e', 'was wrong', 'To do', 'User saw',
                     'a.note about it'):
            self.assertIn(word, text)
        order = [text.index(w) for w in ('received from the relay', 'opened;', 'answered by', 'verdict signed', 'delivery:')]
        self.assertEqual(order, sorted(order))
        told = json.loads(self.cli('explain', 'REFUSED000000001', '--json'))
        self.assertEqual(told['found_by'], 'id')
        self.assertEqual(told['records'][0]['delivery'], 'confirmed')
        self.assertTrue(told['records'][0]['helpdesk_text'] and told['records'][0]['remedy'])

    def test_explain_by_user_shows_the_latest(self):
        now = int(time.time())
        self.record('FIRST00000000001', R_WALL=now - 60)
        self.record('SECOND0000000001', R_WALL=now, R_VERDICT='accepted', R_CLASS='none', R_REASON='ok', R_PROVED=1, R_COUNTED='0',
                    R_USER_ID='S-1-5-21-1-2-3-1104', R_SAM='alice', R_UPN='alice@corp.example', R_DOMAIN='corp.example')
        self.known(2)
        for name in ('ALICE@corp.example', 'alice', 'S-1-5-21-1-2-3-1104'):
            text = self.cli('explain', name)
            self.assertLess(text.index('SECOND'), len(text))
            self.assertIn('Result     accepted', text)
            self.assertIn('was right', text)
        self.assertIn('FIRST', self.cli('explain', 'alice@corp.example').split('Before that')[1])

    def test_explain_policy_and_infrastructure(self):
        self.record('LOCKED0000000001', R_CLASS='policy', R_REASON='locked_out', R_COUNTED='0', R_METHOD='krb5', R_RAW='krb=18')
        self.record('NODC000000000001', R_VERDICT='unavailable', R_CLASS='infrastructure', R_REASON='no_dc', R_COUNTED='0', R_DC=None,
                    R_METHOD=None, R_RAW=None, R_CONTEXT='all 2 domain controllers are dead')
        self.known(2)
        text = self.cli('explain', 'LOCKED0000000001')
        self.assertIn('answered by Kerberos', text)
        self.assertIn('did not count as a wrong password', text)
        text = self.cli('explain', 'NODC000000000001')
        self.assertIn('no domain controller was asked, or none answered', text)
        self.assertIn('all 2 domain controllers are dead', text)
        self.assertNotIn('was wrong', text)

    def test_explain_declined(self):
        self.record('DECLINED00000001', R_VERDICT=None, R_CLASS=None, R_REASON=None, R_DC=None, R_METHOD=None, R_DECLINED='full')
        self.known(1)
        text = self.cli('explain', 'DECLINED00000001')
        self.assertIn('too many sign-ins at once', text)
        self.assertNotIn('verdict signed', text)
        self.assertEqual(len(self.records('--verdict', 'declined')), 1)

    def test_masked_names_are_found_but_not_shown(self):
        name = 'Summer2026!'  # a password in the wrong box
        hashed = subprocess.run(['openssl', 'dgst', '-sha256', '-hmac', 'k' * 32], input=name.lower(), capture_output=True, text=True,
                                check=True).stdout.split()[-1][:32]
        self.record('MASKED0000000001', R_USER=None, R_USER_MASKED='S…! (11)', R_USER_HASH=hashed, R_REASON='unknown_user')
        self.known(1)
        self.assertEqual(len(self.records('--user', name)), 1)
        self.assertEqual(len(self.records('--user', 'Winter2026!')), 0)
        self.assertIn('masked', self.cli('explain', name))
        self.assertNotIn(name, self.cli('log') + self.cli('explain', 'MASKED0000000001'))
        self.kill()
        for file in os.listdir(self.db_dir):
            with open(os.path.join(self.db_dir, file), 'rb') as f:
                self.assertNotIn(name.encode(), f.read())

    def test_nothing_found(self):
        self.assertIn("nothing is known of 'nobody'", self.cli('explain', 'nobody', code=1))
        self.assertIn('nothing found', self.cli('log'))

    def test_what_others_chose_cannot_drive_a_terminal(self):
        self.record('ESCAPE0000000001', R_USER='\x1b[2Jalice\u202egro.lave', R_CONTEXT='line\nbreak\x07')
        self.known(1)
        for text in (self.cli('log'), self.cli('explain', 'ESCAPE0000000001')):
            self.assertFalse([c for c in text if c in '\x1b\x07\u202e'], repr(text))

    def test_filters(self):
        now = int(time.time())
        for n in range(5):
            self.record(f'OLD{n:013d}', R_WALL=now - 7200)
        self.record('NEW0000000000001', R_WALL=now, R_VERDICT='unavailable', R_USER='bob@corp.example')
        self.known(6)
        self.assertEqual(len(self.records('--since', '1h')), 1)
        self.assertEqual(len(self.records('--since', '3h')), 6)
        self.assertEqual(len(self.records('--limit', '2')), 2)
        self.assertEqual(len(self.records('--verdict', 'unavailable')), 1)
        self.assertEqual(len(self.records('--user', 'BOB@corp.example')), 1)
        lines = self.cli('log').splitlines()
        self.assertIn('NEW0000000000001', lines[-1], 'the newest comes last')
        for words in (('--since', 'yesterday'), ('--limit', '0'), ('--limit', '501')):
            self.assertIn(words[1], self.cli('log', *words, code=2))
        self.assertIn('verdict', self.cli('log', '--verdict', 'maybe', code=1))

    def test_survives_kill_and_start(self):
        self.record('KEPT000000000001')
        self.known(1)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.start()
        self.assertEqual(len(self.records()), 1)

    def test_ends_with_its_supervisor(self):
        self.record('LAST000000000001')
        self.control.close()
        self.assertEqual(self.process.wait(10), 0)
        self.start()
        self.assertEqual([r['id'] for r in self.records()], ['LAST000000000001'], 'what was pending was written at the end')

    def test_malformed_frame_ends_the_channel_only(self):
        self.validator.send(b'\xff\xff')
        self.assertEqual(self.validator.recv(10), b'')
        self.assertEqual(self.records(), [])

    def test_started_by_hand(self):
        done = subprocess.run([LEDGER], capture_output=True, text=True, timeout=20, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('started by posternd', done.stderr)

    def test_no_daemon(self):
        self.kill()
        self.assertIn('does not run here', self.cli('status', code=3))


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
