"""What the end-to-end tests share: one site per test file, made in a folder of its own, always taken down."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path[:0] = [os.path.dirname(os.path.abspath(__file__)), os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lab')]
import lab_clock  # noqa: E402,F401  pylint: disable=unused-import
import lab_env  # noqa: E402
import lab_ldap  # noqa: E402
import lab_samba  # noqa: E402
from postern_site import Site, SiteError, wait_for  # noqa: E402,F401

LAB = {k: v for k, v in os.environ.items() if k.startswith('LAB_')}
WRONG = 'Not-the-password-1'
LOG_LINES = 40
ADMINS = []  # the administrator's connection to the domain controller


def build_dir():
    return sys.argv[1] if len(sys.argv) > 1 else os.environ['POSTERN_BUILD_DIR']


class SiteTest(unittest.TestCase):
    """Base: self.site with relay, tenant, service and the connectors of CONNECTORS, made once per class."""
    CONNECTORS = [('north', 'ldap'), ('south', 'krb5')]
    RELAY = {}
    DOMAIN = {}  # connector -> more lines of its domain's section
    TENANT_KEY = None  # URI of a tenant key in hardware
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.top = tempfile.mkdtemp(prefix='postern-e2e-')
        cls.addClassCleanup(shutil.rmtree, cls.top, ignore_errors=True)
        cls.site = Site(build_dir(), cls.top, LAB)
        cls.addClassCleanup(cls.close_site)
        cls.prepare()
        cls.site.start_relay(**cls.RELAY)
        cls.site.make_tenant(cls.TENANT_KEY)
        cls.site.make_service()
        for name, method in cls.CONNECTORS:
            cls.site.add_connector(name, method, domain_extra=cls.DOMAIN.get(name, '')).up()

    @classmethod
    def prepare(cls):
        """What the test needs before the site is made."""

    @classmethod
    def close_site(cls):
        """Stops all; what a sanitizer found in any log is a failure."""
        try:
            cls.site.close()
        finally:
            for log in cls.logs():
                with open(log, encoding='utf-8', errors='replace') as f:
                    text = f.read()
                for word in ('AddressSanitizer', 'runtime error:', 'LeakSanitizer'):
                    if word in text:
                        print(f'{log}: {word}\n{text[max(0, text.index(word) - 500):][:4000]}', file=sys.stderr)
                        raise SiteError(f'{log} holds a sanitizer report')

    def run(self, result=None):
        """What the site's processes said last is printed where a test fails: the folder with their logs goes away."""
        before = len(result.failures) + len(result.errors) if result else 0
        done = super().run(result)
        if result and len(result.failures) + len(result.errors) > before:
            for log in self.logs():
                with open(log, encoding='utf-8', errors='replace') as f:
                    print(f'--- {self.id()}: {log} ends:\n' + ''.join(f.readlines()[-LOG_LINES:]), file=sys.stderr)
        return done

    @classmethod
    def logs(cls):
        found = [os.path.join(cls.top, 'relay.log')]
        found += [os.path.join(c.dir, 'log') for c in cls.site.connectors.values()]
        return [path for path in found if os.path.exists(path)]

    def account(self, label):
        """(UPN, right password, SID) of a lab account."""
        label = label.upper()
        return LAB[f'LAB_{label}_UPN'], LAB[f'LAB_{label}_PASSWORD'], LAB[f'LAB_{label}_SID']


def bad_password_count(sam):
    """As the lab's domain controller has it, by one connection of this process; one that broke is made anew."""
    for again in (True, False):
        try:
            if not ADMINS:
                ADMINS.append(lab_samba.Admin(lab_env.load(LAB['LAB_DIR'])))
            return ADMINS[0].bad_pwd_count(sam)
        except (OSError, EOFError, lab_ldap.LdapError):
            ADMINS.clear()
            if not again:
                raise
    return None


def main():
    del sys.argv[2:]
    unittest.main(argv=sys.argv[:1], verbosity=2)
