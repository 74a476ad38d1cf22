"""A wall clock that a test sets, for the processes that clock.c is preloaded into.

    clock = lab_clock.Clock(path)                  # right, until it is set
    subprocess.Popen(…, env={**env, **clock.environment(lab_clock.library(build))})
    clock.set(-900)                                # all that follow it are a quarter of an hour behind
"""
import os
import struct


def library(build):
    return os.path.join(build, 'tests', 'liblab-clock.so')


class Clock:
    def __init__(self, path, seconds=0):
        self.path = path
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o644)
        os.fchmod(fd, 0o644)
        os.close(fd)
        self.set(seconds)

    def set(self, seconds):
        """In place: who follows it has the file mapped."""
        fd = os.open(self.path, os.O_WRONLY)
        os.pwrite(fd, struct.pack('=q', seconds), 0)
        os.close(fd)

    def environment(self, library):
        return {'LD_PRELOAD': library, 'TEST_CLOCK': self.path, 'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0'}
