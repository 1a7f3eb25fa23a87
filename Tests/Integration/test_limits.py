"""What happens where something runs out: descriptors, buffers, memory; and where io_uring is not allowed."""

import contextlib
import resource
import signal
import socket
import threading
import time
import unittest

from support import Case, Metrics, cluster, connect, document, free_port, listener, read_exactly, reset
from support.confinement import forbid_io_uring, limit_descriptors, limit_locked_memory
from support.peers import echo, flood


class Descriptors(Case):
    """Sixty-four of them. A connection of `echo` needs one, a proxied connection two."""

    def setUp(self):
        super().setUp()
        self.port, self.echo = free_port(), free_port()
        echoing = {"name": "echo", "address": f"127.0.0.1:{self.echo}", "network_filters": ["echo"]}
        config = document([listener("edge", self.port), echoing], [cluster("backend", self.peer(echo))])
        self.proxy = self.ringway(config, preexec=limit_descriptors(64))
        # A connection of its own, because a new one may find no descriptor.
        self.scraper = self.connect(self.proxy.admin_port)

    def metrics(self) -> Metrics:
        self.scraper.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.scraper.recv(1 << 16)
        head, body = received.split(b"\r\n\r\n", 1)
        length = int(head.lower().split(b"content-length: ")[1].split()[0])
        return Metrics((body + read_exactly(self.scraper, length - len(body))).decode())

    def lack(self) -> float:
        """Accepts that found no descriptor."""
        return self.metrics().sum("ringway_listener_connections_rejected_total", reason="descriptors")

    def exhaust(self) -> list[socket.socket]:
        before = self.lack()
        clients = [self.connect(self.echo) for _ in range(80)]
        self.eventually(lambda: self.lack() > before)
        return clients

    def test_accepting_goes_on_when_descriptors_are_free_again(self):
        for _ in range(3):
            for client in self.exhaust():
                client.close()
            for port in (self.echo, self.port):
                self.eventually(lambda port=port: self.fate(port) == "served")

    def test_who_waited_in_the_kernel_is_served_then(self):
        clients = self.exhaust()
        for client in clients[:50]:
            client.close()
        for client in clients[50:]:
            client.sendall(b"ping")
            self.assertEqual(read_exactly(client, 4), b"ping")

    def test_waiting_for_descriptors_costs_no_cpu_time(self):
        clients = self.exhaust()
        before = self.proxy.cpu_seconds()
        time.sleep(1)
        self.assertLess(self.proxy.cpu_seconds() - before, 0.3)
        self.assertEqual(len(clients), 80)

    def test_connections_that_are_there_go_on(self):
        first = self.connect(self.port)
        for _ in range(2):
            first.sendall(b"ping")
            self.assertEqual(read_exactly(first, 4), b"ping")
            self.exhaust()
        # Bulk wants pipes, which are descriptors, too. It goes on without.
        sender = threading.Thread(target=first.sendall, args=(bytes(8 << 20),))
        sender.start()
        self.assertEqual(len(read_exactly(first, 8 << 20)), 8 << 20)
        sender.join()
        self.assertGreater(self.metrics()("ringway_splice_fallbacks_total", worker="0"), 0)

    def test_a_client_without_a_descriptor_for_its_upstream_is_reset(self):
        held = [self.connect(self.echo) for _ in range(64 - 1 - self.proxy.descriptors())]
        self.eventually_equal(self.proxy.descriptors, 64 - 1)
        self.assertEqual(self.fate(self.port), "reset")
        self.assertEqual(self.metrics()("ringway_connection_closes_total", listener="edge", reason="limit"), 1)
        held.pop().close()
        self.eventually_equal(self.proxy.descriptors, 64 - 2)
        self.assertEqual(self.fate(self.port), "served")

    def test_a_reload_without_descriptors_is_refused_and_changes_nothing(self):
        clients = self.exhaust()
        self.proxy.signal(signal.SIGHUP)
        self.eventually(lambda: "Too many open files" in self.proxy.log)
        clients[0].sendall(b"ping")
        self.assertEqual(read_exactly(clients[0], 4), b"ping")

    def test_scrapes_go_on_without_descriptors(self):
        clients = self.exhaust()
        for _ in range(300):
            self.metrics()
        clients[0].sendall(b"ping")
        self.assertEqual(read_exactly(clients[0], 4), b"ping")

    def test_a_drain_needs_no_descriptors(self):
        clients = self.exhaust()
        self.proxy.signal(signal.SIGTERM)
        self.eventually(lambda: "draining" in self.proxy.log)
        for client in [*clients, self.scraper]:
            client.close()
        self.assertEqual(self.proxy.wait(), 0)


class LockedMemory(Case):
    def test_a_ring_that_may_not_be_locked_is_told_of_and_exits_with_69(self):
        self.folder.chmod(0o777)
        (self.folder / "fine.yaml").write_text(document([listener("edge", free_port())], [cluster("backend", 1)]))
        outcome = self.command("run", "fine.yaml", preexec=limit_locked_memory(0))
        self.assertEqual(outcome.returncode, 69)
        self.assertEqual(outcome.stderr.count("\n"), 1)
        self.assertRegex(outcome.stderr, r"^ringway: error: .*RLIMIT_MEMLOCK is 0 bytes.*; raise `ulimit -l`")

    def test_what_systems_allow_by_default_is_enough_for_some_workers(self):
        self.folder.chmod(0o777)
        port = free_port()
        config = document([listener("edge", port)], [cluster("backend", self.peer(echo))])
        self.ringway(config, workers=4, preexec=limit_locked_memory(8 << 20))
        self.assertEqual(self.fate(port), "served")


class Forbidden(Case):
    """io_uring is not allowed, as in the default profile of container runtimes."""

    def test_run_says_why_in_one_line_and_exits_with_69(self):
        (self.folder / "fine.yaml").write_text(document([listener("edge", free_port())], [cluster("backend", 1)]))
        for arguments in (["run", "fine.yaml"], ["proxy", "127.0.0.1:0", "127.0.0.1:1"]):
            with self.subTest(arguments[0]):
                outcome = self.command(*arguments, preexec=forbid_io_uring())
                self.assertEqual(outcome.returncode, 69)
                self.assertEqual(outcome.stderr.count("\n"), 1)
                self.assertRegex(outcome.stderr, r"^ringway: error: .*io_uring.*; allow io_uring_setup.*seccomp")

    def test_doctor_says_what_to_do(self):
        outcome = self.command("doctor", preexec=forbid_io_uring())
        self.assertEqual(outcome.returncode, 69)
        self.assertIn("not usable", outcome.stdout)
        self.assertIn("to allow it", outcome.stdout)

    def test_check_needs_no_io_uring(self):
        (self.folder / "fine.yaml").write_text(document([listener("edge", 80)], [cluster("backend", 1)]))
        self.assertEqual(self.command("check", "fine.yaml", preexec=forbid_io_uring()).returncode, 0)


class Buffers(Case):
    def test_slow_readers_do_not_take_the_buffers_of_others(self):
        echoing, edge = free_port(), free_port()
        config = document(
            [
                {"name": "echoing", "address": f"127.0.0.1:{echoing}", "network_filters": ["echo"]},
                listener("edge", edge),
            ],
            [cluster("backend", self.peer(echo))],
            buffers={"size": "16KiB", "max_per_worker": "1MiB"},
        )
        proxy = self.ringway(config)
        # Two hundred who send and do not read: what they get back waits in the proxy, far more than its buffers hold.
        stuck = [self.connect(echoing, receive_buffer=4096) for _ in range(200)]
        for client in stuck:
            client.setblocking(False)
        sending = threading.Event()

        def send():
            block = bytes(65536)
            while not sending.is_set():
                for client in stuck:
                    with contextlib.suppress(BlockingIOError):
                        client.send(block)
                time.sleep(0.005)

        thread = threading.Thread(target=send)
        thread.start()
        try:
            self.eventually(lambda: proxy.metrics()("ringway_buffer_waits_total", worker="0") > 0)
            self.eventually(lambda: proxy.metrics()("ringway_sends_copied_total", worker="0") > 0)
            client = self.connect(edge)
            for size in (1, 1000, 30_000, 200_000) * 10:
                writer = threading.Thread(target=client.sendall, args=(b"y" * size,))
                writer.start()
                read_exactly(client, size)
                writer.join()
        finally:
            sending.set()
            thread.join()
        metrics = proxy.metrics()
        self.assertLessEqual(metrics("ringway_buffers_provided", worker="0") * 16384, 1 << 20)
        # What was copied out has a bound as well: the watermark of each connection, and what one turn brings.
        self.assertLess(metrics("ringway_heap_bytes", worker="0"), 200 << 20)
        for client in stuck:
            client.close()
        self.eventually_equal(lambda: proxy.metrics()("ringway_heap_bytes", worker="0"), 0)
        self.eventually_equal(lambda: proxy.metrics()("ringway_buffers_in_use", worker="0"), 0)

    def test_slow_readers_of_streams_do_not_either(self):
        floods, edge = free_port(), free_port()
        config = document(
            [listener("floods", floods, "flood"), listener("edge", edge)],
            [cluster("flood", self.peer(flood)), cluster("backend", self.peer(echo))],
            buffers={"size": "16KiB", "max_per_worker": "1MiB"},
        )
        proxy = self.ringway(config)
        stuck = [self.connect(floods, receive_buffer=4096) for _ in range(100)]
        self.eventually(lambda: proxy.metrics()("ringway_bytes_total", listener="floods", direction="sent") > 1 << 20)
        client = self.connect(edge)
        for size in (1, 1000, 30_000) * 20:
            client.sendall(b"y" * size)
            read_exactly(client, size)
        for client in stuck:
            client.close()
        self.eventually_equal(lambda: proxy.metrics()("ringway_listener_connections_active", listener="floods"), 0)


class Memory(Case):
    CONNECTIONS = 9000

    def test_idle_connections_cost_a_kibibyte(self):
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        count = min(self.CONNECTIONS, (most - 500) // 2)
        if count < 1000:
            raise unittest.SkipTest(f"{most} descriptors are too few to measure anything")
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        port = free_port()
        proxy = self.ringway(
            document([listener("edge", port)], [cluster("backend", self.peer(backlog=4096))]), workers=1
        )

        def opened(number: int) -> list[socket.socket]:
            clients = [connect(port) for _ in range(number)]
            for client in clients:
                self.addCleanup(client.close)
            active = len(kept) + number
            self.eventually_equal(
                lambda: proxy.metrics()("ringway_cluster_connect_duration_seconds_count", cluster="backend"), active
            )
            return clients

        kept: list[socket.socket] = []
        kept += opened(200)  # what is needed once
        before = proxy.resident_bytes()
        kept += opened(count - 200)
        grown = proxy.resident_bytes() - before
        # A connection has two sides. 1 KiB is what is promised; half as much again is for what counts by the page.
        self.assertLess(grown / (count - 200), 1536)
        # They all work, and their memory is used again.
        for client in kept[::100]:
            reset(client)
        self.eventually_equal(
            lambda: proxy.metrics()("ringway_listener_connections_active", listener="edge"), count - len(kept[::100])
        )
