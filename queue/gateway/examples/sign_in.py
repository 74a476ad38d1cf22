"""Asks postern-gateway whether a password is right: sign_in.py SOCKET USER, the password on standard input."""
import http.client, json, socket, sys  # noqa: E401


class Gateway(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.host)


gateway = Gateway(sys.argv[1], timeout=20)  # above the gateway's budget_ms
gateway.request('POST', '/v1/sign-in', json.dumps({'username': sys.argv[2], 'password': sys.stdin.readline().rstrip('\n')}),
                {'Host': 'localhost', 'Content-Type': 'application/json'})
answer = gateway.getresponse()
said = json.load(answer)
if answer.status != 200:  # nobody was asked: a fault, and never a wrong password
    sys.exit(f"unavailable: {said['title']}")
if said['verdict'] == 'accepted':
    print(said['user']['domain'], said['user']['id'])  # the account: key it by both
else:
    sys.exit(f"{said['verdict']}: {said['text']} ({said['id']})")
