"""What tests of tracing share: a service that remembers what it was told, and a proxy that exports."""

import re

from .case import Case
from .collectors import Collector
from .configuration import cluster, document
from .sockets import free_port, read_to_end

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Service:
    """Answers each request and remembers its header fields; statuses come from `answers`, then 200."""

    def __init__(self, answers=(), fields=()):
        self.requests: list[dict] = []
        self.answers = list(answers)
        # More fields of the responses, one after the other.
        self.fields = list(fields)

    def __call__(self, sock):
        pending = b""
        while data := sock.recv(65536):
            pending += data
            while b"\r\n\r\n" in pending:
                head, pending = pending.split(b"\r\n\r\n", 1)
                lines = head.decode("latin-1").split("\r\n")[1:]
                self.requests.append({k.lower(): v for k, v in (line.split(": ", 1) for line in lines)})
                status = self.answers.pop(0) if self.answers else 200
                more = self.fields.pop(0) if self.fields else b""
                sock.sendall(
                    b"HTTP/1.1 %d Some\r\nContent-Length: 2\r\nX-Version: 7\r\n%s\r\nok" % (status, more))


class TracingCase(Case):
    def collector(self, answers=()) -> Collector:
        collector = Collector(answers)
        self.addCleanup(collector.close)
        return collector

    def proxy(self, tracing=None, exporters=None, clusters=(), routes=None, service=None, name="edge",
              address="127.0.0.1", **http):
        self.port = free_port()
        self.service = service or Service()
        clusters = [cluster("backend", self.peer(self.service)), *clusters]
        routes = routes or [{"match": {}, "cluster": "backend"}]
        http = {"routes": routes} | ({} if tracing is None else {"tracing": tracing}) | http
        top = {"tracing": {"service_name": "edge", "exporters": exporters}} if exporters else {}
        self.config = document(
            [{"name": name, "address": f"{address}:{self.port}", "http": http}], clusters, **top)
        self.process = self.ringway(self.config)
        return self.process

    def zipkin(self, collector, tracing=None, **more):
        return self.proxy(
            {"sampling": "100%"} | (tracing or {}), [{"zipkin": {"cluster": "tracer"}}],
            [cluster("tracer", collector.port)], **more)

    def get(self, target="/", port=None, address="127.0.0.1", **fields: str) -> str:
        lines = [f"GET {target} HTTP/1.1", "Host: a.example", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        client = self.connect(f"{address}:{port or self.port}")
        client.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        return read_to_end(client).decode()

    def spans(self, collector, count: int) -> list[dict]:
        self.eventually(lambda: len(collector.zipkin_spans) >= count, f"there are not {count} spans")
        self.assertEqual(len(collector.zipkin_spans), count)
        return collector.zipkin_spans
