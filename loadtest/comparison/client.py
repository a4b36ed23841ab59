"""One request on a connection of its own, timed by this process: where none is to be started, or many are to be made."""

import json
import socket
import time
from urllib.parse import urlsplit


class Failed(Exception):
    """No answer, or not the right one."""


def ask(url, path, timeout):
    """(body, milliseconds from the connect to the last byte)."""
    where = urlsplit(url)
    request = f"GET {path} HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n\r\n".encode()
    start, answer = time.perf_counter(), b""
    try:
        with socket.create_connection((where.hostname, where.port or 80), timeout=timeout) as connection:
            connection.sendall(request)
            while piece := connection.recv(65536):
                answer += piece
    except OSError as error:
        raise Failed(type(error).__name__) from None
    return answer, (time.perf_counter() - start) * 1000


def compute(url, path, timeout=60):
    """(milliseconds, what the server itself says it computed in milliseconds)."""
    answer, latency_ms = ask(url, path, timeout)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head:
        raise Failed("closed")
    return latency_ms, told(head[9:12].decode(errors="replace"), body)


def told(status, body):
    """The milliseconds that the server says it computed."""
    if status != "200":
        raise Failed(f"status {status}")
    try:
        return json.loads(body)["elapsed_us"] / 1000
    except (ValueError, KeyError, TypeError):
        raise Failed("wrong answer") from None
