"""Bodies of many MiB, which pass from socket to socket where nobody wants to see them: what surrounds them, how they end
early, and who waits for whom."""

import hashlib
import os
import random
import socket
import subprocess
import threading
import unittest

from support import cluster, document, free_port, read_to_end
from test_http_proxy import GET, OK, HTTPCase, listener, read_exactly, read_head

MIB = 1 << 20
# Repeats at no power of two, so that a piece in the wrong place is seen.
PATTERN = random.Random(4).randbytes(65_521)


def pattern(count: int) -> bytes:
    return (PATTERN * (count // len(PATTERN) + 1))[:count]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def length(head: bytes) -> int:
    return int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])


def read_all(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count and (more := sock.recv(min(MIB, count - len(data)))):
        data += more
    return bytes(data)


class LargeBodyCase(HTTPCase):
    def serving(self, **options):
        """A backend that answers `/N` with N bytes, and a PUT with the digest of its body."""

        def script(sock):
            while head := read_head(sock):
                if head.startswith(b"PUT"):
                    answer = digest(read_all(sock, length(head))).encode()
                else:
                    answer = pattern(int(head.split(b" ")[1][1:]))
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer) + answer)

        self.process = self.proxy(script, **options)

    def body(self, sock) -> bytes:
        return read_all(sock, length(read_head(sock)))

    def spliced(self) -> float:
        return self.process.metrics().sum("ringway_spliced_bytes_total")

    def nothing_is_left(self):
        for name in ["ringway_http_requests_active", "ringway_cluster_requests_active", "ringway_buffers_in_use"]:
            self.eventually_equal(lambda name=name: self.process.metrics().sum(name), 0, name)


class Responses(LargeBodyCase):
    def test_sizes_of_all_kinds_on_one_connection(self):
        self.serving()
        client = self.client()
        sizes = [0, 1, 100, 4095, 32_767, 32_768, 40_000, 65_536, 262_144, 262_145, MIB, 7 * MIB + 13, 20 * MIB]
        random.Random(7).shuffle(sizes)
        for size in sizes * 2:
            client.sendall(GET.replace(b"GET /", b"GET /%d" % size))
            self.assertEqual(digest(self.body(client)), digest(pattern(size)), size)
        self.assertEqual(self.backend.accepted, 1)
        self.assertGreater(self.spliced(), 40 * MIB)
        self.nothing_is_left()

    def test_pipelined_requests_are_answered_in_order(self):
        self.serving()
        client = self.client()
        sizes = [3 * MIB, 5, 2 * MIB, 100_000, 0, 4 * MIB]
        client.sendall(b"".join(GET.replace(b"GET /", b"GET /%d" % size) for size in sizes))
        for size in sizes:
            self.assertEqual(digest(self.body(client)), digest(pattern(size)))

    def test_many_clients_at_once(self):
        self.serving()
        results: dict[int, bool] = {}

        def fetch(number: int):
            client = self.client()
            size = MIB + number * 997
            results[number] = True
            for _ in range(4):
                client.sendall(GET.replace(b"GET /", b"GET /%d" % size))
                results[number] &= self.body(client) == pattern(size)

        threads = [threading.Thread(target=fetch, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, {number: True for number in range(16)})
        self.nothing_is_left()

    def test_curl_from_nginx(self):
        file = self.folder / "large"
        file.write_bytes(os.urandom(30 * MIB))
        file.chmod(0o644)
        port = self.nginx(f"root {self.folder};")
        self.port = free_port()
        self.process = self.ringway(document([listener(self.port)], [cluster("backend", port)]))
        url = f"http://127.0.0.1:{self.port}/large"
        out = self.folder / "out"
        subprocess.run(
            ["curl", "-sf", "-o", str(out), url, "-o", str(out) + "2", url], check=True, timeout=60)
        self.assertEqual(digest(out.read_bytes()), digest(file.read_bytes()))
        self.assertEqual(digest((self.folder / "out2").read_bytes()), digest(file.read_bytes()))
        part = subprocess.run(
            ["curl", "-sf", "-r", "1000000-9999999", url], check=True, timeout=60, stdout=subprocess.PIPE).stdout
        self.assertEqual(digest(part), digest(file.read_bytes()[1_000_000:10_000_000]))

    def test_a_truncated_body_is_seen_to_be(self):
        for missing in [1, 100_000, 3 * MIB]:

            def script(sock, missing=missing):
                read_head(sock)
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (4 * MIB))
                sock.sendall(pattern(4 * MIB - missing))

            with self.subTest(missing=missing):
                self.process = self.proxy(script)
                client = self.client()
                client.sendall(GET)
                self.assertEqual(length(read_head(client)), 4 * MIB)
                self.assertEqual(len(read_to_end(client)), 4 * MIB - missing)
                self.nothing_is_left()

    def test_a_body_that_ends_with_the_connection(self):
        def script(sock):
            read_head(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + pattern(5 * MIB))

        self.proxy(script)
        # In chunks to one that knows them, as it comes to one that does not.
        answer = self.exchange(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        self.assertEqual(digest(answer.split(b"\r\n\r\n", 1)[1]), digest(pattern(5 * MIB)))

    def test_large_chunks(self):
        chunk = b"%x\r\n%s\r\n" % (MIB, pattern(MIB))

        def script(sock):
            while read_head(sock):
                sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(3):
                    sock.sendall(chunk + b"3\r\nabc\r\n")
                sock.sendall(b"0\r\n\r\n")

        self.process = self.proxy(script)
        for _ in range(2):
            out = subprocess.run(
                ["curl", "-sf", f"http://127.0.0.1:{self.port}/"], check=True, timeout=60, stdout=subprocess.PIPE)
            self.assertEqual(digest(out.stdout), digest((pattern(MIB) + b"abc") * 3))
        self.assertEqual(self.backend.accepted, 1)
        # How much depends on how the pieces came.
        self.assertGreater(self.spliced(), 0)

    def test_bytes_in_the_access_log(self):
        log = self.folder / "access.log"
        self.serving(access_log=[{"path": str(log), "format": "%BYTES_SENT% %BYTES_RECEIVED% %RESPONSE_FLAGS%\n"}])
        client = self.client()
        client.sendall(GET.replace(b"GET /", b"GET /%d" % (6 * MIB)))
        self.body(client)
        client.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (5 * MIB) + pattern(5 * MIB))
        self.body(client)
        self.eventually(lambda: log.exists() and log.read_text().count("\n") == 2)
        self.assertEqual(log.read_text().split("\n")[:2], [f"{6 * MIB} 0 -", f"64 {5 * MIB} -"])
        # One that breaks off says how much went out.
        client.sendall(GET.replace(b"GET /", b"GET /%d" % (60 * MIB)))
        read_exactly(client, 10 * MIB)
        client.close()
        self.eventually(lambda: log.read_text().count("\n") == 3)
        sent, received, flags = log.read_text().split("\n")[2].split(" ")
        self.assertEqual((received, flags), ("0", "DC"))
        self.assertTrue(9 * MIB < int(sent) < 60 * MIB, sent)

    def test_a_reader_that_stands_still_meets_the_idle_timeout(self):
        self.serving(stream_idle_timeout="1s")
        client = self.client()
        client.sendall(GET.replace(b"GET /", b"GET /%d" % (60 * MIB)))
        self.eventually_equal(
            lambda: self.process.metrics().sum("ringway_connection_closes_total", reason="idle_timeout"), 1)
        self.nothing_is_left()

    def test_a_reader_that_goes_on_does_not(self):
        self.serving(stream_idle_timeout="1s")
        client = self.client()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        size = 12 * MIB
        client.sendall(GET.replace(b"GET /", b"GET /%d" % size))
        self.assertEqual(length(read_head(client)), size)
        data = bytearray()
        tick = threading.Event()
        while len(data) < size:
            data += client.recv(256 << 10)
            tick.wait(0.05)
        self.assertEqual(digest(bytes(data)), digest(pattern(size)))


class Requests(LargeBodyCase):
    def put(self, client, size: int):
        client.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + pattern(size))

    def test_uploads_of_all_sizes_on_one_connection(self):
        self.serving()
        client = self.client()
        for size in [1, 40_000, 3 * MIB, 65_536, 17 * MIB + 5, 100, MIB]:
            self.put(client, size)
            self.assertEqual(self.body(client).decode(), digest(pattern(size)), size)
            client.sendall(GET.replace(b"GET /", b"GET /77"))
            self.assertEqual(self.body(client), pattern(77))
        self.assertEqual(self.backend.accepted, 1)
        self.assertGreater(self.spliced(), 16 * MIB)
        self.nothing_is_left()

    def test_pipelined_behind_an_upload(self):
        self.serving()
        client = self.client()
        size = 5 * MIB
        head = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size
        small = GET.replace(b"GET /", b"GET /9")
        threading.Thread(target=client.sendall, args=((head + pattern(size) + small) * 3,), daemon=True).start()
        for _ in range(3):
            self.assertEqual(self.body(client).decode(), digest(pattern(size)))
            self.assertEqual(self.body(client), pattern(9))

    def test_curl_uploads_in_chunks(self):
        file = self.folder / "upload"
        file.write_bytes(pattern(9 * MIB))
        received: list[bytes] = []

        def script(sock):
            data = b""
            while not data.endswith(b"0\r\n\r\n"):
                data += sock.recv(MIB)
            received.append(data.split(b"\r\n\r\n", 1)[1])
            sock.sendall(OK)

        self.proxy(script)
        subprocess.run(
            ["curl", "-sf", "-T", "-", f"http://127.0.0.1:{self.port}/"], stdin=file.open("rb"), check=True, timeout=60,
            stdout=subprocess.DEVNULL)
        body, rest = b"", received[0]
        while rest:
            size, rest = rest.split(b"\r\n", 1)
            body += rest[:int(size, 16)]
            rest = rest[int(size, 16) + 2:]
        self.assertEqual(digest(body), digest(pattern(9 * MIB)))

    def test_an_upload_that_breaks_off_does_not_look_complete(self):
        seen: list[int] = []
        done = threading.Event()

        def script(sock):
            head = read_head(sock)
            try:
                seen.append(len(read_all(sock, length(head))))
            except ConnectionResetError:
                seen.append(-1)
            done.set()

        self.process = self.proxy(script)
        client = self.client()
        client.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (4 * MIB) + pattern(3 * MIB))
        client.shutdown(socket.SHUT_WR)
        self.assertIn(b" 400 ", read_to_end(client))
        self.assertTrue(done.wait(20))
        self.assertLess(seen[0], 4 * MIB)
        self.nothing_is_left()

    def test_an_endpoint_that_refuses_early(self):
        def script(sock):
            read_head(sock)
            sock.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
            sock.shutdown(socket.SHUT_WR)
            try:
                while sock.recv(MIB):
                    pass
            except OSError:
                pass

        self.process = self.proxy(script)
        client = self.client()
        head = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (400 * MIB)
        try:
            client.sendall(head + pattern(30 * MIB))
        except (BrokenPipeError, ConnectionResetError):
            pass
        self.assertIn(b" 413 ", read_head(client))
        client.close()
        self.nothing_is_left()


if __name__ == "__main__":
    unittest.main()
