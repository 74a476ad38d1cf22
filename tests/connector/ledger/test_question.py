"""What people ask from afar, at postern-ledger alone, with this test as its validator: whose rows, how many, and who is told of it.

usage: test_question.py BUILD_DIR SOURCE_DIR
"""
import json
import os
import sqlite3
import struct
import time
import unittest

from test_ledger import N, LedgerCase, frame, send, wait_for


class Question(LedgerCase):
    CONFIG = b'[domain partner.example]\ndcs = dc1.partner.example\n'

    def found(self, ident, **query):
        """What the ledger answers: an object, or None where it says that there is no answer."""
        send(self.validator, frame('FRAME_QUERY', TAG_SEQ=7, TAG_ID=ident, TAG_PERSON='frida', TAG_KID='K' * 43, **query))
        self.validator.settimeout(60)
        text = b''
        while True:
            data = self.validator.recv(16384)
            self.assertEqual(data[0], N['FRAME_FOUND'])
            fields, at = {}, 1
            while at < len(data):
                tag, n = struct.unpack_from('<BH', data, at)
                fields[tag] = data[at + 3:at + 3 + n]
                at += 3 + n
            self.assertEqual(fields[N['TAG_ID']].decode(), ident)
            self.assertEqual(struct.unpack('<Q', fields[N['TAG_SEQ']])[0], 7)
            if N['TAG_WHY'] in fields:
                return None
            text += fields[N['TAG_ANSWER']]
            self.assertLessEqual(len(fields[N['TAG_ANSWER']]), N.get('ANSWER_PART_MAX', 12000))
            if len(text) == struct.unpack('<Q', fields[N['TAG_TOTAL']])[0]:
                return json.loads(text)

    def ids(self, answer):
        return [r['id'] for r in answer['records']]

    def sign_in(self, number, realm, user='alice@corp.example', **more):
        ident = f'01AAAAAAAAAAAAAAAAAAAAAA{number:02d}'
        fields = {'R_USER': user, 'R_VERDICT': 'refused', 'R_CLASS': 'credentials', 'R_REASON': 'wrong_password', **more}
        if realm:
            fields['R_REALM'] = realm
        self.record(ident, **fields)
        return ident

    def test_whose_rows(self):
        corp, other, nobody = self.sign_in(1, 'corp.example'), self.sign_in(2, 'partner.example'), self.sign_in(3, None)
        self.known(3)
        ask = {'TAG_OP': 'log', 'TAG_WHAT': 'alice@corp.example'}
        self.assertEqual(self.ids(self.found('question-00000000001', **ask, TAG_DOMAINS='Corp.Example\n')), [corp])
        self.assertEqual(set(self.ids(self.found('question-00000000002', **ask, TAG_DOMAINS='corp.example\npartner.example\n'))), {corp, other})
        self.assertEqual(set(self.ids(self.found('question-00000000003', **ask))), {corp, other, nobody})
        # an empty line is what belongs to no domain; of a domain that the connector no longer has nobody sees any
        self.assertEqual(set(self.ids(self.found('question-00000000008', **ask, TAG_DOMAINS='corp.example\n\n'))), {corp, nobody})
        self.assertEqual(self.ids(self.found('question-00000000004', **ask, TAG_DOMAINS='else.example\n')), [])
        # by the id as well
        by_id = {'TAG_OP': 'explain', 'TAG_WHAT': other}
        self.assertEqual(self.ids(self.found('question-00000000005', **by_id, TAG_DOMAINS='corp.example\n')), [])
        got = self.found('question-00000000006', **by_id, TAG_DOMAINS='partner.example\n')
        self.assertEqual((self.ids(got), got['found_by']), ([other], 'id'))
        # how many records there are in all is nobody's who may see some of them
        self.assertEqual(got['ledger'], {'state': 'ok'})
        self.assertEqual(self.found('question-00000000008', **ask)['ledger']['rows'], 3)
        # a quotation mark ends no list
        self.assertEqual(self.ids(self.found('question-00000000007', **ask, TAG_DOMAINS='x","partner.example\n')), [])

    def test_exact(self):
        ident = self.sign_in(1, 'corp.example')
        self.known(1)
        for what in (ident[:12], 'alice', 'alicf@corp.example', '%', ident + '%'):
            got = self.found('question-00000000001', TAG_OP='explain', TAG_WHAT=what, TAG_DOMAINS='corp.example\n')
            self.assertEqual(self.ids(got), [] if what != 'alice' else [ident], what)  # bare: the default domain's, and so exact
            self.assertNotIn('near', got)
            self.assertNotIn('ids', got)

    def test_a_time_alone(self):
        corp, other = self.sign_in(1, 'corp.example'), self.sign_in(2, 'partner.example', user='bob@partner.example')
        self.sign_in(3, 'corp.example', R_WALL=int(time.time()) - 7200)
        self.known(3)
        now = int(time.time())
        ask = {'TAG_OP': 'log', 'TAG_SINCE': now - 900, 'TAG_UNTIL': now + 900}
        got = self.found('question-00000000001', **ask)
        self.assertEqual((set(self.ids(got)), got['found_by']), ({corp, other}, 'time'))
        self.assertEqual(self.ids(self.found('question-00000000002', **ask, TAG_DOMAINS='partner.example\n')), [other])
        self.assertEqual(self.ids(self.found('question-00000000003', **ask, TAG_VERDICT='accepted')), [])
        # who asked so is noted, with the time
        noted = json.loads(self.cli('log', '--asked', '--json'))['questions'][0]
        self.assertEqual((noted['person'], noted['op']), ('frida', 'log'))
        self.assertRegex(noted['what'], r'^all of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d to \d\d:\d\d:\d\d UTC$')

    def test_not_too_much(self):
        for number in range(60):
            self.sign_in(number, 'corp.example', R_CONTEXT='"' * 400)
        wait_for('60 records', lambda: len(self.records('--limit', '500')) == 60)
        got = self.found('question-00000000001', TAG_OP='log', TAG_WHAT='alice@corp.example')
        self.assertTrue(got['cut'])
        self.assertLess(len(got['records']), 50)
        self.assertGreater(len(got['records']), 10)
        for limit, n in ((3, 3), (1000, 'cut')):
            got = self.found('question-00000000002', TAG_OP='log', TAG_WHAT='alice@corp.example', TAG_LIMIT=limit)
            self.assertEqual(len(got['records']) if n != 'cut' else ('cut' in got and 'cut'), n)

    # What each part may say of the connector, and where the affairs of other domains could hide in it.
    PARTS = {
        'validator': {'name': 'north', 'in_roster': True, 'services': 1, 'keys': True, 'in_flight': 4242, 'undelivered': 4242, 'dcs_left_out': 4242,
                      'clock': {'state': 'wrong', 'detail': 'dc7.partner.example differs by 300 s'},
                      'guard': {'mode': 'on', 'throttled': 4242, 'repeated': 4242, 'names': 4242, 'failures': 4242}},
        'link': {'state': 'up', 'relay': 'https://relay.example', 'requests': 4242, 'verdicts': 4242, 'in_hand': 4242, 'news': 'partner.example',
                 'nodes': [{'relay': 'https://relay.example', 'state': 'up', 'in_hand': 4242, 'undelivered': 4242}]}}
    SUPERVISOR = {'state': 'running', 'version': '1', 'reload_refused': 'postern.conf:9: dcs of partner.example', 'reload_at': 5,
                  'keytabs': {'partner.example': 'wrong', 'Corp.Example': 'old'}, 'outlets': {'events_file': 'x.partner.example'}, 'why': 'partner.example'}

    def test_status_of_their_domains(self):
        for domain in ('corp.example', 'partner.example'):
            send(self.validator, frame('FRAME_STATUS', TAG_NAME=f'domain:{domain}', TAG_TEXT=json.dumps({'domain': domain, 'ready': True})))
        for name, value in self.PARTS.items():
            send(self.link if name == 'link' else self.validator, frame('FRAME_STATUS', TAG_NAME=name, TAG_TEXT=json.dumps(value)))
        send(self.control, frame('FRAME_SHARE', TAG_NAME='process:supervisor', TAG_TEXT=json.dumps(self.SUPERVISOR)))
        for number, realm in enumerate(('corp.example', 'CORP.example', 'partner.example', None, 'else.example')):
            self.sign_in(number, realm)
        self.known(5)
        want = {'domain:corp.example', 'domain:partner.example', 'validator', 'link', 'process:supervisor'}
        got = wait_for('the parts are there', lambda: (lambda a: a if want <= set(a['parts']) else None)(
            self.found('question-00000000001', TAG_OP='status')))
        self.assertIn('incidents', got)
        self.assertEqual(got['counts']['refused'], 5)
        self.assertIn('4242', json.dumps(got))
        got = self.found('question-00000000002', TAG_OP='status', TAG_DOMAINS='corp.example\n')
        self.assertEqual([p for p in got['parts'] if p.startswith('domain:')], ['domain:corp.example'])
        self.assertEqual(got['counts'], {'accepted': 0, 'refused': 2, 'unavailable': 0, 'declined': 0})
        for word in ('4242', 'partner', 'incidents', 'outlets', 'else.example'):
            self.assertNotIn(word, json.dumps(got))
        # what is true of the whole connector is still there, and what cannot be told is said to be elsewhere
        parts = {name: part['value'] for name, part in got['parts'].items()}
        self.assertEqual((parts['validator']['name'], parts['validator']['clock']['state'], parts['link']['nodes'][0]['state']), ('north', 'wrong', 'up'))
        self.assertEqual(parts['process:supervisor']['keytabs'], {'Corp.Example': 'old'})
        for told in (parts['validator']['clock']['detail'], parts['process:supervisor']['reload_refused']):
            self.assertIn('postern status', told)
        self.assertTrue(got['parts']['validator']['since'])
        # the ledger's own is as it was
        self.assertIn('dc7.partner.example', json.dumps(self.found('question-00000000003', TAG_OP='status')['parts']['validator']))

    def test_what_is_noted(self):
        self.sign_in(1, 'corp.example')
        self.known(1)
        self.found('question-00000000001', TAG_OP='explain', TAG_WHAT='alice@corp.example', TAG_DOMAINS='corp.example\n')
        send(self.validator, frame('FRAME_QUERY', TAG_SEQ=8, TAG_ID='question-00000000002', TAG_PERSON='?', TAG_KID='S' * 43, TAG_OP='log',
                                   TAG_WHAT='bob@corp.example', TAG_REFUSED='person_unknown'))
        noted = wait_for('both are noted', lambda: (lambda q: q if len(q) == 2 else None)(
            json.loads(self.cli('log', '--asked', '--json'))['questions']))
        self.assertEqual([(q['person'], q['op'], q['what'], q.get('refused')) for q in noted],
                         [('?', 'log', 'bob@corp.example', 'person_unknown'), ('frida', 'explain', 'alice@corp.example', None)])
        # nothing that is asked from afar shows it, nor do events
        for op, what in (('explain', 'question-00000000001'), ('log', 'frida'), ('status', None)):
            query = {'TAG_OP': op, **({'TAG_WHAT': what} if what else {})}
            self.assertNotIn('frida', json.dumps(self.found('question-00000000003', **query)))
        self.assertNotIn('frida', self.cli('log', '--events', '--json'))
        self.assertIn('bob@corp.example', self.cli('log', '--asked'))
        # whose records are erased is not in the notes either
        self.cli('privacy', 'erase', 'alice@corp.example')
        self.assertNotIn('alice', self.cli('log', '--asked', '--json'))

    def test_a_database_of_before(self):
        """Its records belong to no domain that is known: only who may see all of the connector's sees them."""
        old = self.sign_in(1, None)
        self.known(1)
        self.kill()
        database = sqlite3.connect(os.path.join(self.db_dir, 'ledger.db'))
        database.executescript('ALTER TABLE records DROP COLUMN realm; DROP TABLE questions; PRAGMA user_version = 3')
        database.close()
        self.start()
        new = self.sign_in(2, 'corp.example')
        self.known(2)
        ask = {'TAG_OP': 'log', 'TAG_WHAT': 'alice@corp.example'}
        self.assertEqual(self.ids(self.found('question-00000000001', **ask, TAG_DOMAINS='corp.example\n')), [new])
        self.assertEqual(set(self.ids(self.found('question-00000000002', **ask))), {old, new})
        self.assertEqual(len(json.loads(self.cli('log', '--asked', '--json'))['questions']), 2)

    def test_malformed(self):
        for times in ({}, {'TAG_SINCE': 5}, {'TAG_UNTIL': 5}):
            self.assertIsNone(self.found('question-00000000001', TAG_OP='log', **times))
        self.assertIsNone(self.found('question-00000000003', TAG_OP='explain', TAG_SINCE=1, TAG_UNTIL=5))
        self.assertIsNone(self.found('question-00000000002', TAG_OP='log', TAG_WHAT='x' * 513))


if __name__ == '__main__':
    unittest.main(argv=['test_question.py'], verbosity=2)
