"""Clients that take their time: they are closed by the time-outs, cost little, and nobody else waits for them."""

import re
import subprocess
import threading
import time
import unittest

from support import cluster, connect, document, free_port, read_to_end
from test_http_proxy import GET, HTTPCase, listener, read_body, read_head

SHORT = {"request_timeout": "1s", "idle_timeout": "1s", "stream_idle_timeout": "1s"}
ROUTES = [{"match": {}, "cluster": "backend", "timeout": "2s"}]

# Received bytes of all connections together: the default of `buffers.max_per_worker`. What a connection that does not
# move may keep besides is bounded by its watermarks: 48 slices of 32 KiB at most.
BUFFERS = 64 << 20
PER_CONNECTION = 48 * (32 << 10)
# More than the sockets on the way hold, so that the proxy sees that it is not read.
LARGE = 8 << 20


class SlowCase(HTTPCase):
    def proxy(self, script, routes=None, **more):
        self.process = super().proxy(script, routes or ROUTES, **(SHORT | more))

    @staticmethod
    def large(sock):
        while head := read_head(sock):
            read_body(sock, head)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
            sock.sendall(b"x" * LARGE)

    def endings(self, clients) -> list[bytes]:
        """What each client got until the proxy ended its connection, by a close or a reset."""
        results = []
        for client in clients:
            data = b""
            try:
                while more := client.recv(1 << 20):
                    data += more
            except ConnectionResetError:
                pass
            results.append(data)
        return results

    def nothing_is_left(self):
        for name in ["ringway_http_requests_active", "ringway_cluster_requests_active", "ringway_buffers_in_use"]:
            self.eventually_equal(lambda: self.process.metrics().sum(name), 0, name)


class SlowHTTPTest(SlowCase):
    """The modes of slowhttptest, 150 connections each, while other clients are served."""

    CONNECTIONS = 150

    def attack(self, *options: str, path: str = "/", notices: bool = True):
        """`notices`: slowhttptest sees that its connections were closed, and ends then. It does not while it reads what
        its socket holds at 32 bytes a second."""
        url = f"http://127.0.0.1:{self.port}{path}"
        before = self.process.resident_bytes()
        largest = before
        served, failed, most, least = 0, [], 0, self.CONNECTIONS
        count = str(self.CONNECTIONS)
        with subprocess.Popen(
            ["slowhttptest", "-v", "1", "-c", count, "-r", count, "-u", url, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
        ) as attack:
            report = []
            reader = threading.Thread(target=lambda: report.append(attack.stdout.read()))
            reader.start()
            while attack.poll() is None:
                client = connect(f"127.0.0.1:{self.port}")
                client.sendall(b"GET /small HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                answer = read_to_end(client)
                client.close()
                if answer.startswith(b"HTTP/1.1 200 "):
                    served += 1
                else:
                    failed.append(answer)
                largest = max(largest, self.process.resident_bytes())
                metrics = self.process.metrics()
                slow = metrics("ringway_http_requests_active", listener="edge")
                most = max(most, slow)
                if most > self.CONNECTIONS / 2:
                    least = min(least, slow)
                time.sleep(0.01)
            reader.join()
        self.assertEqual(failed, [], "clients that were not slow")
        self.assertGreater(served, 10)
        self.assertLess(largest - before, BUFFERS + self.CONNECTIONS * PER_CONNECTION)
        if notices:
            self.assertIn("No open connections left", re.sub(r"\x1b\[[0-9;]*m", "", report[0]))
        else:
            self.assertEqual(least, 0, "slow requests that the proxy has not ended")
        self.nothing_is_left()

    def start(self, **settings):
        (self.folder / "large").write_bytes(b"x" * LARGE)
        port = self.nginx(
            f"root {self.folder}; location = /small {{ return 200 ok; }}"
            "location = / { client_max_body_size 1g; return 200 ok; }"
        )
        self.port = free_port()
        self.process = self.ringway(
            document([listener(self.port, ROUTES, **(SHORT | settings))], [cluster("backend", port)])
        )

    def test_slow_headers(self):
        self.start()
        self.attack("-H", "-i", "2", "-l", "20")

    def test_slow_headers_that_never_stop(self):
        self.start(stream_idle_timeout="1h")
        self.attack("-H", "-i", "1", "-l", "20", "-x", "8")

    def test_slow_bodies(self):
        self.start()
        self.attack("-B", "-i", "3", "-l", "20", "-s", "8192")

    def test_slow_bodies_that_never_stop(self):
        # An endpoint that waits for the whole body, as nginx's `return` does not.
        self.proxy(self.recording(), stream_idle_timeout="1h", request_body_timeout="2s")
        self.attack("-B", "-i", "1", "-l", "20", "-s", "8192", "-x", "64")

    def test_slow_bodies_with_default_settings(self):
        self.proxy(self.recording(), stream_idle_timeout="5m")
        self.attack("-B", "-i", "2", "-l", "60", "-s", "8192")
        self.assertEqual(
            self.process.metrics()("ringway_http_request_timeouts_total", listener="edge", reason="body"),
            self.CONNECTIONS,
        )

    def test_slow_reads(self):
        self.start()
        self.attack("-X", "-l", "8", "-n", "1", "-z", "32", "-w", "512", "-y", "1024", path="/large", notices=False)

    def test_ranges(self):
        self.start()
        self.attack("-R", "-l", "20", "-a", "5", "-b", "500")


class Dribbled(SlowCase):
    """The same by hand, a byte at a time, so that it is certain what was sent when."""

    COUNT = 50

    def clients(self, *, receive_buffer=None):
        return [self.connect(f"127.0.0.1:{self.port}", receive_buffer) for _ in range(self.COUNT)]

    def dribble(self, clients, data: bytes):
        """A byte to each client about every 50 ms, until all connections are closed or everything is sent."""
        for index in range(len(data)):
            open_clients = 0
            for client in clients:
                try:
                    client.sendall(data[index : index + 1])
                    open_clients += 1
                except OSError:
                    pass
            if not open_clients:
                return
            time.sleep(0.05)
        self.fail("slow clients were let through")

    def fast_client(self):
        """One that asks all the time, in the background; ends with what it could not get."""
        failures, stop = [], threading.Event()

        def ask():
            with connect(f"127.0.0.1:{self.port}") as client:
                while not stop.is_set():
                    client.sendall(GET)
                    head, _ = self.answer(client)
                    if not head.startswith(b"HTTP/1.1 200 "):
                        failures.append(head)
                        return
                    time.sleep(0.005)

        thread = threading.Thread(target=ask)
        thread.start()

        def finish():
            stop.set()
            thread.join()
            self.assertEqual(failures, [])

        return finish

    def test_a_head(self):
        self.proxy(self.recording())
        finish = self.fast_client()
        clients = self.clients()
        self.dribble(clients, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 1000)
        for answer in self.endings(clients):
            self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
        finish()
        self.assertTrue(all(b"X:" not in request for request in self.requests))
        self.nothing_is_left()

    def test_a_request_line(self):
        self.proxy(self.recording())
        clients = self.clients()
        self.dribble(clients, b"GET /" + b"x" * 1000)
        for answer in self.endings(clients):
            self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
        self.nothing_is_left()

    def test_a_body_that_stops(self):
        for framing in [
            b"Content-Length: 100\r\n\r\nxxx",
            b"Transfer-Encoding: chunked\r\n\r\n5\r\nxxx",
            b"Transfer-Encoding: chunked\r\n\r\n5",
        ]:
            with self.subTest(framing):
                self.proxy(self.recording())
                finish = self.fast_client()
                clients = self.clients()
                for client in clients:
                    client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing)
                for answer in self.endings(clients):
                    self.assertTrue(answer.startswith(b"HTTP/1.1 408 "), answer)
                finish()
                self.nothing_is_left()

    def test_a_response_that_is_not_read(self):
        self.proxy(self.large, stream_idle_timeout="1s")
        clients = self.clients(receive_buffer=4096)
        for client in clients:
            client.sendall(GET)
        before = self.process.resident_bytes()
        self.eventually_equal(lambda: self.process.metrics()("ringway_listener_connections_active", listener="edge"), 0)
        for answer in self.endings(clients):
            self.assertLess(len(answer), LARGE, "a response that was cut short")
        self.assertLess(self.process.resident_bytes() - before, BUFFERS + self.COUNT * PER_CONNECTION)
        self.nothing_is_left()

    def test_a_response_that_is_read_byte_by_byte(self):
        """There is always progress; the time of the route ends it."""
        self.proxy(self.large)
        clients = self.clients(receive_buffer=4096)
        for client in clients:
            client.sendall(GET)
        deadline = time.monotonic() + 20
        left = list(clients)
        while left and time.monotonic() < deadline:
            for client in list(left):
                try:
                    if not client.recv(64):
                        left.remove(client)
                except OSError:
                    left.remove(client)
            active = self.process.metrics()("ringway_listener_connections_active", listener="edge")
            if active == 0:
                break
            time.sleep(0.02)
        self.assertEqual(active, 0)
        self.nothing_is_left()

    def test_connections_that_say_nothing(self):
        self.proxy(self.recording())
        finish = self.fast_client()
        self.assertEqual(self.endings(self.clients()), [b""] * self.COUNT)
        finish()

    def test_pipelined_requests_whose_answers_are_not_read(self):
        self.proxy(self.large)
        before = self.process.resident_bytes()
        clients = self.clients(receive_buffer=4096)
        for client in clients:
            client.settimeout(0.2)
            try:
                client.sendall(GET * 20_000)
            except TimeoutError:
                pass
            client.settimeout(30)
        self.assertLess(self.process.resident_bytes() - before, BUFFERS + self.COUNT * PER_CONNECTION)
        self.eventually_equal(lambda: self.process.metrics()("ringway_listener_connections_active", listener="edge"), 0)
        self.nothing_is_left()


if __name__ == "__main__":
    unittest.main()
