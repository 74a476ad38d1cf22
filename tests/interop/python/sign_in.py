"""Signs somebody in with the client that was written in Python:
sign_in.py --relay URL --tenant T --pin PIN --ca FILE --secret-file FILE --service FOLDER --user U [--sandbox]

URL may be several, with blanks between: the relay's nodes. FOLDER is one of keygen.mjs. The password is the first line of standard input. Prints the outcome as JSON; 0 accepted, 1 refused, 3 unavailable.
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


class Unreachable(Exception):
    """No connection was made: not a byte of the request left."""


class Node:
    def __init__(self, url, tenant, secret, ca):
        at = urllib.parse.urlsplit(url)
        self.connection = http.client.HTTPSConnection(at.hostname, at.port, timeout=300, context=ssl.create_default_context(cafile=ca))
        self.path, self.headers = f'/v1/tenants/{tenant}/', {'Authorization': 'Bearer ' + secret}

    def call(self, method, rest, body=None, **headers):
        try:
            if self.connection.sock is None:
                self.connection.connect()
        except OSError as e:
            raise Unreachable(str(e)) from e
        self.connection.request(method, self.path + rest, body, {**self.headers, **{k.replace('_', '-'): v for k, v in headers.items()}})
        answer = self.connection.getresponse()
        return answer, answer.read(ANSWER_MAX)


class Relay:
    """Its nodes, which are asked in their order, each until it fails."""

    def __init__(self, urls, *how):
        self.nodes = [Node(url, *how) for url in urls.split()]

    def go_on(self):
        self.nodes.append(self.nodes.pop(0))

    def keys(self, opened):
        """What opened makes of the first answer that is of use: (directory, None), or (None, the last node's problem)."""
        for left in range(len(self.nodes), 0, -1):
            directory, failed, status = None, None, 0
            try:
                answer, body = self.nodes[0].call('GET', 'keys')
                status = answer.status
                directory, failed = (opened(body), None) if status == 200 else (None, problem(answer, body))
            except (Unreachable, OSError, http.client.HTTPException) as e:
                failed = {'problem': 'transport', 'started': 'no', 'detail': str(e)}
            if left == 1 or (directory['ready'] if directory else 0 < status < 500):
                break
            self.go_on()
        return directory, failed

    def post(self, request):
        """At the next node only where not a byte left; any other failure is the caller's."""
        for left in range(len(self.nodes), 0, -1):
            try:
                return self.nodes[0].call('POST', 'sign-ins', request['body'], Content_Type='application/postern-request',
                                          Postern_Id=request['id'], Postern_Budget='8000')
            except Unreachable:
                if left == 1:
                    raise
                self.go_on()
        raise AssertionError('no nodes')


def problem(answer, body):
    found = parse_object(body) if answer.headers.get_content_type() == 'application/problem+json' else {}
    return {'status': answer.status, 'problem': found.get('type', 'bad-answer').removeprefix('urn:postern:'),
            'started': found.get('started', 'unknown')}


def attempt(relay, args, service, password, first=None):
    """first: the id of the first attempt, where this is the second."""
    now = int(time.time())
    seen = os.path.join(args.service, 'roster.seq')
    directory, failed = relay.keys(lambda body: open_directory(body, args.pin, args.tenant, now,
                                                               int(read(seen)) if os.path.exists(seen) else 0, args.sandbox))
    if failed:
        return failed
    request = make_request(directory, service, now, args.user, password, first)
    try:
        answer, body = relay.post(request)
    except Unreachable as e:
        return {'id': request['id'], 'problem': 'transport', 'started': 'no', 'detail': str(e)}
    except (OSError, http.client.HTTPException) as e:
        return {'id': request['id'], 'problem': 'transport', 'started': 'unknown', 'detail': str(e)}
    if answer.status != 200:
        return {'id': request['id'], **problem(answer, body)}
    return {'id': request['id'], 'connector': answer.headers['Postern-Connector'],
            'verdict': check_verdict(request, body.decode('latin-1'), int(time.time()))}


def sign_in(args, password):
    relay = Relay(args.relay, args.tenant, read(args.secret_file), args.ca)
    service = {**json.loads(read(os.path.join(args.service, 'service.pub.json'))),
               'key': jwk.JWK(**json.loads(read(os.path.join(args.service, 'service.key.json'))))}
    outcome = attempt(relay, args, service, password)
    if outcome.get('status') == 503 and outcome['started'] == 'no' and len(relay.nodes) > 1:
        relay.go_on()
        outcome = attempt(relay, args, service, password, outcome.get('id'))
    return outcome


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
