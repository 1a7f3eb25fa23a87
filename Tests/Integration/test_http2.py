"""HTTP/2 on both sides, with scripted peers frame by frame and with real clients and servers."""

import hashlib
import os
import signal
import subprocess
import threading
import time
import unittest

import httpx
from hyperframe.frame import (
    DataFrame, GoAwayFrame, HeadersFrame, PriorityFrame, RstStreamFrame, SettingsFrame,
    WindowUpdateFrame,
)
from support import cluster, document, free_port
from support.certificates import Authority
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

        self.proxy(script, stream_idle_timeout="200ms")
        connection = self.connection(settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0})
        connection.send(connection.head(1, GET))
        self.assertEqual(connection.verdict(), "200")
        self.assertEqual(connection.until(RstStreamFrame, 1).error_code, 8)
        self.assertTrue(connection.is_alive())


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


class Protocol(HTTP2Case):
    """RFC 9113 and RFC 7541: what breaks the rules of frames, and how it ends."""

    def check(self, expected, *frames):
        """Sends raw frames, each (type, flags, stream, payload), and compares what becomes of stream 1."""
        with self.subTest(expected=expected, frames=frames):
            connection = self.connection()
            connection.raw(1, 0x4, 1, connection.encoder.encode(POST))
            for frame in frames:
                connection.raw(*frame)
            self.assertIn(connection.verdict(), expected)

    def test_broken_frames(self):
        self.proxy(lambda sock: read_to_end(sock))
        protocol, flow, size, compression = "goaway 1", "goaway 3", "goaway 6", "goaway 9"
        self.check([protocol], (0, 0, 0, b"x"))  # §6.1 DATA on stream 0
        self.check([protocol], (0, 0x8, 1, b"\x05abc"))  # §6.1 padding longer than the payload
        self.check([protocol], (1, 0x5, 0, b""))  # §6.2 HEADERS on stream 0
        self.check([protocol], (1, 0x5, 2, b""))  # §5.1.1 an even stream
        self.check([protocol], (3, 0, 0, b"\0\0\0\0"))  # §6.4 RST_STREAM on stream 0
        self.check([protocol], (3, 0, 7, b"\0\0\0\0"))  # §5.1 RST_STREAM of an idle stream
        self.check([size], (3, 0, 1, b"\0\0\0"))  # §6.4
        self.check([protocol], (4, 0, 1, b""))  # §6.5 SETTINGS on a stream
        self.check([size], (4, 0x1, 0, b"\0\0\0\0\0\0"))  # §6.5 an acknowledgement that says something
        self.check([size], (4, 0, 0, b"\0\0\0"))  # §6.5
        self.check([protocol], (4, 0, 0, b"\x00\x02\x00\x00\x00\x02"))  # §6.5.2 ENABLE_PUSH 2
        self.check([flow], (4, 0, 0, b"\x00\x04\x80\x00\x00\x00"))  # §6.5.2 a window beyond 2^31-1
        self.check([protocol], (4, 0, 0, b"\x00\x05\x00\x00\x00\x01"))  # §6.5.2 MAX_FRAME_SIZE 1
        self.check([protocol], (5, 0x4, 1, b"\0\0\0\2"))  # §8.4 PUSH_PROMISE from a client
        self.check([protocol], (6, 0, 1, b"12345678"))  # §6.7 PING on a stream
        self.check([size], (6, 0, 0, b"1234"))  # §6.7
        self.check([protocol], (7, 0, 1, b"\0" * 8))  # §6.8 GOAWAY on a stream
        self.check([protocol], (8, 0, 0, b"\0\0\0\0"))  # §6.9 an increment of 0
        self.check(["reset 1", protocol], (8, 0, 1, b"\0\0\0\0"))  # §6.9 the same on a stream
        self.check([flow], (8, 0, 0, b"\x7f\xff\xff\xff"))  # §6.9.1
        self.check(["reset 3"], (8, 0, 1, b"\x7f\xff\xff\xff"))  # §6.9.1
        self.check([size], (8, 0, 0, b"\0\0\1"))  # §6.9
        self.check([protocol], (9, 0x4, 1, b""))  # §6.10 CONTINUATION of nothing
        self.check([protocol], (1, 0, 3, b"\x82"), (0, 0, 1, b"x"))  # §6.10 DATA within a header block
        self.check([protocol], (1, 0, 3, b"\x82"), (9, 0x4, 5, b"\x82"))  # §6.10 CONTINUATION of another
        self.check([compression], (1, 0x5, 3, b"\xff\xff\xff\xff\xff\xff"))  # RFC 7541 §5.1
        self.check([compression], (1, 0x5, 3, b"\xc0"))  # RFC 7541 §2.3.3 an index beyond the table
        self.check([compression], (1, 0x5, 3, b"\x80"))  # RFC 7541 §6.1 index 0
        self.check([compression], (1, 0x5, 3, b"\x3f\xff\xff\x7f"))  # RFC 7541 §6.3 a table beyond the setting
        self.check([compression], (1, 0x5, 3, b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"))  # §5.2 EOS
        self.check([size], (0, 0, 1, b"x" * 16_385))  # §4.2 larger than SETTINGS_MAX_FRAME_SIZE

    def test_what_must_be_ignored(self):
        self.proxy(self.recording())
        connection = self.connection()
        connection.raw(0x77, 0xFF, 0, b"unknown")  # §5.5
        connection.raw(0x77, 0xFF, 1, b"unknown")
        connection.raw(4, 0, 0, b"\x77\x77\0\0\0\1")  # §6.5.2 an unknown setting
        connection.raw(6, 0xFE, 0, b"12345678")  # §4.1 undefined flags
        connection.raw(2, 0, 1, b"\0\0\0\0\x10")  # §6.3 PRIORITY of an idle stream
        connection.raw(0x10, 0, 0, b"\0\0\0\1u=1")  # RFC 9218 §7.1
        connection.send(connection.head(1, GET + [("priority", "u=1, i")]))
        self.assertEqual(connection.answer(1)[1], b"ok")

    def test_header_blocks_in_pieces_and_with_padding(self):
        self.proxy(self.recording())
        connection = self.connection()
        block = connection.encoder.encode(GET)
        connection.raw(1, 0x1 | 0x8, 1, b"\x03" + block[:2] + b"\0\0\0")
        connection.raw(9, 0, 1, block[2:3])
        connection.raw(9, 0x4, 1, block[3:])
        self.assertEqual(connection.answer(1)[1], b"ok")

    def test_a_stream_that_has_ended_takes_nothing_more(self):
        self.proxy(lambda sock: read_to_end(sock))
        connection = self.connection()
        connection.send(connection.head(1, GET), DataFrame(1, b"x"))
        self.assertIn(connection.verdict(), ("reset 5", "goaway 5", "goaway 1"))

    def test_stream_numbers_only_grow(self):
        self.proxy(self.recording())
        connection = self.connection()
        connection.send(connection.head(5, GET))
        connection.answer(5)
        connection.send(connection.head(3, GET))
        self.assertTrue(connection.is_alive())
        self.assertNotIn(3, connection.heads)

    def test_the_preface_must_be_right(self):
        self.proxy(self.recording())
        answer = self.exchange(PREFACE[:-2] + b"xx")
        self.assertNotIn(b"200", answer)


class Floods(HTTP2Case):
    """Each ends the connection with ENHANCE_YOUR_CALM, under a reason of its own."""

    def flood(self, reason: str, play, proxy=None):
        proxy = proxy or self.proxy(self.recording())
        connection = self.connection()
        # Nothing of our own in between: both have acknowledged each other's settings.
        connection.until(SettingsFrame)
        self.assertTrue(connection.is_alive())
        sender = threading.Thread(target=self.quietly, args=(play, connection), daemon=True)
        sender.start()
        frame = connection.until(GoAwayFrame)
        if frame:
            self.assertEqual(frame.error_code, 11)
        sender.join(30)
        self.eventually_equal(lambda: self.metric(proxy, "ringway_http2_abuses_total", reason=reason), 1)
        # Others are served.
        other = self.connection()
        other.send(other.head(1, GET))
        self.assertEqual(other.answer(1)[0][":status"], "200")

    def quietly(self, play, connection):
        try:
            play(connection)
        except OSError:
            pass

    def test_rapid_reset(self):
        def play(connection):
            for stream in range(1, 8001, 2):
                connection.send(connection.head(stream, GET), RstStreamFrame(stream, error_code=8))

        self.flood("rapid_reset", play)

    def test_continuations(self):
        def play(connection):
            connection.raw(1, 0x1, 1, connection.encoder.encode(GET))
            for _ in range(1000):
                connection.raw(9, 0, 1, b"\x00\x01a\x01b")

        self.flood("continuation_flood", play)

    def test_a_header_bomb(self):
        def play(connection):
            entry = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"x" * 4000
            block = connection.encoder.encode(GET) + entry + b"\xbe" * 12_000
            connection.raw(1, 0x5, 1, block)

        self.flood("header_bomb", play)

    def test_settings(self):
        self.flood("settings_flood", lambda c: [c.send(SettingsFrame(0)) for _ in range(500)])

    def test_pings(self):
        self.flood("ping_flood", lambda c: c.sock.sendall((b"\0\0\x08\x06\0\0\0\0\0" + b"12345678") * 20_000))

    def test_priorities(self):
        frame = PriorityFrame(1, depends_on=0, stream_weight=1).serialize()
        self.flood("priority_flood", lambda c: c.sock.sendall(frame * 5000))

    def test_empty_data(self):
        def play(connection):
            connection.send(connection.head(1, POST, end=False))
            connection.sock.sendall(DataFrame(1, b"").serialize() * 1000)

        self.flood("empty_data_flood", play)

    def test_window_updates(self):
        frame = WindowUpdateFrame(0, window_increment=1).serialize()
        self.flood("window_update_flood", lambda c: c.sock.sendall(frame * 10_000))

    def test_unknown_frames(self):
        self.flood("unknown_frame_flood", lambda c: c.sock.sendall(b"\0\0\0\x77\0\0\0\0\0" * 1000))


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
        # Sent before the client could know.
        connection.send(connection.head(3, GET))
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


class Upstream(HTTP2Case):
    """Endpoints that speak HTTP/2."""

    def upstream(self, script, **options):
        """A proxy in front of an HTTP/2 peer that plays `script(connection)`."""

        def play(sock):
            script(Connection(sock, is_client=False))

        self.backend = self.peer(play)
        self.port = free_port()
        routes = options.pop("routes", None) or [{"match": {}, "cluster": "backend"}]
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "http": {"routes": routes}}
        return self.ringway(document([edge], [cluster("backend", self.backend, protocol="http2", **options)]))

    def serving(self, connection):
        """Answers every request with its method and path."""
        while frame := connection.until(HeadersFrame):
            if "END_STREAM" not in frame.flags:
                while not ((data := connection.receive()) and "END_STREAM" in data.flags):
                    pass
            fields = dict(connection.heads[frame.stream_id][0])
            body = f"{fields[':method']} {fields[':path']}".encode()
            connection.send(
                connection.head(frame.stream_id, [(":status", "200")], end=False),
                connection.body(frame.stream_id, body))

    def test_requests_of_http_1_share_a_connection(self):
        self.upstream(self.serving)
        for _ in range(3):
            client = self.client()
            client.sendall(b"POST /a?b HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc")
            self.assertTrue(read_to_end(client).endswith(b"POST /a?b\r\n0\r\n\r\n"))
        self.assertEqual(self.backend.accepted, 1)

    def test_what_is_about_the_connection_stays_here(self):
        heads = []

        def script(connection):
            frame = connection.until(HeadersFrame)
            heads.append(dict(connection.heads[frame.stream_id][0]))
            connection.send(connection.head(frame.stream_id, [(":status", "204")]))
            connection.receive()

        self.upstream(script)
        client = self.client()
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close, X-Private\r\nX-Private: 1\r\n"
            b"Keep-Alive: 1\r\nTE: trailers\r\nX-Name: Value\r\n\r\n")
        self.assertTrue(read_to_end(client).startswith(b"HTTP/1.1 204 "))
        head = heads[0]
        self.assertEqual(head[":authority"], "example.com")
        self.assertEqual(head["x-name"], "Value")
        self.assertEqual(head["te"], "trailers")
        for name in ("connection", "keep-alive", "x-private", "host", "transfer-encoding"):
            self.assertNotIn(name, head)

    def test_a_refused_request_is_sent_again_whatever_it_asks_for(self):
        seen = []

        def script(connection):
            frame = connection.until(HeadersFrame)
            seen.append(frame.stream_id)
            if len(seen) == 1:
                connection.send(RstStreamFrame(frame.stream_id, error_code=7))
                frame = connection.until(HeadersFrame)
            connection.send(connection.head(frame.stream_id, [(":status", "200")]))
            connection.receive()

        self.upstream(script)
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(read_to_end(client).startswith(b"HTTP/1.1 200 "))

    def test_what_an_endpoint_that_goes_away_did_not_see_is_sent_again(self):
        connections = []

        def script(connection):
            connections.append(connection)
            frame = connection.until(HeadersFrame)
            if len(connections) == 1:
                connection.send(GoAwayFrame(0, last_stream_id=0))
                return
            connection.send(connection.head(frame.stream_id, [(":status", "200")]))
            connection.receive()

        self.upstream(script)
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(read_to_end(client).startswith(b"HTTP/1.1 200 "))
        self.assertEqual(len(connections), 2)

    def test_streams_stay_within_the_endpoints_limit(self):
        most = []

        def play(sock):
            connection = Connection(sock, is_client=False, settings={SettingsFrame.MAX_CONCURRENT_STREAMS: 2})
            open_streams = set()
            while frame := connection.receive():
                if isinstance(frame, HeadersFrame):
                    open_streams.add(frame.stream_id)
                    most.append(len(open_streams))
                    connection.send(connection.head(frame.stream_id, [(":status", "200")]))
                    open_streams.discard(frame.stream_id)

        self.backend = self.peer(play)
        self.port = free_port()
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}",
                "http": {"routes": [{"match": {}, "cluster": "backend"}]}}
        self.ringway(document([edge], [cluster("backend", self.backend, protocol="http2")]))
        connection = self.connection()
        connection.send(connection.head(1, GET))
        connection.answer(1)
        connection.send(*[connection.head(stream, GET) for stream in range(3, 43, 2)])
        for stream in range(3, 43, 2):
            connection.answer(stream) if stream not in connection.heads else None
        self.assertLessEqual(max(most), 2)

    def test_an_answer_that_breaks_the_rules_is_a_502(self):
        for fields in ([(":status", "200"), ("connection", "close")], [(":status", "2000")], [("x", "y")]):
            with self.subTest(fields):

                def script(connection, fields=fields):
                    frame = connection.until(HeadersFrame)
                    connection.send(connection.head(frame.stream_id, fields))
                    connection.receive()

                self.upstream(script)
                client = self.client()
                client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                self.assertTrue(read_to_end(client).startswith(b"HTTP/1.1 502 "))


class Programs(HTTP2Case):
    """Real clients and servers."""

    def serve_files(self) -> bytes:
        """nginx with HTTP/1.1 and HTTP/2 and nghttpd behind the proxy, each with the same file."""
        data = os.urandom(3 << 20)
        self.folder.chmod(0o755)  # nginx reads as somebody else when it is started as root
        (self.folder / "www").mkdir()
        (self.folder / "www" / "file").write_bytes(data)
        http1, http2, nghttpd = free_port(), free_port(), free_port()
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; pid {self.folder}/nginx.pid; error_log stderr; worker_processes 1;
            events {{}}
            http {{
                access_log off; client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
                server {{ listen 127.0.0.1:{http1}; root {self.folder}/www; }}
                server {{ listen 127.0.0.1:{http2} http2; root {self.folder}/www; keepalive_requests 50; }}
            }}""")
        self.server("nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"))
        self.server("nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", str(self.folder / "www"), str(nghttpd))
        for port in (http1, http2, nghttpd):
            self.wait_listening(port)
        self.port = free_port()
        routes = [
            {"match": {"path_prefix": f"/{name}/"}, "cluster": name, "rewrite": {"path_prefix": "/"}}
            for name in ("http1", "http2", "nghttpd")
        ]
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "http": {"routes": routes}}
        self.ringway(document([edge], [
            cluster("http1", http1), cluster("http2", http2, protocol="http2"),
            cluster("nghttpd", nghttpd, protocol="http2")]))
        return data

    def test_any_version_in_to_any_version_out(self):
        data = self.serve_files()
        for version in ("--http1.1", "--http2-prior-knowledge"):
            for upstream in ("http1", "http2", "nghttpd"):
                with self.subTest(version=version, upstream=upstream):
                    command = ["curl", "-sS", version, f"http://127.0.0.1:{self.port}/{upstream}/file"]
                    answer = subprocess.run(command, capture_output=True, timeout=30, check=True)
                    self.assertEqual(hashlib.sha256(answer.stdout).digest(), hashlib.sha256(data).digest())

    def test_httpx_and_nghttp(self):
        data = self.serve_files()
        with httpx.Client(http1=False, http2=True) as client:
            for _ in range(5):
                answer = client.get(f"http://127.0.0.1:{self.port}/http2/file")
                self.assertEqual(answer.http_version, "HTTP/2")
                self.assertEqual(answer.content, data)
        url = f"http://127.0.0.1:{self.port}/nghttpd/file"
        answer = subprocess.run(["nghttp", url], capture_output=True, timeout=30, check=True)
        self.assertEqual(answer.stdout, data)

    def test_load_loses_nothing_while_the_endpoint_goes_away_again_and_again(self):
        self.serve_files()
        (self.folder / "www" / "small").write_bytes(b"x" * 100)
        url = f"http://127.0.0.1:{self.port}/http2/small"
        answer = subprocess.run(
            ["h2load", "-n", "2000", "-c", "4", "-m", "20", url], capture_output=True, timeout=60, check=True, text=True)
        self.assertIn("2000 succeeded, 0 failed, 0 errored", answer.stdout)


class Encrypted(HTTP2Case):
    """HTTP/2 within TLS, chosen by ALPN on both sides."""

    def setUp(self):
        super().setUp()
        self.folder.chmod(0o755)
        self.authority = Authority(self.folder)
        self.certificate = self.authority.issue("server", ["localhost", "IP:127.0.0.1"])
        self.data = os.urandom(2 << 20)
        (self.folder / "www").mkdir()
        (self.folder / "www" / "file").write_bytes(self.data)

    def serve(self, protocols: str, **http):
        """The proxy with TLS on both sides before an nginx that offers HTTP/1.1, or HTTP/2 as well."""
        backend = free_port()
        self.port = free_port()
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; pid {self.folder}/nginx.pid; error_log stderr; worker_processes 1;
            events {{}}
            http {{
                access_log off; client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
                ssl_certificate {self.certificate.cert}; ssl_certificate_key {self.certificate.key};
                server {{ listen 127.0.0.1:{backend} ssl {protocols}; root {self.folder}/www; }}
            }}""")
        self.server("nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"))
        self.wait_listening(backend)
        edge = {
            "name": "edge", "address": f"127.0.0.1:{self.port}", "tls": {"certificates": [self.certificate.files]},
            "http": {"routes": [{"match": {}, "cluster": "backend"}]} | http,
        }
        tls = {"ca": str(self.authority.cert), "sni": "localhost"}
        self.ringway(document([edge], [cluster("backend", backend, protocol="http2", tls=tls)]))

    def get(self, *options: str) -> tuple[str, str, bytes]:
        """Version, status and body."""
        command = [
            "curl", "-sS", "--cacert", str(self.authority.cert), *options, "-o", "-", "-w", "%{stderr}%{http_version} %{http_code}",
            f"https://localhost:{self.port}/file",
        ]
        answer = subprocess.run(command, capture_output=True, timeout=60, check=True)
        version, status = answer.stderr.decode().split()
        return version, status, answer.stdout

    def test_both_sides_choose_it(self):
        self.serve("http2")
        self.assertEqual(self.get("--http2"), ("2", "200", self.data))
        self.assertEqual(self.get("--http1.1"), ("1.1", "200", self.data))

    def test_a_listener_without_it_does_not_offer_it(self):
        self.serve("http2", http2={"enabled": False})
        self.assertEqual(self.get("--http2"), ("1.1", "200", self.data))

    def test_an_endpoint_that_does_not_choose_it_is_not_reachable(self):
        self.serve("")
        self.assertEqual(self.get("--http2")[:2], ("2", "503"))


if __name__ == "__main__":
    unittest.main()
