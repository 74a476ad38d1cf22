"""What is not there: connectors, the DC, the relay. Immediate, distinct answers; never "wrong password"."""
import concurrent.futures
import json
import os
import signal
import socket
import threading

from e2e import LAB, SiteTest, wait_for, main


class NoConnector(SiteTest):
    CONNECTORS = []

    def test_no_connector_is_said_at_once(self):
        """The service is in the roster, no connector ever was: the client cannot seal to anyone."""
        done = self.site.postern('sign-in', '--service', self.site.service, '--user', 'a@' + LAB['LAB_AD_DOMAIN'], check=False, stdin='x\n')
        self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
        self.assertNotIn('wrong', done.stdout.lower())


class Failures(SiteTest):
    CONNECTORS = [('north', 'ldap')]

    def test_1_connector_stopped(self):
        """Its keys leave with it: whoever comes then hears that nobody is there, and has an id to tell."""
        north = self.site.connectors['north']
        user, password, _ = self.account('GOOD1')
        north.daemon.stop()
        wait_for('the relay notices', lambda: not self.site.keys()['statements'])
        code, v = self.site.sign_in(user, password)
        self.assertEqual((code, v['verdict'], v['class']), (3, 'unavailable', 'infrastructure'), v)
        self.assertIn(v['reason'], ('no-connector', 'not-ready', 'stale-keys'))
        self.assertEqual(v['may_have_counted'], '0')
        v0, lost = v, v['id']
        code, shown = self.connectors()
        self.assertIn('NOT LINKED', shown)
        self.assertEqual(code, 1)
        north.start()
        north.wait_ready()
        code, v = self.site.sign_in(user, password)
        self.assertEqual(code, 0)
        code, shown = self.connectors()
        self.assertRegex(shown, r'north +\S+  ready\n    link +since \S+ \S+ from 127\.0\.0\.1, \S+, 0 in hand\n    certificate +valid until 20')
        self.assertEqual(code, 0)
        # no connector knows the first, which was sent to nobody; the relay knows why, and who had the second
        self.assertIn('postern tenant trace ' + lost, north.postern('explain', lost, check=False).stderr)
        self.assertEqual(json.loads(self.trace(' ' + lost[:12], '--json').stdout)['problem'], v0['reason'], lost)
        self.assertIn('(north)', self.trace(v['id']).stdout)
        self.assertEqual(json.loads(self.trace(v['id'], '--json').stdout)['state'], 'answered')
        self.assertEqual(self.trace('0' * 26).returncode, 1)
        self.assertEqual(self.trace('no id').returncode, 2)

    def connectors(self):
        done = self.site.postern('tenant', 'connectors', *self.site.tenant_options(), check=False)
        return done.returncode, done.stdout

    def trace(self, *words):
        return self.site.postern('tenant', 'trace', *words, *self.site.tenant_options(), check=False)

    def test_2_link_stalls(self):
        """The host stands still for a moment: whoever comes then, with no other connector there, waits for it."""
        north = self.site.connectors['north']
        user, password, _ = self.account('GOOD1')
        link = north.daemon.children()['postern-link']
        with concurrent.futures.ThreadPoolExecutor() as pool:
            os.kill(link, signal.SIGSTOP)
            try:
                first = pool.submit(self.site.sign_in, user, password)
                wait_for('the relay notices', lambda: not any(any(r['realms']) for r in self.site.keys()['ready']))
            finally:
                threading.Timer(1.2, os.kill, (link, signal.SIGCONT)).start()
            code, v = self.site.sign_in(user, password)
            self.assertEqual((code, v['verdict']), (0, 'accepted'), v)
            self.assertEqual(first.result()[1]['verdict'], 'accepted')

    def not_ready(self):
        user, password, _ = self.account('GOOD1')
        v = self.site.sign_in(user, password, budget=3000)[1]
        return v['reason'] == 'not-ready' and v

    def test_2_dc_hangs(self):
        """SIGSTOP: the DC takes connections and says nothing."""
        pid = int(LAB['LAB_AD_PID'])
        user, password, _ = self.account('GOOD1')
        os.killpg(os.getpgid(pid), signal.SIGSTOP) if os.getpgid(pid) == pid else os.kill(pid, signal.SIGSTOP)
        try:
            code, v = self.site.sign_in(user, password, budget=3000)
            idle = wait_for('the relay says who is not ready', self.not_ready)
        finally:
            os.killpg(os.getpgid(pid), signal.SIGCONT) if os.getpgid(pid) == pid else os.kill(pid, signal.SIGCONT)
        self.assertEqual((code, v['verdict'], v['class']), (3, 'unavailable', 'infrastructure'), v)
        self.assertNotEqual(v['reason'], 'wrong_password')
        # no connector had it: what they said of themselves stands in the answer, and at the relay
        said = self.trace(idle['id'])
        self.assertTrue(any(reason.endswith(': corp.example') for reason in idle['problem']['reasons']), idle)
        self.assertIn('Said', said.stdout)
        self.assertIn(idle['problem']['reasons'][0] + ' - ', ' '.join(said.stdout.split()))
        self.assertEqual(json.loads(self.trace(idle['id'], '--json').stdout)['reasons'], idle['problem']['reasons'])
        self.site.connectors['north'].wait_ready()
        self.assertEqual(wait_for('the DC serves again', lambda: self.site.sign_in(user, password)[0] == 0), True)

    def test_3_no_listening_network_socket(self):
        daemon = self.site.connectors['north'].daemon
        pids = [daemon.pid, *daemon.children().values()]
        self.assertEqual(len(pids), 4, daemon.children())
        inodes = set()
        for pid in pids:
            for fd in os.listdir(f'/proc/{pid}/fd'):
                target = os.readlink(f'/proc/{pid}/fd/{fd}')
                if target.startswith('socket:['):
                    inodes.add(target[8:-1])
        for table in ('tcp', 'tcp6', 'udp', 'udp6', 'raw', 'raw6'):
            with open(f'/proc/net/{table}', encoding='ascii') as f:
                for line in f.readlines()[1:]:
                    words = line.split()
                    if words[9] in inodes and table.startswith('tcp'):
                        self.assertNotEqual(words[3], '0A', f'{table}: {line}')

    def test_4_validator_links_no_sqlite_curl_journal(self):
        daemon = self.site.connectors['north'].daemon
        maps = {}
        for name, pid in daemon.children().items():
            with open(f'/proc/{pid}/maps', encoding='ascii') as f:
                maps[name] = f.read()
        validator = next(text for name, text in maps.items() if name.startswith('postern-valid'))
        for library in ('libsqlite3', 'libcurl', 'libsystemd'):
            self.assertNotIn(library, validator)
        self.assertIn('libcurl', maps['postern-link'])

    def test_5_relay_restart(self):
        """The links come back by themselves."""
        user, password, _ = self.account('GOOD1')
        relay = self.site.relay
        relay.stop()
        with open(self.site.relay_conf, encoding='ascii') as f:
            text = f.read()
        with open(self.site.relay_conf, 'w', encoding='ascii') as f:
            f.write(text.replace('127.0.0.1:0', f'127.0.0.1:{self.site.port}'))
        with socket.socket() as s:
            s.settimeout(2)
            self.assertNotEqual(s.connect_ex(('127.0.0.1', self.site.port)), 0)
        relay.start()
        wait_for('the connector is back', self.relay_ready)
        self.assertEqual(self.site.sign_in(user, password)[0], 0)

    def relay_ready(self):
        try:
            return self.site.relay.check() and self.site.connectors['north'].ready()
        except OSError:
            return False


if __name__ == '__main__':
    main()
