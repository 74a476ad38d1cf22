"""The second domain controller of the lab's AD domain, with real replication.

Joining takes a running first controller, so the joined pair is made once and kept: a lab with this part copies both.
badPwdCount is each controller's own; new accounts, passwords and lockouts replicate within seconds.
"""
import glob
import json
import os
import subprocess
import time
from types import SimpleNamespace

import lab_certs
import lab_accounts as table
import lab_ldap
import lab_samba as samba
import lab_system as system

PORT_LIST = samba.PORTS + (135, 3268, 3269)
REPLICATION_SECONDS = 60
KRB5_CONF = """[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
[realms]
    {realm} = {{
        kdc = {first}:88
        kdc = {second}:88
    }}
"""


def wrapper(name):
    found = glob.glob(f'/usr/lib/*/lib{name}.so')
    if not found:
        raise system.LabError(f'lib{name} is not installed (tests/run.sh installs what the lab needs)')
    return found[0]


def names_env(folder):
    """The environment in which the controllers find each other: their names are in files of the lab alone."""
    return {'LD_PRELOAD': wrapper('nss_wrapper') + ':' + wrapper('resolv_wrapper'),
            'NSS_WRAPPER_HOSTS': os.path.join(folder, 'hosts'),
            'RESOLV_WRAPPER_HOSTS': os.path.join(folder, 'resolv.hosts')}


def host_lines(first, second, guids):
    """Names of the controllers, those that replication uses included."""
    lines = [f'{first} {table.DC_HOST} {table.DC_NAME}', f'{second} {table.DC2_HOST} {table.DC2_NAME}']
    lines += [f'{first if name == table.DC_NAME else second} {guid}._msdcs.{table.DOMAIN}' for name, guid in guids.items()]
    return ''.join(line + '\n' for line in lines)


def resolver_lines(first, second):
    return (f'A {table.DC_HOST} {first}\nA {table.DC2_HOST} {second}\n'
            f'SRV _ldap._tcp.dc._msdcs.{table.DOMAIN} {table.DC_HOST} 389\n'
            f'SRV _kerberos._tcp.dc._msdcs.{table.DOMAIN} {table.DC_HOST} 88\n')


def tool(folder, *args):
    return system.run([*args], KRB5_CONFIG=os.path.join(folder, 'krb5.conf'), **names_env(folder))


def guids_of(folder):
    """dc name -> GUID of its NTDS settings. In a process of its own: Samba's bindings leave state behind."""
    here = os.path.dirname(os.path.abspath(__file__))
    done = subprocess.run(['/usr/bin/python3', '-B', os.path.join(here, 'lab_guids.py'), os.path.join(folder, 'samba2')],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise system.LabError('reading the controllers\' GUIDs failed:\n' + done.stderr)
    return json.loads(done.stdout)


def wait_replicated(lab, source, target):
    """Until a change on one controller shows on the other."""
    stamp = f'lab {time.time()}'
    with samba.Admin(lab, source) as admin:
        dn = admin.read('good20')[0]
        admin.ldap.replace(dn, 'description', stamp)
    deadline = time.monotonic() + REPLICATION_SECONDS
    while time.monotonic() < deadline:
        with samba.Admin(lab, target) as admin:
            if admin.read('good20', 'description')[1]['description'] == stamp.encode():
                return
        time.sleep(0.1)
    raise system.LabError(f'a change on controller {source} does not show on {target} after {REPLICATION_SECONDS} s')


def join(folder, first, second, accounts):
    """Joins the second controller to the running first one and starts it, then waits for replication both ways."""
    options = SimpleNamespace(die_with_parent=True)
    admin = accounts['admin']
    login = [f"-U{admin['sam']}%{admin['password']}", f'-W{table.NETBIOS}', f'--realm={table.REALM}']
    system.write(os.path.join(folder, 'empty.conf'), '')
    tool(folder, 'samba-tool', 'domain', 'join', table.REALM, 'DC', f'--configfile={folder}/empty.conf',
         f'--targetdir={folder}/samba2', f'--server={table.DC_HOST}', *login,
         '--dns-backend=NONE', f'--option=netbios name = {table.DC2_NAME.upper()}', f'--option=interfaces = {second}/8',
         '--option=bind interfaces only = yes')
    guids = guids_of(folder)
    system.write(os.path.join(folder, 'hosts'), host_lines(first, second, guids))
    config = samba.configure(folder, samba.DC2, second, 'good', samba.JOINING)
    process = samba.start(folder, samba.DC2, config, options, **names_env(folder))
    issuer = lab_certs.issuer_file(folder, 'dc2')
    system.wait_ready(process, folder, 'samba2', lambda: samba.is_ready(second, samba.DC2, issuer, admin))
    for part in ('samba', 'samba2'):
        tool(folder, 'samba_spnupdate', '-s', f'{folder}/{part}/run.conf')
        tool(folder, 'samba_kcc', '-s', f'{folder}/{part}/run.conf', '-H', f'{folder}/{part}/private/sam.ldb')
    for target, source in ((table.DC_HOST, table.DC2_HOST), (table.DC2_HOST, table.DC_HOST)):
        tool(folder, 'samba-tool', 'drs', 'replicate', target, source, table.BASE, *login)
    lab = {'ad': {'address': first, 'ldaps_port': 636, 'host': table.DC_HOST, 'issuer': issuer},
           'ad2': {'address': second, 'ldaps_port': 636, 'host': table.DC2_HOST, 'issuer': issuer},
           'users': {'admin': admin}}
    wait_replicated(lab, 1, 2)
    wait_replicated(lab, 2, 1)
    return guids


def make(folder):
    alone = samba.prepare()
    first, second = system.free_address(PORT_LIST), system.free_address(PORT_LIST)
    system.copy_tree(os.path.join(alone, 'samba'), os.path.join(folder, 'samba'))
    with open(os.path.join(alone, 'accounts.json'), encoding='utf-8') as f:
        accounts = json.load(f)
    system.copy_tree(os.path.join(lab_certs.prepare(), 'certs'), os.path.join(folder, 'certs'))
    system.write(os.path.join(folder, 'hosts'), host_lines(first, second, {}))
    system.write(os.path.join(folder, 'resolv.hosts'), resolver_lines(first, second))
    system.write(os.path.join(folder, 'krb5.conf'), KRB5_CONF.format(realm=table.REALM, first=first, second=second))
    try:
        config = samba.configure(folder, samba.DC1, first, 'good', samba.JOINING)
        process = samba.start(folder, samba.DC1, config, SimpleNamespace(die_with_parent=True), **names_env(folder))
        issuer = lab_certs.issuer_file(folder, 'dc')
        system.wait_ready(process, folder, 'samba', lambda: samba.is_ready(first, samba.DC1, issuer, accounts['admin']))
        accounts['guids'] = join(folder, first, second, accounts)
    finally:
        system.stop_daemons(folder)
    system.write(os.path.join(folder, 'accounts.json'), json.dumps(accounts, ensure_ascii=False, indent=1))


def prepare():
    """The cached pair: FOLDER/samba, FOLDER/samba2 and accounts.json."""
    files = samba.PROVISIONING + ['lab_samba.py', 'lab_samba2.py', 'lab_guids.py', 'lab_certs.py']
    return system.cached('pair', system.digest(files, 'samba'), system.made_in_memory(make))


def name_controllers(folder, first, second):
    """Writes the files of names_env() for a lab's own addresses, before either controller starts."""
    with open(os.path.join(prepare(), 'accounts.json'), encoding='utf-8') as f:
        guids = json.load(f)['guids']
    with open(os.path.join(folder, 'hosts'), 'a', encoding='utf-8') as out:
        out.write(host_lines(first, second, guids))
    system.write(os.path.join(folder, 'resolv.hosts'), resolver_lines(first, second))


def up(folder, _, options):
    """Starts the second controller; returns (what a test needs to know, no accounts: they are the domain's)."""
    cache = prepare()
    address = options.second
    system.copy_tree(os.path.join(cache, 'samba2'), os.path.join(folder, 'samba2'))
    with open(os.path.join(cache, 'accounts.json'), encoding='utf-8') as f:
        admin = json.load(f)['admin']
    config = samba.configure(folder, samba.DC2, address, options.cert, samba.REPLICATING)
    process = samba.start(folder, samba.DC2, config, options, **names_env(folder))
    issuer = lab_certs.issuer_file(folder, samba.DC2.certificate(options.cert))
    system.wait_ready(process, folder, 'samba2', lambda: samba.is_ready(address, samba.DC2, issuer, admin))
    return {'address': address, 'host': table.DC2_HOST, 'ldaps_port': 636, 'ldap_port': 389, 'kdc_port': 88,
            'issuer': issuer, 'pid': process.pid}, {}
