#!/usr/bin/python3
"""Relay nodes over NATS (`dispatch = nats`), each a real process, on real servers. Usage: test_nodes.py RELAY FORGE GROUP"""
import base64
import json
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import relay_site  # noqa: E402
from nodes_site import VERDICT, Site, lab_nats, lab_system  # noqa: E402
from relay_site import new_id, wait_for  # noqa: E402


class Case(unittest.TestCase):
    NODES, CONNECTORS, SERVERS, SETTINGS = 2, 2, 3, {}

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix='nodes-test-')
        self.addCleanup(self.folder.cleanup)
        self.site = Site(self.folder.name, self.NODES, self.CONNECTORS, self.SERVERS, **self.SETTINGS)
        self.addCleanup(self.site.close)
        self.nodes, self.connectors = self.site.nodes, self.site.connectors

    def sign_in(self, node, *connectors, **more):
        return self.nodes[node].sign_in(self.nodes[node].seal(*connectors), **more)


class Hops(Case):
    def test_a_sign_in_goes_where_its_connector_is_linked(self):
        a, b = self.connectors
        far = self.site.work(0, 1)
        self.nodes[0].sees(a)
        for _ in range(20):
            status, headers, body = self.sign_in(0, a)
            self.assertEqual((status, body, headers['Postern-Connector']), (200, VERDICT.encode(), a.id))
        self.assertEqual(len(far.got), 20)
        near = self.site.work(1, 0)  # a link of this node comes first
        self.nodes[0].sees(a, b)
        for _ in range(20):
            self.assertEqual(self.sign_in(0, a, b)[1]['Postern-Connector'], b.id)
        self.assertEqual((len(far.got), len(near.got)), (20, 20))
        far.end()
        self.nodes[0].sees(b)
        status, _, body = self.sign_in(0, a)
        self.assertEqual((status, body['type'].rsplit(':')[-1]), (503, 'no-connector'), body)

    def test_what_is_declined_goes_on_and_nothing_else(self):
        a, b = self.connectors
        first, second = self.site.work(0, 1, answer='no_dc'), self.site.work(1, 1)
        self.nodes[0].sees(a, b)
        for _ in range(10):
            status, headers, _ = self.sign_in(0, a, b)
            self.assertEqual((status, headers['Postern-Connector']), (200, b.id))
        self.assertEqual(len(second.got), 10)
        self.assertEqual(len(first.got), len(set(first.got)))
        first.answer = second.answer = 'no_dc'
        status, _, body = self.sign_in(0, a, b)
        self.assertEqual((status, body['reasons'], body['started']), (503, ['no_dc'], 'no'), body)
        first.answer = second.answer = 'bad_request'
        before = len(first.got) + len(second.got)
        status, _, body = self.sign_in(0, a, b)
        self.assertEqual((status, len(first.got) + len(second.got) - before), (400, 1), body)

    def test_duplicates_are_known_by_each_node(self):
        a, _ = self.connectors
        far, id = self.site.work(0, 1), new_id()
        self.nodes[0].sees(a)
        self.assertEqual(self.sign_in(0, a, id=id)[0], 200)
        self.assertEqual(self.sign_in(0, a, id=id)[0], 409)
        self.assertEqual(len(far.got), 1)

    def test_an_id_that_is_under_way_at_another_node(self):
        """A DC may have been asked about it, so no second connector is: that would cost the user a second count."""
        a, b = self.connectors
        far, id = a.at(self.nodes[1]), new_id()
        far.go()
        other = self.site.work(1, 1)
        self.nodes[0].sees(a, b)
        answers = []
        first = threading.Thread(target=lambda: answers.append(self.sign_in(1, a, id=id)))
        first.start()
        try:
            self.assertEqual(far.next('request')['id'], id)
            status, _, body = self.sign_in(0, a, id=id)
            self.assertEqual((status, body['type'].rsplit(':')[-1], body['started']), (502, 'connector-lost', 'unknown'), body)
            status, _, body = self.sign_in(0, a, b, id=id)
            self.assertEqual(status, 409, body)
            self.assertEqual(other.got, [])
        finally:
            far.hang_up()
            first.join()
        self.assertNotEqual(answers[0][0], 200)

    def test_who_hangs_up_is_told_to_the_connector(self):
        a, _ = self.connectors
        far = a.at(self.nodes[1])
        far.go()
        self.nodes[0].sees(a)
        with self.nodes[0].connect() as service:
            body, id = self.nodes[0].seal(a), new_id()
            service.sendall((f'POST {self.nodes[0].tenant_path("sign-ins")} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {self.nodes[0].service}\r\n'
                             f'Content-Type: application/postern-request\r\nPostern-Id: {id}\r\nContent-Length: {len(body)}\r\n\r\n{body}').encode())
            self.assertEqual(far.next('request')['id'], id)
        self.assertEqual(far.next('cancel'), {'id': id})
        far.hang_up()

    def test_the_budget_goes_along_and_the_body_is_the_same(self):
        a, _ = self.connectors
        far = a.at(self.nodes[1])
        far.go()
        self.nodes[0].sees(a)
        body = self.nodes[0].seal(a)
        trace = '00-' + 'a' * 32 + '-' + 'b' * 16 + '-01'
        later = self.nodes[0].sign_in_later(body, budget=5000, traceparent=trace)
        request = far.next('request')
        self.assertEqual((request['sealed'], request['trace']), (body, trace))
        self.assertTrue(3000 < request['budget'] <= 4900, request['budget'])
        far.report([{'id': request['id'], 'is': 'received'}])
        row = wait_for('it is received', lambda: self.row(request['id'], 'received'))
        self.assertEqual(row['connector'], a.id)
        far.report([{'id': request['id'], 'is': 'verdict', 'jwe': VERDICT}])
        self.assertEqual(later.result()[0], 200)
        far.hang_up()

    def row(self, id, state):
        status, _, body = self.nodes[0].request('GET', self.nodes[0].tenant_path(f'sign-ins/{id}'), headers=self.nodes[0].as_service())
        return body if status == 200 and body['state'] == state else None

    def test_status_names_the_nodes(self):
        a, b = self.connectors
        self.site.work(0, 1)
        self.nodes[0].sees(a)
        _, _, body = self.nodes[0].request('GET', self.nodes[0].tenant_path('status'), headers=self.nodes[0].as_admin())
        self.assertEqual((body['node'], body['nodes'], body['nodes_fault']), ('n1', ['n2'], None))
        entry = next(e for e in body['connectors'] if e['id'] == a.id)
        self.assertEqual((entry['linked'], entry['ready'], entry['nodes'], entry['realms']), (True, True, ['n2'], ['corp.example']))
        other = next(e for e in body['connectors'] if e['id'] == b.id)
        self.assertEqual((other['linked'], other['ready'], other['nodes']), (False, False, []))

    def test_a_node_that_goes_down_takes_nothing_with_it(self):
        a, b = self.connectors
        self.site.work(0, 1), self.site.work(1, 0)
        self.nodes[0].sees(a, b)
        self.nodes[1].stop()
        self.nodes[0].sees(b)
        self.assertEqual(self.sign_in(0, b)[0], 200)
        wait_for('it is alone', lambda: 'node_gone node=n2 why="it went down"' in self.nodes[0].log_text())
        self.nodes[1].start()
        self.nodes[0].knows(1)
        self.site.work(0, 1)
        self.nodes[0].sees(a, b)
        self.assertEqual(self.sign_in(0, a)[0], 200)


class Bus(Case):
    def bus_of(self, node):
        """The process that has libnats."""
        parent = self.nodes[node].process.pid
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{pid}/stat', encoding='utf-8') as stat, open(f'/proc/{pid}/cmdline', encoding='utf-8') as words:
                    if int(stat.read().rsplit(')', 1)[1].split()[1]) == parent and '--role=bus' in words.read():
                        return int(pid)
            except OSError:
                continue
        return None

    def test_it_is_started_again(self):
        a, _ = self.connectors
        far = self.site.work(0, 1)
        self.nodes[0].sees(a)
        for node in (0, 1):
            old = self.bus_of(node)
            os.kill(old, signal.SIGKILL)
            wait_for('a new bus process', lambda node=node, old=old: self.bus_of(node) not in (None, old))
            for other in self.nodes:
                other.knows(1)
            self.nodes[0].sees(a)
            # what is for the other node waits for a moment while there is no bus; on a busy machine a start takes longer
            wait_for('a sign-in', lambda: self.sign_in(0, a, budget=8000)[0] == 200)
        self.assertEqual(len(far.got), 2)

    def test_it_may_do_nothing_else(self):
        with open(f'/proc/{self.bus_of(0)}/status', encoding='ascii') as f:
            status = dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)
        self.assertEqual(status['NoNewPrivs'], '1')
        with open(relay_site.RELAY, 'rb') as f:
            sanitized = b'__asan_init' in f.read()
        if not sanitized:  # which make system calls of their own
            self.assertEqual(status['Seccomp'], '2')

    def is_let_in(self, server):
        try:
            Nats(self.site.cluster, server=server).close()
        except (OSError, EOFError, AssertionError):
            return False
        return True

    def test_a_new_login_while_sign_ins_go_on(self):
        a, _ = self.connectors
        far, cluster = self.site.work(0, 1), self.site.cluster
        self.nodes[0].sees(a)
        ended, over = [], threading.Event()

        def steady():
            while not over.is_set():
                ended.append(self.sign_in(0, a, budget=8000)[0])
        threads = [threading.Thread(target=steady) for _ in range(4)]
        for t in threads:
            t.start()
        self.addCleanup(over.set)
        wait_for('it has begun', lambda: len(ended) > 8)
        old, (cluster.seed, nkey) = cluster.nkey, lab_nats.new_nkey()
        subjects = '{ allow: ["postern.>", "_INBOX_dispatch.>"] }'
        # both are let in: the operator's first step
        cluster.reload(nkey=f'{old}, permissions {{ publish {subjects}, subscribe {subjects} }} }}, {{ nkey: {nkey}')
        cluster.nkey = nkey
        for i in range(3):
            wait_for('the server lets the new one in', lambda i=i: self.is_let_in(i))
        lab_system.write(cluster.path('dispatch.login'), cluster.seed + '\n')
        for node in self.nodes:
            node.process.send_signal(signal.SIGHUP)
        for node in self.nodes:
            wait_for('it has joined anew', lambda node=node: 'bus_reloaded' in node.log_text())
        cluster.reload(nkey=nkey)  # the old one is no more
        n = len(ended)
        wait_for('sign-ins go on', lambda: len(ended) > n + 20)
        over.set()
        for t in threads:
            t.join()
        self.assertEqual(set(ended), {200}, ended)
        self.assertEqual(len(far.got), len(ended))
        for node in self.nodes:
            self.assertEqual(node.log_text().count('link_up'), int(node is self.nodes[1]))


class Clones(Case):
    def test_two_statements_of_one_number_at_two_nodes(self):
        a, b = self.connectors
        here, there = a.at(self.nodes[0]), a.twin(a.boot)
        there.relay = self.nodes[1]
        self.site.work(1, 0)
        here.go()
        self.nodes[1].sees(a, b)
        there.open_stream()
        status, _, body = there.report(credit=4, statement=there.statement())  # of the same boot and number
        self.assertEqual(status, 200, body)
        for node in self.nodes:
            node.sees(b)
        for node in self.nodes:
            _, _, events = node.request('GET', node.tenant_path('events'), headers=node.as_admin())
            self.assertIn('connector_runs_twice', [e['event'] for e in events])
        self.assertEqual(self.sign_in(0, a)[0], 503)
        here.hang_up()
        there.hang_up()


class Rates(Case):
    SETTINGS = {'sign_ins_per_second': 1, 'sign_in_burst': 8}

    def test_a_secret_has_its_rate_once(self):
        a, _ = self.connectors
        self.site.work(0, 0)
        self.nodes[1].sees(a)
        for node in (0, 1):
            ended = [self.sign_in(node, a)[0] for _ in range(8)]
            self.assertEqual(ended[:4], [200] * 4)
            self.assertIn(429, ended)


class Faults(Case):
    NODES, CONNECTORS = 3, 3

    def lost(self, later, started='unknown'):
        status, _, body = later.result()
        self.assertEqual((status, body.get('started')), (502, started), body)
        return body

    def test_a_node_that_is_killed(self):
        a, b, c = self.connectors
        held = self.site.work(0, 1, answer='received')
        self.site.work(1, 0)
        self.nodes[0].sees(a, b)
        waiting = [self.nodes[0].sign_in_later(self.nodes[0].seal(a, b), budget=15000) for _ in range(1)]
        self.assertEqual(len([w for w in waiting]), 1)
        far = []
        while len(far) < 5:  # on a busy machine an offer may find nobody in time
            later, n = self.nodes[0].sign_in_later(self.nodes[0].seal(a), budget=15000), len(held.got)
            wait_for('it is there, or refused', lambda later=later, n=n: len(held.got) > n or not later.is_alive())
            far += [later] if len(held.got) > n else []
        self.nodes[1].stop(signal.SIGKILL)
        began = time.monotonic()
        for later in far:
            self.assertTrue(self.lost(later)['type'].endswith('connector-lost'))
        print(f'  a node was killed: what it had in hand was told {1000 * (time.monotonic() - began):.0f} ms later')
        self.assertEqual(waiting[0].result()[0], 200)
        self.nodes[0].sees(b)
        self.assertEqual(len(held.got), len(set(held.got)))
        self.nodes[1].start()
        self.nodes[0].knows(2)

    def in_hand_at(self, connector, node, other):
        """A sign-in at node 0 that the connector has from one node, linked at another as well: its links there, its id, its call."""
        far, more = connector.at(self.nodes[node]), connector.at(self.nodes[other])
        far.go()
        more.open_stream()
        self.assertEqual(more.report(ready=False)[0], 200)
        self.nodes[0].sees(connector)
        id = new_id()
        later = self.nodes[0].sign_in_later(self.nodes[0].seal(connector), id=id, budget=15000)
        self.assertEqual(far.next('request')['id'], id)
        return far, more, id, later

    def test_an_answer_whose_node_was_killed(self):
        """It comes up by the connector's link at another node, or at the one that waits; the caller has it, once."""
        for connector, other, wait in ((self.connectors[0], 2, True), (self.connectors[1], 0, True), (self.connectors[2], 2, False)):
            with self.subTest(other=other, wait=wait):
                before = self.nodes[0].log_text().count('node_gone')
                far, more, id, later = self.in_hand_at(connector, 1, other)
                self.nodes[1].stop(signal.SIGKILL)
                if wait:
                    wait_for('it is gone', lambda before=before: self.nodes[0].log_text().count('node_gone') > before)
                verdict = [{'id': id, 'is': 'verdict', 'jwe': VERDICT}]
                self.assertEqual(more.report(verdict)[0], 200)
                status, headers, body = later.result()
                self.assertEqual((status, body, headers['Postern-Connector']), (200, VERDICT.encode(), connector.id))
                wait_for('it is confirmed', lambda more=more, verdict=verdict, id=id: id in more.report(verdict)[2]['confirmed'])
                for c in (far, more):
                    c.hang_up()
                self.nodes[1].start()
                for node in self.nodes:
                    node.knows(2)

    def test_an_answer_while_its_node_has_no_nats(self):
        """The node that has it alone is cut off, not gone: what it is given meanwhile comes through once it is back."""
        a = self.connectors[0]
        far, more, id, later = self.in_hand_at(a, 1, 0)
        self.site.cluster.kill(0, 1, 2)
        for node in self.nodes:
            node.knows(0)
        far.report([{'id': id, 'is': 'received'}, {'id': id, 'is': 'verdict', 'jwe': VERDICT}])
        self.site.cluster.start()
        status, _, body = later.result()
        self.assertEqual((status, body), (200, VERDICT.encode()), body)
        more.hang_up()
        far.hang_up()

    def test_no_nats(self):
        a, b, c = self.connectors
        self.site.work(0, 0), self.site.work(1, 1)
        for node in self.nodes:
            node.sees(a, b)
        self.site.cluster.kill(0, 1, 2)
        for node in range(2):
            self.nodes[node].knows(0)
            self.nodes[node].sees(self.connectors[node])
            self.assertEqual(self.sign_in(node, self.connectors[node])[0], 200)
            _, _, body = self.nodes[node].request('GET', self.nodes[node].tenant_path('status'), headers=self.nodes[node].as_admin())
            self.assertTrue(body['nodes_fault'], body)
        self.assertEqual(self.sign_in(0, b)[0], 503)
        self.site.cluster.start()
        for node in self.nodes:
            node.knows(2)
            node.sees(a, b)
        self.assertEqual(self.sign_in(0, b)[0], 200)
        self.assertEqual(self.sign_in(2, a)[0], 200)

    def test_a_nats_server_is_killed_under_load(self):
        a, b, c = self.connectors
        workers = [self.site.work(0, 0), self.site.work(1, 1), self.site.work(2, 2)]
        for node in self.nodes:
            node.sees(a, b, c)
        sent, ended = [], []

        def steady(node, n):
            for _ in range(n):
                id = new_id()
                sent.append(id)
                ended.append((id, self.sign_in(node, self.connectors[(node + 1) % 3], id=id, budget=8000)))
        threads = [threading.Thread(target=steady, args=(node, 40)) for node in (0, 1, 2)]
        for t in threads:
            t.start()
        wait_for('it has begun', lambda: len(ended) > 10)
        self.site.cluster.kill(1)
        wait_for('it goes on', lambda: len(ended) > 60)
        self.site.cluster.start(1)
        for t in threads:
            t.join()
        got = [id for w in workers for id in w.got]
        answers = [r[0] for _, r in ended]
        lost = [(id, r[2]) for id, r in ended if r[0] != 200]
        print(f'  {len(ended)} sign-ins over a hop, a NATS server killed: {len(lost)} not answered by a verdict {[(b["type"].rsplit(":")[-1], b["started"]) for _, b in lost]}')
        self.assertEqual(len(got), len(set(got)), 'a sign-in was handed out twice')
        self.assertEqual(answers.count(200) + len(lost), 120)
        for id, body in lost:  # whoever is told that nobody began is right
            self.assertTrue(body['started'] == 'unknown' or id not in got, body)

    def test_a_verdict_that_comes_up_elsewhere(self):
        a = self.connectors[0]
        there, elsewhere = a.at(self.nodes[1]), a.twin(a.boot)
        there.go()
        elsewhere.relay = self.nodes[2]
        elsewhere.open_stream()
        elsewhere.report(ready=False)
        self.nodes[0].sees(a)
        later = self.nodes[0].sign_in_later(self.nodes[0].seal(a), budget=10000)
        id = there.next('request')['id']
        verdict = [{'id': id, 'is': 'verdict', 'jwe': VERDICT}]
        _, _, said = elsewhere.report(verdict, ready=False)
        self.assertEqual((said['confirmed'], said['late']), ([], []))
        self.assertEqual(later.result()[0], 200)
        wait_for('it is confirmed', lambda: elsewhere.report(verdict, ready=False)[2]['confirmed'] == [id])
        other = [{'id': new_id(), 'is': 'verdict', 'jwe': VERDICT}]
        elsewhere.report(other, ready=False)
        wait_for('nobody waits', lambda: elsewhere.report(other, ready=False)[2]['late'] == [other[0]['id']])
        many = [{'id': new_id(), 'is': 'verdict', 'jwe': VERDICT} for _ in range(1200)]
        late = [id for half in (many[:600], many[600:]) for id in elsewhere.report(half, ready=False)[2]['late']]
        self.assertGreaterEqual(len(late), 170)  # one tenant's connector leaves room for others'
        there.hang_up()
        elsewhere.hang_up()

    def test_a_verdict_that_comes_late_is_no_other_nodes(self):
        a = self.connectors[0]
        here = a.at(self.nodes[0])
        here.go()
        self.nodes[0].sees(a)
        later = self.nodes[0].sign_in_later(self.nodes[0].seal(a), budget=400)
        id = here.next('request')['id']
        self.assertEqual(later.result()[0], 504)
        self.assertEqual(here.report([{'id': id, 'is': 'verdict', 'jwe': VERDICT}])[2]['late'], [id])
        here.hang_up()

    def test_a_node_that_stands_still(self):
        a, b, c = self.connectors
        held = self.site.work(0, 1, answer='received')
        near = self.site.work(1, 2)
        self.nodes[0].sees(a, b)
        far = self.nodes[0].sign_in_later(self.nodes[0].seal(a), budget=15000)
        wait_for('it is there', lambda: len(held.got) == 1)
        self.nodes[1].process.send_signal(signal.SIGSTOP)
        try:
            # the offer is not claimed: another recipient gets it, and whoever stands still never will
            status, headers, _ = self.sign_in(0, a, b, budget=8000)
            self.assertEqual((status, headers['Postern-Connector']), (200, b.id))
            self.lost(far)
            self.nodes[0].sees(b)
        finally:
            self.nodes[1].process.send_signal(signal.SIGCONT)
        self.nodes[0].knows(2)
        wait_for('both are back', lambda: self.sign_in(0, b)[0] == 200)
        self.assertEqual(len(held.got), 1)
        self.assertEqual(len(near.got), len(set(near.got)))

class Nats:
    """Somebody with a login: enough of a client of NATS, by hand."""

    def __init__(self, cluster, account='dispatch', server=0):
        self.cluster, port = cluster, cluster.ports[server][0]
        raw = socket.create_connection((cluster.address, port), 20)
        self.s = raw
        hello = self.line(raw)
        context = ssl.create_default_context(cafile=cluster.path('certs', 'ca.pem'))
        context.check_hostname = False
        self.s = context.wrap_socket(raw)
        self.buffer, self.said = b'', []
        nonce = json.loads(hello.split(b' ', 1)[1])['nonce'].encode()
        options = {'verbose': False, 'pedantic': True, 'tls_required': True, 'lang': 'x', 'version': '1', 'headers': True, 'no_responders': True}
        if account == 'dispatch':
            options.update(nkey=cluster.nkey, sig=self.sign(cluster.seed, nonce))
        else:
            options.update({'user': account, 'pass': cluster.password})
        self.s.sendall(b'CONNECT ' + json.dumps(options).encode() + b'\r\nPING\r\n')
        try:
            self.until(b'PONG')
        except (OSError, EOFError):  # it is not let in
            self.close()
            raise

    @staticmethod
    def line(raw):
        data = b''
        while not data.endswith(b'\r\n'):
            data += raw.recv(1)
        return data

    @staticmethod
    def sign(seed, nonce):
        key = base64.b32decode(seed + '=' * (-len(seed) % 8))[2:34]
        der = bytes.fromhex('302e020100300506032b657004220420') + key
        with tempfile.NamedTemporaryFile() as k, tempfile.NamedTemporaryFile() as n:
            k.write(der), n.write(nonce), k.flush(), n.flush()
            made = subprocess.run(['openssl', 'pkeyutl', '-sign', '-rawin', '-in', n.name, '-inkey', k.name, '-keyform', 'DER'],
                                  check=True, stdout=subprocess.PIPE).stdout
        return base64.urlsafe_b64encode(made).decode().rstrip('=')

    def until(self, mark, seconds=20):
        """What came up to a line that begins with mark; messages go to self.said: (subject, bytes)."""
        self.s.settimeout(seconds)
        while True:
            while b'\r\n' not in self.buffer:
                self.more()
            line, self.buffer = self.buffer.split(b'\r\n', 1)
            words = line.split(b' ')
            if words[0] in (b'MSG', b'HMSG'):
                n = int(words[-1])
                while len(self.buffer) < n + 2:
                    self.more()
                self.said.append((words[1].decode(), self.buffer[:n]))
                self.buffer = self.buffer[n + 2:]
            if line.startswith(mark):
                return line.decode()

    def more(self):
        data = self.s.recv(65536)
        if not data:
            raise EOFError(self.buffer)
        self.buffer += data

    def subscribe(self, subject):
        self.s.sendall(f'SUB {subject} 1\r\nPING\r\n'.encode())
        return self.until(b'PONG')

    def publish(self, subject, data, reply=''):
        self.s.sendall(f'PUB {subject} {reply} {len(data)}\r\n'.encode() + data + b'\r\n')

    def flush(self):
        self.s.sendall(b'PING\r\n')
        self.until(b'PONG')

    def close(self):
        self.s.close()


def relay_later(call):
    """The call on a thread of its own; result() waits for what it gave."""
    class Later(threading.Thread):
        def run(self):
            self.answer = call()

        def result(self):
            self.join(60)
            return self.answer
    later = Later()
    later.start()
    return later


TYPES = {'HEARTBEAT': 1, 'BYE': 2, 'LINK': 3, 'GONE': 4, 'SYNC': 8, 'OFFER': 10, 'CLAIM': 11, 'GRANT': 12, 'REFUSED': 13, 'VERDICT': 15, 'CANCEL': 17, 'QUESTION': 20, 'ANSWER': 21}
TAGS = {'RUN': 1, 'NAME': 2, 'SEQ': 3, 'TENANT': 4, 'CONNECTOR': 5, 'BOOT': 6, 'AGE': 7, 'READY': 8, 'REALMS': 9, 'REF': 15, 'ID': 16, 'BUDGET': 17,
        'SEALED': 18, 'WHY': 20, 'JWE': 21, 'TOTAL': 23}


class Node:
    """A node that does what a test wants, and nothing else."""

    def __init__(self, site):
        self.nats, self.run, self.site = Nats(site.cluster), relay_site.b64u(os.urandom(16)), site
        self.nats.subscribe(f'postern.1.to.{self.run}')
        self.hello()

    def message(self, kind, **fields):
        data = bytes([TYPES[kind]])
        for tag, value in {'RUN': self.run, **fields}.items():
            value = struct.pack('<Q', value) if isinstance(value, int) else value.encode()
            data += bytes([TAGS[tag]]) + struct.pack('<H', len(value)) + value
        return data

    def publish(self, kind, **fields):
        self.nats.publish('postern.1.all', self.message(kind, **fields))
        self.nats.flush()

    def hello(self):
        self.publish('HEARTBEAT', NAME='stranger', SEQ=0)

    def run_of(self, node):
        """The name of the real node, from its log."""
        text = self.site.nodes[1 - node].log_text()
        return text[text.index(f'node_up node=n{node + 1} run='):].split('run=', 1)[1].split()[0]

    def tell(self, node, kind, **fields):
        self.nats.publish(f'postern.1.to.{self.run_of(node)}', self.message(kind, **fields))

    def hear(self, kind):
        """The fields of the next message of this kind."""
        while True:
            while self.nats.said:
                _, data = self.nats.said.pop(0)
                if data[0] != TYPES[kind]:
                    continue
                fields, at = {}, 1
                while at < len(data):
                    n = struct.unpack_from('<H', data, at + 1)[0]
                    fields[next((k for k, v in TAGS.items() if v == data[at]), data[at])] = data[at + 3:at + 3 + n]
                    at += 3 + n
                return fields
            self.nats.until(b'MSG')


class Questions(Case):
    """What people ask of connectors that are linked at another node."""
    NODES, CONNECTORS = 3, 2

    def setUp(self):
        super().setUp()
        self.secrets = [node.cli('secret', node.tenant, 'helpdesk').strip() for node in self.nodes]
        self.far = self.connectors[0].at(self.nodes[1])
        self.far.go()
        for node in self.nodes:
            node.sees(self.connectors[0])

    def ask(self, node, id, connector=None, budget=8000):
        headers = {'Authorization': 'Bearer ' + self.secrets[node], 'Content-Type': 'application/postern-request', 'Postern-Id': id,
                   'Postern-Budget': str(budget)}
        text = self.nodes[node].seal(connector or self.connectors[0])
        return self.nodes[node].request('POST', self.nodes[node].tenant_path('questions'), text, headers)

    def later(self, node, **more):
        id = new_id()
        return id, relay_later(lambda: self.ask(node, id, **more))

    def answer(self, id, body, type='application/jose'):
        return self.far.call('POST', f'/v1/link/answers/{self.far.session}/{id}', body, {'Content-Type': type})[0]

    def problem(self, answer):
        return answer[0], answer[2]['type'].rsplit(':')[-1], answer[2].get('reasons')

    def test_there_and_back(self):
        for node, body in ((0, VERDICT), (2, 'a' * 90000 + '..b'), (1, VERDICT)):
            id, later = self.later(node)
            asked = self.far.next('question')
            self.assertEqual(asked['id'], id)
            self.assertTrue(6000 < asked['budget'] <= 8000, asked['budget'])
            self.assertEqual(self.problem(self.ask(node, id))[:2], (409, 'duplicate-id'))
            self.assertEqual(self.answer(id, body.encode()), 204)
            status, headers, said = later.result()
            self.assertEqual((status, said, headers['Postern-Connector'], headers['Postern-Id']), (200, body.encode(), self.far.id, id))
            self.assertEqual(self.answer(id, body.encode()), 404)
        later = self.nodes[0].sign_in_later(self.nodes[0].seal(self.connectors[0]))
        id = self.far.next('request')['id']
        self.far.report([{'id': id, 'is': 'verdict', 'jwe': VERDICT}])
        self.assertEqual(later.result()[0], 200)
        self.far.hang_up()

    def test_why_there_is_none(self):
        for why, wanted in (('stale_key', (422, 'stale-keys')), ('full', (503, 'not-ready')), ('replay', (400, 'malformed'))):
            id, later = self.later(0)
            self.far.next('question')
            self.assertEqual(self.answer(id, f'{{"declined":"{why}"}}', 'application/json'), 204)
            self.assertEqual(self.problem(later.result()), (*wanted, [why]))
        _, later = self.later(0, budget=700)
        self.far.next('question')
        self.assertEqual(self.problem(later.result())[:2], (504, 'deadline'))
        laters = [self.later(0)[1] for _ in range(9)]  # eight are under way at a connector, by whatever node
        for _ in range(8):
            self.far.next('question')
        wait_for('the ninth is refused', lambda: not all(later.is_alive() for later in laters))
        self.far.hang_up()
        self.assertEqual(sorted(self.problem(later.result())[:2] for later in laters), [(502, 'connector-lost')] * 8 + [(503, 'busy')])
        wait_for('it is linked nowhere', lambda: self.problem(self.ask(0, new_id()))[1] in ('no-connector', 'stale-keys'))

    def test_the_node_is_killed(self):
        _, later = self.later(0)
        self.far.next('question')
        self.nodes[1].stop(signal.SIGKILL)
        self.assertEqual(self.problem(later.result())[:2], (502, 'connector-lost'))
        self.nodes[1].start()

    def test_a_node_that_takes_none(self):
        """One of an older version, say: whoever asks is told to ask another node, long before the budget ends."""
        node = Node(self.site)
        node.publish('LINK', SEQ=1, TENANT='acme', CONNECTOR=self.far.id, BOOT=self.far.boot, AGE=5, READY=1, REALMS='corp.example')
        self.far.hang_up()
        wait_for('it is linked at the stranger alone', lambda: self.nodes_of(0, self.far) == ['stranger'])
        began = time.monotonic()
        _, later = self.later(0, budget=15000)
        asked = node.hear('QUESTION')
        self.assertEqual(asked['CONNECTOR'], self.far.id.encode())
        for ref in (asked['REF'], struct.pack('<Q', 12345)):  # an answer in no form, or to nothing that was asked
            node.tell(0, 'ANSWER', REF=struct.unpack('<Q', ref)[0], JWE='a"b', TOTAL=3)
        self.assertIn(self.problem(later.result())[1], ('connector-lost',))
        _, later = self.later(0, budget=15000)
        self.assertEqual(self.problem(later.result())[:2], (503, 'no-connector'))
        self.assertLess(time.monotonic() - began, 12)
        node.nats.close()

    def nodes_of(self, node, connector):
        status = self.nodes[node].request('GET', self.nodes[node].tenant_path('status'), headers=self.nodes[node].as_admin())[2]
        return next(x['nodes'] for x in status['connectors'] if x['id'] == connector.id)


class Strangers(Case):
    def test_a_grant_comes_in_time_or_not_at_all(self):
        a, _ = self.connectors
        there, node = self.site.work(0, 0), Node(self.site)
        self.nodes[1].sees(a)
        body = self.nodes[0].seal(a)
        for late in (False, True):
            ref = 7 + late
            node.tell(0, 'OFFER', REF=ref, TENANT='acme', CONNECTOR=a.id)
            self.assertEqual(node.hear('CLAIM')['REF'], struct.pack('<Q', ref))
            if late:
                time.sleep(0.3)  # longer than a claim holds, by whatever clock
            node.tell(0, 'GRANT', REF=ref, ID=new_id(), BUDGET=5000, SEALED=body)
            if late:
                self.assertEqual(node.hear('REFUSED')['WHY'], b'late')
            else:
                self.assertEqual(node.hear('VERDICT')['JWE'], VERDICT.encode())
        self.assertEqual(len(there.got), 1)
        # nobody claimed, another body than it must be, a line's end where none is, too long a budget
        for fields in ({'SEALED': body}, {'SEALED': 'x'}, {'SEALED': body.replace('.', '\n', 1)}, {'SEALED': body, 'BUDGET': 1 << 40}):
            ref += 1
            if fields != {'SEALED': body}:
                node.tell(0, 'OFFER', REF=ref, TENANT='acme', CONNECTOR=a.id)
                node.hear('CLAIM')
            node.tell(0, 'GRANT', REF=ref, **{'ID': new_id(), 'BUDGET': 5000, **fields})
            self.assertIn(node.hear('REFUSED')['WHY'], (b'late', b'bad_request'))
        self.assertEqual(len(there.got), 1)
        node.nats.close()

    def test_a_node_that_claims_and_never_answers(self):
        a, b = self.connectors
        self.site.work(1, 0)
        node = Node(self.site)
        node.nats.publish('postern.1.all', node.message('LINK', SEQ=1, TENANT='acme', CONNECTOR=a.id, BOOT=a.boot, AGE=5, READY=1, REALMS='corp.example'))
        later = None
        # it says that a is linked there; no statement of a verified, so services hear nothing of it
        self.nodes[0].sees(b)
        real = a.at(self.nodes[1])
        real.go()
        self.nodes[0].sees(a, b)
        real.hang_up()
        self.nodes[0].sees(a, b)
        later = self.nodes[0].sign_in_later(self.nodes[0].seal(a, b), budget=8000)
        self.assertEqual(later.result()[1]['Postern-Connector'], b.id)  # links of this node first
        later = self.nodes[0].sign_in_later(self.nodes[0].seal(a), budget=4000)
        offer = node.hear('OFFER')
        self.assertNotIn('SEALED', offer)
        node.tell(0, 'CLAIM', REF=struct.unpack('<Q', offer['REF'])[0])
        grant = node.hear('GRANT')
        self.assertEqual(len(grant['SEALED']) > 500, True)
        node.hello()
        status, _, body = later.result()
        self.assertEqual((status in (502, 504), body['started']), (True, 'unknown'), body)
        node.nats.close()

    def is_linked(self, connector):
        status = self.nodes[0].request('GET', self.nodes[0].tenant_path('status'), headers=self.nodes[0].as_admin())[2]
        return next(x['linked'] for x in status['connectors'] if x['id'] == connector.id)

    def test_starts_that_are_over_take_no_place(self):
        """A connector that starts again and again while its sign-ins are called off is found at its next start."""
        a, _ = self.connectors
        real = a.at(self.nodes[1])
        real.go()
        self.nodes[0].sees(a)
        real.hang_up()
        node = Node(self.site)
        wait_for('it is linked nowhere', lambda: not self.is_linked(a))
        for start in range(6):
            link = {'TENANT': 'acme', 'CONNECTOR': a.id, 'BOOT': relay_site.b64u(os.urandom(16))}
            node.publish('LINK', SEQ=2 * start + 1, AGE=5, READY=1, REALMS='corp.example', **link)
            wait_for('it is linked', lambda: self.is_linked(a))
            with self.nodes[0].connect() as service:
                body = self.nodes[0].seal(a)
                service.sendall((f'POST {self.nodes[0].tenant_path("sign-ins")} HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {self.nodes[0].service}\r\n'
                                 f'Content-Type: application/postern-request\r\nPostern-Id: {new_id()}\r\nContent-Length: {len(body)}\r\n\r\n{body}').encode())
                node.tell(0, 'CLAIM', REF=struct.unpack('<Q', node.hear('OFFER')['REF'])[0])
                node.hear('GRANT')
                node.publish('GONE', SEQ=2 * start + 2, **link)
                wait_for('it is gone', lambda: not self.is_linked(a))
            node.hear('CANCEL')
            node.hello()
        node.nats.close()

    def test_who_goes_says_so_behind_its_answers(self):
        """By the way of the answers, which nothing that goes to all is bound to follow."""
        node = Node(self.site)
        self.nodes[0].stop()
        node.hear('BYE')
        node.nats.close()
        self.nodes[0].start()

    def test_one_nodes_word_bars_no_whole_tenant(self):
        """A node says of both connectors that a later start of them is there, while both go on here: one gets into quarantine."""
        a, b = self.connectors
        for i in range(2):
            self.site.work(i, 0)
        self.nodes[0].sees(a, b)
        node = Node(self.site)
        for i, c in enumerate((a, b)):
            node.publish('LINK', SEQ=i + 1, TENANT='acme', CONNECTOR=c.id, BOOT=relay_site.b64u(os.urandom(16)), AGE=0, READY=1, REALMS='corp.example')

        def said(what):
            node.hello()
            return what in self.nodes[0].log_text()
        wait_for('one is in quarantine', lambda: said('event=connector_runs_twice'))
        wait_for('it is not believed of the other', lambda: said('node_not_believed node=stranger tenant=acme'))
        self.assertEqual(len(self.nodes[0].ready()), 1)
        events = self.nodes[0].request('GET', self.nodes[0].tenant_path('events'), headers=self.nodes[0].as_admin())[2]
        self.assertEqual([('as node stranger of the relay says' in e['text']) for e in events if e['event'] == 'connector_runs_twice'], [True])
        node.nats.close()

    def test_no_sense_hurts_nobody(self):
        a, _ = self.connectors
        self.site.work(0, 1)
        self.nodes[0].sees(a)
        nats = Nats(self.site.cluster)
        for _ in range(300):
            nats.publish('postern.1.all', os.urandom(random.randrange(1, 3000)))
        nats.publish('postern.1.all', b'\x01' * 100000)
        for i in range(40):  # more nodes than there can be
            run = relay_site.b64u(os.urandom(16)).encode()
            nats.publish('postern.1.all', b'\x09\x01' + struct.pack('<H', 22) + run)
        nats.flush()
        wait_for('it was seen', lambda: 'node_message_refused' in self.nodes[0].log_text())
        for _ in range(5):
            self.assertEqual(self.sign_in(0, a)[0], 200)
        nats.close()

    def test_nothing_of_a_sign_in_is_kept(self):
        a, _ = self.connectors
        nats = Nats(self.site.cluster)
        nats.subscribe('_INBOX_dispatch.mine')
        stream = json.dumps({'name': 'all', 'subjects': ['postern.>'], 'storage': 'file', 'num_replicas': 1}).encode()
        nats.publish('$JS.API.STREAM.CREATE.all', stream, '_INBOX_dispatch.mine')
        self.assertIn('Permissions Violation', nats.until(b'-ERR'))
        nats.close()
        store = Nats(self.site.cluster, account='store')
        store.publish('$JS.API.STREAM.CREATE.all', stream, '_INBOX_store.mine')
        self.assertIn('Permissions Violation', store.until(b'-ERR'))
        store.close()
        far = self.site.work(0, 1)
        self.nodes[0].sees(a)
        body, id = self.nodes[0].seal(a), new_id()
        self.assertEqual(self.nodes[0].sign_in(body, id=id)[0], 200)
        self.assertEqual(far.got, [id])
        for needle in (id, body[100:200], VERDICT, 'postern.1.to'):
            self.assertEqual(self.site.cluster.find(needle.encode()), [])
        self.assertTrue(self.site.cluster.find(b'Listening for client connections'))  # it does look


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = (os.path.abspath(a) for a in sys.argv[1:3])
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)
