"""A network with a way that is long and loses packets, though this kernel has no netem: a TUN device whose program gives each packet back with
its two addresses exchanged, later, or not at all. Whoever connects to FAR speaks to what listens on NEAR, and the way between them is that.

slow_network.py NAME DELAY_MS PERCENT      the program: each way takes so long, and so many of a hundred packets are lost on each
"""
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

NEAR, FAR = '10.99.0.1', '10.99.0.2'
NEAR6, FAR6 = 'fd99::1', 'fd99::2'
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
PACKET_MAX = 65536


class SlowWay:
    """Lasts as long as it is entered. Needs root and a network namespace of its own."""

    def __init__(self, delay_ms, percent, name='slow0'):
        self.argv = [sys.executable, '-B', os.path.abspath(__file__), name, str(delay_ms), str(percent)]

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != 'ready\n':
            raise RuntimeError('no TUN device')
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        print(f'  the way: {self.process.stdout.read().strip()}', flush=True)
        self.process.wait(30)


def exchanged(packet):
    """The sums of IP, TCP and UDP stay right: they add the same words."""
    if packet[0] >> 4 == 4:
        return packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
    return packet[:8] + packet[24:40] + packet[8:24] + packet[40:]


def main(name, delay_ms, percent):
    tun = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH', name.encode(), IFF_TUN | IFF_NO_PI))
    for words in (['addr', 'add', f'{NEAR}/24', 'dev', name], ['-6', 'addr', 'add', f'{NEAR6}/64', 'dev', name, 'nodad'],
                  ['link', 'set', name, 'up']):
        subprocess.run(['ip', *words], check=True)
    print('ready', flush=True)
    delay, loss, dice, queue, n, lost = int(delay_ms) / 1000, float(percent) / 100, random.Random(7), [], 0, 0
    while True:
        wait = max(0, queue[0][0] - time.monotonic()) if queue else None
        ready, _, _ = select.select([tun, sys.stdin], [], [], wait)
        if sys.stdin in ready:
            break
        while tun in ready:
            try:
                packet = os.read(tun, PACKET_MAX)
            except BlockingIOError:
                break
            n += 1
            if dice.random() < loss:
                lost += 1
            else:
                heapq.heappush(queue, (time.monotonic() + delay, n, exchanged(packet)))
        while queue and queue[0][0] <= time.monotonic():
            os.write(tun, heapq.heappop(queue)[2])
    print(f'{n} packets, {lost} lost', flush=True)


if __name__ == '__main__':
    main(*sys.argv[1:])
