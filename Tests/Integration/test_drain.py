"""The end of the process: what is under way finishes, what is too slow is cut off, and what is new is refused."""

import contextlib
import signal
import threading

from support import Case, cluster, connect, document, free_port, listener, read_exactly, read_to_end
from support.peers import echo, greet, http


class DrainCase(Case):
    def edge(self, script=echo, workers: int = 1, **top) -> int:
        port = free_port()
        self.config = document([listener("edge", port)], [cluster("backend", self.peer(script))], **top)
        self.proxy = self.ringway(self.config, workers=workers)
        return port

    def exchange(self, client):
        client.sendall(b"ping")
        self.assertEqual(read_exactly(client, 4), b"ping")

    def is_refused(self, port: int) -> bool:
        try:
            connect(port).close()
            return False
        except (ConnectionRefusedError, ConnectionResetError):
            return True


class Drain(DrainCase):
    def test_an_open_connection_finishes_and_then_the_process_ends(self):
        port = self.edge()
        client = self.connect(port)
        self.exchange(client)
        self.proxy.signal(signal.SIGTERM)
        self.eventually(lambda: self.is_refused(port))
        ready = self.proxy.admin("/ready")
        self.assertEqual((ready.status, ready.text), (503, "DRAINING\n"))
        for _ in range(20):
            self.exchange(client)
        self.assertTrue(self.proxy.is_running)
        client.close()
        self.assertEqual(self.proxy.wait(), 0)

    def test_an_idle_proxy_ends_at_once(self):
        for _ in range(3):
            self.edge()
            self.proxy.signal(signal.SIGTERM)
            self.assertEqual(self.proxy.wait(), 0)

    def test_the_drain_timeout_cuts_off_what_is_left(self):
        client = self.connect(self.edge(drain_timeout="300ms"))
        self.exchange(client)
        self.proxy.signal(signal.SIGTERM)
        self.assertEqual(self.proxy.wait(), 0)
        with contextlib.suppress(ConnectionResetError):
            self.assertEqual(read_to_end(client), b"")
        self.assertIn("drain timeout", self.proxy.log)

    def test_a_second_signal_ends_it_at_once(self):
        for first, second in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)):
            client = self.connect(self.edge(drain_timeout="1h"))
            self.exchange(client)
            self.proxy.signal(first)
            self.eventually(lambda: "draining" in self.proxy.log)
            self.proxy.signal(second)
            self.assertEqual(self.proxy.wait(), 0)

    def test_a_drain_timeout_of_zero_waits_for_nobody(self):
        client = self.connect(self.edge(drain_timeout="0"))
        self.exchange(client)
        self.proxy.signal(signal.SIGTERM)
        self.assertEqual(self.proxy.wait(), 0)

    def test_connections_of_listeners_removed_before_are_waited_for_too(self):
        port = self.edge(drain_timeout="1h")
        client = self.connect(port)
        self.exchange(client)
        other = document([listener("other", free_port())], [cluster("backend", self.peer(echo))], drain_timeout="1h")
        self.assertEqual(self.proxy.configure(other).status, 200)
        self.proxy.signal(signal.SIGTERM)
        self.eventually(lambda: "draining" in self.proxy.log)
        for _ in range(20):
            self.exchange(client)
        client.close()
        self.assertEqual(self.proxy.wait(), 0)

    def test_an_idle_http_connection_does_not_hold_up_the_end(self):
        port = free_port()
        routes = [{"match": {}, "respond": {"status": 200}}]
        web = {"name": "web", "address": f"127.0.0.1:{port}", "http": {"routes": routes}}
        self.proxy = self.ringway(document([web], drain_timeout="1h"))
        client = self.connect(port)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertIn(b"200 OK", client.recv(4096))
        self.proxy.signal(signal.SIGTERM)
        self.assertEqual(read_to_end(client), b"")
        client.close()
        self.assertEqual(self.proxy.wait(), 0)

    def test_a_request_in_progress_is_answered_with_the_last_word(self):
        port = free_port()
        routes = [{"match": {}, "respond": {"status": 200, "body": "done"}}]
        web = {"name": "web", "address": f"127.0.0.1:{port}", "http": {"routes": routes}}
        self.proxy = self.ringway(document([web], drain_timeout="1h"))
        client = self.connect(port)
        client.sendall(b"GET / HTTP/1.1\r\n")
        self.eventually(lambda: self.proxy.metrics()("ringway_bytes_total", listener="web", direction="received"))
        self.proxy.signal(signal.SIGTERM)
        self.eventually(lambda: self.is_refused(port))
        client.sendall(b"Host: x\r\n\r\n")
        answer = read_to_end(client)
        self.assertIn(b"200 OK", answer)
        self.assertIn(b"Connection: close", answer)
        client.close()
        self.assertEqual(self.proxy.wait(), 0)

    def test_every_connection_that_came_about_is_served(self):
        for attempt in range(5):
            with self.subTest(attempt):
                self.served_until_refused()

    def served_until_refused(self):
        port = self.edge(http("served"), workers=2)
        counts, failures = [0] * 4, []

        def load(index):
            while True:
                try:
                    client = connect(port)
                except (ConnectionRefusedError, ConnectionResetError):
                    return
                try:
                    with client:
                        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                        answer = client.recv(4096)
                        if not answer.endswith(b"served"):
                            failures.append(answer)
                        counts[index] += 1
                except OSError as error:
                    failures.append(repr(error))

        threads = [threading.Thread(target=load, args=(index,)) for index in range(4)]
        for thread in threads:
            thread.start()
        self.eventually(lambda: min(counts) > 20)
        self.proxy.signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.proxy.wait(), 0)


class Restart(DrainCase):
    def test_the_same_port_can_be_used_again_at_once(self):
        port = self.edge(greet("x"), workers=2)
        for _ in range(3):
            with connect(port) as client:
                self.assertEqual(client.recv(1), b"x")
            self.proxy.signal(signal.SIGTERM)
            self.assertEqual(self.proxy.wait(), 0)
            self.proxy = self.ringway(self.config, workers=2)

    def test_a_successor_waits_a_moment_for_its_predecessor(self):
        port = self.edge(drain_timeout="1h")
        client = self.connect(port)
        self.exchange(client)
        self.proxy.signal(signal.SIGTERM)
        self.eventually(lambda: self.is_refused(port))
        # The old process still serves its connection; the port is free.
        predecessor = self.proxy
        self.proxy = self.ringway(self.config)
        self.exchange(self.connect(port))
        self.exchange(client)
        client.close()
        self.assertEqual(predecessor.wait(), 0)

    def test_a_killed_process_leaves_nothing_in_the_way(self):
        port = self.edge(workers=2)
        client = self.connect(port)
        self.exchange(client)
        self.proxy.process.kill()
        self.proxy.wait()
        self.proxy = self.ringway(self.config, workers=2)
        self.exchange(self.connect(port))
