"""A Debian with a real systemd as PID 1, made by mmdebstrap and booted by systemd-nspawn, with Postern installed into it.

The tree is kept in the lab's cache; each boot has a copy of it in memory, which is gone with it, and a network of its own. It holds
Debian's own systemd and the libraries that the build links, and so is of the same release as the machine that built.
"""
import ctypes
import glob
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lab'))
import lab_system as system  # noqa: E402

BASE = ['systemd', 'systemd-sysv', 'dbus', 'ca-certificates', 'openssl']
BOOT_S = 120
LIBC, PR_SET_PDEATHSIG = ctypes.CDLL(None), 1


class MachineError(Exception):
    """The machine could not be made or booted; the text says why."""


def release():
    with open('/etc/os-release', encoding='utf-8') as f:
        values = dict(line.rstrip('\n').split('=', 1) for line in f if '=' in line)
    return values.get('VERSION_CODENAME', '').strip('"')


def packages_of(libraries):
    """The Debian packages that these libraries of this machine are from."""
    names = {name: path for path in libraries for name in (path, os.path.realpath(path), '/usr' + path, path.removeprefix('/usr'))}
    said = subprocess.run(['dpkg', '-S', *names], capture_output=True, text=True, check=False).stdout  # it fails for the names that are none
    found = {names[name]: package.split(':')[0] for package, name in re.findall(r'^(\S+): (/.*)$', said, re.M)}
    lacking = set(libraries) - set(found)
    if lacking:
        raise MachineError(f'no Debian package holds {", ".join(sorted(lacking))}, which the build links')
    return sorted(set(found.values()))


def libraries(build):
    """The packages with what the installed programs are linked to."""
    programs = [os.path.join(build, p) for p in ('connector/posternd', 'connector/cli/postern', 'queue/relay/postern-relay')]
    programs += [os.path.join(build, 'connector', part, f'postern-{part}') for part in ('link', 'validator', 'ledger', 'keyholder', 'account')]
    paths = set()
    for program in programs:
        said = subprocess.run(['ldd', program], check=True, capture_output=True, text=True).stdout
        paths |= set(re.findall(r'=> (/\S+)', said))
    return packages_of(paths)


def sources():
    """Where apt of this machine finds Debian itself, and how it gets there; none: mmdebstrap's own choice."""
    found = [path for path in ('/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list')
             if os.path.exists(path) and re.search(rf'(?<![-\w]){release()}(?![-\w])', Path(path).read_text(encoding='utf-8'))]
    dump = subprocess.run(['apt-config', 'dump'], capture_output=True, text=True, check=False).stdout
    options = [line for line in dump.splitlines() if re.match(r'Acquire::(https?::Proxy|Check-Valid-Until|Check-Date) "', line)]
    return found[:1], [f'--aptopt={line}' for line in options]


# What packages bring starts when a test says so, and not at the boot: several of them want one port.
NOTHING_STARTS = '--customize-hook=rm -f "$1"/etc/rc[2-5].d/S* "$1"/etc/systemd/system/multi-user.target.wants/*'


def make_tree(folder, packages, hooks):
    tree = os.path.join(folder, 'tree')
    mirrors, options = sources()
    thin = [f'--dpkgopt=path-exclude=/usr/share/{part}/*' for part in ('man', 'locale', 'doc')] + hooks
    done = subprocess.run(['mmdebstrap', '--variant=minbase', '--include=' + ','.join(BASE + packages), *options, *thin, release(), tree,
                           *mirrors], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MachineError('mmdebstrap made no Debian tree, which the tests of the units boot (does apt reach its mirror here?):\n'
                           + '\n'.join(done.stderr.splitlines()[-8:]))


def tree(build, more=()):
    """The folder of a tree, from the cache or made now (a minute on an idle machine). more: packages besides."""
    for tool in ('mmdebstrap', 'systemd-nspawn'):
        if not shutil.which(tool):
            raise MachineError(f'{tool} is not installed; tests/packages.sh installs it')
    packages = libraries(build) + sorted(more)
    key = f"{release()}-{hashlib.sha256(' '.join(BASE + packages).encode()).hexdigest()[:16]}"
    return os.path.join(system.cached('systemd-tree', key, lambda folder: make_tree(folder, packages, [NOTHING_STARTS] if more else [])), 'tree')


class Machine:
    """A booted tree. It ends with this process, even by SIGKILL."""

    def __init__(self, build, log, more=()):
        self.log = log
        with open(log, 'wb') as out:
            self.nspawn = subprocess.Popen(
                ['systemd-nspawn', '-q', '-D', tree(build, more), '--volatile=overlay', '--register=no', '--keep-unit', '--console=pipe',
                 '--capability=all', '--private-network', '--boot'], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                # nspawn's own filter and capabilities refuse mlock, so units would fail for nspawn's sake
                env=dict(os.environ, SYSTEMD_SECCOMP='0'), start_new_session=True,
                # by SIGKILL its machine would go on without it; by SIGTERM it powers that off
                preexec_fn=lambda: LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM))
        try:
            self.leader = self.wait('systemd as PID 1', self.find_leader)
            self.root = f'/proc/{self.leader}/root'
            self.wait('the boot', lambda: self.run('systemctl', 'is-system-running', '--wait', check=False).stdout.strip() in
                      ('running', 'degraded'))
        except BaseException:
            self.close()
            raise

    def find_leader(self):
        try:
            with open(f'/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children', encoding='ascii') as f:
                pids = f.read().split()
            return next((int(p) for p in pids if os.readlink(f'/proc/{p}/exe').endswith('/systemd')), None)
        except (FileNotFoundError, PermissionError):
            return None

    def wait(self, what, probe, seconds=BOOT_S):
        deadline = time.monotonic() + seconds
        while True:
            value = probe()
            if value:
                return value
            if self.nspawn.poll() is not None or time.monotonic() > deadline:
                raise MachineError(f'{what} did not come; {self.last_words()}')
            time.sleep(0.1)

    def last_words(self):
        with open(self.log, encoding='utf-8', errors='replace') as f:
            return 'systemd-nspawn said: ' + ''.join(f.readlines()[-10:])

    def run(self, *argv, check=True, stdin=None):
        """Runs a command in the machine, as its root."""
        done = subprocess.run(['nsenter', '-t', str(self.leader), '-a', '--', *argv], capture_output=True, text=True, check=False,
                              timeout=300, input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
                              env={'PATH': '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'LC_ALL': 'C.UTF-8'})
        if check and done.returncode:
            raise MachineError(f'{" ".join(argv)} failed ({done.returncode}): {done.stdout}{done.stderr}')
        return done

    def install(self, build, staging):
        """`ninja install`, and what README says to do after it."""
        subprocess.run(['meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', staging], check=True, capture_output=True)
        subprocess.run(['cp', '-a', '--no-preserve=ownership', *glob.glob(os.path.join(staging, '*')), self.root], check=True)
        self.run('systemd-sysusers')
        self.run('systemd-tmpfiles', '--create')
        self.run('systemctl', 'daemon-reload')

    def write(self, path, text, mode=0o600, group=None):
        """A file in the machine, root's (and of the group by the machine's own names)."""
        self.run('sh', '-ec', 'umask 077; mkdir -p -m 755 "${1%/*}"; cat >"$1"; chmod "$2" "$1"; [ -z "$3" ] || chgrp "$3" "$1"', '-',
                 path, f'{mode:o}', group or '', stdin=text)

    def status(self, pid):
        """/proc/PID/status of a process, by its number in the machine."""
        text = self.run('cat', f'/proc/{pid}/status').stdout
        return {k: v.strip() for k, v in (line.split(':', 1) for line in text.splitlines() if ':' in line)}

    def processes(self, parent):
        """name -> pid of the processes that one of the machine started."""
        text = self.run('sh', '-c', 'for p in $(cat /proc/$1/task/$1/children); do echo $p $(cat /proc/$p/comm); done', '-', str(parent)).stdout
        return {name: int(pid) for pid, name in (line.split() for line in text.splitlines() if len(line.split()) == 2)}

    def close(self):
        if self.nspawn.poll() is None:
            self.nspawn.send_signal(signal.SIGTERM)
            try:
                self.nspawn.wait(30)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
