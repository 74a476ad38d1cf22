#!/usr/bin/python3
"""Questions of people, at the relay: who may ask, that each ends, and that none costs a sign-in anything. Usage: test_questions.py RELAY FORGE"""
import os
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import relay_site  # noqa: E402
from relay_site import Connector, new_id, wait_for  # noqa: E402
from test_relay import Linked  # noqa: E402

ANSWER = b'aaaa..bbbb.cccc.dddd'
JOSE = {'Content-Type': 'application/jose'}


class Later(threading.Thread):
    def __init__(self, ask):
        super().__init__()
        self.ask = ask
        self.start()

    def run(self):
        self.answer = self.ask()

    def result(self):
        self.join(60)
        return self.answer


class Questions(Linked):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.secret = cls.relay.cli('secret', cls.relay.tenant, 'helpdesk').strip()

    def ask(self, text, id=None, budget=8000, secret=None, **more):
        headers = {'Authorization': 'Bearer ' + (secret or self.secret), 'Content-Type': 'application/postern-request',
                   'Postern-Id': id or new_id(), 'Postern-Budget': str(budget), **more}
        return self.relay.request('POST', self.relay.tenant_path('questions'), text, headers)

    def later(self, text, **more):
        return Later(lambda: self.ask(text, **more))

    def answer(self, c, id, body=ANSWER, headers=None, session=None):
        return c.call('POST', f'/v1/link/answers/{session or c.session}/{id}', body, headers or JOSE)

    def test_one(self):
        c, other = self.linked('one', 'two', credit=0)
        id, text = new_id(), self.relay.seal(c)
        waiting = self.later(text, id=id)
        asked = c.next('question')
        self.assertEqual((asked['id'], asked['seq'], asked['sealed']), (id, 1, text))  # without any credit
        self.assertTrue(0 < asked['budget'] <= 8000)
        self.problem(self.ask(text, id=id), 409, 'duplicate-id')
        self.problem(self.answer(other, id), 404, 'not-found')  # it was not asked
        self.problem(self.answer(other, id, session=c.session), 404, 'not-found')  # nor is the session its
        self.problem(self.answer(c, new_id()), 404, 'not-found')
        self.problem(self.answer(c, id, b'aaaa..bb"b'), 400, 'malformed')
        self.problem(self.answer(c, id, b''), 400, 'malformed')
        self.problem(self.answer(c, id, b'{"declined":"nonsense"}', {'Content-Type': 'application/json'}), 400, 'malformed')
        self.problem(self.answer(c, id, b'a' * 90113), 413, 'too-large')
        self.assertEqual(self.answer(c, id)[0], 204)
        status, headers, body = waiting.result()
        self.assertEqual((status, body, headers['Content-Type'], headers['Postern-Connector'], headers['Postern-Id']),
                         (200, ANSWER, 'application/jose', c.id, id))
        self.problem(self.answer(c, id), 404, 'not-found')  # once
        self.assertIn(f'question={id}', wait_for('the log tells', lambda: 'question_ended' in self.relay.log_text() and self.relay.log_text()))

    def test_who_may(self):
        c, = self.linked('one')
        text = self.relay.seal(c)
        for secret in (self.relay.service, self.relay.admin):
            self.problem(self.ask(text, secret=secret), 403, 'not-permitted')
        self.problem(self.ask(text, secret='wrong'), 401, 'bad-credentials')
        headers = {'Authorization': 'Bearer ' + self.secret, 'Content-Type': 'application/postern-request', 'Postern-Id': new_id()}
        self.problem(self.relay.request('POST', self.relay.tenant_path('sign-ins'), text, headers), 403, 'not-permitted')
        self.problem(self.relay.request('GET', self.relay.tenant_path('pending'), headers=headers), 403, 'not-permitted')
        self.assertEqual(self.relay.request('GET', self.relay.tenant_path('keys'), headers=headers)[0], 200)

    def test_form(self):
        c, other = self.linked('one', 'two')
        self.problem(self.ask(self.relay.seal(c, other)), 400, 'malformed')
        self.problem(self.ask(self.relay.seal(c, length=4096)), 400, 'malformed')
        self.problem(self.ask('x' * 3000), 400, 'malformed')
        self.problem(self.ask('x' * 6000), 413, 'too-large')
        self.problem(self.ask(self.relay.seal(c), id='short'), 400, 'malformed')
        self.problem(self.ask(self.relay.seal(c), budget=7), 400, 'malformed')
        self.problem(self.ask(self.relay.seal(c), **{'Content-Type': 'text/plain'}), 415, 'unsupported-type')
        stranger = Connector(self.relay, 'stranger')
        self.problem(self.ask(self.relay.seal(stranger)), 422, 'stale-keys')

    def test_declined(self):
        c, = self.linked('one')
        for why, status, word in (('stale_key', 422, 'stale-keys'), ('bad_request', 400, 'malformed'), ('replay', 400, 'malformed'),
                                  ('expired', 400, 'malformed'), ('full', 503, 'not-ready'), ('draining', 503, 'not-ready')):
            id = new_id()
            waiting = self.later(self.relay.seal(c), id=id)
            c.next('question')
            self.assertEqual(self.answer(c, id, f'{{"declined":"{why}"}}'.encode(), {'Content-Type': 'application/json'})[0], 204)
            body = self.problem(waiting.result(), status, word)
            self.assertEqual(body['reasons'], [why])

    def test_each_ends(self):
        c, = self.linked('one')
        waiting = self.later(self.relay.seal(c), budget=500)
        c.next('question')
        self.problem(waiting.result(), 504, 'deadline')
        waiting = self.later(self.relay.seal(c))
        c.next('question')
        c.hang_up()
        self.problem(waiting.result(), 502, 'connector-lost', started='no')
        self.problem(self.ask(self.relay.seal(c)), 503, 'no-connector')

    def test_bounds(self):
        """Eight under way at a connector, and no sign-in waits for them."""
        c, = self.linked('one')
        text, ids = self.relay.seal(c), [new_id() for _ in range(8)]
        waiting = [self.later(text, id=id) for id in ids]
        self.assertEqual({c.next('question')['id'] for _ in ids}, set(ids))
        self.problem(self.ask(text), 503, 'busy')
        id = new_id()
        sign_in = self.relay.sign_in_later(text, id=id, budget=5000)
        self.assertEqual(c.next('request')['id'], id)
        c.report([{'id': id, 'is': 'verdict', 'jwe': ANSWER.decode()}])
        self.assertEqual(sign_in.result()[0], 200)
        for id in ids:
            self.assertEqual(self.answer(c, id)[0], 204)
        self.assertEqual([w.result()[0] for w in waiting], [200] * 8)

    def test_0_rate(self):
        """30 a minute for each connector of the roster; a secret's rate is its own."""
        c, = self.linked('one')
        secret, text = self.relay.cli('secret', self.relay.tenant, 'helpdesk').strip(), self.relay.seal(Connector(self.relay, 'nobody'))
        allowed = 30 * len(self.relay.members)
        answers = [self.ask(text, secret=secret)[0] for _ in range(allowed + 200)]
        self.assertGreaterEqual(answers.count(422), allowed)
        self.assertGreater(answers.count(429), 0)
        id = new_id()
        waiting = self.later(self.relay.seal(c), id=id)
        c.next('question')
        self.answer(c, id)
        self.assertEqual(waiting.result()[0], 200)


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:], verbosity=2)
