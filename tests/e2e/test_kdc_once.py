"""One wrong password is one failure at the domain, whatever becomes of the KDC's answer: a proxy before each of two real KDCs, by TCP and by
UDP, keeps answers, breaks connections, or says that the answer was too big.

usage: test_kdc_once.py BUILD     in the lab, --with samba,samba2

libkrb5 by itself would ask again: by UDP where TCP brings nothing, by TCP where UDP did, and at the next KDC.
"""
import select
import socket
import struct
import subprocess
import threading
import unittest

from e2e import LAB, SiteTest, wait_for

FRONTS = {'AD': '127.0.0.78', 'AD2': '127.0.0.79'}
PROOF = b'\xa1\x03\x02\x01\x02\xa2'  # PA-ENC-TIMESTAMP
CODE = b'\xa6\x03\x02\x01'  # of a KRB-ERROR
TOO_BIG = 52
LATE_S = 3.0


class Kdc:
    """A KDC at another address. fate: what becomes of its answers to requests with a proof of the password."""

    def __init__(self, dc, address):
        self.behind, self.fate, self.proofs, self.datagrams = LAB[f'LAB_{dc}_ADDRESS'], 'whole', [], []
        self.first = b''  # its latest answer to a request without a proof
        self.listeners = [socket.create_server((address, port), backlog=64) for port in (88, 636)]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((address, 88))
        for listener, carry in zip(self.listeners, (self.ask, self.pass_on)):
            threading.Thread(target=self.serve, args=(listener, carry), daemon=True).start()
        threading.Thread(target=self.take_datagrams, daemon=True).start()

    def serve(self, listener, carry):
        while True:
            try:
                near = listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.carry, args=(carry, near), daemon=True).start()

    @staticmethod
    def carry(how, near):
        try:
            with near:
                how(near)
        except OSError:
            pass

    def pass_on(self, near):
        with socket.create_connection((self.behind, 636), 30) as far:
            while True:
                for a in select.select([near, far], [], [])[0]:
                    data = a.recv(65536)
                    if not data:
                        return
                    (far if a is near else near).sendall(data)

    @staticmethod
    def frame(s):
        head = s.recv(4, socket.MSG_WAITALL)
        return head + s.recv(struct.unpack('>I', head)[0], socket.MSG_WAITALL) if len(head) == 4 else b''

    def ask(self, near):
        request = self.frame(near)
        if not request:
            return
        with socket.create_connection((self.behind, 88), 30) as far:
            far.sendall(request)
            answer = self.frame(far)
        if PROOF not in request:
            self.first = answer
            near.sendall(answer)
            return
        self.proofs.append(self.fate)
        getattr(self, self.fate)(near, answer)

    def take_datagrams(self):
        """They are answered as well as by TCP: whoever asks twice is counted twice."""
        while True:
            try:
                data, sender = self.udp.recvfrom(65536)
            except OSError:
                return
            self.datagrams.append(data)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
                far.settimeout(30)
                far.sendto(data, (self.behind, 88))
                self.udp.sendto(far.recv(65536), sender)

    # ---- what becomes of an answer ----

    @staticmethod
    def whole(near, answer):
        near.sendall(answer)

    @staticmethod
    def kept(near, _):
        near.recv(1)  # until the other side gives up

    @staticmethod
    def closed(near, _):
        near.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def reset(near, _):
        near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))

    @staticmethod
    def cut(near, answer):
        near.sendall(answer[:len(answer) // 2])

    @staticmethod
    def late(near, answer):
        if not select.select([near], [], [], LATE_S)[0]:
            near.sendall(answer)

    def too_big(self, near, _):
        """As a KDC answers by UDP: the client shall ask again by TCP."""
        at = self.first.index(CODE) + len(CODE)
        near.sendall(self.first[:at] + bytes([TOO_BIG]) + self.first[at + 1:])

    def close(self):
        for s in [*self.listeners, self.udp]:
            s.close()


def admin(word, sam, dc):
    done = subprocess.run([LAB['LAB_TOOL'], word, '--dir', LAB['LAB_DIR'], sam, '--dc', str(dc)], check=True, capture_output=True, text=True)
    return done.stdout.split()


class Once(SiteTest):
    CONNECTORS = []

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kdcs = [Kdc(dc, address) for dc, address in FRONTS.items()]
        for kdc in cls.kdcs:
            cls.addClassCleanup(kdc.close)
        dcs = ', '.join(f"{LAB[f'LAB_{dc}_HOST']}@{address}" for dc, address in FRONTS.items())
        south = cls.site.add_connector('south', 'krb5')
        with open(south.config, encoding='utf-8') as f:
            text = f.read().replace(f"dcs = {LAB['LAB_AD_HOST']}@{LAB['LAB_AD_ADDRESS']}\n", f'dcs = {dcs}\n')
        with open(south.config, 'w', encoding='utf-8') as f:
            f.write(text)
        south.up()

    def sign_in(self, fate, label, password, **more):
        for kdc in self.kdcs:
            kdc.fate, kdc.proofs, kdc.datagrams = fate, [], []
        return self.site.sign_in(LAB[f'LAB_{label}_UPN'], password, budget=8000, **more)[1]

    def counted(self, label):
        return sum(int(admin('badpwdcount', LAB[f'LAB_{label}_SAM'], dc)[-1]) for dc in (1, 2))

    def check(self, fate, label, expected, **more):
        """A wrong password, of which the connector learns what the fate lets it."""
        sam = LAB[f'LAB_{label}_SAM']
        for dc in (1, 2):
            admin('unlock', sam, dc)
        verdict = self.sign_in(fate, label, f'wrong-{fate}', **more)
        proofs = [proof for kdc in self.kdcs for proof in kdc.proofs]
        print(f"  {fate}: {verdict['verdict']} {verdict['reason']}, may have counted {verdict['may_have_counted']}; "
              f'{len(proofs)} proof, counted {self.counted(label)}', flush=True)
        self.assertEqual((verdict['verdict'], verdict['reason']), expected, verdict)
        self.assertEqual(proofs, [fate])
        self.assertEqual([kdc.datagrams for kdc in self.kdcs], [[], []])
        self.assertEqual(self.counted(label), 1)
        self.assertIn(verdict['may_have_counted'], ('1', 'unknown'))

    def test_each_fate_of_an_answer(self):
        for fate, expected in (('whole', ('refused', 'wrong_password')), ('late', ('refused', 'wrong_password')),
                               ('kept', ('unavailable', 'outcome_unknown')), ('closed', ('unavailable', 'outcome_unknown')),
                               ('reset', ('unavailable', 'outcome_unknown')), ('cut', ('unavailable', 'dc_protocol')),
                               ('too_big', ('unavailable', 'dc_error'))):
            with self.subTest(fate):
                self.check(fate, 'GOOD5', expected)

    def test_a_change_of_password(self):
        """The wrong old password is the proof; nothing is changed, and it is sent once."""
        for fate, expected in (('kept', ('unavailable', 'outcome_unknown')), ('closed', ('unavailable', 'outcome_unknown'))):
            with self.subTest(fate):
                self.check(fate, 'GOOD6', expected, new_password='Another-1-' + fate)

    def test_the_right_one_afterwards(self):
        """No domain controller that lost answers is passed over for ever."""
        wait_for('a sign-in', lambda: self.sign_in('whole', 'GOOD7', LAB['LAB_GOOD7_PASSWORD'])['verdict'] == 'accepted')


if __name__ == '__main__':
    from e2e import main
    main()
