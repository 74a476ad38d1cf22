"""What the command line writes: modes, symbolic links, folders of others, JSON. No relay is needed."""
import json
import os
import resource
import stat
import subprocess
import sys
import tempfile
import unittest

POSTERN = sys.argv.pop(1)
POSTERND = sys.argv.pop(1)


class Files(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix='postern-cli-')
        self.addCleanup(self.folder.cleanup)
        self.dir = os.path.join(self.folder.name, 'a "quoted"\\folder')
        before = os.umask(0)
        self.addCleanup(os.umask, before)

    def postern(self, *words, code=0, env=None):
        done = subprocess.run([POSTERN, *words], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                              env={**os.environ, **(env or {})}, timeout=300)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout if code == 0 else done.stderr

    def mode(self, *path):
        return stat.S_IMODE(os.lstat(os.path.join(self.dir, *path)).st_mode)

    def init_tenant(self, **more):
        return self.postern('tenant', 'init', 'contoso', '--dir', self.dir, '--no-passphrase', '--json', **more)

    def test_tenant_json_and_modes(self):
        made = json.loads(self.init_tenant())
        self.assertEqual(made['dir'], self.dir)
        self.assertEqual(len(made['pin']), 43)
        self.assertEqual(self.mode(), 0o700)
        self.assertEqual(self.mode('tenant.key'), 0o600)
        self.assertEqual(self.mode('tenant.json'), 0o600)
        self.assertEqual(sorted(os.listdir(self.dir)), ['tenant.json', 'tenant.key'])

    def test_a_piped_passphrase_is_read_once(self):
        done = subprocess.run([POSTERN, 'tenant', 'init', 'contoso', '--dir', self.dir], input='correct horse\n', capture_output=True,
                              text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(self.dir, 'tenant.key'), encoding='ascii') as f:
            self.assertIn('ENCRYPTED', f.read())

    def test_a_gateway_is_made_by_root_alone_and_nowhere_else(self):
        given = ['--relay', 'https://relay.example', '--tenant', 'contoso', '--pin', 'A' * 43]
        done = subprocess.run([POSTERN, 'service', 'init', 'portal', '--gateway', '--service', self.dir, *given], capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=300)
        self.assertEqual(done.returncode, 2)
        self.assertIn('--gateway has its own folder', done.stderr)
        done = subprocess.run(['setpriv', '--reuid=65534', '--clear-groups', POSTERN, 'service', 'init', 'portal', '--gateway', *given]
                              if os.geteuid() == 0 else [POSTERN, 'service', 'init', 'portal', '--gateway', *given],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
        if done.returncode != 126 and done.returncode != 127:  # the build may be closed to others
            self.assertIn('run it as root', done.stderr)

    def test_service_json_and_modes(self):
        made = json.loads(self.postern('service', 'init', 'a "portal"', '--service', self.dir, '--json'))
        self.assertEqual(made['public'], os.path.join(self.dir, 'service.pub.json'))
        self.assertEqual(self.mode('service.key'), 0o600)
        self.assertEqual(self.mode('service.json'), 0o600)
        with open(made['public'], encoding='utf-8') as f:
            public = json.load(f)
        self.assertEqual((public['name'], public['id'], public['kid']),
                         ('a "portal"', made['id'], made['fingerprint']))
        self.assertNotIn('d', public['jwk'])

    def test_what_signing_in_needs_is_told_at_once(self):
        """By init, show and sign-in; a URL that is none is refused before it is remembered."""
        said = self.postern('service', 'init', 'portal', '--service', self.dir, '--tenant', 'acme')
        for option in ('--relay URL', '--pin PIN', '--secret-file FILE'):
            self.assertIn(option, said)
            self.assertIn(option, self.postern('sign-in', '--user', 'x', '--service', self.dir, code=2))
        self.assertNotIn('--tenant', said)
        self.assertIn('postern service show, with these options', self.postern('service', 'init', 'portal', '--service', self.dir, code=1))
        for url in ('relay.example', 'http://relay.example', 'https://', 'https://relay.example /x'):
            self.assertIn('is no https URL', self.postern('service', 'show', '--service', self.dir, '--relay', url, code=1))
            self.assertIn('is no https URL', self.postern('enroll', '--relay', url, '--tenant', 'acme', '--token-file', '/nonexistent', code=2))
        self.assertIn('missing: --relay --token-file', self.postern('enroll', '--tenant', 'acme', code=2))
        secret = os.path.join(self.folder.name, 'secret')
        with open(secret, 'w', encoding='ascii') as f:
            f.write('s' * 43 + '\n')
        said = self.postern('service', 'show', '--service', self.dir, '--relay', 'https://relay.example', '--pin', 'A' * 43, '--secret-file', secret)
        self.assertNotIn('to do', said)

    def test_keys_are_never_overwritten(self):
        self.init_tenant()
        with open(os.path.join(self.dir, 'tenant.key'), encoding='ascii') as f:
            key = f.read()
        self.assertIn('never overwritten', self.init_tenant(code=1))
        with open(os.path.join(self.dir, 'tenant.key'), encoding='ascii') as f:
            self.assertEqual(f.read(), key)

    def test_a_disk_that_fills_up_leaves_no_key(self):
        """What goes with a key is longer than the key, and finds no room: the next try begins anew."""
        def no_room():
            resource.setrlimit(resource.RLIMIT_FSIZE, (245, 245))
        for number, words in enumerate((['service', 'init', 'portal', '--service'], ['person', 'init', 'anna', '--no-passphrase', '--person'])):
            folder = os.path.join(self.folder.name, f'full {number}')
            done = subprocess.run([POSTERN, *words, folder, '--relay', 'https://relay.example'], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                  preexec_fn=no_room, restore_signals=False, timeout=300)
            self.assertEqual((done.returncode, 'File too large' in done.stderr), (1, True), done.stderr)
            self.assertFalse([name for name in os.listdir(folder) if name.endswith('.key')])
            self.postern(*words, folder, '--relay', 'https://relay.example')
            self.postern(*words[:1], 'show', *words[-1:], folder)

    @unittest.skipUnless(os.geteuid() == 0, 'file systems are mounted by root alone')
    def test_a_gateway_is_made_once_there_is_room(self):
        """Whichever file a full disk stops at, the same command goes on when there is room."""
        with open(os.path.join(self.folder.name, 'secret'), 'w', encoding='ascii') as f:
            f.write('s' * 43 + '\n')
        make = f'{POSTERN} service init portal --gateway --relay https://relay.example --tenant contoso --pin {"A" * 43} --secret-file {f.name}'
        done = subprocess.run(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', f'''set -e
            mount -t tmpfs none /run
            mount -t tmpfs none /etc
            mkdir /etc/postern-gateway
            for pages in 1 2 3 4 5 6 7 8; do
                mount -t tmpfs -o size=$((pages * 4))k none /etc/postern-gateway
                if {make} 2>&1; then echo made; break; fi
                mount -o remount,size=1m /etc/postern-gateway
                {make} >/dev/null
                test -s /etc/postern-gateway/gateway.conf -a -s /etc/postern-gateway/service/service.json
                umount /etc/postern-gateway
            done'''], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertTrue(done.stdout.endswith('made\n'), done.stdout)
        self.assertGreaterEqual(done.stdout.count('No space left on device'), 4, done.stdout)

    def test_symlink_is_not_followed(self):
        victim = os.path.join(self.folder.name, 'victim')
        os.mkdir(self.dir, 0o700)
        os.symlink(victim, os.path.join(self.dir, 'tenant.key'))
        self.init_tenant(code=1)
        self.assertFalse(os.path.exists(victim))

    def test_folder_of_everybody_is_refused(self):
        os.mkdir(self.dir, 0o777)
        self.assertIn('others can write', self.init_tenant(code=1))
        self.assertEqual(os.listdir(self.dir), [])

    def test_posternd_refuses_a_state_folder_of_everybody(self):
        config = os.path.join(self.folder.name, 'posternd.conf')
        with open(config, 'w', encoding='ascii') as f:
            f.write(f'[connector]\nname = c1\nstate_dir = {self.folder.name}/state\n'
                    f'runtime_dir = {self.folder.name}/run\n'
                    '[domain corp.example]\ndcs = dc1.corp.example\n')
        os.mkdir(os.path.join(self.folder.name, 'state'), 0o777)
        done = subprocess.run([POSTERND, '--config', config], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn('chmod 700', done.stderr)

    def edited(self, name, text):
        """A file as an editor on Windows leaves it."""
        path = os.path.join(self.folder.name, name)
        with open(path, 'w', encoding='utf-8') as f:
            f.write('\ufeff' + text.replace('\n', '\r\n'))
        return path

    def test_files_that_admins_edit(self):
        service = os.path.join(self.folder.name, 'service')
        made = json.loads(self.postern('service', 'init', 'portal', '--service', service, '--json'))
        self.postern('tenant', 'init', 'contoso', '--dir', self.dir, '--passphrase-file', self.edited('pass', 'correct horse\n'))
        plain = os.path.join(self.folder.name, 'plain')
        with open(plain, 'w', encoding='ascii') as f:
            f.write('correct horse')
        with open(made['public'], encoding='utf-8') as f:
            public = self.edited('service.pub.json', f.read())
        self.postern('tenant', 'approve-service', public, made['fingerprint'], '--dir', self.dir, '--passphrase-file', plain, '--no-publish')

    def test_secret_files_are_whole_or_refused(self):
        self.init_tenant()
        words = ('enroll', '--relay', 'https://127.0.0.1:1', '--tenant', 'contoso', '--name', 'c1', '--state-dir', self.dir, '--token-file')
        token = 'A' * 43 + '.' + 'A' * 43
        self.assertIn('127.0.0.1', self.postern(*words, self.edited('token', token + '\n'), code=1))
        for text, why in ((token + '\nmore\n', ':2: there is more than one line'), (token + ' \n', ':1: there is a blank'),
                          (token + '\u200b\n', ':1: an invisible character'), ('', 'the token is empty')):
            said = self.postern(*words, self.edited('token', text), code=1)
            self.assertIn(why, said)
            self.assertNotIn('AAAA', said)

    def test_a_damaged_ca_file_is_refused_before_the_token_is_used(self):
        token = self.edited('token', 'A' * 43 + '.' + 'A' * 43 + '\n')
        ca = self.edited('ca.pem', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n')
        said = self.postern('enroll', '--relay', 'https://127.0.0.1:1', '--tenant', 'contoso', '--name', 'c1', '--state-dir', self.dir,
                            '--token-file', token, '--ca-file', ca, code=1)
        self.assertIn(f'{ca}:1: certificate 1 of the file', said)

    def test_enroll_checks_before_it_uses_the_token(self):
        token = os.path.join(self.folder.name, 'token')
        with open(token, 'w', encoding='ascii') as f:
            f.write('A' * 43 + '.' + 'A' * 43 + '\n')
        words = ('enroll', '--relay', 'https://127.0.0.1:1', '--tenant', 'contoso', '--token-file', token,
                 '--state-dir', self.dir)
        self.assertIn('at most 64', self.postern(*words, '--name', 'n' * 65, code=1))
        self.assertFalse(os.path.exists(self.dir))
        os.mkdir(self.dir, 0o777)
        self.assertIn('others can write', self.postern(*words, '--name', 'c1', code=1))
        os.chmod(self.dir, 0o700)
        self.assertIn('127.0.0.1', self.postern(*words, '--name', 'c1', code=1))
        self.assertEqual(os.listdir(self.dir), [])


if __name__ == '__main__':
    unittest.main(verbosity=2)
