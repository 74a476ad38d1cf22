"""Every test that tests/ATTACKS.md names is there: `file: text`, and the file holds the text.

usage: attacks.py ROOT
"""
import os
import re
import sys

NAMED = re.compile(r'`(tests/[^`:]+): ([^`]+)`')


def main(root):
    bad = 0
    with open(os.path.join(root, 'tests', 'ATTACKS.md'), encoding='utf-8') as f:
        lines = f.read().split('\n')
    rows = 0
    for number, line in enumerate(lines, 1):
        if not line.startswith('| ') or set(line) <= set('|-') or line.startswith(('| attack', '| section')):
            continue
        rows += 1
        named = NAMED.findall(line)
        if not named:
            print(f'tests/ATTACKS.md:{number}: names no test')
            bad += 1
        for path, text in named:
            try:
                with open(os.path.join(root, path), encoding='utf-8') as f:
                    found = text in f.read()
            except FileNotFoundError:
                found = False
            if not found:
                print(f'tests/ATTACKS.md:{number}: {path} does not hold `{text}`')
                bad += 1
    print(f'{rows} rows, {bad} problems')
    return 1 if bad or rows < 40 else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
