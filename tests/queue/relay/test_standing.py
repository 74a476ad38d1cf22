#!/usr/bin/python3
"""What may be taken away at the relay, and that it is: certificates, secrets, tenants. Usage: test_standing.py RELAY FORGE CLOCK [unittest words]"""
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import unittest

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lab')]
import relay_site  # noqa: E402
import lab_clock  # noqa: E402
from relay_site import Connector, Relay, at_a_terminal, forge, new_id, wait_for  # noqa: E402

VERDICT = 'aaaa..bbbb.cccc.dddd'


class StandingTest(unittest.TestCase):
    settings = {}
    relay_class = Relay

    def setUp(self):
        self.relay = self.relay_class(**self.settings)
        self.addCleanup(self.relay.close)
        self.connectors = []
        self.addCleanup(lambda: [c.hang_up() for c in self.connectors if c.stream])

    def linked(self, *names):
        made = [Connector(self.relay, name) for name in names]
        self.relay.approve(*made)
        for c in made:
            c.go()
        self.connectors += made
        return made

    def problem(self, answer, status, word):
        self.assertEqual((answer[0], answer[2]['type'] if isinstance(answer[2], dict) else answer[2]), (status, 'urn:postern:' + word))
        return answer[2]

    def assertEnds(self, c):
        """The open stream ends; one that goes silent, or on, does not."""
        end = time.monotonic() + 180
        try:
            while time.monotonic() < end:
                c.event(180)
        except TimeoutError:
            pass
        except (EOFError, OSError):
            return
        self.fail('the stream has not ended')

    def as_service(self, secret=None, tenant=None):
        return self.relay.request('GET', f'/v1/tenants/{tenant or self.relay.tenant}/status',
                                  headers={'Authorization': 'Bearer ' + (secret or self.relay.service)})

    def events(self, name):
        answer = self.relay.request('GET', self.relay.tenant_path('events'), headers=self.relay.as_admin())[2]
        return [e for e in answer if e['event'] == name]


class Kept:
    """One connection that stays open with a client certificate."""

    def __init__(self, c):
        self.relay, self.s = c.relay, c.relay.connect(*c.credentials())

    def ask(self, method, path, body='', type='application/json'):
        self.s.sendall(f'{method} {path} HTTP/1.1\r\nHost: r\r\nContent-Type: {type}\r\nContent-Length: {len(body)}\r\n\r\n{body}'.encode())
        answer = relay_site.read_answer(self.s)
        return int(answer.split(b' ', 2)[1]), answer.split(b'\r\n\r\n', 1)[1]


class Certificates(StandingTest):
    def four_ways(self, c, kept):
        """The status by stream, report, identity and renewal: on new connections, and on one that was open before."""
        fresh = self.relay.path(new_id())
        forge('key', fresh)
        csr = forge('csr', fresh, self.relay.tenant, c.id)
        renewal = f'/.well-known/est/{self.relay.tenant}/simplereenroll'
        report = json.dumps({'session': c.session, 'boot': c.boot, 'granted': 1, 'ready': {}, 'reasons': [], 'load': 0, 'items': []})
        proof = json.dumps({'jwk': c.identity['jwk'], 'proof': forge('proof', c.key_file, self.relay.tenant, c.id, 0)})
        asked = (('GET', '/v1/link/stream?boot=' + c.boot, '', 'text/plain'), ('POST', '/v1/link/report', report, 'application/json'),
                 ('PUT', '/v1/link/identity', proof, 'application/json'), ('POST', renewal, csr, 'application/pkcs10'))
        by_new = [c.call(method, path, body, {'Content-Type': type}) for method, path, body, type in asked]
        by_old = [kept.ask(*each) for each in asked]
        return [a[0] for a in by_new], [a[0] for a in by_old], [*(a[2] for a in by_new), *(a[1] for a in by_old)]

    def test_revoked(self):
        c, other = self.linked('gone', 'stays')
        kept = Kept(c)
        self.assertEqual(kept.ask('PUT', '/v1/link/identity')[0], 400)
        older = self.relay.cli('token', self.relay.tenant, 'gone').strip()
        self.relay.cli('connector', 'revoke', self.relay.tenant, 'gone')
        listed = {e['name']: (e['certificates'], e['revoked']) for e in json.loads(self.relay.cli('connector', 'list', self.relay.tenant, '--json'))}
        self.assertEqual(listed, {'gone': (0, True), 'stays': (1, False)})
        by_new, by_old, said = self.four_ways(c, kept)
        self.assertEqual((by_new, by_old), ([403] * 4, [403] * 4), said)
        for text in said:
            self.assertIn('new token', str(text))
        self.assertEnds(c)
        self.problem(self.relay.sign_in(self.relay.seal(c)), 503, 'no-connector')
        self.assertEqual(other.report()[0], 200)
        # nor by a certificate that it got in time but that was never stored, or was issued in the same moment
        status, _, body = 200, None, forge('issue', self.relay.path('state'), self.relay.tenant, 86400, c.transport, c.id)
        c.save_cert(body)
        self.assertEqual(c.announce()[0], 403)
        # nor by a token of before: a new one it is
        self.assertEqual(c.enrol(older)[0], 401)
        status, _, body = c.enrol(self.relay.cli('token', self.relay.tenant, 'gone').strip())
        self.assertEqual(status, 200)
        c.save_cert(body)
        c.go()
        later = self.relay.sign_in_later(self.relay.seal(c), budget=5000)
        c.report([{'id': c.next('request')['id'], 'is': 'verdict', 'jwe': VERDICT}])
        self.assertEqual(later.result()[0], 200)

    def test_expired_on_an_open_connection(self):
        c, = self.linked('short')
        c.hang_up()
        began = time.monotonic()
        c.save_cert(forge('issue', self.relay.path('state'), self.relay.tenant, 5, c.transport, c.id))
        kept = Kept(c)
        self.assertEqual(kept.ask('PUT', '/v1/link/identity')[0], 400)
        c.go()
        self.assertEnds(c)
        self.assertGreater(time.monotonic() - began, 3)
        by_new, by_old, said = self.four_ways(c, kept)
        self.assertEqual((by_new, by_old), ([401] * 4, [401] * 4), said)
        for text in said:
            self.assertIn('expired', str(text))

    def test_unknown_connector_and_foreign_tenant(self):
        c, = self.linked('known')
        kept = Kept(c)
        self.relay.cli('tenant', 'add', 'second', '--pin', self.relay.tenant_key['pin'])
        fresh = self.relay.path('fresh')
        forge('key', fresh)
        csr = forge('csr', fresh, 'second', c.id)
        self.assertEqual(kept.ask('POST', '/.well-known/est/second/simplereenroll', csr, 'application/pkcs10')[0], 403)
        c.save_cert(forge('issue', self.relay.path('state'), self.relay.tenant, 600, c.transport, new_id()))
        self.assertEqual(c.announce()[0], 403)


class JumpingRelay(Relay):
    """Its wall clock can be set."""

    first_clock = 0

    def start(self):
        self.clock = lab_clock.Clock(self.path('clock'), self.first_clock)
        self.env = self.clock.environment(CLOCK)
        super().start()

    def set_clock(self, seconds):
        self.clock.set(seconds)


class Clock(StandingTest):
    """Only the relay's clock is wrong: nobody is expelled by it, the operator hears of it."""
    relay_class = JumpingRelay

    def serves(self, c):
        later = self.relay.sign_in_later(self.relay.seal(c), budget=5000)
        c.report([{'id': c.next('request')['id'], 'is': 'verdict', 'jwe': VERDICT}], credit=1)
        self.assertEqual(later.result()[0], 200)
        keys = self.relay.request('GET', self.relay.tenant_path('keys'), headers=self.relay.as_service())[2]
        self.assertEqual((len(keys['statements']), len(keys['ready'])), (1, 1))

    def renew(self, c):
        fresh = self.relay.path(new_id())
        forge('key', fresh)
        return c.call('POST', f'/.well-known/est/{self.relay.tenant}/simplereenroll', forge('csr', fresh, self.relay.tenant, c.id),
                      {'Content-Type': 'application/pkcs10'})[0]

    def test_jumps(self):
        c, = self.linked('one')
        for off in (20 * 3600, -20 * 3600, 20 * 365 * 86400):
            before = len(self.events('relay_clock_jumped'))
            self.relay.set_clock(off)
            wait_for('the alarm', lambda: len(self.events('relay_clock_jumped')) > before)
            time.sleep(1.2)  # the relay looks at its streams twice a second: this one must stay
            self.serves(c)
            c.report(statement=c.statement())
            self.serves(c)
            self.assertEqual(c.announce()[0], 200)
            self.assertEqual(self.renew(c), 503)
            second = c.twin(c.boot)
            second.open_stream()
            second.hang_up()
            self.assertIn('relay_clock_jumped', self.relay.cli('event', 'list', self.relay.tenant))
            self.relay.set_clock(0)
            wait_for('its end', lambda: len(self.events('relay_clock_trusted')) > before)
            self.assertEqual(self.renew(c), 200)
        self.relay.set_clock(20 * 365 * 86400)
        wait_for('the alarm', lambda: len(self.events('relay_clock_jumped')) == 4)
        self.relay.process.send_signal(signal.SIGHUP)  # so it is right, says the operator: then all have expired
        self.assertEnds(c)
        self.problem(c.announce(), 401, 'bad-credentials')


    def test_a_start_with_a_wrong_clock_forgets_nobody(self):
        """A clock that is years ahead at the start, and set a little later: who was revoked stays so."""
        c, = self.linked('one')
        stolen = self.relay.path('stolen.pem')
        with open(c.cert, encoding='ascii') as f, open(stolen, 'w', encoding='ascii') as out:
            out.write(f.read())
        self.relay.cli('connector', 'revoke', self.relay.tenant, 'one')
        self.assertEnds(c)
        status, _, body = c.enrol(self.relay.cli('token', self.relay.tenant, 'one').strip())
        self.assertEqual(status, 200)
        c.save_cert(body)
        self.assertEqual(c.announce()[0], 200)
        c.cert = stolen
        self.assertEqual(c.announce()[0], 403)
        self.relay.stop()
        self.relay.first_clock = 20 * 365 * 86400
        self.relay.start()
        self.relay.set_clock(0)
        self.relay.process.send_signal(signal.SIGHUP)  # it is right now, says the operator
        self.assertEqual(c.announce()[0], 403)


class Secrets(StandingTest):
    settings = {'sign_ins_per_second': 1, 'sign_in_burst': 3}

    def listed(self):
        return json.loads(self.relay.cli('secret', 'list', self.relay.tenant, '--json'))

    def test_list_and_revoke(self):
        before = self.listed()
        self.assertEqual(sorted(s['kind'] for s in before), ['admin', 'service'])
        secret = self.relay.cli('secret', self.relay.tenant, 'service').strip()
        added, = [s for s in self.listed() if s not in before]
        self.assertEqual(added['kind'], 'service')
        self.assertIn(added['id'], self.relay.cli('secret', 'list', self.relay.tenant))
        self.assertNotIn(secret, self.relay.cli('secret', 'list', self.relay.tenant))
        self.assertEqual(self.as_service(secret)[0], 200)
        self.relay.cli('secret', 'revoke', self.relay.tenant, added['id'])
        self.problem(self.as_service(secret), 401, 'bad-credentials')  # at once
        self.assertEqual(self.as_service()[0], 200)                    # and no other
        self.assertEqual(self.listed(), before)
        self.assertEqual(len(self.events('secret_revoked')), 1)
        for words in (('secret', 'revoke', self.relay.tenant, added['id']), ('secret', 'revoke', self.relay.tenant, ''),
                      ('secret', 'list', 'nobody')):
            self.assertEqual(self.relay.cli(*words, check=False).returncode, 1)
        self.assertEqual(self.relay.cli('secret', 'revoke', self.relay.tenant, check=False).returncode, 2)
        admin, = [s['id'] for s in before if s['kind'] == 'admin']
        self.relay.cli('secret', 'revoke', self.relay.tenant, admin)
        self.problem(self.relay.put_roster(self.relay.roster()), 401, 'bad-credentials')

    def test_a_rate_for_each_secret(self):
        """Whoever posts rubbish pays nothing and takes nothing; who posts sign-ins takes of its own rate alone."""
        c, = self.linked('one')
        c.report(ready=False)
        jwe = self.relay.seal(c)
        for _ in range(10):
            self.problem(self.relay.sign_in('{}'), 400, 'malformed')
        answers = [self.relay.sign_in(jwe)[0] for _ in range(10)]
        self.assertIn(429, answers)
        self.assertEqual(answers[0], 503)
        other = self.relay.cli('secret', self.relay.tenant, 'service').strip()
        self.assertEqual(self.relay.sign_in(jwe, Authorization='Bearer ' + other)[0], 503)
        # the first one's rate may have let it through again meanwhile
        limited = next(answer for answer in (self.relay.sign_in(jwe) for _ in range(100)) if answer[0] != 503)
        self.problem(limited, 429, 'rate-limited')
        self.assertEqual(limited[1]['Retry-After'], '1')


class Tenants(StandingTest):
    def test_remove(self):
        relay = self.relay
        c, = self.linked('one')
        stays = json.loads(relay.cli('tenant', 'add', 'second', '--pin', relay.tenant_key['pin'], '--json'))
        token = relay.cli('token', relay.tenant, 'two').strip()
        self.assertEqual(c.announce()[0], 200)
        jwe = relay.seal(c)
        done = relay.sign_in_later(jwe, budget=9000)
        c.report([{'id': c.next('request')['id'], 'is': 'verdict', 'jwe': VERDICT}])
        self.assertEqual(done.result()[0], 200)
        waiting = relay.sign_in_later(jwe, budget=14000)
        c.next('request')
        self.asks_first(relay)
        relay.cli('tenant', 'remove', relay.tenant, '--yes')
        self.problem(self.as_service(), 404, 'no-such-tenant')  # at once
        self.problem(waiting.result(), 502, 'connector-lost')
        self.assertEnds(c)
        self.problem(c.announce(), 403, 'not-permitted')
        self.assertEqual(Connector(relay, 'two', enrol=False).enrol(token)[0], 404)
        self.assertNotIn(relay.tenant, relay.cli('tenant', 'list').split())
        self.assertEqual(self.as_service(stays['service_secret'], 'second')[0], 200)
        self.assertEqual(relay.cli('tenant', 'remove', relay.tenant, '--yes', check=False).returncode, 1)
        time.sleep(0.5)  # whatever is still written, is written by now
        # the name itself stays as that of one that was written, until the next purge
        self.assertEqual(self.left_of(relay.tenant), {'revoked', 'changed', 'removed'})
        # somebody else takes the name: nothing of before counts
        made = json.loads(relay.cli('tenant', 'add', relay.tenant, '--pin', relay.tenant_key['pin'], '--json'))
        self.problem(self.as_service(), 401, 'bad-credentials')
        status, _, body = relay.request('GET', relay.tenant_path('keys'), headers={'Authorization': 'Bearer ' + made['service_secret']})
        self.assertEqual((status, body['type']), (404, 'urn:postern:not-found'))
        self.problem(c.announce(), 403, 'not-permitted')
        fresh = relay.cli('token', relay.tenant, 'one').strip()
        self.assertEqual(c.enrol(fresh)[0], 200)
        self.problem(c.announce(), 403, 'not-permitted')  # the id is known again, but not by the certificate of before

    def asks_first(self, relay):
        """What ends with it is said; without a yes all stays."""
        argv = [relay_site.RELAY, '--config', relay.path('relay.conf'), 'tenant', 'remove', relay.tenant]
        for answer in ('no', None):
            code, seen = at_a_terminal(argv, ('Remove it? (yes/no) ', answer))
            self.assertEqual(code, 1, seen)
            self.assertRegex(seen, 'has 1 connector, 1 of them with a certificate, and [0-9]+ secrets')
            self.assertIn('nothing was changed', seen)
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn('say --yes', done.stderr)
        self.assertIn(relay.tenant, relay.cli('tenant', 'list').split())

    def test_remove_and_add_in_one_breath(self):
        """Nobody asks in between: what the relay had in memory of the first is not the second's."""
        relay = self.relay
        c, = self.linked('one')
        other = relay.path('other.key')
        pin = json.loads(forge('key', other))['pin']
        relay.cli('tenant', 'remove', relay.tenant, '--yes')
        relay.service = json.loads(relay.cli('tenant', 'add', relay.tenant, '--pin', pin, '--json'))['service_secret']
        self.problem(relay.request('GET', relay.tenant_path('keys'), headers=relay.as_service()), 404, 'not-found')
        self.assertEnds(c)
        # with the key of before, and within the second
        relay.seq, relay.members = 0, []
        relay.admin = relay.cli('secret', relay.tenant, 'admin').strip()
        self.assertEqual(relay.put_roster(relay.roster(key='other.key'))[0], 204)
        relay.cli('tenant', 'remove', relay.tenant, '--yes')
        relay.service = json.loads(relay.cli('tenant', 'add', relay.tenant, '--pin', pin, '--json'))['service_secret']
        self.problem(relay.request('GET', relay.tenant_path('keys'), headers=relay.as_service()), 404, 'not-found')

    def left_of(self, tenant):
        """The tables that still have something of it."""
        db = sqlite3.connect(f'file:{self.relay.path("state/relay.db")}?mode=ro', uri=True)
        try:
            tables = [name for name, in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
            columns = {t: [c[1] for c in db.execute(f'PRAGMA table_info({t})')] for t in tables}
            return {t for t in tables if {'tenant', 'name'} & set(columns[t]) and db.execute(f'SELECT COUNT(*) FROM {t} WHERE {"tenant" if "tenant" in columns[t] else "name"}=?',
                                                    (tenant,)).fetchone()[0]}
        finally:
            db.close()


class Events(StandingTest):
    def test_an_alarm_stays(self):
        """A copy in quarantine announces one identity after the other: the alarm about it is still there."""
        c, = self.linked('copied')
        copy = c.twin(relay_site.b64u(os.urandom(16)))
        self.connectors.append(copy)
        wait_for('the copy is found out', lambda: self.visit(c, copy))
        for i in range(60):
            copy.key_file = self.relay.path(f'identity{i}')
            copy.identity = json.loads(forge('key', copy.key_file))
            self.assertEqual(copy.announce()[0], 202)
        self.assertEqual(len(self.events('connector_runs_twice')), 1)
        self.assertEqual([e['connector'] for e in self.events('connector_pending')], [c.id])
        self.assertIn(copy.identity['kid'], self.events('connector_pending')[0]['text'])

    def visit(self, real, copy):
        if not copy.stream:
            copy.go()
        copy.report()
        real.report()
        return self.events('connector_runs_twice')


class Addresses(StandingTest):
    settings = {'connections_per_address': 16}

    def test_silent_connections_lock_nobody_out(self):
        """Of the same address: whoever brings nothing makes room, and what has work stays."""
        c, = self.linked('busy')
        kept = Kept(c)
        self.assertEqual(kept.ask('PUT', '/v1/link/identity')[0], 400)
        later = self.relay.sign_in_later(self.relay.seal(c), budget=15000)
        id = c.next('request')['id']
        silent = [socket.create_connection(('127.0.0.1', self.relay.port), 5) for _ in range(40)]
        try:
            self.assertEqual(self.as_service()[0], 200)
            silent += [socket.create_connection(('127.0.0.1', self.relay.port), 5) for _ in range(12)]
            self.assertEqual(kept.ask('PUT', '/v1/link/identity')[0], 400)
            self.assertEqual(c.report([{'id': id, 'is': 'verdict', 'jwe': VERDICT}])[0], 200)
            self.assertEqual(later.result()[0], 200)
        finally:
            for s in silent:
                s.close()

    def test_the_newest_is_not_the_stalest(self):
        """Where others hold idle connections that were served once, two that come at the same time do not push out each other."""
        pool = []
        for _ in range(16):
            s = self.relay.connect()
            s.sendall(b'GET / HTTP/1.1\r\nHost: r\r\n\r\n')
            self.assertIn(b'404', relay_site.read_answer(s))
            pool.append(s)
        fresh = [socket.create_connection(('127.0.0.1', self.relay.port), 5) for _ in range(4)]
        try:
            wait_for('all four are accepted before any of them has said a word', lambda: self.relay.log_text().count('http_over_cap') >= 4)
            for i, raw in enumerate(fresh):
                with self.subTest(i):
                    s = self.relay.context().wrap_socket(raw)
                    pool.append(s)
                    s.sendall(b'GET / HTTP/1.1\r\nHost: r\r\n\r\n')
                    self.assertIn(b'404', relay_site.read_answer(s))
        finally:
            for s in [*pool, *fresh]:
                s.close()


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE, CLOCK = sys.argv[1:4]
    os.environ['ASAN_OPTIONS'] = os.environ.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=1' + (':detect_leaks=0' if os.getuid() else '')
    unittest.main(argv=[sys.argv[0]] + sys.argv[4:], verbosity=2)
