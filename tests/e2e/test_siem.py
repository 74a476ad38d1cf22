"""A real domain, a real connector and a real rsyslog: what a SIEM gets of sign-ins, of hostile names, of a file that is rotated and a
receiver that restarts; and an account that the lockout guard stops, let go by an administrator."""
import json
import os
import shutil
import sys
import unittest

from e2e import SiteTest, WRONG, bad_password_count, build_dir, main, wait_for

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), '..', '..'))
sys.path.insert(0, os.path.join(SOURCE, 'tests', 'connector', 'ledger'))
sys.argv[1:] = [build_dir(), SOURCE]
from test_events import OTLP, TRACEPARENT, Rsyslog, page_snippet, strict  # noqa: E402

HOSTILE = ('eve\n{"v":1,"kind":"act","act":"erase"}', 'eve"] forged [postern@32473 reason="ok"]', 'eve\u202egnp.exe@corp.example',
           'eve\r\n<13>1 - - - - - - forged', 'CORP\\eve\u2028x')


class SiemTest(SiteTest):
    CONNECTORS = []

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = os.path.join(cls.site.dir, 'siem')
        os.mkdir(cls.folder)
        cls.events = os.path.join(cls.folder, 'events.jsonl')
        cls.rsyslog = Rsyslog(cls.folder, page_snippet().replace('OUT', os.path.join(cls.folder, 'received'))) \
            if shutil.which('rsyslogd') else None
        cls.addClassCleanup(lambda: cls.rsyslog and cls.rsyslog.stop())
        cls.connector = cls.site.add_connector(
            'hq', 'ldap', extra=f'guard = on\nguard_failures = 3\nevents_names = clear\nevents_file = {cls.events}\n'
                                f'events_socket = {cls.folder}/receiver.sock\ntraces_file = {cls.folder}/traces.jsonl\n')
        cls.connector.up()

    def lines(self, path=None):
        with open(path or self.events, encoding='utf-8') as f:
            return [json.loads(line) for line in f if line.endswith('\n')]

    def sign_in(self, user, password):
        answer = self.site.sign_in(user, password)[1]
        record = wait_for(f'the record of {answer["id"]}', lambda: [x for x in self.lines() if x.get('id') == answer['id'] and x['kind'] == 'sign_in'])
        return answer, record[0]

    def test_1_sign_ins(self):
        user, password, _ = self.account('GOOD1')
        answer, record = self.sign_in(user, password)
        self.assertEqual((record['verdict'], record['user'], record['reason']), ('accepted', user, 'ok'))
        self.assertTrue(record['user_id'].startswith('S-1-5-21-'))
        answer, record = self.sign_in(user, WRONG)
        self.assertEqual((record['verdict'], record['reason']), ('refused', 'wrong_password'))

    def test_2_names_that_forge_nothing(self):
        for name in HOSTILE:
            self.assertNotEqual(self.site.sign_in(name, 'x')[1]['verdict'], 'accepted')
        user, password, _ = self.account('GOOD1')
        self.sign_in(user, password)
        with open(self.events, 'rb') as f:
            raw = f.read()
        for line in raw.splitlines():
            self.assertEqual(json.loads(line)['v'], 1)
            self.assertNotIn(json.loads(line).get('act'), ('erase',))
        for byte in (b'\r', '\u202e'.encode(), '\u2028'.encode()):
            self.assertNotIn(byte, raw)
        self.assertNotIn('forged', [x.get('kind') for x in self.lines()])
        if self.rsyslog:
            n = len(self.lines())
            wait_for('rsyslog', lambda: len(self.rsyslog.received()) >= n)
            self.assertEqual({m['app'] for m in self.rsyslog.received()}, {'postern'})

    def test_3_a_file_that_is_rotated(self):
        user, password, _ = self.account('GOOD1')
        before = len(self.lines())
        os.rename(self.events, self.events + '.1')
        wait_for('another file', lambda: os.path.exists(self.events))
        answer = self.site.sign_in(user, password)[1]
        wait_for('the record', lambda: [x for x in self.lines() + self.lines(self.events + '.1') if x.get('id') == answer['id']])
        self.sign_in(user, password)
        numbers = [x['number'] for x in self.lines(self.events + '.1') + self.lines()]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
        self.assertGreater(len(numbers), before)

    @unittest.skipUnless(shutil.which('rsyslogd'), 'no rsyslog is installed')
    def test_4_a_receiver_that_restarts(self):
        user, password, _ = self.account('GOOD1')
        self.rsyslog.stop()
        for _ in range(3):
            self.sign_in(user, password)
        wait_for('the finding', lambda: 'records_not_sent' in self.connector.postern('status', check=False).stdout)
        self.assertIn('is rsyslog up?', self.connector.postern('status', check=False).stdout)
        self.rsyslog.start()
        n = len(self.lines()) + len(self.lines(self.events + '.1'))
        wait_for('all records', lambda: len({m['sd']['postern@32473']['number'] for m in self.rsyslog.received()}) >= n)
        wait_for('the end of it', lambda: 'records_not_sent' not in self.connector.postern('status', check=False).stdout)

    def test_1_a_trace_from_the_caller_to_the_domain_controller(self):
        user, password, _ = self.account('GOOD1')
        self.site.env = dict(self.site.env, TRACEPARENT=TRACEPARENT)
        self.addCleanup(self.site.env.pop, 'TRACEPARENT')
        answer, record = self.sign_in(user, password)
        self.assertEqual(record['trace_id'], TRACEPARENT[3:35])
        path = os.path.join(self.folder, 'traces.jsonl')
        line = wait_for('the spans', lambda: [x for x in self.lines(path) if answer['id'] in json.dumps(x)])[0]
        strict(line, OTLP)
        whole, at_dc = line['resourceSpans'][0]['scopeSpans'][0]['spans']
        self.assertEqual((whole['traceId'], whole['parentSpanId']), (TRACEPARENT[3:35], TRACEPARENT[36:52]))
        self.assertEqual(at_dc['parentSpanId'], whole['spanId'])
        self.assertLessEqual(int(whole['startTimeUnixNano']), int(at_dc['startTimeUnixNano']))

    def guard(self, *words):
        return json.loads(self.connector.postern('guard', *words, '--json'))['guard']

    def test_5_an_account_that_the_guard_stops(self):
        user, password, _ = self.account('GOOD2')
        sam = user.split('@')[0]
        self.assertEqual(self.guard('show', user)['failures'], 0)
        for i in range(3):
            self.assertEqual(self.site.sign_in(user, f'guess {i}')[1]['verdict'], 'refused')
        count = bad_password_count(sam)
        self.assertEqual(self.sign_in(user, password)[1]['reason'], 'throttled')
        state = self.guard('show', user.upper())
        self.assertEqual((state['failures'], state['limit'], state['stopped'], state['mode']), (3, 3, True, 'on'))
        self.assertTrue(0 < state['left_s'] <= 1800)
        text = self.connector.postern('guard', 'show', user)
        self.assertIn('3 failures here, of 3', text)
        self.assertIn('stopped until', text)
        self.assertIn('it was stopped until', self.connector.postern('guard', 'release', user))
        self.assertEqual(self.guard('show', user)['failures'], 0)
        self.assertEqual(bad_password_count(sam), count)  # nobody was asked for that
        self.assertEqual(self.sign_in(user, password)[0]['verdict'], 'accepted')
        self.assertIn('guard.released', self.connector.postern('log', '--events'))
        act = wait_for('the act', lambda: [x for x in self.lines() if x.get('act') == 'guard' and x.get('release')])[0]
        self.assertEqual((act['user'], act['uid'], act['done']), (user, os.getuid(), True))

    def test_6_whom_the_guard_cannot_name(self):
        done = self.connector.postern('guard', 'show', 'nobody@nowhere.example', check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('of no domain', done.stderr)
        self.assertEqual(self.guard('show', 'somebody-else@corp.example')['failures'], 0)


if __name__ == '__main__':
    main()
