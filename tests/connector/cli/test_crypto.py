"""A broken set-up of OpenSSL is named by each program when it starts, with the file and what is wrong in it.

usage: test_crypto.py POSTERN POSTERND POSTERN-RELAY
"""
import os
import subprocess
import sys
import tempfile
import unittest

RELAY = sys.argv.pop()
POSTERND = sys.argv.pop()
POSTERN = sys.argv.pop()

PROVIDERS = '''openssl_conf = init
[init]
providers = providers
[providers]
{0} = section
{1}
[section]
activate = 1
'''
# name -> (openssl.cnf, what must be said of it)
BROKEN = {
    'a provider that is not there': (PROVIDERS.format('nosuch', ''), 'nosuch'),
    'one that has no algorithms': (PROVIDERS.format('base', ''), 'SHA-256'),
    'properties that nobody has': ('openssl_conf = init\n[init]\nalg_section = algs\n[algs]\ndefault_properties = fips=yes\n', 'SHA-256'),
    'no version of TLS that we speak': ('openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\n'
                                        'MaxProtocol = TLSv1.1\n', 'TLS'),
    'no cipher': ('openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\n'
                  'CipherString = aNULL\nCiphersuites =\n', 'TLS'),
}
FINE = {
    'no file': None,
    'an empty one': '',
    'the default provider and one that is not there': PROVIDERS.format('default', 'nosuch = section'),
}
# What it read like.
MISLEADING = ('out of memory', 'no memory', 'not a P-256 key', 'not an error')


class Crypto(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='postern-crypto-')
        self.addCleanup(folder.cleanup)
        self.dir = folder.name
        self.cnf = self.path('openssl.cnf')
        self.write('postern.conf', f'[connector]\nname = c\nstate_dir = {self.path("state")}\nruntime_dir = {self.path("run")}\n'
                                   '[domain corp.example]\ndcs = dc1.corp.example\n')
        self.write('relay.conf', f'[relay]\nlisten = 127.0.0.1:0\ncertificate = /no\nkey = /no\nstate_dir = {self.path("relay")}\n')
        os.mkdir(self.path('relay'), 0o700)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), 'w', encoding='utf-8') as out:
            out.write(text)

    def run_with(self, text, words):
        env = {**os.environ, 'OPENSSL_CONF': self.cnf}
        if os.path.exists(self.cnf):
            os.unlink(self.cnf)
        if text is not None:
            self.write('openssl.cnf', text)
        return subprocess.run(words, env=env, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL, check=False)

    def programs(self):
        service = self.path(f'service-{len(os.listdir(self.dir))}')
        return {'postern': [POSTERN, 'service', 'init', 'portal', '--service', service],
                'posternd': [POSTERND, '--config', self.path('postern.conf')],
                'postern-relay': [RELAY, '--config', self.path('relay.conf'), 'tenant', 'list']}

    def test_broken(self):
        for kind, (text, wanted) in BROKEN.items():
            for name, words in self.programs().items():
                if name == 'posternd' and wanted == 'TLS':
                    continue  # its children speak TLS, and have no OPENSSL_CONF
                with self.subTest(f'{name}: {kind}'):
                    done = self.run_with(text, words)
                    said = done.stdout + done.stderr
                    self.assertEqual(done.returncode, 78 if name == 'posternd' else 1, said)
                    self.assertIn('OpenSSL', said)
                    self.assertIn(self.cnf, said)
                    self.assertIn(wanted, said)
                    for words_of_others in MISLEADING:
                        self.assertNotIn(words_of_others, said)

    def test_fine(self):
        for kind, text in FINE.items():
            for name, words in self.programs().items():
                with self.subTest(f'{name}: {kind}'):
                    done = self.run_with(text, words)
                    self.assertNotIn('OpenSSL', done.stdout + done.stderr)
                    self.assertEqual(done.returncode, 78 if name == 'posternd' else 0, done.stderr)  # it is not enrolled


if __name__ == '__main__':
    unittest.main(verbosity=2)
