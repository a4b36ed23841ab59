"""Clients that check each answer, and peers that misbehave: what loadtest/chaos lets loose on the stack.

A client asks one question after the other until it is told to stop, and writes down each that was not answered once and
rightly. Nobody retries by itself, so each failure is one request that a client has lost."""

import itertools
import json
import os
import random
import socket
import struct
import threading
import time
from collections import Counter

import fastcgi

ANSWER_SECONDS = 30
PAUSE_AFTER_FAILURE = 0.05


def fib(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a


class Question:
    """A request with a known answer."""

    def __init__(self, method, path, query, statuses, n=None):
        self.method, self.path, self.query, self.statuses, self.n = method, path, query, statuses, n

    @property
    def target(self):
        return self.path + ("?" + self.query if self.query else "")

    def judge(self, status, body):
        """What is wrong with that answer, or None."""
        if status not in self.statuses:
            return f"status {status}: {body[:200]!r}"
        if self.method == "HEAD":
            return f"a body for HEAD: {body[:200]!r}" if body else None
        if self.n is None:
            return None
        try:
            answer = json.loads(body)
            right = answer["n"] == self.n and answer["result"] == fib(self.n) and set(answer) == {"n", "result", "elapsed_us"}
        except (ValueError, KeyError, TypeError):
            right = False
        return None if right else f"wrong body for n={self.n}: {body[:200]!r}"


def compute(n, method="GET"):
    return Question(method, "/compute", f"n={n}", {200}, n)


def draw(dice):
    """Mostly cheap computations, some that take a millisecond, and now and then something else."""
    kind = dice.random()
    if kind < 0.02:
        return compute(dice.randint(0, 18), "HEAD")
    if kind < 0.04:
        return Question("GET", "/compute", "n=-1", {400})
    if kind < 0.06:
        return Question("GET", "/nothing", "", {404})
    if kind < 0.07:
        return Question("POST", "/compute", "", {405})
    if kind < 0.10:
        return compute(30)
    return compute(dice.randint(0, 25 if kind < 0.25 else 18))


ADMIN = [Question("GET", "/healthz", "", {200}), Question("GET", "/readyz", "", {200, 503}),
         Question("GET", "/metrics", "", {200}), Question("GET", "/status", "", {200}), Question("GET", "/status", "json", {200})]


class Lost:
    """A request that was not answered once and rightly."""

    def __init__(self, client, question, start, what):
        self.kind, self.through = client.kind, client.through
        self.peer = client.peer
        self.target = f"{question.method} {question.target}" if question else "-"
        self.method = question.method if question else None
        self.start, self.end, self.what = start, time.monotonic(), what
        self.since = min(start, client.connected_at)  # its connection may have been broken before it asked
        self.reason = None


class Ledger:
    """What became of all requests, by kind of client."""

    def __init__(self):
        self.lock = threading.Lock()
        self.right = Counter()
        self.seconds = {}
        self.lost = []
        self.notes = Counter()

    def add_right(self, kind, seconds):
        with self.lock:
            self.right[kind] += 1
            self.seconds.setdefault(kind, []).append(seconds)

    def add_lost(self, lost):
        with self.lock:
            self.lost.append(lost)

    def note(self, what):
        with self.lock:
            self.notes[what] += 1


class Broken(Exception):
    """The connection ended, or nothing came, before the answer was there."""


def receive(connection, so_far=b""):
    try:
        piece = connection.recv(65536)
    except TimeoutError:
        raise Broken(f"no answer in {ANSWER_SECONDS} s") from None
    except OSError as error:
        raise Broken(f"{type(error).__name__} after {len(so_far)} bytes") from None
    if not piece:
        raise Broken(f"closed after {len(so_far)} bytes")
    return so_far + piece


def send(connection, data):
    try:
        connection.sendall(data)
    except TimeoutError:
        raise Broken("nothing was read from us") from None
    except OSError:
        # The answer, or the end, may be there to be read all the same.
        pass


class Client(threading.Thread):
    """through: "lighttpd", "socket" or "admin"; peer: the name of our end, for tests/fixtures/fail.c to tell."""

    kind, through, longest_pause = "", "lighttpd", 0.015

    idents = itertools.count()

    def __init__(self, stack, ledger, stop, seed, number):
        super().__init__(daemon=True, name=f"{self.kind} {number}")
        self.stack, self.ledger, self.stop, self.client = stack, ledger, stop, next(self.idents)
        self.dice = random.Random(f"{seed} {self.kind} {number}")
        self.connection, self.peer, self.count, self.connected_at = None, "-", 0, time.monotonic()

    def run(self):
        while not self.stop.is_set():
            try:
                self.ask()
            except Exception as error:  # A bug of ours must be seen in the report, too.
                self.ledger.add_lost(Lost(self, None, time.monotonic(), f"the driver itself: {error!r}"))
            self.stop.wait(self.dice.uniform(0, self.longest_pause))
        self.hang_up()

    def hang_up(self):
        if self.connection:
            self.connection.close()
            self.connection = None

    def ask(self):
        question, start = draw(self.dice), time.monotonic()
        try:
            status, body = self.exchange(question)
        except Broken as broken:
            wrong = str(broken)
        else:
            wrong = question.judge(status, body)
        self.settle(question, start, wrong)

    def settle(self, question, start, wrong):
        if wrong is None:
            self.ledger.add_right(self.kind, time.monotonic() - start)
            return
        self.ledger.add_lost(Lost(self, question, start, wrong))
        self.hang_up()
        self.stop.wait(PAUSE_AFTER_FAILURE)


class Http(Client):
    fields = ""

    def connect(self):
        self.connected_at = time.monotonic()
        try:
            self.connection = socket.create_connection(("127.0.0.1", self.stack.port), timeout=ANSWER_SECONDS)
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise Broken(f"connect: {type(error).__name__}") from None

    def write_request(self, question):
        length = "Content-Length: 0\r\n" if question.method == "POST" else ""
        return f"{question.method} {question.target} HTTP/1.1\r\nHost: test\r\n{length}{self.fields}\r\n".encode()

    def send_request(self, question):
        send(self.connection, self.write_request(question))

    def exchange(self, question):
        if not self.connection:
            self.connect()
        self.send_request(question)
        data = b""
        while b"\r\n\r\n" not in data:
            data = receive(self.connection, data)
        head, body = data.split(b"\r\n\r\n", 1)
        lines = [line.lower() for line in head.split(b"\r\n")]
        length = sum(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
        while len(body) < length and question.method != "HEAD":
            body = receive(self.connection, body)
        if b"connection: close" in lines:
            self.hang_up()
        if len(body) > length or (question.method == "HEAD" and body):
            raise Broken(f"more than one answer: {body[-200:]!r}")
        return int(lines[0].split()[1]), body


class Kept(Http):
    kind = "HTTP/1.1 kept-alive"


class Fresh(Http):
    kind, fields = "HTTP/1.1 fresh", "Connection: close\r\n"

    def exchange(self, question):
        self.hang_up()
        answer = super().exchange(question)
        self.hang_up()
        return answer


class SlowHead(Http):
    """Sends its request a few bytes at a time, to lighttpd."""

    kind, longest_pause = "HTTP/1.1 slow sender", 0.2

    def send_request(self, question):
        self.hang_up()
        self.connect()
        data = self.write_request(question)
        for at in range(0, len(data), 4):
            send(self.connection, data[at:at + 4])
            time.sleep(self.dice.uniform(0, 0.06))


class AsksAdmin:
    """Before a client: it asks for the admin paths."""

    def ask(self):
        question, start = self.dice.choice(ADMIN), time.monotonic()
        try:
            wrong = question.judge(*self.exchange(question))
        except Broken as broken:
            wrong = str(broken)
        self.settle(question, start, wrong)


class AdminHttp(AsksAdmin, Kept):
    kind, longest_pause = "admin paths through lighttpd", 0.2


H2_DATA, H2_HEADERS, H2_RESET, H2_SETTINGS, H2_PING, H2_GOAWAY, H2_WINDOW = 0, 1, 3, 4, 6, 7, 8
H2_STATUS = {0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500}


class Http2(Http):
    """Some requests at once on one connection (RFC 9113), with the simplest of header blocks (RFC 7541)."""

    kind, at_once, longest_pause = "HTTP/2", 4, 0.002

    def frame(self, kind, flags, stream, payload=b""):
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload

    def connect(self):
        super().connect()
        self.next_stream, self.buffer, self.open, self.is_closing = 1, b"", {}, False
        send(self.connection, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.frame(H2_SETTINGS, 0, 0))

    def begin(self):
        question = compute(self.dice.randint(0, 20))
        target = question.target.encode()
        block = b"\x82\x86" + b"\x04" + bytes([len(target)]) + target + b"\x01\x04test"
        send(self.connection, self.frame(H2_HEADERS, 0x5, self.next_stream, block))
        self.open[self.next_stream] = [question, time.monotonic(), None, b""]
        self.next_stream += 2

    def ask(self):
        try:
            if not self.connection:
                self.connect()
            while len(self.open) < self.at_once and not self.is_closing:
                self.begin()
            self.receive_frame()
            while self.stop.is_set() and self.open:
                self.receive_frame()
        except Broken as broken:
            self.give_up(str(broken))
        if self.connection and self.is_closing and not self.open:
            self.hang_up()

    def give_up(self, what):
        for question, start, _, _ in list(getattr(self, "open", {}).values()):
            self.ledger.add_lost(Lost(self, question, start, what))
        if not getattr(self, "open", {}):
            self.ledger.add_lost(Lost(self, None, time.monotonic(), what))
        self.open = {}
        self.hang_up()
        self.stop.wait(PAUSE_AFTER_FAILURE)

    def take(self, size):
        while len(self.buffer) < size:
            self.buffer = receive(self.connection, self.buffer)
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def receive_frame(self):
        head = self.take(9)
        payload = self.take(int.from_bytes(head[:3], "big"))
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        if kind == H2_SETTINGS and not flags & 1:
            send(self.connection, self.frame(H2_SETTINGS, 1, 0))
        elif kind == H2_PING and not flags & 1:
            send(self.connection, self.frame(H2_PING, 1, 0, payload))
        elif kind == H2_GOAWAY:
            self.go_away(int.from_bytes(payload[:4], "big"))
        elif stream in self.open:
            self.receive_on(stream, kind, flags, payload)

    def go_away(self, last):
        """What the server has not begun is no request yet; it is for the client to ask again."""
        self.is_closing = True
        for stream in [one for one in self.open if one > last]:
            del self.open[stream]
            self.ledger.note("HTTP/2 streams that came after a GOAWAY, to be asked again")

    def receive_on(self, stream, kind, flags, payload):
        entry = self.open[stream]
        if kind == H2_HEADERS and entry[2] is None:
            # Without the state of HPACK's tables: a change of the table's size may come first, then :status.
            block = payload.lstrip(bytes(range(0x20, 0x40)))
            entry[2] = H2_STATUS.get(block[0], "other than of the common ones")
        elif kind == H2_DATA:
            entry[3] += payload
            if payload:
                send(self.connection, self.frame(H2_WINDOW, 0, 0, struct.pack(">I", len(payload))))
        elif kind == H2_RESET:
            self.finish(stream, f"stream reset, error {int.from_bytes(payload[:4], 'big')}")
            return
        if kind in (H2_DATA, H2_HEADERS) and flags & 1:
            self.finish(stream, entry[0].judge(entry[2], entry[3]))

    def finish(self, stream, wrong):
        question, start, _, _ = self.open.pop(stream)
        if wrong is None:
            self.ledger.add_right(self.kind, time.monotonic() - start)
        else:
            self.ledger.add_lost(Lost(self, question, start, wrong))


class FastCgi(Client):
    """Asks the pool past lighttpd, as a web server would: hangs up when it has its answer."""

    kind, through, flags, waits_for_close = "FastCGI", "socket", 0, False

    def connect(self):
        self.connected_at = time.monotonic()
        self.count += 1
        # No other run on this machine may have it.
        self.peer = f"{os.getpid()}-{self.client}-{self.count}"
        self.connection = socket.socket(socket.AF_UNIX)
        self.connection.settimeout(ANSWER_SECONDS)
        self.connection.bind(f"\0{self.peer}")
        path = self.stack.admin if self.through == "admin" else f"{self.stack.socket}{self.dice.choice(['', '.2'])}"
        try:
            self.connection.connect(str(path))
        except OSError as error:
            raise Broken(f"connect: {type(error).__name__}") from None

    def send_request(self, data):
        send(self.connection, data)

    def receive_answer(self):
        data, length = b"", None
        while length is None:
            data = receive(self.connection, data)
            output, length = fastcgi.parse(data)
        if self.waits_for_close:
            try:
                while True:
                    data = receive(self.connection, data)
            except Broken:
                pass
        if len(data) > length:
            raise Broken(f"answered twice: {data[length:length + 200]!r}")
        return fastcgi.split(output)

    def exchange(self, question):
        self.connect()
        self.send_request(fastcgi.request(question.query, question.path, question.method, self.flags))
        answer = self.receive_answer()
        self.hang_up()
        return answer


class FastCgiToTheEnd(FastCgi):
    """Waits until the pool closes."""

    kind, waits_for_close = "FastCGI, reads to the end", True


class FastCgiKept(FastCgi):
    """Asks that the connection be kept; where it is, the next request goes over it. One that the pool has closed since is found
    out by the write, which fails: then the request goes over a new one. Once it was written, an answer is due."""

    kind, flags = "FastCGI, kept", fastcgi.KEEP_CONNECTION

    def exchange(self, question):
        data = fastcgi.request(question.query, question.path, question.method, self.flags)
        if self.connection:
            try:
                self.connection.sendall(data)
            except OSError:
                self.ledger.note("kept FastCGI connections found closed before a request was sent")
                self.hang_up()
            else:
                answer = self.receive_answer()
                self.ledger.note("FastCGI answers over a connection that was kept")
                return answer
        self.connect()
        self.send_request(data)
        return self.receive_answer()


class FastCgiPieces(FastCgi):
    kind, longest_pause = "FastCGI in pieces", 0.1

    def send_request(self, data):
        cuts = sorted(self.dice.randrange(1, len(data)) for _ in range(self.dice.randint(1, 4)))
        for start, end in zip([0, *cuts], [*cuts, len(data)]):
            send(self.connection, data[start:end])
            if end < len(data):
                time.sleep(self.dice.uniform(0, 0.1))


class FastCgiSlow(FastCgi):
    kind, longest_pause = "FastCGI a byte at a time", 0.1

    def send_request(self, data):
        for byte in data:
            send(self.connection, bytes([byte]))
            time.sleep(self.dice.uniform(0, 0.012))


class FastCgiValues(FastCgi):
    kind, longest_pause = "FastCGI with GET_VALUES first", 0.1

    def send_request(self, data):
        send(self.connection, fastcgi.get_values() + data)


class Probe(AsksAdmin, FastCgi):
    kind, through, longest_pause = "admin socket", "admin", 0.1


class BadPeer(Client):
    """Misbehaves in one of many ways; nothing is due to it, and nobody may notice it."""

    kind, longest_pause = "bad peers", 0.05

    def ask(self):
        self.held = [(until, peer) for until, peer in getattr(self, "held", []) if not self.is_over(until, peer)]
        self.dice.choice([self.silent, self.half, self.garbage, self.leave, self.leave_in_the_middle, self.leave_half_way,
                          self.never_read, self.http_half, self.http_garbage, self.http_leave])()
        self.ledger.note("bad peers")

    def hang_up(self):
        for _, peer in getattr(self, "held", []):
            peer.close()
        self.held = []

    @staticmethod
    def is_over(until, peer):
        if time.monotonic() < until:
            return False
        peer.close()
        return True

    def say(self, data, family=socket.AF_UNIX, hold=0.0):
        peer = socket.socket(family)
        peer.setblocking(False)
        try:
            peer.connect(("127.0.0.1", self.stack.port) if family == socket.AF_INET else str(self.stack.socket))
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            pass
        try:
            peer.send(data)
        except OSError:
            pass
        if hold:
            self.held.append((time.monotonic() + hold, peer))
        else:
            peer.close()

    def silent(self):
        self.say(b"", hold=self.dice.uniform(0, 7))

    def half(self):
        data = fastcgi.request("n=5")
        self.say(data[:self.dice.randrange(1, len(data))], hold=self.dice.uniform(0, 7))

    def garbage(self):
        self.say(self.dice.randbytes(self.dice.randint(1, 2000)), hold=self.dice.uniform(0, 2))

    def leave(self):
        self.say(fastcgi.request("n=20"))

    def leave_in_the_middle(self):
        """While a worker computes, mostly: the answer then finds nobody."""
        for _ in range(5):
            self.say(fastcgi.request("n=25"), hold=0.0001)
            time.sleep(self.dice.uniform(0, 0.0005))
            self.held.pop()[1].close()

    def leave_half_way(self):
        data = fastcgi.request("n=20")
        self.say(data[:self.dice.randrange(1, len(data))])

    def never_read(self):
        self.say(fastcgi.get_values() * 50 + fastcgi.request("n=20"), hold=self.dice.uniform(0, 3))

    def http_half(self):
        self.say(b"GET /compute?n=5 HTTP/1.1\r\nHo", socket.AF_INET, hold=self.dice.uniform(0, 7))

    def http_garbage(self):
        self.say(self.dice.randbytes(self.dice.randint(1, 2000)), socket.AF_INET, hold=self.dice.uniform(0, 2))

    def http_leave(self):
        self.say(b"GET /compute?n=25 HTTP/1.1\r\nHost: test\r\n\r\n", socket.AF_INET)


# How many of each kind make the load.
CROWD = [(Kept, 6), (Fresh, 4), (Http2, 2), (SlowHead, 2), (AdminHttp, 1), (FastCgi, 4), (FastCgiToTheEnd, 2), (FastCgiKept, 3),
         (FastCgiPieces, 3), (FastCgiSlow, 2), (FastCgiValues, 2), (Probe, 2), (BadPeer, 3)]


class Crowd:
    def __init__(self, stack, seed):
        self.ledger, self.stop = Ledger(), threading.Event()
        self.clients = [kind(stack, self.ledger, self.stop, seed, i) for kind, count in CROWD for i in range(count)]

    def start(self):
        for client in self.clients:
            client.start()

    def disperse(self):
        """Lets all have the answers that they wait for; a client that hangs is a lost request by itself."""
        self.stop.set()
        end = time.monotonic() + ANSWER_SECONDS + 5
        for client in self.clients:
            client.join(max(0.1, end - time.monotonic()))
            if client.is_alive():
                self.ledger.add_lost(Lost(client, None, time.monotonic(), "the client hangs"))
