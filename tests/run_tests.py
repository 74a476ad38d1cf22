"""The arithmetic of run.sh: which tests belong to which build, what must be built for them, and what came of them.

usage: run_tests.py check BUILD... -- [WORD]...            exits 2 naming the words that no build knows, and tests that none runs
       run_tests.py select BUILD KIND [WORD]...            prints arguments for `meson test`; nothing when no test is wanted
       run_tests.py targets BUILD KIND,... [WORD]...       prints what ninja must build for them; nothing when no test is wanted
       run_tests.py costs BUILD...                         prints the seconds of CPU of the last run, by kind, and the dearest
       run_tests.py summary ASAN PLAIN -- [WORD]...        prints what failed or did not run, and the line that counts

KIND is asan, plain or valgrind; a WORD is a suite, a test or --all.
"""
import glob
import json
import os
import subprocess
import sys

PASSED = {'OK', 'EXPECTEDFAIL'}
SKIPPED = {'SKIP'}
IN_VALGRIND = ' in valgrind'
# Once more in valgrind: the unit tests, but not those that hold a clock against code which is forty times slower there, nor
# those in Python, whose interpreter is not what it should look at.
VALGRIND, NOT_THERE = 'unit', {'queue-client', 'validate-states_doc', 'validate-links', 'findings-codes', 'vectors-protocol-text'}
# There with --all, or when they or `valgrind` are asked for. They took two thirds of its time, and repeat for long what shorter
# tests have it look at as well: state machines by dice and by the fake clock, TLS streams, databases. The sanitizers see each of them.
DEEP = {'validate-operation-random', 'validate-silence', 'validate-throttle', 'queue-link_work', 'queue-link_stream',
        'link-lines', 'relay-store_copy', 'relay-nodes_bounds', 'relay-dispatch_random',
        'connector-cli', 'connector-state', 'vectors-made-again'}
# Tests of this suite run when they, or --all, are asked for. X-all is X with more in it, and stands for X then.
LONG, MORE = 'long', '-all'
# Tests of this suite need more packages (packages.sh --consumers), and run when they are asked for by name alone.
CONSUMERS = 'consumers'


def tests_of(build):
    """[(name, {suites})] of a configured build; meson writes the project's name before each suite."""
    listed = subprocess.run(['meson', 'introspect', '--tests', build], check=True, stdout=subprocess.PIPE, text=True)
    return [(t['name'], {s.split(':')[-1] for s in t['suite']}) for t in json.loads(listed.stdout)]


def targets_of(build):
    """(names of what `meson install` installs, {id: names}) of a configured build, as ninja knows them."""
    listed = subprocess.run(['meson', 'introspect', '--targets', build], check=True, stdout=subprocess.PIPE, text=True)
    top = os.path.abspath(build)
    targets = {t['id']: ([os.path.relpath(path, top) for path in t['filename']], t['installed']) for t in json.loads(listed.stdout)}
    return ([name for names, installed in targets.values() if installed for name in names],
            {ident: names for ident, (names, _) in targets.items()})


def needs_of(build):
    """{test: ids of the targets that it needs}"""
    listed = subprocess.run(['meson', 'introspect', '--tests', build], check=True, stdout=subprocess.PIPE, text=True)
    return {t['name']: t['depends'] for t in json.loads(listed.stdout)}


def is_of(kind, name, suites):
    if kind == 'valgrind':
        return VALGRIND in suites and 'plain' not in suites and name not in NOT_THERE
    return ('plain' in suites) == (kind == 'plain')


def wanted(name, suites, words, names):
    """Whether the words ask for this test. Of X and X-all one is meant, unless both are named."""
    everything, words = '--all' in words, set(words) - {'--all'}
    if name in words:
        return True
    if (words and not suites & words) or (CONSUMERS in suites and CONSUMERS not in words):
        return False
    return name + MORE not in names if everything else LONG not in suites or LONG in words


def select(build, kind, words):
    """Names of the tests of this kind that the words ask for."""
    tests = tests_of(build)
    names = {name for name, _ in tests}
    more = {'valgrind'} if kind == 'valgrind' else set()
    left_out = DEEP - set(words) if kind == 'valgrind' and not {'--all', 'valgrind'} & set(words) else set()
    return [name for name, suites in tests if
            is_of(kind, name, suites) and name not in left_out and wanted(name, suites | more, words, names)]


def targets(build, kinds, words):
    """What ninja must build for the tests of these kinds: what they name, and the programs, which `meson install` wants all."""
    names = [name for kind in kinds for name in select(build, kind, words)]
    if not names:
        return []
    programs, known = targets_of(build)
    needs = needs_of(build)
    return sorted(set(programs) | {target for name in names for ident in needs[name] for target in known.get(ident, [])})


def unknown(builds, words):
    known = {word for build in builds for name, suites in tests_of(build) for word in {name, 'valgrind'} | suites}
    return [word for word in words if word not in known | {'--all'}]


def forgotten(asan, plain):
    """Tests that only the build without sanitizers has, and that run there only if they are of suite `plain`."""
    everywhere = {name for name, _ in tests_of(asan)}
    return [name for name, suites in tests_of(plain) if name not in everywhere and 'plain' not in suites]


def results_of(build):
    """[(name, result)] of the last runs in a build, with valgrind and without; empty when there was none."""
    found = []
    for path in sorted(glob.glob(os.path.join(build, 'meson-logs', 'testlog*.json'))):
        how = IN_VALGRIND if path.endswith('-valgrind.json') else ''
        with open(path, encoding='utf-8') as lines:
            # meson writes `PROJECT:SUITE / NAME`
            found += [(test['name'].split(' / ')[-1] + how, test['result']) for test in map(json.loads, lines)]
    return found


def expected_of(asan, plain, words):
    """[(build, name)] of what must have run."""
    return ([(asan, name) for name in select(asan, 'asan', words)] + [(plain, name) for name in select(plain, 'plain', words)] +
            [(plain, name + IN_VALGRIND) for name in select(plain, 'valgrind', words)])


def costs(builds, dearest=12):
    """Lines on where the CPU time of the last run went, as watch.py noted it: each kind with its tests, each of the dearest."""
    kinds, each = {}, []
    for build in builds:
        suites = {name: min(suites - {'plain'} or suites) for name, suites in tests_of(build)}
        with open(os.path.join(build, 'meson-logs', 'cpu.tsv'), encoding='ascii') as lines:
            for name, cpu, _ in (line.split('\t') for line in lines):
                kind = 'valgrind' if name.endswith(IN_VALGRIND) else suites.get(name, name)
                number, seconds = kinds.get(kind, (0, 0.0))
                kinds[kind] = number + 1, seconds + float(cpu)
                each.append((float(cpu), name, build))
    total = sum(seconds for _, seconds in kinds.values())
    rows = sorted(((seconds, kind, number) for kind, (number, seconds) in kinds.items()), reverse=True)
    return ([f'{total:7.0f} s of CPU'] + [f'{seconds:7.0f} s  {kind} ({number})' for seconds, kind, number in rows] + ['the dearest:'] +
            [f'{cpu:7.1f} s  {name} ({build})' for cpu, name, build in sorted(each, reverse=True)[:dearest]])


def summary(asan, plain, words):
    """(the lines to print, the exit code). Whatever is not known to be good counts as failed."""
    results = [(build, name, result) for build in (asan, plain) for name, result in results_of(build)]
    ran = {(build, name) for build, name, _ in results}
    results += [(build, name, 'NOT RUN') for build, name in expected_of(asan, plain, words) if (build, name) not in ran]
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
    if command == 'costs':
        print(*costs(rest), sep='\n')
        return 0
    if command == 'targets':
        print(*targets(rest[0], rest[1].split(','), rest[2:]))
        return 0
    lines, code = summary(rest[0], rest[1], rest[3:])
    print(*lines, sep='\n')
    return code


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
