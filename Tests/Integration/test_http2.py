"""HTTP/2 with clients: requests, limits, smuggling and draining, with scripted peers frame by frame."""

import signal
import threading
import time
import unittest

from hyperframe.frame import DataFrame, GoAwayFrame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame
from support.http2 import GET, POST, PREFACE, Connection
from support.sockets import read_to_end
from test_http_proxy import HTTPCase, read_head

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class HTTP2Case(HTTPCase):
    def connection(self, **options) -> Connection:
        return Connection(self.client(), **options)

    def metric(self, proxy, name: str, **labels) -> float:
        return proxy.metrics().sum(name, **labels)


class Requests(HTTP2Case):
    def test_a_request_goes_on_in_http_1(self):
        self.proxy(self.recording())
        connection = self.connection()
        fields = POST + [("cookie", "a=1"), ("cookie", "b=2"), ("x-name", "value")]
        connection.send(connection.head(1, fields, end=False), connection.body(1, b"hello"))
        head, body = connection.answer(1)
        self.assertEqual((head[":status"], body), ("200", b"ok"))
        self.assertNotIn("connection", head)
        request = self.requests[0].lower()
        self.assertTrue(request.startswith(b"post / http/1.1\r\nhost: a\r\n"))
        self.assertIn(b"\r\ncookie: a=1; b=2\r\n", request)
        self.assertTrue(request.endswith(b"\r\n5\r\nhello\r\n0\r\n\r\n"))

    def test_streams_are_answered_in_any_order(self):
        second = threading.Event()

        def script(sock):
            while head := read_head(sock):
                if b"/slow" in head:
                    second.wait(30)
                sock.sendall(OK)

        self.proxy(script)
        connection = self.connection()
        slow = [(":method", "GET"), (":scheme", "http"), (":path", "/slow"), (":authority", "a")]
        connection.send(connection.head(1, slow), connection.head(3, GET))
        self.assertEqual(connection.answer(3)[1], b"ok")
        second.set()
        self.assertEqual(connection.answer(1)[1], b"ok")

    def test_trailers_pass_both_ways(self):
        received = []

        def script(sock):
            head = read_head(sock)
            body = b""
            while not body.endswith(b"\r\n\r\n"):
                body += sock.recv(65536)
            received.append(head + body)
            sock.sendall(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n"
                b"2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")

        self.proxy(script)
        connection = self.connection()
        connection.send(
            connection.head(1, POST + [("te", "trailers")], end=False), connection.body(1, b"abc", end=False),
            connection.head(1, [("x-check", "1")]))
        self.assertEqual(connection.answer(1)[1], b"ok")
        self.assertEqual(connection.heads[1][-1], [("x-sum", "7")])
        self.assertTrue(received[0].endswith(b"3\r\nabc\r\n0\r\nx-check: 1\r\n\r\n"), received[0])

    def test_an_early_answer_stops_the_upload(self):
        def script(sock):
            read_head(sock)
            sock.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
            read_to_end(sock)

        self.proxy(script)
        connection = self.connection()
        connection.send(connection.head(1, POST, end=False), connection.body(1, b"x" * 1000, end=False))
        head, body = connection.answer(1)
        self.assertEqual((head[":status"], body), ("413", b"big"))
        self.assertEqual(connection.until(RstStreamFrame, 1).error_code, 0)
        self.assertTrue(connection.is_alive())

    def test_a_reset_reaches_the_endpoint(self):
        ended = threading.Event()

        def script(sock):
            read_head(sock)
            try:
                read_to_end(sock)
            except OSError:
                pass
            ended.set()

        self.proxy(script)
        connection = self.connection()
        connection.send(connection.head(1, GET))
        self.eventually(lambda: self.backend.accepted == 1)
        connection.send(RstStreamFrame(1, error_code=8))
        self.assertTrue(ended.wait(30))
        self.assertTrue(connection.is_alive())

    def test_an_answer_that_breaks_off_is_a_reset(self):
        def script(sock):
            read_head(sock)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")

        self.proxy(script)
        connection = self.connection()
        connection.send(connection.head(1, GET))
        self.assertEqual(connection.until(RstStreamFrame, 1).error_code, 2)
        self.assertTrue(connection.is_alive())

    def test_a_stream_that_is_not_read_stops_alone(self):
        size = 4 << 20

        def script(sock):
            while head := read_head(sock):
                count = size if b"/large" in head else 2
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % count + b"x" * count)

        self.proxy(script)
        connection = self.connection()
        connection.open_window(0, 1 << 30)
        large = [(":method", "GET"), (":scheme", "http"), (":path", "/large"), (":authority", "a")]
        # The first stream's window, 65,535 bytes, is never opened.
        connection.send(connection.head(1, large))
        for stream in range(3, 43, 2):
            connection.send(connection.head(stream, GET))
            self.assertEqual(connection.answer(stream)[1], b"xx")
        self.assertEqual(len(connection.data[1]), 65_535)
        connection.open_window(1, size)
        self.assertEqual(len(connection.answer(1)[1]), size)

    def test_an_upload_that_is_not_taken_stops_alone(self):
        release = threading.Event()

        def script(sock):
            head = read_head(sock)
            if b"/stuck" in head:
                release.wait(30)
                read_to_end(sock)
            else:
                sock.sendall(OK)

        self.proxy(script)
        connection = self.connection()
        stuck = [(":method", "POST"), (":scheme", "http"), (":path", "/stuck"), (":authority", "a")]
        connection.send(connection.head(1, stuck, end=False))
        connection.until(WindowUpdateFrame)
        # All of the stream's window; whoever gives it back too early is sent more than any socket takes.
        for _ in range(16):
            connection.send(DataFrame(1, b"x" * 16_384))
        for stream in range(3, 23, 2):
            connection.send(connection.head(stream, GET))
            self.assertEqual(connection.answer(stream)[1], b"ok")
        release.set()


class Limits(HTTP2Case):
    def verdict(self, fields, **http) -> str:
        self.proxy(self.recording(), **http)
        connection = self.connection()
        connection.send(connection.head(1, fields))
        return connection.verdict()

    def test_large_heads_are_answered_431(self):
        large = [(f"name-{index}", "x" * 100) for index in range(30)]
        self.assertEqual(self.verdict(GET + large, limits={"header_bytes": "2KiB"}), "431")
        self.assertEqual(self.verdict(GET + large, limits={"headers": 10}), "431")

    def test_long_paths_are_answered_414(self):
        path = [(":method", "GET"), (":scheme", "http"), (":path", "/" + "x" * 600), (":authority", "a")]
        self.assertEqual(self.verdict(path, limits={"url_bytes": "512"}), "414")

    def test_large_bodies_are_answered_413(self):
        self.proxy(self.recording(), limits={"body_bytes": "1KiB"})
        connection = self.connection()
        connection.send(connection.head(1, POST, end=False), connection.body(1, b"x" * 2000))
        self.assertEqual(connection.verdict(), "413")
        connection.send(connection.head(3, POST + [("content-length", "2000")], end=False))
        self.assertEqual(connection.verdict(3), "413")

    def test_streams_beyond_the_limit_are_refused(self):
        release = threading.Event()

        def script(sock):
            read_head(sock)
            release.wait(30)
            sock.sendall(OK)

        proxy = self.proxy(script, http2={"max_concurrent_streams": 2})
        connection = self.connection()
        connection.send(connection.head(1, GET), connection.head(3, GET), connection.head(5, GET))
        self.assertEqual(connection.until(RstStreamFrame).error_code, 7)
        release.set()
        self.assertEqual(connection.answer(1)[1], b"ok")
        self.eventually_equal(lambda: self.metric(proxy, "ringway_http2_streams_refused_total"), 1)

    def test_http_2_can_be_turned_off(self):
        self.proxy(self.recording(), http2={"enabled": False})
        self.assertTrue(self.exchange(PREFACE).startswith(b"HTTP/1.1 505 "))

    def test_an_idle_stream_is_reset_and_the_connection_goes_on(self):
        self.proxy(lambda sock: read_to_end(sock), stream_idle_timeout="200ms")
        connection = self.connection()
        connection.send(connection.head(1, GET))
        self.assertEqual(connection.verdict(), "504")
        self.assertTrue(connection.is_alive())

    def test_a_body_that_dribbles_is_answered_408(self):
        proxy = self.proxy(
            lambda sock: read_to_end(sock), request_body_timeout="300ms", request_body_min_rate="1KiB")
        connection = self.connection()
        connection.send(connection.head(1, POST, end=False))

        def dribble():
            connection.send(connection.body(1, b"x", end=False))
            return self.metric(proxy, "ringway_http_request_timeouts_total", reason="body") == 1

        self.eventually(dribble)
        self.assertEqual(connection.verdict(), "408")
        self.assertTrue(connection.is_alive())

    def test_a_window_that_stays_shut_ends_its_stream(self):
        def script(sock):
            while read_head(sock):
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

        proxy = self.proxy(script, stream_idle_timeout="200ms")
        connection = self.connection(settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0})
        connection.send(connection.head(1, GET))
        self.assertEqual(connection.verdict(), "200")
        self.assertEqual(connection.until(RstStreamFrame, 1).error_code, 8)
        self.assertTrue(connection.is_alive())
        self.assertEqual(self.metric(proxy, "ringway_http_request_timeouts_total", reason="idle"), 1)


class Smuggling(HTTP2Case):
    """What would read differently in HTTP/1.1 never gets there."""

    def test_nothing_of_it_reaches_the_endpoint(self):
        proxy = self.proxy(self.recording())
        bad = [
            GET + [("transfer-encoding", "chunked")],
            GET + [("connection", "close")],
            GET + [("upgrade", "h2c")],
            GET + [("te", "chunked")],
            GET + [("x", "a\r\nb: c")],
            GET + [("x", "a\0b")],
            GET + [("x\r\ny", "a")],
            GET + [("x: y", "a")],
            GET + [("X-Upper", "a")],
            GET + [("content-length", "3")],
            GET + [("content-length", "0"), ("content-length", "0")],
            GET + [("host", "b")],
            [("x", "y")] + GET,
            GET + [(":path", "/b")],
            GET + [(":unknown", "b")],
            [(":method", "GET"), (":scheme", "http"), (":path", "/ HTTP/1.1\r\nx: y"), (":authority", "a")],
            [(":method", "GET / HTTP/1.1"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
            [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a b")],
            [(":method", "GET"), (":path", "/"), (":authority", "a")],
        ]
        for fields in bad:
            with self.subTest(fields[-1]):
                connection = self.connection()
                connection.send(connection.head(1, fields))
                self.assertEqual(connection.verdict(), "reset 1")
                connection.send(connection.head(3, GET))
                self.assertEqual(connection.answer(3)[1], b"ok")
        self.assertEqual(len(self.requests), len(bad))
        self.assertGreaterEqual(self.metric(proxy, "ringway_http_requests_refused_total"), len(bad))

    def test_a_body_that_is_not_as_long_as_it_says(self):
        for body in (b"ab", b"abcd"):
            with self.subTest(body):
                self.proxy(self.recording())
                connection = self.connection()
                connection.send(connection.head(1, POST + [("content-length", "3")], end=False))
                connection.send(connection.body(1, body))
                self.assertIn(connection.verdict(), ("reset 1",))
                self.assertEqual([r for r in self.requests if r.endswith(body)], [])


class Draining(HTTP2Case):
    def test_a_request_in_progress_is_finished(self):
        release = threading.Event()

        def script(sock):
            read_head(sock)
            release.wait(30)
            sock.sendall(OK)

        proxy = self.proxy(script)
        connection = self.connection()
        connection.send(connection.head(1, GET))
        self.eventually(lambda: self.backend.accepted == 1)
        proxy.process.send_signal(signal.SIGTERM)
        frame = connection.until(GoAwayFrame)
        self.assertEqual((frame.error_code, frame.last_stream_id), (0, 2**31 - 1))
        # Sent before the client could know: the round trip is over with the answer behind it.
        ping = next(frame for frame in connection.frames if isinstance(frame, PingFrame))
        connection.send(connection.head(3, GET), PingFrame(0, ping.opaque_data, flags=["ACK"]))
        release.set()
        self.assertEqual(connection.answer(1)[1], b"ok")
        self.assertEqual(connection.answer(3)[1], b"ok")
        while frame := connection.receive():
            if isinstance(frame, GoAwayFrame):
                self.assertEqual((frame.error_code, frame.last_stream_id), (0, 3))
        self.assertEqual(proxy.process.wait(30), 0)

    def test_the_last_request_of_a_connection(self):
        self.proxy(self.recording(), max_requests_per_connection=3)
        connection = self.connection()
        for stream in (1, 3, 5):
            connection.send(connection.head(stream, GET))
            self.assertEqual(connection.answer(stream)[1], b"ok")
        self.assertTrue(any(isinstance(frame, GoAwayFrame) for frame in self.rest(connection)))

    def test_the_last_request_of_an_old_connection(self):
        self.proxy(self.recording(), max_connection_duration="1ms")
        connection = self.connection()
        time.sleep(0.01)
        connection.send(connection.head(1, GET))
        self.assertEqual(connection.answer(1)[1], b"ok")
        self.assertTrue(any(isinstance(frame, GoAwayFrame) for frame in self.rest(connection)))

    def rest(self, connection) -> list:
        while connection.receive():
            pass
        return connection.frames


if __name__ == "__main__":
    unittest.main()
