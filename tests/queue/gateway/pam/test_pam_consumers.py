#!/usr/bin/python3
"""pam_postern in Debian's pamtester, sshd and sudo, in front of the real gateway on the sandbox. Users, services and sudoers are the test's own.

usage: test_pam_consumers.py BUILD      as root, in a mount namespace of its own (unshare --mount)
"""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..'), os.path.join(HERE, '..', '..', '..', 'systemd')]
import pages  # noqa: E402
from test_doors import BUILD, Gateway, Sandbox, wait_for  # noqa: E402

USERS = {'ok': 2101, 'disabled': 2102, 'must-change': 2103, 'no-dc': 2104}
ASKPASS = '''#!/bin/sh
# Answers one line of the file after the other, and notes what was asked.
echo "$1" >>"$ANSWERS.asked"
head -n 1 "$ANSWERS"
sed -i 1d "$ANSWERS"
'''


def needed(*programs):
    return unittest.skipUnless(all(shutil.which(p) for p in programs), 'not installed: ' + ' '.join(programs))


def from_page():
    """What PAM.md has for /etc/pam.d and for sshd_config."""
    of = {language: text for language, _, text in pages.blocks(pages.text_of('queue/gateway/PAM.md'))}
    return of['pam'], of['text']


class PamConsumers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix='postern-pam-')
        cls.addClassCleanup(shutil.rmtree, cls.top)
        os.chmod(cls.top, 0o755)
        cls.site = Sandbox(cls.top)
        cls.addClassCleanup(cls.site.close)
        cls.gateway = Gateway(cls.site, settings='sandbox = yes\n')
        cls.addClassCleanup(lambda: cls.gateway.daemon and cls.gateway.daemon.stop())
        cls.gateway.start()
        os.mkdir(os.path.join(cls.top, 'pins'), 0o700)
        module = os.path.join(BUILD, 'queue/gateway/pam/pam_postern.so')
        settings = f'socket={cls.gateway.socket} pins={cls.top}/pins domain=sandbox.invalid'
        lines, cls.sshd_lines = from_page()
        lines = re.sub(r'(pam_postern\.so)(.*)', lambda m: module + (f' {settings}' if 'domain' in m[2] else ''), lines)
        service = f'{lines}auth requisite pam_deny.so\naccount requisite pam_deny.so\npassword requisite pam_deny.so\nsession required pam_permit.so\n'
        for name in ('sshd', 'sudo', 'postern-test'):
            cls.over(f'/etc/pam.d/{name}', service)
        for name, line in (('passwd', '{0}:x:{1}:{1}::/:/bin/sh\n'), ('shadow', '{0}:!:1::::::\n')):
            with open('/etc/' + name, encoding='utf-8') as f:
                text = f.read()
            cls.over('/etc/' + name, text + ''.join(line.format(user, uid) for user, uid in USERS.items()), 0o640 if name == 'shadow' else 0o644)

    @classmethod
    def over(cls, path, text, mode=0o644):
        """Puts a file of ours over one of the host, in this namespace. One that was not there is made, empty, and removed."""
        ours = os.path.join(cls.top, path.replace('/', '_'))
        with open(ours, 'w', encoding='utf-8') as f:
            f.write(text)
        os.chmod(ours, mode)
        if not os.path.exists(path):
            with open(path, 'x', encoding='ascii'):
                pass
            cls.addClassCleanup(os.unlink, path)
        subprocess.run(['mount', '--bind', ours, path], check=True)
        cls.addClassCleanup(subprocess.run, ['umount', path], check=True)

    @needed('pamtester')
    def test_pamtester(self):
        for user, typed, code, says in (('ok', 'sandbox\n', 0, 'successfully authenticated'), ('ok', 'wrong\n', 1, ''),
                                        ('disabled', 'sandbox\n', 1, 'Your account is disabled'),
                                        ('no-dc', 'sandbox\n', 1, 'says nothing about your password'), ('root', 'sandbox\n', 1, '')):
            done = subprocess.run(['pamtester', 'postern-test', user, 'authenticate', 'acct_mgmt'], input=typed, capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual(done.returncode, code, f'{user}: {done.stdout}{done.stderr}')
            self.assertIn(says, done.stdout + done.stderr)
        with open(os.path.join(self.top, 'pins', 'ok'), encoding='ascii') as f:
            self.assertRegex(f.read(), r'^2101 corp\.sandbox\.invalid S-1-5-21-[0-9-]+\n$')

    @needed('sshd', 'ssh', 'ssh-keygen')
    def test_sshd(self):
        """Keyboard-interactive; an expired password is changed on the way in."""
        with socket.socket() as s:
            s.bind(('127.0.0.1', 0))
            port = s.getsockname()[1]
        os.makedirs('/run/sshd', mode=0o755, exist_ok=True)
        key, config, askpass, answers = (os.path.join(self.top, name) for name in ('host_key', 'sshd_config', 'askpass', 'answers'))
        subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', key], check=True)
        with open(config, 'w', encoding='ascii') as f:
            f.write(f'Port {port}\nListenAddress 127.0.0.1\nHostKey {key}\n{self.sshd_lines}'
                    f'PubkeyAuthentication no\nStrictModes no\nPidFile none\n')
        with open(askpass, 'w', encoding='ascii') as f:
            f.write(ASKPASS)
        os.chmod(askpass, 0o755)
        with open(os.path.join(self.top, 'sshd.log'), 'wb') as log:
            server = subprocess.Popen([shutil.which('sshd'), '-D', '-e', '-f', config], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.addCleanup(server.wait, 60)
        self.addCleanup(server.terminate)

        def up():
            with socket.socket() as s:
                return server.poll() is not None or s.connect_ex(('127.0.0.1', port)) == 0

        def sign_in(user, *typed):
            with open(answers, 'w', encoding='ascii') as f:
                f.write(''.join(line + '\n' for line in typed))
            env = {**os.environ, 'SSH_ASKPASS': askpass, 'SSH_ASKPASS_REQUIRE': 'force', 'ANSWERS': answers, 'DISPLAY': ':0'}
            done = subprocess.run(['ssh', '-F', 'none', '-p', str(port), '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null',
                                   '-o', 'NumberOfPasswordPrompts=1', '-o', 'PreferredAuthentications=keyboard-interactive', '-o', 'LogLevel=ERROR',
                                   f'{user}@127.0.0.1', 'id -un'], capture_output=True, text=True, timeout=120, env=env, stdin=subprocess.DEVNULL,
                                  check=False)
            return done.returncode, done.stdout.strip(), done.stderr

        wait_for('sshd listens', up)
        def log_of():
            with open(os.path.join(self.top, 'sshd.log'), encoding='utf-8', errors='replace') as f:
                return f.read()

        first = sign_in('ok', 'sandbox')
        self.assertEqual(first[:2], (0, 'ok'), first[2] + log_of())
        for user, password in (('ok', 'wrong'), ('disabled', 'sandbox'), ('no-dc', 'sandbox'), ('root', 'sandbox')):
            code, out, _ = sign_in(user, password)
            self.assertEqual((code, out), (255, ''), user)
        self.assertEqual(sign_in('must-change', 'sandbox', 'Another-1', 'Another-1')[:2], (0, 'must-change'))
        self.assertEqual(sign_in('must-change', 'Another-1')[:2], (0, 'must-change'))

    @needed('sudo', 'setpriv')
    def test_sudo(self):
        self.over('/etc/sudoers', 'Defaults !lecture,passwd_tries=1,timestamp_timeout=0\nok ALL=(ALL) ALL\nno-dc ALL=(ALL) ALL\n', 0o440)
        for user, password, out in (('ok', 'sandbox', '0\n'), ('ok', 'wrong', ''), ('no-dc', 'sandbox', '')):
            done = subprocess.run(['setpriv', f'--reuid={USERS[user]}', f'--regid={USERS[user]}', '--clear-groups', 'sudo', '-S', '-p', '', 'id', '-u'],
                                  input=password + '\n', capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.stdout, out, f'{user} {password}: {done.stderr}')
            self.assertEqual(done.returncode == 0, out != '')


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
