#!/usr/bin/python3
"""How much of each parser the fuzz targets' inputs reach: lines and branches by clang's own counters, as a Markdown table.

usage: coverage.py [--least PERCENT] [FOUND]

Builds the targets without sanitizers in build-coverage (another folder by $POSTERN_BUILD_COVERAGE; needs clang and llvm), runs each
once over its corpus in the tree, and over FOUND/TARGET where that is given (build-fuzz/found, what long runs have kept). Names each
source file of which at least PERCENT (default 30) of the lines are reached, and the targets that reach as much.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get('POSTERN_BUILD_COVERAGE', os.path.join(ROOT, 'build-coverage'))
FLAGS = '-fprofile-instr-generate -fcoverage-mapping'


def run(*argv, **more):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        sys.exit(f'coverage.py: {" ".join(argv[:3])} ...: {done.stdout[-2000:]}{done.stderr[-2000:]}')
    return done.stdout


def set_up():
    for tool in ('clang', 'llvm-profdata', 'llvm-cov'):
        if not shutil.which(tool):
            sys.exit(f'coverage.py: {tool} is missing; install the packages clang and llvm')
    if not os.path.exists(os.path.join(BUILD, 'build.ninja')):
        run('meson', 'setup', BUILD, ROOT, '-Dfuzz=true', '-Db_lundef=false', f'-Dc_args=-fsanitize=fuzzer-no-link {FLAGS}',
            f'-Dc_link_args={FLAGS}', env={'CC': 'clang', 'LLVM_PROFILE_FILE': os.devnull, **os.environ})  # meson runs what it links, here


def targets():
    """(name, program, corpus) of each."""
    for test in json.loads(run('meson', 'introspect', '--tests', BUILD)):
        if any(suite.split(':')[-1] == 'fuzz' for suite in test['suite']):
            yield os.path.basename(test['cmd'][0]).removeprefix('fuzz_'), test['cmd'][0], test['cmd'][-1]


def summary(profile, programs):
    """Source file -> its counters."""
    objects = [word for program in programs for word in ('-object', program)]
    data = json.loads(run('llvm-cov', 'export', '-summary-only', '-instr-profile', profile, *objects[1:]))['data'][0]
    files = {}
    for f in data['files']:
        name = os.path.relpath(os.path.realpath(f['filename']), os.path.realpath(ROOT))
        if not name.startswith(('..', 'tests', os.path.basename(BUILD))):
            files[name] = f['summary']
    return files


def main():
    options = argparse.ArgumentParser(usage=__doc__.split('\n\n')[1].removeprefix('usage: '))
    options.add_argument('--least', type=float, default=30)
    options.add_argument('found', nargs='?')
    args = options.parse_args()
    set_up()
    all_of_them = list(targets())
    run('ninja', '-C', BUILD, *(os.path.relpath(program, BUILD) for _, program, _ in all_of_them))
    reach, profiles = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for name, program, corpus in all_of_them:
            raw, profile = os.path.join(folder, name + '.raw'), os.path.join(folder, name + '.prof')
            found = os.path.join(args.found, 'fuzz_' + name) if args.found else ''
            run(program, '-runs=0', corpus, *([found] if os.path.isdir(found) else []), env={**os.environ, 'LLVM_PROFILE_FILE': raw})
            run('llvm-profdata', 'merge', '-o', profile, raw)
            profiles.append(profile)
            for file, counts in summary(profile, [program]).items():
                if counts['lines']['percent'] >= args.least:
                    reach.setdefault(file, []).append(name)
        together = os.path.join(folder, 'all.prof')
        run('llvm-profdata', 'merge', '-o', together, *profiles)
        files = summary(together, [program for _, program, _ in all_of_them])
    print('| source | lines | branches | by |\n|---|---|---|---|')
    for file in sorted(reach):
        lines, branches = files[file]['lines'], files[file]['branches']
        print(f'| `{file}` | {lines["covered"]} of {lines["count"]}, {lines["percent"]:.0f} % '
              f'| {branches["covered"]} of {branches["count"]} | {", ".join(reach[file])} |')


if __name__ == '__main__':
    main()
