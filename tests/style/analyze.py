"""Runs one static analyzer over C files of the build and compares what it says with the list of exceptions.

usage: analyze.py [--jobs=N] [--all] [--any-version] gcc|clang|cppcheck BUILD [FILE]...

gcc is `gcc -fanalyzer`, clang is `clang --analyze`; N files at a time, one for each processor unless told. Without
--all the programs of the tests are left out (what they share is not), and clang follows a function only so far
(NODES), which takes a fifth of the time: on 2026-11-30 both ways found the same.

A file is analysed again only when it, a header that it includes, its flags, the tool or this script changed: what was
found is kept in BUILD/analysis. BUILD must have been built, because ninja knows the headers. Fails on each finding that
analysis-exceptions.txt does not name, and (with --all) on each exception that matches nothing any more.

The exceptions are judged for the versions in JUDGED, which are Debian 12's: another version finds other things, so with it
this says so and exits 77, which the test runner counts as skipped; --any-version runs it all the same.
"""
import concurrent.futures
import fnmatch
import functools
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
EXCEPTIONS = os.path.join(ROOT, 'tests', 'style', 'analysis-exceptions.txt')
FINDING = re.compile(r'^(?P<path>[^:\s][^:]*):(?P<line>\d+):\d+: (?:warning|error|performance|portability|style): '
                     r'(?P<text>.*) \[(?P<check>[^\]]+)\]$')

# Sanitizers only get in an analyzer's way, and each tool knows warnings that the other doesn't.
DROPPED = re.compile(r'^(-O.|-D_FORTIFY_SOURCE=.|-fsanitize.*|-Werror|-M[DQF]|-o|-c|-fstack-clash-protection|-fprofile.*|-fcoverage.*|-fdiagnostics.*)$')
TOOLS = {
    'gcc': ['gcc', '-fanalyzer', '-fdiagnostics-plain-output', '-Wno-analyzer-too-complex', '-O1', '-S', '-o', '/dev/null'],
    'clang': ['clang', '--analyze', '-Xclang', '-analyzer-output=text', '-fno-caret-diagnostics', '-fno-color-diagnostics'],
    # cppcheck gives each macro of a library its meaning by its own tables, and reads no system headers.
    'cppcheck': ['cppcheck', '-q', '--enable=warning,performance,portability', '--std=c11', '--library=posix', '--library=bsd',
                 '--template={file}:{line}:{column}: {severity}: {message} [{id}]', '--template-location=',
                 '--include=' + os.path.join(ROOT, 'tests', 'style', 'cppcheck-macros.h')],
}
JUDGED = {'gcc': r'\) 12\.', 'clang': r'version 14\.', 'cppcheck': r'Cppcheck 2\.10'}
# Of what clang remembers while it follows the ways through a function; its own default is 225000. Its time grows with it.
NODES = ['-Xclang', '-analyzer-config', '-Xclang', 'max-nodes=30000']
PROGRAM = re.compile(r'^tests/(bench/|(.*/)?(test|fuzz)_)')  # a test's own file, which nothing else uses


def headers(build):
    """{object: [the files that it was compiled from]}, as ninja noted them when it built."""
    found, name = {}, None
    said = subprocess.run(['ninja', '-C', build, '-t', 'deps'], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in said.splitlines():
        if line.startswith('    '):
            found[name].append(os.path.join(build, line.strip()))
        elif ': #deps' in line:
            name = line.split(':', 1)[0]
            found[name] = []
    return found


def commands(build):
    """{path of a source below ROOT: (its flags, the files that it is compiled from)}; a file that is compiled twice counts once."""
    found, known = {}, headers(build)
    with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as f:
        entries = json.load(f)
    for entry in entries:
        source = os.path.realpath(os.path.join(entry['directory'], entry['file']))
        path = os.path.relpath(source, ROOT)
        if path.startswith('..') or not path.endswith('.c') or path in found:
            continue
        words = shlex.split(entry['command'])
        first = next(i for i, word in enumerate(words) if word.startswith('-'))
        flags, skip = [], False
        for word in words[first:]:
            if skip:
                skip = False
            elif DROPPED.match(word):
                skip = word in ('-MQ', '-MF', '-o')
            elif word.startswith('-'):
                flags.append(word)
            elif flags and flags[-1] in ('-isystem', '-iquote', '-include', '-idirafter'):
                flags.append(word)
        if entry['output'] not in known:
            raise SystemExit(f'analyze.py: {path} has not been compiled in {build}: ninja -C {build}')
        found[path] = flags, known[entry['output']]
    return found


@functools.lru_cache(maxsize=None)
def digest_of(path):
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest()


def output_of(command, cwd):
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors='replace')
    return done.returncode, done.stdout


def findings_of(tool, everything, build, path, flags, read):
    """[(path, line, check, text)] of one file, from the cache or the tool."""
    source = os.path.join(ROOT, path)
    if tool == 'cppcheck':
        include = [word for word in flags if word.startswith('-D')]
        command = TOOLS[tool] + include + ['-I' + ROOT, '-I' + os.path.join(ROOT, 'certs'), source]
    else:
        command = TOOLS[tool] + (NODES if tool == 'clang' and not everything else []) + flags + [source]
    key = hashlib.sha256('\0'.join([VERSIONS[tool], *command, digest_of(__file__), *map(digest_of, read)]).encode()).hexdigest()
    kept = os.path.join(build, 'analysis', tool, path.replace('/', '_') + '.json')
    try:
        with open(kept, encoding='utf-8') as f:
            known = json.load(f)
        if known['key'] == key:
            return known['findings']
    except (FileNotFoundError, ValueError):
        pass
    code, said = output_of(command, build)
    if code != 0:
        raise SystemExit(f'analyze.py: {tool} failed on {path}:\n{said[-2000:]}')
    findings = []
    for line in said.splitlines():
        m = FINDING.match(line)
        if m and (tool != 'gcc' or m['check'].startswith('-Wanalyzer') or 'CWE' in m['check']):
            where = os.path.relpath(os.path.realpath(os.path.join(build, m['path'])), ROOT)
            findings.append([where, int(m['line']), m['check'], m['text']])
    with open(kept, 'w', encoding='utf-8') as f:
        json.dump({'key': key, 'findings': findings}, f)
    return findings


VERSIONS = {}


def exceptions(tool):
    """[(check, pattern of the path, part of the source line or of the message)] for this tool, a line each."""
    found = []
    with open(EXCEPTIONS, encoding='utf-8') as f:
        for number, line in enumerate(f, 1):
            if not line.strip() or line.startswith('#'):
                continue
            fields = [field.strip() for field in line.split(' | ')]
            if len(fields) != 5 or fields[0] not in TOOLS or not fields[4]:
                raise SystemExit(f'{EXCEPTIONS}:{number}: expected `tool | check | path | text | why`')
            if fields[0] == tool:
                found.append(tuple(fields[1:4]))
    return found


def source_line(path, number):
    with open(os.path.join(ROOT, path), encoding='utf-8') as f:
        return f.read().split('\n')[number - 1]


def excused(finding, exception):
    path, line, check, text = finding
    what, where, part = exception
    return what in check and fnmatch.fnmatch(path, where) and (part == '*' or part in source_line(path, line) or part in text)


def main(argv):
    jobs, everything, any_version = os.cpu_count(), False, False
    while argv and argv[0].startswith('--'):
        word = argv.pop(0)
        if word == '--all':
            everything = True
        elif word == '--any-version':
            any_version = True
        elif word.startswith('--jobs='):
            jobs = int(word[len('--jobs='):])
        else:
            raise SystemExit(__doc__)
    if len(argv) < 2 or argv[0] not in TOOLS:
        raise SystemExit(__doc__)
    tool, build, only = argv[0], os.path.abspath(argv[1]), argv[2:]
    os.makedirs(os.path.join(build, 'analysis', tool), exist_ok=True)
    VERSIONS[tool] = output_of([TOOLS[tool][0], '--version'], ROOT)[1]
    if not any_version and not re.search(JUDGED[tool], VERSIONS[tool]):
        print(f'{tool}: what it may say is judged for another version than {VERSIONS[tool].splitlines()[0]}; nothing was checked')
        return 77
    sources = {path: work for path, work in commands(build).items()
               if (path in only if only else everything or not PROGRAM.match(path))}
    if not sources:
        raise SystemExit('analyze.py: no sources')
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda item: findings_of(tool, everything, build, item[0], *item[1]), sorted(sources.items()))
        findings = {tuple(finding) for result in results for finding in result}
    allowed = exceptions(tool)
    used, bad = set(), 0
    for finding in sorted(findings):
        why = next((e for e in allowed if excused(finding, e)), None)
        if why:
            used.add(why)
            continue
        bad += 1
        print('{}:{}: {} [{}]'.format(finding[0], finding[1], finding[3], finding[2]))
    stale = [e for e in allowed if e not in used] if everything and not only else []
    for e in stale:
        print('{}: matches nothing any more: {}'.format(os.path.relpath(EXCEPTIONS, ROOT), ' | '.join((tool, *e))))
    print(f'{tool}: {len(sources)} files, {len(findings)} findings, {bad} of them not excused, {len(stale)} exceptions stale')
    return 1 if bad or stale else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
