#!/usr/bin/python3
"""Writes files as C arrays, so that the program needs none at run time; assets.h declares them.

usage: embed.py OUT.c FILE...      FILE page.js becomes web_page_js
"""
import os
import sys


def array(path):
    with open(path, 'rb') as f:
        data = f.read()
    name = os.path.basename(path).replace('.', '_')
    rows = [', '.join(str(byte) for byte in data[i:i + 24]) for i in range(0, len(data), 24)]
    return (f'static const unsigned char {name}[{len(data)}] = {{\n' + ',\n'.join(rows) + '};\n'
            f'const struct web_asset web_{name} = {{{name}, sizeof({name})}};\n')


def main(argv):
    with open(argv[1], 'w', encoding='ascii') as out:
        out.write('/* Made by embed.py. */\n#include "connector/web/assets.h"\n\n' + '\n'.join(array(path) for path in argv[2:]))


main(sys.argv)
