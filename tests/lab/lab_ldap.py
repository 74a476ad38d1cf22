"""As much LDAP over TLS as the lab and its tests need: bind, search, replace one attribute, who-am-I.

Standard library only. The server is reached by address and checked by name, as the connector does. Not a client
for hostile servers: an answer it does not understand ends in an exception.
"""
import re
import socket
import ssl

BIND, UNBIND, SEARCH, MODIFY, EXTENDED = 0x60, 0x42, 0x63, 0x66, 0x77
SEARCH_ENTRY, SEARCH_REFERENCE = 0x64, 0x73
WHO_AM_I = '1.3.6.1.4.1.4203.1.11.3'
DATA_CODE = re.compile(r', data ([0-9a-f]+),')


class LdapError(Exception):
    """A result code other than 0; data is AD's sub-code as text, or None."""

    def __init__(self, code, text):
        super().__init__(f'LDAP result {code}: {text}')
        self.code = code
        found = DATA_CODE.search(text)
        self.data = found.group(1) if found else None


def tlv(tag, *parts):
    body = b''.join(p.encode() if isinstance(p, str) else p for p in parts)
    if len(body) < 128:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, 'big')
    return bytes([tag, 0x80 | len(size)]) + size + body


def integer(value, tag=2):
    return tlv(tag, value.to_bytes(value.bit_length() // 8 + 1, 'big'))


def take(data):
    """(tag, content, rest) of the first element; IndexError when it is not all there."""
    tag, size, at = data[0], data[1], 2
    if size & 0x80:
        at = 2 + (size & 0x7f)
        if len(data) < at:
            raise IndexError
        size = int.from_bytes(data[2:at], 'big')
    if len(data) < at + size:
        raise IndexError
    return tag, data[at:at + size], data[at + size:]


def elements(data):
    found = []
    while data:
        tag, content, data = take(data)
        found.append((tag, content))
    return found


class Ldaps:
    """One connection. Usable as a context manager; every call waits at most `timeout` seconds."""

    def __init__(self, address, port, host, ca_file, timeout=100.0):
        context = ssl.create_default_context(cafile=ca_file)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python 3.13 does by itself
        raw = socket.create_connection((address, port), timeout=timeout)
        try:
            self.socket = context.wrap_socket(raw, server_hostname=host)
        except BaseException:
            raw.close()
            raise
        self.buffer = b''
        self.next_id = 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.send(tlv(UNBIND))
        except OSError:
            pass  # the server may have hung up first: nothing left to say goodbye to
        self.socket.close()

    def send(self, operation):
        message_id = self.next_id
        self.next_id += 1
        self.socket.sendall(tlv(0x30, integer(message_id), operation))
        return message_id

    def receive(self):
        while True:
            try:
                _, content, self.buffer = take(self.buffer)
                return elements(content)[1]
            except IndexError:
                more = self.socket.recv(65536)
                if not more:
                    raise ConnectionError('the LDAP server closed the connection') from None
                self.buffer += more

    def result(self, operation):
        """Sends; returns (entries, elements of the final result), which is a success."""
        self.send(operation)
        entries = []
        while True:
            tag, content = self.receive()
            if tag == SEARCH_ENTRY:
                entries.append(self.entry(content))
            elif tag != SEARCH_REFERENCE:
                break
        fields = elements(content)
        code = int.from_bytes(fields[0][1], 'big')
        if code:
            raise LdapError(code, fields[2][1].decode('utf-8', 'replace').rstrip('\0'))
        return entries, fields

    @staticmethod
    def entry(content):
        (_, dn), (_, attributes) = elements(content)
        values = {}
        for _, attribute in elements(attributes):
            (_, name), (_, found) = elements(attribute)
            values[name.decode()] = [value for _, value in elements(found)]
        return dn.decode(), values

    def bind(self, name, password):
        """A simple bind; LdapError when refused."""
        self.result(tlv(BIND, integer(3), tlv(4, name), tlv(0x80, password)))

    def search(self, base, attributes, equal=None):
        """[(dn, {name: [bytes]})]: the base itself, or with equal=(attribute, value) what matches below it."""
        scope, match = (0, tlv(0x87, 'objectClass')) if equal is None else (2, tlv(0xa3, *[tlv(4, e) for e in equal]))
        entries, _ = self.result(tlv(
            SEARCH, tlv(4, base), tlv(10, bytes([scope])), tlv(10, b'\0'), integer(0), integer(10), tlv(1, b'\0'),
            match, tlv(0x30, *[tlv(4, a) for a in attributes])))
        return entries

    def replace(self, dn, attribute, value):
        change = tlv(0x30, tlv(4, attribute), tlv(0x31, tlv(4, value)))
        self.result(tlv(MODIFY, tlv(4, dn), tlv(0x30, tlv(0x30, tlv(10, b'\2'), change))))

    def who_am_i(self):
        _, fields = self.result(tlv(EXTENDED, tlv(0x80, WHO_AM_I)))
        return next((content.decode() for tag, content in fields if tag == 0x8b), '')


def answers(address, port, host, ca_file, account):
    """Whether a server is ready: a real bind of account (name, password) over verified TLS. A certificate that does
    not verify or a refusal is an error, not a reason to ask again."""
    try:
        with Ldaps(address, port, host, ca_file) as ldap:
            ldap.bind(*account)
            return True
    except ssl.SSLCertVerificationError:
        raise
    except OSError:
        return False


def sid_text(raw):
    """S-1-5-… of a binary SID."""
    count = raw[1]
    parts = [int.from_bytes(raw[8 + 4 * i:12 + 4 * i], 'little') for i in range(count)]
    return '-'.join(['S', str(raw[0]), str(int.from_bytes(raw[2:8], 'big'))] + [str(p) for p in parts])


def sid_bytes(text):
    """The binary form of S-1-5-…"""
    parts = [int(p) for p in text.split('-')[1:]]
    return bytes([parts[0], len(parts) - 2]) + parts[1].to_bytes(6, 'big') + b''.join(
        p.to_bytes(4, 'little') for p in parts[2:])
