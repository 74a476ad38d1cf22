"""A run that is killed leaves nothing: whichever process of it gets SIGKILL, the rest ends by itself.

usage: test_interrupted.py BUILD           starts runs of itself, each in a lab, and kills them
       test_interrupted.py BUILD --site    such a run: a site that stands there
"""
import os
import signal
import subprocess
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from postern_site import wait_for  # noqa: E402

LAB = os.path.join(HERE, '..', 'lab', 'lab')
STARTED = {'posternd', 'postern-relay', 'postern-link', 'postern-validat', 'postern-ledger', 'samba'}  # as the kernel cuts names


def processes():
    """pid -> (parent, start time, name) of all that live."""
    found = {}
    for entry in filter(str.isdigit, os.listdir('/proc')):
        try:
            with open(f'/proc/{entry}/stat', encoding='utf-8', errors='replace') as f:
                head, _, rest = f.read().rpartition(')')
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = rest.split()
        if fields[0] not in 'ZX':
            found[int(entry)] = (int(fields[1]), int(fields[19]), head.partition('(')[2])
    return found


def tree_of(root):
    """{(pid, start time): name} of a process and all that came of it."""
    everything, found, new = processes(), {}, {root}
    while new:
        found.update({(pid, everything[pid][1]): everything[pid][2] for pid in new if pid in everything})
        new = {pid for pid, (parent, _, _) in everything.items() if parent in new}
    return found


class Interrupted(unittest.TestCase):
    def start(self):
        run = subprocess.Popen([LAB, 'run', '--with', 'samba', '--', sys.executable, '-B', os.path.abspath(__file__), sys.argv[1], '--site'],
                               stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.addCleanup(run.stdout.close)
        self.addCleanup(run.wait)
        self.addCleanup(run.kill)
        self.assertEqual(run.stdout.readline(), 'the site is up\n')
        tree = tree_of(run.pid)
        self.assertLessEqual(STARTED, set(tree.values()))
        return run, tree

    def left(self, tree):
        now = processes()
        return {pid: name for (pid, start), name in tree.items() if pid in now and now[pid][1] == start}

    def test_the_runner_is_killed(self):
        run, tree = self.start()
        run.kill()
        run.wait()
        wait_for(f'the end of {sorted(tree.values())}', lambda: not self.left(tree))

    def test_the_test_is_killed(self):
        run, tree = self.start()
        test = next(pid for pid, (parent, _, name) in processes().items() if parent == run.pid and name.startswith('python'))
        os.kill(test, signal.SIGKILL)
        run.wait(60)
        wait_for(f'the end of {sorted(tree.values())}', lambda: not self.left(tree))


def site():
    from e2e import LAB as environment, Site
    import tempfile
    with tempfile.TemporaryDirectory(prefix='postern-e2e-') as top:
        os.chmod(top, 0o755)
        made = Site(sys.argv[1], top, environment)
        made.start_relay()
        made.make_tenant()
        made.add_connector('north', 'ldap').up()
        print('the site is up', flush=True)
        while True:
            time.sleep(60)  # until it is killed


if __name__ == '__main__':
    if sys.argv[2:] == ['--site']:
        site()
    else:
        unittest.main(argv=sys.argv[:1], verbosity=2)
