"""Proxies that ask for users, forbid, or speak SOCKS; built on the one of renewing.py."""
import base64
import hashlib
import re
import socket
import struct

from renewing import Proxy

USER, PASSWORD = 'CORP\\svc', 'p@ss:w/rd%#?'
REALM, NONCE = 'proxy', 'c0ffee'
# MS-NLMP 2.2.1.2: a challenge with NTLM, Unicode and extended session security.
CHALLENGE = b'NTLMSSP\0' + struct.pack('<IHHII8s8sHHI', 2, 0, 0, 48, 0x00088201, b'\1' * 8, b'', 0, 0, 48)


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


class Asking(Proxy):
    """Lets nobody through who does not prove USER and PASSWORD by its scheme: basic, digest or ntlm; or nobody: forbid."""

    def __init__(self, scheme):
        super().__init__()
        self.scheme, self.refused = scheme, 0

    def with_user(self, user='CORP\\svc', password='p%40ss%3Aw%2Frd%25%23%3F'):
        return self.url.replace('://', f'://{user}:{password}@')

    def head(self, client):
        head = b''
        while b'\r\n\r\n' not in head:
            part = client.recv(4096)
            if not part:
                return None
            head += part
        return head.decode('latin-1')

    def serve(self, client):
        while head := self.head(client):
            given = re.search(r'\r\nProxy-Authorization: (.*)\r\n', head)
            more = self.judge(head, given[1] if given else '')
            if more is None:
                self.tunnel(client, head)
                return
            self.refused += 1
            client.sendall(f'HTTP/1.1 {more}\r\nContent-Length: 0\r\n\r\n'.encode())
        client.close()

    def tunnel(self, client, head):
        parts = [head.encode('latin-1')]
        real = client

        class Replay:
            """The head again, which Proxy.serve reads by itself."""
            def recv(self, n):
                return parts.pop() if parts else real.recv(n)

            def __getattr__(self, name):
                return getattr(real, name)
        super().serve(Replay())

    def judge(self, head, given):
        """None: let through; else the answer's first lines."""
        if self.scheme == 'forbid':
            return '403 Forbidden'
        return getattr(self, self.scheme)(head, given)

    def basic(self, _, given):
        right = 'Basic ' + base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()
        return None if given == right else f'407 Who\r\nProxy-Authenticate: Basic realm="{REALM}"'

    def digest(self, head, given):
        ask = f'407 Who\r\nProxy-Authenticate: Digest realm="{REALM}", nonce="{NONCE}", qop="auth"'
        words = dict(re.findall(r'(\w+)="?((?:\\.|[^",])*)', given))
        if not given.startswith('Digest ') or words['username'].replace('\\\\', '\\') != USER:
            return ask
        method, uri = head.split()[:2]
        a1, a2 = md5(f'{words["username"]}:{REALM}:{PASSWORD}'), md5(f'{method}:{uri}')
        b1 = md5(f'{USER}:{REALM}:{PASSWORD}')  # clients differ on whether the escape is part of the name
        right = [md5(':'.join((a, NONCE, words['nc'], words['cnonce'], 'auth', a2))) for a in (a1, b1)]
        return None if words['response'] in right else ask

    def ntlm(self, _, given):
        if not given.startswith('NTLM '):
            return '407 Who\r\nProxy-Authenticate: NTLM'
        message = base64.b64decode(given[5:])
        if message[8] == 1:
            return '407 Who\r\nProxy-Authenticate: NTLM ' + base64.b64encode(CHALLENGE).decode()

        def field(at):
            n, _, offset = struct.unpack_from('<HHI', message, at)
            return message[offset:offset + n].replace(b'\0', b'').decode()
        return None if (field(28), field(36)) == ('CORP', 'svc') else '407 Who\r\nProxy-Authenticate: NTLM'


class Socks(Proxy):
    """SOCKS 4, 4a and 5; `names` counts targets that came as a name, `addresses` those that came as an address."""

    def __init__(self, scheme, user=None):
        super().__init__()
        self.url = self.url.replace('http://', f'{scheme}://' + (f'{user[0]}:{user[1]}@' if user else ''))
        self.user, self.names, self.addresses = user, 0, 0

    @staticmethod
    def exactly(client, n):
        data = b''
        while len(data) < n:
            part = client.recv(n - len(data))
            if not part:
                raise OSError('closed')
            data += part
        return data

    def until_nul(self, client):
        data = b''
        while (byte := self.exactly(client, 1)) != b'\0':
            data += byte
        return data.decode()

    def serve(self, client):
        try:
            if self.exactly(client, 1) == b'\4':
                host, port, answer = self.socks4(client)
            else:
                host, port, answer = self.socks5(client)
            server = socket.create_connection((host, port))
        except OSError:
            client.close()
            return
        self.connects += 1
        client.sendall(answer)
        self.join(client, server)

    def target(self, name, address):
        self.names += name is not None
        self.addresses += name is None
        return '127.0.0.1' if name == 'relay.test' else name or address

    def socks4(self, client):
        _, port, address = struct.unpack('>BH4s', self.exactly(client, 7))
        self.until_nul(client)
        name = self.until_nul(client) if address[:3] == b'\0\0\0' else None
        return self.target(name, socket.inet_ntoa(address)), port, b'\0\x5a' + b'\0' * 6

    def socks5(self, client):
        methods = self.exactly(client, self.exactly(client, 1)[0])
        wanted = b'\2' if self.user else b'\0'
        client.sendall(b'\5' + (wanted if wanted in methods else b'\xff'))
        if self.user:
            self.exactly(client, 1)
            given = tuple(self.exactly(client, self.exactly(client, 1)[0]).decode() for _ in range(2))
            client.sendall(b'\1\0' if given == self.user else b'\1\1')
        kind = self.exactly(client, 4)[3]
        name = self.exactly(client, self.exactly(client, 1)[0]).decode() if kind == 3 else None
        address = None if name else socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6,
                                                     self.exactly(client, 4 if kind == 1 else 16))
        return self.target(name, address), struct.unpack('>H', self.exactly(client, 2))[0], b'\5\0\0\1' + b'\0' * 6
