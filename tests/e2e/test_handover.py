"""A relay that is alone and restarts under load: whoever started it keeps its listening socket, as systemd does, so nothing is lost.

usage: test_handover.py BUILD STEADY [ROUNDS]
"""
import os
import signal
import socket
import sys
import threading
import time

from e2e import SiteTest, wait_for
from postern_site import Daemon
from steady import Driver

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'connector', 'findings'))
import fakes  # noqa: E402  pylint: disable=wrong-import-position

ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 3
FOLLOW = 10
SLOW = 'slow.example'


class Handed(Daemon):
    """A process that gets a listening socket as sd_listen_fds(3) has it."""
    listener = None

    def start(self):
        fd = self.listener.fileno()
        self.pass_fds = (fd,)
        if self.argv[0] != 'sh':
            self.argv = ['sh', '-c', f'LISTEN_FDS=1 LISTEN_PID=$$ exec "$0" "$@" 3<&{fd}', *self.argv]
        super().start()


class WithoutBinds:
    """A connection on which nobody sees binds."""

    def __init__(self, connection):
        self.connection, self.sendall = connection, connection.sendall

    def recv(self, n):
        while True:
            data = self.connection.recv(n)
            if not data or data[data.index(2, 1) + 3] != 0x60:
                return data


class Handover(SiteTest):
    CONNECTORS = [('north', 'ldap'), ('south', 'ldap')]

    @classmethod
    def prepare(cls):
        Handed.listener = socket.create_server(('127.0.0.1', 0), backlog=512)
        cls.addClassCleanup(Handed.listener.close)
        cls.RELAY = {'listen': f'127.0.0.1:{Handed.listener.getsockname()[1]}'}
        cls.site.relay_daemon = Handed

    def restart(self, stop):
        """When the old one had ended."""
        relay = self.site.relay
        relay.process.send_signal(stop)
        relay.process.wait(60)
        ended = time.monotonic()
        relay.start()
        return ended

    def settle(self, driver, since):
        wait_for('sign-ins went on', lambda: len(driver.since(since)) >= FOLLOW)

    def judge(self, driver, what):
        slowest = max(a.ended - a.began for a in driver.answers)
        print(f'  {what}: {len(driver.lost())} of {len(driver.answers)} lost, the slowest after {1000 * slowest:.0f} ms', flush=True)
        self.assertEqual(driver.wrong(), [])
        self.assertEqual(driver.lost(), [])

    def test_1_restarts(self):
        with Driver(self.site) as driver:
            for _ in range(ROUNDS):
                self.settle(driver, time.monotonic())
                self.restart(signal.SIGTERM)
            self.settle(driver, time.monotonic())
        self.judge(driver, f'{ROUNDS} restarts')

    def test_2_killed(self):
        """What it had in its hands is lost; who comes while it is gone waits for the next one."""
        gone = []
        with Driver(self.site) as driver:
            for _ in range(ROUNDS):
                self.settle(driver, time.monotonic())
                killed = time.monotonic()
                gone.append((killed, self.restart(signal.SIGKILL)))
            self.settle(driver, time.monotonic())
        print(f'  kill -9, {ROUNDS} times: {len(driver.lost())} of {len(driver.answers)} lost', flush=True)
        self.assertEqual(driver.wrong(), [])
        self.assertEqual([a for a in driver.lost() if not any(a.began <= dead and a.ended >= killed for killed, dead in gone)], [])

    def test_3_restart_with_a_sign_in_that_hangs(self):
        """A domain controller that answers no bind holds a sign-in for its whole budget: it keeps its time, and the others go on."""
        certificates = fakes.Certificates(self.top)
        silent = fakes.Server(fakes.tls(certificates.make([f'DNS:dc.{SLOW}', f'DNS:{SLOW}']),
                                        lambda connection: fakes.directory()(WithoutBinds(connection))))
        self.enterContext(silent)
        c = self.site.add_connector('slow', 'ldap')
        with open(c.config, 'a', encoding='utf-8') as f:
            f.write(f'[domain {SLOW}]\ndcs = dc.{SLOW}@127.0.0.1\nmethods = ldap\nca_file = {certificates.path("ca.pem")}\n'
                    f'ldaps_port = {silent.port}\n')
        c.domains = f'{self.site.lab["LAB_AD_DOMAIN"]},{SLOW}'
        c.up()
        answers = []
        hanging = threading.Thread(target=lambda: answers.append(self.site.sign_in(f'bob@{SLOW}', 'x', budget=5000)))
        with Driver(self.site) as driver:
            self.settle(driver, time.monotonic())
            hanging.start()
            wait_for('it is in hand', lambda: any(x['in_hand'] and x['id'] == c.id for x in self.site.get('status')['connectors']))
            self.restart(signal.SIGTERM)
            hanging.join()
            self.settle(driver, time.monotonic())
        self.judge(driver, 'a restart with a sign-in that hangs')
        self.assertNotIn(answers[0][1].get('problem'), ('connector-lost', 'connection-lost', 'transport'), answers)


if __name__ == '__main__':
    from e2e import main
    main()
