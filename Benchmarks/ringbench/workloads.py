"""What is measured: the list of workloads.

A new protocol adds its driver to `drivers.DRIVERS`, its load generator to `tools`, and lines here.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatch

from .topology import Topology
from .workload import (
    CHURN,
    CPU_PER_CONNECTION,
    CPU_PER_GB,
    CPU_PER_REQUEST,
    ECHO,
    FEW_ROUNDS,
    GET,
    HTTP_LARGE_PEERS,
    HTTP_PEERS,
    KIB,
    LARGE,
    LARGE_PEERS,
    LOST,
    MIB,
    P99,
    PROXIES,
    RESIDENT,
    SMALL_PEERS,
    Metric,
    Workload,
    http_load,
    size_name,
    with_workers,
)
from .workloads_tls_http2 import balance, grpc, http2, tls


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


def _http_message(kind: str, size: int, connections: int) -> Workload:
    method, noun = kind.upper(), {"get": "responses", "post": "requests"}[kind]
    shown = {("get", 1, 64), ("get", 1, 1000), ("get", 64, 64), ("get", 1024, 64), ("post", 64, 64)}
    quick = {("get", 1, 64)}
    key = (kind, size / KIB, connections)
    return Workload(
        f"http-{kind}-{size_name(size)}-x{connections}",
        "http",
        f"{method}, {noun} of {size_name(size)}, {connections} keep-alive connections",
        CPU_PER_REQUEST,
        f"{method} {size_name(size)} × {connections:,}",
        http_load(kind, size, connections),
        peers=HTTP_LARGE_PEERS if size >= LARGE else HTTP_PEERS,
        quick=key in quick,
        summary=key in shown,
        grows_from=f"http-{kind}-{size_name(size)}-x64" if connections == 1000 else None,
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


def _churn() -> list[Workload]:
    return [
        Workload(
            "tcp-churn-x64",
            "churn",
            "connect, one exchange of 1 KiB, close; 64 at a time",
            CPU_PER_CONNECTION,
            "TCP, new connections × 64",
            CHURN,
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
            GET | {"mode": "churn"},
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
        *_open_loop("tcp", ECHO, "tcp-echo-1KiB-x64", SMALL_PEERS),
        Workload(
            "tcp-slow-readers",
            "latency",
            "64 fast connections beside 8 that write without pause and hardly read",
            P99,
            "1 KiB × 64 beside 8 slow readers",
            {**ECHO, "slow": 8},
            peers=PROXIES,
            grows_from="tcp-echo-1KiB-x64",
        ),
        *_open_loop("http", GET, "http-get-1KiB-x64", HTTP_PEERS),
        Workload(
            "http-slow-readers",
            "latency",
            "GET of 1 KiB over 64 connections beside 8 that asked for 64 MiB and hardly read",
            P99,
            "GET 1 KiB × 64 beside 8 slow readers",
            {**GET, "slow": 8},
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
            http_load("get", KIB, 10000, mode="idle", touch=True),
            peers=PROXIES + ("limit-forwarding",),
            summary=True,
        ),
        Workload(
            "memory-websocket-idle",
            "memory",
            "9,000 idle WebSockets, each with its connection to the backend",
            RESIDENT,
            "idle WebSocket",
            http_load("upgrade", 0, 9000, mode="idle", touch=True),
            features=frozenset({"upgrade"}),
            summary=True,
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
            ("echo", "64 busy connections", ECHO),
            ("churn", "new connections", CHURN),
            ("http", "GET over 64 busy keep-alive connections", GET),
            ("http-churn", "GET over new connections", GET | {"mode": "churn"}),
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
            ECHO,
            *((count, Topology(listeners=count)) for count in (10, 1000)),
        ),
        *grown(
            "endpoints",
            "endpoints in one cluster, connect-exchange-close",
            CPU_PER_CONNECTION,
            CHURN,
            *((count, Topology(endpoints=count)) for count in (10, 1000)),
        ),
        *grown(
            "http-routes",
            "routes by prefix, all used, GET of 1 KiB over 64 connections",
            CPU_PER_REQUEST,
            GET,
            *((count, Topology(routes=count)) for count in (10, 1000, 10000)),
        ),
        *grown(
            "http-clusters",
            "clusters with a route each, all used, GET of 1 KiB over 64 connections",
            CPU_PER_REQUEST,
            GET,
            *((count, Topology(routes=count, clusters=count)) for count in (10, 1000)),
        ),
        *grown(
            "http-endpoints",
            "endpoints in one cluster, GET of 1 KiB over 64 connections",
            CPU_PER_REQUEST,
            GET,
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
            GET,
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
            GET,
            peers=("ringway", "ringway-observed", "ringway-traced"),
            time_factor=1.5,
        ),
        Workload(
            "observed-scrape-p99",
            "observed",
            "open loop at 50 % of saturation, 2,000 clusters, 10,000 endpoints, metrics read each second",
            P99,
            "GET 1 KiB × 64, 10,000 endpoints, metrics read each second",
            GET,
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


def all_workloads() -> list[Workload]:
    return [
        *(
            *_tcp(),
            *_http(),
            *_featured(),
            *tls(),
            *http2(),
            *grpc(),
            *_churn(),
        ),
        *(*_latency(), *_memory(), *_reload(), *_scale(), *_workers(), *balance(), *_observed()),
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
