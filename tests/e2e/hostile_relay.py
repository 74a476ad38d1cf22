"""A relay that lies: a TLS-terminating man in the middle between one connector and the real relay, as whoever runs a relay could be.

By default it passes everything on. A test makes it deviate at one place: `plays` are what the next streams do instead, `inject` writes into
the stream that is open, `on_request` and `on_report` change what passes. All relays of a process share one asyncio loop in a thread of its
own; what a test calls from outside is thread-safe. Sequence numbers are always the hostile relay's own, so that injected requests fit in.
"""
import asyncio
import json
import os
import ssl
import threading
import time

# A sealed request that has its form and is for nobody
NOBODYS = '.'.join(['eyJjdHkiOiJKV1QiLCJlbmMiOiJBMjU2R0NNIiwidHlwIjoicG9zdGVybi1yZXF1ZXN0K2p3ZSJ9', 'A' * 16, 'A' * 2731, 'A' * 22]) + \
    ' ' + '.'.join(['A' * 43, 'A' * 43, 'A' * 43, 'A' * 54])
HEAD_MAX = 65536
STREAM_HEAD = b'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n'
RECONNECT = [100, 200]


class Loop:
    """An asyncio loop in a thread."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def run(self, coroutine, timeout=300):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(timeout)

    def close(self):
        async def end():
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.loop.stop()
        asyncio.run_coroutine_threadsafe(end(), self.loop)
        self.thread.join(10)
        self.loop.close()


def event(name, data):
    """One event as bytes; data: text, or what becomes compact JSON, but for a request, whose fields stand in a line."""
    if name == 'request' and isinstance(data, dict):
        data = f"{data['id']} {data['seq']} {data['budget']} {data['trace']} {data['sealed']}"
    text = data if isinstance(data, (str, bytes)) else json.dumps(data, separators=(',', ':'))
    return b'event: ' + name.encode() + b'\ndata: ' + (text if isinstance(text, bytes) else text.encode()) + b'\n\n'


def hello(**changes):
    return event('hello', {'session': 'HOSTILE-SESSION-' + os.urandom(4).hex(), 'node': 'hostile', 'v': [1], 'now': int(time.time()),
                           'heartbeat': 10000, 'nodes': [], 'roster_seq': 0, 'reconnect': RECONNECT, **changes})


class Stream:
    """One stream to the connector."""

    def __init__(self, relay, reader, writer):
        self.relay, self.reader, self.writer = relay, reader, writer
        self.seq = 0
        self.passing = self.real = self.gone = False  # the real relay is behind it; and has taken a report; it is closed

    async def send(self, data):
        if self.gone or self.writer.is_closing():
            raise ConnectionResetError('the connector hung up')
        self.writer.write(data)
        await self.writer.drain()

    def request(self, id_, sealed, budget=8000, seq=None):
        """A request event with the next sequence number (or the one given)."""
        if seq is None:
            self.seq += 1
            seq = self.seq
        return event('request', {'id': id_, 'seq': seq, 'budget': budget, 'trace': '-', 'sealed': sealed})

    async def closed(self, seconds):
        """How long (s) until the connector closed the stream; None when it did not within that time."""
        begin = time.monotonic()
        try:
            while await asyncio.wait_for(self.reader.read(65536), seconds):
                pass
        except asyncio.TimeoutError:
            return None
        except (ConnectionError, ssl.SSLError):
            pass
        return time.monotonic() - begin


class HostileRelay:
    def __init__(self, loop, site):
        self.loop, self.site = loop, site
        self.plays = []          # async functions of a Stream, each for one stream; then the real relay again
        self.on_request = None   # (Stream, event dict) -> bytes instead of the event
        self.on_report = None    # report dict -> None (pass on) or (status, body bytes) or a coroutine that gives it
        self.on_answer = None    # answer dict of the real relay to a report -> dict
        self.stream = None       # the one that is open
        self.connects = []       # when streams were asked for
        self.reports = []        # (when, granted, number of items)
        self.items = {}          # id -> [(is, why)]
        self.granted = 0
        self.tls_up = None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(os.path.join(site.dir, 'relay.pem'), os.path.join(site.dir, 'relay.key'))
        context.load_verify_locations(os.path.join(site.dir, 'relay-state', 'transport-ca.pem'))
        context.verify_mode = ssl.CERT_REQUIRED  # the connector proves itself to any relay
        self.server = loop.run(asyncio.start_server(self.serve, '127.0.0.1', 0, ssl=context, limit=4 << 20))
        self.url = f'https://127.0.0.1:{self.server.sockets[0].getsockname()[1]}'

    def stand_in_for(self, state_dir):
        """Speaks to the real relay with the connector's own transport key, as no relay could: what is not altered passes unchanged."""
        self.tls_up = ssl.create_default_context(cafile=self.site.ca)
        self.tls_up.load_cert_chain(os.path.join(state_dir, 'transport.pem'), os.path.join(state_dir, 'transport.key'))

    def close(self):
        self.loop.run(self.stop())

    async def stop(self):
        self.server.close()
        if self.stream:
            self.stream.writer.transport.abort()

    # -- from the tests' threads --
    def run(self, coroutine, timeout=300):
        return self.loop.run(coroutine, timeout)

    def inject(self, play, timeout=300):
        """Runs the play on the stream that is open; its value."""
        return self.run(play(self.stream), timeout)

    def kick(self):
        async def close():
            if self.stream:
                self.stream.writer.close()
        self.run(close())

    def is_real(self):
        """The real relay is behind the open stream and has answered a report of its session."""
        return self.stream is not None and self.stream.real

    # -- serving --
    async def serve(self, reader, writer):
        try:
            while await self.one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError, asyncio.CancelledError):
            pass  # the connector hung up, as it should on what it is sent here; or the test ends
        finally:
            writer.transport.abort()  # at once, not after a TLS farewell that the peer may not return

    async def one(self, reader, writer):
        head = await reader.readuntil(b'\r\n\r\n')
        method, path, _ = head.split(b'\r\n', 1)[0].decode().split(' ')
        length = next((int(line.split(b':')[1]) for line in head.split(b'\r\n') if line.lower().startswith(b'content-length:')), 0)
        body = await reader.readexactly(length)
        if path.startswith('/v1/link/stream'):
            await self.serve_stream(path, Stream(self, reader, writer))
            return False
        answer = await self.serve_report(json.loads(body)) if path == '/v1/link/report' else None
        status, text = answer or await self.pass_on(method, path, body)
        writer.write(b'HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n' % (status, len(text)) + text)
        await writer.drain()
        return True

    async def serve_stream(self, path, stream):
        self.connects.append(time.monotonic())
        self.stream, self.granted = stream, 0
        try:
            if self.plays:
                await self.plays.pop(0)(stream)
            else:
                await self.pass_stream(path, stream)
        finally:
            stream.real, stream.gone = False, True

    async def serve_report(self, report):
        self.reports.append((time.monotonic(), report['granted'], len(report['items'])))
        self.granted = report['granted']
        for item in report['items']:
            self.items.setdefault(item['id'], []).append((item['is'], item.get('why')))
        answer = self.on_report(report) if self.on_report else None
        answer = await answer if asyncio.iscoroutine(answer) else answer
        return answer if answer or self.stream.passing else (200, b'{"confirmed":[],"late":[]}')

    # -- what is passed on --
    async def connect(self, method, path, body=b''):
        reader, writer = await asyncio.open_connection('127.0.0.1', self.site.port, ssl=self.tls_up, limit=4 << 20)
        writer.write(f'{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.site.port}\r\nConnection: close\r\n'
                     f'Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n'.encode() + body)
        try:
            head = await reader.readuntil(b'\r\n\r\n')
        except BaseException:
            writer.transport.abort()
            raise
        chunked = b'transfer-encoding: chunked' in head.lower()
        return int(head.split(b' ')[1]), chunked, reader, writer

    async def pass_on(self, method, path, body):
        status, chunked, reader, writer = await self.connect(method, path, body)
        try:
            text = await (self.chunks(reader) if chunked else reader.read())
        finally:
            writer.transport.abort()
        if path == '/v1/link/report' and status == 200:
            if self.stream:
                self.stream.real = True
            if self.on_answer:
                text = json.dumps(self.on_answer(json.loads(text))).encode()
        return status, text

    async def chunks(self, reader):
        text = b''
        while piece := await self.chunk(reader):
            text += piece
        return text

    async def chunk(self, reader):
        length = int(await reader.readuntil(b'\r\n'), 16)
        return (await reader.readexactly(length + 2))[:-2]

    async def pass_stream(self, path, stream):
        status, chunked, reader, writer = await self.connect('GET', path)
        if status != 200 or not chunked:
            writer.transport.abort()
            raise ConnectionError(f'the real relay answers the stream with {status}')
        stream.passing = True
        await stream.send(STREAM_HEAD)
        down, up = (asyncio.ensure_future(x) for x in (self.pass_events(reader, stream), stream.closed(600)))
        try:
            await asyncio.wait({down, up}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            down.cancel()
            up.cancel()
            await asyncio.gather(down, up, return_exceptions=True)
            writer.transport.abort()  # at once, not after a TLS farewell that the peer may not return

    async def pass_events(self, reader, stream):
        text = b''
        while piece := await self.chunk(reader):
            text += piece
            while b'\n\n' in text:
                one, text = text.split(b'\n\n', 1)
                await stream.send(self.alter(stream, one + b'\n\n'))

    def alter(self, stream, raw):
        if raw.startswith(b'event: hello\n'):
            data = json.loads(raw.split(b'data: ', 1)[1])
            return event('hello', {**data, 'reconnect': RECONNECT})
        if raw.startswith(b'event: request\n'):
            id_, _, budget, trace, sealed = raw.split(b'data: ', 1)[1].decode().strip('\n').split(' ', 4)
            stream.seq += 1
            data = {'id': id_, 'seq': stream.seq, 'budget': int(budget), 'trace': trace, 'sealed': sealed}
            return self.on_request(stream, data) if self.on_request else event('request', data)
        return raw
