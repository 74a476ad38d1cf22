"""Checks tests/vectors/*.json with jwcrypto and with nothing of the project's C code: check_vectors.py FOLDER"""
import json
import os
import sys

from postern_client import Jws, PublicKey, check_verdict, open_directory, verify_roster, verify_statement
from strict import Refused, from_b64u, parse_object


def read(folder, name):
    with open(os.path.join(folder, name + '.json'), encoding='utf-8') as f:
        return json.load(f)


class Vectors:
    def __init__(self, folder):
        self.keys, self.roster, self.statements, self.verdicts, self.negative = (
            read(folder, name) for name in ('keys', 'roster', 'statements', 'verdicts', 'negative'))
        self.passed, self.failures = 0, []

    def check(self, name, expected, function):
        try:
            said = function()
        except Refused as e:
            said = e.what
        except Exception as e:  # pylint: disable=broad-except  # a crash of the reader is a failure of this case
            said = repr(e)
        if said == expected:
            self.passed += 1
        else:
            self.failures.append(f'{name}: expected {expected}, got {said}')

    def public(self, name):
        return PublicKey({k: v for k, v in self.keys['keys'][name]['jwk'].items() if k in ('kty', 'crv', 'x', 'y')})

    def rosters(self):
        usual = self.roster['with']

        def verified(c, text):
            verify_roster(text, c.get('pin', usual['pin']), c.get('tenant', usual['tenant']), c.get('now', usual['now']),
                          c.get('min_seq', usual['min_seq']))
            return 'accepted'
        self.check('roster', 'accepted', lambda: verified({}, self.roster['jws']))
        for c in self.negative['rosters']:
            self.check('wrong roster ' + c['name'], c['expect'], lambda c=c: verified(c, c['text']))
        return verify_roster(self.roster['jws'], usual['pin'], usual['tenant'], usual['now'], usual['min_seq'])

    def statement_cases(self, trusted):
        now = self.statements['with']['now']

        def verified(c, text):
            verify_statement(text, trusted, c.get('now', now))
            return 'accepted'
        for s in [*self.statements['statements'], self.statements['signing']]:
            self.check('statement', 'accepted', lambda s=s: verified({}, s['jws']))
        for c in self.negative['statements']:
            self.check('wrong statement ' + c['name'], c['expect'], lambda c=c: verified(c, c['text']))

    def keys_cases(self):
        usual, now = self.roster['with'], self.statements['with']['now']

        def opened(name, base=None):
            return open_directory(self.statements[name], usual['pin'], usual['tenant'], now, 0, base=base)
        base = opened('keys_answer')
        self.check('keys', [2, [64]], lambda: [len(base['statements']), list(base['ready'].values())])
        later = opened('keys_change', base)
        self.check('what changed of the keys', [[self.statements['signing']['jws']], [16]],
                   lambda: [[s['text'] for s in later['statements'].values()], list(later['ready'].values())])
        for wrong in (None, later):
            self.check('a change of something else', 'malformed', lambda wrong=wrong: opened('keys_change', wrong))

    def asked(self, trusted, c):
        """The request that the verdicts answer, as the service kept it, with what a case says itself."""
        usual, sign, to = {**self.verdicts['with'], **c}, c.get('sign'), []
        for n, sealed in enumerate(usual['sealed_to']):
            member = trusted['connectors'][sealed['kid']]
            certified = [{**sign, 'kid': self.keys['keys'][sign['key']]['kid'], 'key': self.public(sign['key'])}] if sign and n == 0 else []
            to.append({'id': member['id'], 'kid': member['kid'], 'key': member['key'], 'sign': certified})
        return {**{name: usual[name] for name in ('id', 'req', 'service', 'tenant', 'padded', 'domain', 'domain_sid', 'other_sids')},
                'rk': from_b64u(usual['rk'], 32), 'to': to}

    def verdict_cases(self, trusted):
        now = self.verdicts['with']['now']

        def checked(c, text):
            check_verdict(self.asked(trusted, c), text, c.get('now', now))
            return 'accepted'
        for v in [*self.verdicts['verdicts'], self.verdicts['signing']]:
            self.check('verdict', parse_object(v['claims']), lambda v=v: check_verdict(self.asked(trusted, {k: v[k] for k in ('sign', 'domain_sid') if k in v}), v['jwe'], now))
        for c in self.negative['verdicts']:
            try:
                said = checked(c, c['text'])
            except Refused:
                said = 'unavailable'
            self.check('wrong verdict ' + c['name'], c['expect'], lambda said=said: said)

    def run(self):
        for name, entry in self.keys['keys'].items():
            self.check('key ' + name, (entry['kid'], entry.get('pin')),
                       lambda name=name, entry=entry: (self.public(name).kid, entry.get('pin') and self.public(name).pin))
        trusted = self.rosters()
        self.check('roster signature', None, lambda: Jws(self.roster['jws'], 'postern-roster+jwt').verify(self.public('tenant')))
        self.statement_cases(trusted)
        self.keys_cases()
        self.verdict_cases(trusted)
        print(*self.failures, sep='\n')
        print(f'{self.passed} passed, {len(self.failures)} failed')
        return 1 if self.failures or self.passed < 250 else 0


if __name__ == '__main__':
    sys.exit(Vectors(sys.argv[1]).run())
