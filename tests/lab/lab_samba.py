"""The AD domain of a lab: a copy of the provisioned domain under its own address, served by one Samba process.

With part samba2 it is a copy of the pair: the same domain after a second domain controller joined it (lab_samba2.py).
"""
import json
import os
import subprocess

import lab_accounts as table
import lab_certs
import lab_ldap
import lab_system as system

PROVISIONING = ['lab_provision.py', 'lab_accounts.py']
PORTS = (88, 389, 464, 636)

# A DC takes the previous password for 60 minutes, and the cached domain gets older than that: a hundred years.
CONFIG = """[global]
    netbios name = {dc}
    workgroup = {netbios}
    realm = {realm}
    server role = active directory domain controller
    server services = {services}
    interfaces = {address}/8
    bind interfaces only = yes
    disable netbios = yes
    prefork children = 1
    private dir = {d}/private
    state directory = {d}/state
    cache directory = {d}/cache
    lock directory = {d}/lock
    pid directory = {d}/run
    ncalrpc dir = {d}/run/ncalrpc
    binddns dir = {d}/bind-dns
    winbindd socket directory = {d}/run/winbindd
    ntp signd socket directory = {d}/run/ntp
    log file = {d}.log
    log level = 1
    old password allowed period = 52560000
    tls enabled = yes
    tls keyfile = {certs}/{cert}.key
    tls certfile = {certs}/{cert}.pem
    tls cafile = {certs}/{ca}.pem
"""


def prepare():
    """The cached domain; made in a process of its own, because Samba's bindings leave state behind."""
    def make(folder):
        here = os.path.dirname(os.path.abspath(__file__))
        done = subprocess.run(['/usr/bin/python3', '-B', os.path.join(here, 'lab_provision.py'), folder],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise system.LabError('provisioning the AD domain failed:\n' + '\n'.join(done.stderr.splitlines()[-15:]))

    return system.cached('samba', system.digest(PROVISIONING, 'samba'), system.made_in_memory(make))


class Controller:
    """What differs between the domain controllers of a lab."""

    def __init__(self, name, part, host, cert):
        self.name, self.part, self.host, self.cert = name, part, host, cert

    def certificate(self, kind):
        return self.cert + lab_certs.KINDS[kind]


DC1 = Controller(table.DC_NAME, 'samba', table.DC_HOST, 'dc')
DC2 = Controller(table.DC2_NAME, 'samba2', table.DC2_HOST, 'dc2')
ALONE, REPLICATING, JOINING = 'ldap, kdc', 'rpc, ldap, cldap, kdc, drepl', 'rpc, ldap, cldap, kdc, drepl, kcc'


def configure(folder, dc, address, kind, services):
    """Writes the configuration of the controller whose database is folder/PART; returns its path."""
    d = os.path.join(folder, dc.part)
    for name in ('cache', 'lock', 'run', 'bind-dns'):
        os.makedirs(os.path.join(d, name), mode=0o700, exist_ok=True)
    cert = dc.certificate(kind)
    config = CONFIG.format(dc=dc.name.upper(), netbios=table.NETBIOS, realm=table.REALM, address=address, d=d,
                           certs=os.path.join(folder, 'certs'), cert=cert, ca=lab_certs.SERVERS[cert][0],
                           services=services)
    system.write(os.path.join(d, 'run.conf'), config)
    return os.path.join(d, 'run.conf')


def start(folder, dc, config, options, **env):
    """Starts the controller and returns the Popen; its processes are the group of that pid.

    One process serves a domain alone. A pair takes one for each service: the replication waits for the KDC, and in one
    process that would be itself.
    """
    model = '--model=prefork' if env else '--model=single'
    return system.start_daemon(folder, dc.part, ['samba', '--foreground', '--no-process-group', '-s', config, model],
                               options.die_with_parent, KRB5_CONFIG=os.path.join(folder, 'krb5.conf'), **env)


def up(folder, address, options):
    """Starts the domain; returns (what a test needs to know, the accounts)."""
    import lab_samba2
    cache = lab_samba2.prepare() if options.pair else prepare()
    system.copy_tree(os.path.join(cache, 'samba'), os.path.join(folder, 'samba'))
    with open(os.path.join(cache, 'accounts.json'), encoding='utf-8') as f:
        accounts = json.load(f)
    config = configure(folder, DC1, address, options.cert, REPLICATING if options.pair else ALONE)
    env = lab_samba2.names_env(folder) if options.pair else {}
    process = start(folder, DC1, config, options, **env)
    issuer = lab_certs.issuer_file(folder, DC1.certificate(options.cert))
    system.wait_ready(process, folder, 'samba', lambda: is_ready(address, DC1, issuer, accounts['admin']))
    keytab = os.path.join(folder, 'samba', 'connector.keytab')
    armor_keytab = os.path.join(folder, 'samba', 'armor.keytab')
    info = {
        'address': address, 'host': table.DC_HOST, 'domain': table.DOMAIN, 'realm': table.REALM,
        'netbios': table.NETBIOS, 'suffix': table.ALT_SUFFIX, 'base': table.BASE, 'ldaps_port': 636,
        'ldap_port': 389, 'kdc_port': 88, 'keytab': keytab, 'armor_keytab': armor_keytab, 'armor_principal': 'svc-postern', 'service': table.SERVICE_SPN,
        'domain_sid': accounts['domain_sid'], 'service_sid': accounts['service_sid'],
        'lockout_threshold': table.LOCKOUT_THRESHOLD, 'issuer': issuer, 'pid': process.pid,
    }
    return info, {'admin': accounts['admin'], **accounts['users']}


def is_ready(address, dc, ca_file, admin):
    return (lab_ldap.answers(address, 636, dc.host, ca_file, (admin['upn'], admin['password']))
            and system.accepts(address, 88))


class Admin:
    """The domain seen by its administrator, over LDAPS, on one of the controllers. lab: the content of lab.json."""

    def __init__(self, lab, dc=1):
        ad, admin = lab['ad' if dc == 1 else 'ad2'], lab['users']['admin']
        self.ldap = lab_ldap.Ldaps(ad['address'], ad['ldaps_port'], ad['host'], ad['issuer'])
        self.ldap.bind(admin['upn'], admin['password'])

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.ldap.__exit__(*exc)

    def read(self, sam, *attributes):
        """(dn, {name: first value or None})"""
        found = self.ldap.search(table.BASE, list(attributes), ('sAMAccountName', sam))
        if len(found) != 1:
            raise system.LabError(f'{sam}: the domain has {len(found)} accounts of that name')
        dn, values = found[0]
        return dn, {name: values.get(name, [None])[0] for name in attributes}

    def bad_pwd_count(self, sam):
        return int(self.read(sam, 'badPwdCount')[1]['badPwdCount'] or 0)

    def unlock(self, sam):
        """Ends a lockout and sets badPwdCount to 0, as the administrators' tools do."""
        self.ldap.replace(self.read(sam)[0], 'lockoutTime', '0')
