#!/usr/bin/python3
"""Shows that layers.py finds each kind of mistake, and none in a clean file."""
import os
import subprocess
import sys
import tempfile

OPENING = '/*\n * A file.\n *\n * It owns nothing.\n */\n'
LAYERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'layers.py')
HEADERS = ['connector/base/log.h', 'certs/jose.h', 'validate/outcome.h', 'queue/wire.h', 'queue/client/client.h',
           'queue/relay/relay.h', 'connector/config.h', 'connector/cli/cli.h']


def include(path):
    return f'{OPENING}#include "{path}"\n'


# name of the file, its text, what the answer must hold (None: no problem)
CASES = [
    ('certs/ok.c', include('connector/base/log.h'), None),
    ('queue/ok.c', include('certs/jose.h'), None),
    ('queue/relay/ok.c', include('queue/wire.h'), None),
    ('connector/ok.c', include('queue/client/client.h'), None),
    ('connector/cli/ok.c', include('validate/outcome.h'), None),
    ('tests/unit/ok.c', include('connector/cli/cli.h'), None),
    ('certs/ok2.c', OPENING + '/* strcpy() */\nstatic const char *s = "system(x)";\nint my_gets(int);\n', None),
    ('connector/base/bad.c', include('certs/jose.h'), 'connector/base/bad.c:6: connector/base may not include certs'),
    ('connector/base/bad2.c', include('connector/config.h'), 'connector/base may not include connector '),
    ('certs/bad.c', include('queue/wire.h'), 'certs may not include queue'),
    ('validate/bad.c', include('certs/jose.h'), 'validate may not include certs'),
    ('validate/bad2.c', OPENING + '#include <queue/wire.h>\n', 'validate may not include queue'),
    ('queue/bad.c', include('validate/outcome.h'), 'queue may not include validate'),
    ('queue/bad2.c', include('queue/client/client.h'), 'queue may not include queue/client'),
    ('queue/relay/bad.c', include('queue/client/client.h'), 'queue/relay may not include queue/client'),
    ('queue/client/bad.c', include('queue/relay/relay.h'), 'queue/client may not include queue/relay'),
    ('queue/bad3.c', include('connector/config.h'), 'queue may not include connector'),
    ('certs/bad2.c', include('jose.h'), 'is not a file of this tree'),
    ('certs/bad3.c', include('../queue/wire.h'), 'is not a file of this tree'),
    ('certs/bad4.c', OPENING + 'int f(void)\n{\n        return system("x");\n}\n', 'certs/bad4.c:8: system() is banned'),
    ('certs/bad5.c', 'int f(void);\n', 'certs/bad5.c:1: no opening comment'),
    ('certs/bad6.c', OPENING + 'int f(void)\n{\n' + '\n' * 79 + '}\n', 'certs/bad6.c:7: function of 81 lines'),
    ('certs/bad7.c', OPENING + '\n' * 696, 'certs/bad7.c:701: file of 701 lines'),
    ('certs/bad8.h', '/* TO' + 'DO */\n', 'certs/bad8.h:1: TO'),
]


def write(root, path, text):
    full = os.path.join(root, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    with open(full, 'w', encoding='utf-8') as f:
        f.write(text)


def run_case(case):
    path, text, want = case
    with tempfile.TemporaryDirectory() as root:
        for header in HEADERS:
            write(root, header, '#pragma once\n')
        write(root, path, text)
        p = subprocess.run([sys.executable, LAYERS, root], capture_output=True, text=True, check=False)
    good = p.returncode == 0 if want is None else p.returncode == 1 and want in p.stdout
    if not good:
        print(f'{path}: wanted {want!r}, got {p.returncode}:\n{p.stdout}{p.stderr}')
    return good


def main():
    failed = [c for c in CASES if not run_case(c)]
    print(f'{len(CASES)} cases, {len(failed)} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
