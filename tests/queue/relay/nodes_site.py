"""Several real postern-relays that are one relay over a real NATS cluster, and connectors linked where a test wants them."""
import os
import shutil
import sqlite3
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lab'))
import lab_nats  # noqa: E402
import lab_system  # noqa: E402
from relay_site import Connector, Relay, wait_for  # noqa: E402

VERDICT = 'aaaa..bbbb.cccc.dddd'


class Node(Relay):
    """One of the nodes. first: the one whose tenant, connectors and transport CA it has, too."""

    def __init__(self, name, cluster, first=None, **settings):
        self.first = first
        super().__init__(tail=cluster.conf(store=False, dispatch=True), node=name, dispatch='nats', **settings)

    def begin(self):
        if not self.first:
            super().begin()
            return
        for name in os.listdir(self.first.path('state')):
            source, copy = self.first.path('state/' + name), self.path('state/' + name)
            if name == 'relay.db':
                with sqlite3.connect(source) as a, sqlite3.connect(copy) as b:
                    a.backup(b)
            elif os.path.isfile(source) and not name.startswith('relay.db'):
                shutil.copy(source, copy)
        for name in ('tenant', 'tenant_key', 'admin', 'service', 'members', 'seq'):
            setattr(self, name, getattr(self.first, name))
        self.start()

    def knows(self, n):
        """Waits until it knows n other nodes."""
        def probe():
            status, _, body = self.request('GET', self.tenant_path('status'), headers=self.as_admin())
            return status == 200 and len(body['nodes']) == n
        wait_for(f'{n} other nodes', probe)

    def ready(self):
        """Identity kids of the connectors that services are told to be ready."""
        status, _, body = self.request('GET', self.tenant_path('keys'), headers=self.as_service())
        assert status == 200, (status, body)
        return {entry['kid'] for entry in body['ready']}

    def sees(self, *connectors):
        wanted = {c.identity['kid'] for c in connectors}
        wait_for('the ready connectors are ' + str(len(wanted)), lambda: self.ready() == wanted)


class Worker(threading.Thread):
    """A connector, linked at one node, that answers whatever comes. got: the ids of what came, in order."""

    def __init__(self, connector, node, answer='verdict', credit=64):
        super().__init__(daemon=True)
        self.c, self.node, self.got, self.over = connector.at(node), node, [], threading.Event()
        self.answer = answer
        self.c.go(credit=credit)

    def items(self, id):
        return {'verdict': [{'id': id, 'is': 'verdict', 'jwe': VERDICT}], 'received': [{'id': id, 'is': 'received'}],
                'silent': []}.get(self.answer) or [{'id': id, 'is': 'declined', 'why': self.answer}]

    def run(self):
        try:
            while not self.over.is_set():
                try:
                    name, data = self.c.event(1)
                except TimeoutError:
                    self.c.report()
                    continue
                if name == 'request':
                    self.got.append(data['id'])
                    self.c.report(self.items(data['id']) if self.answer != 'silent' else [], credit=1)
        except (OSError, EOFError, ValueError):
            pass  # its node has ended, or the test has

    def end(self):
        self.over.set()
        self.join(30)
        if self.c.stream:
            self.c.hang_up()


class Site:
    """A NATS cluster, and nodes; connectors of one tenant, each enrolled and in the roster."""

    def __init__(self, folder, n_nodes=2, n_connectors=2, n_servers=3, **settings):
        self.cluster = lab_nats.Cluster(folder, n_servers).start()
        self.nodes, self.workers = [], []
        try:
            self.nodes.append(Node('n1', self.cluster, **settings))
            first = self.nodes[0]
            self.connectors = [Connector(first, f'host{i}') for i in range(n_connectors)]
            first.approve(*self.connectors)
            for i in range(1, n_nodes):
                self.nodes.append(Node(f'n{i + 1}', self.cluster, first, **settings))
            for node in self.nodes:
                node.knows(n_nodes - 1)
        except BaseException:
            self.close(check=False)
            raise

    def work(self, connector, node, **more):
        worker = Worker(self.connectors[connector], self.nodes[node], **more)
        worker.start()
        self.workers.append(worker)
        return worker

    def close(self, check=True):
        for worker in self.workers:
            worker.end()
        faults = []
        for node in self.nodes:  # each of them, whatever became of the one before
            try:
                if check:
                    node.close()
                else:
                    node.stop()
            except AssertionError as e:
                faults.append(str(e))
        self.cluster.stop()
        if faults:
            raise AssertionError('\n'.join(faults))
