"""Every test that tests/ATTACKS.md and tests/FAULTS.md name is there: `file: text`, and the file holds the text.

usage: attacks.py ROOT
"""
import os
import re
import sys

NAMED = re.compile(r'`((?:tests|validate|queue|certs|connector)/[^`:]+): ([^`]+)`')
TABLES = {'tests/ATTACKS.md': 40, 'tests/FAULTS.md': 0}  # and how many rows each has at least


def rows_of(path):
    """[(line number, row)] of the tables of a page, without their heads."""
    with open(path, encoding='utf-8') as f:
        lines = f.read().split('\n')
    return [(number, line) for number, line in enumerate(lines, 1)
            if line.startswith('| ') and not set(line) <= set('|- ') and
            not line.startswith(('| attack', '| section', '| item'))]


def missing(root, row):
    """What is wrong with the tests that a row names."""
    named = NAMED.findall(row)
    if not named:
        yield 'names no test'
    for path, text in named:
        try:
            with open(os.path.join(root, path), encoding='utf-8') as f:
                found = text in f.read()
        except FileNotFoundError:
            found = False
        if not found:
            yield f'{path} does not hold `{text}`'


def main(root):
    bad = 0
    for page, least in TABLES.items():
        rows = rows_of(os.path.join(root, page))
        wrong = [f'{page}:{number}: {why}' for number, row in rows for why in missing(root, row)]
        print(*wrong, f'{page}: {len(rows)} rows, {len(wrong)} problems', sep='\n')
        bad += len(wrong) + (len(rows) < least)
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
