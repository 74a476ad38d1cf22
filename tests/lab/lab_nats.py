"""Three real nats-servers on this host that are one cluster: TLS everywhere, no default user, two accounts.

    import lab_nats
    with lab_nats.Cluster(folder) as cluster:        # folder is the caller's, and exists
        conf = cluster.conf(store=True, dispatch=True)   # section [nats] of a relay.conf
        cluster.kill(0); cluster.start(0)
        cluster.find(b'needle')                      # files on the servers' disks that hold these bytes

STORE has JetStream, and its user `store` may make and use the one stream of the bucket; `operator` is a person who looks after it. DISPATCH has none, and its user
is an nkey. What a person would put into their servers' configuration stands in CONFIG.
"""
import base64
import json
import os
import secrets
import shutil
import signal
import subprocess
import urllib.request

import lab_certs
import lab_system as system

BUCKET, SUBJECT = 'postern', 'postern'

# One server of the three. postern-relay(8) shows the same accounts.
CONFIG = """
server_name: {name}
listen: "{address}:{client}"
http: "{address}:{monitor}"
pid_file: "{folder}/pid"
tls {{ cert_file: "{certs}/nats.pem", key_file: "{certs}/nats.key", ca_file: "{certs}/ca.pem", timeout: 10 }}
cluster {{
  name: postern
  listen: "{address}:{route}"
  routes: [{routes}]
  tls {{ cert_file: "{certs}/nats.pem", key_file: "{certs}/nats.key", ca_file: "{certs}/ca.pem", verify: true, timeout: 10 }}
}}
jetstream {{ store_dir: "{folder}/js", max_memory_store: 0, max_file_store: 256M }}
accounts {{
  STORE {{
    jetstream {{ max_memory: 0, max_file: 64M, max_streams: 1, max_consumers: 64 }}
    users [ {{ user: store, password: "{password}", permissions {{
      publish {{ allow: ["$JS.API.INFO", "$JS.API.STREAM.INFO.KV_{bucket}", "$JS.API.STREAM.CREATE.KV_{bucket}",
        "$JS.API.STREAM.MSG.GET.KV_{bucket}", "$JS.API.STREAM.MSG.DELETE.KV_{bucket}", "$JS.API.CONSUMER.CREATE.KV_{bucket}",
        "$JS.API.CONSUMER.CREATE.KV_{bucket}.>", "$JS.API.CONSUMER.DELETE.KV_{bucket}.>", "$JS.FC.KV_{bucket}.>",
        "$KV.{bucket}.>"] }}
      subscribe {{ allow: ["_INBOX_store.>"] }} }} }},
      {{ user: operator, password: "{password}" }} ]
  }}
  DISPATCH {{
    users [ {{ nkey: {nkey}, permissions {{
      publish {{ allow: ["{subject}.>", "_INBOX_dispatch.>"] }}
      subscribe {{ allow: ["{subject}.>", "_INBOX_dispatch.>"] }} }} }} ]
  }}
  SYS {{ users [ {{ user: sys, password: "{sys}" }} ] }}
}}
system_account: SYS
"""


def crc16(data):
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xffff
    return crc


def encode(data):
    return base64.b32encode(data + crc16(data).to_bytes(2, 'little')).decode().rstrip('=')


def new_nkey():
    """(seed, public key) of a user, as NATS writes them."""
    raw = secrets.token_bytes(32)
    # PKCS#8 of an Ed25519 key is these 16 bytes and the key; the last 32 bytes of the public one are the point
    der = bytes.fromhex('302e020100300506032b657004220420') + raw
    public = subprocess.run(['openssl', 'pkey', '-inform', 'DER', '-pubout', '-outform', 'DER'], input=der,
                            check=True, stdout=subprocess.PIPE).stdout[-32:]
    kind, user = 18 << 3, 20 << 3  # S, U
    return encode(bytes([kind | user >> 5, (user & 31) << 3]) + raw), encode(bytes([user]) + public)


class Cluster:
    def __init__(self, folder, size=3, outlive=False):
        self.outlive = outlive  # the servers go on when this process ends
        self.folder, self.size = os.path.join(folder, 'nats'), size
        os.makedirs(self.path('certs'), mode=0o700)
        self.password, self.sys = secrets.token_hex(16), secrets.token_hex(16)
        self.seed, self.nkey = new_nkey()
        system.raise_loopback()
        ports = [(4222 + i, 4322 + i, 4422 + i) for i in range(size)]
        self.address = system.free_address([port for three in ports for port in three])
        self.ports = ports
        self.processes = [None] * size
        self.make_certificates()
        system.write(self.path('store.login'), f'store\n{self.password}\n')
        system.write(self.path('dispatch.login'), self.seed + '\n')
        for i in range(size):
            self.configure(i)

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def make_certificates(self):
        for ca in ('ca', 'other-ca'):
            lab_certs.make_ca(self.path('certs'), ca)
        lab_certs.make_named(self.path('certs'), 'nats', 'ca', ['DNS:localhost', 'DNS:nats.lab', f'IP:{self.address}'])

    def configure(self, i, **more):
        """Writes server i's configuration; more: replaces what CONFIG names."""
        client, route, monitor = self.ports[i]
        os.makedirs(self.path(f'n{i}'), mode=0o700, exist_ok=True)
        routes = ', '.join(f'"nats-route://{self.address}:{r}"' for _, r, _ in self.ports)
        values = {'name': f'n{i}', 'address': self.address, 'client': client, 'route': route, 'monitor': monitor,
                  'routes': routes, 'folder': self.path(f'n{i}'), 'certs': self.path('certs'), 'bucket': BUCKET,
                  'subject': SUBJECT, 'password': self.password, 'nkey': self.nkey, 'sys': self.sys, **more}
        system.write(self.path(f'n{i}', 'nats.conf'), CONFIG.format(**values))

    def begin(self, i):
        """Starts this server, and waits for nothing."""
        self.processes[i] = system.start_daemon(self.path(f'n{i}'), 'nats-server', ['nats-server', '-c', self.path(f'n{i}', 'nats.conf')],
                                                not self.outlive)

    def start(self, *which):
        """Starts these servers, or all, and waits until each says that it is well."""
        which = which or range(self.size)
        for i in which:
            self.begin(i)
        for i in which:
            system.wait_ready(self.processes[i], self.path(f'n{i}'), 'nats-server',
                              lambda i=i: system.accepts(self.address, self.ports[i][0]))
        if sum(process is not None for process in self.processes) * 2 > self.size:
            for i in which:
                system.wait_ready(self.processes[i], self.path(f'n{i}'), 'nats-server', lambda i=i: self.is_joined(i))
        return self

    def is_joined(self, i):
        """Whether the server knows who leads JetStream, and has all that this one told it."""
        try:
            with urllib.request.urlopen(f'http://{self.address}:{self.ports[i][2]}/jsz', timeout=5) as answer:
                led = json.load(answer).get('meta_cluster', {}).get('leader')
            with urllib.request.urlopen(f'http://{self.address}:{self.ports[i][2]}/healthz', timeout=5) as answer:
                return bool(led) and answer.status == 200
        except OSError:
            return False

    def kill(self, *which, how=signal.SIGKILL):
        for i in which:
            os.kill(self.processes[i].pid, how)
            if how in (signal.SIGKILL, signal.SIGTERM):
                self.processes[i].wait()
                self.processes[i] = None

    def reload(self, password=None, nkey=None):
        """Gives the users other credentials, as an operator does: all servers' files, then their reload."""
        self.password, self.nkey = password or self.password, nkey or self.nkey
        for i in range(self.size):
            self.configure(i)
            if self.processes[i]:
                self.processes[i].send_signal(signal.SIGHUP)

    def servers(self):
        return [f'tls://{self.address}:{client}' for client, _, _ in self.ports]

    def conf(self, store=True, dispatch=False, copies=None):
        """Section [nats] of a relay.conf. The keys `store = nats` and `dispatch = nats` are the caller's. copies: a folder of hand()."""
        ca, folder = (os.path.join(copies, 'ca.pem'), copies) if copies else (self.path('certs', 'ca.pem'), self.folder)
        lines = ['[nats]', *(f'server = {server}' for server in self.servers()), f'ca = {ca}']
        if store:
            lines.append(f'store_login = {folder}/store.login')
        if dispatch:
            lines.append(f'dispatch_login = {folder}/dispatch.login')
        return '\n'.join(lines) + '\n'

    def hand(self, folder, user):
        """Copies there, which are that user's, of the files that conf() names."""
        for path in (self.path('certs', 'ca.pem'), self.path('store.login'), self.path('dispatch.login')):
            shutil.chown(shutil.copy(path, folder), user)

    def wipe(self):
        """Empties the disks of servers that are down."""
        for i in range(self.size):
            shutil.rmtree(self.path(f'n{i}', 'js'))

    def keep(self):
        """Copies the disks of servers that are down, for put_back."""
        for i in range(self.size):
            shutil.copytree(self.path(f'n{i}', 'js'), self.path(f'kept{i}'))

    def put_back(self):
        self.wipe()
        for i in range(self.size):
            shutil.copytree(self.path(f'kept{i}'), self.path(f'n{i}', 'js'))

    def find(self, needle):
        """The files on the servers' disks that hold these bytes: logs and JetStream's."""
        found = []
        for i in range(self.size):
            for folder, _, names in os.walk(self.path(f'n{i}')):
                for name in names:
                    with open(os.path.join(folder, name), 'rb') as f:
                        if needle in f.read():
                            found.append(os.path.join(folder, name))
        return found

    def stop(self):
        for i in range(self.size):
            system.stop_daemons(self.path(f'n{i}'))

    def __enter__(self):
        return self.start()

    def __exit__(self, *what):
        self.stop()
