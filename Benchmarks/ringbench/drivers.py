"""How load is produced: each driver takes a `Run` and returns a raw sample, a dictionary for the JSON lines.

A sample has at least `window_ns`, `requests`, `bytes`, `errors`, `proxy_cpu_ns` and what its metric reads.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace

from . import external, tools
from .run import LoadFailed, Run, read_sample

RELOAD_INTERVAL_S = 0.2
# Connections stand within half a minute or not at all; windows last seconds.
LOAD_TIMEOUT_S = 60


def ringload(run: Run) -> dict:
    """Layer 4 and HTTP/1.1: clients and backend in one process."""
    load = run.workload.load
    options = {
        "proxy-port": run.port,
        "proxy-ports": len(run.setup.listeners) if run.proxy else 1,
        "backend-port": run.backend_port,
        "connections": load["connections"],
        "size": load["size"],
        "slow": load.get("slow", 0),
        "rate": run.rate,
        "warm-up": run.warm_up_s,
        "window": run.window_s,
        "cpu": run.load_cpu,
    }
    if run.proxy:
        options["pids"] = ",".join(map(str, run.proxy.pids))
    if "http" in load:
        options |= {"http": load["http"], "routes": run.workload.topology.routes}
    command = [str(tools.ringload()), load["mode"], *(f"--{name}={value}" for name, value in options.items())]
    command += ["--verify"] * run.verify + ["--touch"] * bool(load.get("touch"))
    return _measure(command)


def _measure(command: list[str]) -> dict:
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        output, errors = process.communicate(timeout=LOAD_TIMEOUT_S)
    except BaseException as problem:
        process.kill()
        process.wait()
        if isinstance(problem, subprocess.TimeoutExpired):
            raise LoadFailed(f"no result within {LOAD_TIMEOUT_S} s") from None
        raise
    return read_sample(f"ringload, exit {process.returncode}", output, errors)


def reload_under_load(run: Run) -> dict:
    """The same while the configuration changes: a second listener comes and goes, the busy one stays."""
    assert run.proxy is not None
    proxy, done, reloads = run.proxy, threading.Event(), 0
    spare = replace(run.setup.listeners[0], name="spare", port=run.spare_port)
    variants = (replace(run.setup, listeners=(*run.setup.listeners, spare)), run.setup)

    def reload_until_done():
        nonlocal reloads
        while not done.wait(RELOAD_INTERVAL_S):
            run.peer.write_config(variants[reloads % 2])
            proxy.reload()
            reloads += 1

    reloader = threading.Thread(target=reload_until_done)
    reloader.start()
    try:
        sample = ringload(run)
    finally:
        done.set()
        reloader.join()
    return sample | {"reloads": reloads}


DRIVERS: dict[str, Callable[[Run], dict]] = {
    "ringload": ringload,
    "reload": reload_under_load,
    "wrk": external.wrk,
    "h2load": external.h2load,
    "tlsload": external.tlsload,
    "balance": external.balance,
    "handshakes": external.handshakes,
    "resting": external.resting,
}
