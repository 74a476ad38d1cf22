#!/usr/bin/python3
"""Shows by `nm` what is linked: the scripted method is in no program of the product, and the rooms that know methods by their table
alone (dc, op) name nothing of the methods. postern-sandbox is the one that has the scripted method, and it has no other.

usage: test_links.py LIB_OP LIB_DC TEST_WITH_FAKE PROGRAM ...
"""
import re
import subprocess
import sys


def symbols(path, *options):
    out = subprocess.run(['nm', *options, path], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1] for line in out.splitlines() if line.strip() and not line.endswith(':')}


def main(argv):
    lib_op, lib_dc, control, *programs = argv[1:]
    problems = []
    if 'fake_new' not in symbols(control):
        problems.append(f'{control} shows no fake_new: this test could not fail')
    for program in programs:
        seen = symbols(program)
        if 'main' not in seen:
            problems.append(f'{program} shows no main: this test could not fail')
        if program.endswith('postern-sandbox'):
            problems += [f'{program} links {s}' for s in sorted(seen & {'krb_new', 'ldap_pools_new'})]
            problems += [f'{program} does not link {s}' for s in sorted({'fake_new', 'validate_scripted'} - seen)]
            continue
        problems += [f'{program} links {s}' for s in sorted(seen) if s == 'fake_new' or s == 'fake_method']
    if not {'validate_new_by', 'krb_new', 'ldap_pools_new'} <= symbols(next(p for p in programs if p.endswith('postern-validator'))):
        problems.append('postern-validator shows no validate_new_by, or not its methods: this test could not fail')
    for lib in lib_op, lib_dc:
        problems += [f'{lib} needs {s}' for s in sorted(symbols(lib, '-u')) if re.match(r'(krb|krb5|ldap|ber|SSL|fake)_', s)]
        if 'dcs_choose' not in symbols(lib):
            problems.append(f'{lib} shows no dcs_choose: this test could not fail')
    print('\n'.join(problems) or f'{len(programs)} programs, 2 libraries: no problem')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
