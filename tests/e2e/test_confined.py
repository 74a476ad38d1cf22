"""The processes under their filters, and what code inside of the link could do: tests/e2e/hook is such code, built into postern-link."""
import os
import re
import shutil
import unittest

from e2e import LAB, WRONG, SiteTest, main, wait_for
from test_privacy import memory

PROCESSES = ('postern-link', 'postern-validat', 'postern-ledger')  # as the kernel cuts names


def status(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as f:
        return dict(line.split(':', 1) for line in f.read().replace('\t', ' ').splitlines())


class Confined(SiteTest):
    CONNECTORS = [('north', 'ldap'), ('south', 'krb5')]

    def test_each_process_is_shut(self):
        uids = set()
        for c in self.site.connectors.values():
            children = c.daemon.children()
            self.assertEqual(sorted(children), sorted(PROCESSES))
            for name, pid in children.items():
                s = status(pid)
                self.assertEqual(s['Seccomp'].strip(), '2', name)
                self.assertEqual(s['NoNewPrivs'].strip(), '1', name)
                self.assertEqual((s['CapEff'].strip(), s['CapPrm'].strip(), s['CapAmb'].strip()), ('0' * 16,) * 3, name)
                with open(f'/proc/{pid}/limits', encoding='ascii') as f:
                    self.assertRegex(f.read(), r'Max core file size +0 +0 ')
                self.assertEqual(os.stat(f'/proc/{pid}/mem').st_uid, 0, f'{name} is dumpable')
                uids.add(s['Uid'].split()[0])
        self.assertEqual(len(uids), 3)
        self.assertNotIn('0', uids)


class Hooked(SiteTest):
    CONNECTORS = []

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        tree, build = os.path.join(cls.top, 'tree'), cls.site.build
        os.makedirs(tree)
        shutil.copy(os.path.join(build, 'connector', 'posternd'), tree)
        for part in ('validator', 'ledger', 'keyholder'):
            os.makedirs(os.path.join(tree, part))
            shutil.copy(os.path.join(build, 'connector', part, f'postern-{part}'), os.path.join(tree, part))
        os.makedirs(os.path.join(tree, 'link'))
        shutil.copy(os.path.join(build, 'tests', 'e2e', 'hook', 'postern-link'), os.path.join(tree, 'link'))
        real = cls.site.program
        cls.site.program = lambda name: os.path.join(tree, 'posternd') if name == 'posternd' else real(name)
        cls.connector = cls.site.add_connector('holed', 'ldap')
        cls.connector.up()

    def log_text(self):
        with open(os.path.join(self.connector.dir, 'log'), encoding='utf-8') as f:
            return f.read()

    def test_code_in_the_link_gains_nothing(self):
        user, password, sid = self.account('GOOD1')
        for word, expected in ((password, 'accepted'), (WRONG, 'refused'), (password, 'accepted'), (password, 'accepted')):
            self.assertEqual(self.site.sign_in(user, word)[1]['verdict'], expected)
        wait_for('the hook has run', lambda: self.connector.daemon.check() and 'try=end' in self.log_text().replace('"', ''))
        tries = dict(re.findall(r'try="?([^"=]+?)"? result="?(\w+)', self.log_text()))
        print(tries)
        self.assertGreaterEqual(len(tries), 13)
        self.assertEqual({what: result for what, result in tries.items() if result not in ('EPERM', 'EACCES')}, {})
        self.assertRegex(self.log_text(), r'try="?descriptors"? files=0 ')

        # the supervisor takes no name of a key from it: its module would be loaded, its PIN file be read
        wait_for('the supervisor refuses', lambda: re.search(r'certificate\.not_stored.*no certificate', self.log_text()))
        wait_for('and makes no key', lambda: re.search(r'key\.not_made.*no hardware', self.log_text()))
        with open(os.path.join(self.connector.state, 'transport.pem'), encoding='ascii') as f:
            self.assertTrue(f.read().startswith('-----BEGIN CERTIFICATE-----'))
        self.assertTrue(os.path.exists(os.path.join(self.connector.state, 'transport.key')))

        # neither names, passwords nor the identity key in the memory that it could read without asking anybody
        with open(os.path.join(self.connector.state, 'identity.pem'), 'rb') as f:
            identity = b''.join(line for line in f.read().splitlines() if not line.startswith(b'-'))[40:100]
        needles = [user.encode(), password.encode(), WRONG.encode(), sid.encode(), identity]
        link = self.connector.daemon.children()['postern-link']
        found = [(where, needle) for _, where, blob in memory(link) for needle in needles if needle in blob]
        self.assertEqual(found, [])

        # and what it makes of verdicts is nobody's word: the service says so instead of believing it
        code, spoilt = self.site.sign_in(user, password)
        self.assertNotEqual(code, 0)
        self.assertNotEqual(spoilt.get('verdict'), 'accepted')
        print(spoilt)
        self.assertTrue(self.connector.daemon.check())


if __name__ == '__main__':
    if os.geteuid() != 0:
        raise unittest.SkipTest('processes of other users need root')
    main()
