"""What is measured. A workload is data: a driver that produces the load, its parameters, and a metric.

A new protocol adds its driver to `drivers.DRIVERS`, its load generator to `tools`, and lines here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch

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


def _echo(size: int, connections: int, **options) -> Workload:
    name = f"tcp-echo-{size // KIB}KiB-x{connections}"
    title = f"{size // KIB} KiB request and response, {connections} connection{'s' * (connections > 1)}"
    load = {"mode": "echo", "size": size, "connections": connections}
    peers = SMALL_PEERS if size < 16 * KIB else LARGE_PEERS
    options.setdefault("grows_from", f"tcp-echo-{size // KIB}KiB-x64" if connections == 1000 else None)
    short = f"TCP, {size // KIB} KiB echo × {connections:,}"
    return Workload(name, "tcp", title, CPU_PER_REQUEST, short, load, peers=peers, **options)


def _tcp() -> list[Workload]:
    shown = {(1, 64), (4, 64), (1, 1000), (64, 64), (256, 64)}
    quick = {(1, 64)}
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
            f"TCP, bulk × {connections:,}",
            {"mode": "bulk", "size": 64 * KIB, "connections": connections},
            peers=LARGE_PEERS,
            time_factor=2.0 if connections == 1000 else 1.0,
            quick=connections == 1,
            summary=connections == 1,
        )
        for connections in (1, 64, 1000)
    ]
    return echoes + streams


def _size_name(size: int) -> str:
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if size and size % unit == 0:
            return f"{size // unit}{name}"
    return f"{size}B"


def _http_load(kind: str, size: int, connections: int, **more) -> dict:
    return {"mode": "echo", "http": kind, "size": size, "connections": connections, **more}


def _http_message(kind: str, size: int, connections: int) -> Workload:
    method, noun = kind.upper(), {"get": "responses", "post": "requests"}[kind]
    shown = {("get", 1, 64), ("get", 1, 1000), ("get", 64, 64), ("get", 1024, 64), ("post", 64, 64)}
    quick = {("get", 1, 64)}
    key = (kind, size / KIB, connections)
    return Workload(
        f"http-{kind}-{_size_name(size)}-x{connections}",
        "http",
        f"{method}, {noun} of {_size_name(size)}, {connections} keep-alive connections",
        CPU_PER_REQUEST,
        f"{method} {_size_name(size)} × {connections:,}",
        _http_load(kind, size, connections),
        peers=HTTP_LARGE_PEERS if size >= LARGE else HTTP_PEERS,
        quick=key in quick,
        summary=key in shown,
        grows_from=f"http-{kind}-{_size_name(size)}-x64" if connections == 1000 else None,
        # All of them advance together, so the first are complete when nearly all the bytes have passed.
        time_factor=3.0 if size * connections > 512 * MIB else 1.0,
    )


def _http() -> list[Workload]:
    return [
        _http_message(kind, size, connections)
        for kind in ("get", "post")
        for size in (0, KIB, 4 * KIB, 64 * KIB, MIB)
        for connections in (10, 64, 1000)
        # 4 KiB is there for the promises that name it.
        if size != 4 * KIB or (kind == "get" and connections > 10)
    ]


_CHURN = {"mode": "churn", "size": KIB, "connections": 64}
_ECHO = {"mode": "echo", "size": KIB, "connections": 64}
_GET = _http_load("get", KIB, 64)


def _churn() -> list[Workload]:
    return [
        Workload(
            "tcp-churn-x64",
            "churn",
            "connect, one exchange of 1 KiB, close; 64 at a time",
            CPU_PER_CONNECTION,
            "TCP, new connections × 64",
            _CHURN,
            peers=SMALL_PEERS + ("limit-splicing",),
            quick=True,
            summary=True,
        ),
        Workload(
            "http-churn-x64",
            "churn",
            "a new connection for each GET of 1 KiB, upstreams pooled; 64 at a time",
            replace(CPU_PER_CONNECTION, unit="us/request", title="proxy CPU per request"),
            "GET 1 KiB, new connections × 64",
            _GET | {"mode": "churn"},
            peers=HTTP_PEERS,
            summary=True,
        ),
    ]


def _open_loop(protocol: str, load: dict, saturation: str, peers: tuple[str, ...]) -> list[Workload]:
    pace = "of the slowest peer's saturation"
    return [
        Workload(
            f"{protocol}-latency-{percent}",
            "latency",
            f"open loop, {protocol.upper()}, 1 KiB over 64 connections at {percent} % {pace}",
            P99,
            f"open loop, {protocol.upper()} 1 KiB × 64, {percent} % {pace}",
            load,
            peers=peers,
            rate_of=saturation,
            rate_fraction=percent / 100,
        )
        for percent in (25, 50, 75)
    ]


def _latency() -> list[Workload]:
    return [
        *_open_loop("tcp", _ECHO, "tcp-echo-1KiB-x64", SMALL_PEERS),
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
        *_open_loop("http", _GET, "http-get-1KiB-x64", HTTP_PEERS),
        Workload(
            "http-slow-readers",
            "latency",
            "GET of 1 KiB over 64 connections beside 8 that asked for 64 MiB and hardly read",
            P99,
            "GET 1 KiB × 64 beside 8 slow readers",
            {**_GET, "slow": 8},
            peers=PROXIES,
            grows_from="http-get-1KiB-x64",
        ),
    ]


def _memory() -> list[Workload]:
    peers = PROXIES + ("limit-copying",)
    idle = {"mode": "idle", "size": KIB, "connections": 9000}
    return [replace(workload, rounds=FEW_ROUNDS, overhead_s=1.5) for workload in _idle_connections(peers, idle)]


def _idle_connections(peers: tuple[str, ...], idle: dict) -> list[Workload]:
    return [
        Workload(
            "memory-idle",
            "memory",
            "9,000 idle connections that carried nothing yet",
            RESIDENT,
            "idle TCP",
            idle,
            peers=peers,
            summary=True,
        ),
        Workload(
            "memory-used",
            "memory",
            "9,000 idle connections after one exchange of 1 KiB each",
            RESIDENT,
            "idle TCP after an exchange",
            {**idle, "touch": True},
            peers=peers,
        ),
        Workload(
            "memory-http-idle",
            "memory",
            "10,000 idle HTTP keep-alive connections after one GET of 1 KiB each",
            RESIDENT,
            "idle HTTP/1.1",
            _http_load("get", KIB, 10000, mode="idle", touch=True),
            peers=PROXIES + ("limit-forwarding",),
            summary=True,
        ),
        Workload(
            "memory-websocket-idle",
            "memory",
            "9,000 idle WebSockets, each with its connection to the backend",
            RESIDENT,
            "idle WebSocket",
            _http_load("upgrade", 0, 9000, mode="idle", touch=True),
            features=frozenset({"upgrade"}),
            summary=True,
        ),
    ]


_KEPT_TLS = {"mode": "echo", "http": "get", "connections": 64}


def _tls() -> list[Workload]:
    def handshakes(kind: str, title: str, **load) -> Workload:
        return Workload(
            f"tls-handshake-{kind}",
            "tls",
            f"a new TLS connection for each GET of 0 bytes, {title}; 8 at a time",
            CPU_PER_CONNECTION,
            f"TLS handshakes, {kind}",
            {"mode": "churn", "http": "get", "size": 0, "connections": 8, **load},
            driver="handshakes",
            features=frozenset({"tls"}),
            summary=True,
        )

    return [
        *(
            Workload(
                f"tls-get-{_size_name(size)}-x64",
                "tls",
                f"HTTPS/1.1 GET, responses of {_size_name(size)}, 64 keep-alive connections",
                CPU_PER_REQUEST,
                f"HTTPS GET {_size_name(size)} × 64",
                _KEPT_TLS | {"size": size},
                driver="wrk",
                time_factor=2.0,  # the handshakes are in the account, and wrk knows only whole seconds
                overhead_s=1.0,
                features=frozenset({"tls"}),
                summary=True,
                quick=size == KIB,
            )
            for size in (KIB, 64 * KIB)
        ),
        handshakes("full", "full handshakes"),
        handshakes("resumed", "resumed sessions", resume=True),
        *_flood(),
        Workload(
            "tls-memory-idle",
            "tls",
            "9,000 idle TLS connections after one GET of 1 KiB each",
            RESIDENT,
            "idle HTTPS",
            _http_load("get", KIB, 9000, mode="idle"),
            driver="resting",
            features=frozenset({"tls"}),
            summary=True,
            rounds=FEW_ROUNDS,
            overhead_s=6,
        ),
    ]


def _flood() -> list[Workload]:
    """What a flood of handshakes does to the connections that stand: the same open loop without and with it."""
    calm = Workload(
        "tls-p99-calm",
        "tls",
        "open loop, HTTPS, 1 KiB over 64 kept connections at 20 % of the slowest peer's saturation",
        P99,
        "HTTPS 1 KiB × 64, a fifth of saturation",
        _KEPT_TLS | {"size": KIB},
        driver="tlsload",
        features=frozenset({"tls"}),
        rate_of="tls-get-1KiB-x64",
        rate_fraction=0.2,
    )
    flooded = replace(
        calm,
        name="tls-p99-flood",
        title=f"{calm.title}, beside 64 clients that begin handshakes without pause",
        short=f"{calm.short}, flood of handshakes",
        load=calm.load | {"flood": 64},
        grows_from=calm.name,
    )
    return [calm, flooded]


def _http2_message(over: str, upstream: str, size: int, streams: int) -> Workload:
    """`over` is "h2c" or "h2s" (TLS), `upstream` "h1" or "h2"."""
    titles = {"h2c": "HTTP/2 without TLS", "h2s": "HTTP/2 over TLS", "h1": "HTTP/1.1", "h2": "HTTP/2"}
    features = {"h2"} | ({"tls"} if over == "h2s" else set()) | ({"h2-upstream"} if upstream == "h2" else set())
    return Workload(
        f"{over}-{upstream}-get-{_size_name(size)}-10x{streams}",
        "h2",
        f"{titles[over]} to {titles[upstream]}, GET, responses of {_size_name(size)}, "
        f"10 connections with {streams} streams each",
        CPU_PER_REQUEST,
        f"{over} to {upstream}, GET {_size_name(size)} 10 × {streams}",
        {"mode": "echo", "http": "get", "size": size, "connections": 10, "streams": streams},
        driver="h2load",
        # nginx speaks HTTP/1.1 with endpoints.
        peers=PROXIES if upstream == "h1" else tuple(peer for peer in PROXIES if peer != "nginx"),
        features=frozenset(features),
        summary=(size, streams) == (KIB, 10),
        quick=(over, upstream, size, streams) == ("h2c", "h1", KIB, 10),
    )


def _grpc() -> list[Workload]:
    def unary(over: str, streams: int) -> Workload:
        titles = {"h2c": "without TLS", "h2s": "over TLS"}
        return Workload(
            f"grpc-{over}-unary-1KiB-10x{streams}",
            "grpc",
            f"unary gRPC calls {titles[over]}, HTTP/2 to HTTP/2, messages of 1 KiB both ways, "
            f"10 connections with {streams} calls each",
            replace(CPU_PER_REQUEST, unit="us/call", title="proxy CPU per call"),
            f"gRPC unary 1 KiB, {over}, 10 × {streams}",
            {"mode": "echo", "http": "grpc", "size": KIB, "connections": 10, "streams": streams},
            driver="h2load",
            features=frozenset({"h2", "h2-upstream", "grpc"} | ({"tls"} if over == "h2s" else set())),
            summary=(over, streams) == ("h2c", 10),
        )

    return [unary(over, streams) for over in ("h2c", "h2s") for streams in (10, 100)]


def _balance() -> list[Workload]:
    return [
        Workload(
            "balance-h2c-x8-w2",
            "workers",
            "8 busy HTTP/2 connections on two workers: CPU time of the busier one against the mean of both",
            IMBALANCE,
            "8 HTTP/2 connections on two workers",
            {"mode": "balance", "http": "get", "size": KIB, "connections": 8, "streams": 10},
            driver="balance",
            workers=2,
            features=frozenset({"h2"}),
            overhead_s=1.5,
        )
    ]


def _http2() -> list[Workload]:
    return [
        *(
            _http2_message(over, upstream, size, streams)
            for over in ("h2c", "h2s")
            for upstream in ("h1", "h2")
            for size in (KIB, 64 * KIB)
            for streams in (10, 100)
        ),
        Workload(
            "h2c-memory-idle",
            "h2",
            "9,000 idle HTTP/2 connections after one GET of 1 KiB each",
            RESIDENT,
            "idle HTTP/2",
            _http_load("get", KIB, 9000, mode="idle"),
            driver="resting",
            features=frozenset({"h2"}),
            summary=True,
            rounds=FEW_ROUNDS,
            overhead_s=6,
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
        for name, title, load in (
            ("echo", "64 busy connections", _ECHO),
            ("churn", "new connections", _CHURN),
            ("http", "GET over 64 busy keep-alive connections", _GET),
            ("http-churn", "GET over new connections", _GET | {"mode": "churn"}),
        )
    ]


def _scale() -> list[Workload]:
    def grown(name: str, title: str, metric: Metric, load: dict, *steps: tuple[int, Topology]) -> list[Workload]:
        first = f"scale-{name}-{steps[0][0]}"
        return [
            Workload(
                f"scale-{name}-{count}",
                "scale",
                f"{count:,} {title}",
                metric,
                load=load,
                topology=topology,
                grows_from=None if (count, topology) == steps[0] else first,
                overhead_s=0.35 if count < 1000 else 1.5,
            )
            for count, topology in steps
        ]

    return [
        *grown(
            "listeners",
            "listeners and clusters, 1 KiB over 64 connections",
            CPU_PER_REQUEST,
            _ECHO,
            *((count, Topology(listeners=count)) for count in (10, 1000)),
        ),
        *grown(
            "endpoints",
            "endpoints in one cluster, connect-exchange-close",
            CPU_PER_CONNECTION,
            _CHURN,
            *((count, Topology(endpoints=count)) for count in (10, 1000)),
        ),
        *grown(
            "http-routes",
            "routes by prefix, all used, GET of 1 KiB over 64 connections",
            CPU_PER_REQUEST,
            _GET,
            *((count, Topology(routes=count)) for count in (10, 1000, 10000)),
        ),
        *grown(
            "http-clusters",
            "clusters with a route each, all used, GET of 1 KiB over 64 connections",
            CPU_PER_REQUEST,
            _GET,
            *((count, Topology(routes=count, clusters=count)) for count in (10, 1000)),
        ),
        *grown(
            "http-endpoints",
            "endpoints in one cluster, GET of 1 KiB over 64 connections",
            CPU_PER_REQUEST,
            _GET,
            *((count, Topology(endpoints=count)) for count in (10, 1000)),
        ),
    ]


def _featured() -> list[Workload]:
    return [
        Workload(
            "featured-get-1KiB-x64",
            "featured",
            "GET, responses of 1KiB, 64 keep-alive connections; JSON access log, five filters, 100 routes",
            CPU_PER_REQUEST,
            "GET 1 KiB × 64, log, filters, routes",
            _GET,
            topology=Topology(routes=100),
            features=frozenset({"featured"}),
            summary=True,
            grows_from="http-get-1KiB-x64",
        )
    ]


def _observed() -> list[Workload]:
    """What it costs Ringway to be watched: it beside itself with more turned on."""
    many = Topology(routes=2000, clusters=2000, endpoints=5)
    return [
        Workload(
            "observed-get-1KiB-x64",
            "observed",
            "GET, responses of 1 KiB, 64 keep-alive connections; request ids, metrics and traces",
            CPU_PER_REQUEST,
            "GET 1 KiB × 64, observed",
            _GET,
            peers=("ringway", "ringway-observed", "ringway-traced"),
            time_factor=1.5,
        ),
        Workload(
            "observed-scrape-p99",
            "observed",
            "open loop at 50 % of saturation, 2,000 clusters, 10,000 endpoints, metrics read each second",
            P99,
            "GET 1 KiB × 64, 10,000 endpoints, metrics read each second",
            _GET,
            peers=("ringway", "ringway-scraped"),
            topology=many,
            rate_of="http-get-1KiB-x64",
            rate_fraction=0.5,
            time_factor=4.0,
            overhead_s=1.5,
        ),
    ]


def _workers() -> list[Workload]:
    base = {workload.name: workload for workload in _tcp() + _http() + _churn()}
    return [
        with_workers(base[name], 2, group="workers")
        for name in ("tcp-echo-1KiB-x64", "tcp-bulk-x64", "tcp-churn-x64", "http-get-1KiB-x64")
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
    return [
        *(*_tcp(), *_http(), *_featured(), *_tls(), *_http2(), *_grpc(), *_churn()),
        *(*_latency(), *_memory(), *_reload(), *_scale(), *_workers(), *_balance(), *_observed()),
    ]


def select(workloads: list[Workload], patterns: list[str]) -> list[Workload]:
    """Those whose group, name or first word of the name fits one of `patterns` (`*` is a wildcard in names).

    A pattern that fits nothing is an error.
    """
    for pattern in patterns:
        if not any(_fits(workload, pattern) for workload in workloads):
            groups = ", ".join(dict.fromkeys(workload.group for workload in workloads))
            raise SystemExit(f"bench: nothing is called {pattern!r}; expected a name from --list or one of: {groups}")
    return [workload for workload in workloads if any(_fits(workload, pattern) for pattern in patterns)]


def _fits(workload: Workload, pattern: str) -> bool:
    return pattern in (workload.group, workload.name.partition("-")[0]) or fnmatch(workload.name, pattern)
