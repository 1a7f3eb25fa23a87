"""What happens to the bytes of a connection, and to its two ends."""

import hashlib
import random
import socket
import threading

from support import Case, cluster, connect, document, free_port, listener, read_exactly, read_to_end, reset
from support.peers import digest, echo, flood, reset_at_once, send, sink

MIB = 1 << 20


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Streams(Case):
    """One listener `edge` before one peer."""

    def edge(self, script, **more) -> int:
        port = free_port()
        self.upstream = self.peer(script)
        self.proxy = self.ringway(document([listener("edge", port, **more)], [cluster("backend", self.upstream)]))
        return port

    def closes(self, side: str) -> dict[str, float]:
        """How often connections of a side ended, by reason, zeros aside."""
        label = {"listener": "edge"} if side == "listener" else {"cluster": "backend"}
        found = self.proxy.metrics().all("ringway_connection_closes_total", **label)
        return {dict(labels)["reason"]: count for labels, count in found.items() if count}


class Transfers(Streams):
    def test_64_mib_each_way_at_once_arrive_unchanged(self):
        down, up = random.Random(1).randbytes(64 * MIB), random.Random(2).randbytes(64 * MIB)
        received = {}

        def script(sock):
            sender = threading.Thread(target=lambda: (sock.sendall(down), sock.shutdown(socket.SHUT_WR)))
            sender.start()
            received["upstream"] = read_to_end(sock)
            sender.join()

        client = self.connect(self.edge(script))
        sender = threading.Thread(target=lambda: (client.sendall(up), client.shutdown(socket.SHUT_WR)))
        sender.start()
        got = read_to_end(client)
        sender.join()
        self.eventually(lambda: "upstream" in received)
        self.assertEqual(sha(got), sha(down))
        self.assertEqual(sha(received["upstream"]), sha(up))
        self.eventually_equal(lambda: self.closes("listener"), {"finished": 1})
        self.assertEqual(self.closes("cluster"), {"finished": 1})
        metrics = self.proxy.metrics()
        for direction in ("received", "sent"):
            self.assertEqual(metrics("ringway_bytes_total", listener="edge", direction=direction), 64 * MIB)
            self.assertEqual(metrics("ringway_bytes_total", cluster="backend", direction=direction), 64 * MIB)
        self.assertGreater(metrics.sum("ringway_spliced_bytes_total"), 64 * MIB, "streams move by splice")

    def test_sizes_around_the_buffers_arrive_unchanged(self):
        port = self.edge(digest)
        sizes = [0, 1, 2, 1023, 4096, 32767, 32768, 32769, 65536, 262143, 262144, 262145, 1 * MIB + 1]
        for size in sizes:
            with self.subTest(size):
                data = random.Random(size).randbytes(size)
                client = self.connect(port)
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(read_to_end(client).decode(), f"{size} {sha(data)}")
        # Connections that are over hold nothing.
        self.eventually_equal(lambda: self.proxy.metrics()("ringway_worker_connections_active", worker="0"), 1)
        self.eventually_equal(lambda: self.proxy.metrics()("ringway_segments_in_use", worker="0"), 0)

    def test_a_stream_that_changes_its_pace_moves_to_splice_and_back(self):
        # Bulk, then a hundred small exchanges, several times: the switch happens in the middle of the stream.
        client = self.connect(self.edge(echo))
        source = random.Random(5)
        for _ in range(4):
            bulk = source.randbytes(6 * MIB)
            sender = threading.Thread(target=client.sendall, args=(bulk,))
            sender.start()
            self.assertEqual(sha(read_exactly(client, len(bulk))), sha(bulk))
            sender.join()
            for _ in range(100):
                message = source.randbytes(source.randrange(1, 2000))
                client.sendall(message)
                self.assertEqual(read_exactly(client, len(message)), message)
        metrics = self.proxy.metrics()
        self.assertGreaterEqual(metrics("ringway_splice_switches_total", worker="0"), 4)

    def test_many_streams_at_once(self):
        port = self.edge(digest)
        failures = []

        def stream(seed):
            data = random.Random(seed).randbytes(2 * MIB + seed)
            with connect(port) as client:
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
                if read_to_end(client).decode() != f"{len(data)} {sha(data)}":
                    failures.append(seed)

        threads = [threading.Thread(target=stream, args=(seed,)) for seed in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])

    def test_bytes_that_come_before_the_upstream_is_connected_wait(self):
        data = random.Random(3).randbytes(3 * MIB)
        client = self.connect(self.edge(digest))
        client.sendall(data)  # at once, with no regard to what is behind the proxy
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(client).decode(), f"{len(data)} {sha(data)}")


class Ends(Streams):
    def test_the_clients_end_reaches_the_upstream_and_the_answer_comes_back(self):
        client = self.connect(self.edge(digest))
        client.sendall(b"question")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(client).decode(), f"8 {sha(b'question')}")
        self.eventually_equal(lambda: self.closes("listener"), {"finished": 1})

    def test_the_upstreams_end_reaches_the_client_who_goes_on_sending(self):
        received = []

        def script(sock):
            sock.sendall(b"bye")
            sock.shutdown(socket.SHUT_WR)
            received.append(read_to_end(sock))

        client = self.connect(self.edge(script))
        self.assertEqual(read_to_end(client), b"bye")
        client.sendall(b"still here")
        client.shutdown(socket.SHUT_WR)
        self.eventually_equal(lambda: received, [b"still here"])
        self.eventually_equal(lambda: self.closes("cluster"), {"finished": 1})

    def test_an_end_without_a_byte(self):
        client = self.connect(self.edge(sink))
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(client), b"")
        self.eventually_equal(lambda: self.closes("listener"), {"finished": 1})

    def test_a_half_closed_connection_stays_as_long_as_it_is_used(self):
        proceed = threading.Event()

        def script(sock):
            read_to_end(sock)
            proceed.wait(30)
            sock.sendall(b"x" * MIB)

        client = self.connect(self.edge(script))
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(self.proxy.metrics()("ringway_listener_connections_active", listener="edge"), 1)
        proceed.set()
        self.assertEqual(len(read_to_end(client)), MIB)

    def resets_seen_by_upstream(self, prepare) -> None:
        """Runs `prepare(client)` on a connection to an echo, resets it, and waits for the upstream to see that."""
        seen = []

        def script(sock):
            try:
                echo(sock)
                seen.append("end")
            except ConnectionResetError:
                seen.append("reset")

        client = self.connect(self.edge(script))
        prepare(client)
        reset(client)
        self.eventually_equal(lambda: seen, ["reset"])
        self.eventually_equal(lambda: self.closes("listener"), {"remote_reset": 1})
        self.eventually_equal(lambda: self.closes("cluster"), {"other_side_reset": 1})

    def test_a_reset_of_the_client_is_a_reset_upstream(self):
        def exchange(client):
            client.sendall(b"x")
            read_exactly(client, 1)

        self.resets_seen_by_upstream(exchange)

    def test_a_reset_of_the_client_of_a_stream_is_a_reset_upstream(self):
        def stream(client):
            sender = threading.Thread(target=client.sendall, args=(b"x" * (8 * MIB),))
            sender.start()
            read_exactly(client, 8 * MIB)
            sender.join()

        self.resets_seen_by_upstream(stream)

    def test_a_reset_of_the_upstream_is_a_reset_at_the_client(self):
        def script(sock):
            read_exactly(sock, 1)
            reset(sock)

        client = self.connect(self.edge(script))
        client.sendall(b"x")
        with self.assertRaises(ConnectionResetError):
            read_to_end(client)
        self.eventually_equal(lambda: self.closes("cluster"), {"remote_reset": 1})
        self.eventually_equal(lambda: self.closes("listener"), {"other_side_reset": 1})

    def test_what_came_before_the_upstreams_reset_is_delivered_first(self):
        everything = threading.Event()

        def script(sock):
            sock.sendall(b"x" * 1000)
            everything.wait(30)  # a reset throws away what the kernel has not handed over
            reset(sock)

        client = self.connect(self.edge(script))
        self.assertEqual(read_exactly(client, 1000), b"x" * 1000)
        everything.set()
        with self.assertRaises(ConnectionResetError):
            read_to_end(client)

    def test_a_reset_of_the_upstream_of_a_stream_is_a_reset_at_the_client(self):
        def script(sock):
            sock.sendall(b"x" * (8 * MIB))
            reset(sock)

        client = self.connect(self.edge(script))
        with self.assertRaises(ConnectionResetError):
            read_to_end(client)

    def test_a_reset_behind_a_half_close(self):
        proceed = threading.Event()

        def script(sock):
            read_to_end(sock)
            sock.sendall(b"x")
            proceed.wait(30)
            reset(sock)

        client = self.connect(self.edge(script))
        client.shutdown(socket.SHUT_WR)
        read_exactly(client, 1)
        proceed.set()
        with self.assertRaises(ConnectionResetError):
            read_to_end(client)

    def test_a_client_that_leaves_before_the_upstream_answers(self):
        port = self.edge(sink)
        for _ in range(50):
            reset(connect(port))
        self.eventually_equal(lambda: self.proxy.metrics()("ringway_listener_connections_active", listener="edge"), 0)
        self.eventually_equal(
            lambda: self.proxy.metrics()("ringway_cluster_connections_active", cluster="backend"), 0
        )

    def test_an_upstream_that_resets_at_once(self):
        port = self.edge(reset_at_once)
        for _ in range(20):
            self.assertEqual(self.fate(port), "reset")


class SlowPeers(Streams):
    def test_a_client_that_never_reads_holds_back_its_own_upstream_alone(self):
        sent = []

        def script(sock):
            if sock.recv(1) == b"e":
                sock.sendall(b"e")
                return echo(sock)
            sock.settimeout(None)
            while True:
                sent.append(sock.send(b"x" * 65536))

        port = self.edge(script)
        stuck = [self.connect(port, receive_buffer=4096) for _ in range(8)]
        for client in stuck:
            client.sendall(b"f")
        self.eventually(lambda: sum(sent) > 8 * MIB / 4, "the floods start")
        busy = self.connect(port)
        for _ in range(200):
            busy.sendall(b"e" * 1000)
            read_exactly(busy, 1000)
        metrics = self.proxy.metrics()
        # Each held back after its high watermark, a pipe, and the sockets' own buffers.
        held = metrics("ringway_bytes_total", cluster="backend", direction="received")
        self.assertLess(held, 8 * 16 * MIB)
        self.assertGreater(metrics("ringway_bytes_total", listener="edge", direction="sent"), 200_000)

    def test_a_slow_client_gets_everything_in_the_end(self):
        data = random.Random(4).randbytes(8 * MIB)
        client = self.connect(self.edge(send(data)), receive_buffer=4096)
        got = bytearray()
        while chunk := client.recv(1500):
            got += chunk
        self.assertEqual(sha(got), sha(data))

    def test_an_upstream_that_never_reads_holds_back_its_own_client_alone(self):
        def script(sock):
            if sock.recv(1) == b"e":
                sock.sendall(b"e")
                return echo(sock)
            threading.Event().wait(30)

        port = self.edge(script)
        stuck = self.connect(port)
        stuck.sendall(b"s")
        stuck.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            while True:
                stuck.sendall(b"x" * MIB)
        busy = self.connect(port)
        for _ in range(200):
            busy.sendall(b"e" * 1000)
            read_exactly(busy, 1000)

    def test_a_client_that_says_nothing_is_connected_all_the_same(self):
        # Protocols in which the server speaks first need that.
        port = self.edge(send(b"220 ready\r\n"))
        self.assertEqual(read_to_end(self.connect(port)), b"220 ready\r\n")

    def test_a_silent_connection_ends_with_the_idle_timeout(self):
        ended = []

        def script(sock):
            sock.sendall(b"x")
            try:
                ended.append(read_to_end(sock))
            except ConnectionResetError:
                ended.append("reset")

        port = self.edge(script, tcp={"idle_timeout": "300ms"})
        client = self.connect(port)
        self.assertEqual(read_to_end(client), b"x")
        self.eventually(lambda: ended, "the upstream sees an end, too")
        self.assertEqual(self.closes("listener"), {"idle_timeout": 1})

    def test_an_idle_timeout_frees_what_a_slow_reader_holds(self):
        port = self.edge(flood, tcp={"idle_timeout": "300ms"})
        self.connect(port, receive_buffer=4096)
        self.eventually_equal(lambda: self.closes("listener"), {"idle_timeout": 1})
        self.eventually_equal(
            lambda: self.proxy.metrics()("ringway_cluster_connections_active", cluster="backend"), 0
        )


class Families(Case):
    def exchange(self, address):
        client = self.connect(address)
        client.sendall(b"ping")
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(client), b"ping")

    def test_every_family_proxies_to_every_family(self):
        upstreams = {
            "v4": self.peer(echo),
            "v6": self.peer(echo, "[::1]:0"),
            "unix": self.peer(echo, f"unix:{self.folder}/up.sock"),
        }
        listeners = []
        for name in upstreams:
            for kind in ("v4", "v6", "unix"):
                address = {
                    "v4": f"127.0.0.1:{free_port()}",
                    "v6": f"[::1]:{free_port()}",
                    "unix": f"unix:{self.folder}/{name}.sock",
                }[kind]
                listeners.append(listener(f"{kind}-{name}", address, cluster=name))
        self.ringway(document(listeners, [cluster(name, peer) for name, peer in upstreams.items()]), workers=2)
        for entry in listeners:
            with self.subTest(entry["name"]):
                for _ in range(4):
                    self.exchange(entry["address"])

    def test_a_port_without_a_host_is_both_versions_and_the_ipv6_wildcard_is_one(self):
        both, six, four = free_port(), free_port(), free_port()
        addresses = {"both": f":{both}", "six": f"[::]:{six}", "four": f"0.0.0.0:{four}"}
        listeners = [listener(name, address) for name, address in addresses.items()]
        self.ringway(document(listeners, [cluster("backend", self.peer(echo))]), workers=2)
        for address in (f"127.0.0.1:{both}", f"[::1]:{both}", f"[::1]:{six}", f"127.0.0.1:{four}"):
            with self.subTest(address):
                self.exchange(address)
        for address in (f"127.0.0.1:{six}", f"[::1]:{four}"):
            with self.subTest(address), self.assertRaises(ConnectionRefusedError):
                connect(address)

    def test_a_unix_path_that_was_left_behind_is_taken_over(self):
        path = f"{self.folder}/edge.sock"
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path)
        self.ringway(document([listener("edge", f"unix:{path}")], [cluster("backend", self.peer(echo))]))
        self.exchange(f"unix:{path}")
