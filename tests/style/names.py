#!/usr/bin/python3
"""Checks the external names of the product: each begins with a word of its room, and none is there twice, so that any parts of it
can be linked together.

usage: names.py BUILD      prints object: problem for each, exits 1 when there are any

WORDS lists for each room what its names begin with. Where two rooms share a first word, the longer beginning decides.
"""
import os
import subprocess
import sys

WORDS = {
    'certs/base/conf': 'conf',
    'certs/base/core': 'admin b64u buffer ca_bundle closep equal error fd file freep hex id log pairs rate_file secret '
                       'secure sid_from sid_is sid_skip sid_text table text typed utf8 wipe',
    'certs/base/dns': 'address dns',
    'certs/base/ipc': 'frame ipc loop msg',
    'certs/base/events': 'events spans',
    'certs/base/metrics': 'metrics',
    'certs/base/process': 'caps child confine hand harden parent process program reloading',
    'certs/base/scribe': 'scribe scribes sink',
    'certs/base/sqlite': 'db',
    'certs/codec': 'crypto der jose_json json',
    'certs/enrol': 'csr est transport',
    'certs/http': 'http_flaw http_way https',
    'certs/jose': 'jose_answer jose_header jose_pad jose_split jose_unpadded jwe jws padded sealed',
    'certs/keys': 'key keyholder tls',
    'certs/trust': 'announcement claims domain_sid roster sid_of statement tenant_valid',
    'connector/account': 'lookup places reading ticket',
    'connector/cli': 'account_ask account_judge check_add check_dcs check_poll check_say cli cmd '
                     'offline pending person prompt secrets scrub service startup tar tasks tenant trial view when',
    'connector/conf': 'check config domains enrolment item',
    'connector/findings': 'account_counters account_facts account_findings connectors explain fact finding glossary health history hop looks readiness status',
    'connector/frames': 'acts control_answer control_ask control_question frame_may name_hash name_mask part posternd sid',
    'connector/keyholder': 'pkcs11 tpm2',
    'connector/person': 'everywhere folder hardware public_write service_public service_store',
    'connector/ledger': 'control ledger request_do request_is request_parse',
    'connector/link': 'bridge lines renewal',
    'connector/sandbox': 'sandbox',
    'connector/supervisor': 'check_all check_users files kept keys last_run prepare reload renewals share '
                            'supervisor watch watchdog',
    'connector/validator': 'clock_judge clock_note clock_state enckeys helpdesk intake record replay roster_store '
                           'sid_store signins validator verdict',
    'connector/web': 'chart form html web',
    'queue/client': 'client postern',
    'queue/gateway': 'dn doors gateway http_door ldapd listener sasl limits memory questions sealer_send sealer_want',
    'queue/gateway/pam': 'pam',
    'queue/http': 'http problem',
    'queue/link': 'link',
    'queue/relay': 'api ask bucket bus ca clock clones cluster connector_far connector_is connector_realms credential dispatch handover far_node journal metering nodes refused relay request run session sessions site '
                   'entity standing standings store tenant_admit tenant_announced tenant_connector tenant_expire '
                   'tenant_drop tenant_forget tenant_free tenant_get tenant_is tenant_live tenant_member tenant_new tenant_put '
                   'tenant_quarantine tenant_secret tenant_set tenants turns',
    'queue/seal': 'asked directory exchange sealer sign',
    'queue/wire': 'answer cancel decline drain hello question_claims question_declined question_op report request_claims request_event '
                  'request_hash roster_event '
                  'sse verdict_claims wire',
    'validate/dc': 'dc dcs discover',
    'validate/fake': 'fake',
    'validate/krb': 'kpasswd krb',
    'validate/ldap': 'ldap',
    'validate/op': 'domain_has op ops sid_learner sid_source validate',
    'validate/types': 'counted detail domain edata guard method name outcome reason verdict_class verdict_text words',
}
# Defined once for each way to put a program together: the files that name its methods.
COMPOSED = {'validate_new': {'validate/op/methods.c', 'connector/sandbox/methods.c'}}
COMPOSED['validate_scripted'] = COMPOSED['validate_new']
EXTERNAL = set('TDBRVWC')
OWNERS = {word: room for room, words in WORDS.items() for word in words.split()}


def objects(build):
    """(room, path) of each object of the product."""
    for top in ('certs', 'validate', 'queue', 'connector'):
        for folder, _, names in os.walk(os.path.join(build, top)):
            room = os.path.dirname(os.path.relpath(folder, build))
            for name in sorted(names):
                if name.endswith('.c.o') and not name.startswith('.._'):
                    # posternd is made in connector/ of what lies in connector/supervisor/
                    yield ('connector/supervisor' if room == 'connector' else room), os.path.join(folder, name)


def names_in(paths):
    """(path, name) of each external name in the objects."""
    said = subprocess.run(['nm', '-A', '--extern-only', '--defined-only', *paths], capture_output=True, text=True, check=True).stdout
    for line in said.split('\n'):
        path, _, rest = line.rpartition(':')
        words = rest.split()
        if len(words) == 3 and words[1] in EXTERNAL and not words[2].startswith('__') and words[2] != 'main':
            yield path, words[2]


def owner_of(name):
    """The room whose word the name begins with, the longest one; None: nobody's."""
    words = name.split('_')
    for n in range(len(words), 0, -1):
        if '_'.join(words[:n]) in OWNERS:
            return OWNERS['_'.join(words[:n])]
    return None


def check(build):
    rooms = {path: room for room, path in objects(build)}
    if not rooms:
        yield f'{build}: no object of the product is there'
        return
    seen = {}
    for path, name in names_in(rooms):
        room = rooms[path]
        source = f"{room}/{os.path.basename(path).removesuffix('.o').removeprefix('supervisor_')}"
        if source in COMPOSED.get(name, ()):
            continue
        if owner_of(name) != room:
            yield f'{source}: {name} begins with no word of {room}, but of {owner_of(name)}'
        if seen.setdefault(name, source) != source:
            yield f'{source}: {name} is in {seen[name]}, too'


def main(argv):
    if len(argv) != 2:
        print(__doc__)
        return 2
    if len(OWNERS) != sum(len(words.split()) for words in WORDS.values()):
        print('names.py: a word has two rooms')
        return 2
    problems = list(check(argv[1]))
    for problem in problems:
        print(problem)
    print(f'{len(problems)} problems')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv))
