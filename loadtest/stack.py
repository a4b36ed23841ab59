"""The pool and lighttpd, started from conf/lighttpd/fibcgi.conf as it stands, all under one CPU quota."""

import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
LIGHTTPD = ["lighttpd", "-D", "-f", REPO / "conf/lighttpd/fibcgi.conf"]


def wait_until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("a server did not start in time")
        time.sleep(0.005)


def can_connect(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port():
    """Below those that the kernel gives to clients."""
    while can_connect(port := random.randint(20000, 32000)):
        pass
    return port


def lighttpd_environment(port, socket_path, admin_path):
    return {"FIBCGI_HTTP_BIND": "127.0.0.1", "FIBCGI_HTTP_PORT": str(port), "FIBCGI_SOCKET": str(socket_path),
            "FIBCGI_ADMIN_SOCKET": str(admin_path), "FIBCGI_ACCESS_LOG": ""}


def cpu_ns(pid):
    """Nanoseconds on a CPU so far: exact, where /proc/PID/stat counts ticks."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def pss_kib(pid):
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def title(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()


def fd_links(pid):
    """What each descriptor of the process is: {number: "socket:[12]"}."""
    links = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            links[int(entry.name)] = os.readlink(entry)
        except OSError:
            pass
    return links


class Stack:
    """with Stack(program, group) as stack: … stack.port …

    environment, files: of the pool, what is set beside ours, and its limit of open files. pool_log: a file to be given to
    --log; else the pool writes to the same file as lighttpd."""

    def __init__(self, program, group=None, options=(), with_lighttpd=True, environment=None, files=None, pool_log=None):
        self.folder = Path(tempfile.mkdtemp(prefix="fibcgi-bench."))
        self.socket = self.folder / "fib.sock"
        self.admin = self.folder / "admin.sock"
        self.lighttpd = None
        self.group = group
        self.log_path = self.folder / "log"
        self.log = open(self.log_path, "w")
        listen = f"unix:{self.socket},unix:{self.socket}.2"
        command = [program, "--listen", listen, "--admin-listen", f"unix:{self.admin}", *options]
        if pool_log:
            command += ["--log", pool_log]
        self.pool = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stderr=self.log,
                                     preexec_fn=lambda: self.enter(files))
        wait_until(lambda: self.pool.poll() is not None or self.admin.exists())
        if self.pool.poll() is not None:
            raise RuntimeError(f"the pool did not start: {self.log_path.read_text()}")
        if with_lighttpd:
            self.start_lighttpd()

    def enter(self, files=None):
        if self.group:
            self.group.enter()
        if files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    def spawn_lighttpd(self):
        environment = {**os.environ, **lighttpd_environment(self.port, self.socket, self.admin)}
        self.lighttpd = subprocess.Popen(LIGHTTPD, env=environment, stderr=self.log, preexec_fn=self.enter)

    def start_lighttpd(self):
        for _ in range(10):
            self.port = free_port()
            self.spawn_lighttpd()
            wait_until(lambda: self.lighttpd.poll() is not None or can_connect(self.port))
            if self.lighttpd.poll() is None:
                return
        raise RuntimeError("lighttpd found no free port")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def processes(self, kind):
        """The pool's children whose title starts so: "worker", "admin"."""
        found = []
        for pid in children(self.pool.pid):
            try:
                if title(pid).startswith(f"fibcgi: {kind}"):
                    found.append(pid)
            except OSError:
                pass
        return found

    def workers(self):
        return self.processes("worker")

    def pool_pids(self):
        return [self.pool.pid, *children(self.pool.pid)]

    def stop(self):
        if self.lighttpd:
            self.lighttpd.send_signal(signal.SIGTERM)
            self.lighttpd.wait()
        self.pool.send_signal(signal.SIGQUIT)
        self.pool.wait()
        self.log.close()
        shutil.rmtree(self.folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
