#!/usr/bin/python3
"""The arithmetic behind run.sh's last line: nothing that did not pass may count as passed."""
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), '..')))
import run_tests  # noqa: E402

TESTS = [('buffer', {'unit'}), ('wipe-free', {'unit', 'plain'}), ('states', {'e2e'}), ('mutants', {'interop'}),
         ('mutants-all', {'interop', 'long'}), ('doors', {'consumers'})]
TARGETS = (['posternd'], {'1': ['tests/test_buffer'], '2': ['connector/posternd'], '3': ['tests/wipe_free']})
NEEDS = {'buffer': ['1'], 'states': ['2'], 'wipe-free': ['3', '2'], 'mutants': [], 'mutants-all': []}


class Select(unittest.TestCase):
    def setUp(self):
        for name, value in (('tests_of', TESTS), ('targets_of', TARGETS), ('needs_of', NEEDS)):
            self.addCleanup(setattr, run_tests, name, getattr(run_tests, name))
            setattr(run_tests, name, lambda build, value=value: value)

    def test_each_test_runs_in_one_build(self):
        self.assertEqual(run_tests.select('b', 'asan', []), ['buffer', 'states', 'mutants'])
        self.assertEqual(run_tests.select('b', 'plain', []), ['wipe-free'])
        self.assertEqual(run_tests.select('b', 'valgrind', []), ['buffer'])

    def test_words(self):
        self.assertEqual(run_tests.select('b', 'asan', ['unit']), ['buffer'])
        self.assertEqual(run_tests.select('b', 'plain', ['e2e']), [])
        self.assertEqual(run_tests.select('b', 'plain', ['wipe-free', 'e2e']), ['wipe-free'])
        self.assertEqual(run_tests.select('b', 'valgrind', ['e2e']), [])
        self.assertEqual(run_tests.select('b', 'valgrind', ['valgrind']), ['buffer'])
        self.assertEqual(run_tests.select('b', 'asan', ['valgrind']), [])
        self.assertEqual(run_tests.unknown(['b'], ['plain', '--all', 'unit', 'states', 'stats']), ['stats'])

    def test_what_is_long_is_asked_for(self):
        self.assertEqual(run_tests.select('b', 'asan', ['--all']), ['buffer', 'states', 'mutants-all'])
        self.assertEqual(run_tests.select('b', 'asan', ['interop']), ['mutants'])
        self.assertEqual(run_tests.select('b', 'asan', ['interop', '--all']), ['mutants-all'])
        for words in (['mutants-all'], ['long']):
            self.assertEqual(run_tests.select('b', 'asan', words), ['mutants-all'])
        self.assertEqual(run_tests.select('b', 'asan', ['mutants', '--all']), ['mutants'])

    def test_what_is_long_in_valgrind_is_asked_for(self):
        run_tests.tests_of = lambda build: [*TESTS, ('link-lines', {'unit'})]
        for words, expected in (([], ['buffer']), (['unit'], ['buffer']), (['link-lines'], ['link-lines']), (['valgrind'], ['buffer', 'link-lines']),
                                (['--all'], ['buffer', 'link-lines'])):
            self.assertEqual(run_tests.select('b', 'valgrind', words), expected)
        self.assertIn('link-lines', run_tests.select('b', 'asan', []))

    def test_what_needs_other_packages_is_asked_for_by_name(self):
        for words in (['consumers'], ['doors'], ['consumers', '--all']):
            self.assertEqual(run_tests.select('b', 'asan', words), ['doors'])

    def test_targets(self):
        self.assertEqual(run_tests.targets('b', ['plain', 'valgrind'], []), ['connector/posternd', 'posternd', 'tests/test_buffer', 'tests/wipe_free'])
        self.assertEqual(run_tests.targets('b', ['plain', 'valgrind'], ['interop']), [])


class Summary(unittest.TestCase):
    def summary(self, *runs, expected=()):
        self.addCleanup(setattr, run_tests, 'tests_of', run_tests.tests_of)
        run_tests.tests_of = lambda build: [(name, {'integration'}) for name in expected]
        with tempfile.TemporaryDirectory() as top:
            builds = []
            for i, results in enumerate(runs):
                builds.append(os.path.join(top, str(i)))
                os.makedirs(os.path.join(builds[-1], 'meson-logs'))
                with open(os.path.join(builds[-1], 'meson-logs', 'testlog.json'), 'w', encoding='utf-8') as out:
                    out.writelines(json.dumps({'name': f'postern:unit+e2e / t{n}', 'result': r}) + '\n' for n, r in enumerate(results))
            lines, code = run_tests.summary(*(builds + [os.path.join(top, 'never-ran')])[:2], [])
        return lines[-1], code, len(lines) - 1

    def test_counts_both_builds(self):
        self.assertEqual(self.summary(['OK', 'OK'], ['EXPECTEDFAIL']), ('3 passed, 0 failed', 0, 0))

    def test_only_what_is_known_as_good_passes(self):
        bad = ['FAIL', 'TIMEOUT', 'ERROR', 'INTERRUPT', 'UNEXPECTEDPASS', 'something new']
        for result in bad:
            self.assertEqual(self.summary(['OK'], [result]), ('1 passed, 1 failed', 1, 1))

    def test_skipped_is_said(self):
        self.assertEqual(self.summary(['OK', 'SKIP']), ('1 passed, 0 failed, 1 skipped', 0, 1))

    def test_what_was_to_run_and_did_not_is_a_failure(self):
        self.assertEqual(self.summary(['OK'], expected=['t0', 't1']), ('1 passed, 1 failed', 1, 1))

    def test_nothing_ran_is_a_failure(self):
        self.assertEqual(self.summary([]), ('0 passed, 0 failed', 1, 0))
        self.assertEqual(self.summary(['SKIP']), ('0 passed, 0 failed, 1 skipped', 1, 1))


if __name__ == '__main__':
    unittest.main()
