"""A whole Postern site on this machine, made of the real programs: relay, tenant, sign-in service, connectors.

Everything lives under one folder and ends with Site.close(). Nothing here sleeps to synchronise: readiness is probed. Used by the demo
and by the end-to-end tests; the accounts and the domain controller come from tests/lab.
"""
import ctypes
import json
import os
import shlex
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request

# Accounts that every Debian has, one per process: the tests make no users of their own. Only root can become them.
USERS = 'user_link = daemon\nuser_validator = nobody\nuser_ledger = bin\n' if os.geteuid() == 0 else ''
# Bounds for what hangs: a busy machine must not reach them.
READY_S = 180
STOP_S = 60


class SiteError(Exception):
    """Something of the site did not do what it must; the text says what, and where its log is."""


def wait_for(what, probe, seconds=READY_S, interval=0.05):
    """Calls probe until it gives something true; its value. Raises SiteError naming what after the time. A probe that takes long is made
    less often: it would have the processor that what it waits for wants."""
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        value = probe()
        if value:
            return value
        answered = time.monotonic()
        if answered > deadline:
            raise SiteError(f'{what} did not happen within {seconds} s')
        time.sleep(max(interval, answered - asked))


PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


class Daemon:
    """One process of ours, its output in a file. It ends with us, even if we are killed, unless outlive is set."""
    outlive = False
    pass_fds = ()

    def __init__(self, name, argv, log, env=None):
        self.name, self.argv, self.log, self.env = name, argv, log, env
        self.process = None
        self.start()

    def start(self):
        with open(self.log, 'ab') as out:
            parent = os.getpid()
            self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self.env,
                                            start_new_session=True, pass_fds=self.pass_fds,
                                            preexec_fn=None if self.outlive else lambda: self.end_with_parent(parent))

    @staticmethod
    def end_with_parent(parent):
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended already
            os._exit(1)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def check(self):
        if not self.alive():
            raise SiteError(f'{self.name} ended with {self.process.returncode}; its log ends:\n{self.tail()}')
        return True

    def tail(self, lines=15):
        with open(self.log, encoding='utf-8', errors='replace') as f:
            return ''.join(f.readlines()[-lines:])

    def children(self):
        """name -> pid of the processes that it started."""
        found = {}
        try:
            with open(f'/proc/{self.pid}/task/{self.pid}/children', encoding='ascii') as f:
                pids = [int(p) for p in f.read().split()]
        except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            return found
        for pid in pids:
            try:
                with open(f'/proc/{pid}/comm', encoding='utf-8') as f:
                    name = f.read().strip()
                if name == 'postern-relay':  # what it is to the relay that started it
                    with open(f'/proc/{pid}/cmdline', encoding='utf-8') as f:
                        name = f.read().partition('--role=')[2].partition('\0')[0]
                found[name] = pid
            except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                continue
        return found

    def stop(self, sig=signal.SIGTERM):
        """Stops it and its group; raises if it had to be killed."""
        if self.process is None or not self.alive():
            return self.process.returncode if self.process else None
        self.process.send_signal(sig)
        try:
            return self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()
            raise SiteError(f'{self.name} did not stop within {STOP_S} s; its log ends:\n{self.tail()}') from None


class Connector:
    """One posternd with its own state folder."""

    def __init__(self, site, name, config):
        self.site, self.name = site, name
        self.dir = os.path.join(site.dir, name)
        self.state = os.path.join(self.dir, 'state')
        self.config = os.path.join(self.dir, 'postern.conf')
        self.socket = os.path.join(self.dir, 'run', 'control.sock')
        self.daemon = None
        self.id = self.fingerprint = None
        self.program, self.env = None, {}  # another posternd than the site's; what it alone has in its environment
        os.makedirs(self.state, mode=0o700)
        os.makedirs(os.path.dirname(self.socket), mode=0o755)
        with open(self.config, 'w', encoding='utf-8') as f:
            f.write(config)

    def enroll(self, token=None, more=()):
        token_file = os.path.join(self.dir, 'token')
        with open(token_file, 'w', encoding='ascii') as f:
            f.write(token or self.site.token(self.name))
        answer = self.site.postern('enroll', '--relay', self.site.url, '--tenant', self.site.tenant, '--token-file', token_file,
                                   '--name', self.name, '--ca-file', self.site.ca, '--state-dir', self.state, '--json', *more)
        os.unlink(token_file)
        enrolled = json.loads(answer)
        self.id, self.fingerprint = enrolled['id'], enrolled['fingerprint']

    def start(self):
        log = os.path.join(self.dir, 'log')
        program = self.program or self.site.program('posternd')
        self.daemon = Daemon(self.name, [program, '--config', self.config], log, {**self.site.env, **self.env})

    domains = None  # that it may speak for, where its announcement alone does not decide

    def approve(self):
        domains = ('--domains', self.domains) if self.domains else ()
        self.site.postern('tenant', 'approve', self.name, self.fingerprint, *domains, *self.site.tenant_options())

    def pending(self):
        return any(p['id'] == self.id for p in self.site.get('pending', admin=True))

    def ready(self):
        self.daemon.check()
        return any(r['kid'] == self.fingerprint and any(r['realms']) for r in self.site.keys()['ready'])

    def up(self):
        """Enrol, start, approve, wait until it serves."""
        self.enroll()
        self.up_enrolled()

    def up_enrolled(self):
        self.start()
        wait_for(f'{self.name} asks to be approved', lambda: self.daemon.check() and self.pending())
        self.approve()
        self.wait_ready()

    def wait_ready(self):
        try:
            wait_for(f'{self.name} is ready', self.ready)
        except SiteError as e:
            raise SiteError(f'{e}; its log ends:\n{self.daemon.tail()}') from None

    def postern(self, *words, check=True):
        return self.site.postern(*words, '--socket', self.socket, check=check)


class Site:
    """Relay, tenant and service; connectors are added."""
    relay_daemon = Daemon

    def __init__(self, build, directory, lab, say=None):
        self.build, self.dir, self.lab = os.path.abspath(build), os.path.abspath(directory), lab
        self.tenant = 'contoso'
        self.say = say or (lambda command: None)
        self.connectors = {}
        self.relay = None
        self.url = self.pin = self.ca = None
        # without the lab's accounts: a test that looks for passwords must not bring them itself
        self.env = {k: v for k, v in os.environ.items() if not k.startswith('LAB_')
                    and k not in ('http_proxy', 'https_proxy', 'HTTPS_PROXY', 'XDG_CONFIG_HOME')}
        self.env['HOME'] = self.dir
        self.relay_env = {}  # what the relay alone has in its environment
        self.near = None  # where the test itself asks the relay, if not at url
        os.makedirs(self.dir, mode=0o755, exist_ok=True)

    # -- programs --
    def program(self, name):
        folder = {'posternd': 'connector', 'postern': 'connector/cli', 'postern-relay': 'queue/relay'}[name]
        return os.path.join(self.build, folder, name)

    def run(self, argv, check=True, stdin=''):
        self.say(' '.join(shlex.quote(w) for w in argv))
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, env=self.env, timeout=300, check=False)
        if check and done.returncode != 0:
            raise SiteError(f'{" ".join(argv[:3])} failed ({done.returncode}): {done.stderr.strip() or done.stdout.strip()}')
        return done.stdout if check else done

    def postern(self, *words, check=True, stdin=''):
        return self.run([self.program('postern'), *words], check, stdin)

    def relay_admin(self, *words):
        return self.run([self.program('postern-relay'), '--config', self.relay_conf, *words])

    # -- relay --
    def make_certificate(self):
        """A CA and a server certificate for 127.0.0.1 to 3, as an operator would get them from a public CA."""
        def path(name):
            return os.path.join(self.dir, name)
        self.ca = path('relay-ca.pem')
        self.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
                  '-subj', '/CN=Demo CA', '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-keyout', path('relay-ca.key'), '-out', self.ca])
        self.run(['openssl', 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=relay',
                  '-keyout', path('relay.key'), '-out', path('relay.csr')])
        with open(path('relay.ext'), 'w', encoding='ascii') as f:
            f.write('subjectAltName=IP:127.0.0.1,IP:127.0.0.2,IP:127.0.0.3,IP:10.99.0.2,IP:fd99::2,DNS:localhost,DNS:relay.test\nextendedKeyUsage=serverAuth\n'
                    'keyUsage=critical,digitalSignature\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n')
        self.run(['openssl', 'x509', '-req', '-in', path('relay.csr'), '-CA', self.ca, '-CAkey', path('relay-ca.key'),
                  '-CAcreateserial', '-days', '2', '-extfile', path('relay.ext'), '-out', path('relay.pem')])

    def start_relay(self, **settings):
        self.make_certificate()
        self.relay_conf = os.path.join(self.dir, 'relay.conf')
        self.ready_file = os.path.join(self.dir, 'relay.ready')
        os.makedirs(os.path.join(self.dir, 'relay-state'), mode=0o700)
        keys = {'listen': '127.0.0.1:0', 'certificate': os.path.join(self.dir, 'relay.pem'), 'key': os.path.join(self.dir, 'relay.key'),
                'state_dir': os.path.join(self.dir, 'relay-state'), 'ready_file': self.ready_file, **settings}
        with open(self.relay_conf, 'w', encoding='ascii') as f:
            f.write('[relay]\n' + ''.join(f'{k} = {v}\n' for k, v in keys.items()))
        self.relay = self.relay_daemon('postern-relay', [self.program('postern-relay'), '--config', self.relay_conf],
                                       os.path.join(self.dir, 'relay.log'), {**self.env, **self.relay_env})
        self.port = wait_for('postern-relay listens', lambda: self.relay.check() and self.relay_port())
        self.url = f'https://127.0.0.1:{self.port}'

    def restart_relay(self):
        """On the port that it had, which services and connectors know."""
        with open(self.relay_conf, encoding='ascii') as f:
            text = f.read()
        with open(self.relay_conf, 'w', encoding='ascii') as f:
            f.write(text.replace('listen = 127.0.0.1:0\n', f'listen = 127.0.0.1:{self.port}\n'))
        os.unlink(self.ready_file)
        self.relay.start()
        wait_for('postern-relay listens again', lambda: self.relay.check() and self.relay_port())

    def relay_port(self):
        try:
            with open(self.ready_file, encoding='ascii') as f:
                text = f.read().strip()
        except FileNotFoundError:
            return None
        return int(text.rsplit(':', 1)[1]) if ':' in text else None

    # -- tenant and service --
    def tenant_options(self):
        return ['--dir', os.path.join(self.dir, 'tenant'), '--relay', self.url, '--admin-secret-file',
                os.path.join(self.dir, 'admin.secret'), '--ca-file', self.ca]

    def write_secret(self, name, text):
        path = os.path.join(self.dir, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w', encoding='ascii') as f:
            f.write(text + '\n')
        return path

    def make_tenant(self, key=None):
        made = json.loads(self.postern('tenant', 'init', self.tenant, '--dir', os.path.join(self.dir, 'tenant'), '--json',
                                       *(['--key', key] if key else ['--no-passphrase'])))
        self.pin = made['pin']
        secrets = json.loads(self.relay_admin('tenant', 'add', self.tenant, '--pin', self.pin, '--json'))
        self.admin_secret, self.service_secret = secrets['admin_secret'], secrets['service_secret']
        self.write_secret('admin.secret', self.admin_secret)
        self.write_secret('service.secret', self.service_secret)

    def make_service(self, name='portal'):
        folder = os.path.join(self.dir, name)
        made = json.loads(self.postern('service', 'init', name, '--service', folder, '--relay', self.url, '--tenant', self.tenant,
                                       '--pin', self.pin, '--secret-file', os.path.join(self.dir, 'service.secret'), '--ca-file', self.ca,
                                       '--json'))
        self.postern('tenant', 'approve-service', os.path.join(folder, 'service.pub.json'), made["fingerprint"], *self.tenant_options())
        self.service = folder
        return folder

    # -- connectors --
    def connector_config(self, name, method, extra='', domain_extra=''):
        lab = self.lab
        keytab = f"keytab = {lab['LAB_AD_KEYTAB']}\nservice_principal = {lab['LAB_AD_SERVICE']}\n" if 'krb5' in method else ''
        return (f"[connector]\nname = {name}\nstate_dir = {self.dir}/{name}/state\nruntime_dir = {self.dir}/{name}/run\n"
                f"default_domain = {lab['LAB_AD_DOMAIN']}\n{USERS}{extra}\n"
                f"[domain {lab['LAB_AD_DOMAIN']}]\nrealm = {lab['LAB_AD_REALM']}\nnetbios = {lab['LAB_AD_NETBIOS']}\n"
                f"suffixes = {lab['LAB_AD_SUFFIX']}\npassword_change = kpasswd\ndcs = {lab['LAB_AD_HOST']}@{lab['LAB_AD_ADDRESS']}\n"
                f"methods = {method}\nca_file = {lab['LAB_CA']}\n{keytab}{domain_extra}")

    def token(self, name):
        return self.relay_admin('token', self.tenant, name).strip()

    def add_connector(self, name, method, **more):
        self.connectors[name] = Connector(self, name, self.connector_config(name, method, **more))
        return self.connectors[name]

    # -- the service's side --
    def sign_in(self, user, password, connector=None, budget=None, service=None, new_password=None):
        """(exit code, the printed JSON as a dict); with new_password the password is changed to it."""
        words = ['sign-in', '--service', service or self.service, '--user', user]
        if connector:
            words += ['--connector', connector]
        if budget:
            words += ['--budget', str(budget)]
        if new_password is not None:
            words += ['--change-password']
            password += '\n' + new_password
        done = self.postern(*words, check=False, stdin=password + '\n')
        if not done.stdout.strip():
            raise SiteError(f'sign-in printed nothing (exit {done.returncode}): {done.stderr.strip()}')
        return done.returncode, json.loads(done.stdout)

    def request(self, path, data=None, method='GET', headers=None, secret=None):
        """One HTTPS request to the relay: (status, headers, body bytes)."""
        context = ssl.create_default_context(cafile=self.ca)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does by itself
        all_headers = {'Authorization': f'Bearer {secret or self.service_secret}', **(headers or {})}
        request = urllib.request.Request((self.near or self.url) + path, data=data, headers=all_headers, method=method)
        try:
            with urllib.request.urlopen(request, context=context, timeout=300) as answer:
                return answer.status, dict(answer.headers), answer.read()
        except urllib.error.HTTPError as e:
            return e.code, dict(e.headers), e.read()

    def get(self, what, admin=False):
        status, _, body = self.request(f'/v1/tenants/{self.tenant}/{what}', secret=self.admin_secret if admin else None)
        if status != 200:
            raise SiteError(f'GET {what}: {status} {body[:200]!r}')
        return json.loads(body)

    def keys(self):
        return self.get('keys')

    # -- the end --
    def close(self):
        """Stops everything; raises for whatever did not stop cleanly, after all was tried."""
        faults = []
        for daemon in [c.daemon for c in self.connectors.values() if c.daemon] + [self.relay]:
            if daemon is None:
                continue
            try:
                daemon.stop()
            except SiteError as e:
                faults.append(str(e))
        if faults:
            raise SiteError('\n'.join(faults))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.close()
