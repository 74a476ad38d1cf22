"""Tenant, identity and transport keys in hardware: a SoftHSM token and a TPM in software, with the real daemon signing people in."""
import concurrent.futures
import fcntl
import json
import os
import pwd

from e2e import WRONG, wait_for, main
from hardware import KEYS_USER, HardwareTest
from tokens import PIN, write_private


class Hardware(HardwareTest):
    def sign_in(self, connector):
        user, password, sid = self.account('good1')
        code, verdict = self.site.sign_in(user, password, connector=connector.name)
        self.assertEqual((code, verdict['verdict'], verdict['user']['id']), (0, 'accepted', sid), verdict)

    @staticmethod
    def user(pid):
        with open(f'/proc/{pid}/status', encoding='ascii') as f:
            uids = next(line for line in f if line.startswith('Uid:')).split()[1:]
        return '/'.join({pwd.getpwuid(int(uid)).pw_name for uid in uids})

    def log(self, connector):
        with open(os.path.join(connector.dir, 'log'), encoding='utf-8') as f:
            return f.read()

    def test_1_sign_ins(self):
        for connector in (self.north, self.south):
            with self.subTest(connector.name):
                self.sign_in(connector)
                user, _, _ = self.account('good1')
                code, verdict = self.site.sign_in(user, WRONG, connector=connector.name)
                self.assertEqual((code, verdict['reason']), (1, 'wrong_password'), verdict)

    def test_2_no_key_on_disk(self):
        """What a copy of the folder holds: names of keys, and one that another TPM cannot load."""
        for connector in (self.north, self.south):
            for folder, _, files in os.walk(connector.state):
                for name in files:
                    with open(os.path.join(folder, name), 'rb') as f:
                        self.assertNotIn(b'BEGIN PRIVATE KEY', f.read(), name)
        with open(os.path.join(self.north.state, 'identity.pem'), encoding='ascii') as f:
            self.assertEqual(f.read(), self.hsm.uri('north-identity'))
        with open(os.path.join(self.south.state, 'identity.pem'), encoding='ascii') as f:
            self.assertIn('BEGIN TSS2 PRIVATE KEY', f.read())
        with open(os.path.join(self.site.dir, 'tenant', 'tenant.key'), encoding='ascii') as f:
            self.assertEqual(f.read(), self.hsm.uri('tenant'))

    def test_3_who_holds_what(self):
        """The modules are loaded by the holders alone, under their own user, and the PIN is in no argument, environment or log."""
        holders = self.holders(self.north)
        self.assertEqual(len(holders), 2)
        if os.geteuid() == 0:
            for pid in self.pids(self.north):
                with open(f'/proc/{pid}/maps', encoding='utf-8') as f:
                    self.assertEqual('libsofthsm2' in f.read(), pid in holders, self.comm(pid))
            self.assertEqual({self.user(pid) for pid in holders}, {KEYS_USER})
        for pid in [self.north.daemon.pid, *self.pids(self.north)]:
            for what in ('cmdline', 'environ'):
                with open(f'/proc/{pid}/{what}', 'rb') as f:
                    self.assertNotIn(PIN.encode(), f.read())
        self.assertNotIn(PIN, self.log(self.north))

    def seccomp(self, connector):
        """The modes of the holders, and of the others; builds with sanitizers have no filters at all."""
        modes = {True: set(), False: set()}
        for pid in self.pids(connector):
            with open(f'/proc/{pid}/status', encoding='ascii') as f:
                modes[self.comm(pid) == 'postern-keyhold'].add(next(line.split()[1] for line in f if line.startswith('Seccomp:')))
        return modes[True], modes[False]

    def test_3b_confinement_is_the_holders_too(self):
        holders, others = self.seccomp(self.north)
        self.assertEqual(holders, others)
        with open(self.north.config, encoding='ascii') as f:
            config = f.read()
        try:
            for setting, expected in (('off', {'0'}), ('enforce', others)):
                with open(self.north.config, 'w', encoding='ascii') as f:
                    f.write(config.replace('[connector]\n', f'[connector]\nconfinement = {setting}\n'))
                self.north.daemon.stop()
                self.north.start()
                self.north.wait_ready()
                self.assertEqual(self.seccomp(self.north), (expected, expected))
        finally:
            with open(self.north.config, 'w', encoding='ascii') as f:
                f.write(config)

    def test_4_a_holder_that_dies_comes_back_with_its_owner(self):
        for pid in self.holders(self.north):
            os.kill(pid, 9)
            wait_for('another holder runs', lambda old=pid: len(self.holders(self.north)) == 2 and old not in self.holders(self.north))
        self.north.wait_ready()
        wait_for('north signs in again', lambda: self.site.sign_in(*self.account('good1')[:2], connector='north')[0] == 0)

    def test_5_renewal(self):
        """The next key is made beside the old one, in the same hardware."""
        for connector in (self.north, self.south):
            with self.subTest(connector.name):
                def read(name, c=connector):
                    with open(os.path.join(c.state, name), encoding='ascii') as f:
                        return f.read()
                key, certificate = read('transport.key'), read('transport.pem')
                self.site.postern('enroll', '--renew', '--state-dir', connector.state)
                self.assertFalse(os.path.exists(os.path.join(connector.state, 'transport.key')))
                new = read('transport.pem')
                self.assertTrue(new.startswith(('pkcs11:', '-----BEGIN TSS2 PRIVATE KEY-----')), new[:40])
                self.assertNotIn(key, new)
                self.assertNotIn(certificate, new)
                self.assertNotIn('BEGIN PRIVATE', new)
                if os.geteuid() == 0:
                    self.hsm.give_to(KEYS_USER)
                connector.daemon.stop()
                connector.start()
                connector.wait_ready()
                self.sign_in(connector)

    def test_5b_enrolled_again(self):
        """By a token, where the certificate has expired: the key stays in hardware without a word about it."""
        for connector in (self.north, self.south):
            with self.subTest(connector.name):
                token = write_private(os.path.join(connector.dir, 'token'), self.site.token(connector.name))
                path = os.path.join(connector.state, 'transport.pem')
                with open(path, encoding='ascii') as f:
                    before = f.read()
                self.site.postern('enroll', '--again', '--token-file', token, '--state-dir', connector.state)
                with open(path, encoding='ascii') as f:
                    after = f.read()
                self.assertNotEqual(after, before)
                self.assertTrue(after.startswith(('pkcs11:', '-----BEGIN TSS2 PRIVATE KEY-----')), after[:40])
                if os.geteuid() == 0:
                    self.hsm.give_to(KEYS_USER)
                connector.daemon.stop()
                connector.start()
                connector.wait_ready()
                self.sign_in(connector)

    def test_6_a_wrong_pin_is_offered_once(self):
        """However often the owner starts, until the file is written anew; then it works again by itself."""
        write_private(self.hsm.pin_file + '.new', 'wrong\n')
        os.rename(self.hsm.pin_file + '.new', self.hsm.pin_file)
        self.addCleanup(write_private, self.hsm.pin_file, PIN + '\n')
        os.kill(self.holders(self.north)[0], 9)
        wait_for('it is said that the PIN is not tried again', lambda: self.log(self.north).count('it is not tried again') >= 2)
        refused = [line for line in self.log(self.north).splitlines() if 'refuses the PIN' in line]
        self.assertEqual([line.split(':')[0] for line in refused], ['validator', 'ledger'])  # the ledger says again what it is told
        write_private(self.hsm.pin_file + '.new', PIN + '\n')
        os.rename(self.hsm.pin_file + '.new', self.hsm.pin_file)
        wait_for('north has both holders', lambda: len(self.holders(self.north)) == 2)
        self.north.wait_ready()
        wait_for('north signs in again', lambda: self.site.sign_in(*self.account('good1')[:2], connector='north')[0] == 0)

    def test_7_errors_at_the_start(self):
        """Each says what to do; the daemon ends at once where starting again mends nothing."""
        uri = self.hsm.uri('north-identity')
        write_private(os.path.join(self.top, 'wrong-pin'), 'wrong\n')
        cases = [(uri.replace('north-identity', 'nobody'), 78, 'no private key that the PKCS#11 URI names'),
                 (uri.replace(self.hsm.pin_file, os.path.join(self.top, 'wrong-pin')), 78, 'refuses the PIN'),
                 (uri.replace(self.hsm.pin_file, os.path.join(self.top, 'no-pin')), 78, 'the PIN file'),
                 (uri.split('?')[0], 78, 'pin-source=file:/PATH')]
        self.north.daemon.stop()
        with open(self.north.config, encoding='ascii') as f:
            config = f.read()
        for setting, code, why in cases:
            with self.subTest(setting):
                with open(self.north.config, 'w', encoding='ascii') as f:
                    f.write(config.replace('[connector]\n', f'[connector]\nidentity_key = {setting}\n'))
                before = len(self.log(self.north))
                self.north.start()
                self.assertEqual(self.north.daemon.process.wait(30), code)
                self.assertIn(why, self.log(self.north)[before:])
                self.assertNotIn(PIN, self.log(self.north))
        with open(self.north.config, 'w', encoding='ascii') as f:
            f.write(config)
        self.north.start()
        self.north.wait_ready()
        self.sign_in(self.north)

    def test_8_the_command_line(self):
        def fails(*words):
            done = self.site.postern(*words, check=False)
            self.assertEqual(done.returncode, 1, done.stdout)
            return done.stderr
        folder = os.path.join(self.top, 'another-tenant')
        self.assertIn('no token', fails('tenant', 'init', 'x', '--dir', folder, '--key', 'pkcs11:token=nope;object=x'))
        self.assertIn('names no key in hardware', fails('tenant', 'init', 'x', '--dir', folder, '--key', '/some/file'))
        os.chmod(self.hsm.pin_file, 0o644)
        self.addCleanup(os.chmod, self.hsm.pin_file, 0o600)
        self.assertIn('chmod 600', fails('tenant', 'init', 'x', '--dir', folder, '--key', self.hsm.uri('x')))
        os.chmod(self.hsm.pin_file, 0o600)
        # without a PIN file the PIN is asked for: here on standard input
        made = self.site.postern('tenant', 'init', 'x', '--dir', folder, '--key', 'pkcs11:token=postern;object=asked', '--json', stdin=PIN + '\n')
        self.assertEqual(json.loads(made)['tenant'], 'x')
        self.assertIn('never overwritten', fails('tenant', 'init', 'x', '--dir', folder, '--key', self.hsm.uri('x')))

    def test_9_one_log_in_at_a_time(self):
        """A token in software is half written while somebody logs in: the holders of one PIN's file take turns."""
        with open(self.hsm.pin_file, encoding='ascii') as f, concurrent.futures.ThreadPoolExecutor() as pool:
            fcntl.flock(f, fcntl.LOCK_EX)
            try:
                made = pool.submit(self.site.postern, 'tenant', 'init', 'x', '--dir', os.path.join(self.top, 'in-turn'), '--key',
                                   self.hsm.uri('in-turn'), '--json')
                self.assertEqual(concurrent.futures.wait([made], timeout=4).done, set(), 'it waits for its turn')
            finally:
                fcntl.flock(f, fcntl.LOCK_UN)
            self.assertEqual(json.loads(made.result())['tenant'], 'x')


if __name__ == '__main__':
    main()
