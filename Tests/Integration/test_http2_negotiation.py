"""`protocol: auto`: each endpoint chooses HTTP/1.1 or HTTP/2 in its TLS handshake (ALPN)."""

import ssl
import subprocess
import threading
import unittest

from hyperframe.frame import HeadersFrame
from support import cluster, document, free_port
from support.certificates import Authority
from support.http2 import GET, Connection
from support.sockets import read_to_end
from test_http2 import HTTP2Case
from test_http_proxy import read_body, read_head

BOTH = ["h2", "http/1.1"]


class NegotiationCase(HTTP2Case):
    def setUp(self):
        super().setUp()
        self.authority = Authority(self.folder)
        self.certificate = self.authority.issue("server", ["localhost", "IP:127.0.0.1"])

    def endpoint(self, offers: list[str] | None):
        """An endpoint that offers these protocols, which a test may change, and answers with what was chosen. `gate`
        lets it shake hands."""
        gate = threading.Event()
        gate.set()

        def script(sock):
            gate.wait(30)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate.cert, self.certificate.key)
            if peer.offers:
                context.set_alpn_protocols(peer.offers)
            try:
                with context.wrap_socket(sock, server_side=True) as secure:
                    if secure.selected_alpn_protocol() == "h2":
                        self.serve_http2(Connection(secure, is_client=False))
                    else:
                        self.serve_http1(secure)
            except OSError:
                pass

        peer = self.peer(script)
        peer.offers = offers
        peer.gate = gate
        return peer

    @staticmethod
    def serve_http1(sock):
        while head := read_head(sock):
            read_body(sock, head)
            ending = b"Connection: close\r\n" if b"/last" in head else b""
            sock.sendall(b"HTTP/1.1 200 OK\r\n" + ending + b"Content-Length: 5\r\n\r\nhttp1")
            if ending:
                return

    @staticmethod
    def serve_http2(connection):
        while frame := connection.until(HeadersFrame):
            path = dict(connection.heads[frame.stream_id][0])[":path"]
            connection.send(
                connection.head(frame.stream_id, [(":status", "200"), ("content-length", "5")], end=False),
                connection.body(frame.stream_id, b"http2"))
            if path == "/last":
                return

    def start(self, *endpoints, **options):
        self.port = free_port()
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}",
                "http": {"routes": [{"match": {}, "cluster": "backend"}]}}
        tls = {"ca": str(self.authority.cert), "sni": "localhost"}
        return self.ringway(document([edge], [cluster("backend", *endpoints, protocol="auto", tls=tls, **options)]))

    def get(self, path: str = "/") -> bytes:
        client = self.client()
        client.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
        head, _, body = read_to_end(client).partition(b"\r\n\r\n")
        return body if head.startswith(b"HTTP/1.1 200 ") else head[9:12]


class Negotiation(NegotiationCase):
    def test_an_endpoint_that_speaks_both_is_spoken_to_in_http_2(self):
        backend = self.endpoint(BOTH)
        self.start(backend)
        for _ in range(3):
            self.assertEqual(self.get(), b"http2")
        self.assertEqual(backend.accepted, 1)

    def test_an_endpoint_that_speaks_http_1(self):
        for offers in (["http/1.1"], None):
            with self.subTest(offers):
                backend = self.endpoint(offers)
                self.start(backend)
                for _ in range(3):
                    self.assertEqual(self.get(), b"http1")
                self.assertEqual(backend.accepted, 1)

    def test_requests_wait_for_the_first_handshake_and_share_its_connection(self):
        backend = self.endpoint(BOTH)
        backend.gate.clear()
        proxy = self.start(backend)
        connection = self.connection()
        streams = range(1, 41, 2)
        connection.send(*[connection.head(stream, GET) for stream in streams])
        self.eventually_equal(lambda: proxy.metrics().sum("ringway_cluster_pending_requests"), len(streams) - 1)
        backend.gate.set()
        for _ in streams:
            connection.until(HeadersFrame)
        self.assertEqual(backend.accepted, 1)
        self.assertEqual(proxy.metrics().sum("ringway_cluster_pending_requests"), 0)

    def test_requests_that_waited_get_connections_of_their_own_in_http_1(self):
        backend = self.endpoint(["http/1.1"])
        backend.gate.clear()
        proxy = self.start(backend)
        connection = self.connection()
        streams = range(1, 21, 2)
        connection.send(*[connection.head(stream, GET) for stream in streams])
        self.eventually_equal(lambda: proxy.metrics().sum("ringway_cluster_pending_requests"), len(streams) - 1)
        backend.gate.set()
        for _ in streams:
            connection.until(HeadersFrame)
        self.assertEqual({dict(connection.heads[stream][0])[":status"] for stream in streams}, {"200"})

    def test_endpoints_may_differ(self):
        self.start(self.endpoint(BOTH), self.endpoint(["http/1.1"]))
        self.assertEqual(sorted(self.get() for _ in range(10)), [b"http1"] * 5 + [b"http2"] * 5)

    def test_an_endpoint_may_change(self):
        backend = self.endpoint(["http/1.1"])
        self.start(backend)
        for offers, expected in ((["http/1.1"], b"http1"), (BOTH, b"http2"), (None, b"http1"), (BOTH, b"http2")):
            backend.offers = offers
            self.assertEqual(self.get(), expected)
            self.assertEqual(self.get("/last"), expected)

    def test_an_endpoint_that_is_not_there(self):
        proxy = self.start(free_port(), connect_timeout="1s")
        for _ in range(3):
            self.assertEqual(self.get(), b"503")
        self.assertEqual(proxy.metrics().sum("ringway_cluster_requests_active"), 0)

    def test_an_endpoint_whose_handshake_fails(self):
        backend = self.peer(lambda sock: sock.sendall(b"this is not TLS"))
        self.start(backend)
        self.assertEqual(self.get(), b"503")

    def test_whoever_waited_is_answered_when_the_first_one_has_left(self):
        backend = self.endpoint(BOTH)
        backend.gate.clear()
        proxy = self.start(backend)
        first = self.client()
        first.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.eventually(lambda: backend.accepted == 1)
        answers = []
        second = threading.Thread(target=lambda: answers.append(self.get()))
        second.start()
        self.eventually_equal(lambda: proxy.metrics().sum("ringway_cluster_pending_requests"), 1)
        first.close()
        backend.gate.set()
        second.join(30)
        self.assertEqual(answers, [b"http2"])

    def test_without_tls_there_is_nothing_to_choose_in(self):
        edge = {"name": "edge", "address": f"127.0.0.1:{free_port()}",
                "http": {"routes": [{"match": {}, "cluster": "backend"}]}}
        path = self.folder / "wrong.yaml"
        path.write_text(document([edge], [cluster("backend", 1, protocol="auto")]))
        answer = self.command("check", str(path))
        self.assertEqual(answer.returncode, 78)
        self.assertIn("without \"tls\" there is no handshake", answer.stderr)


class Programs(NegotiationCase):
    def test_nginx_with_and_without_http_2(self):
        tls = f"ssl_certificate {self.certificate.cert}; ssl_certificate_key {self.certificate.key};"
        for protocols in ("ssl http2", "ssl"):
            with self.subTest(protocols):
                port = free_port()
                inner = self.nginx(
                    "return 200 $server_protocol;",
                    f"server {{ listen 127.0.0.1:{port} {protocols}; {tls} return 200 $server_protocol; }}")
                self.assertNotEqual(inner, port)
                self.wait_listening(port)
                self.start(port)
                command = ["curl", "-sS", f"http://127.0.0.1:{self.port}/"]
                answer = subprocess.run(command, capture_output=True, timeout=30, check=True, text=True)
                self.assertEqual(answer.stdout, "HTTP/2.0" if "http2" in protocols else "HTTP/1.1")


if __name__ == "__main__":
    unittest.main()
