"""One view over all connectors: a person of the helpdesk asks what became of sign-ins, through the relay, sealed and signed."""
import contextlib
import http.server
import json
import os
import signal
import ssl
import threading
import time

from e2e import SiteTest, wait_for


class LyingRelay(http.server.ThreadingHTTPServer):
    """Between the person and the real relay: passes all on, but for answers to questions, of which deal(path, answer) makes what it likes."""
    daemon_threads = True

    def __init__(self, site, deal):
        super().__init__(('127.0.0.1', 0), self.Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(site.dir, 'relay.pem'), os.path.join(site.dir, 'relay.key'))
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.site, self.deal = site, deal
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def pass_on(self):
            n = int(self.headers.get('Content-Length') or 0)
            secret = self.headers['Authorization'].split()[1]
            kept = {k: v for k, v in self.headers.items() if k.lower() in ('content-type', 'postern-id', 'postern-budget')}
            answer = self.server.site.request(self.path, data=self.rfile.read(n) or None, method=self.command, secret=secret, headers=kept)
            status, headers, body = self.server.deal(answer) if self.path.endswith('/questions') else answer
            self.send_response(status)
            for name in ('Content-Type', 'ETag'):
                if name in headers:
                    self.send_header(name, headers[name])
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = pass_on


class Everywhere(SiteTest):
    CONNECTORS = [('north', 'ldap'), ('south', 'ldap')]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.helpdesk_secret = cls.site.relay_admin('secret', cls.site.tenant, 'helpdesk').strip()
        cls.secret_file = cls.site.write_secret('helpdesk.secret', cls.helpdesk_secret)
        cls.frida = cls.person('frida')

    @classmethod
    def person(cls, name, approve=True, **options):
        folder = os.path.join(cls.site.dir, name)
        made = json.loads(cls.site.postern('person', 'init', name, '--person', folder, '--relay', cls.site.url, '--tenant', cls.site.tenant,
                                           '--pin', cls.site.pin, '--secret-file', cls.secret_file, '--ca-file', cls.site.ca,
                                           '--no-passphrase', '--json'))
        if approve:
            cls.approve(folder, made['fingerprint'], **options)
        return folder

    @classmethod
    def approve(cls, folder, fingerprint, domains=None, days='30'):
        cls.site.postern('tenant', 'approve-person', os.path.join(folder, 'person.pub.json'), fingerprint, '--for', days,
                         *(['--domains', domains] if domains else []), *cls.site.tenant_options())

    def ask(self, *words, person=None, code=0):
        done = self.site.postern(*words, '--person', person or self.frida, '--json', check=False)
        self.assertEqual(done.returncode, code, done.stderr + done.stdout)
        return json.loads(done.stdout), done.stderr

    def answers(self, what, person=None):
        """As soon as both have the roster that names the person."""
        def known():
            done = self.site.postern('explain', what, '--everywhere', '--person', person or self.frida, '--json', check=False)
            answer = json.loads(done.stdout) if done.stdout else {}
            connectors = answer.get('everywhere', {}).get('connectors', [])
            return answer if connectors and all(c['state'] == 'answered' for c in connectors) else None
        return wait_for('all connectors answer', known, interval=2)

    def sign_in(self, user, password, connector):
        return self.site.sign_in(user, password, connector=connector)[1]

    def test_1_one_view(self):
        user, password, _ = self.account('GOOD1')
        wrong = self.sign_in(user, password + 'x', 'north')
        good = self.sign_in(user, password, 'south')
        self.assertEqual((wrong['reason'], good['verdict']), ('wrong_password', 'accepted'))
        answer = self.answers(user)
        self.assertEqual({(r['id'], r['connector']) for r in answer['records']}, {(wrong['id'], 'north'), (good['id'], 'south')})
        walls = [r['wall'] for r in answer['records']]
        self.assertEqual(walls, sorted(walls, reverse=True))  # the newest first
        self.assertEqual(answer['everywhere']['answered'], 2)
        by_id, _ = self.ask('explain', wrong['id'], '--everywhere')
        self.assertEqual([(r['id'], r['connector'], r['reason']) for r in by_id['records']], [(wrong['id'], 'north', 'wrong_password')])
        log, _ = self.ask('log', '--user', user, '--everywhere', '--verdict', 'refused')
        self.assertEqual([r['id'] for r in log['records']], [wrong['id']])
        # without a name: all that was at a time
        around, said = self.ask('log', '--at', time.strftime('%H:%M'), '--everywhere')
        self.assertLessEqual({(wrong['id'], 'north'), (good['id'], 'south')}, {(r['id'], r['connector']) for r in around['records']})
        self.assertEqual((around['found_by'], said), ('time', ''))
        for words, told in ((('--since', '2h'), 'an hour at most'), ((), '--at'), (('--at', '09:00', '--events'), 'leave out --events')):
            done = self.site.postern('log', '--everywhere', '--person', self.frida, *words, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(told, done.stderr)
        shown = self.site.postern('explain', wrong['id'], '--everywhere', '--person', self.frida)
        self.assertRegex(shown, r'Connector +north')
        self.assertIn('wrong password', shown.lower())
        # the user's other sign-ins, wherever they were, are asked for with it
        latest = self.site.postern('explain', good['id'], '--everywhere', '--person', self.frida, check=False)
        self.assertEqual((latest.returncode, latest.stderr), (0, ''))
        noted = json.loads(self.site.connectors['north'].postern('log', '--asked', '--json'))['questions']
        self.assertEqual([q['op'] for q in noted[:2]], ['log', 'explain'])
        self.assertTrue([q for q in noted if q.get('what', '').startswith('all of ')])

    def test_2_exact(self):
        """A beginning of an id, or a name that is like it, finds nothing."""
        user, password, _ = self.account('GOOD1')
        done = self.sign_in(user, password, 'north')
        self.answers(user)
        self.assertEqual(self.ask('explain', done['id'][:10], '--everywhere', code=1)[0]['records'], [])
        self.assertEqual(self.ask('explain', user.replace('@', 'e@'), '--everywhere', code=1)[0]['records'], [])

    def test_3_who_asked_is_noted(self):
        user, _, _ = self.account('GOOD1')
        self.answers(user)
        for connector in self.site.connectors.values():
            noted = json.loads(connector.postern('log', '--asked', '--json'))['questions']
            self.assertIn(('frida', 'explain', user), {(q['person'], q['op'], q.get('what')) for q in noted})
            events = json.loads(connector.postern('log', '--events', '--limit', '500', '--json'))['events']
            self.assertFalse([e for e in events if 'frida' in json.dumps(e)], 'the helpdesk reads events')
        answer, _ = self.ask('explain', user, '--everywhere')
        self.assertNotIn('frida', json.dumps([c['answer'] for c in answer['everywhere']['connectors']]))
        with open(os.path.join(self.site.dir, 'relay.log'), encoding='utf-8') as f:
            log = f.read()
        self.assertIn('question', log)
        self.assertNotIn(user, log)

    def test_4_who_may_not(self):
        user, _, _ = self.account('GOOD1')
        stranger = self.person('greta', approve=False)
        done = self.site.postern('explain', user, '--everywhere', '--person', stranger, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('approve-person', done.stderr)
        body = b'A' * 100
        for secret, status in ((self.site.service_secret, 403), (self.site.admin_secret, 403), (self.helpdesk_secret, 400)):
            got = self.site.request(f'/v1/tenants/{self.site.tenant}/questions', data=body, method='POST', secret=secret,
                                    headers={'Content-Type': 'application/postern-request', 'Postern-Id': 'q-0123456789abcdef'})
            self.assertEqual(got[0], status, got)
        got = self.site.request(f'/v1/tenants/{self.site.tenant}/sign-ins', data=body, method='POST', secret=self.helpdesk_secret,
                                headers={'Content-Type': 'application/postern-request', 'Postern-Id': 'q-0123456789abcdef'})
        self.assertEqual(got[0], 403)

    def test_5_connectors(self):
        self.answers('nobody@' + self.site.lab['LAB_AD_DOMAIN'])
        answer, _ = self.ask('person', 'connectors')
        self.assertEqual({c['name'] for c in answer['everywhere']['connectors'] if c['state'] == 'answered'}, {'north', 'south'})
        shown = self.site.postern('person', 'connectors', '--person', self.frida)
        self.assertEqual(shown.count(' ready\n'), 2, shown)
        self.assertIn(self.site.lab['LAB_AD_HOST'], shown)

    def test_5_passphrase(self):
        """The key is opened once, however much is asked."""
        user, password, _ = self.account('GOOD1')
        done = self.sign_in(user, password, 'north')
        file = self.site.write_secret('passphrase', 'open sesame')
        folder = os.path.join(self.site.dir, 'lena')
        made = json.loads(self.site.postern('person', 'init', 'lena', '--person', folder, '--relay', self.site.url, '--tenant', self.site.tenant,
                                            '--pin', self.site.pin, '--secret-file', self.secret_file, '--ca-file', self.site.ca,
                                            '--passphrase-file', file, '--json'))
        with open(os.path.join(folder, 'person.key'), encoding='ascii') as f:
            self.assertIn('ENCRYPTED', f.read())
        self.approve(folder, made['fingerprint'])

        def asked():
            told = self.site.run([self.site.program('postern'), 'explain', done['id'], '--everywhere', '--person', folder], check=False,
                                 stdin='open sesame\n')
            return told if told.returncode == 0 and not told.stderr else None
        self.assertIn(done['id'], wait_for('both know lena', asked, interval=2).stdout)
        wrong = self.site.run([self.site.program('postern'), 'explain', done['id'], '--everywhere', '--person', folder], check=False, stdin='x\n')
        self.assertEqual(wrong.returncode, 1)
        self.assertIn('passphrase', wrong.stderr)

    def test_6_a_silent_one_is_named(self):
        user, _, _ = self.account('GOOD1')
        self.answers(user)
        south = self.site.connectors['south']
        south.daemon.stop()
        wait_for('south is not linked', lambda: not any(c['linked'] for c in self.site.get('status')['connectors'] if c['id'] == south.id))
        answer, said = self.ask('explain', user, '--everywhere')
        states = {c['name']: c['state'] for c in answer['everywhere']['connectors']}
        self.assertEqual(states, {'north': 'answered', 'south': 'silent'})
        done = self.site.postern('explain', user, '--everywhere', '--person', self.frida, check=False)
        self.assertIn('SILENT is south', done.stderr)
        self.assertIn('1 of 2 connectors answered', done.stderr)
        south.start()
        south.wait_ready()
        # one that hangs
        links = [pid for name, pid in south.daemon.children().items() if 'link' in name]
        for pid in links:
            os.kill(pid, signal.SIGSTOP)
        try:
            answer, _ = self.ask('explain', user, '--everywhere')
            self.assertEqual({c['name']: c['state'] for c in answer['everywhere']['connectors']}, {'north': 'answered', 'south': 'silent'})
        finally:
            for pid in links:  # where the supervisor has not ended it as hung
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        south.wait_ready()

    def lied_to(self, deal, person):
        relay = LyingRelay(self.site, deal)
        try:
            user = self.account('GOOD1')[0]
            self.site.postern('person', 'show', '--person', person, '--relay', f'https://127.0.0.1:{relay.server_port}')
            done = self.site.postern('explain', user, '--everywhere', '--person', person, '--json', check=False)
            return {c['name']: c['state'] for c in json.loads(done.stdout)['everywhere']['connectors']}, done
        finally:
            relay.shutdown()
            relay.server_close()

    def test_7_a_relay_that_lies(self):
        """It drops an answer, gives one connector's for another's, keeps one for later, or changes a letter."""
        ivan = self.person('ivan')
        self.answers(self.account('GOOD1')[0], person=ivan)
        both, first, swapped = threading.Barrier(2), [], []

        def swap(answer):
            first.append(answer)
            both.wait(60)
            swapped.append(answer)
            return first[1] if answer is first[0] else first[0]
        states, done = self.lied_to(swap, ivan)
        self.assertEqual(states, {'north': 'untrue', 'south': 'untrue'}, done.stdout)
        self.assertEqual(done.returncode, 3)
        kept = first[0]
        states, _ = self.lied_to(lambda answer: kept, ivan)
        self.assertEqual(states, {'north': 'untrue', 'south': 'untrue'})
        states, _ = self.lied_to(lambda answer: (200, answer[1], answer[2][:-1] + (b'A' if answer[2][-1:] != b'A' else b'Q')), ivan)
        self.assertEqual(states, {'north': 'untrue', 'south': 'untrue'})
        states, _ = self.lied_to(lambda answer: (200, answer[1], b'{}'), ivan)
        self.assertEqual(states, {'north': 'untrue', 'south': 'untrue'})
        dropped = []
        states, done = self.lied_to(lambda answer: dropped.append(answer) or (answer if len(dropped) > 1 else (504, {}, b'')), ivan)
        self.assertEqual(sorted(states.values()), ['answered', 'silent'], done.stdout)
        self.assertEqual(done.returncode, 0)

    def test_8_another_node(self):
        """Whoever one node of the relay does not reach is asked at the next."""
        user, told = self.account('GOOD1')[0], []
        problem = (503, {'Content-Type': 'application/problem+json'},
                   json.dumps({'type': 'urn:postern:no-connector', 'title': 'x', 'status': 503, 'started': 'no', 'retry': 'refresh-keys'}).encode())
        relay = LyingRelay(self.site, lambda answer: told.append(answer) or problem)
        self.addCleanup(relay.server_close)
        self.addCleanup(relay.shutdown)
        kurt = self.person('kurt')
        self.answers(user, person=kurt)
        self.site.postern('person', 'show', '--person', kurt, '--relay', f'https://127.0.0.1:{relay.server_port} {self.site.url}')

        def by_way_of_it():
            done = self.site.postern('explain', user, '--everywhere', '--person', kurt, '--json', check=False)
            if 'rate-limited' in done.stdout:  # a fast host: the secret has 30 a minute of each connector
                return None
            self.assertEqual(json.loads(done.stdout)['everywhere']['answered'], 2, done.stderr + done.stdout)
            return told
        wait_for('the node that reaches nobody was drawn first', by_way_of_it, interval=5)  # each asks both connectors, of 30 a minute
        # one says that it reaches nobody, another says nothing: nobody is said to be linked nowhere
        self.site.postern('person', 'show', '--person', kurt, '--relay', f'https://127.0.0.1:{relay.server_port} https://127.0.0.1:1')
        def silent():
            done = self.site.postern('explain', user, '--everywhere', '--person', kurt, '--json', check=False)
            return None if 'rate-limited' in done.stdout else json.loads(done.stdout)['everywhere']
        everywhere = wait_for('an answer', silent, interval=5)
        self.assertEqual(everywhere['answered'], 0)
        for c in everywhere['connectors']:
            self.assertEqual(c['state'], 'silent')
            self.assertIn('another node gave no answer', c['why'])

    def test_9_the_end(self):
        """Who is taken out is heard no more; a roster without people is read by everybody."""
        user, _, _ = self.account('GOOD1')
        hans = self.person('hans')
        self.answers(user, person=hans)
        self.site.postern('tenant', 'remove', 'hans', '--yes', *self.site.tenant_options())
        done = self.site.postern('explain', user, '--everywhere', '--person', hans, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('does not have your key', done.stderr)


if __name__ == '__main__':
    from e2e import main
    main()
