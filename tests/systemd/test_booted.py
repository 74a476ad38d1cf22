"""Both units, as installed, under a real systemd: they start, reload, come back and stop, shut, and never silently.

usage: test_booted.py BUILD
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from machine import Machine

BUILD = os.path.abspath(sys.argv[1])
EXPOSURE_MAX = 2.0
CHILDREN = {'postern-link', 'postern-validat', 'postern-ledger'}  # as the kernel cuts names
CONF = '/etc/postern/postern.conf'
RELAY_CONF = '/etc/postern-relay/relay.conf'
RELAY = f'''[relay]
listen = 127.0.0.1:8443
certificate = /etc/postern-relay/relay.pem
key = /etc/postern-relay/relay.key
metrics_socket = /run/postern-relay/metrics.sock
'''
CONNECTOR = '''[connector]
drain_ms = 2000

[domain corp.example]
dcs = dc1.corp.example@127.0.0.1
'''
DROP_IN = '/etc/systemd/system/postern.service.d/test.conf'


def certificates(folder, names='IP:127.0.0.1'):
    """A CA, and a certificate of it for 127.0.0.1 or other names."""
    def path(name):
        return os.path.join(folder, name)
    ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
    with open(path('ext'), 'w', encoding='ascii') as f:
        f.write(f'subjectAltName={names}\nextendedKeyUsage=serverAuth\n')
    for argv in (['req', '-x509', *ec, '-days', '2', '-subj', '/CN=Test CA', '-addext', 'basicConstraints=critical,CA:TRUE',
                  '-addext', 'keyUsage=critical,keyCertSign,cRLSign', '-keyout', path('ca.key'), '-out', path('ca.pem')],
                 ['req', *ec, '-subj', '/CN=relay', '-keyout', path('relay.key'), '-out', path('relay.csr')],
                 ['x509', '-req', '-in', path('relay.csr'), '-CA', path('ca.pem'), '-CAkey', path('ca.key'), '-CAcreateserial',
                  '-days', '2', '-extfile', path('ext'), '-out', path('relay.pem')]):
        subprocess.run(['openssl', *argv], check=True, capture_output=True)

    def text(name):
        with open(path(name), encoding='ascii') as f:
            return f.read()
    return {name: text(name) for name in ('ca.pem', 'relay.key', 'relay.pem')}


def relay_cli(machine, *words):
    return machine.run('runuser', '-u', 'postern-relay', '--', 'postern-relay', '--config', RELAY_CONF, *words).stdout


def enrol(machine, ca):
    """A tenant at the machine's relay, and its connector enrolled there. The tenant's pin."""
    machine.write('/root/ca.pem', ca)
    pin = json.loads(machine.run('postern', 'tenant', 'init', 'contoso', '--dir', '/root/tenant', '--no-passphrase', '--json').stdout)['pin']
    relay_cli(machine, 'tenant', 'add', 'contoso', '--pin', pin)
    machine.write('/root/token', relay_cli(machine, 'token', 'contoso', 'north'))
    machine.run('postern', 'enroll', '--relay', 'https://127.0.0.1:8443', '--tenant', 'contoso', '--token-file', '/root/token',
                '--name', 'north', '--ca-file', '/root/ca.pem')
    return pin


class Booted(unittest.TestCase):
    """The tests share one machine and run in the order of their names: not enrolled, enrolled, broken in turn, stopped."""
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix='postern-systemd-')
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)
        cls.m = Machine(BUILD, os.path.join(cls.top, 'boot.log'))
        cls.addClassCleanup(cls.m.close)
        cls.m.install(BUILD, os.path.join(cls.top, 'staging'))
        cls.files = certificates(cls.top)
        cls.m.write(CONF, CONNECTOR)
        cls.m.write(RELAY_CONF, RELAY, 0o640, 'postern-relay')
        cls.m.write('/etc/postern-relay/relay.pem', cls.files['relay.pem'], 0o640, 'postern-relay')

    # -- helpers --

    def systemctl(self, *words, check=True):
        return self.m.run('systemctl', *words, check=check)

    def show(self, unit, *properties):
        text = self.systemctl('show', unit, '-p', ','.join(properties)).stdout
        return dict(line.split('=', 1) for line in text.splitlines() if '=' in line)

    def main_pid(self, unit='postern'):
        return int(self.show(unit, 'MainPID')['MainPID'])

    def children(self):
        pid = self.main_pid()
        return self.m.processes(pid) if pid else {}

    def journal(self, unit='postern'):
        self.m.run('journalctl', '--sync')
        return self.m.run('journalctl', '-u', unit, '--no-pager', '-o', 'cat').stdout

    def relay_cli(self, *words):
        return relay_cli(self.m, *words)

    def status(self):
        done = self.m.run('postern', 'status', '--json', check=False)
        return json.loads(done.stdout) if done.stdout else {'parts': {}, 'findings': []}

    def wrong(self):
        return [f"{found['cause']}. {found.get('remedy', '')}" for found in self.status()['findings']]

    def drop_in(self, text):
        self.m.write(DROP_IN, '[Service]\n' + text, 0o644)
        self.systemctl('daemon-reload')

    def no_drop_in(self):
        self.m.run('rm', '-f', DROP_IN)
        self.systemctl('daemon-reload')
        self.systemctl('reset-failed', 'postern', check=False)

    def restart(self):
        self.assertEqual(self.systemctl('restart', 'postern', check=False).returncode, 0, self.journal()[-3000:])
        names = self.m.wait('each child has its name', lambda: (lambda names: None if 'exe' in names else names)(set(self.children())))
        self.assertEqual(names - {'postern-scribe'}, CHILDREN)

    def kill(self, sig, pid):
        self.m.run('sh', '-c', f'kill -{sig} {pid}')

    # -- before the enrolment --

    def test_10_exposure(self):
        for unit in ('postern.service', 'postern-relay.service', 'postern-web.service', 'postern-gateway.service', 'postern-account@1.service', 'postern-asker@1.service', 'postern-metrics.service'):
            said = self.m.run('systemd-analyze', 'security', '--no-pager', unit).stdout
            exposure = float(re.search(r'exposure level for \S+: ([0-9.]+)', said)[1])
            print(unit, exposure)
            self.assertLessEqual(exposure, EXPOSURE_MAX, said)

    def test_11_before_the_enrolment_the_start_fails_and_says_what_to_do(self):
        for name in ('postern', 'posternd'):
            done = self.systemctl('start', name, check=False)
            self.assertNotEqual(done.returncode, 0)
        state = self.show('postern', 'ActiveState', 'NRestarts', 'ExecMainStatus')
        self.assertEqual(state, {'ActiveState': 'failed', 'NRestarts': '0', 'ExecMainStatus': '78'})
        self.assertIn('postern enroll --relay', self.journal())
        self.assertIn('not enrolled', self.systemctl('status', 'posternd', check=False).stdout)

    def test_12_the_relay_does_not_loop_on_what_it_cannot_use(self):
        for text in (RELAY + 'nonsense = 1\n', RELAY):  # of the second one the key is missing
            self.m.write(RELAY_CONF, text, 0o640, 'postern-relay')
            self.assertNotEqual(self.systemctl('start', 'postern-relay', check=False).returncode, 0)
            state = self.show('postern-relay', 'ActiveState', 'NRestarts', 'ExecMainStatus')
            self.assertEqual(state, {'ActiveState': 'failed', 'NRestarts': '0', 'ExecMainStatus': '78'}, self.journal('postern-relay'))
        self.assertIn('relay.key', self.journal('postern-relay'))

    def test_13_the_relay_starts_reloads_and_refuses(self):
        self.m.write('/etc/postern-relay/relay.key', self.files['relay.key'], 0o640, 'postern-relay')
        self.systemctl('start', 'postern-relay')
        pid = self.main_pid('postern-relay')
        self.assertEqual(self.m.status(pid)['Seccomp'], '2')
        self.assertEqual(self.systemctl('reload', 'postern-relay', check=False).returncode, 0, self.journal('postern-relay'))
        self.m.write('/etc/postern-relay/relay.pem', 'no certificate\n', 0o640, 'postern-relay')
        self.assertNotEqual(self.systemctl('reload', 'postern-relay', check=False).returncode, 0)
        self.m.write('/etc/postern-relay/relay.pem', self.files['relay.pem'], 0o640, 'postern-relay')
        self.systemctl('reload', 'postern-relay')
        self.assertEqual(self.main_pid('postern-relay'), pid)

    def test_14_the_relay_leaves_its_sockets_to_its_next_start(self):
        """systemd keeps them over a restart and after a kill: nobody who connects is refused."""
        connect = 'for i in $(seq 250); do (exec 3<>/dev/tcp/127.0.0.1/8443) || exit 1; sleep .02; done'
        for how in ('systemctl restart postern-relay', 'kill -KILL {pid}'):
            pid, taken = self.main_pid('postern-relay'), self.journal('postern-relay').count('socket_taken_over')
            how = how.format(pid=pid)
            done = self.m.run('bash', '-c', f'{how} & {connect}; wait $!', check=False)
            self.assertEqual(done.returncode, 0, f'{how}: {done.stderr}')
            self.m.wait('a new relay', lambda p=pid: self.main_pid('postern-relay') not in (0, p))
            self.m.wait('it has the sockets', lambda t=taken: self.journal('postern-relay').count('socket_taken_over') == t + 1)

    # -- the connector --

    def test_20_enrolled_it_starts(self):
        type(self).pin = enrol(self.m, self.files['ca.pem'])
        self.systemctl('reset-failed', 'postern')
        self.systemctl('start', 'posternd')
        self.systemctl('enable', 'postern')
        self.assertEqual(set(self.children()), CHILDREN)
        self.m.wait('the link', lambda: self.status()['parts'].get('link', {}).get('value', {}).get('state') == 'up')

    def entries(self, *match):
        self.m.run('journalctl', '--sync')
        said = self.m.run('journalctl', '-u', 'postern', '-u', 'postern-relay', '-o', 'json', '--no-pager', *match).stdout
        return [json.loads(line) for line in said.splitlines()]

    def test_21a_the_journal_has_fields_and_the_catalog_explains_them(self):
        ready = self.entries('POSTERN_EVENT=ready')[0]
        self.assertEqual((ready['POSTERN_CONNECTOR'], ready['PRIORITY'], ready['_SYSTEMD_UNIT'], ready['SYSLOG_IDENTIFIER']),
                         ('north', '6', 'postern.service', 'posternd'))
        self.assertTrue(ready['MESSAGE'].startswith('posternd: ready connector=north id='), ready['MESSAGE'])
        self.assertTrue(self.entries('POSTERN_EVENT=started')[0]['MESSAGE'].startswith('postern-relay: started'))
        told = self.entries('POSTERN_EVENT=control.request')[0]
        self.assertEqual((told['_COMM'], told['POSTERN_DO']), ('postern-ledger', 'status'))
        self.m.run('journalctl', '--update-catalog')
        said = self.m.run('journalctl', '-u', 'postern', '-x', '--no-pager', 'MESSAGE_ID=' + ready['MESSAGE_ID']).stdout
        self.assertIn('Subject: All processes are at work', said)

    def test_21b_records_for_a_siem(self):
        """By the unit's own folder; the ledger is confined, and what was moved away is made anew."""
        path = '/var/log/postern/events.jsonl'
        self.m.write(CONF, CONNECTOR.replace('drain_ms', f'events_file = {path}\nevents_socket = /run/nobody.sock\ndrain_ms'))
        try:
            self.restart()
            self.assertIn('postern-scribe', self.children())
            self.m.wait('the file', lambda: self.m.run('test', '-e', path, check=False).returncode == 0)
            self.assertEqual(self.m.run('stat', '-c', '%U %a', path).stdout, 'root 640\n')
            self.m.run('postern', 'log')
            self.m.wait('the act', lambda: '"act":"log"' in self.m.run('cat', path).stdout)
            self.m.wait('the finding', lambda: 'is rsyslog up?' in self.m.run('postern', 'status', check=False).stdout)
            self.m.run('mv', path, path + '.1')
            self.m.wait('another file', lambda: self.m.run('test', '-e', path, check=False).returncode == 0)
            self.m.run('postern', 'log')
            self.m.wait('the act', lambda: '"act":"log"' in self.m.run('cat', path).stdout)
            self.assertEqual(self.status()['parts']['process:ledger']['value']['seccomp'], True)
        finally:
            self.m.write(CONF, CONNECTOR)
            self.restart()

    def test_22a_metrics_for_node_exporter(self):
        folder = '/var/lib/prometheus/node-exporter'
        self.systemctl('start', 'postern-metrics.timer')
        self.m.run('install', '-d', '-o', 'daemon', folder)  # another user's, as Debian has it
        self.systemctl('start', 'postern-metrics.service')
        text = self.m.run('cat', f'{folder}/postern.prom').stdout
        self.assertIn('postern_link_up{relay="https://127.0.0.1:8443"} 1\n', text)
        self.assertIn('postern_up{socket="/run/postern/metrics.sock"} 1\n', text)
        said = self.m.run('postern', 'metrics', '--from', '/run/postern-relay/metrics.sock').stdout
        self.assertIn('postern_relay_links{tenant="contoso"} 1\n', said)
        self.assertEqual(self.m.run('stat', '-c', '%U %a', '/run/postern-relay/metrics.sock').stdout, 'postern-relay 660\n')

    def test_23a_the_reader_of_accounts(self):
        """A process for each question, which can read its credential and ask a domain controller, and is another user then."""
        self.systemctl('start', 'postern-account.socket')
        done = self.m.run('postern', 'account', 'alice@corp.example', check=False)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn('no reader is configured', done.stderr)
        self.assertIn('Get-ADUser', done.stdout)
        self.m.write('/etc/postern/reader', 'a password\n')
        self.m.write(CONF, CONNECTOR + 'reader = svc@corp.example\nreader_password_file = /etc/postern/reader\n')
        try:
            done = self.m.run('postern', 'account', 'alice@corp.example', check=False)
        finally:
            self.m.write(CONF, CONNECTOR)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn('dc1.corp.example, port 636: Connection refused', done.stderr)
        self.m.run('journalctl', '--sync')
        said = self.m.run('journalctl', '-t', 'postern-account', '-o', 'cat', '--no-pager').stdout
        self.assertIn('account.asked for=account name=alice@corp.example uid=0', said)
        self.assertEqual(self.systemctl('list-units', '--failed', '--plain', '--no-legend', 'postern-account*').stdout, '')

    def test_21_every_process_is_shut(self):
        pid = self.main_pid()
        unit = self.m.status(pid)
        self.assertEqual(unit['Seccomp'], '2')
        for name, child in self.children().items():
            s = self.m.status(child)
            self.assertEqual((s['Seccomp'], s['NoNewPrivs'], s['CapEff']), ('2', '1', '0' * 16), name)
            self.assertGreater(int(s['Seccomp_filters']), int(unit['Seccomp_filters']), f'{name} has no filter of its own')
        parts = self.status()['parts']
        for part in ('link', 'validator', 'ledger'):
            value = parts[f'process:{part}']['value']
            self.assertEqual((value['seccomp'], value['landlock']), (True, 'on'), part)

    def test_22_a_reload_starts_all_anew_and_a_refused_one_fails(self):
        before = self.children()
        self.systemctl('reload', 'postern')
        after = self.children()
        self.assertEqual(set(after), CHILDREN)
        self.assertEqual(set(before.values()) & set(after.values()), set())
        self.m.write('/etc/postern/ca.pem', '', 0o644)
        self.addCleanup(self.m.write, CONF, CONNECTOR)
        for text, why in ((CONNECTOR + 'nonsense = 1\n', 'nonsense'),
                          (CONNECTOR.replace('[domain', 'control_group = nosuchgroup\n[domain'), 'nosuchgroup'),
                          (CONNECTOR.replace('[domain', 'tenant = other\n[domain'), 'enrolled with contoso'),
                          (CONNECTOR + 'ca_file = /etc/postern/ca.pem\n', 'ca.pem')):
            self.m.write(CONF, text)
            self.assertNotEqual(self.systemctl('reload', 'postern', check=False).returncode, 0, text)
            self.assertEqual(self.children(), after)
            self.assertIn(why, self.journal())
            wrong = ' '.join(self.m.wait('the refusal in status', lambda w=why: [t for t in self.wrong() if w in t]))
            self.assertIn('systemctl reload', wrong)
        self.m.write(CONF, CONNECTOR)
        self.systemctl('reload', 'postern')
        self.assertNotIn('refused', json.dumps(self.wrong()))

    def test_23_a_killed_child_comes_back(self):
        before = self.children()
        for name in sorted(CHILDREN):
            self.kill('KILL', before[name])
            self.m.wait(f'a new {name}', lambda n=name: self.children().get(n, before[n]) != before[n])
        self.assertEqual(set(self.m.wait('all', lambda: self.children() if len(self.children()) == 3 else None)), CHILDREN)

    def test_24_a_killed_main_process_comes_back_with_new_children(self):
        before, pid = self.children(), self.main_pid()
        self.kill('KILL', pid)
        self.m.wait('a new main process', lambda: self.main_pid() not in (0, pid) and
                    self.show('postern', 'ActiveState')['ActiveState'] == 'active')
        self.assertEqual(set(before.values()) & set(self.children().values()), set())
        for child in before.values():
            self.assertNotEqual(self.m.run('test', '-e', f'/proc/{child}', check=False).returncode, 0)

    def http(self, method, path, host, body='', *lines):
        """By the shell's own sockets: the machine has no other client."""
        head = [f'{method} {path} HTTP/1.1', f'Host: {host}', f'Content-Length: {len(body)}', 'Connection: close', *lines]
        if method == 'GET':
            head.pop(2)
        name, port = host.split(':')
        text = '\\r\\n'.join(head) + '\\r\\n\\r\\n' + body
        return self.m.run('bash', '-c', f"exec 3<>/dev/tcp/{name}/{port}; printf '{text}' >&3; cat <&3").stdout

    def test_24a_the_helpdesks_page(self):
        self.m.write(CONF, CONNECTOR.replace('[connector]\n', '[connector]\ncontrol_group = postern-web\n'))
        self.addCleanup(self.m.write, CONF, CONNECTOR)
        self.restart()
        self.m.write('/etc/postern-web/web.conf', '[web]\nlisten = 127.0.0.1:8470\n', 0o640, 'postern-web')
        self.systemctl('start', 'postern-web')
        self.assertEqual(self.m.status(self.main_pid('postern-web'))['Seccomp'], '2')
        link = self.m.run('postern', 'page').stdout.strip()
        self.assertIn('http://127.0.0.1:8470/enter#', link)
        said = self.http('POST', '/enter', '127.0.0.1:8470', 'code=' + link.split('#')[1], 'Sec-Fetch-Site: same-origin')
        cookie = re.search(r'Set-Cookie: (postern=[^;]+)', said)
        self.assertTrue(cookie, said)
        page = self.http('GET', '/', '127.0.0.1:8470', '', 'Cookie: ' + cookie[1])
        self.assertIn(' 200 OK', page)
        self.assertIn('class="state stopped"', page)  # no relay and no domain controller here
        self.assertIn('seccomp, Landlock', page)
        self.assertIn('Names refused most', self.http('GET', '/day', '127.0.0.1:8470', '', 'Cookie: ' + cookie[1]))
        self.systemctl('stop', 'postern-web')
        self.assertEqual(self.show('postern-web', 'Result'), {'Result': 'success'})

    def test_24aa_the_page_of_all_connectors(self):
        """A host without a connector: the page asks by a socket, whose processes have a person's key, are confined, and reach the relay."""
        folder = '/var/lib/postern-asker'
        self.assertEqual(self.m.run('stat', '-c', '%U %a', folder).stdout, 'postern-asker 700\n')
        self.m.write('/etc/postern-web/ca.pem', self.files['ca.pem'], 0o644)
        self.m.run('chmod', '755', '/etc/postern-web')
        self.m.write(f'{folder}/secret', json.loads(self.relay_cli('secret', 'contoso', 'helpdesk', '--json'))['secret'])
        self.m.run('chown', 'postern-asker:', f'{folder}/secret')
        self.m.run('runuser', '-u', 'postern-asker', '--', 'postern', 'person', 'init', 'desk', '--person', f'{folder}/person', '--no-passphrase',
                   '--relay', 'https://127.0.0.1:8443', '--tenant', 'contoso', '--pin', self.pin, '--secret-file', f'{folder}/secret',
                   '--ca-file', '/etc/postern-web/ca.pem')
        self.m.write('/etc/postern-web/web.conf', '[web]\nlisten = 127.0.0.1:8470\neverywhere = /run/postern-asker.sock\n', 0o640, 'postern-web')
        self.systemctl('start', 'postern-asker.socket', 'postern-web')
        self.assertEqual(self.m.run('stat', '-c', '%G %a', '/run/postern-asker.sock').stdout, 'postern-web 660\n')
        link = self.m.run('postern', 'page').stdout.strip()
        said = self.http('POST', '/enter', '127.0.0.1:8470', 'code=' + link.split('#')[1], 'Sec-Fetch-Site: same-origin')
        cookie = re.search(r'Set-Cookie: (postern=[^;]+)', said)
        page = self.http('GET', '/', '127.0.0.1:8470', '', 'Cookie: ' + cookie[1])
        self.m.run('journalctl', '--sync')
        told = self.m.run('journalctl', '-t', 'postern-asker', '-o', 'cat', '--no-pager').stdout
        self.assertIn(' 503 ', page)  # its tenant has no roster, or none that names the key
        self.assertRegex(page, 'approve-person|roster', told)
        self.assertIn('asker.asked op=status', told)
        self.assertNotIn('no_landlock', told)
        self.assertEqual(self.systemctl('list-units', '--failed', '--plain', '--no-legend', 'postern-asker*').stdout, '')
        self.systemctl('stop', 'postern-web', 'postern-asker.socket')

    def test_24b_the_gateway(self):
        """The page's three commands and one file; nobody here could check a password, which it says."""
        self.m.write('/etc/postern-gateway/ca.pem', self.files['ca.pem'], 0o644)
        self.m.write('/etc/postern-gateway/service-secret', json.loads(self.relay_cli('secret', 'contoso', 'service', '--json'))['secret'])
        self.m.run('postern', 'service', 'init', 'portal', '--service', '/etc/postern-gateway/service', '--relay', 'https://127.0.0.1:8443',
                   '--tenant', 'contoso', '--pin', self.pin, '--secret-file', '/etc/postern-gateway/service-secret', '--ca-file', '/etc/postern-gateway/ca.pem')
        self.m.write('/etc/postern-gateway/gateway.conf', '[gateway]\nlisten = 127.0.0.1:8480\nwithout_guard = allow\n')
        self.addCleanup(self.systemctl, 'stop', 'postern-gateway', check=False)
        started = self.systemctl('start', 'postern-gateway', check=False)
        self.assertEqual(started.returncode, 0, self.journal('postern-gateway')[-3000:] + self.m.run('postern-gateway', '--check-config', check=False).stderr)
        main = self.main_pid('postern-gateway')
        children = self.m.run('cat', f'/proc/{main}/task/{main}/children').stdout.split()  # doors, sealer and link have one name to the kernel
        self.assertEqual(len(children), 3)
        for pid in children:
            self.assertEqual(self.m.status(int(pid))['Seccomp'], '2')
        self.assertIn(' 200 OK', self.http('GET', '/healthz', '127.0.0.1:8480'))
        said = self.http('POST', '/v1/sign-in', '127.0.0.1:8480', '{"username":"alice@corp.example","password":"x"}',
                         'Content-Type: application/json')
        self.assertIn('"verdict":"unavailable"', said)
        self.assertIn('"class":"infrastructure"', said)
        self.m.write('/etc/postern-gateway/gateway.conf', '[gateway]\nlisten = 127.0.0.1:8481\nwithout_guard = allow\n')
        self.assertEqual(self.systemctl('reload', 'postern-gateway', check=False).returncode, 0, self.journal('postern-gateway')[-3000:])
        self.assertIn(' 200 OK', self.http('GET', '/healthz', '127.0.0.1:8481'))  # at once
        self.m.write('/etc/postern-gateway/gateway.conf', '[gateway]\nlisten = nowhere\n')
        self.assertNotEqual(self.systemctl('reload', 'postern-gateway', check=False).returncode, 0)
        self.systemctl('stop', 'postern-gateway')
        self.assertEqual(self.show('postern-gateway', 'Result'), {'Result': 'success'})

    def test_25_a_hung_child_is_noticed(self):
        self.drop_in('WatchdogSec=16\n')
        self.restart()
        for name in sorted(CHILDREN):
            before = self.children()
            self.kill('STOP', before[name])
            self.m.wait(f'a new {name}', lambda n=name, b=before: self.children().get(n, b[n]) != b[n])
        self.assertEqual(self.journal().count('process.hung'), 3)
        pid = self.main_pid()
        self.kill('STOP', pid)  # and the main process by systemd
        self.m.wait('a new main process', lambda: self.main_pid() not in (0, pid) and
                    self.show('postern', 'ActiveState')['ActiveState'] == 'active')

    def test_26_a_unit_that_forbids_landlock_is_told_of(self):
        # systemd 257 lets everybody have Landlock, 252 nobody: so it is forbidden by name
        self.drop_in('SystemCallFilter=\nSystemCallFilter=@system-service seccomp\nSystemCallFilter=~@obsolete @resources '
                     'landlock_create_ruleset landlock_add_rule landlock_restrict_self\n')
        self.addCleanup(self.no_drop_in)
        self.restart()
        self.assertRegex(self.journal(), r'process\.no_landlock process=link .*SystemCallFilter=seccomp landlock_create_ruleset')
        wrong = self.m.wait('the status', lambda: [t for t in self.wrong() if 'without Landlock' in t])
        self.assertEqual(len(wrong), 3, wrong)
        self.assertIn('SystemCallFilter', wrong[0])
        self.assertEqual(self.status()['parts']['process:link']['value']['landlock'], 'forbidden')

    def test_27_a_unit_that_forbids_seccomp_is_named(self):
        self.drop_in('SystemCallFilter=\nSystemCallFilter=@system-service\nSystemCallFilter=~@obsolete @resources seccomp\n')
        self.addCleanup(self.no_drop_in)
        before = len(self.journal())
        self.assertNotEqual(self.systemctl('restart', 'postern', check=False).returncode, 0)
        said = self.journal()[before:]
        self.assertEqual(self.show('postern', 'ExecMainStatus', 'NRestarts'), {'ExecMainStatus': '78', 'NRestarts': '0'})
        self.assertRegex(said, r'forbids seccomp\(\); add to \[Service\] of the unit: SystemCallFilter=seccomp')
        self.assertNotIn('confinement = off', said)

    def test_28_a_file_that_the_unit_hides_is_explained(self):
        self.m.write(CONF, CONNECTOR + 'ca_file = /root/ca.pem\n')
        self.addCleanup(self.m.write, CONF, CONNECTOR)
        before = len(self.journal())
        self.assertNotEqual(self.systemctl('restart', 'postern', check=False).returncode, 0)
        self.assertIn('ProtectHome', self.journal()[before:])
        said = self.m.run('posternd', '--check-config', check=False)
        self.assertIn('ProtectHome', said.stdout + said.stderr)

    def test_29_stopped_it_leaves_nothing(self):
        self.systemctl('reset-failed', 'postern', check=False)
        self.restart()
        self.systemctl('stop', 'posternd')
        self.assertEqual(self.show('postern', 'ActiveState', 'Result'), {'ActiveState': 'inactive', 'Result': 'success'})
        left = self.m.run('sh', '-c', 'cat /proc/[0-9]*/comm | grep ^postern | grep -v ^postern-relay', check=False).stdout
        self.assertEqual(left, '')
        self.systemctl('stop', 'postern-relay')
        self.assertEqual(self.show('postern-relay', 'Result'), {'Result': 'success'})


if __name__ == '__main__':
    if os.geteuid() != 0:
        raise unittest.SkipTest('booting a systemd needs root')
    unittest.main(argv=sys.argv[:1] + sys.argv[2:], verbosity=2)
