"""Handshakes that fail: each cause is told apart in the access logs, where a real peer brings it about."""

import contextlib
import socket
import ssl
import unittest

from support.certificates import Authority
from support.configuration import cluster, document
from support.peers import echo, http as http_script
from support.sockets import PATIENCE, free_port, read_to_end
from test_tls import TLSCase
from test_tls_upstream import TLSPeer

FORMAT = (
    "%DOWNSTREAM_TRANSPORT_FAILURE_REASON% %RESPONSE_FLAGS% %REQUESTED_SERVER_NAME% %CONNECTION_TERMINATION_DETAILS% "
    "%DOWNSTREAM_TLS_VERSION%"
)


class Failures(TLSCase):
    def logged(self, tls: dict | None = None, http: bool = False, format: str = FORMAT):
        """Another proxy, at another port, whose listener writes an access log; a function that reads its lines."""
        self.port = free_port()
        path = self.folder / f"access-{self.port}.log"
        log = [{"path": str(path), "format": format}]
        settings = {"certificates": [self.certificate.files]} | (tls or {})
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "tls": settings}
        if http:
            edge["http"] = {"routes": [{"match": {}, "respond": {"status": 200, "body": "x"}}], "access_log": log}
        else:
            edge["tcp"] = {"cluster": "backend", "access_log": log}
        self.ringway(document([edge], [cluster("backend", self.peer(echo))]))
        return lambda: path.read_text().splitlines()

    def fails(self, action):
        with contextlib.suppress(ssl.SSLError, ConnectionError, OSError):
            action()

    def causes(self):
        """What to configure, what a client does, and the line that is written."""
        clients = Authority(self.folder, "clients")
        stranger = Authority(self.folder, "strangers").issue("mallory")
        mallory = self.context()
        mallory.load_cert_chain(str(stranger.cert), str(stranger.key))

        def say(data: bytes, wait: bool = True):
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
                sock.sendall(data)
                if wait:
                    read_to_end(sock)

        seclevel = ["-cipher", "DEFAULT@SECLEVEL=0"]
        ca = {"client_ca": str(clients.cert)}
        return [
            ({"min_version": "1.3"}, lambda: self.s_client("-tls1_2"), "tls_no_shared_version DPE"),
            ({}, lambda: self.s_client("-tls1_1", *seclevel), "tls_no_shared_version DPE"),
            ({}, lambda: self.s_client("-tls1_2", "-cipher", "AES128-SHA"), "tls_no_shared_cipher DPE"),
            ({"groups": ["X25519"]}, lambda: self.s_client("-groups", "P-256"), "tls_no_shared_cipher DPE"),
            ({"alpn": ["h2"]}, lambda: self.s_client("-alpn", "spdy"), "tls_no_shared_protocol DPE"),
            (ca, lambda: self.client(mallory).recv(1), "tls_unknown_ca DPE"),
            (ca, lambda: self.client().recv(1), "tls_certificate_missing DPE"),
            ({}, lambda: self.client(ssl.create_default_context()), "tls_peer_refused DPE"),
            ({}, lambda: say(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "tls_plain_http DPE"),
            ({"handshake_timeout": "100ms"}, lambda: say(b""), "tls_handshake_timeout DPE"),
            ({}, lambda: say(b"\x16\x03\x01\x02\x00\x01", wait=False), "tls_handshake_aborted DC"),
            ({}, lambda: say(b"\x16\x03\x01\x00\x05hello"), "tls_protocol_error DPE"),
        ]

    def check_causes(self, http: bool):
        for tls, action, expected in self.causes():
            if http and "alpn" in tls:
                continue  # what an `http:` listener cannot speak it does not offer
            with self.subTest(expected):
                lines = self.logged(tls, http)
                self.fails(action)
                line = self.eventually(lines)[0]
                self.assertEqual(line.split()[:2], expected.split(), line)
                self.assertEqual(line.split()[3], expected.split()[0], line)

    def test_each_cause_has_its_line_of_a_tcp_listener(self):
        self.check_causes(http=False)

    def test_each_cause_has_its_line_of_an_http_listener(self):
        self.check_causes(http=True)

    def test_a_failed_handshake_still_tells_the_name_that_was_asked_for(self):
        lines = self.logged({"client_ca": str(self.authority.cert)})
        self.fails(lambda: self.client(name="localhost").recv(1))
        self.assertEqual(self.eventually(lines)[0].split()[2], "localhost")

    def test_lines_tell_who_the_client_is(self):
        clients = Authority(self.folder, "clients")
        alice = clients.issue("alice", ["alice.test", "URI:spiffe://test/alice", "IP:10.1.2.3"])
        operators = ["TLS_VERSION", "PEER_SUBJECT", "PEER_ISSUER", "PEER_URI_SAN", "PEER_DNS_SAN", "PEER_IP_SAN",
                     "PEER_FINGERPRINT_256"]  # fmt: skip
        for http in (False, True):
            lines = self.logged(
                {"client_ca": str(clients.cert)}, http,
                "|".join(f"%DOWNSTREAM_{name}%" for name in operators) + "|%REQUESTED_SERVER_NAME%|%DOWNSTREAM_TLS_CIPHER%")
            context = self.context()
            context.load_cert_chain(str(alice.cert), str(alice.key))
            client = self.client(context)
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            client.recv(100)
            client.close()
            fields = self.eventually(lines)[0].split("|")
            self.assertEqual(
                fields[:8],
                ["TLSv1.3", "CN=alice", "CN=clients", "spiffe://test/alice", "alice.test", "10.1.2.3", alice.fingerprint,
                 "localhost"])  # fmt: skip
            self.assertRegex(fields[8], "^TLS_")


class UpstreamFailures(TLSCase):
    def answer(self, backend, tls: dict) -> tuple[int, str]:
        """The status that a client gets, and the line in the log."""
        path = self.folder / "access.log"
        edge = {
            "name": "edge", "address": f"127.0.0.1:{self.port}",
            "http": {"routes": [{"match": {}, "cluster": "backend"}], "access_log": [
                {"path": str(path), "format": "%UPSTREAM_TRANSPORT_FAILURE_REASON% %RESPONSE_FLAGS%"}]},
        }  # fmt: skip
        self.ringway(document([edge], [cluster("backend", backend, tls=tls)]))
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            status = int(read_to_end(sock).split()[1])
        return status, self.eventually(lambda: path.read_text().splitlines())[0]

    def peer_with(self, certificate, **options) -> TLSPeer:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(str(certificate.cert), str(certificate.key))
        for name, value in options.items():
            setattr(context, name, value)
        peer = TLSPeer(context, http_script("x"))
        self.addCleanup(peer.close)
        return peer

    def test_a_certificate_for_another_name(self):
        tls = {"sni": "other.test", "ca": str(self.authority.cert)}
        self.assertEqual(self.answer(self.peer_with(self.certificate), tls), (503, "tls_name_mismatch UF"))

    def test_an_unknown_authority(self):
        tls = {"sni": "localhost", "ca": str(Authority(self.folder, "others").cert)}
        self.assertEqual(self.answer(self.peer_with(self.certificate), tls), (503, "tls_unknown_ca UF"))

    def test_no_version_in_common(self):
        peer = self.peer_with(self.certificate, maximum_version=ssl.TLSVersion.TLSv1_2)
        tls = {"sni": "localhost", "ca": str(self.authority.cert), "min_version": "1.3"}
        self.assertEqual(self.answer(peer, tls), (503, "tls_no_shared_version UF"))

    def test_a_client_certificate_that_is_missing(self):
        peer = self.peer_with(self.certificate, verify_mode=ssl.CERT_REQUIRED, maximum_version=ssl.TLSVersion.TLSv1_2)
        tls = {"sni": "localhost", "ca": str(self.authority.cert)}
        status, line = self.answer(peer, tls)
        self.assertEqual(status, 503)
        self.assertRegex(line, "^tls_(no_shared_cipher|peer_refused) UF$")


if __name__ == "__main__":
    unittest.main()
