"""Nothing on any disk opens recorded traffic: all that a relay can record is kept, every disk is copied, and every key on them is tried."""
import json
import os
import re
import shutil
import subprocess
import unittest

from e2e import WRONG, SiteTest, main, wait_for
from test_privacy import Recorder

PEM = re.compile(rb'-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]+-----END [A-Z ]*PRIVATE KEY-----\n?')


def kids_of(request):
    """Whom a sealed request is for: each line but the first begins with a kid."""
    return [line.split('.')[0] for line in request.decode().split('\n')[1:-1]]


class Recorded(SiteTest):
    CONNECTORS = [('north', 'ldap'), ('south', 'krb5')]

    def forge(self, *words):
        done = subprocess.run([os.path.join(self.site.build, 'tests', 'queue', 'relay-forge'), *words], check=True,
                              capture_output=True, text=True)
        return done.stdout.split('\n')[:-1]

    def keys_on(self, folders):
        """Every private key that lies in a file below the folders, written out one by one."""
        found = []
        for folder in folders:
            for top, _, names in os.walk(folder):
                for name in names:
                    path = os.path.join(top, name)
                    if not os.path.isfile(path):
                        continue
                    with open(path, 'rb') as f:
                        text = f.read()
                    for n, pem in enumerate(PEM.findall(text)):
                        out = os.path.join(self.top, f'key-{len(found)}-{n}.pem')
                        with open(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'wb') as f:
                            f.write(pem)
                        found.append((path, out))
        return found

    def record(self):
        """The sealed requests of some sign-ins, as the relay sees them."""
        recorder = Recorder(self.site)
        self.addCleanup(recorder.listener.close)
        recorder.start()
        user, password, _ = self.account('GOOD1')
        for word, expected in ((password, 0), (WRONG, 1), (password, 0)):
            done = self.site.postern('sign-in', '--service', self.site.service, '--relay', recorder.url, '--user', user, check=False,
                                     stdin=word + '\n')
            self.assertEqual(done.returncode, expected, done.stdout + done.stderr)
        self.site.postern('service', 'show', '--service', self.site.service, '--relay', self.site.url)
        requests = re.findall(rb'POST /v1/tenants/\S+/sign-ins .*?\r\n\r\n((?:[A-Za-z0-9_.-]+\n)+)', b''.join(recorder.said), re.S)
        self.assertEqual(len(requests), 3)
        return requests

    def test_no_key_on_a_disk_opens_it(self):
        requests = self.record()
        disks = os.path.join(self.top, 'disks')
        for c in self.site.connectors.values():
            shutil.copytree(c.state, os.path.join(disks, c.name), ignore=shutil.ignore_patterns('lock'))
        shutil.copytree(os.path.join(self.site.dir, 'relay-state'), os.path.join(disks, 'relay'), ignore=shutil.ignore_patterns('*.sock'))
        keys = self.keys_on([disks])
        self.assertGreaterEqual(len(keys), 5, 'identity and transport keys of two connectors, and the transport CA')
        # the means of trying work: what is sealed to a key on the disk opens
        sealed = os.path.join(self.top, 'control.jwe')
        with open(sealed, 'w', encoding='ascii') as f:
            f.write('\n'.join(self.forge('seal', '2048', keys[0][1])) + '\n')
        self.assertEqual(self.forge('open', sealed, keys[0][1], keys[1][1]), ['opens', 'does not open'])
        for n, request in enumerate(requests):
            path = os.path.join(self.top, f'request-{n}.jwe')
            with open(path, 'wb') as f:
                f.write(request)
            said = self.forge('open', path, *[out for _, out in keys])
            self.assertEqual([where for (where, _), word in zip(keys, said) if word != 'does not open'], [])
            recipients = kids_of(request)
            self.assertEqual(set(recipients) & {c.fingerprint for c in self.site.connectors.values()}, set())

    def test_nor_does_the_connector_after_a_restart(self):
        """The keys died with the processes: the same request is refused as sealed to keys that are gone, and a new one is served."""
        request = self.record()[-1]
        for c in self.site.connectors.values():
            c.daemon.stop()
            c.start()
        for c in self.site.connectors.values():
            c.wait_ready()
        headers = {'Content-Type': 'application/postern-request', 'Postern-Budget': '5000', 'Postern-Id': '0' * 26}
        listed = json.dumps(self.site.keys())
        self.assertEqual([kid for kid in kids_of(request) if kid in listed], [])
        status, _, body = self.site.request(f'/v1/tenants/{self.site.tenant}/sign-ins', data=request, method='POST', headers=headers)
        self.assertEqual((status, json.loads(body)['type']), (422, 'urn:postern:stale-keys'), body)
        user, password, _ = self.account('GOOD1')
        wait_for('sign-ins go on', lambda: self.site.sign_in(user, password)[1]['verdict'] == 'accepted')


if __name__ == '__main__':
    if os.geteuid() != 0:
        raise unittest.SkipTest('reading the state folders needs root')
    main()
