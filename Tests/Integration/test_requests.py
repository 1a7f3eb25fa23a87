"""/requests: where a request went, from the memory of the workers. And the CPU time of routes."""

import fcntl
import http.client
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
from pathlib import Path

from support import cluster, document, free_port
from support.peers import http as web
from support.proxy import BINARY, Ringway
from test_stats import StatsCase


class Requests(StatsCase):
    def edge(self, routes: list[dict] | None = None, clusters: list[dict] = (), workers: int = 1, **top):
        self.port = free_port()
        routes = routes or [
            {"name": "gone", "match": {"path": "/gone"}, "respond": {"status": 410, "body": "gone\n"}},
            {"match": {"path_prefix": "/old/"}, "cluster": "backend", "rewrite": {"path_prefix": "/new/"}},
            {"match": {}, "cluster": "backend"},
        ]
        self.backend = self.peer(web("hello"))
        self.config = document(
            [{"name": "edge", "address": f"127.0.0.1:{self.port}", "http": {"routes": routes}}],
            [cluster("backend", self.backend), *clusters],
            **top,
        )
        self.proxy = self.ringway(self.config, workers=workers)
        return self.proxy

    def requests(self, query: str = "") -> list[dict]:
        answer = self.proxy.admin("/requests?format=json" + query)
        self.assertEqual(answer.status, 200, answer.text)
        return answer.json["requests"]

    def test_a_request_tells_where_it_went(self):
        self.edge()
        self.get("/some/path?query")
        (request,) = self.requests()
        self.assertRegex(request["started"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(
            {key: request[key] for key in ("status", "flag", "method", "path", "protocol", "listener", "route")},
            {
                "status": 200, "flag": None, "method": "GET", "path": "/some/path", "protocol": "HTTP/1.1",
                "listener": "edge", "route": "*",
            },
        )
        self.assertEqual((request["cluster"], request["endpoint"]), ("backend", self.backend.address))
        self.assertEqual((request["tries"], request["bytes_sent"], request["is_local"]), (1, 5, False))
        self.assertEqual(request["host"], f"127.0.0.1:{self.port}")
        self.assertEqual(len(request["id"]), 36)
        phases = request["phases_ms"]
        self.assertEqual(list(phases), ["receive", "wait", "upstream", "respond"])
        self.assertAlmostEqual(sum(phases.values()), request["duration_ms"], delta=0.01)

    def test_an_answer_of_the_proxy_says_why(self):
        nobody = {"name": "down", "endpoints": [f"127.0.0.1:{free_port()}"]}
        self.edge([{"match": {"path": "/down"}, "cluster": "down"}, {"match": {"path": "/up"}, "cluster": "backend"}],
                  [nobody])
        self.get("/down")
        self.get("/nowhere")
        missing, down = self.requests()
        self.assertEqual((missing["status"], missing["flag"], missing["details"]), (404, "NR", "route_not_found"))
        self.assertEqual((missing["route"], missing["cluster"]), (None, None))
        self.assertEqual((down["status"], down["flag"], down["failure"]), (503, "UF", "connect_refused"))
        self.assertEqual((down["cluster"], down["endpoint"]), ("down", nobody["endpoints"][0]))
        self.assertIn("connection_failure", down["details"])

    def test_a_request_that_is_none_has_no_method(self):
        self.edge()
        client = self.connect(self.port)
        client.sendall(b"NONSENSE\r\n\r\n")
        self.assertIn(b" 400 ", client.recv(65536))
        client.close()
        self.eventually_equal(lambda: len(self.requests()), 1)
        (request,) = self.requests("&flag=DPE")
        self.assertEqual((request["status"], request["details"]), (400, "invalid_request_line"))
        self.assertEqual([request[key] for key in ("method", "host", "path", "protocol")], [None] * 4)
        self.assertRegex(self.proxy.admin("/requests").text, r"^\S+Z 400 DPE - - - duration=")

    def test_filters_leave_what_was_asked_for(self):
        self.edge()
        self.get("/a", 3)
        self.get("/gone", 2)
        self.get("/old/thing")
        self.assertEqual(len(self.requests()), 6)
        for query, count in (
            ("&status=410", 2), ("&status=4xx", 2), ("&status=200-299", 4), ("&status=5xx", 0), ("&route=gone", 2),
            ("&route=/old/*", 1), ("&cluster=backend", 4), ("&listener=edge", 6), ("&listener=other", 0),
            ("&min_duration=1h", 0), ("&flag=UF", 0), ("&flag=-", 6), ("&path=/old", 1), ("&limit=4", 4),
            ("&filter=status=410,route=gone", 2), ("&filter=status=410,cluster=backend", 0),
        ):
            with self.subTest(query):
                self.assertEqual(len(self.requests(query)), count)

    def test_an_id_or_a_trace_finds_its_request(self):
        self.edge([{"match": {}, "cluster": "backend"}])
        for number in range(5):
            client = http.client.HTTPConnection("127.0.0.1", self.port)
            trace = f"{number:032x}"
            client.request("GET", "/", headers={"traceparent": f"00-{trace}-00000000000000ff-01"})
            client.getresponse().read()
            client.close()
        self.eventually_equal(lambda: len(self.requests()), 5)
        ids = [request["id"] for request in self.requests()]
        self.assertEqual(len(set(ids)), 5)
        (found,) = self.requests("&id=" + ids[2])
        self.assertEqual(found["id"], ids[2])
        (found,) = self.requests(f"&id={3:032x}")
        self.assertEqual(found["trace_id"], f"{3:032x}")

    def test_the_trace_is_the_one_that_the_proxy_began(self):
        seen = []

        def service(sock):
            while data := sock.recv(65536):
                seen.append(re.search(rb"(?i)traceparent: 00-([0-9a-f]{32})-", data)[1].decode())
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        self.port = free_port()
        http_edge = {"tracing": {"sampling": "100%"}, "routes": [{"match": {}, "cluster": "backend"}]}
        self.proxy = self.ringway(document(
            [{"name": "edge", "address": f"127.0.0.1:{self.port}", "http": http_edge}],
            [cluster("backend", self.peer(service))]))
        self.get("/", 2)
        self.assertEqual([request["trace_id"] for request in self.requests()], seen[::-1])
        (found,) = self.requests("&id=" + seen[0])
        self.assertEqual(found["trace_id"], seen[0])

    def test_what_is_remembered_in_part_is_found_by_the_whole(self):
        self.edge()
        path, name = "/" + "p" * 200, "i" * 80
        client = http.client.HTTPConnection("127.0.0.1", self.port)
        client.request("GET", path, headers={"x-request-id": name})
        client.getresponse().read()
        client.close()
        self.eventually_equal(lambda: len(self.requests()), 1)
        self.assertEqual(len(self.requests("&path=" + path)), 1)
        self.assertEqual(len(self.requests("&id=" + name)), 1)
        self.assertEqual(self.requests("&id=" + name[:20]), [])
        self.assertEqual(self.requests("&path=/q"), [])

    def test_a_rewritten_path_is_shown_as_it_came(self):
        self.edge()
        self.get("/old/thing")
        (request,) = self.requests()
        self.assertEqual((request["path"], request["route"]), ("/old/thing", "/old/*"))

    def test_the_newest_are_kept_and_come_first(self):
        self.edge(stats={"recent_requests": 10}, workers=1)
        for number in range(35):
            self.get(f"/{number}")
        self.assertEqual([request["path"] for request in self.requests()], [f"/{n}" for n in range(34, 24, -1)])

    def test_none_are_kept_where_none_are_wanted(self):
        self.edge(stats={"recent_requests": 0})
        self.get("/")
        self.assertEqual(self.requests(), [])

    def test_long_paths_and_odd_bytes_do_no_harm(self):
        self.edge()
        self.get("/" + "x" * 3000)
        line = self.proxy.admin("/requests").text
        self.assertIn("/" + "x" * 95 + "… ", line)
        self.assertEqual(len(line.splitlines()), 1)

    def test_lines_say_the_same(self):
        self.edge()
        self.get("/gone")
        self.assertRegex(
            self.proxy.admin("/requests").text,
            r"^\S+Z 410 - GET 127\.0\.0\.1:\d+/gone HTTP/1\.1 duration=[0-9.]+ms receive=[0-9.]+ms .* listener=edge "
            r'route="gone" .*worker=0\n$',
        )

    def test_what_it_does_not_know_is_a_bad_request(self):
        self.edge()
        for query, expected in (
            ("status=abc", "503, 5xx or 500-504"), ("status=9xx", "503, 5xx or 500-504"), ("status=42", "503, 5xx"),
            ("bogus=1", "status, flag, listener"), ("limit=0", "from 1 to 100000"), ("min_duration=5", "250ms"),
            ("filter=status", "status=5xx,min_duration"), ("filter=format=json", "status=5xx,min_duration"),
            ("flag=XX", "UF, UC, UT"), ("format=xml", "text or json"),
        ):
            with self.subTest(query):
                answer = self.proxy.admin("/requests?" + query)
                self.assertEqual(answer.status, 400)
                self.assertIn(expected, answer.text)

    def test_reading_while_writing_shows_whole_records_only(self):
        self.edge(stats={"recent_requests": 4}, workers=2)
        stop = threading.Event()

        def load():
            while not stop.is_set():
                self.fetch("/gone")

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(100):
                for request in self.requests():
                    self.assertEqual((request["status"], request["path"], request["route"]), (410, "/gone", "gone"))
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def fetch(self, path: str):
        client = http.client.HTTPConnection("127.0.0.1", self.port)
        client.request("GET", path)
        client.getresponse().read()
        client.close()

    def test_names_survive_a_reload(self):
        self.edge()
        self.get("/gone")
        self.assertEqual(self.proxy.configure("# the same\n" + self.config).status, 200)
        self.assertEqual(self.requests()[0]["route"], "gone")

    def test_names_of_what_is_gone_are_left_out(self):
        self.edge()
        self.get("/gone")
        other = self.config.replace('"gone"', '"away"')
        self.assertEqual(self.proxy.configure(other).status, 200)
        (request,) = self.requests()
        self.assertEqual((request["listener"], request["route"], request["status"]), ("edge", None, 410))


class Routes(StatsCase):
    def test_requests_count_for_their_route(self):
        self.edge()
        self.get("/gone", 3)
        self.get("/", 2)
        metrics = self.proxy.metrics()
        self.assertEqual(metrics("ringway_route_requests_total", listener="edge", route="/gone"), 3)
        self.assertEqual(metrics("ringway_route_requests_total", listener="edge", route="*"), 2)

    def test_the_cpu_time_of_the_busy_route_is_its_own(self):
        self.edge()
        before = time.monotonic()

        def busy():
            for _ in range(200):
                self.fetch("/gone")
            metrics = self.proxy.metrics()
            return metrics("ringway_route_cpu_seconds_total", listener="edge", route="/gone") > 0.05

        # Which turns are measured is chance: go on until some were.
        self.eventually(busy)
        metrics = self.proxy.metrics()
        spent = metrics("ringway_route_cpu_seconds_total", listener="edge", route="/gone")
        self.assertEqual(metrics("ringway_route_cpu_seconds_total", listener="edge", route="*"), 0)
        self.assertLess(spent, time.monotonic() - before)

    def test_the_costs_of_routes_are_what_the_workers_spend(self):
        self.edge()

        def spent() -> tuple[float, float, float]:
            threads = Path(f"/proc/{self.proxy.pid}/task").iterdir()
            worker = next(thread for thread in threads if (thread / "comm").read_text().startswith("worker"))
            metrics = self.proxy.metrics()
            return (
                int((worker / "schedstat").read_text().split()[0]) / 1e9,
                metrics("ringway_worker_loop_seconds_total", worker="0", state="busy"),
                metrics.sum("ringway_route_cpu_seconds_total"),
            )

        before = spent()
        # On connections that stay: opening them is nobody's work.
        client = http.client.HTTPConnection("127.0.0.1", self.port)
        self.addCleanup(client.close)
        while spent()[0] - before[0] < 1:
            for path in ("/gone", "/") * 250:
                client.request("GET", path)
                client.getresponse().read()
        cpu, busy, routes = (after - first for after, first in zip(spent(), before))
        # Published every tenth of a second.
        self.assertLess(abs(busy - cpu), 0.15)
        # Of some thousands of measured turns, and scrapes are served by the worker as well.
        self.assertGreater(routes, 0.6 * cpu)
        self.assertLess(routes, 1.25 * cpu)

    fetch = Requests.fetch


class Top(StatsCase):
    def test_one_look_shows_every_table(self):
        self.edge(workers=2)
        stop = threading.Event()

        def load():
            while not stop.is_set():
                Requests.fetch(self, "/gone")
                Requests.fetch(self, "/")

        thread = threading.Thread(target=load)
        thread.start()
        try:
            Requests.fetch(self, "/")
            shown = self.command("top", "--admin", f"127.0.0.1:{self.proxy.admin_port}", "--once", "--interval", "1")
        finally:
            stop.set()
            thread.join()
        self.assertEqual((shown.returncode, shown.stderr), (0, ""))
        self.assertNotIn("\x1b", shown.stdout)
        self.assertRegex(shown.stdout, r"(?m)^ringway \S+  LIVE  generation 1 .* req/s  descriptors \d+$")
        for row in (r"edge +\d+", r"raw +0", r"backend +1/1 ", r"/gone +edge +[0-9.]+", r"0 +[0-9.]+% ", r"1 +[0-9.]+% ",
                    r"127\.0\.0\.1:\d+ +backend +\d+ +0 "):
            self.assertRegex(shown.stdout, re.compile("^" + row, re.MULTILINE))

    def test_a_terminal_is_filled_and_not_overrun(self):
        Requests.edge(
            self, [{"name": "a-route-with-a-long-name-that-goes-on-for-a-while", "match": {}, "cluster": "backend"}],
            [cluster(f"a-cluster-with-a-long-name-number-{number}", "127.0.0.1:1") for number in range(50)])
        self.get("/", 3)
        for rows, columns in ((24, 80), (60, 200), (10, 40), (4, 20)):
            with self.subTest(rows=rows, columns=columns):
                screen = self.screen(rows, columns)
                self.assertLessEqual(len(screen), rows)
                self.assertLessEqual(max(map(len, screen)), columns)
                if rows >= 24:
                    self.assertGreater(len(screen), rows - 3)
                    for head in ("LISTENER", "CLUSTER", "WORKER"):
                        self.assertTrue(any(line.startswith(head) for line in screen), head)
                    self.assertTrue(any("P99" in line for line in screen))

    def screen(self, rows: int, columns: int) -> list[str]:
        """The first frame of a terminal of this size."""
        terminal, inside = pty.openpty()
        self.addCleanup(os.close, terminal)
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        top = subprocess.Popen(
            [BINARY, "top", "--admin", f"127.0.0.1:{self.proxy.admin_port}", "--interval", "0.2"], stdout=inside)
        os.close(inside)
        shown = b""
        # The second frame ends the first.
        while shown.count(b"\x1b[H") < 2:
            shown += os.read(terminal, 65536)
        top.kill()
        top.wait()
        return shown.split(b"\x1b[H\x1b[2J")[1].decode().replace("\r\n", "\n").split("\n")

    def test_a_proxy_that_comes_back_is_shown_again(self):
        self.edge()
        address = f"127.0.0.1:{self.proxy.admin_port}"
        top = subprocess.Popen(
            [BINARY, "top", "--admin", address, "--interval", "0.1"], stdout=subprocess.PIPE, text=True)
        self.addCleanup(top.stdout.close)
        self.addCleanup(top.wait)
        self.addCleanup(top.kill)

        def until(text: str):
            for line in top.stdout:
                if text in line:
                    return
            self.fail(f"it ended before it said {text!r}")

        until("LIVE")
        self.proxy.stop()
        until("no admin interface at " + address)
        again = Ringway(
            ["run", str(self.folder / "ringway.yaml"), "--admin", address], self.folder, self.proxy.admin_port)
        self.addCleanup(again.stop)
        again.wait_ready()
        until(address + " is back")
        until("LIVE")

    def test_nobody_there_is_said(self):
        shown = self.command("top", "--admin", f"127.0.0.1:{free_port()}", "--once")
        self.assertEqual(shown.returncode, 69)
        self.assertIn("no admin interface", shown.stderr)

    def test_wrong_usage_is_said(self):
        self.assertEqual(self.command("top", "--interval", "0").returncode, 64)
        self.assertEqual(self.command("top", "--admin", "nonsense").returncode, 64)
