"""What Prometheus gets of a ledger, with promtool's and a real Prometheus's judgement; `postern metrics` and `postern report`.

usage: test_metrics.py BUILD_DIR SOURCE_DIR
"""
import http.client
import http.server
import json
import os
import re
import socket
import subprocess
import threading
import time
import unittest
import urllib.request

import test_ledger
from test_ledger import POSTERN, SOURCE, frame, send, wait_for

ALERTS = os.path.join(SOURCE, 'connector', 'packaging', 'postern-alerts.yml')


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('postern')
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def get(path, url='/metrics', method='GET'):
    connection = UnixConnection(path)
    connection.request(method, url)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer, body


def forward(path):
    """A TCP port that hands each scrape on to the socket, as a reverse proxy on the host would. The server."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answer, body = get(path)
            self.send_response(answer.status)
            self.send_header('Content-Type', answer.headers['Content-Type'])
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *args):
            pass
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class Prometheus:
    """The real server, scraping each second."""

    def __init__(self, folder, target, alertmanager=None):
        self.port = self.free_port()
        config = os.path.join(folder, 'prometheus.yml')
        with open(config, 'w', encoding='utf-8') as f:
            json.dump({'global': {'scrape_interval': '1s', 'evaluation_interval': '1s'}, 'rule_files': [ALERTS],
                       'alerting': {'alertmanagers': [{'static_configs': [{'targets': [f'127.0.0.1:{alertmanager}'] if alertmanager else []}]}]},
                       'scrape_configs': [{'job_name': 'postern', 'static_configs': [{'targets': [target]}]}]}, f)
        self.process = subprocess.Popen(['prometheus', f'--config.file={config}', f'--storage.tsdb.path={folder}/tsdb',
                                         f'--web.listen-address=127.0.0.1:{self.port}', '--log.level=warn'],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    @staticmethod
    def free_port():
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            return s.getsockname()[1]

    def ask(self, what):
        try:
            with urllib.request.urlopen(f'http://127.0.0.1:{self.port}/api/v1/{what}', timeout=60) as answer:
                return json.load(answer)['data']
        except (OSError, ValueError):
            return None

    def stop(self):
        self.process.kill()
        self.process.wait()


class MetricsTest(test_ledger.LedgerCase):
    def status(self, channel, part, **value):
        send(channel, frame('FRAME_STATUS', TAG_NAME=part, TAG_TEXT=json.dumps(value)))

    def fill(self, expires):
        for i in range(5):
            self.record(f'METRICS{i:09}', R_REASON='locked_out', R_CLASS='policy', R_USER='carol@corp.example', R_MS_DC=30, R_MS_TOTAL=40)
        self.record('ACCEPTED000000001', R_VERDICT='accepted', R_CLASS='none', R_REASON='ok', R_USER_HASH='h1')
        self.record('DECLINED000000001', R_VERDICT=None, R_CLASS=None, R_REASON=None, R_DC=None, R_METHOD=None, R_DECLINED='full')
        self.record('DECLINED000000002', R_VERDICT=None, R_CLASS=None, R_REASON=None, R_DC=None, R_METHOD=None, R_DECLINED='evil"\n')
        self.status(self.validator, 'validator', name='hq-1', tenant='acme', in_roster=True, roster_seq=4, roster_expires=expires,
                    services=1, in_flight=3, guard={'mode': 'on', 'throttled': 2, 'repeated': 1})
        self.status(self.link, 'link', relay='https://relay.example', state='down', detail='', since=1, certificate_expires=expires,
                    clock_ahead=-3, requests=9, verdicts=8, in_hand=1)
        self.status(self.validator, 'dc:corp.example/dc1.corp.example', domain='corp.example', host='dc1.corp.example', state='dead',
                    ms=0, reason='dns', detail='', source='config')
        self.status(self.validator, 'domain:corp.example', domain='corp.example', ready=False, reason='dns', detail='', may_speak=True)
        self.known(8)
        wait_for('the parts', lambda: 'postern_domain_ready' in get(self.metrics_socket)[1] and
                 'domain="corp.example"} 0' in get(self.metrics_socket)[1])

    def test_numbers(self):
        self.fill(int(time.time()) + 86400)
        answer, text = get(self.metrics_socket)
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.headers['Content-Type'].startswith('text/plain; version=0.0.4'))
        for line in ('postern_sign_ins_total{verdict="refused",class="policy",reason="locked_out"} 5',
                     'postern_sign_ins_total{verdict="accepted",class="none",reason="ok"} 1',
                     'postern_declined_total{why="full"} 1', 'postern_declined_total{why="other"} 1',
                     'postern_dc_seconds_bucket{dc="dc1.corp.example",method="ldap",le="0.05"} 6',
                     'postern_dc_seconds_bucket{dc="dc1.corp.example",method="ldap",le="0.025"} 1',
                     'postern_validation_seconds_count{dc="dc1.corp.example",method="ldap"} 6',
                     'postern_dc_up{domain="corp.example",dc="dc1.corp.example"} 0', 'postern_domain_ready{domain="corp.example"} 0',
                     'postern_link_up{relay="https://relay.example"} 0', 'postern_clock_offset_seconds -3',
                     'postern_guard_throttled_total 2', 'postern_in_flight 3', 'postern_in_flight_max 256',
                     'postern_findings{code="link_down",level="stops"} 1', 'postern_ledger_records_lost_total 0'):
            self.assertIn('\n' + line + '\n', text)
        self.assertNotIn('carol', text)
        self.assertNotIn('192.0.2.7', text)
        checked = subprocess.run(['promtool', 'check', 'metrics'], input=text, capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        self.assertEqual(get(self.metrics_socket, '/control')[0].status, 404)
        self.assertEqual(get(self.metrics_socket, method='POST')[0].status, 405)

    def test_a_name_for_each_sign_in_makes_no_endless_text(self):
        """A validator that somebody took over may call its domain controllers what it likes."""
        for i in range(300):
            self.record(f'MANYDCS{i:09}', R_DC=f'dc{i}.corp.example')
        self.known(50)  # a page of them
        wait_for('the last', lambda: 'postern_dc_seconds_count{dc="other",method="ldap"} 173' in get(self.metrics_socket)[1])
        self.assertEqual(get(self.metrics_socket)[1].count('postern_dc_seconds_count{'), 128)

    def test_command_and_textfile(self):
        self.fill(int(time.time()) + 86400)
        path = os.path.join(self.dir, 'postern.prom')
        shown = subprocess.run([POSTERN, 'metrics', '--from', self.metrics_socket], capture_output=True, text=True, timeout=300, check=True).stdout
        self.assertIn(f'postern_up{{socket="{self.metrics_socket}"}} 1\n', shown)
        self.assertIn('postern_in_roster 1\n', shown)
        subprocess.run([POSTERN, 'metrics', '--from', self.metrics_socket, '--output', path], timeout=300, check=True)
        with open(path, encoding='utf-8') as f:
            self.assertIn('postern_in_roster 1\n', f.read())
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o644)
        self.kill()
        done = subprocess.run([POSTERN, 'metrics', '--from', self.metrics_socket, '--output', path], capture_output=True, text=True,
                              timeout=300, check=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn('nobody answers', done.stderr)
        with open(path, encoding='utf-8') as f:
            text = f.read()
        self.assertIn('} 0\n', text)
        self.assertNotIn('postern_in_roster', text)

    def test_prometheus_takes_it_and_raises_the_alerts(self):
        self.fill(int(time.time()) + 86400)
        proxy = forward(self.metrics_socket)
        self.addCleanup(proxy.server_close)
        self.addCleanup(proxy.shutdown)
        prometheus = Prometheus(self.dir, f'127.0.0.1:{proxy.server_port}')
        self.addCleanup(prometheus.stop)

        def raised():
            return {a['labels']['alertname'] for a in (prometheus.ask('alerts') or {'alerts': []})['alerts']}
        expected = {'PosternRosterEndsIn2Days', 'PosternLinkDown', 'PosternDcDown', 'PosternDomainNotServed', 'PosternCertificateEnds',
                    'PosternFinding', 'PosternNoConnectorLinked'}
        wait_for('the alerts', lambda: raised() >= expected)
        self.assertFalse(raised() & {'PosternRosterEndsIn7Days', 'PosternRosterEndsIn14Days', 'PosternClockOff', 'PosternDown'})
        rules = [rule for group in prometheus.ask('rules')['groups'] for rule in group['rules']]
        self.assertEqual({rule['health'] for rule in rules}, {'ok'}, rules)

    def test_report(self):
        now = int(time.time())
        self.fill(now + 86400)
        self.record('OLDER000000000001', R_WALL=now - 3 * 86400, R_DC='dc2.corp.example', R_METHOD='krb5', R_MS_DC=700)
        self.record('OLDER000000000002', R_WALL=now - 40 * 86400)
        self.known(10)
        text = self.cli('report')
        self.assertIsNotNone(re.search(r'^ *5  locked_out  ', text, re.M), text)
        self.assertIsNotNone(re.search(r'^ *1  wrong_password  ', text, re.M), text)
        self.assertIsNotNone(re.search(r'^ +700 ms +1 +1000 ms +700 ms +0  dc2.corp.example krb5$', text, re.M), text)
        self.assertLess(text.index('dc2.corp.example krb5'), text.index('dc1.corp.example ldap'))
        self.assertNotIn('carol', text)
        told = json.loads(self.cli('report', '--json', '--days', '2'))
        self.assertEqual(told['verdicts'], {'accepted': 1, 'refused': 5, 'declined': 2})
        self.assertEqual([d['dc'] for d in told['dcs'].values()], ['dc1.corp.example'])
        self.assertEqual(len(told['days']), 2)
        self.assertIn('not a number', self.cli('report', '--days', '0', code=2))
        for i in range(2):
            self.record(f'HASHED{i:010}', R_REASON='locked_out', R_CLASS='policy', R_USER='dora@corp.example', R_USER_HASH='h2')
        wait_for('the two', lambda: 'dora' in self.cli('report', '--users'))
        self.assertIsNotNone(re.search(r'^ +2 +0 +2  dora@corp.example$', self.cli('report', '--users'), re.M))

    def test_report_of_nothing(self):
        self.assertIn('no sign-in came', self.cli('report', '--days', '1'))


if __name__ == '__main__':
    unittest.main(argv=['test_metrics.py'])
