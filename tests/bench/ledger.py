"""How long the helpdesk waits for the ledger: explain, log and what they ask besides, at a million records.

usage: ledger.py BUILD_DIR SOURCE_DIR [ROWS]     prints the median and 95 of 100 in ms for each question; 1 where one takes over 300 ms

A real postern-ledger with its own schema; the rows are put into its database by SQL. Warm: each question is asked before it counts.
"""
import hashlib
import hmac
import json
import os
import random
import socket
import sqlite3
import sys
import time

BUILD, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
ROWS = int(sys.argv[3]) if len(sys.argv) > 3 else 1000000
USERS, DAYS, EACH, LIMIT_MS = 50000, 30, 60, 300
sys.argv[1:] = [BUILD, SOURCE]
sys.path.insert(0, os.path.join(SOURCE, 'tests', 'connector', 'ledger'))
from test_ledger import LedgerTest  # noqa: E402

def keyed(text):
    return hmac.new(b'k' * 32, text.lower().encode(), hashlib.sha256).hexdigest()[:32]


# One in twenty is the busiest user's, as of an application that signs in again and again.
FILL = """
WITH RECURSIVE series(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM series WHERE i + 1 < :rows),
  drawn AS MATERIALIZED (SELECT i, CASE WHEN i % 20 = 0 THEN 0 ELSE abs(random()) % :users END u, abs(random()) % 100 < 93 ok FROM series)
INSERT INTO records(id, wall, user, user_hash, service, client_ip, client_app, verdict, class, reason, password_proved, may_have_counted,
  user_id, account, upn, sam, domain, dc, method, ms_opened, ms_dc, ms_total)
SELECT hex(randomblob(13)), :since + i * :seconds / :rows, name, hash, 'svc-portal-6WJ9BHCF', '192.0.2.' || u % 250, 'app ' || u % 7,
  iif(ok, 'accepted', 'refused'), iif(ok, 'none', 'credentials'), iif(ok, 'ok', 'wrong_password'), ok, iif(ok, '0', '1'), iif(ok, sid, NULL),
  iif(ok, account, NULL), iif(ok, name, NULL), iif(ok, 'user' || u, NULL), iif(ok, 'corp.example', NULL), 'dc' || i % 3, 'krb5', 1,
  abs(random()) % 50 + 5, abs(random()) % 50 + 60
FROM drawn JOIN u ON u.n = drawn.u ORDER BY i
"""


def fill(path):
    users, now = [(f'user{n}.name@corp.example', f'S-1-5-21-1-2-3-{n + 2000}') for n in range(USERS)], int(time.time())
    db = sqlite3.connect(path)
    db.execute('PRAGMA synchronous = OFF')
    db.execute('CREATE TEMP TABLE u(n INTEGER PRIMARY KEY, name, sid, hash, account)')
    db.executemany('INSERT INTO u VALUES(?,?,?,?,?)', ((i, n, s, keyed(n), keyed(s)) for i, (n, s) in enumerate(users)))
    db.execute(FILL, {'rows': ROWS, 'users': USERS, 'since': now - DAYS * 86400 + 3600, 'seconds': DAYS * 86400 - 3600})
    db.execute('INSERT OR REPLACE INTO names SELECT name, name, account, hash, ? FROM u', (now,))
    db.execute("INSERT OR REPLACE INTO deliveries SELECT id, 'confirmed', wall FROM records ORDER BY id")
    db.commit()
    ids = [row[0] for row in db.execute('SELECT id FROM records WHERE rowid % ? = 7', (ROWS // EACH,))]
    db.close()
    return ids, users, now


def ask(path, **request):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(json.dumps(request).encode() + b'\n')
        data = b''
        while not data.endswith(b'\n'):
            data += s.recv(1 << 20)
    answer = json.loads(data)
    assert answer['ok'], answer
    return answer


def main():
    test = LedgerTest('test_nothing_found')
    test.setUp()
    try:
        test.kill()
        ids, users, now = fill(os.path.join(test.db_dir, 'ledger.db'))
        test.start()
        draw = random.Random(2)
        some = [users[draw.randrange(USERS)] for _ in range(EACH)]
        back = [now - draw.randrange(86400 * (DAYS - 1)) for _ in range(EACH)]
        questions = {
            'explain, by id': [dict(do='explain', what=i) for i in ids],
            'explain, by the beginning of an id': [dict(do='explain', what=i[:10]) for i in ids],
            'explain, by name': [dict(do='explain', what=n) for n, _ in some],
            'explain, by SID': [dict(do='explain', what=sid) for _, sid in some],
            'explain, the busiest user': [dict(do='explain', what=users[0][0])] * EACH,
            'log': [dict(do='log', limit=500)] * EACH,
            'log, at a time': [dict(do='log', since=t - 900, until=t + 900) for t in back],
            'log, a user': [dict(do='log', user=n, limit=500) for n, _ in some],
            'log, the busiest user': [dict(do='log', user=users[0][0], limit=500)] * EACH,
            'log, refused, at a time': [dict(do='log', verdict='refused', since=t - 900, until=t + 900) for t in back],
            'log, a name that is like others': [dict(do='log', user=n.replace('name', 'nmae')) for n, _ in some],
            'slow, an hour': [dict(do='slow', since=t - 3600, until=t) for t in back],
            'unusual, a day': [dict(do='unusual', since=t - 86400, until=t) for t in back],
            'status': [dict(do='status')] * EACH,
        }
        worst = 0
        print(f'{ROWS} records of {USERS} users in {DAYS} days, {EACH} times each, ms')
        for name, requests in questions.items():
            for request in requests[:5]:
                ask(test.socket, **request)
            took = []
            for request in requests:
                began = time.monotonic()
                ask(test.socket, **request)
                took.append((time.monotonic() - began) * 1000)
            took.sort()
            p95 = took[len(took) * 95 // 100]
            worst = max(worst, p95)
            print(f'{name:36} {took[len(took) // 2]:8.1f} {p95:8.1f}', flush=True)
        return 1 if worst > LIMIT_MS else 0
    finally:
        test.doCleanups()


if __name__ == '__main__':
    sys.exit(main())
