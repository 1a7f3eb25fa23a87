"""Health checks against real endpoints that go down, say that they are unwell, hang, and come back."""

import collections
import concurrent.futures
import signal
import socket
import subprocess
import threading
import time

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from support import Case, cluster, connect, document, free_port, listener, read_to_end
from support.certificates import Authority
from support.peers import greet, sink

FAST = {"interval": "20ms", "timeout": "500ms", "jitter": "50%"}


class WebServer:
    """Answers `/healthz` with `status`, whatever else with its name, and keeps connections. Counts what it sees."""

    def __init__(self, case, name: str):
        self.name, self.status, self.isHanging = name, 200, False
        self.checks, self.heads = 0, []
        self.peer = case.peer(self.serve)
        self.address = self.peer.address

    def serve(self, sock):
        pending = b""
        while data := sock.recv(65536):
            pending += data
            while b"\r\n\r\n" in pending:
                head, pending = pending.split(b"\r\n\r\n", 1)
                status, body = 200, self.name.encode()
                if head.split()[1] == b"/healthz":
                    self.checks += 1
                    self.heads.append(head)
                    status = self.status
                    while self.isHanging:
                        time.sleep(0.01)
                sock.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))


class HealthCase(Case):
    def states(self, name: str = "backend") -> dict:
        clusters = self.proxy.admin("/clusters?format=json").json["clusters"]
        endpoints = next(entry for entry in clusters if entry["name"] == name)["endpoints"]
        return {endpoint["address"]: endpoint["state"] for endpoint in endpoints}

    def wait_for(self, *states: str, name: str = "backend"):
        """Waits until the endpoints have these states, in the order of the configuration."""
        self.eventually_equal(lambda: list(self.states(name).values()), list(states))

    def count(self, family: str, **labels: str) -> float:
        return self.proxy.metrics()(f"ringway_cluster_{family}", cluster="backend", **labels)

    def tcp(self, *endpoints, workers: int = 1, **more) -> int:
        self.port = free_port()
        self.proxy = self.ringway(
            document(
                [listener("edge", self.port, tcp={"connect_attempts": 3})], [cluster("backend", *endpoints, **more)]
            ),
            workers=workers,
        )
        return self.port

    def http_document(self, *servers, check: dict | None = None, timing: dict | None = None, **more) -> str:
        check = {"http": {"path": "/healthz"} | (check or {})} | FAST | (timing or {})
        edge = {
            "name": "edge",
            "address": f"127.0.0.1:{self.port}",
            "http": {"routes": [{"match": {}, "cluster": "backend"}]},
        }
        return document([edge], [cluster("backend", *servers, health_check=check, **more)])

    def http(self, *servers, workers: int = 1, **more):
        self.port = free_port()
        self.proxy = self.ringway(self.http_document(*servers, **more), workers=workers)

    def greeting(self) -> str:
        with connect(self.port) as client:
            return client.recv(100).decode()

    def get(self) -> tuple[int, bytes]:
        with connect(self.port) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            head, body = read_to_end(client).split(b"\r\n\r\n", 1)
            return int(head.split()[1]), body

    def spread(self, ask, count: int = 40) -> collections.Counter:
        return collections.Counter(ask() for _ in range(count))


class TCP(HealthCase):
    def test_an_endpoint_that_goes_down_is_left_out_until_it_is_back(self):
        a, b = self.peer(greet("a")), self.peer(greet("b"))
        self.tcp(a, b, health_check={"tcp": {}} | FAST, workers=2)
        self.wait_for("healthy", "healthy")
        self.assertEqual(set(self.spread(self.greeting)), {"a", "b"})
        b.stop_listening()
        self.wait_for("healthy", "unhealthy")
        self.assertEqual(self.spread(self.greeting), {"a": 40})
        self.peer(greet("b"), b.address)
        self.wait_for("healthy", "healthy")
        self.assertEqual(set(self.spread(self.greeting)), {"a", "b"})
        self.assertEqual(self.count("connect_failures_total", reason="connect_refused"), 0)
        self.assertEqual(self.count("health_changes_total", to="unhealthy"), 1)
        self.assertEqual(self.count("health_changes_total", to="healthy"), 3)
        self.assertGreaterEqual(self.count("health_checks_total", result="connection"), 3)
        self.assertIn("endpoint is unhealthy", self.proxy.log)
        self.assertIn("endpoint is healthy", self.proxy.log)

    def test_checks_are_no_connections_of_the_cluster(self):
        peer = self.peer(sink)
        self.tcp(peer, health_check={"tcp": {}} | FAST)
        self.eventually(lambda: self.count("health_checks_total", result="success") > 5)
        self.assertEqual(self.count("connections_total"), 0)
        self.assertGreater(peer.accepted, 5)

    def test_what_an_endpoint_says_can_be_looked_at(self):
        def redis(sock):
            while sock.recv(100):
                for piece in (b"+PO", self.answer):
                    sock.sendall(piece)

        self.answer = b"NG\r\n"
        check = {"tcp": {"send": "PING\r\n", "expect": "hex:2b504f4e47"}} | FAST | {"timeout": "100ms"}
        self.tcp(self.peer(redis), self.peer(sink), health_check=check)
        self.wait_for("healthy", "unhealthy")
        self.answer = b"OR\r\n"
        self.wait_for("unhealthy", "unhealthy")
        self.assertGreater(self.count("health_checks_total", result="timeout"), 0)

    def test_clients_are_reset_when_no_endpoint_is_healthy(self):
        self.tcp(free_port(), health_check={"tcp": {}} | FAST, panic_threshold="0%")
        self.wait_for("unhealthy")
        self.assertEqual(self.fate(self.port), "reset")
        closes = self.proxy.metrics()("ringway_connection_closes_total", listener="edge", reason="no_upstream")
        self.assertEqual(closes, 1)
        self.assertEqual((self.count("connections_total"), self.count("panic_picks_total")), (0, 0))

    def test_in_panic_all_endpoints_are_used(self):
        a, b, dead = self.peer(greet("a")), free_port(), free_port()
        self.tcp(a, b, dead, health_check={"tcp": {}} | FAST)
        self.wait_for("healthy", "unhealthy", "unhealthy")
        # Round robin over all three; two of them fail, and connect_attempts finds the third.
        before = self.count("panic_picks_total")
        self.assertEqual(self.spread(self.greeting, 9), {"a": 9})
        self.assertGreater(self.count("panic_picks_total"), before + 9)
        self.assertGreater(self.count("connect_retries_total"), 0)

    def test_unix_sockets_are_checked_too(self):
        path = f"unix:{self.folder}/a.sock"
        peer = self.peer(greet("a"), path)
        self.tcp(path, health_check={"tcp": {}} | FAST, panic_threshold="0%")
        self.wait_for("healthy")
        self.assertEqual(self.greeting(), "a")
        peer.close()
        self.wait_for("unhealthy")


class HTTP(HealthCase):
    def test_one_wrong_status_is_enough_and_several_good_ones_bring_it_back(self):
        a, b = WebServer(self, "a"), WebServer(self, "b")
        self.http(a, b, workers=2)
        self.wait_for("healthy", "healthy")
        b.status = 503
        self.wait_for("healthy", "unhealthy")
        self.assertEqual(self.spread(self.get), {(200, b"a"): 40})
        b.status = 200
        self.wait_for("healthy", "healthy")
        self.assertEqual(set(self.spread(self.get)), {(200, b"a"), (200, b"b")})

    def test_the_check_connection_is_kept(self):
        a = WebServer(self, "a")
        self.http(a)
        self.eventually(lambda: a.checks >= 10)
        self.assertEqual(a.peer.accepted, 1)
        head = a.heads[-1]
        self.assertTrue(head.startswith(b"GET /healthz HTTP/1.1\r\nHost: backend\r\n"), head)

    def test_the_check_connection_is_not_kept_if_so_configured(self):
        a = WebServer(self, "a")
        self.http(a, check={"reuse_connection": False, "method": "OPTIONS", "host": "x.y", "headers": {"X-A": "1"}})
        self.eventually(lambda: a.checks >= 5)
        self.assertGreaterEqual(a.peer.accepted, 5)
        self.assertEqual(
            a.heads[0],
            b"OPTIONS /healthz HTTP/1.1\r\nHost: x.y\r\nUser-Agent: Ringway/HC\r\nX-A: 1\r\nConnection: close",
        )

    def test_an_endpoint_that_closes_after_every_answer_is_healthy(self):
        def once(sock):
            # Says nothing of it: the next check finds the connection closed, or closes meet it on its way.
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        peer = self.peer(once)
        self.http(peer)
        self.eventually(lambda: self.count("health_checks_total", result="success") > 30)
        self.assertEqual(self.count("health_changes_total", to="unhealthy"), 0)

    def test_an_endpoint_that_hangs_is_unhealthy_and_the_others_are_not_held_up(self):
        a, b = WebServer(self, "a"), WebServer(self, "b")
        self.http(a, b, timing={"timeout": "50ms"})
        self.wait_for("healthy", "healthy")
        b.isHanging = True
        self.wait_for("healthy", "unhealthy")
        before = a.checks
        self.eventually(lambda: a.checks > before + 5)
        self.assertGreaterEqual(self.count("health_checks_total", result="timeout"), 3)
        b.isHanging = False
        self.wait_for("healthy", "healthy")

    def test_retriable_statuses_count_towards_the_threshold(self):
        a = WebServer(self, "a")
        self.http(a, check={"retriable_statuses": [429], "expected_statuses": ["200-204"]}, timing={"unhealthy": 1000})
        self.wait_for("healthy")
        a.status = 429
        self.eventually(lambda: self.count("health_checks_total", result="bad_answer") > 10)
        self.assertEqual(list(self.states().values()), ["healthy"])
        a.status = 204
        before = self.count("health_checks_total", result="success")
        self.eventually(lambda: self.count("health_checks_total", result="success") > before + 3)
        a.status = 500
        self.wait_for("unhealthy")

    def test_503_when_no_endpoint_is_healthy(self):
        a = WebServer(self, "a")
        a.status = 500
        self.http(a, panic_threshold="0%")
        self.wait_for("unhealthy")
        with connect(self.port) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = read_to_end(client)
        self.assertTrue(answer.startswith(b"HTTP/1.1 503 "))
        self.assertIn(b"x-ringway-reason: UH\r\n", answer)
        a.status = 200
        self.wait_for("healthy")
        self.assertEqual(self.get(), (200, b"a"))

    def test_garbage_and_floods_are_failures_and_nothing_worse(self):
        def garbage(sock):
            sock.recv(100)
            sock.sendall(b"220 mail.example.com ESMTP\r\n")

        def flood(sock):
            sock.recv(100)
            sock.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                sock.sendall(b"x: y\r\n" * 1000)

        def endless(sock):
            sock.recv(100)
            sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                sock.sendall(b"1000\r\n" + bytes(4096) + b"\r\n")

        self.http(self.peer(garbage), self.peer(flood), self.peer(endless))
        # The last one's status is good, and nobody waits for the end of its body.
        self.wait_for("unhealthy", "unhealthy", "healthy")
        before = self.proxy.resident_bytes()
        checks = self.count("health_checks_total", result="bad_answer")
        self.eventually(lambda: self.count("health_checks_total", result="bad_answer") > checks + 40)
        self.assertLess(self.proxy.resident_bytes() - before, 8 << 20)

    def test_nginx_goes_down_and_comes_back(self):
        port = free_port()
        config = self.folder / "nginx.conf"
        config.write_text(
            f"daemon off; error_log {self.folder}/error.log; pid {self.folder}/nginx.pid; events {{}}\n"
            f"http {{ access_log off; server {{ listen 127.0.0.1:{port};"
            ' location = /healthz { return 204; } location / { return 200 "nginx"; } } }\n'
        )

        def start():
            process = self.server("nginx", "-p", str(self.folder), "-c", str(config))
            self.wait_listening(f"127.0.0.1:{port}")
            return process

        nginx = start()
        other = WebServer(self, "other")
        self.http(port, other, check={"expected_statuses": ["200-299"]})
        self.wait_for("healthy", "healthy")
        self.assertEqual(set(self.spread(self.get)), {(200, b"nginx"), (200, b"other")})
        nginx.send_signal(signal.SIGTERM)
        nginx.wait(10)
        self.wait_for("unhealthy", "healthy")
        self.assertEqual(self.spread(self.get), {(200, b"other"): 40})
        start()
        self.wait_for("healthy", "healthy")
        self.assertEqual(set(self.spread(self.get)), {(200, b"nginx"), (200, b"other")})


class Outliers(HealthCase):
    """The default is to take out one in ten, at least one: here it may be half."""

    DETECTION = {"consecutive_5xx": 3, "base_ejection": "3s", "max_ejected": "50%"}

    def http(self, *servers, workers: int = 1, retry: dict | None = None, timeout: str = "15s", **detection):
        self.port = free_port()
        route = {"match": {}, "cluster": "backend", "timeout": timeout} | ({"retry": retry} if retry else {})
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "http": {"routes": [route]}}
        backend = cluster("backend", *servers, outlier_detection=self.DETECTION | detection)
        self.proxy = self.ringway(document([edge], [backend]), workers=workers)

    def answering(self, status: int, name: str):
        def script(sock):
            while sock.recv(65536):
                body = name.encode()
                sock.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

        return self.peer(script)

    def test_an_endpoint_that_answers_5xx_is_left_out_for_a_while(self):
        good, bad = self.answering(200, "good"), self.answering(500, "bad")
        self.http(good, bad)
        # They take turns: three failures with successes of the other one between them.
        for _ in range(6):
            self.get()
        self.wait_for("healthy", "ejected")
        self.assertEqual(self.spread(self.get, 20), {(200, b"good"): 20})
        self.assertEqual(self.count("ejections_total", result="ejected"), 1)
        self.wait_for("healthy", "healthy")
        self.assertIn((500, b"bad"), self.spread(self.get, 4))
        self.assertIn("endpoint is ejected", self.proxy.log)
        self.assertIn("endpoint is back", self.proxy.log)

    def test_an_endpoint_that_refuses_connections_is_left_out(self):
        dead = free_port()
        self.http(self.answering(200, "good"), dead, retry={"on": ["connect-failure"], "attempts": 2})
        for _ in range(12):
            self.assertEqual(self.get(), (200, b"good"))
        self.wait_for("healthy", "ejected")
        before = self.count("connect_failures_total", reason="connect_refused")
        self.assertEqual(self.spread(self.get, 20), {(200, b"good"): 20})
        self.assertEqual(self.count("connect_failures_total", reason="connect_refused"), before)

    def test_an_endpoint_that_does_not_answer_in_time_is_left_out(self):
        self.http(self.answering(200, "good"), self.peer(sink), timeout="300ms", base_ejection="30s")
        for _ in range(8):
            self.assertIn(self.get()[0], (200, 504))
        self.wait_for("healthy", "ejected")
        self.assertEqual(self.spread(self.get, 20), {(200, b"good"): 20})

    def test_an_endpoint_that_closes_without_an_answer_is_left_out(self):
        def close(sock):
            sock.recv(65536)

        self.http(self.answering(200, "good"), self.peer(close), base_ejection="10s")

        def states_after_a_request():
            self.get()
            return list(self.states().values())

        self.eventually_equal(states_after_a_request, ["healthy", "ejected"])

    def test_client_errors_are_no_failures(self):
        self.http(self.answering(404, "a"), self.answering(200, "b"))
        for _ in range(20):
            self.get()
        self.assertEqual(list(self.states().values()), ["healthy", "healthy"])

    def test_tcp_endpoints_that_refuse_are_left_out(self):
        dead = free_port()
        detection = self.DETECTION | {"base_ejection": "10s"}
        self.tcp(self.peer(greet("good")), dead, outlier_detection=detection)
        for _ in range(12):
            self.assertEqual(self.greeting(), "good")
        self.wait_for("healthy", "ejected")
        before = self.count("connect_failures_total", reason="connect_refused")
        self.assertEqual(self.spread(self.greeting, 20), {"good": 20})
        self.assertEqual(self.count("connect_failures_total", reason="connect_refused"), before)

    def test_no_more_than_the_share_are_left_out(self):
        dead = [free_port() for _ in range(4)]
        self.tcp(*dead, outlier_detection=self.DETECTION | {"base_ejection": "1m"}, panic_threshold="0%")
        for _ in range(30):
            self.fate(self.port)
        self.eventually(lambda: self.count("ejections_total", result="overflow") > 0)
        self.assertEqual(collections.Counter(self.states().values()), {"ejected": 2, "healthy": 2})


class KeepAlive(HealthCase):
    def is_asked(self, sock) -> bool:
        """Whether the kernel's timer at the other end of an established connection is the one of keep-alive."""
        own, other = (f":{name[1]:04X}" for name in (sock.getpeername(), sock.getsockname()))
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        return [row[5].split(":")[0] for row in rows if row[1].endswith(own) and row[2].endswith(other)] == ["02"]

    def test_both_sides_ask_silent_peers_if_so_configured(self):
        keep_alive = {"idle": "100s", "interval": "1s", "count": 2}
        peer = self.peer(sink)
        for options in ({}, {"tcp_keepalive": keep_alive}):
            port, accepted = free_port(), peer.accepted
            self.proxy = self.ringway(
                document([listener("edge", port, **options)], [cluster("backend", peer, **options)])
            )
            client = self.connect(port)
            self.eventually(lambda: peer.accepted > accepted)
            self.assertEqual(self.is_asked(client), bool(options))
            self.assertEqual(self.is_asked(peer.connections[-1]), bool(options))

    def test_a_reload_changes_it_for_new_connections(self):
        port = free_port()
        backend = cluster("backend", self.peer(sink))
        self.proxy = self.ringway(document([listener("edge", port)], [backend]), workers=2)
        first = self.connect(port)
        self.proxy.configure(document([listener("edge", port, tcp_keepalive={})], [backend]))
        self.eventually(lambda: self.is_asked(self.connect(port)))
        self.proxy.configure(document([listener("edge", port)], [backend]))
        self.eventually(lambda: not self.is_asked(self.connect(port)))
        self.assertFalse(self.is_asked(first))


class Reload(HealthCase):
    def apply(self, config: str):
        self.assertEqual(self.proxy.configure(config).status, 200)

    def test_health_is_kept_when_the_cluster_changes(self):
        a, b, c = (WebServer(self, name) for name in "abc")
        b.status = 500
        self.http(a, b)
        self.wait_for("healthy", "unhealthy")
        # From now on no check comes to an end, so whatever is known was known before.
        for server in (a, b, c):
            server.isHanging = True
        slow = {"timeout": "1m"}
        self.apply(self.http_document(c, b, a, timing=slow))
        self.assertEqual(list(self.states().values()), ["pending", "unhealthy", "healthy"])
        for server in (a, b, c):
            server.isHanging = False
        self.wait_for("healthy", "unhealthy", "healthy")
        self.assertEqual(self.count("health_changes_total", to="unhealthy"), 1)

    def test_checks_can_be_added_and_taken_away(self):
        a, dead = WebServer(self, "a"), free_port()
        self.port = free_port()
        edge = {
            "name": "edge",
            "address": f"127.0.0.1:{self.port}",
            "http": {"routes": [{"match": {}, "cluster": "backend"}]},
        }
        plain = document([edge], [cluster("backend", a, dead)])
        self.proxy = self.ringway(plain)
        self.assertEqual(list(self.states().values()), ["healthy", "healthy"])
        self.assertNotIn("health-checks", self.threads())
        self.apply(self.http_document(a, dead))
        self.wait_for("healthy", "unhealthy")
        self.assertIn("health-checks", self.threads())
        self.assertEqual(self.spread(self.get), {(200, b"a"): 40})
        self.apply(plain)
        self.assertEqual(list(self.states().values()), ["healthy", "healthy"])
        checks = a.checks
        self.apply(self.http_document(a, dead))
        self.eventually(lambda: a.checks > checks)
        self.wait_for("healthy", "unhealthy")

    def threads(self) -> list[str]:
        listing = subprocess.run(
            ["ps", "-T", "-o", "comm=", "-p", str(self.proxy.pid)], capture_output=True, text=True
        )
        return listing.stdout.split()

    def test_many_reloads_leak_nothing(self):
        a = WebServer(self, "a")
        self.http(a)
        self.wait_for("healthy")
        for count in range(40):
            self.apply(self.http_document(a, timing={"interval": f"{count + 20}ms"}))
        before = self.proxy.descriptors()
        for count in range(100):
            self.apply(self.http_document(a, timing={"interval": f"{count + 20}ms"}))
        self.eventually(lambda: self.proxy.descriptors() <= before + 2)
        self.assertEqual(list(self.states().values()), ["healthy"])


class Many(HealthCase):
    def test_many_endpoints(self):
        """A thousand addresses of one server, half of which nobody listens on."""
        up, down = socket.create_server(("0.0.0.0", 0), backlog=4096), free_port()
        self.addCleanup(up.close)
        port = up.getsockname()[1]

        def accept():
            while True:
                try:
                    client, _ = up.accept()
                    client.sendall(b"up")
                    client.close()
                except OSError:
                    return

        for _ in range(2):
            threading.Thread(target=accept, daemon=True).start()
        hosts = [f"127.1.{index // 250}.{index % 250 + 1}" for index in range(500)]
        endpoints = [f"{host}:{port}" for host in hosts] + [f"{host}:{down}" for host in hosts]
        self.tcp(*endpoints, health_check={"tcp": {}, "interval": "1s"}, workers=2)
        self.eventually(
            lambda: (self.count("endpoints", state="healthy"), self.count("endpoints", state="unhealthy"))
            == (500, 500)
        )
        self.assertEqual(self.spread(self.greeting, 200), {"up": 200})
        self.assertEqual(self.count("connect_failures_total", reason="connect_refused"), 0)


class Budget(HealthCase):
    def retries(self, budget: dict) -> tuple[float, float]:
        """Twenty requests at once to an endpoint that answers 503: retries that were made and that were not."""
        self.port = free_port()
        barrier = threading.Barrier(20)

        def busy(sock):
            while sock.recv(65536):
                if not barrier.broken:
                    try:
                        barrier.wait(0.5)  # so that all requests are in progress at the same time
                    except threading.BrokenBarrierError:
                        pass
                sock.sendall(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")

        retry = {"on": [503], "attempts": 1, "back_off": "1m"} | budget
        edge = {
            "name": "edge",
            "address": f"127.0.0.1:{self.port}",
            "http": {"routes": [{"match": {}, "cluster": "backend", "timeout": 0, "retry": retry}]},
        }
        self.proxy = self.ringway(document([edge], [cluster("backend", self.peer(busy))]))
        for _ in range(20):
            self.connect(self.port).sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.eventually(lambda: self.count("requests_total", code_class="5xx") == 20)
        return 20 - self.count("retries_total", result="overflow"), self.count("retries_total", result="overflow")

    def test_without_a_budget_the_cluster_has_its_own_limit(self):
        self.assertEqual(self.retries({}), (3, 17))

    def test_a_budget_is_a_share_of_the_requests(self):
        # Retries wait for a minute, so they add up. Requests in progress go from 20 down to 1, and so does what half
        # of them allows: it meets the retries that were made at the seventh, which is 10, 9, 9, 8, 8, 7 and 7.
        made, refused = self.retries({"budget": "50%"})
        self.assertGreater(made, 3)
        self.assertLess(made, 11)
        self.assertEqual(made + refused, 20)

    def test_a_budget_of_nothing_allows_three(self):
        self.assertEqual(self.retries({"budget": "0%"}), (3, 17))


class TLS(HealthCase):
    def setUp(self):
        super().setUp()
        self.authority = Authority(self.folder)
        self.certificate = self.authority.issue("web", ["web.internal"])
        self.trusted = {"ca": str(self.authority.cert), "sni": "web.internal"}

    def web(self, more: str = "", http2: bool = False) -> int:
        """An nginx that speaks TLS and answers `/healthz` with 200."""
        version = " http2" if http2 else ""
        port = free_port()
        self.nginx(
            f"listen 127.0.0.1:{port} ssl{version}; ssl_certificate {self.certificate.cert}; "
            f"ssl_certificate_key {self.certificate.key}; {more}"
            "location / { return 200 'web\\n'; } location /broken { return 500; }")
        self.wait_listening(port)
        return port

    def start(self, *endpoints, check: dict, **more):
        self.port = free_port()
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}",
                "http": {"routes": [{"match": {}, "cluster": "backend"}]}}
        self.proxy = self.ringway(
            document([edge], [cluster("backend", *endpoints, health_check=check | FAST, **more)]))

    def test_http_over_tls(self):
        web = self.web()
        self.start(web, tls=self.trusted, check={"http": {"path": "/"}})
        self.wait_for("healthy")
        self.assertEqual(self.get(), (200, b"web\n"))

    def test_http_2_over_tls(self):
        web = self.web(http2=True)
        self.start(web, tls=self.trusted, protocol="http2", check={"http": {"path": "/?a=b"}})
        self.wait_for("healthy")
        self.eventually(lambda: self.count("health_checks_total", result="success") > 5)
        # All on one connection, which is not one of the cluster.
        self.assertEqual(self.count("connections_total"), 0)

    def test_a_status_that_was_not_expected_over_http_2(self):
        self.start(self.web(http2=True), tls=self.trusted, protocol="http2", check={"http": {"path": "/broken"}})
        self.wait_for("unhealthy")
        self.eventually(lambda: "status 500" in self.proxy.log)

    def test_an_endpoint_that_does_not_agree_on_http_2_is_unhealthy(self):
        self.start(self.web(), tls=self.trusted, protocol="http2", check={"http": {"path": "/"}})
        self.wait_for("unhealthy")

    def test_an_endpoint_that_is_not_trusted_is_unhealthy(self):
        other = self.folder / "other"
        other.mkdir()
        ca = str(Authority(other).cert)
        self.start(self.web(), tls={"ca": ca, "sni": "web.internal"}, check={"http": {"path": "/"}})
        self.wait_for("unhealthy")
        self.assertGreater(self.count("health_checks_total", result="connection"), 0)

    def test_a_tcp_check_over_tls_ends_with_the_handshake(self):
        plain = self.peer(sink)
        self.start(self.web(), plain, tls=self.trusted, check={"tcp": {}})
        self.wait_for("healthy", "unhealthy")


class HTTP2(HealthCase):
    def start(self, *endpoints, path: str = "/"):
        self.port = free_port()
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}",
                "http": {"routes": [{"match": {}, "cluster": "backend"}]}}
        check = {"http": {"path": path}} | FAST
        self.proxy = self.ringway(
            document([edge], [cluster("backend", *endpoints, protocol="http2", health_check=check)]))

    def nghttpd(self, port: int):
        (self.folder / "big").write_bytes(bytes(200_000))
        (self.folder / "index.html").write_text("hello")
        server = self.server("nghttpd", "--no-tls", "-d", str(self.folder), str(port))
        self.wait_listening(port)
        return server

    def test_an_endpoint_goes_and_comes_back(self):
        port = free_port()
        server = self.nghttpd(port)
        self.start(port)
        self.wait_for("healthy")
        server.terminate()
        server.wait()
        self.wait_for("unhealthy")
        self.nghttpd(port)
        self.wait_for("healthy")

    def test_a_long_answer_is_judged_by_its_status(self):
        port = free_port()
        self.nghttpd(port)
        self.start(port, path="/big")
        self.wait_for("healthy")
        self.eventually(lambda: self.count("health_checks_total", result="success") > 3)

    def test_an_endpoint_that_speaks_http_1_is_unhealthy(self):
        self.start(self.peer(greet("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")))
        self.wait_for("unhealthy")


class GRPC(HealthCase):
    def start_server(self, port: int = 0) -> int:
        self.servicer = health.HealthServicer()
        self.grpc_server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        health_pb2_grpc.add_HealthServicer_to_server(self.servicer, self.grpc_server)
        bound = self.grpc_server.add_insecure_port(f"127.0.0.1:{port}")
        self.grpc_server.start()
        server = self.grpc_server
        self.addCleanup(lambda: server.stop(None).wait())
        return bound

    def start(self, *endpoints, check: dict | None = None):
        self.port = free_port()
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}",
                "http": {"routes": [{"match": {}, "cluster": "backend"}]}}
        self.proxy = self.ringway(document([edge], [cluster(
            "backend", *endpoints, protocol="http2", panic_threshold="0%",
            health_check={"grpc": check or {}, "healthy": 1} | FAST)]))

    def call(self) -> int:
        """What the health service says through the proxy."""
        with grpc.insecure_channel(
                f"127.0.0.1:{self.port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            return health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=30).status

    def test_a_server_that_serves_is_healthy(self):
        self.start(self.start_server())
        self.wait_for("healthy")
        self.eventually(lambda: self.count("health_checks_total", result="success") > 5)
        self.assertEqual(self.call(), health_pb2.HealthCheckResponse.SERVING)

    def test_a_service_goes_and_comes_back(self):
        port = self.start_server()
        self.servicer.set("shop.Cart", health_pb2.HealthCheckResponse.SERVING)
        self.start(port, check={"service": "shop.Cart"})
        self.wait_for("healthy")
        self.servicer.set("shop.Cart", health_pb2.HealthCheckResponse.NOT_SERVING)
        self.wait_for("unhealthy")
        self.eventually(lambda: "NOT_SERVING" in self.proxy.log)
        with self.assertRaises(grpc.RpcError) as caught:
            self.call()
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.servicer.set("shop.Cart", health_pb2.HealthCheckResponse.SERVING)
        self.wait_for("healthy")

    def test_a_service_that_nobody_knows_is_unhealthy(self):
        self.start(self.start_server(), check={"service": "shop.Nowhere"})
        self.wait_for("unhealthy")
        self.eventually(lambda: "grpc-status 5" in self.proxy.log)

    def test_a_server_without_the_health_service_is_unhealthy(self):
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(None).wait())
        self.start(port)
        self.wait_for("unhealthy")
        self.eventually(lambda: "grpc-status 12" in self.proxy.log)

    def test_a_server_that_stops_and_starts_again(self):
        port = self.start_server()
        self.start(port)
        self.wait_for("healthy")
        self.grpc_server.stop(None).wait()
        self.wait_for("unhealthy")
        self.start_server(port)
        self.wait_for("healthy")
