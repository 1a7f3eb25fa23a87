"""WebSockets in streams of HTTP/2 (RFC 8441): with scripted peers, with Python's `websockets`, and through nghttpx."""

import asyncio
import base64
import hashlib
import os
import unittest

from hyperframe.frame import DataFrame, HeadersFrame, RstStreamFrame, SettingsFrame
from support import cluster, document, free_port
from support.http2 import GET, Connection
from support.sockets import read_to_end
from test_http2 import HTTP2Case
from test_http_proxy import read_head
from test_http_websockets import WebSocketCase
from websockets.asyncio.client import connect

CONNECT = [
    (":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/chat"), (":authority", "a"),
    ("sec-websocket-version", "13"), ("origin", "http://a")]
ROUTES = [{"match": {}, "cluster": "backend", "upgrade": ["websocket"]}]
OFFER = {SettingsFrame.ENABLE_CONNECT_PROTOCOL: 1}


def accept(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())


def field(head: bytes, name: bytes) -> bytes:
    line = next(line for line in head.split(b"\r\n") if line.lower().startswith(name + b":"))
    return line.partition(b":")[2].strip()


class FromHTTP2(HTTP2Case):
    """The client speaks HTTP/2, the endpoint HTTP/1.1."""

    def test_it_is_offered(self):
        self.proxy(self.recording())
        settings = self.connection().until(SettingsFrame).settings
        self.assertEqual(settings[SettingsFrame.ENABLE_CONNECT_PROTOCOL], 1)

    def test_the_handshake_is_made_for_the_client(self):
        heads = []

        def script(sock):
            head = read_head(sock)
            heads.append(head)
            sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Accept: " + accept(field(head, b"sec-websocket-key"))
                + b"\r\n\r\nhello")
            sock.sendall(read_to_end(sock) + b"!")

        self.proxy(script, ROUTES)
        connection = self.connection()
        connection.send(connection.head(1, CONNECT, end=False), connection.body(1, b"early ", end=False))
        self.assertEqual(connection.verdict(), "200")
        head = dict(connection.heads[1][0])
        self.assertEqual(head["sec-websocket-protocol"], "chat")
        for name in ("upgrade", "connection", "sec-websocket-accept"):
            self.assertNotIn(name, head)
        connection.send(connection.body(1, b"and late"))
        self.assertEqual(connection.answer(1)[1], b"helloearly and late!")
        self.assertTrue(heads[0].startswith(b"GET /chat HTTP/1.1\r\n"), heads[0])
        self.assertEqual(field(heads[0], b"upgrade"), b"websocket")
        self.assertEqual(field(heads[0], b"connection").lower(), b"upgrade")
        self.assertEqual(len(base64.b64decode(field(heads[0], b"sec-websocket-key"))), 16)
        self.assertTrue(connection.is_alive())

    def answer_to(self, response: bytes) -> str:
        def script(sock):
            read_head(sock)
            sock.sendall(response)
            read_to_end(sock)

        self.proxy(script, ROUTES)
        connection = self.connection()
        connection.send(connection.head(1, CONNECT, end=False))
        return connection.verdict()

    def test_an_endpoint_that_says_no(self):
        self.assertEqual(self.answer_to(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "404")

    def test_an_endpoint_that_ignores_the_upgrade_is_no_tunnel(self):
        self.assertEqual(self.answer_to(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), "502")

    def test_an_endpoint_that_does_not_know_the_key(self):
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.assertEqual(self.answer_to(answer + b"\r\n"), "502")
        self.assertEqual(self.answer_to(answer + b"Sec-WebSocket-Accept: " + accept(b"x") + b"\r\n\r\n"), "502")

    def test_where_the_route_does_not_allow_it(self):
        self.proxy(self.recording())
        connection = self.connection()
        connection.send(connection.head(1, CONNECT, end=False))
        self.assertEqual(connection.verdict(), "403")
        connection.send(connection.head(3, GET))
        self.assertEqual(connection.answer(3)[1], b"ok")
        self.assertEqual(len(self.requests), 1)

    def test_another_protocol_than_the_routes(self):
        self.proxy(self.recording(), ROUTES)
        connection = self.connection()
        fields = [(name, "other" if name == ":protocol" else value) for name, value in CONNECT]
        connection.send(connection.head(1, fields, end=False))
        self.assertEqual(connection.verdict(), "403")

    def test_a_reset_reaches_the_endpoint(self):
        ended = []

        def script(sock):
            head = read_head(sock)
            sock.sendall(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept(field(head, b"sec-websocket-key")) + b"\r\n\r\n")
            try:
                read_to_end(sock)
            except OSError:
                pass
            ended.append(True)

        self.proxy(script, ROUTES)
        connection = self.connection()
        connection.send(connection.head(1, CONNECT, end=False))
        self.assertEqual(connection.verdict(), "200")
        connection.send(RstStreamFrame(1, error_code=8))
        self.eventually(lambda: ended)
        self.assertTrue(connection.is_alive())


class ToHTTP2(HTTP2Case):
    """The endpoint speaks HTTP/2."""

    UPGRADE = (
        b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")

    def upstream(self, script, settings=OFFER):
        def play(sock):
            script(Connection(sock, is_client=False, settings=settings))

        self.backend = self.peer(play)
        self.port = free_port()
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "http": {"routes": ROUTES}}
        return self.ringway(document([edge], [cluster("backend", self.backend, protocol="http2")]))

    def echo(self, connection):
        """Takes one tunnel and sends back what comes."""
        frame = connection.until(HeadersFrame)
        self.head = dict(connection.heads[frame.stream_id][0])
        connection.send(connection.head(frame.stream_id, [(":status", "200")], end=False))
        while data := connection.until(DataFrame):
            ended = "END_STREAM" in data.flags
            connection.send(connection.body(frame.stream_id, data.data, end=ended))

    def check_head(self):
        self.assertEqual(
            {name: self.head.get(name) for name in (":method", ":protocol", ":path", ":authority", ":scheme")},
            {":method": "CONNECT", ":protocol": "websocket", ":path": "/chat", ":authority": "a", ":scheme": "http"})
        for name in ("upgrade", "connection", "sec-websocket-key"):
            self.assertNotIn(name, self.head)

    def test_an_upgrade_of_http_1_becomes_an_extended_connect(self):
        self.upstream(self.echo)
        client = self.client()
        client.sendall(self.UPGRADE)
        head = read_head(client)
        self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
        self.assertEqual(field(head, b"sec-websocket-accept"), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        self.assertEqual(field(head, b"upgrade"), b"websocket")
        client.sendall(b"hello")
        self.assertEqual(client.recv(5), b"hello")
        client.close()
        self.check_head()

    def test_an_extended_connect_stays_one(self):
        self.upstream(self.echo)
        connection = self.connection()
        connection.send(connection.head(1, CONNECT, end=False))
        self.assertEqual(connection.verdict(), "200")
        connection.send(connection.body(1, b"hello"))
        self.assertEqual(connection.answer(1)[1], b"hello")
        self.check_head()

    def test_it_waits_for_the_endpoints_settings(self):
        """RFC 8441 §3: not before the endpoint has said that it understands."""

        def play(sock):
            connection = Connection(sock, is_client=False, sends_settings=False)
            connection.acknowledges = False  # before it has said its own
            first = connection.receive()
            self.assertIsInstance(first, SettingsFrame)
            connection.send(SettingsFrame(0, settings=OFFER))
            self.echo(connection)

        self.backend = self.peer(play)
        self.port = free_port()
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "http": {"routes": ROUTES}}
        self.ringway(document([edge], [cluster("backend", self.backend, protocol="http2")]))
        connection = self.connection()
        connection.send(connection.head(1, CONNECT, end=False))
        self.assertEqual(connection.verdict(), "200")

    def test_an_endpoint_that_does_not_know_it_is_asked_without(self):
        def script(connection):
            while frame := connection.until(HeadersFrame):
                self.head = dict(connection.heads[frame.stream_id][0])
                connection.send(connection.head(frame.stream_id, [(":status", "426")]))

        self.upstream(script, settings={})
        client = self.client()
        client.sendall(self.UPGRADE)
        self.assertTrue(read_head(client).startswith(b"HTTP/1.1 426 "))
        self.assertEqual(self.head[":method"], "GET")
        connection = self.connection()
        connection.send(connection.head(1, CONNECT, end=False))
        self.assertEqual(connection.verdict(), "426")

    def test_a_reset_of_the_endpoint_ends_the_tunnel(self):
        def script(connection):
            frame = connection.until(HeadersFrame)
            connection.send(connection.head(frame.stream_id, [(":status", "200")], end=False))
            connection.until(DataFrame)
            connection.send(RstStreamFrame(frame.stream_id, error_code=10))
            connection.receive()

        self.upstream(script)
        connection = self.connection()
        connection.send(connection.head(1, CONNECT, end=False))
        self.assertEqual(connection.verdict(), "200")
        connection.send(connection.body(1, b"x", end=False))
        self.assertEqual(connection.until(RstStreamFrame, 1).error_code, 10)


class Programs(WebSocketCase):
    """Python's `websockets` on both sides, and nghttpx, which speaks both forms, between one of them and the proxy."""

    def nghttpx(self, frontend: int, backend: int, protocol: str):
        """Takes HTTP/1.1 and HTTP/2 on `frontend` and speaks `protocol` with `backend`."""
        self.server(
            "nghttpx", f"--frontend=127.0.0.1,{frontend};no-tls", f"--backend=127.0.0.1,{backend};;proto={protocol}",
            "--workers=1", "--errorlog-file=/dev/null", "--accesslog-file=/dev/null", "--conf=/dev/null")
        self.wait_listening(frontend)

    def play(self, port: int):
        messages = [os.urandom(n * 97 % 20_000) for n in range(200)]

        async def run():
            async with connect(f"ws://127.0.0.1:{port}/", max_size=1 << 24, proxy=None) as client:
                for message in messages:
                    await client.send(message)
                    self.assertEqual(await client.recv(), message)

        asyncio.run(run())

    def test_a_client_behind_a_proxy_that_speaks_http_2(self):
        self.start(self.echo)
        frontend = free_port()
        self.nghttpx(frontend, self.port, "h2")
        self.play(frontend)
        self.assertGreaterEqual(self.process.metrics().sum("ringway_http2_connections_active"), 1)
        self.eventually_equal(lambda: self.process.metrics().sum("ringway_http_requests_active"), 0)

    def test_a_server_behind_a_proxy_that_speaks_http_2(self):
        frontend, port = free_port(), free_port()
        self.nghttpx(frontend, self.serve(self.echo), "http/1.1")
        edge = {"name": "edge", "address": f"127.0.0.1:{port}", "http": {"routes": ROUTES}}
        proxy = self.ringway(document([edge], [cluster("backend", frontend, protocol="http2")]))
        self.play(port)
        self.eventually_equal(lambda: proxy.metrics().sum("ringway_http_requests_active"), 0)


if __name__ == "__main__":
    unittest.main()
