"""A program of its own: TLS connections that come and go and HTTP/2 ones that rest, which wrk and h2load cannot do.

    python3 -m ringbench.clients handshakes PORT --seconds S [--resume]
    python3 -m ringbench.clients idle PORT --connections N
    python3 -m ringbench.clients scrape PORT

It prints one line of JSON. `idle` then keeps its connections until its standard input ends; `scrape` reads /metrics
each second until then, and prints what it saw.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import resource
import select
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.request

from .certificates import CIPHER, NAME

THREADS = 8
TIMEOUT_S = 10
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
# Requests that were to be traced and left no span, and spans that nobody got.
_SPANS_DROPPED = re.compile(
    r'^ringway_tracing_(?:records_dropped_total\{[^}]*reason="full"|spans_dropped_total\{)[^}]*\} (\S+)$',
    re.MULTILINE,
)
_DATA, _HEADERS, _SETTINGS, _GOAWAY = 0, 1, 4, 7
_ACK = _END_STREAM = 1
_END_HEADERS = 4


class Failed(RuntimeError):
    """A connection did not do what it should."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="clients", description=__doc__)
    parser.add_argument("mode", choices=["handshakes", "idle", "scrape"])
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--connections", type=int, default=1)
    options = parser.parse_args()
    if options.mode == "handshakes":
        print(json.dumps(handshakes(options.port, options.seconds, options.resume)))
        return 0
    if options.mode == "scrape":
        print(json.dumps(scrape(options.port)))
        return 0
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    held, problem = [], ""
    try:
        for _ in range(options.connections):
            held.append(_rest_http2(options.port))
    except (OSError, Failed) as error:
        problem = str(error)
    print(json.dumps({"connected": len(held), "problem": problem}), flush=True)
    sys.stdin.read()
    return 0


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


# Handshakes


def handshakes(port: int, seconds: float, resume: bool) -> dict:
    """Connections with a GET each, from several threads, one after the other in each."""
    counts = [(0, 0, "")] * THREADS
    deadline = time.monotonic() + seconds

    def work(index: int) -> None:
        context, session, done, failed, problem = client_context(), None, 0, 0, ""
        while time.monotonic() < deadline and failed < 100:
            try:
                session = _connect_once(port, context, session if resume else None)
                done += 1
            except (OSError, Failed) as error:
                session, failed, problem = None, failed + 1, str(error)
        counts[index] = (done, failed, problem)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    problem = next((problem for _, _, problem in counts if problem), "")
    done, failed = (sum(count[column] for count in counts) for column in (0, 1))
    return {"requests": done, "errors": failed, "problem": problem}


def _connect_once(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSession:
    """The session, which in TLS 1.3 comes with the first bytes after the handshake."""
    with _connect_tls(port, context, session) as secured:
        secured.sendall(f"GET /0/0 HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: secured.recv(65536), b""))
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise Failed(f"answered {answer[:40]!r}")
        if session is not None and not secured.session_reused:
            raise Failed("the session was not resumed")
        if secured.session is None or not secured.session.has_ticket:
            raise Failed("no ticket")
        return secured.session


def _connect_tls(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    secured = context.wrap_socket(plain, server_hostname=NAME, session=session)
    if (secured.cipher() or ("",))[0] != CIPHER:
        secured.close()
        raise Failed(f"cipher {secured.cipher()}")
    return secured


# Metrics


def scrape(port: int) -> dict:
    """Reads all metrics each second until standard input ends, and once more; how often, and what became of spans."""
    count = 0
    while True:
        ended = bool(select.select([sys.stdin], [], [], 1 if count else 0)[0])
        # As Prometheus asks.
        request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept-Encoding": "gzip"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            page = answer.read()
        count += 1
        if ended:
            if answer.headers["Content-Encoding"] == "gzip":
                page = gzip.decompress(page)
            dropped = _SPANS_DROPPED.findall(page.decode())
            return {"scrapes": count, "spans_dropped": sum(map(float, dropped))}


# Idle connections


def _rest_http2(port: int) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)
    try:
        _exchange_http2(plain)
    except (OSError, Failed):
        plain.close()
        raise
    return plain


def _exchange_http2(plain: socket.socket) -> None:
    """One GET (RFC 9113 sections 3.4 and 8.1; the field block is of RFC 7541's static table and literals)."""
    get, http, path, authority = b"\x82", b"\x86", b"\x04", b"\x01"
    fields = get + http + path + _literal(b"/1024/0") + authority + _literal(NAME.encode())
    plain.sendall(_PREFACE + _frame(_SETTINGS) + _frame(_HEADERS, _END_STREAM | _END_HEADERS, 1, fields))
    buffered, content = b"", 0
    while True:
        while len(buffered) < 9 or len(buffered) < 9 + int.from_bytes(buffered[:3]):
            buffered += _some(plain)
        length, kind, flags = int.from_bytes(buffered[:3]), buffered[3], buffered[4]
        buffered = buffered[9 + length :]
        if kind == _SETTINGS and not flags & _ACK:
            plain.sendall(_frame(_SETTINGS, _ACK))
        elif kind == _GOAWAY:
            raise Failed("GOAWAY")
        elif kind in (_DATA, _HEADERS):
            content += length if kind == _DATA else 0
            if flags & _END_STREAM:
                break
    if content != 1024:
        raise Failed(f"{content} bytes of content")


def _literal(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def _frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3) + struct.pack(">BBI", kind, flags, stream) + payload


def _some(connection: socket.socket) -> bytes:
    received = connection.recv(65536)
    if not received:
        raise Failed("ended early")
    return received


if __name__ == "__main__":
    sys.exit(main())
