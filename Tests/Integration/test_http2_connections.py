"""HTTP/2 connections over time: signs of life, reasons of resets, windows that grow, and what is sent first."""

import threading
import unittest

from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, RstStreamFrame, WindowUpdateFrame
from support import cluster, document, free_port
from support.http2 import GET, POST, Connection
from support.sockets import read_to_end
from test_http2 import HTTP2Case
from test_http_proxy import read_head

SIGN_OF_LIFE = 2
BANDWIDTH = 3


class UpstreamCase(HTTP2Case):
    def upstream(self, script, **options):
        """A proxy in front of an HTTP/2 peer that plays `script(connection)`."""
        self.backend = self.peer(lambda sock: script(Connection(sock, is_client=False)))
        self.port = free_port()
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}",
                "http": {"routes": [{"match": {}, "cluster": "backend"}]}}
        return self.ringway(document([edge], [cluster("backend", self.backend, protocol="http2", **options)]))


class SignsOfLife(UpstreamCase):
    OPTIONS = {"ping_interval": "1s", "ping_timeout": "200ms"}

    def closes(self, proxy) -> float:
        return self.metric(proxy, "ringway_connection_closes_total", reason="ping_timeout")

    def test_a_client_that_does_not_answer(self):
        proxy = self.proxy(lambda sock: read_to_end(sock), http2=self.OPTIONS)
        connection = self.connection()
        connection.send(connection.head(1, GET))
        ping = connection.until(PingFrame)
        self.assertEqual(ping.opaque_data[0], SIGN_OF_LIFE)
        self.assertIsNone(connection.until(PingFrame))
        self.eventually_equal(lambda: self.closes(proxy), 1)
        self.eventually_equal(lambda: self.metric(proxy, "ringway_http_requests_active"), 0)

    def test_a_client_that_answers(self):
        proxy = self.proxy(lambda sock: read_to_end(sock), http2=self.OPTIONS)
        connection = self.connection()
        connection.send(connection.head(1, GET))
        for _ in range(2):
            ping = connection.until(PingFrame)
            connection.send(PingFrame(0, ping.opaque_data, flags=["ACK"]))
        self.assertTrue(connection.is_alive())
        self.assertEqual(self.closes(proxy), 0)

    def test_an_endpoint_that_does_not_answer(self):
        pings = []

        def script(connection):
            while frame := connection.until(PingFrame):
                pings.append(frame.opaque_data[0])

        proxy = self.upstream(script, http2=self.OPTIONS)
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(read_to_end(client).startswith(b"HTTP/1.1 502 "))
        self.assertEqual(pings, [SIGN_OF_LIFE])
        self.assertEqual(self.closes(proxy), 1)


class Rest(HTTP2Case):
    """Connections that nothing happens on give back memory, and nobody notices."""

    COUNT = 400
    FIELDS = [*GET, ("user-agent", "a client that says the same each time")]

    def ask(self, connection: Connection, stream: int):
        connection.send(connection.head(stream, self.FIELDS))
        self.assertEqual(connection.answer(stream)[1], b"ok")

    def test_many_connections_that_rest(self):
        proxy = self.proxy(self.recording())
        self.ask(self.connection(), 1)
        before = proxy.resident_bytes()
        connections = [self.connection() for _ in range(self.COUNT)]
        for connection in connections:
            self.ask(connection, 1)
        # Sessions alone that do not rest have 10 KB, with what they write frames in 14 KB.
        self.eventually(lambda: proxy.resident_bytes() - before < self.COUNT * 9_000)
        # Both sides still agree on what was said before.
        for connection in connections[::2]:
            connection.send(PingFrame(0, b"a word  "))
            while not (ping := connection.until(PingFrame)).flags:
                pass
            self.assertEqual(ping.opaque_data, b"a word  ")
        for connection in connections:
            self.ask(connection, 3)
        self.assertEqual(self.metric(proxy, "ringway_http_requests_refused_total"), 0)


class Resets(UpstreamCase):
    """The table in docs/http2.md."""

    def test_a_reset_of_the_endpoint_in_the_middle_of_its_answer(self):
        codes = {0: 2, 1: 2, 2: 2, 3: 2, 5: 2, 7: 2, 8: 8, 10: 2, 11: 11, 12: 2, 13: 2, 0x77: 2}

        def script(connection):
            while frame := connection.until(HeadersFrame):
                code = int(dict(connection.heads[frame.stream_id][0])[":path"][1:])
                connection.send(
                    connection.head(frame.stream_id, [(":status", "200")], end=False),
                    connection.body(frame.stream_id, b"part", end=False), RstStreamFrame(frame.stream_id, error_code=code))

        self.upstream(script)
        connection = self.connection()
        for stream, (code, expected) in zip(range(1, 100, 2), codes.items()):
            with self.subTest(code):
                fields = [(":method", "GET"), (":scheme", "http"), (":path", f"/{code}"), (":authority", "a")]
                connection.send(connection.head(stream, fields))
                self.assertEqual(connection.until(RstStreamFrame, stream).error_code, expected)
        self.assertTrue(connection.is_alive())

    def test_a_reset_of_the_endpoint_before_its_answer(self):
        def script(connection):
            while frame := connection.until(HeadersFrame):
                connection.send(RstStreamFrame(frame.stream_id, error_code=2))

        self.upstream(script)
        connection = self.connection()
        connection.send(connection.head(1, POST))
        self.assertEqual(connection.verdict(), "502")

    def test_whatever_a_client_resets_with_is_cancel_for_the_endpoint(self):
        codes = []
        heads = []

        def script(connection):
            while frame := connection.receive():
                if isinstance(frame, HeadersFrame):
                    heads.append(frame)
                elif isinstance(frame, RstStreamFrame):
                    codes.append(frame.error_code)

        self.upstream(script)
        connection = self.connection()
        for stream, code in zip(range(1, 100, 2), (0, 2, 8, 11)):
            connection.send(connection.head(stream, GET))
            self.eventually(lambda: len(heads) > stream // 2)
            connection.send(RstStreamFrame(stream, error_code=code))
        self.eventually_equal(lambda: codes, [8, 8, 8, 8])

    def test_a_client_that_is_gone_is_cancel_as_well(self):
        codes = []
        begun = threading.Event()

        def script(connection):
            connection.until(HeadersFrame)
            begun.set()
            codes.append(connection.until(RstStreamFrame).error_code)

        self.upstream(script)
        client = self.client()
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        begun.wait(30)
        client.close()
        self.eventually_equal(lambda: codes, [8])


class Windows(HTTP2Case):
    def test_they_grow_where_they_hold_the_client_back(self):
        self.proxy(
            lambda sock: read_to_end(sock), http2={"stream_window": "64KiB", "window_growth": "1MiB"})
        connection = self.connection()
        connection.send(connection.head(1, POST, end=False))
        sent = 0
        credit = 65_535
        granted = 0
        # A round trip as long as a window: the answer to the measurement goes out when the window is used up.
        while granted <= sent + 65_536:
            while credit > 0:
                count = min(credit, 16_384)
                connection.send(connection.body(1, b"x" * count, end=False))
                sent += count
                credit -= count
            frame = connection.receive()
            if isinstance(frame, PingFrame) and "ACK" not in frame.flags:
                self.assertEqual(frame.opaque_data[0], BANDWIDTH)
                connection.send(PingFrame(0, frame.opaque_data, flags=["ACK"]))
            elif isinstance(frame, WindowUpdateFrame) and frame.stream_id == 1:
                credit += frame.window_increment
                granted += frame.window_increment
        self.assertTrue(connection.is_alive())

    def test_they_stay_where_they_are_told_to(self):
        self.proxy(self.recording(), http2={"stream_window": "64KiB", "window_growth": "0"})
        connection = self.connection()
        connection.send(connection.head(1, POST, end=False), *[connection.body(1, b"x" * 16_000, end=False)] * 3)
        connection.send(connection.body(1, b""))
        self.assertEqual(connection.answer(1)[1], b"ok")
        self.assertEqual([frame for frame in connection.frames if isinstance(frame, PingFrame)], [])


class Priorities(HTTP2Case):
    """RFC 9218: with two responses waiting for the client's window, the more urgent one goes on."""

    def play(self, first: str, second: str, update: str | None = None) -> int:
        """Whose body goes on when the window opens a little: two requests that say this of their priority."""

        def script(sock):
            while read_head(sock):
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)

        self.proxy(script)
        connection = self.connection()
        connection.send(connection.head(1, GET + [("priority", first)]))
        # All of the connection's window.
        while len(connection.data.get(1, b"")) < 65_535:
            connection.receive()
        connection.send(connection.head(3, GET + [("priority", second)]))
        connection.until(HeadersFrame, 3)
        if update:
            connection.raw(0x10, 0, 0, (3).to_bytes(4, "big") + update.encode())
        self.assertTrue(connection.is_alive())
        connection.open_window(1, 100_000)
        connection.open_window(0, 10_000)
        return connection.until(DataFrame).stream_id

    def test_the_more_urgent_one_goes_first(self):
        self.assertEqual(self.play("u=5", "u=1"), 3)
        self.assertEqual(self.play("u=1", "u=5"), 1)

    def test_the_client_may_think_again(self):
        self.assertEqual(self.play("u=3", "u=5", update="u=0"), 3)


if __name__ == "__main__":
    unittest.main()
