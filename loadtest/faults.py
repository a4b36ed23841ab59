"""What tests/fixtures/fail.c is told, and what it tells: system calls of the pool that fail now and then."""

import ctypes
import errno
import mmap
from pathlib import Path

# In the order of enum function in tests/fixtures/fail.c.
FUNCTIONS = ["accept4", "clone", "epoll_create1", "epoll_ctl", "epoll_wait", "ftruncate", "memfd_create", "poll", "pread", "pwrite", "read",
             "recv", "recvmsg", "send", "sendfile", "sendmsg", "signalfd", "write", "writev"]
EVENTS_MAX = 262144


class Rule(ctypes.Structure):
    _fields_ = [("per_million", ctypes.c_uint32), ("error", ctypes.c_int32), ("calls", ctypes.c_uint64),
                ("failed", ctypes.c_uint64)]


class Event(ctypes.Structure):
    _fields_ = [("at_ns", ctypes.c_uint64), ("pid", ctypes.c_int32), ("fd", ctypes.c_int32), ("function", ctypes.c_uint32),
                ("error", ctypes.c_int32), ("peer", ctypes.c_char * 32), ("is_done", ctypes.c_uint32),
                ("unused", ctypes.c_uint32)]


class Control(ctypes.Structure):
    _fields_ = [("seed", ctypes.c_uint64), ("events", ctypes.c_uint64), ("rules", Rule * len(FUNCTIONS)),
                ("log", Event * EVENTS_MAX)]


class Failure:
    """A call that was made to fail for a peer: at (time.monotonic()), what, the peer's name ("-": none, "?": unknown)."""

    def __init__(self, event):
        self.at = event.at_ns / 1e9
        self.pid = event.pid
        self.function = FUNCTIONS[event.function]
        self.what = f"{self.function} {errno.errorcode[event.error]}"
        self.peer = event.peer.decode()


class Faults:
    """The shim's control file at path; environment has to be in the pool's."""

    def __init__(self, shim, path, seed):
        Path(path).write_bytes(b"")
        with open(path, "r+b") as file:
            file.truncate(ctypes.sizeof(Control))
            self.memory = mmap.mmap(file.fileno(), ctypes.sizeof(Control))
        self.control = Control.from_buffer(self.memory)
        self.control.seed = seed
        # The sanitizers want to be the first library, and may be the second as well.
        self.environment = {"LD_PRELOAD": str(shim), "FAIL_CONTROL": str(path), "ASAN_OPTIONS": "verify_asan_link_order=0"}

    def set(self, function, error, per_million):
        rule = self.control.rules[FUNCTIONS.index(function)]
        rule.error = getattr(errno, error)
        rule.per_million = per_million

    def clear(self, function):
        self.control.rules[FUNCTIONS.index(function)].per_million = 0

    def failed(self):
        """{function: how many of its calls were made to fail}, of those that were."""
        return {name: rule.failed for name, rule in zip(FUNCTIONS, self.control.rules) if rule.failed}

    def overflowed(self):
        return self.control.events > EVENTS_MAX

    def failures(self):
        return [Failure(event) for event in self.control.log[:min(self.control.events, EVENTS_MAX)] if event.is_done]
