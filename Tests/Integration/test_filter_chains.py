"""Listeners with several filter chains: which one a connection gets, by what, and what becomes of the rest."""

import http.client
import json
import shutil
import socket
import ssl
import subprocess
import unittest

from support.case import Case
from support.certificates import Authority
from support.configuration import cluster, document
from support.peers import echo, greet, http as http_script
from support.sockets import PATIENCE, free_port, read_to_end
from test_tls_upstream import TLSPeer


def hello(name: str | None = "db.test", alpn: list[str] = ()) -> bytes:
    """A ClientHello as Python's ssl says it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


class FilterChains(Case):
    def setUp(self):
        super().setUp()
        self.authority = Authority(self.folder)
        self.certificate = self.authority.issue("edge", ["localhost", "*.web.test", "IP:127.0.0.1"])
        self.inner = self.authority.issue("inner", ["db.test"])
        self.port = free_port()

    def proxy(self, chains: list[dict], clusters: list[dict], **more):
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "filter_chains": chains} | more
        self.document = document([edge], clusters)
        return self.ringway(self.document)

    @property
    def tls(self) -> dict:
        return {"certificates": [self.certificate.files]}

    def respond(self, text: str) -> dict:
        return {"routes": [{"match": {}, "respond": {"status": 200, "body": text}}]}

    def context(self, **options) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.cert))
        for name, value in options.items():
            setattr(context, name, value)
        return context

    def client(self, name: str, alpn: list[str] = (), context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        context = context or self.context()
        if alpn:
            context.set_alpn_protocols(list(alpn))
        raw = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        self.addCleanup(raw.close)
        client = context.wrap_socket(raw, server_hostname=name)
        self.addCleanup(client.close)
        return client

    def body(self, name: str, alpn: list[str] = (), port: int | None = None) -> str:
        """What an HTTPS request for `name` is answered with."""
        client = self.client(name, alpn, self.context(check_hostname=False))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answer = b""
        while data := client.recv(65536):
            answer += data
        return answer.partition(b"\r\n\r\n")[2].decode()

    def plain_body(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/")
            return connection.getresponse().read().decode()
        finally:
            connection.close()

    def first_bytes(self, proxy, result: str) -> float:
        return proxy.metrics()("ringway_listener_first_bytes_total", listener="edge", result=result)

    def closes(self, proxy, reason: str) -> float:
        return proxy.metrics()("ringway_connection_closes_total", listener="edge", reason=reason)

    # Which chain.

    def test_tls_passes_through_by_name_and_ends_here_otherwise(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(self.inner.cert), str(self.inner.key))
        peer = TLSPeer(context, echo)
        self.addCleanup(peer.close)
        proxy = self.proxy(
            [
                {"match": {"server_names": ["db.test"]}, "tcp": {"cluster": "pg"}},
                {"match": {}, "tls": self.tls, "http": self.respond("web")},
            ],
            [cluster("pg", peer)],
        )
        for size in (10, 300_000):
            client = self.client("db.test")
            self.assertEqual(dict(part for rdn in client.getpeercert()["subject"] for part in rdn)["commonName"], "inner")
            data = bytes(range(256)) * (size // 256 + 1)
            client.sendall(data[:100_000])
            received = b""
            while len(received) < min(len(data), 100_000):
                received += client.recv(65536)
            self.assertEqual(received, data[:100_000])
            client.close()
        self.assertEqual(self.body("localhost"), "web")
        self.assertEqual(self.first_bytes(proxy, "client_hello"), 3)

    def test_the_first_chain_that_fits_is_chosen(self):
        self.proxy(
            [
                {"match": {"server_names": ["exact.web.test"]}, "tls": self.tls, "http": self.respond("exact")},
                {"match": {"server_names": ["*.web.test"], "application_protocols": ["special"]},
                 "tls": self.tls | {"alpn": ["special"]}, "tcp": "greeter"},
                {"match": {"server_names": ["*.web.test"]}, "tls": self.tls, "http": self.respond("wildcard")},
                {"match": {"source_ranges": ["10.0.0.0/8"]}, "tls": self.tls, "http": self.respond("far")},
                {"match": {"source_ranges": ["127.0.0.0/8"], "destination_port": 1}, "tls": self.tls,
                 "http": self.respond("port 1")},
                {"match": {"source_ranges": ["127.0.0.0/8"], "destination_port": self.port,
                           "transport_protocol": "tls"}, "tls": self.tls, "http": self.respond("near")},
                {"match": {}, "http": self.respond("plain")},
            ],
            [cluster("greeter", self.peer(greet("hi")))],
        )  # fmt: skip
        self.assertEqual(self.body("exact.web.test"), "exact")
        self.assertEqual(self.body("EXACT.web.test"), "exact")
        self.assertEqual(self.body("other.web.test"), "wildcard")
        self.assertEqual(self.body("a.b.web.test", ["http/1.1"]), "wildcard")
        self.assertEqual(self.body("localhost"), "near")
        self.assertEqual(self.plain_body(), "plain")
        client = self.client("x.web.test", ["other", "special"])
        self.assertEqual(client.selected_alpn_protocol(), "special")
        self.assertTrue(client.recv(100).startswith(b"hi"))

    def test_http_and_https_share_a_port(self):
        self.proxy(
            [
                {"name": "secure", "match": {"transport_protocol": "tls"}, "tls": self.tls, "http": self.respond("s")},
                {"name": "plain", "match": {"transport_protocol": "raw_buffer"}, "http": self.respond("p")},
            ], [],
        )  # fmt: skip
        self.assertEqual(self.body("localhost"), "s")
        self.assertEqual(self.plain_body(), "p")

    def test_a_server_that_speaks_first_needs_no_first_bytes(self):
        self.proxy([{"match": {"destination_port": self.port}, "tcp": "greeter"}, {"tls": self.tls, "tcp": "greeter"}],
                   [cluster("greeter", self.peer(greet("hello")))])  # fmt: skip
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
            self.assertTrue(client.recv(100).startswith(b"hello"))

    # First bytes.

    def test_a_hello_may_come_in_pieces(self):
        received = []

        def script(sock):
            data = b""
            while len(data) < len(whole) + 4:
                data += sock.recv(65536)
            received.append(data)
            sock.sendall(b"!")

        whole = hello("db.test", ["h2"])
        self.proxy([{"match": {"server_names": ["db.test"]}, "tcp": "pg"}], [cluster("pg", self.peer(script))])
        for piece in (1, 3, 100, len(whole) - 1):
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for start in range(0, len(whole), piece):
                    client.sendall(whole[start : start + piece])
                client.sendall(b"more")
                self.assertEqual(client.recv(1), b"!")
        self.assertEqual(received, [whole + b"more"] * 4)

    def test_connections_that_no_chain_is_for_are_reset(self):
        proxy = self.proxy([{"match": {"server_names": ["db.test"]}, "tcp": "pg"}], [cluster("pg", self.peer(echo))])
        for first in (hello("other.test"), hello(None), b"GET / HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
                client.sendall(first)
                with self.assertRaises(ConnectionResetError):
                    read_to_end(client)
        self.eventually_equal(lambda: self.closes(proxy, "no_filter_chain"), 3)
        self.assertEqual(self.first_bytes(proxy, "plain"), 1)

    def test_what_is_no_hello_is_reset(self):
        proxy = self.proxy([{"match": {"server_names": ["db.test"]}, "tcp": "pg"}, {"tcp": "pg"}],
                           [cluster("pg", self.peer(echo))])  # fmt: skip
        for first in (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", b"\x16\x03\x01\x40\x01", b"\x16\x03\x01\x00\x04\x01\x00\x50\x00"):
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
                client.sendall(first)
                with self.assertRaises(ConnectionResetError):
                    read_to_end(client)
        self.eventually_equal(lambda: self.first_bytes(proxy, "malformed"), 3)
        self.assertEqual(self.closes(proxy, "tls_protocol_error"), 3)

    def test_a_hello_that_does_not_come_is_ended(self):
        proxy = self.proxy(
            [{"match": {"server_names": ["db.test"]}, "tcp": "pg"}], [cluster("pg", self.peer(echo))],
            client_hello_timeout="200ms")  # fmt: skip
        for first in (b"", hello()[:-1]):
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
                client.sendall(first)
                with self.assertRaises(ConnectionResetError):
                    read_to_end(client)
        self.eventually_equal(lambda: self.first_bytes(proxy, "timeout"), 2)
        self.assertEqual(self.closes(proxy, "tls_handshake_timeout"), 2)

    def test_a_client_that_goes_before_its_hello_is_whole_is_counted(self):
        proxy = self.proxy([{"match": {"server_names": ["db.test"]}, "tcp": "pg"}], [cluster("pg", self.peer(echo))])
        for first in (b"", hello()[:100]):
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
                client.sendall(first)
        self.eventually_equal(lambda: self.closes(proxy, "tls_handshake_aborted"), 2)
        self.assertEqual(proxy.metrics()("ringway_listener_connections_active", listener="edge"), 0)

    def test_access_comes_before_the_hello(self):
        proxy = self.proxy(
            [{"match": {"server_names": ["db.test"]}, "tcp": "pg"}], [cluster("pg", self.peer(echo))],
            access={"allow": ["10.0.0.0/8"]})  # fmt: skip
        self.assertEqual(self.fate(self.port), "reset")
        self.eventually_equal(lambda: self.closes(proxy, "denied"), 1)

    # Changes.

    def test_a_reload_changes_chains_and_drains_those_that_are_gone(self):
        chains = [
            {"name": "a", "match": {"server_names": ["a.web.test"]}, "tls": self.tls, "http": self.respond("old a")},
            {"name": "b", "match": {"server_names": ["b.web.test"]}, "tls": self.tls, "http": self.respond("old b")},
        ]
        proxy = self.proxy(chains, [])

        def open_one(name):
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, context=self.context(check_hostname=False), timeout=PATIENCE)
            connection.sock = self.client(name)
            return connection

        def get(connection):
            connection.request("GET", "/")
            response = connection.getresponse()
            return response.read().decode(), response.getheader("Connection")

        a, b = open_one("a.web.test"), open_one("b.web.test")
        self.assertEqual([get(a)[0], get(b)[0]], ["old a", "old b"])
        chains = [chains[0] | {"http": self.respond("new a")}, {"tls": self.tls, "http": self.respond("rest")}]
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "filter_chains": chains}
        self.assertEqual(proxy.configure(document([edge])).status, 200)
        self.eventually_equal(lambda: self.body("b.web.test"), "rest")
        self.assertEqual(get(a), ("new a", None), "an open connection goes on in the chain's successor")
        self.assertEqual(get(b), ("old b", "close"), "and ends with its next request where there is none")

    def test_certificates_of_chains_change_with_their_files(self):
        live = self.authority.issue("live", ["localhost"], common_name="old")
        proxy = self.proxy(
            [{"match": {"server_names": ["db.test"]}, "tcp": "pg"},
             {"tls": {"certificates": [live.files]}, "http": self.respond("x")}],
            [cluster("pg", self.peer(echo))])  # fmt: skip

        def served():
            subject = self.client("localhost").getpeercert()["subject"]
            return dict(part for rdn in subject for part in rdn)["commonName"]

        self.assertEqual(served(), "old")
        made = self.authority.issue("next", ["localhost"], common_name="new")
        shutil.copy(made.key, live.key)
        shutil.copy(made.cert, live.cert)
        self.eventually_equal(served, "new")
        self.assertIn("CN=new", proxy.admin("/certs").text)

    # Showing.

    def test_pages_and_explain_tell_the_chains(self):
        proxy = self.proxy(
            [
                {"name": "db", "match": {"server_names": ["db.test"]}, "tcp": "pg"},
                {"match": {"source_ranges": ["10.0.0.0/8"]}, "tls": self.tls, "http": self.respond("inside")},
                {"name": "rest", "tls": self.tls, "http": self.respond("outside")},
            ],
            [cluster("pg", "127.0.0.1:9")],
        )
        self.assertEqual(
            proxy.admin("/listeners").text.splitlines()[1:],
            ["edge::filter_chain::db::server_names db.test",
             "edge::filter_chain::1::source_ranges 10.0.0.0/8::tls",
             "edge::filter_chain::rest::every connection::tls"])  # fmt: skip
        entry = proxy.admin("/listeners?format=json").json["listeners"][0]
        self.assertEqual([chain["tls"] for chain in entry["filter_chains"]], [False, True, True])

        def steps(url, *more):
            outcome = self.command(
                "explain", "GET", url, "--listener", "edge", "--config", "ringway.yaml", "--json", *more)
            self.assertEqual(outcome.returncode, 0, outcome.stderr)
            return [(step["kind"], step["text"]) for step in json.loads(outcome.stdout)["steps"]]

        base = f":{self.port}/"
        self.assertIn(("filter_chain", "db"), steps("https://db.test" + base))
        self.assertIn(("cluster", "pg, round_robin"), steps("https://db.test" + base))
        found = steps("https://x.test" + base)
        self.assertIn(("not", "db: the client names x.test"), found)
        self.assertIn(("not", "source_ranges 10.0.0.0/8: the client's address is not known (--source)"), found)
        self.assertIn(("filter_chain", "rest"), found)
        self.assertIn(("filter_chain", "source_ranges 10.0.0.0/8"), steps("https://x.test" + base, "--source", "10.1.1.1"))

    def test_curl_and_openssl_reach_their_chains(self):
        self.proxy(
            [{"match": {"server_names": ["a.web.test"]}, "tls": self.tls, "http": self.respond("a")},
             {"match": {"application_protocols": ["h2"]}, "tls": self.tls, "http": self.respond("h2")},
             {"tls": self.tls, "http": self.respond("rest")}], [])  # fmt: skip

        def curl(name, *more):
            return subprocess.run(
                ["curl", "-sS", "--cacert", str(self.authority.cert), "--resolve", f"{name}:{self.port}:127.0.0.1",
                 f"https://{name}:{self.port}/", *more], capture_output=True, text=True, timeout=PATIENCE)  # fmt: skip

        self.assertEqual(curl("a.web.test").stdout, "a")
        self.assertEqual(curl("b.web.test", "--http2").stdout, "h2")
        self.assertEqual(curl("b.web.test", "--http1.1").stdout, "rest")


if __name__ == "__main__":
    unittest.main()
