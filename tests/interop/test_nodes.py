"""Clients of several relay nodes, in Node, Python and Go: which node is asked next, and what is never asked twice.

test_nodes.py SANDBOX             each client beside nodes that fail in each way; the good node is postern-sandbox
test_nodes.py SANDBOX mutants [EVERY]     each of Node's rules, or each third, say, is taken away in turn, and some case must notice
"""
import http.client
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.parse

from test_interop import HERE, NODE, go_program, install, python_program

# What a bad node does with `GET keys` and with the POST; None: as the good one does.
REFUSES, HANGS_UP = 'refuses', 'hangs up'  # no connection; one that ends before TLS does
PROBLEM = {'type': 'urn:postern:draining', 'title': 'x', 'status': 503, 'started': 'no', 'retry': 'now'}
UNKNOWN = {**PROBLEM, 'type': 'urn:postern:internal', 'started': 'unknown', 'retry': 'never'}
LOST = 'ends without an answer'
# name: (node, keys, POST, outcome, posts at the bad node, posts at the good one)
CASES = {
    'refuses every connection': (REFUSES, None, None, 'accepted', 0, 1),
    'hangs up in the handshake': (HANGS_UP, None, None, 'accepted', 0, 1),
    'says at keys that it is going down': (None, (503, PROBLEM), None, 'accepted', 0, 1),
    'is broken at keys': (None, (500, UNKNOWN), None, 'accepted', 0, 1),
    'ends at keys without an answer': (None, LOST, None, 'accepted', 0, 1),
    'has just started and knows no connector': (None, (200, 'nobody ready'), None, 'accepted', 0, 1),
    'refuses the secret': (None, (401, {**PROBLEM, 'type': 'urn:postern:bad-credentials', 'status': 401}), None, 'bad-credentials', 0, 0),
    'says that it is going down': (None, None, (503, PROBLEM), 'accepted', 1, 1),
    'is gone when the request is made': (None, 'then gone', None, 'accepted', 0, 1),
    'took the request and ends without an answer': (None, None, LOST, 'unknown', 1, 0),
    'took the request and may have started': (None, None, (503, UNKNOWN), 'unknown', 1, 0),
    'took the request and answers what is no problem': (None, None, (503, None), 'unknown', 1, 0),
    'took the request and is broken': (None, None, (500, {**UNKNOWN, 'status': 500}), 'unknown', 1, 0),
}


class Counting:
    """A node of its own in front of the good one: counts what is posted, and does what its case says in its place."""

    def __init__(self, good, ca, certificate, case=(None, None, None)):
        self.node, self.keys, self.post_as = case
        self.good, self.posts, self.ids = urllib.parse.urlsplit(good), 0, []
        self.to_good = ssl.create_default_context(cafile=ca)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def log_message(self, *_):
                pass

            def do_GET(self):
                outer.serve(self, outer.keys)

            def do_POST(self):
                outer.posts += 1
                outer.ids.append(self.headers['Postern-Id'])
                outer.serve(self, outer.post_as)

        self.server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        if self.node != HANGS_UP:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        else:
            self.server.finish_request = lambda *_: None  # the connection ends at once
        if self.node == REFUSES:
            self.server.server_close()
        else:
            threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def forward(self, handler):
        n = int(handler.headers.get('Content-Length') or 0)
        body = handler.rfile.read(n) if n else None
        good = http.client.HTTPSConnection(self.good.hostname, self.good.port, timeout=60, context=self.to_good)
        good.request(handler.command, handler.path, body, {k: v for k, v in handler.headers.items() if k.lower() not in ('host', 'connection')})
        answer = good.getresponse()
        return answer.status, answer.headers, answer.read()

    def serve(self, handler, how):
        handler.close_connection = how is not None
        if how == LOST:
            handler.rfile.read(int(handler.headers.get('Content-Length') or 0))
            return
        status, headers, body = self.forward(handler) if how is None or how == 'then gone' or how[1] == 'nobody ready' else (how[0], {}, b'')
        kind = headers.get('Content-Type', 'text/html')
        if how == 'then gone':
            self.server.shutdown()  # nobody else is accepted, and this connection ends
            self.server.server_close()
        elif how and how[1] == 'nobody ready':
            body = json.dumps({**json.loads(body), 'ready': []}).encode()
        elif how and how[1]:
            kind, body = 'application/problem+json', json.dumps(how[1]).encode()
        handler.send_response(status)
        handler.send_header('Content-Type', kind)
        handler.send_header('Content-Length', str(len(body)))
        if how is not None:
            handler.send_header('Connection', 'close')
        if 'Postern-Connector' in headers:
            handler.send_header('Postern-Connector', headers['Postern-Connector'])
        handler.end_headers()
        handler.wfile.write(body)

    @property
    def url(self):
        return f'https://127.0.0.1:{self.port}'

    def close(self):
        if self.node != REFUSES:
            self.server.shutdown()
            self.server.server_close()


def certificate_in(folder):
    path = os.path.join(folder, 'node.pem')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=node',
                    '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', path + '.key', '-out', path + '.crt'], check=True, capture_output=True)
    with open(path, 'w', encoding='ascii') as out:
        for part in ('.crt', '.key'):
            with open(path + part, encoding='ascii') as f:
                out.write(f.read())
    return path


class Site:
    def __init__(self, folder, facts):
        self.facts, self.certificate = facts, certificate_in(folder)
        self.ca = os.path.join(folder, 'ca.pem')
        with open(self.ca, 'w', encoding='ascii') as out:
            for path in (facts['ca_file'], self.certificate + '.crt'):
                with open(path, encoding='ascii') as f:
                    out.write(f.read())

    def run(self, client, case):
        """What is wrong, or ''."""
        *how, expected, bad_posts, good_posts = CASES[case]
        bad = Counting(self.facts['relay'], self.facts['ca_file'], self.certificate, how)
        good = Counting(self.facts['relay'], self.facts['ca_file'], self.certificate)
        try:
            done = subprocess.run([*client, '--relay', f'{bad.url} {good.url}', '--tenant', self.facts['tenant'], f"--pin={self.facts['pin']}",
                                   '--ca', self.ca, '--secret-file', self.facts['secret_file'], '--service', self.facts['service'],
                                   '--user', 'ok@' + self.facts['suffix'], '--sandbox'], input=self.facts['password'] + '\n',
                                  capture_output=True, text=True, timeout=120, check=False)
        finally:
            bad.close()
            good.close()
        try:
            outcome = json.loads(done.stdout)
        except ValueError:
            return f'no outcome: {done.stdout}{done.stderr}'
        got = outcome.get('verdict', {}).get('verdict') or outcome
        if expected == 'unknown':
            right = isinstance(got, dict) and got.get('started') == 'unknown'
        elif expected != 'accepted':
            right = isinstance(got, dict) and got.get('problem') == expected
        else:
            right = got == expected and (not bad.ids or good.ids == [bad.ids[0] + '-2'])
        if right and (bad.posts, good.posts) == (bad_posts, good_posts):
            return ''
        return f'{got}, posted {bad.ids} at the bad node and {good.ids} at the good one'


# Each rule of relay.mjs, and what is left without it.
MUTANTS = [
    ('if (e.sent || left === 1) throw e;', 'if (left === 1) throw e;', 'what was sent is sent again'),
    ('if (e.sent || left === 1) throw e;', 'throw e;', 'a node that cannot be reached ends it'),
    ('if (req.reusedSocket) sent = true;', 'if (req.reusedSocket) sent = false;', 'a connection that was there counts as none'),
    ("started: e.sent ? 'unknown' : 'no'", "started: 'no'", 'what was sent and lost counts as not started'),
    ("else socket.once('secureConnect', () => { sent = true; });", 'else sent = true;', 'a connection that never was counts as sent'),
    ("first.started === 'no' && (elsewhere", '(elsewhere', 'what may have started goes to another node'),
    ("    first.retry = 'now';\n    relay.goOn();\n", '', 'a node that goes down is asked again'),
    ('elsewhere: answer.status >= 500 }', 'elsewhere: false }', 'a node that is broken at keys ends it'),
    ('elsewhere: answer.status >= 500 }', 'elsewhere: true }', 'a refused secret is tried at every node'),
    ('elsewhere: directory.ready.size === 0 }', 'elsewhere: false }', 'a node without connectors ends it'),
    ("retry: 'later', detail: e.message }, elsewhere: true };", "retry: 'later', detail: e.message }, elsewhere: false };",
     'a node that does not answer at keys ends it'),
    ("const base = { status: answer.status, problem: 'bad-answer', started: 'unknown'", "const base = { status: answer.status, problem: 'bad-answer', started: 'no'",
     'what is no problem document counts as not started'),
]


def mutants(site, place, every):
    with open(os.path.join(HERE, 'relay.mjs'), encoding='utf-8') as f:
        source = f.read()
    survivors = []
    tried = MUTANTS[::every]
    for number, (rule, without, what) in enumerate(tried):
        if source.count(rule) != 1:
            raise SystemExit(f'relay.mjs has {source.count(rule)} of: {rule}')
        folder = os.path.join(place, f'mutant-{number}')
        shutil.copytree(place, folder, symlinks=True, ignore=shutil.ignore_patterns('mutant-*', 'node_modules', '*.pem*'))
        os.symlink(os.path.join(place, 'node_modules'), os.path.join(folder, 'node_modules'))
        with open(os.path.join(folder, 'relay.mjs'), 'w', encoding='utf-8') as f:
            f.write(source.replace(rule, without))
        noticed = next((case for case in CASES if site.run([NODE, os.path.join(folder, 'sign-in.mjs')], case)), None)
        print(f'{what}: {"noticed where the node " + noticed if noticed else "nothing notices"}', flush=True)
        survivors += [] if noticed else [what]
    print(f'{len(tried) - len(survivors)} of {len(tried)} rules are noticed when they are missing')
    return len(survivors)


def main(program, what='', every='1'):
    failed = 0
    with tempfile.TemporaryDirectory(prefix='postern-interop-') as place, \
            subprocess.Popen([program, '--json', '--quiet'], stdout=subprocess.PIPE, text=True) as running:
        try:
            install(place)
            site = Site(place, json.loads(running.stdout.readline()))
            if what == 'mutants':
                return 1 if mutants(site, place, int(every)) else 0
            for name, client in (('node', [NODE, os.path.join(place, 'sign-in.mjs')]), ('python', python_program('sign_in.py')),
                                 ('go', [go_program(place), 'sign-in'])):
                for case in CASES:
                    wrong = site.run(client, case)
                    print(f'{name}, a node that {case}: {wrong or "right"}', flush=True)
                    failed += bool(wrong)
        finally:
            running.terminate()
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
