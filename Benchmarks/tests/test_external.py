"""TLS and HTTP/2: what other programs print, the clients in Python, and the accounts."""

import contextlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest
from pathlib import Path

from ringbench import accounting, clients, external, peers, system, tools
from ringbench.certificates import CIPHER, certificate
from ringbench.topology import Topology

H2LOAD = """Cipher: TLS_AES_128_GCM_SHA256
requests: 100 total, 100 started, 90 done, {} succeeded, {} failed, {} errored, 0 timeout
status codes: 90 2xx, 0 3xx, 0 4xx, 0 5xx
traffic: 98.31KB (100668) total, 1.00KB (1024) headers (space savings 90.00%), 90.00KB (92160) data
"""


class Output(unittest.TestCase):
    def test_h2load_says_requests_errors_and_bytes(self):
        self.assertEqual(external.read_h2load(H2LOAD.format(90, 0, 0)), {"requests": 90, "errors": 0, "bytes": 92160})

    def test_failures_and_statuses_other_than_success_are_errors(self):
        self.assertEqual(external.read_h2load(H2LOAD.format(90, 2, 3))["errors"], 5)
        self.assertEqual(external.read_h2load(H2LOAD.format(94, 0, 0))["errors"], 4)

    def test_another_cipher_or_no_summary_is_refused(self):
        with self.assertRaises(ValueError):
            external.read_h2load(H2LOAD.format(90, 0, 0).replace(CIPHER, "TLS_AES_256_GCM_SHA384"))
        with self.assertRaises(ValueError):
            external.read_h2load("starting benchmark...")

    def test_wrk_latencies_keep_two_digits_and_all_counts(self):
        line = 'result {"requests": 6, "bytes": 9, "errors": 0, "latency_histogram": [[7,1],[1234,2],[1249,3]]}\n'
        sample = external.read_wrk("Running 1s test\n" + line)
        self.assertEqual(sample["latency_histogram"], [(7000, 1), (1200000, 5)])
        with self.assertRaises(ValueError):
            external.read_wrk("unable to connect")


class Accounts(unittest.TestCase):
    def test_the_cpu_clock_of_a_process_agrees_with_its_own(self):
        before, own = accounting.cpu_ns(os.getpid()), time.process_time_ns()
        self.assertGreaterEqual(own, before)
        self.assertGreater(before, 0)

    def test_processes_that_are_gone_count_nothing(self):
        gone = subprocess.Popen(["true"])
        gone.wait()
        self.assertEqual(accounting.Usage.of([gone.pid]), accounting.Usage(0, 0, 0))
        self.assertEqual(accounting.resident_bytes([gone.pid]), 0)

    def test_what_is_touched_is_resident(self):
        before = accounting.resident_bytes([os.getpid()])
        touched = bytearray(b"x" * (32 << 20))
        self.assertGreater(accounting.resident_bytes([os.getpid()]) - before, len(touched) // 2)


class Configurations(unittest.TestCase):
    def test_protocols_are_configured_only_where_they_are_asked_for(self):
        for features, tls, http2 in (((), 0, 0), (("tls",), 1, 0), (("h2",), 0, 1), (("tls", "h2"), 1, 1)):
            for name, text in self.written(frozenset(features)).items():
                self.assertEqual(str(certificate().cert.parent) in text, bool(tls), (name, features))
                # Ringway needs nothing for HTTP/2 without TLS.
                says = any(word in text for word in (" http2 ", "proto h2", "alpn h2", "[h2]", "codec_type: HTTP2"))
                self.assertEqual(says, bool(http2) and (name != "ringway" or bool(tls)), (name, features))

    def test_endpoints_with_http2_are_configured_where_a_peer_can(self):
        plain, other = self.written(frozenset()), self.written(frozenset({"h2-upstream"}))
        for name in ("ringway", "haproxy", "envoy"):
            self.assertNotEqual(plain[name], other[name])

    def written(self, features: frozenset[str]) -> dict[str, str]:
        listeners = Topology().build("http", first_port=7000, backend_port=7999)
        with tempfile.TemporaryDirectory() as folder:
            setup = peers.Setup(listeners, 1, 1024, 64, Path(folder), "http", features)
            known = {peer.name: peer for peer in peers.known_peers(Path("ringway"))}
            return {
                name: known[name].write_config(setup).read_text() for name in ("ringway", "haproxy", "nginx", "envoy")
            }


class Clients(unittest.TestCase):
    def setUp(self):
        os.environ["OPENSSL_CONF"] = str(certificate().clients)
        self.addCleanup(os.environ.pop, "OPENSSL_CONF")

    def test_full_and_resumed_handshakes_are_what_they_say(self):
        with TLSServer() as server:
            self.assertEqual(self.run_client(server.port, [])["errors"], 0)
            self.assertEqual(server.resumed, 0)
            sample = self.run_client(server.port, ["--resume"])
            self.assertEqual(sample["errors"], 0, sample)
            # Each thread begins with a full one.
            self.assertGreaterEqual(server.resumed, sample["requests"] - clients.THREADS)

    def test_a_server_that_never_resumes_is_an_error(self):
        with TLSServer(tickets=0) as server:
            self.assertGreater(self.run_client(server.port, ["--resume"])["errors"], 0)

    @unittest.skipUnless(shutil.which("nghttpd"), "nghttpd is not installed")
    def test_an_idle_http2_connection_has_carried_its_answer(self):
        with http2_server(1024) as port:
            clients._rest_http2(port).close()
        with http2_server(1023) as port, self.assertRaises(clients.Failed):
            clients._rest_http2(port)

    def run_client(self, port: int, options: list[str]) -> dict:
        command = external._clients(["handshakes", str(port), "--seconds", "0.3", *options])
        done = subprocess.run(command, cwd=tools.ROOT, capture_output=True, check=True, text=True)
        return json.loads(done.stdout)


@contextlib.contextmanager
def http2_server(content_bytes: int):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "1024").mkdir()
        (Path(folder) / "1024/0").write_bytes(b"x" * content_bytes)
        port = system.Ports().take(1)
        with subprocess.Popen(["nghttpd", "-a", "127.0.0.1", "--no-tls", "-d", folder, str(port)]) as server:
            try:
                while not system.is_listening(port) and server.poll() is None:
                    time.sleep(0.01)
                yield port
            finally:
                server.kill()


class TLSServer:
    """Answers each connection's only request with nothing."""

    def __init__(self, tickets: int = 2):
        self.resumed = 0
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate().cert, certificate().key)
        self._context.num_tickets = tickets
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            # Clients may end in whatever way they like.
            with contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as secured:
                self.resumed += bool(secured.session_reused)
                secured.recv(4096)
                secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                secured.unwrap().close()


if __name__ == "__main__":
    unittest.main()
