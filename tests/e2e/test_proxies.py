"""The way to the relay is one decision: `postern enroll` and posternd go by the same proxy, with the same user, and fail in the same words.

Run in the lab, in a mount namespace of its own: relay.test stands in the hosts file.
"""
import os
import subprocess
import tempfile
import unittest

from e2e import SiteTest, main, wait_for
from proxies import Asking, Socks
from renewing import Proxy

NAMES = ('https_proxy', 'HTTPS_PROXY', 'all_proxy', 'ALL_PROXY', 'no_proxy', 'NO_PROXY')


class Proxies(SiteTest):
    CONNECTORS = []
    number = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.hosts = tempfile.NamedTemporaryFile('w', prefix='postern-hosts-')
        cls.addClassCleanup(cls.hosts.close)
        cls.hosts.write('127.0.0.1 localhost relay.test\n')
        cls.hosts.flush()
        os.chmod(cls.hosts.name, 0o644)
        subprocess.run(['mount', '--bind', cls.hosts.name, '/etc/hosts'], check=True)
        cls.addClassCleanup(subprocess.run, ['umount', '/etc/hosts'], check=True)
        cls.site.url = f'https://relay.test:{cls.site.port}'

    def proxy(self, proxy):
        proxy.start()
        self.addCleanup(proxy.listener.close)
        return proxy

    def connector(self, environment, extra=''):
        Proxies.number += 1
        for name in NAMES:
            self.site.env.pop(name, None)
        self.site.env.update(environment)
        return self.site.add_connector(f'c{Proxies.number}', 'ldap', extra=extra)

    def comes_up(self, environment, extra=''):
        """It enrols, and its daemon asks to be approved."""
        connector = self.connector(environment, extra)
        connector.enroll(more=('--config', connector.config))
        connector.start()
        wait_for('it asks to be approved', lambda: connector.daemon.check() and connector.pending())
        connector.daemon.stop()

    def fails_alike(self, environment, *words):
        """enroll's error and the daemon's log hold all of the words; the daemon goes on and tries again."""
        connector = self.connector({})
        connector.enroll()
        self.site.env.update(environment)
        with self.assertRaises(Exception) as caught:
            self.site.add_connector(f'{connector.name}-fails', 'ldap').enroll()
        connector.start()
        log = os.path.join(connector.dir, 'log')

        def told():
            with open(log, encoding='utf-8') as f:
                text = f.read()
            return all(word in text for word in words) and text
        text = wait_for(f'the log says {words}', lambda: connector.daemon.check() and told())
        for word in words:
            self.assertIn(word, str(caught.exception))
        for secret in ('p@ss', 'p%40ss', 'other-one'):
            self.assertNotIn(secret, text + str(caught.exception))
        connector.daemon.stop()

    def test_users(self):
        """Awkward ones, by each scheme, of the environment and of the configuration."""
        for scheme in ('basic', 'digest', 'ntlm'):
            proxy = self.proxy(Asking(scheme))
            with self.subTest(scheme):
                self.comes_up({'https_proxy': proxy.with_user()})
                first = proxy.connects
                self.assertGreaterEqual(first, 2)
                self.comes_up({}, f'proxy = {proxy.with_user()}\n')
                self.assertGreaterEqual(proxy.connects, first + 2)

    def test_refused(self):
        proxy = self.proxy(Asking('basic'))
        self.fails_alike({'https_proxy': proxy.url}, 'asks for a user and password (407')
        proxy = self.proxy(Asking('digest'))
        self.fails_alike({'https_proxy': proxy.with_user(password='other-one')}, 'refuses its user or password (407')
        proxy = self.proxy(Asking('forbid'))
        self.fails_alike({'https_proxy': proxy.url}, 'forbids the connection (403)')

    def test_socks(self):
        """Those that take addresses get one, which was looked up here; the others the name."""
        for scheme, names in (('socks4', False), ('socks4a', True), ('socks5', False), ('socks5h', True)):
            with self.subTest(scheme):
                proxy = self.proxy(Socks(scheme))
                self.comes_up({'https_proxy': proxy.url})
                self.assertGreaterEqual(proxy.connects, 2)
                self.assertEqual((proxy.names > 0, proxy.addresses > 0), (names, not names))
        proxy = self.proxy(Socks('socks5h', ('svc', 'secret')))
        self.comes_up({}, f'proxy = {proxy.url}\n')
        self.assertGreaterEqual(proxy.connects, 2)

    def test_no_proxy(self):
        """Of the environment alone: a configured proxy is for each host."""
        nobody = 'http://127.0.0.1:1'
        for no_proxy in ('relay.test', '.test', '*', 'a.example, RELAY.TEST.'):
            with self.subTest(no_proxy):
                self.comes_up({'https_proxy': nobody, 'no_proxy': no_proxy})
        proxy = self.proxy(Proxy())
        self.comes_up({'no_proxy': '*'}, f'proxy = {proxy.url}\n')
        self.assertGreaterEqual(proxy.connects, 2)

    def test_a_form_that_is_none(self):
        """Refused with status 78, not tried again and again."""
        connector = self.connector({})
        connector.enroll()
        self.site.env['https_proxy'] = 'http://CORP\\svc:p@ss:w/rd%#?@127.0.0.1:1'
        connector.start()
        self.assertEqual(connector.daemon.process.wait(40), 78)
        self.assertIn('https_proxy of the environment: its user or password', connector.daemon.tail())
        self.assertNotIn('p@ss', connector.daemon.tail())


if __name__ == '__main__':
    if os.geteuid() != 0:
        raise unittest.SkipTest('mounting over /etc/hosts needs root')
    main()
