"""The OpenLDAP server of a lab: u0..u49, with AD's attributes where the connector looks for them.

It is the fast peer for load. A user may bind and read its own entry, nobody else may read anything but the rootDSE.
"""
import base64
import hashlib
import json
import os
import secrets

import lab_accounts as table
import lab_certs
import lab_ldap
import lab_system as system

PORT = 6636
THREADS = 16
PEOPLE = 'ou=people,' + table.SLAPD_BASE
ADMIN = 'cn=admin,' + table.SLAPD_BASE

CONFIG = """include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
attributetype ( 1.2.840.113556.1.4.146 NAME 'objectSid' EQUALITY octetStringMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.40 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.221 NAME 'sAMAccountName' EQUALITY caseIgnoreMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.2.840.113556.1.4.656 NAME 'userPrincipalName' EQUALITY caseIgnoreMatch
    SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.4203.666.11.77.1 NAME 'labAccount' SUP top AUXILIARY
    MAY ( objectSid $ sAMAccountName $ userPrincipalName ) )
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {d}/slapd.pid
argsfile {d}/slapd.args
threads {threads}
conn_max_pending 1000
TLSCertificateFile {cert}.pem
TLSCertificateKeyFile {cert}.key
TLSCACertificateFile {ca}
access to dn.base="" by * read
access to dn.base="cn=Subschema" by * read
access to attrs=userPassword by anonymous auth by * none
access to * by self read by * none
database mdb
suffix "{base}"
directory {d}/db
maxsize 67108864
rootdn "{admin}"
index objectClass,uid,sAMAccountName,userPrincipalName eq
"""


def configure(d, certs, kind, path):
    cert = 'slapd' + lab_certs.KINDS[kind]
    system.write(path, CONFIG.format(d=d, threads=THREADS, base=table.SLAPD_BASE, admin=ADMIN,
                                     cert=os.path.join(certs, cert),
                                     ca=os.path.join(certs, lab_certs.SERVERS[cert][0] + '.pem')))


def salted_hash(password):
    salt = secrets.token_bytes(8)
    return '{SSHA}' + base64.b64encode(hashlib.sha1(password.encode() + salt).digest() + salt).decode()


def ldif(accounts):
    """The whole directory as text."""
    name = table.SLAPD_BASE.split(',', maxsplit=1)[0].split('=')[1]
    out = [f'dn: {table.SLAPD_BASE}\nobjectClass: domain\ndc: {name}\n',
           f'dn: {PEOPLE}\nobjectClass: organizationalUnit\nou: people\n']
    for account in accounts.values():
        sid = base64.b64encode(lab_ldap.sid_bytes(account['sid'])).decode()
        out.append(f"dn: {account['dn']}\nobjectClass: inetOrgPerson\nobjectClass: labAccount\n"
                   f"uid: {account['uid']}\ncn: {account['uid']}\nsn: {account['uid']}\nobjectSid:: {sid}\n"
                   f"sAMAccountName: {account['uid']}\nuserPrincipalName: {account['upn']}\n"
                   f"userPassword: {salted_hash(account['password'])}\n")
    return '\n'.join(out)


def prepare():
    def make(folder):
        d = os.path.join(folder, 'slapd')
        os.makedirs(os.path.join(d, 'db'), mode=0o700)
        accounts = {f'u{i}': {'uid': f'u{i}', 'dn': f'uid=u{i},{PEOPLE}', 'upn': f'u{i}@{table.SLAPD_DOMAIN}',
                              'sid': f'{table.SLAPD_SID}-{1000 + i}', 'password': table.new_password()}
                    for i in range(table.PEER_USERS)}
        config = os.path.join(folder, 'making.conf')
        # slapadd opens no TLS: the certificates are named by the configuration of each copy.
        text = CONFIG.format(d=d, threads=THREADS, base=table.SLAPD_BASE, admin=ADMIN, cert='', ca='')
        system.write(config, '\n'.join(line for line in text.split('\n') if not line.startswith('TLS')))
        system.run(['slapadd', '-q', '-f', config], text=ldif(accounts))
        system.write(os.path.join(folder, 'accounts.json'), json.dumps(accounts))

    return system.cached('slapd', system.digest(['lab_slapd.py', 'lab_accounts.py', 'lab_ldap.py'], 'slapd'), make)


def up(folder, address, options):
    """Starts slapd; returns (what a test needs to know, the accounts)."""
    cache = prepare()
    d = os.path.join(folder, 'slapd')
    system.copy_tree(os.path.join(cache, 'slapd'), d)
    with open(os.path.join(cache, 'accounts.json'), encoding='utf-8') as f:
        accounts = json.load(f)
    config = os.path.join(d, 'slapd.conf')
    configure(d, os.path.join(folder, 'certs'), options.cert, config)
    # -d 0 keeps it in the foreground.
    process = system.start_daemon(folder, 'slapd', ['slapd', '-d', '0', '-f', config, '-h',
                                                    f'ldaps://{address}:{PORT}'], options.die_with_parent)
    issuer = lab_certs.issuer_file(folder, 'slapd' + lab_certs.KINDS[options.cert])
    first = (accounts['u0']['dn'], accounts['u0']['password'])
    system.wait_ready(process, folder, 'slapd',
                      lambda: lab_ldap.answers(address, PORT, table.SLAPD_HOST, issuer, first))
    info = {'address': address, 'host': table.SLAPD_HOST, 'domain': table.SLAPD_DOMAIN, 'ldaps_port': PORT,
            'base': table.SLAPD_BASE, 'people': PEOPLE, 'bind_template': 'uid={name},' + PEOPLE,
            'users_count': table.PEER_USERS, 'issuer': issuer, 'pid': process.pid}
    return info, accounts
