"""Signs somebody in with the client that was written in Python:
sign_in.py --relay URL --tenant T --pin PIN --ca FILE --secret-file FILE --service FOLDER --user U [--sandbox]

FOLDER is one of keygen.mjs. The password is the first line of standard input. Prints the outcome as JSON; 0 accepted, 1 refused, 3 unavailable.
"""
import argparse
import http.client
import json
import os
import ssl
import sys
import time
import urllib.parse

from jwcrypto import jwk

from postern_client import check_verdict, make_request, open_directory
from strict import Refused, parse_object

ANSWER_MAX = 4 * 1024 * 1024


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read().strip()


class Relay:
    def __init__(self, url, tenant, secret, ca):
        at = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPSConnection(at.hostname, at.port, timeout=300, context=ssl.create_default_context(cafile=ca))
        self.path, self.headers = f'/v1/tenants/{tenant}/', {'Authorization': 'Bearer ' + secret}

    def call(self, method, rest, body=None, **headers):
        self.connection.request(method, self.path + rest, body, {**self.headers, **{k.replace('_', '-'): v for k, v in headers.items()}})
        answer = self.connection.getresponse()
        return answer, answer.read(ANSWER_MAX)


def problem(answer, body):
    found = parse_object(body) if answer.headers.get_content_type() == 'application/problem+json' else {}
    return {'problem': found.get('type', 'bad-answer').removeprefix('urn:postern:'), 'started': found.get('started', 'unknown')}


def sign_in(args, password):
    relay = Relay(args.relay, args.tenant, read(args.secret_file), args.ca)
    now = int(time.time())
    seen = os.path.join(args.service, 'roster.seq')
    service = {**json.loads(read(os.path.join(args.service, 'service.pub.json'))),
               'key': jwk.JWK(**json.loads(read(os.path.join(args.service, 'service.key.json'))))}
    answer, body = relay.call('GET', 'keys')
    if answer.status != 200:
        return problem(answer, body)
    directory = open_directory(body, args.pin, args.tenant, now, int(read(seen)) if os.path.exists(seen) else 0, args.sandbox)
    request = make_request(directory, service, now, args.user, password)
    answer, body = relay.call('POST', 'sign-ins', request['body'], Content_Type='application/postern-request', Postern_Id=request['id'],
                              Postern_Budget='8000')
    if answer.status != 200:
        return {'id': request['id'], **problem(answer, body)}
    return {'id': request['id'], 'connector': answer.headers['Postern-Connector'],
            'verdict': check_verdict(request, body.decode('latin-1'), int(time.time()))}


def main():
    parser = argparse.ArgumentParser()
    for name in ('relay', 'tenant', 'pin', 'ca', 'secret-file', 'service', 'user'):
        parser.add_argument('--' + name, required=True)
    parser.add_argument('--sandbox', action='store_true')
    password = sys.stdin.readline().rstrip('\n')
    try:
        outcome = sign_in(parser.parse_args(), password)
    except Refused as e:
        outcome = {'problem': e.what, 'detail': str(e)}
    print(json.dumps(outcome))
    return {'accepted': 0, 'refused': 1}.get(outcome.get('verdict', {}).get('verdict'), 3)


if __name__ == '__main__':
    sys.exit(main())
