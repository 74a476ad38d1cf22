"""The transport certificate is renewed while sign-ins run, and none is lost; also through a proxy; one that has expired says what to do."""
import json
import os
import ssl
import subprocess
import time
import unittest

from e2e import main, wait_for
from renewing import LIFE_S, Proxy, RenewingTest


class Renewal(RenewingTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.proxy = Proxy()
        cls.proxy.start()
        cls.addClassCleanup(cls.proxy.listener.close)
        cls.off = cls.site.add_connector('off', 'ldap')  # off until its certificate has ended, which is waited for last
        cls.off.up()
        cls.off.daemon.stop()
        cls.site.add_connector('direct', 'ldap').up()
        cls.site.add_connector('proxied', 'ldap', extra=f'proxy = {cls.proxy.url}\n').up()

    def test_a_no_sign_in_is_lost(self):
        connectors = [self.site.connectors[name] for name in ('direct', 'proxied')]
        status = json.loads(connectors[0].postern('status', '--json', check=False).stdout)
        link = status['parts']['link']['value']
        self.assertLess(link['certificate_renewal'], link['certificate_expires'])
        self.assertEqual(link['certificate_days_left'], 0)
        self.renew_under_load(connectors, 1)
        self.set_clock(0)  # what is made from now on lasts longer than this test
        self.renew_under_load(connectors, 1)
        for c in connectors:
            with open(os.path.join(c.state, 'transport.pem'), encoding='ascii') as f:
                self.assertIn('PRIVATE KEY', f.read())
        self.assertGreaterEqual(self.proxy.connects, 3)

    def test_b_starts_with_the_renewed_one(self):
        c = self.site.connectors['direct']
        c.daemon.stop()
        c.start()
        c.wait_ready()
        self.site.postern('enroll', '--renew', '--state-dir', c.state)
        c.daemon.stop()
        c.start()
        c.wait_ready()

    def test_c_expired(self):
        """Off for longer than its certificate lives: said so, and mended by a token without a new approval."""
        c = self.off

        def ended():
            # a certificate is good up to the end of its last second, and a connector that starts within that renews it
            done = subprocess.run(['openssl', 'x509', '-noout', '-enddate', '-in', os.path.join(c.state, 'transport.pem')],
                                  capture_output=True, text=True, check=True)
            return time.time() > ssl.cert_time_to_seconds(done.stdout.strip().removeprefix('notAfter=')) + 1
        wait_for('the certificate ends', ended, LIFE_S)
        c.start()

        def said():
            text = ' '.join(c.postern('status', check=False).stdout.split())
            return 'postern enroll --again' in text and 'set the clock' in text
        wait_for('status says what to do', said)
        refused = self.site.postern('enroll', '--renew', '--state-dir', c.state, check=False)
        self.assertEqual(refused.returncode, 1)
        self.assertIn('transport certificate', refused.stderr)
        self.assertIn('postern enroll --again', refused.stderr)
        self.assertNotIn('the relay does not accept the token', refused.stderr)
        token = os.path.join(c.dir, 'token')
        with open(token, 'w', encoding='ascii') as f:
            f.write(self.site.token('off'))
        self.site.postern('enroll', '--again', '--token-file', token, '--state-dir', c.state)
        c.daemon.stop()
        c.start()
        c.wait_ready()
        user, password, _ = self.account('GOOD1')
        self.assertEqual(self.site.sign_in(user, password, connector=c.id)[1]['verdict'], 'accepted')
        self.assertEqual(self.site.postern('enroll', '--again', '--token-file', token, '--state-dir', c.state, check=False).returncode, 1)


if __name__ == '__main__':
    if os.geteuid() != 0:
        raise unittest.SkipTest('reading the state folder of a connector needs root')
    main()
