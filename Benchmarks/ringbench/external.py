"""Drivers for TLS, HTTP/2 and gRPC: wrk, h2load, tlsload and `clients`, with a backend in a process of its own.

wrk, h2load and `clients` cannot say when their warm-up ended, so the account begins before their first connection and
ends after their last: the handshakes of kept connections are in it, a hundredth of the whole or less.
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

from . import system, tools
from .accounting import Usage, cpu_ns, resident_bytes, spent_by_thread, thread_times
from .certificates import CIPHER, GROUP, certificate
from .run import LoadFailed, Run, read_sample

START_TIMEOUT_S = 10
LOAD_TIMEOUT_S = 120
# For what proxies give back once a connection rests.
SETTLE_S = 1.5
GRPC_PATH = "/bench.Echo/Unary"
BALANCE_SETS = 5


def wrk(run: Run) -> dict:
    """HTTPS/1.1 over kept connections."""
    load = run.workload.load
    # Whole seconds are all that it takes.
    seconds = math.ceil(run.warm_up_s + run.window_s)
    url = f"https://127.0.0.1:{run.port}/{load['size']}/0"
    command = ["wrk", "-t1", f"-c{load['connections']}", f"-d{seconds}s", "-s", str(tools.ROOT / "load/wrk.lua"), url]
    return _measured(run, command, read_wrk)


def h2load(run: Run) -> dict:
    """HTTP/2 over kept connections with so many streams each."""
    load = run.workload.load
    milliseconds = round(1000 * (run.warm_up_s + run.window_s))
    scheme = "https" if "tls" in run.setup.features else "http"
    command = ["h2load", "-t1", f"-c{load['connections']}", f"-m{load['streams']}", f"-D{milliseconds}ms"]
    # What it offers by itself is more than the clients' configuration says, and two servers prefer another suite.
    command += [f"--tls13-ciphers={CIPHER}", f"--groups={GROUP}"]
    command += _grpc_options(run) if "grpc" in run.setup.features else []
    path = GRPC_PATH if "grpc" in run.setup.features else f"/{load['size']}/0"
    return _measured(run, [*command, f"{scheme}://127.0.0.1:{run.port}{path}"], read_h2load)


def _grpc_options(run: Run) -> list[str]:
    """A unary call's message (its length in four bytes, behind a zero for "not compressed") as h2load's content."""
    message, size = run.setup.directory / "message", run.workload.load["size"]
    message.write_bytes(b"\0" + size.to_bytes(4) + b"x" * size)
    return ["--data", str(message), "-H", "content-type: application/grpc", "-H", "te: trailers"]


def _check_grpc(run: Run) -> None:
    """One call by another client: h2load counts answers and does not look at their trailers."""
    scheme = "https" if "tls" in run.setup.features else "http"
    command = ["nghttp", "-nv", *_grpc_options(run), f"{scheme}://127.0.0.1:{run.port}{GRPC_PATH}"]
    with _process(run, command) as client:
        said = client.communicate(timeout=LOAD_TIMEOUT_S)[0].decode(errors="replace")
    answered = sum(int(n) for n in re.findall(r"recv\S* DATA frame <length=(\d+)", _without_colours(said)))
    if "grpc-status: 0" not in _without_colours(said) or answered != 5 + run.workload.load["size"]:
        raise LoadFailed(f"no gRPC answer: {answered} bytes of content: {said[-300:]}")


def _without_colours(text: str) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", text)


def tlsload(run: Run) -> dict:
    """HTTPS over kept connections in an open loop, with or without a flood of handshakes beside it."""
    load = run.workload.load
    return _tlsload(run, {"rate": run.rate, "flood": load.get("flood", 0)}, run.window_s)


def _tlsload(run: Run, more: dict[str, object], window_s: float) -> dict:
    assert run.proxy is not None
    load = run.workload.load
    options = more | {
        "port": run.port,
        "connections": load["connections"],
        "size": load["size"],
        "warm-up": run.warm_up_s,
        "window": window_s,
        "pids": ",".join(map(str, run.proxy.pids)),
        "cipher": CIPHER,
        "group": GROUP,
    }
    with _backend(run):
        command = [str(tools.tlsload()), *(f"--{name}={value}" for name, value in options.items())]
        with _process(run, [*command, *["--idle"] * (load["mode"] == "idle")]) as client:
            output, problems = client.communicate(timeout=LOAD_TIMEOUT_S)
    return read_sample("tlsload", output.decode(), problems.decode())


def balance(run: Run) -> dict:
    """How evenly a few long connections fall on the workers, from the CPU time of each. Which worker gets one
    is settled when it comes, so several sets of connections come one after the other, and their mean counts.
    """
    assert run.proxy is not None
    load, factors = run.workload.load, []
    url = f"http://127.0.0.1:{run.port}/{load['size']}/0"
    milliseconds = round(1000 * run.window_s / BALANCE_SETS)
    command = ["h2load", "-t1", f"-c{load['connections']}", f"-m{load['streams']}", f"-D{milliseconds}ms", url]
    total = Counter()
    with _backend(run):
        idle = resident_bytes(run.proxy.pids)
        for _ in range(BALANCE_SETS):
            before = thread_times(run.proxy.pids)
            with _process(run, command) as client:
                total.update(read_h2load(client.communicate(timeout=LOAD_TIMEOUT_S)[0].decode()))
            after = thread_times(run.proxy.pids)
            used = sorted(times.ran_ns for times in spent_by_thread(before, after))[-run.setup.workers :]
            factors.append(max(used) * len(used) / max(1, sum(used)))
        loaded = resident_bytes(run.proxy.pids)
    more = {"imbalance": sum(factors) / len(factors), "imbalances": factors, "window_ns": round(1e9 * run.window_s)}
    more |= {"resident_idle_bytes": idle, "resident_loaded_bytes": loaded}
    return _sample(run, load["connections"]) | dict(total) | more


def handshakes(run: Run) -> dict:
    """A connection with a GET each time, with full or resumed handshakes."""
    options = ["handshakes", str(run.port), "--seconds", str(run.warm_up_s + run.window_s)]
    options += ["--resume"] * bool(run.workload.load.get("resume"))
    return _measured(run, _clients(options), lambda text: json.loads(text) | {"bytes": 0})


def resting(run: Run) -> dict:
    """Connections that rest after one GET each."""
    assert run.proxy is not None
    load = run.workload.load
    if "tls" in run.setup.features:
        return _tlsload(run, {}, SETTLE_S)
    options = ["idle", str(run.port), f"--connections={load['connections']}"]
    with _backend(run):
        idle = resident_bytes(run.proxy.pids)
        with _process(run, _clients(options), stdin=subprocess.PIPE) as clients:
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
    key = re.search(r"^Server Temp Key: (\S+)", text, re.MULTILINE)
    if cipher and (cipher[1] != CIPHER or (key and key[1] != GROUP)):
        raise ValueError(f"cipher {cipher[1]}, key {key[1] if key else '?'}")
    succeeded, *wrong = map(int, requests.groups())
    # What was answered in part when the time was up has a status, and does not count as succeeded.
    errors = sum(wrong) + max(0, succeeded - int(statuses[1]))
    return {"requests": succeeded, "errors": errors, "bytes": int(content[1])}


# Processes


def _measured(run: Run, command: list[str], read: Callable[[str], dict]) -> dict:
    """Runs `command` to its end between two readings of the proxy's accounts."""
    pids = run.proxy.pids if run.proxy else []
    with _backend(run) as backend:
        if "grpc" in run.setup.features:
            _check_grpc(run)
        idle = resident_bytes(pids)
        before, load_before, began = Usage.of(pids), _load_cpu_ns(backend.pid), time.monotonic_ns()
        with _process(run, command) as load:
            output, problems = load.communicate(timeout=LOAD_TIMEOUT_S)
        window_ns = time.monotonic_ns() - began
        after, load_after = Usage.of(pids), _load_cpu_ns(backend.pid)
        loaded = resident_bytes(pids)
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


@contextlib.contextmanager
def scraper(run: Run) -> Iterator[dict]:
    """Somebody who reads the metrics each second, if the peer is one that is read; yields what it saw, at the end."""
    seen: dict = {}
    if not run.peer.is_scraped:
        yield seen
        return
    # On another machine as a rule, so it takes no time from what is measured: what counts is what the proxy does for it.
    command = ["chrt", "--idle", "0", *_clients(["scrape", str(run.setup.admin_port)])]
    with _process(run, command, stdin=subprocess.PIPE) as reader:
        yield seen
        output, problems = reader.communicate(timeout=START_TIMEOUT_S)
    if not output:
        raise LoadFailed(f"no metrics were read: {problems.decode()[-300:]}")
    seen |= json.loads(output)


@contextlib.contextmanager
def collector(run: Run) -> Iterator[None]:
    """Somebody who takes the spans, if the peer is one that sends them."""
    if not run.peer.is_collected:
        yield
        return
    command = [str(tools.http2_backend()), str(run.setup.collector_port)]
    with _listening(run, command, run.setup.collector_port) as server:
        yield
        server.terminate()
        took = json.loads(server.communicate(timeout=START_TIMEOUT_S)[0] or b"{}")
        # The check of bytes is over before a batch is due.
        if not took.get("bytes") and not run.verify:
            raise LoadFailed("the collector got no spans")


def _clients(options: list[str]) -> list[str]:
    return [sys.executable, "-m", "ringbench.clients", *options]


def _load_cpu_ns(backend: int) -> int:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return cpu_ns(backend) + round(1e9 * (ended.ru_utime + ended.ru_stime))


@contextlib.contextmanager
def _backend(run: Run) -> Iterator[subprocess.Popen]:
    """HTTP/1.1 by ringload, HTTP/2 and gRPC by http2-backend; the path says how large an answer it wants."""
    port = run.backend_port
    if "h2-upstream" in run.setup.features:
        command = [str(tools.http2_backend()), str(port)]
    else:
        command = [str(tools.ringload()), "serve", "--http", "get", "--backend-port", str(port)]
    with _listening(run, command, port) as backend:
        yield backend


@contextlib.contextmanager
def _listening(run: Run, command: list[str], port: int) -> Iterator[subprocess.Popen]:
    with _process(run, command) as server:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not system.is_listening(port):
            if server.poll() is not None or time.monotonic() > deadline:
                raise LoadFailed(f"{command[0]} does not listen on {port}")
            time.sleep(0.02)
        yield server


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
