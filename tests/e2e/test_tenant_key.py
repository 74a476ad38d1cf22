"""The tenant key as postern-tenant-key(7) tells it: a roster signed with nobody there, a key that is lost, and one that is replaced while
people sign in.
"""
import copy
import json
import os

from e2e import SiteTest, main, wait_for
from tokens import PIN, SoftHsm


class TenantKey(SiteTest):
    """In the order of their names: the key works, is lost, is replaced."""
    CONNECTORS = [('north', 'ldap')]

    @classmethod
    def prepare(cls):
        super().prepare()
        os.chmod(cls.top, 0o755)
        cls.hsm = SoftHsm(os.path.join(cls.top, 'hsm'))
        cls.site.env.update(cls.hsm.env)
        cls.TENANT_KEY = cls.hsm.uri('tenant')

    def signed_in(self, site):
        user, password, sid = self.account('good1')
        code, verdict = site.sign_in(user, password)
        self.assertEqual((code, verdict['verdict'], verdict.get('user', {}).get('id')), (0, 'accepted', sid), verdict)

    def roster_of(self, connector):
        status = json.loads(connector.postern('status', '--json', check=False).stdout)
        return status['parts']['validator']['value']['roster_seq']

    def sign_roster(self, check=True):
        """As a timer runs it: no terminal, nothing on standard input, no option but the folder."""
        return self.site.postern('tenant', 'roster', 'sign', '--dir', os.path.join(self.site.dir, 'tenant'), '--json', check=check)

    def test_1_signed_with_nobody_there(self):
        north = self.site.connectors['north']
        before = self.roster_of(north)
        for i in (1, 2):
            self.assertNotIn(PIN, self.sign_roster())
            wait_for('the connector has the new roster', lambda i=i: self.roster_of(north) == before + i)
        self.signed_in(self.site)

    def test_2_lost(self):
        """Nothing ends at once: the roster in force goes on until its own end. But no further one can be signed."""
        os.rename(os.path.join(self.site.dir, 'tenant', 'tenant.key'), os.path.join(self.site.dir, 'lost.key'))
        done = self.sign_roster(check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn('tenant.key', done.stderr)
        self.signed_in(self.site)

    def test_3_replaced(self):
        """A tenant with a new key beside the old one, then the old one's end: nobody is turned away in between."""
        old, new = self.site, copy.copy(self.site)
        new.tenant, new.dir, new.connectors = 'contoso-2', os.path.join(old.dir, 'new'), {}
        os.makedirs(new.dir, mode=0o755)
        new.make_tenant()
        self.assertNotEqual(new.pin, old.pin)
        new.make_service()
        connector = new.add_connector('north-2', 'ldap')  # beside the old one, on the same host
        try:
            connector.up()
            self.signed_in(old)
            self.signed_in(new)
            old.relay_admin('tenant', 'remove', old.tenant, '--yes')
            user, password, _ = self.account('good1')
            code, answer = old.sign_in(user, password)
            self.assertEqual((code, answer['verdict']), (3, 'unavailable'), answer)
            self.signed_in(new)
        finally:
            if connector.daemon:
                connector.daemon.stop()


if __name__ == '__main__':
    main()
