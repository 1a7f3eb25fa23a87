"""WebSockets through the proxy, with Python's `websockets` on both sides."""

import asyncio
import logging
import os
import threading
import unittest

from support import cluster, document, free_port
from test_http_proxy import HTTPCase, listener
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.http11 import Response

LARGE = 16 << 20


class WebSocketCase(HTTPCase):
    """The server runs in a loop and a thread of its own, so that neither side waits for the other by accident."""

    def setUp(self):
        super().setUp()
        logging.getLogger("websockets").setLevel(logging.CRITICAL)  # connections that break off are what is tested
        self.loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        thread.start()

        def end():
            self.loop.call_soon_threadsafe(self.loop.stop)
            thread.join()
            self.loop.close()

        self.addCleanup(end)

    def serve(self, handler, **options) -> int:
        """A server; its port."""
        port = free_port()

        async def run():
            return await serve(handler, "127.0.0.1", port, max_size=LARGE, **options)

        server = self.wait_for(run())

        async def stop():
            server.close()
            await server.wait_closed()

        self.addCleanup(lambda: self.wait_for(stop()))
        return port

    def start(self, handler, *, idle_timeout="1h", workers=2, **options):
        """A server, and the proxy in front of it."""
        port = self.serve(handler, **options)
        self.port = free_port()
        routes = [{"match": {}, "cluster": "backend", "upgrade": ["websocket"], "idle_timeout": idle_timeout}]
        self.process = self.ringway(
            document([listener(self.port, routes)], [cluster("backend", port)]), workers=workers
        )

    def wait_for(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def websocket(self, path: str = "/", **options):
        return connect(f"ws://127.0.0.1:{self.port}{path}", max_size=LARGE, proxy=None, **options)

    def nothing_is_left(self):
        def left(metrics):
            return [
                metrics.sum(name)
                for name in (
                    "ringway_http_requests_active",
                    "ringway_cluster_requests_active",
                    "ringway_buffers_in_use",
                    "ringway_cluster_connections_active",
                )
            ]

        self.eventually_equal(lambda: left(self.process.metrics()), [0, 0, 0, 0])

    @staticmethod
    async def echo(websocket):
        async for message in websocket:
            await websocket.send(message)


class WebSockets(WebSocketCase):
    def test_many_messages(self):
        self.start(self.echo)

        async def play():
            async with self.websocket() as client:
                for number in range(3000):
                    message = f"message {number}" if number % 2 else os.urandom(number)
                    await client.send(message)
                    self.assertEqual(await client.recv(), message)

        asyncio.run(play())
        self.nothing_is_left()

    def test_messages_that_do_not_wait_for_each_other(self):
        self.start(self.echo)
        messages = [os.urandom(n * 37 % 5000) for n in range(2000)]

        async def play():
            async with self.websocket() as client:

                async def send():
                    for message in messages:
                        await client.send(message)

                sending = asyncio.create_task(send())
                for message in messages:
                    self.assertEqual(await client.recv(), message)
                await sending

        asyncio.run(play())
        self.nothing_is_left()

    def test_many_connections(self):
        self.start(self.echo)

        async def play(number):
            async with self.websocket(f"/{number}") as client:
                for turn in range(20):
                    await client.send(f"{number} {turn}")
                    self.assertEqual(await client.recv(), f"{number} {turn}")

        async def all_at_once():
            await asyncio.gather(*(play(number) for number in range(100)))

        asyncio.run(all_at_once())
        self.nothing_is_left()

    def test_large_messages(self):
        self.start(self.echo)
        message = os.urandom(LARGE)

        async def play():
            async with self.websocket(compression=None) as client:
                for _ in range(3):
                    await client.send(message)
                    self.assertEqual(await client.recv(), message)
                # In fragments: frames of one message, with a ping between them.
                await client.send([message[:1000], message[1000:70_000], b"", message[70_000:]])
                self.assertEqual(await client.recv(), message)

        asyncio.run(play())
        self.nothing_is_left()

    def test_pings_of_both_sides(self):
        async def handler(websocket):
            for _ in range(20):
                await (await websocket.ping())
            await websocket.send("pinged")
            await websocket.wait_closed()

        self.start(handler)

        async def play():
            async with self.websocket() as client:
                for _ in range(20):
                    await asyncio.wait_for(await client.ping(), 20)
                self.assertEqual(await client.recv(), "pinged")

        asyncio.run(play())
        self.nothing_is_left()

    def test_the_client_closes(self):
        closes = []

        async def handler(websocket):
            await websocket.wait_closed()
            closes.append((websocket.close_code, websocket.close_reason))

        self.start(handler)

        async def play():
            async with self.websocket() as client:
                await client.close(4000, "enough")

        asyncio.run(play())
        self.eventually_equal(lambda: closes, [(4000, "enough")])
        self.nothing_is_left()

    def test_the_server_closes(self):
        async def handler(websocket):
            await websocket.send("last")
            await websocket.close(4001, "over")

        self.start(handler)

        async def play():
            async with self.websocket() as client:
                self.assertEqual(await client.recv(), "last")
                await client.wait_closed()
                self.assertEqual((client.close_code, client.close_reason), (4001, "over"))

        asyncio.run(play())
        self.nothing_is_left()

    def test_either_side_vanishes(self):
        async def handler(websocket):
            if websocket.request.path == "/server":
                websocket.transport.abort()
            await websocket.wait_closed()

        self.start(handler)

        async def play():
            async with self.websocket("/server") as client:
                with self.assertRaises(ConnectionClosedError):
                    await client.recv()
            client = await self.websocket("/client")
            client.transport.abort()

        asyncio.run(play())
        self.nothing_is_left()

    def test_a_handshake_that_is_refused(self):
        def refuse(connection, request):
            if request.path == "/no":
                return Response(401, "Unauthorized", Headers({"Content-Length": "2", "X-Why": "so"}), b"no")

        self.start(self.echo, process_request=refuse)

        async def play():
            with self.assertRaises(InvalidStatus) as caught:
                await self.websocket("/no")
            self.assertEqual(caught.exception.response.status_code, 401)
            self.assertEqual(caught.exception.response.headers["X-Why"], "so")
            async with self.websocket() as client:
                await client.send("still here")
                self.assertEqual(await client.recv(), "still here")

        asyncio.run(play())
        self.nothing_is_left()

    def test_protocols_and_extensions_are_between_the_ends(self):
        self.start(self.echo, subprotocols=["chat.v2"])

        async def play():
            async with self.websocket(subprotocols=["chat.v1", "chat.v2"]) as client:
                self.assertEqual(client.subprotocol, "chat.v2")
                self.assertIn("permessage-deflate", client.response.headers["Sec-WebSocket-Extensions"])
                await client.send("x" * 100_000)
                self.assertEqual(await client.recv(), "x" * 100_000)

        asyncio.run(play())

    def test_silence_ends_it(self):
        self.start(self.echo, idle_timeout="500ms")

        async def play():
            async with self.websocket(ping_interval=None) as client:
                await client.send("x")
                self.assertEqual(await client.recv(), "x")
                with self.assertRaises(ConnectionClosedError):
                    await client.recv()

        asyncio.run(play())
        self.nothing_is_left()

    def test_pings_keep_it(self):
        self.start(self.echo, idle_timeout="1s")

        async def play():
            async with self.websocket(ping_interval=0.1) as client:
                with self.assertRaises(TimeoutError):
                    await asyncio.wait_for(client.recv(), 2)
                await client.send("x")
                self.assertEqual(await client.recv(), "x")

        asyncio.run(play())


class Echo(WebSockets):
    """The same client with the network filter `websocket_echo`: by itself, and behind a route."""

    def begin(self, **settings):
        direct, self.port = free_port(), free_port()
        echo = {
            "name": "echo",
            "address": f"127.0.0.1:{direct}",
            "network_filters": [{"websocket_echo": settings}] if settings else ["websocket_echo"],
        }
        routes = [{"match": {}, "cluster": "backend", "upgrade": ["websocket"], "idle_timeout": "1h"}]
        self.process = self.ringway(
            document([listener(self.port, routes), echo], [cluster("backend", direct)]), workers=2
        )
        return direct

    def play_both(self, play, **settings):
        direct = self.begin(**settings)
        for port in (self.port, direct):
            self.port = port
            with self.subTest(through="the proxy" if port != direct else "nothing"):
                asyncio.run(play())
        self.nothing_is_left()

    def test_messages_of_all_sizes(self):
        async def play():
            async with self.websocket() as client:
                self.assertNotIn("Sec-WebSocket-Extensions", client.response.headers)
                for size in [0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000, LARGE]:
                    for message in (os.urandom(size), "é" * (size // 2)):
                        # Both at once: what comes back does not wait for the end of what is sent.
                        echoed, _ = await asyncio.gather(client.recv(), client.send(message))
                        self.assertEqual(echoed, message)
                await client.send(["in ", "", "frag", "ments"])
                self.assertEqual(await client.recv(), "in fragments")
                await asyncio.wait_for(await client.ping(b"x" * 125), 20)
                await client.close(4000, "enough")
                self.assertEqual(client.protocol.close_rcvd.code, 4000)

        self.play_both(play)

    def test_many_at_once(self):
        async def one(number):
            async with self.websocket() as client:
                for turn in range(20):
                    await client.send(f"{number} {turn}" * turn)
                    self.assertEqual(await client.recv(), f"{number} {turn}" * turn)

        async def play():
            await asyncio.gather(*(one(number) for number in range(100)))

        self.play_both(play)

    def test_a_message_beyond_the_limit(self):
        async def play():
            async with self.websocket() as client:
                await client.send("x" * 1000)
                self.assertEqual(await client.recv(), "x" * 1000)
                await client.send("x" * 1001)
                with self.assertRaises(ConnectionClosedError) as caught:
                    await client.recv()
                self.assertEqual(caught.exception.rcvd.code, 1009)

        self.play_both(play, message_bytes="1000B")

    def test_silence_ends_it_with_a_code(self):
        async def play():
            async with self.websocket(ping_interval=None) as client:
                await client.wait_closed()
                self.assertEqual(client.close_code, 1001)

        self.play_both(play, idle_timeout="300ms")

    def test_a_drain_says_so(self):
        async def play():
            async with self.websocket(ping_interval=None) as client:
                await client.send("x")
                await client.recv()
                self.process.signal(15)
                await client.wait_closed()
                self.assertEqual(client.close_code, 1001)

        self.begin()
        asyncio.run(play())

    def test_what_is_no_websocket(self):
        direct = self.begin()
        for port in (self.port, direct):
            self.port = port
            answer = self.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            self.assertTrue(answer.startswith(b"HTTP/1.1 426 "), answer)
        answer = self.exchange(b"nonsense\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 400 "), answer)


if __name__ == "__main__":
    unittest.main()
