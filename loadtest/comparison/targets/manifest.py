"""The manifest of a peer's pod."""

import re

import stack

TEMPLATE = stack.REPO / "loadtest/peers/pod.yaml"


def version():
    return re.search(r'FIBCGI_VERSION "(.*)"', (stack.REPO / "fcgi/options.h").read_text())[1]


def fill(name, runtime, millicpu, port):
    values = {"NAME": name, "IMAGE": f"localhost/fibcgi-peer-{runtime.name}:{version()}", "WORKERS": max(1, -(-millicpu // 1000)),
              "PORT": port, "MILLICPU": millicpu, "MEMORY": runtime.memory_mib}
    text = "".join(line for line in TEMPLATE.read_text().splitlines(keepends=True) if not line.startswith("#"))
    return re.sub("|".join(rf"\b{name}" for name in values), lambda match: str(values[match[0]]), text)
