#!/usr/bin/python3
"""The transport CA under a root that is kept elsewhere: taken into use, rotated, two nodes. Usage: test_transport_ca.py RELAY FORGE"""
import json
import os
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import relay_site  # noqa: E402
from relay_site import Connector, Relay, forge, wait_for  # noqa: E402


class TransportCa(unittest.TestCase):
    def setUp(self):
        self.relay = Relay()
        self.addCleanup(self.relay.close)
        self.root = self.make_root('root')

    def offline(self, *words, code=0):
        """As on the root's machine: no configuration."""
        done = subprocess.run([relay_site.RELAY, 'ca', *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def make_root(self, name):
        folder = self.relay.path(name)
        os.mkdir(folder, 0o700)
        self.assertIn('Keep the key off every network', self.offline('root', folder))
        self.assertEqual(os.stat(os.path.join(folder, 'root.key')).st_mode & 0o777, 0o600)
        return folder

    def save(self, name, text):
        with open(self.relay.path(name), 'w', encoding='ascii') as f:
            f.write(text)
        return self.relay.path(name)

    def signed(self, relay, root):
        """A certificate for the node's request."""
        return self.save('node.pem', self.offline('sign', root, self.save('node.csr', relay.cli('ca', 'request'))))

    def take(self, relay, root):
        relay.cli('ca', 'trust', os.path.join(root, 'root.pem'))
        relay.cli('ca', 'install', self.signed(relay, root))
        self.reload(relay)

    def reload(self, relay):
        before = relay.log_text().count(' reloaded ')
        relay.process.send_signal(signal.SIGHUP)
        wait_for('the reload', lambda: relay.log_text().count(' reloaded ') > before)

    def listed(self, relay):
        return json.loads(relay.cli('ca', 'list', '--json'))

    def fails(self, *words):
        run = self.relay.cli('ca', *words, check=False)
        self.assertEqual(run.returncode, 1)
        return run.stderr

    def certificates(self, c):
        with open(c.cert, encoding='ascii') as f:
            return f.read().count('BEGIN CERTIFICATE')

    def serves(self, c, relay=None):
        """Its identity is taken: the certificate counts there."""
        if relay:
            c.relay = relay
        return c.announce()[0]

    def test_taken_into_use_beside_the_first_one(self):
        before = Connector(self.relay, 'before')
        self.assertEqual(self.certificates(before), 1)
        own = self.listed(self.relay)
        self.assertEqual([(c['issues'], c['cn']) for c in own], [(True, 'Postern transport CA, test-node'), (False, 'Postern transport CA, test-node')])
        self.take(self.relay, self.root)
        after = Connector(self.relay, 'after')
        self.assertEqual(self.certificates(after), 2)  # with the node's, so that other nodes under the root see where it leads
        self.assertEqual((self.serves(before), self.serves(after)), (202, 202))
        self.assertEqual(len(self.listed(self.relay)), 3)  # it issues; the first one and the root are trusted
        self.relay.stop()
        self.relay.start()
        self.assertEqual((self.serves(before), self.serves(after)), (202, 202))
        subprocess.run(['openssl', 'verify', '-CAfile', os.path.join(self.root, 'root.pem'), '-untrusted', after.cert, after.cert], check=True,
                       stdout=subprocess.DEVNULL)

    def test_a_root_is_replaced_and_the_old_one_forgotten(self):
        self.take(self.relay, self.root)
        old = Connector(self.relay, 'old')
        second = self.make_root('second')
        self.take(self.relay, second)
        new = Connector(self.relay, 'new')
        self.assertEqual((self.serves(old), self.serves(new)), (202, 202))
        cn = {c['fingerprint']: c for c in self.listed(self.relay)}
        first_root = subprocess.run(['openssl', 'x509', '-noout', '-fingerprint', '-sha256', '-in', os.path.join(self.root, 'root.pem')],
                                    check=True, stdout=subprocess.PIPE, text=True).stdout.split('=')[1].strip().replace(':', '').lower()
        self.assertIn(first_root, cn)
        second_root = [f for f, c in cn.items() if c['cn'] == 'Postern transport root' and f != first_root]
        self.assertIn('leads to that certificate', self.fails('forget', second_root[0]))
        self.assertIn('no trusted certificate', self.fails('forget', '0' * 64))
        self.relay.cli('ca', 'forget', first_root[:16])
        self.reload(self.relay)
        self.assertEqual((self.serves(old), self.serves(new)), (401, 202))

    def test_two_nodes_under_one_root(self):
        self.take(self.relay, self.root)
        other = Relay(node='other-node')
        self.addCleanup(other.close)
        os.mkdir(other.path('root'))
        for name in ('root.key', 'root.pem'):
            subprocess.run(['cp', os.path.join(self.root, name), other.path('root')], check=True)
        self.take(other, other.path('root'))
        c = Connector(self.relay, 'dc1')
        # the other node knows neither tenant nor connector, for each has a database of its own here, but it sees where the certificate leads
        c.relay, own = other, c.relay
        status, _, body = c.call('PUT', '/v1/link/identity', '{}', {'Content-Type': 'application/json'})
        self.assertIn(status, (401, 403))
        self.assertNotIn('does not verify', str(body))
        c.relay = own
        stranger = Relay(node='stranger')
        self.addCleanup(stranger.close)
        c.relay = stranger
        status, _, body = c.call('PUT', '/v1/link/identity', '{}', {'Content-Type': 'application/json'})
        self.assertEqual(status, 401)
        c.relay = own

    def test_what_is_refused(self):
        self.assertIn('has made no request', self.fails('install', os.path.join(self.root, 'root.pem')))
        signed = self.signed(self.relay, self.root)
        self.assertIn('leads to no root that this node trusts', self.fails('install', signed))
        self.relay.cli('ca', 'trust', os.path.join(self.root, 'root.pem'))
        self.assertIn('not for this node', self.fails('install', os.path.join(self.root, 'root.pem')))
        self.assertIn("is no CA's", self.fails('trust', Connector(self.relay, 'leaf').cert))
        self.assertIn('no such file', self.fails('trust', '/nonexistent.pem').lower())
        self.assertIn('made once', self.offline('root', self.root, code=1))
        self.assertIn('is no request', self.offline('sign', self.root, os.path.join(self.root, 'root.pem'), code=1))
        forge('key', self.relay.path('x'))
        c = forge('csr', self.relay.path('x'), 'acme', 'A' * 26)
        self.assertIn('is no request', self.offline('sign', self.root, self.save('foreign.csr', '-----BEGIN CERTIFICATE REQUEST-----\n' + c +
                                                                                 '\n-----END CERTIFICATE REQUEST-----\n'), code=1))
        self.assertEqual(self.relay.cli('ca', 'nonsense', check=False).returncode, 2)
        self.assertEqual([c['issues'] for c in self.listed(self.relay)], [True, False, False])

    def test_an_installation_that_was_cut_off_is_finished(self):
        self.relay.cli('ca', 'trust', os.path.join(self.root, 'root.pem'))
        signed = self.signed(self.relay, self.root)
        state = self.relay.path('state')
        self.relay.stop()
        # after the key was put in place, before its certificate was
        with open(signed, encoding='ascii') as f, open(os.path.join(state, 'transport-ca.next.pem'), 'w', encoding='ascii') as to:
            to.write(f.read())
        os.rename(os.path.join(state, 'transport-ca.next.key'), os.path.join(state, 'transport-ca.key'))
        self.relay.start()
        self.assertEqual(self.certificates(Connector(self.relay, 'dc1')), 2)
        self.assertFalse(os.path.exists(os.path.join(state, 'transport-ca.next.pem')))

    def test_a_key_of_another_certificate_or_none_stops_the_start(self):
        self.relay.stop()
        key = self.relay.path('state/transport-ca.key')
        for said in ('transport-ca.key is missing, the key of', 'not the certificate of the CA key beside it'):
            if 'missing' in said:
                os.unlink(key)
            else:
                subprocess.run(['openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key], check=True,
                               stderr=subprocess.DEVNULL)
                os.chmod(key, 0o600)
            run = subprocess.run([relay_site.RELAY, '--config', self.relay.path('relay.conf')], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                 text=True, check=False)
            self.assertEqual(run.returncode, 78)
            self.assertIn(said, run.stderr)
        os.unlink(key)
        os.unlink(self.relay.path('state/transport-ca.pem'))
        self.relay.start()


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = sys.argv[1:3]
    unittest.main(argv=[sys.argv[0], '-v', *sys.argv[3:]])
