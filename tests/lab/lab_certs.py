"""The lab's two certificate authorities and the servers' certificates, good and wrong, made with the openssl tool."""
import os
import subprocess
import tempfile
import time

import lab_accounts as table
import lab_system as system

DAY_S = 86400
DAYS = 3650
# name -> (issuing CA, names in the certificate)
SERVERS = {
    'dc': ('ca', [table.DC_HOST, table.DOMAIN]),
    'dc-host-only': ('ca', [table.DC_HOST]),
    'dc-kdc': ('ca', [table.DC_HOST], '1.3.6.1.5.2.3.5'),  # of a KDC, by its extended key usage
    'partner-kdc': ('ca', ['dc1.partner.example'], '1.3.6.1.5.2.3.5'),  # the same of another domain of this CA
    'dc-other-host': ('ca', ['web1.corp.example']),
    'dc-other-ca': ('other-ca', [table.DC_HOST, table.DOMAIN]),
    'dc2': ('ca', [table.DC2_HOST, table.DOMAIN]),
    'dc2-host-only': ('ca', [table.DC2_HOST]),
    'dc2-other-ca': ('other-ca', [table.DC2_HOST, table.DOMAIN]),
    'slapd': ('ca', [table.SLAPD_HOST, table.SLAPD_DOMAIN]),
    'slapd-host-only': ('ca', [table.SLAPD_HOST]),
    'slapd-other-ca': ('other-ca', [table.SLAPD_HOST, table.SLAPD_DOMAIN]),
}
# What `lab up --cert` may ask for -> suffix of the files above
KINDS = {'good': '', 'host-only': '-host-only', 'other-ca': '-other-ca'}


def openssl(*args):
    done = subprocess.run(['openssl', *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f'openssl {args[0]} failed: {done.stderr.strip()}')


def new_key_args(key):
    return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', key]


def sign(base, issuer, extensions, subject):
    """base.pem for a new base.key. From yesterday on, since tests set a clock back by minutes; `openssl x509` could not say that."""
    def date(days):
        return time.strftime('%Y%m%d%H%M%SZ', time.gmtime(time.time() + days * DAY_S))

    with tempfile.TemporaryDirectory() as work:
        def path(name, text=''):
            with open(os.path.join(work, name), 'w', encoding='utf-8') as out:
                out.write(text)
            return out.name
        config = path('config', f'[ca]\ndefault_ca=d\n[d]\ndatabase={path("index")}\nnew_certs_dir={work}\nrand_serial=yes\nunique_subject=no\n'
                                'default_md=sha256\npolicy=p\nx509_extensions=e\n[p]\ncommonName=supplied\n[e]\n' + extensions)
        request = path('csr')
        openssl('req', '-new', *new_key_args(base + '.key'), '-out', request, '-subj', subject)
        openssl('ca', '-batch', '-notext', '-config', config, '-in', request, '-out', base + '.pem', '-startdate', date(-1), '-enddate',
                date(DAYS), '-keyfile', issuer + '.key', *(['-selfsign'] if issuer == base else ['-cert', issuer + '.pem']))


def make_ca(folder, name):
    base = os.path.join(folder, name)
    sign(base, base, 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n',
         f'/CN=Postern lab {name}')


def make_server(folder, name):
    ca, names, *usages = SERVERS[name]
    make_named(folder, name, ca, ['DNS:' + n for n in names], usages)


def make_named(folder, name, ca, names, usages=()):
    """folder/name.pem and .key; names: as openssl writes subjectAltName."""
    base, issuer = os.path.join(folder, name), os.path.join(folder, ca)
    sign(base, issuer,
         'subjectAltName=' + ','.join(names) + '\n'
         'extendedKeyUsage=' + ','.join(['serverAuth', 'clientAuth', *usages]) + '\n'
         'keyUsage=critical,digitalSignature\n'
         'basicConstraints=critical,CA:FALSE\n'
         'subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n',
         f"/CN={names[0].split(':')[1]}")


def issuer_file(folder, name):
    """The CA file of a lab that verifies the certificate of that name."""
    return os.path.join(folder, 'certs', SERVERS[name][0] + '.pem')


def make_all(target):
    """Fills target/certs/."""
    folder = os.path.join(target, 'certs')
    os.makedirs(folder, mode=0o700)
    for name in ('ca', 'other-ca'):
        make_ca(folder, name)
    for name in SERVERS:
        make_server(folder, name)


def prepare():
    """The cached folder of all certificates."""
    return system.cached('certs', system.digest(['lab_certs.py', 'lab_accounts.py'], 'openssl'), make_all)
