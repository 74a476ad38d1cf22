"""What the gateway costs beyond the sealing: a real gateway on a sandbox, asked over its UNIX socket on kept connections, and 5000 idle
clients beside.

usage: gateway.py BUILD [IDLE [SIGN-INS [IN-FLIGHT]]]      5000, 2000 and 16 where nothing is said; five rounds

V is what one P-256 verification takes here. `load -m` measures in the same round what sealing one request and checking its verdict take by
themselves; what doors, sealer and link take beyond that is the gateway's own. The goal is 0.7 V. `bare` measures what three processes take that
only pass it on. Sealing and checking are measured in a loop, and once more one at a time with a rest behind each, as a process does them that is
asked now and then: its code and data are in no cache then.

What the figure holds, by perf on 2026-11-30 (2.1 to 2.4 V on a machine with eight others at work, 2.6 to 3.0 V before the last mends, by turns): doors
0.5 V and link 0.8 V, half of each in the kernel, which wakes six times for a sign-in; of the sealer 0.3 V for its channels, 0.3 V for what it does
around them, and the rest because the same sealing and checking take an eighth longer between other work than in a loop. No function of the gateway's own has as much as 2 % of a process.
"""
import json
import os
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'e2e'))
from gateway_site import Gateway  # noqa: E402

ROUNDS = 5
PACE_US = 1000
BUILD = os.path.abspath(sys.argv[1])
PARTS = ('doors', 'sealer', 'link')


class Sandbox:
    """What a Site is to a Gateway."""

    def __init__(self, directory):
        self.build, self.dir = BUILD, directory
        self.env = {**os.environ, 'HOME': directory}
        self.process = subprocess.Popen([os.path.join(BUILD, 'connector/sandbox/postern-sandbox'), '--json', '--quiet'],
                                        stdout=subprocess.PIPE, text=True)
        self.facts = json.loads(self.process.stdout.readline())
        self.service = self.facts['service']

    def close(self):
        self.process.terminate()
        self.process.communicate(timeout=60)


def children(pid):
    """Its processes by their last word."""
    found = {}
    for line in subprocess.run(['ps', '-o', 'pid=,comm=', '--ppid', str(pid)], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
        number, name = line.split(None, 1)
        with open(f'/proc/{number}/cmdline', encoding='utf-8') as f:
            found[f.read().split('\0')[0].rsplit('-', 1)[-1]] = int(number)
    return {part: found[part] for part in PARTS}


def cpu_us(pid):
    with open(f'/proc/{pid}/schedstat', encoding='ascii') as f:
        return int(f.read().split()[0]) / 1000


def pss(pid):
    with open(f'/proc/{pid}/smaps_rollup', encoding='ascii') as f:
        return next(int(line.split()[1]) for line in f if line.startswith('Pss:'))


def question(i):
    """The i-th: the same account in other letters, so that no two which are under way are the same question."""
    name = ''.join(c.upper() if i >> at & 1 else c for at, c in enumerate('oksandboxinvalid'))
    body = json.dumps({'username': f'{name[:2]}@{name[2:9]}.{name[9:]}', 'password': 'sandbox'})
    return f'POST /v1/sign-in HTTP/1.1\r\nHost: g\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}'.encode()


def connected(path):
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)
    return s


def run(path, count, in_flight):
    """count sign-ins, so many under way."""
    poll, conns, started, ended = select.epoll(), {}, 0, 0
    for _ in range(in_flight):
        s = connected(path)
        conns[s.fileno()] = s
        poll.register(s.fileno(), select.EPOLLIN)
        s.sendall(question(started))
        started += 1
    while ended < count:
        for fd, _ in poll.poll():
            answer = conns[fd].recv(16384)
            if not answer.startswith(b'HTTP/1.1 200') or b'"accepted"' not in answer:
                raise AssertionError(f'no acceptance: {answer!r}')
            ended += 1
            if started < count:
                conns[fd].sendall(question(started))
                started += 1
    for s in conns.values():
        s.close()


def sealing(site, rest=0):
    done = subprocess.run([os.path.join(BUILD, 'tests/bench/load'), '-x', '-s', site.service, '-n', '1', '-p', '1', '-m', '500', '-r', str(rest)],
                          input='ok@sandbox.invalid\tsandbox\n', stdout=subprocess.PIPE, text=True, check=True, env=site.env)
    return json.loads(done.stdout.splitlines()[-1])


def bare(seal, in_flight):
    """us of CPU that three processes take for a sign-in which they only pass on."""
    done = subprocess.run([os.path.join(BUILD, 'tests/bench/bare'), str(seal['seal_us']), str(seal['check_us']), '3000', str(in_flight)],
                          stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)['us']


def measure(site, gateway, pids, count, in_flight):
    own, hops, apart = [], [], []
    run(gateway.socket, 200, in_flight)
    for _ in range(ROUNDS):
        s = sealing(site)
        before, began = {part: cpu_us(pid) for part, pid in pids.items()}, time.monotonic()
        run(gateway.socket, count, in_flight)
        rate = count / (time.monotonic() - began)
        took = {part: (cpu_us(pid) - before[part]) / count for part, pid in pids.items()}
        seal = s['seal_us'] + s['check_us']
        own.append((sum(took.values()) - seal) / s['verify_us'])
        hops.append(bare(s, in_flight) / s['verify_us'])
        paced = sealing(site, PACE_US)
        apart.append((sum(took.values()) - paced['seal_us'] - paced['check_us']) / paced['verify_us'])
        print(f"{rate:.0f}/s: " + ', '.join(f'{part} {us:.0f}' for part, us in took.items()) +
              f" us; sealing and checking alone {s['seal_us']:.0f} + {s['check_us']:.0f} us, V {s['verify_us']:.0f} us: own {own[-1]:.2f} V, of "
              f'which the hops alone {hops[-1]:.2f} V', flush=True)
    print(f'own cost, median of {ROUNDS}: {statistics.median(own):.2f} V (goal 0.7); three processes that only pass it on: '
          f'{statistics.median(hops):.2f} V; beyond sealing and checking one at a time, {PACE_US} us apart: {statistics.median(apart):.2f} V', flush=True)


def main(idle, count, in_flight):
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with tempfile.TemporaryDirectory(prefix='postern-bench-') as top:
        os.chmod(top, 0o755)
        site = Sandbox(top)
        gateway = Gateway(site, settings='sandbox = yes\nname_failures = 1000\nsource_failures = 100000\nlog_level = warning\n')
        try:
            gateway.start()
            pids = children(gateway.daemon.pid)
            measure(site, gateway, pids, count, in_flight)
            before = pss(pids['doors'])
            crowd = [connected(gateway.socket) for _ in range(idle)]
            for s in crowd:
                s.sendall(b'GET /healthz HTTP/1.1\r\nHost: g\r\n\r\n')
            for s in crowd:
                if not s.recv(4096).startswith(b'HTTP/1.1 200'):
                    raise AssertionError('an idle client was not served')
            began = cpu_us(pids['doors'])
            time.sleep(5)
            print(f"{idle} idle clients: {(pss(pids['doors']) - before) / idle:.2f} KiB each, {(cpu_us(pids['doors']) - began) / 5000:.2f} ms of CPU "
                  'a second', flush=True)
            began = cpu_us(pids['doors'])
            run(gateway.socket, count, in_flight)
            print(f"beside them doors take {(cpu_us(pids['doors']) - began) / count:.0f} us a sign-in", flush=True)
        finally:
            gateway.stop()
            site.close()


if __name__ == '__main__':
    main(*(list(map(int, sys.argv[2:5])) + [5000, 2000, 16][len(sys.argv) - 2:]))
