"""Answers whose relay node dies before it can pass them on: three nodes over NATS, connectors that are linked to two, services that ask the third.

usage: test_strays.py BUILD STEADY
"""
import json
import os
import signal
import threading
import unittest

from e2e import LAB, WRONG, bad_password_count, wait_for
from steady import Service
from test_nodes import NodesTest

SIGN_INS = 8


class Strays(NodesTest):
    NODES, NATS = 3, True

    def setUp(self):
        super().setUp()
        for c in self.site.connectors.values():
            wait_for('it is linked to two', lambda c=c: [n['state'] for n in self.links(c).values()] == ['up', 'up'])

    @staticmethod
    def links(connector):
        value = json.loads(connector.postern('status', '--json', check=False).stdout)['parts']['link']['value']
        return {n['node']: n for n in value['nodes']}

    @staticmethod
    def in_hand(node):
        return sum(c['in_hand'] for c in node.site.get('status')['connectors'])

    def test_who_waits_has_the_answer(self):
        """The DC takes its time; of what is asked meanwhile a node has a part in its hands, and is killed."""
        a, b, c = self.nodes
        dc = int(LAB['LAB_AD_PID'])
        before, answers = bad_password_count(LAB['LAB_GOOD1_SAM']), {}
        services = [Service(c.site) for _ in range(SIGN_INS)]

        def sign_in(n):
            password = WRONG if n == 0 else LAB[f'LAB_GOOD{n + 1}_PASSWORD']
            answers[n] = services[n].sign_in(LAB[f'LAB_GOOD{n + 1}_UPN'], password)
        for n, service in enumerate(services):  # keys, connections
            self.assertEqual(service.sign_in(LAB[f'LAB_GOOD{n + 1}_UPN'], LAB[f'LAB_GOOD{n + 1}_PASSWORD'])[0], 'accepted')
        self.hang(dc, signal.SIGSTOP)
        try:
            threads = [threading.Thread(target=sign_in, args=(n,)) for n in range(SIGN_INS)]
            for t in threads:
                t.start()
            wait_for('all are in hand', lambda: self.in_hand(a) + self.in_hand(b) == SIGN_INS)
            had = self.in_hand(a)
            a.daemon.process.send_signal(signal.SIGKILL)
            a.daemon.process.wait()
        finally:
            self.hang(dc, signal.SIGCONT)
        for t in threads:
            t.join()
        print(f'  a node was killed with {had} of {SIGN_INS} in hand: {[answers[n][0] for n in range(SIGN_INS)]}', flush=True)
        self.assertGreater(had, 0)
        self.assertEqual([answers[n][0] for n in range(SIGN_INS)], ['refused'] + ['accepted'] * (SIGN_INS - 1), answers)
        self.assertEqual(bad_password_count(LAB['LAB_GOOD1_SAM']), before + 1)
        for service in services:
            self.assertEqual(service.close(), 0)
        a.start()

    @staticmethod
    def hang(pid, signo):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signo)
        else:
            os.kill(pid, signo)


if __name__ == '__main__':
    from e2e import main
    main()
