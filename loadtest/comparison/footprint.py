"""The size of what is deployed, and the memory of a server idle and after load."""

import time

from comparison.crowd import Crowd

IDLE_SECONDS = 2


def measure(server, wanted, scale):
    time.sleep(IDLE_SECONDS * scale)
    idle = server.memory()
    crowd = Crowd(server.url, wanted, wanted["users"])
    crowd.run(wanted["seconds"] * scale)
    crowd.leave()
    time.sleep(IDLE_SECONDS * scale)
    after = server.memory()
    memory = None
    if idle is not None:
        processes = {name: {"idle_mib": idle.get(name), "after_mib": mib} for name, mib in after.items()}
        memory = {"idle_mib": round(sum(idle.values()), 3), "after_mib": round(sum(after.values()), 3),
                  "kind": server.memory_kind, "processes": processes}
    return {"image": server.image(), "memory": memory, "start_ms": None if server.start_ms is None else round(server.start_ms, 2)}
