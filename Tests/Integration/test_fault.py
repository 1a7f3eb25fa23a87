"""The fault filter."""

import json

from support import Case, cluster, document, free_port, read_to_end, reset
from support.peers import http


class Fault(Case):
    def proxy(self, fault):
        self.port = free_port()
        self.log = self.folder / "access.log"
        edge = {
            "name": "edge",
            "address": f"127.0.0.1:{self.port}",
            "http": {
                "routes": [{"match": {}, "cluster": "backend"}],
                "filters": [{"fault": fault}],
                "access_log": [{
                    "path": str(self.log),
                    "format": {"flags": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%", "ms": "%DURATION%"},
                }],
            },
        }
        return self.ringway(document([edge], [cluster("backend", self.peer(http("ok")))]))

    def get(self, *fields) -> int:
        client = self.connect(self.port)
        client.sendall("\r\n".join(["GET / HTTP/1.1", "Host: a", "Connection: close", *fields, "", ""]).encode())
        return int(read_to_end(client).split(b" ")[1])

    def lines(self, count):
        def read():
            return self.log.read_text().splitlines() if self.log.exists() else []

        self.eventually(lambda: len(read()) == count)
        return [json.loads(line) for line in read()]

    def test_a_request_is_answered(self):
        self.proxy({"abort": {"status": 418}})
        self.assertEqual(self.get(), 418)
        (line,) = self.lines(1)
        self.assertEqual((line["flags"], line["details"]), ("FI", "fault_filter_abort"))

    def test_a_request_is_delayed(self):
        self.proxy({"delay": {"time": "60ms"}})
        self.assertEqual(self.get(), 200)
        (line,) = self.lines(1)
        self.assertEqual((line["flags"], line["details"]), ("DI", "via_upstream"))
        self.assertGreaterEqual(line["ms"], 60)

    def test_delayed_and_then_answered(self):
        self.proxy({"delay": {"time": "60ms"}, "abort": {"status": 503}})
        self.assertEqual(self.get(), 503)
        (line,) = self.lines(1)
        self.assertEqual(line["flags"], "FI")
        self.assertGreaterEqual(line["ms"], 60)

    def test_a_share_of_none_is_none(self):
        self.proxy({"delay": {"time": "10m", "percentage": "0%"}, "abort": {"status": 503, "percentage": "0%"}})
        for _ in range(20):
            self.assertEqual(self.get(), 200)

    def test_a_share(self):
        self.proxy({"abort": {"status": 503, "percentage": "50%"}})
        self.assertEqual({self.get() for _ in range(100)}, {200, 503})

    def test_requests_ask_for_it(self):
        self.proxy({"delay": {"from_header": True}, "abort": {"from_header": True}})
        self.assertEqual(self.get(), 200)
        self.assertEqual(self.get("x-envoy-fault-abort-request: 500"), 500)
        self.assertEqual(self.get("x-envoy-fault-abort-request: 500", "x-envoy-fault-abort-request-percentage: 0"), 200)
        self.assertEqual(self.get("x-envoy-fault-abort-request: 99999"), 200)
        self.assertEqual(self.get("x-envoy-fault-delay-request: 60"), 200)
        self.assertEqual(self.get("x-envoy-fault-delay-request: 99999999999999"), 200)
        self.assertEqual([line["flags"] for line in self.lines(6)], [None, "FI", None, None, "DI", None])
        self.assertGreaterEqual(self.lines(6)[4]["ms"], 60)

    def test_headers_mean_nothing_unless_they_are_allowed_to(self):
        self.proxy({"delay": {"time": "1ms"}, "abort": {"status": 503, "percentage": "0%"}})
        self.assertEqual(self.get("x-envoy-fault-abort-request: 500"), 200)

    def test_a_client_that_goes_while_it_is_delayed_frees_its_place(self):
        proxy = self.proxy({"delay": {"time": "10m"}, "max_active": 1})
        first = self.connect(self.port)
        first.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.eventually_equal(lambda: proxy.metrics()("ringway_http_requests_active", listener="edge"), 1)
        # The place is taken: the next one is not delayed.
        self.assertEqual(self.get(), 200)
        reset(first)
        self.lines(2)
        second = self.connect(self.port)
        second.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        second.settimeout(0.3)
        with self.assertRaises(TimeoutError):
            second.recv(1)

    def test_errors(self):
        def errors(fault):
            path = self.folder / "bad.yaml"
            edge = {"name": "e", "address": ":1", "http": {
                "routes": [{"match": {}, "respond": {"status": 200}}], "filters": [{"fault": fault}]}}
            path.write_text(document([edge]))
            answer = self.command("check", str(path))
            self.assertEqual(answer.returncode, 78)
            return answer.stderr

        self.assertIn('missing key "delay" or "abort"', errors({}))
        self.assertIn('missing key "time" or "from_header: true"', errors({"delay": {}}))
        self.assertIn("expected a whole number from 200 to 599", errors({"abort": {"status": 99}}))
        self.assertIn("one of them", errors({"abort": {"status": 500, "from_header": True}}))
