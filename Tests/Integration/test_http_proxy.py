"""HTTP/1.1 through the proxy: framing, keep-alive and bodies, both ways, with scripted peers on either side."""

import hashlib
import http.client
import os
import socket
import threading
import unittest

from support import Case, cluster, connect, document, free_port, read_to_end


def listener(port: int, routes: list[dict] | None = None, **http) -> dict:
    routes = routes or [{"match": {}, "cluster": "backend"}]
    return {"name": "edge", "address": f"127.0.0.1:{port}", "http": {"routes": routes} | http}


def read_head(sock: socket.socket) -> bytes:
    """Up to and with the empty line, not a byte further; what came before the end if the peer ends."""
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            break
        data += byte
    return data


def read_exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := sock.recv(count - len(data))):
        data += more
    return data


def read_body(sock: socket.socket, head: bytes) -> bytes:
    """The body as the head frames it, chunked framing left on."""
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            byte = sock.recv(1)
            if not byte:
                break
            data += byte
        return data
    if b"content-length: " in lower:
        return read_exactly(sock, int(lower.split(b"content-length: ")[1].split(b"\r\n")[0]))
    return b""


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class HTTPCase(Case):
    def proxy(self, script, routes=None, pool=None, workers=1, more_clusters=(), **http):
        """A proxy in front of a peer that plays `script`. Leaves the peer in `self.backend`."""
        self.backend = self.peer(script)
        self.port = free_port()
        options = {"pool": pool} if pool else {}
        config = document(
            [listener(self.port, routes, **http)], [cluster("backend", self.backend, **options), *more_clusters])
        return self.ringway(config, workers=workers)

    def recording(self, response=OK):
        """A script that keeps every request and answers `response`, connection kept."""
        self.requests: list[bytes] = []

        def script(sock):
            while head := read_head(sock):
                self.requests.append(head + read_body(sock, head))
                sock.sendall(response)

        return script

    def client(self):
        return self.connect(f"127.0.0.1:{self.port}")

    def exchange(self, request: bytes) -> bytes:
        """All that comes back until the proxy ends the connection."""
        client = self.client()
        client.sendall(request)
        return read_to_end(client)

    def answer(self, sock) -> tuple[bytes, bytes]:
        head = read_head(sock)
        return head, read_body(sock, head)


class KeepAlive(HTTPCase):
    def test_connections_of_both_sides_are_used_again(self):
        self.proxy(self.recording())
        client = self.client()
        for _ in range(50):
            client.sendall(GET)
            self.assertEqual(self.answer(client)[1], b"ok")
        self.assertEqual(self.backend.accepted, 1)

    def test_a_request_in_single_bytes(self):
        self.proxy(self.recording())
        client = self.client()
        for byte in b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc":
            client.sendall(bytes([byte]))
        self.assertEqual(self.answer(client)[1], b"ok")
        self.assertTrue(self.requests[0].endswith(b"\r\n\r\nabc"))

    def test_pipelined_requests_are_answered_in_order(self):
        def script(sock):
            while head := read_head(sock):
                path = head.split()[1]
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(path), path))

        self.proxy(script)
        client = self.client()
        count = 300
        client.sendall(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % n for n in range(count)))
        for n in range(count):
            self.assertEqual(self.answer(client)[1], b"/%d" % n)

    def test_http_1_0(self):
        self.proxy(self.recording(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
        answer = self.exchange(b"GET / HTTP/1.0\r\n\r\n")
        self.assertNotIn(b"chunked", answer)
        self.assertTrue(answer.endswith(b"\r\n\r\nok"))
        self.assertIn(b"Host: 127.0.0.1:%d\r\n" % self.port, self.requests[0])

    def test_http_1_0_keep_alive(self):
        self.proxy(self.recording())
        client = self.client()
        for _ in range(3):
            client.sendall(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            head, body = self.answer(client)
            self.assertIn(b"Connection: keep-alive", head)
            self.assertEqual(body, b"ok")

    def test_connection_close_of_either_side(self):
        self.proxy(self.recording(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"))
        client = self.client()
        for _ in range(3):
            client.sendall(GET)
            head, body = self.answer(client)
            self.assertNotIn(b"close", head, "the endpoint's own connection is its own matter")
            self.assertEqual(body, b"ok")
        self.assertEqual(self.backend.accepted, 3)
        answer = self.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        self.assertIn(b"Connection: close", answer)

    def test_requests_per_connection(self):
        self.proxy(self.recording(), max_requests_per_connection=2, pool={"max_requests_per_connection": 1})
        answer = self.exchange(GET * 3)
        self.assertEqual(answer.count(b"HTTP/1.1 200"), 2)
        self.assertEqual(self.backend.accepted, 2)

    def test_an_endpoint_that_closes_idle_connections(self):
        def script(sock):
            read_head(sock)
            sock.sendall(OK)

        self.proxy(script)
        client = self.client()
        for _ in range(30):
            client.sendall(GET)
            self.assertEqual(self.answer(client)[1], b"ok")

    def test_a_request_that_meets_a_closing_connection_is_sent_again(self):
        def script(sock):
            read_head(sock)
            sock.sendall(OK)
            read_head(sock)  # and no answer to the second one

        self.proxy(script)
        client = self.client()
        for _ in range(4):
            client.sendall(GET)
            self.assertEqual(self.answer(client)[1], b"ok")

    def test_a_post_that_meets_a_closing_connection_is_not(self):
        def script(sock):
            read_head(sock)
            sock.sendall(OK)
            read_head(sock)

        self.proxy(script)
        client = self.client()
        client.sendall(GET)
        self.answer(client)
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
        self.assertIn(b" 502 ", self.answer(client)[0])


class Bodies(HTTPCase):
    DATA = os.urandom(8 << 20)

    def digesting(self):
        """Answers with the digest of the body."""

        def script(sock):
            reader = sock.makefile("rb")
            while line := reader.readline():
                length = None
                while (field := reader.readline()) not in (b"\r\n", b""):
                    if field.lower().startswith(b"content-length:"):
                        length = int(field.split(b":")[1])
                sha = hashlib.sha256()
                if length is not None:
                    while length:
                        piece = reader.read(min(length, 1 << 16))
                        length -= len(piece)
                        sha.update(piece)
                elif line.startswith(b"POST"):
                    while size := int(reader.readline(), 16):
                        sha.update(reader.read(size))
                        reader.readline()
                    while reader.readline() != b"\r\n":
                        pass
                text = sha.hexdigest().encode()
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))

        return script

    def test_a_large_request_body_by_length_and_in_chunks(self):
        self.proxy(self.digesting())
        expected = hashlib.sha256(self.DATA).hexdigest().encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        for _ in range(2):
            connection.request("POST", "/", self.DATA)
            self.assertEqual(connection.getresponse().read(), expected)
            pieces = (self.DATA[i : i + 100_003] for i in range(0, len(self.DATA), 100_003))
            connection.request("POST", "/", pieces, encode_chunked=True)
            self.assertEqual(connection.getresponse().read(), expected)

    def test_large_response_bodies(self):
        data = self.DATA

        def script(sock):
            while head := read_head(sock):
                if b" /chunked " in head:
                    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    for i in range(0, len(data), 70_001):
                        piece = data[i : i + 70_001]
                        sock.sendall(b"%x;name=value\r\n%s\r\n" % (len(piece), piece))
                    sock.sendall(b"0\r\n\r\n")
                elif b" /close " in head:
                    sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + data)
                    return
                else:
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)

        self.proxy(script)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        for path in ["/length", "/chunked", "/close", "/length"]:
            connection.request("GET", path)
            self.assertEqual(hashlib.sha256(connection.getresponse().read()).digest(),
                             hashlib.sha256(data).digest(), path)

    def test_trailers_pass_both_ways(self):
        chunked = b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"
        received = []

        def script(sock):
            head = read_head(sock)
            data = b""
            while not data.endswith(b"X-Sum: 7\r\n\r\n"):
                data += sock.recv(100)
            received.append(head + data)
            sock.sendall(b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\n" + chunked)

        self.proxy(script)
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\n" + chunked)
        read_head(client)
        self.assertEqual(read_exactly(client, 22), b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")
        self.assertTrue(received[0].endswith(b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"))

    def test_responses_without_a_body(self):
        for status, method in [(b"204 No Content", b"GET"), (b"304 Not Modified", b"GET"), (b"200 OK", b"HEAD")]:
            with self.subTest(status=status, method=method):
                length = b"" if status.startswith(b"204") else b"Content-Length: 10\r\n"
                self.proxy(self.recording(b"HTTP/1.1 %s\r\n%s\r\n" % (status, length)))
                client = self.client()
                for _ in range(3):
                    client.sendall(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
                    head = read_head(client)
                    self.assertTrue(head.startswith(b"HTTP/1.1 " + status))
                    self.assertEqual(b"Content-Length: 10" in head, bool(length))
                self.assertEqual(self.backend.accepted, 1)

    def test_a_truncated_response_does_not_look_complete(self):
        for framing in [b"Content-Length: 10\r\n\r\n12345", b"Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"]:
            with self.subTest(framing=framing):
                self.proxy(self.recording_once(b"HTTP/1.1 200 OK\r\n" + framing))
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                connection.request("GET", "/")
                with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
                    connection.getresponse().read()
                # To an HTTP/1.0 client a chunked body ends with the connection: only a reset tells it apart.
                if b"chunked" in framing:
                    client = self.client()
                    client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    with self.assertRaises(ConnectionResetError):
                        while client.recv(4096):
                            pass

    def recording_once(self, response):
        def script(sock):
            read_head(sock)
            sock.sendall(response)

        return script

    def test_an_answer_before_the_end_of_the_body(self):
        def script(sock):
            read_head(sock)
            sock.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
            read_to_end(sock)

        self.proxy(script)
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        answer = read_to_end(client)
        self.assertIn(b" 413 ", answer)
        self.assertIn(b"Connection: close", answer)
        self.assertTrue(answer.endswith(b"big"))

    def test_expect_100_continue(self):
        def script(sock):
            head = read_head(sock)
            assert b"100-continue" in head
            sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = read_exactly(sock, 3)
            sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + body)

        self.proxy(script)
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        self.assertTrue(read_head(client).startswith(b"HTTP/1.1 100 "))
        client.sendall(b"abc")
        self.assertTrue(read_head(client).startswith(b"HTTP/1.1 103 "))
        head, body = self.answer(client)
        self.assertTrue(head.startswith(b"HTTP/1.1 200 "))
        self.assertEqual(body, b"abc")

    def test_a_slow_reader_stops_the_endpoint(self):
        sent = []

        def script(sock):
            read_head(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 400000000\r\n\r\n")
            sock.settimeout(1)
            count = 0
            try:
                while True:
                    count += sock.send(b"x" * 65536)
            except TimeoutError:
                sent.append(count)

        self.proxy(script)
        client = self.connect(f"127.0.0.1:{self.port}", 4096)
        client.sendall(GET)
        self.eventually(lambda: sent)
        self.assertLess(sent[0], 30_000_000)

    def test_a_slow_endpoint_stops_the_client(self):
        self.proxy(lambda sock: threading.Event().wait(5))
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 400000000\r\n\r\n")
        client.settimeout(1)
        count = 0
        with self.assertRaises(TimeoutError):
            while True:
                count += client.send(b"x" * 65536)
        self.assertLess(count, 30_000_000)

    def test_a_body_that_breaks_off_does_not_look_complete_upstream(self):
        ends = []

        def script(sock):
            read_head(sock)
            try:
                ends.append(read_to_end(sock))
            except ConnectionResetError:
                ends.append("reset")

        self.proxy(script)
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        self.eventually(lambda: self.backend.accepted)
        client.close()
        self.eventually(lambda: ends)
        self.assertTrue(ends[0] == "reset" or not ends[0].endswith(b"0\r\n\r\n"))


class Tunnels(HTTPCase):
    UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"

    def echoing(self, greeting):
        def script(sock):
            self.head = read_head(sock)
            sock.sendall(greeting)
            while data := sock.recv(1 << 16):
                sock.sendall(data)

        return script

    def test_a_websocket_echoes(self):
        self.proxy(self.echoing(self.SWITCH + b"hello"),
                   routes=[{"match": {}, "cluster": "backend", "upgrade": ["websocket"]}])
        client = self.client()
        client.sendall(self.UPGRADE)
        head = read_head(client)
        self.assertTrue(head.startswith(b"HTTP/1.1 101 "))
        self.assertIn(b"upgrade: websocket", head.lower())
        self.assertEqual(read_exactly(client, 5), b"hello")
        data = os.urandom(1 << 20)
        writer = threading.Thread(target=client.sendall, args=(data,))
        writer.start()
        self.assertEqual(read_exactly(client, len(data)), data)
        writer.join()
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(client.recv(10), b"")

    def test_an_upgrade_that_the_route_does_not_allow_is_ignored(self):
        self.proxy(self.recording())
        client = self.client()
        client.sendall(self.UPGRADE)
        self.assertEqual(self.answer(client)[1], b"ok")
        self.assertNotIn(b"upgrade", self.requests[0].lower())

    def test_connect(self):
        routes = [{"match": {}, "cluster": "backend", "upgrade": ["connect"]}]
        self.proxy(self.echoing(b"HTTP/1.1 200 OK\r\n\r\n"), routes=routes)
        client = self.client()
        client.sendall(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
        self.assertTrue(read_head(client).startswith(b"HTTP/1.1 200 "))
        client.sendall(b"ping")
        self.assertEqual(read_exactly(client, 4), b"ping")

    def test_connect_is_refused_where_it_is_not_allowed(self):
        self.proxy(self.recording())
        client = self.client()
        client.sendall(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n")
        self.assertIn(b" 403 ", read_head(client))
        self.assertEqual(self.requests, [])


if __name__ == "__main__":
    unittest.main()
