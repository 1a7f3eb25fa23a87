"""TLS to endpoints: who is trusted, what is sent, and what becomes of failures."""

import hashlib
import http.client
import os
import shutil
import socket
import ssl
import subprocess
import threading
import unittest

from support.case import Case
from support.certificates import Authority
from support.configuration import cluster, document, listener
from support.peers import Peer, digest, echo, http as http_script, send
from support.sockets import PATIENCE, connect, free_port, read_to_end
from support.tls import RecordClient


class TLSPeer(Peer):
    """A scripted peer that speaks TLS. `handshakes` has what each has settled; failures are not connections."""

    def __init__(self, context: ssl.SSLContext, script=None):
        self.handshakes = []
        inner = script

        def secured(sock):
            try:
                with context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as tls:
                    tls.settimeout(PATIENCE)
                    self.handshakes.append((tls.version(), tls.session_reused, tls.getpeercert()))
                    if inner:
                        inner(tls)
            except (ssl.SSLError, OSError) as error:
                self.errors.append(str(error))

        self.errors = []
        super().__init__(secured)


def end(sock: ssl.SSLSocket):
    """close_notify, then the end."""
    sock.unwrap()


def keep_alive(sock: ssl.SSLSocket):
    """Answers request after request."""
    data = b""
    while part := sock.recv(65536):
        data += part
        while b"\r\n\r\n" in data:
            data = data.partition(b"\r\n\r\n")[2]
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class UpstreamCase(Case):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.authority = Authority(self.folder)
        self.certificate = self.authority.issue("server", ["backend.test", "*.wild.test", "URI:spiffe://test/backend"])

    def context(self, certificate=None, **options) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chosen = certificate or self.certificate
        context.load_cert_chain(str(chosen.cert), str(chosen.key))
        for name, value in options.items():
            setattr(context, name, value)
        return context

    def tls_peer(self, script=None, context: ssl.SSLContext | None = None) -> TLSPeer:
        peer = TLSPeer(context or self.context(), script)
        self.addCleanup(peer.close)
        return peer

    def proxy(self, backend, tls: dict | None = None, http: bool = False, **more):
        settings = {"sni": "backend.test", "ca": str(self.authority.cert)} | (tls or {})
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}"}
        edge |= {"http": {"routes": [{"match": {}, "cluster": "backend"}]}} if http else {"tcp": "backend"}
        backends = backend if isinstance(backend, list) else [backend]
        return self.ringway(document([edge], [cluster("backend", *backends, tls=settings, **more)]))

    def ask(self, data: bytes) -> bytes:
        with connect(self.port) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            return read_to_end(client)

    def failures(self, proxy, reason: str) -> float:
        return proxy.metrics()("ringway_cluster_connect_failures_total", cluster="backend", reason=reason)

    def refused(self, proxy, reason: str):
        """The client is turned away, and the cluster says why."""
        self.assertEqual(self.fate(self.port), "reset")
        self.eventually_equal(lambda: self.failures(proxy, reason), 1)

class Upstream(UpstreamCase):
    # Bytes.

    def test_streams_arrive_whole_in_both_directions(self):
        payload = os.urandom(1 << 20) * 24

        def script(sock):
            received = hashlib.sha256()
            while data := sock.recv(1 << 18):
                received.update(data)
            sock.sendall(received.hexdigest().encode() + payload)
            end(sock)

        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.port = free_port()
            self.proxy(self.tls_peer(script, self.context(minimum_version=version, maximum_version=version)))
            answer = self.ask(payload)
            self.assertEqual(answer[:64].decode(), hashlib.sha256(payload).hexdigest())
            self.assertEqual(len(answer), 64 + len(payload), version)
            self.assertEqual(hashlib.sha256(answer[64:]).digest(), hashlib.sha256(payload).digest())

    def test_an_endpoint_that_ends_without_close_notify_is_a_truncation(self):
        def script(sock):
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nhalf of")
            sock.recv(1000)
            socket.socket(fileno=sock.detach()).close()

        proxy = self.proxy(self.tls_peer(script), http=True)
        with connect(self.port) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                answer = read_to_end(client)
            except ConnectionResetError:
                answer = b""
        # The body ends with the connection: only close_notify says that it is whole.
        self.assertNotIn(b"\r\n0\r\n\r\n", answer)
        self.eventually_equal(
            lambda: proxy.metrics()("ringway_connection_closes_total", cluster="backend", reason="tls_truncated"), 1
        )

    def test_a_body_that_ends_with_close_notify_is_whole(self):
        def script(sock):
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nall of it")
            end(sock)

        self.proxy(self.tls_peer(script), http=True)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", "/")
        self.assertEqual(connection.getresponse().read(), b"all of it")
        connection.close()

    def test_connections_are_kept_between_requests(self):
        peer = self.tls_peer(http_script("hi"))
        self.proxy(peer, http=True)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        for _ in range(5):
            connection.request("GET", "/")
            self.assertEqual(connection.getresponse().read(), b"hi")
        connection.close()
        self.assertEqual(len(peer.handshakes), 1)

    # Trust.

    def test_the_name_of_the_server_is_sent_and_checked(self):
        names = []
        context = self.context()
        context.sni_callback = lambda sock, name, context: names.append(name)
        proxy = self.proxy(self.tls_peer(echo, context))
        self.assertEqual(self.fate(self.port), "served")
        self.assertEqual(names, ["backend.test"])
        metrics = proxy.metrics()
        self.assertEqual(metrics("ringway_tls_handshakes_total", cluster="backend", version="1.3"), 1)

    def test_a_certificate_for_another_name_is_refused(self):
        self.refused(self.proxy(self.tls_peer(echo), {"sni": "other.test"}), "tls_name_mismatch")

    def test_an_unknown_authority_is_refused(self):
        stranger = Authority(self.folder, "stranger").issue("fake", ["backend.test"])
        self.refused(self.proxy(self.tls_peer(echo, self.context(stranger))), "tls_unknown_ca")

    def test_without_a_name_the_address_is_checked(self):
        local = self.authority.issue("local", ["IP:127.0.0.1"])
        settings = {"ca": str(self.authority.cert)}
        edge = listener("edge", self.port)
        other = free_port()
        wrong = listener("wrong", other, cluster="named")
        self.ringway(
            document(
                [edge, wrong],
                [
                    cluster("backend", self.tls_peer(echo, self.context(local)), tls=settings),
                    cluster("named", self.tls_peer(echo), tls=settings),
                ],
            )
        )
        self.assertEqual(self.fate(self.port), "served")
        self.assertEqual(self.fate(other), "reset")

    def test_one_of_several_names_is_enough(self):
        for names, expected in (
            (["x.test", "backend.test"], "served"), (["a.wild.test"], "served"), (["spiffe://test/backend"], "served"),
            (["a.b.wild.test"], "reset"), (["spiffe://test/other"], "reset"), (["10.0.0.1"], "reset"),
        ):  # fmt: skip
            self.port = free_port()
            self.proxy(self.tls_peer(echo), {"verify_san": names})
            self.assertEqual(self.fate(self.port), expected, names)

    def test_verification_can_be_turned_off(self):
        stranger = Authority(self.folder, "stranger").issue("fake", ["whoever.test"])
        edge = listener("edge", self.port)
        backend = cluster("backend", self.tls_peer(echo, self.context(stranger)), tls={"verify": False})
        self.ringway(document([edge], [backend]))
        self.assertEqual(self.fate(self.port), "served")

    def test_a_client_certificate_is_shown(self):
        clients = Authority(self.folder, "clients")
        mine = clients.issue("proxy", ["proxy.test"])
        context = self.context(verify_mode=ssl.CERT_REQUIRED)
        context.load_verify_locations(str(clients.cert))
        peer = self.tls_peer(echo, context)
        self.proxy(peer, mine.files)
        self.assertEqual(self.fate(self.port), "served")
        self.assertIn((("commonName", "proxy"),), peer.handshakes[0][2]["subject"])

    # Failure.

    def test_an_endpoint_that_speaks_no_tls_is_told_apart(self):
        def plain(sock):
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        proxy = self.proxy(self.peer(plain))
        self.assertEqual(self.fate(self.port), "reset")
        self.eventually_equal(
            lambda: proxy.metrics()("ringway_connection_closes_total", cluster="backend", reason="tls_protocol_error"), 1
        )

    def test_no_version_in_common(self):
        peer = self.tls_peer(echo, self.context(maximum_version=ssl.TLSVersion.TLSv1_2))
        self.refused(self.proxy(peer, {"min_version": "1.3"}), "tls_no_shared_version")

    def test_a_handshake_that_hangs_is_a_connect_that_timed_out(self):
        self.refused(self.proxy(self.peer(), connect_timeout="200ms"), "connect_timeout")

    def test_another_endpoint_is_tried_after_a_handshake_that_failed(self):
        stranger = Authority(self.folder, "stranger").issue("fake", ["backend.test"])
        bad, good = self.tls_peer(echo, self.context(stranger)), self.tls_peer(echo)
        edge = listener("edge", self.port, tcp={"connect_attempts": 2})
        settings = {"sni": "backend.test", "ca": str(self.authority.cert)}
        self.ringway(document([edge], [cluster("backend", bad, good, tls=settings)]))
        self.assertEqual([self.fate(self.port) for _ in range(4)], ["served"] * 4)

    # Sessions.

    def test_a_new_authority_counts_for_connections_that_are_kept(self):
        """What was verified by the old one is not good for new requests."""
        other = Authority(self.folder, "others")
        ca = self.folder / "trusted.pem"
        shutil.copy(self.authority.cert, ca)
        peer = self.tls_peer(keep_alive)
        proxy = self.proxy(peer, tls={"ca": str(ca)}, http=True)
        self.assertEqual([self.get(), self.get()], [200, 200])
        self.assertEqual(len(peer.handshakes), 1)
        shutil.copy(other.cert, ca)
        self.eventually(lambda: proxy.metrics()("ringway_tls_reloads_total", result="applied"))
        self.assertEqual(self.get(), 503)
        self.assertGreaterEqual(self.failures(proxy, "tls_unknown_ca"), 1)
        self.eventually_equal(lambda: proxy.metrics()("ringway_cluster_connections_active", cluster="backend"), 0)
        shutil.copy(self.authority.cert, ca)
        self.eventually_equal(self.get, 200)

    def test_a_new_client_certificate_is_shown_from_the_next_request_on(self):
        clients = Authority(self.folder, "clients")
        first, second = clients.issue("first"), clients.issue("second")
        shown = self.folder / "shown.pem"
        key = self.folder / "shown.key"

        def use(certificate):
            shutil.copy(certificate.key, key)
            shutil.copy(certificate.cert, shown)

        use(first)
        context = self.context(verify_mode=ssl.CERT_REQUIRED)
        context.load_verify_locations(str(clients.cert))
        peer = self.tls_peer(keep_alive, context)
        proxy = self.proxy(peer, tls={"cert": str(shown), "key": str(key)}, http=True)
        self.assertEqual(self.get(), 200)
        use(second)
        self.eventually(lambda: proxy.metrics()("ringway_tls_reloads_total", result="applied"))
        self.assertEqual(self.get(), 200)
        names = [dict(part for rdn in seen["subject"] for part in rdn)["commonName"] for _, _, seen in peer.handshakes]
        self.assertEqual(names, ["first", "second"])

    def get(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", "/")
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def test_sessions_are_resumed(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.port = free_port()

            def script(sock):
                while data := sock.recv(1000):
                    sock.sendall(data)
                end(sock)

            peer = self.tls_peer(script, self.context(minimum_version=version, maximum_version=version))
            proxy = self.proxy(peer)
            for _ in range(4):
                self.assertEqual(self.ask(b"ping"), b"ping")
            self.assertEqual([reused for _, reused, _ in peer.handshakes], [False, True, True, True], version)
            self.assertEqual(proxy.metrics()("ringway_tls_resumptions_total", cluster="backend"), 3)

    # Programs.

    @unittest.skipUnless(shutil.which("nginx"), "nginx is not installed")
    def test_nginx_as_the_endpoint(self):
        backend = free_port()
        payload = os.urandom(5 << 20)
        (self.folder / "big").write_bytes(payload)
        (self.folder / "nginx.conf").write_text(
            f"user root; daemon off; pid {self.folder}/pid; error_log {self.folder}/error.log; events {{}}\n"
            f"http {{ access_log off; client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p;"
            f" fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;"
            f" server {{ listen 127.0.0.1:{backend} ssl; root {self.folder};"
            f" ssl_certificate {self.certificate.cert}; ssl_certificate_key {self.certificate.key}; }} }}\n"
        )
        self.server("nginx", "-c", f"{self.folder}/nginx.conf", "-p", str(self.folder))
        self.wait_listening(backend)
        self.proxy(backend, http=True)
        results = []

        def fetch():
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            for _ in range(3):
                connection.request("GET", "/big")
                results.append(connection.getresponse().read() == payload)
            connection.close()

        threads = [threading.Thread(target=fetch) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [True] * 18)

    def test_s_server_as_the_endpoint(self):
        backend = free_port()
        process = subprocess.Popen(
            ["openssl", "s_server", "-accept", str(backend), "-cert", str(self.certificate.cert), "-key",
             str(self.certificate.key), "-rev", "-quiet"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.wait_listening(backend)
        self.proxy(backend)
        with connect(self.port) as client:
            client.sendall(b"stressed\n")
            self.assertEqual(client.recv(100), b"desserts\n")


class Through(UpstreamCase):
    """TLS on both sides."""

    def test_both_sides_are_secured(self):
        peer = self.tls_peer(digest)
        edge = listener("edge", self.port) | {"tls": {"certificates": [self.certificate.files]}}
        settings = {"sni": "backend.test", "ca": str(self.authority.cert)}
        self.ringway(document([edge], [cluster("backend", peer, tls=settings)]))
        context = ssl.create_default_context(cafile=str(self.authority.cert))
        client = RecordClient(self.port, context, "backend.test")
        self.addCleanup(client.close)
        payload = os.urandom(1 << 20) * 8
        client.send(payload)
        client.end()
        self.assertEqual(client.recv().decode(), f"{len(payload)} {hashlib.sha256(payload).hexdigest()}")


if __name__ == "__main__":
    unittest.main()
