#!/usr/bin/python3
"""What code inside of the gateway's doors could do: tests/e2e/hook/doors-hook.c is such code. It can ask, and see what passes while it
lasts; it reads no key, reaches nobody, and finds nothing by which an earlier password could be tried."""
import os
import re
import shutil
import unittest

from e2e import WRONG, main, wait_for
from gateway_site import Gateway
from test_gateway import GatewayTest
from test_privacy import forms, memory


class Hole(GatewayTest):
    SETTINGS = 'remember_s = 60\n'

    @classmethod
    def setUpClass(cls):
        real = Gateway.program

        def hooked(gateway):
            tree, build = os.path.join(gateway.dir, 'tree'), gateway.site.build
            if not os.path.isdir(tree):
                os.makedirs(tree)
                for name in ('postern-gateway', 'postern-gateway-sealer', 'postern-gateway-link'):
                    shutil.copy(os.path.join(build, 'queue', 'gateway', name), tree)
                shutil.copy(os.path.join(build, 'tests', 'e2e', 'hook', 'postern-gateway-doors'), tree)
            return os.path.join(tree, 'postern-gateway')
        Gateway.program = hooked
        cls.addClassCleanup(setattr, Gateway, 'program', real)
        super().setUpClass()

    def log_text(self):
        with open(self.gateway.log, encoding='utf-8') as f:
            return f.read().replace('"', '')

    def test(self):
        user, password, _ = self.account('GOOD1')
        self.assertEqual(self.gateway.sign_in(user, password)['verdict'], 'accepted')
        self.assertEqual(self.gateway.sign_in(user, WRONG)['verdict'], 'refused')
        wait_for('the hook has run', lambda: self.gateway.daemon.check() and 'try=end' in self.log_text())
        tries = dict(re.findall(r'try=([^"=]+?) result=(\w+)', self.log_text()))
        print(tries)
        self.assertGreaterEqual(len(tries), 9)
        self.assertEqual({what: result for what, result in tries.items() if result not in ('EPERM', 'EACCES')}, {})
        self.assertRegex(self.log_text(), r'try=descriptors files=0')
        self.assertRegex(self.log_text(), r'try=earlier questions kept=0')
        # of what was asked before nothing is in the memory that it could read without asking anybody, nor is the service's key
        with open(os.path.join(self.site.service, 'service.key'), 'rb') as f:
            key = b''.join(line for line in f.read().splitlines() if not line.startswith(b'-'))[40:100]
        sought = [*forms(password), *forms(WRONG), key]
        self.assertEqual([where for _, where, blob in memory(self.child('doors')) for needle in sought if len(needle) >= 8 and needle in blob], [])
        # who says what is not its to say is cut off, and the gateway goes on
        wait_for('the gateway goes on', lambda: self.gateway.get('/readyz')[0] == 200 and self.gateway.sign_in(user, password)['verdict'] == 'accepted')


if __name__ == '__main__':
    if os.geteuid() != 0:
        raise unittest.SkipTest('processes of other users need root')
    main()
