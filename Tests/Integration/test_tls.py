"""TLS from clients: who may connect, with what, and how connections end."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
import unittest

from support.case import Case
from support.certificates import Authority, openssl
from support.configuration import cluster, document, listener
from support.peers import digest, echo, http as http_script, send
from support.sockets import PATIENCE, free_port, read_to_end
from support.tls import RecordClient


class TLSCase(Case):
    def setUp(self):
        super().setUp()
        self.authority = Authority(self.folder)
        self.certificate = self.authority.issue("server", ["localhost", "IP:127.0.0.1"])
        self.port = free_port()

    def proxy(self, backend, tls: dict | None = None, http: bool = False, cluster_keys: dict | None = None, **more):
        """A proxy with one TLS listener before one backend."""
        settings = {"certificates": [self.certificate.files]} | (tls or {})
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "tls": settings}
        edge |= {"http": {"routes": [{"match": {}, "cluster": "backend"}]}} if http else {"tcp": "backend"}
        self.document = document([edge], [cluster("backend", backend, **(cluster_keys or {}))], **more)
        return self.ringway(self.document)

    def context(self, **options) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.cert))
        for name, value in options.items():
            setattr(context, name, value)
        return context

    def client(self, context: ssl.SSLContext | None = None, name: str = "localhost", session=None) -> ssl.SSLSocket:
        raw = socket.create_connection(("127.0.0.1", self.port), PATIENCE)
        try:
            client = (context or self.context()).wrap_socket(raw, server_hostname=name, session=session)
        except BaseException:
            raw.close()
            raise
        self.addCleanup(client.close)
        return client

    def records(self, context: ssl.SSLContext | None = None, piece: int | None = None) -> RecordClient:
        client = RecordClient(self.port, context or self.context(), piece=piece)
        self.addCleanup(client.close)
        return client

    def closes(self, proxy, reason: str, owner: str = "listener", name: str = "edge") -> float:
        return proxy.metrics()("ringway_connection_closes_total", **{owner: name}, reason=reason)

    def s_client(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess:
        return subprocess.run(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-servername", "localhost", *arguments],
            input=text,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )


class Versions(TLSCase):
    def test_speaks_1_2_and_1_3_and_nothing_older(self):
        proxy = self.proxy(self.peer(echo))
        for version, name in ((ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")):
            client = self.client(self.context(minimum_version=version, maximum_version=version))
            self.assertEqual(client.version(), name)
            client.sendall(b"hello")
            self.assertEqual(client.recv(100), b"hello")
        old = self.context(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises(ssl.SSLError):
            self.client(old)
        self.eventually_equal(lambda: self.closes(proxy, "tls_no_shared_version"), 1)
        metrics = proxy.metrics()
        for version in ("1.2", "1.3"):
            self.assertEqual(metrics("ringway_tls_handshakes_total", listener="edge", version=version), 1)

    def test_min_and_max_version_are_kept(self):
        self.proxy(self.peer(echo), tls={"min_version": "1.3"})
        with self.assertRaises(ssl.SSLError):
            self.client(self.context(maximum_version=ssl.TLSVersion.TLSv1_2))
        self.assertEqual(self.client().version(), "TLSv1.3")

    def test_ciphers_are_chosen_from_the_list(self):
        proxy = self.proxy(self.peer(echo), tls={"ciphers": ["ECDHE-ECDSA-AES256-GCM-SHA384"], "max_version": "1.2"})
        self.assertEqual(self.client().cipher()[0], "ECDHE-ECDSA-AES256-GCM-SHA384")
        other = self.context(maximum_version=ssl.TLSVersion.TLSv1_2)
        other.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        with self.assertRaises(ssl.SSLError):
            self.client(other)
        self.eventually_equal(lambda: self.closes(proxy, "tls_no_shared_cipher"), 1)


class Streams(TLSCase):
    def test_uploads_arrive_whole(self):
        size = 24 << 20
        payload = os.urandom(1 << 20) * (size >> 20)
        self.proxy(self.peer(digest))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = self.records(self.context(minimum_version=version, maximum_version=version))
            client.send(payload)
            client.end()
            answer = client.read_to_end().decode()
            self.assertEqual(answer, f"{size} {hashlib.sha256(payload).hexdigest()}", version)

    def test_downloads_arrive_whole(self):
        payload = os.urandom(1 << 20) * 24
        self.proxy(self.peer(send(payload)))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            client = self.client(self.context(minimum_version=version, maximum_version=version))
            received = hashlib.sha256()
            while data := client.recv(1 << 18):
                received.update(data)
            self.assertEqual(received.hexdigest(), hashlib.sha256(payload).hexdigest(), version)

    def test_records_of_every_size_arrive_whole(self):
        """Small records, one byte each at first, and such that lie across receive buffers."""
        self.proxy(self.peer(echo))
        client = self.client()
        sent = b""
        for size in [1] * 300 + [2, 3, 5, 100, 1000, 16383, 16384, 16385, 40000, 32768, 7] * 5:
            data = os.urandom(size)
            sent += data
            client.sendall(data)
        received = b""
        while len(received) < len(sent):
            received += client.recv(1 << 16)
        self.assertEqual(received, sent)

    def test_bytes_that_arrive_one_by_one_are_put_together(self):
        """A client behind a slow line: the ciphertext comes in pieces of one byte."""
        self.proxy(self.peer(echo))
        client = self.records(piece=1)
        client.send(b"x" * 3000)
        received = b""
        while len(received) < 3000:
            received += client.recv()
        self.assertEqual(received, b"x" * 3000)

    def test_a_slow_reader_holds_back_its_sender_and_loses_nothing(self):
        payload = os.urandom(1 << 20) * 16
        self.proxy(self.peer(send(payload)))
        client = self.client()
        time.sleep(0.3)
        received = hashlib.sha256()
        while data := client.recv(4096):
            received.update(data)
        self.assertEqual(received.hexdigest(), hashlib.sha256(payload).hexdigest())

    def test_many_connections_at_once(self):
        self.proxy(self.peer(echo))
        results = []

        def play(number: int):
            client = self.client()
            data = os.urandom(50_000)
            client.sendall(data)
            received = b""
            while len(received) < len(data):
                received += client.recv(65536)
            results.append(received == data)

        threads = [threading.Thread(target=play, args=(n,)) for n in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [True] * 40)


class Ends(TLSCase):
    def test_a_half_close_is_passed_on_and_the_answer_comes_back(self):
        proxy = self.proxy(self.peer(digest))
        client = self.records()
        client.send(b"all of it")
        client.end()
        self.assertEqual(client.read_to_end().decode(), f"9 {hashlib.sha256(b'all of it').hexdigest()}")
        self.eventually_equal(lambda: self.closes(proxy, "finished"), 1)

    def test_an_end_of_the_upstream_becomes_a_close_notify(self):
        proxy = self.proxy(self.peer(send(b"that is all")))
        client = self.records()
        # Without a close_notify this raises SSLEOFError.
        self.assertEqual(client.read_to_end(), b"that is all")
        client.end()
        client.close()
        self.eventually_equal(lambda: self.closes(proxy, "finished"), 1)

    def test_an_end_without_close_notify_is_a_truncation(self):
        ends = []

        def script(sock):
            try:
                while sock.recv(65536):
                    pass
                ends.append("end")
            except ConnectionResetError:
                ends.append("reset")

        proxy = self.proxy(self.peer(script))
        client = self.records()
        client.send(b"half of it")
        client.socket.shutdown(socket.SHUT_WR)
        self.eventually_equal(lambda: self.closes(proxy, "tls_truncated"), 1)
        self.eventually_equal(lambda: ends, ["reset"])

    def test_a_reset_of_the_upstream_is_no_orderly_end(self):
        def script(sock):
            sock.sendall(b"beginning")
            sock.recv(10)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()

        self.proxy(self.peer(script))
        client = self.records()
        self.assertEqual(client.recv(100), b"beginning")
        client.send(b"x")
        with self.assertRaises((ssl.SSLEOFError, ConnectionResetError)):
            client.recv(100)

    def test_a_handshake_that_does_not_come_is_ended(self):
        proxy = self.proxy(self.peer(echo), tls={"handshake_timeout": "200ms"})
        silent = self.connect(self.port)
        self.assertEqual(silent.recv(10), b"")
        self.eventually_equal(lambda: self.closes(proxy, "tls_handshake_timeout"), 1)

    def test_a_handshake_that_breaks_off_is_counted(self):
        proxy = self.proxy(self.peer(echo))
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(b"\x16\x03\x01\x02\x00\x01")
        self.eventually_equal(lambda: self.closes(proxy, "tls_handshake_aborted"), 1)

    def test_what_is_not_tls_is_refused(self):
        proxy = self.proxy(self.peer(echo))
        for garbage in (b"\x16\x03\x01\x00\x05hello", b"SSH-2.0-x\r\n" * 3, b"\x00" * 100, os.urandom(200)):
            with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as sock:
                sock.sendall(garbage)
                with contextlib.suppress(ConnectionResetError):
                    read_to_end(sock)
        self.eventually_equal(lambda: proxy.metrics()("ringway_listener_connections_active", listener="edge"), 0)
        self.assertGreaterEqual(self.closes(proxy, "tls_protocol_error") + self.closes(proxy, "tls_no_shared_version"), 3)

    def test_a_record_that_was_changed_ends_the_connection(self):
        proxy = self.proxy(self.peer(echo))
        client = self.records()
        record = bytearray(client.records(b"attack at dawn"))
        record[-1] ^= 1
        client.socket.sendall(bytes(record))
        with contextlib.suppress(ConnectionResetError):
            read_to_end(client.socket)
        self.eventually_equal(lambda: self.closes(proxy, "tls_protocol_error"), 1)

    def test_a_renegotiation_is_refused(self):
        proxy = self.proxy(self.peer(echo))
        client = subprocess.Popen(
            ["openssl", "s_client", "-connect", f"127.0.0.1:{self.port}", "-tls1_2"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.addCleanup(client.wait)
        self.addCleanup(client.kill)
        self.addCleanup(client.stdin.close)
        self.eventually(lambda: proxy.metrics()("ringway_tls_handshakes_total", listener="edge", version="1.2"))
        client.stdin.write(b"R\n")
        client.stdin.flush()
        self.eventually_equal(lambda: self.closes(proxy, "tls_renegotiation"), 1)

    def test_plain_http_is_told_to_use_https(self):
        proxy = self.proxy(self.peer(http_script("x")), http=True)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", "/")
        response = connection.getresponse()
        self.assertEqual(response.status, 400)
        self.assertIn(b"https://", response.read())
        connection.close()
        self.eventually_equal(lambda: self.closes(proxy, "tls_plain_http"), 1)

    def test_connections_without_a_byte_to_say_cost_no_buffers(self):
        """Handshakes leave nothing behind: buffers, segments and heap are back when all are idle, and when all end."""
        proxy = self.proxy(self.peer(echo))
        clients = [self.client() for _ in range(30)]
        for client in clients:
            client.sendall(b"ping")
            self.assertEqual(client.recv(10), b"ping")

        def held():
            metrics = proxy.metrics()
            return [
                metrics(name, worker="0")
                for name in ("ringway_segments_in_use", "ringway_heap_bytes", "ringway_timers_armed")
            ][:2]

        self.eventually_equal(held, [0, 0])
        for client in clients:
            client.close()
        self.eventually_equal(lambda: proxy.metrics()("ringway_listener_connections_active", listener="edge"), 0)
        self.eventually_equal(held, [0, 0])


class Certificates(TLSCase):
    def served(self, name: str | None, context: ssl.SSLContext | None = None) -> str:
        """The common name of the certificate that the proxy shows to who asks for `name`."""
        context = context or self.context(check_hostname=False)
        client = self.client(context, name)
        (pair,) = [part for rdn in client.getpeercert()["subject"] for part in rdn if part[0] == "commonName"]
        return pair[1]

    def test_the_server_name_chooses_exact_then_wildcard_then_first(self):
        issue = self.authority.issue
        made = [
            issue("first", ["localhost"]), issue("wild", ["*.example.com"]), issue("exact", ["www.example.com", "other.test"])
        ]  # fmt: skip
        self.proxy(self.peer(echo), tls={"certificates": [certificate.files for certificate in made]})
        for name, expected in (
            ("localhost", "first"), ("www.example.com", "exact"), ("WWW.EXAMPLE.COM", "exact"), ("api.example.com", "wild"),
            ("other.test", "exact"), ("a.b.example.com", "first"), ("example.com", "first"), ("unknown.test", "first"),
        ):  # fmt: skip
            self.assertEqual(self.served(name), expected, name)
        self.assertEqual(self.served(None), "first")

    def test_rsa_and_ecdsa_stand_side_by_side(self):
        rsa, ec = self.authority.issue("r", key="rsa"), self.authority.issue("e")
        self.proxy(self.peer(echo), tls={"certificates": [rsa.files, ec.files]})
        only = {}
        for kind in ("RSA", "ECDSA"):
            context = self.context(check_hostname=False, maximum_version=ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(f"ECDHE-{kind}-AES128-GCM-SHA256")
            only[kind] = self.served("localhost", context)
        self.assertEqual(only, {"RSA": "r", "ECDSA": "e"})

    def test_the_protocol_is_agreed_on(self):
        proxy = self.proxy(self.peer(echo), tls={"alpn": ["postgresql", "mqtt"]})

        def agreed(*offered):
            context = self.context()
            if offered:
                context.set_alpn_protocols(list(offered))
            return self.client(context).selected_alpn_protocol()

        self.assertEqual(agreed("mqtt", "postgresql"), "postgresql")
        self.assertEqual(agreed("x", "mqtt"), "mqtt")
        self.assertIsNone(agreed())
        with self.assertRaises(ssl.SSLError):
            agreed("x", "y")
        self.eventually_equal(lambda: self.closes(proxy, "tls_no_shared_protocol"), 1)

    def test_http_listeners_offer_http_2_and_1_1(self):
        self.proxy(self.peer(http_script("x")), http=True)
        for offered, agreed in ((["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1")):
            context = self.context()
            context.set_alpn_protocols(offered)
            self.assertEqual(self.client(context).selected_alpn_protocol(), agreed)

    def test_http_listeners_offer_what_is_configured(self):
        self.proxy(self.peer(http_script("x")), http=True, tls={"alpn": ["http/1.1"]})
        context = self.context()
        context.set_alpn_protocols(["h2", "http/1.1"])
        self.assertEqual(self.client(context).selected_alpn_protocol(), "http/1.1")

    def test_an_ocsp_response_is_stapled(self):
        staple = self.folder / "staple.der"
        index = self.folder / "index.txt"
        serial = openssl("x509", "-in", str(self.certificate.cert), "-noout", "-serial").strip().partition("=")[2]
        index.write_text(f"V\t350101000000Z\t\t{serial}\tunknown\t/CN=server\n")
        request = self.folder / "request.der"
        openssl(
            "ocsp", "-issuer", str(self.authority.cert), "-cert", str(self.certificate.cert), "-reqout", str(request)
        )
        openssl(
            "ocsp", "-index", str(index), "-CA", str(self.authority.cert), "-rsigner", str(self.authority.cert),
            "-rkey", str(self.authority.key), "-reqin", str(request), "-respout", str(staple), "-ndays", "5",
        )  # fmt: skip
        self.proxy(self.peer(echo), tls={"certificates": [self.certificate.files | {"ocsp_staple": str(staple)}]})
        self.assertIn("OCSP Response Status: successful", self.s_client("-status").stdout)

    def test_the_admin_page_and_the_metrics_know_them(self):
        proxy = self.proxy(self.peer(echo))
        (entry,) = proxy.admin("/certs?format=json").json["certificates"]
        self.assertEqual(entry["fingerprint_sha256"], self.certificate.fingerprint)
        self.assertEqual(entry["dns_names"], ["localhost"])
        self.assertEqual(entry["ip_names"], ["127.0.0.1"])
        self.assertIn(entry["days_left"], (9, 10))
        self.assertIn(self.certificate.fingerprint, proxy.admin("/certs").text)
        end = proxy.metrics()(
            "ringway_tls_certificate_not_after_seconds", listener="edge", file=str(self.certificate.cert)
        )
        self.assertAlmostEqual(end, time.time() + 10 * 86400, delta=3600)
        self.assertIn("expires soon", proxy.log)
        key = self.certificate.key.read_text().splitlines()[1]
        for text in (proxy.log, proxy.admin("/certs").text, proxy.admin("/config").text):
            self.assertNotIn(key, text)


class Sessions(TLSCase):
    def resumed(self, version) -> bool:
        context = self.context(minimum_version=version, maximum_version=version)
        first = self.client(context)
        first.sendall(b"x")  # the tickets of TLS 1.3 come with the first answer
        first.recv(10)
        session = first.session
        first.close()
        second = self.client(context, session=session)
        second.sendall(b"y")
        self.assertEqual(second.recv(10), b"y")
        return second.session_reused

    def test_sessions_are_resumed_on_any_worker(self):
        settings = {"certificates": [self.certificate.files]}
        edge = listener("edge", self.port) | {"tls": settings}
        proxy = self.ringway(document([edge], [cluster("backend", self.peer(echo))]), workers=2)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            for _ in range(8):
                self.assertTrue(self.resumed(version), version)
        self.assertEqual(proxy.metrics()("ringway_tls_resumptions_total", listener="edge"), 16)

    def test_a_session_is_not_good_for_a_listener_with_other_rules(self):
        other = free_port()
        rules = {"certificates": [self.certificate.files]}
        strict = rules | {"client_ca": str(self.authority.cert), "client_certificate": "optional"}
        self.ringway(
            document(
                [listener("a", self.port) | {"tls": rules}, listener("b", other) | {"tls": strict}],
                [cluster("backend", self.peer(echo))],
            )
        )
        context = self.context(maximum_version=ssl.TLSVersion.TLSv1_2)
        session = self.client(context).session
        self.port = other
        second = self.client(context, session=session)
        self.assertFalse(second.session_reused)


class ClientCertificates(TLSCase):
    def setUp(self):
        super().setUp()
        self.clients = Authority(self.folder, "clients")
        self.good = self.clients.issue(
            "alice", ["alice.test", "URI:spiffe://test/alice"], common_name='Alice, "A" B'
        )

    def with_certificate(self, certificate) -> ssl.SSLContext:
        context = self.context()
        context.load_cert_chain(str(certificate.cert), str(certificate.key))
        return context

    def served(self, context) -> bool:
        try:
            client = self.client(context)
            client.sendall(b"ping")
            return client.recv(10) == b"ping"
        except (ssl.SSLError, ConnectionResetError):
            return False

    def test_a_required_certificate_must_be_there_and_good(self):
        proxy = self.proxy(self.peer(echo), tls={"client_ca": str(self.clients.cert)})
        self.assertTrue(self.served(self.with_certificate(self.good)))
        self.assertFalse(self.served(self.context()))
        self.eventually_equal(lambda: self.closes(proxy, "tls_certificate_missing"), 1)
        stranger = Authority(self.folder, "strangers").issue("mallory")
        self.assertFalse(self.served(self.with_certificate(stranger)))
        self.eventually_equal(lambda: self.closes(proxy, "tls_unknown_ca"), 1)

    def test_an_expired_certificate_is_told_apart(self):
        expired = self._expired()
        proxy = self.proxy(self.peer(echo), tls={"client_ca": str(self.clients.cert)})
        self.assertFalse(self.served(self.with_certificate(expired)))
        self.eventually_equal(lambda: self.closes(proxy, "tls_certificate_expired"), 1)

    def _expired(self):
        """Valid for one day, two days ago."""
        made = self.clients.issue("late")
        request = openssl("req", "-new", "-key", str(made.key), "-subj", "/CN=late")
        (self.folder / "late.csr").write_text(request)
        (self.folder / "index.db").write_text("")
        (self.folder / "serial").write_text("77\n")
        (self.folder / "ca.cnf").write_text(
            "[ca]\ndefault_ca=x\n[x]\n"
            f"database={self.folder}/index.db\nserial={self.folder}/serial\nnew_certs_dir={self.folder}\n"
            "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
        )
        openssl(
            "ca", "-batch", "-config", str(self.folder / "ca.cnf"), "-cert", str(self.clients.cert),
            "-keyfile", str(self.clients.key), "-in", str(self.folder / "late.csr"), "-out", str(made.cert), "-notext",
            "-startdate", "20200101000000Z", "-enddate", "20200102000000Z",
        )  # fmt: skip
        return made

    def test_an_optional_certificate_may_be_missing_but_not_bad(self):
        self.proxy(
            self.peer(echo), tls={"client_ca": str(self.clients.cert), "client_certificate": "optional"}
        )
        self.assertTrue(self.served(self.context()))
        self.assertTrue(self.served(self.with_certificate(self.good)))
        stranger = Authority(self.folder, "strangers").issue("mallory")
        self.assertFalse(self.served(self.with_certificate(stranger)))

    def test_the_endpoint_hears_who_the_client_is(self):
        heads = []

        def script(sock):
            data = sock.recv(65536)
            heads.append(data.decode("latin-1"))
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        self.proxy(
            self.peer(script), http=True,
            tls={"client_ca": str(self.clients.cert), "client_certificate": "optional"},
        )  # fmt: skip
        for context in (self.with_certificate(self.good), self.context()):
            connection = http.client.HTTPSConnection("localhost", self.port, context=context, timeout=PATIENCE)
            connection.request("GET", "/", headers={"X-Forwarded-Client-Cert": "Hash=forged"})
            connection.getresponse().read()
            connection.close()
        known, unknown = heads
        field = re.search(r"(?im)^x-forwarded-client-cert: (.*?)\r?$", known).group(1)
        self.assertIn(f"Hash={self.good.fingerprint}", field)
        self.assertIn("URI=spiffe://test/alice", field)
        self.assertIn("DNS=alice.test", field)
        self.assertIn('Subject="', field)
        self.assertNotIn("forged", known + unknown)
        self.assertNotIn("x-forwarded-client-cert", unknown.lower())
        for head in heads:
            self.assertRegex(head, r"(?i)x-forwarded-proto: https\r\n")


class HTTPS(TLSCase):
    @unittest.skipUnless(shutil.which("curl"), "curl is not installed")
    def test_curl_gets_many_answers_over_one_connection(self):
        proxy = self.proxy(self.peer(http_script("hello")), http=True)
        url = f"https://localhost:{self.port}/"
        done = subprocess.run(
            ["curl", "-sS", "--cacert", str(self.authority.cert), *[url] * 20],
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        self.assertEqual((done.stdout, done.stderr), ("hello" * 20, ""))
        self.assertEqual(proxy.metrics()("ringway_listener_connections_total", listener="edge"), 1)

    @unittest.skipUnless(shutil.which("curl"), "curl is not installed")
    def test_curl_speaks_http_2_over_tls(self):
        body = os.urandom(1 << 20).hex()
        self.proxy(self.peer(http_script(body)), http=True)
        done = subprocess.run(
            ["curl", "-sS", "--http2", "-w", " %{http_version}", "--cacert", str(self.authority.cert),
             f"https://localhost:{self.port}/"],
            capture_output=True, text=True, timeout=PATIENCE,
        )  # fmt: skip
        self.assertEqual((done.stdout, done.stderr), (body + " 2", ""))

    def test_redirects_stay_on_https(self):
        edge = {
            "name": "edge",
            "address": f"127.0.0.1:{self.port}",
            "tls": {"certificates": [self.certificate.files]},
            "http": {"routes": [{"match": {}, "redirect": {"path": "/new"}}]},
        }
        self.ringway(document([edge]))
        connection = http.client.HTTPSConnection("localhost", self.port, context=self.context(), timeout=PATIENCE)
        connection.request("GET", "/old")
        self.assertEqual(connection.getresponse().headers["Location"], f"https://localhost:{self.port}/new")
        connection.close()

    def test_the_key_log_has_the_secrets_of_sessions(self):
        log = self.folder / "keys.txt"
        self.proxy(self.peer(echo), tls={"key_log": str(log)})
        self.client().close()
        self.eventually(lambda: log.exists() and "CLIENT_TRAFFIC_SECRET_0" in log.read_text())
        self.assertEqual(log.stat().st_mode & 0o777, 0o600)

    @unittest.skipUnless(shutil.which("sslscan"), "sslscan is not installed")
    def test_sslscan_finds_nothing_weak(self):
        self.proxy(self.peer(http_script("x")), http=True)
        done = subprocess.run(
            ["sslscan", "--no-colour", f"127.0.0.1:{self.port}"], capture_output=True, text=True, timeout=120
        )
        report = done.stdout
        for protocol in ("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"):
            self.assertRegex(report, rf"{re.escape(protocol)}\s+disabled")
        for protocol in ("TLSv1.2", "TLSv1.3"):
            self.assertRegex(report, rf"{re.escape(protocol)}\s+enabled")
        self.assertRegex(report, r"Session renegotiation not supported")
        self.assertRegex(report, r"Compression disabled|does not support compression")
        self.assertNotRegex(report, r"(?<!not )vulnerable to heartbleed")
        ciphers = re.findall(r"(?:Preferred|Accepted)\s+TLSv1\.[23]\s+(\d+) bits\s+(\S+)", report)
        self.assertTrue(ciphers)
        for bits, name in ciphers:
            self.assertGreaterEqual(int(bits), 128)
            self.assertRegex(name, r"GCM|CHACHA20|POLY1305")

    @unittest.skipUnless(shutil.which("testssl"), "testssl.sh is not installed")
    def test_testssl_finds_nothing_above_informational(self):
        """Its checks of groups, preferences and those vulnerabilities that it does not take minutes for. All of them,
        versions and ciphers too (`-p -s -U`), find nothing more; sslscan looks at those above."""
        self.proxy(self.peer(http_script("x")), http=True)
        report = self.folder / "testssl.json"
        subprocess.run(
            ["testssl", "--warnings=off", "--quiet", "--color", "0", "--nodns=none", "--jsonfile", str(report),
             "-f", "-P", "-H", "-I", "-T", "-R", "-C", "-Z", "-O", f"127.0.0.1:{self.port}"],
            capture_output=True, timeout=300)  # fmt: skip
        findings = json.loads(report.read_text())
        self.assertGreater(len(findings), 15)
        self.assertEqual([entry for entry in findings if entry["severity"] not in ("OK", "INFO")], [])


if __name__ == "__main__":
    unittest.main()
