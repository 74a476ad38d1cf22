#!/usr/bin/python3
"""The arithmetic behind run.sh's last line: nothing that did not pass may count as passed."""
import json
import os
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), '..')))
import run_tests  # noqa: E402

TESTS = [('buffer', {'unit'}), ('wipe-free', {'unit', 'plain'}), ('states', {'e2e'})]


class Select(unittest.TestCase):
    def setUp(self):
        self.saved, run_tests.tests_of = run_tests.tests_of, lambda build: TESTS
        self.addCleanup(setattr, run_tests, 'tests_of', self.saved)

    def test_each_test_runs_in_one_build(self):
        self.assertEqual(run_tests.select('b', 'asan', []), ['--no-suite', 'plain', 'buffer', 'states'])
        self.assertEqual(run_tests.select('b', 'plain', []), ['--suite', 'plain', 'wipe-free'])

    def test_words(self):
        self.assertEqual(run_tests.select('b', 'asan', ['unit']), ['--no-suite', 'plain', 'buffer'])
        self.assertEqual(run_tests.select('b', 'plain', ['e2e']), [])
        self.assertEqual(run_tests.select('b', 'plain', ['wipe-free', 'e2e']), ['--suite', 'plain', 'wipe-free'])
        self.assertEqual(run_tests.unknown(['b'], ['plain', 'unit', 'states', 'stats']), ['stats'])


class Summary(unittest.TestCase):
    def summary(self, *runs):
        with tempfile.TemporaryDirectory() as top:
            builds = []
            for i, results in enumerate(runs):
                builds.append(os.path.join(top, str(i)))
                os.makedirs(os.path.join(builds[-1], 'meson-logs'))
                with open(os.path.join(builds[-1], 'meson-logs', 'testlog.json'), 'w', encoding='utf-8') as out:
                    out.writelines(json.dumps({'name': f't{n}', 'result': r}) + '\n' for n, r in enumerate(results))
            lines, code = run_tests.summary(builds + [os.path.join(top, 'never-ran')])
        return lines[-1], code, len(lines) - 1

    def test_counts_both_builds(self):
        self.assertEqual(self.summary(['OK', 'OK'], ['EXPECTEDFAIL']), ('3 passed, 0 failed', 0, 0))

    def test_only_what_is_known_as_good_passes(self):
        bad = ['FAIL', 'TIMEOUT', 'ERROR', 'INTERRUPT', 'UNEXPECTEDPASS', 'something new']
        for result in bad:
            self.assertEqual(self.summary(['OK'], [result]), ('1 passed, 1 failed', 1, 1))

    def test_skipped_is_said(self):
        self.assertEqual(self.summary(['OK', 'SKIP']), ('1 passed, 0 failed, 1 skipped', 0, 1))

    def test_nothing_ran_is_a_failure(self):
        self.assertEqual(self.summary([]), ('0 passed, 0 failed', 1, 0))
        self.assertEqual(self.summary(['SKIP']), ('0 passed, 0 failed, 1 skipped', 1, 1))


if __name__ == '__main__':
    unittest.main()
