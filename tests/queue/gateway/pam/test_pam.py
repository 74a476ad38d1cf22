#!/usr/bin/python3
"""pam_postern in libpam, with a service file, users and a gateway of the test's own: nothing of the host is changed.

usage: test_pam.py PAM_POSTERN.SO TALK SANITIZERS      as root, in a mount namespace of its own (unshare --mount)
"""
import http.server
import json
import os
import re
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import unittest

MODULE, TALK = (os.path.abspath(p) for p in sys.argv[1:3])
PRELOAD = '' if sys.argv[3] == 'none' else subprocess.run(['cc', '-print-file-name=libasan.so'], capture_output=True, text=True, check=True).stdout.strip()
PROFILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..', '..', 'connector', 'packaging', 'pam-config')
SUCCESS, SERVICE_ERR, PERM_DENIED, AUTH_ERR, AUTHINFO_UNAVAIL, USER_UNKNOWN, MAXTRIES = 0, 3, 6, 7, 9, 10, 11
NEW_AUTHTOK_REQD, ACCT_EXPIRED, AUTHTOK_ERR, IGNORE_ALL = 12, 13, 20, 6
SID = 'S-1-5-21-1-2-3-'
USERS = {  # of this host: uid, and what shadow has
    'alice': (2001, '!'), 'bob': (2002, '*'), 'system': (900, '!'), 'local': (2003, '$6$salt$hash'), 'open': (2004, ''),
    'locked': (2005, '!$6$salt$hash')}


class Gateway(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Answers as the test says: answers[(path, password, new_password)], or a wrong password."""
    daemon_threads = True

    def __init__(self, path):
        self.answers, self.asked, self.status = {}, [], 200
        super().__init__(path, Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def address_string(self):
        return 'unix'

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
        self.server.asked.append((self.path, body))
        said = self.server.answers.get((self.path, body['password'], body.get('new_password')), REFUSED('wrong_password', 'credentials'))
        text = json.dumps({'id': 'ID-0123456789ABCDEF', 'may_have_counted': '0', **said}).encode()
        self.send_response(self.server.status)
        self.send_header('Content-Length', str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def ACCEPTED(rid):
    return {'verdict': 'accepted', 'class': 'none', 'reason': 'ok', 'password_proved': True,
            'user': {'domain': 'corp.example', 'id': SID + str(rid), 'name': 'x'}}


def REFUSED(reason, kind, proved=False, text='A sentence.'):
    return {'verdict': 'unavailable' if kind == 'infrastructure' else 'refused', 'class': kind, 'reason': reason, 'password_proved': proved,
            'text': text}


IN, CHANGE = '/v1/sign-in', '/v1/change-password'


class Pam(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.TemporaryDirectory(prefix='postern-pam-')
        for name, column in (('passwd', lambda u: f'{u}:x:{USERS[u][0]}:{USERS[u][0]}::/:/bin/sh\n'), ('shadow', lambda u: f'{u}:{USERS[u][1]}:1::::::\n')):
            with open('/etc/' + name, encoding='utf-8') as f:
                text = f.read()
            path = os.path.join(cls.top.name, name)
            with open(path, 'w', encoding='utf-8') as f:
                f.write(text + ''.join(column(u) for u in USERS))
            subprocess.run(['mount', '--bind', path, '/etc/' + name], check=True)
        cls.socket = os.path.join(cls.top.name, 'gateway.sock')
        cls.gateway = Gateway(cls.socket)
        threading.Thread(target=cls.gateway.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.gateway.shutdown()
        cls.gateway.server_close()
        for name in ('passwd', 'shadow'):
            subprocess.run(['umount', '/etc/' + name], check=True)
        cls.top.cleanup()

    def setUp(self):
        self.gateway.answers, self.gateway.asked, self.gateway.status = {(IN, 'right', None): ACCEPTED(1)}, [], 200
        self.pins = tempfile.mkdtemp(dir=self.top.name)

    def talk(self, user, *words, answers=('right',), more='', socket_path=None, rhost='192.0.2.7', control='required'):
        """What the user saw, and {step: code}."""
        line = f'{control} {MODULE} socket={socket_path or self.socket} pins={self.pins} domain=corp.example {more}\n'
        with open(os.path.join(self.top.name, 'test'), 'w', encoding='ascii') as f:
            f.write(''.join(f'{kind} {line}' for kind in ('auth', 'account', 'password')))
        done = subprocess.run([TALK, self.top.name, 'test', user, rhost, *words, '--', *answers], capture_output=True, text=True, timeout=60,
                              check=False, env={**os.environ, 'LD_PRELOAD': PRELOAD, 'ASAN_OPTIONS': 'detect_leaks=0'})
        self.assertEqual((done.returncode, done.stderr), (0, ''), done.stdout)
        lines = done.stdout.splitlines()
        return [line for line in lines if ' = ' not in line], {line.split(' = ')[0]: int(line.split(' = ')[1]) for line in lines if ' = ' in line}

    def test_accepted(self):
        seen, codes = self.talk('alice', 'auth', 'acct', 'setcred')
        self.assertEqual(codes, {'auth': SUCCESS, 'acct': SUCCESS, 'setcred': SUCCESS})
        self.assertEqual(seen, ['hidden Password: '])
        self.assertEqual(self.gateway.asked, [(IN, {'username': 'alice@corp.example', 'password': 'right',
                                                    'client': {'ip': '192.0.2.7', 'app': 'pam/test'}})])
        with open(os.path.join(self.pins, 'alice'), encoding='ascii') as f:
            self.assertEqual(f.read(), f'2001 corp.example {SID}1\n')

    def test_host_names_are_no_address(self):
        self.talk('alice', 'auth', rhost='gate.example')
        self.assertNotIn('ip', self.gateway.asked[0][1]['client'])

    def test_wrong(self):
        seen, codes = self.talk('alice', 'auth', 'acct', answers=['wrong'])
        self.assertEqual(codes, {'auth': AUTH_ERR, 'acct': IGNORE_ALL})  # acct: nobody signed in here, and no other module says yes
        self.assertEqual(seen, ['hidden Password: '])
        _, codes = self.talk('alice', 'auth', answers=[''])
        self.assertEqual(codes['auth'], AUTH_ERR)
        self.assertEqual(len(self.gateway.asked), 1)  # the empty one was not sent

    def test_accounts_that_are_not_the_domains(self):
        """Root, the system's, those with a password here, and those that are not there: the gateway hears of none."""
        for user in ('root', 'system', 'local', 'open', 'locked', 'nobody-here', '-x'):
            with self.subTest(user=user):
                seen, codes = self.talk(user, 'auth', 'change', answers=['right', 'new', 'new'])
                self.assertEqual((codes['auth'], seen), (USER_UNKNOWN, []))
        self.assertEqual(self.gateway.asked, [])
        _, codes = self.talk('nobody-here', 'auth', more='accounts=any')
        self.assertEqual(codes['auth'], SUCCESS)
        _, codes = self.talk('local', 'auth', more='accounts=any')
        self.assertEqual(codes['auth'], USER_UNKNOWN)
        _, codes = self.talk('bob', 'auth', more='minimum_uid=2003')
        self.assertEqual(codes['auth'], USER_UNKNOWN)

    def test_pin(self):
        """A name that was one person's is nobody else's, also where the domain gives it to another account."""
        self.assertEqual(self.talk('alice', 'auth')[1]['auth'], SUCCESS)
        self.gateway.answers[IN, 'right', None] = ACCEPTED(2)
        seen, codes = self.talk('alice', 'auth', 'acct')
        self.assertEqual(codes, {'auth': PERM_DENIED, 'acct': PERM_DENIED})
        self.assertIn('could not be signed in on this host', seen[-1])
        os.unlink(os.path.join(self.pins, 'alice'))
        self.assertEqual(self.talk('alice', 'auth')[1]['auth'], SUCCESS)
        os.chmod(self.pins, 0o777)
        self.assertEqual(self.talk('alice', 'auth')[1]['auth'], AUTHINFO_UNAVAIL)

    def test_policy(self):
        for reason, code in (('disabled', PERM_DENIED), ('account_expired', ACCT_EXPIRED), ('locked_out', MAXTRIES), ('throttled', MAXTRIES),
                             ('password_expired', PERM_DENIED)):  # not proved: an unconfirmed claim opens no way to a change
            self.gateway.answers[IN, 'right', None] = REFUSED(reason, 'policy', text='Why it is so.')
            seen, codes = self.talk('alice', 'auth')
            self.assertEqual(codes['auth'], code, reason)
            self.assertEqual(seen[1:], ['error Why it is so. (ID-0123456789ABCDEF)'])

    def test_infrastructure(self):
        """Whatever kept the gateway from deciding is no wrong password."""
        self.gateway.answers[IN, 'right', None] = REFUSED('no_dc', 'infrastructure', text='Later.')
        seen, codes = self.talk('alice', 'auth')
        self.assertEqual((codes['auth'], seen[1:]), (AUTHINFO_UNAVAIL, ['error Later. (ID-0123456789ABCDEF)']))
        self.gateway.answers[IN, 'right', None] = ACCEPTED(1)
        self.gateway.status = 503
        self.assertEqual(self.talk('alice', 'auth')[1]['auth'], AUTHINFO_UNAVAIL)
        self.assertEqual(self.talk('alice', 'auth', socket_path='/nonexistent/socket')[1]['auth'], AUTHINFO_UNAVAIL)
        silent = os.path.join(self.top.name, 'silent.sock')
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(silent)
            listening.listen(4)
            self.assertEqual(self.talk('alice', 'auth', socket_path=silent, more='timeout=1')[1]['auth'], AUTHINFO_UNAVAIL)

    def test_foreign_socket(self):
        """A socket that is neither root's nor the caller's, or that could have been put there by somebody else, gets no password."""
        folder = tempfile.mkdtemp(dir=self.top.name)
        path = os.path.join(folder, 'foreign.sock')
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen(4)
            listening.setblocking(False)
            for owner, mode in ((65534, 0o755), (0, 0o777)):
                os.chown(path, owner, owner)
                os.chmod(folder, mode)
                self.assertEqual(self.talk('alice', 'auth', socket_path=path)[1]['auth'], AUTHINFO_UNAVAIL)
                with self.assertRaises(BlockingIOError):  # nobody came
                    listening.accept()

    def expire(self):
        self.gateway.answers[IN, 'right', None] = REFUSED('password_expired', 'policy', proved=True)
        self.gateway.answers[CHANGE, 'right', 'short'] = REFUSED('new_password_too_short', 'policy', proved=True, text='Too short.')
        self.gateway.answers[CHANGE, 'right', 'longer'] = {**ACCEPTED(1), 'reason': 'password_changed'}

    def test_expired(self):
        """Changed within auth: ssh's keyboard-interactive and everything else that asks there gets by with one module."""
        self.expire()
        seen, codes = self.talk('alice', 'auth', 'acct', answers=['right', 'one', 'other', 'short', 'short', 'longer', 'longer'])
        self.assertEqual(codes, {'auth': SUCCESS, 'acct': SUCCESS})
        self.assertEqual([s for s in seen if s.startswith(('error', 'info'))],
                         ['info You must choose a new password before you can sign in.', 'error The two do not match.',
                          'error Too short. (ID-0123456789ABCDEF)'])
        self.assertTrue(os.path.exists(os.path.join(self.pins, 'alice')))
        _, codes = self.talk('alice', 'auth', answers=['right', 'short', 'short', 'short', 'short', 'short', 'short', 'longer', 'longer'])
        self.assertEqual(codes['auth'], AUTH_ERR)  # three tries
        _, codes = self.talk('alice', 'auth', answers=['right', '', ''])
        self.assertEqual(codes['auth'], AUTH_ERR)

    def test_expired_and_deferred(self):
        self.expire()
        seen, codes = self.talk('alice', 'auth', 'acct', 'expired', 'acct', more='defer_pwchange', answers=['right', 'right', 'longer', 'longer'])
        self.assertEqual(codes, {'auth': SUCCESS, 'expired': SUCCESS, 'acct': SUCCESS}, seen)
        _, codes = self.talk('alice', 'auth', 'acct', more='defer_pwchange')
        self.assertEqual(codes['acct'], NEW_AUTHTOK_REQD)

    def test_change(self):
        self.gateway.answers[CHANGE, 'right', 'longer'] = {**ACCEPTED(1), 'reason': 'password_changed'}
        self.gateway.answers[CHANGE, 'right', 'short'] = REFUSED('new_password_too_short', 'policy', proved=True, text='Too short.')
        self.gateway.answers[CHANGE, 'right', 'lost'] = REFUSED('change_unknown', 'infrastructure')
        for new, code in (('longer', SUCCESS), ('short', AUTHTOK_ERR), ('lost', AUTHINFO_UNAVAIL)):
            _, codes = self.talk('alice', 'change', answers=['right', new, new])
            self.assertEqual(codes['change'], code, new)
        _, codes = self.talk('alice', 'change', answers=['wrong', 'longer', 'longer'])
        self.assertEqual(codes['change'], AUTH_ERR)
        self.assertEqual({path for path, _ in self.gateway.asked}, {CHANGE})

    def test_the_profile_without_the_module(self):
        """pam-auth-update leaves a common-account that somebody edited as it is, also when the package goes: that locks nobody out."""
        with open(PROFILE, encoding='ascii') as f:
            lines = re.search(r'^Account:\n((?:\t.*\n)+)', f.read(), re.M)[1]
        account = ''.join('account ' + line.strip().replace('pam_postern.so', '{}') + '\n' for line in lines.splitlines())
        before = 'account [success=1 default=ignore] pam_permit.so\naccount requisite pam_deny.so\naccount required pam_permit.so\n'
        for module in (MODULE, '/nonexistent/pam_postern.so'):
            with open(os.path.join(self.top.name, 'profile'), 'w', encoding='ascii') as f:
                f.write(before + account.format(module))
            done = subprocess.run([TALK, self.top.name, 'profile', 'local', '192.0.2.7', 'acct', '--'], capture_output=True, text=True, timeout=60,
                                  check=False, env={**os.environ, 'LD_PRELOAD': PRELOAD, 'ASAN_OPTIONS': 'detect_leaks=0'})
            self.assertEqual((done.returncode, done.stdout), (0, f'acct = {SUCCESS}\n'), done.stderr)

    def test_settings(self):
        for more in ('minimum_uid=999', 'timeout=0', 'timeout=121', 'socket=relative', 'nonsense', 'pins=relative', 'accounts=all', 'domain='):
            self.assertEqual(self.talk('alice', 'auth', more=more)[1]['auth'], SERVICE_ERR, more)
        self.assertEqual(self.gateway.asked, [])


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
