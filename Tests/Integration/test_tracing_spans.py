"""What spans say, seen through Zipkin's eyes."""

import os
import time
import unittest

from support import read_exactly
from support.tracing import Service, TracingCase


class Spans(TracingCase):
    def test_a_span_says_what_envoys_say(self):
        collector = self.collector()
        self.zipkin(collector, {"tags": {"team": "web-%REQ(X-TEAM)%", "version": "%RESP(X-VERSION)%"}})
        before = time.time() * 1e6
        self.get("/some/path?q=1", x_request_id="mine", x_team="one", User_Agent="test", x_client_trace_id="c")
        span = self.spans(collector, 1)[0]
        tags = span["tags"]
        self.assertEqual(span["kind"], "SERVER")
        self.assertEqual(span["name"], "a.example")
        self.assertEqual(span["localEndpoint"], {"serviceName": "edge"})
        self.assertEqual(span["traceId"], self.service.requests[0]["traceparent"][3:35])
        self.assertEqual(span["id"], self.service.requests[0]["traceparent"][36:52])
        self.assertLess(abs(span["timestamp"] - before), 20e6)
        expected = {
            "component": "proxy", "guid:x-request-id": "mine", "guid:x-client-trace-id": "c",
            "http.method": "GET", "http.url": "http://a.example/some/path?q=1", "http.protocol": "HTTP/1.1",
            "http.status_code": "200", "user_agent": "test", "downstream_cluster": "-", "response_flags": "-",
            "upstream_cluster": "backend", "upstream_cluster.name": "backend", "request_size": "0",
            "response_size": "2", "team": "web-one", "version": "7",
        }
        self.assertEqual({key: tags.get(key) for key in expected}, expected)
        self.assertTrue(tags["upstream_address"].startswith("127.0.0.1:"))
        self.assertTrue(tags["peer.address"].startswith("127.0.0.1:"))

    def test_each_try_is_a_span(self):
        collector = self.collector()
        self.zipkin(
            collector, {"upstream_spans": True}, service=Service([503]),
            routes=[{"match": {}, "cluster": "backend", "retry": {"on": [503], "attempts": 2}}])
        self.get()
        server, first, second = self.spans(collector, 3)
        self.assertEqual([server["kind"], first["kind"], second["kind"]], ["SERVER", "CLIENT", "CLIENT"])
        self.assertEqual([first["parentId"], second["parentId"]], [server["id"]] * 2)
        self.assertEqual([first["tags"]["http.status_code"], first["tags"]["error"]], ["503", "true"])
        self.assertEqual([second["tags"]["http.status_code"], second["tags"]["retry.count"]], ["200", "1"])
        self.assertEqual(
            [request["traceparent"][36:52] for request in self.service.requests], [first["id"], second["id"]])

    def test_names_come_from_requests_routes_and_formats(self):
        collector = self.collector()
        routes = [
            {"match": {"path": "/named"}, "cluster": "backend", "tracing": {"operation": "search"}},
            {"match": {}, "cluster": "backend"}]
        self.zipkin(collector, routes=routes)
        self.get("/named")
        self.get("/named", x_envoy_decorator_operation="better")
        self.get("/")
        names = [span["name"] for span in self.spans(collector, 3)]
        self.assertEqual(names, ["search", "better", "a.example"])
        collector = self.collector()
        self.zipkin(collector, {"operation": "%REQ(:METHOD)% %REQ(:PATH)%"}, routes=routes)
        self.get("/named", x_envoy_decorator_operation="better")
        self.assertEqual(self.spans(collector, 1)[0]["name"], "GET /named")

    def test_operations_are_told_to_both_sides(self):
        collector = self.collector()
        routes = [
            {"match": {"path": "/told"}, "cluster": "backend",
             "tracing": {"operation": "search", "propagate_operation": True}},
            {"match": {}, "cluster": "backend", "tracing": {"operation": "mine"}}]
        service = Service(fields=[b"X-Envoy-Decorator-Operation: index.find\r\n", b"", b""])
        self.zipkin(collector, {"upstream_spans": True}, service=service, routes=routes)
        told = self.get("/told")
        self.assertIn("x-envoy-decorator-operation: search\r\n", told)
        self.assertNotIn("index.find", told)
        self.assertNotIn("x-envoy-decorator-operation", self.get("/"))
        self.assertEqual(
            [request.get("x-envoy-decorator-operation") for request in service.requests], ["search", None])
        names = [(span["kind"], span["name"]) for span in self.spans(collector, 4)]
        self.assertEqual(names, [("SERVER", "search"), ("CLIENT", "index.find"), ("SERVER", "mine"),
                                 ("CLIENT", "router backend egress")])
        # Nor is a client that has a name for it itself, and the next service is told the route's.
        self.assertNotIn("x-envoy-decorator-operation", self.get("/told", x_envoy_decorator_operation="better"))
        self.assertEqual(service.requests[-1]["x-envoy-decorator-operation"], "search")
        # A stranger is told nothing.
        self.zipkin(collector, routes=routes, use_remote_address=True)
        self.assertNotIn("x-envoy-decorator-operation", self.get("/told"))

    def test_what_the_health_check_filter_answers_leaves_no_span(self):
        collector = self.collector()
        self.zipkin(collector, filters=[{"health_check": {"path": "/healthz"}}])
        self.get("/healthz")
        self.get("/other")
        self.assertEqual(self.spans(collector, 1)[0]["tags"]["http.url"], "http://a.example/other")

    def test_answers_of_filters_leave_spans_too(self):
        collector = self.collector()
        self.zipkin(collector, routes=[{"match": {}, "respond": {"status": 503}}])
        self.get()
        span = self.spans(collector, 1)[0]
        self.assertEqual([span["tags"]["http.status_code"], span["tags"]["error"]], ["503", "true"])

    def test_logs_carry_the_ids(self):
        collector = self.collector()
        path = str(self.folder / "log")
        self.zipkin(collector, access_log=[{"path": path, "format": "%TRACE_ID% %SPAN_ID%"}])
        self.get()
        span = self.spans(collector, 1)[0]
        self.eventually(lambda: open(path).read())
        self.assertEqual(open(path).read(), f"{span['traceId']} {span['id']}\n")

    def test_long_paths_are_cut(self):
        collector = self.collector()
        self.zipkin(collector)
        self.get("/" + "a" * 250 + "?query=1")
        self.get("/" + "b" * 400 + "?query=1")
        urls = [span["tags"]["http.url"].removeprefix("http://a.example") for span in self.spans(collector, 2)]
        self.assertEqual(urls, ["/" + "a" * 250 + "?quer", "/" + "b" * 255])

    def test_tags_come_from_everywhere(self):
        collector = self.collector()
        policies = [{"name": "everybody", "match": {"methods": ["GET"]}}]
        self.zipkin(
            collector, {"tags": {
                "plain": "as it is", "home": "%ENVIRONMENT(HOME)%", "policy": "%DYNAMIC_METADATA(rbac:policy)%",
                "asked": "%REQ(X-ASKED?:PATH)%", "answered": "%RESP(X-VERSION)%", "missing": "%REQ(X-MISSING)%"}},
            filters=[{"rbac": {"action": "allow", "policies": policies}}])
        self.get("/here")
        tags = self.spans(collector, 1)[0]["tags"]
        self.assertEqual(
            [tags[name] for name in ("plain", "home", "policy", "asked", "answered")],
            ["as it is", os.environ["HOME"], "everybody", "/here", "7"])
        # As Envoy leaves out those that have no value.
        self.assertNotIn("missing", tags)

    def test_tunnels_have_spans_of_their_own_size(self):
        """What a tunnel keeps of its request is enough for its span."""
        collector = self.collector()

        def upgrades(sock):
            request = b""
            while b"\r\n\r\n" not in request:
                request += sock.recv(65536)
            sock.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: thing\r\nConnection: Upgrade\r\n\r\n")
            while data := sock.recv(65536):
                sock.sendall(data)

        self.zipkin(
            collector, {"propagation": ["w3c", "skywalking"]}, service=upgrades,
            routes=[{"match": {}, "cluster": "backend", "upgrade": ["thing"]}])
        name = "a name that a tunnel has to keep until its end " * 4
        client = self.connect(self.port)
        client.sendall(
            f"GET /tunnel HTTP/1.1\r\nHost: a.example\r\nUpgrade: thing\r\nConnection: Upgrade\r\n"
            f"X-Envoy-Decorator-Operation: {name}\r\n\r\n".encode())
        self.assertIn(b"101", read_exactly(client, 12))
        client.sendall(b"ping")
        while not client.recv(65536).endswith(b"ping"):
            pass
        # Others use the memory that was given back.
        for _ in range(20):
            with self.connect(self.port) as other:
                other.sendall(b"GET / HTTP/1.1\r\nHost: " + b"x" * 900 + b"\r\n\r\n")
        client.close()
        self.eventually(lambda: any("/tunnel" in span["tags"]["http.url"] for span in collector.zipkin_spans))
        span = next(span for span in collector.zipkin_spans if "/tunnel" in span["tags"]["http.url"])
        self.assertEqual((span["name"], span["tags"]["http.status_code"]), (name.strip(), "101"))


if __name__ == "__main__":
    unittest.main()
