"""Another implementation against the real programs: signs in with the jose npm package, and shows that a hostile service is refused.

test_interop.py FOLDER vectors        the vectors alone; needs no relay
test_interop.py FOLDER python|go      the same with clients of other languages
test_interop.py FOLDER mutants [EVERY]    whether the vectors notice each check that is taken away, or each third, say
test_interop.py SANDBOX sandbox       the three clients against postern-sandbox, told and not told that it is one
test_interop.py BUILD_DIR             the whole way, inside tests/lab/lab run
"""
import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'e2e'))
NODE = 'node'


def install(folder):
    """Copies the program and its dependencies into folder."""
    with open(os.path.join(HERE, 'package-lock.json'), encoding='utf-8') as f:
        if any('resolved' in package for package in json.load(f)['packages'].values()):
            raise SystemExit('package-lock.json records a download address; make it with .npmrc in place')
    for name in os.listdir(HERE):
        if name.endswith('.mjs') or name in ('package.json', 'package-lock.json', '.npmrc'):
            shutil.copy(os.path.join(HERE, name), folder)
    done = subprocess.run(['npm', 'ci', '--no-audit', '--no-fund'], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f'npm ci failed ({done.returncode}):\n{done.stderr}')


def alone(folder, program_name, *more):
    with tempfile.TemporaryDirectory(prefix='postern-interop-') as program:
        install(program)
        return subprocess.run([NODE, program_name + '.mjs', os.path.abspath(folder), *more], cwd=program, check=False).returncode


def go_program(folder):
    """Builds the Go client into folder with Debian's packages alone; the path of the program."""
    program = os.path.join(folder, 'postern-go')
    environment = {**os.environ, 'GO111MODULE': 'off', 'GOFLAGS': '', 'GOPATH': f'{folder}:/usr/share/gocode',
                   'GOCACHE': os.environ.get('GOCACHE') or os.path.join(folder, 'cache')}
    done = subprocess.run(['go', 'build', '-o', program, '.'], cwd=os.path.join(HERE, 'go'), env=environment, capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise SystemExit(f'go build failed ({done.returncode}):\n{done.stderr}')
    return program


def python_program(name):
    # Debian's own Python, which has Debian's jwcrypto
    return ['/usr/bin/python3', '-B', os.path.join(HERE, 'python', name)]


def others(folder, language):
    if language == 'python':
        return subprocess.run([*python_program('check_vectors.py'), folder], check=False).returncode
    with tempfile.TemporaryDirectory(prefix='postern-interop-') as place:
        return subprocess.run([go_program(place), 'vectors', folder], check=False).returncode


def sandbox(program):
    """Each client signs in where it was told of the sandbox, and takes nothing from it where it was not."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix='postern-interop-') as place, \
            subprocess.Popen([program, '--json', '--quiet'], stdout=subprocess.PIPE, text=True) as running:
        install(place)
        facts = json.loads(running.stdout.readline())
        options = ['--relay', facts['relay'], '--tenant', facts['tenant'], f"--pin={facts['pin']}", '--ca', facts['ca_file'],
                   '--secret-file', facts['secret_file'], '--service', facts['service'], '--user', 'ok@' + facts['suffix']]
        for name, client in (('node', [NODE, os.path.join(place, 'sign-in.mjs')]), ('python', python_program('sign_in.py')),
                             ('go', [go_program(place), 'sign-in'])):
            for told, secret, code in ((['--sandbox'], facts['password'], 0), (['--sandbox'], 'wrong', 1), ([], facts['password'], 3)):
                done = subprocess.run([*client, *options, *told], input=secret + '\n', capture_output=True, text=True, timeout=120, check=False)
                right = done.returncode == code and (code != 3 or 'sandbox' in done.stdout)
                print(f"{name} {' '.join(told) or '(not told)'}, {secret}: {'right' if right else done.stdout + done.stderr}")
                failed += not right
        running.terminate()
    return 1 if failed else 0


def make_tests():
    from e2e import LAB, SiteError, SiteTest, WRONG, bad_password_count, wait_for

    class Interop(SiteTest):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            cls.program = os.path.join(cls.top, 'interop')
            cls.service = os.path.join(cls.top, 'node-service')
            os.mkdir(cls.program)
            install(cls.program)
            kid = cls.node('keygen.mjs', cls.service, 'node').stdout.strip()
            cls.site.postern('tenant', 'approve-service', os.path.join(cls.service, 'service.pub.json'), kid, *cls.site.tenant_options())
            payload = cls.site.keys()['roster'].split('.')[1]
            seq = json.loads(base64.urlsafe_b64decode(payload + '=' * (-len(payload) % 4)))['seq']
            for connector in cls.site.connectors.values():
                wait_for(f'{connector.name} has roster {seq}', lambda: cls.roster_seq(connector) >= seq)

        @classmethod
        def roster_seq(cls, connector):
            status = json.loads(connector.postern('status', '--json', check=False).stdout)
            return status['parts']['validator']['value']['roster_seq']

        @classmethod
        def node(cls, *argv, stdin=''):
            done = subprocess.run([NODE, *argv], cwd=cls.program, input=stdin, capture_output=True, text=True, timeout=300, check=False)
            if done.returncode not in (0, 1, 3) or not done.stdout.strip():
                raise SiteError(f'{argv[0]} failed ({done.returncode}): {done.stderr}')
            return done

        @classmethod
        def options(cls):
            return ['--relay', cls.site.url, '--tenant', cls.site.tenant, f'--pin={cls.site.pin}', '--ca', cls.site.ca, '--secret-file',
                    os.path.join(cls.top, 'service.secret'), '--service', cls.service]

        @classmethod
        def sign_in(cls, user, password):
            done = cls.node('sign-in.mjs', *cls.options(), '--user', user, stdin=password + '\n')
            return done.returncode, json.loads(done.stdout)

        def test_accepted(self):
            for label in ('GOOD1', 'UTF8', 'ALT_SUFFIX'):
                user, password, sid = self.account(label)
                with self.subTest(account=label):
                    code, outcome = self.sign_in(user, password)
                    self.assertEqual(code, 0, outcome)
                    v = outcome['verdict']
                    self.assertEqual((v['verdict'], v['class'], v['reason'], v['user']['id']), ('accepted', 'none', 'ok', sid))
                    self.assertEqual(v['dc'], LAB['LAB_AD_HOST'])
                    self.assertEqual(v['iss'], outcome['connector'])

        def test_backslash_name(self):
            _, password, sid = self.account('GOOD1')
            code, outcome = self.sign_in(f"{LAB['LAB_AD_NETBIOS']}\\{LAB['LAB_GOOD1_SAM']}", password)
            self.assertEqual(code, 0, outcome)
            self.assertEqual(outcome['verdict']['user']['id'], sid)

        def test_refused(self):
            user, _, _ = self.account('GOOD2')
            code, outcome = self.sign_in(user, WRONG)
            self.assertEqual(code, 1, outcome)
            self.assertEqual((outcome['verdict']['reason'], outcome['verdict']['may_have_counted']), ('wrong_password', '1'))
            user, password, _ = self.account('DISABLED')
            code, outcome = self.sign_in(user, password)
            self.assertEqual(code, 1, outcome)
            self.assertEqual((outcome['verdict']['class'], outcome['verdict']['reason']), ('policy', 'disabled'))

        def test_change_password(self):
            """Both connectors change passwords, whatever their method; also one that must be changed."""
            for label in ('CHANGE6', 'CHANGE_MUST'):
                user, password, sid = self.account(label)
                fresh = 'Another-one-' + label
                with self.subTest(account=label):
                    code, outcome = self.sign_in(user, f'{password}\n{fresh}')
                    self.assertEqual((code, outcome['verdict']['reason'], outcome['verdict']['user']['id']), (0, 'password_changed', sid),
                                     outcome)
                    self.assertEqual(self.sign_in(user, fresh)[1]['verdict']['reason'], 'ok')

        def test_clients_of_other_languages(self):
            """Python and Go, each from the text alone: right, wrong, and of a domain that nobody serves."""
            user, password, sid = self.account('GOOD1')
            for name, program in (('python', python_program('sign_in.py')), ('go', [go_program(self.program), 'sign-in'])):
                for typed, secret, code in ((user, password, 0), (user, WRONG, 1), ('alice@elsewhere.example', WRONG, 3)):
                    with self.subTest(language=name, expected=code):
                        done = subprocess.run([*program, *self.options(), '--user', typed], input=secret + '\n', capture_output=True, text=True,
                                              timeout=300, check=False)
                        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                        outcome = json.loads(done.stdout)
                        if code == 0:
                            self.assertEqual(outcome['verdict']['user']['id'], sid)
                        elif code == 1:
                            self.assertEqual(outcome['verdict']['reason'], 'wrong_password')
                        else:
                            self.assertEqual(outcome['problem'], 'no-connector')

        def test_unserved_domain(self):
            code, outcome = self.sign_in('alice@elsewhere.example', WRONG)
            self.assertEqual(code, 3, outcome)
            self.assertEqual((outcome['problem'], outcome['started']), ('no-connector', 'no'))

        def test_wrong_pin(self):
            at = self.options()
            pin = self.site.pin
            at[at.index(f'--pin={pin}')] = f"--pin={'B' if pin[0] == 'A' else 'A'}{pin[1:]}"
            done = self.node('sign-in.mjs', *at, '--user', 'a@b', stdin='x\n')
            self.assertEqual(done.returncode, 3)
            self.assertIn('pinned', json.loads(done.stdout)['detail'])

        def test_older_roster(self):
            """A relay that shows a roster older than one seen before is not believed."""
            file = os.path.join(self.service, 'roster.seq')
            self.sign_in('a@elsewhere.example', WRONG)
            with open(file, encoding='ascii') as f:
                seen = int(f.read())
            self.assertGreater(seen, 0)
            try:
                with open(file, 'w', encoding='ascii') as f:
                    f.write(str(seen + 1))
                code, outcome = self.sign_in('a@elsewhere.example', WRONG)
                self.assertEqual((code, outcome['problem']), (3, 'bad-keys'), outcome)
                self.assertIn('older', outcome['detail'])
            finally:
                with open(file, 'w', encoding='ascii') as f:
                    f.write(str(seen))

        def test_hostile(self):
            """Nothing that a hostile service tries reaches a DC or disturbs a sign-in."""
            user, password, sid = self.account('GOOD3')
            before = bad_password_count(LAB['LAB_GOOD3_SAM'])
            done = self.node('hostile.mjs', *self.options(), '--admin-secret-file', os.path.join(self.top, 'admin.secret'), '--user', user,
                             stdin=WRONG + '\n')
            print(done.stdout, file=sys.stderr)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(bad_password_count(LAB['LAB_GOOD3_SAM']), before)
            code, outcome = self.sign_in(user, password)
            self.assertEqual(code, 0, outcome)
            self.assertEqual(outcome['verdict']['user']['id'], sid)

    return Interop


if __name__ == '__main__':
    if sys.argv[2:] == ['vectors'] or sys.argv[2:3] == ['mutants']:
        sys.exit(alone(*sys.argv[1:]))
    if sys.argv[2:] == ['sandbox']:
        sys.exit(sandbox(sys.argv[1]))
    if sys.argv[2:] in (['python'], ['go']):
        sys.exit(others(os.path.abspath(sys.argv[1]), sys.argv[2]))
    Interop = make_tests()
    from e2e import main
    main()
