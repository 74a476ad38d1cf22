"""A relay of two nodes: each connector is linked to both, and what becomes of one node is nothing to who asks the other.

usage: test_nodes.py BUILD STEADY [ROUNDS]

Each node has a database of its own here, a copy of the first one's: who is in it, and the transport CA, are the same.
"""
import copy
import json
import os
import shutil
import signal
import socket
import sys
import time
import unittest

from e2e import SiteTest, wait_for
from postern_site import Daemon
from steady import Driver

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lab'))
import lab_nats  # noqa: E402

ROUNDS = int(sys.argv[3]) if len(sys.argv) > 3 else 1
FOLLOW = 10
PAUSE = 2


def free_port(address):
    with socket.socket() as s:
        s.bind((address, 0))
        return s.getsockname()[1]


class Node:
    """One postern-relay of the site. site: as a service sees it that knows this node."""

    def __init__(self, site, name, address, port):
        self.name, self.dir, self.address, self.port = name, os.path.join(site.dir, f'node-{name}'), address, port
        self.url = f'https://{address}:{port}'
        self.site = copy.copy(site)  # its env is what the node runs with
        self.site.url = self.url
        self.daemon = None

    def make(self, urls, sections='', **more):
        """From the state of the relay that the site began with."""
        os.makedirs(self.dir)
        state = os.path.join(self.dir, 'state')
        shutil.copytree(os.path.join(self.site.dir, 'relay-state'), state)
        keys = {'listen': f'{self.address}:{self.port}', 'certificate': os.path.join(self.site.dir, 'relay.pem'),
                'key': os.path.join(self.site.dir, 'relay.key'), 'state_dir': state, 'node': self.name,
                'ready_file': os.path.join(self.dir, 'ready'), **more}
        with open(os.path.join(self.dir, 'relay.conf'), 'w', encoding='ascii') as f:
            f.write('[relay]\n' + ''.join(f'{k} = {v}\n' for k, v in keys.items()) + ''.join(f'node_url = {u}\n' for u in urls) + sections)

    def start(self):
        ready = os.path.join(self.dir, 'ready')
        if os.path.exists(ready):
            os.unlink(ready)
        argv = [self.site.program('postern-relay'), '--config', os.path.join(self.dir, 'relay.conf')]
        if self.daemon:
            self.daemon.start()
        else:
            self.daemon = Daemon(f'relay {self.name}', argv, os.path.join(self.dir, 'log'), self.site.env)
        wait_for(f'{self.name} listens', lambda: self.daemon.check() and os.path.exists(ready))

    def ready(self):
        """How many connectors are ready here."""
        return len(self.site.keys()['ready'])


class NodesTest(SiteTest):
    """The relay is some nodes: of KNOWN of them connectors are told. NATS: they pass sign-ins to each other."""
    CONNECTORS = [('north', 'ldap'), ('south', 'ldap')]
    NODES, KNOWN, NATS = 2, 2, False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        site, settings, sections = cls.site, {}, ''
        if cls.NATS:
            cls.nats = lab_nats.Cluster(site.dir).start()
            cls.addClassCleanup(cls.nats.stop)
            settings, sections = {'dispatch': 'nats'}, cls.nats.conf(store=False, dispatch=True)
        cls.nodes = [Node(site, 'abc'[n], f'127.0.0.{n + 1}', free_port(f'127.0.0.{n + 1}') if n else site.port) for n in range(cls.NODES)]
        cls.addClassCleanup(cls.stop_nodes)
        site.relay.stop()
        for node in cls.nodes:
            node.make([n.url for n in cls.nodes[:cls.KNOWN]], sections, **settings)
            node.start()

    @classmethod
    def stop_nodes(cls):
        for node in cls.nodes:
            if node.daemon:
                node.daemon.stop()

    @classmethod
    def logs(cls):
        return super().logs() + [os.path.join(n.dir, 'log') for n in cls.nodes if os.path.exists(os.path.join(n.dir, 'log'))]

    def setUp(self):
        self.wait_linked()

    def wait_linked(self):
        for node in self.nodes:
            wait_for(f'both connectors are ready at {node.name}', lambda n=node: n.ready() == 2)

    def settle(self, driver):
        since = time.monotonic()
        wait_for('sign-ins went on', lambda: len(driver.since(since)) >= FOLLOW)


class Nodes(NodesTest):
    def judge(self, driver, what):
        print(f'  {what}: {len(driver.lost())} of {len(driver.answers)} lost', flush=True)
        self.assertEqual(driver.wrong(), [])
        self.assertEqual(driver.lost(), [])
        self.assertGreater(len(driver.answers), FOLLOW)

    def links(self, connector):
        value = json.loads(connector.postern('status', '--json', check=False).stdout)['parts']['link']['value']
        return {n['node']: n['state'] for n in value['nodes']}

    def readiness(self, connector):
        return json.loads(connector.postern('status', '--json', check=False).stdout)['readiness']

    def test_1_each_connector_is_linked_to_each_node(self):
        for c in self.site.connectors.values():
            wait_for('both links in the status', lambda c=c: self.links(c) == {'a': 'up', 'b': 'up'})
            wait_for('readiness, each condition met', lambda c=c: [d['ready'] for d in self.readiness(c)] == [True])
            self.assertEqual([x['what'] for x in self.readiness(c)[0]['conditions'] if x['since'] > 0],
                             ['link', 'released', 'announced', 'clock', 'keys', 'roster', 'dc'])

    def test_2_a_node_is_killed_and_comes_back(self):
        a, b = self.nodes
        with Driver(b.site) as driver:
            self.settle(driver)
            a.daemon.process.send_signal(signal.SIGKILL)
            a.daemon.process.wait()
            self.settle(driver)
            for c in self.site.connectors.values():
                wait_for('the link that is down', lambda c=c: self.links(c) == {'a': 'down', 'b': 'up'})
                self.assertNotIn('no sign-in comes here', c.postern('status', check=False).stdout)
            a.start()
            self.wait_linked()
            self.settle(driver)
        self.judge(driver, 'a node beside it is killed and comes back')

    def test_3_nodes_are_restarted_one_after_the_other(self):
        """Services of one node while the other restarts, in turn."""
        for restarted, other in (self.nodes, reversed(self.nodes)):
            with Driver(other.site) as driver:
                self.settle(driver)
                restarted.daemon.stop()
                restarted.start()
                self.wait_linked()
                self.settle(driver)
            self.judge(driver, f'{restarted.name} is restarted')

    def both(self):
        """The site as a service sees it that knows both nodes."""
        site = copy.copy(self.site)
        site.url = ' '.join(n.url for n in self.nodes)
        return site

    def test_6_services_of_both_nodes_through_a_rolling_restart(self):
        with Driver(self.both()) as driver:
            self.settle(driver)
            for node in self.nodes * ROUNDS:
                node.daemon.stop()
                self.settle(driver)
                node.start()
                self.wait_linked()
                time.sleep(PAUSE)
            self.settle(driver)
        self.judge(driver, 'both nodes are restarted, one after the other')

    def test_7_services_of_both_nodes_when_one_is_killed(self):
        """What it had in hand is lost, and nothing else."""
        gone = []
        with Driver(self.both()) as driver:
            for node in self.nodes * ROUNDS:
                self.settle(driver)
                killed = time.monotonic()
                node.daemon.process.send_signal(signal.SIGKILL)
                node.daemon.process.wait()
                gone.append((killed, time.monotonic()))
                self.settle(driver)
                node.start()
                self.wait_linked()
        print(f'  kill -9 of a node, {len(gone)} times: {len(driver.lost())} of {len(driver.answers)} lost', flush=True)
        self.assertEqual(driver.wrong(), [])
        # each of them was under way when a node died
        self.assertEqual([a for a in driver.lost() if not any(a.began <= dead and a.ended >= killed for killed, dead in gone)], [])

    def test_4_a_connector_comes_back_to_both(self):
        north = self.site.connectors['north']
        with Driver(self.nodes[0].site, 8) as one, Driver(self.nodes[1].site, 8) as two:
            self.settle(one)
            self.settle(two)
            north.daemon.stop()
            north.start()
            self.wait_linked()
            self.settle(one)
            self.settle(two)
        self.judge(one, 'a connector is restarted, seen from a')
        self.judge(two, 'a connector is restarted, seen from b')

    def test_5_the_link_process_dies(self):
        """What the validator has for either node gets home."""
        north = self.site.connectors['north']
        with Driver(self.nodes[0].site, 8) as one, Driver(self.nodes[1].site, 8) as two:
            self.settle(one)
            old = north.daemon.children()['postern-link']
            os.kill(old, signal.SIGKILL)
            wait_for('a new link process', lambda: north.daemon.children().get('postern-link', old) != old)
            self.wait_linked()
            self.settle(one)
            self.settle(two)
        for driver in (one, two):
            self.assertEqual(driver.wrong(), [])
            print(f'  the link process is killed: {len(driver.lost())} of {len(driver.answers)} lost', flush=True)
            self.assertLessEqual(len(driver.lost()), driver.ACCOUNTS)


if __name__ == '__main__':
    unittest.TestLoader.sortTestMethodsUsing = staticmethod(lambda a, b: (a > b) - (a < b))
    from e2e import main
    main()
