"""Sign-ins a second with the identity key in a token: each verdict signed there, or by an hourly key in memory.

usage: lab run --with samba -- python3 signing.py BUILD
"""
import os
import re
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'e2e'))
import test_hardware  # noqa: E402
from e2e import LAB, SiteTest, main, wait_for  # noqa: E402

COUNT = 400


class Signing(SiteTest):
    CONNECTORS = []
    prepare = classmethod(test_hardware.Hardware.prepare.__func__)

    def rate(self, name, identity, signing):
        connector = self.site.add_connector(name, 'ldap', extra=f'user_keys = {test_hardware.KEYS_USER}\nsigning = {signing}\n')
        connector.enroll(more=['--identity-key', identity] if identity else [])
        self.hsm.give_to(test_hardware.KEYS_USER)
        connector.start()
        wait_for(f'{name} is pending', lambda: connector.daemon.check() and connector.pending())
        connector.approve()
        connector.wait_ready()
        user = f"{LAB['LAB_GOOD1_UPN']}\t{LAB['LAB_GOOD1_PASSWORD']}\n"
        argv = [os.path.join(self.site.build, 'tests', 'bench', 'load'), '-s', self.site.service, '-n', str(COUNT), '-p', '16']
        done = subprocess.run(argv, input=user, capture_output=True, text=True, env=self.site.env, check=True)
        connector.daemon.stop()
        self.site.postern('tenant', 'remove', connector.fingerprint, '--yes', *self.site.tenant_options())
        print(f'{name:12} signing = {signing:9} {done.stdout.strip().splitlines()[-1]}', flush=True)

    def signatures(self, name, reference):
        """What the token itself gives: signatures a second, one after the other, through postern-keyholder."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        reference_fd = os.memfd_create('reference')
        os.write(reference_fd, reference.encode())
        os.lseek(reference_fd, 0, os.SEEK_SET)
        pin = re.search(r'pin-source=file:(/[^;&?]+)', reference)
        pin_fd = os.open(pin[1], os.O_RDONLY) if pin else None

        def place():
            held = [os.dup2(fd, 100 + n) for n, fd in enumerate(fd for fd in (theirs.fileno(), reference_fd, pin_fd) if fd is not None)]
            os.closerange(5, 90)
            for n, fd in enumerate(held):
                os.dup2(fd, 3 + n)
        holder = subprocess.Popen([os.path.join(self.site.build, 'connector', 'keyholder', 'postern-keyholder'), 'open'], preexec_fn=place,
                                  close_fds=False, env=self.site.env)
        theirs.close()
        first = ours.recv(8192)
        self.assertEqual(first[:1], b'K', first)
        began, count = time.monotonic(), 0
        while time.monotonic() - began < 3:
            ours.send(b'D' + os.urandom(32))
            self.assertEqual(len(ours.recv(8192)), 65)
            count += 1
        print(f'{name:12} {count / (time.monotonic() - began):.0f} signatures/s', flush=True)
        ours.close()
        holder.wait()

    def test_signatures(self):
        folder = os.path.join(self.top, 'made')
        os.makedirs(folder)
        for name, uri in (('softhsm', self.hsm.uri('raw')), ('swtpm', 'tpm2:')):
            state = os.path.join(folder, name)
            token = os.path.join(self.top, 'token')
            with open(token, 'w', encoding='ascii') as f:
                f.write(self.site.token('raw' + name))
            self.site.postern('enroll', '--relay', self.site.url, '--tenant', self.site.tenant, '--token-file', token, '--name', 'raw' + name,
                              '--ca-file', self.site.ca, '--state-dir', state, '--identity-key', uri)
            with open(os.path.join(state, 'identity.pem'), encoding='ascii') as f:
                self.signatures(name, f.read())

    def test_rates(self):
        for name, identity in (('file', None), ('softhsm', self.hsm.uri('bench-identity')), ('swtpm', 'tpm2:')):
            for signing in ('identity', 'hourly'):
                self.rate(f'{name}-{signing}', identity if signing == 'identity' or not identity or identity == 'tpm2:'
                          else re.sub('bench', 'bench2', identity), signing)



if __name__ == '__main__':
    main()
