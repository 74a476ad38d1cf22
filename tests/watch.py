#!/usr/bin/python3 -SE
"""Runs one test for `meson test`: ends it when it hangs, telling what each of its processes was doing, and notes its CPU time.

usage: watch.py [--at-least=SECONDS] BUILD COMMAND...

The limit is the test's `timeout:` in meson.build, 120 seconds at least; 0 is none. They are seconds of a quiet machine: one in
which N processes want each processor counts as the Nth part of a second. So no other work fails a test, and a test
that hangs ends minutes after the machine has nothing else to do.

Processes that outlive their test by more than a moment are told and ended, and the test fails: meson would wait for
ever for one that holds the test's output.

BUILD/meson-logs/cpu.tsv gets a line: the test's name, or the command's, seconds of CPU of all its processes, seconds
that it took. `run_tests.py costs` adds them up.
"""
import os
import resource
import signal
import sys
import time

AT_LEAST = 120
END_S, STACK_S, OUTLIVE_S = 15, 20, 2
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
HUNG, LEFT = 124, 1
PASSES = 0, 77  # a test that passed, and one that skipped itself


def declared(build, command):
    """(name, limit) of the test that is run by this command, which may stand in another one; no limit for what is no test."""
    import json
    for kind in 'tests', 'benchmarks':
        with open(os.path.join(build, 'meson-info', f'intro-{kind}.json'), encoding='utf-8') as f:
            for test in json.load(f):
                if command[-len(test['cmd']):] == test['cmd']:
                    around = '' if command == test['cmd'] else ' in ' + os.path.basename(command[0])
                    return test['name'] + around, test['timeout']
    return os.path.basename(command[0]), 0


def start(command):
    """The test's pid. What its processes leave behind becomes ours, so that it is found and its CPU time counts."""
    import ctypes
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    child = os.fork()
    if child:
        return child
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    for number in signal.valid_signals():  # some this interpreter ignores, others a shell for what runs behind it
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)  # exec would pass that on
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    os.environ['PYTHONFAULTHANDLER'] = '1'
    try:
        os.execvp(command[0], command)
    except OSError as e:
        print(f'{command[0]}: {e.strerror}', file=sys.stderr)
        os._exit(127)


def share():
    """The part of a processor that one process gets now, 1 on a quiet machine."""
    with open('/proc/loadavg', encoding='ascii') as f:
        wanting = int(f.read().split()[3].split('/')[0])
    return min(1.0, (os.cpu_count() or 1) / max(1, wanting))


def read(pid, name):
    try:
        with open(f'/proc/{pid}/{name}', encoding='utf-8', errors='replace') as f:
            return f.read()
    except OSError as e:
        return f'({e.strerror})' if name == 'stack' else ''


def offspring():
    """Every process below this one, parents first."""
    found, parents = [], [os.getpid()]
    while parents:
        parent = parents.pop(0)
        tasks = os.listdir(f'/proc/{parent}/task') if os.path.isdir(f'/proc/{parent}/task') else []
        children = [int(pid) for task in tasks for pid in read(parent, f'task/{task}/children').split()]
        found += children
        parents += children
    return found


def is_test_in_python(pid):
    """Whether it is an interpreter of a test: not the lab, which still has to take its servers down."""
    words = read(pid, 'cmdline').split('\0')
    return read(pid, 'comm').startswith('python') and not any(word.endswith('lab/lab') for word in words)


def tell(pid):
    """What a process is doing, on stderr."""
    import shutil
    import subprocess
    state = read(pid, 'stat').rpartition(')')[2].split()[:2]
    command = read(pid, 'cmdline').replace('\0', ' ').strip() or read(pid, 'comm').strip()
    print(f'--- {pid}, state and parent {" ".join(state)}, waits in {read(pid, "wchan") or "?"}: {command[:300]}', file=sys.stderr)
    stack = read(pid, 'stack').strip()
    if stack:
        print(stack, file=sys.stderr)
    if state[:1] == ['Z'] or is_test_in_python(pid) or not shutil.which('gdb'):
        return
    try:
        said = subprocess.run(['gdb', '-batch', '-nx', '-p', str(pid), '-ex', 'thread apply all bt 25'], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=STACK_S, check=False).stdout.decode(errors='replace')
        print(''.join(line + '\n' for line in said.splitlines() if line.startswith(('#', 'Thread'))), end='', file=sys.stderr)
    except subprocess.TimeoutExpired:
        print('(gdb gave no stack)', file=sys.stderr)


def send(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


class Watch:
    def __init__(self, child):
        self.child, self.status = child, None

    def reap(self, seconds, everybody=False):
        """Collects who ended, for so long or until the test has, or everybody below it; whether that is so."""
        until = time.monotonic() + seconds
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return True
            if pid == self.child:
                self.status = status
            left = until - time.monotonic()
            ended = self.status is not None and not everybody
            if not pid and (ended or left <= 0):
                return ended
            if not pid:
                signal.sigtimedwait([signal.SIGCHLD], left)

    def wait(self, limit, everybody=False):
        """Whether the test, or everybody below it, ended within so many seconds of a quiet machine; 0 is no limit."""
        used, last = 0.0, time.monotonic()
        while not self.reap(1, everybody):
            now = time.monotonic()
            used, last = used + (now - last) * share(), now
            if limit and used > limit:
                return False
        return True

    def end_left(self, name):
        """Says who outlived the test, and ends them; whether there was any."""
        if self.wait(OUTLIVE_S, everybody=True):
            return False
        pids = offspring()
        print(f'watch.py: {name} ended, but left these processes behind:', file=sys.stderr)
        for pid in pids:
            tell(pid)
        sys.stderr.flush()
        send(pids, signal.SIGKILL)
        until = time.monotonic() + END_S
        while not self.reap(0.1, everybody=True) and time.monotonic() < until:
            send(offspring(), signal.SIGKILL)
        return True

    def end(self):
        """Says what hangs, and ends it: Python's own stacks by SIGABRT, then all others, the lab's servers last."""
        pids = offspring()
        for pid in pids:
            tell(pid)
        sys.stderr.flush()
        for pid in filter(is_test_in_python, pids):
            try:
                resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
            except (ProcessLookupError, PermissionError):
                continue  # gone already, or another user's: SIGKILL ends it below
            send([pid], signal.SIGABRT)
        if not self.reap(END_S):
            send([self.child], signal.SIGTERM)
            self.reap(END_S)
        send(offspring(), signal.SIGKILL)
        self.reap(END_S, everybody=True)


def main(argv):
    at_least = AT_LEAST
    if argv[0].startswith('--at-least='):
        at_least = int(argv.pop(0).partition('=')[2])
    build, *command = argv
    name, limit = declared(build, command)
    limit = limit and max(limit, at_least)
    began = time.monotonic()
    watch = Watch(start(command))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meson signals our group: the test ends, and so do we
    ended = watch.wait(limit)
    if not ended:
        print(f'watch.py: {name} hangs: no end after {limit} s of a quiet machine ({time.monotonic() - began:.0f} s by the clock)', file=sys.stderr)
        watch.end()
    left = ended and watch.end_left(name)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # os.times() counts whole hundredths only
    with open(os.path.join(build, 'meson-logs', 'cpu.tsv'), 'a', encoding='ascii') as f:
        f.write(f'{name}\t{used.ru_utime + used.ru_stime:.2f}\t{time.monotonic() - began:.2f}\n')
    if not ended:
        return HUNG
    code = os.waitstatus_to_exitcode(watch.status)
    if code < 0:  # as meson tells a signal: of itself
        if -code != signal.SIGKILL:  # the one that nobody can set
            signal.signal(-code, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), -code)
    return LEFT if left and code in PASSES else code


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
