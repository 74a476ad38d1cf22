#!/usr/bin/python3
"""The gateway's LDAP door in front of a real domain, by ldap-utils: what binds cost there, and the entry with real attributes."""
import os
import re
import subprocess

from e2e import LAB, WRONG, bad_password_count, main
from test_gateway import GatewayTest


class LdapDoor(GatewayTest):
    DOMAIN = {'north': 'attributes = mail, memberOf\ngroups = nested\n'}
    BASE = ',ou=people,' + ','.join('dc=' + label for label in LAB['LAB_AD_DOMAIN'].split('.'))
    SETTINGS = f'listen = ldap:127.0.0.1:0\nldap_dn = uid=%u{BASE}\nldap_name = %u@{LAB["LAB_AD_DOMAIN"]}\nname_failures = 100\n'

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with open(cls.gateway.ready_file, encoding='ascii') as f:
            cls.url = 'ldap://' + re.search(r'^ldap:(.*)$', f.read(), re.M)[1]

    def tool(self, name, user, password, *words):
        done = subprocess.run([name, '-x', '-H', self.url, '-D', user, '-w', password, *words], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, 'LDAPNOINIT': '1'}, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr

    def test_a_wrong_bind_costs_one_count(self):
        upn, password, sid = self.account('GOOD2')
        sam = LAB['LAB_GOOD2_SAM']
        for user in (upn, f'{LAB["LAB_AD_NETBIOS"]}\\{sam}', f'uid={sam}{self.BASE}'):
            with self.subTest(user=user):
                before = bad_password_count(sam)
                code, text = self.tool('ldapwhoami', user, WRONG)
                self.assertEqual(code, 49, text)
                self.assertIn('data 52e', text)
                self.assertEqual(bad_password_count(sam), before + 1)
                code, text = self.tool('ldapwhoami', user, password)
                self.assertEqual((code, text), (0, f'dn:posternUserId={sid},{self.BASE.split(",", 2)[2]}\n'))
        self.assertEqual(self.tool('ldapwhoami', upn, '')[0], 53)
        self.assertEqual(bad_password_count(sam), 0)

    def test_states(self):
        for account, data in (('LOCKED', '775'), ('DISABLED', '533'), ('MUST_CHANGE', '773')):
            with self.subTest(account):
                upn, password, _ = self.account(account)
                code, text = self.tool('ldapwhoami', upn, password)
                self.assertEqual(code, 49, text)
                self.assertIn(f'AcceptSecurityContext error, data {data}, v', text)

    def test_the_entry(self):
        upn, password, sid = self.account('GOOD1')
        sam = LAB['LAB_GOOD1_SAM']
        code, text = self.tool('ldapsearch', upn, password, '-LLL', '-o', 'ldif-wrap=no', '-b', 'dc=x', f'(&(objectClass=user)(sAMAccountName={sam})(memberOf=*))')
        self.assertEqual(code, 0, text)
        values = dict(line.split(': ', 1) for line in text.strip().split('\n') if ': ' in line)
        self.assertEqual((values['mail'], values['posternUserId'], values['sAMAccountName']), (LAB['LAB_GOOD1_MAIL'], sid, sam))
        groups = re.findall(r'^memberOf: (.*)$', text, re.M)
        self.assertEqual(sorted(dn.split(',')[0] for dn in groups), ['CN=inner-group', 'CN=outer-group'])
        for filter_, found in ((f'(memberOf={groups[0].lower()})', True), (f'(!(memberOf={groups[0]}))', False), ('(!(memberOf=CN=other))', True),
                               (f'(memberOf:1.2.840.113556.1.4.1941:={groups[1]})', True), (f'(mail={LAB["LAB_GOOD1_MAIL"].upper()})', True)):
            self.assertEqual('dn: ' in self.tool('ldapsearch', upn, password, '-LLL', '-b', 'dc=x', filter_, '1.1')[1], found, filter_)


if __name__ == '__main__':
    main()
