"""Each server as processes of this machine, all of them in one cgroup with the CPU and the memory limit."""

import os
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import cgroup
import stack
from comparison import deployed
from comparison.observed import START_SECONDS, Observed

PEERS = stack.REPO / "build/peers"
PYTHON = PEERS / "python/bin/python"
APPLICATION = stack.REPO / "loadtest/peers/python"
RESTARTS_MOST = 20  # before the first answer
FILES = 16384  # an open-files limit such as containers have


# Each of these returns [(command, environment, what exists when the next one may start)].

def fibcgi(server):
    """lighttpd leaves a socket that is not there alone for a second or two."""
    work, admin = server.folder / "fib.sock", server.folder / "admin.sock"
    pool = [server.program, "--listen", f"unix:{work},unix:{work}.2", "--admin-listen", f"unix:{admin}"]
    return [(pool, {}, work), (stack.LIGHTTPD, stack.lighttpd_environment(server.port, work, admin), None)]


def rust(server):
    return [([PEERS / "rust"], {"PORT": str(server.port)}, None)]


def go(server):
    return [([PEERS / "go"], {"PORT": str(server.port)}, None)]


def flask(server):
    return [([PYTHON, APPLICATION / "app.py"], {"PORT": str(server.port)}, None)]


def gunicorn(server):
    """gunicorn looks at no quota; its number of workers is set beside the limit, as in a pod's manifest."""
    command = [PYTHON, "-m", "gunicorn", "--bind", f"0.0.0.0:{server.port}", "--no-control-socket",
               "--chdir", APPLICATION, "app:app"]
    return [(command, {"WEB_CONCURRENCY": str(max(1, -(-server.millicpu // 1000)))}, None)]


PROGRAMS = {"fibcgi": fibcgi, "rust": rust, "go": go, "flask": flask, "gunicorn": gunicorn}


def python_modules(runtime):
    """The files of all modules that the application has loaded."""
    server = "import gunicorn.app.wsgiapp, gunicorn.workers.sync, " if runtime.name == "gunicorn" else "import "
    command = server + "app, sys; print(*filter(None, (getattr(one, '__file__', None) for one in list(sys.modules.values()))), sep='\\n')"
    output = subprocess.run([PYTHON, "-c", command], cwd=APPLICATION, capture_output=True, text=True, check=True).stdout
    return [path for path in output.splitlines() if path.startswith("/")]


class Server(Observed):
    """Running, and answering, from __enter__ to __exit__."""

    def __init__(self, runtime, millicpu, program):
        self.runtime, self.millicpu, self.program = runtime, millicpu, program
        self.folder = Path(tempfile.mkdtemp(prefix="fibcgi-loadtest."))
        self.group = cgroup.Group(runtime.name, ("cpu", "cpuacct", "memory"))
        if self.group.path is None:
            raise PermissionError("cannot make a cgroup for the limits; run as root, or in a delegated cgroup")
        self.group.limit(millicpu)
        self.group.limit_memory(runtime.memory_mib)
        self.port = stack.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = self.folder / "log"
        self.supervisors = []
        self.groups, self.kills = [self.group], runtime.kills

    def __enter__(self):
        start = time.monotonic()
        try:
            for command, environment, ready in PROGRAMS[self.runtime.name](self):
                self.start(command, environment)
                stack.wait_until(lambda: ready is None or ready.exists() or self.is_hopeless(), START_SECONDS)
            self.wait_for_answer()
        except BaseException:
            self.stop()
            raise
        self.start_ms = (time.monotonic() - start) * 1000
        return self

    def start(self, command, environment):
        enter = " ".join(map(str, self.group.procs()))
        # The supervisor ends with us, and its servers with it, however we end.
        with open(self.log, "a") as log:
            self.supervisors.append(subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", stack.REPO / "loadtest/supervise", *command],
                env={**os.environ, **environment, "ENTER": enter}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))))

    def stop(self):
        for supervisor in self.supervisors:
            supervisor.kill()
            supervisor.wait()
        self.group.kill()
        self.group.remove()
        shutil.rmtree(self.folder)

    def __exit__(self, *_):
        self.stop()

    def image(self):
        modules = python_modules(self.runtime) if self.runtime.language == "Python" else []
        return deployed.size(self.runtime, self.pids(), modules)

    def is_hopeless(self):
        return self.restarts() > RESTARTS_MOST

    def complaints(self):
        return self.log.read_text(errors="replace")[-2000:]

    def restarts(self):
        return self.log.read_text(errors="replace").count("supervise: start\n") - len(self.supervisors)


def prepare(_):
    pass


def serve(runtime, millicpu, options):
    return Server(runtime, millicpu, options.program)


def can(*_):
    return True


def add_options(_):
    pass
