#!/usr/bin/python3
"""Checks that clang-format would change no C file of this tree.

usage: format.py [--write] [ROOT]

Prints what differs and exits 1; --write mends it. Other versions of clang-format break lines in other places, so where
version 14 (Debian 12's) is not installed this says so and exits 77, which the test runner counts as skipped.
"""
import os
import re
import shutil
import subprocess
import sys

VERSION = 14
FOLDERS = ('certs', 'validate', 'queue', 'connector', 'tests')


def program():
    """clang-format of that version, or None."""
    for name in (f'clang-format-{VERSION}', 'clang-format'):
        path = shutil.which(name)
        if path:
            said = subprocess.run([path, '--version'], capture_output=True, text=True, check=True).stdout
            if re.search(rf'version {VERSION}\.', said):
                return path
    return None


def sources(root):
    for top in FOLDERS:
        for folder, dirs, names in os.walk(os.path.join(root, top)):
            dirs[:] = sorted(d for d in dirs if d != 'node_modules' and not d.startswith('.'))
            yield from (os.path.join(folder, name) for name in sorted(names) if name.endswith(('.c', '.h')))


def main(argv):
    words = [word for word in argv[1:] if word != '--write']
    root = words[0] if words else os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    tool = program()
    if not tool:
        print(f'clang-format {VERSION} is not installed; nothing was checked')
        return 77
    files = list(sources(root))
    how = ['-i'] if len(words) < len(argv) - 1 else ['--dry-run', '-Werror']
    done = subprocess.run([tool, *how, *files], capture_output=True, text=True, check=False)
    wrong = sorted(set(re.findall(r'^(\S+?):\d+:\d+: error', done.stderr, re.M)))
    for path in wrong:
        print(f'{os.path.relpath(path, root)}: differs; mend it by tests/style/format.py --write')
    print(f'{len(files)} files, {len(wrong)} differ')
    return 1 if wrong or done.returncode or not files else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
