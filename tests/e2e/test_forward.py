#!/usr/bin/python3
"""Forward authentication by the configurations of queue/gateway/FORWARD.md: Debian's nginx and Caddy in front of an application, the real
gateway, relay, connector and Samba behind them."""
import base64
import concurrent.futures
import http.client
import http.server
import json
import os
import re
import shutil
import socket
import threading
import unittest

from e2e import LAB, WRONG, bad_password_count, main, wait_for
from gateway_site import Gateway
from postern_site import Daemon
from test_gateway import GatewayTest

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../queue/gateway/FORWARD.md')


def from_page(heading):
    """The first block of code behind the heading: what a reader would copy."""
    with open(PAGE, encoding='utf-8') as f:
        return re.search(r'^## ' + heading + r'\n.*?```\w*\n(.*?)```', f.read(), re.S | re.M)[1]


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Application(http.server.BaseHTTPRequestHandler):
    """Says which headers it got."""
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        body = json.dumps({k.lower(): v for k, v in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


class ForwardTest(GatewayTest):
    SETTINGS = 'name_failures = 100\nsocket_group = www-data\n'
    DOMAIN = {'north': 'attributes = memberOf\n'}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        os.chmod(cls.top, 0o755)
        os.chmod(cls.gateway.socket, 0o666)  # the web servers run as another user of the test's choice
        cls.application = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Application)
        threading.Thread(target=cls.application.serve_forever, daemon=True).start()
        cls.addClassCleanup(cls.application.server_close)
        cls.addClassCleanup(cls.application.shutdown)
        cls.port = free_port()
        cls.start_server()

    @classmethod
    def config(cls, text, port):
        """The page's text with this test's places."""
        for what, place in (('/run/postern-gateway/gateway.sock', cls.gateway.socket), (f'127.0.0.1:{port}', f'127.0.0.1:{cls.port}'),
                            ('127.0.0.1:8082', f'127.0.0.1:{cls.application.server_address[1]}')):
            if what not in text:
                raise AssertionError(f'{what} is not in the page')
            text = text.replace(what, place)
        return text

    @classmethod
    def run_server(cls, name, argv, env=None):
        cls.server = Daemon(name, argv, os.path.join(cls.top, name + '.log'), env or cls.site.env)
        cls.addClassCleanup(cls.server.stop)

        def answers():
            cls.server.check()
            try:
                socket.create_connection(('127.0.0.1', cls.port)).close()
                return True
            except ConnectionRefusedError:
                return False
        wait_for(f'{name} listens', answers)

    def ask(self, user=None, password='', headers=None, path='/'):
        """(status, headers, what the application saw or the body)."""
        conn = http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
        headers = dict(headers or {})
        if user is not None:
            headers['Authorization'] = 'Basic ' + base64.b64encode(f'{user}:{password}'.encode()).decode()
        try:
            conn.request('GET', path, headers=headers)
            answer = conn.getresponse()
            body = answer.read()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, json.loads(body) if answer.status == 200 else body
        finally:
            conn.close()

    # -- what holds for each server --
    def check_accepted(self):
        upn, password, sid = self.account('GOOD1')
        status, _, seen = self.ask(upn, password, {'Remote-User': 'root', 'X-Postern-User-Id': 'S-1-5-21-1-2-3-500',
                                                   'X-Postern-Groups': 'admins', 'X-Postern-User-Domain': 'evil.example'})
        self.assertEqual(status, 200)
        self.assertEqual((seen['x-postern-user-id'], seen['x-postern-user-domain']), (sid, LAB['LAB_AD_DOMAIN']))
        self.assertIn('@', seen['remote-user'])
        self.assertIn('group', seen['x-postern-groups'])
        self.assertNotIn('admins', seen['x-postern-groups'])
        self.assertNotIn(password, json.dumps(seen))
        self.assertNotIn('authorization', {k: v for k, v in seen.items() if v})
        # and one without groups has none, whatever the client says
        upn, password, _ = self.account('GOOD2')
        status, _, seen = self.ask(upn, password, {'X-Postern-Groups': 'admins'})
        self.assertEqual((status, seen.get('x-postern-groups', '')), (200, ''))

    def check_utf8(self):
        upn, password, sid = self.account('UTF8')
        status, _, seen = self.ask(upn, password)
        self.assertEqual((status, seen['x-postern-user-id']), (200, sid))

    def check_refused(self):
        upn, _, _ = self.account('GOOD2')
        before = bad_password_count(LAB['LAB_GOOD2_SAM'])
        status, headers, _ = self.ask(upn, WRONG)
        self.assertEqual(status, 401)
        self.assertIn('charset="UTF-8"', headers['www-authenticate'])
        self.assertEqual(bad_password_count(LAB['LAB_GOOD2_SAM']), before + 1)
        self.assertEqual(self.ask()[0], 401)
        self.assertEqual(self.ask(headers={'Authorization': 'Basic !!!!'})[0], 401)
        upn, password, _ = self.account('LOCKED')
        self.assertEqual(self.ask(upn, password)[0], 403)

    def check_twenty_at_once(self):
        """A browser's pictures and scripts: twenty identical wrong ones, held up together, count once."""
        upn, _, _ = self.account('GOOD3')
        before = bad_password_count(LAB['LAB_GOOD3_SAM'])
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            link = self.child('link')
            os.kill(link, 19)  # SIGSTOP: the first stays under way until all have come
            try:
                asked = [pool.submit(self.ask, upn, WRONG) for _ in range(20)]
                wait_for('all twenty are at the gateway', lambda: self.at_gateway() >= 20)
            finally:
                os.kill(link, 18)
            self.assertEqual([a.result()[0] for a in asked], [401] * 20)
        self.assertEqual(bad_password_count(LAB['LAB_GOOD3_SAM']), before + 1)

    def at_gateway(self):
        """Connections to the gateway's socket that it has accepted."""
        with open('/proc/net/unix', encoding='utf-8') as f:
            return sum(1 for line in f if line.rstrip().endswith(self.gateway.socket) and line.split()[5] == '03')

    def check_fault(self, expected):
        upn, password, _ = self.account('GOOD1')
        self.site.relay.stop()
        try:
            self.assertEqual(self.ask(upn, password)[0], expected)
        finally:
            self.site.restart_relay()
            self.site.connectors['north'].wait_ready()
            self.gateway.wait_ready()


@unittest.skipUnless(shutil.which('nginx'), 'no nginx')
class Nginx(ForwardTest):
    @classmethod
    def start_server(cls):
        text = cls.config(from_page('nginx'), 8081)
        # what the page warns of
        trap = 'location = /trap { auth_request /postern; return 200 "{}"; }\n}'
        text = text.rstrip()
        text = text[:text.rindex('}')] + trap
        path = os.path.join(cls.top, 'nginx.conf')
        temporary = ''.join(f'{x}_temp_path {cls.top}/{x};\n' for x in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        with open(path, 'w', encoding='utf-8') as f:
            f.write(f'daemon off; pid {cls.top}/nginx.pid; error_log {cls.top}/nginx.log info; user root root;\n'
                    'worker_processes 1; events { worker_connections 256; }\n'
                    f'http {{ access_log off;\n{temporary}{text}\n}}\n')
        cls.run_server('nginx', ['nginx', '-c', path, '-p', cls.top, '-e', f'{cls.top}/nginx.log'])

    def test_1_accepted(self):
        self.check_accepted()
        self.check_utf8()

    def test_2_refused(self):
        self.check_refused()

    def test_3_twenty_at_once(self):
        self.check_twenty_at_once()

    def test_4_a_return_answers_without_asking(self):
        """As the page warns: if nginx ever asks here, the warning can go."""
        self.assertEqual(self.ask(path='/trap')[0], 200)

    def test_5_a_fault_is_none_of_the_user_s(self):
        self.check_fault(500)


@unittest.skipUnless(shutil.which('caddy'), 'no Caddy')
class Caddy(ForwardTest):
    @classmethod
    def start_server(cls):
        path = os.path.join(cls.top, 'Caddyfile')
        with open(path, 'w', encoding='utf-8') as f:
            f.write(cls.config(from_page('Caddy'), 8083))
        cls.run_server('caddy', ['caddy', 'run', '--adapter', 'caddyfile', '--config', path],
                       {**cls.site.env, 'XDG_DATA_HOME': cls.top, 'XDG_CONFIG_HOME': cls.top})

    def test_1_accepted(self):
        self.check_accepted()
        self.check_utf8()

    def test_2_refused(self):
        self.check_refused()

    def test_3_twenty_at_once(self):
        self.check_twenty_at_once()

    def test_5_a_fault_is_none_of_the_user_s(self):
        self.check_fault(503)


class Remembered(GatewayTest):
    """`remember_s`: repeats are answered by the sealer, until a refusal of the name."""
    SETTINGS = 'remember_s = 60\nname_failures = 100\n'

    def counts(self):
        with open(self.gateway.log, encoding='utf-8') as f:
            lines = [line for line in f if ' sign_in ' in line]
        return len(lines), sum('remembered=1' in line for line in lines)

    def test_repeats(self):
        upn, password, _ = self.account('GOOD1')
        records = self.records()
        ids = [self.gateway.forward(upn, password)[1]['postern-id'] for _ in range(5)]
        self.assertEqual(len(set(ids)), 1)  # the one that decided
        self.assertEqual(self.counts(), (5, 4))
        self.assertEqual(self.records(), records + 1)
        # neither another password nor JSON is answered from it
        self.assertEqual(self.gateway.sign_in(upn, password)['verdict'], 'accepted')
        self.assertEqual(self.counts(), (6, 4))
        self.assertEqual(self.gateway.forward(upn.upper(), WRONG)[0], 401)
        # which was a refusal of this name: all is asked again
        self.assertEqual(self.gateway.forward(upn, password)[0], 204)
        self.assertEqual(self.counts(), (8, 4))

    def records(self):
        """Sign-ins that the connector decided."""
        with open(os.path.join(self.site.connectors['north'].dir, 'log'), encoding='utf-8') as f:
            return f.read().count(' signin.done ')


if __name__ == '__main__':
    main()
