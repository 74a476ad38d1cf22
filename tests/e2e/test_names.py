"""What the link has from files of its host: names and CAs. It reads them at its start and opens no file later, also not for the second
link that a renewed certificate brings.

Runs in a mount namespace of its own, where /etc/hosts, /etc/resolv.conf and the system's CAs are the test's.
"""
import os
import socket
import subprocess
import unittest

from e2e import main, wait_for
from postern_site import Daemon
from renewing import Proxy, RenewingTest

NAME_SERVER = '127.0.0.77'  # a loopback address of its own, for port 53


SYSTEM_CAS = '/etc/ssl/certs/ca-certificates.crt'


class Names(RenewingTest):
    @classmethod
    def prepare(cls):
        cls.hosts, cls.resolv = os.path.join(cls.top, 'hosts'), os.path.join(cls.top, 'resolv.conf')
        with open('/etc/hosts', encoding='ascii') as f:
            cls.old_hosts = f.read()
        for path, text in ((cls.hosts, cls.old_hosts), (cls.resolv, f'nameserver {NAME_SERVER}\noptions timeout:1 attempts:1\n')):
            with open(path, 'w', encoding='ascii') as f:
                f.write(text)
            os.chmod(path, 0o644)
            subprocess.run(['mount', '--bind', path, '/etc/' + os.path.basename(path)], check=True)
        os.chmod(cls.top, 0o711)

    def mount_cas(self):
        """The relay's CA as one of the system's."""
        path = os.path.join(self.top, 'system-cas.pem')
        with open(path, 'wb') as out:
            for name in (SYSTEM_CAS, self.site.ca):
                with open(name, 'rb') as f:
                    out.write(f.read())
        os.chmod(path, 0o644)
        subprocess.run(['mount', '--bind', path, SYSTEM_CAS], check=True)
        self.addCleanup(subprocess.run, ['umount', SYSTEM_CAS], check=True)

    def setUp(self):
        self.site.url = f'https://relay.test:{self.site.port}'

    def signs_in(self, connector):
        user, password, _ = self.account('GOOD1')
        code, verdict = self.site.sign_in(user, password, connector=connector.id)
        self.assertEqual((code, verdict['verdict']), (0, 'accepted'), verdict)

    def write_hosts(self, more):
        with open(self.hosts, 'w', encoding='ascii') as f:  # in its place: it is what is mounted
            f.write(self.old_hosts + more)

    def test_hosts_file(self):
        self.write_hosts('127.0.0.1 relay.test\n')
        connector = self.site.add_connector('by-file', 'ldap')
        connector.up()
        self.write_hosts('')
        self.write_hosts('127.0.0.1 relay.test\n')
        self.signs_in(connector)
        connector.daemon.stop()
        self.write_hosts('')

    def test_name_server(self):
        log = os.path.join(self.top, 'dnsmasq.log')
        argv = ['dnsmasq', '--keep-in-foreground', '--no-resolv', '--no-hosts', '--bind-interfaces', f'--listen-address={NAME_SERVER}',
                '--conf-file=/dev/null', '--log-facility=-', '--user=root', '--pid-file=', '--address=/relay.test/127.0.0.1']
        self.write_hosts('127.0.0.1 relay.test\n')
        connector = self.site.add_connector('by-dns', 'ldap')
        connector.enroll()
        self.write_hosts('')
        connector.start()

        def told():
            connector.daemon.check()
            return 'cannot find the address of relay.test' in connector.postern('status', check=False).stdout
        wait_for('the link says that the name is not found', told)
        server = Daemon('dnsmasq', argv, log, self.site.env)
        self.addCleanup(server.stop)

        def served():
            try:
                return server.check() and socket.gethostbyname('relay.test')
            except OSError:
                return False
        wait_for('the name server serves', served)
        wait_for('it asks to be approved', lambda: connector.daemon.check() and connector.pending())
        connector.approve()
        connector.wait_ready()
        self.signs_in(connector)
        connector.daemon.stop()

    def test_renewal_without_files(self):
        """By the system's CAs and the hosts file, directly and through a proxy that is asked by TLS."""
        self.write_hosts('127.0.0.1 relay.test\n')
        self.mount_cas()
        proxy = Proxy('relay.test', os.path.join(self.site.dir, 'relay.pem'), os.path.join(self.site.dir, 'relay.key'))
        proxy.start()
        self.addCleanup(proxy.listener.close)
        connectors = [self.site.add_connector('direct', 'ldap'),
                      self.site.add_connector('by-tls-proxy', 'ldap', extra=f'proxy = {proxy.url}\n')]
        for connector in connectors:
            connector.enroll()
            os.unlink(os.path.join(connector.state, 'relay-ca.pem'))
            connector.start()
            wait_for('it asks to be approved', lambda c=connector: c.daemon.check() and c.pending())
            connector.approve()
            connector.wait_ready()
        before = proxy.connects
        self.assertGreater(before, 0)
        self.renew_under_load(connectors, 1)
        self.assertGreater(proxy.connects, before)
        for connector in connectors:
            connector.daemon.stop()
        self.write_hosts('')


if __name__ == '__main__':
    if os.geteuid() != 0:
        raise unittest.SkipTest('mounting over /etc/hosts needs root')
    main()
