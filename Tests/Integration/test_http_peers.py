"""HTTP/1.x with programs that others wrote: curl, h2load, ab and nginx."""

import hashlib
import os
import re
import subprocess
import unittest

from support import cluster, document, free_port
from test_http_proxy import HTTPCase, listener, read_body, read_head

FILE_SIZE = 20_000_000


class Behind(HTTPCase):
    """A proxy in front of an nginx that serves, compresses and stores files."""

    def start(self, server: str = "keepalive_timeout 60;", workers: int = 2, **options):
        files = self.folder / "files"
        (files / "put").mkdir(parents=True)
        (files / "put").chmod(0o777)
        self.data = os.urandom(FILE_SIZE // 2) + b"compressible " * (FILE_SIZE // 26)
        (files / "data").write_bytes(self.data)
        (files / "text.txt").write_bytes(b"the quick brown fox\n" * 50_000)
        (files / "small").write_bytes(b"small\n")
        port = self.nginx(
            f"root {files}; gzip on; gzip_min_length 1; gzip_types text/plain; gzip_proxied any; gzip_http_version 1.0;"
            "client_max_body_size 1g;"
            "location /put/ { dav_methods PUT; client_body_in_file_only off; }"
            f"{server}"
        )
        self.port = free_port()
        routes = [{"match": {}, "cluster": "backend", "timeout": "60s"}]
        self.process = self.ringway(
            document([listener(self.port, routes)], [cluster("backend", port, **options)]), workers=workers
        )

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def curl(self, *arguments: str, stdin: bytes | None = None) -> bytes:
        result = subprocess.run(
            ["curl", "-sS", "--fail-with-body", "--max-time", "60", *arguments], input=stdin, capture_output=True
        )
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def nothing_is_left(self):
        for name in ("ringway_http_requests_active", "ringway_cluster_requests_active", "ringway_buffers_in_use"):
            self.eventually_equal(lambda name=name: self.process.metrics().sum(name), 0, name)


class Curl(Behind):
    def test_downloads(self):
        self.start()
        for options in [[], ["--http1.0"], ["-H", "Connection: close"]]:
            self.assertEqual(self.curl(*options, self.url("/data")), self.data, options)
        self.nothing_is_left()

    def test_compressed_and_chunked(self):
        self.start()
        text = (self.folder / "files/text.txt").read_bytes()
        head = self.curl("-D", "-", "-o", "/dev/null", "--compressed", self.url("/text.txt")).lower()
        self.assertIn(b"content-encoding: gzip", head)
        self.assertIn(b"transfer-encoding: chunked", head)
        for options in [[], ["--http1.0"]]:
            self.assertEqual(self.curl("--compressed", *options, self.url("/text.txt")), text)
        self.assertLess(len(self.curl("-H", "Accept-Encoding: gzip", self.url("/text.txt"))), len(text) // 10)

    def test_ranges(self):
        self.start()
        for chosen, expected in [
            ("0-0", self.data[:1]),
            ("1000-70999", self.data[1000:71_000]),
            (f"{len(self.data) - 5}-", self.data[-5:]),
            ("-100", self.data[-100:]),
        ]:
            self.assertEqual(self.curl("-r", chosen, self.url("/data")), expected)
        several = self.curl("-r", "0-9,100-109", "-D", "-", self.url("/data"))
        self.assertIn(b"HTTP/1.1 206 ", several)
        self.assertIn(b"multipart/byteranges", several)
        self.assertIn(self.data[100:110], several)
        status = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-r", f"{len(self.data)}-", self.url("/data")],
            capture_output=True,
            text=True,
        ).stdout
        self.assertEqual(status, "416")

    def test_conditional_requests_and_heads(self):
        self.start()
        head = self.curl("-I", self.url("/data")).decode()
        self.assertIn(f"Content-Length: {len(self.data)}\r\n", head)
        tag = re.search(r"(?i)etag: (\S+)", head)[1]
        answer = self.curl("-D", "-", "-H", f"If-None-Match: {tag}", self.url("/data"))
        self.assertTrue(answer.startswith(b"HTTP/1.1 304 "))
        # Several requests on one connection: none of the bodiless answers has put it out of step.
        urls = [argument for _ in range(5) for argument in ("-o", "/dev/null", self.url("/small"))]
        report = self.curl("-H", f"If-None-Match: {tag}", "-w", "%{http_code} %{num_connects}\n", *urls).split(b"\n")
        self.assertEqual(report[:5], [b"200 1"] + [b"200 0"] * 4)

    def test_uploads(self):
        self.start()
        source = self.folder / "source"
        source.write_bytes(self.data)
        for name, options in [("length", []), ("expect", ["-H", "Expect: 100-continue"]), ("http10", ["--http1.0"])]:
            self.curl(*options, "-T", str(source), self.url(f"/put/{name}"))
            self.assertEqual((self.folder / "files/put" / name).read_bytes(), self.data, name)
        self.curl("-T", "-", self.url("/put/chunked"), stdin=self.data)  # of unknown length: in chunks
        self.assertEqual((self.folder / "files/put/chunked").read_bytes(), self.data)
        self.nothing_is_left()

    def test_an_upload_that_is_refused_at_its_head(self):
        """nginx answers 413 to the head of a request that expects 100; curl must not send the body, nor hang."""
        self.start("location /limited/ { client_max_body_size 10; dav_methods PUT; }")
        source = self.folder / "source"
        source.write_bytes(self.data)
        result = subprocess.run(
            [
                "curl",
                "-sS",
                "--max-time",
                "20",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code} %{size_upload}",
                "-H",
                "Expect: 100-continue",
                "--expect100-timeout",
                "10",
                "-T",
                str(source),
                self.url("/limited/x"),
            ],
            capture_output=True,
            text=True,
        )
        self.assertEqual(result.stdout, "413 0", result.stderr)

    def test_trailers(self):
        def script(sock):
            while head := read_head(sock):
                read_body(sock, head)
                sock.sendall(
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                    b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"
                )

        self.proxy(script)
        answer = self.curl("-D", "-", self.url("/"))
        self.assertTrue(answer.endswith(b"\r\n\r\nokX-Sum: 7\r\n"), answer)


class Load(Behind):
    """Nothing is lost, whatever the other side does with its connections."""

    def h2load(self, path: str, *options: str, connections: int = 40, requests: int = 20_000):
        report = subprocess.run(
            ["h2load", "--h1", "-c", str(connections), "-n", str(requests), *options, self.url(path)],
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
        self.assertIn(
            f"{requests} total, {requests} started, {requests} done, {requests} succeeded, 0 failed, "
            "0 errored, 0 timeout",
            report,
        )
        self.assertIn(f"status codes: {requests} 2xx, 0 3xx, 0 4xx, 0 5xx", report)
        return report

    def test_many_small_requests(self):
        self.start()
        self.h2load("/small")
        metrics = self.process.metrics()
        self.assertEqual(metrics("ringway_http_requests_total", listener="edge", code_class="2xx"), 20_000)
        self.nothing_is_left()

    def test_pipelined_requests(self):
        self.start()
        self.h2load("/small", "-m", "10")
        self.nothing_is_left()

    def test_large_responses(self):
        self.start()
        self.h2load("/data", connections=8, requests=100)
        self.nothing_is_left()

    def test_bodies(self):
        body = self.folder / "body"
        body.write_bytes(b"x" * 100_000)
        self.start("location /echo { return 200 ok; }")
        self.h2load("/echo", "-d", str(body), requests=3000)
        self.nothing_is_left()

    def test_an_endpoint_that_closes_every_tenth_request(self):
        self.start("keepalive_requests 10;")
        self.h2load("/small")
        self.nothing_is_left()

    def test_an_endpoint_that_closes_idle_connections_under_load(self):
        """Connections are closed while they are idle for a moment, just when a request may be on its way."""
        self.start("keepalive_timeout 1ms;")
        for _ in range(5):
            self.h2load("/small", connections=3, requests=500)
            self.h2load("/small", connections=100, requests=2000)
        self.nothing_is_left()

    def test_a_new_connection_for_each_request(self):
        self.start()
        for options in [[], ["-k"]]:  # HTTP/1.0, without and with keep-alive
            report = subprocess.run(
                ["ab", "-q", *options, "-n", "3000", "-c", "20", self.url("/small")],
                capture_output=True,
                text=True,
                timeout=60,
            ).stdout
            self.assertRegex(report, r"Complete requests: +3000\n")
            self.assertRegex(report, r"Failed requests: +0\n")
            self.assertNotIn("Non-2xx", report)
        self.nothing_is_left()

    def test_few_connections_for_many_clients(self):
        self.start(pool={"max_connections": 3, "max_pending": 10_000})
        self.h2load("/small", connections=200, requests=20_000)
        self.nothing_is_left()

    def test_a_checksum_through_everything_at_once(self):
        self.start()
        sums = hashlib.sha256(self.data).hexdigest()
        load = subprocess.Popen(
            ["h2load", "--h1", "-c", "20", "-D", "5", self.url("/small")], stdout=subprocess.DEVNULL
        )
        for _ in range(5):
            self.assertEqual(hashlib.sha256(self.curl(self.url("/data"))).hexdigest(), sums)
        load.kill()
        load.wait()


if __name__ == "__main__":
    unittest.main()
