"""The helpdesk's page on a host without a connector: postern-web without a key, postern-asker with a person's, a real relay and connectors."""
import contextlib
import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

from e2e import SiteTest, build_dir, wait_for
from postern_site import Daemon
from tokens import PIN, SoftHsm, Tpm, write_private

ROOT = os.geteuid() == 0
PAGE, ASKER = (4711, 4712) if ROOT else (None, None)  # users without a name
PICTURES = os.environ.get('POSTERN_PICTURES')  # a folder for what a browser shows


def as_user(uid):
    return {'user': uid, 'group': uid, 'extra_groups': []} if ROOT else {}


class Askers:
    """What postern-asker.socket is under systemd: a process for each who connects."""

    def __init__(self, path, person, log, env=None, uid=ASKER):
        self.path, self.person, self.log, self.uid, self.running = path, person, log, uid, []
        self.more, self.env = [], {**os.environ, **(env or {})}
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(path)
        os.chmod(path, 0o666)
        self.listening.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        program = os.path.join(build_dir(), 'connector', 'asker', 'postern-asker')
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self.listening.accept()
                with conn, open(self.log, 'ab') as log:
                    self.running.append(subprocess.Popen([program, '--person', self.person, *self.more], stdin=conn, stdout=subprocess.DEVNULL,
                                                         stderr=log, env=self.env, **as_user(self.uid)))

    def close(self):
        with contextlib.suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)
        self.listening.close()
        for process in self.running:
            process.wait(120)

    def ask(self, question):
        """As whoever has taken the page over can."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.path)
            s.sendall((question if isinstance(question, bytes) else json.dumps(question).encode()) + b'\n')
            return json.loads(s.makefile().readline())


class EverywherePage(SiteTest):
    CONNECTORS = [('north', 'ldap'), ('south', 'ldap')]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.host = tempfile.mkdtemp(prefix='postern-desk-')  # of the helpdesk's host
        cls.addClassCleanup(shutil.rmtree, cls.host, ignore_errors=True)
        os.chmod(cls.host, 0o755)
        cls.folder, cls.log = os.path.join(cls.host, 'person'), os.path.join(cls.host, 'log')
        secret, ca = os.path.join(cls.host, 'secret'), os.path.join(cls.host, 'ca.pem')
        shutil.copy(cls.site.ca, ca)
        os.chmod(ca, 0o644)
        with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), 'w', encoding='ascii') as f:
            f.write(cls.site.relay_admin('secret', cls.site.tenant, 'helpdesk'))
        cls.site.postern('person', 'init', 'desk', '--person', cls.folder, '--relay', cls.site.url, '--tenant', cls.site.tenant, '--pin',
                         cls.site.pin, '--secret-file', secret, '--ca-file', ca, '--no-passphrase')
        for path in [secret, cls.folder, *(os.path.join(cls.folder, name) for name in os.listdir(cls.folder))]:
            if ROOT:
                os.chown(path, ASKER, ASKER)
        cls.askers = Askers(os.path.join(cls.host, 'asker.sock'), cls.folder, cls.log)
        cls.addClassCleanup(cls.askers.close)
        cls.web = cls.start_web()

    @classmethod
    def start_web(cls):
        admit, config = os.path.join(cls.host, 'w', 'admit.sock'), os.path.join(cls.host, 'web.conf')
        os.mkdir(os.path.dirname(admit))
        if ROOT:
            os.chown(os.path.dirname(admit), PAGE, PAGE)
        with open(config, 'w', encoding='ascii') as f:
            f.write(f'[web]\nlisten = 127.0.0.1:0\nadmit = {admit}\neverywhere = {cls.askers.path}\ncontrol = /nowhere\n')
        with open(os.path.join(cls.host, 'web.log'), 'ab') as log:
            process = subprocess.Popen([os.path.join(build_dir(), 'connector', 'web', 'postern-web'), '--config', config], stdout=subprocess.PIPE,
                                       stderr=log, text=True, **as_user(PAGE))
        cls.addClassCleanup(process.stdout.close)
        cls.addClassCleanup(process.wait, 120)
        cls.addClassCleanup(process.send_signal, signal.SIGTERM)
        cls.port, cls.admit = int(process.stdout.readline().rsplit(':', 1)[1]), admit
        return process

    @classmethod
    def logs(cls):
        return super().logs() + [path for path in (cls.log, os.path.join(cls.host, 'web.log')) if os.path.exists(path)]

    def setUp(self):
        self.counted([0] * 30)  # each test has its own 30
        self.cookie = None

    def counted(self, times=None):
        """The times of the latest questions, which the askers keep; or they are made these."""
        path = os.path.join(self.folder, 'asked')
        if times is not None:
            with open(path, 'wb') as f:
                f.write(struct.pack('<30q', *times))
            if ROOT:
                os.chown(path, ASKER, ASKER)
        with open(path, 'rb') as f:
            return struct.unpack('<30q', f.read())

    def link(self):
        return self.site.run([self.site.program('postern'), 'page', '--socket', self.admit]).strip()

    def page(self, path, form=None, status=200):
        c = http.client.HTTPConnection('127.0.0.1', self.port, timeout=300)
        headers = {'Cookie': self.cookie} if self.cookie else {}
        if form is not None:
            headers |= {'Sec-Fetch-Site': 'same-origin', 'Content-Type': 'application/x-www-form-urlencoded'}
        c.request('GET' if form is None else 'POST', path, None if form is None else urllib.parse.urlencode(form), headers)
        answer = c.getresponse()
        text = answer.read().decode()
        c.close()
        self.assertEqual(answer.status, status, text)
        if answer.headers['Set-Cookie']:
            self.cookie = answer.headers['Set-Cookie'].split(';')[0]
        return text

    def enter(self):
        self.page('/enter', {'code': self.link().split('#')[1]}, status=303)

    def asked_until(self, what, question, good):
        """The person is in the roster of both."""
        def told():
            self.counted([0] * 30)
            answer = self.askers.ask(question)
            return answer if answer.get('ok') and good(answer) else None
        return wait_for(what, told, interval=2)

    def sign_in(self, user, password, connector):
        return self.site.sign_in(user, password, connector=connector)[1]

    def test_1_before_the_roster_has_the_key(self):
        self.enter()
        text = self.page('/', status=503)
        self.assertIn('approve-person', text)
        with open(os.path.join(self.folder, 'person.pub.json'), encoding='utf-8') as f:
            kid = json.load(f)['kid']
        self.site.postern('tenant', 'approve-person', os.path.join(self.folder, 'person.pub.json'), kid, '--for', '30', *self.site.tenant_options())
        self.asked_until('both know the key', {'do': 'status'}, lambda a: a['everywhere']['answered'] == 2)

    def test_2_search(self):
        user, password, _ = self.account('GOOD1')
        wrong, good = self.sign_in(user, password + 'x', 'north'), self.sign_in(user, password, 'south')
        self.asked_until('both records are there', {'do': 'log', 'user': user}, lambda a: len(a['records']) == 2)
        self.enter()
        text = self.page('/search', {'what': ' ' + user + ' '})
        for word in (wrong['id'], good['id'], 'north', 'south', 'The latest sign-in', 'Before that', '<th scope="col">Connector'):
            self.assertIn(word, text)
        self.assertNotIn('Whose answer is missing', text)
        # the same story as the command line tells, wherever it was
        told = json.loads(self.site.postern('explain', wrong['id'], '--everywhere', '--person', self.folder, '--json'))['records'][0]['explanation']
        text = self.page('/sign-in/' + wrong['id'])
        for key in ('result', 'meaning', 'remedy', 'connector', 'when'):
            self.assertIn(told[key].replace("'", '&#39;').replace('"', '&quot;'), text, key)
        self.assertEqual(len(re.findall('<li><span>', text)), len([h for h in told['hops'] if 'ms' in h]))
        # around a time, with and without a name
        now = time.strftime('%Y-%m-%dT%H:%M')
        self.assertIn(wrong['id'], self.page('/search', {'what': user, 'when': now}))
        text = self.page('/search', {'what': user, 'when': '2020-01-01T10:00'})
        self.assertNotIn(wrong['id'], text)
        text = self.page('/search', {'when': now})
        for word in (wrong['id'], good['id'], 'north', 'south', '<th scope="col">Connector'):
            self.assertIn(word, text)
        self.assertIn('Nothing is known of that time', self.page('/search', {'when': '2020-01-01T10:00'}))
        # neither beginnings nor likenesses are found, and how far the records go back is said
        text = self.page('/search', {'what': user[1:]})
        self.assertIn('where an answer came from', text)
        self.assertRegex(text, r'north +its records go back to')
        with open(self.log, encoding='utf-8') as f:
            self.assertRegex(f.read(), rf'asker\.asked.*what={re.escape(user)}.*person="uid {os.getuid()} of this host".*uid={PAGE or os.getuid()}')
        noted = json.loads(self.site.connectors['north'].postern('log', '--asked', '--json'))['questions']
        self.assertIn(('desk', 'explain', user), {(q['person'], q['op'], q.get('what')) for q in noted})

    def test_3_now(self):
        self.enter()
        text = self.page('/')
        for word in ('north', 'south', 'class="state well">ready', self.site.lab['LAB_AD_HOST'], 'data-every="60"'):
            self.assertIn(word, text)
        self.assertNotIn('href="/day"', text)
        self.page('/day', status=404)
        # whoever looks within half a minute is told the same: nobody is asked anew
        before = self.counted()
        self.assertIn('north', self.page('/now'))
        self.assertEqual(self.counted(), before)

    def test_4_who_has_the_page_has_no_more_than_the_person(self):
        for question in ({'do': 'erase', 'user': 'x'}, {'do': 'report', 'since': 1, 'until': 2}, {'do': 'questions'}, {'do': 'log'}, {'do': 'guard'},
                         {'do': 'log', 'since': 1, 'until': 3602}, {'do': 'log', 'since': 9}, {'do': 'explain', 'since': 1, 'until': 2},
                         {'do': 'explain'}, {'do': 'log', 'user': 'x', 'events': True}, {'do': 'log', 'user': 'x' * 513}, {'do': 'log', 'user': ' '},
                         {'do': 'status', 'domains': ['other.example']}, {}, b'[]', b'no JSON', b'{"do":"status"', b'x' * 5000):
            self.counted([0] * 30)
            answer = self.askers.ask(question)
            self.assertEqual((answer['ok'], answer['code']), (False, 'malformed'), question)
        # nobody but the asker's user can read the key, and the page is not that user
        if ROOT:
            done = subprocess.run(['cat', os.path.join(self.folder, 'person.key')], capture_output=True, check=False, **as_user(PAGE))
            self.assertIn(b'Permission denied', done.stderr)

    def test_5_thirty_a_minute(self):
        self.asked_until('all answer', {'do': 'status'}, lambda a: True)
        self.assertEqual(len([t for t in self.counted() if t]), 1)
        now = int(time.time())
        self.counted([now] * 30)
        answer = self.askers.ask({'do': 'status'})
        self.assertEqual(answer['code'], 'rate')
        self.enter()
        self.assertRegex(self.page('/search', {'what': 'x@corp.example'}, status=503), r'30 questions in a minute are enough; ask again in \d+ s')
        # a clock that was set back shuts nobody out
        self.counted([now + 86400] * 30)
        self.assertTrue(self.askers.ask({'do': 'status'})['ok'])

    def test_6_a_silent_one_is_named(self):
        user, _, _ = self.account('GOOD1')
        self.enter()
        south = self.site.connectors['south']
        south.daemon.stop()
        wait_for('south is not linked', lambda: not any(c['linked'] for c in self.site.get('status')['connectors'] if c['id'] == south.id))
        text = self.page('/search', {'what': user})
        self.assertIn('Whose answer is missing', text)
        self.assertIn('SILENT is south', text)
        self.assertIn('1 of 2 connectors answered', text)
        south.start()
        south.wait_ready()

    def test_7_passphrase(self):
        """As the unit's credential; without it the page says what is to be done."""
        key = os.path.join(self.folder, 'person.key')
        with open(key, 'rb') as f:
            plain = f.read()
        encrypted = subprocess.run(['openssl', 'pkcs8', '-topk8', '-passout', 'pass:open sesame', '-v2', 'aes-256-cbc', '-v2prf', 'hmacWithSHA256'],
                                   input=plain, capture_output=True, check=True).stdout
        passphrase = os.path.join(self.host, 'passphrase')
        with open(os.open(passphrase, os.O_WRONLY | os.O_CREAT, 0o600), 'w', encoding='ascii') as f:
            f.write('open sesame\n')
        if ROOT:
            os.chown(passphrase, ASKER, ASKER)
        with open(key, 'wb') as f:
            f.write(encrypted)
        try:
            answer = self.askers.ask({'do': 'status'})
            self.assertEqual(answer['code'], 'setup')
            self.assertIn('credential `passphrase`', answer['error'])
            self.askers.more = ['--passphrase-file', passphrase]
            self.assertTrue(self.askers.ask({'do': 'status'})['ok'])
        finally:
            self.askers.more = []
            with open(key, 'wb') as f:
                f.write(plain)

    def hardware_person(self, name, uri, env, uid=ASKER):
        """A person whose key is made there, approved, in a folder of the asker's user."""
        folder, secret, ca = os.path.join(self.host, name), os.path.join(self.host, name + '.secret'), os.path.join(self.host, 'ca.pem')
        shutil.copy(os.path.join(self.host, 'secret'), secret)
        os.chmod(secret, 0o600)
        self.site.env.update(env)
        self.site.postern('person', 'init', name, '--person', folder, '--relay', self.site.url, '--tenant', self.site.tenant, '--pin',
                          self.site.pin, '--secret-file', secret, '--ca-file', ca, '--key', uri)
        with open(os.path.join(folder, 'person.key'), encoding='ascii') as f:
            self.assertNotIn('BEGIN PRIVATE KEY', f.read())
        with open(os.path.join(folder, 'person.pub.json'), encoding='utf-8') as f:
            kid = json.load(f)['kid']
        self.site.postern('tenant', 'approve-person', os.path.join(folder, 'person.pub.json'), kid, '--for', '30', *self.site.tenant_options())
        for path in [secret, folder, *(os.path.join(folder, file) for file in os.listdir(folder))]:
            if ROOT:
                os.chown(path, uid, uid)
        return folder

    def asks(self, name, folder, env, uid=ASKER):
        """As the page does: both connectors answer, and no keyholder is left."""
        user, password, _ = self.account('GOOD1')
        wrong = self.sign_in(user, password + 'x', 'north')
        askers = Askers(os.path.join(self.host, name + '.sock'), folder, self.log, env, uid)
        self.addCleanup(askers.close)

        def told():
            answer = askers.ask({'do': 'explain', 'what': wrong['id']})
            self.assertTrue(answer['ok'], answer)
            return answer if answer['everywhere']['answered'] == 2 and answer['records'] else None
        answer = wait_for('both know the key', told, interval=3)
        self.assertEqual([(r['id'], r['connector']) for r in answer['records']], [(wrong['id'], 'north')])
        for process in askers.running:
            process.wait(120)
        if ROOT:
            wait_for('no keyholder of theirs is left', lambda: not self.keyholders(uid))
        return askers

    @staticmethod
    def keyholders(uid):
        found = []
        for pid in filter(str.isdecimal, os.listdir('/proc')):
            with contextlib.suppress(OSError), open(f'/proc/{pid}/status', encoding='utf-8') as f:
                status = f.read()
                if status.startswith('Name:\tpostern-keyhold') and f'\nUid:\t{uid}\t' in status:
                    found.append(pid)
        return found

    def test_7b_key_in_a_token(self):
        hsm = SoftHsm(os.path.join(self.host, 'hsm'))
        folder = self.hardware_person('token', hsm.uri('helpdesk'), hsm.env)
        if ROOT:
            hsm.give_to(ASKER)
            os.chown(hsm.pin_file, ASKER, ASKER)
        askers = self.asks('token', folder, hsm.env)
        with open(self.log, encoding='utf-8') as f:
            self.assertNotIn(PIN, f.read())
        # a PIN that is gone, or wrong, is named: the page tells what to do
        os.rename(hsm.pin_file, hsm.pin_file + '.away')
        answer = askers.ask({'do': 'status'})
        self.assertEqual((answer['ok'], answer['code']), (False, 'setup'))
        self.assertIn(hsm.pin_file, answer['error'])
        write_private(hsm.pin_file, '1357\n')
        if ROOT:
            os.chown(hsm.pin_file, ASKER, ASKER)
        answer = askers.ask({'do': 'status'})
        self.assertEqual((answer['ok'], answer['code']), (False, 'setup'))
        self.assertIn('PIN', answer['error'])

    def test_7c_key_in_a_tpm(self):
        def daemon(name, argv, env):
            return Daemon(name, argv, os.path.join(self.host, name + '.log'), env)
        tpm = Tpm(os.path.join(self.host, 'tpm'), daemon, wait_for)
        self.addCleanup(tpm.stop)
        named = pwd.getpwnam('games').pw_uid  # D-Bus, by which this TPM is reached, lets nobody in who has no name
        self.asks('tpm', self.hardware_person('tpm-desk', 'tpm2:', tpm.env, named), tpm.env, named)

    def test_8_it_never_runs_as_root(self):
        if not ROOT:
            self.skipTest('only root can try')
        ours, theirs = socket.socketpair()
        with ours, theirs:
            done = subprocess.run([os.path.join(build_dir(), 'connector', 'asker', 'postern-asker'), '--person', self.folder], stdin=theirs,
                                  stderr=subprocess.PIPE, timeout=300, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn('never runs as root', json.loads(ours.makefile().readline())['error'])

    @unittest.skipUnless(shutil.which('chromium'), 'there is no Chromium')
    def test_9_in_a_browser(self):
        user, _, _ = self.account('GOOD1')
        id_ = self.asked_until('a record is there', {'do': 'log', 'user': user}, lambda a: a['records'])['records'][0]['id']
        link = self.link()
        base = link.split('/enter')[0]
        with tempfile.TemporaryDirectory(prefix='postern-chromium-') as profile:
            def chromium(url, *args):
                done = subprocess.run(['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--enable-logging=stderr',
                                       f'--user-data-dir={profile}', '--virtual-time-budget=8000', *args, url], capture_output=True, text=True,
                                      timeout=300, check=True)
                self.assertNotIn('CONSOLE', done.stderr)
                return done.stdout
            self.assertIn('<h1>Now</h1>', chromium(link, '--dump-dom'))
            for name, path, words in (('now', '/', ('north', 'south', 'ready')), ('story', '/sign-in/' + id_, ('Connector', 'Hop by hop'))):
                page = chromium(base + path, '--dump-dom')
                for word in words:
                    self.assertIn(word, page)
                for kind, size in (('', '1200,1400'), ('-phone', '390,2000')):
                    if PICTURES:
                        chromium(base + path, f'--screenshot={PICTURES}/everywhere-{name}{kind}.png', '--window-size=' + size)


if __name__ == '__main__':
    from e2e import main
    main()
