"""README.md and the guides as a reader follows them: which packages they want installed, which files written, which commands run."""
import os
import re

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
GATEWAY_CONF = '/etc/postern-gateway/gateway.conf'


def text_of(page, heading=None):
    """The text of a page, or what stands under one of its headings."""
    with open(os.path.join(ROOT, page), encoding='utf-8') as f:
        text = f.read()
    if heading is None:
        return text
    return re.search(rf'^## {re.escape(heading)}\n(.*?)(?=^## |\Z)', text, re.S | re.M)[1]


def blocks(text):
    """(language, the text before it, what is in it) of each block of code."""
    at = 0
    for found in re.finditer(r'^```(\w*)\n(.*?)^```$', text, re.S | re.M):
        yield found[1], text[at:found.start()], found[2]
        at = found.end()


def steps(text):
    """('run', command) and ('write', path, text), in the order of the text. What only looks is in blocks of other languages, like console."""
    for language, before, body in blocks(text):
        if language == 'sh':
            for command in body.replace('\\\n', ' ').splitlines():
                yield 'run', command
        elif language in ('ini', 'nginx', 'apache', 'text', 'toml'):
            yield 'write', re.findall(r'`(/etc/\S+?)`', before)[-1], body


def installs(text):
    """The packages of Debian that the text wants: `apt install A B`."""
    return sorted({name for names in re.findall(r'`apt\s+install\s+([a-z0-9\s.+-]+)`', text) for name in names.split()})
