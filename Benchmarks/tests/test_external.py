"""TLS and HTTP/2: what other programs print, the clients in Python, and the accounts."""

import contextlib
import http.server
import json
import os
import re
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
Server Temp Key: X25519 253 bits
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
            external.read_h2load(H2LOAD.format(90, 0, 0).replace("X25519", "P-256"))
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

    def test_threads_are_told_by_what_they_did_between_two_readings(self):
        times = accounting.ThreadTimes
        before = {1: times(5, 1), 2: times(100, 10)}
        after = {1: times(25, 4), 2: times(101, 10), 3: times(7, 0)}
        self.assertEqual(accounting.spent_by_thread(before, after), [times(20, 3), times(1, 0), times(7, 0)])

    def test_a_thread_that_ran_has_run(self):
        before = accounting.thread_times([os.getpid()])
        until = time.thread_time() + 0.02
        while time.thread_time() < until:
            pass
        spent = accounting.spent_by_thread(before, accounting.thread_times([os.getpid()]))
        self.assertGreaterEqual(max(times.ran_ns for times in spent), 10**7)


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

    def test_only_variants_of_ringway_are_watched(self):
        known = {peer.name: peer for peer in peers.known_peers(Path("ringway"))}
        listeners = Topology().build("http", first_port=7000, backend_port=7999)
        with tempfile.TemporaryDirectory() as folder:
            setup = peers.Setup(listeners, 1, 1024, 64, Path(folder), "http", frozenset(), 8001, 8002)
            texts = {name: known[name].write_config(setup).read_text() for name in known if "ringway" in name}
        for name, admin, tracing in (
            ("ringway", False, ""),
            ("ringway-reuseport", False, ""),
            ("ringway-scraped", True, ""),
            ("ringway-observed", True, "sampling: 1%"),
            ("ringway-traced", True, "sampling: 100%"),
        ):
            self.assertEqual("127.0.0.1:8001" in texts[name], admin)
            self.assertEqual("127.0.0.1:8002" in texts[name], bool(tracing))
            self.assertIn(tracing, texts[name])
            self.assertEqual("connection_balance: off" in texts[name], name == "ringway-reuseport")

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

    def test_an_idle_http2_connection_has_carried_its_answer(self):
        with http2_backend() as port:
            clients._rest_http2(port).close()

    def test_metrics_are_read_until_the_end(self):
        server = http.server.HTTPServer(("127.0.0.1", 0), Metrics)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        command = external._clients(["scrape", str(server.server_port)])
        done = subprocess.run(command, cwd=tools.ROOT, capture_output=True, text=True, input="")
        seen = json.loads(done.stdout)
        self.assertGreaterEqual(seen["scrapes"], 1)
        self.assertEqual(seen["spans_dropped"], 7)

    def run_client(self, port: int, options: list[str]) -> dict:
        command = external._clients(["handshakes", str(port), "--seconds", "0.3", *options])
        done = subprocess.run(command, cwd=tools.ROOT, capture_output=True, check=True, text=True)
        return json.loads(done.stdout)


class Metrics(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(b"one 1\n")
        self.wfile.write(b'ringway_tracing_records_dropped_total{listener="l",reason="full"} 3\n')
        self.wfile.write(b'ringway_tracing_records_dropped_total{listener="l",reason="late_limit"} 9\n')
        self.wfile.write(b'ringway_tracing_spans_dropped_total{exporter="otlp",reason="queue_full"} 4\n')

    def log_message(self, *_):
        pass


class HTTP2Backend(unittest.TestCase):
    """The endpoint of the HTTP/2 and gRPC workloads."""

    def fetch(self, path: str, *options: str) -> str:
        with http2_backend() as port:
            command = ["nghttp", "-nv", *options, f"http://127.0.0.1:{port}{path}"]
            said = subprocess.run(command, capture_output=True, text=True, timeout=30).stdout
        return external._without_colours(said)

    @unittest.skipUnless(shutil.which("nghttp"), "nghttp is not installed")
    def test_the_path_says_how_large_an_answer_is(self):
        for size in (0, 1024, 1_000_000):
            said = self.fetch(f"/{size}/0")
            self.assertIn(f"content-length: {size}\n", said)
            self.assertEqual(sum(map(int, re.findall(r"recv DATA frame <length=(\d+)", said))), size)

    @unittest.skipUnless(shutil.which("nghttp"), "nghttp is not installed")
    def test_a_unary_call_gets_its_message_back_and_a_status_behind_it(self):
        with tempfile.NamedTemporaryFile() as message:
            message.write(b"\0" + (70000).to_bytes(4) + b"x" * 70000)
            message.flush()
            said = self.fetch("/bench.Echo/Unary", "--data", message.name, "-H", "content-type: application/grpc")
        self.assertEqual(sum(map(int, re.findall(r"recv DATA frame <length=(\d+)", said))), 70005)
        self.assertLess(said.rindex("recv DATA frame"), said.index("grpc-status: 0"))

    @unittest.skipUnless(shutil.which("nghttp"), "nghttp is not installed")
    def test_it_says_what_a_collector_took(self):
        port = system.Ports().take(1)
        with subprocess.Popen([str(tools.http2_backend()), str(port)], stdout=subprocess.PIPE) as server:
            while not system.is_listening(port) and server.poll() is None:
                time.sleep(0.01)
            with tempfile.NamedTemporaryFile() as message:
                message.write(b"\0\0\0\0\x0aspans, ten")
                message.flush()
                path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
                options = ["--data", message.name, "-H", "content-type: application/grpc"]
                said = subprocess.run(
                    ["nghttp", "-nv", *options, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True
                ).stdout
            server.terminate()
            took = json.loads(server.communicate(timeout=10)[0])
        self.assertEqual(took, {"calls": 1, "bytes": 15})
        self.assertIn("recv DATA frame <length=5,", external._without_colours(said))


class TLSLoad(unittest.TestCase):
    def tlsload(self, port: int, *options: str) -> dict:
        command = [str(tools.tlsload()), f"--port={port}", "--size=0", "--warm-up=0.05", "--window=0.3", *options]
        return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60).stdout)

    def test_an_open_loop_sends_at_its_rate_and_counts_every_latency(self):
        with TLSServer(keep=True) as server:
            sample = self.tlsload(server.port, "--connections=4", "--rate=200")
        self.assertEqual(sample["errors"], 0, sample)
        self.assertAlmostEqual(sample["requests"], 60, delta=30)
        self.assertGreaterEqual(sum(count for _, count in sample["latency_histogram"]), sample["requests"])

    def test_idle_connections_have_carried_an_answer_each(self):
        with TLSServer(keep=True) as server:
            sample = self.tlsload(server.port, "--connections=40", "--idle")
            self.assertEqual((sample["connections"], sample["errors"]), (40, 0))
            self.assertEqual(server.answers, 40)

    def test_a_flood_makes_the_server_begin_handshakes(self):
        with TLSServer(keep=True) as server:
            sample = self.tlsload(server.port, "--connections=1", "--rate=50", "--flood=4")
        self.assertEqual(sample["errors"], 0, sample)
        self.assertGreater(sample["handshakes"], 0)

    def test_a_server_that_takes_another_cipher_is_refused(self):
        with TLSServer(keep=True) as server:
            sample = self.tlsload(server.port, "--connections=1", "--cipher=TLS_AES_256_GCM_SHA384")
            self.assertNotIn("failure", sample)
            context = ["--cipher=TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"]
            self.assertIn("another cipher", self.tlsload(server.port, "--connections=1", *context)["failure"])


@contextlib.contextmanager
def http2_backend():
    port = system.Ports().take(1)
    with subprocess.Popen([str(tools.http2_backend()), str(port)]) as server:
        try:
            while not system.is_listening(port) and server.poll() is None:
                time.sleep(0.01)
            yield port
        finally:
            server.kill()


class TLSServer:
    """Answers each connection's only request with nothing, or with `keep` each of its requests."""

    def __init__(self, tickets: int = 2, keep: bool = False):
        self.resumed = 0
        self.answers = 0
        self._keep = keep
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
            if self._keep:
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()
            else:
                self._serve(plain)

    def _serve(self, plain: socket.socket):
        # Clients may end in whatever way they like.
        with contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as secured:
            self.resumed += bool(secured.session_reused)
            while secured.recv(4096):
                self.answers += 1
                secured.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                if not self._keep:
                    secured.unwrap().close()
                    return


if __name__ == "__main__":
    unittest.main()
