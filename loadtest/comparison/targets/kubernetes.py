"""Each server in the cluster of kubectl's context, in a namespace of its own: ours is the chart with one pod, a peer a Deployment
with one. The load goes to the Service itself, never through a port-forward. The cluster tells what the containers use."""

import json
import os
import shlex
import subprocess
import threading
import urllib.request

import stack
from comparison.observed import Observed
from comparison.targets import manifest

START_SECONDS, STOP_SECONDS = 180, 120
LABEL = "fibcgi-loadtest=true"
RELEASE = "fib"
ARCHIVES = stack.REPO / "build/images"
# From the word to the end of what is killed: the container runtime, and the kubelet with a pod's preStop, take their time.
IN_FLIGHT_SECONDS = {"container": 1.0, "pod": 5.0}


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(map(str, command))}: {done.stderr.strip()[-2000:]}")
    return done.stdout


class Api:
    """The API server by way of kubectl proxy, which costs less than a kubectl a second. What asks it has no part in the load."""

    def __init__(self):
        self.proxy = subprocess.Popen(["kubectl", "proxy", "--port", "0"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True)
        said = self.proxy.stdout.readline()
        if "127.0.0.1:" not in said:
            self.close()
            raise RuntimeError(f"kubectl proxy does not start: {said}")
        self.url = "http://" + said.split()[-1]

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def delete(self, path):
        urllib.request.urlopen(urllib.request.Request(self.url + path, method="DELETE"), timeout=10).close()

    def close(self):
        self.proxy.kill()
        self.proxy.wait()
        self.proxy.stdout.close()


class Server(Observed):
    """kills: "container" is the first process of the one that serves, which the kubelet starts again; "pod" takes all of it away at
    once, and another is scheduled."""

    memory_kind = "working set of the containers"

    def __init__(self, runtime, millicpu, options):
        self.runtime, self.millicpu, self.options = runtime, millicpu, options
        self.namespace = f"fibcgi-loadtest-{runtime.name}-{os.getpid()}"
        self.name = f"{RELEASE}-fibcgi" if runtime.name == "fibcgi" else "server"
        self.kills = ("container", "pod") if options.container_kill else ("pod",)
        self.api = None

    def __enter__(self):
        try:
            run(["kubectl", "create", "namespace", self.namespace])
            run(["kubectl", "label", "namespace", self.namespace, LABEL])
            self.start_chart() if self.runtime.name == "fibcgi" else self.start_peer()
            self.kubectl("rollout", "status", f"deployment/{self.name}", "--timeout", f"{START_SECONDS}s")
            self.url = self.address()
            self.api = Api()
            self.wait_for_answer()
        except BaseException:
            self.stop()
            raise
        return self

    def kubectl(self, *arguments, **options):
        return run(["kubectl", "--namespace", self.namespace, *arguments], **options)

    def start_chart(self):
        helm = run([stack.REPO / ".ci/need-program", "helm3"]).strip()
        memory = f"{self.runtime.memory_mib // 2}Mi"
        values = {"cpu": f"{self.millicpu}m", "replicas": 1, "responder.memory": memory, "lighttpd.memory": memory,
                  "responder.image.registry": self.options.registry, "lighttpd.image.registry": self.options.registry,
                  "service.type": self.options.service_type}
        run([helm, "install", RELEASE, stack.REPO / "k8s/chart", "--namespace", self.namespace, "--set",
             ",".join(f"{key}={value}" for key, value in values.items())])

    def start_peer(self):
        described = manifest.deployment(self.name, self.runtime, self.millicpu, self.options.registry, self.options.service_type)
        self.kubectl("create", "--filename", "-", input=described)

    def address(self):
        service = json.loads(self.kubectl("get", "service", self.name, "--output", "json"))["spec"]
        if self.options.service_type == "ClusterIP":
            return f"http://{service['clusterIP']}:{service['ports'][0]['port']}"
        addresses = json.loads(run(["kubectl", "get", "nodes", "--output", "json"]))["items"][0]["status"]["addresses"]
        return f"http://{next(one['address'] for one in addresses if one['type'] == 'InternalIP')}:{service['ports'][0]['nodePort']}"

    def stop(self):
        if self.api:
            self.api.close()
        subprocess.run(["kubectl", "delete", "namespace", self.namespace, "--ignore-not-found", "--timeout", f"{STOP_SECONDS}s"],
                       capture_output=True)

    def __exit__(self, *_):
        self.stop()

    def pods(self):
        """Those that are there to stay."""
        found = self.api.get(f"/api/v1/namespaces/{self.namespace}/pods")["items"]
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    def statuses(self):
        return [status for one in self.pods() for status in one["status"].get("containerStatuses", [])]

    def settled_pod(self):
        """The one pod, once all of it is ready again."""
        def is_settled():
            statuses = self.statuses()
            return statuses and all(one["ready"] for one in statuses) and len(self.pods()) == 1
        stack.wait_until(is_settled, START_SECONDS)
        return self.pods()[0]

    def killer(self, what):
        pod = self.settled_pod()
        if what == "pod":
            path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}?gracePeriodSeconds=0"
            return lambda: in_background(lambda: self.api.delete(path))
        serving = "responder" if self.runtime.name == "fibcgi" else "server"
        container = next(one["containerID"] for one in pod["status"]["containerStatuses"] if one["name"] == serving)
        command = [*shlex.split(self.options.container_kill), container.partition("://")[2]]
        return lambda: in_background(lambda: run(command))

    def in_flight_seconds(self, what):
        return IN_FLIGHT_SECONDS[what]

    def usage(self):
        """What the kubelet says of each container now."""
        found = []
        for pod in self.pods():
            summary = self.api.get(f"/api/v1/nodes/{pod['spec']['nodeName']}/proxy/stats/summary?only_cpu_and_memory=true")
            found += [container for one in summary["pods"] if one["podRef"]["uid"] == pod["metadata"]["uid"]
                      for container in one["containers"]]
        return found

    def memory(self):
        return {one["name"]: round(one["memory"]["workingSetBytes"] / 2**20, 3) for one in self.usage() if "memory" in one}

    def cpu_seconds(self):
        return sum(one["cpu"]["usageCoreNanoSeconds"] for one in self.usage() if "cpu" in one) / 1e9

    def throttling(self):
        return None

    def image(self):
        """As the nodes tell of it, which they do late where the images are new."""
        sizes = {name: one["sizeBytes"] for node in self.api.get("/api/v1/nodes")["items"] for one in node["status"]["images"]
                 for name in one["names"]}
        parts = {one["name"]: sizes[one["image"]] / 1e6 for one in self.statuses() if one["image"] in sizes}
        if not parts:
            return None
        return {"mb": round(sum(parts.values()), 2), "kind": "container images as the node has them",
                "parts": {name: round(mb, 2) for name, mb in parts.items()}}

    def complaints(self):
        return subprocess.run(["kubectl", "--namespace", self.namespace, "logs", f"deployment/{self.name}", "--all-containers",
                               "--tail", "20"], capture_output=True, text=True).stdout

    def restarts(self):
        return sum(one["restartCount"] for one in self.statuses())


def in_background(work):
    """Begins it; returns a function that waits for its end, and fails if it did."""
    failed = []

    def attempt():
        try:
            work()
        except (OSError, RuntimeError) as problem:
            failed.append(problem)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()

    def finish():
        thread.join()
        if failed:
            raise RuntimeError(f"the kill did not work: {failed[0]}")
    return finish


def prepare(options):
    """Brings the images to the nodes, where we are told how."""
    if options.image_load:
        for archive in sorted(ARCHIVES.glob("*.tar")) + sorted(ARCHIVES.glob("peers/*.tar")):
            run([*shlex.split(options.image_load), archive])


def serve(runtime, millicpu, options):
    return Server(runtime, millicpu, options)


def can(*_):
    return True


def add_options(parser):
    group = parser.add_argument_group("for --target kubernetes")
    group.add_argument("--registry", default="localhost", metavar="HOST/PATH",
                       help="where the images fibcgi, fibcgi-lighttpd and fibcgi-peer-* are (localhost: the nodes have them)")
    group.add_argument("--service-type", choices=("ClusterIP", "NodePort"), default="ClusterIP",
                       help="NodePort where this machine cannot reach the Services' addresses (ClusterIP)")
    group.add_argument("--image-load", default=os.environ.get("IMAGE_LOAD"), metavar="COMMAND",
                       help="brings an archive, whose path is put behind it, to the nodes (IMAGE_LOAD); without it they have the images")
    group.add_argument("--container-kill", default=os.environ.get("CONTAINER_KILL"), metavar="COMMAND",
                       help="kills the container whose number is put behind it (CONTAINER_KILL); without it only pods are killed")
