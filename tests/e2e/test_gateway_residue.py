#!/usr/bin/python3
"""What the gateway's processes hold of passwords: the link nothing at whatever moment it is stopped, doors and sealer nothing once the
answers are out. Memory is read from outside; only the plain build wipes what it frees."""
import atexit
import base64
import os
import random
import re
import signal
import socket
import threading

from e2e import LAB, WRONG, main
from test_gateway import GatewayTest
from test_privacy import forms, memory

STOPS = 200
MUX = f'/tmp/postern-e2e-residue-{os.getpid()}.mux'
atexit.register(lambda: os.path.exists(MUX) and os.unlink(MUX))


def needles(words):
    for word in words:
        yield from ((word, form) for form in forms(word) if len(form) >= 8)
        for shift in range(3):  # as HTTP Basic has it
            encoded = base64.b64encode(b'\0' * shift + word.encode())
            yield word, encoded[(0, 2, 3)[shift] + (1 if shift else 0):-4]


class Residue(GatewayTest):
    SETTINGS = f'listen = ldap:127.0.0.1:0 saslauthd:{MUX}\nname_failures = 1000\nsource_failures = 100000\nremember_s = 60\n'
    USERS = [f'GOOD{i}' for i in range(1, 4)]

    def found(self, pid, words):
        """Only what a process writes is looked at: heap, stack, arenas, its libraries' data."""
        sought, hits = list(needles(words)), []
        with open(f'/proc/{pid}/maps', encoding='ascii') as maps:
            written = {int(line.split('-')[0], 16) for line in maps if ' rw' in line}
        for start, region, blob in memory(pid):
            if start in written:
                hits += [(f'{start:x} {region}', word) for word, form in sought if form in blob]
        return hits

    def bind(self, *pairs):
        """Binds of one LDAP connection, sent at once: (user, password) each. Their result codes."""
        def element(tag, *parts):
            body = b''.join(parts)
            return bytes([tag, 0x82]) + len(body).to_bytes(2, 'big') + body
        with open(self.gateway.ready_file, encoding='ascii') as f:
            port = int(re.search(r'^ldap:127.0.0.1:(\d+)$', f.read(), re.M)[1])
        with socket.create_connection(('127.0.0.1', port), timeout=60) as s:
            s.sendall(b''.join(element(0x30, b'\2\1\1', element(0x60, b'\2\1\3', element(4, user.encode()), element(0x80, password.encode())))
                               for user, password in pairs) + element(0x30, b'\2\1\2', element(0x42)))
            said = b''
            while part := s.recv(4096):
                said += part
        return [int(code) for code in re.findall(rb'\x61.{1,3}\x0a\x01(.)', said, re.S) for code in code]

    def ask_sasl(self, user, password):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(MUX)
            s.sendall(b''.join(len(field).to_bytes(2, 'big') + field for field in (user.encode(), password.encode(), b'imap', b'')))
            return s.recv(99)[2:]

    def one_round(self):
        for user in self.USERS:
            upn, password, _ = self.account(user)
            self.gateway.sign_in(upn, password)
            self.gateway.forward(upn, password)
            self.gateway.sign_in(upn, WRONG + user)
            self.gateway.forward(upn, WRONG + user)
            self.binds = self.bind((upn, WRONG + user), (upn, password), (upn, WRONG + user))
            self.sasl = self.ask_sasl(upn, WRONG + user), self.ask_sasl(upn, password)
            self.gateway.post('/v1/change-password', {'username': upn, 'password': WRONG + user, 'new_password': 'New-' + WRONG + user})

    def test(self):
        words = [LAB[f'LAB_{u}_PASSWORD'] for u in self.USERS] + [WRONG]  # the beginning of all the wrong ones
        link, stops, faults = self.child('link'), 0, []
        done = threading.Event()

        def ask():
            try:
                while not done.is_set():
                    self.one_round()
            except Exception as e:  # told by the test
                faults.append(e)
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            while stops < STOPS and not faults:
                done.wait(random.random() / 50)
                os.kill(link, signal.SIGSTOP)
                try:
                    self.assertEqual(self.found(link, words), [])
                finally:
                    os.kill(link, signal.SIGCONT)
                stops += 1
        finally:
            done.set()
            asking.join()
        self.assertEqual((faults, stops), ([], STOPS))
        self.assertEqual((self.binds, self.sasl), ([49, 0, 49], (b'NO', b'OK')))
        for role in ('doors', 'sealer', 'link'):
            with self.subTest(role):
                self.assertEqual(self.found(self.child(role), words), [])
        with open(self.gateway.log, encoding='utf-8') as f:
            log = f.read()
        self.assertEqual([word for word in words if word in log], [])
        # the test can see what is there: the sealer knows its service
        self.assertTrue(any(b'contoso' in blob for _, _, blob in memory(self.child('sealer'))))


if __name__ == '__main__':
    main()
