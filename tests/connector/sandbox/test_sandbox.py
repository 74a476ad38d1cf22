#!/usr/bin/python3
"""postern-sandbox as a developer has it: one command, no root, and a client that is told so.

usage: test_sandbox.py POSTERN-SANDBOX POSTERN SANDBOX-CLIENT
"""
import json
import os
import pwd
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

SANDBOX, POSTERN, CLIENT = (os.path.abspath(p) for p in sys.argv[1:4])
AS = {'user': pwd.getpwnam('nobody').pw_uid, 'group': pwd.getpwnam('nobody').pw_gid, 'extra_groups': []} if os.geteuid() == 0 else {}


def start(*words):
    """The running sandbox, and what sandbox.json says."""
    process = subprocess.Popen([SANDBOX, '--json', *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd='/', **AS)
    line = process.stdout.readline()
    if not line:
        raise AssertionError(f'no sandbox: {process.communicate()[1]}')
    return process, json.loads(line)


def group_of(pid):
    """The sandbox's processes: itself and its children."""
    with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
        return [int(p) for p in f.read().split()]


class Sandbox(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.process, cls.facts = start()

    @classmethod
    def tearDownClass(cls):
        cls.process.send_signal(signal.SIGINT)
        _, cls.said = cls.process.communicate(timeout=60)
        assert cls.process.returncode == 0, cls.said
        assert not os.path.exists(cls.facts['service']), 'the folder is still there'
        assert 'user=ok ' in cls.said and cls.said.count('sandbox.sign_in') > 100, cls.said
        for word in ('Another-1', ' sandbox\n'):
            assert word not in cls.said, cls.said

    def run_client(self, *words):
        return subprocess.run([CLIENT, os.path.join(self.facts['service'], 'sandbox.json'), *words], capture_output=True, text=True,
                              timeout=150, check=False)

    def test_every_reason(self):
        done = self.run_client()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(' 0 problems', done.stdout)

    def test_ordinary_client(self):
        """The C library refuses it unless it is told that this is one."""
        done = self.run_client('ordinary')
        self.assertNotIn('a verdict', done.stdout)
        self.assertIn('sandbox', done.stdout)

    def test_command_line(self):
        """`postern sign-in` takes the folder as it is; without the mark in it, it refuses."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ('service.key', 'service.json'):
                with open(os.path.join(self.facts['service'], name), encoding='ascii') as f:
                    text = f.read()
                with open(os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT, 0o600), 'w', encoding='ascii') as f:
                    f.write(text)
            sign_in = [POSTERN, 'sign-in', '--service', folder, '--user', 'locked@sandbox.invalid']
            done = subprocess.run(sign_in, input='x\n', capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual((done.returncode, json.loads(done.stdout)['reason']), (1, 'locked_out'), done.stderr)
            path = os.path.join(folder, 'service.json')
            with open(path, encoding='ascii') as f:
                kept = json.load(f)
            self.assertIs(kept.pop('sandbox'), True)  # it was written again, with the roster's number
            self.assertGreater(kept['roster_seq'], 0)
            with open(path, 'w', encoding='ascii') as f:
                json.dump(kept, f)
            done = subprocess.run(sign_in, input='x\n', capture_output=True, text=True, timeout=60, check=False)
            self.assertEqual(done.returncode, 3, done.stdout)
            self.assertIn('sandbox', done.stdout)

    def test_every_answer_says_it(self):
        context = ssl.create_default_context(cafile=self.facts['ca_file'])
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        with open(self.facts['secret_file'], encoding='ascii') as f:
            secret = f.read().strip()
        for path, authorization, status in (('keys', f'Bearer {secret}', 200), ('keys', 'Bearer x', 401), ('nothing', 'x', 404)):
            request = urllib.request.Request(f"{self.facts['relay']}/v1/tenants/sandbox/{path}", headers={'Authorization': authorization})
            try:
                with urllib.request.urlopen(request, context=context, timeout=60) as answer:
                    seen = answer.status, answer.headers
            except urllib.error.HTTPError as e:
                seen = e.code, e.headers
                e.close()
            self.assertEqual((seen[0], seen[1]['Postern-Sandbox']), (status, 'no password is checked here'))

    def test_loopback_only(self):
        port = int(self.facts['relay'].rsplit(':', 1)[1])
        listening = []
        for table in ('tcp', 'tcp6'):
            with open(f'/proc/net/{table}', encoding='ascii') as f:
                for line in list(f)[1:]:
                    local, state = line.split()[1], line.split()[3]
                    if state == '0A' and int(local.rsplit(':', 1)[1], 16) == port:
                        listening.append(local.rsplit(':', 1)[0])
        self.assertEqual(listening, ['0100007F'])

    def test_keys_of_the_tenant_are_on_no_disk(self):
        files = [os.path.join(folder, name) for folder, _, names in os.walk(self.facts['service']) for name in names]
        private = [f for f in files if f.endswith(('.key', '.key.json')) and os.path.basename(f) != 'transport-ca.key']
        self.assertEqual(sorted(os.path.basename(f) for f in private), ['relay.key', 'service.key', 'service.key.json'])
        for f in files:
            if f.endswith('.key'):
                self.assertEqual(os.stat(f).st_mode & 0o077, 0, f)


class Life(unittest.TestCase):
    def test_none_outlives_it(self):
        process, facts = start('--quiet')
        children = group_of(process.pid)
        self.assertEqual(len(children), 3)
        fds = [os.pidfd_open(pid) for pid in children]
        try:
            process.kill()
            process.communicate(timeout=60)
            for fd in fds:  # each becomes readable as its process ends
                os.set_blocking(fd, True)
                self.assertTrue(select.select([fd], [], [], 60)[0])
        finally:
            for fd in fds:
                os.close(fd)
            subprocess.run(['rm', '-rf', facts['service']], check=True)

    def test_one_that_ends_ends_it(self):
        process, facts = start('--quiet')
        os.kill(group_of(process.pid)[1], signal.SIGKILL)
        _, said = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, said)
        self.assertIn('has ended', said)
        self.assertFalse(os.path.exists(facts['service']))

    def test_folder_and_port(self):
        with tempfile.TemporaryDirectory() as parent, socket.socket() as taken:
            os.chmod(parent, 0o777)
            folder = os.path.join(parent, 'box')
            taken.bind(('127.0.0.1', 0))
            port = taken.getsockname()[1]
            taken.close()
            process, facts = start('--dir', folder, '--port', str(port))
            self.assertEqual((facts['service'], facts['relay']), (folder, f'https://127.0.0.1:{port}'))
            self.assertEqual(os.stat(folder).st_mode & 0o777, 0o700)
            for words, why in ((('--dir', folder), 'exists'), (('--dir', 'relative'), 'absolute'), (('--port', '0'), 'no port'),
                               (('--port', str(port)), 'did not start'), (('more',), 'not understood')):
                done = subprocess.run([SANDBOX, *words], capture_output=True, text=True, timeout=60, check=False, cwd='/', **AS)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(why, done.stderr)
            self.assertTrue(os.path.exists(os.path.join(folder, 'sandbox.json')))  # what failed took nothing of it away
            process.terminate()
            process.communicate(timeout=60)
            self.assertEqual(os.listdir(parent), [])

    def test_list_and_words(self):
        done = subprocess.run([SANDBOX, '--accounts'], capture_output=True, text=True, timeout=60, check=True)
        for name in ('locked-out', 'wrong-password', 'slow', 'silent', 'new-password-too-short'):
            self.assertIn(f'\n{name} ', done.stdout)
        self.assertIn('NO PASSWORD IS CHECKED', subprocess.run([SANDBOX, '--help'], capture_output=True, text=True, check=True).stdout)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
