"""What idle links cost the relay: memory and CPU of each, both of its connections counted; whether one is lost while others join, 200 a
second; and how long they take to come back when the relay was killed.

usage: idle.py RELAY FORGE LINKS [CONNECTORS [NEW [WATCHED_S]]]      1000 connectors, 200 new ones and 20 s where nothing is said

LINKS is the driver (links.c). 10 000 links take 20 000 and some descriptors of the relay, and as many of the driver (`ulimit -Hn`); with fewer
than that as many connectors are taken as go. The driver's work is not counted, and the kernel's buffers are not either.
"""
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'queue', 'relay'))
import relay_site  # noqa: E402
from relay_site import Relay, forge, wait_for  # noqa: E402

PER_TENANT, RATE, BESIDE = 500, 200, 64
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Driver:
    """The links, in a process of their own."""

    def __init__(self, program, relay, whom, files):
        self.process = subprocess.Popen([program, str(relay.port), relay.path('server.pem'), *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.say(*[f'add {who}' for who in whom])

    def say(self, *lines):
        self.process.stdin.write(''.join(line + '\n' for line in lines))
        self.process.stdin.flush()

    def join(self, count):
        self.say(f'join {count} {RATE}')

    def status(self):
        """What happened since the last call."""
        self.say('status')
        return json.loads(self.process.stdout.readline())

    def until(self, what, reached, seconds):
        """The status when it is reached, with all that was counted meanwhile."""
        counted = dict.fromkeys(('lost', 'failed', 'refused', 'silent', 'reports', 'renewed', 'put_off'), 0)

        def look():
            time.sleep(0.1)
            now = self.status()
            for key in counted:
                counted[key] += now[key]
            counted['why'] = now['why'] or counted.get('why', '')
            return {**now, **counted} if reached(now) else None
        return wait_for(what, look, seconds)

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)


class Site:
    def __init__(self, n, links_per_tenant=1024):
        self.port = free_port()
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
        self.relay = Relay(log_level='warning', listen=f'127.0.0.1:{self.port}', connections=2 * n + BESIDE,
                           connections_per_address=2 * n + BESIDE, links_per_tenant=links_per_tenant)
        self.dir, self.key = self.relay.path('links'), self.relay.path('links.key')
        os.mkdir(self.dir)
        forge('key', self.key)

    def enrolled(self, n):
        """n connectors, each with its tenant."""
        whom = []
        while len(whom) < n:
            tenant, some = f'tenant-{len(whom)}', min(PER_TENANT, n - len(whom))
            self.relay.cli('tenant', 'add', tenant, '--pin', self.relay.tenant_key['pin'])
            whom += [f'{id} {tenant}' for id in forge('links', self.relay.path('state'), tenant, some, self.key, self.dir).split()]
        return whom

    def pids(self):
        main = self.relay.process.pid
        return [main, *map(int, subprocess.run(['pgrep', '-P', str(main)], text=True, stdout=subprocess.PIPE).stdout.split())]

    def cpu_us(self):
        """Of all of its processes."""
        total = 0
        for pid in self.pids():
            with open(f'/proc/{pid}/schedstat', encoding='ascii') as f:
                total += int(f.read().split()[0]) / 1000
        return total

    def cpu(self):
        return self.cpu_us() / 1e6

    def close(self):
        if self.relay.process.poll() is None:
            self.relay.process.send_signal(signal.SIGTERM)
        self.relay.close()

    def pss(self):
        total = 0
        for pid in self.pids():
            with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as f:
                total += sum(int(line.split()[1]) for line in f if line.startswith('Pss:'))
        return total


def came(status):
    return f"{status['lost']} lost, {status['failed']} attempts failed" + (f" ({status['why']})" if status['why'] else '')


def measure(site, links, n, new, watched):
    before, cpu, began = site.pss(), site.cpu(), time.monotonic()
    links.join(n)
    joined = links.until('all are linked', lambda s: s['live'] == n, 600)
    took = time.monotonic() - began
    print(f'{n} connectors linked, {n / took:.0f} a second, {(site.cpu() - cpu) * 1000 / n:.2f} ms of CPU each; {came(joined)}; '
          f'{(site.pss() - before) / n:.1f} KiB each, both connections (goal 40)', flush=True)

    links.status()
    cpu, began = site.cpu(), time.monotonic()
    time.sleep(watched)
    seen, took = links.status(), time.monotonic() - began
    share = (site.cpu() - cpu) / took
    print(f"idle: {share * 100:.1f} % of a processor (goal 10 with 10000), {share * 1e6 / n:.1f} us each second for each; "
          f"{seen['reports'] / took:.0f} reports a second, every {seen['every_ms'] / 1000:.0f} s at most, the slowest took "
          f"{seen['slowest_ms']} ms; {came(seen)}; {(site.pss() - before) / n:.1f} KiB each", flush=True)

    cpu, began = site.cpu(), time.monotonic()
    links.join(new)
    seen = links.until('the new ones are linked', lambda s: s['live'] == n + new, 600)
    took = time.monotonic() - began
    print(f'{new} more, {new / took:.0f} a second: {(site.cpu() - cpu) * 1000 / new:.2f} ms of CPU each; {came(seen)} of all', flush=True)

    site.relay.process.kill()
    began = time.monotonic()
    site.relay.process.wait()
    site.relay.start()
    up = time.monotonic() - began
    seen = links.until('all are back', lambda s: s['live'] == n + new, 600)
    print(f"kill -9, up after {up:.1f} s: all {n + new} links back after {time.monotonic() - began:.1f} s (goal 60), "
          f"{seen['failed']} attempts failed; {site.cpu():.1f} s of CPU", flush=True)

    links.say('leave')
    wait_for('all are gone', lambda: len(os.listdir(f'/proc/{site.relay.process.pid}/fd')) < 64)
    time.sleep(1)  # the relay looks twice a second
    print(f'all gone: {site.pss() - before} KiB more than before', flush=True)


def main(driver, n, new, watched):
    most = (FILES - 64 - BESIDE) // 2
    if n + new > most:
        print(f'{FILES} descriptors a process (ulimit -Hn) are enough for {most} links: {most - new} and {new} instead of {n} and {new}', flush=True)
        n = most - new
    site = Site(n + new)
    links = None
    try:
        links = Driver(driver, site.relay, site.enrolled(n + new), [site.key, site.dir])
        measure(site, links, n, new, watched)
    finally:
        if links:
            links.close()
        site.close()


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE = sys.argv[1:3]
    main(sys.argv[3], *(list(map(int, sys.argv[4:7])) + [1000, 200, 20][len(sys.argv) - 4:]))
