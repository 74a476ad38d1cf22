#!/usr/bin/python3
"""postern-gateway on real parts: an application asks by JSON, and hears right, wrong, locked, and a fault as a fault."""
import atexit
import base64
import http.server
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import unittest
import urllib.error
import urllib.request

from e2e import LAB, WRONG, SiteTest, bad_password_count, main, wait_for
from gateway_site import Gateway

GERMAN = os.path.realpath(os.path.join(os.path.dirname(__file__), '..', '..', 'connector', 'packaging', 'words', 'de.words'))
SECRET = 'an-application-s-secret-of-some-length'


class GatewayTest(SiteTest):
    CONNECTORS = [('north', 'ldap')]
    SETTINGS = ''
    SECTIONS = ''

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.gateway = Gateway(cls.site, cls.SETTINGS, cls.SECTIONS)
        cls.addClassCleanup(cls.gateway.stop)
        cls.gateway.start()

    def child(self, role):
        """The pid: their names are alike in the 15 characters that the kernel keeps of them."""
        with open(f'/proc/{self.gateway.daemon.pid}/task/{self.gateway.daemon.pid}/children', encoding='ascii') as f:
            for pid in f.read().split():
                try:
                    with open(f'/proc/{pid}/cmdline', encoding='utf-8') as g:
                        if f'--role={role}' in g.read():
                            return int(pid)
                except (FileNotFoundError, ProcessLookupError):
                    pass
        return None

    @classmethod
    def logs(cls):
        found = super().logs()
        gateway = getattr(cls, 'gateway', None)
        return found + ([gateway.log] if gateway and os.path.exists(gateway.log) else [])


METRICS = f'/tmp/postern-e2e-gateway-{os.getpid()}.sock'
atexit.register(lambda: os.path.exists(METRICS) and os.unlink(METRICS))


def relay_metric(line):
    """The value behind that beginning of a line of the relay's metrics."""
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(METRICS)
        s.sendall(b'GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n')
        text = b''.join(iter(lambda: s.recv(65536), b'')).decode()
    return next(float(found.split()[-1]) for found in text.split('\n') if found.startswith(line))


class Verdicts(GatewayTest):
    RELAY = {'metrics_socket': METRICS}
    SETTINGS = 'name_failures = 3\nfailure_window = 3600\n'

    def test_1_right(self):
        upn, password, sid = self.account('GOOD1')
        a = self.gateway.sign_in(upn, password, client={'ip': '192.0.2.7', 'agent': 'test', 'app': 'wiki'})
        self.assertEqual((a['verdict'], a['class'], a['reason']), ('accepted', 'none', 'ok'), a)
        self.assertEqual((a['user']['id'], a['user']['domain']), (sid, LAB['LAB_AD_DOMAIN']))
        self.assertEqual(a['user']['name'], a['user']['upn'])
        # the helpdesk finds it by the id that the application has
        record = json.loads(self.site.connectors['north'].postern('explain', a['id'], '--json'))
        self.assertIn(a['id'], json.dumps(record))
        self.assertIn('192.0.2.7', json.dumps(record))

    def test_1_of_several_forwarded_lines_the_last_counts(self):
        """A proxy may add a line behind the client's own."""
        upn, password, _ = self.account('GOOD1')
        conn = self.gateway.connection()
        self.addCleanup(conn.close)
        conn.putrequest('GET', '/v1/forward')
        conn.putheader('Authorization', 'Basic ' + base64.b64encode(f'{upn}:{password}'.encode()).decode())
        for address in ('192.0.2.66', '192.0.2.99'):
            conn.putheader('X-Forwarded-For', address)
        conn.endheaders()
        answer = conn.getresponse()
        self.assertEqual((answer.status, answer.read()), (204, b''))
        record = self.site.connectors['north'].postern('explain', answer.getheader('Postern-Id'), '--json')
        self.assertIn('192.0.2.99', record)
        self.assertNotIn('192.0.2.66', record)

    def test_2_wrong_costs_one_count(self):
        upn, password, _ = self.account('GOOD2')
        before = bad_password_count(LAB['LAB_GOOD2_SAM'])
        a = self.gateway.sign_in(upn, WRONG)
        self.assertEqual((a['verdict'], a['class']), ('refused', 'credentials'), a)
        self.assertTrue(a['text'])
        self.assertNotIn('user', a)
        self.assertEqual(bad_password_count(LAB['LAB_GOOD2_SAM']), before + 1)
        self.assertEqual(self.gateway.sign_in(upn, password)['verdict'], 'accepted')

    def test_3_locked_reads_as_policy(self):
        upn, password, _ = self.account('LOCKED')
        a = self.gateway.sign_in(upn, password)
        self.assertEqual((a['verdict'], a['class'], a['reason']), ('refused', 'policy', 'locked_out'), a)

    def test_4_a_name_that_fails_too_often_is_stopped_here(self):
        name = 'nobody-of-this-name@' + LAB['LAB_AD_DOMAIN']
        seen = [self.gateway.sign_in(name, WRONG + str(i)) for i in range(4)]
        self.assertEqual([a['reason'] for a in seen[3:]], ['throttled'], seen)
        self.assertNotEqual(seen[2]['reason'], 'throttled')
        self.assertGreater(seen[3]['retry_after'], 3000)
        self.assertEqual(seen[3]['may_have_counted'], '0')
        # other names go on
        upn, password, _ = self.account('GOOD1')
        self.assertEqual(self.gateway.sign_in(upn, password)['verdict'], 'accepted')

    def test_5_names_and_passwords_that_are_none(self):
        upn, _, _ = self.account('GOOD1')
        for user, password, reason in [(upn, '', 'empty_password'), ('', 'x', 'bad_name_form'), ('a' * 300, 'x', 'bad_name_form'),
                                       (upn, 'x' * 1025, 'bad_password_form'), ('a@nowhere.invalid', 'x', 'unknown_domain')]:
            a = self.gateway.sign_in(user, password)
            self.assertEqual((a['verdict'], a['class'], a['reason']), ('refused', 'credentials', reason), a)
            self.assertEqual(a['may_have_counted'], '0')

    def test_6_garbage(self):
        cases = [(b'', 400), (b'{', 400), (b'[]', 400), (b'{"username":"a"}', 400), (b'{"username":"a","password":1}', 400),
                 (b'{"username":"a","password":"b","more":1}', 400), (b'{"username":"a","password":"b","username":"c"}', 400),
                 (b'{"username":"\xff","password":"b"}', 400), (b'{"username":"a","password":"s3cretword",}', 400),
                 (b'x' * 9000, 413)]
        for body, expected in cases:
            status, headers, text = self.gateway.request('POST', '/v1/sign-in', body, {'Content-Type': 'application/json'})
            problem = json.loads(text)
            self.assertEqual((status, headers['content-type']), (expected, 'application/problem+json'), body)
            self.assertEqual((problem['status'], problem['started']), (expected, 'no'))
            self.assertTrue(problem['type'].startswith('urn:postern:'))
            self.assertNotIn('s3cretword', text.decode())
        self.assertEqual(self.gateway.request('POST', '/v1/sign-in', b'{}', {'Content-Type': 'text/plain'})[0], 415)
        self.assertEqual(self.gateway.get('/v1/sign-in')[0], 405)
        self.assertEqual(self.gateway.get('/nothing')[0], 404)

    def test_7_health(self):
        self.assertEqual(self.gateway.get('/healthz')[0], 200)
        self.assertEqual(self.gateway.get('/readyz')[0], 200)

    def test_7_it_waits_for_changes(self):
        """At the relay, and goes on with it after a sign-in that wanted keys at once."""
        waiting = f'postern_relay_keys_waiting{{tenant="{self.site.tenant}"}}'
        wait_for('it waits', lambda: relay_metric(waiting) == 1)
        link = self.site.connectors['north'].daemon.children()['postern-link']
        os.kill(link, signal.SIGKILL)
        upn, password, _ = self.account('GOOD1')
        wait_for('sign-ins go on', lambda: self.gateway.sign_in(upn, password)['verdict'] == 'accepted')
        wait_for('it waits again', lambda: relay_metric(waiting) == 1)

    def test_8_processes_end_and_come_back(self):
        upn, password, _ = self.account('GOOD1')
        for name in ('doors', 'sealer', 'link'):
            with self.subTest(name):
                pid = self.child(name)
                os.kill(pid, signal.SIGKILL)
                wait_for('it is started again', lambda: self.child(name) not in (None, pid))
                self.gateway.wait_ready()
                self.assertEqual(self.gateway.sign_in(upn, password)['verdict'], 'accepted')

    def test_9_a_reload_loses_nobody(self):
        upn, password, _ = self.account('GOOD1')
        before = self.child('doors')
        os.kill(self.gateway.daemon.pid, signal.SIGHUP)

        def taken_up():
            self.assertEqual(self.gateway.sign_in(upn, password)['verdict'], 'accepted')
            return self.child('doors') not in (None, before)
        wait_for('the configuration is taken up', taken_up, interval=0)
        self.assertEqual(self.gateway.sign_in(upn, password)['verdict'], 'accepted')


class Words(GatewayTest):
    """What users read, by a catalogue and with the customer's own contact; and what Prometheus reads."""
    SETTINGS = f'words = {GERMAN}\nhelpdesk = die IT (Tel. 4711)\nname_failures = 1\nfailure_window = 3600\n'

    def test_1_sentences(self):
        upn, password, _ = self.account('DISABLED')
        self.assertEqual(self.gateway.sign_in(upn, password)['text'], 'Ihr Konto ist deaktiviert. Bitte wenden Sie sich an die IT (Tel. 4711).')
        upn, password, _ = self.account('LOCKED')
        a = self.gateway.sign_in(upn, password)
        self.assertEqual(a['reason'], 'locked_out')  # which nothing proves, so the user is not told
        self.assertEqual(a['text'], 'Sie können sich im Moment nicht anmelden. Bitte wenden Sie sich an die IT (Tel. 4711) und nennen Sie die '
                         f"Kennung dieser Anmeldung: {a['id']}.")
        name = 'nobody-here@' + LAB['LAB_AD_DOMAIN']
        self.assertEqual(self.gateway.sign_in(name, WRONG)['text'], 'Der Benutzername oder das Kennwort ist falsch.')
        self.assertRegex(self.gateway.sign_in(name, WRONG)['text'], r'Bitte warten Sie bis \d\d:\d\d Uhr, bevor')

    def test_2_metrics(self):
        upn, password, _ = self.account('GOOD1')
        self.assertEqual(self.gateway.sign_in(upn, password)['verdict'], 'accepted')
        status, headers, text = self.gateway.get('/metrics')
        text = text.decode()
        self.assertEqual((status, headers['content-type'][:10]), (200, 'text/plain'))
        for line in ('postern_gateway_sign_ins_total{verdict="accepted",class="none",reason="ok"} 1',
                     'postern_gateway_sign_ins_total{verdict="refused",class="policy",reason="throttled"} 1',
                     'postern_gateway_sign_in_seconds_count{verdict="refused"} 4', 'postern_gateway_ready 1', 'postern_gateway_in_flight 0'):
            self.assertIn('\n' + line + '\n', text)
        self.assertNotIn(upn.split('@')[0], text)
        self.assertEqual(self.gateway.get('/metrics', tcp=True)[0], 404)
        checked = subprocess.run(['promtool', 'check', 'metrics'], input=text, capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)


class Guarded(SiteTest):
    """Without an override sign-ins are taken only where the connectors' guard stops names."""
    CONNECTORS = [('north', 'ldap')]

    def test(self):
        class Strict(Gateway):
            GUARD = ''
        gateway = Strict(self.site)
        self.addCleanup(gateway.stop)
        gateway.start(ready=False)
        upn, password, _ = self.account('GOOD1')
        wait_for('the reason is told', lambda: b'guard' in gateway.get('/readyz')[2])
        status, _, body = gateway.get('/readyz')
        self.assertEqual(status, 503)
        self.assertIn('connector north', json.loads(body)['detail'])
        a = gateway.sign_in(upn, password)
        self.assertEqual((a['verdict'], a['reason'], a['may_have_counted']), ('unavailable', 'not-ready', '0'), a)
        # the override, which is told
        gateway.write_config('without_guard = allow\n')
        os.kill(gateway.daemon.pid, signal.SIGHUP)
        wait_for('the override is taken up', lambda: gateway.get('/readyz')[0] == 200)
        self.assertIn('guard', json.loads(gateway.get('/readyz')[2])['warning'])
        # the remedy
        gateway.write_config()
        os.kill(gateway.daemon.pid, signal.SIGHUP)
        north = self.site.connectors['north']
        with open(north.config, encoding='utf-8') as f:
            text = f.read()
        with open(north.config, 'w', encoding='utf-8') as f:
            f.write(text.replace('[connector]\n', '[connector]\nguard = on\n', 1))
        north.daemon.stop()
        north.start()
        north.wait_ready()
        wait_for('it is guarded', lambda: gateway.get('/readyz')[0] == 200 and b'warning' not in gateway.get('/readyz')[2])
        self.assertEqual(gateway.sign_in(upn, password)['verdict'], 'accepted')


class Nodes(SiteTest):
    """Of several relay nodes the first that works is asked; where not a byte was sent, the next."""
    CONNECTORS = [('north', 'ldap')]

    def test(self):
        with socket.socket() as closed, socket.create_server(('127.0.0.1', 0)) as mute:
            closed.bind(('127.0.0.1', 0))  # refuses; the other takes the connection, and says nothing
            nodes = ''.join(f'relay = https://127.0.0.1:{s.getsockname()[1]}\n' for s in (closed, mute))
            gateway = Gateway(self.site, f'{nodes}relay = {self.site.url}\n')
            self.addCleanup(gateway.stop)
            gateway.start()
            upn, password, _ = self.account('GOOD1')
            for _ in range(3):
                self.assertEqual(gateway.sign_in(upn, password)['verdict'], 'accepted')
            with open(gateway.log, encoding='utf-8') as f:
                aside = [line for line in f if 'relay.aside' in line]
            self.assertEqual(len({line.split('node=')[1].split()[0] for line in aside}), 2, aside)


class Front(http.server.BaseHTTPRequestHandler):
    """What stands before a node that is dead, in part or wholly: no keys where the class says so, and each sign-in is answered so."""
    protocol_version = 'HTTP/1.1'
    keys, status, media, body = True, 502, 'text/html', b'<html>Bad Gateway</html>'

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in {**headers, 'Content-Length': str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.server.seen.append('GET')
        if not self.keys:
            self.answer(self.status, {'Content-Type': self.media}, self.body)
            return
        names = ('Authorization', 'If-None-Match')
        request = urllib.request.Request(self.server.relay + self.path, headers={n: self.headers[n] for n in names if self.headers[n]})
        try:
            with urllib.request.urlopen(request, context=self.server.trust, timeout=60) as got:
                self.answer(got.status, {n: got.headers[n] for n in ('Content-Type', 'ETag') if got.headers[n]}, got.read())
        except urllib.error.HTTPError as e:
            with e:
                self.answer(e.code, {'Content-Type': e.headers['Content-Type'] or 'text/plain'}, e.read())

    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.server.seen.append('POST')
        self.answer(self.status, {'Content-Type': self.media}, self.body)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


class Fronts(SiteTest):
    """A node that answers, and is not there: its faults set it aside, and the healthy one is asked."""
    CONNECTORS = [('north', 'ldap')]

    def gateway(self, **what):
        server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), type('OneFront', (Front,), what))
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(os.path.join(self.site.dir, 'relay.pem'), os.path.join(self.site.dir, 'relay.key'))
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.daemon_threads, server.block_on_close = True, False
        server.relay, server.trust, server.seen = self.site.url, ssl.create_default_context(cafile=self.site.ca), []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        gateway = Gateway(self.site, f'relay = https://127.0.0.1:{server.server_port}\nrelay = {self.site.url}\n')
        self.addCleanup(shutil.rmtree, gateway.dir)
        self.addCleanup(gateway.stop)
        gateway.start()
        return gateway, server

    def test_a_dead_node(self):
        gateway, front = self.gateway(keys=False)
        upn, password, _ = self.account('GOOD1')
        for _ in range(3):
            self.assertEqual(gateway.sign_in(upn, password)['verdict'], 'accepted')
        self.assertIn('GET', front.seen)
        self.assertNotIn('POST', front.seen)

    def test_nobody_started(self):
        problem = {'type': 'urn:postern:draining', 'status': 503, 'started': 'no', 'retry': 'later'}
        gateway, front = self.gateway(status=503, media='application/problem+json', body=json.dumps(problem).encode())
        upn, password, _ = self.account('GOOD1')
        self.assertEqual(gateway.sign_in(upn, password)['verdict'], 'accepted')
        self.assertEqual(front.seen.count('POST'), 1)

    def test_somebody_may_have_started(self):
        """One who asked hears of the doubt, and nothing is sent twice; the next goes elsewhere."""
        gateway, front = self.gateway()
        upn, password, _ = self.account('GOOD1')
        a = gateway.sign_in(upn, password)
        self.assertEqual((a['verdict'], a['may_have_counted']), ('unavailable', 'unknown'), a)
        self.assertEqual(gateway.sign_in(upn, password)['verdict'], 'accepted')
        self.assertEqual(front.seen.count('POST'), 1)


class Faults(GatewayTest):
    def test_1_no_connector(self):
        upn, password, _ = self.account('GOOD1')
        self.site.connectors['north'].daemon.stop()
        a = self.gateway.sign_in(upn, password)
        self.assertEqual((a['verdict'], a['class'], a['may_have_counted']), ('unavailable', 'infrastructure', '0'), a)
        wait_for('not ready any more', lambda: self.gateway.get('/readyz')[0] == 503)
        status, _, body = self.gateway.get('/readyz')
        self.assertEqual((status, json.loads(body)['type']), (503, 'urn:postern:not-ready'))
        self.assertEqual(self.gateway.forward(upn, password)[0], 503)

    def test_2_relay_down(self):
        upn, password, _ = self.account('GOOD1')
        self.site.relay.stop()
        a = self.gateway.sign_in(upn, password)
        self.assertEqual((a['verdict'], a['class'], a['may_have_counted']), ('unavailable', 'infrastructure', '0'), a)
        self.assertTrue(a['text'])
        self.assertEqual(self.gateway.get('/healthz')[0], 200)

    def test_3_they_come_back(self):
        upn, password, _ = self.account('GOOD1')
        self.site.restart_relay()
        self.site.connectors['north'].start()
        self.site.connectors['north'].wait_ready()
        self.gateway.wait_ready()
        self.assertEqual(self.gateway.sign_in(upn, password)['verdict'], 'accepted')


if __name__ == '__main__':
    main()
