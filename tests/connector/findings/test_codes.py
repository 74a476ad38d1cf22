"""A code that nothing sets, or that no test reaches, is no code: every reason, detail, problem, decline and finding of the tables is made
by the product outside its table and named by a test; and whatever the rules of findings look for, some process says.

usage: test_codes.py POSTERN SOURCE_DIR
"""
import json
import os
import re
import subprocess
import sys
import unittest

POSTERN, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
ROOMS = ('certs', 'validate', 'queue', 'connector')
HERE = os.path.abspath(__file__)
LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
LOOKED_FOR = re.compile(r'(?:json_object_get|fact_text|fact_number|fact_since|fact_part)\([^;"]*?"([a-z_:]+)"')
COMPARED = re.compile(r'strn?cmp\([^;"]*, "([a-z_]+)"')


def texts(folder, suffixes):
    """path: text of every file below the folder."""
    found = {}
    for top, _, names in os.walk(os.path.join(SOURCE, folder)):
        for name in names:
            if name.endswith(suffixes):
                path = os.path.join(top, name)
                with open(path, encoding='utf-8') as f:
                    found[os.path.relpath(path, SOURCE)] = f.read()
    return found


PRODUCT = {path: re.sub(r'/\*.*?\*/', '', text, flags=re.S) for room in ROOMS for path, text in texts(room, ('.c', '.h')).items()}
TESTS = {path: text for path, text in texts('tests', ('.c', '.py', '.mjs', '.js', '.yml', '.md')).items() if os.path.join(SOURCE, path) != HERE}
TESTED = '\n'.join(TESTS.values())


def outside(*tables):
    return '\n'.join(text for path, text in PRODUCT.items() if path not in tables)


def enumerators(path, prefix):
    """id: enumerator, by the designated rows of a table."""
    return {i: e for e, i in re.findall(rf'\[({prefix}[A-Z0-9_]+)\] = \{{\{{? ?(?:\.id = |\d+, )?"([a-z_-]+)"', PRODUCT[path])}


def words_of(kind):
    done = subprocess.run([POSTERN, 'words', '--json'], capture_output=True, text=True, check=True, timeout=120)
    return [w['id'] for w in json.loads(done.stdout) if w['kind'] == kind]


class CodesTest(unittest.TestCase):
    maxDiff = None

    def hold(self, ids, names, made_in):
        """Each is made, and named by a test; names: id -> what stands for it in C, or its text itself."""
        self.assertTrue(ids)
        unmade = [i for i in ids if not re.search(rf'\b{names[i]}\b' if i in names else rf'"{i}"', made_in)]
        untested = [i for i in ids if not re.search(rf'["\'`. :]{i}["\'`,: )\\]' + (rf'|\b{names[i]}\b' if i in names else ''), TESTED)]
        self.assertEqual((unmade, untested), ([], []), 'codes that nothing makes, codes that no test names')

    def test_reasons(self):
        names = enumerators('validate/types/outcome-table.c', 'REASON_')
        ids = words_of('reason')
        self.assertEqual(set(ids), set(names))
        codes_of_dcs = PRODUCT['validate/types/outcome-table.c'].split('\n};', 1)[1]
        self.hold(ids, names, outside('validate/types/outcome-table.c', 'validate/types/outcome.h') + codes_of_dcs)

    def test_details(self):
        names = enumerators('validate/types/detail.c', 'DETAIL_')
        rest = outside('validate/types/detail.c', 'validate/types/detail.h')
        phrases = dict(re.findall(r'\{\{"([a-z_]+)", "([^"]+)",', PRODUCT['validate/types/detail.c']))
        self.assertEqual(set(phrases), set(names))
        for i in ('dns_no_name', 'dns_no_server'):  # in c-ares' words
            phrases[i] = 'ares_strerror'
        unmade = [i for i in names if not re.search(rf'\b{names[i]}\b', rest) and phrases[i] not in rest]
        untested = [i for i in names if not re.search(rf'\b{i}\b|\b{names[i]}\b', TESTED)]
        self.assertEqual((unmade, untested), ([], []))

    def test_ways_to_the_relay(self):
        ids = re.findall(r'^        \{"([a-z_]+)", "', PRODUCT['certs/http/http-flaw.c'], re.M)
        self.assertEqual(set(ids) - set(words_of('detail')), set())
        self.assertEqual([i for i in ids if not re.search(rf'\b{i}\b', TESTED)], [])

    def test_problems(self):
        self.hold(words_of('problem'), enumerators('queue/http/problem.c', 'PROBLEM_'), outside('queue/http/problem.c', 'queue/http/problem.h'))

    def test_declines(self):
        self.hold(words_of('decline'), {}, outside('connector/findings/facts.c', 'connector/findings/glossary.c'))

    def test_findings(self):
        self.hold(words_of('finding'), {}, outside('connector/findings/finding.c', 'connector/findings/glossary.c'))

    def test_what_rules_look_for_is_said(self):
        """A rule about a state that no process tells is a code that is never set."""
        rules = {path: text for path, text in PRODUCT.items() if re.fullmatch(r'connector/findings/health[a-z-]*\.c', path)}
        said = set(LITERAL.findall('\n'.join(text for path, text in PRODUCT.items() if not path.startswith('connector/findings/'))))
        said |= {word for text in said for word in re.findall(r'[a-z_]+', text)} | {text.rstrip('%s/').rstrip(':') for text in said}
        for path, text in rules.items():
            wanted = set(LOOKED_FOR.findall(text)) | set(COMPARED.findall(text)) | \
                set(re.findall(r'\{"([a-z]+)", "dc_[a-z]+", "', text))
            own = set(re.findall(r'json_object_set(?:_new)?\(\w+, "([a-z_]+)"', text)) | \
                {'code', 'level', 'about', 'detail', 'cause', 'remedy', 'stops', 'limits', 'warns'}
            self.assertEqual(sorted(wanted - own - said), [], path)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
