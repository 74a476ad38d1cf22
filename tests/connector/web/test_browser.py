"""The helpdesk's page in a real Chromium: the link lets in, the page renews itself, nothing of it is refused by its own policy.

usage: test_browser.py BUILD_DIR SOURCE_DIR [SCREENSHOT_DIR]

With SCREENSHOT_DIR it leaves pictures there, to be looked at.
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest

PICTURES = os.path.abspath(sys.argv.pop(3)) if len(sys.argv) > 3 else None
sys.path.insert(0, os.path.join(os.path.abspath(sys.argv[2]), 'tests', 'connector', 'web'))
import test_web  # noqa: E402


class BrowserTest(unittest.TestCase):
    def setUp(self):
        self.web = test_web.WebTest('test_nobody_to_ask')
        self.web.setUp()
        self.addCleanup(self.web.doCleanups)
        self.profile = tempfile.TemporaryDirectory(prefix='postern-chromium-')
        self.addCleanup(self.profile.cleanup)
        self.rig = self.web.rig
        for i, reason in enumerate(['ok', 'ok', 'ok', 'wrong_password', 'locked_out', 'no_dc']):
            verdict = {'ok': 'accepted', 'no_dc': 'unavailable'}.get(reason, 'refused')
            self.rig.record(f'SIGNIN000000000{i}', R_REASON=reason, R_VERDICT=verdict)
        self.rig.known(6)

    def chromium(self, url, *args):
        """The page as it stands after its scripts, and what the browser complained of."""
        done = subprocess.run(['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--enable-logging=stderr',
                               f'--user-data-dir={self.profile.name}', '--virtual-time-budget=8000', *args, url],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300, check=True)
        complaints = [line for line in done.stderr.splitlines() if 'CONSOLE' in line]
        return done.stdout, complaints

    def picture(self, name, url, *args):
        if PICTURES:
            self.chromium(url, f'--screenshot={os.path.join(PICTURES, name)}.png', *args)

    def test_the_way_in_and_every_page(self):
        link = self.web.link()
        base = link.split('/enter')[0]
        page, complaints = self.chromium(link, '--dump-dom')
        self.assertIn('<h1>Now</h1>', page)
        self.assertIn('3 accepted', page)
        self.assertIn('uid 0 of this host', page)
        self.assertEqual(complaints, [])
        page, complaints = self.chromium(link, '--dump-dom')  # used up; the session is still this profile's
        self.assertIn('was used', page)
        for path, word in (('/', '3 accepted'), ('/search', 'About when'), ('/day', 'Failures by reason'),
                           ('/sign-in/SIGNIN0000000003', 'wrong_password')):
            page, complaints = self.chromium(base + path, '--dump-dom')
            self.assertIn(word, page)
            self.assertEqual(complaints, [], path)
        for name, path, size in (('now', '/', '1200,1600'), ('now-phone', '/', '390,2200'), ('day', '/day', '1200,1200'),
                                 ('story', '/sign-in/SIGNIN0000000003', '1200,1000'), ('search', '/search', '1200,600')):
            self.picture(name, base + path, '--window-size=' + size)
            self.picture(name + '-dark', base + path, '--window-size=' + size, '--blink-settings=preferredColorScheme=0')

    def test_it_renews_itself(self):
        link = self.web.link()
        self.assertIn('3 accepted', self.chromium(link, '--dump-dom')[0])
        # eight seconds of the page's own clock: the script asks for the part in between
        before = self.asked()
        self.chromium(link.split('/enter')[0] + '/', '--dump-dom')
        self.assertGreaterEqual(self.asked() - before, 2)

    def asked(self):
        """How often the ledger was asked for its status: once for the page, once for each renewal."""
        with open(os.path.join(self.web.dir, 'log'), encoding='utf-8') as f:
            return len(re.findall(r'control\.request do=status', f.read()))


if __name__ == '__main__':
    unittest.main(argv=[sys.argv[0], '-v'])
