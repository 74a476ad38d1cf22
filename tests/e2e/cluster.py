"""Three NATS servers, three relay nodes that are one relay, two connectors: what tests/cluster.sh runs after it has built everything.

Connector north knows node n1 alone, south n2 alone, and the sign-in service asks n3, which has no link: each sign-in goes over to where
its connector is. Then a NATS server is killed, and a node. Every answer is compared with what it must be: the command fails when one
differs.
"""
import copy
import os
import signal
import socket
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lab'))
import lab_nats  # noqa: E402
from demo import LAB, shown, step  # noqa: E402
from postern_site import Daemon, Site, SiteError, wait_for  # noqa: E402

CONNECTORS = [('north', 'ldap', 0), ('south', 'krb5', 1)]  # and the node that each knows


class Node:
    """A postern-relay of the cluster."""

    def __init__(self, site, number, nats):
        self.name, self.address = f'n{number}', f'127.0.0.{number}'
        with socket.socket() as s:
            s.bind((self.address, 0))
            self.port = s.getsockname()[1]
        self.url, self.dir, self.daemon = f'https://{self.address}:{self.port}', os.path.join(site.dir, f'n{number}'), None
        os.makedirs(os.path.join(self.dir, 'state'), mode=0o700)
        self.conf, self.ready_file = os.path.join(self.dir, 'relay.conf'), os.path.join(self.dir, 'ready')
        with open(self.conf, 'w', encoding='ascii') as f:
            f.write(f'[relay]\nlisten = {self.address}:{self.port}\nnode = {self.name}\nstore = nats\ndispatch = nats\n'
                    f'certificate = {site.dir}/relay.pem\nkey = {site.dir}/relay.key\nstate_dir = {self.dir}/state\n'
                    f'ready_file = {self.ready_file}\n\n{nats.conf(store=True, dispatch=True)}')
        self.site = copy.copy(site)  # as somebody sees it who knows this node
        self.site.url, self.site.relay_conf = self.url, self.conf

    def join_root(self, root):
        """Its transport CA, under the one root of all nodes: postern-relay(8), The transport CA."""
        request, made = os.path.join(self.dir, 'ca.csr'), os.path.join(self.dir, 'ca.pem')
        program = self.site.program('postern-relay')
        self.site.relay_admin('ca', 'trust', os.path.join(root, 'root.pem'))
        with open(request, 'w', encoding='ascii') as f:
            f.write(self.site.relay_admin('ca', 'request'))
        with open(made, 'w', encoding='ascii') as f:
            f.write(self.site.run([program, 'ca', 'sign', root, request]))
        self.site.relay_admin('ca', 'install', made)

    def start(self):
        if os.path.exists(self.ready_file):
            os.unlink(self.ready_file)
        if self.daemon:
            self.daemon.start()
        else:
            self.daemon = Daemon(f'node {self.name}', [self.site.program('postern-relay'), '--config', self.conf],
                                 os.path.join(self.dir, 'log'), self.site.env)
        wait_for(f'{self.name} listens', lambda: self.daemon.check() and os.path.exists(self.ready_file))

    def ready(self):
        """How many connectors it tells services to be ready."""
        return len(self.site.keys()['ready'])


class Cluster:
    """What shown() shows."""
    WORD, DONE = 'cluster', 'did as it must'

    def __init__(self, top, build, lab, keep):
        self.site = Site(build, os.path.join(top, 'site'), lab)
        self.top, self.nodes, self.wrong = top, [], 0
        step('three NATS servers on loopback: TLS, JetStream for the store, an account without it for sign-ins')
        self.nats = lab_nats.Cluster(top, outlive=keep).start()

    def set_up(self):
        site, root = self.site, os.path.join(self.top, 'root')
        site.make_certificate()
        os.mkdir(root, 0o700)
        site.run([site.program('postern-relay'), 'ca', 'root', root])
        for number in (1, 2, 3):
            step(f'node n{number}: its transport CA under the root of all nodes; store and dispatch on NATS')
            self.nodes.append(Node(site, number, self.nats))
            self.nodes[-1].join_root(root)
            self.nodes[-1].start()
        site.relay_conf, site.url = self.nodes[0].conf, self.nodes[0].url
        step(f'tenant {site.tenant}: made at n1, known at each')
        site.make_tenant()
        for node in self.nodes:
            for name in ('pin', 'admin_secret', 'service_secret'):
                setattr(node.site, name, getattr(site, name))
        step('sign-in service "portal", which asks n3')
        site.url = self.nodes[2].url
        site.make_service()
        for name, method, at in CONNECTORS:
            step(f'connector {name} ({method}), which knows {self.nodes[at].name} alone')
            site.connectors[name] = self.nodes[at].site.add_connector(name, method)
            site.connectors[name].up()
        for node in self.nodes:
            wait_for(f'both connectors are ready at {node.name}', lambda n=node: n.ready() == 2)

    def sign_in(self, connector, expected='accepted'):
        user, password = self.site.lab['LAB_GOOD1_UPN'], self.site.lab['LAB_GOOD1_PASSWORD']
        code, v = self.site.sign_in(user, password if expected == 'accepted' else 'Not-the-password-1', connector)
        said = v.get('verdict', v.get('problem', '?'))
        self.wrong += said != expected
        print(f"  n3 -> {v.get('connector_name', '-'):6} {said:9} {v.get('reason', ''):15} exit {code}{'' if said == expected else '   NOT AS EXPECTED'}")

    def show(self):
        self.set_up()
        step('signing in at n3, by connectors that are linked to n1 and n2')
        for name, _, _ in CONNECTORS:
            self.sign_in(name)
            self.sign_in(name, 'refused')
        step('a NATS server is killed')
        self.nats.kill(0)
        for name, _, _ in CONNECTORS:
            self.sign_in(name)
        self.nats.start(0)
        step('node n1 is killed, and north with its only link')
        n1 = self.nodes[0]
        n1.daemon.process.send_signal(signal.SIGKILL)
        n1.daemon.process.wait()
        wait_for('n3 knows', lambda: self.nodes[2].ready() == 1)
        self.sign_in('south')
        n1.start()
        wait_for('north is back', lambda: self.nodes[2].ready() == 2)
        self.sign_in('north')
        status = self.nodes[2].site.get('status')
        print(f"  n3 says: nodes {' '.join(status['nodes'])} beside it; " + ', '.join(
            f"{name} at {' '.join(e['nodes'])}" for e in status['connectors']
            for name, c in self.site.connectors.items() if c.id == e['id']))

    def by_hand(self, lab_dir):
        daemons = [n.daemon for n in self.nodes] + [c.daemon for c in self.site.connectors.values()]
        print(f"""
Everything is still up. To go on by hand:

  export HOME={self.site.dir}
  PATH={self.site.build}/connector:{self.site.build}/connector/cli:{self.site.build}/queue/relay:$PATH
  . {lab_dir}/lab.env
  postern sign-in --service {self.site.service} --user "$LAB_GOOD1_UPN"     # its password: echo "$LAB_GOOD1_PASSWORD"
  postern tenant connectors {' '.join(self.nodes[2].site.tenant_options())} --json
  postern-relay --config {self.nodes[1].conf} --check-config
  kill -9 {self.nodes[0].daemon.pid}          # node n1; back: postern-relay --config {self.nodes[0].conf} &
  kill -9 {self.nats.processes[0].pid}          # a NATS server; back: nats-server -c {self.nats.path('n0', 'nats.conf')} &

Configurations: {' '.join(n.conf for n in self.nodes)}
                {' '.join(self.nats.path(f'n{i}', 'nats.conf') for i in range(3))}

To stop it all and remove what it made:

  kill {' '.join(str(d.pid) for d in daemons)} {' '.join(str(p.pid) for p in self.nats.processes)}
  {LAB} down --dir {lab_dir}; rm -r {self.top}
""")

    def close(self):
        faults = []
        for daemon in [c.daemon for c in self.site.connectors.values() if c.daemon] + [n.daemon for n in self.nodes if n.daemon]:
            try:
                daemon.stop()
            except SiteError as e:
                faults.append(str(e))
        self.nats.stop()
        if faults:
            raise SiteError('\n'.join(faults))


if __name__ == '__main__':
    sys.exit(shown(Cluster, __doc__))
