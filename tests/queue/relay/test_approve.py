#!/usr/bin/python3
"""What `postern tenant approve` takes over of what a connector announces. Usage: test_approve.py RELAY FORGE POSTERN"""
import base64
import json
import os
import select
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import relay_site  # noqa: E402
from relay_site import Connector, Relay, at_a_terminal  # noqa: E402


class Approve(unittest.TestCase):
    def setUp(self):
        self.relay = Relay()
        self.addCleanup(self.relay.close)
        self.dir = self.relay.path('admin')
        made = subprocess.run([POSTERN, 'tenant', 'init', 'contoso', '--dir', self.dir, '--no-passphrase', '--json'], capture_output=True,
                              text=True, check=True, timeout=300)
        added = json.loads(self.relay.cli('tenant', 'add', 'contoso', '--pin', json.loads(made.stdout)['pin'], '--json'))
        self.relay.tenant, self.relay.admin = 'contoso', added['admin_secret']
        with open(self.relay.path('admin.secret'), 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(self.relay.admin)

    def tenant(self, *words):
        return subprocess.run([POSTERN, 'tenant', *words, '--dir', self.dir, '--relay', f'https://127.0.0.1:{self.relay.port}',
                               '--admin-secret-file', self.relay.path('admin.secret'), '--ca-file', self.relay.path('server.pem'), '--json'],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)

    def approve(self, domains, chosen):
        """The roster's domains that names without a domain go to afterwards, and what was said."""
        c = Connector(self.relay, 'newcomer')
        self.assertEqual(c.announce(domains=domains)[0], 202)
        done = self.tenant('approve', 'newcomer', c.identity['kid'], '--domains', chosen)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [d['name'] for d in json.loads(done.stdout)['domains'] if d['default']], done.stderr

    def by_hand(self, *words):
        """What the admin types, but the answers."""
        return [POSTERN, 'tenant', *words, '--dir', self.dir, '--relay', f'https://127.0.0.1:{self.relay.port}',
                '--admin-secret-file', self.relay.path('admin.secret'), '--ca-file', self.relay.path('server.pem')]

    def members(self):
        return {c['name'] for c in json.loads(self.tenant('roster', 'fetch').stdout or '{"connectors": []}')['connectors']}

    def domain(self, name, **more):
        return {'name': name, 'suffixes': [], 'netbios': [name.split('.')[0].upper()], **more}

    def test_a_person_is_asked(self):
        """Which domains: a no, the end of the input and anything but yes change nothing."""
        c = Connector(self.relay, 'newcomer')
        self.assertEqual(c.announce(domains=[self.domain('a.example'), self.domain('b.example')])[0], 202)
        argv = self.by_hand('approve', 'newcomer', c.identity['kid'])
        for answer in ('no', 'n', '', None, 'a.example'):
            code, seen = at_a_terminal(argv, ('(yes/no; --domains A,B names some) ', answer))
            self.assertEqual(code, 1, seen)
            self.assertIn('nothing was changed', seen)
            self.assertEqual(self.members(), set())
        code, seen = at_a_terminal(argv, ('(yes/no', 'yes'))
        self.assertEqual((code, self.members()), (0, {'newcomer'}), seen)

    def test_an_enrolment_is_put_off(self):
        """`postern enroll` waits for as long as a relay that has no time says, asks again, and its token is still good."""
        token = self.relay.path('late.token')
        with open(token, 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(self.relay.cli('token', 'contoso', 'late'))
        bad = base64.b64encode(b'late:' + b'A' * 43).decode()
        store = int(subprocess.run(['pgrep', '-P', str(self.relay.process.pid)], stdout=subprocess.PIPE, text=True, check=True).stdout)
        crowd = [self.relay.connect() for _ in range(5)]  # one more than are served at once
        os.kill(store, signal.SIGSTOP)
        try:
            for s in crowd:
                self.addCleanup(s.close)
                s.sendall(f'POST /.well-known/est/contoso/simpleenroll HTTP/1.1\r\nHost: relay\r\nAuthorization: Basic {bad}\r\n'
                          'Content-Type: application/pkcs10\r\nContent-Length: 4\r\n\r\nAAAA'.encode())
            self.assertTrue(select.select(crowd, [], [], 60)[0], 'nobody is put off')  # so the others are being served
            late = subprocess.Popen([POSTERN, 'enroll', '--relay', f'https://127.0.0.1:{self.relay.port}', '--tenant', 'contoso', '--token-file', token,
                                     '--name', 'late', '--ca-file', self.relay.path('server.pem'), '--state-dir', self.relay.path('late')],
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            self.assertIn('the relay has many to enrol; asking again in ', late.stderr.readline())
        finally:
            os.kill(store, signal.SIGCONT)
        said, told = late.communicate(timeout=60)
        self.assertEqual(late.returncode, 0, told)
        self.assertIn('fingerprint', said.lower())

    def test_another_fingerprint(self):
        """The relay's is not shown: it would be copied from there, and nothing compared."""
        c = Connector(self.relay, 'newcomer')
        self.assertEqual(c.announce(domains=[self.domain('a.example')])[0], 202)
        kid = c.identity['kid']
        done = self.tenant('approve', 'newcomer', kid[:-1] + ('A' if kid[-1] != 'A' else 'B'))
        self.assertEqual(done.returncode, 1)
        self.assertIn('with another fingerprint than', done.stderr)
        self.assertNotIn(kid, done.stderr)
        done = self.tenant('approve', 'another', kid)
        self.assertIn('those that ask: newcomer', done.stderr)

    def test_a_domain_that_nobody_knows(self):
        """A mistyped one was taken in, and the connector got no sign-in."""
        c = Connector(self.relay, 'newcomer')
        self.assertEqual(c.announce(domains=[self.domain('a.example'), self.domain('b.example')])[0], 202)
        done = self.tenant('approve', 'newcomer', c.identity['kid'], '--domains', 'a.exampel')
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn('does not announce a.exampel', done.stderr)
        self.assertEqual(self.members(), set())

    def test_removal_is_asked(self):
        """Who goes, how many stay, and which domain nobody is left for."""
        for name, domain in (('north', 'a.example'), ('south', 'a.example'), ('west', 'b.example')):
            c = Connector(self.relay, name)
            self.assertEqual(c.announce(domains=[self.domain(domain)])[0], 202)
            self.assertEqual(self.tenant('approve', name, c.identity['kid'], '--domains', domain).returncode, 0)
        done = self.tenant('remove', 'north')
        self.assertEqual(done.returncode, 1)
        self.assertIn('say --yes', done.stderr)
        for answer in ('n', None):
            code, seen = at_a_terminal(self.by_hand('remove', 'west'), ('Remove it? (yes/no) ', answer))
            self.assertEqual(code, 1, seen)
            for words in ('Connector west (', 'its key is not accepted again. 2 connectors stay.',
                          'No connector is left for b.example then: nobody of it can sign in.', 'nothing was changed'):
                self.assertIn(words, seen)
        self.assertEqual(self.members(), {'north', 'south', 'west'})
        code, seen = at_a_terminal(self.by_hand('remove', 'north'), ('(yes/no) ', 'yes'))
        self.assertEqual((code, self.members()), (0, {'south', 'west'}), seen)
        self.assertNotIn('is left for', seen)
        self.assertEqual(self.tenant('remove', 'west', '--yes').returncode, 0)
        self.assertIn('nobody in it has', self.tenant('remove', 'west', '--yes').stderr)

    def test_no_passphrase_for_what_is_refused(self):
        """It was asked for first, and the mistake told afterwards."""
        with open(self.relay.path('pass'), 'w', encoding='ascii') as f:
            f.write('tenant passphrase\n')
        locked = self.relay.path('locked')
        subprocess.run([POSTERN, 'tenant', 'init', 'other', '--dir', locked, '--passphrase-file', self.relay.path('pass')], check=True, capture_output=True)
        subprocess.run([POSTERN, 'tenant', 'domain', 'set', 'a.example', '--dir', locked, '--passphrase-file', self.relay.path('pass')], check=True, capture_output=True)
        for words, said in ((('domain', 'set', 'a.example', '--sid', 'junk'), "a domain's SID is"), (('remove', 'nobody'), 'nobody in it has'),
                            (('init', 'other'), 'already holds a tenant key'), (('roster', 'sign', '--relay', 'relay.example'), 'is no https URL')):
            done = subprocess.run([POSTERN, 'tenant', *words, '--dir', locked], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(said, done.stderr)

    def test_nobody_makes_itself_the_default(self):
        """The admin said that bare names go nowhere: a newcomer's word does not change that."""
        self.assertEqual(self.tenant('domain', 'set', 'corp.example', '--not-default').returncode, 0)
        by_default, said = self.approve([self.domain('partner.example', default=True)], 'partner.example')
        self.assertEqual(by_default, [])
        self.assertIn('names without a domain', said)
        self.assertIn('tenant domain set partner.example --default', said)

    def test_the_first_connectors_default(self):
        """Where the roster has none, it is the one that the connector takes bare names for, not the first in its list."""
        by_default, said = self.approve([self.domain('a.example'), self.domain('b.example', default=True)], 'a.example,b.example')
        self.assertEqual(by_default, ['b.example'])
        self.assertIn('NetBIOS B, names without a domain', said)

    def test_the_default_that_was_not_chosen(self):
        by_default, _ = self.approve([self.domain('a.example'), self.domain('b.example', default=True)], 'a.example')
        self.assertEqual(by_default, ['a.example'])


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE, POSTERN = sys.argv[1:4]
    os.environ['ASAN_OPTIONS'] = os.environ.get('ASAN_OPTIONS', '') + ('' if os.getuid() == 0 else ':detect_leaks=0')
    unittest.main(argv=[sys.argv[0]] + sys.argv[4:], verbosity=2)
