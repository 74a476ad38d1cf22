"""The MIT KDC of a lab: u0..u49 and a few in other states, made once, served under the lab's address. The same process
serves a second realm, which the first one trusts.

It is the fast peer for load: nothing is written to the database on a sign-in. A krb5kdc drops its oldest TCP connection
beyond 45, and its workers share connections unevenly: of 256 that came at once 8 workers dropped 19 %, 32 drop 0.5 %.
"""
import json
import os
import shutil

import lab_accounts as table
import lab_system as system

PORT = 8088
FAR_PORT = 8089
SHORT_LIFE = 9
WORKERS = 32
# label -> (principal, options of addprinc, KRB-ERROR code or OK for the right password)
STATES = {
    'expired': ('expired', '-pwexpire 1/1/2001', 23),
    'need-change': ('needchange', '+needchange', 23),
    'disabled': ('disabled', '-allow_tix', 18),
    'account-expired': ('accountexpired', '-expire 1/1/2001', 1),
    'sha384': ('sha384', '-e aes256-cts-hmac-sha384-192:normal', table.OK),
    'sha256': ('sha256', '-e aes128-cts-hmac-sha256-128:normal', table.OK),
    'aes128': ('aes128', '-e aes128-cts-hmac-sha1-96:normal', table.OK),
    'rc4-only': ('rc4only', '-e arcfour-hmac:normal', table.OK),  # for kinit; 14 for a client without RC4
    'no-preauth': ('nopreauth', '-requires_preauth', table.OK),
}

FAR_USERS = {'far': 'far'}

KDC_CONF = """[kdcdefaults]
    kdc_listen = {address}:{port}
    kdc_tcp_listen = {address}:{port}
    kdc_tcp_listen_backlog = 1024
[realms]
    {realm} = {{
        database_name = {d}/principal
        key_stash_file = {d}/stash
        acl_file = {d}/none.acl
        master_key_type = aes256-cts-hmac-sha1-96
        supported_enctypes = aes256-cts-hmac-sha1-96:normal
        default_principal_flags = +preauth
        max_life = 10h
    }}
    {far} = {{
        kdc_listen = {address}:{far_port}
        kdc_tcp_listen = {address}:{far_port}
        database_name = {d}/far/principal
        key_stash_file = {d}/far/stash
        acl_file = {d}/none.acl
        master_key_type = aes256-cts-hmac-sha1-96
        supported_enctypes = aes256-cts-hmac-sha1-96:normal
        default_principal_flags = +preauth
        max_life = 10h
    }}
[dbmodules]
    {realm} = {{
        db_library = db2
        disable_last_success = true
        disable_lockout = true
    }}
    {far} = {{
        db_library = db2
    }}
[logging]
    kdc = FILE:{d}/../mit.log
"""
MAKING_KRB5_CONF = '[libdefaults]\n    default_realm = {realm}\n    dns_lookup_kdc = false\n'


def users():
    """label -> (principal, options, expectation)"""
    return {**{f'u{i}': (f'u{i}', '', table.OK) for i in range(table.PEER_USERS)}, **STATES}


def kdc_conf(address, d):
    return KDC_CONF.format(address=address, port=PORT, d=d, realm=table.MIT_REALM, far=table.MIT_FAR_REALM,
                           far_port=FAR_PORT)


def make_realm(realm, script, env):
    """A realm's database and principals. The secrets go by standard input: kadmin.local reads commands, kdb5_util the
    master password twice."""
    master = table.new_password()
    system.run(['kdb5_util', 'create', '-s', '-r', realm], text=f'{master}\n{master}\n', **env)
    said = system.run(['kadmin.local', '-r', realm], text='\n'.join(script) + '\n', **env)
    wanted = sum(line.startswith('addprinc') for line in script)
    if said.count(' created.') != wanted:
        raise system.LabError(f'kadmin.local did not make every principal of {realm}:\n' + said)


def prepare():
    def make(folder):
        d = os.path.join(folder, 'mit')
        os.makedirs(os.path.join(d, 'far'), mode=0o700)
        system.write(os.path.join(d, 'kdc.conf'), kdc_conf('127.0.0.1', d))
        system.write(os.path.join(d, 'krb5.conf'), MAKING_KRB5_CONF.format(realm=table.MIT_REALM))
        env = {'KRB5_CONFIG': os.path.join(d, 'krb5.conf'), 'KRB5_KDC_PROFILE': os.path.join(d, 'kdc.conf')}
        accounts = {label: {'principal': f'{name}@{table.MIT_REALM}', 'name': name,
                            'password': table.new_password(), 'expect_krb': expect}
                    for label, (name, _, expect) in users().items()}
        # Accounts of FAR get tickets for services of MIT: both realms know the key of this one.
        trust = f'addprinc -pw {table.new_password()} krbtgt/{table.MIT_REALM}@{table.MIT_FAR_REALM}'
        script = [trust] + [f'addprinc -pw {accounts[label]["password"]} {options} {name}'
                  for label, (name, options, _) in users().items()]
        script += [f'addprinc -randkey {table.MIT_SERVICE}', f'ktadd -k {d}/connector.keytab {table.MIT_SERVICE}',
                   # its tickets live so shortly that a test sees them renewed
                   f'addprinc -randkey -maxlife "{SHORT_LIFE} seconds" short',
                   f'ktadd -k {d}/connector.keytab short']
        make_realm(table.MIT_REALM, script, env)
        if not os.path.exists(f'{d}/connector.keytab'):
            raise system.LabError('kadmin.local made no keytab')
        for label, name in FAR_USERS.items():
            accounts[label] = {'principal': f'{name}@{table.MIT_FAR_REALM}', 'name': name,
                               'password': table.new_password(), 'expect_krb': table.OK}
        make_realm(table.MIT_FAR_REALM, [trust] + [f'addprinc -pw {accounts[label]["password"]} {name}'
                                                   for label, name in FAR_USERS.items()], env)
        shutil.move(os.path.join(d, 'krb5.conf'), os.path.join(folder, 'krb5.conf'))
        system.write(os.path.join(folder, 'accounts.json'), json.dumps(accounts))

    return system.cached('mit', system.digest(['lab_mit.py', 'lab_accounts.py'], 'krb5kdc'), make)


def up(folder, address, options):
    """Starts the KDC; returns (what a test needs to know, the accounts)."""
    cache = prepare()
    d = os.path.join(folder, 'mit')
    system.copy_tree(os.path.join(cache, 'mit'), d)
    with open(os.path.join(cache, 'accounts.json'), encoding='utf-8') as f:
        accounts = json.load(f)
    system.write(os.path.join(d, 'kdc.conf'), kdc_conf(address, d))
    process = system.start_daemon(folder, 'mit', ['krb5kdc', '-n', '-w', str(WORKERS), '-r', table.MIT_REALM,
                                               '-r', table.MIT_FAR_REALM],
                                  options.die_with_parent, KRB5_CONFIG=os.path.join(folder, 'krb5.conf'),
                                  KRB5_KDC_PROFILE=os.path.join(d, 'kdc.conf'))
    system.wait_ready(process, folder, 'mit', lambda: system.accepts(address, PORT))
    info = {'address': address, 'host': 'kdc1.mit.example', 'domain': 'mit.example', 'realm': table.MIT_REALM,
            'kdc_port': PORT, 'short_principal': 'short', 'short_life': SHORT_LIFE,
            'far_realm': table.MIT_FAR_REALM, 'far_port': FAR_PORT, 'keytab': os.path.join(d, 'connector.keytab'), 'service': table.MIT_SERVICE,
            'users_count': table.PEER_USERS, 'pid': process.pid}
    return info, accounts
