"""A site whose keys are in a SoftHSM token and in a TPM in software."""
import os

from e2e import SiteTest, wait_for
from postern_site import Daemon
from tokens import SoftHsm, Tpm

KEYS_USER = 'games'


class HardwareTest(SiteTest):
    CONNECTORS = []

    @classmethod
    def prepare(cls):
        super().prepare()

        def daemon(name, argv, env):
            return Daemon(name, argv, os.path.join(cls.top, name + '.log'), env)
        os.chmod(cls.top, 0o755)
        cls.hsm = SoftHsm(os.path.join(cls.top, 'hsm'))
        cls.tpm = Tpm(os.path.join(cls.top, 'tpm'), daemon, wait_for)
        cls.addClassCleanup(cls.tpm.stop)
        cls.site.env.update(cls.hsm.env, **cls.tpm.env)
        cls.TENANT_KEY = cls.hsm.uri('tenant')

    @classmethod
    def add(cls, name, method, identity, transport):
        extra = f'user_keys = {KEYS_USER}\n' if os.geteuid() == 0 else ''
        connector = cls.site.add_connector(name, method, extra=extra)
        connector.enroll(more=['--identity-key', identity, '--transport-key', transport])
        cls.enrolled(connector)
        if os.geteuid() == 0:
            cls.hsm.give_to(KEYS_USER)
        connector.start()
        wait_for(f'{name} is pending', lambda: connector.daemon.check() and connector.pending())
        connector.approve()
        connector.wait_ready()
        return connector

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.north = cls.add('north', 'ldap', cls.hsm.uri('north-identity'), cls.hsm.uri('north-transport'))
        cls.south = cls.add('south', 'krb5', 'tpm2:', 'tpm2:')

    @classmethod
    def enrolled(cls, connector):
        """What a test does before the daemon is started."""

    def holders(self, connector):
        return [pid for pid in self.pids(connector) if self.comm(pid) == 'postern-keyhold']

    @staticmethod
    def comm(pid):
        """Its name; '' for one that has ended meanwhile."""
        try:
            with open(f'/proc/{pid}/comm', encoding='ascii') as f:
                return f.read().strip()
        except (FileNotFoundError, ProcessLookupError):
            return ''

    @staticmethod
    def pids(connector):
        pid = connector.daemon.pid
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
            return [int(p) for p in f.read().split()]
