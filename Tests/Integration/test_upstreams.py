"""Clusters: which endpoint gets a connection, and what becomes of those that no endpoint takes."""

import collections
import contextlib
import socket

from support import Case, cluster, connect, document, free_port, listener, read_exactly, read_to_end
from support.peers import echo, greet, reset_at_once, sink


@contextlib.contextmanager
def black_hole():
    """An address that neither accepts nor refuses: a listener whose queue is full drops every further handshake."""
    with contextlib.ExitStack() as stack:
        holder = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(holder.getsockname())
        yield holder.getsockname()[1]


class Upstreams(Case):
    def edge(self, *endpoints, workers: int = 1, tcp: dict | None = None, **of_cluster) -> int:
        port = free_port()
        self.proxy = self.ringway(
            document([listener("edge", port, tcp=tcp)], [cluster("backend", *endpoints, **of_cluster)]),
            workers=workers,
        )
        return port

    def greeting(self, port: int) -> str:
        with connect(port) as client:
            return client.recv(100).decode()

    def expect_reset(self, port: int):
        self.assertEqual(self.fate(port), "reset")

    def failures(self) -> dict[str, float]:
        found = self.proxy.metrics().all("ringway_cluster_connect_failures_total", cluster="backend")
        return {dict(labels)["reason"]: count for labels, count in found.items() if count}


class Failures(Upstreams):
    def test_a_refused_connection_resets_the_client(self):
        # A reset and not an end: an empty answer could be taken for a complete one.
        self.expect_reset(self.edge(free_port()))
        self.assertEqual(self.failures(), {"connect_refused": 1})
        closes = self.proxy.metrics().all("ringway_connection_closes_total", listener="edge", reason="no_upstream")
        self.assertEqual(list(closes.values()), [1])

    def test_a_unix_socket_that_is_not_there_is_refused(self):
        self.expect_reset(self.edge(f"unix:{self.folder}/nowhere.sock"))
        self.assertEqual(self.failures(), {"connect_refused": 1})

    def test_an_endpoint_that_does_not_answer_runs_into_the_connect_timeout(self):
        with black_hole() as port:
            self.expect_reset(self.edge(port, connect_timeout="200ms"))
        self.assertEqual(self.failures(), {"connect_timeout": 1})

    def test_a_network_that_is_not_there_is_unreachable(self):
        # Reserved for documentation, and no route of loopback leads there.
        self.expect_reset(self.edge("[2001:db8::1]:80", connect_timeout="2s"))
        self.assertEqual(set(self.failures()) - {"connect_unreachable", "connect_failed", "connect_timeout"}, set())
        self.assertEqual(sum(self.failures().values()), 1)

    def test_other_endpoints_are_tried_before_a_connection_is_given_up(self):
        good = self.peer(greet("good"))
        port = self.edge(free_port(), free_port(), good, tcp={"connect_attempts": 3})
        for _ in range(9):
            self.assertEqual(self.greeting(port), "good")
        metrics = self.proxy.metrics()
        self.assertEqual(
            metrics("ringway_cluster_connect_retries_total", cluster="backend"), sum(self.failures().values())
        )
        self.assertGreater(sum(self.failures().values()), 0)

    def test_a_black_hole_is_left_for_another_endpoint_after_the_timeout(self):
        good = self.peer(greet("good"))
        with black_hole() as hole:
            port = self.edge(hole, good, tcp={"connect_attempts": 2}, connect_timeout="200ms")
            for _ in range(4):
                self.assertEqual(self.greeting(port), "good")
        self.assertEqual(set(self.failures()), {"connect_timeout"})

    def test_no_endpoint_is_tried_twice_and_no_more_than_allowed(self):
        port = self.edge(free_port(), free_port(), free_port(), tcp={"connect_attempts": 2})
        self.expect_reset(port)
        self.assertEqual(self.failures(), {"connect_refused": 2})
        text = self.proxy.admin("/clusters").text
        self.assertEqual(text.count("cx_connect_fail::1\n"), 2)

    def test_attempts_end_with_the_endpoints(self):
        self.expect_reset(self.edge(free_port(), free_port(), tcp={"connect_attempts": 10}))
        self.assertEqual(self.failures(), {"connect_refused": 2})

    def test_a_client_that_leaves_while_the_connect_hangs_is_forgotten(self):
        with black_hole() as hole:
            port = self.edge(hole, connect_timeout="60s", tcp={"idle_timeout": "500ms"})
            self.connect(port)
            self.eventually_equal(
                lambda: self.proxy.metrics()("ringway_listener_connections_active", listener="edge"), 0
            )
            self.eventually_equal(
                lambda: self.proxy.metrics()("ringway_cluster_connections_active", cluster="backend"), 0
            )

    def test_an_upstream_that_resets_is_not_a_connect_failure(self):
        self.expect_reset(self.edge(self.peer(reset_at_once)))
        self.eventually_equal(
            lambda: self.proxy.metrics()("ringway_cluster_connections_active", cluster="backend"), 0
        )
        self.assertEqual(self.failures(), {})

    def test_an_upstream_that_comes_back_is_used_again(self):
        address = free_port()
        port = self.edge(address)
        self.expect_reset(port)
        self.peer(greet("back"), f"127.0.0.1:{address}")
        self.assertEqual(self.greeting(port), "back")


class Balancing(Upstreams):
    def named(self, *names: str) -> list:
        return [self.peer(greet(name)) for name in names]

    def spread(self, port: int, count: int) -> collections.Counter:
        return collections.Counter(self.greeting(port) for _ in range(count))

    def test_round_robin_goes_round(self):
        port = self.edge(*self.named("a", "b", "c"))
        seen = [self.greeting(port) for _ in range(9)]
        self.assertEqual(sorted(seen[:3]), ["a", "b", "c"])
        self.assertEqual(seen, seen[:3] * 3)

    def test_round_robin_respects_weights_and_does_not_bunch(self):
        heavy, light = self.named("h", "l")
        port = self.edge({"address": heavy.address, "weight": 3}, {"address": light.address, "weight": 1})
        seen = "".join(self.greeting(port) for _ in range(16))
        self.assertEqual(collections.Counter(seen), {"h": 12, "l": 4})
        self.assertNotIn("ll", seen)

    def test_random_goes_everywhere_by_weight(self):
        heavy, light = self.named("h", "l")
        port = self.edge(
            {"address": heavy.address, "weight": 3},
            {"address": light.address, "weight": 1},
            load_balancing="random",
        )
        # 300 expected of 400, and a standard deviation of 8.7: seven of them either way.
        self.assertAlmostEqual(self.spread(port, 400)["h"], 300, delta=61)

    def test_least_request_fills_up_the_least_loaded(self):
        a, b = self.named("a", "b")
        port = self.edge(a, b, load_balancing="least_request")
        held = collections.defaultdict(list)
        for _ in range(10):
            client = self.connect(port)
            held[client.recv(1)].append(client)
        self.assertEqual({name: len(clients) for name, clients in held.items()}, {b"a": 5, b"b": 5})
        for client in held[b"a"]:
            client.close()
        self.eventually_equal(lambda: self.active(a), 0)
        for _ in range(5):
            self.assertEqual(self.connect(port).recv(1), b"a")

    def test_least_request_respects_weights(self):
        heavy, light = self.named("h", "l")
        port = self.edge(
            {"address": heavy.address, "weight": 3},
            {"address": light.address, "weight": 1},
            load_balancing="least_connections",
        )
        held = [self.connect(port) for _ in range(16)]
        self.assertEqual(collections.Counter(client.recv(1) for client in held), {b"h": 12, b"l": 4})

    def active(self, peer) -> int:
        endpoints = self.proxy.admin("/clusters?format=json").json["clusters"][0]["endpoints"]
        return next(entry["connections_active"] for entry in endpoints if entry["address"] == peer.address)

    def test_weighted_clusters_share_connections(self):
        port = free_port()
        stable, canary = self.named("s", "c")
        edge = {
            "name": "edge",
            "address": f"127.0.0.1:{port}",
            "tcp": {"weighted": [{"cluster": "stable", "weight": 3}, {"cluster": "canary", "weight": 1}]},
        }
        self.ringway(document([edge], [cluster("stable", stable), cluster("canary", canary)]))
        self.assertAlmostEqual(self.spread(port, 400)["s"], 300, delta=61)

    def test_endpoints_of_several_workers_are_balanced_too(self):
        port = self.edge(*self.named("a", "b"), workers=2, load_balancing="round_robin")
        # Each worker goes round by itself, so it is exact for each and off by at most one a worker.
        self.assertAlmostEqual(self.spread(port, 40)["a"], 20, delta=2)


class ConnectionLimits(Upstreams):
    def test_a_cluster_at_its_limit_refuses_until_a_connection_ends(self):
        port = self.edge(self.peer(echo), pool={"max_connections": 2})
        held = [self.connect(port) for _ in range(2)]
        for client in held:
            client.sendall(b"x")
            read_exactly(client, 1)
        self.expect_reset(port)
        self.expect_reset(port)
        refused = self.proxy.metrics()("ringway_cluster_overflows_total", cluster="backend", limit="max_connections")
        self.assertEqual(refused, 2)
        held.pop().close()
        self.eventually_equal(
            lambda: self.proxy.metrics()("ringway_cluster_connections_active", cluster="backend"), 1
        )
        client = self.connect(port)
        client.sendall(b"x")
        self.assertEqual(read_exactly(client, 1), b"x")

    def test_the_limit_holds_for_all_workers_together(self):
        port = self.edge(self.peer(sink), workers=2, pool={"max_connections": 5})
        held = [self.connect_unless_reset(port) for _ in range(40)]
        self.eventually_equal(lambda: self.proxy.metrics()("ringway_listener_connections_total", listener="edge"), 40)
        metrics = self.proxy.metrics()
        # Workers that decide in the same moment may overshoot by one each.
        self.assertIn(metrics("ringway_cluster_connections_active", cluster="backend"), (5, 6))
        refused = metrics("ringway_cluster_overflows_total", cluster="backend", limit="max_connections")
        self.assertIn(refused, (34, 35))
        self.assertEqual(len(held), 40)

    def connect_unless_reset(self, port: int):
        with contextlib.suppress(ConnectionResetError):
            return self.connect(port)

    def test_a_full_cluster_does_not_touch_another(self):
        one, two = free_port(), free_port()
        self.proxy = self.ringway(
            document(
                [listener("one", one, cluster="full"), listener("two", two, cluster="free")],
                [
                    cluster("full", self.peer(sink), pool={"max_connections": 1}),
                    cluster("free", self.peer(greet("two"))),
                ],
            )
        )
        self.connect(one)
        self.eventually_equal(lambda: self.proxy.metrics()("ringway_cluster_connections_active", cluster="full"), 1)
        self.expect_reset(one)
        self.assertEqual(self.greeting(two), "two")


# Greets every connection with as many bytes as it is told to, and keeps it. A process of its own, to be killed.
GREETER = """
import socket, sys, threading
port, count = map(int, sys.argv[1:])
server = socket.create_server(("127.0.0.1", port), backlog=1000)
kept = []
def greet(client):
    try:
        client.sendall(bytes(count))
    except OSError:
        pass
while True:
    client, _ = server.accept()
    kept.append(client)
    threading.Thread(target=greet, args=(client,), daemon=True).start()
"""


class Dying(Upstreams):
    def greeter(self, count: int):
        origin = free_port()
        process = self.server("python3", "-c", GREETER, str(origin), str(count))
        self.wait_listening(origin)
        return process, origin

    def test_an_upstream_that_is_killed_in_the_middle_of_a_stream(self):
        process, origin = self.greeter(64 << 20)
        port = self.edge(origin)
        client = self.connect(port)
        client.sendall(b"never read")  # so the kernel ends the killed process's socket with a reset
        read_exactly(client, 1 << 20)
        process.kill()
        process.wait()
        with self.assertRaises(ConnectionResetError):
            read_to_end(client)
        self.expect_reset(port)
        self.eventually_equal(
            lambda: self.proxy.metrics()("ringway_cluster_connections_active", cluster="backend"), 0
        )
        self.assertEqual(self.failures(), {"connect_refused": 1})

    def test_many_clients_of_a_killed_upstream_are_all_told(self):
        process, origin = self.greeter(1)
        port = self.edge(origin, workers=2)
        clients = [self.connect(port) for _ in range(100)]
        for client in clients:
            read_exactly(client, 1)
        process.kill()
        process.wait()
        for client in clients:
            self.assertEqual(read_to_end(client), b"")
            client.close()
        self.eventually_equal(lambda: self.proxy.metrics()("ringway_listener_connections_active", listener="edge"), 0)
