#!/usr/bin/python3
"""Shows that layers.py finds each kind of mistake, and none in a clean file."""
import os
import subprocess
import sys
import tempfile

OPENING = '/*\n * A file.\n *\n * It owns nothing.\n */\n'
LAYERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'layers.py')
HEADERS = ['certs/base/core/log.h', 'certs/jose/jose.h', 'validate/types/outcome.h', 'validate/ldap/pool.h', 'queue/wire/wire.h', 'queue/client/client.h',
           'queue/relay/relay.h', 'connector/conf/config.h', 'connector/validator/validator.h', 'connector/cli/cli.h']


def include(path):
    return f'{OPENING}#include "{path}"\n'


# name of the file, its text, what the answer must hold (None: no problem)
CASES = [
    ('certs/keys/ok.c', include('base/core/log.h'), None),
    ('queue/wire/ok.c', include('certs/jose/jose.h'), None),
    ('queue/relay/ok.c', include('queue/wire/wire.h'), None),
    ('connector/cli/ok.c', include('queue/client/client.h'), None),
    ('connector/link/ok.c', include('connector/conf/config.h'), None),
    ('tests/ok.c', include('connector/cli/cli.h'), None),
    ('certs/keys/ok2.c', OPENING + '/* strcpy() */\nstatic const char *s = "system(x)";\nint my_gets(int);\n', None),
    ('certs/jose/ok.c', OPENING + '#include <jose/jose.h>\n', None),
    ('certs/base/core/bad.c', include('certs/jose/jose.h'), 'certs/base/core/bad.c:6: certs/base/core may not include certs/jose'),
    ('certs/base/core/bad2.c', include('connector/conf/config.h'), 'certs/base/core may not include connector/conf'),
    ('certs/base/ipc/bad.c', include('certs/jose/jose.h'), 'certs/base/ipc may not include certs/jose'),
    ('certs/keys/bad.c', include('certs/jose/jose.h'), 'certs/keys may not include certs/jose'),
    ('certs/keys/bad2.c', include('certs/base/core/log.h'), 'write "base/core/log.h"'),
    ('validate/op/bad.c', include('certs/jose/jose.h'), 'validate/op may not include certs/jose'),
    ('validate/op/methods.c', include('validate/ldap/pool.h'), None),
    ('validate/op/bad3.c', include('validate/ldap/pool.h'), 'validate/op may not include validate/ldap'),
    ('validate/dc/methods.c', include('validate/ldap/pool.h'), 'validate/dc may not include validate/ldap'),
    ('validate/op/bad2.c', OPENING + '#include <queue/wire/wire.h>\n', '<queue/wire/wire.h> is ours'),
    ('queue/wire/bad.c', include('validate/types/outcome.h'), 'queue/wire may not include validate/types'),
    ('queue/wire/bad2.c', include('queue/client/client.h'), 'queue/wire may not include queue/client'),
    ('queue/relay/bad.c', include('queue/client/client.h'), 'queue/relay may not include queue/client'),
    ('queue/client/bad.c', include('queue/relay/relay.h'), 'queue/client may not include queue/relay'),
    ('queue/wire/bad3.c', include('connector/conf/config.h'), 'queue/wire may not include connector/conf'),
    ('connector/link/bad.c', include('connector/validator/validator.h'), 'connector/link may not include connector/validator'),
    ('connector/validator/bad.c', include('queue/client/client.h'), 'connector/validator may not include queue/client'),
    ('connector/cli/bad.c', include('connector/validator/validator.h'), 'connector/cli may not include connector/validator'),
    ('certs/bad.c', include('base/core/log.h'), 'certs is no room of the house'),
    ('certs/keys/deeper/bad.c', include('base/core/log.h'), 'certs/keys/deeper is no room of the house'),
    ('certs/keys/bad3.c', include('jose.h'), 'is not a file of this tree'),
    ('certs/keys/bad4.c', include('../queue/wire.h'), 'is not a file of this tree'),
    ('certs/keys/bad5.c', include('base/core/../../jose/jose.h'), 'is not a file of this tree'),
    ('certs/keys/worse4.c', OPENING + 'int f(void)\n{\n        return system("x");\n}\n', 'certs/keys/worse4.c:8: system() is banned'),
    ('certs/keys/worse5.c', 'int f(void);\n', 'certs/keys/worse5.c:1: no opening comment'),
    ('certs/keys/worse6.c', OPENING + 'int f(void)\n{\n' + '\n' * 79 + '}\n', 'certs/keys/worse6.c:7: function of 81 lines'),
    ('certs/keys/worse7.c', OPENING + '\n' * 696, 'certs/keys/worse7.c:701: file of 701 lines'),
    ('queue/relay/bad3.c', OPENING + '#include <event2/http.h>\n', 'queue/http is the one HTTP server'),
    ('certs/keys/worse8.h', '/* TO' + 'DO */\n', 'certs/keys/worse8.h:1: TO'),
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
