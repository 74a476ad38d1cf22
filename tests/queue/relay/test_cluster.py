#!/usr/bin/python3
"""Joining real NATS servers: logins of each form, wrong ones, TLS that is not as it must be. Usage: test_cluster.py JOIN AT_ONCE BUCKET_SAID [unittest words]"""
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lab'))
import lab_certs  # noqa: E402
import lab_nats  # noqa: E402

JOIN = AT_ONCE = BUCKET_SAID = None
# in which a test answers in the place of JetStream
SAID = '  SAID {{ users [ {{ user: said, password: "{password}" }} ] }}\n'


class Joining(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix='cluster-test-')
        lab_nats.CONFIG = lab_nats.CONFIG.replace('  SYS {{', SAID + '  SYS {{')
        cls.cluster = lab_nats.Cluster(cls.folder.name).start()

    @classmethod
    def tearDownClass(cls):
        cls.cluster.stop()
        cls.folder.cleanup()

    def write(self, text, mode=0o600):
        path = os.path.join(self.folder.name, 'login')
        if os.path.exists(path):
            os.unlink(path)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, mode), 'w', encoding='ascii') as f:
            f.write(text)
        return path

    def join(self, role, login, servers=None, ca='ca'):
        done = subprocess.run([JOIN, role, self.cluster.path('certs', ca + '.pem'), login, *(servers or self.cluster.servers())],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
        self.assertNotIn('Sanitizer', done.stderr)
        return done.stdout.strip()

    def test_both_roles_join(self):
        self.assertEqual(self.join('store', self.cluster.path('store.login')), 'joined')
        self.assertEqual(self.join('dispatch', self.cluster.path('dispatch.login')), 'joined')
        self.assertEqual(self.join('dispatch', self.cluster.path('dispatch.login'), [f'tls://localhost:{self.cluster.ports[0][0]}',
                                                                                     *self.cluster.servers()]), 'joined')

    def test_wrong_logins_are_told_without_their_secret(self):
        said = self.join('store', self.write(f'store\n{"x" * 20}\n'))
        self.assertTrue(said.startswith('EACCES NATS refuses the user of store_login'), said)
        self.assertNotIn('xxxx', said)
        said = self.join('dispatch', self.write(lab_nats.new_nkey()[0] + '\n'))
        self.assertTrue(said.startswith('EACCES NATS refuses the user of dispatch_login'), said)
        seed = list(lab_nats.new_nkey()[0])
        seed[20] = 'A' if seed[20] != 'A' else 'B'
        said = self.join('dispatch', self.write(''.join(seed)))
        self.assertTrue(said.startswith('EINVAL the seed'), said)
        self.assertNotIn(''.join(seed), said)
        for text in ('', 'one', 'one\ntwo\nthree\n', 'SUSHORT', '-----BEGIN NATS USER JWT-----\nabc\n'):
            said = self.join('store', self.write(text))
            self.assertTrue(said.startswith('EINVAL the login of section [nats]'), said)
        self.assertIn('chmod 640', self.join('store', self.write('a\nb\n', 0o644)))
        self.assertTrue(self.join('store', '/nonexistent').startswith('ENOENT /nonexistent: '))

    def test_nobody_joins_without_verified_tls(self):
        login = self.cluster.path('store.login')
        said = self.join('store', login, ca='other-ca')
        self.assertTrue(said.startswith('EBADMSG TLS with a NATS server fails'), said)
        other = next(f'tls://{name}:{self.cluster.ports[0][0]}' for name in ('127.0.0.1', 'localhost') if name != self.cluster.address)
        self.assertFalse(self.join('store', login, [other]).startswith('joined'))
        self.assertTrue(self.join('store', login, ['tls://127.0.0.1:1']).startswith('ENOTCONN none of the 1 NATS servers'))

    def test_a_server_that_is_down_is_passed_over(self):
        self.cluster.kill(0)
        try:
            self.assertEqual(self.join('store', self.cluster.path('store.login')), 'joined')
        finally:
            self.cluster.start(0)

    def at_once(self, what, rounds):
        """What two sides say that use the bucket in the same moment, by two servers."""
        login, ca = self.cluster.path('store.login'), self.cluster.path('certs', 'ca.pem')
        done = subprocess.run([AT_ONCE, what, str(rounds), ca, login, lab_nats.BUCKET, *self.cluster.servers()[:2]],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=170)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        return int(done.stdout)

    def test_of_two_that_store_behind_one_revision_one_does(self):
        self.assertEqual(self.at_once('put', 150), 0)

    def test_what_the_servers_say_of_a_bucket(self):
        """An error that passes is over with the next beat; a full bucket is read and has room made; an older copy is left alone at first."""
        login = self.write(f'said\n{self.cluster.password}\n')
        done = subprocess.run([BUCKET_SAID, self.cluster.path('certs', 'ca.pem'), login, self.cluster.servers()[0]],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, timeout=120)
        self.assertEqual((done.stdout, done.stderr), ('as it must be\n', ''))

    def test_a_watch_may_end_while_its_messages_come(self):
        self.assertGreater(self.at_once('watch', 300), 0)


if __name__ == '__main__':
    JOIN, AT_ONCE, BUCKET_SAID = (os.path.abspath(sys.argv.pop(1)) for _ in range(3))
    unittest.main()
