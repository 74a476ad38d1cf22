"""Gateway, relay and connector on real parts, with a real rsyslog: one trace through all of them, records under one id, what
administrators did, names that forge nothing, and file systems that hang while sign-ins go on."""
import json
import os
import re
import shutil
import sys
import tempfile
import unittest

from e2e import WRONG, build_dir, main, wait_for
from test_gateway import GatewayTest

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
sys.path.insert(0, os.path.join(SOURCE, 'tests', 'connector', 'ledger'))
sys.argv[1:] = [build_dir(), SOURCE]
from test_events import OTLP, TRACEPARENT, HangingFolder, Rsyslog, documented, page_snippet, strict  # noqa: E402

FOLDER = tempfile.mkdtemp(prefix='postern-siem-')
SECRET = 'an-application-s-secret-of-some-length'
HOSTILE = 'eve\n{"v":1,"kind":"act"}\r"] forged [postern@32473 \u202e'


def ways(part):
    return (f'events_file = {FOLDER}/{part}.jsonl\nevents_socket = {FOLDER}/rsyslog/receiver.sock\n'
            f'traces_file = {FOLDER}/{part}.traces\n')


class SiemTest(GatewayTest):
    CONNECTORS = []
    RELAY = dict(line.split(' = ') for line in ways('relay').splitlines())
    SETTINGS = ways('gateway') + 'events_names = clear\nname_failures = 3\nfailure_window = 3600\n'

    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(shutil.rmtree, FOLDER, ignore_errors=True)
        os.makedirs(f'{FOLDER}/rsyslog', exist_ok=True)
        with open(f'{FOLDER}/app.secret', 'w', opener=lambda p, f: os.open(p, f, 0o600), encoding='ascii') as f:
            f.write(SECRET + '\n')
        cls.SECTIONS = f'[application wiki]\nsecret_file = {FOLDER}/app.secret\n'
        cls.rsyslog = Rsyslog(f'{FOLDER}/rsyslog', page_snippet().replace('OUT', f'{FOLDER}/rsyslog/received')) \
            if shutil.which('rsyslogd') else None
        cls.addClassCleanup(lambda: cls.rsyslog and cls.rsyslog.stop())
        super(GatewayTest, cls).setUpClass()  # pylint: disable=bad-super-call
        cls.connector = cls.site.add_connector('north', 'ldap', extra=ways('connector'))
        cls.connector.up()
        from gateway_site import Gateway  # pylint: disable=import-outside-toplevel
        cls.gateway = Gateway(cls.site, cls.SETTINGS, cls.SECTIONS)
        cls.addClassCleanup(cls.gateway.stop)
        cls.gateway.start()

    def lines(self, name):
        path = f'{FOLDER}/{name}'
        if not os.path.exists(path):
            return []
        with open(path, encoding='utf-8') as f:
            return [json.loads(line) for line in f if line.endswith('\n')]

    def relay_log(self):
        with open(self.site.relay.log, encoding='utf-8') as f:
            return f.read()

    def record(self, part, what, **members):
        return wait_for(what, lambda: [x for x in self.lines(f'{part}.jsonl') if all(x.get(k) == v for k, v in members.items())])[0]

    def spans(self, part, trace):
        def found():
            return [span for line in self.lines(f'{part}.traces') for span in line['resourceSpans'][0]['scopeSpans'][0]['spans']
                    if span['traceId'] == trace]
        return {span['name']: span for span in wait_for(f'spans of the {part}', found)}

    def test_1_one_trace_from_the_caller_to_the_domain_controller(self):
        user, password, _ = self.account('GOOD1')
        status, answer, _ = self.gateway.post('/v1/sign-in', {'username': user, 'password': password}, headers={'traceparent': TRACEPARENT})
        self.assertEqual((status, answer['verdict']), (200, 'accepted'))
        trace = TRACEPARENT[3:35]
        gateway, relay, connector = (self.spans(part, trace) for part in ('gateway', 'relay', 'connector'))
        chain = [gateway['postern gateway'], relay['postern relay'], relay['postern hand-off'], connector['postern sign-in'],
                 connector['postern domain controller']]
        self.assertEqual([s.get('parentSpanId') for s in chain], [TRACEPARENT[36:52]] + [s['spanId'] for s in chain[:-1]])
        for outer, inner in zip(chain, chain[1:]):
            self.assertLessEqual(int(inner['endTimeUnixNano']) - int(inner['startTimeUnixNano']),
                                 int(outer['endTimeUnixNano']) - int(outer['startTimeUnixNano']) + 5_000_000, (outer, inner))
        for part in ('gateway', 'relay', 'connector'):
            for line in self.lines(f'{part}.traces'):
                strict(line, OTLP)
            self.assertEqual(self.record(part, 'the record', id=answer['id'], kind='sign_in')['trace_id'], trace)

    def test_2_a_trace_that_begins_at_the_gateway_and_one_that_is_not_sampled(self):
        user, password, _ = self.account('GOOD1')
        answer = self.gateway.sign_in(user, password)
        trace = self.record('gateway', 'the record', id=answer['id'])['trace_id']
        self.assertNotIn('parentSpanId', self.spans('gateway', trace)['postern gateway'])
        self.assertIn('postern domain controller', self.spans('connector', trace))
        n = len(self.lines('gateway.traces'))
        unsampled = '00-' + 'ab' * 16 + '-' + 'cd' * 8 + '-00'
        _, answer, _ = self.gateway.post('/v1/sign-in', {'username': user, 'password': password}, headers={'traceparent': unsampled})
        self.record('connector', 'the record', id=answer['id'])
        self.record('gateway', 'the record', id=answer['id'])
        for part in ('gateway', 'relay', 'connector'):
            self.assertNotIn('ab' * 16, [s['traceId'] for x in self.lines(f'{part}.traces') for s in x['resourceSpans'][0]['scopeSpans'][0]['spans']])
        self.assertEqual(len(self.lines('gateway.traces')), n)

    def test_3_one_id_at_all_three(self):
        user, _, _ = self.account('GOOD1')
        answer = self.gateway.sign_in(user, WRONG, client={'ip': '192.0.2.7'})
        at_gateway, at_relay, at_connector = (self.record(p, f'record of {p}', id=answer['id'], kind='sign_in') for p in ('gateway', 'relay', 'connector'))
        self.assertEqual((at_gateway['verdict'], at_gateway['reason'], at_gateway['user'], at_gateway['client_ip'], at_gateway['decided_here']),
                         ('refused', 'wrong_password', user.lower(), '192.0.2.7', False))
        self.assertEqual((at_relay['tenant'], at_relay['connector']), (self.site.tenant, at_connector['connector']))
        self.assertEqual(at_connector['reason'], 'wrong_password')
        self.assertNotIn(user.lower(), json.dumps(self.lines('relay.jsonl')).lower())

    def test_4_limits_and_who_may_not_ask(self):
        user, _, _ = self.account('GOOD2')
        for _ in range(3):
            self.gateway.sign_in(user, WRONG)
        answer = self.gateway.sign_in(user, WRONG)
        record = self.record('gateway', 'the limit', id=answer['id'])
        self.assertEqual((record['reason'], record['decided_here'], record['may_have_counted']), ('throttled', True, '0'))
        self.assertGreater(record['retry_after'], 0)
        status, _, _ = self.gateway.post('/v1/sign-in', {'username': 'a', 'password': 'b'}, tcp=True,
                                         headers={'Authorization': 'Bearer ' + 'x' * 40})
        self.assertEqual(status, 401)
        self.assertEqual(self.record('gateway', 'who was refused', kind='application_refused')['peer'], '127.0.0.1')

    def test_5_what_administrators_did(self):
        token = self.site.relay_admin('token', self.site.tenant, 'south').strip()
        act = self.record('relay', 'the act', act='token.issue', about='south')
        self.assertEqual((act['tenant'], act['about'], act['uid'], act['done']), (self.site.tenant, 'south', os.getuid(), True))
        secret = self.site.relay_admin('secret', self.site.tenant, 'helpdesk').strip()
        self.assertEqual(self.record('relay', 'the act', act='secret.issue')['about'], 'helpdesk')
        n = len(self.lines('relay.jsonl'))
        self.site.relay_admin('secret', 'list', self.site.tenant)
        self.site.relay_admin('connector', 'list', self.site.tenant)
        self.assertEqual(len([x for x in self.lines('relay.jsonl')[n:] if x['kind'] == 'act']), 0)
        self.assertEqual(self.record('relay', 'the roster', act='roster.put')['done'], True)
        self.assertTrue(self.record('relay', 'a link', event='link_up'))
        self.assertTrue(self.record('relay', 'a certificate', event='certificate_issued'))
        enrolled = self.record('connector', 'the enrolment, before the first start', act='connector.enrolled')
        self.assertIn(self.site.tenant, enrolled['about'])
        self.assertIn('connector.enrolled', self.connector.postern('log', '--events'))
        with open(f'{FOLDER}/relay.jsonl', encoding='utf-8') as f:
            text = f.read()
        for said in (token, secret):
            self.assertNotIn(said.split('.')[0], text)

    def test_6_words_that_forge_nothing(self):
        self.gateway.sign_in(HOSTILE, 'x', client={'ip': HOSTILE, 'agent': HOSTILE, 'app': HOSTILE})
        self.gateway.post('/v1/sign-in', {'username': HOSTILE, 'password': 'x'}, headers={'traceparent': '00-' + 'x' * 52})
        user, password, _ = self.account('GOOD1')
        last = self.gateway.sign_in(user, password)['id']
        for part in ('gateway', 'relay', 'connector'):
            self.record(part, 'the last', id=last)
            with open(f'{FOLDER}/{part}.jsonl', 'rb') as f:
                raw = f.read()
            for byte in (b'\r', '\u202e'.encode()):
                self.assertNotIn(byte, raw)
            page = {k.removeprefix(part + ': '): v for k, v in documented().items()}
            for line in raw.splitlines():
                line = json.loads(line)
                self.assertEqual(line['program'], {'connector': 'postern'}.get(part, f'postern-{part}'))
                for member, value in line.items():
                    expected = page['In every record'].get(member) or page[line['kind']].get(member)
                    self.assertIsNotNone(expected, f'postern-events(7) lacks {member} of {line}')
                    self.assertIs(type(value), expected, (member, line))

    @unittest.skipUnless(shutil.which('rsyslogd'), 'no rsyslog is installed')
    def test_7_rsyslog_understands_all_of_it(self):
        n = {part: len(self.lines(f'{part}.jsonl')) for part in ('gateway', 'relay', 'connector')}

        def of(part):
            return [m for m in self.rsyslog.received() if m['app'] == {'connector': 'postern'}.get(part, f'postern-{part}')]
        for part, lines in n.items():
            wait_for(f'messages of the {part}', lambda p=part, k=lines: len(of(p)) >= k)
            kinds = {m['msgid'] for m in of(part)}
            self.assertEqual(kinds, {x['kind'] for x in self.lines(f'{part}.jsonl')}, part)
            for m in of(part):
                self.assertTrue(re.fullmatch(r'[0-9]+', m['sd']['postern@32473']['number']))

    def test_8_file_systems_that_hang(self):
        """Sign-ins go on while relay's and gateway's files hang, in the kernel, and what was written waits."""
        try:
            folder = HangingFolder(f'{FOLDER}/hanging')
        except OSError as e:
            self.skipTest(str(e))
        self.addCleanup(folder.stop)
        with open(self.site.relay_conf, encoding='ascii') as f:
            text = f.read()
        with open(self.site.relay_conf, 'w', encoding='ascii') as f:
            f.write(re.sub(r'events_file = .*', f'events_file = {FOLDER}/hanging/relay', text))
        self.gateway.write_config(re.sub(r'events_file = .*', f'events_file = {FOLDER}/hanging/gateway', self.SETTINGS), self.SECTIONS)
        folder.hang()
        self.site.relay.stop()
        self.site.restart_relay()
        self.gateway.stop()
        os.unlink(self.gateway.ready_file)
        self.gateway.start()
        user, password, _ = self.account('GOOD1')
        wait_for('the link', lambda: self.gateway.sign_in(user, password)['verdict'] == 'accepted')
        ids = []
        for _ in range(200):
            answer = self.gateway.sign_in(user, password)
            self.assertEqual(answer['verdict'], 'accepted')
            ids.append(answer['id'])
        self.site.relay_admin('connector', 'list', self.site.tenant)
        self.assertEqual(folder.names, {})
        wait_for('word of it', lambda: b'hangs' in self.gateway.get('/v1/status')[2])
        self.assertIn(b'\npostern_outlet_open{way="events_file"} 0\n', self.gateway.get('/metrics')[2])
        wait_for('word of the relay', lambda: 'records_not_sent' in self.relay_log())
        folder.go_on()
        for part in ('relay', 'gateway'):
            wait_for(f'all of the {part}', lambda p=part: p in folder.names and all(i.encode() in folder.content(p) for i in ids))
        folder.hang()
        self.assertEqual(self.gateway.sign_in(user, password)['verdict'], 'accepted')
        self.assertEqual(self.gateway.stop(), 0)
        self.assertEqual(self.site.relay.stop(), 0)


if __name__ == '__main__':
    main()
