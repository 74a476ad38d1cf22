"""What breaks in test_chaos: one worker for each thing that can break, each with dice of its own, so that a seed gives the same faults
again. A fault ends before the next one of the same thing begins; those of different things overlap as they come."""
import concurrent.futures
import os
import random
import select
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

# Users that every Debian has, so that packets can be dropped by whose they are: (link, validator, ledger) of each connector, and each node's.
USERS = [('games', 'man', 'lp'), ('mail', 'news', 'uucp'), ('www-data', 'backup', 'list')]
NODE_USERS = ['irc', 'proxy', 'sys']
CHAIN = ['inet', 'chaos', 'out']


def nft(*words):
    return subprocess.run(['nft', '-a', '-e', *words], check=True, capture_output=True, text=True).stdout


def make_chain():
    nft('add', 'table', 'inet', 'chaos')
    nft('add', 'chain', *CHAIN, '{ type filter hook output priority 0; }')


class Starter:
    """Starts processes in one thread that stays: who ends with its parent ends with the thread that started it."""

    def __init__(self):
        self.pool = concurrent.futures.ThreadPoolExecutor(1)

    def __call__(self, start):
        self.pool.submit(start).result()


class Lossy:
    """Packets that match are dropped as long as it lasts, so many of a hundred: nobody hears that anything is wrong."""

    def __init__(self, match, percent=100):
        some = [] if percent == 100 else ['numgen', 'random', 'mod', '100', '<', str(percent)]
        self.rule = [*match, *some, 'drop']

    def __enter__(self):
        said = nft('add', 'rule', *CHAIN, *self.rule)
        self.handle = said.rsplit('# handle ', 1)[1].split()[0]

    def __exit__(self, *_):
        nft('delete', 'rule', *CHAIN, 'handle', self.handle)


def partition(users, where, percent=100):
    """What these users send there."""
    return Lossy(['meta', 'skuid', '{ ' + ', '.join(users) + ' }', *where], percent)


class Stopped:
    """A process (or its group) that stands still, and goes on afterwards if it is still there."""

    def __init__(self, pid, group=False):
        self.pid, self.send = pid, os.killpg if group else os.kill

    def __enter__(self):
        self.signal(signal.SIGSTOP)

    def __exit__(self, *_):
        self.signal(signal.SIGCONT)

    def signal(self, number):
        try:
            self.send(self.pid, number)
        except ProcessLookupError:
            pass


class Full:
    """A small file system without a byte left."""

    def __init__(self, folder):
        self.path = os.path.join(folder, 'everything-else')

    def __enter__(self):
        with open(self.path, 'wb', buffering=0) as f:
            for size in (65536, 4096, 1):
                try:
                    while f.write(bytes(size)):
                        pass
                except OSError:
                    continue

    def __exit__(self, *_):
        os.unlink(self.path)


def clocked_posternd(site, folder, environment):
    """posternd once more, there, whose processes have that clock: it hands no variable of its environment on to them."""
    os.makedirs(folder)
    words = ' '.join(f'{name}={shlex.quote(environment[name])}' for name in ('LD_PRELOAD', 'TEST_CLOCK'))
    for part in ('link', 'validator', 'ledger'):
        path = os.path.join(folder, f'postern-{part}')
        with open(path, 'w', encoding='utf-8') as f:
            f.write(f'#!/bin/sh\nexport {words}\nexec {site.build}/connector/{part}/postern-{part} "$@"\n')
        os.chmod(path, 0o755)
    return shutil.copy(site.program('posternd'), folder)


class Stepped:
    """A wall clock of lab_clock that is off for a while: within what everybody tolerates, or by so much that its host doubts it."""
    SECONDS = [-900, -90, -20, 20, 90, 900]

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, seconds

    def __enter__(self):
        self.clock.set(self.seconds)

    def __exit__(self, *_):
        self.clock.set(0)


class Front:
    """A domain controller's LDAPS at another address, with a certificate that can be changed; connections end then, as when its service
    starts anew."""

    def __init__(self, address, behind, certificate):
        self.behind, self.open, self.lock = behind, set(), threading.Lock()
        self.certificate = certificate
        self.listener = socket.create_server((address, 636), backlog=128)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                near = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.carry, args=(near,), daemon=True).start()

    def carry(self, plain):
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        server.load_cert_chain(self.certificate + '.pem', self.certificate + '.key')
        try:
            with plain, server.wrap_socket(plain, server_side=True) as near, \
                    client.wrap_socket(socket.create_connection((self.behind, 636), 30)) as far:
                with self.lock:
                    self.open.add(near)
                try:
                    while True:
                        for a in select.select([near, far], [], [])[0]:
                            data = a.recv(65536)
                            if not data:
                                return
                            (far if a is near else near).sendall(data)
                finally:
                    with self.lock:
                        self.open.discard(near)
        except (OSError, ValueError):
            pass

    def change(self, certificate):
        self.certificate = certificate
        with self.lock:
            for near in self.open:
                try:
                    near.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class Changed:
    """Another certificate for a while."""

    def __init__(self, front, certificate, back):
        self.front, self.certificate, self.back = front, certificate, back

    def __enter__(self):
        self.front.change(self.certificate)

    def __exit__(self, *_):
        self.front.change(self.back)


class Worker(threading.Thread):
    """Breaks one thing again and again. A failure of the test's own is kept for the end."""
    GAP = (2.0, 7.0)  # s between faults

    def __init__(self, name, seed, ended, start):
        super().__init__(name=name)
        self.dice, self.ended, self.start_by, self.happened, self.fault = random.Random(f'{seed} {name}'), ended, start, [], None

    def run(self):
        try:
            while not self.ended.wait(self.dice.uniform(*self.GAP)):
                what = self.dice.choice(self.faults())
                self.happened.append((time.monotonic(), self.name, what.__name__))
                what()
        except BaseException as e:  # pylint: disable=broad-except
            self.fault = e

    def last(self, broken, least, most):
        """It stays broken for a while."""
        seconds = self.dice.uniform(least, most)
        at, name, what = self.happened[-1]
        self.happened[-1] = at, name, f'{what} for {seconds:.1f} s'
        with broken:
            self.ended.wait(seconds)


class ConnectorWorker(Worker):
    def __init__(self, connector, clock, users, relay_ports, dcs, *how):
        super().__init__(connector.name, *how)
        self.connector, self.clock, self.users, self.relay_ports, self.dcs = connector, clock, users, relay_ports, dcs

    def faults(self):
        return [self.kill_child, self.kill_child, self.kill_all, self.stop_child, self.terminate, self.reload, self.no_relay, self.no_dc,
                self.lossy, self.disk_full, self.clock_step]

    def child(self):
        """One of its processes; None while there is none."""
        children = self.connector.daemon.children()
        name = self.dice.choice(['postern-link', 'postern-valid', 'postern-ledger'])
        return next((pid for found, pid in children.items() if found.startswith(name)), None)

    def kill_child(self):
        pid = self.child()
        if pid:
            Stopped(pid).signal(signal.SIGKILL)

    def again(self):
        self.connector.daemon.process.wait(120)
        self.ended.wait(self.dice.uniform(0, 2))
        self.start_by(self.connector.start)

    def kill_all(self):
        for pid in [self.connector.daemon.pid, *self.connector.daemon.children().values()]:
            Stopped(pid).signal(signal.SIGKILL)
        self.again()

    def stop_child(self):
        pid = self.child()
        if pid:
            self.last(Stopped(pid), 0.5, 8)

    def terminate(self):
        self.connector.daemon.process.send_signal(signal.SIGTERM)
        self.again()

    def reload(self):
        self.connector.daemon.process.send_signal(signal.SIGHUP)

    def no_relay(self):
        """From one node, or from all."""
        ports = self.dice.choice([self.relay_ports, *[[port] for port in self.relay_ports]])
        self.last(partition(self.users[:1], ['tcp', 'dport', '{ ' + ', '.join(map(str, ports)) + ' }']), 0.5, 15)

    def no_dc(self):
        self.last(partition(self.users[1:2], ['ip', 'daddr', self.dice.choice(self.dcs)]), 0.5, 10)

    def lossy(self):
        """Every fifth packet of its is lost, to the relay and to the domain controllers."""
        self.last(partition(self.users[:2], ['oif', 'lo'], 20), 2, 12)

    def disk_full(self):
        self.last(Full(self.connector.state), 1, 8)

    def clock_step(self):
        self.last(Stepped(self.clock, self.dice.choice(Stepped.SECONDS)), 1, 10)


class RelayWorker(Worker):
    """One node of the relay."""
    GAP = (6.0, 14.0)

    def __init__(self, node, clock, user, nats_ports, *how):
        super().__init__(f'relay {node.name}', *how)
        self.node, self.clock, self.user, self.nats_ports = node, clock, user, nats_ports

    def faults(self):
        return [self.kill, self.kill_child, self.terminate, self.reload, self.stop, self.stop_child, self.disk_full, self.clock_step, self.no_nats]

    def child(self):
        """Its store process or its bus; None while there is none."""
        return self.node.daemon.children().get(self.dice.choice(['store', 'bus']))

    def kill_child(self):
        pid = self.child()
        if pid:
            Stopped(pid).signal(signal.SIGKILL)

    def stop_child(self):
        pid = self.child()
        if pid:
            self.last(Stopped(pid), 0.5, 8)

    def no_nats(self):
        """It reaches none of the servers, or not one of them."""
        ports = self.dice.choice([self.nats_ports, *[[port] for port in self.nats_ports]])
        self.last(partition([self.user], ['tcp', 'dport', '{ ' + ', '.join(map(str, ports)) + ' }']), 0.5, 12)

    def kill(self):
        self.node.daemon.process.kill()
        self.node.daemon.process.wait()
        self.start_by(self.node.start)

    def terminate(self):
        self.node.daemon.process.terminate()
        self.node.daemon.process.wait(120)
        self.start_by(self.node.start)

    def reload(self):
        self.node.daemon.process.send_signal(signal.SIGHUP)

    def stop(self):
        self.last(Stopped(self.node.daemon.pid), 0.5, 4)

    def disk_full(self):
        self.last(Full(os.path.join(self.node.dir, 'state')), 1, 8)

    def clock_step(self):
        self.last(Stepped(self.clock, self.dice.choice(Stepped.SECONDS)), 1, 10)


class NatsWorker(Worker):
    """One of the NATS servers."""
    GAP = (6.0, 16.0)

    def __init__(self, cluster, i, *how):
        super().__init__(f'nats {i}', *how)
        self.cluster, self.i = cluster, i

    def faults(self):
        return [self.kill, self.terminate, self.stop, self.cut_off, self.no_route]

    def kill(self, how=signal.SIGKILL):
        self.cluster.kill(self.i, how=how)
        self.ended.wait(self.dice.uniform(0, 8))
        self.start_by(lambda: self.cluster.begin(self.i))

    def terminate(self):
        self.kill(signal.SIGTERM)

    def stop(self):
        self.last(Stopped(self.cluster.processes[self.i].pid), 0.5, 8)

    def silent(self, port):
        """Nothing comes from that port of its."""
        self.last(Lossy(['ip', 'saddr', self.cluster.address, 'tcp', 'sport', str(port)]), 0.5, 12)

    def cut_off(self):
        """No node hears it; the other servers do."""
        self.silent(self.cluster.ports[self.i][0])

    def no_route(self):
        """Another server that came to it hears it no more; the nodes do."""
        self.silent(self.cluster.ports[self.i][1])


class ClockWorker(Worker):
    """The clock of all services."""
    GAP = (8.0, 16.0)

    def __init__(self, clock, *how):
        super().__init__('services', *how)
        self.clock = clock

    def faults(self):
        return [self.clock_step]

    def clock_step(self):
        self.last(Stepped(self.clock, self.dice.choice([-200, -60, -20, 20, 60, 200])), 1, 5)


class CertificateWorker(Worker):
    """A domain controller's certificate: a new one of its CA, and for a moment one that proves nothing."""
    GAP = (6.0, 14.0)

    def __init__(self, front, good, bad, *how):
        super().__init__('certificate', *how)
        self.front, self.good, self.bad = front, good, bad

    def faults(self):
        return [self.renew, self.wrong]

    def renew(self):
        self.front.change(self.dice.choice(self.good))

    def wrong(self):
        self.last(Changed(self.front, self.dice.choice(self.bad), self.dice.choice(self.good)), 0.5, 6)


class DcWorker(Worker):
    """A domain controller that stands still: it takes connections and answers nothing."""
    GAP = (6.0, 16.0)

    def __init__(self, name, pid, *how):
        super().__init__(name, *how)
        self.pid = pid

    def faults(self):
        return [self.hang]

    def hang(self):
        group = os.getpgid(self.pid) == self.pid
        self.last(Stopped(self.pid, group), 0.5, 8)
