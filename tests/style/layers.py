#!/usr/bin/python3
"""Checks the rules of this tree that a compiler does not: which folder may include which, and how files are written.

usage: layers.py [ROOT]      prints file:line: problem for each, exits 1 when there are any
"""
import os
import re
import sys

# Folder -> what its files may include, besides itself. The longest matching folder counts.
MAY_INCLUDE = {
    'connector/base': [],
    'certs': ['connector/base'],
    'validate': ['connector/base'],
    'queue': ['connector/base', 'certs'],
    'queue/client': ['connector/base', 'certs', 'queue'],
    'queue/relay': ['connector/base', 'certs', 'queue'],
    'connector': ['connector/base', 'certs', 'validate', 'queue', 'queue/client', 'queue/relay', 'connector/cli'],
    'connector/cli': ['connector/base', 'certs', 'validate', 'queue', 'queue/client', 'queue/relay', 'connector'],
    'tests': ['connector/base', 'certs', 'validate', 'queue', 'queue/client', 'queue/relay', 'connector',
              'connector/cli'],
}
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


def folder_of(path):
    """The most specific folder of MAY_INCLUDE that holds path, or None."""
    best = None
    for folder in MAY_INCLUDE:
        if path.startswith(folder + '/') and (best is None or len(folder) > len(best)):
            best = folder
    return best


def blank(text):
    """Replaces the contents of comments and literals by blanks; keeps line numbers."""
    def repl(m):
        s = m.group(0)
        if s[0] in '"\'':
            return s[0] + ' ' * (len(s) - 2) + s[0]
        return re.sub(r'[^\n]', ' ', s)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', repl, text, flags=re.S)


def check_includes(path, lines):
    me = folder_of(path)
    for number, line in enumerate(lines, 1):
        m = INCLUDE_RE.match(line)
        if not m:
            continue
        target = m.group(2)
        ours = '/' in target and target.split('/')[0] in TOP
        if m.group(1) == '<' and not ours:
            continue
        there = folder_of(target) if ours else None
        if '..' in target.split('/') or (there is None and me != 'tests'):
            yield number, f'"{target}" is not a file of this tree named from its root'
        elif there is not None and there != me and there not in MAY_INCLUDE[me]:
            yield number, f'{me} may not include {there} ("{target}")'


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
    yield from check_includes(path, lines)
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
