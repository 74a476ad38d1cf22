"""What breaks in test_chaos: one worker for each thing that can break, each with dice of its own, so that a seed gives the same faults
again. A fault ends before the next one of the same thing begins; those of different things overlap as they come."""
import concurrent.futures
import os
import random
import signal
import subprocess
import threading
import time

# Users that every Debian has, so that packets can be dropped by whose they are: (link, validator, ledger) of each connector.
USERS = [('games', 'man', 'lp'), ('mail', 'news', 'uucp'), ('www-data', 'backup', 'list')]
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
    def __init__(self, connector, users, relay_port, dcs, *how):
        super().__init__(connector.name, *how)
        self.connector, self.users, self.relay_port, self.dcs = connector, users, relay_port, dcs

    def faults(self):
        return [self.kill_child, self.kill_child, self.kill_all, self.stop_child, self.terminate, self.reload, self.no_relay, self.no_dc,
                self.lossy, self.disk_full]

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
        self.last(partition(self.users[:1], ['tcp', 'dport', str(self.relay_port)]), 0.5, 15)

    def no_dc(self):
        self.last(partition(self.users[1:2], ['ip', 'daddr', self.dice.choice(self.dcs)]), 0.5, 10)

    def lossy(self):
        """Every fifth packet of its is lost, to the relay and to the domain controllers."""
        self.last(partition(self.users[:2], ['oif', 'lo'], 20), 2, 12)

    def disk_full(self):
        self.last(Full(self.connector.state), 1, 8)


class RelayWorker(Worker):
    GAP = (6.0, 14.0)

    def __init__(self, site, *how):
        super().__init__('relay', *how)
        self.site = site

    def faults(self):
        return [self.kill, self.terminate, self.reload, self.stop, self.disk_full]

    def kill(self):
        self.site.relay.process.kill()
        self.site.relay.process.wait()
        self.start_by(self.site.restart_relay)

    def terminate(self):
        self.site.relay.process.terminate()
        self.site.relay.process.wait(120)
        self.start_by(self.site.restart_relay)

    def reload(self):
        self.site.relay.process.send_signal(signal.SIGHUP)

    def stop(self):
        self.last(Stopped(self.site.relay.pid), 0.5, 4)

    def disk_full(self):
        self.last(Full(os.path.join(self.site.dir, 'relay-state')), 1, 8)


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
