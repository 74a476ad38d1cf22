"""Every account state by both methods, through service, relay, connector and a real DC; badPwdCount read from the DC."""
import json
import unicodedata

from e2e import LAB, SiteTest, WRONG, bad_password_count, main

# label -> what LDAP and Kerberos must say with the right password: (verdict, class, reason)
REFUSED = 'refused'
OK = ('accepted', 'none', 'ok')
STATES = {
    'GOOD1': (OK, OK),
    'ALT_SUFFIX': (OK, OK),
    'UTF8': (OK, OK),
    'DISABLED': ((REFUSED, 'policy', 'disabled'),) * 2,
    'LOCKED': ((REFUSED, 'policy', 'locked_out'),) * 2,
    'EXPIRED': ((REFUSED, 'policy', 'password_expired'),) * 2,
    'MUST_CHANGE': ((REFUSED, 'policy', 'must_change_password'),) * 2,
    'ACCOUNT_EXPIRED': ((REFUSED, 'policy', 'account_expired'),) * 2,
    'HOURS': ((REFUSED, 'policy', 'logon_hours'),) * 2,
    'WORKSTATION': ((REFUSED, 'policy', 'workstation'), OK),
    'PROTECTED': ((REFUSED, 'policy', 'account_restriction'), OK),
}


class States(SiteTest):
    DOMAIN = {'north': 'attributes = mail, memberOf\ngroups = nested\n'}

    def verdict(self, user, password, connector):
        code, v = self.site.sign_in(user, password, connector)
        self.assertEqual(code, {'accepted': 0, 'refused': 1, 'unavailable': 3}[v['verdict']], v)
        return v

    def test_right_password(self):
        for label, expected in STATES.items():
            user, password, sid = self.account(label)
            for (connector, method), (verdict, class_, reason) in zip(self.CONNECTORS, expected):
                with self.subTest(account=label, method=method):
                    v = self.verdict(user, password, connector)
                    self.assertEqual((v['verdict'], v['class'], v['reason']), (verdict, class_, reason), v)
                    self.assertEqual(v['method'], method)
                    self.assertEqual(v['connector_name'], connector)
                    self.assertEqual(v['dc'], LAB['LAB_AD_HOST'])
                    if verdict == 'accepted':
                        self.assertEqual(v['user']['id'], sid)
                        self.assertTrue(v['password_proved'])
                    else:
                        self.assertNotIn('user', v)

    def test_wrong_password_counts_exactly_one(self):
        for (connector, method), label in zip(self.CONNECTORS, ('GOOD3', 'GOOD4')):
            user, _, _ = self.account(label)
            sam = LAB[f'LAB_{label}_SAM']
            for attempt in range(1, 3):
                with self.subTest(method=method, attempt=attempt):
                    before = bad_password_count(sam)
                    v = self.verdict(user, WRONG, connector)
                    self.assertEqual((v['verdict'], v['class'], v['reason']), (REFUSED, 'credentials', 'wrong_password'), v)
                    self.assertEqual(v['may_have_counted'], '1')
                    self.assertFalse(v['password_proved'])
                    self.assertEqual(bad_password_count(sam), before + 1)

    def test_attributes(self):
        """In the verdict alone: neither the logs nor what the helpdesk reads hold them."""
        user, password, _ = self.account('GOOD1')
        mail = LAB['LAB_GOOD1_MAIL']
        v = self.verdict(user, password, 'north')
        self.assertEqual((v['attributes']['state'], v['attributes']['values']['mail']), ('complete', [mail]), v)
        self.assertEqual(sorted(dn.split(',')[0] for dn in v['attributes']['values']['memberOf']), ['CN=inner-group', 'CN=outer-group'])
        self.assertNotIn('attributes', self.verdict(user, password, 'south'))
        self.assertNotIn(mail, self.site.connectors['north'].postern('explain', v['id']))
        self.assertNotIn(mail, self.site.connectors['north'].postern('log', '--json'))
        for log in self.logs():
            with open(log, encoding='utf-8') as f:
                self.assertNotIn(mail, f.read())

    def test_domain_backslash_name(self):
        _, password, sid = self.account('GOOD5')
        for connector, method in self.CONNECTORS:
            with self.subTest(method=method):
                v = self.verdict(f"{LAB['LAB_AD_NETBIOS']}\\{LAB['LAB_GOOD5_SAM']}", password, connector)
                self.assertEqual((v['verdict'], v['user']['id']), ('accepted', sid), v)

    def test_change_password(self):
        """By either connector, an expired password included; the helpdesk sees that it was a change, and no password anywhere."""
        for (connector, _), label in zip(self.CONNECTORS, ('CHANGE_EXPIRED', 'CHANGE_MUST2')):
            user, password, sid = self.account(label)
            fresh = f'Brand-new-secret-{connector}'
            with self.subTest(connector=connector, account=label):
                code, v = self.site.sign_in(user, password, connector, new_password=fresh)
                self.assertEqual((code, v['reason'], v['user']['id']), (0, 'password_changed', sid), v)
                told = self.site.connectors[connector].postern('explain', v['id'])
                self.assertIn('change of password', told)
                for secret in (password, fresh):
                    self.assertNotIn(secret, told)
                    for log in self.logs():
                        with open(log, encoding='utf-8') as f:
                            self.assertNotIn(secret, f.read())
                self.assertEqual(self.verdict(user, fresh, connector)['reason'], 'ok')
                code, v = self.site.sign_in(user, fresh, connector, new_password='')
                self.assertEqual((code, v['reason'], v['may_have_counted']), (1, 'bad_new_password', '0'), v)

    def test_refused_before_any_dc(self):
        user, _, _ = self.account('GOOD6')
        sam = LAB['LAB_GOOD6_SAM']
        for name, password, reason in ((user, '', 'empty_password'), (user, 'x' * 1025, None),
                                       ('x' * 300, 'y', None), (f"{LAB['LAB_AD_NETBIOS']}\\a\\b", 'y', 'bad_name_form')):
            for connector, method in self.CONNECTORS:
                with self.subTest(name=name[:20], length=len(password), method=method):
                    if reason is None:  # the command line refuses what the protocol cannot carry
                        done = self.site.postern('sign-in', '--service', self.site.service, '--user', name, '--connector', connector,
                                                 check=False, stdin=password + '\n')
                        self.assertEqual(done.returncode, 3, done.stdout)
                        self.assertIn('1024' if len(password) > 1024 else '256', done.stderr)
                        continue
                    v = self.verdict(name, password, connector)
                    self.assertEqual((v['verdict'], v['reason'], v['may_have_counted']), (REFUSED, reason, '0'), v)
                    self.assertNotIn('dc', v)
        self.assertEqual(bad_password_count(sam), 0)

    def test_the_least_budget_is_enough(self):
        """Of many on a busy machine, one: fetching the keys, which a new process does, is part of the budget."""
        user, password, _ = self.account('GOOD1')
        answers = []
        while len(answers) < 40 and not any(code == 0 for code, _ in answers):
            answers.append(self.site.sign_in(user, password, 'north', budget=500))
        self.assertTrue(any(code == 0 for code, _ in answers), answers[-1])

    def test_unknown_domain_is_not_wrong_password(self):
        """Whatever is mistyped there, and around it: a verdict with an id, and a record of it."""
        for name in ('someone@elsewhere.example', 'ELSEWHERE\\someone', 'someone@b\u00fccher.example', ' someone@elsewhere.example.'):
            with self.subTest(name=name):
                v = self.verdict(name, 'x', 'north')
                self.assertEqual((v['verdict'], v['class'], v['reason'], v['may_have_counted']),
                                 (REFUSED, 'credentials', 'unknown_domain', '0'), v)
                self.assertIn('unknown_domain', self.site.connectors['north'].postern('explain', v['id']))

    def test_what_is_around_a_name_is_not_the_name(self):
        user, password, sid = self.account('GOOD1')
        for typed in (f' {user}', f'{user}\u00a0', f'\ufeff{user}\u200b', f'{user}.', f'\t{user} \r\n'):
            for connector, method in self.CONNECTORS:
                with self.subTest(name=typed, method=method):
                    v = self.verdict(typed, password, connector)
                    self.assertEqual((v['verdict'], v.get('user', {}).get('id')), ('accepted', sid), v)

    def test_what_cannot_be_seen_is_said(self):
        user, password, _ = self.account('GOOD1')
        for connector, method in self.CONNECTORS:
            with self.subTest(method=method):
                v = self.verdict(f'{user[:4]}\u200b{user[4:]}', password, connector)
                self.assertEqual((v['verdict'], v['class'], v['reason'], v['may_have_counted']),
                                 (REFUSED, 'credentials', 'bad_name_form', '0'), v)
                self.assertIn('U+200B at character 5', self.site.connectors[connector].postern('explain', v['id']))

    def test_decomposed_names_are_composed(self):
        user, password, sid = self.account('UTF8')
        typed = unicodedata.normalize('NFD', user)
        self.assertNotEqual(typed, user)
        for connector, method in self.CONNECTORS:
            with self.subTest(method=method):
                v = self.verdict(typed, password, connector)
                self.assertEqual((v['verdict'], v.get('user', {}).get('id')), ('accepted', sid), v)

    def test_what_the_helpdesk_sees(self):
        user, _, _ = self.account('DISABLED')
        north = self.site.connectors['north']
        v = self.verdict(user, LAB['LAB_DISABLED_PASSWORD'], 'north')
        for words in ((v['id'],), (user,)):
            text = north.postern('explain', *words)
            self.assertIn('disabled', text)
            self.assertIn(LAB['LAB_AD_HOST'], text)
            self.assertNotIn(LAB['LAB_DISABLED_PASSWORD'], text)
        record = json.loads(north.postern('explain', v['id'], '--json'))
        self.assertIn('disabled', json.dumps(record))
        self.assertIn(v['id'], north.postern('log'))
        self.assertIn('nothing found', north.postern('log', '--user', 'nosuch', check=False).stdout)
        status = json.loads(north.postern('status', '--json', check=False).stdout)
        self.assertIn(LAB['LAB_AD_HOST'], json.dumps(status))

    def test_a_password_typed_into_the_name_box_is_stored_masked(self):
        typed = 'Hunter2-typed-into-the-wrong-box'
        north = self.site.connectors['north']
        v = self.verdict(typed, 'x', 'north')
        self.assertEqual(v['verdict'], REFUSED)
        self.assertNotIn(typed, north.postern('log'))
        self.assertNotIn(typed, north.postern('explain', v['id'], '--json'))
        self.assertIn(v['id'], north.postern('explain', typed, '--json'))

    def test_a_password_with_the_suffix_that_the_form_adds_is_stored_masked(self):
        """By both methods; a name is clear once an account of it was shown to exist, then also where a password was wrong."""
        for connector, method in self.CONNECTORS:
            site = self.site.connectors[connector]
            typed = f'Summer-2026-{method}!@' + LAB['LAB_AD_REALM'].lower()
            with self.subTest(method=method):
                v = self.verdict(typed, 'x', connector)
                self.assertEqual((v['verdict'], v['class']), (REFUSED, 'credentials'), v)
                for said in (site.postern('log'), site.postern('log', '--json'), site.postern('explain', v['id'], '--json')):
                    self.assertNotIn('Summer-2026', said)
                self.assertIn(v['id'], site.postern('explain', typed, '--json'))
                user, password, _ = self.account('GOOD2')
                self.verdict(user, password, connector)
                v = self.verdict(user, WRONG, connector)
                self.assertIn(user, site.postern('explain', v['id'], '--json'))


class Guarded(SiteTest):
    CONNECTORS = []

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.site.add_connector('guarded', 'ldap', extra='guard = on\nguard_failures = 2').up()

    def test_a_name_that_the_guard_stops_is_stored_masked(self):
        """It was never seen to be a name: people type passwords into the wrong box again and again."""
        typed, guarded = 'Hunter3-typed-into-the-wrong-box', self.site.connectors['guarded']
        verdicts = [self.site.sign_in(typed, f'x{i}', 'guarded')[1] for i in range(3)]
        self.assertEqual([v['reason'] for v in verdicts], ['wrong_password', 'wrong_password', 'throttled'])
        self.assertGreater(verdicts[2]['retry_after'], 0)
        self.assertNotIn(typed, guarded.postern('log'))
        self.assertNotIn(typed, guarded.postern('log', '--json'))
        for v in verdicts:
            self.assertNotIn(typed, guarded.postern('explain', v['id'], '--json'))
        self.assertIn(verdicts[2]['id'], guarded.postern('explain', typed, '--json'))


if __name__ == '__main__':
    main()
