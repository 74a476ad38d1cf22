"""A lab as tests see it: brings the parts up in one folder, describes them in lab.json and lab.env, takes them down.

    import lab_env
    with lab_env.Lab(['samba', 'slapd']) as lab:
        lab['ad']['address'], lab['users']['good1']['password'], lab.bad_pwd_count('good1')
    lab = lab_env.current()     # inside `lab run -- …`: the same object for the lab around us

C programs include tests/lab/lab.h and are started by `lab run`.
"""
import argparse
import json
import os
import shlex
import shutil
import sys

import lab_accounts as table
import lab_certs
import lab_system as system

PARTS = ('samba', 'samba2', 'mit', 'slapd')
MIT_PORT, FAR_PORT, SLAPD_PORT = 8088, 8089, 6636
# Samba keeps UNIX sockets below the folder, and their paths have at most 107 bytes.
DIR_MAX = 70

KRB5_CONF = """[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_lookup_realm = false
    dns_canonicalize_hostname = false
    rdns = false
    udp_preference_limit = 1
    default_ccache_name = FILE:{d}/ccache
[realms]
    {ad_realm} = {{
        kdc = {address}:88{second_kdc}
    }}
    {mit_realm} = {{
        kdc = {address}:{mit_port}
    }}
    {far_realm} = {{
        kdc = {address}:{far_port}
    }}
"""


def default_dir():
    """Where `lab up` puts its lab unless told otherwise."""
    base = os.environ.get('XDG_RUNTIME_DIR') or '/tmp'
    return os.environ.get('LAB_DIR') or os.path.join(base, f'postern-lab-{system.outer_uid()}')


def become_root():
    """For a test's main: when this is not root, starts the program again inside `unshare -Urn`, where it is."""
    if os.geteuid() != 0:
        os.execvp('unshare', ['unshare', '-Urn', *sys.orig_argv])


def options(cert='good', die_with_parent=False):
    """pair, second: whether the domain has two controllers, and the second one's address; start() sets them."""
    return argparse.Namespace(cert=cert, die_with_parent=die_with_parent, pair=False, second=None)


def up(folder, parts, opts):
    """Brings the parts up in folder, which must not exist or be empty. On failure nothing is left. Returns lab.json."""
    folder = os.path.abspath(folder)
    if len(folder.encode()) > DIR_MAX:
        raise system.LabError(f'{folder}: at most {DIR_MAX} bytes, because of the UNIX sockets below it')
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.listdir(folder):
        raise system.LabError(f'{folder} is not empty' + (
            ': a lab is there, `lab down` removes it' if is_lab(folder) else ''))
    system.write(os.path.join(folder, system.MARKER), '')
    try:
        return start(folder, parts, opts)
    except BaseException:
        down(folder)
        raise


def start(folder, parts, opts):
    from importlib import import_module
    system.raise_loopback()
    if 'samba2' in parts and 'samba' not in parts:
        parts = ['samba', *parts]
    opts.pair = 'samba2' in parts
    ad_ports = (88, 135, 389, 464, 636, 3268, 3269)
    address = system.free_address(ad_ports + (MIT_PORT, SLAPD_PORT))
    opts.second = system.free_address(ad_ports) if opts.pair else None
    system.copy_tree(os.path.join(lab_certs.prepare(), 'certs'), os.path.join(folder, 'certs'))
    krb5_conf = os.path.join(folder, 'krb5.conf')
    system.write(krb5_conf, KRB5_CONF.format(
        realm=table.REALM if 'samba' in parts else table.MIT_REALM, d=folder, ad_realm=table.REALM,
        mit_realm=table.MIT_REALM, address=address, mit_port=MIT_PORT,
        far_realm=table.MIT_FAR_REALM, far_port=FAR_PORT,
        second_kdc=f'\n        kdc = {opts.second}:88' if opts.pair else ''))
    hosts = os.path.join(folder, 'hosts')
    system.write(hosts, f'{address} {table.DC_HOST} {table.DOMAIN} {table.SLAPD_HOST} {table.SLAPD_DOMAIN}\n')
    if opts.pair:
        import_module('lab_samba2').name_controllers(folder, address, opts.second)
    lab = {
        'dir': folder, 'hosts': hosts, 'parts': list(parts), 'address': address, 'krb5_config': krb5_conf,
        'tool': os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lab'),
        'ca': os.path.join(folder, 'certs', 'ca.pem'), 'other_ca': os.path.join(folder, 'certs', 'other-ca.pem'),
        'certs': {name: {'cert': os.path.join(folder, 'certs', name + '.pem'),
                         'key': os.path.join(folder, 'certs', name + '.key')} for name in lab_certs.SERVERS},
    }
    for part in PARTS:
        if part in parts:
            key = {'samba': 'ad', 'samba2': 'ad2'}.get(part, part)
            users = {'samba': 'users'}.get(part, part + '_users')
            lab[key], lab[users] = import_module('lab_' + part).up(folder, address, opts)
    system.write(os.path.join(folder, 'lab.json'), json.dumps(lab, ensure_ascii=False, indent=1))
    system.write(os.path.join(folder, 'lab.env'), ''.join(
        f'{k}={shlex.quote(v)}\n' for k, v in environment(lab).items()))
    return lab


def environment(lab):
    """lab.json as flat LAB_* variables."""
    env = {}

    def put(key, value):
        env['LAB_' + key.upper().replace('-', '_')] = str(value)

    for key in ('dir', 'tool', 'address', 'hosts', 'krb5_config', 'ca', 'other_ca'):
        put(key, lab[key])
    put('parts', ','.join(lab['parts']))
    for name, files in lab['certs'].items():
        put(f'cert_{name}', files['cert'])
        put(f'key_{name}', files['key'])
    for section in ('ad', 'ad2', 'mit', 'slapd'):
        for key, value in lab.get(section, {}).items():
            put(f'{section}_{key}', value)
    for section, prefix in (('users', ''), ('mit_users', 'mit_'), ('slapd_users', 'slapd_')):
        for label, account in lab.get(section, {}).items():
            for key, value in account.items():
                put(f'{prefix}{label}_{key}', value)
    return env


def is_lab(folder):
    return os.path.exists(os.path.join(folder, system.MARKER))


def down(folder):
    """Stops what runs in folder and removes it. False when no lab is there."""
    folder = os.path.abspath(folder)
    if not is_lab(folder):
        return False
    system.stop_daemons(folder)
    shutil.rmtree(folder)
    return True


def load(folder):
    """lab.json of a lab that is up."""
    try:
        with open(os.path.join(folder, 'lab.json'), encoding='utf-8') as f:
            return json.load(f)
    except FileNotFoundError:
        raise system.LabError(f'no lab is up in {folder} (`lab up` starts one)') from None


class Lab:
    """A lab for the length of a `with`, dictionary of what lab.json holds. Dies with this process."""

    def __init__(self, parts=('samba',), cert='good', info=None):
        self.parts, self.options = parts, options(cert, die_with_parent=True)
        self.info = info

    def __enter__(self):
        folder = system.new_folder()
        self.info = up(folder, self.parts, self.options)
        return self

    def __exit__(self, *_):
        down(self.info['dir'])

    def __getitem__(self, key):
        return self.info[key]

    @property
    def env(self):
        return environment(self.info)

    def admin(self, dc=1):
        """An administrator's connection to the AD domain, for `with`."""
        from lab_samba import Admin
        return Admin(self.info, dc)

    def bad_pwd_count(self, sam, dc=1):
        with self.admin(dc) as admin:
            return admin.bad_pwd_count(sam)

    def unlock(self, sam, dc=1):
        with self.admin(dc) as admin:
            admin.unlock(sam)


def current():
    """The lab that `lab run` or `. DIR/lab.env` put around this process. It is not ours to take down."""
    return Lab(info=load(os.environ.get('LAB_DIR') or default_dir()))
