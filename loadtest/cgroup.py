"""A cgroup that limits CPU and memory: v1 or v2, whichever has the controllers here."""

import os
import signal
import time
from pathlib import Path

PERIOD_US = 100_000
ROOT = Path("/sys/fs/cgroup")


def is_v1():
    return (ROOT / "cpu").is_dir()


class Tree:
    """A cgroup that exists. folders: {controller: its folder}; in v2 they are all the one of "cpu"."""

    def __init__(self, folders):
        self.is_v1, self.folders = is_v1(), folders
        self.path = folders["cpu"]

    def folder(self, controller):
        return self.folders[controller if self.is_v1 else "cpu"]

    def pids(self):
        return [int(pid) for pid in (self.path / "cgroup.procs").read_text().split()]

    def cpu_ns(self):
        """CPU time of all that has ever been inside."""
        if self.is_v1:
            return int((self.folder("cpuacct") / "cpuacct.usage").read_text())
        return self.statistics()["usage_usec"] * 1000

    def statistics(self):
        """cpu.stat: nr_periods, nr_throttled and others."""
        return {name: int(value) for name, value in map(str.split, (self.path / "cpu.stat").read_text().splitlines())}

    def kill(self):
        """Ends all that is inside."""
        while pids := self.pids():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.01)


def of(pid):
    """The cgroup that a process is in."""
    paths = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        paths.update((one, path.lstrip("/")) for one in controllers.split(","))
    names = ("cpu", "cpuacct", "memory") if is_v1() else ("",)
    return Tree({one or "cpu": ROOT / one / paths[one] for one in names})


class Group(Tree):
    """One of our own. Without the right to make it, path is None. controllers: "cpu", and "memory" and "cpuacct" (v1's name for
    CPU time) if used."""

    def __init__(self, name, controllers=("cpu",)):
        name = f"fibcgi-{name}-{os.getpid()}"
        # In v1 two controllers may be one and the same hierarchy under two names.
        parents = {one: (ROOT / one).resolve() for one in controllers} if is_v1() else {"cpu": ROOT}
        super().__init__({one: parent / name for one, parent in parents.items()})
        try:
            if not self.is_v1:
                wanted = " ".join(f"+{one}" for one in controllers if one != "cpuacct")
                (ROOT / "cgroup.subtree_control").write_text(wanted)
            for folder in set(self.folders.values()):
                folder.mkdir()
        except OSError:
            self.remove()
            self.path = None

    def limit(self, millicpu):
        quota = millicpu * PERIOD_US // 1000
        if self.is_v1:
            (self.path / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.path / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self.path / "cpu.max").write_text(f"{quota} {PERIOD_US}")

    def limit_memory(self, mib):
        name = "memory.limit_in_bytes" if self.is_v1 else "memory.max"
        (self.folder("memory") / name).write_text(str(mib << 20))

    def procs(self):
        """The files through which a process enters."""
        return [folder / "cgroup.procs" for folder in sorted(set(self.folders.values()))]

    def enter(self):
        """For subprocess's preexec_fn: the child is inside before it runs a single instruction of the program."""
        for procs in self.procs():
            procs.write_text(str(os.getpid()))

    def remove(self):
        for folder in set(self.folders.values()):
            for _ in range(100):
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.02)
