"""What a SIEM gets of a ledger: JSON lines held against postern-events(7), and a real rsyslog that takes RFC 5424.

usage: test_events.py BUILD_DIR SOURCE_DIR
"""
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import unittest

import test_ledger
from test_ledger import SOURCE, frame, send, wait_for

sys.path.insert(0, os.path.join(SOURCE, 'tests', 'certs', 'base', 'scribe'))
from scribe import HangingFolder, Scribe  # noqa: E402

POSTERND = os.path.join(test_ledger.BUILD, 'connector', 'posternd')

MAN = os.path.join(SOURCE, 'connector', 'man', 'postern-events.7')
TYPES = {'text': str, 'number': int, 'true or false': bool}
TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
HOSTILE = 'Web"mail]\n<13>1 - - - - - - forged\r{"v":1,"kind":"act"}\u202e\\ \x1b[2J'


def documented():
    """{section: {member: type}} of the page."""
    sections, section = {}, None
    with open(MAN, encoding='utf-8') as page:
        for line in page:
            if line.startswith('.SS '):
                section = sections.setdefault(line[4:].strip(), {})
            elif line.startswith('.SH '):
                section = None
            elif section is not None and (m := re.fullmatch(r'\.BR (\w+) " \((text|number|true or false)\)"\n', line)):
                section[m[1]] = TYPES[m[2]]
    return sections


class Rsyslog:
    """The real one, alone, with one socket and one file to which it writes what it understood."""

    def __init__(self, folder, snippet):
        self.folder, self.socket, self.out = folder, os.path.join(folder, 'receiver.sock'), os.path.join(folder, 'received')
        self.config = os.path.join(folder, 'rsyslog.conf')
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write(f'global(workDirectory="{folder}")\n' +
                    'template(name="all" type="list") { constant(value="{\\"pri\\":") property(name="pri") '
                    'constant(value=",\\"app\\":\\"") property(name="app-name") constant(value="\\",\\"msgid\\":\\"") '
                    'property(name="msgid") constant(value="\\",\\"host\\":\\"") property(name="hostname") '
                    'constant(value="\\",\\"time\\":\\"") property(name="timereported" dateformat="rfc3339") '
                    'constant(value="\\",\\"msg\\":\\"") property(name="msg") constant(value="\\",\\"sd\\":") '
                    'property(name="$!rfc5424-sd") constant(value="}\\n") }\n' +
                    snippet.replace('/run/rsyslog/postern.sock', self.socket))
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(['rsyslogd', '-n', '-C', '-f', self.config, '-i', os.path.join(self.folder, 'pid')],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for('rsyslog', lambda: os.path.exists(self.socket) and self.answers())

    def answers(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            try:
                s.connect(self.socket)
            except OSError:
                return False
        return True

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def received(self):
        if not os.path.exists(self.out):
            return []
        with open(self.out, encoding='utf-8') as f:
            return [json.loads(line) for line in f if line.endswith('\n')]


def page_snippet():
    """What postern-events(7) tells an admin to write, but that what arrives goes to a file."""
    with open(MAN, encoding='utf-8') as page:
        text = page.read().split('.SH RSYSLOG\n.EX\n')[1].split('.EE')[0].replace('\\-', '-')
    return re.sub(r'    action\(type="omfwd".*?\)\n', '    action(type="omfile" file="OUT" template="all")\n', text, flags=re.S)


class EventsCase(test_ledger.LedgerCase):
    NAMES, SOCKET = 'clear', False

    def setUp(self):
        self.config()
        super().setUp()

    def config(self):
        way = 'events_socket = /x/socket\n' if self.SOCKET else ''
        type(self).CONFIG = f'events_file = /x/events\n{way}events_names = {self.NAMES}\n'.encode()

    def start(self):
        super().start()
        self.path = os.path.join(self.dir, 'events')
        self.scribe = self.hand_file()

    def hand(self, key, path):
        """As posternd does: a scribe for the key, which writes to the path."""
        scribe = Scribe(POSTERND, key, path)
        self.addCleanup(scribe.stop)
        send(self.control, frame('FRAME_FILE', TAG_NAME=key), scribe.writer.fileno())
        scribe.writer.close()
        return scribe

    def hand_file(self):
        return self.hand('events_file', self.path)

    def outlet(self, key='events_file'):
        done = subprocess.run([test_ledger.POSTERN, 'status', '--json', '--socket', self.socket], capture_output=True, text=True,
                              timeout=300, check=False)
        return json.loads(done.stdout)['outlets'][key]

    def lines(self):
        if not os.path.exists(self.path):
            return []  # the scribe has only begun
        with open(self.path, encoding='utf-8') as f:
            return [json.loads(line) for line in f if line.endswith('\n')]

    def come(self, n, kind='sign_in'):
        wait_for(f'{n} of {kind}', lambda: len([x for x in self.lines() if x['kind'] == kind]) >= n)
        return [x for x in self.lines() if x['kind'] == kind]

    def fill(self):
        """At least one record with each member that there is."""
        now = int(time.time())
        self.accepted('ACCEPTED00000001', R_CLIENT_AGENT='Mozilla/5.0', R_CONTEXT='change of password', R_TRACE=TRACEPARENT)
        self.record('MASKED0000000001', R_USER=None, R_USER_MASKED='S…! (11)', R_USER_HASH='ab' * 16, R_REASON='unknown_user')
        send(self.link, frame('FRAME_UNANSWERED', TAG_ID='LOST000000000001', R_DECLINED='lost', R_WALL=now))
        self.deliver('ACCEPTED00000001', 'confirmed')
        self.deliver('MASKED0000000001', 'late')
        send(self.validator, frame('FRAME_EVENT', TAG_NAME='a.note', TAG_TEXT='about it', TAG_ID='MASKED0000000001'))
        wait_for('the records', lambda: {'ACCEPTED00000001', 'MASKED0000000001', 'LOST000000000001'} <= {x.get('id') for x in self.lines()})
        self.asked(json.dumps({'do': 'log', 'user': 'alice@corp.example', 'verdict': 'accepted', 'since': now - 9, 'until': now + 9}))
        self.asked('{"do":"explain","what":"ACCEPTED00000001"}')
        self.asked('{"do":"explain","what":"alice@corp.example"}')
        self.asked('{"do":"status"}')
        self.asked('{"do":"log","person":"Hotline"}')
        self.asked('{"do":"guard","user":"alice","release":true}', ok=False)
        send(self.validator, frame('FRAME_QUERY', TAG_SEQ=1, TAG_ID='QUESTION00000001', TAG_PERSON='erika', TAG_KID='k' * 43, TAG_OP='explain',
                                   TAG_WHAT='alice@corp.example', TAG_REFUSED='expired'))
        wait_for('the question', lambda: any(x.get('key') for x in self.lines()))
        send(self.control, frame('FRAME_SHARE', TAG_NAME='act', TAG_TEXT=json.dumps(
            {'at': now, 'act': 'domain.repinned', 'detail': 'corp.example: what was seen takes the place of none', 'uid': 0, 'login_uid': 1000})))
        wait_for('what was done by a command', lambda: any(x.get('login_uid') for x in self.lines()))
        self.asked('nonsense', ok=False)

    def accepted(self, ident, **fields):
        self.record(ident, R_VERDICT='accepted', R_CLASS='none', R_REASON='ok', R_PROVED=1, R_COUNTED='0', R_CLIENT_APP='Webmail',
                    R_USER_ID='S-1-5-21-1-2-3-1104', R_SAM='alice', R_UPN='alice@corp.example', R_DOMAIN='corp.example', **fields)

    def asked(self, line, ok=True):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket)
            s.sendall(line.encode() + b'\n')
            answer = json.loads(s.makefile().readline())
        self.assertEqual(answer['ok'], ok, answer)


class EventsTest(EventsCase):
    def big(self, ident):
        """A record whose line is as long as lines can be."""
        self.record(ident, **{f: '\x01' * 2000 for f in ('R_CLIENT_APP', 'R_CLIENT_AGENT', 'R_CONTEXT', 'R_RAW', 'R_DC', 'R_CLIENT_IP',
                                                         'R_SERVICE', 'R_USER')})

    def test_members_are_those_of_the_page(self):
        page = documented()
        every, seen = page.pop('In every record'), {}
        page = {kind: members for kind, members in page.items() if ':' not in kind}  # of relay and gateway
        self.assertEqual(set(page), {'sign_in', 'delivery', 'event', 'act', 'gap'})
        self.fill_up()
        self.fill()
        wait_for('the acts', lambda: any(x.get('act') == 'malformed' for x in self.lines()))
        for line in self.lines():
            for member, value in line.items():
                expected = every.get(member) or page[line['kind']].get(member)
                self.assertIsNotNone(expected, f'postern-events(7) lacks {member} of {line}')
                self.assertIs(type(value), expected, (member, line))
                seen.setdefault(line['kind'], set()).add(member)
        for kind, members in page.items():
            self.assertEqual(set(members) - seen[kind], set(), f'{kind}: documented, and never written')
        self.assertEqual(set(every) - set().union(*seen.values()), set())

    def fill_up(self):
        """A disk that is full for longer than memory has room: what is missing is told, where it is missing."""
        resource.prlimit(self.scribe.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        for i in range(900):
            self.big(f'MANY{i:012}')
        wait_for('a loss', lambda: self.outlet()['lost'] > 0 and self.outlet()['waiting'] + self.outlet()['lost'] == 900)
        self.assertIn('File too large', self.outlet()['why'])
        wait_for('the finding', lambda: 'records_not_sent' in self.cli('status', code=1))
        lost = self.outlet()['lost']
        resource.prlimit(self.scribe.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        wait_for('the rest', lambda: self.outlet()['waiting'] == 0 and self.outlet()['open'])
        text = self.cli('status', code=1)
        self.assertNotIn('records_not_sent', text)
        self.assertIn('sent_records_lost', text)
        self.assertRegex(text, r'events_file +/x/events: [0-9]+ sent, 0 wait, [1-9][0-9]* lost\n')
        lines = self.lines()
        gap = [x['kind'] for x in lines].index('gap')  # behind those that the scribe had in hand
        self.assertEqual(lines[gap]['lost'], lost)
        self.assertEqual([x['number'] for x in lines[:gap] + lines[gap + 1:]], list(range(1, gap + 1)) + list(range(gap + lost + 1, 901)))
        with open(self.path, encoding='utf-8') as f:
            self.assertTrue(all(len(line.encode()) <= 8000 for line in f))

    def test_sign_ins_as_they_are(self):
        self.accepted('ACCEPTED00000001')
        self.record('REFUSED000000001')
        one, two = self.come(2)
        self.assertEqual((one['id'], one['user'], one['verdict'], one['reason'], one['password_proved'], one['ms_dc'], one['number']),
                         ('ACCEPTED00000001', 'alice@corp.example', 'accepted', 'ok', True, 7, 1))
        self.assertEqual(one['connector'], 'TESTCONNECTOR00000001')
        self.assertEqual(one['pseudonym'], two['pseudonym'])
        self.assertEqual(two['number'], 2)
        self.assertEqual({'program': one['program'], 'host': one['host']}, {'program': 'postern', 'host': os.uname().nodename})

    def test_who_asked(self):
        self.record('REFUSED000000001')
        self.known(1)
        self.cli('explain', 'REFUSED000000001')
        self.cli('log', '--user', 'alice@corp.example')
        self.asked('{"do":"guard","user":"alice","release":true}', ok=False)
        wait_for('the last', lambda: any(x.get('act') == 'guard' for x in self.lines()))
        acts = self.come(1, 'act')
        explain = [a for a in acts if a['act'] == 'explain'][0]
        self.assertEqual((explain['id'], explain['uid'], explain['done']), ('REFUSED000000001', os.getuid(), True))
        self.assertIn('alice@corp.example', [a.get('user') for a in acts if a['act'] == 'log'])
        guard = [a for a in acts if a['act'] == 'guard'][0]
        self.assertEqual((guard['done'], guard['release'], guard['user']), (False, True, 'alice'))
        self.assertTrue(guard['refused'])

    def test_a_file_that_was_moved(self):
        self.record('BEFORE0000000001')
        self.come(1)
        os.rename(self.path, self.path + '.1')
        wait_for('another file', lambda: os.path.exists(self.path))
        self.record('AFTER00000000001')
        self.assertEqual([x['id'] for x in self.come(1)], ['AFTER00000000001'])

    def test_a_scribe_that_is_killed(self):
        """What it had goes to the next one: nothing is missing, and what comes twice has one number."""
        self.scribe.process.send_signal(signal.SIGSTOP)
        for i in range(30):
            self.record(f'MANY{i:012}')
        wait_for('word of it', lambda: 'hangs' in self.outlet()['why'])
        self.scribe.process.kill()
        wait_for('its end', lambda: 'ended' in self.outlet()['why'])
        self.assertEqual(self.outlet()['waiting'], 30)
        self.hand_file()
        wait_for('all of them', lambda: self.outlet()['waiting'] == 0)
        self.assertEqual({x['number'] for x in self.lines()}, set(range(1, 31)))

    def test_a_file_system_that_hangs(self):
        """The scribe hangs in the kernel, where nothing wakes it; who asks the ledger is answered, and nothing is lost."""
        try:
            folder = HangingFolder(os.path.join(self.dir, 'hanging'))
        except OSError as e:
            self.skipTest(str(e))
        self.addCleanup(folder.stop)
        scribe = self.hand('events_file', os.path.join(folder.path, 'events'))
        self.record('BEFORE0000000001')
        wait_for('the first', lambda: 'events' in folder.names and b'BEFORE' in folder.content('events'))
        folder.hang()
        for i in range(20):
            self.record(f'WHILE{i:011}')
        wait_for('word of it', lambda: 'hangs' in self.outlet()['why'])
        with open(f'/proc/{scribe.process.pid}/stat', encoding='ascii') as f:
            self.assertIn(f.read().split(') ')[1][0], 'DS')
        self.assertEqual(self.outlet()['waiting'], 20)
        self.cli('explain', 'WHILE00000000000')
        folder.go_on()
        wait_for('all of them', lambda: self.outlet()['waiting'] == 0 and self.outlet()['open'])
        numbers = [json.loads(line)['number'] for line in folder.content('events').splitlines()]
        self.assertEqual(numbers, sorted(set(numbers)))


class PseudonymsTest(EventsCase):
    NAMES = 'pseudonyms'

    def test_no_name_goes_out(self):
        self.asked('{"do":"explain","what":"maximilian-mustermann"}')  # it has the form of an id
        self.fill()
        self.record('BYTES00000000001', R_USER='carol@corp.example')
        wait_for('the last', lambda: any(x.get('id') == 'BYTES00000000001' for x in self.lines()))
        wait_for('the acts', lambda: any(x.get('act') == 'malformed' for x in self.lines()))
        with open(self.path, encoding='utf-8') as f:
            text = f.read()
        for word in ('alice', 'carol', 'maximilian', 'S-1-5', 'Mozilla', 'S…!'):
            self.assertNotIn(word, text)
        found = {x['id']: x['pseudonym'] for x in self.lines() if x['kind'] == 'sign_in' and 'pseudonym' in x}
        self.assertEqual(found['MASKED0000000001'], 'user-' + 'ab' * 6)
        self.assertNotEqual(found['ACCEPTED00000001'], found['BYTES00000000001'])
        asked = {x['pseudonym'] for x in self.lines() if x['kind'] == 'act' and 'pseudonym' in x}
        self.assertIn(found['ACCEPTED00000001'], asked)
        self.assertIn('ACCEPTED00000001', {x.get('id') for x in self.lines() if x['kind'] == 'act'})


def strict(value, shape, path=''):
    """Holds a value against a shape: {member: shape} with ? behind what may be absent and nothing else in it, [shape], a pattern."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), (path, value)
        for key in value:
            assert key in shape or key + '?' in shape, f'{path}: {key} is no member'
        for key, inner in shape.items():
            assert key.endswith('?') or key in value, f'{path}: {key} is missing'
            if key.rstrip('?') in value:
                strict(value[key.rstrip('?')], inner, f'{path}.{key}')
    elif isinstance(shape, list):
        assert isinstance(value, list) and value, (path, value)
        for item in value:
            strict(item, shape[0], path + '[]')
    elif isinstance(shape, set):
        assert value in shape and type(value) is type(next(iter(shape))), (path, value)
    else:
        assert isinstance(value, str) and re.fullmatch(shape, value), (path, value)


# opentelemetry-proto's trace.proto in the JSON mapping of OTLP: lowerCamelCase, ids in hex, 64-bit numbers as text, enums as numbers.
ATTRIBUTES = [{'key': r'[a-z][a-z_.]*', 'value': {'stringValue': r'(?s).+'}}]
OTLP = {'resourceSpans': [{'resource': {'attributes': ATTRIBUTES}, 'scopeSpans': [{'scope': {'name': 'postern'}, 'spans': [
    {'traceId': '[0-9a-f]{32}', 'spanId': '[0-9a-f]{16}', 'parentSpanId?': '[0-9a-f]{16}', 'name': r'postern [a-z-]+( [a-z]+)*',
     'kind': {1, 2, 3, 4, 5}, 'startTimeUnixNano': r'[1-9][0-9]{18}', 'endTimeUnixNano': r'[1-9][0-9]{18}', 'attributes': ATTRIBUTES,
     'status': {'code?': {2}}}]}]}]}


class TracesTest(EventsCase):
    """No collector is packaged in Debian: the shape is held against OTLP's by hand."""

    def config(self):
        type(self).CONFIG = b'traces_file = /x/traces\n'

    def hand_file(self):
        return self.hand('traces_file', self.path)

    def spans(self, n):
        wait_for(f'{n} traces', lambda: len(self.lines()) >= n)
        found = []
        for line in self.lines():
            strict(line, OTLP)
            resource = {a['key']: a['value']['stringValue'] for a in line['resourceSpans'][0]['resource']['attributes']}
            self.assertEqual((resource['service.name'], resource['service.instance.id']), ('postern-connector', 'TESTCONNECTOR00000001'))
            spans = line['resourceSpans'][0]['scopeSpans'][0]['spans']
            for span in spans:
                span['attributes'] = {a['key']: a['value']['stringValue'] for a in span['attributes']}
            found.append(spans)
        return found

    def test_a_trace_goes_on(self):
        self.accepted('ACCEPTED00000001', R_TRACE=TRACEPARENT, R_MS_DC=700, R_MS_TOTAL=900)
        (whole, part), = self.spans(1)
        self.assertEqual((whole['traceId'], whole['parentSpanId'], whole['kind']), (TRACEPARENT[3:35], TRACEPARENT[36:52], 2))
        self.assertEqual((part['traceId'], part['parentSpanId'], part['kind']), (TRACEPARENT[3:35], whole['spanId'], 3))
        self.assertNotEqual(part['spanId'], whole['spanId'])
        self.assertEqual([int(s['endTimeUnixNano']) - int(s['startTimeUnixNano']) for s in (whole, part)], [900 * 10**6, 700 * 10**6])
        self.assertLess(abs(int(whole['endTimeUnixNano']) / 1e9 - time.time()), 300)
        self.assertEqual(whole['attributes'], {'postern.sign_in.id': 'ACCEPTED00000001', 'postern.verdict': 'accepted',
                                               'postern.reason': 'ok', 'postern.domain': 'corp.example'})
        self.assertEqual(part['attributes'], {'server.address': 'dc1.corp.example', 'network.protocol.name': 'ldap'})
        self.assertEqual(whole['status'], {})

    def test_other_contexts(self):
        """None: the sign-in's id makes one. One that nobody samples: nothing. A malformed one is none."""
        self.accepted('NOTSAMPLED000001', R_TRACE=TRACEPARENT[:-1] + '0')
        self.record('NOCONTEXT0000001')
        self.record('NOCONTEXT0000001-2', R_TRACE='00-nonsense')
        self.record('NODC000000000001', R_VERDICT='unavailable', R_REASON='no_dc', R_DC=None, R_METHOD=None, R_DOMAIN='a"b\n\x1b')
        send(self.link, frame('FRAME_UNANSWERED', TAG_ID='LOST000000000001', R_DECLINED='lost', R_WALL=int(time.time())))
        traces = self.spans(4)
        ids = hashlib.sha256(b'NOCONTEXT0000001').hexdigest()[:32]
        self.assertEqual([t[0]['traceId'] == ids for t in traces].count(True), 2)
        self.assertNotIn('parentSpanId', traces[0][0])
        by = {t[0]['attributes']['postern.sign_in.id']: t for t in traces}
        self.assertEqual(set(by), {'NOCONTEXT0000001', 'NOCONTEXT0000001-2', 'NODC000000000001', 'LOST000000000001'})
        self.assertEqual([len(by[i]) for i in ('NOCONTEXT0000001', 'NODC000000000001', 'LOST000000000001')], [2, 1, 1])
        for i in ('NODC000000000001', 'LOST000000000001'):
            self.assertEqual(by[i][0]['status'], {'code': 2})


@unittest.skipUnless(shutil.which('rsyslogd'), 'no rsyslog is installed')
class RsyslogTest(EventsCase):
    SOCKET = True

    def setUp(self):
        super().setUp()
        self.rsyslog = Rsyslog(self.dir, page_snippet().replace('OUT', os.path.join(self.dir, 'received')))
        self.addCleanup(self.rsyslog.stop)
        self.hand('events_socket', self.rsyslog.socket)

    def understood(self, n):
        wait_for(f'{n} messages', lambda: len(self.rsyslog.received()) >= n)
        return self.rsyslog.received()

    def test_it_understands_all_of_it(self):
        self.fill()
        wait_for('the lines', lambda: any(x.get('act') == 'malformed' for x in self.lines()))
        lines = {line['number']: line for line in self.lines()}
        got = self.understood(len(lines))
        self.assertEqual(len(got), len(lines))
        for message in got:
            members = message['sd']['postern@32473']
            line = lines[int(members['number'])]
            self.assertEqual((message['app'], message['msgid'], message['host'], message['time'].replace('+00:00', 'Z')),
                             ('postern', line['kind'], line['host'], line['time']))
            self.assertEqual(message['sd']['meta']['sequenceid' if 'sequenceid' in message['sd']['meta'] else 'sequenceId'],
                             str(line['number']))
            for member, value in line.items():
                if member not in ('time', 'host', 'program', 'kind'):
                    self.assertEqual(members[member], str(value).lower() if isinstance(value, bool) else str(value), member)
        self.assertEqual({m['pri'] for m in got if m['sd']['postern@32473'].get('verdict') == 'accepted' and m['msgid'] == 'sign_in'},
                         {'86'} if isinstance(got[0]['pri'], str) else {86})

    def test_hostile_words_forge_nothing(self):
        for i in range(3):
            self.record(f'HOSTILE{i:09}', R_CLIENT_APP=HOSTILE, R_CLIENT_AGENT=HOSTILE * 40, R_CONTEXT=HOSTILE, R_USER=HOSTILE)
        lines = self.come(3)
        self.assertEqual([x['client_app'] for x in lines], [HOSTILE] * 3)
        got = self.understood(3)
        self.assertEqual(len(got), 3)
        for message in got:
            members = message['sd']['postern@32473']
            self.assertEqual(message['msgid'], 'sign_in')
            self.assertIn('forged', members['client_app'])
            self.assertEqual(members['reason'], 'wrong_password')
            self.assertNotIn('\n', members['client_app'])
            self.assertNotIn('\u202e', members['client_app'])
        with open(self.path, encoding='utf-8') as f:
            text = f.read()
        self.assertEqual(text.count('\n'), 3)
        self.assertNotIn('\u202e', text)

    def test_a_receiver_that_ends_and_comes_back(self):
        self.record('FIRST00000000001')
        self.understood(1)
        self.rsyslog.stop()
        for i in range(20):
            self.record(f'WAITS{i:011}')
        wait_for('word of it', lambda: 'is rsyslog up?' in self.outlet('events_socket')['why'])
        self.assertEqual((self.outlet('events_socket')['open'], self.outlet('events_socket')['lost']), (False, 0))
        self.rsyslog.start()
        got = self.understood(21)
        self.assertEqual([m['sd']['postern@32473']['number'] for m in got], [str(i + 1) for i in range(21)])


if __name__ == '__main__':
    unittest.main(argv=['test_events.py'])
