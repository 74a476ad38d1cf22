"""Servers that are wrong in one way each: TLS peers, LDAP and KDC and DNS and proxies that answer as they are told.

Each is real to who connects: a socket, a certificate made by the openssl tool, bytes on the wire. They run in threads, and end
with their with block.
"""
import contextlib
import os
import socket
import ssl
import struct
import subprocess
import threading
import time


class Certificates:
    """A folder with a CA, another CA, and what they sign."""

    def __init__(self, folder):
        self.folder = folder
        for ca in ('ca', 'other-ca'):
            self.openssl('req', '-x509', *self.key(ca), '-out', self.path(ca + '.pem'), '-days', '3650', '-subj', f'/CN=Test {ca}',
                         '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-addext', 'basicConstraints=critical,CA:TRUE')
        self.lock = threading.Lock()

    def path(self, name):
        return os.path.join(self.folder, name)

    def key(self, name, kind='ec'):
        kinds = {'ec': ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], 'rsa1024': ['-newkey', 'rsa:1024']}
        return [*kinds[kind], '-nodes', '-keyout', self.path(name + '.key')]

    @staticmethod
    def openssl(*args):
        done = subprocess.run(['openssl', *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f'openssl {args[0]}: {done.stderr.strip()}')

    def make(self, names, ca='ca', days=(-1, 300), usage='serverAuth', kind='ec'):
        """The paths of a certificate and its key; names: subject alternative names; days: from, to, from now."""
        name = '-'.join([*names, ca, *map(str, days), usage, kind]).replace(':', '_').replace('/', '_') or 'none'
        with self.lock:
            if not os.path.exists(self.path(name + '.pem')):
                with open(self.path(name + '.ext'), 'w', encoding='ascii') as f:
                    f.write((f"subjectAltName={','.join(names)}\n" if names else '') + f'extendedKeyUsage={usage}\nkeyUsage=critical,digitalSignature\n'
                            'basicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash\n')
                def date(day):
                    return time.strftime('%Y%m%d%H%M%SZ', time.gmtime(time.time() + day * 86400))
                self.openssl('req', '-new', *self.key(name, kind), '-out', self.path(name + '.csr'), '-subj', '/CN=server')
                db = self.path(name + '.db')
                os.makedirs(db, exist_ok=True)
                open(os.path.join(db, 'index.txt'), 'w', encoding='ascii').close()
                with open(os.path.join(db, 'conf'), 'w', encoding='ascii') as f:
                    f.write(f'[ca]\ndefault_ca=d\n[d]\ndatabase={db}/index.txt\nnew_certs_dir={db}\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n'
                            '[p]\ncommonName=supplied\n')
                signer = ['-selfsign', '-keyfile', self.path(name + '.key')] if ca == 'self' else \
                    ['-cert', self.path(ca + '.pem'), '-keyfile', self.path(ca + '.key')]
                self.openssl('ca', '-batch', '-notext', '-config', os.path.join(db, 'conf'), *signer, '-in', self.path(name + '.csr'), '-out',
                             self.path(name + '.pem'), '-startdate', date(days[0]), '-enddate', date(days[1]), '-extfile', self.path(name + '.ext'))
        return self.path(name + '.pem'), self.path(name + '.key')


class Server:
    """Accepts TCP on 127.0.0.1 and hands each connection to serve(connection), in a thread."""

    def __init__(self, serve):
        self.serve = serve
        self.socket = socket.create_server(('127.0.0.1', 0))
        self.port = self.socket.getsockname()[1]
        self.held = []
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.held.append(connection)
            threading.Thread(target=self.one, args=(connection,), daemon=True).start()

    def one(self, connection):
        try:
            self.serve(connection)
        except (OSError, ssl.SSLError, ValueError, IndexError):
            pass

    def __enter__(self):
        self.thread.start()
        return self.port

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in self.held:
            connection.close()
        self.thread.join()


class Hole:
    """A port that takes no connection and refuses none: its queue is full."""

    def __enter__(self):
        self.socket = socket.create_server(('127.0.0.1', 0), backlog=0)
        self.held = []
        for _ in range(3):
            waiting = socket.socket()
            waiting.setblocking(False)
            waiting.connect_ex(self.socket.getsockname())
            self.held.append(waiting)
        return self.socket.getsockname()[1]

    def __exit__(self, *_):
        for waiting in [*self.held, self.socket]:
            waiting.close()


def closed():
    """A port that nobody listens on."""
    with socket.create_server(('127.0.0.1', 0)) as s:
        return contextlib.nullcontext(s.getsockname()[1])


def silent(connection):
    while connection.recv(4096):
        pass


def reset(connection):
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    connection.close()


def says(data):
    def serve(connection):
        connection.recv(4096)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        silent(connection)
    return serve


def tls(certificate, inside=silent, version=None):
    def serve(connection):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if version:
            context.set_ciphers('ALL:@SECLEVEL=0')
            context.minimum_version = context.maximum_version = version
        if 'rsa1024' in certificate[0]:
            context.set_ciphers('ALL:@SECLEVEL=0')
        context.load_cert_chain(*certificate)
        with context.wrap_socket(connection, server_side=True) as inner:
            inside(inner)
    return serve


# ---- LDAP, as much as a probe asks ----

def ber(tag, *parts):
    body = b''.join(parts)
    n = len(body)
    return bytes([tag]) + (bytes([n]) if n < 128 else b'\x82' + struct.pack('>H', n)) + body


def text(value):
    return ber(4, value.encode() if isinstance(value, str) else value)


def message(number, *operation):
    return ber(0x30, ber(2, bytes([number])), *operation)


def result(tag, code):
    return ber(tag, ber(10, bytes([code])), text(''), text(''))


SID = 'S-1-5-21-1111111111-2222222222-3333333333'


def sid_bytes(sid=SID):
    parts = [int(p) for p in sid.split('-')[3:]]
    return b'\x01' + bytes([len(parts)]) + b'\0\0\0\0\0\x05' + b''.join(struct.pack('<I', p) for p in parts)


def directory(skew=0, sid=SID, code=0, cut=False):
    """A DC that answers each search with a rootDSE: its clock, and with the SID of its domain where the extended DN is asked for."""
    def serve(connection):
        while True:
            data = connection.recv(8192)
            if not data:
                return
            number = data[data.index(2, 1) + 2]
            clock = time.strftime('%Y%m%d%H%M%S.0Z', time.gmtime(time.time() + skew))
            context = f'<GUID=5a2b1c3d-0000-0000-0000-000000000000>;<SID={sid}>;DC=corp,DC=example'
            entry = ber(0x64, text(''), ber(0x30, ber(0x30, text('currentTime'), ber(0x31, text(clock))),
                                            ber(0x30, text('defaultNamingContext'), ber(0x31, text(context)))))
            answer = (message(number, entry) if code == 0 else b'') + message(number, result(0x65, code))
            connection.sendall(answer[:7] if cut else answer)
            if cut:
                return
    return serve


def starttls(code, inside=None):
    def serve(connection):
        data = connection.recv(4096)
        number = data[data.index(2, 1) + 2]
        connection.sendall(message(number, result(0x78, code)))
        if inside:
            inside(connection)
        else:
            silent(connection)
    return serve


# ---- DNS over UDP ----

class Names:
    """Answers every question with the same: a response code, and records (type, data) of any name."""

    def __init__(self, code=0, records=(), mute=False):
        self.code, self.records, self.mute = code, records, mute
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', 0))
        self.port = self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while True:
            try:
                data, peer = self.socket.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            if self.mute:
                continue
            end = data.index(0, 12) + 5
            kind = struct.unpack('>H', data[end - 4:end - 2])[0]
            found = [r for r in self.records if r[0] == kind]
            answer = data[:2] + struct.pack('>HHHHH', 0x8180 | self.code, 1, len(found), 0, 0) + data[12:end]
            for record_kind, body in found:
                answer += b'\xc0\x0c' + struct.pack('>HHIH', record_kind, 1, 60, len(body)) + body
            self.socket.sendto(answer, peer)

    def __enter__(self):
        self.thread.start()
        return self.port

    def __exit__(self, *_):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
            waker.sendto(b'', ('127.0.0.1', self.port))
        self.thread.join()
        self.socket.close()


def srv(host, port):
    return 33, struct.pack('>HHH', 0, 100, port) + b''.join(bytes([len(p)]) + p.encode() for p in host.split('.')) + b'\0'


def proxy(answer, then=None):
    """An HTTP proxy that answers each CONNECT so."""
    def serve(connection):
        while True:
            data = b''
            while b'\r\n\r\n' not in data:
                more = connection.recv(4096)
                if not more:
                    return
                data += more
            connection.sendall(answer)
            if then:
                then(connection)
                return
    return serve
