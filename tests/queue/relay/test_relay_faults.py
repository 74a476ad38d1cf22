"""Injects a relay's own faults for real, one at a time: what `postern-relay --check-config` says, what a relay that runs says of itself
by its log, its metrics and `postern-relay status`. The cause's code and no other's, and the sentences by the golden table
RELAY-FAULTS.md beside this file.

usage: test_relay_faults.py RELAY FORGE FAKES_DIR SOURCE_DIR [--write]     as root, in a mount namespace of its own (unshare --mount)
"""
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

WRITE = '--write' in sys.argv
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), sys.argv[3]]
import relay_site  # noqa: E402
from fakes import Certificates  # noqa: E402
from relay_site import Connector, Relay, wait_for  # noqa: E402

relay_site.RELAY, relay_site.FORGE = sys.argv[1], sys.argv[2]
SOURCE = sys.argv[4]
TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'RELAY-FAULTS.md')
RELAY_NAMES = ('DNS:relay.example', 'IP:127.0.0.1')
CODE = re.compile(r'\(([a-z_]+)\)$', re.M)


def table():
    """The codes of faults.c, each with whether it stops."""
    with open(os.path.join(SOURCE, 'queue/relay/faults.c'), encoding='utf-8') as f:
        return dict(re.findall(r'^        \{"([a-z_]+)", (true|false), "', f.read(), re.M))


class World:
    """A relay that is well and does not run: configuration, certificate, state."""

    def __init__(self, certificates, folder):
        self.certificates, self.dir, self.limit = certificates, folder, None
        os.mkdir(self.path('state'), 0o700)
        self.keys = {'listen': '127.0.0.1:0', 'state_dir': self.path('state'), 'node': 'n1'}
        self.certificate(certificates.make(RELAY_NAMES))

    def path(self, name):
        return os.path.join(self.dir, name)

    def state(self, name):
        return os.path.join(self.dir, 'state', name)

    def certificate(self, pair, more=''):
        for name, path in zip(('certificate', 'key'), pair):
            self.keys[name] = shutil.copy(path, self.path(name + '.pem'))
        with open(self.keys['certificate'], 'a', encoding='ascii') as f:
            f.write(more)

    def write(self, path, text, mode=0o600):
        with open(path, 'w', encoding='ascii') as f:
            f.write(text)
        os.chmod(path, mode)
        return path

    def run(self, *words):
        config = self.write(self.path('relay.conf'), '[relay]\n' + ''.join(f'{k} = {v}\n' for k, v in self.keys.items()), 0o644)
        return subprocess.run([relay_site.RELAY, '--config', config, *words], capture_output=True, text=True, check=False, timeout=120,
                              preexec_fn=self.limit)

    def mounted(self, stack, options):
        subprocess.run(['mount', '-t', 'tmpfs', '-o', options, 'tmpfs', self.path('state')], check=True)
        stack.append(self.path('state'))


FAULTS = []  # (name, codes, stops, inject(world, cleanup))


def fault(name, codes, inject, stops=True):
    FAULTS.append((name, codes.split(), stops, inject))


def read(path):
    with open(path, encoding='ascii') as f:
        return f.read()


def set_keys(**keys):
    return lambda world, stack: world.keys.update(keys)


def cert(names=RELAY_NAMES, **how):
    return lambda world, stack: world.certificate(world.certificates.make(names, **how))


def spoil(key, content):
    return lambda world, stack: world.write(world.keys[key], content)


def in_state(**files):
    def inject(world, stack):
        for name, text in files.items():
            world.write(world.state(name.replace('__', '-').replace('_', '.')), text(world) if callable(text) else text)
    return inject


def occupied(world, stack):
    taken = socket.create_server(('127.0.0.1', 0))
    stack.append(taken)
    world.keys['listen'] = f'127.0.0.1:{taken.getsockname()[1]}'


def full(world, stack):
    world.mounted(stack, 'size=256k,mode=0700')
    with open(world.state('filler'), 'wb', buffering=0) as f:
        try:
            while f.write(bytes(4096)):
                pass
        except OSError:
            pass


def few_files(world, stack):
    world.limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))


def first_start(world):
    """Lets the relay make its transport CA."""
    config = world.write(world.path('first.conf'), '[relay]\n' + ''.join(f'{k} = {v}\n' for k, v in world.keys.items()) +
                         f"ready_file = {world.path('ready')}\n", 0o644)
    with open(world.path('log'), 'w', encoding='utf-8') as log:
        process = subprocess.Popen([relay_site.RELAY, '--config', config], stdout=log, stderr=log)
        try:
            wait_for('the first start', lambda: process.poll() is None and os.path.exists(world.path('ready')))
        finally:
            process.terminate()
            process.wait(60)


def after_start(break_it):
    def inject(world, stack):
        first_start(world)
        break_it(world)
    return inject


def transport_ca(days):
    """A transport CA with other dates, by its own key."""
    def inject(world, stack):
        folder = world.path('ca')
        os.mkdir(folder)
        certificates = Certificates(folder)
        pem, key = certificates.make((), days=days, ca='self')
        subprocess.run(['openssl', 'pkcs8', '-topk8', '-nocrypt', '-in', key, '-out', world.state('transport-ca.key')], check=True)
        os.chmod(world.state('transport-ca.key'), 0o600)
        for name in ('transport-ca.pem', 'transport-roots.pem'):
            shutil.copy(pem, world.state(name))
    return inject


fault('the certificate is missing', 'certificate_unusable', set_keys(certificate='/no/such/relay.pem'))
fault('the key is missing', 'certificate_unusable', set_keys(key='/no/such/relay.key'))
fault('the certificate is no PEM', 'certificate_unusable', spoil('certificate', 'nonsense\n'))
fault('the key is no PEM', 'certificate_unusable', spoil('key', 'nonsense\n'))
fault('the key is encrypted', 'certificate_unusable', lambda w, s: (subprocess.run(
    ['openssl', 'pkcs8', '-topk8', '-in', w.keys['key'], '-out', w.path('encrypted.key'), '-passout', 'pass:secret'], check=True),
    w.keys.update(key=w.path('encrypted.key'))))
fault('a certificate of the file is damaged', 'certificate_unusable',
      lambda w, s: w.certificate(w.certificates.make(RELAY_NAMES), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'))
fault('the key is of another certificate', 'certificate_unusable',
      lambda w, s: w.certificate((w.certificates.make(RELAY_NAMES)[0], w.certificates.make(['DNS:other.example'])[1])))
fault('the certificate has expired', 'certificate_expired', cert(days=(-30, -3)))
fault('the certificate is not valid yet', 'certificate_not_yet_valid', cert(days=(3, 30)))
fault('the certificate ends within days', 'certificate_ends', cert(days=(-30, 5)), stops=False)
fault('the certificate is for clients alone', 'certificate_purpose', cert(usage='clientAuth'))
fault('the certificate names another host than any node_url', 'certificate_names_another', set_keys(node_url='https://n1.example.com'))
fault('the certificates of the file do not lead to each other', 'certificate_chain',
      lambda w, s: w.certificate(w.certificates.make(RELAY_NAMES), read(w.certificates.path('other-ca.pem'))), stops=False)
fault('another program has the port', 'address_in_use', occupied)
fault('the address is no address of this host', 'address_unusable', set_keys(listen='192.0.2.1:8443'))
fault('state_dir is missing', 'state_dir_unusable', lambda w, s: os.rmdir(w.path('state')))
fault('state_dir is of another user', 'state_dir_unusable', lambda w, s: (w.keys.update(user='nobody'), os.chmod(w.keys['key'], 0o644)))
fault('state_dir is on a file system that is read-only', 'state_dir_unusable', lambda w, s: w.mounted(s, 'ro,size=100m,mode=0700'))
fault('the disk of state_dir is full', 'disk_full', full)
fault('the disk of state_dir is nearly full', 'disk_low', lambda w, s: w.mounted(s, 'size=20m,mode=0700'), stops=False)
fault('the key of the transport CA is no key', 'transport_ca_unusable', in_state(**{'transport__ca_key': 'nonsense\n'}))
fault('the key of the transport CA is missing', 'transport_ca_unusable', after_start(lambda w: os.unlink(w.state('transport-ca.key'))))
fault('the certificate of the transport CA is of another key', 'transport_ca_unusable',
      after_start(lambda w: shutil.copy(w.certificates.path('ca.pem'), w.state('transport-ca.pem'))))
fault('the certificate of the transport CA is damaged', 'transport_ca_unusable', after_start(lambda w: w.write(w.state('transport-ca.pem'), 'nonsense\n')))
fault('the transport CA has ended', 'transport_ca_expired', transport_ca((-30, -3)))
fault('the transport CA ends within weeks', 'transport_ca_ends', transport_ca((-30, 30)), stops=False)
fault('fewer open files are allowed than connections', 'descriptors', few_files)
fault('the user is missing', 'user_unknown', set_keys(user='no-such-user'))
fault('the folder of metrics_socket is missing', 'socket_unusable', set_keys(metrics_socket='/no/such/folder/metrics.sock'))
fault('the group of metrics_group is missing', 'socket_unusable', set_keys(metrics_group='no-such-group'))
fault('the folder of ready_file is missing', 'socket_unusable', set_keys(ready_file='/no/such/folder/ready'))
fault('the folder of events_file is missing', 'records_not_sent', set_keys(events_file='/no/such/folder/events.jsonl'), stops=False)


def plain(words):
    words = re.sub(r'/dev/shm/[^ :,;)]*relay-faults[^ :,;)/]*(/[^ :,;)/]*)?(/[^ :,;)]*)?', lambda m: '…' + (m.group(2) or ''), words)
    words = re.sub(r'127\.0\.0\.1 port \d+', '127.0.0.1 port PORT', words)
    words = re.sub(r'\d{4}-\d\d-\d\d \d\d:\d\d UTC', 'DATE', words)
    words = re.sub(r'\b\d+ MiB', 'N MiB', words)
    return re.sub(r'(state_dir …: )\S+.*(Permission denied|No such file or directory|Read-only file system)', r'\1\2', words)


HEAD = '''# Faults of a relay itself, and what is said of them

Made by `test_relay_faults.py --write`, which injects each of these faults for real and then compares what `postern-relay --check-config`
says: the codes, no other cause's among them, and the sentences. One row a fault.

| fault | what is said |
|---|---|
'''


class CheckTest(unittest.TestCase):
    maxDiff = None

    def one(self, certificates, folder, inject):
        world, stack = World(certificates, folder), []
        try:
            inject(world, stack)
            return world.run('--check-config')
        finally:
            for held in stack:
                if isinstance(held, str):
                    subprocess.run(['umount', held], check=True)
                else:
                    held.close()

    def test_check(self):
        faults, text, seen = [], HEAD, set()
        with tempfile.TemporaryDirectory(prefix='relay-faults-', dir='/dev/shm') as top:
            os.chmod(top, 0o755)
            os.mkdir(os.path.join(top, 'certs'))
            certificates = Certificates(os.path.join(top, 'certs'))
            for n, (name, codes, stops, inject) in enumerate(FAULTS):
                folder = os.path.join(top, f'w{n}')
                os.mkdir(folder, 0o755)
                done = self.one(certificates, folder, inject)
                got = CODE.findall(done.stderr)
                seen.update(got)
                if sorted(set(got)) != sorted(codes) or done.returncode != (78 if stops else 0):
                    faults.append(f'{name}: {got} ({done.returncode}) instead of {codes}: {done.stdout}{done.stderr}')
                lines = [plain(line.split(': ', 1)[-1] if not line.startswith(' ') else line.strip()) for line in done.stderr.splitlines()]
                text += f"| {name} | {'<br>'.join(lines).replace('|', chr(92) + '|')} |\n"
        self.assertTrue(not faults, '\n' + '\n'.join(faults))
        self.assertEqual(set(table()) - seen, {'clock_doubtful', 'store_fails', 'nats_unusable', 'nats_unreachable', 'nats_weak'},
                         'each code is reached, these by a relay that runs, or by the tests of NATS')
        if WRITE:
            with open(TABLE, 'w', encoding='utf-8') as f:
                f.write(text)
        with open(TABLE, encoding='utf-8') as f:
            self.assertEqual(f.read(), text, 'RELAY-FAULTS.md is made anew by test_relay_faults.py ... --write')

    def test_page(self):
        """postern-relay(8) has each code, with what it means."""
        with open(os.path.join(SOURCE, 'connector/man/postern-relay.8'), encoding='utf-8') as f:
            page = f.read()
        for code in table():
            self.assertIn(f'.It Li {code}\n', page)


class RunningTest(unittest.TestCase):
    """A relay that runs, and what comes over it."""

    def setUp(self):
        if os.geteuid() != 0:
            self.skipTest('a disk of its own needs root')
        self.socket = f'/tmp/relay-faults-{os.getpid()}.sock'
        self.relay = Relay(metrics_socket=self.socket)
        self.addCleanup(self.relay.close)

    def faults(self):
        """What `postern-relay status` finds: (exit code, codes)."""
        done = self.relay.cli('status', '--json', check=False)
        found = json.loads(done.stdout)
        self.assertTrue(found['runs'] and found['asked'], found)
        return done.returncode, {f['code'] for f in found['faults']}

    def metric(self, code):
        done = subprocess.run(['curl', '-s', '--unix-socket', self.socket, 'http://relay/metrics'], capture_output=True, text=True, check=True)
        return float(re.search(rf'^postern_relay_fault{{code="{code}",[^}}]*}} (\d+)$', done.stdout, re.M).group(1))

    def look(self):
        """Lets it look now."""
        told = self.relay.log_text().count('reload')
        self.relay.process.send_signal(signal.SIGHUP)
        wait_for('a reload', lambda: self.relay.log_text().count('reload') > told)

    def test_certificate_near_its_end(self):
        """While it runs, and over at a reload."""
        with tempfile.TemporaryDirectory() as folder:
            pair = Certificates(folder).make(RELAY_NAMES, days=(-30, 5))
            for path, name in zip(pair, ('server.pem', 'server.key')):
                shutil.copy(path, self.relay.path(name))
        self.look()
        wait_for('it says so', lambda: self.metric('certificate_ends') == 1)
        self.assertEqual(self.faults(), (0, {'certificate_ends'}))
        self.assertIn('code=certificate_ends', self.relay.log_text())
        with tempfile.TemporaryDirectory() as folder:
            pair = Certificates(folder).make(RELAY_NAMES)
            for path, name in zip(pair, ('server.pem', 'server.key')):
                shutil.copy(path, self.relay.path(name))
        self.look()
        wait_for('the end of it', lambda: self.metric('certificate_ends') == 0)
        self.assertIn('fault_over', self.relay.log_text())
        self.assertEqual(self.faults(), (0, set()))
        self.assertIn('all is well', self.relay.cli('status'))

    def test_expired_at_the_start(self):
        """It starts, for a reload mends it, and says what is wrong."""
        self.relay.stop()
        with tempfile.TemporaryDirectory() as folder:
            pair = Certificates(folder).make(RELAY_NAMES, days=(-9, -2))
            for path, name in zip(pair, ('server.pem', 'server.key')):
                shutil.copy(path, self.relay.path(name))
        self.relay.start()
        self.assertEqual(self.faults(), (1, {'certificate_expired'}))
        self.assertEqual(self.metric('certificate_expired'), 1)

    def test_full_disk(self):
        """Sign-ins aside, what would be written is refused, and that is told and over again by itself."""
        self.relay.stop()
        state = self.relay.path('state')
        subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=6m,mode=0700', 'tmpfs', state], check=True)
        self.addCleanup(subprocess.run, ['umount', '--lazy', state], check=False)
        self.relay.start()
        made = json.loads(self.relay.cli('tenant', 'add', self.relay.tenant, '--pin', self.relay.tenant_key['pin'], '--json'))
        self.relay.admin, self.relay.service = made['admin_secret'], made['service_secret']
        connector = Connector(self.relay, enrol=False)
        token = self.relay.cli('token', self.relay.tenant, connector.name).strip()
        with open(os.path.join(state, 'filler'), 'wb', buffering=0) as f:
            try:
                while f.write(bytes(4096)):
                    pass
            except OSError:
                pass
        status, _, _ = connector.enrol(token)
        self.assertEqual(status, 500)
        self.look()
        wait_for('it says so', lambda: self.metric('disk_full') == 1 and self.metric('store_fails') == 1)
        self.assertEqual(self.faults()[0], 1)
        self.assertLessEqual({'disk_full', 'store_fails'}, self.faults()[1])
        os.unlink(os.path.join(state, 'filler'))
        status, _, body = connector.enrol(token)
        self.assertEqual(status, 200, body)
        self.look()
        wait_for('it is over', lambda: self.metric('disk_full') == 0 and self.metric('store_fails') == 0)

    def test_port_in_use(self):
        """A second start on the port of the first."""
        with open(self.relay.path('relay.conf'), encoding='ascii') as f:
            text = f.read()
        other = self.relay.path('other.conf')
        os.mkdir(self.relay.path('other'))
        with open(other, 'w', encoding='ascii') as f:
            f.write(re.sub('(?m)^ready_file = .*$', '', re.sub('(?m)^metrics_socket = .*$', '', text)).replace(
                '127.0.0.1:0', f'127.0.0.1:{self.relay.port}').replace(self.relay.path('state'), self.relay.path('other')))
        done = subprocess.run([relay_site.RELAY, '--config', other], capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual(done.returncode, 1)
        self.assertIn('Address already in use; ss -ltnp shows who listens there', done.stdout + done.stderr)
        done = subprocess.run([relay_site.RELAY, '--config', other, 'status'], capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual(done.returncode, 1)
        self.assertIn('does not run', done.stdout)
        self.assertIn('address_in_use', done.stdout)


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
