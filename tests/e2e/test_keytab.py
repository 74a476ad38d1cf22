"""The connector's key is changed on the KDC while sign-ins run: the daemon takes the new keytab without a restart, and keeps its keys
when the file is junk."""
import os
import shutil
import subprocess
import threading

from e2e import LAB, SiteTest, main, wait_for
from postern_site import USERS, Connector

REALM, SERVICE = LAB['LAB_MIT_REALM'], LAB['LAB_MIT_SERVICE']
USER, PASSWORD = f"{LAB['LAB_MIT_U1_NAME']}@{LAB['LAB_MIT_DOMAIN']}", LAB['LAB_MIT_U1_PASSWORD']
FOLDER = os.path.dirname(LAB['LAB_MIT_KEYTAB'])
CONFIG = """[connector]
name = mit
state_dir = {top}/mit/state
runtime_dir = {top}/mit/run
{users}
[domain {domain}]
realm = {realm}
directory = generic
dcs = {host}@{address}
kdc_port = {port}
methods = krb5
keytab = {keytab}
service_principal = {service}
"""


class Keytab(SiteTest):
    CONNECTORS = []

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keytab = os.path.join(cls.top, 'connector.keytab')
        shutil.copy(LAB['LAB_MIT_KEYTAB'], cls.keytab)
        os.chmod(cls.keytab, 0o600)
        text = CONFIG.format(top=cls.top, users=USERS, domain=LAB['LAB_MIT_DOMAIN'], realm=REALM, host=LAB['LAB_MIT_HOST'],
                             address=LAB['LAB_MIT_ADDRESS'], port=LAB['LAB_MIT_KDC_PORT'], keytab=cls.keytab, service=SERVICE)
        cls.connector = cls.site.connectors['mit'] = Connector(cls.site, 'mit', text)
        cls.connector.up()

    def new_key(self, into):
        """A key of the next version, which is added to the keytab."""
        env = {**os.environ, 'KRB5_CONFIG': LAB['LAB_KRB5_CONFIG'], 'KRB5_KDC_PROFILE': os.path.join(FOLDER, 'kdc.conf')}
        subprocess.run(['kadmin.local', '-r', REALM, '-q', f'ktadd -k {into} {SERVICE}'], env=env, check=True, capture_output=True)
        listed = subprocess.run(['klist', '-k', into], check=True, capture_output=True, text=True).stdout
        return len({line.split()[0] for line in listed.splitlines() if SERVICE in line})

    def verdict(self):
        return self.site.sign_in(USER, PASSWORD)[1]

    def log_text(self):
        with open(os.path.join(self.connector.dir, 'log'), encoding='utf-8') as f:
            return f.read()

    def test_rotation(self):
        self.assertEqual(self.verdict()['reason'], 'ok')
        before, stop, seen = self.connector.daemon.children(), threading.Event(), []

        def sign_in_on():
            while not stop.is_set():
                seen.append(self.verdict()['reason'])

        thread = threading.Thread(target=sign_in_on)
        thread.start()
        try:
            wait_for('sign-ins run', lambda: len(seen) >= 3)
            used = self.log_text().count('keytab.in_use')
            self.assertEqual(self.new_key(self.keytab), 2)  # versions: the old one stays for tickets that are out
            wait_for('the new keytab is in use', lambda: self.log_text().count('keytab.in_use') > used)
            count = len(seen)
            wait_for('sign-ins go on', lambda: len(seen) >= count + 4)
        finally:
            stop.set()
            thread.join()
        # Until the file is noticed, tickets of the new key open with none of ours: never the user's fault.
        self.assertLessEqual(set(seen), {'ok', 'kdc_not_verified'})
        self.assertEqual(set(seen[count + 1:]), {'ok'})
        self.assertEqual(self.connector.daemon.children(), before)

    def test_junk_is_refused(self):
        before = self.connector.daemon.children()
        keep = self.keytab + '.keep'
        shutil.copy2(self.keytab, keep)
        with open(self.keytab, 'wb') as f:
            f.write(b'\x05\x02no keytab')
        wait_for('the junk is refused', lambda: 'keytab.refused' in self.log_text())
        line = [line for line in self.log_text().splitlines() if 'keytab.refused' in line][-1]
        self.assertIn(LAB['LAB_MIT_DOMAIN'], line)
        self.assertIn('ktadd', line)  # the remedy
        self.assertEqual(self.verdict()['reason'], 'ok')
        os.chmod(keep, 0o644)
        os.replace(keep, self.keytab)
        wait_for('others may read it', lambda: 'chmod 600' in self.log_text())
        self.assertEqual(self.verdict()['reason'], 'ok')
        used = self.log_text().count('keytab.in_use')
        os.chmod(self.keytab, 0o600)
        wait_for('it is in use again', lambda: self.log_text().count('keytab.in_use') > used)
        self.assertEqual(self.connector.daemon.children(), before)


if __name__ == '__main__':
    main()
