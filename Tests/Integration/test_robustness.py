"""Peers that misbehave by accident or on purpose, and what is left of them afterwards."""

import contextlib
import random
import socket
import threading

from support import Case, cluster, connect, document, free_port, listener, read_exactly, read_to_end, reset
from support.peers import echo, flood

SEED = 20260101


class Garbage(Case):
    """Bytes from a seeded generator; a failure names the input, which is enough to send it again."""

    def requests(self, count: int):
        source = random.Random(SEED)
        words = [
            *(b"GET ", b"PUT ", b"/", b"/config", b"/metrics", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"\n", b"\x00"),
            *(b"Host: x\r\n", b"Content-Length: ", b"10", b"-1", b"99999999999999999999", b": ", b" ", b"\t"),
            *(b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"%", b"%00", b"\xff", b"?", b"=&"),
            b'If-Match: "\r\n',
        ]
        for _ in range(count):
            if source.random() < 0.3:
                yield source.randbytes(source.randrange(1, 2000))
            else:
                yield b"".join(source.choice(words) for _ in range(source.randrange(1, 30)))

    def send(self, port: int, data: bytes):
        """Sends, ends the stream, and expects either HTTP or nothing, then an end."""
        with connect(port) as client, contextlib.suppress(ConnectionResetError, BrokenPipeError):
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            answer = read_to_end(client)
            self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 "), data)

    def test_the_admin_interface_survives_it(self):
        port = free_port()
        config = document([listener("edge", port)], [cluster("backend", self.peer(echo))])
        proxy = self.ringway(config)
        for data in self.requests(600):
            self.send(proxy.admin_port, data)
        self.assertEqual(proxy.admin("/ready").status, 200)
        self.assertEqual(proxy.admin("/config").text, config)

    def test_an_http_listener_survives_it(self):
        port = free_port()
        routes = [{"match": {"path": "/x"}, "respond": {"status": 200, "body": "x"}}]
        proxy = self.ringway(document([{"name": "web", "address": f"127.0.0.1:{port}", "http": {"routes": routes}}]))
        for data in self.requests(600):
            self.send(port, data)
        self.eventually_equal(lambda: proxy.metrics()("ringway_listener_connections_active", listener="web"), 0)

    def test_configurations_made_of_it_are_refused(self):
        source = random.Random(SEED)
        port = free_port()
        config = document([listener("edge", port)], [cluster("backend", self.peer(echo))])
        proxy = self.ringway(config)
        for _ in range(300):
            # One to three characters of a good one replaced, dropped or doubled.
            text = list(config)
            for _ in range(source.randrange(1, 4)):
                index = source.randrange(len(text))
                text[index] = source.choice([*':{]-"\nx9\u00e9', "", "&a ", "*a", text[index] * 2])
            answer = proxy.configure("".join(text))
            self.assertIn(answer.status, (200, 422), "".join(text))
        self.assertEqual(proxy.configure(config).status, 200)
        self.assertEqual(self.fate(port), "served")


class Mayhem(Case):
    def test_resets_in_the_middle_of_streams_harm_nobody_else(self):
        port = free_port()
        upstream = self.peer(lambda sock: flood(sock) if sock.recv(1) == b"f" else echo(sock))
        proxy = self.ringway(document([listener("edge", port)], [cluster("backend", upstream)]), workers=2)
        errors = []

        def work():
            try:
                with connect(port) as client:
                    client.sendall(b"e")
                    for index in range(400):
                        message = bytes([index % 256]) * 1000
                        client.sendall(message)
                        if read_exactly(client, 1000) != message:
                            errors.append("wrong bytes")
            except OSError as error:
                errors.append(repr(error))

        def disturb(seed):
            source = random.Random(seed)
            for _ in range(60):
                with contextlib.suppress(OSError):
                    client = connect(port)
                    client.sendall(b"f")
                    client.recv(source.randrange(1, 1 << 18))
                    reset(client)

        threads = [threading.Thread(target=work) for _ in range(4)]
        threads += [threading.Thread(target=disturb, args=(seed,)) for seed in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])
        self.eventually_equal(lambda: proxy.metrics().sum("ringway_worker_connections_active"), 1)
        metrics = proxy.metrics()
        self.assertEqual(
            metrics("ringway_listener_connections_total", listener="edge"),
            metrics.sum("ringway_connection_closes_total", listener="edge"),
        )

    def test_nothing_is_left_of_connections_that_are_over(self):
        port, nowhere, silent = free_port(), free_port(), self.peer()
        config = document(
            [
                listener("edge", port),
                listener("refused", nowhere, "nobody"),
                listener("silent", free_port(), "silent", tcp={"idle_timeout": "100ms"}),
            ],
            [cluster("backend", self.peer(echo)), cluster("nobody", free_port()), cluster("silent", silent)],
        )
        proxy = self.ringway(config, workers=2)
        idle_port = int(proxy.admin("/listeners?format=json").json["listeners"][2]["address"].rpartition(":")[2])

        def bulk():
            client = self.connect(port)
            sender = threading.Thread(target=client.sendall, args=(bytes(4 << 20),))
            sender.start()
            self.assertEqual(len(read_exactly(client, 4 << 20)), 4 << 20)
            sender.join()
            client.close()

        def everything():
            bulk()
            for _ in range(20):
                self.assertEqual(self.fate(port), "served")
                self.assertEqual(self.fate(nowhere), "reset")
                reset(connect(port))
                connect(port).close()
                connect(idle_port).close()
                client = connect(port)
                client.sendall(bytes(300_000))
                reset(client)

        def settled() -> int:
            """Descriptors when all is over; pipes are kept for the next stream."""
            # The one that is active asks.
            self.eventually_equal(lambda: proxy.metrics().sum("ringway_worker_connections_active"), 1)
            pipes = proxy.metrics().sum("ringway_pipes_open")
            return proxy.descriptors() - 2 * pipes

        everything()
        baseline = settled()
        for _ in range(4):
            everything()
        self.eventually(lambda: settled() <= baseline, f"more than {baseline} descriptors stay open")
        metrics = proxy.metrics()
        for gauge in ("ringway_segments_in_use", "ringway_heap_bytes", "ringway_buffers_in_use"):
            self.eventually_equal(lambda gauge=gauge: proxy.metrics().sum(gauge), 0, gauge)
        self.assertEqual(metrics.sum("ringway_ring_overflows_total"), 0)

    def test_two_workers_share_the_connections(self):
        port = free_port()
        proxy = self.ringway(document([listener("edge", port)], [cluster("backend", self.peer())]), workers=2)
        held = [self.connect(port) for _ in range(400)]
        self.eventually_equal(
            lambda: proxy.metrics()("ringway_cluster_connect_duration_seconds_count", cluster="backend"), len(held)
        )
        shares = [proxy.metrics()("ringway_worker_connections_active", worker=str(worker)) for worker in range(2)]
        # The kernel deals them out by a hash: 400 sides expected, and a standard deviation of 20. Seven of them.
        for share in shares:
            self.assertAlmostEqual(share, 400, delta=141)

    def test_memory_does_not_grow_with_traffic(self):
        port = free_port()
        proxy = self.ringway(document([listener("edge", port)], [cluster("backend", self.peer(echo))]))

        def traffic():
            for _ in range(300):
                with connect(port) as client:
                    client.sendall(b"x" * 2000)
                    read_exactly(client, 2000)

        traffic()
        before = proxy.resident_bytes()
        for _ in range(5):
            traffic()
        self.assertLess(proxy.resident_bytes() - before, 1 << 20)
