"""Transport keys in hardware: the daemon itself makes the next one in the token and the TPM, and no sign-in is lost."""
import concurrent.futures
import os
import re
import subprocess

from e2e import main, wait_for
from hardware import KEYS_USER, HardwareTest
from renewing import RenewingTest
from tokens import PIN, write_private


class HardwareRenewal(HardwareTest, RenewingTest):
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
        number, renewed = self.number(), self.renewals(self.north)
        self.hsm.make(f'north-transport.{number + 1}', KEYS_USER if os.geteuid() == 0 else None)
        self.assertEqual(self.renewals(self.north), renewed, 'not while the name was being taken')
        self.renew_under_load(both, 2)
        self.assertEqual(self.number(), number + 2)
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

    def name_the_key_in_the_configuration(self, connector):
        path = os.path.join(connector.dir, 'named.pem')
        write_private(path, re.match(r'-----BEGIN TSS2 .*?-----END TSS2 PRIVATE KEY-----\n', self.transport(connector), re.S).group(0))
        with open(connector.config, encoding='ascii') as f:
            text = f.read()
        with open(connector.config, 'w', encoding='ascii') as f:
            f.write(text.replace('[connector]\n', f'[connector]\ntransport_key = {path}\n', 1))
        connector.daemon.stop()
        connector.start()
        connector.wait_ready()

    def status_says(self, connector, *words):
        text = ' '.join(connector.postern('status', check=False).stdout.split())
        return all(word in text for word in words)

    def test_c_what_is_in_the_way(self):
        """The next key cannot be made: said with the cause, and all goes on until that is mended."""
        with concurrent.futures.ThreadPoolExecutor() as pool:  # side by side: a certificate ends soon after what is looked for
            tries = [pool.submit(self.setting_in_the_way), pool.submit(self.wrong_pin)]
        for done in tries:
            done.result()

    def setting_in_the_way(self):
        self.name_the_key_in_the_configuration(self.south)
        wait_for('status says which setting is in the way',
                 lambda: self.status_says(self.south, 'could not be renewed', 'take the setting out'), 80)

    def wrong_pin(self):
        """Offered once, and again when its file was written anew."""
        write_private(self.hsm.pin_file + '.new', 'wrong\n')
        os.rename(self.hsm.pin_file + '.new', self.hsm.pin_file)
        wait_for('status says why it could not be renewed',
                 lambda: self.status_says(self.north, 'could not be renewed', 'PIN'), 80)
        wait_for('it is said that the PIN is not tried again', lambda: self.log_text(self.north).count('it is not tried again') >= 1)
        self.assertEqual(len(re.findall('key.not_made.*refuses the PIN', self.log_text(self.north))), 1)
        user, password, _ = self.account('GOOD1')
        self.assertEqual(self.site.sign_in(user, password, connector=self.north.id)[1]['verdict'], 'accepted')
        renewed = self.renewals(self.north)
        write_private(self.hsm.pin_file + '.new', PIN + '\n')
        os.rename(self.hsm.pin_file + '.new', self.hsm.pin_file)
        wait_for('the north renews with the right one', lambda: self.north.daemon.check() and self.renewals(self.north) > renewed, 80)
        self.assertNotIn('within a few hours', self.log_text(self.north), 'what was not made counts for nothing')


if __name__ == '__main__':
    main()
