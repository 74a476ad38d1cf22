"""Hosts with an IPv6 and an IPv4 address, of which one leads nowhere: packets to it are lost, and nobody says so. Relay and domain controllers,
each way round: connectors enrol, become ready, and sign-ins are decided.

It wants a network and mounts of its own (unshare --net --mount), where /etc/hosts is the test's.
"""
import os
import socket
import subprocess
import sys
import threading
import time
import unittest

import slow_network
from e2e import LAB, WRONG, SiteTest

HOLE, HOLE6 = '10.99.0.9', 'fd99::9'  # behind a way on which every packet is lost
RELAY = 'relay.test'


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Forwarder(threading.Thread):
    """What comes to an IPv6 address goes on to an IPv4 one, and back."""

    def __init__(self, here, there):
        super().__init__(daemon=True)
        self.there, self.listener = there, socket.create_server(here, family=socket.AF_INET6)

    def run(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            far = socket.create_connection(self.there)
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self.pump, args=(a, b), daemon=True).start()

    @staticmethod
    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class DualStack(SiteTest):
    CONNECTORS = []

    @classmethod
    def prepare(cls):
        port = free_port()
        cls.RELAY = {'listen': f'127.0.0.1:{port}\nlisten = [::1]:{port}'}
        cls.enterClassContext(slow_network.SlowWay(0, 100))
        cls.hosts = os.path.join(cls.top, 'hosts')
        with open('/etc/hosts', encoding='ascii') as f:
            cls.old_hosts = ''.join(line for line in f if LAB['LAB_AD_HOST'] not in line)
        cls.write_hosts()
        os.chmod(cls.hosts, 0o644)
        subprocess.run(['mount', '--bind', cls.hosts, '/etc/hosts'], check=True)
        os.chmod(cls.top, 0o711)
        forwarder = Forwarder(('::1', 636), (LAB['LAB_AD_ADDRESS'], 636))
        forwarder.start()
        cls.addClassCleanup(forwarder.listener.close)

    @classmethod
    def write_hosts(cls, **addresses):
        with open(cls.hosts, 'w', encoding='ascii') as f:  # in its place: it is what is mounted
            for host, both in {'relay': ('127.0.0.1',), 'dc': (LAB['LAB_AD_ADDRESS'],), **addresses}.items():
                f.write(''.join(f'{a} {RELAY if host == "relay" else LAB["LAB_AD_HOST"]}\n' for a in both))
            f.write(cls.old_hosts)  # last: c-ares 1.34 passes over a name's second line if its address had another name before

    def serves(self, name, **addresses):
        """A connector that begins its life there is up, and ten sign-ins are decided."""
        site = self.site
        self.write_hosts(**addresses)
        site.url, site.near = f'https://{RELAY}:{site.port}', f'https://127.0.0.1:{site.port}'  # Python would wait for the one that is dead
        c = site.add_connector(name, 'ldap')
        with open(c.config, encoding='utf-8') as f:
            text = f.read()
        with open(c.config, 'w', encoding='utf-8') as f:
            f.write(text.replace(f"@{LAB['LAB_AD_ADDRESS']}\n", '\n'))
        began = time.monotonic()
        c.enroll()
        enrolled = time.monotonic()
        c.up_enrolled()
        ready = time.monotonic()
        user, password, _ = self.account('GOOD1')
        print(f'  {name}: enrolled after {enrolled - began:.1f} s, ready {ready - enrolled:.1f} s later', flush=True)
        slowest = 0
        for i in range(10):
            began = time.monotonic()
            code, told = site.sign_in(user, WRONG if i == 5 else password, connector=c.id)
            slowest = max(slowest, time.monotonic() - began)
            self.assertEqual((code, told['reason']), (1, 'wrong_password') if i == 5 else (0, 'ok'), told)
        print(f'  {name}: the slowest of 10 sign-ins took {1000 * slowest:.0f} ms', flush=True)
        c.daemon.stop()

    def test_relay_without_ipv6(self):
        self.serves('relay-v4', relay=(HOLE6, '127.0.0.1'))

    def test_relay_without_ipv4(self):
        self.serves('relay-v6', relay=('::1', HOLE))

    def test_domain_controller_without_ipv6(self):
        self.serves('dc-v4', dc=(HOLE6, LAB['LAB_AD_ADDRESS']))

    def test_domain_controller_without_ipv4(self):
        self.serves('dc-v6', dc=('::1', HOLE))


if __name__ == '__main__':
    if os.geteuid() != 0:
        print('needs root: a network and mounts of its own')
        sys.exit(77)
    from e2e import main
    main()
