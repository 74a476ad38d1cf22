"""A real scribe, started as a supervisor starts one; and a file system that hangs when it is told to."""
import array
import ctypes
import errno
import os
import socket
import struct
import subprocess
import threading

LIBC = ctypes.CDLL(None, use_errno=True)
CONFIG, FILE, START, READY = 1, 2, 4, 20  # base/process/control.h
NAME, BOOT, INSTANCE, SEQ = 1, 3, 4, 6
KEYS = ('events_file', 'events_socket', 'traces_file')


def frame(kind, **fields):
    data = bytes([kind])
    for tag, raw in fields.values():
        raw = struct.pack('<Q', raw) if isinstance(raw, int) else raw.encode()
        data += struct.pack('<BH', tag, len(raw)) + raw
    return data


class Scribe:
    """`program --role=scribe` with the path; `writer` is the end that the writer of the records is to get."""

    def __init__(self, program, key, path):
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.writer, scribes = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def on_fd_3():
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)
        # pylint: disable=subprocess-popen-preexec-fn
        self.process = subprocess.Popen([program, '--role=scribe'], preexec_fn=on_fd_3, close_fds=False, stderr=subprocess.DEVNULL)
        theirs.close()
        setup = os.memfd_create('setup')
        os.write(setup, struct.pack('32s4096sII', key.encode(), path.encode(), key == 'events_socket', 0))
        self.send(frame(CONFIG), setup)
        os.close(setup)
        self.send(frame(FILE, name=(NAME, 'writer')), scribes.fileno())
        scribes.close()
        self.send(frame(START, boot=(BOOT, 'b' * 22), instance=(INSTANCE, 'scribe'), seq=(SEQ, 1)))

    def send(self, data, fd=None):
        extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))] if fd is not None else []
        self.control.sendmsg([data], extra)

    def stop(self):
        """Ends it as a supervisor does, or kills it."""
        self.writer.close()
        self.control.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)


class HangingFolder:
    """A FUSE file system of one folder, held in memory, which answers nobody while `hangs` is set. Needs root and /dev/fuse."""
    ROOT = 1

    def __init__(self, path):
        self.path, self.files, self.names = path, {}, {}
        self.hangs, self.held, self.lock = False, [], threading.Lock()
        os.makedirs(path, exist_ok=True)
        self.fd = os.open('/dev/fuse', os.O_RDWR)
        options = f'fd={self.fd},rootmode=40000,user_id=0,group_id=0,allow_other'
        if LIBC.mount(b'postern-test', path.encode(), b'fuse', 0, options.encode()) < 0:
            os.close(self.fd)
            raise OSError(ctypes.get_errno(), 'FUSE cannot be mounted here')
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def hang(self):
        with self.lock:
            self.hangs = True

    def go_on(self):
        with self.lock:
            self.hangs = False
            held, self.held = self.held, []
        for request in held:
            self.handle(request)

    def stop(self):
        self.go_on()
        LIBC.umount2(self.path.encode(), 2)
        self.thread.join(20)
        os.close(self.fd)

    def content(self, name):
        return bytes(self.files[self.names[name]])

    def serve(self):
        while True:
            try:
                request = os.read(self.fd, 1 << 20)
            except OSError as e:
                if e.errno in (errno.EINTR, errno.ENOENT):
                    continue
                return  # ENODEV: it was unmounted
            with self.lock:
                if self.hangs:
                    self.held.append(request)
                    continue
            self.handle(request)

    def attr(self, node):
        mode, size = (0o40755, 0) if node == self.ROOT else (0o100640, len(self.files[node]))
        return struct.pack('<6Q10I', node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def entry(self, node):
        return struct.pack('<QQQQII', node, 0, 0, 0, 0, 0) + self.attr(node)

    def handle(self, request):
        _, op, unique, node = struct.unpack_from('<IIQQ', request)
        body = request[40:]
        try:
            answer = self.answer(op, node, body)
        except KeyError:
            answer = -errno.ENOENT
        if answer is None:
            return
        code, data = (answer, b'') if isinstance(answer, int) else (0, answer)
        try:
            os.write(self.fd, struct.pack('<IiQ', 16 + len(data), code, unique) + data)
        except OSError:
            pass  # who asked has gone

    def answer(self, op, node, body):
        if op == 26:  # INIT
            return struct.pack('<IIIIHHIIHHI28x', 7, 31, 65536, 0, 16, 16, 65536, 1, 1, 0, 0)
        if op in (2, 42, 36):  # FORGET, BATCH_FORGET, INTERRUPT: no answer
            return None
        if op == 1:  # LOOKUP
            return self.entry(self.names[body.rstrip(b'\0').decode()])
        if op == 3:  # GETATTR
            return struct.pack('<QII', 0, 0, 0) + self.attr(node)
        if op == 4:  # SETATTR
            return struct.pack('<QII', 0, 0, 0) + self.attr(node)
        if op == 35:  # CREATE
            name = body[16:].rstrip(b'\0').decode()
            self.names[name] = made = len(self.names) + 2
            self.files[made] = bytearray()
            return self.entry(made) + struct.pack('<QII', 1, 0, 0)
        if op in (14, 27):  # OPEN, OPENDIR
            return struct.pack('<QII', 1, 1, 0)
        if op == 15:  # READ
            _, at, size = struct.unpack_from('<QQI', body)
            return bytes(self.files[node][at:at + size])
        if op == 16:  # WRITE
            _, at, size = struct.unpack_from('<QQI', body)
            self.files[node][at:at + size] = body[40:40 + size]
            return struct.pack('<II', size, 0)
        if op in (18, 25, 29, 20):  # RELEASE, FLUSH, RELEASEDIR, FSYNC
            return b''
        return -errno.ENOSYS
