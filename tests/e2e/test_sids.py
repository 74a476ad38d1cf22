"""A domain's SID is learnt once, kept across restarts, and another is refused until somebody says that the domain is a new one."""
import json
import os

from e2e import LAB, SiteTest, main, wait_for

DOMAIN = LAB['LAB_AD_DOMAIN']
SID = LAB['LAB_GOOD1_SID'].rpartition('-')[0]
OTHER = 'S-1-5-21-9-9-9'


class Sids(SiteTest):
    CONNECTORS = [('ldap', 'ldap')]

    def setUp(self):
        self.connector = self.site.connectors['ldap']
        self.path = os.path.join(self.connector.state, 'domain-sids')

    def kept(self):
        with open(self.path, encoding='utf-8') as f:
            text = f.read()
        return json.loads(text)['domains'].get(DOMAIN, {}) if text else {}

    def status(self):
        return ' '.join(self.connector.postern('status', check=False).stdout.split())

    def reason(self):
        user = self.account('GOOD1')
        return self.site.sign_in(*user[:2])[1]['reason']

    def restart_with(self, sid):
        self.connector.daemon.stop()
        with open(self.path, 'w', encoding='utf-8') as f:
            json.dump({'v': 1, 'domains': {DOMAIN: {'sid': sid, 'seen': '', 'source': 'learnt'}}}, f)
        self.connector.daemon.start()
        self.connector.wait_ready()

    def test_learnt_kept_and_repinned(self):
        wait_for('the SID is learnt', lambda: self.kept().get('sid') == SID)
        self.assertEqual(self.reason(), 'ok')
        self.assertIn(f'SID {SID} (learnt)', self.status())
        self.restart_with(OTHER)  # as if the domain were another one now
        self.assertEqual(self.reason(), 'foreign_sid')
        wait_for('the change is noted', lambda: self.kept().get('seen') == SID)
        self.assertEqual(self.kept()['sid'], OTHER)
        status = wait_for('status says it', lambda: self.status() if 'repin' in self.status() else '')
        self.assertIn(f'postern domain repin {DOMAIN}', status)
        self.assertIn('domain.sid_changed', self.connector.postern('log', '--events'))
        said = self.site.postern('domain', 'repin', DOMAIN, '--config', self.connector.config)
        self.assertIn(f'{SID} takes the place of {OTHER}', said)
        wait_for('the new SID is in force', lambda: self.reason() == 'ok')
        self.assertEqual(self.kept(), {'sid': SID, 'seen': '', 'source': 'learnt'})

    def test_damage_and_newer_versions(self):
        self.connector.daemon.stop()
        with open(self.path, 'w', encoding='utf-8') as f:
            f.write('{"v":1,"doma')
        self.connector.daemon.start()
        self.connector.wait_ready()
        wait_for('the SID is learnt again', lambda: self.kept_or_nothing().get('sid') == SID)
        self.assertEqual(self.reason(), 'ok')
        self.connector.daemon.stop()
        with open(self.path, 'w', encoding='utf-8') as f:
            f.write('{"v":2}')
        self.connector.daemon.start()
        self.connector.wait_ready()
        self.assertEqual(self.reason(), 'ok')
        with open(self.path, encoding='utf-8') as f:
            self.assertEqual(f.read(), '{"v":2}')
        os.unlink(self.path)
        self.connector.daemon.stop()
        self.connector.daemon.start()
        self.connector.wait_ready()

    def kept_or_nothing(self):
        try:
            return self.kept()
        except ValueError:
            return {}


if __name__ == '__main__':
    main()
