"""Listeners: who may connect, how many, how fast, and the filters before the proxy."""

import contextlib
import http.client
import socket
import time

from support import Case, cluster, document, free_port, listener, read_exactly, read_to_end
from support.peers import echo, sink


class Listeners(Case):
    def edge(self, script=echo, workers: int = 1, address: str = "127.0.0.1", **more) -> int:
        port = free_port()
        self.proxy = self.ringway(
            document([listener("edge", f"{address}:{port}", **more)], [cluster("backend", self.peer(script))]),
            workers=workers,
        )
        return port

    def rejected(self, reason: str) -> float:
        return self.proxy.metrics()("ringway_listener_connections_rejected_total", listener="edge", reason=reason)

    def closed(self, reason: str) -> float:
        return self.proxy.metrics()("ringway_connection_closes_total", listener="edge", reason=reason)

    def active(self) -> float:
        return self.proxy.metrics()("ringway_listener_connections_active", listener="edge")

    def exchange(self, client) -> bytes:
        client.sendall(b"ping")
        return read_exactly(client, 4)


class MaxConnections(Listeners):
    def test_a_full_listener_serves_again_when_connections_end(self):
        port = self.edge(max_connections=3)
        for _ in range(3):
            held = []
            while len(held) < 3:
                # What waited in the last round is accepted first, and is in the way until it is found to be gone.
                with contextlib.suppress(ConnectionError, EOFError):
                    client = self.connect(port)
                    self.exchange(client)
                    held.append(client)
            # More than three knock. Some are turned away, some wait in the kernel; none is served.
            waiting = [self.connect(port) for _ in range(5)]
            self.eventually(lambda: self.rejected("limit") > 0)
            self.assertEqual(self.active(), 3)
            self.assertEqual(self.exchange(held[0]), b"ping")
            for client in held + waiting:
                client.close()
            self.eventually_equal(self.active, 0)

    def test_connections_that_waited_are_served_when_there_is_room(self):
        port = self.edge(max_connections=1)
        held = self.connect(port)
        self.assertEqual(self.exchange(held), b"ping")
        self.assertNotEqual(self.fate(port), "served")
        # The listener pauses now: who comes next waits instead.
        waiting = self.connect(port)
        waiting.sendall(b"ping")
        held.close()
        self.assertEqual(read_exactly(waiting, 4), b"ping")

    def test_the_limit_holds_for_all_workers_together(self):
        port = self.edge(script=sink, workers=2, max_connections=10)
        held = [self.connect(port) for _ in range(60)]
        self.eventually(lambda: self.rejected("limit") > 0 and self.active() >= 10)
        self.assertLessEqual(self.active(), 11)  # workers that accept in the same moment overshoot by one each
        for client in held:
            client.close()
        self.eventually_equal(self.active, 0)

    def test_a_full_listener_costs_no_cpu_time_while_others_wait(self):
        port = self.edge(script=sink, max_connections=1)
        clients = [self.connect(port) for _ in range(20)]
        self.eventually(lambda: self.rejected("limit") > 0)
        before = self.proxy.cpu_seconds()
        time.sleep(1)
        self.assertLess(self.proxy.cpu_seconds() - before, 0.3)
        self.assertEqual(len(clients), 20)


class Access(Listeners):
    def test_denied_addresses_are_reset_and_counted(self):
        port = self.edge(access={"deny": ["127.0.0.2"]})
        self.assertEqual(self.fate(port, source="127.0.0.1"), "served")
        self.assertEqual(self.fate(port, source="127.0.0.2"), "reset")
        self.eventually_equal(lambda: self.closed("denied"), 1)
        self.assertEqual(self.proxy.metrics()("ringway_cluster_connections_total", cluster="backend"), 1)

    def test_deny_wins_over_allow_and_who_is_in_neither_stays_out(self):
        port = self.edge(access={"allow": ["127.0.0.0/28"], "deny": ["127.0.0.6/31"]})
        fates = {"127.0.0.1": "served", "127.0.0.5": "served", "127.0.0.6": "reset", "127.0.0.16": "reset"}
        for source, fate in fates.items():
            with self.subTest(source):
                self.assertEqual(self.fate(port, source=source), fate)

    def test_ipv4_peers_of_a_dual_stack_listener_are_ipv4_addresses(self):
        port = self.edge(address="", access={"allow": ["127.0.0.1", "::1"]})
        self.assertEqual(self.fate(f"127.0.0.1:{port}"), "served")
        self.assertEqual(self.fate(f"[::1]:{port}"), "served")
        self.assertEqual(self.fate(f"127.0.0.1:{port}", source="127.0.0.9"), "reset")

    def test_peers_of_unix_sockets_have_no_address_and_are_admitted(self):
        path = f"unix:{self.folder}/edge.sock"
        edge = listener("edge", path, access={"allow": ["10.0.0.0/8"]})
        self.ringway(document([edge], [cluster("backend", self.peer(echo))]))
        self.assertEqual(self.exchange(self.connect(path)), b"ping")


class Filters(Listeners):
    def test_connections_beyond_the_rate_are_refused(self):
        filters = [{"connection_rate_limit": {"connections_per_second": 1, "burst": 3}}]
        started = time.monotonic()
        port = self.edge(workers=2, network_filters=filters)
        admitted = 0
        for _ in range(20):
            admitted += self.fate(port) == "served"
        most = 3 + (time.monotonic() - started) + 1
        self.assertGreaterEqual(admitted, 3)
        self.assertLessEqual(admitted, most)
        self.eventually_equal(lambda: self.closed("limit"), 20 - admitted)

    def test_an_echo_needs_no_upstream(self):
        port = free_port()
        self.proxy = self.ringway(
            document([{"name": "edge", "address": f"127.0.0.1:{port}", "network_filters": ["echo"]}])
        )
        client = self.connect(port)
        for size in (1, 1000, 100_000):
            data = bytes(size)
            client.sendall(data)
            self.assertEqual(read_exactly(client, size), data)
        client.sendall(b"last")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(client), b"last")
        self.eventually_equal(lambda: self.closed("finished"), 1)

    def test_a_client_of_an_echo_that_does_not_read_is_held_back(self):
        port = free_port()
        self.proxy = self.ringway(
            document([{"name": "edge", "address": f"127.0.0.1:{port}", "network_filters": ["echo"]}])
        )
        stuck = self.connect(port, receive_buffer=4096)
        stuck.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            while True:
                stuck.sendall(bytes(1 << 20))
        self.assertLess(self.proxy.metrics()("ringway_bytes_total", listener="edge", direction="received"), 32 << 20)
        self.assertEqual(self.exchange(self.connect(port)), b"ping")

    def test_filters_run_in_the_order_of_the_file(self):
        # What the access list turns away does not use up the rate.
        filters = [
            {"ip_access": {"deny": ["127.0.0.2"]}},
            {"connection_rate_limit": {"connections_per_second": 1, "burst": 1}},
        ]
        port = self.edge(network_filters=filters)
        for _ in range(10):
            self.assertEqual(self.fate(port, source="127.0.0.2"), "reset")
        self.assertEqual(self.fate(port), "served")
        self.eventually_equal(lambda: (self.closed("denied"), self.closed("limit")), (10, 0))


class Http(Case):
    """What a listener answers by itself."""

    def edge(self, **http) -> int:
        port = free_port()
        routes = [
            {"match": {"path": "/healthz"}, "respond": {"status": 204}},
            {"match": {"path_prefix": "/private/"}, "respond": {"status": 403, "headers": {"x-why": "private"}}},
            {"match": {}, "respond": {"status": 404, "body": "nothing here\n"}},
        ]
        edge = {"name": "edge", "address": f"127.0.0.1:{port}", "http": {"routes": routes} | http}
        self.proxy = self.ringway(document([edge]))
        return port

    def test_the_first_route_that_matches_answers(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.edge(), timeout=30)
        for path, status, body in (
            ("/healthz", 204, b""),
            ("/healthz?deep", 204, b""),
            ("/healthz/", 404, b"nothing here\n"),
            ("/private/x", 403, b""),
            ("/private", 404, b"nothing here\n"),
            ("/", 404, b"nothing here\n"),
        ):
            with self.subTest(path):
                connection.request("GET", path)
                response = connection.getresponse()
                self.assertEqual((response.status, response.read()), (status, body))
                self.assertEqual(response.getheader("server"), "ringway")
        connection.close()

    def test_an_idle_connection_is_closed(self):
        client = self.connect(self.edge(idle_timeout="300ms"))
        self.assertEqual(read_to_end(client), b"")

    def test_a_request_that_takes_too_long_is_told_so(self):
        client = self.connect(self.edge(request_timeout="300ms"))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        self.assertIn(b"HTTP/1.1 408 ", read_to_end(client))

    def test_limits_of_the_header_section(self):
        port = self.edge(limits={"header_bytes": "1KiB", "headers": 5})
        many = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 6 + b"\r\n"
        long = b"GET / HTTP/1.1\r\nHost: x\r\na: " + b"b" * 2000 + b"\r\n\r\n"
        for request in (many, long):
            client = self.connect(port)
            client.sendall(request)
            self.assertIn(b"HTTP/1.1 431 ", read_to_end(client))
