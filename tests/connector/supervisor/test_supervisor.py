"""posternd with its real link, validator and ledger, enrolled by hand at a relay that isn't there.

What the supervisor promises: it starts and ends its processes, keeps them running, listens on no port, and each process is as
locked up as DESIGN says. Works as root (the children then become three users) and as anybody.

usage: test_supervisor.py BUILD_DIR SOURCE_DIR
"""
import json
import os
import pwd
import queue
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import unittest

BUILD, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
sys.path.insert(0, os.path.join(SOURCE, 'tests', 'e2e'))
sys.path.insert(0, os.path.join(SOURCE, 'tests', 'certs', 'base', 'scribe'))
from postern_site import Daemon, wait_for  # noqa: E402
from scribe import HangingFolder  # noqa: E402

POSTERND = os.path.join(BUILD, 'connector', 'posternd')
POSTERN = os.path.join(BUILD, 'connector', 'cli', 'postern')
CHILDREN = {'postern-link', 'postern-validat', 'postern-ledger'}  # as the kernel cuts names
USERS = ['daemon', 'bin', 'nobody']  # in every Debian; only their being different matters
ROOT = os.geteuid() == 0
ID = 'TESTCONNECTOR00000001'


def keytab_of(principal, realm):
    """A keytab (format 5.2) with one AES-256 key that is nobody's."""
    def counted(text):
        return struct.pack('>H', len(text)) + text.encode()
    parts = principal.split('/')
    entry = struct.pack('>H', len(parts)) + counted(realm) + b''.join(map(counted, parts)) + struct.pack('>IIB', 1, 0, 1)
    entry += struct.pack('>HH', 18, 32) + bytes(range(32)) + struct.pack('>I', 1)
    return b'\x05\x02' + struct.pack('>i', len(entry)) + entry


def status_of(pid):
    with open(f'/proc/{pid}/status', encoding='ascii', errors='replace') as f:
        return dict(line.rstrip('\n').split(':\t', 1) for line in f if ':\t' in line)


def files_of(pid):
    """What the descriptors of the process are; one that is closed meanwhile is left out."""
    found = []
    for fd in os.listdir(f'/proc/{pid}/fd'):
        try:
            found.append(os.readlink(f'/proc/{pid}/fd/{fd}'))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def sockets_of(pid):
    """Inodes of the sockets that the process holds."""
    return {target[8:-1] for target in files_of(pid) if target.startswith('socket:[')}


def listening(pids):
    """Lines of /proc/net/tcp and tcp6 that are in state LISTEN, and any of udp and raw, held by one of these processes."""
    inodes = set().union(*(sockets_of(pid) for pid in pids))
    found = []
    for table in ('tcp', 'tcp6', 'udp', 'udp6', 'raw', 'raw6'):
        with open(f'/proc/net/{table}', encoding='ascii') as f:
            for line in f.readlines()[1:]:
                fields = line.split()
                if fields[9] in inodes and (fields[3] == '0A' if table.startswith('tcp') else True):
                    found.append(f'{table} {line.strip()}')
    return found


def gone(pid):
    try:
        return status_of(pid)['State'].startswith('Z')
    except (FileNotFoundError, ProcessLookupError):
        return True


class SupervisorTest(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix='postern-supervisor-')
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        os.chmod(self.dir, 0o755)
        self.state, self.run_dir = self.path('state'), self.path('run')
        self.config, self.log, self.socket = self.path('postern.conf'), self.path('log'), self.path('run/control.sock')
        os.mkdir(self.state, 0o700)
        self.write_config()
        self.daemon = None
        self.addCleanup(self.stop)
        self.env = {k: v for k, v in os.environ.items() if 'proxy' not in k.lower()}

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, path, text, mode=0o600):
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        os.chmod(path, mode)

    def write_config(self, more=''):
        self.write(self.config, f'''[connector]
state_dir = {self.state}
runtime_dir = {self.run_dir}
drain_ms = 3000
user_link = {USERS[0]}
user_validator = {USERS[1]}
user_ledger = {USERS[2]}
{more}
[domain corp.example]
dcs = dc1.corp.example@127.0.0.1
ldaps_port = 9
''')

    def enroll(self):
        for key in ('identity.pem', 'transport.key'):
            subprocess.run(['openssl', 'genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out',
                            os.path.join(self.state, key)], check=True, capture_output=True)
            os.chmod(os.path.join(self.state, key), 0o600)
        subprocess.run(['openssl', 'req', '-x509', '-new', '-key', os.path.join(self.state, 'transport.key'), '-subj', '/CN=x',
                        '-days', '2', '-out', os.path.join(self.state, 'transport.pem')], check=True, capture_output=True)
        self.write(os.path.join(self.state, 'enrolment.json'), json.dumps(
            {'v': 1, 'relay': 'https://127.0.0.1:9', 'tenant': 'contoso', 'id': ID, 'name': 'north', 'pin': 'A' * 43}))

    def start(self):
        """Starts posternd and waits until it tells systemd that it is ready."""
        notify = self.path('notify')
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.close_notify, self.notify)
        if os.path.exists(notify):
            os.unlink(notify)
        self.notify.bind(notify)
        self.told = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()
        careless = ['bash', '-c', 'exec 9</etc/passwd; exec "$@"', '-']  # a caller that leaves a descriptor open
        self.daemon = Daemon('posternd', [*careless, POSTERND, '--config', self.config], self.log,
                             dict(self.env, NOTIFY_SOCKET=notify, SECRET_OF_THE_CALLER='x'))
        self.wait_notify('READY=1')
        return self.daemon.children()

    @staticmethod
    def close_notify(notify):
        try:
            notify.shutdown(socket.SHUT_RDWR)  # wakes the thread
        except OSError:
            pass
        notify.close()

    def listen(self):
        """As systemd does, always: the queue of the socket is short, and who tells waits."""
        notify, told = self.notify, self.told
        try:
            while True:
                told.put(notify.recv(4096).decode())
        except OSError:  # closed
            return

    def wait_notify(self, word):
        while True:
            try:
                text = self.told.get(timeout=300)
            except queue.Empty:
                self.fail(f'systemd was not told {word}; the log ends:\n{self.daemon.tail()}')
            if word in text:
                return text

    def stop(self):
        if self.daemon and self.daemon.alive():
            self.daemon.stop()

    def cli(self, *words):
        return subprocess.run([POSTERN, *words, '--socket', self.socket], capture_output=True, text=True, timeout=300, check=False)

    def parts(self):
        done = self.cli('status', '--json')
        return json.loads(done.stdout) if done.returncode in (0, 1) and done.stdout else None

    def logged(self):
        with open(self.log, encoding='utf-8') as f:
            return f.read()

    # -- start and end --

    def test_not_enrolled(self):
        done = subprocess.run([POSTERND, '--config', self.config], capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 78)
        self.assertIn('not enrolled', done.stderr)
        self.assertIn('postern enroll --relay', done.stderr)

    def test_wrong_usage(self):
        for word in ('--nonsense', 'nonsense'):
            done = subprocess.run([POSTERND, word], capture_output=True, text=True, timeout=300, check=False)
            self.assertEqual((done.returncode, done.stdout), (2, ''))
            self.assertIn('nonsense', done.stderr)

    def test_check_config(self):
        done = subprocess.run([POSTERND, '--config', self.config, '--check-config'], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.write_config('in_flight = 0\nfoo = 1')
        done = subprocess.run([POSTERND, '--config', self.config, '--check-config'], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 78)
        self.assertEqual(done.stderr.count('\n'), 3, done.stderr)

    def test_config_must_agree_with_enrolment(self):
        self.enroll()
        self.write_config('relay = https://other.example')
        done = subprocess.run([POSTERND, '--config', self.config], capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 78)
        self.assertIn('https://other.example', done.stderr)
        self.assertIn('https://127.0.0.1:9', done.stderr)
        self.write_config('name = south')
        self.start_fails('name = south, but this connector is enrolled with north')
        self.write_config('name = north')
        self.start()
        def said():
            with open(self.log, encoding='utf-8') as f:
                return 'ready connector=north' in f.read()
        wait_for('the name in the log', said, 10)

    def test_a_key_that_others_can_read_is_refused(self):
        self.enroll()
        os.chmod(os.path.join(self.state, 'identity.pem'), 0o644)
        done = subprocess.run([POSTERND, '--config', self.config], capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 78)
        self.assertIn('chmod 600', done.stderr)
        self.assertIn('identity.pem', done.stderr)
        self.assertNotIn('process.started', done.stderr)

    @unittest.skipUnless(ROOT, 'only root makes the processes other users')
    def test_missing_user(self):
        self.enroll()
        with open(self.config, encoding='utf-8') as f:
            text = f.read()
        self.write(self.config, text.replace(f'user_link = {USERS[0]}', 'user_link = no-such-user'))
        done = subprocess.run([POSTERND, '--config', self.config], capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 78)
        self.assertIn('useradd --system', done.stderr)

        self.assertNotIn('process.started', done.stderr)
        self.assertEqual(done.stderr.count('no-such-user for the process link'), 1)

    @unittest.skipUnless(ROOT, 'only root makes the processes other users')
    def test_check_config_names_each_missing_user(self):
        with open(self.config, encoding='utf-8') as f:
            text = f.read()
        self.write(self.config, text.replace(f'user_link = {USERS[0]}', 'user_link = no-such-a')
                   .replace(f'user_ledger = {USERS[2]}', 'user_ledger = no-such-b'))
        done = subprocess.run([POSTERND, '--config', self.config, '--check-config'], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (78, ''))
        self.assertRegex(done.stderr, 'user_link: there is no user no-such-a .*useradd --system')
        self.assertRegex(done.stderr, 'user_ledger: there is no user no-such-b .*useradd --system')
        self.assertIn('2 errors', done.stderr)
        self.write(self.config, text.replace('[connector]\n', '[connector]\nuser_keys = no-such-c\nidentity_key = pkcs11:token=t;object=o\n', 1))
        done = subprocess.run([POSTERND, '--config', self.config, '--check-config'], capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (78, ''))
        self.assertRegex(done.stderr, 'user_keys: there is no user no-such-c .*useradd --system')

    @unittest.skipUnless(ROOT, 'only root makes the processes other users')
    def test_users_that_are_root_or_one_are_refused(self):
        passwd = self.path('passwd')
        self.write(passwd, 'daemon:x:0:0::/:/bin/sh\nbin:x:2:2::/:/bin/sh\nnobody:x:2:2::/:/bin/sh\n', 0o644)
        env = dict(self.env, LD_PRELOAD='libnss_wrapper.so', NSS_WRAPPER_PASSWD=passwd, NSS_WRAPPER_GROUP='/etc/group',
                   NSS_WRAPPER_DISABLE_DEEPBIND='1', ASAN_OPTIONS='verify_asan_link_order=0')
        done = subprocess.run([POSTERND, '--config', self.config, '--check-config'], capture_output=True, text=True, check=False,
                              env=env)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertIn('user_link: the user daemon for the process link is root', done.stderr)
        self.assertIn('user_ledger: the users bin and nobody are one (uid 2)', done.stderr)

    def start_fails(self, why):
        """posternd ends by itself at once, with code 78, and tells why once: no process is tried again."""
        done = subprocess.run([POSTERND, '--config', self.config], capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 78, done.stderr)
        self.assertEqual(done.stderr.count(why), 1, done.stderr)
        self.assertNotIn('again_in_ms', done.stderr)

    def test_a_ca_file_that_holds_no_certificate_ends_the_start(self):
        self.enroll()
        self.write(self.path('ca.pem'), 'no certificate\n', 0o644)
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write(f'ca_file = {self.path("ca.pem")}\n')
        self.start_fails(self.path('ca.pem') + ':1: the file holds no certificate')

    def test_a_keytab_that_is_none_ends_the_start(self):
        self.enroll()
        self.write(self.path('keytab'), 'no keytab\n')
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write(f'keytab = {self.path("keytab")}\nservice_principal = host/c.corp.example\n')
        self.start_fails('keytab for host/c.corp.example')

    def test_a_missing_file_is_named_with_its_key(self):
        self.enroll()
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write('ca_file = /no/such/file\n')
        self.start_fails('ca_file: /no/such/file: No such file or directory')

    def test_a_missing_key_says_to_enrol_anew(self):
        self.enroll()
        os.remove(os.path.join(self.state, 'transport.key'))
        self.start_fails('transport.key is missing; to enrol anew')

    def test_second_daemon_is_refused(self):
        self.enroll()
        self.start()
        done = subprocess.run([POSTERND, '--config', self.config], capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(done.returncode, 78)
        self.assertIn('another posternd', done.stderr)
        self.assertTrue(self.parts(), 'the first one still answers')

    def test_terminate_leaves_nothing(self):
        self.enroll()
        pids = self.start().values()
        self.assertEqual(self.daemon.stop(), 0)
        self.assertEqual([p for p in pids if not gone(p)], [])

    def test_killed_supervisor_leaves_nothing(self):
        self.enroll()
        pids = self.start().values()
        os.kill(self.daemon.pid, signal.SIGKILL)
        self.daemon.process.wait()
        wait_for('the end of the children', lambda: all(gone(p) for p in pids))

    # -- what each process may --

    def test_processes_are_locked_up(self):
        self.enroll()
        children = self.start()
        self.assertEqual(set(children), CHILDREN)
        uids = []
        for name, pid in children.items():
            status = status_of(pid)
            self.assertEqual(status['NoNewPrivs'], '1', name)
            for caps in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb'):
                self.assertEqual(int(status[caps], 16), 0, f'{name} {caps}')
            self.assertEqual(len(set(status['Uid'].split())), 1, name)
            uids.append(int(status['Uid'].split()[0]))
            self.assertEqual(os.stat(f'/proc/{pid}/status').st_uid, 0, f'{name} is dumpable')
            if ROOT:
                self.assertEqual(status['Groups'].strip(), '', name)
                with open(f'/proc/{pid}/environ', encoding='utf-8') as f:
                    self.assertNotIn('SECRET_OF_THE_CALLER', f.read())
                self.assertNotIn('/etc/passwd', files_of(pid), name)
                self.assertEqual(os.readlink(f'/proc/{pid}/fd/0'), '/dev/null', name)
                with open(f'/proc/{pid}/limits', encoding='ascii') as f:
                    self.assertRegex(f.read(), r'Max core file size +0 +0 ')
        self.assertEqual(status_of(self.daemon.pid)['NoNewPrivs'], '1')
        if ROOT:
            self.assertEqual(len(set(uids)), 3, uids)
            self.assertNotIn(0, uids)
            kept = int(status_of(self.daemon.pid)['CapPrm'], 16)
            self.assertEqual(kept & ~0xeb, 0, 'CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID and no others')
        else:
            self.assertEqual(set(uids), {os.geteuid()})
            self.assertIn('one_user_for_all', self.logged())

    def test_nothing_listens(self):
        with socket.socket() as probe:  # the test's own eyes: a listening socket is seen
            probe.bind(('127.0.0.1', 0))
            probe.listen()
            self.assertEqual(len(listening([os.getpid()])), 1)
        if not ROOT:
            self.skipTest('descriptors of undumpable processes are for root to see')
        self.enroll()
        pids = [*self.start().values(), self.daemon.pid]
        self.assertTrue(all(sockets_of(p) for p in pids))
        self.assertEqual(listening(pids), [])

    def test_what_is_linked(self):
        def libraries(*path):
            return subprocess.run(['ldd', os.path.join(BUILD, *path)], check=True, capture_output=True, text=True).stdout
        ours = {'validator': libraries('connector', 'validator', 'postern-validator'),
                'link': libraries('connector', 'link', 'postern-link'),
                'ledger': libraries('connector', 'ledger', 'postern-ledger')}
        self.assertIn('libkrb5', ours['validator'])
        for library in ('libsqlite3', 'libcurl', 'libsystemd'):
            self.assertNotIn(library, ours['validator'])
        self.assertIn('libcurl', ours['link'])
        self.assertNotIn('libsqlite3', ours['link'])
        self.assertIn('libsqlite3', ours['ledger'])
        for library in ('libcurl', 'libkrb5', 'liblber'):
            self.assertNotIn(library, ours['ledger'])

    # -- again and anew --

    def test_killed_children_come_back(self):
        self.enroll()
        before = self.start()
        for name in sorted(CHILDREN):
            os.kill(before[name], signal.SIGKILL)
            wait_for(f'a new {name}', lambda n=name: self.daemon.children().get(n, before[n]) != before[n])
            self.wait_notify('READY=1')
            now = self.daemon.children()
            self.assertEqual({n: p for n, p in now.items() if n != name}, {n: p for n, p in before.items() if n != name},
                             'the others go on')
            before = now
            short = {'postern-validat': 'validator'}.get(name, name.removeprefix('postern-'))

            def again(s=short, pid=now[name]):
                parts = self.parts()
                process = parts and parts['parts'].get(f'process:{s}', {}).get('value', {})
                # ledger: it has only just learned of the others
                return process and process['state'] == 'running' and process['pid'] == pid and process['restarts'] == 1 \
                    and process['last_end'] == 'signal 9 (KILL)'
            wait_for(f'the status of {name}', again)
        # each got channels to the new ones: all three parts report to the newest ledger
        wait_for('reports of link and validator', lambda: {'link', 'validator'} <= set((self.parts() or {'parts': {}})['parts']))

    def offline(self, *words):
        return subprocess.run([POSTERN, *words, '--config', self.config], capture_output=True, text=True, timeout=300, check=False)

    def test_status_where_posternd_does_not_run(self):
        """It says when and why the last run ended, and what a start would find; log reads what is left, and nothing in there changes owner."""
        done = self.offline('status', '--json')
        self.assertEqual(done.returncode, 3, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual((answer['state'], [f['code'] for f in answer['findings']]), ('stopped', ['not_running']))
        self.enroll()
        self.start()
        wait_for('a process silent no more', lambda: (self.parts() or {'parts': {}})['parts'])
        self.assertEqual(self.daemon.stop(), 0)
        before = {name: os.stat(os.path.join(self.state, 'ledger', name)).st_uid for name in os.listdir(os.path.join(self.state, 'ledger'))}
        done = self.offline('status')
        self.assertEqual(done.returncode, 3)
        self.assertRegex(done.stdout, r'it ended at .*: it was stopped \(SIGTERM or SIGINT\)')
        self.assertIn('systemctl start postern', done.stdout)
        self.assertNotIn('all is well', done.stdout)
        self.assertIn('link.down', self.offline('log', '--events').stdout)
        self.assertIn("nothing is known of 'alice'", self.offline('explain', 'alice').stderr)
        after = {name: os.stat(os.path.join(self.state, 'ledger', name)).st_uid for name in os.listdir(os.path.join(self.state, 'ledger'))}
        self.assertEqual(set(after.values()), set(before.values()))
        self.start()
        os.kill(self.daemon.pid, signal.SIGKILL)
        self.daemon.process.wait()
        self.assertIn('ended without a word', self.offline('status').stdout)
        os.chmod(os.path.join(self.state, 'identity.pem'), 0o644)
        self.start_fails('chmod 600')
        answer = json.loads(self.offline('status', '--json').stdout)
        self.assertEqual([f['code'] for f in answer['findings']], ['not_running', 'start_refused'])
        for finding in answer['findings']:
            self.assertIn('chmod 600', finding['cause'])
        self.write_config('foo = 1')
        done = self.offline('status')
        self.assertEqual(done.returncode, 3)
        self.assertIn('postern.conf:', done.stderr)
        self.assertIn('foo', done.stderr)

    def test_backoff_grows(self):
        self.enroll()
        self.start()
        for n in range(3):
            pid = wait_for('a ledger', lambda: self.daemon.children().get('postern-ledger'))
            os.kill(pid, signal.SIGKILL)
            wait_for('its end', lambda p=pid: gone(p))
            wait_for('the log', lambda k=n: self.logged().count('process.ended process=ledger') == k + 1)
        waits = [int(line.rsplit('again_in_ms=', 1)[1]) for line in self.logged().splitlines() if 'process.ended process=ledger' in line]
        self.assertEqual(waits, [100, 200, 400])

    def test_reload(self):
        self.enroll()
        before = self.start()
        self.write_config('in_flight = 0\nunknown = 1')
        os.kill(self.daemon.pid, signal.SIGHUP)
        wait_for('the refusal', lambda: 'reload.refused' in self.logged())
        self.assertEqual(self.logged().count('config.error'), 2)
        self.assertEqual(self.daemon.children(), before, 'nothing was touched')
        self.write_config(f'relay_ca_file = {self.dir}/missing.pem')
        os.kill(self.daemon.pid, signal.SIGHUP)
        wait_for('the refusal', lambda: 'missing.pem' in self.logged())
        self.assertEqual(self.daemon.children(), before, 'nothing was touched')
        self.write_config('log_level = debug')
        os.kill(self.daemon.pid, signal.SIGHUP)
        self.wait_notify('READY=1')
        after = self.daemon.children()
        self.assertEqual(set(after), CHILDREN)
        self.assertEqual(set(after.values()) & set(before.values()), set())
        self.assertTrue(self.parts())

    def reload(self):
        """As the unit does it."""
        env = dict(self.env, MAINPID=str(self.daemon.pid)) if self.daemon else self.env
        return subprocess.run([POSTERND, '--config', self.config, '--reload'], capture_output=True, text=True, timeout=300, check=False,
                              env=env)

    def check_config(self):
        return subprocess.run([POSTERND, '--config', self.config, '--check-config'], capture_output=True, text=True, timeout=300, check=False)

    def wrong(self):
        return [f"{found['cause']}. {found.get('remedy', '')}" for found in (self.parts() or {'findings': []})['findings']]

    def events(self, name):
        text = self.cli('log', '--events', '--json').stdout
        return [e for e in json.loads(text)['events'] if name in json.dumps(e)] if text else []

    def faults(self):
        """(what to break, how to mend it, what is said) for each kind of thing that a start checks."""
        state = self.state

        def lines(more, domain=''):
            def write():
                self.write_config(more)
                with open(self.config, 'a', encoding='utf-8') as f:
                    f.write(domain)
            return write

        def moved(name):
            path = os.path.join(state, name)
            return lambda: os.rename(path, path + '.away'), lambda: os.rename(path + '.away', path)

        def rewritten(name, text):
            def mend(path=os.path.join(state, name)):
                self.write(path, kept[name])
            with open(os.path.join(state, name), encoding='utf-8') as f:
                kept[name] = f.read()
            return lambda: self.write(os.path.join(state, name), text), mend
        kept = {}
        good = lines('')
        self.write(self.path('empty.pem'), '', 0o644)
        self.write(self.path('damaged.pem'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n', 0o644)
        self.write(self.path('two-lines'), 'a\nb\n')
        keytab = 'keytab = {}\nservice_principal = host/c.corp.example\n'
        with open(self.path('other.keytab'), 'wb') as f:
            f.write(keytab_of('host/other.corp.example', 'CORP.EXAMPLE'))
        os.chmod(self.path('other.keytab'), 0o600)
        yield lines('control_group = nosuchgroup'), good, 'there is no group nosuchgroup'
        yield lines('tenant = other'), good, 'tenant = other'
        yield lines('relay = https://other.example'), good, 'https://other.example'
        yield lines('', f'ca_file = {self.path("empty.pem")}\n'), good, 'empty.pem'
        yield lines('', f'ca_file = {self.path("damaged.pem")}\n'), good, 'damaged.pem'
        yield lines('', 'ca_file = /no/such/file\n'), good, 'ca_file: /no/such/file'
        yield lines(f'relay_ca_file = {self.path("empty.pem")}'), good, 'link'
        yield lines('', keytab.format(self.path('other.keytab'))), good, 'host/c.corp.example'
        yield lines('', keytab.format('/no/such.keytab')), good, 'keytab: /no/such.keytab'
        yield lines('', f'alternate_id = mail\nalternate_id_suffixes = mail.example\nservice_account = s@corp.example\nservice_password_file = {self.path("two-lines")}\n'), good, \
            'two-lines'
        yield (lambda: os.chmod(os.path.join(state, 'identity.pem'), 0o644)), \
            (lambda: os.chmod(os.path.join(state, 'identity.pem'), 0o600)), 'chmod 600'
        yield *moved('transport.key'), 'transport.key is missing'
        yield *moved('identity.pem'), 'identity.pem is missing'
        yield *rewritten('identity.pem', 'no key\n'), 'identity.pem'
        yield *rewritten('enrolment.json', '{}'), 'enrolment.json'
        if ROOT:
            ledger = os.path.join(state, 'ledger')
            bin_uid = pwd.getpwnam('bin').pw_uid
            yield (lambda: os.chown(ledger, bin_uid, -1)), (lambda: os.chown(ledger, 0, -1)), "ledger is not root's folder"

            def other_user(user):
                with open(self.config, encoding='utf-8') as f:
                    text = f.read()
                self.write(self.config, text.replace(f'user_link = {USERS[0]}', f'user_link = {user}'))
            yield (lambda: other_user('no-such-user')), good, 'there is no user no-such-user'
            yield (lambda: other_user(USERS[1])), good, 'must be different'

    def test_whatever_would_end_a_start_is_refused_by_a_reload(self):
        """By --check-config, --reload and status in the same words; nothing that runs is touched, and mended it is taken."""
        self.enroll()
        before = self.start()
        for n, (spoil, mend, why) in enumerate(self.faults()):
            with self.subTest(n=n, why=why):
                spoil()
                checked = self.check_config()
                self.assertEqual(checked.returncode, 78, checked.stdout)
                self.assertIn(why, checked.stderr)
                refused = self.reload()
                self.assertEqual(refused.returncode, 1, refused.stdout)
                self.assertIn(why, refused.stderr)
                self.assertEqual(self.daemon.children(), before, 'nothing was touched')
                wait_for('the status', lambda w=why: any(w in text and 'reload' in text for text in self.wrong()))
                mend()
                checked = self.check_config()
                self.assertEqual((checked.returncode, checked.stderr), (0, ''))
        self.assertTrue(self.events('reload.refused'))
        done = self.reload()
        self.assertEqual((done.returncode, done.stdout), (0, 'reloaded\n'), done.stderr)
        after = self.daemon.children()
        self.assertEqual(set(after), CHILDREN)
        self.assertEqual(set(after.values()) & set(before.values()), set())
        self.assertFalse([text for text in self.wrong() if 'reload' in text])
        wait_for('the event', lambda: self.events('reload.done'))

    def test_a_configuration_that_is_not_taken_after_all_goes_back(self):
        """What the check found good turns bad before the processes read it: the configuration before comes back."""
        self.enroll()
        self.start()
        ca = self.path('ca.pem')
        shutil.copy(os.path.join(self.state, 'transport.pem'), ca)
        os.chmod(ca, 0o644)
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write(f'ca_file = {ca}\n')
        link = self.daemon.children()['postern-link']
        os.kill(link, signal.SIGSTOP)  # the drain waits for it
        reload = subprocess.Popen([POSTERND, '--config', self.config, '--reload'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_for('the drain', lambda: 'posternd: info reloading' in self.logged())
        self.write(ca, '', 0o644)
        os.kill(link, signal.SIGCONT)
        out, said = reload.communicate(timeout=300)
        self.assertEqual(reload.returncode, 1, out + self.logged())
        self.assertIn('did not take it', said)
        self.assertEqual(set(self.daemon.children()), CHILDREN)
        self.assertTrue(self.daemon.alive())
        self.assertTrue([text for text in self.wrong() if 'did not take it' in text])

    def test_reload_without_a_daemon(self):
        done = self.reload()
        self.assertEqual(done.returncode, 1)
        self.assertIn('no posternd runs', done.stderr)

    def test_a_keytab_that_is_not_in_use_stays_told(self):
        self.enroll()
        keytab = self.path('keytab')

        def put(principal):
            with open(keytab + '.new', 'wb') as f:
                f.write(keytab_of(principal, 'CORP.EXAMPLE'))
            os.chmod(keytab + '.new', 0o600)
            os.rename(keytab + '.new', keytab)
        put('host/c.corp.example')
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write(f'keytab = {keytab}\nservice_principal = host/c.corp.example\n')
        self.start()
        self.assertFalse([text for text in self.wrong() if 'keytab' in text])
        for spoil, why in ((lambda: put('host/other.corp.example'), 'host/c.corp.example'), (lambda: os.unlink(keytab), 'is gone'),
                           (lambda: (put('host/c.corp.example'), os.chmod(keytab, 0o644)), 'chmod 600')):
            spoil()
            wait_for(why, lambda w=why: [text for text in self.wrong() if 'keytab of corp.example' in text and w in text])
        self.assertEqual(len({json.dumps(e) for e in self.events('keytab.refused')}), 3)
        put('host/c.corp.example')
        wait_for('the mending', lambda: not [text for text in self.wrong() if 'keytab' in text])
        wait_for('its event', lambda: self.events('keytab.in_use'))

    def test_bad_files_of_a_domain_stop_no_restart(self):
        """What the validator had in use it gets again when it ends; the disk may hold whatever by then, and is told of."""
        self.enroll()
        keytab, ca = self.path('keytab'), self.path('dc-ca.pem')
        good = keytab_of('host/c.two.example', 'TWO.EXAMPLE')

        def put(path, data, mode):
            with open(path + '.new', 'wb') as f:
                f.write(data)
            os.chmod(path + '.new', mode)
            os.rename(path + '.new', path)
        put(keytab, good, 0o600)
        with open(os.path.join(self.state, 'transport.pem'), 'rb') as f:
            put(ca, f.read(), 0o644)
        with open(self.config, 'a', encoding='utf-8') as f:
            f.write(f'ca_file = {ca}\n[domain two.example]\ndcs = dc1.two.example@127.0.0.1\nkdc_port = 9\nkeytab = {keytab}\n'
                    'service_principal = host/c.two.example\n')
        self.start()
        for spoil, why in ((lambda: put(keytab, b'\x05\x02no keytab', 0o600), 'keytab of two.example'), (lambda: os.unlink(keytab), 'is gone'),
                           (lambda: put(ca, b'no certificate', 0o644), '')):
            spoil()
            if why:
                wait_for(why, lambda w=why: [text for text in self.wrong() if 'keytab of two.example' in text and w in text])
            before = self.daemon.children()['postern-validat']
            os.kill(before, signal.SIGKILL)
            self.wait_notify('READY=1')
            self.assertNotEqual(self.daemon.children()['postern-validat'], before)
        wait_for('it is known to run', lambda: 'domain:two.example' in (self.parts() or {'parts': {}})['parts'])
        with open(self.log, encoding='utf-8') as f:
            self.assertNotIn('start_failed', f.read())
        # mended while there is no validator: it gets that one
        before = self.daemon.children()['postern-validat']
        os.kill(before, signal.SIGKILL)
        put(keytab, good, 0o600)
        wait_for('the mending', lambda: not [text for text in self.wrong() if 'keytab' in text] and self.events('keytab.in_use'))
        # a start reads the disk, and names what is there
        self.stop()
        self.start_fails('certificate')

    def test_no_domain_controller_found_is_told(self):
        """DNS is dead: no DC is known that could be shown as dead."""
        self.enroll()
        with open(self.config, encoding='utf-8') as f:
            text = f.read()
        self.write(self.config, text.replace('[domain', 'dns_servers = 127.0.0.1:9\n[domain').replace('dcs = dc1.corp.example@127.0.0.1', 'discover = yes'))
        self.start()
        wait_for('the domain without controllers', lambda: [text for text in self.wrong() if 'no domain controller of corp.example is known' in text
                                                             and 'SRV _ldap._tcp.dc._msdcs.corp.example' in text])
        wait_for('its event', lambda: self.events('domain.down'))

    def test_a_child_without_progress_is_started_again(self):
        self.enroll()
        self.env['WATCHDOG_USEC'] = '12000000'
        before = self.start()
        self.wait_notify('WATCHDOG=1')
        for name in sorted(CHILDREN):
            os.kill(before[name], signal.SIGSTOP)
            wait_for(f'a new {name}', lambda n=name: self.daemon.children().get(n, before[n]) != before[n])
        self.assertEqual(self.logged().count('process.hung'), 3)
        wait_for('all', lambda: set(self.daemon.children()) == CHILDREN)
        self.wait_notify('WATCHDOG=1')
        wait_for('the status', lambda: self.parts() and 'no progress' in json.dumps(self.parts()['parts']))

    def test_a_hung_file_system_under_events_file_holds_nothing_up(self):
        """posternd's processes start, answer, reload and end while the one that writes there hangs in the kernel."""
        try:
            folder = HangingFolder(self.path('hanging'))
        except OSError as e:
            self.skipTest(str(e))
        self.addCleanup(folder.stop)
        self.enroll()
        self.env['WATCHDOG_USEC'] = '12000000'
        self.write_config(f'events_file = {folder.path}/events')
        folder.hang()
        self.assertIn('does not answer', self.check_config().stdout)
        before = {name: pid for name, pid in self.start().items() if name in CHILDREN}

        def outlet(word):
            wait_for(word, lambda: word in (self.parts() or {'outlets': {'events_file': {'why': ''}}})['outlets']['events_file']['why'])
        self.assertEqual(self.cli('log').returncode, 0)
        outlet('hangs')
        for _ in range(30):  # turns of 500 ms: longer than systemd's time
            self.wait_notify('WATCHDOG=1')
        self.assertEqual({n: p for n, p in self.daemon.children().items() if n in CHILDREN}, before, 'nothing was started again')
        os.kill(self.daemon.pid, signal.SIGHUP)
        self.wait_notify('READY=1')
        self.assertEqual(self.cli('log').returncode, 0)
        outlet('hangs')
        folder.go_on()
        wait_for('the records', lambda: 'events' in folder.names and b'"act":"log"' in folder.content('events'))
        folder.hang()
        self.assertEqual(self.cli('log').returncode, 0)
        outlet('hangs')
        self.assertEqual(self.daemon.stop(), 0)

    def test_terminate_during_reload(self):
        self.enroll()
        pids = self.start().values()
        os.kill(self.daemon.pid, signal.SIGSTOP)  # so that both are pending at once
        os.kill(self.daemon.pid, signal.SIGHUP)
        os.kill(self.daemon.pid, signal.SIGTERM)
        os.kill(self.daemon.pid, signal.SIGCONT)
        self.assertEqual(self.daemon.process.wait(20), 0)
        self.assertEqual([p for p in pids if not gone(p)], [])

    # -- ledger --

    def test_control_socket(self):
        self.enroll()
        self.start()
        self.assertEqual(os.stat(self.socket).st_mode & 0o777, 0o660)
        answers = []
        for line in (b'nonsense\n', b'{"do":"dance"}\n', b'{"do":"log","limit":0}\n', b'x' * 5000, b'{"do":"status"}\n'):
            with socket.socket(socket.AF_UNIX) as s:
                s.settimeout(20)
                s.connect(self.socket)
                s.sendall(line)
                answers.append(json.loads(s.makefile().readline()))
        self.assertEqual([a['ok'] for a in answers], [False, False, False, False, True])
        idle = []
        for _ in range(15):  # clients that say nothing keep nobody else away
            s = socket.socket(socket.AF_UNIX)
            s.connect(self.socket)
            idle.append(s)
        self.assertTrue(self.parts())
        for s in idle:
            s.close()

    def test_ledger_without_a_folder_to_write(self):
        self.enroll()
        folder = os.path.join(self.state, 'ledger')
        os.mkdir(folder, 0o500)
        self.start()
        status = self.parts()
        self.assertEqual(status['ledger']['state'], 'degraded')
        self.assertIn('state_dir/ledger', status['ledger']['why'])
        done = self.cli('status')
        self.assertEqual(done.returncode, 1)
        self.assertIn('in memory only', done.stdout)
        wait_for('an event in memory', lambda: self.parts()['ledger']['in_memory'] > 0)
        events = json.loads(self.cli('log', '--events', '--json').stdout)['events']
        self.assertTrue(events, 'memory answers')
        self.give_to_ledger(folder)
        wait_for('the recovery', lambda: self.parts()['ledger']['state'] == 'ok')
        after = json.loads(self.cli('log', '--events', '--json').stdout)['events']
        self.assertTrue(all(e in after for e in events), 'memory went to the disk')

    @staticmethod
    def give_to_ledger(folder):
        if os.geteuid() == 0:
            shutil.chown(folder, 'root', pwd.getpwnam(USERS[2]).pw_gid)
        os.chmod(folder, 0o770)

    def test_a_child_that_hangs_is_ended(self):
        """Root keeps no right to signal others: the child is killed as the user that it is."""
        self.enroll()
        children = self.start()
        os.kill(children['postern-link'], signal.SIGSTOP)
        self.daemon.stop()
        self.assertFalse(os.path.exists(f"/proc/{children['postern-link']}"))

    def test_ledger_with_a_broken_database(self):
        self.enroll()
        folder = os.path.join(self.state, 'ledger')
        os.mkdir(folder, 0o700)
        self.give_to_ledger(folder)
        self.write(os.path.join(folder, 'ledger.db'), 'this is no database, and it is long enough to be read as one ' * 100, 0o666)
        self.start()
        self.assertIn('damaged', self.parts()['ledger']['why'])
        os.unlink(os.path.join(folder, 'ledger.db'))
        wait_for('the recovery', lambda: self.parts()['ledger']['state'] == 'ok')


if __name__ == '__main__':
    unittest.main(argv=sys.argv[:1], verbosity=2)
