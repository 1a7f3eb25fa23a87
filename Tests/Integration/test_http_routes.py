"""HTTP routing, time-outs, retries, limits, filters, reloads and drains."""

import random
import signal
import subprocess
import threading
import time
import unittest

from support import cluster, connect, document, free_port, read_to_end, reset
from test_http_proxy import GET, OK, HTTPCase, listener, read_body, read_head


def get(path: str, *fields: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


class RouteCase(HTTPCase):
    def ask(self, request: bytes) -> tuple[bytes, bytes]:
        client = self.client()
        client.sendall(request)
        return self.answer(client)

    def status(self, request: bytes) -> int:
        return int(self.ask(request)[0].split()[1])


class Routes(RouteCase):
    def test_actions(self):
        routes = [
            {"match": {"path": "/old"}, "redirect": {"path": "/new", "status": 308}},
            {"match": {"path": "/hi"}, "respond": {"status": 200, "body": "hi\n", "headers": {"X-A": "1"}}},
            {"match": {"path_prefix": "/api/"}, "cluster": "backend", "rewrite": {"path_prefix": "/", "host": "b"},
             "request_headers": {"set": {"X-In": "1"}, "remove": ["X-Gone"]},
             "response_headers": {"set": {"X-Out": "2"}}},
        ]
        self.proxy(self.recording(), routes)
        head, _ = self.ask(get("/old?q=1"))
        self.assertTrue(head.startswith(b"HTTP/1.1 308 "))
        self.assertIn(b"location: http://a/new?q=1\r\n", head.lower())
        head, body = self.ask(get("/hi"))
        self.assertEqual(body, b"hi\n")
        self.assertIn(b"X-A: 1", head)
        head, _ = self.ask(get("/api/x/../y?z", "X-Gone: 1"))
        self.assertIn(b"X-Out: 2", head)
        request = self.requests[0]
        self.assertTrue(request.startswith(b"GET /y?z HTTP/1.1\r\nHost: b\r\n"), request)
        self.assertIn(b"X-In: 1", request)
        self.assertIn(b"x-envoy-original-path: /api/y", request)
        self.assertNotIn(b"X-Gone", request)
        head, _ = self.ask(get("/other"))
        self.assertTrue(head.startswith(b"HTTP/1.1 404 "))
        self.assertIn(b"x-ringway-reason: NR", head)

    def test_expressions_and_templates(self):
        routes = [
            {"match": {"path_regex": "^/u/(\\d+)$"}, "cluster": "backend",
             "rewrite": {"path_regex": {"pattern": "^/u/(\\d+)$", "substitution": "/users/\\1/\\0"}}},
            {"match": {"path_template": "/u/{name}/{rest=**}"}, "cluster": "backend",
             "rewrite": {"path_template": "/{rest}/of/{name}"}},
            {"match": {"path_regex": "/old/.*", "headers": {"x-v": {"regex": "[0-9]+"}}},
             "redirect": {"path_regex": {"pattern": "^/old/(.*)", "substitution": "/new/\\1"}}},
        ]
        self.proxy(self.recording(), routes)
        for path in ("/u/12?q=1", "/u/joe/a/b?q=2"):
            self.assertEqual(self.status(get(path)), 200)
        self.assertEqual([request.split(b" ")[1] for request in self.requests],
                         [b"/users/12//u/12?q=1", b"/a/b/of/joe?q=2"])
        self.assertIn(b"x-envoy-original-path: /u/joe/a/b\r\n", self.requests[1])
        head, _ = self.ask(get("/old/a/b?c", "X-V: 12"))
        self.assertIn(b"location: http://a/new/a/b?c\r\n", head.lower())
        for path, field in (("/old/a", "X-V: x"), ("/u/12x", "X-V: 1"), ("/x/old/a", "X-V: 1")):
            self.assertEqual(self.status(get(path, field)), 404, path)

    def test_a_header_names_the_cluster(self):
        self.proxy(self.recording(), [{"match": {}, "cluster_header": "X-Target"}])
        self.assertEqual(self.status(get("/", "X-Target: backend")), 200)
        for fields in ([], ["X-Target: other"], ["X-Target:"]):
            head, _ = self.ask(get("/", *fields))
            self.assertTrue(head.startswith(b"HTTP/1.1 503 "), head)
            self.assertIn(b"x-ringway-reason: NC\r\n", head)

    def test_a_local_answer_to_a_request_with_a_body_keeps_the_connection(self):
        self.proxy(self.recording(), [{"match": {}, "respond": {"status": 200, "body": "hi"}}])
        client = self.client()
        for _ in range(3):
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            self.assertEqual(self.answer(client)[1], b"hi")

    def test_paths_are_normalised_before_they_are_routed(self):
        routes = [{"match": {"path_prefix": "/admin"}, "respond": {"status": 403}},
                  {"match": {}, "cluster": "backend"}]
        self.proxy(self.recording(), routes)
        for path in ["/admin", "/x/../admin", "//admin", "/%61dmin", "/./admin/x"]:
            self.assertEqual(self.status(get(path)), 403, path)
        self.assertEqual(self.status(get("/%zz")), 400)

    def test_weights(self):
        self.other = self.peer(self.recording())
        self.proxy(self.recording(), [{"match": {}, "weighted": [
            {"cluster": "backend", "weight": 90}, {"cluster": "other", "weight": 10}]}],
            more_clusters=[cluster("other", self.other)])
        client = self.client()
        for _ in range(200):
            client.sendall(GET)
            self.answer(client)
        self.assertEqual((self.backend.accepted, self.other.accepted), (1, 1))

    def test_headers_that_tell_where_a_request_is_from(self):
        self.proxy(self.recording(), use_remote_address=True)
        self.ask(get("/", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Request-Id: mine",
                     "X-Envoy-Retry-On: 5xx"))
        request = self.requests[0].lower()
        self.assertIn(b"x-forwarded-for: 1.2.3.4, 127.0.0.1\r\n", request)
        self.assertIn(b"x-forwarded-proto: http\r\n", request)
        self.assertIn(b"x-envoy-external-address: 127.0.0.1\r\n", request)
        self.assertIn(b"x-envoy-expected-rq-timeout-ms: 15000\r\n", request)
        self.assertNotIn(b"retry-on", request)
        self.assertRegex(request, rb"x-request-id: [0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\r\n")

    def test_headers_behind_a_trusted_proxy_stay(self):
        self.proxy(self.recording())
        self.ask(get("/", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Proto: https", "X-Request-Id: mine"))
        request = self.requests[0].lower()
        for field in [b"x-forwarded-for: 1.2.3.4\r\n", b"x-forwarded-proto: https\r\n", b"x-request-id: mine\r\n"]:
            self.assertIn(field, request)


class Failures(RouteCase):
    def test_statuses_and_flags(self):
        self.proxy(lambda sock: read_head(sock))
        head, _ = self.ask(GET)
        self.assertIn(b" 502 ", head)
        self.assertIn(b"x-ringway-reason: UC", head)
        self.backend.close()
        head, _ = self.ask(GET)
        self.assertIn(b" 503 ", head)
        self.assertIn(b"x-ringway-reason: UF", head)

    def test_the_route_runs_out_of_time(self):
        ringway = self.proxy(self.silent, [{"match": {}, "cluster": "backend", "timeout": "200ms"}])
        client = self.client()
        for _ in range(3):
            client.sendall(GET)
            head, body = self.answer(client)
            self.assertIn(b" 504 ", head)
            self.assertIn(b"x-ringway-reason: UT", head)
        self.assertEqual(ringway.metrics()("ringway_cluster_request_timeouts_total", cluster="backend"), 3)
        self.eventually_equal(
            lambda: ringway.metrics()("ringway_cluster_connections_active", cluster="backend"), 0)

    @staticmethod
    def silent(sock):
        read_to_end(sock)

    def test_a_request_that_does_not_come_in_time(self):
        self.proxy(self.recording(), request_timeout="300ms", stream_idle_timeout="600ms")
        for part in [b"GET / HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc"]:
            self.assertTrue(self.exchange(part).startswith(b"HTTP/1.1 408 "), part)

    def test_a_body_may_take_longer_than_the_head(self):
        self.proxy(self.recording(), request_timeout="300ms")
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
        for byte in b"body":
            time.sleep(0.15)
            client.sendall(bytes([byte]))
        head, _ = self.answer(client)
        self.assertIn(b" 200 ", head)

    def test_idle_connections_and_streams(self):
        self.proxy(self.silent, idle_timeout="300ms", stream_idle_timeout="600ms")
        self.assertEqual(read_to_end(self.client()), b"")
        client = self.client()
        client.sendall(GET)
        head, _ = self.answer(client)
        self.assertIn(b" 504 ", head)
        self.assertIn(b"x-ringway-reason: SI", head)

    def test_limits_of_a_request(self):
        self.proxy(self.recording(), limits={"header_bytes": "2KiB", "headers": 5, "url_bytes": 300, "body_bytes": 10})
        self.assertEqual(self.status(get("/" + "x" * 400)), 414)
        self.assertEqual(self.status(get("/", "X: " + "x" * 3000)), 431)
        self.assertEqual(self.status(get("/", *["X: 1"] * 6)), 431)
        self.assertEqual(self.status(get("/", "Content-Length: 11") + b"x" * 11), 413)
        chunked = get("/", "Transfer-Encoding: chunked") + b"b\r\n" + b"x" * 11 + b"\r\n0\r\n\r\n"
        self.assertEqual(self.status(chunked), 413)

    def test_both_sides_may_be_reset_at_any_time(self):
        def script(sock):
            read_head(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
            reset(sock)

        ringway = self.proxy(script)
        for _ in range(20):
            client = self.client()
            client.sendall(GET)
            client.recv(10)
            reset(client)
        self.eventually_equal(lambda: ringway.metrics()("ringway_http_requests_active", listener="edge"), 0)
        self.eventually_equal(lambda: ringway.metrics()("ringway_buffers_in_use", worker="0"), 0)


class Retries(RouteCase):
    def retrying(self, *on, **more):
        return [{"match": {}, "cluster": "backend", "retry": {"on": list(on), "back_off": "1ms"} | more}]

    def test_a_status(self):
        count = []
        bodies = []

        def script(sock):
            while head := read_head(sock):
                bodies.append(read_body(sock, head))
                count.append(head)
                status = b"503 x" if len(count) < 3 else b"200 OK"
                sock.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")

        ringway = self.proxy(script, self.retrying("5xx", attempts=2))
        self.assertEqual(self.status(GET), 200)
        self.assertEqual(len(count), 3)
        metrics = ringway.metrics()
        self.assertEqual(metrics("ringway_cluster_retries_total", cluster="backend", result="success"), 1)
        self.assertEqual(metrics("ringway_cluster_retries_total", cluster="backend", result="failure"), 1)
        count.clear()
        self.assertEqual(self.status(get("/", "Content-Length: 1", method="POST") + b"x"), 200)
        self.assertEqual(bodies, [b"", b"", b"", b"x", b"x", b"x"], "a small body is sent with every try")
        count.clear()
        large = b"x" * 70_000
        self.assertEqual(self.status(get("/", f"Content-Length: {len(large)}", method="POST") + large), 503,
                         "a large body that went upstream is not kept")

    def test_an_endpoint_that_cannot_be_reached(self):
        self.backend = self.peer(self.recording())
        self.port = free_port()
        dead = free_port()
        self.ringway(document(
            [listener(self.port, self.retrying("connect-failure", attempts=1))],
            [cluster("backend", dead, self.backend)]))
        for _ in range(6):
            self.assertEqual(self.status(GET), 200)

    def test_a_try_that_takes_too_long(self):
        tries = []

        def script(sock):
            while read_head(sock):
                tries.append(1)
                if len(tries) > 1:
                    sock.sendall(OK)

        self.proxy(script, self.retrying("reset", attempts=1, per_try_timeout="200ms"))
        self.assertEqual(self.status(GET), 200)
        self.assertEqual(len(tries), 2)


class Pools(RouteCase):
    def test_requests_wait_for_a_connection(self):
        def script(sock):
            while read_head(sock):
                time.sleep(0.05)
                sock.sendall(OK)

        ringway = self.proxy(script, pool={"max_connections": 1}, workers=2)
        clients = [self.client() for _ in range(8)]
        for client in clients:
            client.sendall(GET)
        for client in clients:
            self.assertEqual(self.answer(client)[1], b"ok")
        metrics = ringway.metrics()
        self.assertEqual(metrics("ringway_cluster_pending_requests", cluster="backend"), 0)
        self.assertLessEqual(metrics("ringway_cluster_connections_active", cluster="backend"), 1)

    def test_requests_beyond_the_limits_are_refused(self):
        self.proxy(Failures.silent, pool={"max_connections": 1, "max_pending": 1})
        clients = [self.client() for _ in range(3)]
        for client in clients:
            client.sendall(GET)
            time.sleep(0.1)
        head, _ = self.answer(clients[2])
        self.assertIn(b" 503 ", head)
        self.assertIn(b"x-ringway-reason: UO", head)

    def test_requests_in_flight_are_limited(self):
        self.proxy(Failures.silent, pool={"max_requests": 1})
        first = self.client()
        first.sendall(GET)
        self.eventually(lambda: self.backend.accepted)
        self.assertIn(b"x-ringway-reason: UO", self.ask(GET)[0])

    def test_idle_connections_are_closed(self):
        ringway = self.proxy(self.recording(), pool={"idle_timeout": "200ms"})
        self.assertEqual(self.status(GET), 200)
        self.eventually_equal(lambda: ringway.metrics()("ringway_cluster_connections_active", cluster="backend"), 0)


class Filters(RouteCase):
    def test_a_rate_limit_holds_for_all_workers(self):
        self.proxy(self.recording(), workers=2, filters=[{"local_rate_limit": {"requests_per_second": 1, "burst": 5}}])
        statuses = [self.status(GET) for _ in range(12)]
        self.assertIn(statuses.count(200), (5, 6))
        self.assertEqual(set(statuses), {200, 429})

    def test_cors(self):
        self.proxy(self.recording(), filters=[{"cors": {
            "allow_origins": ["https://*.example.com"], "allow_methods": ["GET", "PUT"], "max_age": 60}}])
        head, _ = self.ask(get("/", "Origin: https://a.example.com"))
        self.assertIn(b"access-control-allow-origin: https://a.example.com\r\n", head)
        self.assertIn(b"vary: Origin", head)
        preflight = ["Access-Control-Request-Method: PUT"]
        head, _ = self.ask(get("/", "Origin: https://a.example.com", *preflight, method="OPTIONS"))
        self.assertTrue(head.startswith(b"HTTP/1.1 204 "))
        self.assertIn(b"access-control-allow-methods: GET, PUT\r\n", head)
        for origin in ["https://example.com", "https://a.example.com.evil", "http://a.example.com"]:
            self.assertNotIn(b"allow-origin", self.ask(get("/", f"Origin: {origin}"))[0], origin)

    def test_filters_of_routes(self):
        limit = {"requests_per_second": 1, "burst": 1}
        self.proxy(self.recording(), [
            {"match": {"path": "/free"}, "cluster": "backend", "filters": {"local_rate_limit": "off"}},
            {"match": {"path": "/wide"}, "cluster": "backend",
             "filters": {"local_rate_limit": {"requests_per_second": 1, "burst": 3},
                         "direct_response": {"status": 203}}},
            {"match": {}, "cluster": "backend"},
        ], filters=[{"local_rate_limit": limit}, {"direct_response": "off"}])
        for path, statuses in (("/", [200, 429, 429, 429]), ("/wide", [203, 203, 203, 429]), ("/free", [200] * 4)):
            self.assertEqual([self.status(get(path)) for _ in range(4)], statuses, path)

    def test_errors_in_filters_of_routes(self):
        for filters, message in [({"corz": {}}, 'unknown HTTP filter "corz"'),
                                 ({"cors": {"allow_origins": ["*"]}}, "is not among the `filters` of the listener"),
                                 ({"local_rate_limit": {"requests_per_second": 0}}, "requests_per_second"),
                                 ("off", "an object with the settings of filters by their names")]:
            path = self.folder / "wrong.yaml"
            path.write_text(document(
                [listener(free_port(), [{"match": {}, "cluster": "backend", "filters": filters}],
                          filters=[{"local_rate_limit": {"requests_per_second": 5}}])],
                [cluster("backend", 1)]))
            result = self.command("check", str(path))
            self.assertEqual(result.returncode, 78, filters)
            self.assertIn(message, result.stderr)

    def test_errors_in_the_configuration_of_filters(self):
        for filters, message in [([{"corz": {}}], "did you mean"), ([{"cors": {}}], "allow_origins"),
                                 ([{"local_rate_limit": {"requests_per_second": 0}}], "requests_per_second")]:
            path = self.folder / "wrong.yaml"
            path.write_text(document([listener(free_port(), filters=filters)], [cluster("backend", 1)]))
            result = self.command("check", str(path))
            self.assertEqual(result.returncode, 78)
            self.assertIn(message, result.stderr)


class Reloads(RouteCase):
    def test_reloads_under_load_fail_no_request(self):
        port = self.nginx("location / { return 200 ok; }")
        self.port = free_port()

        def text(generation):
            return document([listener(self.port)], [cluster("backend", port, connect_timeout=f"{generation + 1}s")])

        ringway = self.ringway(text(0), workers=2)
        load = subprocess.Popen(["h2load", "--h1", "-c", "20", "-D", "3", f"http://127.0.0.1:{self.port}/"],
                                stdout=subprocess.PIPE, text=True)
        for generation in range(1, 10):
            time.sleep(0.2)
            self.assertEqual(ringway.configure(text(generation)).status, 200)
        report = load.communicate(timeout=30)[0]
        self.assertRegex(report, r"requests: [1-9]\d+ total")
        self.assertIn(" 0 failed, 0 errored, 0 timeout", report)
        self.assertRegex(report, r"status codes: \d+ 2xx, 0 3xx, 0 4xx, 0 5xx")
        # Connections of clusters that are gone have ended.
        self.eventually(lambda: ringway.metrics()("ringway_cluster_connections_active", cluster="backend") <= 20)

    def test_connections_that_are_open_follow_the_new_routes(self):
        def config(body):
            return document([listener(self.port, [{"match": {}, "respond": {"status": 200, "body": body}}])])

        self.port = free_port()
        ringway = self.ringway(config("one"))
        client = self.client()
        for body in ["one", "two", "three"]:
            self.assertEqual(ringway.configure(config(body)).status, 200)
            client.sendall(GET)
            self.assertEqual(self.answer(client)[1], body.encode())

    def test_a_drain_finishes_what_is_in_flight(self):
        release = threading.Event()

        def script(sock):
            while read_head(sock):
                release.wait(20)
                sock.sendall(OK)

        ringway = self.proxy(script)
        idle, busy = self.client(), self.client()
        busy.sendall(GET)
        self.eventually(lambda: self.backend.accepted)
        ringway.signal(signal.SIGTERM)
        self.assertEqual(read_to_end(idle), b"")
        release.set()
        answer = read_to_end(busy)
        self.assertIn(b"Connection: close", answer)
        self.assertTrue(answer.endswith(b"ok"))
        self.assertEqual(ringway.wait(), 0)


class Streams(RouteCase):
    def test_answers_reach_those_who_asked(self):
        """Many clients, pipelined requests, resets on both sides, few connections: no answer goes astray."""
        dice = random.Random(20)

        def script(sock):
            reader = sock.makefile("rb")
            while line := reader.readline():
                length = 0
                while (field := reader.readline()) not in (b"\r\n", b""):
                    if field.lower().startswith(b"content-length:"):
                        length = int(field.split(b":")[1])
                body = reader.read(length)
                if dice.random() < 0.02:
                    reset(sock)
                    return
                text = line.split()[1] + b" " + body + b"x" * dice.choice([0, 10, 50_000])
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))

        ringway = self.proxy(script, pool={"max_connections": 6}, workers=2)
        wrong, right = [], []

        def play(number):
            mine = random.Random(number)
            for turn in range(40):
                with connect(f"127.0.0.1:{self.port}") as client:
                    ids = [b"/%d-%d-%d" % (number, turn, n) for n in range(mine.choice([1, 1, 3]))]
                    for name in ids:
                        body = b"b" + name
                        client.sendall(b"PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s"
                                       % (name, len(body), body))
                    if mine.random() < 0.1:
                        reset(client)
                        continue
                    for name in ids:
                        head, body = self.answer(client)
                        if head.startswith(b"HTTP/1.1 200 "):
                            expected = name + b" b" + name
                            (right if body.rstrip(b"x") == expected else wrong).append((name, body[:80]))
                        elif not head.startswith(b"HTTP/1.1 502 "):
                            break

        players = [threading.Thread(target=play, args=(number,)) for number in range(12)]
        for player in players:
            player.start()
        for player in players:
            player.join()
        self.assertEqual(wrong, [])
        self.assertGreater(len(right), 400)
        for name in ["ringway_http_requests_active", "ringway_cluster_requests_active", "ringway_buffers_in_use"]:
            self.eventually_equal(lambda: ringway.metrics().sum(name), 0, name)


class Programs(RouteCase):
    def test_curl_uploads_and_downloads(self):
        data = self.folder / "data"
        data.write_bytes(bytes(range(256)) * 40_000)

        def script(sock):
            while head := read_head(sock):
                if b"Expect" in head:
                    sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                body = read_body(sock, head)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

        self.proxy(script)
        for options in [[], ["-H", "Expect: 100-continue"], ["--http1.0"]]:
            result = subprocess.run(
                ["curl", "-sS", "--max-time", "20", *options, "--data-binary", f"@{data}", f"http://127.0.0.1:{self.port}/"],
                capture_output=True)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(result.stdout, data.read_bytes())


if __name__ == "__main__":
    unittest.main()
