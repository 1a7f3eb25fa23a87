"""New connections go to the worker that has the least to do."""

import signal
import ssl
import threading
import time
import unittest

from support import Case, cluster, connect, document, free_port, listener, read_exactly
from support.certificates import Authority
from support.http2 import GET, Connection
from support.peers import echo

ANSWER = {"routes": [{"match": {}, "respond": {"status": 200, "body": "hello\n"}}]}


class Balance(Case):
    def start(self, *listeners: dict, clusters=(), workers: int = 2, **top):
        self.proxy = self.ringway(document(list(listeners), clusters, **top), workers=workers)
        # A worker that has just started was busy, which counts.
        self.eventually(
            lambda: max(self.proxy.metrics().all("ringway_worker_busy_ratio").values()) < 0.25)

    def edge(self, **more) -> dict:
        self.port = free_port()
        return {"name": "edge", "address": f"127.0.0.1:{self.port}", "http": ANSWER} | more

    def spread(self, name: str = "edge") -> list[float]:
        """Open connections of a listener by worker."""
        found = self.proxy.metrics().all("ringway_listener_worker_connections_active", listener=name)
        return [value for _, value in sorted(found.items(), key=lambda entry: sorted(entry[0]))]

    def handed(self, direction: str) -> float:
        return self.proxy.metrics().sum("ringway_worker_connections_handed_over_total", direction=direction)

    def h2_clients(self, count: int) -> list[Connection]:
        """One after the other: workers that accept in the same moment may not see each other's choice."""
        clients = []
        for _ in range(count):
            client = Connection(self.connect(self.port))
            client.send(client.head(1, GET))
            self.assertEqual(client.answer(1)[1], b"hello\n")
            clients.append(client)
        return clients

    def test_eight_connections_on_two_workers_are_four_and_four(self):
        self.start(self.edge())
        for _ in range(10):
            clients = self.h2_clients(8)
            self.assertEqual(self.spread(), [4, 4])
            for client in clients:
                client.sock.close()
            self.eventually_equal(lambda: sum(self.spread()), 0)
        self.assertEqual(self.handed("given"), self.handed("taken"))

    def test_three_workers_share_twelve(self):
        self.start(self.edge(), workers=3)
        clients = self.h2_clients(12)
        self.assertEqual(self.spread(), [4, 4, 4])
        self.assertEqual(len(clients), 12)

    def test_off_leaves_connections_where_the_kernel_put_them(self):
        self.start(self.edge(connection_balance="off"))
        for _ in range(5):
            self.h2_clients(8)
        self.assertEqual(self.handed("given"), 0)

    def test_every_listener_is_balanced_by_its_own_connections(self):
        other = free_port()
        self.start(
            self.edge(), listener("echo", other, connection_balance="off"), clusters=[cluster("backend", self.peer(echo))])
        idle = [self.connect(other) for _ in range(50)]
        self.eventually_equal(lambda: sum(self.spread("echo")), 50)
        self.h2_clients(8)
        self.assertEqual(self.spread(), [4, 4])
        self.assertEqual(len(idle), 50)

    def test_handshakes_are_made_where_the_connection_goes(self):
        authority = Authority(self.folder)
        certificate = authority.issue("localhost")
        self.start(self.edge(tls={"certificates": [certificate.files]}))
        context = ssl.create_default_context(cafile=str(authority.cert))
        context.set_alpn_protocols(["h2"])
        clients = []
        for _ in range(8):
            sock = context.wrap_socket(self.connect(self.port), server_hostname="localhost")
            self.addCleanup(sock.close)
            clients.append(Connection(sock))
        for client in clients:
            client.send(client.head(1, [(n, "https" if n == ":scheme" else v) for n, v in GET]))
            self.assertEqual(client.answer(1)[1], b"hello\n")
        self.assertEqual(self.spread(), [4, 4])

    def test_bytes_of_tcp_connections_arrive_wherever_they_go(self):
        port = free_port()
        self.start(listener("tcp", port), clusters=[cluster("backend", self.peer(echo))])
        clients = [self.connect(port) for _ in range(8)]
        for number, client in enumerate(clients):
            client.sendall(b"%d" % number * 1000)
            self.assertEqual(read_exactly(client, 1000), b"%d" % number * 1000)
        self.assertEqual(self.spread("tcp"), [4, 4])

    def test_unix_sockets_are_balanced_too(self):
        path = self.folder / "edge.sock"
        self.start({"name": "edge", "address": f"unix:{path}", "http": ANSWER})
        clients = []
        for _ in range(8):
            client = Connection(self.connect(f"unix:{path}"))
            client.send(client.head(1, GET))
            client.answer(1)
            clients.append(client)
        self.assertEqual(self.spread(), [4, 4])

    def test_the_limit_holds_over_all_workers(self):
        self.start(self.edge(max_connections=4))
        clients = [self.connect(self.port) for _ in range(12)]
        self.eventually(lambda: sum(self.spread()) == 4)
        self.assertEqual(self.proxy.metrics().sum("ringway_listener_connections_total"), 4)
        self.assertEqual(len(clients), 12)

    def test_reloads_lose_no_connection_that_changes_hands(self):
        self.start(self.edge())
        path = self.folder / "ringway.yaml"
        other = {"name": "second", "address": f"127.0.0.1:{free_port()}", "http": ANSWER}
        with_edge = document([{"name": "edge", "address": f"127.0.0.1:{self.port}", "http": ANSWER}, other])
        without_edge = document([other])
        stop, failures, served = threading.Event(), [], [0]

        def client():
            while not stop.is_set():
                try:
                    with connect(self.port) as sock:
                        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                        data = b""
                        while more := sock.recv(4096):
                            data += more
                        # A listener that goes away ends what is idle, in order.
                        served[0] += b"hello" in data
                except ConnectionRefusedError:
                    time.sleep(0.001)  # the listener is away
                except OSError as error:
                    failures.append(error)

        threads = [threading.Thread(target=client) for _ in range(4)]
        for thread in threads:
            thread.start()
        for round_number in range(20):
            path.write_text(without_edge if round_number % 2 == 0 else with_edge)
            before = self.proxy.metrics()("ringway_config_applies_total", result="applied")
            self.proxy.signal(signal.SIGHUP)
            self.eventually(
                lambda: self.proxy.metrics()("ringway_config_applies_total", result="applied") > before)
            seen = served[0]
            if round_number % 2 == 1:
                self.eventually(lambda: served[0] > seen + 20)
        stop.set()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.handed("given"), self.handed("taken"))

    def test_a_drain_keeps_what_is_changing_hands(self):
        for _ in range(5):
            port = free_port()
            self.start(listener("tcp", port), clusters=[cluster("backend", self.peer(echo))])
            clients = [self.connect(port) for _ in range(16)]
            self.proxy.signal(signal.SIGTERM)
            for client in clients:
                client.sendall(b"ping")
                self.assertEqual(read_exactly(client, 4), b"ping")
                client.close()
            self.assertEqual(self.proxy.wait(), 0)


if __name__ == "__main__":
    unittest.main()
