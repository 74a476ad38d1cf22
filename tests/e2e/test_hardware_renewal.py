"""Transport keys in hardware: the daemon itself makes the next one in the token and the TPM, and no sign-in is lost."""
import os
import re
import subprocess

from e2e import main, wait_for
from hardware import KEYS_USER, HardwareTest
from renewing import BEHIND_S, RenewingTest
from tokens import PIN, write_private


class HardwareRenewal(HardwareTest, RenewingTest):
    @classmethod
    def enrolled(cls, connector):
        """A key of the name that the second renewal would take is there already, somebody else's."""
        if connector.name == 'north':
            cls.hsm.make('north-transport.3')

    def transport(self, connector):
        with open(os.path.join(connector.state, 'transport.pem'), encoding='ascii') as f:
            return f.read()

    def public_key(self, connector):
        return subprocess.run(['openssl', 'x509', '-noout', '-pubkey', '-in', os.path.join(connector.state, 'transport.pem')],
                              check=True, capture_output=True, text=True).stdout

    def number(self):
        """Of the north's key in use."""
        return int(re.search(r'object=north-transport\.(\d+)', self.transport(self.north)).group(1))

    def test_a_no_sign_in_is_lost(self):
        """The second time a key of the next name is there already, somebody else's: it is left alone, the number goes on."""
        both = [self.north, self.south]
        before = {c.name: self.public_key(c) for c in both}
        self.renew_under_load(both, 1)
        self.set_clock(0)  # what is made from now on lasts longer than this test
        self.renew_under_load(both, 1)
        said = self.log_text(self.north)
        numbers = sorted({int(n) for n in re.findall(r'object=north-transport\.(\d+)', said + self.transport(self.north))})
        self.assertEqual((self.number() >= 4, 3 in numbers), (True, False), numbers)
        for c in both:
            self.assertNotEqual(self.public_key(c), before[c.name], 'the key is a new one')
            self.assertNotIn('BEGIN PRIVATE', self.transport(c))
            wait_for(f'{c.name} has one holder for each key', lambda c=c: len(self.holders(c)) == 2)
        self.assertRegex(self.transport(self.north), r'^pkcs11:[^\n]*object=north-transport\.\d+[^\n]*\n-----BEGIN CERTIFICATE')
        self.assertRegex(self.transport(self.south), r'^-----BEGIN TSS2 PRIVATE KEY-----')

    def test_b_starts_with_the_renewed_ones(self):
        for c in (self.north, self.south):
            c.daemon.stop()
            c.start()
            c.wait_ready()
            user, password, _ = self.account('GOOD1')
            self.assertEqual(self.site.sign_in(user, password, connector=c.id)[1]['verdict'], 'accepted')

    def enroll_anew(self, connector):
        """By a token, which needs no certificate that the relay's other clock calls valid: the new one is soon due."""
        connector.daemon.stop()
        token = write_private(os.path.join(connector.dir, 'token'), self.site.token(connector.name))
        self.site.postern('enroll', '--again', '--token-file', token, '--state-dir', connector.state)
        if os.geteuid() == 0:
            self.hsm.give_to(KEYS_USER)

    def name_the_key_in_the_configuration(self, connector):
        path = os.path.join(connector.dir, 'named.pem')
        write_private(path, re.match(r'-----BEGIN TSS2 .*?-----END TSS2 PRIVATE KEY-----\n', self.transport(connector), re.S).group(0))
        with open(connector.config, encoding='ascii') as f:
            text = f.read()
        with open(connector.config, 'w', encoding='ascii') as f:
            f.write(text.replace('[connector]\n', f'[connector]\ntransport_key = {path}\n', 1))

    def status_says(self, connector, *words):
        text = ' '.join(connector.postern('status', check=False).stdout.split())
        return all(word in text for word in words)

    def replace_pin(self, pin):
        write_private(self.hsm.pin_file + '.new', pin + '\n')
        os.rename(self.hsm.pin_file + '.new', self.hsm.pin_file)

    def test_c_what_is_in_the_way(self):
        """The next key cannot be made: said with the cause, and all goes on until that is mended."""
        both = [self.north, self.south]
        self.set_clock(-BEHIND_S)
        for c in both:
            self.enroll_anew(c)
        self.name_the_key_in_the_configuration(self.south)
        for c in both:
            c.start()
        for c in both:
            c.wait_ready()
        self.replace_pin('wrong')
        self.wrong_pin()
        wait_for('status says which setting is in the way',
                 lambda: self.status_says(self.south, 'could not be renewed', 'take the setting out'))

    def wrong_pin(self):
        """Offered once, and again when its file was written anew."""
        wait_for('status says why it could not be renewed', lambda: self.status_says(self.north, 'could not be renewed', 'PIN'))
        wait_for('it is said that the PIN is not tried again', lambda: self.log_text(self.north).count('it is not tried again') >= 1)
        self.assertEqual(len(re.findall('key.not_made.*refuses the PIN', self.log_text(self.north))), 1)
        user, password, _ = self.account('GOOD1')
        self.assertEqual(self.site.sign_in(user, password, connector=self.north.id)[1]['verdict'], 'accepted')
        renewed = self.renewals(self.north)
        self.replace_pin(PIN)
        wait_for('the north renews with the right one', lambda: self.north.daemon.check() and self.renewals(self.north) > renewed)
        self.assertNotIn('within a few hours', self.log_text(self.north), 'what was not made counts for nothing')


if __name__ == '__main__':
    main()
