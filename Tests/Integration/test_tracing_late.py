"""Errors and slow requests, which are exported although they were not sampled."""

import threading
import time
import unittest
from concurrent import futures

import grpc
from hyperframe.frame import RstStreamFrame
from support import cluster, document, free_port, read_exactly, reset
from support.http2 import GET, Connection
from support.peers import sink
from support.tracing import Service, TracingCase


class Calls(grpc.GenericRpcHandler):
    """Calls that end in each way that there is."""

    def __init__(self):
        self.waiting = threading.Event()
        self.cancelled = threading.Event()

    def service(self, call):
        return {
            "Good": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
            "Break": grpc.unary_stream_rpc_method_handler(self.break_off),
            "Wait": grpc.unary_unary_rpc_method_handler(self.wait),
        }.get(call.method.rpartition("/")[2])

    def fail(self, request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this")

    def break_off(self, request, context):
        yield b"one"
        context.abort(grpc.StatusCode.DATA_LOSS, "the rest is lost")

    def wait(self, request, context):
        context.add_callback(self.cancelled.set)
        self.waiting.set()
        self.cancelled.wait(30)
        return b""


def broken(sock):
    """Answers with less than it promises."""
    sock.recv(65536)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")


def slow(sock):
    sock.recv(65536)
    time.sleep(0.05)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def switching(sock):
    """Agrees to become a tunnel, and is one until its end."""
    sock.recv(65536)
    sock.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: thing\r\nConnection: Upgrade\r\n\r\n")
    while sock.recv(65536):
        pass


class Late(TracingCase):
    def late(self, collector, settings=None, clusters=(), **more):
        tracing = {"sampling": "0%", "late": {"per_second": 1000} | (settings or {}), "upstream_spans": True}
        return self.proxy(
            tracing, [{"zipkin": {"cluster": "tracer"}}], [cluster("tracer", collector.port), *clusters], **more)

    def by_path(self, collector) -> dict[str, dict]:
        """The tags of server spans, by path."""
        return {
            span["tags"]["http.url"].split("/", 3)[3]: span["tags"]
            for span in collector.zipkin_spans if span["kind"] == "SERVER"}

    def test_errors_and_slow_requests_are_exported_within_a_rate(self):
        collector = self.collector()
        proxy = self.zipkin(
            collector, {"sampling": "0%", "late": {"per_second": 3}}, service=Service([200] + [500] * 40))
        for _ in range(40):
            self.get()
        self.eventually(lambda: len(collector.zipkin_spans) >= 3)
        dropped = proxy.metrics()("ringway_tracing_records_dropped_total", listener="edge", reason="late_limit")
        late = proxy.metrics()("ringway_tracing_decisions_total", listener="edge", reason="late")
        self.assertEqual(dropped + late, 39)
        self.assertGreater(dropped, 0)
        spans = self.spans(collector, int(late))
        self.assertTrue(all(span["tags"]["error"] == "true" for span in spans))
        self.assertTrue(all(span["tags"]["sampling.late"] == "true" for span in spans))

    def test_errors_are_exported_however_they_come_about(self):
        collector = self.collector()
        self.late(
            collector,
            clusters=[cluster("silent", self.peer(sink)), cluster("gone", free_port()), cluster("broken", self.peer(broken))],
            routes=[
                {"match": {"path": "/timeout"}, "cluster": "silent", "timeout": "100ms"},
                {"match": {"path": "/gone"}, "cluster": "gone"},
                {"match": {"path": "/broken"}, "cluster": "broken"},
                {"match": {"path": "/own"}, "respond": {"status": 503}},
                {"match": {}, "cluster": "backend"},
            ])
        self.get("/good")
        self.get("/missing")
        for path in ["/timeout", "/gone", "/broken", "/own"]:
            self.get(path)
        self.eventually(lambda: len(self.by_path(collector)) >= 4)
        tags = self.by_path(collector)
        self.assertEqual(
            {path: (tag["http.status_code"], tag["response_flags"]) for path, tag in tags.items()},
            {"timeout": ("504", "UT"), "gone": ("503", "UF"), "broken": ("200", "UC"), "own": ("503", "-")})
        for tag in tags.values():
            self.assertEqual((tag["error"], tag["sampling.late"]), ("true", "true"))
        # The tries of it come as well.
        tries = [span["tags"] for span in collector.zipkin_spans if span["kind"] == "CLIENT"]
        self.assertEqual([tag["upstream_cluster"] for tag in tries], ["silent", "gone", "broken"])
        self.assertTrue(all(tag["error"] == "true" for tag in tries))

    def test_slow_requests_are_no_errors(self):
        collector = self.collector()
        self.late(
            collector, {"errors": False, "slow_threshold": "50ms"}, [cluster("slow", self.peer(slow))],
            routes=[{"match": {"path": "/slow"}, "cluster": "slow"}, {"match": {}, "respond": {"status": 500}}])
        self.get("/error")
        self.get("/slow")
        self.eventually(lambda: self.by_path(collector))
        tags = self.by_path(collector)
        self.assertEqual(list(tags), ["slow"])
        self.assertEqual((tags["slow"]["sampling.late"], tags["slow"].get("error")), ("true", None))

    def test_tunnels_that_last_are_not_slow(self):
        collector = self.collector()
        self.late(
            collector, {"slow_threshold": "1s"}, [cluster("tunnel", self.peer(switching))],
            routes=[{"match": {"path": "/tunnel"}, "cluster": "tunnel", "upgrade": ["thing"]},
                    {"match": {}, "respond": {"status": 500}}])
        client = self.connect(self.port)
        client.sendall(b"GET /tunnel HTTP/1.1\r\nHost: a\r\nUpgrade: thing\r\nConnection: Upgrade\r\n\r\n")
        self.assertIn(b" 101 ", read_exactly(client, 13))
        time.sleep(1.1)
        client.close()
        self.get("/error")
        self.eventually(lambda: self.by_path(collector))
        self.assertEqual(list(self.by_path(collector)), ["error"])

    def test_clients_that_leave_are_no_errors(self):
        collector = self.collector()
        proxy = self.late(
            collector, clusters=[cluster("silent", self.peer(sink))],
            routes=[{"match": {"path": "/own"}, "respond": {"status": 503}}, {"match": {}, "cluster": "silent"}])
        active = "ringway_http_requests_active"
        client = self.connect(self.port)
        client.sendall(b"GET /closed HTTP/1.1\r\nHost: a\r\n\r\n")
        self.eventually(lambda: proxy.metrics().sum(active, listener="edge") == 1)
        reset(client)
        self.eventually(lambda: proxy.metrics().sum(active, listener="edge") == 0)
        two = Connection(self.connect(self.port))
        two.send(two.head(1, [(name, "/reset" if name == ":path" else value) for name, value in GET]))
        self.eventually(lambda: proxy.metrics().sum(active, listener="edge") == 1)
        two.send(RstStreamFrame(1, error_code=8))
        self.eventually(lambda: proxy.metrics().sum(active, listener="edge") == 0)
        # HTTP/2 as such is no hindrance.
        two.send(two.head(3, [(name, "/own" if name == ":path" else value) for name, value in GET]))
        self.assertEqual(two.answer(3)[0][":status"], "503")
        self.eventually(lambda: self.by_path(collector))
        self.assertEqual(list(self.by_path(collector)), ["own"])
        self.assertEqual(self.by_path(collector)["own"]["http.protocol"], "HTTP/2")

    def test_grpc_fails_in_heads_in_trailers_and_here(self):
        collector = self.collector()
        calls = Calls()
        server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[calls])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(None).wait())
        self.late(
            collector,
            clusters=[cluster("calls", port, protocol="http2"), cluster("gone", free_port(), protocol="http2")],
            routes=[{"match": {"path_prefix": "/gone/"}, "cluster": "gone"},
                    {"match": {}, "cluster": "calls", "timeout": 0}])
        channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self.addCleanup(channel.close)
        self.assertEqual(channel.unary_unary("/s/Good")(b"hello", timeout=30), b"hello")
        waiting = channel.unary_unary("/s/Wait").future(b"")
        calls.waiting.wait(30)
        waiting.cancel()
        calls.cancelled.wait(30)
        for path in ["/s/Fail", "/s/Break", "/gone/Good"]:
            with self.assertRaises(grpc.RpcError):
                list(channel.unary_stream(path)(b"", timeout=30))
        self.eventually(lambda: len(self.by_path(collector)) >= 3)
        tags = self.by_path(collector)
        self.assertEqual(
            {path: tag["grpc.status_code"] for path, tag in tags.items()},
            {"s/Fail": "9", "s/Break": "15", "gone/Good": "14"})
        for path, tag in tags.items():
            self.assertEqual(
                (tag["http.status_code"], tag["error"], tag["sampling.late"]), ("200", "true", "true"), path)
            self.assertEqual((tag["grpc.path"], tag["grpc.content_type"]), (f"/{path}", "application/grpc"))
            self.assertIn("grpc.timeout", tag)

    def test_the_next_proxy_joins_although_nobody_sampled(self):
        collector = self.collector()
        self.late(collector, service=Service([500]))
        inner, second = self.port, self.folder / "second.yaml"
        outer = free_port()
        second.write_text(document(
            [{"name": "outer", "address": f"127.0.0.1:{outer}", "http": {
                "routes": [{"match": {}, "cluster": "inner"}],
                "tracing": {"sampling": "0%", "upstream_spans": True}}}],
            [cluster("inner", inner), cluster("tracer", collector.port)],
            tracing={"exporters": [{"zipkin": {"cluster": "tracer"}}]}))
        self.started("run", str(second))
        self.assertIn("500", self.get(port=outer))
        spans = {(span["kind"], span["tags"].get("listener")): span for span in self.spans(collector, 4)}
        self.assertEqual(len({span["traceId"] for span in spans.values()}), 1)
        root = spans["SERVER", "outer"]
        self.assertNotIn("parentId", root)
        inward = [span for span in collector.zipkin_spans if span.get("parentId") == root["id"]]
        self.assertEqual([span["kind"] for span in inward], ["CLIENT"])
        self.assertEqual(spans["SERVER", "edge"]["parentId"], inward[0]["id"])
        self.assertTrue(self.service.requests[0]["traceparent"].endswith("-00"))


if __name__ == "__main__":
    unittest.main()
