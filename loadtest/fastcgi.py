"""A FastCGI client of a few lines, to ask a worker without a web server in between."""

import socket
import struct

BEGIN, END, PARAMS, STDIN, STDOUT, GET_VALUES = 1, 3, 4, 5, 6, 9
KEEP_CONNECTION = 1


def record(kind, content, request_id=1):
    return struct.pack(">BBHHBx", 1, kind, request_id, len(content), 0) + content


def pairs(variables):
    return b"".join(bytes([len(name), len(value)]) + name.encode() + value.encode() for name, value in variables.items())


def request(query="", path="/compute", method="GET", flags=0, variables=None):
    """variables: what is to be among the PARAMS besides."""
    variables = {"REQUEST_METHOD": method, "PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": query, **(variables or {})}
    begin = record(BEGIN, struct.pack(">HB5x", 1, flags))
    return begin + record(PARAMS, pairs(variables)) + record(PARAMS, b"") + record(STDIN, b"")


def get_values():
    """The question how many connections and requests the responder takes; a web server may ask it first."""
    return record(GET_VALUES, pairs({"FCGI_MAX_CONNS": "", "FCGI_MPXS_CONNS": ""}), request_id=0)


def parse(received):
    """Returns (what was written to STDOUT, number of bytes up to the end of the answer); the number is None before that."""
    output, at = b"", 0
    while len(received) - at >= 8:
        _, kind, _, length, padding = struct.unpack_from(">BBHHB", received, at)
        end = at + 8 + length + padding
        if end > len(received):
            break
        if kind == STDOUT:
            output += received[at + 8:at + 8 + length]
        at = end
        if kind == END:
            return output, at
    return output, None


def split(output):
    """(status, body) of what a CGI program writes."""
    head, _, body = output.partition(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"status:"):
            return int(line.split()[1]), body
    return 200, body


def ask(path, query="n=1"):
    """Sends one request to the Unix socket at path and returns all that comes back."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(request(query))
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer
