#!/usr/bin/python3
"""Checks that the files which the pages of this tree name exist.

usage: pages.py [ROOT]      prints page:line: problem for each, exits 1 when there are any

A name in backticks or of a link that ends like a file's is looked for: with a folder in it as the end of a path, else as a file's name.
"""
import os
import re
import subprocess
import sys

ENDS = ('c', 'h', 'py', 'md', 'sh', 'mjs', 'go', 'build', 'yml', 'txt', 'example', 'service', 'nft')
NAME = re.compile(r'`([\w./-]+\.(?:' + '|'.join(ENDS) + r'))`|\]\(([\w./-]+\.md)\)')
MADE = {'postern.service', 'postern-relay.service', 'postern-gateway.service', 'postern-web.service', 'posternd.service'}  # from *.in, or by a link


def listed_by_walking(root):
    for folder, dirs, names in os.walk(root):
        dirs[:] = [d for d in dirs if d not in ('.git', 'node_modules', '__pycache__') and not d.startswith('build-')]
        yield from (os.path.relpath(os.path.join(folder, name), root) for name in names)


def files_of(root):
    """What git knows and what is new; all that is there where git knows nothing of the tree."""
    try:
        listed = subprocess.run(['git', '-C', root, 'ls-files', '--cached', '--others', '--exclude-standard'], capture_output=True,
                                text=True, check=True).stdout.split('\n')
    except (FileNotFoundError, subprocess.CalledProcessError):
        listed = listed_by_walking(root)
    return {'/' + path for path in listed if path and os.path.exists(os.path.join(root, path))}


def main(argv):
    root = argv[1] if len(argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    files = files_of(root)
    ends = {path[i:] for path in files for i, c in enumerate(path) if c == '/'}
    names = problems = 0
    for page in sorted(path[1:] for path in files if path.endswith('.md') and 'CHANGELOG' not in path):
        with open(os.path.join(root, page), encoding='utf-8') as f:
            for number, line in enumerate(f, 1):
                for name in filter(None, (a or b for a, b in NAME.findall(line))):
                    names += 1
                    if '/' + os.path.normpath(name).lstrip('./') not in ends and name not in MADE:
                        print(f'{page}:{number}: there is no {name}')
                        problems += 1
    print(f'{names} names, {problems} problems')
    return 1 if problems or not names else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
