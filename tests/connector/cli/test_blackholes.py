"""`postern check` where nothing answers: a relay behind a proxy, name servers and 128 domain controllers of 8 domains are black holes, by
a device that swallows every packet. It prints how long each took; more than 15 s fails.

usage: test_blackholes.py BUILD_DIR SOURCE_DIR      as root, in a network namespace of its own (unshare --net)
"""
import fcntl
import json
import os
import struct
import sys
import subprocess
import tempfile
import time
import unittest

sys.argv[1:3] = [os.path.abspath(a) for a in sys.argv[1:3]]
BUILD, SOURCE = sys.argv[1:3]
sys.path.insert(0, os.path.join(SOURCE, 'tests/connector/findings'))
from fakes import Certificates  # noqa: E402

POSTERN = os.path.join(BUILD, 'connector', 'cli', 'postern')
BOUND_S = 15
DOMAINS, DCS = 8, 16
HOLE = '10.99.0.'  # nobody has such an address; what is sent there goes to the device


def hole():
    """lo, and a device whose packets nobody reads: nobody refuses, nobody answers. The descriptor that keeps it."""
    fd = os.open('/dev/net/tun', os.O_RDWR)
    fcntl.ioctl(fd, 0x400454ca, struct.pack('16sH22x', b'hole', 0x1001))  # TUNSETIFF; a TUN without a header
    for words in ('link set lo up', 'link set hole up', 'addr add 10.99.0.1/16 dev hole'):
        subprocess.run(['ip', *words.split()], check=True)
    return fd


class BlackHolesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.addClassCleanup(os.close, hole())
        cls.dir = tempfile.TemporaryDirectory(prefix='postern-holes-', dir='/dev/shm')
        cls.addClassCleanup(cls.dir.cleanup)
        os.mkdir(os.path.join(cls.dir.name, 'certs'))
        cls.certificates = Certificates(os.path.join(cls.dir.name, 'certs'))

    def world(self, name, relay, connector='', domain=lambda d: ''):
        folder = os.path.join(self.dir.name, name)
        state = os.path.join(folder, 'state')
        os.makedirs(state, 0o700)
        for key in ('identity.pem', 'transport.key'):
            subprocess.run(['openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', os.path.join(state, key)],
                           check=True, capture_output=True)
            os.chmod(os.path.join(state, key), 0o600)
        subprocess.run(['openssl', 'req', '-x509', '-new', '-key', os.path.join(state, 'transport.key'), '-subj', '/CN=x', '-days', '2', '-out',
                        os.path.join(state, 'transport.pem')], check=True, capture_output=True)
        with open(os.path.join(state, 'enrolment.json'), 'w', encoding='utf-8') as f:
            json.dump({'v': 1, 'relay': relay, 'tenant': 'contoso', 'id': 'TESTCONNECTOR00000001', 'name': 'north', 'pin': 'A' * 43}, f)
        path = os.path.join(folder, 'postern.conf')
        users = 'user_link = daemon\nuser_validator = bin\nuser_ledger = nobody\n'
        with open(path, 'w', encoding='utf-8') as f:
            f.write(f'[connector]\nname = north\nstate_dir = {state}\nruntime_dir = {folder}/run\n{users}'
                    f'relay_ca_file = {self.certificates.path("ca.pem")}\n{connector}')
            for d in range(DOMAINS):
                f.write(f'[domain d{d}.example]\nmethods = ldap\nca_file = {self.certificates.path("ca.pem")}\n{domain(d)}')
        return path

    def check(self, name, **world):
        path = self.world(name, **world)
        began = time.monotonic()
        done = subprocess.run([POSTERN, 'check', '--json', '--config', path], capture_output=True, text=True, check=False, timeout=120)
        took = time.monotonic() - began
        steps = json.loads(done.stdout)['steps']
        failed = [s for s in steps if s['result'] == 'failed']
        print(f'{name}: {took:.1f} s, {len(steps)} lines, {len(failed)} failed')
        self.assertEqual(done.returncode, 1)
        self.assertLess(took, BOUND_S)
        return failed

    def test_everything_by_address(self):
        """128 domain controllers and the relay."""
        failed = self.check('addresses', relay=f'https://{HOLE}200',
                            domain=lambda d: 'dcs = ' + ', '.join(f'dc{i}.d{d}.example@10.99.{d + 1}.{i + 1}' for i in range(DCS)) + '\n')
        self.assertEqual(sum(s['step'] == 'dc' for s in failed), DOMAINS * DCS)
        self.assertEqual({s['code'] for s in failed if s['step'] == 'dc'}, {'dc_unreachable'})
        self.assertEqual([s['code'] for s in failed if s['step'] == 'relay'], ['relay_timeout'])

    def test_every_name_server(self):
        failed = self.check('names', relay='https://relay.example.com', connector=f'dns_servers = {HOLE}53, {HOLE}54\n',
                            domain=lambda d: 'discover = yes\n')
        self.assertEqual(sum(s.get('code') == 'no_dc_known' for s in failed), DOMAINS)

    def test_a_proxy(self):
        failed = self.check('proxy', relay='https://relay.example.com', connector=f'proxy = http://{HOLE}201:3128\n',
                            domain=lambda d: f'dcs = dc1.d{d}.example@10.99.{d + 1}.1\n')
        self.assertEqual(len([s for s in failed if s['step'] == 'relay']), 1)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
