"""What is measured. A workload is data: a driver that produces the load, its parameters, and a metric.

A new protocol adds its driver to `drivers.DRIVERS`, its load generator to `tools`, and lines here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch

from . import stats
from .topology import Topology

KIB = 1024


@dataclass(frozen=True)
class Metric:
    """How a sample becomes the figure that is compared; lower is better in all of them."""

    name: str
    unit: str
    title: str
    of: Callable[[dict], float | None]
    digits: int = 2


def _cpu_us_per_request(sample: dict) -> float | None:
    return sample["proxy_cpu_ns"] / 1e3 / sample["requests"] if sample["requests"] else None


def _cpu_s_per_gb(sample: dict) -> float | None:
    return sample["proxy_cpu_ns"] / sample["bytes"] if sample["bytes"] else None


def _resident_per_connection(sample: dict) -> float | None:
    return (sample["resident_loaded_bytes"] - sample["resident_idle_bytes"]) / sample["connections"]


def _p99_us(sample: dict) -> float | None:
    p99 = stats.histogram_percentile(sample["latency_histogram"], 0.99)
    return None if p99 is None else p99 / 1e3


CPU_PER_REQUEST = Metric("cpu_us_per_request", "us/request", "proxy CPU per request", _cpu_us_per_request)
CPU_PER_CONNECTION = replace(CPU_PER_REQUEST, unit="us/connection", title="proxy CPU per connection", digits=1)
CPU_PER_GB = Metric("cpu_s_per_gb", "CPU s/GB", "proxy CPU per GB", _cpu_s_per_gb, digits=3)
RESIDENT = Metric(
    "resident_bytes_per_connection", "B/connection", "resident memory per connection", _resident_per_connection, 0
)
P99 = Metric("p99_us", "us (p99)", "99th percentile of latency", _p99_us, digits=0)
LOST = Metric("lost_requests", "lost", "requests lost", lambda sample: float(sample["errors"]), digits=0)

SMALL_PEERS = ("ringway", "haproxy", "nginx", "envoy", "limit-copying", "direct")
SPLICING = ("haproxy-splice", "haproxy-pipes", "limit-splicing")
LARGE_PEERS = (*SMALL_PEERS, *SPLICING)
PROXIES = ("ringway", "haproxy", "nginx", "envoy")


@dataclass(frozen=True)
class Workload:
    """One line of the report.

    `load` goes to the driver. `rate_of` names the closed-loop workload whose slowest peer sets the pace of an
    open-loop one, `rate_fraction` the part of that pace. `grows_from` names the small case that this one enlarges.
    """

    name: str
    group: str
    title: str
    metric: Metric
    short: str = ""  # for plots
    load: dict = field(default_factory=dict)
    driver: str = "ringload"
    topology: Topology = Topology()
    workers: int = 1
    peers: tuple[str, ...] = PROXIES
    quick: bool = False
    summary: bool = False
    errors_void: bool = True
    rate_of: str | None = None
    rate_fraction: float = 0.0
    grows_from: str | None = None


def _echo(size: int, connections: int, **options) -> Workload:
    name = f"tcp-echo-{size // KIB}KiB-x{connections}"
    title = f"{size // KIB} KiB request and response, {connections} connection{'s' * (connections > 1)}"
    load = {"mode": "echo", "size": size, "connections": connections}
    peers = SMALL_PEERS if size < 16 * KIB else LARGE_PEERS
    options.setdefault("grows_from", f"tcp-echo-{size // KIB}KiB-x64" if connections == 1000 else None)
    short = f"{size // KIB} KiB echo × {connections:,}"
    return Workload(name, "tcp", title, CPU_PER_REQUEST, short, load, peers=peers, **options)


def _tcp() -> list[Workload]:
    shown = {(1, 64), (4, 64), (1, 1000), (64, 64), (256, 64)}
    quick = {(1, 64), (64, 64)}
    echoes = [
        _echo(size * KIB, connections, quick=(size, connections) in quick, summary=(size, connections) in shown)
        for size in (1, 4, 16, 64, 256)
        for connections in (1, 64, 1000)
    ]
    streams = [
        Workload(
            f"tcp-bulk-x{connections}",
            "tcp",
            f"bulk one way, {connections} stream{'s' * (connections > 1)}",
            CPU_PER_GB,
            f"bulk × {connections}",
            {"mode": "bulk", "size": 64 * KIB, "connections": connections},
            peers=LARGE_PEERS,
            quick=connections == 1,
            summary=connections == 1,
        )
        for connections in (1, 64)
    ]
    return echoes + streams


_CHURN = {"mode": "churn", "size": KIB, "connections": 64}
_ECHO = {"mode": "echo", "size": KIB, "connections": 64}


def _churn() -> list[Workload]:
    peers = SMALL_PEERS + ("limit-splicing",)
    title = "connect, one exchange of 1 KiB, close; 64 at a time"
    return [
        Workload(
            "tcp-churn-x64",
            "churn",
            title,
            CPU_PER_CONNECTION,
            "new connections × 64",
            _CHURN,
            peers=peers,
            quick=True,
            summary=True,
        )
    ]


def _latency() -> list[Workload]:
    return [
        Workload(
            f"tcp-latency-{percent}",
            "latency",
            f"open loop, 1 KiB over 64 connections at {percent} % of the slowest peer's saturation",
            P99,
            f"open loop, 1 KiB × 64, {percent} % of the slowest peer's saturation",
            _ECHO,
            peers=SMALL_PEERS,
            rate_of="tcp-echo-1KiB-x64",
            rate_fraction=percent / 100,
        )
        for percent in (25, 50, 75)
    ] + [
        Workload(
            "tcp-slow-readers",
            "latency",
            "64 fast connections beside 8 that write without pause and hardly read",
            P99,
            "1 KiB × 64 beside 8 slow readers",
            {**_ECHO, "slow": 8},
            peers=PROXIES,
            grows_from="tcp-echo-1KiB-x64",
        ),
    ]


def _memory() -> list[Workload]:
    peers = PROXIES + ("limit-copying",)
    idle = {"mode": "idle", "size": KIB, "connections": 9000}
    return [
        Workload(
            "memory-idle",
            "memory",
            "9,000 idle connections that carried nothing yet",
            RESIDENT,
            "not yet used",
            idle,
            peers=peers,
            summary=True,
        ),
        Workload(
            "memory-used",
            "memory",
            "9,000 idle connections after one exchange of 1 KiB each",
            RESIDENT,
            "after an exchange",
            {**idle, "touch": True},
            peers=peers,
        ),
    ]


def _reload() -> list[Workload]:
    return [
        Workload(
            f"reload-{name}",
            "reload",
            f"a changed configuration every 200 ms under {title}",
            LOST,
            load=load,
            driver="reload",
            peers=("ringway",),
            errors_void=False,
        )
        for name, title, load in (("echo", "64 busy connections", _ECHO), ("churn", "new connections", _CHURN))
    ]


def _scale() -> list[Workload]:
    def grown(name: str, title: str, metric: Metric, load: dict, small: Topology, large: Topology) -> list[Workload]:
        def at(count: int, topology: Topology, grows_from: str | None) -> Workload:
            name_at, title_at = f"scale-{name}-{count}", f"{count:,} {title}"
            return Workload(name_at, "scale", title_at, metric, load=load, topology=topology, grows_from=grows_from)

        return [at(10, small, None), at(1000, large, f"scale-{name}-10")]

    return [
        *grown(
            "listeners",
            "listeners and clusters, 1 KiB over 64 connections",
            CPU_PER_REQUEST,
            _ECHO,
            Topology(listeners=10),
            Topology(listeners=1000),
        ),
        *grown(
            "endpoints",
            "endpoints in one cluster, connect-exchange-close",
            CPU_PER_CONNECTION,
            _CHURN,
            Topology(endpoints=10),
            Topology(endpoints=1000),
        ),
    ]


def _workers() -> list[Workload]:
    base = {workload.name: workload for workload in _tcp() + _churn()}
    return [
        with_workers(base[name], 2, group="workers")
        for name in ("tcp-echo-1KiB-x64", "tcp-bulk-x64", "tcp-churn-x64")
    ]


def with_workers(workload: Workload, workers: int, group: str | None = None) -> Workload:
    """The same work for `workers` threads or processes."""
    return replace(
        workload,
        name=f"{workload.name}-w{workers}",
        title=f"{workload.title}, {workers} workers",
        workers=workers,
        group=group or workload.group,
        peers=tuple(p for p in workload.peers if not p.startswith("limit")),
        quick=False,
        summary=False,
        grows_from=workload.name,
    )


def all_workloads() -> list[Workload]:
    return [*_tcp(), *_churn(), *_latency(), *_memory(), *_reload(), *_scale(), *_workers()]


def select(workloads: list[Workload], patterns: list[str]) -> list[Workload]:
    """Those whose group or name fits one of `patterns` (`*` is a wildcard). An idle pattern is an error."""
    for pattern in patterns:
        if not any(_fits(workload, pattern) for workload in workloads):
            groups = ", ".join(dict.fromkeys(workload.group for workload in workloads))
            raise SystemExit(f"bench: nothing is called {pattern!r}; expected a name from --list or one of: {groups}")
    return [workload for workload in workloads if any(_fits(workload, pattern) for pattern in patterns)]


def _fits(workload: Workload, pattern: str) -> bool:
    return workload.group == pattern or fnmatch(workload.name, pattern)
