#!/usr/bin/python3
"""What a relay tells Prometheus, over its UNIX socket and nowhere else. Usage: test_metrics.py RELAY FORGE"""
import concurrent.futures
import http.client
import json
import os
import socket
import stat
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import relay_site  # noqa: E402
from relay_site import Connector, Relay, new_id, wait_for  # noqa: E402

VERDICT = 'aaaa..bbbb.cccc.dddd'


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('postern')
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class MetricsTest(unittest.TestCase):
    def setUp(self):
        self.socket = f'/tmp/postern-relay-metrics-{os.getpid()}-{time.monotonic_ns()}.sock'
        self.addCleanup(lambda: os.path.exists(self.socket) and os.unlink(self.socket))
        self.relay = Relay(metrics_socket=self.socket)
        self.addCleanup(self.relay.close)
        self.connectors = []
        self.addCleanup(lambda: [c.hang_up() for c in self.connectors if c.stream])

    def get(self, path='/metrics', method='GET'):
        connection = UnixConnection(self.socket)
        connection.request(method, path)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def value(self, sample):
        for line in self.get()[1].splitlines():
            if line.startswith(sample + ' '):
                return float(line.split(' ')[-1])
        return None

    def linked(self, name):
        c = Connector(self.relay, name)
        self.relay.approve(c)
        c.go(credit=5)
        self.connectors.append(c)
        return c

    def test_numbers(self):
        relay, c = self.relay, self.linked('one')
        wait = relay.sign_in_later(relay.seal(c))
        request = c.next('request')
        link = f'{{tenant="acme",connector="{c.id}",name="one"}}'
        wait_for('it has it', lambda: self.value('postern_relay_link_in_hand' + link) == 1)
        self.assertEqual(self.value('postern_relay_link_credit' + link), 4)
        self.assertEqual(self.value('postern_relay_in_flight'), 1)
        c.report([{'id': request['id'], 'is': 'received'}])
        c.report([{'id': request['id'], 'is': 'verdict', 'jwe': VERDICT}])
        self.assertEqual(wait.result()[0], 200)
        self.assertEqual(relay.request('GET', relay.tenant_path('keys'), headers={'Authorization': 'Bearer wrong'})[0], 401)
        wait_for('it is counted', lambda: self.value('postern_relay_sign_ins_total{tenant="acme",outcome="verdict"}') == 1)
        self.assertEqual(self.value('postern_relay_sign_in_seconds_count{tenant="acme"}'), 1)
        self.assertEqual(self.value('postern_relay_problems_total{problem="bad-credentials"}'), 1)
        self.assertEqual(self.value('postern_relay_link_ready' + link), 1)
        self.assertEqual(self.value('postern_relay_links{tenant="acme"}'), 1)
        now = time.time()
        for name, least, most in (('roster_not_after_seconds{tenant="acme"}', 0, 86400),
                                  ('link_certificate_not_after_seconds' + link, 29 * 86400, 30 * 86400),
                                  ('certificate_not_after_seconds', 0, 4000 * 86400), ('ca_not_after_seconds', 3600 * 86400, 3651 * 86400)):
            with self.subTest(name):
                self.assertTrue(least <= self.value('postern_relay_' + name) - now <= most, self.value('postern_relay_' + name))
        checked = subprocess.run(['promtool', 'check', 'metrics'], input=self.get()[1], capture_output=True, text=True, check=False)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)
        # who is linked, by the version that a connector tells: `status` says it, too
        self.assertEqual(self.value('postern_relay_connectors{version="test/1"}'), 1)
        self.assertIn({'version': 'test/1', 'connectors': 1}, json.loads(relay.cli('--json', 'status', check=False).stdout)['linked'])
        self.assertIn('linked: 1 of version test/1\n', relay.cli('status', check=False).stdout)
        c.hang_up()
        self.assertEqual(relay.sign_in(relay.seal(c), budget=500)[0], 503)
        wait_for('the problem', lambda: self.value('postern_relay_sign_ins_total{tenant="acme",outcome="no-connector"}') == 1)

    def test_questions(self):
        relay, c = self.relay, self.linked('one')
        secret = relay.cli('secret', relay.tenant, 'helpdesk').strip()
        self.assertEqual(self.value('postern_relay_questions_waiting'), 0)
        self.assertNotIn('postern_relay_questions_total{', self.get()[1])  # of tenants alone whose people ask

        def ask(budget, body=None):
            headers = {'Authorization': 'Bearer ' + secret, 'Content-Type': 'application/postern-request', 'Postern-Id': new_id(),
                       'Postern-Budget': str(budget)}
            return relay.request('POST', relay.tenant_path('questions'), body or relay.seal(c), headers)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            later = pool.submit(ask, 8000)
            id = c.next('question')['id']
            self.assertEqual(self.value('postern_relay_questions_waiting'), 1)
            self.assertEqual(c.call('POST', f'/v1/link/answers/{c.session}/{id}', VERDICT, {'Content-Type': 'application/jose'})[0], 204)
            self.assertEqual(later.result()[0], 200)
        self.assertEqual((ask(500)[0], ask(500, 'nonsense')[0]), (504, 400))
        for outcome in ('answer', 'deadline', 'malformed'):
            self.assertEqual(self.value(f'postern_relay_questions_total{{tenant="acme",outcome="{outcome}"}}'), 1, outcome)
        self.assertEqual(self.value('postern_relay_question_seconds_count{tenant="acme"}'), 1)
        self.assertEqual(self.value('postern_relay_questions_waiting'), 0)
        self.assertEqual(self.value('postern_relay_sign_ins_total{tenant="acme",outcome="verdict"}'), 0)  # they are no sign-ins

    def test_only_there(self):
        self.assertEqual(self.relay.request('GET', '/metrics')[0], 404)
        self.assertEqual(self.get('/v1/tenants/acme/status')[0], 404)
        self.assertEqual(self.get(method='POST')[0], 405)
        self.assertEqual(stat.S_IMODE(os.stat(self.socket).st_mode), 0o660)

    def test_a_removed_tenant_is_gone(self):
        relay, c = self.relay, self.linked('one')
        relay.sign_in(relay.seal(c), budget=100)
        wait_for('it is counted', lambda: 'tenant="acme",outcome="deadline"' in self.get()[1])
        relay.cli('tenant', 'remove', 'acme', '--yes')
        wait_for('it is gone', lambda: 'acme' not in self.get()[1])

    def test_a_path_that_will_not_do(self):
        for path, why in (('/nowhere/metrics.sock', '/nowhere/metrics.sock'), (self.relay.path('server.pem'), 'Address already in use')):
            with self.subTest(path):
                conf = self.relay.path('other.conf')
                with open(self.relay.path('relay.conf'), encoding='ascii') as f:
                    text = f.read().replace(self.socket, path)
                with open(conf, 'w', encoding='ascii') as f:
                    f.write(text)
                done = subprocess.run([relay_site.RELAY, '--config', conf], capture_output=True, text=True, timeout=300, check=False)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(why, done.stderr)
        self.assertTrue(os.path.isfile(self.relay.path('server.pem')))


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0]] + sys.argv[3:], verbosity=2)
