"""What a sign-in costs the relay where there is much beside it: with 10000 tenants against one, 40 connectors against one, 700 in flight
against 10. Whole sign-ins, from the service's POST to its answer, with connectors that answer at once and check nothing: what is measured is
the CPU of the relay and its store process alone, in turns, so that a busy machine disturbs both sides alike.

usage: ratios.py RELAY FORGE [TENANTS [COUNT [ROUNDS]]]      10000 tenants, 2000 sign-ins a turn and 5 rounds where nothing is said

The goal is that no ratio is above 1.2.
"""
import hashlib
import json
import os
import random
import re
import select
import socket
import sqlite3
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'queue', 'relay'))
import relay_site  # noqa: E402
from relay_site import Connector, Relay, new_id  # noqa: E402

VERDICT = 'a' * 64 + '..' + 'b' * 16 + '.' + 'c' * 2731 + '.' + 'd' * 22  # as long as a real one
SEALED = 16  # texts to take from
REQUEST = re.compile(rb'event: request\ndata: (\S+) ')


class Wire:
    """A TLS connection that is read when there is something."""

    def __init__(self, relay, poll, owner, credentials=()):
        raw = socket.create_connection(('127.0.0.1', relay.port), 60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.tls = relay.context(*credentials).wrap_socket(raw)
        self.owner, self.seen, self.poll = owner, b'', poll
        poll.add(self)

    def fileno(self):
        return self.tls.fileno()

    def read(self):
        self.seen += self.tls.recv(65536)
        while self.tls.pending():
            self.seen += self.tls.recv(65536)

    def answer(self):
        """The body of the one answer that has come whole; None: not yet."""
        head, mark, body = self.seen.partition(b'\r\n\r\n')
        if not mark or len(body) < int(re.search(rb'(?i)content-length: (\d+)', head)[1]):
            return None
        self.seen = b''
        if not head.startswith(b'HTTP/1.1 200'):
            raise AssertionError(f'{head!r} {body!r}')
        return body


class Poll:
    def __init__(self):
        self.epoll, self.wires = select.epoll(), {}

    def add(self, wire):
        self.wires[wire.fileno()] = wire
        self.epoll.register(wire.fileno(), select.EPOLLIN)

    def turn(self):
        for fd, _ in self.epoll.poll(5):
            wire = self.wires[fd]
            wire.read()
            wire.owner.ready(wire)


class Answering:
    """A connector that says a verdict to whatever comes; as a link does, one report at a time."""

    def __init__(self, relay, poll, n):
        self.by_hand = Connector(relay, f'connector-{n}')
        self.relay, self.poll, self.granted, self.items = relay, poll, 1000, []

    def link(self):
        c = self.by_hand
        c.go(credit=1000)
        self.stream = Wire.__new__(Wire)
        self.stream.tls, self.stream.owner, self.stream.seen, self.stream.poll = c.stream, self, c.events, self.poll
        self.poll.add(self.stream)
        self.reports, self.busy = Wire(self.relay, self.poll, self, c.credentials()), False

    def ready(self, wire):
        if wire is self.reports:
            if wire.answer() is not None:
                self.busy = False
        else:
            last = 0
            for found in REQUEST.finditer(wire.seen):
                if wire.seen.find(b'\n\n', found.end()) < 0:
                    break
                self.items.append({'id': found[1].decode(), 'is': 'verdict', 'jwe': VERDICT})
                last = wire.seen.find(b'\n\n', found.end())
            wire.seen = wire.seen[last:]
        if self.items and not self.busy:
            self.report()

    def report(self, statement=None):
        items, self.items = self.items[:64], self.items[64:]
        self.granted += len(items)
        body = {'session': self.by_hand.session, 'boot': self.by_hand.boot, 'granted': self.granted, 'ready': {'corp.example': True},
                'reasons': [], 'load': 0.0, 'items': items, **({'statement': statement} if statement else {})}
        text = json.dumps(body)
        self.reports.tls.sendall(f'POST /v1/link/report HTTP/1.1\r\nHost: r\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n'
                                 f'{text}'.encode())
        self.busy = True


class Callers:
    """So many sign-ins under way."""

    def __init__(self, site, count, in_flight):
        self.site, self.left, self.ended, self.count = site, count, 0, count
        while len(site.callers) < in_flight:
            site.callers.append(Wire(site.relay, site.poll, None))
        for wire in site.callers[:in_flight]:
            wire.owner = self
            self.ask(wire)

    def ask(self, wire):
        if self.left == 0:
            return
        self.left -= 1
        body = random.choice(self.site.sealed)
        wire.tls.sendall(f'POST {self.site.relay.tenant_path("sign-ins")} HTTP/1.1\r\nHost: r\r\nAuthorization: Bearer {self.site.relay.service}\r\n'
                         f'Content-Type: application/postern-request\r\nPostern-Id: {new_id()}\r\nPostern-Budget: 15000\r\n'
                         f'Content-Length: {len(body)}\r\n\r\n{body}'.encode())

    def ready(self, wire):
        if wire.answer() is not None:
            self.ended += 1
            self.ask(wire)

    def run(self):
        while self.ended < self.count:
            self.site.poll.turn()


class Site:
    def __init__(self, connectors=1, tenants=0):
        self.relay = Relay(log_level='warning', sign_ins_per_second=100000, sign_in_burst=100000, in_flight_per_tenant=4096,
                           connections_per_address=4096)
        if tenants:
            self.fill(tenants)
        self.poll, self.callers = Poll(), []
        self.connectors = [Answering(self.relay, self.poll, i) for i in range(connectors)]
        self.relay.approve(*[c.by_hand for c in self.connectors])
        for c in self.connectors:
            c.link()
        self.sealed = [self.relay.seal(*[c.by_hand for c in random.sample(self.connectors, min(4, connectors))]) for _ in range(SEALED)]

    def fill(self, n):
        self.relay.stop()
        now = int(time.time())
        with sqlite3.connect(self.relay.path('state/relay.db')) as db:
            for i in range(n):
                db.execute('INSERT INTO tenant VALUES(?,?,?)', (f'tenant-{i}', self.relay.tenant_key['pin'], now))
                db.execute('INSERT INTO secret VALUES(?,1,?,?)', (f'tenant-{i}', hashlib.sha256(str(i).encode()).digest(), now))
        self.relay.start()

    def cpu_us(self):
        main = self.relay.process.pid
        pids = [main, *subprocess.run(['pgrep', '-P', str(main)], text=True, stdout=subprocess.PIPE).stdout.split()]
        total = 0
        for pid in pids:
            with open(f'/proc/{pid}/schedstat', encoding='ascii') as f:
                total += int(f.read().split()[0]) / 1000
        return total

    def turn(self, count, in_flight):
        """us of CPU for each."""
        before = self.cpu_us()
        Callers(self, count, in_flight).run()
        return (self.cpu_us() - before) / count


def main(tenants, count, rounds):
    sites = []
    try:
        one, many, forty = sites = [Site(), Site(tenants=tenants), Site(connectors=40)]
        turns = {'1 tenant, 1 connector, 10 in flight': (one, 10), f'{tenants} tenants': (many, 10), '40 connectors': (forty, 10),
                 '700 in flight': (one, 700)}
        took = {name: [] for name in turns}
        for i in range(rounds + 1):  # the first is to warm up
            for name, (site, in_flight) in turns.items():
                us = site.turn(count, in_flight)
                if i:
                    took[name].append(us)
        base = took.pop('1 tenant, 1 connector, 10 in flight')
        print(f'a sign-in with 1 tenant, 1 connector and 10 in flight: {statistics.median(base):.0f} us of the relay and its store', flush=True)
        for name, us in took.items():
            ratio = statistics.median(a / b for a, b in zip(us, base))
            print(f'{name}: {statistics.median(us):.0f} us, x {ratio:.2f} (median of {rounds}; goal 1.2)', flush=True)
    finally:
        for site in sites:
            site.relay.close()


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = sys.argv[1:3]
    main(*(list(map(int, sys.argv[3:6])) + [10000, 2000, 5][len(sys.argv) - 3:]))
