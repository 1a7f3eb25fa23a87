"""What a workload is: a driver that produces the load, its parameters, and a metric. `workloads` lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from . import stats
from .topology import Topology

KIB, MIB = 1 << 10, 1 << 20


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


def _imbalance(sample: dict) -> float | None:
    return sample["imbalance"]


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
IMBALANCE = Metric("imbalance", "busiest/mean", "CPU of the busiest worker against the mean", _imbalance)
LOST = Metric("lost_requests", "lost", "requests lost", lambda sample: float(sample["errors"]), digits=0)

SMALL_PEERS = ("ringway", "haproxy", "nginx", "envoy", "limit-copying", "direct")
SPLICING = ("haproxy-splice", "haproxy-pipes", "limit-splicing")
LARGE_PEERS = (*SMALL_PEERS, *SPLICING)
PROXIES = ("ringway", "haproxy", "nginx", "envoy")
HTTP_PEERS = (*PROXIES, "limit-forwarding", "direct")
HTTP_LARGE_PEERS = (*HTTP_PEERS, "haproxy-splice")
# To endpoints that speak HTTP/2, which have no TLS.
HTTP2_PEERS = {"h2c": ("ringway", "haproxy", "envoy", "direct"), "h2s": ("ringway", "haproxy", "envoy")}
LARGE = 64 * KIB
# An interval needs three.
FEW_ROUNDS = 3


@dataclass(frozen=True)
class Workload:
    """One line of the report.

    `load` goes to the driver; with `http` in it the proxies speak HTTP. `rounds` is how many are enough where figures
    hardly vary, `overhead_s` what a run takes beside its window. `rate_of` names the closed-loop workload
    whose slowest peer sets the pace of an open-loop one, `rate_fraction` the part of that pace. `grows_from` names
    the small case that this one enlarges.
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
    features: frozenset[str] = frozenset()  # what the configurations turn on
    time_factor: float = 1.0  # of warm-up and window
    rounds: int | None = None
    overhead_s: float = 0.35

    @property
    def protocol(self) -> str:
        return "http" if "http" in self.load else "tcp"


def size_name(size: int) -> str:
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size}B"


def http_load(kind: str, size: int, connections: int, **more) -> dict:
    return {"mode": "echo", "http": kind, "size": size, "connections": connections, **more}


CHURN = {"mode": "churn", "size": KIB, "connections": 64}
ECHO = {"mode": "echo", "size": KIB, "connections": 64}
GET = http_load("get", KIB, 64)


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
