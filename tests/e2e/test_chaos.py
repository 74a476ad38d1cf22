"""Everything breaks at once while sign-ins go on: no answer is wrong, no caller waits for ever, no wrong password counts that nobody was
told of, and nothing grows.

usage: test_chaos.py BUILD STEADY SECONDS     POSTERN_CHAOS_S: another number of seconds; POSTERN_CHAOS_SEED: the faults of that run again;
POSTERN_CHAOS_TRACE: tells each fault and what was undecided in each second, as a failure does; POSTERN_CHAOS_RATE: other than 20 sign-ins a
second, beside those that are wrong on purpose. It says each minute how far it is.

Three connectors, two real domain controllers, three nodes of a relay on three NATS servers; see chaos.py for what breaks. Connectors are linked
to two of the nodes, so what services ask the third of goes over. It wants a network and mounts of its own (unshare --net --mount).
"""
import collections
import copy
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import unittest

import chaos
import postern_site
from e2e import LAB, SiteTest, lab_clock, wait_for
from steady import Driver, Service
from test_nodes import Node, free_port
import lab_certs
import lab_nats

SECONDS = float(os.environ.get('POSTERN_CHAOS_S') or sys.argv[3])
RATE = float(os.environ.get('POSTERN_CHAOS_RATE') or 20)
SEED = int(os.environ.get('POSTERN_CHAOS_SEED') or random.SystemRandom().randrange(1 << 32))
HANGS_S = 60  # of a sign-in whose budget is 8 s
AFTER = 20  # sign-ins that must all be decided once everything is whole again
FRONT = '127.0.0.77'  # another address of the first domain controller's LDAPS
LANES = [17, 18, 19, 20]  # accounts that nobody ever types the right password of; the driver has the others
KEPT = 8  # descriptors more than at the beginning that a process may hold, connections for later; and the pools of both domain controllers
POOLS = 2 * 16
ROUND = 3  # wrong passwords of an account before its count is looked at; the domain locks at 5


class Lane(threading.Thread):
    """Wrong passwords for one account. What both domain controllers counted is never more than what the callers were told, or could not be
    told: counted over the whole run, since what nobody knows of may still be counted later."""

    def __init__(self, site, number, admin, ended):
        super().__init__(name=f'lane {number}')
        self.service, self.admin, self.ended = Service(site), admin, ended
        self.sam, self.user = LAB[f'LAB_GOOD{number}_SAM'], LAB[f'LAB_GOOD{number}_UPN']
        self.told = self.unknown = self.counted = 0
        self.accepted, self.fault = [], None

    def run(self):
        try:
            while not self.ended.is_set():
                self.round()
            self.look()
        except BaseException as e:  # pylint: disable=broad-except
            self.fault = e
            print(f'  {self.name}: {e!r}', flush=True)
        self.service.close()

    def round(self):
        for i in range(ROUND):
            word, started, _, id, _ = self.service.sign_in(self.user, f'wrong-{time.monotonic_ns()}')
            if word == 'accepted':
                self.accepted.append(id)
            elif word == 'refused':
                self.told += 1
            elif started not in ('no', '0'):
                self.unknown += 1
            if self.ended.wait(0.5):
                break
        self.look()

    def look(self):
        """What was counted since the last look; then it is nothing again, so that the account is not locked."""
        counts = [self.admin(f'badpwdcount {self.sam} {dc}') for dc in (1, 2)]
        self.counted += sum(counts)
        if self.counted > self.told + self.unknown:
            raise AssertionError(f'{self.sam}: counted {self.counted} ({counts} lately), told {self.told}, unknown {self.unknown}')
        for dc in (1, 2):
            self.admin(f'unlock {self.sam} {dc}')


class Admin:
    """The domain's administrator, one question at a time."""

    def __init__(self):
        self.lock = threading.Lock()
        self.process = subprocess.Popen([LAB['LAB_TOOL'], 'admin', '--dir', LAB['LAB_DIR']], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)

    def __call__(self, line):
        with self.lock:
            self.process.stdin.write(line + '\n')
            self.process.stdin.flush()
            return int(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(60)


def mounted(case, folder, megabytes):
    """A small file system of its own there, until the class is done."""
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={megabytes}m,mode=0700', 'tmpfs', folder], check=True)
    case.addClassCleanup(subprocess.run, ['umount', '--lazy', folder], check=False)


class Chaos(SiteTest):
    CONNECTORS = []

    @classmethod
    def setUpClass(cls):
        print(f'  POSTERN_CHAOS_SEED={SEED} POSTERN_CHAOS_S={SECONDS:g}', flush=True)
        chaos.make_chain()
        cls.starter, cls.clocks = chaos.Starter(), {}
        super().setUpClass()
        site = cls.site
        cls.make_front()
        for name, method, users in zip(('north', 'south', 'west'), ('ldap', 'krb5', 'ldap'), chaos.USERS):
            c = site.add_connector(name, method)
            dcs = ', '.join(f"{LAB[f'LAB_{dc}_HOST']}@{LAB[f'LAB_{dc}_ADDRESS']}" for dc in ('AD', 'AD2'))
            if method == 'ldap':
                dcs = dcs.replace(LAB['LAB_AD_ADDRESS'], FRONT)
            with open(c.config, encoding='utf-8') as f:
                text = f.read().replace(postern_site.USERS, ''.join(f'user_{what} = {user}\n' for what, user in
                                                                    zip(('link', 'validator', 'ledger'), users)))
            text = text.replace(f"dcs = {LAB['LAB_AD_HOST']}@{LAB['LAB_AD_ADDRESS']}\n", f'dcs = {dcs}\n')
            with open(c.config, 'w', encoding='utf-8') as f:
                f.write(text)
            mounted(cls, c.state, 16)
            cls.clocks[name] = cls.clock(name)
            c.env = cls.environment(name)
            c.program = chaos.clocked_posternd(site, os.path.join(cls.top, 'programs-' + name), c.env)
            c.up()
        cls.make_nodes()

    @classmethod
    def clock(cls, name):
        return lab_clock.Clock(os.path.join(cls.top, f'clock-{name}'))

    @classmethod
    def environment(cls, name):
        return cls.clocks[name].environment(lab_clock.library(cls.site.build))

    @classmethod
    def make_front(cls):
        """dc1's LDAPS once more, with certificates of the lab's CA and others."""
        folder = os.path.dirname(LAB['LAB_CERT_DC'])
        cls.good = [os.path.join(folder, 'dc'), os.path.join(cls.top, 'dc-new')]
        cls.bad = [os.path.join(folder, name) for name in ('dc-other-ca', 'dc-other-host')]
        lab_certs.make_named(cls.top, 'dc-new', os.path.join(folder, 'ca'), [f"DNS:{LAB['LAB_AD_HOST']}", f"DNS:{LAB['LAB_AD_DOMAIN']}"])
        cls.front = chaos.Front(FRONT, LAB['LAB_AD_ADDRESS'], cls.good[0])
        cls.addClassCleanup(cls.front.listener.close)

    @classmethod
    def make_nodes(cls):
        """The relay becomes one of three nodes on NATS, of which connectors know two. Each has a clock that can be set, and so have the services."""
        site = cls.site
        cls.nats = lab_nats.Cluster(cls.top).start()
        cls.addClassCleanup(cls.nats.stop)
        os.chmod(cls.top, 0o711)  # nodes have users of their own
        cls.nodes = [Node(site, name, f'127.0.0.{n + 1}', free_port(f'127.0.0.{n + 1}') if n else site.port) for n, name in enumerate('abc')]
        cls.addClassCleanup(lambda: [n.daemon.stop() for n in cls.nodes if n.daemon])
        site.relay.stop()
        for node, user in zip(cls.nodes, chaos.NODE_USERS):
            cls.clocks[node.name] = cls.clock(node.name)
            node.site.env = {**site.env, **cls.environment(node.name)}
            cls.make_node(node, user)
        cls.clocks['services'] = cls.clock('services')
        cls.services = copy.copy(site)
        cls.services.url = ' '.join(n.url for n in cls.nodes)
        cls.services.env = {**site.env, **cls.environment('services')}

    @classmethod
    def make_node(cls, node, user):
        """Its user's, on a small disk. The first one's database goes into the bucket, the others find it there."""
        site, first, copies = cls.site, node is cls.nodes[0], os.path.join(cls.top, f'files-{node.name}')
        state = os.path.join(node.dir, 'state')
        os.mkdir(copies)
        cls.nats.hand(copies, user)
        for name in ('relay.pem', 'relay.key'):
            shutil.chown(shutil.copy(os.path.join(site.dir, name), copies), user)
        node.make([n.url for n in cls.nodes[:2]] if node in cls.nodes[:2] else [], cls.nats.conf(dispatch=True, copies=copies), user=user,
                  store='nats', dispatch='nats', certificate=os.path.join(copies, 'relay.pem'), key=os.path.join(copies, 'relay.key'))
        os.rename(state, state + '-before')
        os.mkdir(state, 0o700)
        mounted(cls, state, 16)
        for name in os.listdir(state + '-before'):
            if first or not name.startswith('relay.db'):
                subprocess.run(['cp', '-a', os.path.join(state + '-before', name), state], check=True)
        subprocess.run(['chown', '-R', user, node.dir], check=True)
        if first:
            node.site.relay_conf = os.path.join(node.dir, 'relay.conf')
            node.site.relay_admin('store', 'push')
        node.start()

    @classmethod
    def logs(cls):
        return super().logs() + [path for n in getattr(cls, 'nodes', []) for path in [os.path.join(n.dir, 'log')] if os.path.exists(path)]

    def daemons(self):
        return [*[n.daemon for n in self.nodes], *[c.daemon for c in self.site.connectors.values()]]

    def whole(self):
        """Whoever is gone is started again, and all are ready."""
        for i, server in enumerate(self.nats.processes):
            if not server or server.poll() is not None:
                self.nats.start(i)
        for c in self.site.connectors.values():
            if not c.daemon.alive():
                c.start()
        for n in self.nodes:
            wait_for(f'all connectors are ready at {n.name}', lambda n=n: n.ready() == len(self.site.connectors))

    def pids(self):
        """name -> pid of every process of the site."""
        return {f'{d.name} {name}': pid for d in self.daemons() for name, pid in [('itself', d.pid), *d.children().items()]}

    def of_each(self, look):
        """name -> what look(pid) gives; without those that end meanwhile."""
        found = {}
        for name, pid in self.pids().items():
            try:
                found[name] = look(pid)
            except (OSError, StopIteration):
                continue
        return found

    def descriptors(self):
        return self.of_each(lambda pid: len(os.listdir(f'/proc/{pid}/fd')))

    def memory(self):
        """name -> kilobytes that it holds."""
        def look(pid):
            with open(f'/proc/{pid}/status', encoding='ascii') as f:
                return next(int(line.split()[1]) for line in f if line.startswith('VmRSS'))
        return self.of_each(look)

    def settled(self, before):
        """No process holds more descriptors than at the beginning, but for a few connections that are kept for later."""
        now = self.descriptors()
        more = {name: (before.get(name), n) for name, n in now.items() if n > before.get(name, 0) + KEPT + (POOLS if 'valid' in name else 0)}
        if more or now.keys() != before.keys():
            self.unsettled = f'more descriptors than before: {more}, or other processes: {sorted(now.keys() ^ before.keys())}'
            return False
        return True

    @staticmethod
    def decided(driver, moment):
        """How many of the latest sign-ins ended with a decision, one after the other: a busy machine may lose one now and then."""
        n = 0
        for answer in reversed(driver.since(moment)):
            if answer.lost:
                break
            n += 1
        return n

    def watch(self, driver, lanes, workers, began):
        """Until it has lasted as long as it shall; says each minute how far it is."""
        told = 0
        while time.monotonic() < began + SECONDS:
            time.sleep(max(0.0, min(60.0, began + SECONDS - time.monotonic())))
            print(f'  {time.monotonic() - began:.0f} s, {sum(self.memory().values()) // 1024} MB, {sum(self.descriptors().values())} descriptors:', flush=True)
            self.tell(driver, lanes, sorted(h for w in workers for h in w.happened))
            for answer in driver.wrong()[told:]:
                print(f'  WRONG: {answer}', flush=True)
            told = len(driver.wrong())

    def test_chaos(self):
        site, ended, admin = self.site, threading.Event(), Admin()
        self.addCleanup(admin.close)
        self.whole()
        with Driver(self.services) as driver:  # once without faults: pools, caches and connections are as large as they get
            wait_for('sign-ins', lambda: len(driver.since(0)) >= 3 * AFTER)
        self.assertEqual(driver.wrong(), [])
        descriptors, memory = self.descriptors(), self.memory()
        dcs = [LAB['LAB_AD_ADDRESS'], LAB['LAB_AD2_ADDRESS'], FRONT]
        how = SEED, ended, self.starter
        workers = [chaos.ConnectorWorker(c, self.clocks[c.name], users, [n.port for n in self.nodes[:2]], dcs, *how)
                   for c, users in zip(site.connectors.values(), chaos.USERS)]
        clients = [client for client, _, _ in self.nats.ports]
        workers += [chaos.RelayWorker(n, self.clocks[n.name], user, clients, *how) for n, user in zip(self.nodes, chaos.NODE_USERS)]
        workers += [chaos.NatsWorker(self.nats, i, *how) for i in range(self.nats.size)]
        workers += [chaos.ClockWorker(self.clocks['services'], *how), chaos.CertificateWorker(self.front, self.good, self.bad, *how)]
        workers += [chaos.DcWorker(name, int(LAB[f'LAB_{name}_PID']), *how) for name in ('AD', 'AD2')]
        lanes = [Lane(self.services, number, admin, ended) for number in LANES]
        began = time.monotonic()
        with Driver(self.services, RATE) as driver:
            for thread in [*workers, *lanes]:
                thread.start()
            self.watch(driver, lanes, workers, began)
            ended.set()
            for thread in [*workers, *lanes]:
                thread.join()
            self.assertEqual([f'{t.name}: {t.fault!r}' for t in [*workers, *lanes] if t.fault], [])
            self.whole()
            moment = time.monotonic()
            wait_for('sign-ins after it, each decided', lambda: self.decided(driver, moment) >= AFTER)
        happened = sorted(h for w in workers for h in w.happened)
        self.tell(driver, lanes, happened)
        trace = self.trace(driver, happened, began)
        if os.environ.get('POSTERN_CHAOS_TRACE'):
            print(trace)
        self.assertEqual(driver.wrong(), [], trace)
        self.assertEqual([lane.accepted for lane in lanes if lane.accepted], [])
        self.assertLess(max(a.ended - a.began for a in driver.answers), HANGS_S, trace)
        try:
            wait_for('no more descriptors than before', lambda: self.settled(descriptors), 60)
        except postern_site.SiteError:
            self.fail(self.unsettled)
        self.tell_growth(descriptors, memory)
        self.check_memory(memory)

    def tell_growth(self, descriptors, memory):
        now, held = self.descriptors(), self.memory()
        print(f'  descriptors before and after: {sum(descriptors.values())}, {sum(now.values())}; memory of all processes: '
              f'{sum(memory.values()) // 1024}, {sum(held.values()) // 1024} MB', flush=True)

    def check_memory(self, before):
        """Memory is compared where no sanitizer keeps what was freed."""
        now = self.memory()
        more = {name: (before[name], n) for name, n in now.items() if name in before and n > before[name] * 1.5 + 8192}
        self.assertEqual({} if sanitized(self.site) else more, {})

    @staticmethod
    def trace(driver, happened, began):
        lines = [(at, f'{name} {what}') for at, name, what in happened]
        seconds = collections.defaultdict(collections.Counter)
        for a in driver.answers:
            seconds[int(a.began - began)][a.word if a.lost else 'decided'] += 1
        lines += [(began + second + 0.999, '    ' + ', '.join(f'{word} {n}' for word, n in sorted(words.items())))
                  for second, words in seconds.items()]
        return ''.join(f'  {at - began:6.1f} {text}\n' for at, text in sorted(lines))

    @staticmethod
    def tell(driver, lanes, happened):
        kinds = collections.Counter(what.split()[0] for _, _, what in happened)
        lost = driver.lost()
        words = collections.Counter(a.word for a in lost)
        print(f'  {len(happened)} faults ({", ".join(f"{what} {n}" for what, n in sorted(kinds.items()))}); {len(driver.answers)} sign-ins, '
              f'{len(lost)} undecided ({", ".join(f"{word} {n}" for word, n in sorted(words.items()))}), {len(driver.wrong())} wrong; '
              f'wrong passwords: told {sum(lane.told for lane in lanes)}, unknown {sum(lane.unknown for lane in lanes)}, '
              f'counted {sum(lane.counted for lane in lanes)}', flush=True)


def sanitized(site):
    with open(site.program('postern-relay'), 'rb') as f:
        return b'__asan_init' in f.read()


if __name__ == '__main__':
    if os.geteuid() != 0:
        print('needs root: users of its own for each connector, mounts, a firewall')
        sys.exit(77)
    from e2e import main
    main()
