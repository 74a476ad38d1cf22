"""What every part of the lab stands on: daemons that can be found again, a cache made once, a free address.

A daemon is known by pid and start time, written to DIR/daemons.json as soon as it runs, and leads a session of its
own; so `down` stops exactly what `up` started, also from another process and after a crash of the first.
"""
import ctypes
import fcntl
import hashlib
import json
import os
import random
import resource
import select
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time

MARKER = '.postern-lab'
READY_SECONDS = 180  # for what hangs, not for a busy machine
STOP_SECONDS = 5
FILES_MAX = 4096
CACHE_DAYS = 7
LIBC, PR_SET_PDEATHSIG = ctypes.CDLL(None), 1
CHILDREN = {}  # pid -> Popen of the daemons that this process started
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
# Samba, krb5kdc and slapd live in sbin, which a user's PATH may lack.
SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'


class LabError(Exception):
    """Something a person can act on; shown without a traceback."""


def outer_uid():
    """The uid outside of a user namespace, where `unshare -r` shows 0."""
    with open('/proc/self/uid_map', encoding='ascii') as lines:
        for line in lines:
            inner, outer, count = (int(x) for x in line.split())
            if inner <= os.getuid() < inner + count:
                return outer + os.getuid() - inner
    return os.getuid()


def raise_loopback():
    """In a fresh network namespace `lo` is down; elsewhere this changes nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        request = bytearray(struct.pack('16sH22x', b'lo', 0))
        fcntl.ioctl(s, SIOCGIFFLAGS, request)
        flags = struct.unpack_from('H', request, 16)[0]
        if not flags & IFF_UP:
            struct.pack_into('H', request, 16, flags | IFF_UP)
            fcntl.ioctl(s, SIOCSIFFLAGS, request)


def free_address(ports):
    """A loopback address where none of these TCP ports is taken. Chance keeps labs that start together apart."""
    for _ in range(50):
        address = f'127.{random.randint(64, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}'
        if all(is_free(address, port) for port in ports):
            return address
    raise LabError('no loopback address has ports ' + ', '.join(str(p) for p in ports)
                   + ' free: a server listens on 0.0.0.0 there, or this user may not bind them')


def is_free(address, port):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((address, port))
            s.listen(1)
            return True
        except OSError:
            return False


def accepts(address, port):
    """Whether a TCP server answers there."""
    try:
        socket.create_connection((address, port), timeout=2).close()
        return True
    except OSError:
        return False


def tool(name):
    path = shutil.which(name, path=SYSTEM_PATH)
    if not path:
        raise LabError(f'{name} is not installed (tests/run.sh installs what the lab needs)')
    return path


def run(args, text=None, **env):
    """Runs a tool of the system to its end with a fixed environment; LabError with what it said when it fails."""
    done = subprocess.run([tool(args[0]), *args[1:]], input=text, capture_output=True, text=True, check=False,
                          stdin=None if text is not None else subprocess.DEVNULL,
                          env={'PATH': SYSTEM_PATH, 'LC_ALL': 'C.UTF-8', **env})
    if done.returncode:
        raise LabError(f'{args[0]} failed ({done.returncode}):\n{done.stdout}{done.stderr}'.rstrip())
    return done.stdout


def write(path, text, mode=0o600):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), 'w', encoding='utf-8') as out:
        out.write(text)


def copy_tree(source, target):
    run(['cp', '-a', '--reflink=auto', '--sparse=always', source, target])


# --- the cache


def cache_folder():
    default = os.path.join(tempfile.gettempdir(), f'postern-lab-cache-{outer_uid()}')
    return os.environ.get('POSTERN_LAB_CACHE') or default


def digest(files, *more):
    """Changes with the code that makes a thing and with the programs it is made by."""
    h = hashlib.sha256()
    here = os.path.dirname(os.path.abspath(__file__))
    for name in files:
        with open(os.path.join(here, name), 'rb') as f:
            h.update(hashlib.sha256(f.read()).digest())
    for name in more:
        found = os.stat(tool(name))
        h.update(f'{name} {found.st_size} {found.st_mtime_ns};'.encode())
    return h.hexdigest()[:16]


def cached(name, key, make):
    """The folder of cache/name-key, made by make(folder) if it isn't there. Others wait meanwhile."""
    cache = cache_folder()
    os.makedirs(cache, mode=0o700, exist_ok=True)
    owner = os.lstat(cache)
    if owner.st_uid != os.getuid() or not stat.S_ISDIR(owner.st_mode) or owner.st_mode & 0o022:
        raise LabError(f'{cache} is not a folder of this user alone; set POSTERN_LAB_CACHE')
    wanted = os.path.join(cache, f'{name}-{key}')
    if os.path.isdir(wanted):
        os.utime(wanted)
        return wanted
    with open(os.path.join(cache, f'{name}.lock'), 'w', encoding='ascii') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(wanted):
            tidy_cache(cache, name)
            making = tempfile.mkdtemp(prefix=f'{name}-making-', dir=cache)
            try:
                make(making)
                os.rename(making, wanted)
            except BaseException:
                shutil.rmtree(making, ignore_errors=True)
                raise
    return wanted


def tidy_cache(cache, name):
    """Removes what a killed run left (we hold the lock: nobody works there) and what nobody asked for lately."""
    for entry in os.scandir(cache):
        old = entry.stat(follow_symlinks=False).st_mtime < time.time() - CACHE_DAYS * 86400
        if entry.name.startswith(f'{name}-') and (old or entry.name.startswith(f'{name}-making-')):
            shutil.rmtree(entry.path)


# --- folders of labs

MEMORY, ROOM_MIN = '/dev/shm', 1 << 30
NAME, YOUNG_SECONDS = 'postern-lab-run-', 60
HELD = []  # descriptors of folders in use


def new_folder():
    """An empty folder for a lab that ends with this process; the folders that killed processes left are removed first.

    It is in memory where there is room: Samba waits for the disk at every write, and on a busy disk that takes seconds.
    """
    place = '/tmp'
    if os.access(MEMORY, os.W_OK | os.X_OK):
        room = os.statvfs(MEMORY)
        place = MEMORY if room.f_bavail * room.f_frsize >= ROOM_MIN else place
    sweep(place)
    folder = tempfile.mkdtemp(prefix=NAME, dir=place)
    HELD.append(hold(folder))
    return folder


def made_in_memory(make):
    """For cached(): make(folder) works in a folder of new_folder(), and what it made is copied."""
    def make_and_copy(folder):
        place = new_folder()
        try:
            make(place)
            copy_tree(os.path.join(place, '.'), folder)
        finally:
            shutil.rmtree(place)
    return make_and_copy


def hold(folder):
    """A descriptor that keeps the folder from being swept, as long as this process lives; None when another has one."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fd
    except BlockingIOError:
        os.close(fd)
        return None


def sweep(place):
    for entry in os.scandir(place):
        try:
            found = entry.stat(follow_symlinks=False)
            if not entry.name.startswith(NAME) or found.st_uid != os.getuid() or found.st_mtime > time.time() - YOUNG_SECONDS:
                continue
            fd = hold(entry.path)
            if fd is not None:
                shutil.rmtree(entry.path, ignore_errors=True)
                os.close(fd)
        except FileNotFoundError:  # another removed it
            continue


# --- daemons


def start_time(pid):
    """The start time of a process in ticks since boot; None when it is gone or a zombie."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as f:
            fields = f.read().rpartition(')')[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in 'ZX' else int(fields[19])


def session_members(leader):
    """Every live process of the session that leader made."""
    found = []
    for entry in os.listdir('/proc'):
        if not entry.isdigit() or start_time(int(entry)) is None:
            continue
        try:
            if os.getsid(int(entry)) == leader:
                found.append(int(entry))
        except ProcessLookupError:
            continue
    return found


def recorded(folder):
    try:
        with open(os.path.join(folder, 'daemons.json'), encoding='utf-8') as f:
            return json.load(f)
    except FileNotFoundError:
        return []


def is_alive(entry):
    return start_time(entry['pid']) == entry['start']


def end_with_parent(parent):
    """For preexec_fn: the process ends when the one that started it does, even by SIGKILL. By SIGTERM, because
    krb5kdc then ends its workers first."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it has ended already
        os._exit(1)


def start_daemon(folder, name, args, die_with_parent, **env):
    """Starts args in the background in folder, output to folder/NAME.out; returns the Popen."""
    parent = os.getpid()

    def before_exec():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, FILES_MAX), hard))
        if die_with_parent:
            end_with_parent(parent)

    with open(os.path.join(folder, name + '.out'), 'wb') as out:
        process = subprocess.Popen([tool(args[0]), *args[1:]], cwd=folder, stdin=subprocess.DEVNULL, stdout=out,
                                   stderr=out, start_new_session=True, preexec_fn=before_exec,
                                   env={'PATH': SYSTEM_PATH, 'LC_ALL': 'C.UTF-8', **env})
    CHILDREN[process.pid] = process
    entries = recorded(folder) + [{'name': name, 'pid': process.pid, 'start': start_time(process.pid)}]
    write(os.path.join(folder, 'daemons.json'), json.dumps(entries))
    return process


def wait_ready(process, folder, name, probe):
    """Asks probe() until it is true; LabError with the daemon's last words when it ends or never answers."""
    deadline = time.monotonic() + READY_SECONDS
    while not probe():
        if process.poll() is not None:
            raise LabError(f'{name} ended with {process.returncode}:\n{last_words(folder, name)}')
        if time.monotonic() > deadline:
            raise LabError(f'{name} does not answer after {READY_SECONDS} s:\n{last_words(folder, name)}')
        time.sleep(0.02)


def last_words(folder, name):
    text = ''
    for path in (os.path.join(folder, name + '.out'), os.path.join(folder, name + '.log')):
        if os.path.exists(path):
            with open(path, encoding='utf-8', errors='replace') as f:
                text += f.read()
    return '\n'.join(text.splitlines()[-15:])


def stop_daemons(folder):
    """Ends what start_daemon started in folder and everything that came of it, and waits until it is gone."""
    entries = recorded(folder)
    pids = [pid for entry in entries for pid in session_members(entry['pid'])
            if is_alive(entry) or entry['start'] is None or start_time(entry['pid']) is None]
    for number in (signal.SIGTERM, signal.SIGKILL):
        pids = signal_and_wait(pids, number)
    if pids:
        raise LabError(f'processes {pids} do not end')
    for entry in entries:
        if entry['pid'] in CHILDREN:  # else started by an earlier `lab up`, not by this process
            CHILDREN.pop(entry['pid']).wait()


def signal_and_wait(pids, number):
    """Signals all, waits for all together; returns those still there."""
    fds = {}
    for pid in pids:
        try:
            fds[os.pidfd_open(pid)] = pid
            os.kill(pid, number)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + STOP_SECONDS
    try:
        waiting = set(fds)
        while waiting and time.monotonic() < deadline:
            gone, _, _ = select.select(waiting, [], [], deadline - time.monotonic())
            waiting -= set(gone)
        return [fds[fd] for fd in waiting]
    finally:
        for fd in fds:
            os.close(fd)
