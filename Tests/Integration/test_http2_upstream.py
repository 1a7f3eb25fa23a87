"""Endpoints that speak HTTP/2, scripted frame by frame."""

import unittest

from hyperframe.frame import GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame
from support import cluster, document, free_port
from support.http2 import GET, Connection
from support.sockets import read_to_end
from test_http2 import HTTP2Case


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
        self.goes_away(connections_left=1)

    def test_a_request_may_be_left_out_of_several_connections(self):
        self.goes_away(connections_left=3)

    def goes_away(self, connections_left: int):
        connections = []

        def script(connection):
            connections.append(connection)
            frame = connection.until(HeadersFrame)
            if len(connections) <= connections_left:
                connection.send(GoAwayFrame(0, last_stream_id=0))
            else:
                connection.send(connection.head(frame.stream_id, [(":status", "200")]))
            # A close with bytes unread would be a reset, which may overtake what was sent.
            while connection.receive():
                pass

        self.upstream(script)
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(read_to_end(client).startswith(b"HTTP/1.1 200 "))
        self.assertEqual(len(connections), connections_left + 1)

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


if __name__ == "__main__":
    unittest.main()
