#!/usr/bin/python3
"""What `postern tenant approve` takes over of what a connector announces. Usage: test_approve.py RELAY FORGE POSTERN"""
import json
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import relay_site  # noqa: E402
from relay_site import Connector, Relay  # noqa: E402


class Approve(unittest.TestCase):
    def setUp(self):
        self.relay = Relay()
        self.addCleanup(self.relay.close)
        self.dir = self.relay.path('admin')
        made = subprocess.run([POSTERN, 'tenant', 'init', 'contoso', '--dir', self.dir, '--no-passphrase', '--json'], capture_output=True,
                              text=True, check=True, timeout=60)
        added = json.loads(self.relay.cli('tenant', 'add', 'contoso', '--pin', json.loads(made.stdout)['pin'], '--json'))
        self.relay.tenant, self.relay.admin = 'contoso', added['admin_secret']
        with open(self.relay.path('admin.secret'), 'w', encoding='ascii', opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(self.relay.admin)

    def tenant(self, *words):
        return subprocess.run([POSTERN, 'tenant', *words, '--dir', self.dir, '--relay', f'https://127.0.0.1:{self.relay.port}',
                               '--admin-secret-file', self.relay.path('admin.secret'), '--ca-file', self.relay.path('server.pem'), '--json'],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)

    def approve(self, domains, chosen):
        """The roster's domains that names without a domain go to afterwards, and what was said."""
        c = Connector(self.relay, 'newcomer')
        self.assertEqual(c.announce(domains=domains)[0], 202)
        done = self.tenant('approve', 'newcomer', c.identity['kid'], '--domains', chosen)
        self.assertEqual(done.returncode, 0, done.stderr)
        return [d['name'] for d in json.loads(done.stdout)['domains'] if d['default']], done.stderr

    def domain(self, name, **more):
        return {'name': name, 'suffixes': [], 'netbios': [name.split('.')[0].upper()], **more}

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
