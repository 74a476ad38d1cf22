"""The main job, end to end, on real parts: what tests/demo.sh runs after it has built everything.

Brings up a Samba domain controller, a relay, a tenant with a sign-in service and two connectors (one validates by LDAP, one by Kerberos),
signs people in, shows what the helpdesk sees, and takes everything down again. Every verdict is compared with what it must be: the demo
fails when one differs.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from postern_site import Daemon, Site, SiteError  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAB = os.path.join(ROOT, 'tests', 'lab', 'lab')
STARTED = time.monotonic()

# what is shown, the lab's account, right password?, verdict, class, the reasons that are right (LDAP, Kerberos)
CASES = [
    ('accepted', 'GOOD1', True, 'accepted', 'none', ('ok', 'ok')),
    ('wrong password', 'GOOD2', False, 'refused', 'credentials', ('wrong_password', 'wrong_password')),
    ('unknown user', None, False, 'refused', 'credentials', ('wrong_password', 'unknown_user')),
    ('disabled', 'DISABLED', True, 'refused', 'policy', ('disabled', 'disabled')),
    ('locked out', 'LOCKED', True, 'refused', 'policy', ('locked_out', 'locked_out')),
    ('expired', 'EXPIRED', True, 'refused', 'policy', ('password_expired', 'password_expired')),
    ('must change', 'MUST_CHANGE', True, 'refused', 'policy', ('must_change_password', 'must_change_password')),
]
CONNECTORS = [('north', 'ldap'), ('south', 'krb5')]


def step(text):
    print(f'[{time.monotonic() - STARTED:5.1f} s] {text}', flush=True)


def lab_env(folder):
    """Starts the domain controller; the lab's variables."""
    subprocess.run([LAB, 'up', '--with', 'samba', '--dir', folder], check=True, stdout=subprocess.DEVNULL)
    with open(os.path.join(folder, 'lab.json'), encoding='utf-8') as f:
        json.load(f)
    shown = subprocess.run(['sh', '-c', 'set -a; . "$0"; env', os.path.join(folder, 'lab.env')], check=True, capture_output=True, text=True,
                           env={'PATH': os.environ['PATH'], 'LC_ALL': 'C.UTF-8'})
    return dict(line.split('=', 1) for line in shown.stdout.splitlines() if line.startswith('LAB_'))


def set_up(site):
    step('postern-relay: starting it with a TLS certificate of its own')
    site.start_relay()
    step(f'tenant {site.tenant}: making the tenant key, telling the relay its pin')
    site.make_tenant()
    step('sign-in service "portal": making its key, approving it into the roster')
    site.make_service()
    for name, method in CONNECTORS:
        step(f'connector {name} ({method}): one-time token, enrolment, posternd, approval into the roster')
        site.add_connector(name, method).up()


def show(case, method, took, code, v):
    who = v.get('user', {}).get('id', '-')
    print(f"  {case:15} {method:5} {v['verdict']:12}{v['class']:15}{v['reason']:21}{who:48}{v.get('connector_name', '-'):7}"
          f"{v.get('dc', '-'):19}{took:5.0f} ms  exit {code}")


def sign_in_all(site):
    """All cases by both methods. The id of one refused sign-in, and how many answers were not what they must be."""
    wrong, sample = 0, None
    print(f"\n  {'account':15} {'by':5} {'verdict':12}{'class':15}{'reason':21}{'who (SID)':48}{'by':7}{'DC':19}{'time':>8}")
    for case, account, right, verdict, class_, reasons in CASES:
        user = site.lab[f'LAB_{account}_UPN'] if account else 'nobody@' + site.lab['LAB_AD_DOMAIN']
        password = site.lab[f'LAB_{account}_PASSWORD'] if right else 'Not-the-password-1'
        for (connector, method), reason in zip(CONNECTORS, reasons):
            begin = time.monotonic()
            code, v = site.sign_in(user, password, connector)
            show(case, method, (time.monotonic() - begin) * 1000, code, v)
            expected_sid = site.lab[f'LAB_{account}_SID'] if verdict == 'accepted' else None
            if (v['verdict'], v['class'], v['reason'], v.get('user', {}).get('id')) != (verdict, class_, reason, expected_sid):
                print(f'    NOT AS EXPECTED: {verdict} {class_} {reason} {expected_sid or ""}\n    {json.dumps(v)}')
                wrong += 1
            if case == 'expired' and method == 'ldap':
                sample = v['id']
    return sample, wrong


def helpdesk(site, sample):
    north = site.connectors['north']
    for words in (['status'], ['log'], ['explain', sample]):
        print(f"\n$ postern {' '.join(words)}")
        print(north.postern(*words), end='')


def by_hand(site, lab_dir):
    print(f"""
Everything is still up. To go on by hand:

  export HOME={site.dir}
  PATH={site.build}/connector:{site.build}/connector/cli:{site.build}/queue/relay:$PATH
  . {lab_dir}/lab.env
  postern sign-in --service {site.service} --user "$LAB_GOOD1_UPN"     # its password: echo "$LAB_GOOD1_PASSWORD"
  postern status --socket {site.connectors['north'].socket}
  postern log --socket {site.connectors['south'].socket}
  {LAB} users --dir {lab_dir}

To stop it all and remove what it made:

  kill {' '.join(str(d.pid) for d in [site.relay] + [c.daemon for c in site.connectors.values()])}
  {LAB} down --dir {lab_dir}; rm -r {os.path.dirname(site.dir)}
""")


class Demo:
    """What shown() shows: made, run, and taken down."""
    WORD, DONE, wrong = 'demo', 'is done: every answer was as it must be', True

    def __init__(self, top, build, lab, _keep):
        self.site = Site(build, os.path.join(top, 'site'), lab)

    def show(self):
        set_up(self.site)
        step('signing in through the relay: service -> relay -> connector -> DC and back')
        sample, self.wrong = sign_in_all(self.site)
        step('what the helpdesk sees, at the connector')
        helpdesk(self.site, sample)

    def by_hand(self, lab_dir):
        by_hand(self.site, lab_dir)

    def close(self):
        self.site.close()


def shown(kind, about):
    """The whole of a demonstration, its options included; its exit code. Nothing is left of it, but for --keep."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument('build', help='build folder with the programs')
    parser.add_argument('--keep', action='store_true', help='leave everything up and print how to go on by hand')
    args = parser.parse_args()
    Daemon.outlive = args.keep
    top = tempfile.mkdtemp(prefix=f'postern-{kind.WORD}-')
    lab_dir, kept, code, demo = os.path.join(top, 'lab'), False, 1, None
    try:
        step('Samba AD domain controller CORP.EXAMPLE on loopback (the first time it is provisioned, ~15 s)')
        demo = kind(top, args.build, lab_env(lab_dir), args.keep)
        demo.show()
        code = 1 if demo.wrong else 0
        if args.keep:
            kept = True
            demo.by_hand(lab_dir)
    except (SiteError, subprocess.CalledProcessError) as e:
        print(f'{kind.WORD}: {e}', file=sys.stderr)
    finally:
        if not kept:
            step('stopping everything')
            try:
                if demo:
                    demo.close()
            except SiteError as e:
                print(f'{kind.WORD}: {e}', file=sys.stderr)
                code = 1
            subprocess.run([LAB, 'down', '--dir', lab_dir], check=False, stdout=subprocess.DEVNULL)
            shutil.rmtree(top, ignore_errors=True)
    step(f'the {kind.WORD} ' + (kind.DONE if code == 0 else 'FAILED'))
    return code


if __name__ == '__main__':
    sys.exit(shown(Demo, __doc__))
