"""A peer as Kubernetes describes it; podman reads the same pod."""

import json
import re

import stack

PORT = 8080
# As those of our chart; a server that answers too late is not started again for that.
PROBES = {"startupProbe": {"periodSeconds": 1, "timeoutSeconds": 2, "failureThreshold": 30},
          "readinessProbe": {"periodSeconds": 2, "timeoutSeconds": 2, "failureThreshold": 2}}


def version():
    return re.search(r'FIBCGI_VERSION "(.*)"', (stack.REPO / "fcgi/options.h").read_text())[1]


def image(registry, runtime):
    return f"{registry}/fibcgi-peer-{runtime.name}:{version()}"


def container(runtime, millicpu, registry):
    limits = {"cpu": f"{millicpu}m", "memory": f"{runtime.memory_mib}Mi"}
    # For gunicorn, which looks at no limit.
    workers = {"name": "WEB_CONCURRENCY", "value": str(max(1, -(-millicpu // 1000)))}
    return {"name": "server", "image": image(registry, runtime), "imagePullPolicy": "IfNotPresent", "env": [workers],
            "ports": [{"name": "http", "containerPort": PORT}], "resources": {"requests": limits, "limits": limits},
            "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "runAsNonRoot": True,
                                "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"}}}


def pod(name, runtime, millicpu, port):
    """For podman: on that port of the machine. It has no probes without a shell in the image, and a seccomp profile anyway."""
    server = container(runtime, millicpu, "localhost")
    server["ports"][0]["hostPort"] = port
    del server["securityContext"]["seccompProfile"]
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels(name)},
                       "spec": {"restartPolicy": "Always", "automountServiceAccountToken": False, "containers": [server]}})


def deployment(name, runtime, millicpu, registry, service_type):
    """For Kubernetes: one pod, and the Service before it."""
    ask = {"httpGet": {"path": "/health", "port": "http"}}
    server = {**container(runtime, millicpu, registry), **{kind: {**ask, **probe} for kind, probe in PROBES.items()}}
    template = {"metadata": {"labels": labels(name)}, "spec": {"automountServiceAccountToken": False, "containers": [server]}}
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels(name)},
         "spec": {"replicas": 1, "selector": {"matchLabels": labels(name)}, "template": template}},
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "labels": labels(name)},
         "spec": {"type": service_type, "selector": labels(name), "ports": [{"name": "http", "port": 80, "targetPort": "http"}]}}]})


def labels(name):
    return {"app.kubernetes.io/name": name}
