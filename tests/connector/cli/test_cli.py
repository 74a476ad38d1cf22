"""What the command lines promise: help that fits a terminal, wrong words named, man pages that are clean and name every command.

usage: test_cli.py POSTERN POSTERND SOURCE_DIR
"""
import os
import re
import shutil
import subprocess
import sys
import unittest

POSTERN, POSTERND, SOURCE = (os.path.abspath(a) for a in sys.argv[1:4])
MAN = os.path.join(SOURCE, 'connector', 'man')


def run(*argv, **more):
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False, stdin=subprocess.DEVNULL, **more)


def commands(*words):
    """The words that `postern WORDS --help` lists."""
    listed = run(POSTERN, *words, '--help').stdout
    return re.findall(r'^  ([a-z][a-z-]*) {2,}\S|^  ([a-z-]{15,}) \S', listed, re.M) if 'COMMAND [OPTIONS]' in listed else []


def all_commands():
    found = [()]
    for first in (a or b for a, b in commands()):
        found.append((first,))
        found += [(first, a or b) for a, b in commands(first)]
    return found


class CliTest(unittest.TestCase):
    def check_help(self, *argv):
        done = run(*argv, '--help')
        self.assertEqual((done.returncode, done.stderr), (0, ''), argv)
        lines = done.stdout.splitlines()
        self.assertLessEqual(len(lines), 24, f'{argv} --help\n{done.stdout}')
        self.assertLessEqual(max(map(len, lines)), 80, f'{argv} --help\n{done.stdout}')
        self.assertTrue(lines[0].lower().startswith('usage: '), argv)

    def test_help_fits(self):
        found = all_commands()
        for wanted in (('status',), ('log',), ('explain',), ('check-config',), ('tenant', 'init'), ('service', 'init'), ('enroll',),
                       ('sign-in',)):
            self.assertIn(wanted, found)
        for words in found:
            self.check_help(POSTERN, *words)
        self.check_help(POSTERND)

    def test_other_ways_to_ask_for_help(self):
        for words, same in ((('-h',), ('--help',)), (('help',), ('--help',)), (('status', '-h'), ('status', '--help')),
                            (('help', 'status'), ('status', '--help')), (('tenant', 'help', 'init'), ('tenant', 'init', '--help'))):
            done = run(POSTERN, *words)
            self.assertEqual((done.returncode, done.stdout), (0, run(POSTERN, *same).stdout), words)
        self.assertEqual(run(POSTERND, '-h').stdout, run(POSTERND, '--help').stdout)

    def test_a_missing_configuration_is_named_once(self):
        done = run(POSTERND, '--config', '/no/such/folder', '--check-config')
        self.assertEqual((done.returncode, done.stderr.count('/no/such/folder')), (78, 1), done.stderr)

    def test_wrong_words_are_named(self):
        for words, named, suggested in ((('stauts',), 'stauts', 'status'), (('log', '--usr', 'x'), '--usr', '--user'),
                                        (('explain', 'a', 'b'), "'b'", ''), (('explain',), 'ID-OR-USER', ''),
                                        (('log', '--limit'), '--limit', ''), (('status', '-x'), '-x', ''),
                                        (('status', '--json=1'), '--json', ''), (('tenant', 'aprove'), 'aprove', 'approve')):
            done = run(POSTERN, *words)
            self.assertEqual((done.returncode, done.stdout), (2, ''), words)
            self.assertIn(named, done.stderr)
            self.assertIn(suggested, done.stderr)
        done = run(POSTERN)
        self.assertEqual((done.returncode, done.stdout), (2, ''))
        self.assertIn('status', done.stderr)

    def test_no_suggestion_out_of_the_blue(self):
        self.assertNotIn('did you mean', run(POSTERN, 'frobnicate').stderr)

    def test_version(self):
        for program in (POSTERN, POSTERND):
            done = run(program, '--version')
            self.assertEqual(done.returncode, 0)
            self.assertRegex(done.stdout, r'^postern(d)? \d+\.\d+\.\d+\n$')

    def test_check_config(self):
        bad = os.path.join(SOURCE, 'tests/connector/conf/config/many-mistakes.conf')
        done = run(POSTERN, 'check-config', bad)
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertEqual(done.stderr.count('many-mistakes.conf:'), 5)
        self.assertIn('5 errors', done.stderr)
        done = run(POSTERN, 'check-config', os.path.join(SOURCE, 'connector/packaging/postern.conf.example'))
        self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_full_output_is_an_error(self):
        with open('/dev/full', 'w', encoding='ascii') as full:
            done = subprocess.run([POSTERN, '--help'], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('cannot write', done.stderr)

    def test_man_pages_are_clean(self):
        if not shutil.which('man') or not shutil.which('groff'):
            self.skipTest('man-db or groff is not installed')
        pages = sorted(os.listdir(MAN))
        self.assertTrue({'postern.1', 'postern.conf.5', 'posternd.8'} <= set(pages), pages)
        for page in pages:
            done = run('man', '--warnings', '-E', 'UTF-8', '-l', '-Tutf8', '-Z', os.path.join(MAN, page),
                       env=dict(os.environ, MANROFFSEQ='', LC_ALL='C.UTF-8'))
            self.assertEqual((done.returncode, done.stderr), (0, ''), page)
            self.assertGreater(len(done.stdout), 1000, page)

    def test_man_page_lists_each_code_of_a_finding(self):
        with open(os.path.join(SOURCE, 'connector', 'findings', 'finding.c'), encoding='utf-8') as f:
            codes = set(re.findall(r'^        \{"(\w+)", FINDING_', f.read(), re.M))
        self.assertGreater(len(codes), 35)
        with open(os.path.join(MAN, 'postern.1'), encoding='utf-8') as f:
            text = f.read()
        listed = text[text.index('The codes:'):]
        listed = re.findall(r'[a-z]+_[a-z_]+|removed|quarantined', listed[:listed.index('.TP')])
        self.assertEqual(sorted(codes), sorted(listed))

    def test_man_page_names_every_command(self):
        with open(os.path.join(MAN, 'postern.1'), encoding='utf-8') as f:
            text = f.read().replace('\\-', '-')
        for words in all_commands()[1:]:
            self.assertIn(' '.join(words), text)
        with open(os.path.join(MAN, 'posternd.8'), encoding='utf-8') as f:
            text = f.read().replace('\\-', '-')
        for option in re.findall(r'--[a-z-]+', run(POSTERND, '--help').stdout):
            self.assertIn(option, text)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
