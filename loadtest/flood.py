"""Very many connections from one process: epoll, no threads.

Each client sends its request, waits for the answer, and asks again. With a time limit it gives up, closes, and comes again at
once. All of them close at once at the end."""

import errno
import heapq
import resource
import select
import socket
import time
from collections import Counter, deque

import fastcgi

RETRY_SECONDS = 0.02  # after a connect(2) that a full backlog refused


def http_request(path, is_kept):
    close = "" if is_kept else "Connection: close\r\n"
    return f"GET {path} HTTP/1.1\r\nHost: test\r\n{close}\r\n".encode()


def parse_http(data):
    """Status of the answer once it is whole, else None."""
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return None
    at = head.lower().find(b"content-length:")
    length = int(head[at + 15:].split(b"\r\n")[0]) if at >= 0 else 0
    return int(head.split(b" ", 2)[1]) if len(body) >= length else None


def parse_fastcgi(data):
    output, end = fastcgi.parse(data)
    return None if end is None else fastcgi.split(output)[0]


class Target:
    """Where to, what to send, and how to know the answer."""

    def __init__(self, name, addresses, family, request, parse, is_kept):
        self.name, self.addresses, self.family = name, addresses, family
        self.request, self.parse, self.is_kept = request, parse, is_kept


def targets(servers, n):
    """{name: Target} of all ways to the pool."""
    http, work = [("127.0.0.1", servers.port)], [str(servers.socket), f"{servers.socket}.2"]
    path, query = f"/compute?n={n}", f"n={n}"
    kept = fastcgi.request(query, flags=fastcgi.KEEP_CONNECTION)
    return {target.name: target for target in (
        Target("HTTP fresh", http, socket.AF_INET, http_request(path, False), parse_http, False),
        Target("HTTP kept-alive", http, socket.AF_INET, http_request(path, True), parse_http, True),
        Target("FastCGI", work, socket.AF_UNIX, fastcgi.request(query), parse_fastcgi, False),
        Target("FastCGI kept", work, socket.AF_UNIX, kept, parse_fastcgi, True))}


class Client:
    __slots__ = ("connection", "data", "start", "turn", "answers")

    def __init__(self):
        self.connection, self.turn, self.answers = None, 0, 0


class Flood:
    """count clients against target for seconds; limit: seconds after which a client gives up, or None; rate: that many new
    clients a second instead (each asks once), or None."""

    def __init__(self, target, count, seconds, limit=None, rate=None, warm_up=0.0):
        self.target, self.count, self.seconds, self.limit, self.rate, self.warm_up = target, count, seconds, limit, rate, warm_up
        self.epoll = select.epoll()
        self.by_fd = {}
        self.outcomes = Counter()
        self.latencies = []
        self.deadlines = deque()   # (when, client, turn): in order, for all have the same limit
        self.retries = []          # heap of (when, number, client)
        self.connects = 0
        self.connected = set()

    # --- one client

    def begin(self, client):
        """A new request over a new connection."""
        client.connection = socket.socket(self.target.family)
        client.connection.setblocking(False)
        client.start = time.monotonic()
        client.answers = 0
        client.turn += 1
        if self.limit:
            self.deadlines.append((client.start + self.limit, client, client.turn))
        self.connect(client)

    def connect(self, client):
        addresses = self.target.addresses
        self.connects += 1
        code = client.connection.connect_ex(addresses[self.connects % len(addresses)])
        if code == errno.EAGAIN:
            self.outcomes["backlog full, tried again"] += 1
            heapq.heappush(self.retries, (time.monotonic() + RETRY_SECONDS, self.connects, client, client.turn))
        elif code in (0, errno.EINPROGRESS):
            client.data = b""
            self.by_fd[client.connection.fileno()] = client
            self.epoll.register(client.connection.fileno(), select.EPOLLOUT)
        else:
            self.end(client, "refused")

    def send(self, client):
        try:
            client.connection.send(self.target.request)
            self.connected.add(client.connection.fileno())
            self.epoll.modify(client.connection.fileno(), select.EPOLLIN)
        except OSError:
            self.broken(client, "refused")

    def broken(self, client, outcome):
        """A kept connection may be closed between two requests; the next one goes over a new one."""
        if client.answers and not client.data:
            self.outcomes["kept connection found closed"] += 1
            self.again(client)
        else:
            self.end(client, outcome)

    def receive(self, client):
        try:
            piece = client.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        client.data += piece
        status = self.target.parse(client.data)
        if status is not None:
            self.answered(client, status)
        elif not piece:
            self.broken(client, "reset")

    def answered(self, client, status):
        taken = time.monotonic() - client.start
        is_late = self.limit is not None and taken > self.limit
        if time.monotonic() >= self.begun + self.warm_up:
            self.outcomes[f"status {status}" if status != 200 else "answered too late" if is_late else "answered"] += 1
            self.latencies.append(taken)
        if not self.target.is_kept or b"onnection: close" in client.data or self.rate:
            self.again(client)
            return
        client.data, client.start, client.answers, client.turn = b"", time.monotonic(), client.answers + 1, client.turn + 1
        if self.limit:
            self.deadlines.append((client.start + self.limit, client, client.turn))
        self.send(client)

    def end(self, client, outcome):
        if time.monotonic() >= self.begun + self.warm_up:
            self.outcomes[outcome] += 1
        self.again(client)

    def hang_up(self, client):
        if client.connection:
            fd = client.connection.fileno()
            self.by_fd.pop(fd, None)
            self.connected.discard(fd)
            client.connection.close()
            client.connection = None
        client.turn += 1

    def again(self, client):
        self.hang_up(client)
        if self.rate is None:
            self.begin(client)

    # --- all of them

    def run_retries(self, now):
        while self.retries and self.retries[0][0] <= now:
            _, _, client, turn = heapq.heappop(self.retries)
            if client.turn == turn:
                self.connect(client)

    def run_deadlines(self, now):
        while self.deadlines and self.deadlines[0][0] <= now:
            _, client, turn = self.deadlines.popleft()
            if client.turn == turn:
                self.end(client, "gave up")

    def run_arrivals(self, now):
        while self.rate and self.arrived < (now - self.begun) * self.rate:
            self.arrived += 1
            self.begin(Client())

    def poll(self):
        for fd, events in self.epoll.poll(0.005, 1024):
            client = self.by_fd.get(fd)
            if client is None:
                continue
            if events & select.EPOLLOUT:
                self.send(client)
            else:
                self.receive(client)

    def run(self):
        """Returns what came of it, as a dictionary."""
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.begun, self.arrived = time.monotonic(), 0
        clients = [] if self.rate else [Client() for _ in range(self.count)]
        for i, client in enumerate(clients):
            self.begin(client)
            if i % 100 == 99:
                self.poll()
        while (now := time.monotonic()) < self.begun + self.seconds:
            self.run_arrivals(now)
            self.run_deadlines(now)
            self.run_retries(now)
            self.poll()
        outstanding, connected = len(self.by_fd), len(self.connected)
        for client in list(self.by_fd.values()):
            self.hang_up(client)
        return {"outcomes": dict(self.outcomes), "latencies": self.latencies, "outstanding": outstanding,
                "connected": connected, "closed_at": time.monotonic(),
                "per_second": self.outcomes["answered"] / (self.seconds - self.warm_up)}


def run_apart(flood):
    """Starts the flood in a process of its own, so that it disturbs no one's measurements; returns a function that waits for
    the result."""
    import multiprocessing
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=lambda: theirs.send(flood.run()), daemon=True)
    process.start()

    def wait():
        result = ours.recv()
        process.join()
        return result
    return wait
