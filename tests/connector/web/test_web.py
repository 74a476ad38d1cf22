"""postern-web before a real ledger: who is let in, what the pages say, what nobody can do to them.

usage: test_web.py BUILD_DIR SOURCE_DIR
"""
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import unittest
import urllib.parse

SOURCE = os.path.abspath(sys.argv[2])
sys.path.insert(0, os.path.join(SOURCE, 'tests', 'connector', 'ledger'))
import test_ledger  # noqa: E402

BUILD, POSTERN = test_ledger.BUILD, test_ledger.POSTERN
WEB = os.path.join(BUILD, 'connector', 'web', 'postern-web')
SOMEBODY = 4711  # a user without a name, whose process the page is
PROXY = 'daemon'


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.text = response.status, response.headers, response.read().decode()


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__('postern')
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class WebTest(unittest.TestCase):
    def setUp(self):
        self.rig = test_ledger.LedgerTest('test_nothing_found')
        self.rig.setUp()
        self.addCleanup(self.rig.doCleanups)
        self.dir = self.rig.dir
        self.admit, self.behind = os.path.join(self.dir, 'admit.sock'), os.path.join(self.dir, 'behind.sock')
        os.chmod(self.dir, 0o777)
        os.chmod(self.rig.socket, 0o666)
        self.process = None
        self.start()

    def write_config(self, **keys):
        path = os.path.join(self.dir, 'web.conf')
        values = {'control': self.rig.socket, 'listen': '127.0.0.1:0', 'admit': self.admit, 'title': 'Corp <sign-ins>', **keys}
        with open(path, 'w', encoding='utf-8') as f:
            f.write('[web]\n' + ''.join(f'{k} = {v}\n' for k, v in values.items() if v is not None))
        return path

    def start(self, **keys):
        path = self.write_config(**keys)
        with open(os.path.join(self.dir, 'web.log'), 'ab') as log:
            self.process = subprocess.Popen([WEB, '--config', path], user=SOMEBODY, group=SOMEBODY, extra_groups=[],
                                            stdout=subprocess.PIPE, stderr=log, text=True)
        self.addCleanup(self.stop, self.process)
        line = self.process.stdout.readline()
        self.assertIn('ready', line)
        self.port = int(line.rsplit(':', 1)[1]) if 'http' in line else 0

    def stop(self, process):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(60), 0, self.log())
        process.stdout.close()

    def log(self):
        with open(os.path.join(self.dir, 'web.log'), encoding='utf-8') as f:
            return f.read()

    def ask(self, method, path, form=None, behind=False, **headers):
        """Header names with _ for -."""
        c = UnixConnection(self.behind) if behind else http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
        headers = {k.replace('_', '-'): v for k, v in headers.items()}
        body = urllib.parse.urlencode(form) if form is not None else None
        if form is not None:
            headers.setdefault('Sec-Fetch-Site', 'same-origin')
            headers.setdefault('Content-Type', 'application/x-www-form-urlencoded')
        c.request(method, path, body, headers)
        answer = Answer(c.getresponse())
        c.close()
        return answer

    def link(self, code=0):
        done = subprocess.run([POSTERN, 'page', '--socket', self.admit], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, code, done.stderr)
        return done.stdout.strip() if code == 0 else done.stderr

    def enter(self):
        answer = self.ask('POST', '/enter', {'code': self.link().split('#')[1]})
        self.assertEqual((answer.status, answer.headers['Location']), (303, '/'))
        self.assertRegex(answer.headers['Set-Cookie'], r'^postern=[\w-]{43}; Path=/; HttpOnly; SameSite=Strict; Max-Age=\d+$')
        return answer.headers['Set-Cookie'].split(';')[0]

    # ---- who is let in ----

    def test_a_link_works_once(self):
        url = self.link()
        self.assertRegex(url, rf'^http://127\.0\.0\.1:{self.port}/enter#[\w-]{{43}}$')
        self.assertEqual(self.ask('GET', '/').headers['Location'], '/enter')
        self.assertIn('Run <code>postern page</code>', self.ask('GET', '/enter').text)
        code = url.split('#')[1]
        self.assertEqual(self.ask('POST', '/enter', {'code': code}).status, 303)
        again = self.ask('POST', '/enter', {'code': code})
        self.assertEqual(again.status, 403)
        self.assertIn('was used', again.text)
        self.assertNotIn(code, self.log())

    def test_a_session_ends_when_one_leaves(self):
        cookie = self.enter()
        self.assertEqual(self.ask('GET', '/', Cookie=cookie).status, 200)
        self.assertIn('Max-Age=0', self.ask('POST', '/leave', {}, Cookie=cookie).headers['Set-Cookie'])
        self.assertEqual(self.ask('GET', '/', Cookie=cookie).status, 303)

    def test_nobody_without_a_session(self):
        self.rig.record('REFUSED000000001')
        self.rig.known(1)
        for path in ('/', '/now', '/search', '/sign-in/REFUSED000000001', '/day', '/day/2026-11-30'):
            for cookie in ('', 'postern=', 'postern=' + 'A' * 43, 'x=1; postern=short'):
                answer = self.ask('GET', path, Cookie=cookie)
                self.assertEqual((path, answer.status, answer.headers['Location']), (path, 303, '/enter'))
                self.assertEqual(answer.text, '')
        self.assertEqual(self.ask('POST', '/search', {'what': 'alice@corp.example'}).status, 303)

    def test_another_sites_name_and_form(self):
        cookie = self.enter()
        for host in ('evil.example', f'evil.example:{self.port}', '127.0.0.1', '127.0.0.1:1'):
            self.assertEqual(self.ask('GET', '/', Cookie=cookie, Host=host).status, 421, host)
        self.assertEqual(self.ask('GET', '/', Cookie=cookie, Host=f'localhost:{self.port}').status, 200)
        own = f'http://127.0.0.1:{self.port}'
        for site, origin, status in ((None, own, 200), ('same-origin', own, 200), ('cross-site', own, 403), ('same-site', own, 403),
                                     (None, 'http://evil.example', 403), (None, 'null', 403), (None, None, 403)):
            headers = {k: v for k, v in (('Sec_Fetch_Site', site), ('Origin', origin)) if v}
            c = http.client.HTTPConnection('127.0.0.1', self.port, timeout=60)
            c.request('POST', '/search', 'what=alice', {**{k.replace('_', '-'): v for k, v in headers.items()}, 'Cookie': cookie})
            self.assertEqual(c.getresponse().status, status, (site, origin))
            c.close()

    def test_headers_that_shut_the_page(self):
        for path in ('/', '/enter', '/style.css', '/page.js', '/icon.svg', '/day'):
            answer = self.ask('GET', path, Cookie=self.enter())
            self.assertEqual(answer.status, 200, path)
            policy = answer.headers['Content-Security-Policy']
            self.assertIn("default-src 'none'", policy)
            self.assertIn("frame-ancestors 'none'", policy)
            self.assertNotIn('unsafe', policy)
            self.assertEqual((answer.headers['X-Content-Type-Options'], answer.headers['Referrer-Policy'],
                              answer.headers['Cache-Control']), ('nosniff', 'no-referrer', 'no-store'))
            self.assertNotRegex(answer.text if path not in ('/icon.svg',) else '', r'(?:https?:)?//(?!127)[a-z]+\.|style=|onclick|javascript:')

    def test_the_proxys_people(self):
        os.unlink(self.admit)
        self.stop(self.process)
        self.start(listen=None, socket=self.behind, proxy_user=PROXY, host='signins.corp.example', helpdesk_group='helpdesk',
                   admin_group='it admins')

        def ask_as(uid, **headers):
            """In a process of that user: the socket's other end is what counts."""
            code = ('import http.client, json, socket, sys\n'
                    'c = http.client.HTTPConnection("signins.corp.example")\n'
                    'c.sock = socket.socket(socket.AF_UNIX); c.sock.connect(sys.argv[1])\n'
                    'c.request("GET", "/day", headers=json.loads(sys.argv[2]))\n'
                    'r = c.getresponse(); print(r.status); print(r.read().decode())')
            done = subprocess.run(['/usr/bin/python3', '-c', code, self.behind, json.dumps(headers)], user=uid, capture_output=True, text=True,
                                  check=True, timeout=60)
            status, _, text = done.stdout.partition('\n')
            return int(status), text
        people = {'X-Forwarded-User': 'maria@corp.example', 'X-Forwarded-Groups': 'staff, helpdesk'}
        status, text = ask_as(PROXY, **people)
        self.assertEqual(status, 200, text)
        self.assertIn('maria@corp.example (helpdesk)', text)
        self.assertNotIn('Names refused most', text)
        status, text = ask_as(PROXY, **{**people, 'X-Forwarded-Groups': 'it admins'})
        self.assertIn('(administrator)', text)
        for groups in ('staff', '', 'helpdesk2', 'it', 'admins', 'HELPDESK'):
            status, text = ask_as(PROXY, **{**people, 'X-Forwarded-Groups': groups})
            self.assertEqual(status, 403, groups)
            self.assertIn('have no role here', text)
        self.assertEqual(ask_as(PROXY, **{'X-Forwarded-Groups': 'it admins'})[0], 403)
        status, text = ask_as('root', **people)
        self.assertEqual(status, 403)
        self.assertIn('Only the reverse proxy', text)
        self.assertIn('`listen` is not set', self.link(code=1))

    # ---- what is shown ----

    def test_a_story_is_the_same_as_explains(self):
        self.rig.record('REFUSED000000001')
        self.rig.deliver('REFUSED000000001', 'confirmed')
        self.rig.known(1)
        cookie = self.enter()
        text = self.ask('GET', '/sign-in/REFUSED000000001', Cookie=cookie).text
        told = json.loads(self.rig.cli('explain', 'REFUSED000000001', '--json'))['records'][0]['explanation']
        for key in ('meaning', 'remedy', 'user_saw', 'result', 'account'):
            if told.get(key):
                self.assertIn(told[key].replace("'", '&#39;').replace('"', '&quot;'), text, key)
        self.assertIn(told['ticket'].replace("'", '&#39;').replace('"', '&quot;'), text)
        self.assertTrue(told['seen'])
        for line in told['seen']:
            self.assertIn(line.replace("'", '&#39;').replace('"', '&quot;'), text)
        for form in ({'what': ' REFUSED000000001 '}, {'what': 'alice@corp.example'}, {'what': 'CORP\\alice'}):
            self.assertIn('wrong_password', self.ask('POST', '/search', form, Cookie=cookie).text, form)
        self.assertIn('Nothing is known of bob', self.ask('POST', '/search', {'what': 'bob'}, Cookie=cookie).text)

    def reader(self, answer):
        """A socket that answers one question about an account with this; what was asked."""
        path, asked = os.path.join(self.dir, 'account.sock'), []
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(path)
        os.chmod(path, 0o666)
        listening.listen()

        def serve():
            with listening, listening.accept()[0] as s:
                asked.append(json.loads(s.makefile().readline()))
                s.sendall(json.dumps(answer).encode() + b'\n')
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(lambda: (thread.join(60), os.unlink(path)))
        return path, asked

    def test_an_account(self):
        """What the directory says, as `postern account` shows it: asked by a form, so that no address holds a name, and on record."""
        self.rig.record('REFUSED000000001')
        self.rig.known(1)
        dn = 'CN=alice <x>,DC=corp,DC=example'
        path, asked = self.reader({'ok': True, 'asked': 'alice@corp.example', 'domain': 'corp.example', 'dc': 'dc1.corp.example', 'account': {
            'dn': dn, 'by': ['userPrincipalName'], 'upn': 'alice@corp.example', 'sam': 'alice', 'sid': 'S-1-5-21-1-2-3-1107', 'control': 0x202,
            'type': 0x30000000, 'password_set': 1700000000}, 'found': [], 'policy': {}, 'dcs': [
                {'dc': 'dc1.corp.example', 'pdc': True, 'asked': True, 'bad_count': 3, 'last_bad': 1700000100, 'password_set': 1700000000},
                {'dc': 'dc2.corp.example', 'error': 'refused'}]})
        cookie = self.enter()
        self.assertNotIn('action="/account"', self.ask('GET', '/sign-in/REFUSED000000001', Cookie=cookie).text)
        self.assertIn('account` is not set', self.ask('POST', '/account', {'what': 'alice@corp.example'}, Cookie=cookie).text)
        self.stop(self.process)
        self.start(account=path)
        cookie = self.enter()
        self.assertIn('action="/account"', self.ask('GET', '/sign-in/REFUSED000000001', Cookie=cookie).text)
        text = self.ask('POST', '/account', {'what': 'alice@corp.example'}, Cookie=cookie).text
        self.assertEqual(asked, [{'user': 'alice@corp.example', 'all_dcs': False}])
        for said in ('something stands in the way', 'it is disabled', 'Enable-ADAccount', 'account_disabled', 'CN=alice &lt;x&gt;,DC=corp',
                     'by userPrincipalName, at dc1.corp.example', 'PDC, asked', '<td>3<td>', 'refused', '3 wrong passwords are counted'):
            self.assertIn(said, text)
        self.assertIn('web.account', self.log())
        self.assertEqual(self.ask('POST', '/account', {'what': 'a'}).headers['Location'], '/enter')
        self.assertEqual(self.ask('POST', '/account', {'what': ''}, Cookie=cookie).status, 400)
        text = self.ask('POST', '/account', {'what': 'bob@corp.example'}, Cookie=cookie).text
        self.assertIn('systemctl enable --now postern-account.socket', text)

    def test_words(self):
        """Each word has an address, where the page says what the command says."""
        cookie = self.enter()
        index = self.ask('GET', '/words', Cookie=cookie).text
        for entry in json.loads(self.words('--json')):
            self.assertIn(f'<a href="/words/{entry["id"]}">', index)
        for word in ('locked_out', 'no-connector', 'full', 'link_down', 'internal'):
            text = self.ask('GET', '/words/' + word, Cookie=cookie).text
            for entry in json.loads(self.words(word, '--json')):
                self.assertIn(f'id="{entry["kind"]}-{word}"', text)
                for key in ('meaning', 'remedy', 'user'):
                    self.assertIn(entry.get(key, '').replace("'", '&#39;').replace('"', '&quot;'), text)
        self.assertIn('There is no such word', self.ask('GET', '/words/nonsense', Cookie=cookie).text)
        self.assertEqual(self.ask('GET', '/words').status, 303)
        self.rig.record('REFUSED000000001')
        self.rig.known(1)
        self.assertIn('<a href="/words/wrong_password">', self.ask('GET', '/day', Cookie=cookie).text)

    @staticmethod
    def words(*words):
        return subprocess.run([POSTERN, 'words', *words], capture_output=True, text=True, timeout=300, check=True).stdout

    def test_a_time_without_an_id(self):
        at = int(time.time()) - 3600
        self.rig.record('ANHOURAGO0000001', R_WALL=at, R_USER='müller@corp.example')
        self.rig.record('JUSTNOW000000001')
        self.rig.known(2)
        cookie = self.enter()
        when = time.strftime('%Y-%m-%dT%H:%M', time.localtime(at + 60))
        text = self.ask('POST', '/search', {'what': '', 'when': when}, Cookie=cookie).text
        self.assertIn('/sign-in/ANHOURAGO0000001', text)
        self.assertIn('müller@corp.example', text)
        self.assertNotIn('JUSTNOW000000001', text)
        for form in ({'when': 'yesterday'}, {'what': 'x' * 300}, {'what': 'a\x01b'}):
            self.assertEqual(self.ask('POST', '/search', form, Cookie=cookie).status, 400, form)

    def test_now_and_the_day_count(self):
        now = int(time.time())
        for i in range(12):
            self.rig.record(f'ACCEPTED000000{i:02}', R_WALL=now - 60 * i, R_VERDICT='accepted', R_CLASS='none', R_REASON='ok', R_MS_DC=3)
        self.rig.record('SLOW000000000001', R_MS_DC=800)
        self.rig.record('NODC000000000001', R_VERDICT='unavailable', R_CLASS='infrastructure', R_REASON='no_dc', R_DC=None, R_METHOD=None,
                        R_MS_DC=None)
        self.rig.known(14)
        cookie = self.enter()
        text = self.ask('GET', '/', Cookie=cookie).text
        self.assertIn('12 accepted', text)
        self.assertIn('1 refused', text)
        self.assertIn('1 unavailable', text)
        self.assertRegex(text, r'dc1\.corp\.example<td>ldap<td>13<td>0<td>5 ms<td>1000 ms')
        self.assertRegex(text, r'wrong_password</a><td>1 ')
        self.assertRegex(text, r'no_dc</a><td>1 ')
        self.assertIn('No sign-in can succeed here', text)  # nobody has reported yet
        part = self.ask('GET', '/now', Cookie=cookie).text
        self.assertNotIn('<html', part)
        self.assertIn('12 accepted', part)
        today = self.ask('GET', time.strftime('/day/%Y-%m-%d', time.localtime(now)), Cookie=cookie).text
        self.assertIn('1 unavailable', today)
        self.assertNotIn('Names refused most', today)  # the ledger does not know this user: tests/systemd has one that it knows
        for path in ('/day/yesterday', '/day/2026-13-41', '/day/2026-11-30x'):
            self.assertEqual(self.ask('GET', path, Cookie=cookie).status, 404, path)

    def test_what_others_chose_opens_no_tag(self):
        evil = '"><script>alert(1)</script><b a=\'\u202e'
        self.rig.record('EVIL000000000001', R_USER=evil, R_CONTEXT=evil, R_CLIENT_APP=evil, R_DC=evil, R_SERVICE=evil)
        self.rig.known(1)
        cookie = self.enter()
        for answer in (self.ask('GET', '/', Cookie=cookie), self.ask('GET', '/sign-in/EVIL000000000001', Cookie=cookie),
                       self.ask('GET', '/day', Cookie=cookie), self.ask('POST', '/search', {'what': evil.strip('\u202e')}, Cookie=cookie)):
            self.assertEqual(answer.status, 200)
            self.assertEqual(re.findall(r'<script[^>]*>', answer.text), ['<script src="/page.js" defer>'])
            self.assertNotIn('<b a', answer.text)
            self.assertNotIn('\u202e', answer.text)
            self.assertNotIn('Corp <sign', answer.text)

    # ---- what goes wrong ----

    def test_the_ledger_is_gone(self):
        cookie = self.enter()
        self.rig.kill()
        answer = self.ask('GET', '/', Cookie=cookie)
        self.assertEqual(answer.status, 503)
        self.assertIn('posternd does not run on this host. Start it: systemctl start postern', answer.text)
        os.unlink(self.rig.socket)
        self.rig.start()
        os.chmod(self.rig.socket, 0o600)
        self.assertIn('control_group = postern-web', self.ask('GET', '/', Cookie=cookie).text)
        os.chmod(self.rig.socket, 0o666)
        self.assertEqual(self.ask('GET', '/', Cookie=cookie).status, 200)

    def test_it_never_runs_as_root(self):
        done = subprocess.run([WEB, '--config', self.write_config()], capture_output=True, text=True, check=False, timeout=60)
        self.assertEqual(done.returncode, 78)
        self.assertIn('never runs as root', done.stderr)

    def test_configurations(self):
        for keys, word in (({'listen': '0.0.0.0:80'}, 'of loopback'), ({'listen': '127.0.0.1:99999'}, 'of loopback'),
                           ({'listen': None}, 'nobody could reach'), ({'socket': self.behind}, 'proxy_user'),
                           ({'socket': self.behind, 'proxy_user': PROXY, 'host': 'a.example'}, 'nobody would be let in'),
                           ({'proxy_user': 'root'}, 'proxy_user'), ({'user_header': 'X Y'}, 'not the name of a header'),
                           ({'port': '80'}, 'port'), ({'host': 'https://a'}, 'host'),
                           ({'socket': self.behind, 'proxy_user': 'nosuchuser', 'host': 'a.example', 'admin_group': 'a'}, 'no user nosuchuser')):
            done = subprocess.run([WEB, '--check-config', '--config', self.write_config(**keys)], capture_output=True, text=True, check=False,
                                  timeout=60)
            self.assertEqual(done.returncode, 78, keys)
            self.assertIn(word, done.stderr, keys)
        done = subprocess.run([WEB, '--check-config', '--config', self.write_config()], capture_output=True, text=True, check=True, timeout=60)
        self.assertIn('good', done.stdout)

    def test_nobody_to_ask(self):
        self.admit = os.path.join(self.dir, 'none.sock')
        self.assertIn('systemctl start postern-web', self.link(code=3))


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
