#!/usr/bin/python3
"""libpostern as a program outside of this tree has it: installed into a folder of its own, found by pkg-config, linked by name.

usage: test_installed.py BUILD POSTERN-SANDBOX SANITIZERS   (those of the build: none, or as meson says them)
"""
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

BUILD, SANDBOX, SANITIZERS = sys.argv[1:4]
HERE = os.path.dirname(os.path.abspath(__file__))
FLAGS = [] if SANITIZERS == 'none' else ['-fsanitize=' + SANITIZERS]
PUBLIC = {'postern_' + name for name in ('accepted', 'answer_free', 'attribute', 'error', 'free', 'get', 'new', 'set', 'sign_in', 'version')}


def run(argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False, **more)


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix='postern-installed-')
        cls.root = os.path.join(cls.folder.name, 'root')
        done = run(['meson', 'install', '-C', BUILD, '--no-rebuild', '--quiet', '--tags', 'postern-client,devel', '--destdir', cls.root])
        assert done.returncode == 0, done.stdout + done.stderr
        found = {name: os.path.join(at, name) for at, _, names in os.walk(cls.root) for name in names}
        cls.found = found
        cls.env = {**os.environ, 'PKG_CONFIG_PATH': os.path.dirname(found['postern.pc']), 'PKG_CONFIG_SYSROOT_DIR': cls.root,
                   'LD_LIBRARY_PATH': os.path.dirname(found['libpostern.so.0'] if 'libpostern.so.0' in found else found['postern.pc'])}
        cls.flags = run(['pkg-config', '--cflags', '--libs', 'postern'], env=cls.env).stdout.split()
        cls.sandbox = subprocess.Popen([SANDBOX, '--json', '--quiet'], stdout=subprocess.PIPE, text=True)
        cls.facts = json.loads(cls.sandbox.stdout.readline())

    @classmethod
    def tearDownClass(cls):
        cls.sandbox.send_signal(signal.SIGTERM)
        cls.sandbox.communicate(timeout=60)
        cls.folder.cleanup()

    def compile(self, source, name, *more):
        program = os.path.join(self.folder.name, name)
        done = run([*more, *FLAGS, '-o', program, source, *self.flags], env=self.env)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        return program

    def test_files(self):
        at = {os.path.relpath(path, self.root) for path in self.found.values()}
        for end in ('include/postern.h', '/pkgconfig/postern.pc', 'doc/postern/examples/sign-in.c', '/libpostern.so.0', '/libpostern.so'):
            self.assertTrue(any(path.endswith(end) for path in at), (end, at))
        self.assertEqual(run(['pkg-config', '--modversion', 'postern'], env=self.env).stdout, '0.1.0\n')

    def test_names(self):
        """The public ones, and no others, at the version that the map says; what programs remember is the SONAME."""
        library = self.found['libpostern.so.0']
        shown = {line.split()[-1] for line in run(['nm', '-D', '--defined-only', library]).stdout.splitlines()}
        self.assertEqual(shown - {'POSTERN_0'}, {name + '@@POSTERN_0' for name in PUBLIC})
        with open(self.found['postern.h'], encoding='ascii') as f:
            text = re.sub(r'/\*.*?\*/', '', f.read(), flags=re.S)
        self.assertEqual(set(re.findall(r'(postern_\w+)\(', text)), PUBLIC)
        self.assertIn('Library soname: [libpostern.so.0]', run(['readelf', '-d', library]).stdout)

    def test_header(self):
        for compiler, language, standard in (('cc', 'c', 'c99'), ('c++', 'c++', 'c++11')):
            if not shutil.which(compiler):
                continue
            done = run([compiler, '-x', language, '-std=' + standard, '-Wall', '-Wextra', '-pedantic', '-Werror', '-fsyntax-only', self.found['postern.h']])
            self.assertEqual((done.returncode, done.stderr), (0, ''), compiler)

    def test_example(self):
        program = self.compile(self.found['sign-in.c'], 'sign-in', 'cc', '-std=c99', '-Wall', '-Wextra', '-Werror')
        folder = self.facts['service']
        for user, password, code, says in (('ok@sandbox.invalid', 'sandbox', 0, 'of corp.sandbox.invalid is signed in'),
                                           ('ok@sandbox.invalid', 'wrong', 1, 'wrong_password'),
                                           ('disabled@sandbox.invalid', 'sandbox', 1, 'Your account is disabled'),
                                           ('a@elsewhere.example', 'x', 1, 'unknown_domain')):
            done = run([program, folder, user], input=password + '\n', env=self.env)
            self.assertEqual((done.returncode, done.stderr), (code, ''), done.stdout)
            self.assertIn(says, done.stdout)
        done = run([program, '/nonexistent', 'x'], input='x\n', env=self.env)
        self.assertEqual(done.returncode, 2)
        self.assertIn('/nonexistent/service.json', done.stderr)

    def test_newest_roster_is_remembered(self):
        program = self.compile(self.found['sign-in.c'], 'sign-in-2', 'cc')
        seen = os.path.join(self.facts['service'], 'roster.seen')
        run([program, self.facts['service'], 'ok@sandbox.invalid'], input='sandbox\n', env=self.env)
        with open(seen, encoding='ascii') as f:
            text = f.read()
        try:
            with open(seen, 'w', encoding='ascii') as f:
                f.write(text.replace(text.split()[0], str(int(text.split()[0]) + 1), 1))
            done = run([program, self.facts['service'], 'ok@sandbox.invalid'], input='sandbox\n', env=self.env)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertNotIn('signed in', done.stdout)
        finally:
            with open(seen, 'w', encoding='ascii') as f:
                f.write(text)

    def test_words(self):
        """The user's sentence in another language, with the customer's own contact."""
        german = os.path.realpath(os.path.join(HERE, '..', '..', '..', 'connector', 'packaging', 'words', 'de.words'))
        program = self.compile(os.path.join(HERE, 'words.c'), 'words', 'cc', '-Wall', '-Wextra', '-Werror')
        done = run([program, self.facts['service'], 'disabled@sandbox.invalid', german], env=self.env)
        self.assertEqual((done.returncode, done.stdout), (0, 'Ihr Konto ist deaktiviert. Bitte wenden Sie sich an die IT (4711).\n'), done.stderr)
        done = run([program, self.facts['service'], 'disabled@sandbox.invalid', '/nonexistent'], env=self.env)
        self.assertEqual(done.returncode, 2)
        self.assertIn('/nonexistent', done.stdout)

    def test_threads(self):
        """Side by side: what waits for the network keeps nobody up."""
        program = self.compile(os.path.join(HERE, 'threads.c'), 'threads', 'cc', '-pthread', '-Wall', '-Wextra', '-Werror')
        limit = None if SANITIZERS != 'none' else lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (2 << 20, 2 << 20))
        done = run([program, self.facts['service']], env=self.env, preexec_fn=limit)
        self.assertEqual((done.returncode, done.stderr), (0, ''), done.stdout)


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
