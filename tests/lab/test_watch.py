"""watch.py: who ends how it wants passes unchanged; who hangs is ended, and it is told where each process was."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

WATCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'watch.py')
# Waits for a child that waits for nothing; what that one left behind would outlive both.
HANGS = """
import subprocess, sys
child = subprocess.Popen(['sh', '-c', 'sleep 4711 & wait'])
def waits_for_ever():
    child.wait()
waits_for_ever()
"""


def running(word):
    return subprocess.run(['pgrep', '-f', word], stdout=subprocess.PIPE, text=True, check=False).stdout.split()


class Watching(unittest.TestCase):
    def setUp(self):
        self.build = tempfile.mkdtemp(prefix='postern-watch-')
        self.addCleanup(shutil.rmtree, self.build)
        os.mkdir(os.path.join(self.build, 'meson-info'))
        os.mkdir(os.path.join(self.build, 'meson-logs'))

    def watch(self, command, timeout=600, words=()):
        for kind, tests in ('tests', [{'cmd': command, 'name': 'this', 'timeout': timeout}]), ('benchmarks', []):
            with open(os.path.join(self.build, 'meson-info', f'intro-{kind}.json'), 'w', encoding='utf-8') as f:
                json.dump(tests, f)
        return subprocess.run([sys.executable, '-SE', WATCH, *words, self.build, *command], capture_output=True, text=True, check=False)

    def costs(self):
        with open(os.path.join(self.build, 'meson-logs', 'cpu.tsv'), encoding='ascii') as f:
            return [line.rstrip('\n').split('\t') for line in f]

    def test_an_exit_code_and_what_was_said_pass(self):
        done = self.watch(['sh', '-c', 'echo out; echo err >&2; exit 77'])
        self.assertEqual((done.returncode, done.stdout, done.stderr), (77, 'out\n', 'err\n'))
        self.assertEqual(self.watch(['/nowhere/program']).returncode, 127)

    def test_a_signal_passes(self):
        for number in signal.SIGSEGV, signal.SIGKILL:
            with self.subTest(number):
                done = self.watch(['sh', '-c', f'kill -{int(number)} $$'])
                self.assertEqual((done.returncode, done.stderr), (-number, ''))

    def test_a_test_ignores_no_signal(self):
        done = self.watch(['grep', 'SigIgn', '/proc/self/status'])
        self.assertEqual(int(done.stdout.split()[1], 16), 0)

    def test_who_is_left_behind_is_ended_and_fails_the_test(self):
        for code, seen in (0, 1), (3, 3):
            with self.subTest(code):
                done = self.watch(['sh', '-c', f'sleep 4712 & exit {code}'])
                self.assertEqual(done.returncode, seen)
                self.assertIn('watch.py: this ended, but left these processes behind:', done.stderr)
                self.assertRegex(done.stderr, re.compile(r'^--- \d+, .*sleep 4712$', re.M))
                self.assertEqual(running('^sleep 4712$'), [])

    def test_who_ends_a_moment_after_the_test_is_not_left_behind(self):
        done = self.watch(['sh', '-c', 'sleep 1 & exit 0'])
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_cpu_time_of_all_processes_is_noted(self):
        burns = 'import time\nwhile time.process_time() < 0.5: pass'
        self.watch(['sh', '-c', f'{sys.executable} -c "{burns}" & wait'])
        (name, cpu, _), = self.costs()
        self.assertEqual(name, 'this')
        self.assertGreaterEqual(float(cpu), 0.5)

    def test_who_hangs_is_ended_and_its_stacks_are_told(self):
        done = self.watch([sys.executable, '-c', HANGS], timeout=1, words=['--at-least=1'])
        self.assertEqual(done.returncode, 124)
        self.assertIn('watch.py: this hangs: no end after 1 s of a quiet machine', done.stderr)
        self.assertRegex(done.stderr, r'in waits_for_ever\n')
        self.assertRegex(done.stderr, re.compile(r'^--- \d+, .*sleep 4711$', re.M))
        self.assertEqual(running('^sleep 4711$'), [])

    def test_no_limit_where_the_test_has_none(self):
        self.assertEqual(self.watch(['sleep', '2'], timeout=0, words=['--at-least=1']).returncode, 0)


if __name__ == '__main__':
    unittest.main(verbosity=2)
