"""A new configuration, by SIGHUP and by PUT /config: all of it or nothing, and only those concerned notice."""

import contextlib
import random
import signal
import socket
import threading

from support import Case, cluster, connect, document, free_port, listener, read_exactly, read_to_end
from support.peers import echo, greet


class Reload(Case):
    def start(self, config: str, **options):
        self.proxy = self.ringway(config, **options)
        self.generation = 1

    def reload(self, config: str, by: str = "signal"):
        """Has a configuration applied, and returns when it is."""
        self.generation += 1
        if by == "signal":
            (self.folder / "ringway.yaml").write_text(config)
            self.proxy.signal(signal.SIGHUP)
            self.eventually(lambda: self.proxy.metrics()("ringway_config_generation") == self.generation)
        else:
            answer = self.proxy.configure(config)
            self.assertEqual((answer.status, answer.text), (200, f'{{"generation":{self.generation}}}\n'))

    def greeting(self, port: int) -> str:
        with connect(port) as client:
            return client.recv(100).decode()

    def assert_exchange(self, client):
        client.sendall(b"ping")
        self.assertEqual(read_exactly(client, 4), b"ping")

    def is_refused(self, address) -> bool:
        try:
            connect(address).close()
            return False
        except (ConnectionRefusedError, ConnectionResetError, FileNotFoundError):
            return True


class Untouched(Reload):
    def test_connections_of_an_unchanged_listener_go_on(self):
        port, other, third = free_port(), free_port(), free_port()
        backend = self.peer(echo)
        edge = listener("edge", port)
        self.start(document([edge, listener("other", other)], [cluster("backend", backend)]), workers=2)
        clients = [self.connect(port) for _ in range(10)]
        for client in clients:
            self.assert_exchange(client)
        for by in ("signal", "put"):
            for listeners in ([edge], [edge, listener("third", third)], [edge, listener("other", other)]):
                self.reload(document(listeners, [cluster("backend", backend)]), by)
                for client in clients:
                    self.assert_exchange(client)
        self.assertEqual(backend.accepted, 10)
        self.assertEqual(self.proxy.metrics()("ringway_listener_connections_total", listener="edge"), 10)

    def test_a_stream_keeps_flowing_through_reloads(self):
        port = free_port()
        edge = listener("edge", port)
        backend = cluster("backend", self.peer(echo))
        self.start(document([edge], [backend]))
        data = random.Random(9).randbytes(48 << 20)
        client = self.connect(port)
        got = []
        reader = threading.Thread(target=lambda: got.append(read_to_end(client)))
        reader.start()
        half = len(data) // 2
        client.sendall(data[:half])
        for index in range(10):
            self.reload(document([edge, listener(f"more{index}", free_port())], [backend]), "put")
        client.sendall(data[half:])
        client.shutdown(socket.SHUT_WR)
        reader.join()
        self.assertTrue(got[0] == data)

    def test_counters_go_on(self):
        port = free_port()
        backend = self.peer(greet("x"))
        self.start(document([listener("edge", port)], [cluster("backend", backend)]))
        for count in range(1, 5):
            self.greeting(port)
            timeout = f"{count}s"
            self.reload(document([listener("edge", port)], [cluster("backend", backend, connect_timeout=timeout)]))
            metrics = self.proxy.metrics()
            self.assertEqual(metrics("ringway_listener_connections_total", listener="edge"), count)
            self.assertEqual(metrics("ringway_cluster_connections_total", cluster="backend"), count)

    def test_round_robin_does_not_start_over_when_something_else_changes(self):
        port = free_port()
        peers = [self.peer(greet(name)) for name in "ab"]
        edge, backend = listener("edge", port), cluster("backend", *peers)
        self.start(document([edge], [backend]))
        seen = ""
        for index in range(6):
            seen += self.greeting(port)
            self.reload(document([edge, listener(f"other{index}", free_port())], [backend]))
        self.assertIn(seen, ("ababab", "bababa"))


class Changes(Reload):
    def test_a_changed_cluster_is_for_new_connections(self):
        port = free_port()
        old, new = self.peer(echo), self.peer(greet("new"))
        self.start(document([listener("edge", port)], [cluster("backend", old)]))
        client = self.connect(port)
        self.assert_exchange(client)
        self.reload(document([listener("edge", port)], [cluster("backend", new)]))
        self.assertEqual(self.greeting(port), "new")
        self.assert_exchange(client)
        self.assertEqual(old.accepted, 1)

    def test_a_listener_can_be_added_and_removed_and_added(self):
        port, extra = free_port(), free_port()
        backend = cluster("backend", self.peer(greet("x")))
        without = document([listener("edge", port)], [backend])
        both = document([listener("edge", port), listener("extra", extra)], [backend])
        self.start(without, workers=2)
        for _ in range(5):
            self.assertTrue(self.is_refused(extra))
            self.reload(both, "put")
            self.assertEqual(self.greeting(extra), "x")
            self.reload(without, "put")
            self.eventually(lambda: self.is_refused(extra))
        self.assertEqual(self.greeting(port), "x")

    def test_a_listener_that_is_removed_and_added_at_once_is_there(self):
        # The second change comes while workers may still be closing the sockets of the first.
        port, extra = free_port(), free_port()
        backend = cluster("backend", self.peer(greet("x")))
        without = document([listener("edge", port)], [backend])
        both = document([listener("edge", port), listener("extra", extra)], [backend])
        self.start(both, workers=2)
        for _ in range(20):
            self.reload(without, "put")
            self.reload(both, "put")
            self.assertEqual(self.greeting(extra), "x")

    def test_connections_of_a_removed_listener_drain_and_are_closed_after_the_timeout(self):
        port, removed = free_port(), free_port()
        backend = cluster("backend", self.peer(echo))
        top = {"drain_timeout": "500ms"}
        self.start(document([listener("edge", port), listener("gone", removed)], [backend], **top))
        stays, goes = self.connect(port), self.connect(removed)
        self.assert_exchange(stays)
        self.assert_exchange(goes)
        self.reload(document([listener("edge", port)], [backend], **top), "put")
        self.assert_exchange(goes)
        self.eventually(lambda: self.is_refused(removed))
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(read_to_end(goes), b"")
        self.assert_exchange(stays)
        self.eventually_equal(
            lambda: self.proxy.metrics()("ringway_cluster_connections_active", cluster="backend"), 1
        )

    def test_connections_of_a_removed_listener_do_not_count_for_its_successor(self):
        first, second = free_port(), free_port()
        backend = cluster("backend", self.peer(echo))
        self.start(document([listener("first", first)], [backend]))
        clients = [self.connect(first) for _ in range(3)]
        for client in clients:
            self.assert_exchange(client)
        self.reload(document([listener("second", second, max_connections=2)], [backend]))
        for client in clients:
            client.close()
        self.eventually_equal(
            lambda: self.proxy.metrics()("ringway_cluster_connections_active", cluster="backend"), 0
        )
        self.reload(document([listener("third", second, max_connections=2)], [backend]))
        metrics = self.proxy.metrics()
        self.assertEqual(metrics("ringway_listener_connections_active", listener="third"), 0)
        for client in [self.connect(second), self.connect(second)]:
            self.assert_exchange(client)

    def test_a_listener_under_another_name_at_the_same_address_keeps_its_connections(self):
        port = free_port()
        backend = cluster("backend", self.peer(echo))
        self.start(document([listener("before", port)], [backend]))
        client = self.connect(port)
        self.assert_exchange(client)
        self.reload(document([listener("after", port)], [backend]))
        self.assert_exchange(client)
        self.assert_exchange(self.connect(port))
        metrics = self.proxy.metrics()
        self.assertEqual(metrics("ringway_listener_connections_total", listener="after"), 1)
        self.assertEqual(metrics.all("ringway_listener_connections_total", listener="before"), {})

    def test_two_listeners_can_trade_addresses(self):
        one, two = free_port(), free_port()
        clusters = [cluster(name, self.peer(greet(name))) for name in ("a", "b")]
        self.start(document([listener("a", one, "a"), listener("b", two, "b")], clusters))
        self.assertEqual((self.greeting(one), self.greeting(two)), ("a", "b"))
        self.reload(document([listener("a", two, "a"), listener("b", one, "b")], clusters))
        self.assertEqual((self.greeting(one), self.greeting(two)), ("b", "a"))

    def test_a_listener_can_move_from_one_interface_to_all_and_back(self):
        port = free_port()
        backend = cluster("backend", self.peer(greet("x")))
        narrow, wide = listener("edge", f"127.0.0.1:{port}"), listener("edge", f":{port}")
        self.start(document([narrow], [backend]), workers=2)
        for _ in range(3):
            self.reload(document([wide], [backend]), "put")
            self.assertEqual(self.greeting(f"[::1]:{port}"), "x")
            self.reload(document([narrow], [backend]), "put")
            self.eventually(lambda: self.is_refused(f"[::1]:{port}"))
            self.assertEqual(self.greeting(port), "x")

    def test_a_unix_listener_takes_its_path_with_it(self):
        port, path = free_port(), f"unix:{self.folder}/edge.sock"
        backend = cluster("backend", self.peer(greet("x")))
        self.start(document([listener("edge", port), listener("unix", path)], [backend]), workers=2)
        self.assertEqual(self.greeting(path), "x")
        self.reload(document([listener("edge", port)], [backend]))
        self.eventually(lambda: self.is_refused(path))
        self.assertFalse((self.folder / "edge.sock").exists())
        self.reload(document([listener("edge", port), listener("unix", path)], [backend]))
        self.assertEqual(self.greeting(path), "x")

    def test_what_a_listener_does_can_change(self):
        port = free_port()
        backend = cluster("backend", self.peer(echo))
        self.start(document([listener("edge", port)], [backend]))
        client = self.connect(port)
        self.assert_exchange(client)
        answer = {"match": {}, "respond": {"status": 200, "body": "local"}}
        web = {"name": "edge", "address": f"127.0.0.1:{port}", "http": {"routes": [answer]}}
        self.reload(document([web], [backend]))
        web_client = self.connect(port)
        web_client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertTrue(read_to_end(web_client).endswith(b"local"))
        self.assert_exchange(client)

    def test_limits_and_timeouts_can_change(self):
        port = free_port()
        backend = cluster("backend", self.peer(echo))
        self.start(document([listener("edge", port, max_connections=1)], [backend]))
        first = self.connect(port)
        self.assert_exchange(first)
        self.assertNotEqual(self.fate(port), "served")
        self.reload(document([listener("edge", port, max_connections=3, tcp={"idle_timeout": "300ms"})], [backend]))
        # The listener may still be in the pause that the refusal began; connections wait meanwhile.
        idle = self.connect(port)
        self.assert_exchange(idle)
        self.assertEqual(read_to_end(idle), b"")
        self.assert_exchange(first)


class Refusals(Reload):
    def test_a_bad_configuration_changes_nothing(self):
        port, fresh = free_port(), free_port()
        backend = cluster("backend", self.peer(echo))
        good = document([listener("edge", port)], [backend])
        self.start(good)
        client = self.connect(port)
        self.assert_exchange(client)
        with socket.create_server(("127.0.0.1", 0)) as holder:
            taken = holder.getsockname()[1]
            bad = {
                "broken": "listeners: [",
                "empty": "",
                "unknown cluster": document([listener("new", fresh)], []),
                "address in use": document([listener("new", fresh), listener("taken", taken)], [backend]),
                "address elsewhere": document([listener("new", fresh), listener("far", "192.0.2.1:80")], [backend]),
                "unknown filter": document([listener("new", fresh, network_filters=["ecko"])], [backend]),
                "workers": document([listener("new", fresh)], [backend], buffers={"size": "128KiB"}),
            }
            for count, (name, text) in enumerate(bad.items(), 1):
                with self.subTest(name):
                    (self.folder / "ringway.yaml").write_text(text)
                    self.proxy.signal(signal.SIGHUP)
                    self.eventually_equal(
                        lambda: self.proxy.metrics()("ringway_config_applies_total", result="rejected"), 2 * count - 1
                    )
                    self.assertRegex(self.proxy.log, r"ringway\.yaml:\d+:\d+: error: ")
                    self.assertEqual(self.proxy.configure(text).status, 422)
                    self.assertTrue(self.is_refused(fresh))
                    self.assert_exchange(client)
                    self.assert_exchange(self.connect(port))
                    self.assertEqual(self.proxy.admin("/config").text, good)
        self.assertEqual(self.proxy.metrics()("ringway_config_generation"), 1)

    def test_a_file_that_has_gone_changes_nothing(self):
        port = free_port()
        self.start(document([listener("edge", port)], [cluster("backend", self.peer(greet("x")))]))
        (self.folder / "ringway.yaml").unlink()
        self.proxy.signal(signal.SIGHUP)
        self.eventually(lambda: "No such file" in self.proxy.log)
        self.assertEqual(self.greeting(port), "x")

    def test_a_rejected_unix_listener_leaves_no_path_behind(self):
        port, path = free_port(), self.folder / "edge.sock"
        backend = cluster("backend", self.peer(echo))
        self.start(document([listener("edge", port)], [backend]))
        with socket.create_server(("127.0.0.1", 0)) as holder:
            listeners = [listener("unix", f"unix:{path}"), listener("taken", holder.getsockname()[1])]
            self.assertEqual(self.proxy.configure(document(listeners, [backend])).status, 422)
        self.assertFalse(path.exists())

    def test_rejected_listeners_leave_no_descriptors_behind(self):
        port = free_port()
        backend = cluster("backend", self.peer(echo))
        self.start(document([listener("edge", port)], [backend]), workers=2)
        with socket.create_server(("127.0.0.1", 0)) as holder:
            listeners = [listener(f"new{index}", free_port()) for index in range(10)]
            listeners.append(listener("taken", holder.getsockname()[1]))
            self.proxy.configure(document(listeners, [backend]))
            before = self.proxy.descriptors()
            for _ in range(5):
                self.assertEqual(self.proxy.configure(document(listeners, [backend])).status, 422)
            self.eventually(lambda: self.proxy.descriptors() <= before)


class UnderLoad(Reload):
    def test_no_exchange_fails_during_fifty_reloads(self):
        port = free_port()
        peers = [self.peer(echo) for _ in range(3)]
        stop = threading.Event()
        failures, exchanges = [], [0] * 6

        def exchange(client):
            client.sendall(b"x" * 500)
            return read_exactly(client, 500)

        def short(index):
            while not stop.is_set():
                try:
                    with connect(port) as client:
                        exchange(client)
                    exchanges[index] += 1
                except OSError as error:
                    failures.append(repr(error))

        def long(index):
            try:
                with connect(port) as client:
                    while not stop.is_set():
                        exchange(client)
                        exchanges[index] += 1
            except OSError as error:
                failures.append(repr(error))

        def config(index: int) -> str:
            endpoints = [peers[index % 3], peers[(index + 1) % 3]]
            listeners = [listener("edge", port, tcp={"idle_timeout": f"{60 + index % 2}s"})]
            if index % 2:
                listeners.append(listener(f"extra{index}", free_port()))
            return document(listeners, [cluster("backend", *endpoints)])

        self.start(config(0), workers=2)
        threads = [threading.Thread(target=short if index < 3 else long, args=(index,)) for index in range(6)]
        for thread in threads:
            thread.start()
        try:
            for index in range(50):
                self.reload(config(index + 1), "put" if index % 2 else "signal")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        self.assertGreater(min(exchanges), 0)
        self.eventually_equal(lambda: self.proxy.metrics()("ringway_listener_connections_active", listener="edge"), 0)
        metrics = self.proxy.metrics()
        self.assertEqual(
            metrics("ringway_listener_connections_total", listener="edge"),
            metrics.sum("ringway_connection_closes_total", listener="edge"),
        )
