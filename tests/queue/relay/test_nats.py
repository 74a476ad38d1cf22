#!/usr/bin/python3
"""Two relay nodes whose store is on three real NATS servers. Usage: test_nats.py RELAY FORGE [unittest words]"""
import base64
import json
import os
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
from relay_site import Connector, Relay, new_id, wait_for  # noqa: E402
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
        self.nodes = []
        self.a = self.node('n1')
        self.b = self.node('n2', self.a)

    def node(self, name, first=None):
        self.nodes.append(Node(self.cluster, name, first, os.path.join(self.folder.name, name + '.sock')))
        return self.nodes[-1]

    def tearDown(self):
        try:
            for node in self.nodes:
                node.close()
        finally:
            self.cluster.stop()
            self.folder.cleanup()

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


class Enrolment(NatsTest):
    def test_one_token_at_two_nodes_at_once(self):
        """Of many who bring one token at the same time, at both nodes, one gets a certificate."""
        for _ in range(3):
            token = self.a.cli('token', 'acme', 'dc1').strip()
            asking = [Connector((self.a, self.b)[i % 2], enrol=False) for i in range(6)]
            answers, threads = [], []
            for c in asking:
                threads.append(threading.Thread(target=lambda c=c: answers.append(c.enrol(token)[0])))
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
        self.assertEqual((done.returncode, 'done at this node' in done.stderr), (0, True), done.stderr)
        self.assertFalse(self.knows(self.a, other))
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


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = (os.path.abspath(sys.argv.pop(1)) for _ in range(2))
    unittest.main()
