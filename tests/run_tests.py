"""The arithmetic of run.sh: which tests belong to which build, and what came of them.

usage: run_tests.py check BUILD... -- [SUITE|TEST]...      exits 2 naming the words that no build knows, and tests that none runs
       run_tests.py select BUILD plain|asan|valgrind [SUITE|TEST]...   prints arguments for `meson test`; nothing when none
       run_tests.py summary BUILD...                       prints what failed and the line that counts
"""
import glob
import json
import os
import subprocess
import sys

PASSED = {'OK', 'EXPECTEDFAIL'}
SKIPPED = {'SKIP'}
# Once more in valgrind: the unit tests, but not those that hold a clock against code which is forty times slower there.
VALGRIND, TOO_SLOW = 'unit', {'queue-client', 'validate-states_doc'}


def tests_of(build):
    """[(name, {suites})] of a configured build; meson writes the project's name before each suite."""
    listed = subprocess.run(['meson', 'introspect', '--tests', build], check=True, stdout=subprocess.PIPE, text=True)
    return [(t['name'], {s.split(':')[-1] for s in t['suite']}) for t in json.loads(listed.stdout)]


def wanted(name, suites, words):
    return not words or name in words or bool(suites & set(words))


def select(build, kind, words):
    """Words that make `meson test` run what is wanted of this kind and nothing else."""
    if kind == 'valgrind':
        return [name for name, suites in tests_of(build)
                if VALGRIND in suites and 'plain' not in suites and name not in TOO_SLOW and
                wanted(name, suites | {'valgrind'}, words)]
    names = [name for name, suites in tests_of(build)
             if ('plain' in suites) == (kind == 'plain') and wanted(name, suites, words)]
    return (['--suite', 'plain'] if kind == 'plain' else ['--no-suite', 'plain']) + names if names else []


def unknown(builds, words):
    known = {word for build in builds for name, suites in tests_of(build) for word in {name, 'valgrind'} | suites}
    return [word for word in words if word not in known]


def forgotten(asan, plain):
    """Tests that only the build without sanitizers has, and that run there only if they are of suite `plain`."""
    everywhere = {name for name, _ in tests_of(asan)}
    return [name for name, suites in tests_of(plain) if name not in everywhere and 'plain' not in suites]


def results_of(build):
    """[(name, result)] of the last runs in a build, with valgrind and without; empty when there was none."""
    found = []
    for path in sorted(glob.glob(os.path.join(build, 'meson-logs', 'testlog*.json'))):
        how = ' in valgrind' if path.endswith('-valgrind.json') else ''
        with open(path, encoding='utf-8') as lines:
            found += [(test['name'] + how, test['result']) for test in map(json.loads, lines)]
    return found


def summary(builds):
    """(the lines to print, the exit code). Whatever is not known to be good counts as failed."""
    results = [(build, name, result) for build in builds for name, result in results_of(build)]
    passed = sum(result in PASSED for _, _, result in results)
    skipped = sum(result in SKIPPED for _, _, result in results)
    failed = len(results) - passed - skipped
    lines = [f'{result}: {name} (in {build})' for build, name, result in results if result not in PASSED]
    lines.append(f'{passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''))
    return lines, 0 if passed and not failed else 1


def main(argv):
    command, *rest = argv
    if command == 'check':
        at = rest.index('--')
        bad = unknown(rest[:at], rest[at + 1:])
        if bad:
            print('run.sh: no suite or test is called ' + ', '.join(bad), file=sys.stderr)
        lost = forgotten(*rest[:at]) if at == 2 else []
        if lost:
            print('run.sh: no build runs ' + ', '.join(lost) + ': make it of suite `plain`', file=sys.stderr)
        return 2 if bad or lost else 0
    if command == 'select':
        print(*select(rest[0], rest[1], rest[2:]))
        return 0
    lines, code = summary(rest)
    print(*lines, sep='\n')
    return code


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
