"""examples/custom-filter: a proxy of somebody else that links Ringway and brings filters of its own."""

import os
import re
import subprocess
from pathlib import Path

from support import BINARY, cluster, document, free_port, read_to_end
from support import proxy as proxies
from support.sockets import PATIENCE
from test_http_proxy import read_head
from test_http_routes import RouteCase, get

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "examples" / "custom-filter"
EVENTS = "ringway_http_filter_events_total"


def build() -> str:
    """Builds the example like the binary under test. The program.

    In CI in the folder of the binary itself, where everything but the example is built already: seconds. Elsewhere in
    a folder of its own, because SwiftPM would take the files of one package for those of the other afterwards.
    """
    configuration = "debug" if "/debug/" in BINARY else "release"
    scratch = ROOT / ".build" if os.environ.get("CI") else ROOT / ".build" / "custom-filter"
    command = [
        "swift", "build", "-c", configuration, "--package-path", PACKAGE, "--scratch-path", scratch,
        "--product", "custom-proxy", "--disable-build-manifest-caching",
    ]
    result = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if result.returncode:
        raise AssertionError(result.stdout[-8000:] + result.stderr[-8000:])
    return str(scratch / configuration / "custom-proxy")


class CustomFilter(RouteCase):
    @classmethod
    def setUpClass(cls):
        cls.program = build()

    def setUp(self):
        super().setUp()
        unchanged = proxies.BINARY
        proxies.BINARY = self.program
        self.addCleanup(setattr, proxies, "BINARY", unchanged)

    def custom(self, *filters, routes=None, script=None, **http):
        self.ringway_ = self.proxy(script or self.recording(), routes, filters=list(filters), **http)

    TEXT = [{"match": {}, "respond": {"status": 200, "body": "hello\n", "headers": {"content-type": "text/plain"}}}]

    def test_the_configuration_of_the_example(self):
        result = subprocess.run(
            [self.program, "check", PACKAGE / "proxy.yaml"], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(result.returncode, 0, result.stderr)
        # The standard program does not know these filters, and says so.
        self.assertIn('unknown HTTP filter "stamp"', self.command("check", str(PACKAGE / "proxy.yaml")).stderr)

    def test_errors_name_keys_and_places(self):
        path = self.folder / "bad.yaml"
        path.write_text((PACKAGE / "proxy.yaml").read_text().replace("delay: 500ms", "dealy: 500ms"))
        result = subprocess.run([self.program, "check", path], capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(result.returncode, 78)
        self.assertIn('did you mean "delay"', result.stderr)

    def test_a_header_and_a_line_under_the_body(self):
        self.custom({"stamp": {"text": "-- seen"}}, routes=self.TEXT)
        head, body = self.ask(get("/"))
        self.assertIn(b"x-stamped: yes\r\n", head)
        # In a chunk of its own, because the length is not known in advance.
        self.assertEqual(b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n", body, re.S)), b"hello\n-- seen\n")
        self.assertEqual(
            self.ringway_.metrics()(EVENTS, listener="edge", filter="stamp", event="stamped"), 1)

    def test_what_is_no_text_stays_as_it_is(self):
        self.custom({"stamp": {"text": "-- seen"}})
        self.assertEqual(self.ask(get("/"))[1], b"ok")

    def test_a_checksum_of_the_body_in_front_of_it(self):
        self.custom("checksum", script=self.long)
        head, body = self.ask(get("/"))
        self.assertIn(b"x-checksum: %x\r\n" % crc32c(self.BODY), head)
        self.assertEqual(body, self.BODY)

    BODY = bytes(range(256)) * 200

    def long(self, sock):
        while read_head(sock):
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(self.BODY) + self.BODY)

    def test_a_response_that_does_not_fit_is_an_error(self):
        self.custom("checksum", script=self.long, limits={"buffer_bytes": "10KiB"})
        head, _ = self.ask(get("/"))
        self.assertTrue(head.startswith(b"HTTP/1.1 500 "), head)

    def test_a_timer_holds_a_request_up(self):
        self.custom({"tarpit": {"header": "X-Bot", "delay": "50ms"}})
        self.assertEqual(self.ask(get("/", "X-Bot: 1"))[1], b"ok")
        self.assertEqual(self.ask(get("/"))[1], b"ok")
        self.assertEqual(
            self.ringway_.metrics()(EVENTS, listener="edge", filter="tarpit", event="delayed"), 1)

    def test_another_thread_reads_a_file(self):
        path = self.folder / "motd"
        path.write_text("first\nsecond\n")
        self.custom({"file_header": {"name": "x-motd", "path": str(path)}})
        client = self.client()
        for line in ("first", "other"):
            client.sendall(get("/"))
            self.assertEqual(self.answer(client)[1], b"ok")
            path.write_text("other\n")
        self.assertIn(b"\r\nx-motd: first\r\n", self.requests[0])
        self.assertIn(b"\r\nx-motd: other\r\n", self.requests[1])
        # Clients that leave meanwhile leave nothing behind.
        for _ in range(50):
            client = self.client()
            client.sendall(get("/"))
            client.close()
        self.eventually_equal(lambda: self.ringway_.metrics()("ringway_http_requests_active", listener="edge"), 0)
        self.assertEqual(self.ask(get("/"))[1], b"ok")

    def test_a_network_filter(self):
        backend = self.peer(lambda sock: read_to_end(sock))
        port = free_port()
        edge = {"name": "raw", "address": f"127.0.0.1:{port}", "tcp": "backend",
                "network_filters": [{"require_prefix": {"prefix": "SSH-"}}]}
        self.ringway(document([edge], [cluster("backend", backend)]))
        client = self.connect(port)
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with self.assertRaises(ConnectionResetError):
            client.recv(1)


def crc32c(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
