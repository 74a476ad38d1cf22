"""What idle links cost the relay: memory and CPU of each, both of its connections counted, and whether any is lost while others join.

usage: idle.py RELAY FORGE [CONNECTORS [NEW]]      1000 connectors and 200 new ones where nothing is said

Connectors are made by hand: a stream, a first report, and then what an idle one says, as often as the relay asks for. The driver's own
work is not counted; the kernel's buffers are not either.
"""
import heapq
import json
import os
import resource
import select
import socket
import ssl
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'queue', 'relay'))
import relay_site  # noqa: E402
from relay_site import Relay, b64u, forge  # noqa: E402

PER_TENANT, WATCHED_S = 1000, 20


class Link:
    """A stream and a connection for reports."""

    def __init__(self, site, tenant, id):
        self.site, self.boot = site, b64u(os.urandom(16))
        context = site.context
        context.load_cert_chain(os.path.join(site.dir, id + '.pem'), site.key)
        self.stream = self.connect(context)
        self.stream.sendall(f'GET /v1/link/stream?boot={self.boot} HTTP/1.1\r\nHost: relay\r\n\r\n'.encode())
        seen = b''
        while b'event: hello' not in seen or not seen.endswith(b'\n\n\r\n'):
            part = self.stream.recv(4096)
            if not part:
                raise OSError(f'no hello: {seen!r}')
            seen += part
        hello = json.loads(seen.split(b'event: hello\ndata: ', 1)[1].split(b'\n', 1)[0])
        self.session, self.every = hello['session'], hello['report'] / 1000
        self.reports = self.connect(context)
        self.report()

    def __lt__(self, other):
        return self.due < other.due

    def connect(self, context):
        raw = socket.create_connection(('127.0.0.1', self.site.relay.port), 60)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return context.wrap_socket(raw)

    def report(self):
        body = json.dumps({'session': self.session, 'boot': self.boot, 'granted': 16, 'ready': {}, 'reasons': ['no_roster'], 'load': 0.0,
                           'items': []})
        self.reports.sendall(f'POST /v1/link/report HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\n'
                             f'Content-Length: {len(body)}\r\n\r\n{body}'.encode())
        answer = self.reports.recv(4096)
        if b' 200 ' not in answer.split(b'\r\n', 1)[0]:
            raise OSError(f'a report was refused: {answer!r}')
        self.due = time.monotonic() + self.every * 0.8


class Site:
    def __init__(self, n):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(2 * n + 600, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
        self.relay = Relay(log_level='warning', connections=2 * n + 64, connections_per_address=2 * n + 64, links_per_tenant=1024)
        self.dir, self.key = self.relay.path('links'), self.relay.path('links.key')
        os.mkdir(self.dir)
        forge('key', self.key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.load_verify_locations(self.relay.path('server.pem'))
        self.context.check_hostname = False
        self.links, self.tenants = [], 0

    def enrolled(self, n):
        """(tenant, id) of n more connectors."""
        made = []
        while len(made) < n:
            self.tenants += 1
            tenant, some = f'tenant-{self.tenants}', min(PER_TENANT, n - len(made))
            self.relay.cli('tenant', 'add', tenant, '--pin', self.relay.tenant_key['pin'])
            made += [(tenant, id) for id in forge('links', self.relay.path('state'), tenant, some, self.key, self.dir).split()]
        return made

    def join(self, who):
        began = time.monotonic()
        for tenant, id in who:
            heapq.heappush(self.links, Link(self, tenant, id))
            self.speak()
        return len(who) / (time.monotonic() - began)

    def speak(self):
        """Reports that are due."""
        now = time.monotonic()
        while self.links and self.links[0].due <= now:
            link = self.links[0]
            link.report()
            heapq.heapreplace(self.links, link)

    def lost(self):
        """Streams that the relay has ended."""
        n, poll = 0, select.poll()
        streams = {link.stream.fileno(): link.stream for link in self.links}
        for fd in streams:
            poll.register(fd, select.POLLIN | select.POLLRDHUP)
        for fd, events in poll.poll(0):
            n += bool(events & (select.POLLRDHUP | select.POLLHUP | select.POLLERR))
        return n

    def cpu(self):
        with open(f'/proc/{self.relay.process.pid}/stat', encoding='ascii') as f:
            fields = f.read().rsplit(')', 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def pss(self):
        pids = [self.relay.process.pid, *map(int, subprocess.run(['pgrep', '-P', str(self.relay.process.pid)], text=True,
                                                                 stdout=subprocess.PIPE).stdout.split())]
        total = 0
        for pid in pids:
            with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith('Pss:'))
        return total


def main(n, new):
    site = Site(n + new)
    try:
        who = site.enrolled(n + new)
        before = site.pss()
        rate = site.join(who[:n])
        print(f'{n} connectors linked, {rate:.0f} a second; {(site.pss() - before) / n:.1f} KiB each, both connections', flush=True)
        cpu, began = site.cpu(), time.monotonic()
        while time.monotonic() - began < WATCHED_S:
            site.speak()
            time.sleep(0.02)
        share = (site.cpu() - cpu) / (time.monotonic() - began)
        print(f'idle: {share * 100:.1f} % of a processor, {share * 1e6 / n:.1f} us each second for each; they report every '
              f'{max(link.every for link in site.links):.0f} s at most; {site.lost()} lost', flush=True)
        cpu = site.cpu()
        rate = site.join(who[n:])
        print(f'{new} more, {rate:.0f} a second (the driver\'s work included): {(site.cpu() - cpu) * 1000 / new:.2f} ms of CPU each; '
              f'{site.lost()} of all lost', flush=True)
        for link in site.links:
            link.stream.close()
            link.reports.close()
        relay_site.wait_for('all are gone', lambda: len(os.listdir(f'/proc/{site.relay.process.pid}/fd')) < 64)
        time.sleep(1)  # the relay looks twice a second
        print(f'all gone: {site.pss() - before} KiB more than before', flush=True)
    finally:
        site.relay.close()


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = sys.argv[1:3]
    main(*(list(map(int, sys.argv[3:5])) + [1000, 200][len(sys.argv) - 3:]))
