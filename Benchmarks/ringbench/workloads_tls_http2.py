"""The workloads of TLS, HTTP/2 and gRPC, whose load other programs than ringload make."""

from __future__ import annotations

from dataclasses import replace

from .workload import (
    CPU_PER_CONNECTION,
    CPU_PER_REQUEST,
    FEW_ROUNDS,
    HTTP2_PEERS,
    IMBALANCE,
    KIB,
    P99,
    PROXIES,
    RESIDENT,
    Workload,
    http_load,
    size_name,
)

KEPT_TLS = {"mode": "echo", "http": "get", "connections": 64}


def tls() -> list[Workload]:
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
                f"tls-get-{size_name(size)}-x64",
                "tls",
                f"HTTPS/1.1 GET, responses of {size_name(size)}, 64 keep-alive connections",
                CPU_PER_REQUEST,
                f"HTTPS GET {size_name(size)} × 64",
                KEPT_TLS | {"size": size},
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
        _idle("tls", "TLS", "idle HTTPS"),
    ]


def _idle(feature: str, kind: str, short: str) -> Workload:
    return Workload(
        f"{feature}-memory-idle",
        "memory",
        f"9,000 idle {kind} connections after one GET of 1 KiB each",
        RESIDENT,
        short,
        http_load("get", KIB, 9000, mode="idle"),
        driver="resting",
        features=frozenset({feature}),
        summary=True,
        rounds=FEW_ROUNDS,
        overhead_s=6,
    )


def _flood() -> list[Workload]:
    """What a flood of handshakes does to the connections that stand: the same open loop without and with it."""
    calm = Workload(
        "tls-p99-calm",
        "tls",
        "open loop, HTTPS, 1 KiB over 64 kept connections at 20 % of the slowest peer's saturation",
        P99,
        "HTTPS 1 KiB × 64, a fifth of saturation",
        KEPT_TLS | {"size": KIB},
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
        f"{over}-{upstream}-get-{size_name(size)}-10x{streams}",
        "h2",
        f"{titles[over]} to {titles[upstream]}, GET, responses of {size_name(size)}, "
        f"10 connections with {streams} streams each",
        CPU_PER_REQUEST,
        f"{over} to {upstream}, GET {size_name(size)} 10 × {streams}",
        {"mode": "echo", "http": "get", "size": size, "connections": 10, "streams": streams},
        driver="h2load",
        # nginx speaks HTTP/1.1 with endpoints.
        peers=PROXIES if upstream == "h1" else HTTP2_PEERS[over],
        features=frozenset(features),
        summary=(size, streams) == (KIB, 10),
        quick=(over, upstream, size, streams) == ("h2c", "h1", KIB, 10),
    )


def http2() -> list[Workload]:
    return [
        *(
            _http2_message(over, upstream, size, streams)
            for over in ("h2c", "h2s")
            for upstream in ("h1", "h2")
            for size in (KIB, 64 * KIB)
            for streams in (10, 100)
        ),
        _idle("h2", "HTTP/2", "idle HTTP/2"),
    ]


def grpc() -> list[Workload]:
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
            peers=(*PROXIES, "direct") if over == "h2c" else PROXIES,
            features=frozenset({"h2", "h2-upstream", "grpc"} | ({"tls"} if over == "h2s" else set())),
            summary=(over, streams) == ("h2c", 10),
        )

    return [unary(over, streams) for over in ("h2c", "h2s") for streams in (10, 100)]


def balance() -> list[Workload]:
    return [
        Workload(
            "balance-h2c-x8-w2",
            "workers",
            "8 busy HTTP/2 connections on two workers: CPU time of the busier one against the mean of both",
            IMBALANCE,
            "8 HTTP/2 connections on two workers",
            {"mode": "balance", "http": "get", "size": KIB, "connections": 8, "streams": 10},
            driver="balance",
            time_factor=2.0,
            workers=2,
            peers=("ringway", "ringway-reuseport", "haproxy", "nginx", "envoy"),
            features=frozenset({"h2"}),
            overhead_s=1.5,
        )
    ]
