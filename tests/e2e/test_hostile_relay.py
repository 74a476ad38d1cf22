"""A relay that turned evil: whatever it sends, a connector loses at most its link to it. No process dies, no password is tried twice, no
roster is adopted that the tenant did not sign, memory and reconnects stay bounded, and the next good sign-in through the real relay works.

Each lane has a connector and a hostile relay of its own (hostile_relay.py), and some lanes run at once, since a link that was cheated comes
back later each time: no more than one processor can serve in time. A test waits for its lane.
"""
import asyncio
import base64
import concurrent.futures
import json
import os
import subprocess
import time
import unittest

from e2e import LAB, SiteTest, WRONG, bad_password_count, main, wait_for
from hostile_relay import NOBODYS, STREAM_HEAD, HostileRelay, Loop, event, hello

CHECK = unittest.TestCase()
MB = 1 << 20
AT_ONCE = 4
COMMENTS = 16 * MB
UNCONFIRMED = 800
BUDGET = 15000  # the longest that a service may ask for
GROWTH_MAX = 64 * MB  # of a process by an attack, in the sanitized build


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def fresh_id():
    return 'HOSTILE-' + os.urandom(12).hex()


def rss(pid):
    with open(f'/proc/{pid}/statm', encoding='ascii') as f:
        return int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


class Lane:
    """A connector behind its hostile relay, with an account for good sign-ins and one whose password is only ever typed wrong."""

    def __init__(self, site, loop, number, name):
        self.site, self.name, self.number = site, name, number
        self.connector = site.add_connector(name, 'ldap')
        self.connector.enroll()
        self.relay = HostileRelay(loop, site)
        self.relay.stand_in_for(self.connector.state)
        path = os.path.join(self.connector.state, 'enrolment.json')
        with open(path, encoding='utf-8') as f:
            enrolment = json.load(f)
        with open(path, 'w', encoding='utf-8') as f:
            json.dump({**enrolment, 'relay': self.relay.url}, f)
        self.connector.start()

    def up(self):
        wait_for(f'{self.name} asks to be approved', lambda: self.connector.daemon.check() and self.connector.pending())
        self.connector.approve()

    def pids(self):
        return {'supervisor': self.connector.daemon.pid, **self.connector.daemon.children()}

    def pid(self, word):
        return next(pid for name, pid in self.pids().items() if word in name)

    def victim(self):
        return f'GOOD{20 - self.number}'

    def sign_in(self, account, password=None, budget=None):
        user, right = LAB[f'LAB_{account}_UPN'], LAB[f'LAB_{account}_PASSWORD']
        return self.site.sign_in(user, password or right, self.name, budget)

    def wait_real(self):
        """The real relay serves this connector again."""
        wait_for(f'{self.name} is linked again', self.relay.is_real)

    def good(self, after):
        """After an attack: linked to the real relay, a right password is accepted."""
        def signed_in():
            self.wait_real()
            self.connector.wait_ready()
            found = self.sign_in(f'GOOD{self.number + 1}', budget=BUDGET)
            return None if found[1].get('reason') == 'no-connector' else found  # a busy machine may cost a link once more
        code, v = wait_for(f'{self.name} gets a sign-in after {after}', signed_in)
        CHECK.assertEqual((code, v['verdict'], v.get('connector_name')), (0, 'accepted', self.name), f'after {after}: {v}')

    def capture(self):
        """A request that was sealed to this connector and answered: the event's members. Its password is wrong, and has counted once."""
        seen = []

        def keep(stream, data):
            seen.append(data)
            return event('request', data)
        self.relay.on_request = keep
        _, v = self.sign_in(self.victim(), WRONG, budget=BUDGET)
        self.relay.on_request = None
        CHECK.assertEqual((v['reason'], len(seen)), ('wrong_password', 1), v)
        return seen[0]

    def count(self):
        return bad_password_count(LAB[f'LAB_{self.victim()}_SAM'])

    def log_lines(self, word):
        with open(self.connector.daemon.log, encoding='utf-8', errors='replace') as f:
            return [line for line in f if word in line and not line.startswith('ledger:')]  # which says again what others tell it

    def status(self, part):
        return json.loads(self.connector.postern('status', '--json', check=False).stdout)['parts'][part]['value']

    def send(self, data):
        self.relay.inject(lambda stream: stream.send(data))

    def breaks(self, what, data, why):
        """The bytes end the session, for the reason named in the log; then the real relay serves again."""
        stream, before = self.relay.stream, len(self.log_lines(why))
        try:
            self.send(data)
        except ConnectionError:
            pass  # it hung up before it had read everything
        wait_for(f'{self.name} hangs up on {what}', lambda: stream.gone)
        wait_for(f'{self.name} says why ({why})', lambda: len(self.log_lines(why)) > before)
        self.good(what)

    def offer(self, id_, sealed, why, what):
        """A request that is declined, with this word."""
        self.relay.inject(lambda stream: stream.send(stream.request(id_, sealed)))
        wait_for(f'{self.name} declines {what} as {why}', lambda: ('declined', why) in self.relay.items.get(id_, []))

    def count_connects(self, seconds, prod=lambda: None):
        """How many streams are asked for within the time; prods meanwhile."""
        self.relay.connects.clear()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            prod()
            time.sleep(0.05)
        return len(self.relay.connects)

    def figure(self, text):
        print(f'  [{self.name}] {text}', flush=True)


# ---- the lanes ----

def play_all(lane, plays):
    """Each play is what one stream brings: parts to send, then what to drip in every half second. How long (s) the connector stayed."""
    took = []

    def play(parts, drops):
        async def run(stream):
            begin, dripping = time.monotonic(), asyncio.ensure_future(drip(stream, drops))
            try:
                await stream.send(b''.join(parts))
                await stream.closed(200)
            except ConnectionError:
                pass
            dripping.cancel()
            took.append(time.monotonic() - begin)
        return run

    async def drip(stream, drops):
        for drop in drops:
            await asyncio.sleep(0.5)
            await stream.send(drop)

    lane.relay.plays = [play(parts, drops) for parts, drops in plays]
    lane.relay.kick()
    wait_for('all streams were given up', lambda: len(took) == len(plays))
    return took


def late_hellos(lane):
    """No answer to the stream at all, and a hello that comes late after many a sign of life: the link waits 8 s."""
    took = play_all(lane, [([], []), ([STREAM_HEAD], [b': wait\n'] * 24 + [hello()])])
    CHECK.assertTrue(all(t > 1 for t in took), took)
    lane.figure('given up after (s) no answer, late hello: ' + ', '.join(f'{t:.2f}' for t in took))
    lane.good('late hellos')


def bad_hellos(lane):
    """Hellos that are none: hung up on at once."""
    before = rss(lane.pid('link'))
    head = b''.join(b'X-%d: ' % i + b'x' * 8000 + b'\r\n' for i in range(2000))  # 16 MB
    many = [f'https://node-{i}.example' for i in range(10000)]
    took = play_all(lane, [([STREAM_HEAD, data], []) for data in (hello(session=5), hello(nodes=many), event('cancel', {'id': fresh_id()}))]
                    + [([b'HTTP/1.1 200 OK\r\n', head], [])])
    CHECK.assertTrue(all(t < 5 for t in took), took)
    lane.good('hellos that are none')
    grown = rss(lane.pid('link')) - before
    CHECK.assertLess(grown, GROWTH_MAX)
    lane.figure('given up after (s) wrong type, 10000 nodes, no hello first, endless head: ' + ', '.join(f'{t:.2f}' for t in took)
                + f'; the link grew by {grown / MB:.1f} MB')


def silence(lane):
    """A relay that goes silent is left within 25 s, though it goes on answering reports."""
    took = []

    async def play(stream):
        await stream.send(STREAM_HEAD + hello())
        took.append(await stream.closed(200))
    lane.relay.plays = [play]
    lane.relay.kick()
    wait_for('the silent stream was left', lambda: took)
    CHECK.assertIsNotNone(took[0])
    CHECK.assertGreater(took[0], 20)
    lane.figure(f'a silent stream was left after {took[0]:.1f} s')
    lane.good('silence')


def stream_junk(lane):
    """What a parser may stumble over. The harmless passes, the rest costs the session."""
    before = rss(lane.pid('link'))
    begin = time.monotonic()
    lane.send(b': comment\n' * (COMMENTS // 10))
    lane.good(f'{COMMENTS // MB} MB of comments')
    took = time.monotonic() - begin
    lane.send(b'id: 7\nretry: 1\n' + event('nonsense', {'a': 1}) + event('x' * 20, '\x1b]0;evil\x07') + b'data: no name\n\n' + b'\r\n\r\n'
              + b'event\ndata\n\n' + b'event: cancel\n\n')

    async def by_bytes(stream):
        for one in event('cancel', {'id': fresh_id()}) + ': ü€😀\r\n\r\n'.encode():
            await stream.send(bytes([one]))
    lane.relay.inject(by_bytes)
    lane.good('unknown events and a split at every byte')
    CHECK.assertEqual(len(lane.log_lines('state=protocol')), 0)
    lane.breaks('a NUL', b'event: can\0cel\ndata: {}\n\n', 'NUL or broken UTF-8')
    lane.breaks('invalid UTF-8', b'data: \xc3\x28\n\n', 'NUL or broken UTF-8')
    lane.breaks('too much data', event('request', 'x' * 20000), 'an event of 20000 bytes')
    lane.breaks('nesting', event('request', '{"jwe":' + '[' * 15000), 'state=protocol')
    lane.breaks('an endless line', b'data: ' + b'x' * (4 * MB), 'too long')
    grown = rss(lane.pid('link')) - before
    lane.figure(f'{COMMENTS // MB} MB of comments and a sign-in: {took:.1f} s; the link grew by {grown / MB:.1f} MB')
    CHECK.assertLess(grown, GROWTH_MAX)


def close_loop(lane):
    """Streams closed at once, after a hello that asks for no pause: no busy loop."""
    async def close(stream):
        await stream.send(STREAM_HEAD + hello(reconnect=[0, 0]))
    lane.relay.plays = [close] * 5000
    lane.relay.kick()
    n = lane.count_connects(8)
    lane.relay.plays = []
    lane.figure(f'{n} streams in 8 s to a relay that closes at once and asks for no pause')
    CHECK.assertLess(n, 12)
    lane.good('a close loop')


def drain_storm(lane):
    """Drains without an end, each asking to come back at once."""
    async def drain(stream):
        await stream.send(STREAM_HEAD + hello(reconnect=[0, 0]) + event('drain', {'reconnect': [0, 0]}) * 1000)
        await stream.closed(5)
    lane.relay.plays = [drain] * 5000
    lane.relay.kick()
    n = lane.count_connects(8)
    lane.relay.plays = []
    lane.figure(f'{n} streams in 8 s to a relay that drains at once')
    CHECK.assertLess(n, 12)
    lane.good('a drain storm')


def broken_rules(lane):
    """Sequence, credit and budget: a relay that breaks a rule loses the session; nothing of it is started."""
    taken = lane.capture()
    sealed, last = taken['sealed'], lane.relay.stream.seq
    lane.breaks('a gap in seq', lane.relay.stream.request(fresh_id(), sealed, seq=last + 2), 'has sequence')
    seq = lane.relay.stream.seq
    lane.breaks('a seq that comes again', lane.relay.stream.request(fresh_id(), sealed, seq=seq), 'has sequence')
    for budget in (0, 1 << 63, -1):
        lane.breaks(f'budget {budget}', lane.relay.stream.request(taken['id'], sealed, budget), 'state=protocol')
    stream, small = lane.relay.stream, 'a.b c.d'
    burst = b''.join(stream.request(fresh_id(), small) for _ in range(10000))
    lane.breaks('10000 requests at once', burst, 'has sequence')
    CHECK.assertEqual(lane.count(), 1)


def variants(sealed):
    """(name, text) of everything that can be made of somebody's sealed request without its key."""
    shared, line = sealed.split(' ')
    yield 'the same under another id', sealed
    yield 'two recipients', f'{shared} {line}.{line}'
    yield 'another epk', f"{shared} {line[:44]}{'A' * 43}{line[87:]}"
    yield 'truncated', f'{shared[:-16]} {line}'
    yield 'changed', f"{shared[:100]}{'B' if shared[100] == 'A' else 'A'}{shared[101:]} {line}"
    yield 'no recipient', shared
    yield 'empty', ''
    yield 'over the limit', f"{shared} {'A' * 12001}"
    yield 'the lines turned round', f'{line} {shared}'
    yield 'JSON', '{"recipients":[{}]}'
    yield 'deep', '[' * 400 + ']' * 400


def replays(lane, foreign):
    """One sealed request, again and in every disguise: one bind, whatever the relay does; the record of it stays."""
    taken = lane.capture()
    for _ in range(20):
        lane.relay.inject(lambda stream: stream.send(stream.request(taken['id'], taken['sealed'])))
    lane.offer(taken['id'], taken['sealed'], 'replay', 'the same request')
    for what, sealed in variants(taken['sealed']):
        lane.offer(fresh_id(), sealed, 'bad_request', what)
    lane.offer(foreign['id'], foreign['sealed'], 'stale_key', 'a request sealed to another connector')
    CHECK.assertEqual(lane.count(), 1)
    explained = lane.connector.postern('explain', taken['id'])
    CHECK.assertIn('wrong_password', explained)
    CHECK.assertNotIn('replay', explained)
    lane.good('replays')


def cancels(lane):
    """A request twice at once and cancelled at once: at most one bind. Floods of cancels and of junk within the credit."""
    def twice(stream, data):
        again = {**data, 'seq': data['seq'] + 1}
        stream.seq += 1
        return event('request', data) + event('request', again) + event('cancel', {'id': data['id']})
    lane.relay.on_request = twice
    code, v = lane.sign_in(lane.victim(), WRONG, budget=1500)
    lane.relay.on_request = None
    CHECK.assertEqual((code, v['class']), (3, 'infrastructure'), v)
    CHECK.assertLessEqual(lane.count(), 1)
    begin = time.monotonic()
    lane.send(b''.join(event('cancel', {'id': fresh_id()}) for _ in range(10000)))
    lane.send(event('cancel', {'id': v['id']}) * 10000)
    lane.good('20000 cancels')
    took = time.monotonic() - begin
    lane.figure(f'20000 cancels and a sign-in: {took:.1f} s')
    flood(lane, 2000)
    lane.good('2000 junk requests')
    CHECK.assertLessEqual(lane.count(), 1)


def flood(lane, count):
    """Junk requests as fast as the credit allows, each declined."""
    ids = [fresh_id() for _ in range(count)]

    async def play(stream):
        at = 0
        while at < count:
            room = min(lane.relay.granted - stream.seq, count - at)
            await stream.send(b''.join(stream.request(id_, NOBODYS) for id_ in ids[at:at + max(room, 0)]))
            at += max(room, 0)
            await asyncio.sleep(0.01)
    before, begin = rss(lane.pid('valid')), time.monotonic()
    lane.relay.inject(play)
    wait_for('all were declined', lambda: all(('declined', 'stale_key') in lane.relay.items.get(id_, []) for id_ in ids))
    grown = rss(lane.pid('valid')) - before
    took = time.monotonic() - begin
    noted = len(json.loads(lane.connector.postern('log', '--json', '--verdict', 'declined', '--limit', '500'))['records'])
    lane.figure(f'{count} junk requests within the credit: {took:.1f} s; {noted} recorded; the validator grew by {grown / MB:.1f} MB')
    CHECK.assertLess(grown, GROWTH_MAX)
    CHECK.assertLess(noted, 110 + 10 * took)
    CHECK.assertIn('signin.flood', lane.connector.postern('log', '--events'))


def sign_roster(key, kid, claims):
    """A compact JWS made with OpenSSL's command line: r and s out of its DER."""
    text = b64u(json.dumps({'alg': 'ES256', 'typ': 'postern-roster+jwt', 'kid': kid}).encode()) + '.' + b64u(json.dumps(claims).encode())
    der = subprocess.run(['openssl', 'dgst', '-sha256', '-sign', key], input=text.encode(), check=True, capture_output=True).stdout
    r_len = der[3]
    r, s = der[4:4 + r_len], der[6 + r_len:]
    return text + '.' + b64u(b''.join(x.lstrip(b'\0').rjust(32, b'\0') for x in (r, s)))


def roster_parts(site):
    """The roster as the real relay has it, its claims, and the tenant key's kid and file."""
    good = site.keys()['roster']
    header, payload, _ = good.split('.')
    claims = json.loads(base64.urlsafe_b64decode(payload + '=='))
    return good, claims, json.loads(base64.urlsafe_b64decode(header + '=='))['kid'], os.path.join(site.dir, 'tenant', 'tenant.key')


def remade_roster(site):
    _, claims, kid, key = roster_parts(site)
    return sign_roster(key, kid, {**claims, 'seq': claims['seq'] + 1})


def bad_rosters(site, older):
    """(name, text) of rosters that a connector of this tenant must not adopt."""
    good, claims, kid, key = roster_parts(site)
    header, payload, signature = good.split('.')
    stranger = os.path.join(site.dir, 'relay.key')
    newer, now = {**claims, 'seq': claims['seq'] + 100}, int(time.time())
    yield 'older', older
    yield 'of another tenant', sign_roster(key, kid, {**newer, 'tenant': 'fabrikam'})
    yield 'another text of the same number', sign_roster(key, kid, claims)
    yield 'expired', sign_roster(key, kid, {**newer, 'iat': now - 9000, 'exp': now - 3600})
    yield 'by a wrong key', sign_roster(stranger, kid, newer)
    yield 'cut', good[:-10]
    yield 'changed', '.'.join([header, payload[:100] + ('A' if payload[100] != 'A' else 'B') + payload[101:], signature])
    yield 'unsigned', '.'.join([b64u(b'{"alg":"none","typ":"postern-roster+jwt"}'), b64u(json.dumps(newer).encode()), ''])
    yield 'empty members', sign_roster(key, kid, {'v': 1})
    yield 'garbage', 'x' * 200000
    yield 'no JWS', 'not a roster'


def rosters(lane, older):
    """None but the tenant's own newest roster is adopted."""
    before = lane.status('validator')
    CHECK.assertTrue(before['in_roster'])
    sent = 0
    for what, text in bad_rosters(lane.site, older):
        lane.send(event('roster', {'jws': text}))
        sent += 1
        wait_for(f'the roster {what} is refused', lambda: len(lane.log_lines('roster.refused')) == sent)
    for text in ('', 7, None):
        lane.breaks(f'a roster that is {text!r}', event('roster', {'jws': text}), 'state=protocol')
    roster_flood(lane)
    lane.breaks('a roster of 300 KB', event('roster', {'jws': 'A' * 300000}), 'too long')
    after = lane.status('validator')
    CHECK.assertEqual([after[x] for x in ('roster_seq', 'in_roster', 'roster_expires')],
                      [before[x] for x in ('roster_seq', 'in_roster', 'roster_expires')])
    adopted = [int(line.split('seq=')[1].split()[0]) for line in lane.log_lines('roster.adopted')]
    CHECK.assertEqual(max(adopted), before['roster_seq'])
    reasons = {line.split('why=')[1].split(' not_logged')[0].strip('"') for line in lane.log_lines('roster.refused')}
    lane.figure(f'{sent} rosters refused: ' + '; '.join(sorted(reasons)))
    # and what is made in the same way, but right, is adopted: the refusals were not for how it was made
    lane.send(event('roster', {'jws': remade_roster(lane.site)}))
    wait_for('a right roster is adopted', lambda: lane.status('validator')['roster_seq'] == before['roster_seq'] + 1)
    lane.good('a right roster')


def roster_flood(lane):
    before, begin = {word: rss(lane.pid(word)) for word in ('link', 'valid')}, time.monotonic()
    for i in range(300):
        lane.send(event('roster', {'jws': f'{i:03}' * 60000}))
    lane.good('300 rosters of 180 KB')
    grown = {word: round((rss(lane.pid(word)) - n) / MB, 1) for word, n in before.items()}
    lane.figure(f'300 rosters of 180 KB and a sign-in: {time.monotonic() - begin:.1f} s; grown by (MB) {grown}')
    for word, n in grown.items():
        CHECK.assertLess(n * MB, GROWTH_MAX, word)


def report_answers(lane):
    """What a relay may answer to reports: the session ends, or the link asks again in its own time."""
    relay = lane.relay

    def prod():
        """Something to report about."""
        try:
            lane.relay.inject(lambda stream: stream.send(stream.request(fresh_id(), 'a.b c.d')))
        except ConnectionError:
            pass

    def answers(status, body, seconds, most):
        relay.reports.clear()
        relay.on_report = lambda report: (status, body)
        n = lane.count_connects(seconds, prod)
        relay.on_report = None
        CHECK.assertLessEqual(len(relay.reports), most, f'{len(relay.reports)} reports answered with {status} in {seconds} s')
        lane.figure(f'reports answered with {status} ({len(body)} bytes) for {seconds} s: {len(relay.reports)} reports, {n} reconnects')
        lane.good(f'reports answered with {status}')

    unknown = json.dumps({'confirmed': [fresh_id() for _ in range(1000)], 'late': [fresh_id() for _ in range(1000)]}).encode()
    answers(200, unknown, 2, 50)
    answers(500, b'x' * 100000, 3, 10)
    answers(409, b'{}', 2, 8)
    answers(200, b'\xff\0{{{"confirmed":1}', 1, 8)
    answers(200, b'{"confirmed":[' + b'[' * 5000, 1, 8)
    asked = asyncio.Event()

    async def never(report):
        asked.set()
        await asyncio.sleep(30)
    relay.on_report = never
    wait_for('a report goes out', asked.is_set)
    relay.on_report = None
    lane.good('a report that nobody answered')


def unconfirmed(lane):
    """Verdicts that the relay takes and never confirms: kept by both processes within their bounds, and sign-ins go on."""
    users = f"{LAB['LAB_AD_NETBIOS']}\\a\\b\tx\n"  # answered without a DC

    def load(count):
        tool = os.path.join(lane.site.build, 'tests', 'bench', 'load')
        argv = [tool, '-s', lane.site.service, '-n', str(count), '-p', '16', '-c', lane.name]
        done = subprocess.run(argv, input=users, capture_output=True, text=True, env=lane.site.env, timeout=300, check=False)
        CHECK.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout.splitlines()[-1])
    load(50)
    pids = {word: lane.pid(word) for word in ('link', 'valid')}
    before = {word: rss(pid) for word, pid in pids.items()}
    lane.relay.on_answer = lambda answer: {'confirmed': [], 'late': []}
    begin = time.monotonic()
    summary = load(UNCONFIRMED)
    CHECK.assertEqual(summary['refused'], UNCONFIRMED, summary)
    lane.good(f'{UNCONFIRMED} verdicts that were never confirmed')
    grown = {word: rss(pid) - before[word] for word, pid in pids.items()}
    kept = {word: lane.status(part)['undelivered'] for word, part in (('link', 'link'), ('valid', 'validator'))}
    lane.figure(f'{UNCONFIRMED} unconfirmed verdicts in {time.monotonic() - begin:.1f} s; kept {kept}; grown by (MB) '
                + str({word: round(n / MB, 1) for word, n in grown.items()}))
    lane.relay.on_answer = None
    for word, n in grown.items():
        CHECK.assertLess(n, GROWTH_MAX, word)
    lane.good('confirmations again')


LANES = {f.__name__: f for f in (late_hellos, bad_hellos, silence, stream_junk, close_loop, drain_storm, broken_rules, replays, cancels,
                                 rosters, report_answers, unconfirmed)}


class Hostile(SiteTest):
    CONNECTORS = []
    futures = {}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # freed memory must go back for the bounds to be measured
        cls.site.env['ASAN_OPTIONS'] = cls.site.env.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=8'
        cls.loop = Loop()
        cls.addClassCleanup(cls.loop.close)
        cls.older = cls.site.keys()['roster']
        cls.lanes = {name: Lane(cls.site, cls.loop, i, name.replace('_', '-')) for i, name in enumerate(LANES)}
        for lane in cls.lanes.values():
            cls.addClassCleanup(lane.relay.close)
        for lane in cls.lanes.values():
            lane.up()
        for lane in cls.lanes.values():
            lane.wait_real()
            lane.connector.wait_ready()
        cls.pids = {name: lane.pids() for name, lane in cls.lanes.items()}
        pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        cls.addClassCleanup(pool.shutdown)
        more = {'replays': [cls.lanes['silence'].capture()], 'rosters': [cls.older]}
        cls.futures = {name: pool.submit(run, cls.lanes[name], *more.get(name, [])) for name, run in LANES.items()}

    def test_z_nothing_died_and_nothing_was_tried_twice(self):
        concurrent.futures.wait(self.futures.values())
        for name, lane in self.lanes.items():
            self.assertEqual(lane.pids(), self.pids[name], name)
            self.assertLessEqual(lane.count(), 1, name)
        victims = {lane.victim() for lane in self.lanes.values()}
        for i in range(1, len(LANES) + 1):
            if f'GOOD{i}' not in victims:  # the last lanes' good accounts are the first ones' victims
                self.assertEqual(bad_password_count(LAB[f'LAB_GOOD{i}_SAM']), 0)


for lane_name in LANES:
    setattr(Hostile, 'test_' + lane_name, lambda self, name=lane_name: self.futures[name].result())


if __name__ == '__main__':
    main()
