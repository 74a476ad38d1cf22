#!/usr/bin/python3
"""Two relay nodes whose store is on three real NATS servers. Usage: test_nats.py RELAY FORGE [unittest words]"""
import base64
import hashlib
import json
import os
import pwd
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(HERE, '..', '..', 'lab'))
import lab_nats  # noqa: E402
import relay_site  # noqa: E402
from relay_site import Connector, Relay, b64u, new_id, wait_for  # noqa: E402
from test_nodes import Nats  # noqa: E402

VERDICT = 'aaaa..bbbb.cccc.dddd'


class Node(Relay):
    """A relay on NATS; the second of a pair takes CA, tenant and secrets from the first."""

    def __init__(self, cluster, name, first, metrics):
        self.first, self.metrics = first, metrics
        super().__init__(node=name, store='nats', metrics_socket=metrics, tail=cluster.conf())

    def begin(self):
        if not self.first:
            super().begin()
            return
        for name in ('transport-ca.key', 'transport-ca.pem'):  # what one node issues the other trusts
            shutil.copy(self.first.path('state/' + name), self.path('state/' + name))
        shutil.copy(self.first.path('tenant.key'), self.path('tenant.key'))
        self.start()
        for name in ('admin', 'service', 'tenant_key', 'members', 'seq'):
            setattr(self, name, getattr(self.first, name))

    def at(self, connector):
        """The connector as one that links to this node, with what the other gave it."""
        twin = connector.twin(boot=connector.boot)
        twin.relay, twin.enc_file = self, connector.enc_file
        return twin

    def metric(self, name):
        done = subprocess.run(['curl', '-s', '--unix-socket', self.metrics, 'http://x/metrics'], stdout=subprocess.PIPE, text=True, check=True)
        return next(float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith(name + ' '))

    def writable(self):
        return self.metric('postern_relay_store_writable') == 1


class NatsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix='nats-test-')
        self.cluster = lab_nats.Cluster(self.folder.name).start()
        self.nodes, self.logs = [], []
        self.a = self.node('n1')
        self.b = self.node('n2', self.a)

    def node(self, name, first=None):
        self.nodes.append(Node(self.cluster, name, first, os.path.join(self.folder.name, name + '.sock')))
        return self.nodes[-1]

    def run(self, result=None):
        failed = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and len(result.failures) + len(result.errors) > failed:
            for node, text in self.logs:
                print(f'--- {self.id()}: the log of {node} ends:', text, sep='\n', file=sys.stderr)

    def tearDown(self):
        self.logs = [(node.dir, node.log_text()[-6000:]) for node in self.nodes]
        try:
            for node in self.nodes:
                node.close()
        finally:
            self.cluster.stop()
            self.folder.cleanup()

    def copy(self):
        """The servers' disks are copied while they are down."""
        self.cluster.kill(0, 1, 2, how=signal.SIGTERM)
        self.cluster.keep()
        self.cluster.start()
        for node in self.nodes:
            wait_for('it goes on', lambda node=node: not node.alive() or node.writable())

    def put_back(self, *nodes):
        """The copy is put back; these nodes, or all, see that."""
        self.cluster.kill(0, 1, 2, how=signal.SIGTERM)
        self.cluster.put_back()
        self.cluster.start()
        for node in nodes or self.nodes:
            wait_for('it sees that', lambda node=node: 'store_bucket_is_another' in node.log_text() and node.writable())

    def operator(self, what, data=b''):
        """What somebody who looks after the servers has them do: the answer."""
        somebody = Nats(self.cluster, account='operator')
        try:
            somebody.subscribe('_INBOX_operator.mine')
            somebody.publish(what, data, '_INBOX_operator.mine')
            somebody.until(b'MSG')
            return json.loads(somebody.said.pop()[1])
        finally:
            somebody.close()

    def document(self, key):
        """(revision, value) of a key in the bucket."""
        message = self.operator('$JS.API.STREAM.MSG.GET.KV_postern', json.dumps({'last_by_subj': '$KV.postern.' + key}).encode())['message']
        return message['seq'], json.loads(base64.b64decode(message['data']))

    @staticmethod
    def as_bearer(node, secret):
        """What the relay answers to who shows that secret."""
        return node.request('GET', node.tenant_path('status'), headers={'Authorization': 'Bearer ' + secret})[0]

    @staticmethod
    def table(node, query):
        with sqlite3.connect(node.path('state/relay.db'), timeout=20) as db:
            return db.execute(query).fetchall()

    def knows(self, node, connector):
        """Whether the node takes the connector's certificate."""
        return connector.call('PUT', '/v1/link/identity', '{}', {'Content-Type': 'application/json'})[0] not in (401, 403)


class Together(NatsTest):
    def test_what_one_node_does_the_other_knows(self):
        """Tenant, enrolment, roster, identity, quarantine's way out, events, revocation, secrets, removal."""
        c = Connector(self.a)
        at_b = self.b.at(c)
        wait_for('the other node knows the connector', lambda: at_b.announce()[0] in (200, 202))
        self.a.approve(c)
        wait_for('the roster is there', lambda: self.b.request('GET', self.b.tenant_path('keys'), headers=self.b.as_service())[0] == 200)
        at_b.go()
        self.assertEqual([x['linked'] for x in self.b.request('GET', self.b.tenant_path('status'), headers=self.b.as_admin())[2]['connectors']], [True])
        listed = json.loads(self.b.cli('connector', 'list', 'acme', '--json'))
        self.assertEqual([(x['name'], x['certificates'], x['revoked']) for x in listed], [('dc1', 1, False)])
        wait_for('its events are there', lambda: 'connector_pending' in self.b.cli('event', 'list', 'acme'))
        self.b.cli('connector', 'revoke', 'acme', 'dc1')
        wait_for('the first node drops what the second revoked', lambda: c.call('PUT', '/v1/link/identity', '{}', {'Content-Type': 'application/json'})[0] in (401, 403))
        self.assertTrue(json.loads(self.a.cli('connector', 'list', 'acme', '--json'))[0]['revoked'])
        secret = self.a.cli('secret', 'acme', 'service').strip()
        wait_for('the new secret counts', lambda: self.b.request('GET', self.b.tenant_path('status'), headers={'Authorization': 'Bearer ' + secret})[0] == 200)
        self.b.cli('tenant', 'remove', 'acme', '--yes')
        wait_for('the tenant is gone', lambda: self.a.request('GET', self.a.tenant_path('status'), headers=self.a.as_admin())[0] == 404)
        with self.assertRaises(EOFError):
            while True:
                at_b.event()
        made = json.loads(self.a.cli('tenant', 'add', 'acme', '--pin', self.a.tenant_key['pin'], '--json'))
        wait_for('the new one is there', lambda: self.b.request('GET', self.b.tenant_path('status'),
                                                                headers={'Authorization': 'Bearer ' + made['admin_secret']})[0] == 200)
        self.assertEqual(self.b.cli('connector', 'list', 'acme'), '')


    def test_a_node_that_comes_later(self):
        """A tenant's document may be the newest of all: what is stored before it counts, too."""
        c, gone = Connector(self.a), Connector(self.a, 'dc2')
        self.a.approve(c)
        used = self.a.cli('token', 'acme', 'dc3').strip()
        self.assertEqual(Connector(self.a, 'dc3', enrol=False).enrol(used)[0], 200)
        self.a.cli('connector', 'revoke', 'acme', 'dc2')
        self.a.cli('secret', 'acme', 'service')
        third = self.node('n3', self.a)
        listed = {x['name']: x['revoked'] for x in json.loads(third.cli('connector', 'list', 'acme', '--json'))}
        self.assertEqual(listed, {'dc1': False, 'dc2': True, 'dc3': False})
        self.assertTrue(self.knows(third, third.at(c)))
        self.assertFalse(self.knows(third, third.at(gone)))
        self.assertEqual(third.request('GET', third.tenant_path('keys'), headers=third.as_service())[0], 200)
        self.assertEqual(Connector(third, 'dc3', enrol=False).enrol(used)[0], 401)


    def test_two_that_write_one_tenant_at_once(self):
        """Of secrets that both nodes issue and revoke at the same moment none is lost, and none stays; a helpdesk's is one as well."""
        old, made, threads = [self.a.cli('secret', 'acme', 'service').strip() for _ in range(4)], [], []
        ids = [hashlib.sha256(secret.encode()).hexdigest()[:12] for secret in old]
        wait_for('the other node has them', lambda: all(self.as_bearer(self.b, secret) == 200 for secret in old))

        def until_done(node, *words):
            """One that finds the database locked for too long, on a busy host, says so and is tried again."""
            done = wait_for('it is done', lambda: [x for x in [node.cli(*words, check=False)] if not x.returncode or 'has this id' in x.stderr])[0]
            made.extend([done.stdout.strip()] if words[1] == 'acme' else [])
        for i in range(8):
            threads.append(threading.Thread(target=until_done, args=(self.nodes[i % 2], 'secret', 'acme', ('helpdesk', 'service')[i // 4])))
        for i, word in enumerate(ids):
            threads.append(threading.Thread(target=until_done, args=(self.nodes[i % 2], 'secret', 'revoke', 'acme', word)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wanted = {hashlib.sha256(secret.encode()).hexdigest()[:12] for secret in made}
        self.assertEqual(len(wanted), 8)
        for node in self.nodes:
            def listed(node=node):
                return {x['id']: x['kind'] for x in json.loads(node.cli('secret', 'list', 'acme', '--json'))}
            wait_for('all are there, and those that were revoked are not', lambda: wanted <= set(listed()) and not set(ids) & set(listed()))
            self.assertEqual(sorted(listed()[word] for word in wanted), ['helpdesk'] * 4 + ['service'] * 4)

    def test_what_is_over_leaves_the_bucket(self):
        """The documents of a tenant that was removed go with it, its tokens as well; that it was removed stays."""
        Connector(self.a)
        self.a.cli('token', 'acme', 'dc2')
        gen = self.table(self.a, "SELECT gen FROM tenant WHERE name='acme'")[0][0]
        key = self.table(self.a, "SELECT key FROM revision WHERE key GLOB 'c.acme.*'")[0][0]
        self.assertEqual(self.document(key)[1]['name'], 'dc1')
        self.a.cli('tenant', 'remove', 'acme', '--yes')
        wait_for('the other node knows', lambda: self.b.cli('tenant', 'list') == '')
        for subjects in ('*.acme.>', 'k.>'):
            asked = json.dumps({'subjects_filter': '$KV.postern.' + subjects}).encode()
            wait_for('nothing of it is left', lambda asked=asked: not self.operator('$JS.API.STREAM.INFO.KV_postern', asked)['state'].get('subjects'))
        tenant = self.document('t.acme')[1]
        self.assertEqual((tenant['removed'], [x['word'] for x in tenant['generations_removed']]), (True, [gen]))


class Enrolment(NatsTest):
    def test_one_token_at_two_nodes_at_once(self):
        """Of many who bring one token in the same moment, at both nodes, one gets a certificate."""
        for _ in range(12):
            token = self.a.cli('token', 'acme', 'dc1').strip()
            together, answers, threads = threading.Barrier(6), [], []

            def ask(c, token=token, together=together, answers=answers):
                together.wait()
                answers.append(c.enrol(token)[0])
            for i in range(6):
                threads.append(threading.Thread(target=ask, args=(Connector(self.nodes[i % 2], enrol=False),)))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(sorted(answers), [200] + [401] * 5)

    def test_the_same_request_gets_the_same_certificate(self):
        """At whatever node, at once or later; another request does not, and neither does one of a revoked connector."""
        token = self.a.cli('token', 'acme', 'dc1').strip()
        c = Connector(self.a, enrol=False)
        csr = relay_site.forge('csr', c.transport, 'acme', c.id)
        basic = {'Authorization': 'Basic ' + base64.b64encode(f'dc1:{token}'.encode()).decode(), 'Content-Type': 'application/pkcs10'}
        answers, threads = [], []
        for i in range(6):
            node = (self.a, self.b)[i % 2]
            threads.append(threading.Thread(target=lambda node=node: answers.append(
                node.request('POST', '/.well-known/est/acme/simpleenroll', csr, basic)[::2])))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual({status for status, _ in answers}, {200})
        self.assertEqual(len({body for _, body in answers}), 1)
        again = self.b.request('POST', '/.well-known/est/acme/simpleenroll', csr[:40] + '\r\n' + csr[40:], basic)
        self.assertEqual((again[0], again[2]), (200, answers[0][1]))
        self.assertEqual(Connector(self.b, enrol=False).enrol(token)[0], 401)
        self.a.cli('connector', 'revoke', 'acme', 'dc1')
        self.assertEqual(self.b.request('POST', '/.well-known/est/acme/simpleenroll', csr, basic)[0], 401)


class Quorum(NatsTest):
    def sign_in(self, node, connector):
        """One sign-in there; its answer's status."""
        later = node.sign_in_later(node.seal(connector))
        asked = connector.next('request')
        connector.report([{'id': asked['id'], 'is': 'verdict', 'jwe': VERDICT}], credit=1)
        return later.result()[0]

    def test_one_server_less_changes_nothing(self):
        c = Connector(self.a)
        self.a.approve(c)
        self.cluster.kill(0)
        token = wait_for('it goes on', lambda: self.b.cli('token', 'acme', 'dc2', check=False).stdout.strip())
        wait_for('somebody enrols', lambda: Connector(self.b, 'dc2', enrol=False).enrol(token)[0] == 200)
        wait_for('the other node knows', lambda: 'dc2' in self.a.cli('connector', 'list', 'acme'))
        self.cluster.start(0)
        wait_for('all are there', lambda: self.a.writable() and self.b.writable())

    def test_without_a_quorum_sign_ins_go_on(self):
        """Enrolment and rosters are refused and say why; what makes a node stricter holds there at once, and everywhere later."""
        c, other = Connector(self.a), Connector(self.a, 'dc2')
        self.a.approve(c)
        c.go()
        self.assertEqual(self.sign_in(self.a, c), 200)
        token = self.a.cli('token', 'acme', 'dc3').strip()
        wait_for('the other node is up to date', lambda: 'dc2' in self.b.cli('connector', 'list', 'acme'))
        self.cluster.kill(0, 1)
        wait_for('the nodes notice', lambda: not self.a.writable() and not self.b.writable())
        self.assertEqual(self.sign_in(self.a, c), 200)
        status, headers, body = Connector(self.a, 'dc3', enrol=False).enrol(token)
        self.assertEqual((status, headers['Retry-After']), (503, '10'))
        self.assertIn(b'sign-ins go on', body)
        self.a.members.append(f'c:{other.id}:{other.name}:{other.key_file}')
        roster = self.a.roster()
        status, headers, body = self.a.put_roster(roster)
        self.assertEqual((status, body['type'], body['retry'], headers['Retry-After']), (503, 'urn:postern:no-quorum', 'later', '10'))
        self.assertIn('quorum', body['detail'])
        store = self.a.request('GET', self.a.tenant_path('status'), headers=self.a.as_admin())[2]['store']
        self.assertEqual((store['writable'], 'quorum' in store['why']), (False, True))
        done = self.a.cli('store', 'status', check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('quorum', done.stdout + done.stderr)
        done = self.a.cli('token', 'acme', 'dc4', check=False)
        self.assertEqual((done.returncode, 'nothing was changed' in done.stderr), (1, True), done.stderr)
        self.assertIn('dc2', self.a.cli('connector', 'list', 'acme'))
        done = self.a.cli('connector', 'revoke', 'acme', 'dc2', check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(self.knows(self.a, other))
        if 'done at this node' not in done.stderr:  # then there was room for it, where something else went meanwhile
            wait_for('it is there', lambda: not self.knows(self.b, self.b.at(other)))
        self.assertTrue(self.knows(self.b, self.b.at(other)))
        self.assertEqual(self.b.request('PUT', '/v1/link/identity', '{}', cert=other.credentials())[0] in (401, 403), False)
        # a node that starts now goes by its copy
        self.b.stop()
        self.b.start()
        self.assertIn('store_starts_from_its_copy', self.b.log_text())
        self.assertEqual(self.b.request('GET', self.b.tenant_path('keys'), headers=self.b.as_service())[0], 200)
        self.cluster.start(0, 1)
        wait_for('both can write again', lambda: self.a.writable() and self.b.writable())
        wait_for('the revocation is everywhere', lambda: not self.knows(self.b, self.b.at(other)))
        wait_for('the roster is taken', lambda: self.a.put_roster(roster)[0] == 204)
        self.assertEqual(Connector(self.b, 'dc3', enrol=False).enrol(token)[0], 200)

    def test_a_node_without_a_copy_does_not_start_alone(self):
        self.cluster.kill(0, 1)
        os.mkdir(self.a.path('empty'), 0o700)
        with open(self.a.path('relay.conf'), encoding='ascii') as f:
            text = f.read().replace('/state\n', '/empty\n')
        with open(self.a.path('other.conf'), 'w', encoding='ascii') as f:
            f.write(text)
        done = subprocess.run([relay_site.RELAY, '--config', self.a.path('other.conf')], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False, timeout=120)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn('no copy yet', done.stdout)


class Operation(NatsTest):
    def check(self, **changes):
        """postern-relay --check-config with another section [nats]."""
        with open(self.a.path('relay.conf'), encoding='ascii') as f:
            lines = [line for line in f.read().splitlines() if line.split(' = ')[0] not in changes]
        lines += [f'{key} = {value}' for key, value in changes.items() if value]
        with open(self.a.path('check.conf'), 'w', encoding='ascii') as f:
            f.write('\n'.join(lines) + '\n')
        return subprocess.run([relay_site.RELAY, '--config', self.a.path('check.conf'), '--check-config'], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=False, timeout=120)

    def well(self):
        done = self.check()
        self.assertEqual(done.returncode, 0, done.stderr)
        return not done.stderr

    def test_check_config(self):
        wait_for('nothing is amiss, as soon as all three servers have the bucket', self.well)
        done = self.check(ca=self.cluster.path('certs', 'other-ca.pem'))
        self.assertEqual(done.returncode, 78)
        self.assertIn('TLS with a NATS server fails', done.stderr)
        done = self.check(store_login=self.cluster.path('dispatch.login'))
        self.assertEqual(done.returncode, 78)
        self.assertIn('the user of store_login may not ask JetStream', done.stderr)
        done = self.check(store_login='/nonexistent/login')
        self.assertEqual(done.returncode, 78)
        self.assertIn('/nonexistent/login', done.stderr)
        self.cluster.kill(2)
        done = self.check()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(self.cluster.servers()[2] + ': none of the 1 NATS servers is reached', done.stderr)
        self.cluster.kill(1)
        wait_for('the check says it', lambda: 'warning: ' in self.check().stderr and self.check().returncode == 0)

    def test_a_user_who_may_make_streams(self):
        """The check says so of servers that let the store make a stream over the subjects of sign-ins."""
        folder, text = os.path.join(self.folder.name, 'lax'), lab_nats.CONFIG
        os.mkdir(folder)
        lab_nats.CONFIG = text.replace('max_streams: 1,', 'max_streams: 4,').replace(
            '"$JS.API.STREAM.CREATE.KV_{bucket}",', '"$JS.API.STREAM.CREATE.>", "$JS.API.STREAM.DELETE.>",')
        self.assertNotEqual(lab_nats.CONFIG, text)
        try:
            with lab_nats.Cluster(folder) as lax, open(self.a.path('lax.conf'), 'w', encoding='ascii') as f:
                with open(self.a.path('relay.conf'), encoding='ascii') as relay:
                    f.write(relay.read().split('[nats]')[0] + lax.conf())
                f.flush()
                done = subprocess.run([relay_site.RELAY, '--config', f.name, '--check-config'], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, check=False, timeout=120)
        finally:
            lab_nats.CONFIG = text
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn('the user of store_login can make a stream over postern.>', done.stderr)

    def test_new_credentials_lose_no_link(self):
        c = Connector(self.a)
        self.a.approve(c)
        c.go()
        self.cluster.reload(password='b' * 32)
        with open(self.cluster.path('store.login'), 'w', encoding='ascii') as f:
            f.write('store\n' + 'b' * 32 + '\n')
        for node in self.nodes:
            node.process.send_signal(signal.SIGHUP)
            wait_for('it has joined anew', lambda node=node: c.report()[0] < 300 and 'store_joined_anew' in node.log_text())
        wait_for('both can write', lambda: c.report()[0] < 300 and self.a.writable() and self.b.writable())
        self.assertEqual(Quorum.sign_in(self, self.a, c), 200)
        c.stream.close()
        with open(self.cluster.path('store.login'), 'w', encoding='ascii') as f:
            f.write('store\nwrong\n')
        self.a.process.send_signal(signal.SIGHUP)
        wait_for('it says that it is not taken', lambda: 'store_file_not_taken' in self.a.log_text())
        self.assertTrue(self.a.writable())

    def test_no_secret_comes_to_a_disk(self):
        """Tokens and secrets are in the servers' files as hashes only, and of a sign-in nothing."""
        c = Connector(self.a)
        self.a.approve(c)
        c.go()
        token = self.a.cli('token', 'acme', 'dc9').strip()
        id = new_id()
        later = self.a.sign_in_later(self.a.seal(c), id=id)
        c.report([{'id': c.next('request')['id'], 'is': 'verdict', 'jwe': VERDICT}])
        self.assertEqual(later.result()[0], 200)
        wait_for('the tenant is on a disk', lambda: self.cluster.find(b'"pin"'))
        for needle in (token.split('.', maxsplit=1)[0], self.a.service, self.a.admin, id):
            self.assertEqual(self.cluster.find(needle.encode()), [])

    def test_a_database_moves_into_the_bucket(self):
        """What was made with store = sqlite is there after `store push`."""
        alone = Relay('other', node='n3')
        try:
            alone.cli('token', 'other', 'dc1')
        finally:
            alone.stop()
        with open(alone.path('relay.conf'), 'a', encoding='ascii') as f:
            f.write('store = nats\n' + self.cluster.conf())
        alone.cli('store', 'push')
        wait_for('the nodes have it', lambda: 'other' in self.a.cli('tenant', 'list'))
        self.assertEqual(self.b.request('GET', '/v1/tenants/other/status', headers={'Authorization': 'Bearer ' + alone.admin})[0], 200)
        alone.tmp.cleanup()


class Stricter(NatsTest):
    def test_a_bucket_that_was_lost(self):
        """The servers come back with empty disks: used tokens, revocations and rosters stay what they were, and `store push` fills the bucket."""
        c, gone = Connector(self.a), Connector(self.a, 'dc2')
        self.a.approve(c)
        used = self.a.cli('token', 'acme', 'dc3').strip()
        self.assertEqual(Connector(self.a, 'dc3', enrol=False).enrol(used)[0], 200)
        old = self.a.roster()  # number 2, which is not published
        self.a.approve(Connector(self.a, 'dc4'))  # number 3
        self.a.cli('connector', 'revoke', 'acme', 'dc2')
        wait_for('both know', lambda: 'REVOKED' in self.b.cli('connector', 'list', 'acme') and 'dc4' in self.b.cli('connector', 'list', 'acme'))
        self.cluster.kill(0, 1, 2)
        self.cluster.wipe()
        self.cluster.start()
        for node in self.nodes:
            wait_for('it sees that', lambda node=node: 'store_bucket_is_another' in node.log_text() and node.writable())
        self.b.cli('store', 'push')
        for node in self.nodes:
            wait_for('it goes on', node.writable)
            self.assertEqual(Connector(node, 'dc3', enrol=False).enrol(used)[0], 401)
            self.assertFalse(self.knows(node, self.b.at(gone) if node == self.b else gone))
            status, _, body = node.put_roster(old)
            self.assertEqual((status, body['type']), (409, 'urn:postern:seq-not-newer'))
        third = self.node('n3', self.a)  # which has nothing but the bucket
        self.assertEqual(Connector(third, 'dc3', enrol=False).enrol(used)[0], 401)
        self.assertFalse(self.knows(third, third.at(gone)))
        self.assertTrue(self.knows(third, third.at(c)))

    def test_a_token_that_one_node_knows_to_be_used(self):
        """The servers come back with empty disks, and the node that took the token has not filled them yet."""
        token = self.a.cli('token', 'acme', 'dc1').strip()
        with sqlite3.connect(self.b.path('state/relay.db')) as db:
            wait_for('the other node knows it', lambda: db.execute('SELECT COUNT(*) FROM token').fetchone()[0] == 1)
        self.b.stop()
        self.assertEqual(Connector(self.a, 'dc1', enrol=False).enrol(token)[0], 200)
        self.cluster.kill(0, 1, 2)
        self.cluster.wipe()
        self.cluster.start()
        self.b.start()
        wait_for('it goes on', self.b.writable)
        decided = wait_for('it is decided', lambda: [s for s in [Connector(self.b, 'dc1', enrol=False).enrol(token)[0]] if s != 503])
        self.assertEqual(decided, [401])

    def test_a_bucket_that_was_put_back_and_grew(self):
        """A node that was away does not see that by the last revision any more."""
        c = Connector(self.a)
        wait_for('both know', lambda: 'dc1' in self.b.cli('connector', 'list', 'acme'))
        self.b.stop()
        with sqlite3.connect(self.b.path('state/relay.db')) as db:  # as if what it saw of it were of the bucket before
            db.execute('DELETE FROM connector')
            db.execute('UPDATE revision SET n=n+1000000')
            db.execute("UPDATE note SET value=value+1000000 WHERE name='beat'")
        self.grow(self.noted(self.b, 'seen') + 650, 700)
        self.b.start()
        self.assertIn('dc1', self.b.cli('connector', 'list', 'acme'))
        self.assertTrue(self.knows(self.b, self.b.at(c)))

    @staticmethod
    def noted(node, name):
        with sqlite3.connect(node.path('state/relay.db')) as db:
            return db.execute('SELECT value FROM note WHERE name=?', (name,)).fetchone()[0]

    def grow(self, seen, n):
        """n beats of another node, with which the bucket has more revisions than that."""
        somebody = Nats(self.cluster, account='store')
        somebody.subscribe('_INBOX_store.mine')
        for _ in range(n):
            somebody.publish('$KV.postern.n.other', b'{"v":1}')

        def last():
            somebody.publish('$JS.API.STREAM.INFO.KV_postern', b'', '_INBOX_store.mine')
            somebody.until(b'MSG')
            return json.loads(somebody.said.pop()[1])['state']['last_seq']
        wait_for('it has grown', lambda: last() > seen)
        somebody.close()

    def test_a_bucket_that_was_put_back(self):
        """An older copy of the servers' disks: what one node knows better comes to the other, too."""
        token = self.a.cli('token', 'acme', 'dc1').strip()
        c = Connector(self.a, 'dc2')
        wait_for('both know', lambda: 'dc2' in self.b.cli('connector', 'list', 'acme'))
        kept = self.noted(self.b, 'seen')
        self.cluster.kill(0, 1, 2, how=signal.SIGTERM)
        self.cluster.keep()
        self.cluster.start()
        for node in self.nodes:
            wait_for('it goes on', node.writable)
        wait_for('a beat of it is stored that the copy does not have', lambda: self.noted(self.b, 'beat') > kept)
        self.b.stop()  # it does not hear what follows
        self.assertEqual(Connector(self.a, 'dc1', enrol=False).enrol(token)[0], 200)
        self.a.cli('connector', 'revoke', 'acme', 'dc2')
        self.cluster.kill(0, 1, 2, how=signal.SIGTERM)
        self.cluster.put_back()
        self.cluster.start()
        wait_for('it goes on', lambda: 'store_bucket_is_another' in self.a.log_text() and self.a.writable())
        self.grow(self.noted(self.b, 'seen'), 100)  # so that its number of revisions tells nothing
        self.b.start()
        wait_for('it goes on', self.b.writable)
        wait_for('the other node has heard of the revocation', lambda: not self.knows(self.b, self.b.at(c)))
        self.assertEqual(Connector(self.b, 'dc1', enrol=False).enrol(token)[0], 401)


class Restored(NatsTest):
    """An older copy of the servers' disks is put back, which is what a restore of a backup is."""

    def quarantine(self, connector):
        """Two machines say two things for one start of it."""
        connector.go()
        copied = connector.twin(connector.boot)
        copied.open_stream()
        copied.report(statement=copied.statement())
        wait_for('it is in quarantine', lambda: 'IN QUARANTINE' in self.a.cli('connector', 'list', 'acme'))
        connector.hang_up()
        copied.hang_up()

    def state(self, node):
        """What is listed there: tenants with pins, ids of secrets, connectors with what was decided of them."""
        tenants = {x['tenant']: x['pin'] for x in json.loads(node.cli('tenant', 'list', '--json'))}
        connectors = {x['name']: (x['revoked'], bool(x['quarantine']), x['certificates']) for x in json.loads(node.cli('connector', 'list', 'acme', '--json'))}
        return tenants, {x['id'] for x in json.loads(node.cli('secret', 'list', 'acme', '--json'))}, connectors

    def test_what_was_done_since_stays_done(self):
        """Removals, of secrets and tenants, count as revocations do; what was given since stays given; at all nodes, and at one that comes later."""
        lost, pin = self.a.cli('secret', 'acme', 'service').strip(), json.loads(relay_site.forge('key', self.a.path('other.key')))['pin']
        for name in ('gone', 'again'):
            self.a.cli('tenant', 'add', name, '--pin', self.a.tenant_key['pin'])
        c, released, revoked = Connector(self.a), Connector(self.a, 'dc2'), Connector(self.a, 'dc3')
        self.a.approve(c, released)
        self.quarantine(released)
        wait_for('the other node has all', lambda: self.state(self.b) == self.state(self.a))
        self.copy()
        self.a.cli('secret', 'revoke', 'acme', hashlib.sha256(lost.encode()).hexdigest()[:8])
        kept = self.a.cli('secret', 'acme', 'service').strip()
        for name in ('gone', 'again'):
            self.b.cli('tenant', 'remove', name, '--yes')
        self.b.cli('tenant', 'add', 'again', '--pin', pin)
        self.b.cli('connector', 'revoke', 'acme', 'dc3')
        self.a.cli('connector', 'release', 'acme', 'dc2')
        self.quarantine(c)
        token = self.a.cli('token', 'acme', 'dc4').strip()
        self.assertEqual(Connector(self.a, 'dc4', enrol=False).enrol(token)[0], 200)
        wait_for('the other node has all', lambda: self.state(self.b) == self.state(self.a))
        before = self.state(self.a)
        self.assertEqual(before[0], {'acme': self.a.tenant_key['pin'], 'again': pin})
        self.assertEqual(before[2], {'dc1': (False, True, 1), 'dc2': (False, False, 1), 'dc3': (True, False, 0), 'dc4': (False, False, 1)})
        self.put_back()
        for node in self.nodes:
            wait_for('it has written again what it knows', lambda node=node: node.metric('postern_relay_store_waiting') == 0)
            self.assertEqual(self.state(node), before)
            self.assertEqual((self.as_bearer(node, lost), self.as_bearer(node, kept)), (401, 200))
            self.assertEqual(Connector(node, 'dc4', enrol=False).enrol(token)[0], 401)
        third = self.node('n3', self.a)
        self.assertEqual(self.state(third), before)
        self.assertEqual((self.as_bearer(third, lost), self.as_bearer(third, kept)), (401, 200))
        self.assertFalse(self.knows(third, third.at(revoked)))

    def test_a_node_that_knows_less_is_there_first(self):
        """Who knows of the removal comes last, when all has been taken from the copy, and written to, by one that does not."""
        lost = self.a.cli('secret', 'acme', 'service').strip()
        self.a.cli('tenant', 'add', 'gone', '--pin', self.a.tenant_key['pin'])
        wait_for('the other node has all', lambda: 'gone' in self.b.cli('tenant', 'list') and self.as_bearer(self.b, lost) == 200)
        self.copy()
        self.b.stop()
        self.a.cli('secret', 'revoke', 'acme', hashlib.sha256(lost.encode()).hexdigest()[:8])
        self.a.cli('tenant', 'remove', 'gone', '--yes')
        self.a.stop()
        self.cluster.kill(0, 1, 2, how=signal.SIGTERM)
        self.cluster.put_back()
        self.cluster.start()
        self.b.start()
        wait_for('it goes on', self.b.writable)
        self.assertEqual(self.as_bearer(self.b, lost), 200)  # nobody here knows better
        made = [self.b.cli('secret', 'acme', 'service').strip() for _ in range(3)]
        self.a.start()
        for node in self.nodes:
            wait_for('it is removed', lambda node=node: self.as_bearer(node, lost) == 401 and 'gone' not in node.cli('tenant', 'list'))
            wait_for('what was given counts', lambda node=node: all(self.as_bearer(node, secret) == 200 for secret in made))

    def test_a_request_is_answered_as_before(self):
        """The same request for a certificate, within ten minutes, after a restore to before the token was used."""
        token = self.a.cli('token', 'acme', 'dc1').strip()
        self.copy()
        c = Connector(self.a, enrol=False)
        csr = relay_site.forge('csr', c.transport, 'acme', c.id)
        basic = {'Authorization': 'Basic ' + base64.b64encode(f'dc1:{token}'.encode()).decode(), 'Content-Type': 'application/pkcs10'}

        def ask(node):
            return node.request('POST', '/.well-known/est/acme/simpleenroll', csr, basic)[::2]
        status, body = ask(self.a)
        self.assertEqual(status, 200)
        self.put_back()
        for node in self.nodes:
            self.assertEqual(wait_for('it is decided', lambda node=node: [x for x in [ask(node)] if x[0] != 503]), [(200, body)])
            self.assertEqual(Connector(node, enrol=False).enrol(token)[0], 401)
        c.save_cert(body)
        self.a.cli('connector', 'revoke', 'acme', 'dc1')
        wait_for('it is revoked by the other node, too', lambda: not self.knows(self.b, self.b.at(c)))

    def test_one_that_was_away_reads_all_anew(self):
        """Whoever was there when the copy was put back says so in the bucket, for who cannot see it by numbers."""
        c = Connector(self.a)
        wait_for('both know', lambda: 'dc1' in self.b.cli('connector', 'list', 'acme'))
        epoch = wait_for('the bucket has its mark', lambda: self.table(self.b, "SELECT value FROM note WHERE name='epoch' AND value<>0"))
        self.copy()
        self.b.stop()
        self.a.cli('connector', 'revoke', 'acme', 'dc1')
        self.put_back(self.a)
        wait_for('there is another mark', lambda: self.operator('$JS.API.STREAM.MSG.GET.KV_postern', b'{"last_by_subj": "$KV.postern.epoch"}')
                 ['message']['data'] != base64.b64encode(str(epoch[0][0]).encode()).decode())
        wait_for('it is stored', lambda: self.a.metric('postern_relay_store_waiting') == 0)
        with sqlite3.connect(self.b.path('state/relay.db')) as db:  # as if it had seen no more than the copy has by now
            last = self.operator('$JS.API.STREAM.INFO.KV_postern')['state']['last_seq']
            db.execute("UPDATE note SET value=? WHERE name='seen'", (last,))
            db.execute("UPDATE note SET value=0 WHERE name='beat'")
            for (key,) in db.execute('SELECT key FROM revision').fetchall():
                there = self.operator('$JS.API.STREAM.MSG.GET.KV_postern', json.dumps({'last_by_subj': '$KV.postern.' + key}).encode()).get('message')
                db.execute('UPDATE revision SET n=? WHERE key=?', (there['seq'], key) if there else (0, key))
        self.b.start()
        self.assertIn('another node found that it was put back', self.b.log_text())
        wait_for('it has heard of the revocation', lambda: not self.knows(self.b, self.b.at(c)))

    def test_a_bucket_that_was_purged(self):
        """Its documents are gone: what the nodes have comes back by a push, and at a node that starts later all is there."""
        used = self.a.cli('token', 'acme', 'dc2').strip()
        c, gone = Connector(self.a), Connector(self.a, 'dc2', enrol=False)
        self.assertEqual(gone.enrol(used)[0], 200)
        lost = self.a.cli('secret', 'acme', 'service').strip()
        self.a.cli('secret', 'revoke', 'acme', hashlib.sha256(lost.encode()).hexdigest()[:8])
        wait_for('both know', lambda: self.state(self.b) == self.state(self.a))
        self.assertTrue(self.operator('$JS.API.STREAM.PURGE.KV_postern')['success'])
        self.assertEqual(Connector(self.b, 'dc2', enrol=False).enrol(used)[0], 401)
        for node in self.nodes:
            node.cli('store', 'push')
        third = self.node('n3', self.a)
        self.assertEqual(self.state(third), self.state(self.a))
        self.assertTrue(self.knows(third, third.at(c)))
        self.assertEqual((self.as_bearer(third, lost), Connector(third, 'dc2', enrol=False).enrol(used)[0]), (401, 401))


class Sample(NatsTest):
    """queue/relay/nats.conf.example, as it stands there but for names, folders and who the users are."""
    PLACES = (('server_name: nats1', 'server_name: {name}'),
              ('"0.0.0.0:4222"', '"{address}:{client}"\nhttp: "{address}:{monitor}"\npid_file: "{folder}/pid"'),
              ('"0.0.0.0:6222"', '"{address}:{route}"'), ('/etc/nats/server.', '{certs}/nats.'), ('/etc/nats/ca.pem', '{certs}/ca.pem'),
              ('"nats-route://nats1.example:6222", "nats-route://nats2.example:6222", "nats-route://nats3.example:6222"', '{routes}'),
              ('"/var/lib/nats"', '"{folder}/js"'), ('nkey: U...', 'nkey: {nkey}'), ('user: store, password: "$2a$..."', 'user: store, password: "{password}"'),
              ('user: admin, password: "$2a$..."', 'user: sys, password: "{sys}"'))

    def setUp(self):
        with open(os.path.join(HERE, '..', '..', '..', 'queue', 'relay', 'nats.conf.example'), encoding='ascii') as f:
            self.sample = f.read()
        text = self.sample.replace('{', '{{').replace('}', '}}')
        for word, real in self.PLACES:
            self.assertIn(word, text)
            text = text.replace(word, real)
        self.addCleanup(setattr, lab_nats, 'CONFIG', lab_nats.CONFIG)
        lab_nats.CONFIG = text
        super().setUp()

    def check(self):
        """--check-config of a node with both on NATS."""
        with open(self.a.path('relay.conf'), encoding='ascii') as f:
            text = f.read().replace('store = nats\n', 'store = nats\ndispatch = nats\n').replace(
                'store_login =', f"dispatch_login = {self.cluster.path('dispatch.login')}\nstore_login =")
        with open(self.a.path('check.conf'), 'w', encoding='ascii') as f:
            f.write(text)
        return subprocess.run([relay_site.RELAY, '--config', f.name, '--check-config'], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False, timeout=120)

    def well(self):
        done = self.check()
        self.assertEqual(done.returncode, 0, done.stdout)
        return 'warning' not in done.stdout

    def test_servers_that_have_it_serve(self):
        """Nothing is amiss for --check-config, and what one node writes the other has."""
        wait_for('all is well', self.well)
        self.a.cli('tenant', 'add', 'second', '--pin', self.a.tenant_key['pin'])
        wait_for('the other knows', lambda: 'second' in self.b.cli('tenant', 'list'))

    def test_the_page_shows_the_same_accounts(self):
        with open(os.path.join(HERE, '..', '..', '..', 'connector', 'man', 'postern-relay.8'), encoding='ascii') as f:
            page = f.read()
        shown = self.sample[self.sample.index('jetstream {'):].rstrip()
        self.assertIn(shown, page)


class Page(NatsTest):
    """BACKUP AND RESTORE of postern-relay(8): its commands as they stand there, but for folders and systemd."""

    def setUp(self):
        super().setUp()
        with open(os.path.join(HERE, '..', '..', '..', 'connector', 'man', 'postern-relay.8'), encoding='ascii') as f:
            section = f.read().split('.Sh BACKUP AND RESTORE')[1].split('.Sh ')[0]
        blocks = [block.split('.Ed')[0].split('\n')[1:-1] for block in section.split('.Bd')[1:]]
        self.back_up, self.restore, self.push = ([line.removeprefix('node# ') for line in block] for block in blocks)

    def do(self, node, lines):
        """Types them at that node's host, in one shell from one systemctl to the next."""
        backup = os.path.join(self.folder.name, 'backup-' + os.path.basename(node.dir))
        os.makedirs(backup, exist_ok=True)
        typed = 'set -e\n'
        for line in [*lines, 'systemctl']:
            if line.split()[0] != 'systemctl':
                for word, real in (('/backup', backup), ('/var/lib/postern-relay', node.path('state')), ('chown postern-relay:', f'chown {pwd.getpwuid(os.getuid()).pw_name}:')):
                    line = line.replace(word, real)
                if line.startswith('postern-relay '):
                    line = f"{relay_site.RELAY} --config {node.path('relay.conf')} {line.split(' ', 1)[1]}"
                typed += line + '\n'
                continue
            done = subprocess.run(['bash', '-c', typed], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, cwd='/')
            self.assertEqual(done.returncode, 0, typed + done.stdout)
            if line == 'systemctl start postern-relay':
                node.start()
            elif line == 'systemctl stop postern-relay':
                node.stop()

    @staticmethod
    def lose(node):
        """Its disk."""
        if node.process.poll() is None:
            node.stop()
        shutil.rmtree(node.path('state'))
        os.mkdir(node.path('state'), 0o700)

    def test_a_relay_that_is_alone(self):
        alone = Relay('other')
        self.addCleanup(alone.close)
        c, later = Connector(alone), Connector(alone, 'dc2')
        alone.approve(c)
        self.do(alone, self.back_up)
        alone.cli('connector', 'revoke', 'other', 'dc2')
        for name in ('relay.db', 'transport-ca.key'):
            self.assertEqual(os.stat(os.path.join(self.folder.name, 'backup-' + os.path.basename(alone.dir), name)).st_mode & 0o77, 0)
        self.lose(alone)
        self.do(alone, self.restore[:-1])
        alone.cli('connector', 'revoke', 'other', 'dc2')  # what was taken away since is taken away again before it starts
        self.do(alone, self.restore[-1:])
        self.assertEqual((self.knows(alone, c), self.knows(alone, later)), (True, False))
        self.assertEqual(alone.request('GET', alone.tenant_path('keys'), headers=alone.as_service())[0], 200)

    def test_a_node_among_others(self):
        """From its backup, and with nothing but the transport CA; what was done since comes from the bucket."""
        c, later = Connector(self.a), Connector(self.a, 'dc2')
        wait_for('both know', lambda: 'dc2' in self.b.cli('connector', 'list', 'acme'))
        self.do(self.b, self.back_up)
        self.a.cli('connector', 'revoke', 'acme', 'dc2')
        for restore in (self.restore, [line.replace('/backup/relay.db ', '').replace('relay.db ', '') for line in self.restore]):
            self.lose(self.b)
            self.do(self.b, restore)
            wait_for('it is as the others', lambda: self.knows(self.b, self.b.at(c)) and not self.knows(self.b, self.b.at(later)))

    def test_the_servers_lost_their_disks(self):
        c, token = Connector(self.a), self.a.cli('token', 'acme', 'dc2').strip()
        wait_for('both know', lambda: 'dc1' in self.b.cli('connector', 'list', 'acme'))
        self.cluster.kill(0, 1, 2)
        self.cluster.wipe()
        self.cluster.start()
        for node in self.nodes:
            wait_for('it goes on', lambda node=node: 'store_bucket_is_another' in node.log_text() and node.writable())
        self.assertIn(Connector(self.b, 'dc2', enrol=False).enrol(token)[0], (401, 503))
        for node in self.nodes:
            self.do(node, self.push)
        self.assertEqual(Connector(self.b, 'dc2', enrol=False).enrol(token)[0], 200)
        third = self.node('n3', self.a)
        self.assertTrue(self.knows(third, third.at(c)))

    def test_everything_was_lost(self):
        c = Connector(self.a)
        self.a.approve(c)
        self.do(self.a, self.back_up)
        for node in self.nodes:
            self.lose(node)
        self.cluster.kill(0, 1, 2)
        self.cluster.wipe()
        self.do(self.a, self.restore[:-2])  # what stands before the check, which asks the servers
        self.cluster.start()
        self.do(self.a, self.restore[-1:])
        wait_for('it goes on', self.a.writable)
        self.do(self.a, self.push)
        for name in ('transport-ca.key', 'transport-ca.pem'):
            shutil.copy(self.a.path('state/' + name), self.b.path('state/' + name))
        self.b.start()
        self.assertTrue(self.knows(self.b, self.b.at(c)))
        self.assertEqual(self.b.request('GET', self.b.tenant_path('keys'), headers=self.b.as_service())[0], 200)


class Versions(NatsTest):
    def write(self, key, document):
        """A document as a relay of another version writes it."""
        return self.operator('$KV.postern.' + key, json.dumps(document).encode())['seq']

    def test_a_document_of_a_later_version(self):
        """It is not read, not written over, and not forgotten: what this node knew stays, and the rest goes on."""
        secret = self.a.cli('secret', 'acme', 'service').strip()
        tenant = self.document('t.acme')[1]
        wait_for('both know', lambda: self.as_bearer(self.b, secret) == 200)
        revision = self.write('t.acme', {**tenant, 'v': 2, 'secrets': []})
        for node in self.nodes:
            wait_for('it says so', lambda node=node: f'store_document_later key=t.acme revision={revision}' in node.log_text())
            self.assertEqual(self.as_bearer(node, secret), 200)
            self.assertLess(self.table(node, "SELECT n FROM revision WHERE key='t.acme'")[0][0], revision)
            done = node.cli('secret', 'acme', 'service', check=False)
            self.assertEqual((done.returncode, 'upgrade this one' in done.stderr, 'nothing was changed' in done.stderr), (1, True, True), done.stderr)
        self.assertEqual(self.document('t.acme'), (revision, {**tenant, 'v': 2, 'secrets': []}))
        Connector(self.a)  # another entity
        wait_for('the rest goes on', lambda: 'dc1' in self.b.cli('connector', 'list', 'acme'))
        self.b.stop()
        told = self.b.log_text().count(f'store_document_later key=t.acme revision={revision}')
        self.b.start()
        wait_for('it is tried again', lambda: self.b.log_text().count(f'store_document_later key=t.acme revision={revision}') > told)
        # as a later one would be for who can read it: the same revision, once it is read
        with sqlite3.connect(self.b.path('state/relay.db')) as db:
            self.assertEqual(db.execute("SELECT value FROM note WHERE name='passed'").fetchone(), (1,))
        self.write('t.acme', {**tenant, 'secrets': [], 'changes': tenant['changes'] + 1})
        for node in self.nodes:
            wait_for('it is taken', lambda node=node: self.as_bearer(node, secret) == 401)

    def test_what_was_passed_over_is_read_after_the_upgrade(self):
        """A node's copy as a program leaves it that could not read a document."""
        c = Connector(self.a)
        wait_for('both know', lambda: 'dc1' in self.b.cli('connector', 'list', 'acme'))
        self.b.stop()
        with sqlite3.connect(self.b.path('state/relay.db')) as db:
            db.execute('DELETE FROM connector')
            db.execute("DELETE FROM revision WHERE key GLOB 'c.*'")
            db.execute("INSERT OR REPLACE INTO note VALUES('passed', 1)")
        self.b.start()
        wait_for('it is read', lambda: self.knows(self.b, self.b.at(c)))

    def test_a_node_of_the_version_before(self):
        """Its documents have no lists of what was removed and no counts: they count as they did, and bring nothing back."""
        lost, kept = (self.a.cli('secret', 'acme', 'service').strip() for _ in range(2))
        old = self.document('t.acme')[1]
        for name in ('changes', 'secrets_removed', 'generations_removed'):
            del old[name]
        self.a.cli('secret', 'revoke', 'acme', hashlib.sha256(lost.encode()).hexdigest()[:8])
        self.write('t.acme', {**old, 'secrets': [x for x in old['secrets'] if x['hash'] != b64u(hashlib.sha256(kept.encode()).digest())]})
        for node in self.nodes:
            wait_for('what it took away is gone', lambda node=node: self.as_bearer(node, kept) == 401)
            wait_for('what was removed before stays so', lambda node=node: self.as_bearer(node, lost) == 401)
        wait_for('the list is there again', lambda: self.document('t.acme')[1].get('secrets_removed'))


class Full(NatsTest):
    def setUp(self):
        self.text = lab_nats.CONFIG
        lab_nats.CONFIG = self.text.replace('max_file: 64M', 'max_file: 64K')
        self.addCleanup(setattr, lab_nats, 'CONFIG', self.text)
        super().setUp()

    def test_a_bucket_that_is_full(self):
        """It is said, with what to do; sign-ins go on, a revocation holds here at once, and all goes on with more room."""
        c, other = Connector(self.a), Connector(self.a, 'dc2')
        self.a.approve(c)
        wait_for('both know', lambda: 'dc2' in self.b.cli('connector', 'list', 'acme'))
        for i in range(3000):
            done = self.a.cli('tenant', 'add', f'more-{i}', '--pin', self.a.tenant_key['pin'], check=False)
            if done.returncode:
                break
        self.assertEqual(done.returncode, 1)
        self.assertIn('the bucket is full: raise', done.stderr)
        answer = wait_for('the running relay refuses, too', lambda: [x for x in [self.a.put_roster(self.a.roster())] if x[0] == 503])[0]
        self.assertIn('the bucket is full: raise', answer[2]['detail'])
        c.go()
        status = self.a.request('GET', self.a.tenant_path('status'), headers=self.a.as_admin())[2]['store']
        self.assertEqual((status['writable'], 'the bucket is full: raise' in status['why']), (False, True), status)
        self.assertEqual(Quorum.sign_in(self, self.a, c), 200)
        done = self.a.cli('connector', 'revoke', 'acme', 'dc2', check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(self.knows(self.a, other))
        if 'done at this node' not in done.stderr:  # then there was room for it, where something else went meanwhile
            wait_for('it is there', lambda: not self.knows(self.b, self.b.at(other)))
        lab_nats.CONFIG = self.text
        self.cluster.reload()
        for node in self.nodes:
            wait_for('it goes on', node.writable)
        wait_for('the revocation is everywhere', lambda: not self.knows(self.b, self.b.at(other)))
        self.a.cli('tenant', 'add', 'last', '--pin', self.a.tenant_key['pin'])


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
    unittest.main()
