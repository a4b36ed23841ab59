"""The size of what serves: the container images where they have been built, else the files that the running processes use."""

import os
from pathlib import Path

import stack

IMAGES = stack.REPO / "build/images"
ARCHIVES = {"fibcgi": {"fibcgi": "fibcgi.tar", "lighttpd": "fibcgi-lighttpd.tar"}}
MB = 1e6


def size(runtime, pids, modules):
    """modules: files that an interpreter has read."""
    archives = {part: IMAGES / name for part, name in ARCHIVES.get(runtime.name, {}).items()}
    if archives and all(path.exists() for path in archives.values()):
        parts = {part: path.stat().st_size for part, path in archives.items()}
        kind = "container images"
    else:
        parts = {"files": sum(path.stat().st_size for path in files(pids, modules))}
        kind = "files that serve"
    return {"mb": round(sum(parts.values()) / MB, 2), "kind": kind, "parts": {part: round(one / MB, 2) for part, one in parts.items()}}


def files(pids, modules):
    """The programs and libraries mapped by the processes, and all that is in the folders, each once."""
    found = set()
    for pid in pids:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            path = line[73:]
            if path.startswith("/") and os.path.isfile(path):
                found.add(os.path.realpath(path))
    return [Path(path) for path in found if not path.startswith(("/dev/", "/proc/", "/run/"))]
