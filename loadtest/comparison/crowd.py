"""Users with think times in one epoll loop, which knows within a tenth of a millisecond when an answer came; for moments,
where locust is for minutes. A request without its answer has failed; nobody retries, but asks again after the wait."""

import errno
import heapq
import json
import select
import socket
import time
from urllib.parse import urlsplit

KNOCK_EVERY = 0.001
BROKEN = {errno.ECONNRESET: "reset", errno.EPIPE: "reset", errno.ECONNREFUSED: "refused"}


def broken(number):
    return BROKEN.get(number, errno.errorcode.get(number, str(number)))


class User:
    def __init__(self):
        self.connection, self.is_connecting, self.asked, self.received = None, False, None, b""


class Crowd:
    """rows: (moment of the answer, milliseconds, error or None), on the clock of time.monotonic."""

    def __init__(self, url, wanted, users):
        where = urlsplit(url)
        self.address = (where.hostname, where.port or 80)
        self.request = f"GET {wanted['path']} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n".encode()
        self.result = wanted["result"]
        self.wait, self.timeout = wanted["wait_ms"] / 1000, wanted["timeout_s"]
        self.epoll, self.by_fd, self.rows = select.epoll(), {}, []
        now = time.monotonic()
        # Not all at the same instant.
        self.due = [(now + number * self.wait / users, number) for number in range(users)]
        self.users = [User() for _ in range(users + 1)]
        self.knocker, self.knock_until = users, 0.0

    def knock_for(self, seconds):
        """One more comes, who tries again at once for that long and until there is an answer then: else, where all users have
        failed, their waits would hide how soon there could be one. Of that one only answers are on record."""
        self.knock_until = time.monotonic() + seconds
        heapq.heappush(self.due, (time.monotonic(), self.knocker))

    def has_asked_before(self, moment):
        """Whether somebody has waited since then."""
        return any(user.asked is not None and user.asked < moment for user in self.users)

    def run(self, seconds):
        self.run_until(lambda: False, seconds)

    def run_until(self, condition, seconds):
        """Until the condition, which is looked at after each event, or the time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not condition():
            self.begin_due()
            self.take(min(end, self.due[0][0] if self.due else end) - time.monotonic())
            self.give_up_late()

    def take(self, seconds):
        for fd, _ in self.epoll.poll(max(0.0, seconds)):
            if fd in self.by_fd:
                self.look(self.by_fd[fd])

    def begin_due(self):
        while self.due and self.due[0][0] <= time.monotonic():
            self.ask(heapq.heappop(self.due)[1])

    def ask(self, number):
        user = self.users[number]
        user.asked, user.received = time.monotonic(), b""
        if user.connection is None:
            self.connect(number)
        else:
            self.send(number)

    def connect(self, number):
        """Begins it: nobody waits for another's connection, which to a pod that is gone may take long."""
        user = self.users[number]
        user.connection, user.is_connecting = socket.socket(), True
        user.connection.setblocking(False)
        user.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.by_fd[user.connection.fileno()] = number
        self.epoll.register(user.connection, select.EPOLLOUT)
        problem = user.connection.connect_ex(self.address)
        if problem not in (0, errno.EINPROGRESS):
            self.settle(number, broken(problem))

    def send(self, number):
        try:
            self.users[number].connection.sendall(self.request)
        except OSError as error:
            self.settle(number, broken(error.errno))

    def look(self, number):
        user = self.users[number]
        if not user.is_connecting:
            self.read(number)
        elif problem := user.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self.settle(number, broken(problem))
        else:
            user.is_connecting = False
            self.epoll.modify(user.connection, select.EPOLLIN)
            self.send(number)

    def read(self, number):
        user = self.users[number]
        try:
            piece = user.connection.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            piece, problem = b"", broken(error.errno)
        else:
            problem = "closed"
        user.received += piece
        if not piece:
            self.hang_up(number)
            if user.asked is not None:
                self.settle(number, problem)
        elif is_whole(user.received):
            self.judge(number)

    def judge(self, number):
        user = self.users[number]
        head, _, body = user.received.partition(b"\r\n\r\n")
        status = head.split(b" ", 2)[1]
        error = None if status == b"200" else f"status {status.decode()}"
        if error is None and json.loads(body).get("result") != self.result:
            error = "wrong answer"
        if b"connection: close" in head.lower():
            self.hang_up(number)
        self.settle(number, error)

    def settle(self, number, error):
        user, now = self.users[number], time.monotonic()
        wait = self.wait
        if number == self.knocker:
            wait = KNOCK_EVERY if error or now < self.knock_until else None
        if number != self.knocker or not error:
            self.rows.append((now, (now - user.asked) * 1000, error))
        user.asked = None
        if error:
            self.hang_up(number)
        if wait is not None:
            heapq.heappush(self.due, (now + wait, number))

    def hang_up(self, number):
        user = self.users[number]
        if user.connection is not None:
            del self.by_fd[user.connection.fileno()]
            user.connection.close()
            user.connection = None

    def give_up_late(self):
        late = time.monotonic() - self.timeout
        for number, user in enumerate(self.users):
            if user.asked is not None and user.asked < late:
                self.settle(number, "timeout")

    def leave(self):
        for number in range(len(self.users)):
            self.hang_up(number)
        self.epoll.close()


def is_whole(received):
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return False
