"""What was measured, where, with which versions: what somebody needs to know to repeat it."""

import hashlib
import os
import platform
import re
import subprocess
import time
from pathlib import Path

import cgroup
import stack
from comparison.targets import processes

# Program and pattern of its version.
TOOLS = {"lighttpd": (["lighttpd", "-v"], r"lighttpd/([\d.]+)"), "gcc": (["gcc", "-dumpfullversion"], r"([\d.]+)"),
         "rustc": (["rustc", "--version"], r"rustc ([\d.]+)"), "go": (["go", "version"], r"go([\d.]+)"),
         "wrk": (["wrk", "-v"], r"wrk \S*?([\d.]+)"),
         "libfcgi": (["dpkg-query", "-W", "-f", "${Version}", "libfcgi-dev"], r"([\d.]+)")}
CLUSTER = (["kubectl", "version"], r"Server Version: v([\d.]+)")
PACKAGES = {"locust": ("build/locust", "locust"), "flask": ("build/peers/python", "flask"), "gunicorn": ("build/peers/python", "gunicorn")}


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def output(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=stack.REPO)
    except OSError:
        return ""
    return done.stdout + done.stderr


def versions(program, target):
    found = {}
    cluster = {"kubernetes": CLUSTER} if target == "kubernetes" else {}
    for name, (command, pattern) in {"fibcgi": ([program, "--version"], r"([\d.]+)"), **TOOLS, **cluster}.items():
        if match := re.search(pattern, output(command)):
            found[name] = match[1]
    for name, (folder, package) in PACKAGES.items():
        if paths := list((stack.REPO / folder).glob(f"lib/python3*/site-packages/{package}-*.dist-info")):
            found[name] = paths[0].name.removesuffix(".dist-info").rpartition("-")[2]
    found["python"] = output([processes.PYTHON, "-c", "import platform; print(platform.python_version())"]).strip()
    if match := re.search(r'name = "actix-web"\nversion = "(.*?)"', (stack.REPO / "loadtest/peers/rust/Cargo.lock").read_text()):
        found["actix-web"] = match[1]
    return found


def builds(program):
    """What exactly was run, where the tree is not as committed."""
    found = {"fibcgi": program, "rust": processes.PEERS / "rust", "go": processes.PEERS / "go"}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for name, path in found.items() if path.exists()}


def field(path, pattern):
    match = re.search(pattern, Path(path).read_text(), re.MULTILINE)
    return match[1].strip() if match else None


def machine():
    return {"cpu": field("/proc/cpuinfo", r"^model name\s*:\s*(.*)$") or platform.machine(), "cpus": len(os.sched_getaffinity(0)),
            "memory_mib": int(field("/proc/meminfo", r"^MemTotal:\s*(\d+)")) // 1024, "kernel": os.uname().release,
            "os": field("/etc/os-release", r'^PRETTY_NAME="?(.*?)"?$'), "virtual": output(["systemd-detect-virt", "--vm"]).strip() or None,
            "cgroup": "v1" if cgroup.is_v1() else "v2"}


def describe(options):
    commit = output(["git", "rev-parse", "HEAD"]).strip()
    known = re.fullmatch(r"[0-9a-f]{40}", commit) is not None
    changed = bool(known and output(["git", "status", "--porcelain", "--untracked-files=no"]).strip())
    return {"started": now(), "finished": None, "commit": commit if known else None, "changed": changed, "target": options.target,
            "form": options.form, "seconds_scale": options.scale, "machine": machine(), "versions": versions(options.program, options.target),
            "builds": builds(options.program)}
