"""The unit files by systemd-analyze, and the nftables rules by nft: at most EXPOSURE_MAX, and what is relaxed is explained.

usage: test_units.py SOURCE BUILD
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE, BUILD = sys.argv[1:3]
UNITS = {'postern-account@.service': 2.0, 'postern-metrics.service': 2.0, 'postern.service': 2.0, 'postern-relay.service': 2.0, 'postern-gateway.service': 2.0, 'postern-web.service': 2.0,
         'postern-asker@.service': 2.0}
EXPLAINED = ('CapabilityBoundingSet=CAP', 'AmbientCapabilities=CAP', 'RestrictAddressFamilies=', 'SystemCallFilter=@')

# Connects as each user to 127.0.0.2 (anybody) and 127.0.0.1 (a domain controller).
CONNECTS = """
import encodings.idna, os, pwd, socket
listeners = [socket.create_server((host, port)) for host in ('127.0.0.1', '127.0.0.2', '127.0.0.3') for port in (53, 80, 443, 636)]
def told(host, port):
    try:
        socket.create_connection((host, port), 2).close()
        return 'yes'
    except OSError:
        return 'no'
for user in ('daemon', 'bin', 'nobody'):
    pid = os.fork()
    if pid == 0:
        os.setuid(pwd.getpwnam(user).pw_uid)
        print(user, '443:' + told('127.0.0.2', 443), '636:' + told('127.0.0.2', 636), '636@dc:' + told('127.0.0.1', 636),
              '80:' + told('127.0.0.2', 80), '53:' + told('127.0.0.2', 53), '53@own:' + told('127.0.0.3', 53), flush=True)
        os._exit(0)
    os.waitpid(pid, 0)
"""


class Units(unittest.TestCase):
    def test_exposure(self):
        for name, most in UNITS.items():
            unit = os.path.join(BUILD, 'connector', name)
            said = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--no-pager', unit], check=True, capture_output=True,
                                  text=True).stdout
            exposure = float(re.search(r'exposure level for \S+: ([0-9.]+)', said)[1])
            print(name, exposure)
            self.assertLessEqual(exposure, most, said)

    def test_relaxations_are_explained(self):
        """Each stands under a comment, in its own block."""
        for name in UNITS:
            with open(os.path.join(SOURCE, 'connector', 'packaging', name + '.in'), encoding='utf-8') as f:
                blocks = f.read().split('\n\n')
            for block in blocks:
                for key in EXPLAINED:
                    if any(line.startswith(key) for line in block.splitlines()):
                        self.assertIn('\n# ', '\n' + block, f'{name}: {key}')

    def test_firewall(self):
        """The kernel's own judgement, in a network namespace, with users that are on every machine."""
        if os.geteuid() != 0:
            self.skipTest('nft needs root')
        with open(os.path.join(SOURCE, 'connector', 'packaging', 'postern.nft'), encoding='utf-8') as f:
            rules = f.read()
        for user, stand_in in (('postern-link', 'daemon'), ('postern-validator', 'bin'), ('postern-ledger', 'nobody'),
                               ('postern-account', 'games')):
            self.assertIn(f'"{user}"', rules)
            rules = rules.replace(f'"{user}"', f'"{stand_in}"')
        self.assertIn('set dcs4 { type ipv4_addr; flags interval; }', rules)
        rules = rules.replace('set dcs4 { type ipv4_addr; flags interval; }',
                              'set dcs4 { type ipv4_addr; flags interval; elements = { 127.0.0.1 } }')
        # the validator's name servers are a set of their own, so that they can be fewer than the link's
        any_local = 'set dc_resolvers4 { type ipv4_addr; flags interval; elements = { 127.0.0.0/8 } }'
        self.assertIn(any_local, rules)
        rules = rules.replace(any_local, any_local.replace('127.0.0.0/8', '127.0.0.3'))
        with tempfile.NamedTemporaryFile('w', suffix='.nft') as f:
            f.write(rules)
            f.flush()
            done = subprocess.run(['unshare', '--net', 'sh', '-ec', 'ip link set lo up; nft -f "$1"; nft -f "$1"; exec python3 -c "$2"',
                                   '-', f.name, CONNECTS], capture_output=True, text=True, check=False)
        if done.returncode and ('unshare' in done.stderr or 'not permitted' in done.stderr):
            self.skipTest(done.stderr.strip())
        self.assertEqual(done.returncode, 0, done.stderr)
        # the link: the relay's port elsewhere, no domain controller; the validator: domain controllers; the ledger: nobody
        self.assertEqual(done.stdout.split('\n')[:3], [
            'daemon 443:yes 636:no 636@dc:no 80:no 53:yes 53@own:yes', 'bin 443:no 636:no 636@dc:yes 80:no 53:no 53@own:yes',
            'nobody 443:no 636:no 636@dc:no 80:no 53:no 53@own:no'])


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
