"""Connectors that are there serve, whoever else is gone: one service that keeps its client, and so what it knows of keys."""
import signal
import threading
import time

from e2e import SiteTest, bad_password_count, wait_for
from steady import Service


class Spare(SiteTest):
    CONNECTORS = [(f'host{i}', 'ldap') for i in range(6)]

    def setUp(self):
        self.user, self.password, _ = self.account('GOOD1')
        self.service = Service(self.site)
        self.addCleanup(lambda: self.assertEqual(self.service.close(), 0))

    def ask(self):
        return self.service.sign_in(self.user, self.password)

    def expect(self, n):
        """So many sign-ins, all good; who answered them."""
        answers = [self.ask() for _ in range(n)]
        self.assertEqual({a[0] for a in answers}, {'accepted'}, answers)
        return {a[2] for a in answers}

    def end(self, connector):
        connector.daemon.process.send_signal(signal.SIGTERM)

    def revive(self, *connectors):
        for c in connectors:
            c.daemon.process.wait(30)
            c.start()
        for c in connectors:
            c.wait_ready()

    def test_1_all_of_them_work(self):
        self.assertGreaterEqual(len(self.expect(40)), 5)

    def test_2_spare_ones_are_used(self):
        """The client's keys are of before: four of the six are told to stop, then a fifth, and nobody notices."""
        hosts = list(self.site.connectors.values())
        self.expect(1)
        for c in hosts[:4]:
            self.end(c)
        self.assertLessEqual(self.expect(30), {c.name for c in hosts})
        for c in hosts[:4]:
            c.daemon.process.wait(30)
        self.assertLessEqual(self.expect(5), {hosts[4].name, hosts[5].name})
        self.end(hosts[4])
        self.expect(15)
        hosts[4].daemon.process.wait(30)
        self.assertEqual(self.expect(3), {hosts[5].name})
        self.revive(*hosts[:5])

    def test_3_restarts_one_after_the_other(self):
        """Of two connectors first one, then the other, while sign-ins go on; the client's keys are older than both starts."""
        pair = list(self.site.connectors.values())[:2]
        others = [c for c in self.site.connectors.values() if c not in pair]
        for c in others:
            self.end(c)
        for c in others:
            c.daemon.process.wait(30)
        self.expect(3)
        answers, ended = [], threading.Event()
        def go_on():
            while not ended.is_set():
                answers.append(self.ask())
        worker = threading.Thread(target=go_on)
        worker.start()
        try:
            for c in pair:
                before, began = len(answers), time.monotonic()
                self.end(c)
                self.revive(c)
                wait_for('sign-ins went on', lambda: len(answers) > before + 5 and time.monotonic() - began > 5)
        finally:
            ended.set()
            worker.join()
        self.assertEqual({a[0] for a in answers}, {'accepted'}, [a for a in answers if a[0] != 'accepted'])
        self.revive(*others)


class Guarded(SiteTest):
    """Three connectors with a share of one failure each: what one has counted does not stop an account at the others."""
    CONNECTORS = []

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for name in ('one', 'two', 'three'):
            cls.site.add_connector(name, 'ldap', extra='guard = on\nguard_failures = 3').up()

    def test_a_slip_stops_nobody(self):
        service = Service(self.site)
        self.addCleanup(lambda: self.assertEqual(service.close(), 0))
        user, password, _ = self.account('GOOD1')
        before = bad_password_count(user.split('@')[0])
        self.assertEqual(service.sign_in(user, 'a slip')[0], 'refused')
        self.assertEqual(bad_password_count(user.split('@')[0]) - before, 1)
        # wherever they come first: whoever has counted it hands them on, until a success is there, too
        answers = [service.sign_in(user, password) for _ in range(12)]
        self.assertEqual({a[0] for a in answers}, {'accepted'}, answers)

    def test_all_shares_together_bound_what_the_dc_counts(self):
        service = Service(self.site)
        self.addCleanup(lambda: self.assertEqual(service.close(), 0))
        user, password, _ = self.account('GOOD2')
        before = bad_password_count(user.split('@')[0])
        answers = [service.sign_in(user, f'guess {i}') for i in range(8)]
        self.assertEqual([(a[0], a[4]) for a in answers], [('refused', 'wrong_password')] * 3 + [('refused', 'throttled')] * 5)
        self.assertEqual(bad_password_count(user.split('@')[0]) - before, 3)
        # the two that were asked first handed it on, the last one said why it stops here, whoever that was
        answer = service.sign_in(user, password)
        self.assertEqual((answer[0], answer[4]), ('refused', 'throttled'))
        for c in self.site.connectors.values():
            self.assertIn('throttled', c.postern('log', '--verdict', 'declined'))
        last = next(c for c in self.site.connectors.values() if c.name == answer[2])
        self.assertIn('throttled', last.postern('explain', answer[3]))


if __name__ == '__main__':
    from e2e import main
    main()
