#!/usr/bin/python3
"""Holds the catalog of messages against the log lines of the sources: each that has a MESSAGE_ID has an entry, and no entry is of none.

usage: catalog.py [ROOT]      prints problems, exits 1 when there are any
       catalog.py ID EVENT    the MESSAGE_ID of an event
"""
import hashlib
import os
import re
import subprocess
import sys
import tempfile

CATALOG = 'connector/packaging/postern.catalog'
FOLDERS = ('certs', 'validate', 'queue', 'connector')
CALL = re.compile(r'\blog_(?:error|warning|info)\(\s*"([^"]+)"(.*?)\)\s*;', re.S)
AT = re.compile(r'\blog_at\(\s*[^,]+,\s*"([^"]+)"(.*?)\)\s*;', re.S)


def message_id(event):
    """As log_message_id() of certs/base/core/log.c."""
    digest = bytearray(hashlib.sha256(b'Postern ' + event.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0f | 0x80
    digest[8] = digest[8] & 0x3f | 0x80
    return digest.hex()


def logged(root):
    """event -> names of its fields, of all lines of level info and above."""
    found = {}
    for folder in FOLDERS:
        for place, _, names in os.walk(os.path.join(root, folder)):
            for name in names:
                if name.endswith('.c'):
                    with open(os.path.join(place, name), encoding='utf-8') as f:
                        text = f.read()
                    for m in list(CALL.finditer(text)) + list(AT.finditer(text)):
                        found.setdefault(m[1], set()).update(re.findall(r'KV_[SIU]\("(\w+)"', m[2]))
    return found


def entries(text):
    """id -> (event, the fields that its text names, problems)."""
    found, problems = {}, []
    for block in re.split(r'\n(?=# \S+\n-- )', text)[1:]:
        m = re.fullmatch(r'# (\S+)\n-- ([0-9a-f]{32})\nSubject: (\S.*)\nDefined-By: Postern\nSupport: man:\S+\n\n(\S.*)', block.strip(), re.S)
        if not m:
            problems.append(f'an entry is not of the form: {block[:60]!r}')
            continue
        if m[2] in found:
            problems.append(f'{m[1]} has two entries')
        if m[2] != message_id(m[1]):
            problems.append(f'{m[1]}: its id is {message_id(m[1])}')
        found[m[2]] = (m[1], set(re.findall(r'@(\w+)@', m[4])))
    return found, problems


def compiles(path):
    """What systemd makes of it, where it is there."""
    with tempfile.TemporaryDirectory() as folder:
        place = os.path.join(folder, 'usr/lib/systemd/catalog')
        os.makedirs(place)
        os.makedirs(os.path.join(folder, 'var/lib/systemd/catalog'))
        with open(path, encoding='utf-8') as f, open(os.path.join(place, 'postern.catalog'), 'w', encoding='utf-8') as out:
            out.write(f.read())
        try:
            done = subprocess.run(['journalctl', '--root', folder, '--update-catalog'], capture_output=True, text=True, check=False)
            listed = subprocess.run(['journalctl', '--root', folder, '--list-catalog'], capture_output=True, text=True, check=False).stdout
        except FileNotFoundError:
            return None
        return done.stderr.strip(), set(re.findall(r'^([0-9a-f]{32})', listed, re.M))


def check(root):
    path = os.path.join(root, CATALOG)
    with open(path, encoding='utf-8') as f:
        text = f.read()
    found, problems = entries(text)
    events = logged(root)
    known = {event for event, _ in found.values()}
    problems += [f'{event} is logged and has no entry; its id is {message_id(event)}' for event in sorted(set(events) - known)]
    problems += [f'{event} has an entry and is logged nowhere' for event in sorted(known - set(events))]
    for event, fields in sorted(found.values()):
        lacking = {f for f in fields if f not in {'POSTERN_' + key.upper() for key in events.get(event, ())}}
        if lacking:
            problems.append(f'{event} has no field {", ".join(sorted(lacking))}')
    compiled = compiles(path)
    if compiled and compiled[1] != set(found):
        problems.append(f'journalctl reads {len(compiled[1])} of {len(found)} entries: {compiled[0]}')
    return len(found), problems


def main(argv):
    if len(argv) == 3 and argv[1] == 'ID':
        print(message_id(argv[2]))
        return 0
    n, problems = check(argv[1] if len(argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
    for problem in problems:
        print(f'{CATALOG}: {problem}')
    print(f'{n} entries, {len(problems)} problems')
    return 1 if problems or not n else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
