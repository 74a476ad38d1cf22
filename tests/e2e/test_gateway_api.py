#!/usr/bin/python3
"""The description for programs, queue/gateway/openapi.json, against the running gateway: each answer has the status, the headers and the
shape that it says, and what it does not say is not served."""
import json
import os
import re

from e2e import LAB, WRONG, main
from test_gateway import SECRET, GatewayTest

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = {'object': dict, 'array': list, 'string': str, 'integer': int, 'boolean': bool}
KEYWORDS = {'type', 'description', 'properties', 'required', 'additionalProperties', 'enum', 'pattern', 'items', 'writeOnly', '$ref'}


def page(path):
    with open(os.path.join(HERE, '../..', path), encoding='utf-8') as f:
        return f.read()


class Api(GatewayTest):
    SETTINGS = 'name_failures = 1\nfailure_window = 3600\n'
    DOMAIN = {'north': 'attributes = memberOf mail\n'}

    @classmethod
    def setUpClass(cls):
        cls.api = json.loads(page('queue/gateway/openapi.json'))
        cls.seen = set()
        super().setUpClass()
        secret = cls.site.write_secret('wiki.secret', SECRET)
        cls.gateway.stop()
        cls.gateway.write_config(cls.SETTINGS, f'[application wiki]\nsecret_file = {secret}\n')
        os.unlink(cls.gateway.ready_file)
        cls.gateway.start()

    def fits(self, value, schema, where):
        """JSON Schema, as far as the description uses it; a keyword beyond is a fault of this test."""
        self.assertLessEqual(set(schema), KEYWORDS, where)
        if '$ref' in schema:
            self.fits(value, self.api['components']['schemas'][schema['$ref'].rsplit('/', 1)[1]], where)
            return
        self.assertIs(type(value), TYPES[schema['type']], where)
        if 'enum' in schema:
            self.assertIn(value, schema['enum'], where)
        if 'pattern' in schema:
            self.assertRegex(value, schema['pattern'], where)
        for name in schema.get('required', []):
            self.assertIn(name, value, where)
        if schema['type'] == 'object':
            others = schema.get('additionalProperties', True)
            for name, member in value.items():
                what = schema.get('properties', {}).get(name, others)
                self.assertIsNot(what, False, f'{where}: {name} is not described')
                if what is not True:
                    self.fits(member, what, f'{where}.{name}')
        for item in value if schema['type'] == 'array' else []:
            self.fits(item, schema['items'], where)

    def ask(self, method, path, body=None, headers=None, tcp=False, described=True):
        status, got, text = self.gateway.request(method, path, body, headers, tcp=tcp)
        if not described:
            return status, text
        answers = self.api['paths'][path][method.lower()]['responses']
        self.assertIn(str(status), answers, f'{method} {path}: {text}')
        answer = answers[str(status)]
        self.seen.add((method, path, str(status)))
        for name in answer.get('headers', {}):
            self.assertIn(name.lower(), got, f'{method} {path} {status}')
        for media, what in answer.get('content', {}).items():
            self.assertEqual(got['content-type'].split(';')[0], media)
            if 'json' in media:
                self.fits(json.loads(text), what['schema'], f'{method} {path} {status}')
        return status, text

    def post(self, path, what, media='application/json', **more):
        return self.ask('POST', path, what if isinstance(what, bytes) else json.dumps(what).encode(),
                        {'Content-Type': media, **more.pop('headers', {})}, **more)

    def test(self):
        upn, password, _ = self.account('GOOD1')
        good = {'username': upn, 'password': password}
        for path, more in (('/v1/sign-in', {}), ('/v1/change-password', {'new_password': ''})):
            self.post(path, {**good, **more, 'client': {'ip': '192.0.2.1', 'agent': 'a', 'app': 'b'}})
            self.post(path, b'{')
            self.post(path, b' ' * 9000)
            self.post(path, {**good, **more}, media='text/plain')
            self.assertEqual(self.post(path, {**good, **more}, tcp=True)[0], 401)
            self.assertEqual(self.post(path, {**good, **more}, tcp=True, headers={'Authorization': 'Bearer ' + SECRET[:-1]})[0], 401)
            self.assertEqual(self.post(path, {**good, **more}, tcp=True, headers={'Authorization': 'Bearer ' + SECRET})[0], 200)
        name = 'no-such-user@' + LAB['LAB_AD_DOMAIN']
        for _ in range(2):  # wrong, then throttled
            self.post('/v1/sign-in', {'username': name, 'password': WRONG})
        locked, locked_password, _ = self.account('LOCKED')
        self.post('/v1/sign-in', {'username': locked, 'password': locked_password})
        basic = {'Authorization': 'Basic ' + __import__('base64').b64encode(f'{upn}:{password}'.encode()).decode()}
        self.assertEqual(self.ask('GET', '/v1/forward', headers=basic)[0], 204)
        self.assertEqual(self.ask('GET', '/v1/forward', headers=basic, tcp=True)[0], 503)
        status, text = self.ask('GET', '/v1/forward', headers={**basic, 'Postern-Application': 'Bearer ' + SECRET[:-1]}, tcp=True)
        self.assertEqual(status, 503)  # the web server's fault: a 401 would ask the user for the password again
        self.assertIn('secret of an [application]', json.loads(text)['detail'])
        self.assertEqual(json.loads(text)['type'], 'urn:postern:unknown-application')
        self.assertEqual(self.ask('GET', '/v1/forward', headers={**basic, 'Postern-Application': 'Bearer ' + SECRET}, tcp=True)[0], 204)
        self.assertEqual(self.ask('GET', '/v1/forward')[0], 401)
        for path in ('/healthz', '/readyz', '/metrics', '/v1/status'):
            self.assertEqual(self.ask('GET', path)[0], 200)
        for path in ('/metrics', '/v1/status'):
            self.assertEqual(self.ask('GET', path, tcp=True)[0], 404)
        # what is not described is not served
        routes = set(re.findall(r'\{HTTP_(\w+), "([^"]+)"', page('queue/gateway/doors/http-door.c')))
        self.assertEqual(routes, {(m.upper(), p) for p, what in self.api['paths'].items() for m in what})
        # and each word that a problem may have is explained in the manual
        manual = page('connector/man/postern-gateway.8')
        for word in ('malformed', 'bad-credentials', 'not-found', 'no-such-method', 'length-required', 'too-large', 'unsupported-type',
                     'busy', 'not-ready', 'unknown-application', 'internal'):
            self.assertIn(word, manual)
        self.site.relay.stop()
        self.post('/v1/sign-in', good)
        self.assertEqual(self.ask('GET', '/v1/forward', headers=basic)[0], 503)
        # every status that can be brought about was seen
        self.assertEqual({(m.upper(), p, s) for p, what in self.api['paths'].items() for m, op in what.items() for s in op['responses']}
                         - self.seen, {('POST', '/v1/sign-in', '411'), ('POST', '/v1/change-password', '411'), ('POST', '/v1/sign-in', '500'),
                                       ('POST', '/v1/change-password', '500'), ('POST', '/v1/sign-in', '503'),
                                       ('POST', '/v1/change-password', '503'), ('GET', '/v1/forward', '403'), ('GET', '/readyz', '503')})


if __name__ == '__main__':
    main()
