"""A sign-in service's side of the protocol, written from queue/PROTOCOL.md with jwcrypto: verifies rosters, statements and verdicts, makes
requests. Knows no network: sign_in.py does."""
import hashlib
import json
import os
import re
import secrets

from jwcrypto import jwe, jwk, jws
from jwcrypto.common import JWException

from strict import (Refused, array, from_b64u, identifier, integer, kid, malformed, members, parse_object, string, tenant_name, to_b64u,
                    word)

SKEW = 120
SPKI_HEAD = bytes.fromhex('3059301306072a8648ce3d020106082a8648ce3d03010703420004')
NAME = r'[^\x00-\x20\x7f"/\\:*?<>|@,]+'
LABEL = r'(?!-)[a-z0-9_-]{1,63}(?<!-)'
CLASSES = {'accepted': ['none'], 'refused': ['credentials', 'policy'], 'unavailable': ['infrastructure']}


def lower(text):
    """Without regard to the case of A to Z alone."""
    return re.sub('[A-Z]', lambda c: c[0].lower(), text)


# ---- keys and JWS, sections 3 and 4 ----

class PublicKey:
    def __init__(self, given, extra=()):
        members(given, ['kty', 'crv', 'x', 'y', *extra])
        if given['kty'] != 'EC' or given['crv'] != 'P-256':
            raise malformed('not a P-256 key')
        x, y = from_b64u(given['x'], 32), from_b64u(given['y'], 32)
        try:
            self.key = jwk.JWK(kty='EC', crv='P-256', x=given['x'], y=given['y'])
            self.key.get_op_key('verify')  # the point is on the curve
        except (JWException, ValueError):
            raise malformed('not a point on P-256') from None
        self.kid = self.key.thumbprint()
        self.pin = to_b64u(hashlib.sha256(SPKI_HEAD + x + y).digest())


def parse_header(text):
    data = from_b64u(text)
    if len(data) > 1024:
        raise malformed('a header that is too long')
    return parse_object(data)


class Jws:
    """Form and header are right; verify() says whether the signature is."""

    def __init__(self, text, typ, most=262144):
        if not isinstance(text, str) or len(text.encode('utf-8')) > most or len(text.split('.')) != 3:
            raise malformed('JWS: form')
        header, payload, signature = text.split('.')
        self.text, head = text, members(parse_header(header), ['alg', 'typ', 'kid'])
        if head['alg'] != 'ES256' or head['typ'] != typ:
            raise malformed('JWS: other alg or typ')
        self.kid, self.payload = kid(head['kid']), from_b64u(payload)
        from_b64u(signature, 64)

    def verify(self, key, what='key'):
        token = jws.JWS()
        try:
            if self.kid != key.kid:
                raise Refused(what, 'JWS: kid of another key')
            token.deserialize(self.text)
            token.allowed_algs = ['ES256']
            token.verify(key.key)
        except (JWException, ValueError):
            raise Refused(what, 'JWS: the signature does not verify') from None


# ---- roster and statements, sections 5 and 6 ----

def times(claims, life):
    if not 0 < integer(claims['exp']) - integer(claims['iat']) <= life:
        raise malformed('exp is not within the life behind iat')


def current(claims, now):
    if claims['iat'] > now + SKEW or now > claims['exp'] + SKEW:
        raise Refused('time', 'not current')


def once(seen, *marks):
    for mark in marks:
        if mark in seen:
            raise malformed('stands twice')
        seen.add(mark)


def roster_domain(entry, seen):
    members(entry, ['name', 'suffixes', 'netbios'], ['sid', 'default'])
    string(entry['name'], 253, rf'{LABEL}(\.{LABEL})+')
    for suffix in array(entry['suffixes'], 64):
        string(suffix, 255, NAME)
        if lower(suffix) != suffix:
            raise malformed('a suffix in capitals')
    for name in array(entry['netbios'], 64):
        string(name, 255, NAME)
    once(seen, *(('upn', lower(name)) for name in [entry['name'], *entry['suffixes']]), *(('netbios', lower(n)) for n in entry['netbios']))
    if 'sid' in entry:
        numbers = string(entry['sid'], 64, r'S-1-5-21(-(0|[1-9][0-9]{0,9})){3}').split('-')[4:]
        if any(int(n) >= 2 ** 32 for n in numbers):
            raise malformed('a SID that is none')
        once(seen, ('sid', entry['sid']))
    if 'default' in entry:
        if entry['default'] is not True:
            raise malformed('default is true or absent')
        once(seen, 'default')
    return entry


def roster_member(entry, seen, *further):
    members(entry, ['id', 'kid', 'jwk', 'name', *further])
    identifier(entry['id'])
    string(entry['name'], 64, r'[^\x00-\x1f\x7f]+')
    key = PublicKey(entry['jwk'])
    if key.kid != entry['kid']:
        raise malformed('kid is not the thumbprint')
    once(seen, ('id', entry['id']), ('name', entry['name']), ('key', key.kid))
    return {**entry, 'key': key}


def verify_roster(text, pin, tenant, now, min_seq, sandbox=False):
    """Section 5, in its order. sandbox: it is one that the caller speaks to."""
    token = Jws(text, 'postern-roster+jwt')
    claims = parse_object(token.payload)
    key = PublicKey(claims.get('key'))
    if key.pin != pin:
        raise Refused('key', 'not the pinned tenant key')
    token.verify(key)
    if claims.get('v') not in (2, 3) or isinstance(claims['v'], bool):
        raise malformed('other version')
    people = ['people'] if claims['v'] == 3 else []
    members(claims, ['v', 'tenant', 'key', 'seq', 'iat', 'exp', 'domains', 'connectors', 'services', 'removed', *people], ['kind'])
    tenant_name(claims['tenant'])
    integer(claims['seq'])
    if 'kind' in claims:
        word(claims['kind'], ['sandbox'])
    times(claims, 30 * 86400)
    if claims['tenant'] != tenant:
        raise Refused('tenant', 'of another tenant')
    if ('kind' in claims) != sandbox:
        raise Refused('kind', 'not of a sandbox' if sandbox else 'of a sandbox')
    current(claims, now)
    if claims['seq'] < min_seq:
        raise Refused('seq', 'older than one seen before')
    seen = {('key', key.kid)}
    domains = {d['name']: d for d in [roster_domain(entry, seen) for entry in array(claims['domains'], 64)]}
    connectors = [roster_member(entry, seen, 'domains') for entry in array(claims['connectors'], 512)]
    services = [roster_member(entry, seen, 'role') for entry in array(claims['services'], 512)]
    people = [roster_member(entry, seen, 'role', 'domains', 'exp') for entry in array(claims.get('people', []), 64)]
    for c in connectors + people:
        names = [string(name, 253) for name in array(c['domains'], 64)]
        if len(set(names)) != len(names) or set(names) - set(domains):
            raise malformed("a member's domain")
    for p in people:
        if not 1 <= integer(p['exp']) <= claims['iat'] + 90 * 86400:
            raise malformed("a person's end")
    for s in services + people:
        string(s['role'], 31, '[a-z0-9-]+')
    for removed in array(claims['removed'], 512):
        once(seen, ('key', kid(removed)))
    return {**claims, 'domains': domains, 'connectors': {c['kid']: c for c in connectors}, 'services': {s['kid']: s for s in services}}


def statement_key(entry, use, alg, identity, seen):
    key = PublicKey(entry, ['kid', 'use', 'alg', 'nbf', 'exp'])
    if entry['kid'] != key.kid or entry['use'] != use or entry['alg'] != alg:
        raise malformed('statement: a key that is none')
    if integer(entry['exp']) <= integer(entry['nbf']) or key.kid == identity:
        raise malformed('statement: a key that may not be there')
    once(seen, key.kid)
    return {**entry, 'key': key}


def allowed_names(claims, roster, connector):
    """Names that lead to domains for which the roster lets the connector speak."""
    mine = [roster['domains'][name] for name in connector['domains']]
    upn = {name for d in mine for name in [d['name'], *d['suffixes']]}
    netbios = {lower(name) for d in mine for name in d['netbios']}
    return ({lower(n) for n in claims['realms'] + claims['suffixes']} & upn, {lower(n) for n in claims['netbios']} & netbios)


def verify_statement(text, roster, now):
    """Section 6."""
    token = Jws(text, 'postern-keys+jwt', 12288)
    connector = roster['connectors'].get(token.kid)
    if not connector:
        raise Refused('unknown', 'its key is no connector of the roster')
    token.verify(connector['key'])
    claims = parse_object(token.payload)
    versions = array(claims.get('v'), 8, 1)
    if 1 not in [integer(v, 1) for v in versions]:
        raise malformed('does not speak version 1')
    members(claims, ['v', 'iss', 'tenant', 'boot', 'seq', 'iat', 'exp', 'realms', 'suffixes', 'netbios', 'keys'], ['sign', 'pad', 'guard', 'roster'])
    if 'pad' in claims and integer(claims['pad']) not in (2048, 4096):
        raise malformed('pad')
    if claims.get('guard', 'on') != 'on':
        raise malformed('guard')
    if 'roster' in claims:
        integer(claims['roster'], 1, 255)
    from_b64u(claims['boot'], 16)
    integer(claims['seq'])
    times(claims, 7200)
    identifier(claims['iss'])
    tenant_name(claims['tenant'])
    if claims['tenant'] != roster['tenant'] or claims['iss'] != connector['id']:
        raise Refused('tenant', 'of another tenant or connector')
    current(claims, now)
    for names in ('realms', 'suffixes', 'netbios'):
        for name in array(claims[names], 64):
            string(name, 255, NAME)
    seen = set()
    keys = [statement_key(e, 'enc', 'ECDH-ES+A256KW', connector['kid'], seen) for e in array(claims['keys'], 4, 1)]
    sign = [statement_key(e, 'sig', 'ES256', connector['kid'], seen) for e in array(claims['sign'], 2, 1)] if 'sign' in claims else []
    if any(s['exp'] > claims['exp'] or s['exp'] - s['nbf'] > 7200 for s in sign):
        raise malformed('a signing key that outlives the statement')
    upn, netbios = allowed_names(claims, roster, connector)
    return {**claims, 'connector': connector, 'keys': keys, 'sign': sign, 'upn': upn, 'netbios_names': netbios}


# ---- request, section 7 ----

PROTECTED = '{"cty":"JWT","enc":"A256GCM","typ":"postern-request+jwe"}'
CLAIMS_MAX = {2048: 1374, 4096: 2910}


def newer(s, old):
    """Which of two statements of one identity counts."""
    return s['seq'] > old['seq'] if s['boot'] == old['boot'] else (s['iat'], s['seq']) > (old['iat'], old['seq'])


def weights_of(ready):
    """kid -> which share of the work it should get, of those that are ready."""
    weights = {}
    for r in array(ready, 512):
        if isinstance(r, dict) and r.get('realms'):
            weight = r.get('weight')
            weights[r.get('kid')] = weight if type(weight) is int and 1 <= weight <= 1000 else 1
    return weights


def open_directory(answer, pin, tenant, now, min_seq, sandbox=False, base=None):
    """The answer of GET keys: the roster, and the statement that counts of each connector. What does not verify is left out. base: what there
    was before, of which the answer may tell what changed."""
    found = parse_object(answer)
    change = 'since' in found
    if change and (base is None or not base['state'] or found['since'] != base['state']):
        raise Refused('malformed', 'keys: a change since a state that is not ours')
    if change and 'roster' not in found:
        roster = base['roster']
        if now > roster['exp'] + 120:
            raise Refused('expired', 'roster')
    else:
        roster = verify_roster(found.get('roster'), pin, tenant, now, min_seq, sandbox)
    gone = array(found.get('gone'), 1024) if change else []
    newest = {}
    texts = [s['text'] for kid, s in base['statements'].items() if kid not in gone] if change else []
    known = {s['text']: s for s in base['statements'].values() if now <= s['exp'] + 120} if base and roster is base['roster'] else {}
    for text in [*texts, *array(found.get('statements'), 512)]:
        try:
            s = known[text] if isinstance(text, str) and text in known else {**verify_statement(text, roster, now), 'text': text}
        except Refused:
            continue
        kid = s['connector']['kid']
        if kid not in newest or newer(s, newest[kid]):
            newest[kid] = s
    ready = base['ready'] if change and 'ready' not in found else weights_of(found.get('ready'))
    state = found.get('state')
    return {'roster': roster, 'statements': newest, 'ready': ready, 'state': state if isinstance(state, str) and re.fullmatch(r'[A-Za-z0-9_.-]{1,63}', state) else ''}


def domain_of(roster, username):
    """Whose a name is."""
    for d in roster['domains'].values():
        if '\\' in username:
            if lower(username.split('\\')[0]) in [lower(n) for n in d['netbios']]:
                return d
        elif '@' in username:
            if lower(username.rsplit('@', 1)[1]) in [d['name'], *d['suffixes']]:
                return d
        elif d.get('default'):
            return d
    raise Refused('no-connector', 'no domain of the roster')


def live_key(statement, now):
    keys = [k for k in statement['keys'] if k['nbf'] <= now < k['exp']]
    return max(keys, key=lambda k: k['nbf']) if keys and now < statement['exp'] else None


def announces(statement, domain, username):
    """The statement's lists narrow what the roster allows."""
    if '\\' in username:
        return lower(username.split('\\')[0]) in statement['netbios_names']
    suffix = lower(username.rsplit('@', 1)[1]) if '@' in username else domain['name']
    return suffix in statement['upn']


def choose(directory, domain, username, now):
    """At most four, ready ones first, at random among them by the relay's weights."""
    able = [s for s in directory['statements'].values()
            if domain['name'] in s['connector']['domains'] and announces(s, domain, username) and live_key(s, now)]
    ready = directory['ready']
    able.sort(key=lambda s: (s['connector']['kid'] not in ready, secrets.SystemRandom().expovariate(ready.get(s['connector']['kid'], 1))))
    if not able:
        raise Refused('no-connector', 'no connector serves this name')
    return able[:4]


def seal(plain, keys):
    """jwcrypto makes general JSON; a lone recipient's header goes into the protected one there, so there are always two."""
    token = jwe.JWE(plain, protected=PROTECTED, algs=['ECDH-ES+A256KW', 'A256GCM'])
    for key in [*keys, PublicKey(jwk.JWK.generate(kty='EC', crv='P-256').export_public(as_dict=True))]:
        token.add_recipient(key.key, json.dumps({'alg': 'ECDH-ES+A256KW', 'kid': key.kid}))
    sealed = json.loads(token.serialize())
    lines = ['.'.join(sealed[name] for name in ('protected', 'iv', 'ciphertext', 'tag'))]
    for recipient in sealed['recipients'][:len(keys)]:
        header = recipient['header']
        lines.append('.'.join((header['kid'], header['epk']['x'], header['epk']['y'], recipient['encrypted_key'])))
    return ''.join(line + '\n' for line in lines).encode('ascii')


def make_request(directory, service, now, username, password, first=None):
    """service: {id, kid, key (a private JWK)}. first: the id of the first attempt, where this is the second. What check_verdict wants, and
    the body to POST."""
    roster, rk, tenant = directory['roster'], os.urandom(32), directory['roster']['tenant']
    domain = domain_of(roster, username)
    chosen = choose(directory, domain, username, now)
    request = {'id': f'{first}-2' if first else os.urandom(16).hex(), 'rk': rk, 'service': service['id'], 'tenant': tenant, 'domain': domain['name'],
               'domain_sid': domain.get('sid', ''),
               'other_sids': [d['sid'] for d in roster['domains'].values() if d is not domain and 'sid' in d],
               'to': [{**s['connector'], 'sign': s['sign']} for s in chosen]}
    claims = json.dumps({'v': 1, 'iss': service['id'], 'aud': tenant, 'jti': request['id'], 'iat': now, 'exp': now + 60,
                         'to': [s['connector']['kid'] for s in chosen], 'username': username, 'password': password, 'rk': to_b64u(rk),
                         'client': {'ip': '203.0.113.10', 'app': 'interop-python'}}, separators=(',', ':'), ensure_ascii=False).encode('utf-8')
    wide = len(claims) > CLAIMS_MAX[2048] or any(s.get('pad') == 4096 for s in chosen)
    request['padded'] = 4096 if wide else 2048
    if len(claims) > CLAIMS_MAX[request['padded']]:
        raise malformed('too long for a request')
    token = jws.JWS(claims)
    token.add_signature(service['key'], alg='ES256', protected=json.dumps({'alg': 'ES256', 'typ': 'postern-request+jwt', 'kid': service['kid']}))
    compact = token.serialize(compact=True)
    request['req'] = to_b64u(hashlib.sha256(compact.encode('ascii')).digest())
    request['body'] = seal(compact.ljust(request['padded']).encode('ascii'), [live_key(s, now)['key'] for s in chosen])
    return request


# ---- verdict, section 8 ----

def unpad(data, length):
    text = data.decode('latin-1')
    bare = text.rstrip(' ')
    if len(text) != length or not bare or ' ' in bare:
        raise malformed('padding')
    return bare


def check_attributes(attributes):
    members(attributes, ['state', 'values'])
    word(attributes['state'], ['complete', 'truncated', 'unavailable'])
    values = attributes['values']
    if not isinstance(values, dict) or len(values) > 16 or (values and attributes['state'] == 'unavailable'):
        raise malformed('attributes')
    size = 0
    for name, found in values.items():
        string(name, 64, '[A-Za-z0-9.-]+')
        size += sum(len(name) + len(string(v, 1600).encode('utf-8')) + 2 for v in array(found, 1600, 1))
    if size > 1600:
        raise malformed('attributes that are too long')


def check_verdict_claims(v):
    if v.get('v') != 1 or isinstance(v['v'], bool):
        raise malformed('other version')
    members(v, ['v', 'iss', 'aud', 'tenant', 'jti', 'req', 'iat', 'exp', 'verdict', 'class', 'reason', 'password_proved',
                'may_have_counted', 't'], ['user', 'attributes', 'dc', 'method', 'raw', 'retry_after'])
    for name in ('iss', 'aud', 'jti'):
        identifier(v[name])
    tenant_name(v['tenant'])
    from_b64u(v['req'], 32)
    word(v['verdict'], CLASSES)
    word(v['class'], CLASSES[v['verdict']])
    word(v['may_have_counted'], ['0', '1', 'unknown'])
    string(v['reason'], 47, least=1)
    if integer(v['exp']) != integer(v['iat']) + 30 or not isinstance(v['password_proved'], bool):
        raise malformed('exp or password_proved')
    if 'retry_after' in v and (integer(v['retry_after'], 1, 604800) and v['reason'] != 'throttled'):
        raise malformed('retry_after')
    accepted = v['verdict'] == 'accepted'
    if accepted != ('user' in v) or (accepted and not v['password_proved']) or ('attributes' in v and not accepted):
        raise malformed('accepted, and nothing else, has user, proof and perhaps attributes')
    if accepted:
        user = members(v['user'], ['id', 'domain'], ['guid', 'upn', 'sam'])
        string(user['id'], 191, least=1)
        for name, most in (('domain', 256), ('guid', 36), ('upn', 256), ('sam', 256)):
            string(user.get(name, ''), most)
    if 'attributes' in v:
        check_attributes(v['attributes'])
    string(v.get('dc', ''), 256)
    if 'method' in v:
        word(v['method'], ['krb5', 'ldap'])
    raw = members(v.get('raw', {}), [], ['ldap', 'krb', 'ntstatus'])
    for name, most in (('ldap', 63), ('krb', 31), ('ntstatus', 31)):
        string(raw.get(name, ''), most)
    for name in ('opened', 'dc', 'total'):
        integer(members(v['t'], ['opened', 'dc', 'total'])[name], 0, 2 ** 32 - 1)


def open_verdict(text, rk):
    parts = text.split('.')
    if len(text) > 8192 or len(parts) != 5 or parts[1]:
        raise malformed('not a compact JWE of dir')
    header = members(parse_header(parts[0]), ['alg', 'enc', 'typ', 'cty'])
    if header != {'alg': 'dir', 'enc': 'A256GCM', 'typ': 'postern-verdict+jwe', 'cty': 'JWT'}:
        raise malformed('header')
    from_b64u(parts[2], 12)
    from_b64u(parts[3])
    from_b64u(parts[4], 16)
    token = jwe.JWE(algs=['dir', 'A256GCM'])
    try:
        token.deserialize(text, jwk.JWK(kty='oct', k=to_b64u(rk)))
    except (JWException, ValueError):
        raise malformed('rk does not open it') from None
    return token.payload


def is_of(account, sid):
    return account.startswith(sid + '-') and re.fullmatch(r'0|[1-9][0-9]{0,9}', account[len(sid) + 1:]) and int(account[len(sid) + 1:]) < 2 ** 32


def check_whose(request, user):
    if user['domain'] != request['domain']:
        raise Refused('domain', 'of another domain than was asked')
    if request['domain_sid'] and not is_of(user['id'], request['domain_sid']):
        raise Refused('domain', 'no account of the domain')
    if any(is_of(user['id'], sid) for sid in request['other_sids']):
        raise Refused('domain', 'an account of another domain')


def check_verdict(request, text, now):
    """Section 8.3. request: {id, req, rk, service, tenant, padded, domain, domain_sid, other_sids, to: [{id, kid, key, sign}]}: the roster's SID
    of the domain that was asked ('': it has none), and those of its other domains. Whatever is Refused means unavailable."""
    token = Jws(unpad(open_verdict(text, request['rk']), request['padded']), 'postern-verdict+jwt')
    for signer in request['to']:
        keys = {signer['kid']: signer['key'],
                **{s['kid']: s['key'] for s in signer['sign'] if s['nbf'] <= now + SKEW and now - SKEW < s['exp']}}
        if token.kid in keys:
            token.verify(keys[token.kid])
            break
    else:
        raise Refused('key', 'signed by nobody whom the request was sealed to')
    v = parse_object(token.payload)
    check_verdict_claims(v)
    expected = {'iss': signer['id'], 'aud': request['service'], 'tenant': request['tenant'], 'jti': request['id'], 'req': request['req']}
    if any(v[name] != value for name, value in expected.items()):
        raise malformed("another's verdict")
    current(v, now)
    if v['verdict'] == 'accepted':
        check_whose(request, v['user'])
    return v
