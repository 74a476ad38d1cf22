"""The shipped alert rules, unchanged, in Debian's Prometheus, whose alerts reach Debian's Alertmanager and from there whoever is told:
a ledger whose link is down, then up again. Takes as long as the rule's `for`.

usage: test_alertmanager.py BUILD_DIR SOURCE_DIR
"""
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.abspath(sys.argv[2]), 'tests', 'connector', 'ledger'))
import test_ledger  # noqa: E402
import test_metrics  # noqa: E402
from test_ledger import wait_for  # noqa: E402


class Receiver:
    """The webhook that Alertmanager calls; what it was told, alert by alert."""

    def __init__(self):
        told = self.told = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                told.extend(json.loads(self.rfile.read(int(self.headers['Content-Length'])))['alerts'])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of(self, name, status):
        return [a for a in self.told if a['labels']['alertname'] == name and a['status'] == status]


class AlertmanagerTest(test_ledger.LedgerCase):
    def run_daemon(self, *argv):
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

    def alertmanager(self, receiver):
        port = test_metrics.Prometheus.free_port()
        path = os.path.join(self.dir, 'alertmanager.yml')
        with open(path, 'w', encoding='utf-8') as f:
            json.dump({'route': {'receiver': 'desk', 'group_by': ['alertname'], 'group_wait': '1s', 'group_interval': '1s'},
                       'receivers': [{'name': 'desk', 'webhook_configs': [
                           {'url': f'http://127.0.0.1:{receiver.server.server_port}/', 'send_resolved': True}]}]}, f)
        self.run_daemon('prometheus-alertmanager', f'--config.file={path}', f'--storage.path={self.dir}/alertmanager',
                        f'--web.listen-address=127.0.0.1:{port}', '--cluster.listen-address=')
        return port

    def tell_link(self, state):
        test_metrics.MetricsTest.status(self, self.link, 'link', relay='https://relay.example', state=state, detail='', since=1,
                                        certificate_expires=int(time.time()) + 30 * 86400, clock_ahead=0, requests=9, verdicts=8, in_hand=0)

    def test_an_alert_reaches_the_desk_and_is_taken_back(self):
        self.tell_link('down')
        test_metrics.MetricsTest.status(self, self.validator, 'validator', name='hq-1', tenant='acme', in_roster=True, roster_seq=4,
                                        roster_expires=int(time.time()) + 25 * 86400, services=1, in_flight=0,
                                        guard={'mode': 'on', 'throttled': 0, 'repeated': 0})
        wait_for('the metrics', lambda: 'postern_link_up{relay="https://relay.example"} 0' in test_metrics.get(self.metrics_socket)[1])
        proxy = test_metrics.forward(self.metrics_socket)
        self.addCleanup(proxy.server_close)
        self.addCleanup(proxy.shutdown)
        desk = Receiver()
        self.addCleanup(desk.server.server_close)
        self.addCleanup(desk.server.shutdown)
        prometheus = test_metrics.Prometheus(self.dir, f'127.0.0.1:{proxy.server_port}', self.alertmanager(desk))
        self.addCleanup(prometheus.stop)
        name = 'PosternNoConnectorLinked'
        wait_for('the alert at the desk', lambda: desk.of(name, 'firing'), seconds=300)
        alert = desk.of(name, 'firing')[0]
        self.assertEqual((alert['labels']['severity'], alert['labels']['tenant']), ('critical', 'acme'))
        self.assertEqual(set(alert['annotations']), {'summary', 'remedy'})
        self.assertIn('no connector of tenant acme has a link', alert['annotations']['summary'])
        self.assertFalse({a['labels']['alertname'] for a in desk.told} & {'PosternRosterEndsIn14Days', 'PosternDown'})
        self.tell_link('up')
        wait_for('its end at the desk', lambda: desk.of(name, 'resolved'), seconds=300)


if __name__ == '__main__':
    unittest.main(argv=['test_alertmanager.py'])
