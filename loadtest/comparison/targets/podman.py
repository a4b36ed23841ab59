"""Each server as a pod under podman: ours is the chart's, with its two containers; a peer has one."""

import os
import subprocess

import cgroup
import stack
from comparison.observed import Observed
from comparison.targets import manifest

ENGINE = ["bash", "-c", '. "$0"/container/engine && exec "$ENGINE" "$@"', str(stack.REPO)]
KILLS = {"fibcgi": ("worker", "container", "lighttpd"), "gunicorn": ("worker", "container")}
# The chart's memory is for two containers.
PARTS = {"fibcgi": ("responder", "lighttpd")}


def engine(*arguments, **options):
    return subprocess.run([*ENGINE, *arguments], capture_output=True, text=True, check=True, **options).stdout.strip()


class Server(Observed):
    """kills: "container" is the first process of the one that serves; podman starts it again."""

    def __init__(self, runtime, millicpu):
        self.runtime, self.millicpu = runtime, millicpu
        self.name_of_pod = f"fibcgi-loadtest-{runtime.name}-{os.getpid()}"
        self.port = stack.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.kills = KILLS.get(runtime.name, ("container",))
        parts = PARTS.get(runtime.name)
        self.pod = f"{self.name_of_pod}-pod-0" if parts else self.name_of_pod
        self.containers = [f"{self.pod}-{part}" for part in parts or ("server",)]

    def __enter__(self):
        try:
            self.start_chart() if self.runtime.name == "fibcgi" else self.start_peer()
            self.groups = [cgroup.of(self.first_pid(container)) for container in self.containers]
            self.wait_for_answer()
        except BaseException:
            self.stop()
            raise
        return self

    def run_chart(self, verb):
        memory = self.runtime.memory_mib // len(self.containers)
        arguments = f"--set cpu={self.millicpu}m --set responder.memory={memory}Mi --set lighttpd.memory={memory}Mi"
        helm = subprocess.run([stack.REPO / ".ci/need-program", "helm3"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
        done = subprocess.run([stack.REPO / "container/pod", verb], capture_output=True, text=True, env={
            **os.environ, "POD": self.name_of_pod, "PORT": str(self.port), "HELM": helm, "HELM_ARGUMENTS": arguments})
        if done.returncode:
            raise RuntimeError(done.stderr)

    def start_chart(self):
        self.run_chart("up")

    def start_peer(self):
        engine("play", "kube", "-", input=manifest.pod(self.name_of_pod, self.runtime, self.millicpu, self.port))

    def stop(self):
        subprocess.run([*ENGINE, "pod", "rm", "--force", "--time", "0", self.pod], capture_output=True)
        subprocess.run([*ENGINE, "volume", "rm", "--force", f"{self.name_of_pod}-sockets"], capture_output=True)

    def __exit__(self, *_):
        self.stop()

    def first_pid(self, container):
        return int(engine("inspect", "--format", "{{.State.Pid}}", container))

    def find(self, what):
        return self.first_pid(self.containers[0]) if what == "container" else super().find(what)

    def image(self):
        images = {part.rpartition("-")[2]: engine("inspect", "--format", "{{.Image}}", part) for part in self.containers}
        sizes = {part: int(engine("image", "inspect", "--format", "{{.Size}}", image)) for part, image in images.items()}
        return {"mb": round(sum(sizes.values()) / 1e6, 2), "kind": "container images",
                "parts": {part: round(size / 1e6, 2) for part, size in sizes.items()}}

    def complaints(self):
        return "".join(subprocess.run([*ENGINE, "logs", one], capture_output=True, text=True).stderr for one in self.containers)

    def restarts(self):
        return sum(int(engine("inspect", "--format", "{{.RestartCount}}", container)) for container in self.containers)


def prepare(_):
    pass


def serve(runtime, millicpu, _):
    return Server(runtime, millicpu)


def can(*_):
    return True


def add_options(_):
    pass
