"""Drivers for TLS and HTTP/2: wrk, h2load and `clients`, with a backend in a process of its own.

Those programs cannot say when their warm-up ended, so the account begins before their first connection and ends after
their last: the handshakes of kept connections are in it, a hundredth of the whole or less.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from . import system, tools
from .accounting import Usage, cpu_ns, resident_bytes
from .certificates import CIPHER, certificate
from .run import LoadFailed, Run

START_TIMEOUT_S = 10
LOAD_TIMEOUT_S = 120
# For what proxies give back once a connection rests.
SETTLE_S = 1.5


def wrk(run: Run) -> dict:
    """HTTPS/1.1 over kept connections."""
    load = run.workload.load
    # Whole seconds are all that it takes.
    seconds = math.ceil(run.warm_up_s + run.window_s)
    url = f"https://127.0.0.1:{run.setup.listeners[0].port}/{load['size']}/0"
    command = ["wrk", "-t1", f"-c{load['connections']}", f"-d{seconds}s", "-s", str(tools.ROOT / "load/wrk.lua"), url]
    return _measured(run, command, read_wrk)


def h2load(run: Run) -> dict:
    """HTTP/2 over kept connections with so many streams each."""
    load = run.workload.load
    milliseconds = round(1000 * (run.warm_up_s + run.window_s))
    scheme = "https" if "tls" in run.setup.features else "http"
    command = ["h2load", "-t1", f"-c{load['connections']}", f"-m{load['streams']}", f"-D{milliseconds}ms"]
    command += [f"{scheme}://127.0.0.1:{run.setup.listeners[0].port}/{load['size']}/0"]
    return _measured(run, command, read_h2load)


def handshakes(run: Run) -> dict:
    """A connection with a GET each time, with full or resumed handshakes."""
    options = ["handshakes", str(run.setup.listeners[0].port), "--seconds", str(run.warm_up_s + run.window_s)]
    options += ["--resume"] * bool(run.workload.load.get("resume"))
    return _measured(run, _clients(options), lambda text: json.loads(text) | {"bytes": 0})


def resting(run: Run) -> dict:
    """Connections that rest after one GET each."""
    assert run.proxy is not None
    load = run.workload.load
    protocol = "tls" if "tls" in run.setup.features else "h2"
    options = ["idle", str(run.setup.listeners[0].port), f"--connections={load['connections']}"]
    with _backend(run):
        idle = resident_bytes(run.proxy.pids)
        with _process(run, _clients([*options, "--protocol", protocol]), stdin=subprocess.PIPE) as clients:
            said = json.loads(clients.stdout.readline() or b"{}")
            if said.get("connected") != load["connections"]:
                raise LoadFailed(f"not all connections stand: {said}")
            time.sleep(SETTLE_S)
            loaded = resident_bytes(run.proxy.pids)
    return _sample(run, load["connections"]) | {"resident_idle_bytes": idle, "resident_loaded_bytes": loaded}


# What they print


def read_wrk(text: str) -> dict:
    """The line that load/wrk.lua prints. Latencies keep two digits, which bounds what is stored."""
    found = re.search(r"^result (\{.*\})$", text, re.MULTILINE)
    if not found:
        raise ValueError("no result")
    sample = json.loads(found[1])
    histogram: Counter[int] = Counter()
    for microseconds, count in sample["latency_histogram"]:
        histogram[1000 * int(float(f"{microseconds:.2g}"))] += count
    return sample | {"latency_histogram": sorted(histogram.items())}


def read_h2load(text: str) -> dict:
    """Requests that were answered with a status of 2xx, and the bytes of their content."""
    requests = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    statuses = re.search(r"status codes: (\d+) 2xx", text)
    content = re.search(r"\((\d+)\) data$", text, re.MULTILINE)
    if not requests or not statuses or not content:
        raise ValueError("no summary")
    cipher = re.search(r"^Cipher: (\S+)", text, re.MULTILINE)
    if cipher and cipher[1] != CIPHER:
        raise ValueError(f"cipher {cipher[1]}")
    succeeded, *wrong = map(int, requests.groups())
    # What was answered in part when the time was up has a status, and does not count as succeeded.
    errors = sum(wrong) + max(0, succeeded - int(statuses[1]))
    return {"requests": succeeded, "errors": errors, "bytes": int(content[1])}


# Processes


def _measured(run: Run, command: list[str], read: Callable[[str], dict]) -> dict:
    """Runs `command` to its end between two readings of the proxy's accounts."""
    assert run.proxy is not None
    with _backend(run) as backend:
        idle = resident_bytes(run.proxy.pids)
        before, load_before, began = Usage.of(run.proxy.pids), _load_cpu_ns(backend.pid), time.monotonic_ns()
        with _process(run, command) as load:
            output, problems = load.communicate(timeout=LOAD_TIMEOUT_S)
        window_ns = time.monotonic_ns() - began
        after, load_after = Usage.of(run.proxy.pids), _load_cpu_ns(backend.pid)
        loaded = resident_bytes(run.proxy.pids)
    try:
        result = read(output.decode())
    except (ValueError, KeyError) as problem:
        raise LoadFailed(f"{command[0]}: {problem}: {(output + problems).decode()[-300:]}") from None
    size = run.workload.load["size"]
    if result["bytes"] < size * result["requests"]:
        raise LoadFailed(f"{result['requests']} answers of {size} bytes have only {result['bytes']}")
    account = {
        "window_ns": window_ns,
        "proxy_cpu_ns": after.cpu_ns - before.cpu_ns,
        "proxy_stat_cpu_ns": after.stat_cpu_ns - before.stat_cpu_ns,
        "proxy_context_switches": after.context_switches - before.context_switches,
        "load_cpu_ns": load_after - load_before,
        "resident_idle_bytes": idle,
        "resident_loaded_bytes": loaded,
    }
    return _sample(run, run.workload.load["connections"]) | account | result


def _sample(run: Run, connections: int) -> dict:
    """What every sample has, for a driver to fill."""
    zero = ("window_ns", "requests", "bytes", "errors", "proxy_cpu_ns", "proxy_stat_cpu_ns", "load_cpu_ns")
    sample: dict = dict.fromkeys((*zero, "proxy_context_switches", "rate"), 0)
    return sample | {"connections": connections, "size": run.workload.load["size"], "latency_histogram": []}


def _clients(options: list[str]) -> list[str]:
    return [sys.executable, "-m", "ringbench.clients", *options]


def _load_cpu_ns(backend: int) -> int:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return cpu_ns(backend) + round(1e9 * (ended.ru_utime + ended.ru_stime))


@contextlib.contextmanager
def _backend(run: Run) -> Iterator[subprocess.Popen]:
    """HTTP/1.1 by ringload, HTTP/2 by nghttpd; the path's first part is how large an answer it wants."""
    port, size = run.backend_port, run.workload.load["size"]
    if "h2-upstream" in run.setup.features:
        content: Path = run.setup.directory / "content"
        (content / str(size)).mkdir(parents=True)
        (content / str(size) / "0").write_bytes(b"x" * size)
        command = ["nghttpd", "-a", "127.0.0.1", "--no-tls", "-d", str(content), str(port)]
    else:
        command = [str(tools.ringload()), "serve", "--http", "get", "--backend-port", str(port)]
    with _process(run, command) as backend:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not system.is_listening(port):
            if backend.poll() is not None or time.monotonic() > deadline:
                raise LoadFailed(f"{command[0]} does not listen on {port}")
            time.sleep(0.02)
        yield backend


@contextlib.contextmanager
def _process(run: Run, command: list[str], stdin: int = subprocess.DEVNULL) -> Iterator[subprocess.Popen]:
    """On the load's CPU, in a session of its own, which Ctrl-C does not reach; ended in any case."""
    pinned = ["taskset", "-c", str(run.load_cpu), *command]
    environment = os.environ | {"OPENSSL_CONF": str(certificate().clients)}
    process = subprocess.Popen(
        pinned,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=tools.ROOT,
        start_new_session=True,
    )
    try:
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()
    except subprocess.TimeoutExpired:
        raise LoadFailed(f"{command[0]}: no result within {LOAD_TIMEOUT_S} s") from None
