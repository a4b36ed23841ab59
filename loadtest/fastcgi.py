"""A FastCGI client of a few lines, to ask a worker without a web server in between."""

import socket
import struct


def record(kind, content):
    return struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content


def request(query):
    pairs = {"REQUEST_METHOD": "GET", "PATH_INFO": "/compute", "SCRIPT_NAME": "", "QUERY_STRING": query}
    params = b"".join(
        bytes([len(name), len(value)]) + name.encode() + value.encode() for name, value in pairs.items())
    begin = record(1, struct.pack(">HB5x", 1, 0))
    return begin + record(4, params) + record(4, b"") + record(5, b"")


def ask(path, query="n=1"):
    """Sends one request to the Unix socket at path and returns all that comes back."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(request(query))
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer
