"""Two relay nodes over NATS, connectors that are linked to one of them alone, services that ask the other.

usage: test_hops.py BUILD STEADY
"""
import json
import os
import signal
import time
import unittest

from e2e import LAB, WRONG, bad_password_count, wait_for
from steady import Driver, Service
from test_nodes import NodesTest

WRONG_ONES = 3


class Hops(NodesTest):
    CONNECTORS = [('north', 'ldap'), ('south', 'krb5')]
    KNOWN, NATS = 0, True  # connectors know the first alone

    @staticmethod
    def log_of(node):
        with open(os.path.join(node.dir, 'log'), encoding='utf-8') as f:
            return f.read()

    def judge(self, driver, what, most_lost=0):
        print(f'  {what}: {len(driver.lost())} of {len(driver.answers)} lost {[(x.word, x.started) for x in driver.lost()]}', flush=True)
        self.assertEqual(driver.wrong(), [])
        self.assertLessEqual(len(driver.lost()), most_lost, driver.lost())

    def test_1_each_wrong_password_counts_once(self):
        user, password, sam = *self.account('GOOD1')[:2], LAB['LAB_GOOD1_SAM']
        service = Service(self.nodes[1].site)
        self.assertEqual(service.sign_in(user, password)[0], 'accepted')
        before = bad_password_count(sam)
        for n in range(1, WRONG_ONES + 1):
            self.assertEqual(service.sign_in(user, WRONG)[0], 'refused')
            self.assertEqual(bad_password_count(sam), before + n)
        self.assertEqual(service.sign_in(user, password)[0], 'accepted')
        self.assertEqual(service.close(), 0)

    def test_2_sign_ins_go_on_while_a_nats_server_is_killed(self):
        with Driver(self.nodes[1].site) as driver:
            self.settle(driver)
            for i in range(3):
                self.nats.kill(i)
                self.settle(driver)
                self.nats.start(i)
                self.settle(driver)
        # an answer may have left for the server that died; it is asked for, and comes late
        self.judge(driver, 'each NATS server is killed in turn', 4)

    def test_3_the_node_that_has_the_links_is_killed(self):
        a, b = self.nodes
        with Driver(b.site) as driver:
            self.settle(driver)
            killed = time.monotonic()
            a.daemon.process.send_signal(signal.SIGKILL)
            a.daemon.process.wait()
            a.start()
            # b goes by what it knew of a until it misses a
            wait_for('b has missed the a that was killed', lambda: 'node_gone node=a' in self.log_of(b))
            wait_for('both connectors are back', lambda: a.ready() == 2 and b.ready() == 2)
            back = time.monotonic()
            self.settle(driver)
        self.assertEqual(driver.wrong(), [])
        lost = driver.lost()
        print(f'  the node with the links is killed: {len(lost)} of {len(driver.answers)} lost, back after {back - killed:.1f} s', flush=True)
        self.assertEqual([x for x in lost if x.ended < killed or x.began > back], [])

    def test_5_each_process_of_a_node_is_killed(self):
        """The store's end loses nothing; the bus's at most what was between the nodes then. Both are started again."""
        for part, most in (('store', 0), ('bus', Driver.ACCOUNTS)):
            for node in self.nodes:
                with Driver(self.nodes[1].site) as driver:
                    self.settle(driver)
                    old = node.daemon.children()[part]
                    os.kill(old, signal.SIGKILL)
                    wait_for(f'a new {part}', lambda n=node, p=part, o=old: n.daemon.children().get(p, o) != o)
                    for n in self.nodes:
                        wait_for(f'both connectors are ready at {n.name}', lambda n=n: n.ready() == 2)
                    back = time.monotonic()
                    self.settle(driver)
                self.judge(driver, f'kill -9 of the {part} of {node.name}', most)
                self.assertEqual([x for x in driver.lost() if x.began > back], [])

    def test_4_nothing_of_it_is_on_the_servers_disks(self):
        service = Service(self.nodes[1].site)
        user, password, _ = self.account('GOOD2')
        word, _, _, id = service.sign_in(user, password)[:4]
        self.assertEqual(word, 'accepted')
        self.assertEqual(self.nats.find(id.encode()), [])
        self.assertEqual(service.close(), 0)

    def test_5_questions_reach_connectors_by_the_other_node(self):
        """A person knows the node alone that no connector is linked to, and hears all of them."""
        site, (a, b) = self.site, self.nodes
        user, password, _ = self.account('GOOD1')
        service = Service(b.site)
        word, _, _, id = service.sign_in(user, WRONG)[:4]
        self.assertEqual(word, 'refused')
        self.assertEqual(service.close(), 0)
        secret = site.write_secret('helpdesk.secret', site.run([site.program('postern-relay'), '--config', os.path.join(b.dir, 'relay.conf'),
                                                                'secret', site.tenant, 'helpdesk']).strip())
        frida = os.path.join(site.dir, 'frida')
        made = json.loads(site.postern('person', 'init', 'frida', '--person', frida, '--relay', b.url, '--tenant', site.tenant, '--pin', site.pin,
                                       '--secret-file', secret, '--ca-file', site.ca, '--no-passphrase', '--json'))
        site.postern('tenant', 'approve-person', os.path.join(frida, 'person.pub.json'), made['fingerprint'], *site.tenant_options())
        elsewhere = [b.url if word == a.url else word for word in site.tenant_options()]
        site.postern('tenant', 'roster', 'publish', *elsewhere)  # each has a database of its own here

        def all_of_them():
            done = site.postern('explain', user, '--everywhere', '--person', frida, '--json', check=False)
            answer = json.loads(done.stdout) if done.stdout else {}
            connectors = answer.get('everywhere', {}).get('connectors', [])
            return answer if len(connectors) == 2 and all(c['state'] == 'answered' for c in connectors) else None
        answer = wait_for('all connectors answer', all_of_them, interval=2)
        self.assertEqual({r['id']: r['reason'] for r in answer['records']}[id], 'wrong_password')
        self.assertIn('question_ended', self.log_of(a))  # which had the links
        site.postern('tenant', 'roster', 'fetch', *site.tenant_options())


if __name__ == '__main__':
    unittest.TestLoader.sortTestMethodsUsing = staticmethod(lambda a, b: (a > b) - (a < b))
    from e2e import main
    main()
