#!/usr/bin/python3
"""Checks the rules of this tree that a compiler does not: which folder may include which, and how files are written.

usage: layers.py [ROOT]      prints file:line: problem for each, exits 1 when there are any
"""
import os
import re
import sys

# Room -> the rooms that its files may include, besides itself: CONTRIBUTING.md shows the rooms. A name that ends in / stands
# for each room below it. The rooms of processes (link, validator, ledger, keyholder, supervisor, asker, cli; the gateway's doors,
# sealer, link, supervisor) are in nobody's list.
BASE = ['certs/base/']
MAY_INCLUDE = {
    'certs/base/core': [],
    'certs/base/ipc': ['certs/base/core'],
    'certs/base/dns': ['certs/base/core', 'certs/base/ipc'],
    'certs/base/process': ['certs/base/core', 'certs/base/ipc'],
    'certs/base/conf': ['certs/base/core'],
    'certs/base/sqlite': ['certs/base/core'],
    'certs/base/metrics': ['certs/base/core'],
    'certs/base/events': ['certs/base/core', 'certs/base/ipc', 'certs/base/metrics'],
    'certs/base/scribe': ['certs/base/core', 'certs/base/ipc', 'certs/base/process', 'certs/base/metrics', 'certs/base/events'],
    'certs/codec': BASE,
    'certs/keys': BASE + ['certs/codec'],
    'certs/http': BASE + ['certs/codec', 'certs/keys'],
    'certs/jose': BASE + ['certs/codec', 'certs/keys'],
    'certs/trust': BASE + ['certs/codec', 'certs/keys', 'certs/jose'],
    'certs/enrol': BASE + ['certs/codec', 'certs/keys', 'certs/http', 'certs/jose', 'certs/trust'],
    'validate/types': BASE + ['certs/codec'],
    'validate/ldap': BASE + ['certs/codec', 'validate/types'],
    'validate/krb': BASE + ['certs/codec', 'validate/types'],
    'validate/fake': BASE + ['validate/types'],
    'validate/dc': BASE + ['validate/types'],
    'validate/op': BASE + ['validate/types', 'validate/dc'],
    'queue/wire': ['certs/'],
    'queue/link': ['certs/', 'queue/wire'],
    'queue/seal': BASE + ['certs/codec', 'certs/keys', 'certs/jose', 'certs/trust', 'queue/wire'],
    'queue/client': ['certs/', 'validate/types', 'queue/wire', 'queue/seal'],
    'queue/http': BASE + ['certs/codec', 'certs/keys'],
    'queue/relay': ['certs/', 'queue/wire', 'queue/http'],
    'queue/gateway': BASE + ['certs/codec', 'certs/keys', 'certs/http', 'certs/jose', 'queue/wire'],
    'queue/gateway/doors': BASE + ['certs/codec', 'certs/keys', 'validate/types', 'queue/wire', 'queue/http', 'queue/gateway'],
    'queue/gateway/sealer': BASE + ['certs/codec', 'certs/keys', 'certs/jose', 'certs/trust', 'queue/wire', 'queue/seal', 'queue/gateway'],
    'queue/gateway/link': ['certs/', 'queue/wire', 'queue/link', 'queue/gateway'],
    'queue/gateway/supervisor': BASE + ['certs/codec', 'queue/gateway'],
    'queue/gateway/pam': ['certs/base/core', 'certs/codec'],
    'connector/frames': ['certs/', 'validate/types'],
    'connector/conf': ['certs/', 'validate/types', 'validate/op', 'connector/frames'],
    'connector/findings': ['certs/', 'validate/types', 'queue/wire', 'queue/http'],
    'connector/keyholder': ['certs/'],
    'connector/link': ['certs/', 'queue/wire', 'queue/link', 'connector/frames', 'connector/conf'],
    'connector/validator': ['certs/', 'validate/types', 'validate/op', 'queue/wire', 'connector/frames', 'connector/conf'],
    'connector/ledger': ['certs/', 'validate/types', 'queue/http', 'connector/frames', 'connector/conf', 'connector/findings'],
    'connector/account': ['certs/', 'validate/types', 'connector/frames', 'connector/conf'],
    'connector/person': ['certs/', 'queue/wire', 'queue/seal', 'queue/client', 'connector/findings'],
    'connector/asker': ['certs/', 'queue/wire', 'queue/seal', 'queue/client', 'connector/frames', 'connector/findings', 'connector/person'],
    'connector/supervisor': ['certs/', 'connector/frames', 'connector/conf'],
    'connector/cli': ['certs/', 'validate/types', 'validate/op', 'queue/wire', 'queue/seal', 'queue/client', 'connector/frames', 'connector/conf', 'connector/findings', 'connector/person'],
    'connector/sandbox': ['certs/', 'validate/types', 'validate/op', 'validate/fake', 'queue/wire', 'queue/seal', 'queue/client', 'queue/http',
                          'queue/relay', 'connector/frames', 'connector/conf'],
    'connector/web': BASE + ['validate/types', 'queue/http', 'connector/frames', 'connector/findings'],
    'tests': ['certs/', 'validate/', 'queue/', 'connector/'],
}
# The one place that may name what the tables of methods stand for.
FILE_MAY_INCLUDE = {'validate/op/methods.c': ['validate/ldap', 'validate/krb']}
TOP = {folder.split('/')[0] for folder in MAY_INCLUDE}
FOLDERS = {'connector', 'queue', 'validate', 'certs', 'tests'}

BANNED = ('strcpy', 'strcat', 'sprintf', 'vsprintf', 'strncpy', 'strtok', 'strtok_r', 'atoi', 'gets', 'alloca',
          'system', 'popen')
BANNED_RE = re.compile(r'(?<![\w.>])(' + '|'.join(BANNED) + r')\s*\(')
INCLUDE_RE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')
PLACEHOLDER_RE = re.compile(r'\b(TODO|FIXME|XXX)\b')

FILE_LINES_MAX = 700
FUNCTION_LINES_MAX = 80
OPENING_MIN, OPENING_MAX = 3, 17  # with the lines that hold only the delimiters


def room_of(path):
    """The room that path lies in, or None: a room has no folders but rooms, and tests are one."""
    if path.startswith('tests/'):
        return 'tests'
    room = os.path.dirname(path)
    return room if room in MAY_INCLUDE else None


def resolved(target, root):
    """The path, from the root, of what an include names: from the root, or from certs for the ground. None: no file of ours."""
    named = os.path.join('certs', target) if target.startswith('base/') else target
    real = os.path.relpath(os.path.realpath(os.path.join(root, named)), os.path.realpath(root))
    return named if real == named and os.path.isfile(os.path.join(root, named)) else None


def may_include(room, there):
    return there == room or any(there == may or (may.endswith('/') and there.startswith(may)) for may in MAY_INCLUDE[room])


def blank(text):
    """Replaces the contents of comments and literals by blanks; keeps line numbers."""
    def repl(m):
        s = m.group(0)
        if s[0] in '"\'':
            return s[0] + ' ' * (len(s) - 2) + s[0]
        return re.sub(r'[^\n]', ' ', s)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', repl, text, flags=re.S)


def check_includes(path, lines, root):
    room = room_of(path)
    if room is None:
        yield 1, f'{os.path.dirname(path)} is no room of the house'
        return
    for number, line in enumerate(lines, 1):
        m = INCLUDE_RE.match(line)
        if not m:
            continue
        target = m.group(2)
        if target == 'event2/http.h':
            yield number, 'queue/http is the one HTTP server; evhttp is not used'
        if m.group(1) == '<' and target.split('/')[0] not in TOP | {'base'}:
            continue
        named = resolved(target, root)
        there = room_of(named) if named else None
        if there is None:
            yield number, f'"{target}" is not a file of this tree named from its root (or, of the ground, "base/...")'
        elif m.group(1) == '<':
            yield number, f'<{target}> is ours: write "{target}"'
        elif target.startswith('certs/base/'):
            yield number, f'write "{target.removeprefix("certs/")}"'
        elif not may_include(room, there) and there not in FILE_MAY_INCLUDE.get(path, []):
            yield number, f'{room} may not include {there} ("{target}")'


def check_words(lines, code):
    for number, line in enumerate(code, 1):
        for m in BANNED_RE.finditer(line):
            yield number, f'{m.group(1)}() is banned'
    for number, line in enumerate(lines, 1):
        m = PLACEHOLDER_RE.search(line)
        if m:
            yield number, f'{m.group(1)}: nothing unfinished is committed'


def check_functions(code):
    start = None
    for number, line in enumerate(code, 1):
        if line.startswith('{'):
            start = number
        elif line.startswith('}') and start is not None:
            if number - start + 1 > FUNCTION_LINES_MAX:
                yield start, f'function of {number - start + 1} lines; at most {FUNCTION_LINES_MAX}'
            start = None


def check_opening(path, text, lines):
    if not text.startswith('/*'):
        yield 1, 'no opening comment (what the file owns, its invariant, what it does not do)'
        return
    n = text[:text.index('*/')].count('\n') + 1 if '*/' in text else len(lines)
    if not path.startswith('tests/') and not OPENING_MIN <= n <= OPENING_MAX:
        yield 1, f'opening comment of {n} lines; {OPENING_MIN} to {OPENING_MAX}'


def check_file(path, root):
    with open(os.path.join(root, path), encoding='utf-8') as f:
        text = f.read()
    lines = text.split('\n')
    code = blank(text).split('\n')
    yield from check_includes(path, lines, root)
    yield from check_words(lines, code)
    if path.endswith('.c'):
        if len(lines) - 1 > FILE_LINES_MAX:
            yield FILE_LINES_MAX + 1, f'file of {len(lines) - 1} lines; at most {FILE_LINES_MAX}'
        yield from check_functions(code)
        yield from check_opening(path, text, lines)


def sources(root):
    for top in sorted(FOLDERS):
        for folder, dirs, names in os.walk(os.path.join(root, top)):
            dirs[:] = sorted(d for d in dirs if d != 'node_modules' and not d.startswith('.'))
            for name in sorted(names):
                if name.endswith(('.c', '.h')):
                    yield os.path.relpath(os.path.join(folder, name), root)


def main(argv):
    root = argv[1] if len(argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    files = problems = 0
    for path in sources(root):
        files += 1
        for number, why in check_file(path, root):
            print(f'{path}:{number}: {why}')
            problems += 1
    print(f'{files} files, {problems} problems')
    return 1 if problems or not files else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
