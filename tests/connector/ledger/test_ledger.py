"""postern-ledger alone, with this test as its supervisor and validator; and what `postern log` and `explain` make of it.

usage: test_ledger.py BUILD_DIR SOURCE_DIR
"""
import array
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
import time
import unittest

BUILD, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, os.path.join(SOURCE, 'tests', 'e2e'))
from postern_site import wait_for  # noqa: E402

LEDGER = os.path.join(BUILD, 'connector', 'ledger', 'postern-ledger')
POSTERN = os.path.join(BUILD, 'connector', 'cli', 'postern')


def sentences(answer):
    """Causes and remedies of the findings in `postern status --json`."""
    return [text for found in answer['findings'] for text in (found['cause'], found.get('remedy')) if text]


def header_numbers():
    """Names and values of the enums in control.h and messages.h, so that this test can't use others than the programs."""
    numbers, text = {}, ''
    for path in ('certs/base/process/control.h', 'connector/frames/messages.h'):
        with open(os.path.join(SOURCE, path), encoding='utf-8') as f:
            text += f.read()
    for block in text.split('enum ')[1:]:
        value = -1
        body = block[block.index('{') + 1:block.index('};')]
        while '/*' in body:
            body = body[:body.index('/*')] + body[body.index('*/') + 2:]
        for item in body.replace('\n', ' ').split(','):
            name, _, given = (part.strip() for part in item.partition('='))
            if name:
                value = numbers.get(given) if given in numbers else int(given) if given else value + 1
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


class LedgerCase(unittest.TestCase):
    """A ledger for each test; test_metrics.py and test_events.py have tests of it, too."""
    CONFIG = b''  # further keys

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix='postern-ledger-')
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.socket = os.path.join(self.dir, 'control.sock')
        self.metrics_socket = os.path.join(self.dir, 'metrics.sock')
        self.db_dir = os.path.join(self.dir, 'db')
        os.mkdir(self.db_dir)
        self.process = None
        self.addCleanup(self.kill)
        self.start()

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @staticmethod
    def listen(path):
        listener = socket.socket(socket.AF_UNIX)
        if os.path.exists(path):
            os.unlink(path)
        listener.bind(path)
        listener.listen()
        listener.setblocking(False)
        return listener

    def start(self):
        """Plays the supervisor: config, files, a channel as validator, start."""
        listener, metrics = self.listen(self.socket), self.listen(self.metrics_socket)
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
        os.write(config, b'[connector]\ndefault_domain = corp.example\n' + self.CONFIG + b'[domain corp.example]\ndcs = dc1.corp.example\nnetbios = CORP\n')
        key = os.memfd_create('key')
        os.write(key, b'k' * 32)
        folder = os.open(self.db_dir, os.O_DIRECTORY)
        self.validator, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.validator.close)
        self.link, link_peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(self.link.close)
        send(ours, frame('FRAME_CONFIG'), config)
        send(ours, frame('FRAME_FILE', TAG_NAME='hash.key'), key)
        send(ours, frame('FRAME_FILE', TAG_NAME='ledger-dir'), folder)
        send(ours, frame('FRAME_FILE', TAG_NAME='control.sock'), listener.fileno())
        send(ours, frame('FRAME_FILE', TAG_NAME='metrics.sock'), metrics.fileno())
        send(ours, frame('FRAME_PEER', TAG_NAME='validator'), peer.fileno())
        send(ours, frame('FRAME_PEER', TAG_NAME='link'), link_peer.fileno())
        send(ours, frame('FRAME_START', TAG_BOOT='b' * 22, TAG_INSTANCE='TESTCONNECTOR00000001', TAG_SEQ=1))
        ours.settimeout(20)
        self.assertEqual(ours.recv(100)[:1], bytes([N['FRAME_READY']]))
        for fd in (config, key, folder):
            os.close(fd)
        peer.close()
        link_peer.close()
        listener.close()
        metrics.close()

    def record(self, ident, **fields):
        base = {'TAG_ID': ident, 'R_WALL': int(time.time()), 'R_USER': 'alice@corp.example', 'R_SERVICE': 'portal',
                'R_CLIENT_IP': '192.0.2.7', 'R_VERDICT': 'refused', 'R_CLASS': 'credentials', 'R_REASON': 'wrong_password',
                'R_PROVED': 0, 'R_COUNTED': '1', 'R_DC': 'dc1.corp.example', 'R_METHOD': 'ldap', 'R_RAW': 'ldap=49 data=52e',
                'R_MS_OPENED': 1, 'R_MS_DC': 7, 'R_MS_TOTAL': 9}
        base.update(fields)
        send(self.validator, frame('FRAME_RECORD', **{k: v for k, v in base.items() if v is not None}))

    def deliver(self, ident, state):
        send(self.validator, frame('FRAME_DELIVERY', TAG_ID=ident, TAG_DELIVERY=state))

    def cli(self, *words, code=0):
        done = subprocess.run([POSTERN, *words, '--socket', self.socket], capture_output=True, text=True, timeout=300, check=False,
                              env=dict(os.environ, TZ='UTC'))
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return done.stdout if code == 0 else done.stdout + done.stderr

    def records(self, *words):
        return json.loads(self.cli('log', '--json', *words))['records']

    def none_of(self, user):
        """As explain: status 1."""
        self.assertEqual(json.loads(self.cli('log', '--json', '--user', user, code=1))['records'], [])
        self.assertIn('nothing found', self.cli('log', '--user', user, code=1))

    def known(self, n):
        wait_for(f'{n} records', lambda: len(self.records()) == n)


class LedgerTest(LedgerCase):
    def test_explain_wrong_password(self):
        self.record('REFUSED000000001')
        self.deliver('REFUSED000000001', 'confirmed')
        send(self.validator, frame('FRAME_EVENT', TAG_NAME='a.note', TAG_TEXT='about it', TAG_ID='REFUSED000000001'))
        self.known(1)
        text = self.cli('explain', 'REFUSED000000001')
        for word in ('alice@corp.example', 'portal', '192.0.2.7', 'refused: wrong_password', 'dc1.corp.example answered by LDAP, 7 ms',
                     'the relay confirmed it', 'counted as one wrong password if the account exists', 'ldap=49 data=52e',
                     'was wrong, or there is no account', 'To do', 'User saw',
                     'a.note about it'):
            self.assertIn(word, text)
        order = [text.index(w) for w in ('received from the relay', 'opened;', 'answered by', 'verdict signed', 'delivery:')]
        self.assertEqual(order, sorted(order))
        told = json.loads(self.cli('explain', 'REFUSED000000001', '--json'))
        self.assertEqual(told['found_by'], 'id')
        self.assertEqual(told['records'][0]['delivery'], 'confirmed')
        self.assertTrue(told['records'][0]['explanation']['meaning'] and told['records'][0]['explanation']['remedy'])

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
        self.assertIn('no domain controller could be asked', text)
        self.assertIn('all 2 domain controllers are dead', text)
        self.assertNotIn('was wrong', text)

    def test_explain_declined(self):
        self.record('DECLINED00000001', R_VERDICT=None, R_CLASS=None, R_REASON=None, R_DC=None, R_METHOD=None, R_DECLINED='full')
        self.known(1)
        text = self.cli('explain', 'DECLINED00000001')
        self.assertIn('too many sign-ins at once', text)
        self.assertNotIn('verdict signed', text)
        self.assertEqual(len(self.records('--verdict', 'declined')), 1)

    def test_what_a_relay_sends_under_an_id_hides_no_sign_in(self):
        """It can offer the request again, or junk under its id; the answer that was given stays what is shown."""
        nothing = dict.fromkeys(('R_VERDICT', 'R_CLASS', 'R_REASON', 'R_DC', 'R_METHOD'))
        self.record('ANSWERED00000001')
        for why in ['replay'] * 15 + ['bad_request', 'expired']:
            self.record('ANSWERED00000001', R_DECLINED=why, **nothing)
        for reason in ('service_unknown', 'request_signature'):
            self.record('ANSWERED00000001', R_VERDICT='unavailable', R_REASON=reason, R_CLASS='infrastructure', R_DC=None, R_METHOD=None)
        wait_for('17 declines', lambda: len(self.records('--verdict', 'declined')) == 17)
        wait_for('2 refusals', lambda: len(self.records('--verdict', 'unavailable')) == 2)
        text = self.cli('explain', 'ANSWERED00000001')
        self.assertIn('wrong_password', text)
        self.assertNotIn('Before that', text)
        self.assertEqual([r['reason'] for r in self.records('--user', 'alice@corp.example')], ['wrong_password'])

    def test_masked_names_are_found_but_not_shown(self):
        name = 'Summer2026!'  # a password in the wrong box
        hashed = subprocess.run(['openssl', 'dgst', '-sha256', '-hmac', 'k' * 32], input=name.lower(), capture_output=True, text=True,
                                check=True).stdout.split()[-1][:32]
        self.record('MASKED0000000001', R_USER=None, R_USER_MASKED='S…! (11)', R_USER_HASH=hashed, R_REASON='unknown_user')
        self.known(1)
        self.assertEqual(len(self.records('--user', name)), 1)
        self.none_of('Winter2026!')
        self.assertIn('masked', self.cli('explain', name))
        self.assertNotIn(name, self.cli('log') + self.cli('explain', 'MASKED0000000001'))
        self.kill()
        for file in os.listdir(self.db_dir):
            with open(os.path.join(self.db_dir, file), 'rb') as f:
                self.assertNotIn(name.encode(), f.read())

    def test_a_user_is_found_by_the_other_forms_of_the_name(self):
        """A refused sign-in shows no account: what was typed is all there is to search by."""
        self.record('TYPEDUPN00000001', R_USER='bob@corp.example')
        self.record('TYPEDDOWN0000001', R_USER='CORP\\bob')
        hashed = subprocess.run(['openssl', 'dgst', '-sha256', '-hmac', 'k' * 32], input='bob', capture_output=True, text=True,
                                check=True).stdout.split()[-1][:32]
        self.record('TYPEDBARE0000001', R_USER=None, R_USER_MASKED='… (3)', R_USER_HASH=hashed)
        self.record('ELSEWHERE0000001', R_USER='bob@else.example')
        self.known(4)
        for name in ('bob@corp.example', 'corp\\BOB', 'Bob', 'CORP\\bob'):
            self.assertEqual({r['id'][:9] for r in self.records('--user', name)}, {'TYPEDUPN0', 'TYPEDDOWN', 'TYPEDBARE'}, name)
        self.assertEqual([r['id'] for r in self.records('--user', 'bob@else.example')], ['ELSEWHERE0000001'])
        self.none_of('ELSE\\bob')

    def test_an_id_read_out_on_the_telephone(self):
        self.record('0123456789ABCDEFGHJKMNPQRS')
        self.known(1)
        for heard in ('0123456789abcdefghjkmnpqrs', 'oi23456789ABCDEFGHJKMNPQRS', 'O1234S6789ABCDEFGHJKMNPQRS'.replace('S6', '56')):
            self.assertEqual(json.loads(self.cli('explain', heard, '--json'))['found_by'], 'id', heard)

    def test_the_beginning_of_an_id(self):
        for id in ('ABCD456789ABCDEFGHJKMNPQRS', 'ABCD456789ABCDEFGHJKMNPQRS-2', 'ABXY456789ABCDEFGHJKMNPQRS', 'ABXZ456789ABCDEFGHJKMNPQRS'):
            self.record(id)
        self.known(4)
        for given in ('ABCD', ' abcd45 ', '\tABCD456789ABCDEFGHJKMNPQRS\n', 'abcd456789abcdefghjkmnpqr'):
            self.assertIn('tried this sign-in twice', self.cli('explain', given))
        self.assertEqual(json.loads(self.cli('explain', 'abxy', '--json'))['records'][0]['id'], 'ABXY456789ABCDEFGHJKMNPQRS')
        self.record('ABXY999999ABCDEFGHJKMNPQRS')
        self.known(5)
        several = self.cli('explain', 'ABXY', code=1)
        self.assertIn("several sign-ins begin with 'ABXY'", several)
        for id in ('ABXY456789ABCDEFGHJKMNPQRS', 'ABXY999999ABCDEFGHJKMNPQRS'):
            self.assertIn(id, several)
        self.assertEqual(len(json.loads(self.cli('explain', 'ABXY', '--json', code=1))['ids']), 2)
        self.assertIn('nothing is known', self.cli('explain', 'ABC', code=1))  # too short for any
        self.assertEqual(len(self.records('--user', '  alice@corp.example ')), 5)

    def test_what_the_validator_cannot_tell(self):
        """Lost with it, or never handed to it: the link tells, and what the validator told before it ended counts more."""
        now = int(time.time())
        for id, why in (('LOST000000000001', 'lost'), ('FULL000000000001', 'full'), ('ANSWERED00000001', 'lost')):
            if id == 'ANSWERED00000001':
                self.record(id)
                self.known(3)
            send(self.link, frame('FRAME_UNANSWERED', TAG_ID=id, R_DECLINED=why, R_WALL=now))
        send(self.link, frame('FRAME_UNANSWERED', TAG_ID='LOST000000000001', R_DECLINED='lost', R_WALL=now))
        send(self.link, frame('FRAME_UNANSWERED', TAG_ID='LATER00000000001', R_DECLINED='lost', R_WALL=now))
        self.known(4)
        self.record('LATER00000000001')
        wait_for('the later record', lambda: [r['id'] for r in self.records('--verdict', 'refused')].count('LATER00000000001') == 1)
        self.known(4)
        text = self.cli('explain', 'LOST000000000001')
        for words in ('lost: outcome_unknown', 'validator process, which ended before it answered', 'may have counted', 'The user may try again'):
            self.assertIn(words, text)
        self.assertIn('declined (full)', self.cli('explain', 'FULL000000000001'))
        for id in ('ANSWERED00000001', 'LATER00000000001'):
            self.assertIn('refused: wrong_password', self.cli('explain', id))
        self.assertIn(' lost ', self.cli('log'))

    def test_who_asked(self):
        self.record('AGENT00000000001', R_CLIENT_APP='Webmail', R_CLIENT_AGENT='Mozilla/5.0 (X11)')
        self.known(1)
        self.assertIn('From       192.0.2.7 Webmail Mozilla/5.0 (X11)', self.cli('explain', 'AGENT'))

    ACCEPTED = dict(R_VERDICT='accepted', R_CLASS='none', R_REASON='ok', R_PROVED=1, R_COUNTED='0', R_DOMAIN='corp.example')

    def accepted(self, ident, name, number, **fields):
        self.record(ident, **{**self.ACCEPTED, 'R_USER': name, 'R_USER_ID': f'S-1-5-21-1-2-3-{number}', 'R_SAM': name.split('@')[0],
                              'R_UPN': name, 'R_CLIENT_APP': 'Webmail', **fields})

    def test_accents_and_near_names(self):
        """Müller, about nine: found however it is typed; of several like it the names are offered."""
        nine = int(time.time()) - 3 * 3600
        self.accepted('MUELLER000000001', 'hans.Müller@corp.example', 1104, R_WALL=nine + 100)
        self.accepted('MUELLER000000002', 'hans.Müller@corp.example', 1104, R_WALL=nine + 7200)
        self.accepted('MEIER00000000001', 'eva.meier@corp.example', 1105, R_WALL=nine)
        self.known(3)
        clock = time.strftime('%H:%M', time.gmtime(nine))
        for typed in ('Hans.Mueller', 'hans.muller@corp.example', 'HANS.MÜLLER', 'CORP\\hans.Mu\u0308ller'):
            found = self.records('--user', typed, '--at', clock)
            self.assertEqual([r['id'] for r in found], ['MUELLER000000001'], typed)
            self.assertEqual(len(self.records('--user', typed)), 2, typed)
        self.assertIn("these are of 'hans.müller@corp.example'", self.both('log', '--user', 'hans.mueller'))
        for typed in ('mueller', 'hans', 'hans.mulelr', 'hans.müler'):
            said = self.cli('log', '--user', typed, '--at', clock, code=1)
            self.assertIn('Names like it', said, typed)
            self.assertIn('hans.müller@corp.example', said, typed)
            self.assertNotIn('eva', said, typed)
            self.assertIn('hans.müller@corp.example', self.cli('explain', typed, code=1))
        near = json.loads(self.cli('log', '--user', 'maier', '--json', code=1))['near']
        self.assertEqual([n['name'] for n in near], [])
        near = json.loads(self.cli('log', '--user', 'eva.maier', '--json', code=1))['near']
        self.assertEqual([(n['name'], n['near']) for n in near], [('eva.meier@corp.example', 2)])
        self.assertIn('is not a time', self.cli('log', '--at', 'nine', code=2))
        self.assertIn('leave out --since', self.cli('log', '--at', clock, '--since', '1d', code=2))

    def test_an_account_is_found_by_all_its_names(self):
        """Typed by mail, refused; typed by UPN, accepted: one person, whichever name or SID is asked for."""
        self.accepted('BYMAIL0000000001', 'a.smith@mail.example', 1106, R_UPN='alice@corp.example', R_SAM='alice')
        self.accepted('BYUPN00000000001', 'alice@corp.example', 1106, R_SAM='alice')
        self.record('REFUSED000000001', R_USER='a.smith@mail.example')
        self.record('OTHER00000000001', R_USER='bob@corp.example')
        self.known(4)
        for name in ('alice', 'CORP\\alice', 'a.smith@mail.example', 'S-1-5-21-1-2-3-1106', 'Alice@CORP.example'):
            self.assertEqual({r['id'] for r in self.records('--user', name)}, {'BYMAIL0000000001', 'BYUPN00000000001', 'REFUSED000000001'}, name)
        self.assertEqual([r['id'] for r in self.records('--user', 'alice', '--verdict', 'refused')], ['REFUSED000000001'])

    def test_what_failures_have_in_common(self):
        now = int(time.time())
        for n in range(12):
            bad = n % 3 == 0
            self.accepted(f'NOWANDTHEN{n:06}', 'alice@corp.example', 1104, R_WALL=now - 600 + n, R_DC='dc2.corp.example' if bad else 'dc1.corp.example',
                          **(dict(R_VERDICT='unavailable', R_CLASS='infrastructure', R_REASON='dc_tls', R_PROVED=0, R_USER_ID=None) if bad else {}))
        self.known(12)
        said = ' '.join(self.cli('log', '--user', 'alice').split())
        self.assertIn('Of the last 12 sign-ins 4 failed, and what they have in common is the domain controller: with dc2.corp.example 4 of 4 failed, '
                      'without it 0 of 8', said)
        text = ' '.join(self.cli('explain', 'alice').split())
        self.assertIn('with dc2.corp.example 4 of 4 failed', text.split('For the ticket')[0])
        self.assertIn('Accepted at ', text)
        self.assertIn('for the application Webmail: Postern let the user in', text)
        self.assertIn('For the ticket Postern sign-in: NOWANDTHEN000011 When: ', text)
        told = json.loads(self.cli('explain', 'alice', '--json'))['records'][0]['explanation']
        self.assertIn('\nResult: accepted\n', told['ticket'])
        self.assertEqual(len(told['seen']), 2)

    def test_where_bad_attempts_came_from(self):
        now = int(time.time())
        for n in range(3):
            self.record(f'WRONG{n:011}', R_WALL=now - 300 + n, R_CLIENT_IP='198.51.100.7', R_CLIENT_APP='Old phone', R_METHOD='krb5')
        self.record('LOCKED0000000001', R_WALL=now, R_CLASS='policy', R_REASON='locked_out', R_COUNTED='0', R_USER="alice@corp.example")
        self.known(4)
        text = ' '.join(self.cli('explain', 'LOCKED').split())
        self.assertIn('3 wrong passwords came here within the half hour before: 3 from 198.51.100.7 by Old phone', text)
        self.assertIn('event 4740 on the PDC emulator', text)
        text = ' '.join(self.cli('explain', 'LOCKED', '--bad-attempts', '10').split())
        self.assertIn('Of 10 bad attempts 3 came here within the half hour before: 3 from 198.51.100.7 by Old phone; 7 did not: event 4740', text)
        self.assertIn("-eq 'alice' }", text)
        text = ' '.join(self.cli('explain', 'LOCKED', '--bad-attempts', '3').split())
        self.assertNotIn('4740', text)

    def test_a_success_that_is_unlike_those_before(self):
        now = int(time.time())
        self.accepted('BEFORE0000000001', 'alice@corp.example', 1104, R_WALL=now - 9000, R_CLIENT_IP='192.0.2.7')
        for n in range(4):
            self.record(f'WRONG{n:011}', R_WALL=now - 300 + n, R_CLIENT_IP='203.0.113.9')
        self.accepted('AFTER00000000001', 'alice@corp.example', 1104, R_WALL=now, R_CLIENT_IP='203.0.113.9')
        for n in range(11):
            self.record(f'SPRAY{n:011}', R_WALL=now - 100, R_USER=f'user{n}@corp.example', R_CLIENT_IP='203.0.113.10')
        self.known(17)
        unlike = 'came from 203.0.113.9, from where this user had none before, after 4 failures within the hour'
        self.assertIn(unlike, ' '.join(self.cli('explain', 'AFTER').split()))
        self.assertNotIn('had none before', self.cli('explain', 'BEFORE'))
        said = ' '.join(self.cli('log', '--unusual').split())
        self.assertIn('From 203.0.113.10 came 11 failures with 11 names', said)
        self.assertIn('alice@corp.example was accepted at', said)
        self.assertIn('postern explain AFTER00000000001', said)
        self.assertEqual(len(json.loads(self.cli('log', '--unusual', '--json'))['unusual']['sentences']), 2)
        self.assertIn('nothing unusual', self.cli('log', '--unusual', '--since', '3d', '--until', '2d'))

    def test_which_hop_was_slow(self):
        now = int(time.time())
        for n in range(20):
            self.record(f'YESTERDAY{n:07}', R_WALL=now - 86400 - 600 + n, R_DC=f'dc{n % 2}', R_MS_DC=10, R_MS_TOTAL=15)
            self.record(f'TODAY{n:011}', R_WALL=now - 600 + n, R_DC=f'dc{n % 2}', R_MS_DC=2000 if n % 2 else 10, R_MS_TOTAL=2015 if n % 2 else 15)
        self.known(40)
        said = ' '.join(self.cli('log', '--slow').split())
        self.assertIn('20 sign-ins: half within 2015 ms, 95 of 100 within 2015 ms. At the same time the day before 20: 15 and 15 ms', said)
        self.assertIn('The domain controllers took it: dc1 (ldap) answered 95 of 100 within 2000 ms (the day before: 10 ms)', said)
        self.assertIn('The slowest', said)
        told = json.loads(self.cli('log', '--slow', '--json', '--limit', '3'))['slow']
        self.assertEqual([r['ms_total'] for r in told['records']], [2015] * 3)
        self.assertIn('No sign-in was decided here', self.cli('log', '--slow', '--since', '5d', '--until', '4d'))

    def test_names_become_pseudonyms(self):
        """After names_days nobody's name stands there, in the file neither; who asks for the name or the SID finds the sign-ins."""
        old = int(time.time()) - 9 * 86400
        self.accepted('OLDRECORD0000001', 'forgotten.person@corp.example', 1107, R_WALL=old, R_CLIENT_AGENT='Mozilla')
        self.accepted('OLDRECORD0000002', 'forgotten.person@corp.example', 1107, R_WALL=old + 1)
        self.accepted('YOUNG00000000001', 'alice@corp.example', 1104)
        self.known(3)
        self.kill()
        self.start()
        wait_for('the pseudonyms', lambda: 'user' not in [r for r in self.records() if r['id'] == 'OLDRECORD0000001'][0])
        rows = {r['id']: r for r in self.records()}
        self.assertRegex(rows['OLDRECORD0000001']['user_masked'], '^user-[0-9a-f]{12}$')
        self.assertEqual(rows['OLDRECORD0000001']['user_masked'], rows['OLDRECORD0000002']['user_masked'])
        self.assertEqual(rows['YOUNG00000000001']['user'], 'alice@corp.example')
        for name in ('forgotten.person', 'CORP\\forgotten.person', 'S-1-5-21-1-2-3-1107'):
            self.assertEqual(len(self.records('--user', name)), 2, name)
        self.assertNotIn('forgotten', self.cli('explain', 'OLDRECORD0000001').split('For the ticket')[0])
        self.assertNotIn('forgotten', self.cli('log', '--user', 'forgotten.persom', code=1).split('\n', 1)[1])

    def test_a_user_is_shown_and_erased(self):
        for n in range(3):
            self.accepted(f'HERS{n:012}', 'alice@corp.example', 1104)
            self.deliver(f'HERS{n:012}', 'confirmed')
        self.record('HERS000000000009', R_USER='CORP\\alice')
        self.accepted('HIS0000000000001', 'bob@corp.example', 1105)
        self.known(5)
        shown = [json.loads(line) for line in self.cli('privacy', 'export', 'alice').splitlines()]
        self.assertEqual({r['id'] for r in shown}, {'HERS000000000000', 'HERS000000000001', 'HERS000000000002', 'HERS000000000009'})
        self.assertIn('4 records erased', self.cli('privacy', 'erase', 'alice@corp.example'))
        self.known(1)
        self.assertIn('holds nothing', self.cli('privacy', 'export', 'alice', code=1))
        self.assertIn('0 records', self.cli('privacy', 'erase', 'alice', code=1))
        self.assertNotIn('alice', self.cli('log', '--user', 'alise', code=1))
        events = json.loads(self.cli('log', '--events', '--json'))['events']
        self.assertEqual(events[-1]['detail'], '4 records of one user erased on request')
        self.assertNotIn('alice', json.dumps(events))
        self.kill()
        for file in os.listdir(self.db_dir):
            with open(os.path.join(self.db_dir, file), 'rb') as f:
                if file.endswith('.db'):
                    self.assertNotIn(b'alice', f.read(), file)

    def test_both_attempts_of_a_sign_in(self):
        """Whichever id is read out, and in lower case too, both are shown; what only one connector knows says so."""
        first, second = '0123456789ABCDEFGHJKMNPQRS', '0123456789ABCDEFGHJKMNPQRS-2'
        nothing = dict.fromkeys(('R_VERDICT', 'R_CLASS', 'R_REASON', 'R_DC', 'R_METHOD'))
        self.record('LATER56789ABCDEFGHJKMNPQRS-2')
        self.known(1)
        text = self.cli('explain', 'LATER56789ABCDEFGHJKMNPQRS')
        self.assertIn('the second of sign-in LATER56789ABCDEFGHJKMNPQRS; ', text)
        self.assertNotIn('tried this sign-in twice', text)
        self.record(first, R_WALL=int(time.time()) - 1, R_DECLINED='draining', **nothing)
        self.known(2)
        self.assertNotIn('Attempt', self.cli('explain', second))
        self.record(second)
        self.known(3)
        for asked in (first, second, first.lower(), second.lower()):
            text = self.cli('explain', asked)
            self.assertIn('tried this sign-in twice', text)
            self.assertLess(text.index(f'Sign-in {first}\n'), text.index(f'Sign-in {second}\n'))
            self.assertLess(text.index('declined (draining)'), text.index('refused: wrong_password'))
            self.assertNotIn('Before that', text)
            told = json.loads(self.cli('explain', asked, '--json'))
            self.assertEqual((told['found_by'], [r['id'] for r in told['records']]), ('id', [second, first]))

    def test_what_a_dc_did_not_do(self):
        """A DC is named also where it was only tried: then it did not answer."""
        said = {'outcome_unknown': 'got the password and did not answer in time; waited 7 ms', 'dc_timeout': 'took the connection and did not answer in time',
                'dc_refused': 'could not be asked', 'dc_certificate': 'could not be asked', 'cancelled': 'was being asked when the sign-in was cancelled'}
        for n, reason in enumerate(said):
            self.record(f'FAILED{n:010d}', R_VERDICT='unavailable', R_CLASS='infrastructure', R_REASON=reason, R_COUNTED='unknown')
        self.record('EMPTY00000000001', R_REASON='empty_password', R_DC=None, R_METHOD=None, R_COUNTED='0', R_RAW=None)
        self.known(len(said) + 1)
        for n, words in enumerate(said.values()):
            text = self.cli('explain', f'FAILED{n:010d}')
            self.assertIn('domain controller dc1.corp.example (LDAP) ' + words, text)
            self.assertNotIn('answered by', text)
            self.assertIn('not known to be right or wrong', text)
        self.assertIn('no domain controller was asked\n', self.cli('explain', 'EMPTY00000000001'))

    def test_lines_fit_the_terminal(self):
        self.record('0123456789ABCDEFGHJKMNPQRS', R_USER='a-rather-long-name-of-somebody@corp.example', R_REASON='authentication_firewall',
                    R_MS_TOTAL=14000)
        self.known(1)
        for columns in (80, 100, 120, 132, 160):
            for words in (('log',), ('explain', '0123456789ABCDEFGHJKMNPQRS')):
                done = subprocess.run([POSTERN, *words, '--socket', self.socket], capture_output=True, text=True, timeout=300, check=True,
                                      env=dict(os.environ, COLUMNS=str(columns)))
                self.assertLessEqual(max(map(len, done.stdout.splitlines())), columns, done.stdout)
                self.assertIn('0123456789ABCDEFGHJKMNPQRS', done.stdout)
        self.assertIn('authentication_firew~', self.cli('log'))

    def status(self, code, dcs=True, ends=None, **changes):
        """Parts that are well but for the changes speak; all processes run. What `postern status` finds wrong."""
        parts = {'link': {'state': 'up', 'relay': 'https://relay.example'}, 'validator': {'in_roster': True, 'name': 'north', 'services': 1},
                 'dc': {'domain': 'corp.example', 'host': 'dc1', 'state': 'alive', 'reason': '', 'detail': ''},
                 'sid': {'domain': 'corp.example', 'sid': 'S-1-5-21-1-2-3', 'source': 'learnt', 'learnt': 'S-1-5-21-1-2-3', 'seen': '', 'rival': ''},
                 'domain': {'domain': 'corp.example', 'ready': True, 'reason': '', 'detail': '', 'may_speak': True}}
        for part, fields in changes.items():
            parts[part] |= fields
        parts['dc:corp.example/dc1'] = parts.pop('dc')
        parts['sid:corp.example'] = parts.pop('sid')
        parts['domain:corp.example'] = parts.pop('domain')
        if not dcs:
            del parts['dc:corp.example/dc1']
        for name, value in parts.items():
            send(self.link if name == 'link' else self.validator, frame('FRAME_STATUS', TAG_NAME=name, TAG_TEXT=json.dumps(value)))
        for name in ('supervisor', 'link', 'validator', 'ledger'):
            parts[f'process:{name}'] = {'state': 'running', 'pid': 1, 'restarts': 0} | (ends or {}).get(name, {})
            send(self.control, frame('FRAME_SHARE', TAG_NAME=f'process:{name}', TAG_TEXT=json.dumps(parts[f'process:{name}'])))

        def read():
            done = subprocess.run([POSTERN, 'status', '--json', '--socket', self.socket], capture_output=True, text=True, timeout=300, check=False)
            answer = json.loads(done.stdout)
            self.assertEqual(done.returncode, 1 if sentences(answer) else 0)
            self.assertEqual(answer['state'] == 'well', not answer['findings'])
            self.found = answer['findings']
            return answer if {n: p['value'] for n, p in answer['parts'].items()} == parts else None
        answer = wait_for('the parts spoke', read)
        def ageless(text):
            return re.sub(r'[0-9]+ s ago', 'N s ago', text)
        text = self.cli('status', code=code)
        for sentence in sentences(answer):
            self.assertIn(ageless(sentence), ageless(text))
        self.assertEqual(code == 0, 'all is well' in text)
        return ' | '.join(sentences(answer))

    def test_status_says_what_is_wrong(self):
        now = int(time.time())
        self.assertEqual(self.status(0), '')
        self.assertEqual(self.status(0, validator={'roster_expires': now + 20 * 86400}, link={'certificate_expires': now + 20 * 86400}), '')
        soon = {'roster_expires': now + 2 * 86400 + 60, 'roster_seq': 7}
        self.assertIn('the roster expires in 2 days', self.status(1, validator=soon))
        said = self.status(1, validator={'roster_expires': now - 5, 'roster_seq': 7, 'in_roster': False})
        self.assertIn('the roster (number 7) has expired', said)
        self.assertNotIn('not approved', said)
        self.assertIn('tenant approve north', self.status(1, validator={'in_roster': False, 'identity': 'FINGER'}))
        self.assertIn('certificate expires in 3 days', self.status(1, link={'certificate_expires': now + 3 * 86400 + 60}))
        self.assertIn('certificate has expired', self.status(1, link={'certificate_expires': now - 5}))
        self.assertIn('no link to the relay https://relay.example', self.status(1, link={'state': 'down', 'detail': 'refused'}))
        said = self.status(1, dc={'state': 'dead', 'reason': 'dc_certificate', 'detail': 'it names another'},
                           domain={'ready': False, 'reason': 'dc_certificate'})
        for words in ('dc1 cannot be used: it names another - dc_certificate', 'Set ca_file to the CA',
                      'no domain controller of corp.example can be used'):
            self.assertIn(words, said)
        said = self.status(1, dc={'state': 'alive', 'reason': 'dc_timeout', 'detail': 'slow'})
        self.assertIn('dc1 failed lately: slow', said)
        self.assertNotIn('no domain controller', said)
        # the log hints at it, and where the DC came and went stands in the events
        self.assertIn('1 problem (see postern status), first: the domain controller dc1', self.both('log'))
        events = json.loads(self.cli('log', '--events', '--json'))['events']
        self.assertEqual([(e['event'], e['detail']) for e in reversed(events)],
                         [('dc.down', 'dc1 cannot be used (dc_certificate): it names another'),
                          ('domain.down', 'no domain controller of corp.example can be used: dc_certificate'),
                          ('dc.up', 'dc1 answers again'), ('domain.up', 'corp.example is served again')])

    def test_all_is_well_only_where_a_sign_in_would_succeed(self):
        """No domain controller is known, or none has answered yet; the roster leaves this connector, its domain or every service out."""
        said = self.status(1, dcs=False, domain={'ready': False, 'reason': 'dns', 'detail': 'SRV _ldap._tcp.dc._msdcs.corp.example: no answer'})
        self.assertIn('no domain controller of corp.example is known', said)
        self.assertEqual([f['code'] for f in self.found], ['no_dc_known'])
        self.assertIn('SRV _ldap._tcp.dc._msdcs.corp.example: no answer | Check the connector', said)
        self.assertIn('domain.down', self.cli('log', '--events'))
        self.assertIn('has answered yet', self.status(1, dc={'state': 'unknown'}, domain={'ready': False, 'reason': 'no_dc'}))
        said = self.status(1, domain={'may_speak': False})
        self.assertIn('does not let this connector speak for corp.example', said)
        self.assertIn('postern tenant connector-domains', said)
        self.assertNotIn('connector-domains', self.status(1, validator={'in_roster': False, 'identity': 'F'}, domain={'may_speak': False}))
        self.assertIn('postern tenant approve-service', self.status(1, validator={'services': 0}))
        said = self.status(1, validator={'in_roster': False, 'removed': True})
        self.assertIn('was removed from the roster', said)
        self.assertNotIn('postern tenant approve', said)

    def test_a_clock_that_is_behind_makes_no_roster_expire(self):
        said = self.status(1, validator={'roster_begins': int(time.time()) + 605, 'roster_expires': int(time.time()) + 86400 * 9,
                                         'roster_seq': 7, 'in_roster': False})
        self.assertIn('the roster (number 7) begins 10 min from now', said)
        self.assertIn("this host's clock is behind", said)
        self.assertNotIn('postern tenant', said)

    def test_a_sid_is_corrected_where_it_was_set(self):
        theirs, ours = 'S-1-5-21-7-8-9', 'S-1-5-21-1-2-3'
        self.assertIn('postern domain repin corp.example', self.status(1, sid={'seen': theirs}))
        said = self.status(1, sid={'seen': theirs, 'source': 'roster'})
        self.assertIn(f'postern tenant domain set corp.example --sid {theirs}', said)
        self.assertNotIn('repin', said)
        self.assertIn('correct domain_sid', self.status(1, sid={'seen': theirs, 'source': 'config'}))
        said = self.status(1, sid={'sid': theirs, 'source': 'roster'})  # no sign-in has failed for it yet
        self.assertIn(f'the SID of corp.example is {theirs} (roster), but a domain controller said {ours} before', said)

    def test_status_tells_of_sign_ins_that_could_not_be_checked(self):
        now = int(time.time())
        self.record('CANCELLED0000001', R_WALL=now, R_VERDICT='unavailable', R_REASON='cancelled')
        self.record('LONGAGO000000001', R_WALL=now - 400, R_VERDICT='unavailable', R_REASON='no_dc')
        self.record('REFUSED000000001', R_WALL=now)
        self.known(3)
        self.assertEqual(self.status(0), '')
        self.record('NOTVERIFIED00001', R_WALL=now - 60, R_VERDICT='unavailable', R_REASON='kdc_not_verified')
        self.known(4)
        said = self.status(1)
        self.assertIn('1 sign-in of 1 user could not be checked', said)
        self.assertIn('kdc_not_verified', said)
        self.assertIn('postern explain NOTVERIFIED00001', said)

    def codes(self, *args, **changes):
        """The codes of what `postern status` finds wrong, in order."""
        self.status(*args, **changes)
        return [found['code'] for found in self.found]

    def test_one_cause_is_one_incident(self):
        """Many users, one finding: how many, since when, which domain controllers, what happened before; not two hundred stories."""
        now = int(time.time())
        send(self.validator, frame('FRAME_EVENT', TAG_NAME='roster.adopted', TAG_TEXT='number 8'))
        for n in range(40):
            self.record(f'MANY{n:012d}', R_WALL=now + n - 39, R_USER=f'user{n % 20}@corp.example', R_VERDICT='unavailable', R_REASON='kdc_not_verified',
                        R_DC=f'dc{n % 2}.corp.example')
            self.record(f'FULL{n:012d}', R_WALL=now + n - 39, R_DECLINED='full', R_VERDICT=None, R_REASON=None, R_CLASS=None, R_DC=None)
        self.known(50)  # as many as `log` shows
        wait_for('all of them', lambda: len(self.records('--limit', '500')) == 80)
        self.assertEqual(self.codes(1), ['sign_ins_unchecked', 'sign_ins_declined'])
        unchecked = self.found[0]
        self.assertEqual((unchecked['about'], unchecked['sign_ins'], unchecked['users'], unchecked['since'], unchecked['id']),
                         ('kdc_not_verified', 40, 20, now - 39, 'MANY000000000039'))
        self.assertEqual(sorted(unchecked['dcs']), ['dc0.corp.example', 'dc1.corp.example'])
        self.assertIn('40 sign-ins of 20 users failed for it, the latest: MANY000000000039', self.cli('status', code=1))

    def test_an_incident_that_a_part_explains_is_no_second_finding(self):
        now = int(time.time())
        for n in range(5):
            self.record(f'NODC{n:012d}', R_WALL=now, R_VERDICT='unavailable', R_REASON='dc_certificate')
        self.known(5)
        codes = self.codes(1, dc={'state': 'dead', 'reason': 'dc_certificate', 'detail': 'it has expired'},
                           domain={'ready': False, 'reason': 'dc_certificate'})
        self.assertEqual(codes, ['no_dc_usable', 'dc_dead'])
        self.assertEqual(self.found[0]['sign_ins'], 5)

    def test_each_code_alone(self):
        """What the parts say of themselves, and the one code that it makes."""
        now = int(time.time())
        cases = {
            'quarantined': {'link': {'heard': True, 'quarantined': True}},
            'link_unheard': {'link': {'heard': False, 'since': now - 60}},
            'link_down': {'link': {'state': 'down', 'detail': 'refused', 'since': now - 60}},
            'statement_refused': {'link': {'statement_refused': 'not_newer', 'statement_detail': '5 is not newer than 7',
                                           'nodes': [{'relay': 'https://n1', 'state': 'up', 'statement_refused': 'not_newer'}]}},
            'node_refuses_statement': {'link': {'nodes': [{'relay': 'https://n1', 'state': 'up'}, {
                'relay': 'https://n2', 'state': 'up', 'statement_refused': 'invalid', 'statement_detail': 'it has expired'}]}},
            'clock_wrong': {'validator': {'clock': {'state': 'wrong', 'detail': 'two say so'}}},
            'clock_of_relay': {'validator': {'clock': {'state': 'relay_off', 'detail': 'it says so alone'}}},
            'clock_of_service': {'validator': {'clock': {'state': 'service_off', 'detail': 'it says so alone'}}},
            'clock_off': {'link': {'clock_ahead': 70}},
            'not_approved': {'validator': {'in_roster': False, 'identity': 'F'}},
            'removed': {'validator': {'in_roster': False, 'removed': True}},
            'no_service': {'validator': {'services': 0}},
            'roster_expired': {'validator': {'roster_seq': 1, 'roster_expires': now - 5}},
            'roster_not_yet': {'validator': {'roster_seq': 1, 'roster_begins': now + 600, 'roster_expires': now + 86400 * 9}},
            'roster_ends': {'validator': {'roster_seq': 1, 'roster_expires': now + 86400}},
            'certificate_ends': {'link': {'certificate_expires': now + 86400}},
            'certificate_expired': {'link': {'certificate_expires': now - 5}},
            'domain_not_ours': {'domain': {'may_speak': False}},
            'dns_failing': {'domain': {'detail': 'SRV _ldap._tcp.dc._msdcs.corp.example: no answer'}},
            'dc_unknown': {'dc': {'state': 'unknown'}},
            'dc_silent': {'dc': {'state': 'silent'}},
            'dc_sick': {'dc': {'state': 'sick', 'reason': 'dc_error'}},
            'dc_failed': {'dc': {'reason': 'dc_timeout', 'detail': 'slow'}},
            'dc_dead': {'dc': {'state': 'dead', 'reason': 'dc_refused'}},
            'sid_differs': {'sid': {'seen': 'S-1-5-21-7-8-9'}},
            'sid_claimed_twice': {'sid': {'rival': 'two.example'}},
            'process_loops': {'ends': {'link': {'ends': [now - 5, now - 90, now - 400, 0], 'last_end': 'signal 11 (SEGV)'}}},
            'process_down': {'ends': {'link': {'state': 'down', 'last_end': 'signal 11 (SEGV)'}}},
            'landlock_forbidden': {'ends': {'link': {'landlock': 'forbidden'}}},
            'reload_refused': {'ends': {'supervisor': {'reload_refused': 'postern.conf:3: foo', 'reload_at': now}}},
            'relay_node_down': {'link': {'nodes': [{'relay': 'https://n1', 'state': 'up'},
                                                   {'relay': 'https://n2', 'state': 'down', 'detail': 'refused', 'since': now - 60}]}},
            'keytab_refused': {'ends': {'supervisor': {'keytabs': {'corp.example': 'no key'}}}},
        }
        for code, changes in cases.items():
            with self.subTest(code):
                self.assertEqual(self.codes(1, **changes), [code])
                self.assertTrue(self.found[0]['remedy'], code)
        self.assertEqual(self.codes(0), [])
        self.assertEqual(self.codes(0, ends={'link': {'ends': [now - 5, now - 90, now - 700, 0]}}), [])

    def test_since_when(self):
        """Not since it was looked at: the ledger keeps when each word of a part changed."""
        self.codes(1, domain={'ready': False, 'reason': 'dc_refused'}, dc={'state': 'dead', 'reason': 'dc_refused'})
        before = self.found[0]['since']
        wait_for('a later second', lambda: int(time.time()) > before)
        self.codes(1, domain={'ready': False, 'reason': 'dc_refused'}, dc={'state': 'dead', 'reason': 'dc_refused', 'ms': 7})
        self.assertEqual([f['since'] for f in self.found], [before, before])

    def both(self, *words):
        done = subprocess.run([POSTERN, *words, '--socket', self.socket], capture_output=True, text=True, timeout=300, check=True)
        return done.stdout + done.stderr

    def test_each_process_speaks_for_itself_only(self):
        """A link or a validator that was taken over tells nothing in another's name; the helpdesk hears of the attempt."""
        forged = dict(TAG_ID='FORGED0000000001', R_WALL=int(time.time()), R_USER='ceo@corp.example', R_VERDICT='accepted', R_CLASS='none', R_REASON='ok')
        for _ in range(2):
            send(self.link, frame('FRAME_RECORD', **forged))
        send(self.link, frame('FRAME_DELIVERY', TAG_ID='REFUSED000000001', TAG_DELIVERY='lost'))
        for name in ('validator', 'dc:corp.example/dc1', 'process:link', ''):
            send(self.link, frame('FRAME_STATUS', TAG_NAME=name, TAG_TEXT='{"state": "alive"}'))
        send(self.link, frame('FRAME_EVENT', TAG_NAME='roster.adopted', TAG_TEXT='forged'))
        send(self.link, frame('FRAME_EVENT', TAG_NAME='link.up', TAG_TEXT='true'))
        for name in ('link', 'process:validator'):
            send(self.validator, frame('FRAME_STATUS', TAG_NAME=name, TAG_TEXT='{"state": "up"}'))
        send(self.validator, frame('FRAME_SHARE', TAG_NAME='process:ledger', TAG_TEXT='{"state": "running"}'))
        self.record('REFUSED000000001')  # the channels are read one after the other: all before it was looked at
        self.known(1)

        def told():
            found = json.loads(self.cli('log', '--events', '--json'))['events']
            return [(e['event'], e['detail']) for e in found] if len(found) >= 3 else None
        events = wait_for('three events', told)
        self.assertEqual(sorted(e for e, _ in events), ['link.up', 'process.suspicious', 'process.suspicious'])
        self.assertEqual({d.split()[1] for e, d in events if e == 'process.suspicious'}, {'link', 'validator'})
        self.assertEqual([r['id'] for r in self.records()], ['REFUSED000000001'])
        self.assertNotIn('ceo@corp.example', self.cli('explain', 'FORGED0000000001', code=1))
        done = subprocess.run([POSTERN, 'status', '--json', '--socket', self.socket], capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(json.loads(done.stdout)['parts'], {})

    def test_ends_of_processes_are_events(self):
        for state, end in (('running', ''), ('down', 'signal 9 (KILL)'), ('starting', 'signal 9 (KILL)'), ('running', 'signal 9 (KILL)')):
            text = json.dumps({'state': state, 'pid': 1, 'restarts': 1 if end else 0, 'last_end': end})
            send(self.control, frame('FRAME_SHARE', TAG_NAME='process:link', TAG_TEXT=text))

        def events():
            found = json.loads(self.cli('log', '--events', '--json'))['events']
            return [(e['event'], e['detail']) for e in reversed(found)] if len(found) == 2 else None
        self.assertEqual(wait_for('two events', events), [('process.down', 'link ended: signal 9 (KILL)'), ('process.up', 'link runs again')])

    def test_nothing_found(self):
        self.assertIn("nothing is known of 'nobody'", self.cli('explain', 'nobody', code=1))
        self.assertIn('records of this connector are empty', self.cli('explain', 'nobody', code=1))
        self.assertIn('postern tenant trace', self.cli('explain', '0123456789ABCDEFGHJKMNPQRS', code=1))
        self.assertIn('ID-OR-USER', self.cli('explain', '', code=2))
        self.assertIn('nothing found', self.cli('log'))
        before = int(time.time()) - 3 * 86400
        self.record('REFUSED000000001', R_WALL=before)
        self.known(1)
        since = time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(before))
        self.assertIn(f'records of this connector go back to {since}', self.cli('explain', 'nobody', code=1))
        self.assertEqual(json.loads(self.cli('explain', 'nobody', '--json', code=1))['absent']['records_since'], before)

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
        self.assertIn('maybe', self.cli('log', '--verdict', 'maybe', code=2))
        self.assertIn('--user', self.cli('log', '--events', '--user', 'bob', code=2))

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
        done = subprocess.run([LEDGER], capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('started by its supervisor (posternd), not by hand', done.stderr)

    def test_no_daemon(self):
        self.kill()
        said = self.cli('status', code=3)
        self.assertIn('does not run here', said)
        self.assertIn('systemctl start postern', said)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
