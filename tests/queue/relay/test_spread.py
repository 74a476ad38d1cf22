#!/usr/bin/python3
"""Forty connectors in a tenant, and a service of the client library: all of them get work. Usage: test_spread.py RELAY FORGE STEADY"""
import json
import os
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import relay_site  # noqa: E402
from relay_site import Connector, Relay, forge, new_id  # noqa: E402

MANY = 40
MOST = 3000  # sign-ins; a fair choice needs about 170


class Spread(unittest.TestCase):
    def setUp(self):
        self.relay = Relay()
        self.addCleanup(self.relay.close)
        self.connectors, self.asked, self.ended = [], {}, threading.Event()
        self.dropped = []  # connectors whose links were, each time

    def turn(self, c):
        try:
            request = c.next('request', 2)
        except TimeoutError:
            c.report()
            return
        self.asked[c.id] = self.asked.get(c.id, 0) + 1
        c.report([{'id': request['id'], 'is': 'verdict', 'jwe': 'aaaa..bbbb.cccc.dddd'}], credit=1)

    def work(self, c):
        """Answers whatever comes with a verdict that nobody can open."""
        while not self.ended.is_set():
            try:
                self.turn(c)
            except (OSError, EOFError):  # on a busy machine it was silent for too long, and its link was dropped
                self.dropped.append(c.id)
                c.hang_up()
                c.go()

    def service(self):
        """A sign-in service in the roster, and its process."""
        key, secret, id = self.relay.path('service.key'), self.relay.path('service.secret'), new_id()
        forge('key', key)
        self.relay.members.append(f's:{id}:portal:{key}')
        with open(secret, 'w', encoding='ascii') as f:
            f.write(self.relay.service + '\n')
        return [STEADY, f'https://127.0.0.1:{self.relay.port}', self.relay.tenant, self.relay.tenant_key['pin'], secret,
                self.relay.path('server.pem'), id, key]

    def test_forty(self):
        argv = self.service()
        self.connectors = [Connector(self.relay, f'host{i}') for i in range(MANY)]
        self.relay.approve(*self.connectors)
        for c in self.connectors:
            c.go()
        workers = [threading.Thread(target=self.work, args=(c,)) for c in self.connectors]
        for worker in workers:
            worker.start()
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as steady:
            lost = 0
            try:
                for n in range(1, MOST + 1):
                    steady.stdin.write('amy@corp.example\tpassword\n')
                    steady.stdin.flush()
                    said = steady.stdout.readline().split('\t')
                    lost += said[0] == 'connector-lost'
                    self.assertIn(said[0], ('bad-verdict', 'connector-lost'), said)
                    if len(self.asked) == MANY:
                        break
            finally:
                steady.stdin.close()
                self.ended.set()
        for worker in workers:
            worker.join()
        for c in self.connectors:
            c.hang_up()
        print(f'  {len(self.asked)} of {MANY} connectors were asked by {n} sign-ins: {json.dumps(sorted(self.asked.values()))}')
        self.assertEqual(len(self.asked), MANY)
        # a thread of this test that a busy machine kept from its turn for too long; it has one sign-in at a time
        self.assertLessEqual(lost, len(self.dropped))


if __name__ == '__main__':
    relay_site.RELAY, relay_site.FORGE, STEADY = (os.path.abspath(a) for a in sys.argv[1:4])
    unittest.main(argv=sys.argv[:1], verbosity=2)
