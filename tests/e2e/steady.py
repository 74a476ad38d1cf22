"""Sign-ins that go on: clients of the library that keep what they know of keys, and a driver that sends a steady number a second."""
import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
import time

from e2e import LAB, WRONG

STEADY = sys.argv[2] if len(sys.argv) > 2 else None


class Service:
    """One client of the library, one sign-in at a time."""

    def __init__(self, site):
        with open(os.path.join(site.service, 'service.pub.json'), encoding='utf-8') as f:
            id = json.load(f)['id']
        self.process = subprocess.Popen([STEADY, site.url, site.tenant, site.pin, os.path.join(site.dir, 'service.secret'), site.ca, id,
                                         os.path.join(site.service, 'service.key')], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=site.env)

    def sign_in(self, user, password):
        """(verdict or problem, started, the connector's name, the sign-in's id, the verdict's reason)"""
        self.process.stdin.write(f'{user}\t{password}\n')
        self.process.stdin.flush()
        return tuple(self.process.stdout.readline().rstrip('\n').split('\t'))

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(60)


@dataclasses.dataclass
class Answer:
    """Of one sign-in; times are time.monotonic()'s."""
    began: float
    ended: float
    expected: str
    word: str
    started: str
    connector: str
    id: str

    @property
    def lost(self):
        return self.word not in ('accepted', 'refused')


class Driver:
    """So many sign-ins a second, on accounts whose passwords are known; of each account every fifth with a wrong one, so that none is
    locked. An answer that contradicts is `wrong`, one without a decision `lost`."""
    ACCOUNTS = 16

    def __init__(self, site, rate=20):
        self.rate = rate
        self.answers, self.out, self.lock = [], {}, threading.Lock()
        self.ticks, self.ended = queue.Queue(), threading.Event()
        self.workers = [threading.Thread(target=self.work, args=(i + 1, Service(site))) for i in range(self.ACCOUNTS)]
        self.clock = threading.Thread(target=self.tick)

    def __enter__(self):
        for thread in [*self.workers, self.clock]:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in [self.clock, *self.workers]:
            thread.join()

    def tick(self):
        while not self.ended.wait(1 / self.rate):
            self.ticks.put(True)
        for _ in self.workers:
            self.ticks.put(False)

    def work(self, number, service):
        user, password = LAB[f'LAB_GOOD{number}_UPN'], LAB[f'LAB_GOOD{number}_PASSWORD']
        n = number  # not all wrong ones at once
        while self.ticks.get():
            n += 1
            expected = 'refused' if n % 5 == 0 else 'accepted'
            began = time.monotonic()
            with self.lock:
                self.out[number] = began
            answer = service.sign_in(user, WRONG if expected == 'refused' else password)
            word, started, connector, id = (*answer, '')[:4]  # the version before told no id
            with self.lock:
                del self.out[number]
                self.answers.append(Answer(began, time.monotonic(), expected, word, started, connector, id))
        service.close()

    def began_within(self, start, end):
        """How many sign-ins began then, those included that are not answered yet."""
        with self.lock:
            return len([began for began in [*self.out.values(), *[a.began for a in self.answers]] if start <= began <= end])

    def since(self, moment):
        """Answers of sign-ins that began after that moment."""
        with self.lock:
            return [a for a in self.answers if a.began >= moment]

    def lost(self):
        with self.lock:
            return [a for a in self.answers if a.lost]

    def wrong(self):
        with self.lock:
            return [a for a in self.answers if not a.lost and a.word != a.expected]
