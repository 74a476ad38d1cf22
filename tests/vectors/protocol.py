#!/usr/bin/env python3
"""Keeps queue/PROTOCOL.md and the vectors together.

protocol.py --check PROTOCOL.md FOLDER   every example block is exactly the bytes of its vector, every table lists exactly what the code has
protocol.py --write PROTOCOL.md FOLDER   writes the example blocks anew

A block follows a line `<!-- vector FILE PATH -->`; a table follows `<!-- table NAME -->`, NAME being a list of words.json.
"""
import json
import os
import re
import sys

WIDTH = 100
WHOLE = 1600  # longer texts are shown by their ends
ENDS = 300

MARK = re.compile(r'^<!-- vector (\S+) (\S+) -->$')
TABLE = re.compile(r'^<!-- table (\S+) -->$')


def value_at(folder, file, path):
    with open(os.path.join(folder, file), encoding='utf-8') as f:
        value = json.load(f)
    for step in path.split('/'):
        value = value[int(step)] if isinstance(value, list) else value[step]
    if not isinstance(value, str):
        raise SystemExit(f'{file} {path} is no text')
    return value


def shown(text):
    """The block's lines: own line breaks kept, long lines broken, the middle of a very long text left out."""
    if len(text) > WHOLE:
        text = f'{text[:ENDS]}\n[… {len(text) - 2 * ENDS} …]\n{text[-ENDS:]}'
    lines = []
    for line in text.rstrip('\n').split('\n'):
        lines += [line[i:i + WIDTH] for i in range(0, len(line), WIDTH)] or ['']
    return ['```', *lines, '```']


def rewritten(lines, folder):
    """The text with each mark followed by a caption and the block."""
    out, i = [], 0
    while i < len(lines):
        out.append(lines[i])
        mark = MARK.match(lines[i])
        i += 1
        if not mark:
            continue
        if i + 1 < len(lines) and lines[i + 1] == '```':
            i = lines.index('```', i + 2) + 1
        text = value_at(folder, *mark.groups())
        out += [f'`{mark.group(1)}`, {mark.group(2)} ({len(text)} characters):', *shown(text)]
    return out


def rows_after(lines, name):
    """Cells of the table behind its mark, without head and rule; marks of code taken off."""
    at = next(i for i, line in enumerate(lines) if (m := TABLE.match(line)) and m.group(1) == name)
    rows = []
    for line in lines[at + 3:]:
        if not line.startswith('|'):
            break
        rows.append([cell.strip().strip('`') for cell in line.strip('|').split('|')])
    return rows


def compare(what, listed, known):
    faults = [f'{what}: PROTOCOL.md lists {row}, the code does not' for row in sorted(listed - known)]
    faults += [f'{what}: the code has {row}, PROTOCOL.md does not' for row in sorted(known - listed)]
    return faults


def check_tables(lines, folder):
    with open(os.path.join(folder, 'words.json'), encoding='utf-8') as f:
        words = json.load(f)
    reasons, problems, declines = (rows_after(lines, name) for name in ('reasons', 'problems', 'declines'))
    faults = compare('reason', {tuple(r[:3]) for r in reasons}, {(r['id'], r['verdict'], r['class']) for r in words['reasons']})
    faults += compare('problem', {tuple(p[:3]) for p in problems},
                      {(str(p['status']), p['type'].removeprefix('urn:postern:'), p['retry']) for p in words['problems']})
    faults += compare('decline', {tuple(d[:2]) for d in declines},
                      {(d['why'], 'yes' if d['may_move_on'] else 'no') for d in words['declines']})
    for name, rows in (('reasons', reasons), ('problems', problems), ('declines', declines)):
        if len(rows) != len(words[name]):
            faults.append(f'{name}: {len(rows)} rows in PROTOCOL.md, {len(words[name])} in the code')
    return faults


def main():
    mode, path, folder = sys.argv[1:]
    with open(path, encoding='utf-8') as f:
        lines = f.read().split('\n')
    anew = rewritten(lines, folder)
    if mode == '--write':
        with open(path, 'w', encoding='utf-8') as f:
            f.write('\n'.join(anew))
        return
    faults = check_tables(lines, folder)
    faults += [f'line {i + 1}: is not what the vector says: {old[:60]!r}'
               for i, (old, new) in enumerate(zip(lines, anew)) if old != new][:5]
    if len(lines) != len(anew):
        faults.append('example blocks are missing or too long; write them with --write')
    if sum(bool(MARK.match(line)) for line in lines) < 20:
        faults.append('the worked example has lost its blocks')
    contents = re.findall(r'^\d+\. \[(.+)\]\(#', '\n'.join(lines), re.M)
    headings = re.findall(r'^## \d+\. (.+)$', '\n'.join(lines), re.M)
    if contents != headings:
        faults.append(f'contents and headings differ: {set(contents) ^ set(headings)}')
    if faults:
        raise SystemExit('\n'.join(faults))


if __name__ == '__main__':
    main()
