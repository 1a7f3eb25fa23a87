"""What RFC 9113 says of frames and streams, and RFC 7541 of compression, section by section.

What messages may say (RFC 9113 §8.2 and §8.3) is in `Smuggling` of test_http2.py, field by field in the Swift tests
(HTTP2Tests/RuleTests), CONNECT (§8.5) in test_http2_websockets.py, refused requests (§8.7) in test_http2_upstream.py.
"""

import unittest

from hpack import Decoder, NeverIndexedHeaderTuple
from hpack.table import HeaderTable
from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PingFrame, SettingsFrame
from support import cluster, document, free_port
from support.http2 import GET, POST, PREFACE, Connection
from support.sockets import read_to_end
from test_http2 import HTTP2Case
from test_http_proxy import read_head


class Broken(HTTP2Case):
    """What breaks the rules of frames, and how it ends."""

    PROTOCOL, FLOW, CLOSED, SIZE, COMPRESSION = "goaway 1", "goaway 3", "goaway 5", "goaway 6", "goaway 9"

    def check(self, expected, *frames):
        """Sends raw frames, each (type, flags, stream, payload), behind a POST whose body is open on stream 1, and
        compares what becomes of it."""
        with self.subTest(expected=expected, frames=frames):
            connection = self.connection()
            connection.raw(1, 0x4, 1, connection.encoder.encode(POST))
            for frame in frames:
                connection.raw(*frame)
            self.assertIn(connection.verdict(), expected if isinstance(expected, tuple) else (expected,))

    def setUp(self):
        super().setUp()
        self.proxy(lambda sock: read_to_end(sock))

    def test_section_3_the_preface(self):
        """§3.4: 24 bytes and a SETTINGS frame."""
        answer = self.exchange(PREFACE[:-2] + b"xx")
        self.assertNotIn(b"200", answer)
        connection = Connection(self.client(), sends_settings=False)
        connection.raw(6, 0, 0, b"12345678")
        self.assertEqual(connection.verdict(), self.PROTOCOL)

    def test_section_4_frames_and_header_blocks(self):
        self.check(self.SIZE, (0, 0, 1, b"x" * 16_385))  # §4.2 larger than SETTINGS_MAX_FRAME_SIZE
        self.check(self.SIZE, (1, 0x4, 3, b"x" * 16_385))  # §4.2 the same for a header block
        self.check(self.SIZE, (4, 0, 0, b"\0\x77\0\0\0\1" * 2731))  # §4.2 for SETTINGS
        self.check(self.COMPRESSION, (1, 0x5, 3, b"\x80"))  # §4.3
        self.check(self.PROTOCOL, (1, 0, 3, b"\x82"), (0, 0, 1, b"x"))  # §4.3 a block is contiguous
        self.check(self.PROTOCOL, (1, 0, 3, b"\x82"), (6, 0, 0, b"12345678"))
        self.check(self.PROTOCOL, (1, 0, 3, b"\x82"), (1, 0x5, 5, b"\x82"))

    def test_section_5_streams(self):
        self.check(self.PROTOCOL, (0, 0, 7, b"x"))  # §5.1 idle: DATA
        self.check(self.PROTOCOL, (3, 0, 7, b"\0\0\0\0"))  # §5.1 idle: RST_STREAM
        self.check(self.PROTOCOL, (8, 0, 7, b"\0\0\0\1"))  # §5.1 idle: WINDOW_UPDATE
        self.check(("reset 5", self.CLOSED, self.PROTOCOL), (0, 1, 1, b"x"), (0, 0, 1, b"x"))  # §5.1 half closed: DATA
        get = b"\x82\x86\x84\x41\x01a"
        self.check(("reset 5", self.CLOSED, self.PROTOCOL), (0, 1, 1, b"x"), (1, 0x5, 1, get))  # §5.1 and HEADERS
        self.check(self.PROTOCOL, (1, 0x5, 2, get))  # §5.1.1 an even stream
        self.check(self.PROTOCOL, (1, 0x5, 0, get))  # §5.1.1 no stream
        self.check(self.PROTOCOL, (1, 0, 3, b"\x82"), (0x77, 0, 0, b""))  # §5.5 an unknown frame within a block

    def test_section_6_1_data(self):
        self.check(self.PROTOCOL, (0, 0, 0, b"x"))
        self.check(self.PROTOCOL, (0, 0x8, 1, b"\x05abc"))  # padding longer than the payload
        self.check((self.PROTOCOL, self.SIZE), (0, 0x8, 1, b""))  # padding without its length

    def test_section_6_2_headers(self):
        self.check(self.PROTOCOL, (1, 0x5, 0, b""))
        self.check(self.PROTOCOL, (1, 0xD, 3, b"\x05\x82"))  # padding longer than the payload
        self.check((self.PROTOCOL, self.SIZE), (1, 0x25, 3, b"\0\0"))  # a priority that is cut off

    def test_section_6_3_priority(self):
        self.check(("reset 6", self.SIZE), (2, 0, 1, b"\0\0\0\0"))

    def test_section_6_4_rst_stream(self):
        self.check(self.PROTOCOL, (3, 0, 0, b"\0\0\0\0"))
        self.check(self.SIZE, (3, 0, 1, b"\0\0\0"))

    def test_section_6_5_settings(self):
        self.check(self.PROTOCOL, (4, 0, 1, b""))
        self.check(self.SIZE, (4, 0x1, 0, b"\0\0\0\0\0\0"))  # an acknowledgement that says something
        self.check(self.SIZE, (4, 0, 0, b"\0\0\0"))
        self.check(self.PROTOCOL, (4, 0, 0, b"\x00\x02\x00\x00\x00\x02"))  # §6.5.2 ENABLE_PUSH 2
        self.check(self.FLOW, (4, 0, 0, b"\x00\x04\x80\x00\x00\x00"))  # §6.5.2 a window beyond 2^31-1
        self.check(self.PROTOCOL, (4, 0, 0, b"\x00\x05\x00\x00\x00\x01"))  # §6.5.2 MAX_FRAME_SIZE 1
        self.check(self.PROTOCOL, (4, 0, 0, b"\x00\x05\x01\x00\x00\x00"))  # §6.5.2 MAX_FRAME_SIZE 2^24
        self.check(self.PROTOCOL, (4, 0, 0, b"\x00\x08\x00\x00\x00\x02"))  # RFC 8441 §3 ENABLE_CONNECT_PROTOCOL 2

    def test_section_6_6_and_8_4_push(self):
        self.check(self.PROTOCOL, (5, 0x4, 1, b"\0\0\0\2"))

    def test_section_6_7_ping(self):
        self.check(self.PROTOCOL, (6, 0, 1, b"12345678"))
        self.check(self.SIZE, (6, 0, 0, b"1234"))

    def test_section_6_8_goaway(self):
        self.check(self.PROTOCOL, (7, 0, 1, b"\0" * 8))
        self.check(self.SIZE, (7, 0, 0, b"\0" * 7))

    def test_section_6_9_window_update(self):
        self.check(self.PROTOCOL, (8, 0, 0, b"\0\0\0\0"))  # an increment of 0
        self.check(("reset 1", self.PROTOCOL), (8, 0, 1, b"\0\0\0\0"))
        self.check(self.FLOW, (8, 0, 0, b"\x7f\xff\xff\xff"))  # §6.9.1
        self.check("reset 3", (8, 0, 1, b"\x7f\xff\xff\xff"))
        # §6.9.2 wants the connection to end; the library resets the stream whose window would be too large.
        self.check((self.FLOW, "reset 3"), (8, 0, 1, b"\x70\0\0\0"), (4, 0, 0, b"\0\4\x7f\xff\xff\xff"))
        self.check(self.SIZE, (8, 0, 0, b"\0\0\1"))

    def test_section_6_10_continuation(self):
        self.check(self.PROTOCOL, (9, 0x4, 1, b""))  # of nothing
        self.check(self.PROTOCOL, (1, 0, 3, b"\x82"), (9, 0x4, 5, b"\x82"))  # of another
        self.check(self.PROTOCOL, (1, 0x4, 3, b"\x82"), (9, 0x4, 3, b"\x82"))  # of one that is complete

    def test_priority_update(self):
        """RFC 9218 §7.1."""
        self.check(self.PROTOCOL, (0x10, 0, 1, b"\0\0\0\1u=1"))  # on a stream
        self.check(self.SIZE, (0x10, 0, 0, b"\0\0\0"))


class Compression(HTTP2Case):
    """RFC 7541, as a peer of the proxy sees it."""

    def setUp(self):
        super().setUp()
        self.proxy(self.recording())

    def broken(self, block: bytes, before: bytes = b""):
        with self.subTest(block):
            connection = self.connection()
            if before:
                connection.raw(1, 0x5, 1, before)
                connection.answer(1)
            connection.raw(1, 0x5, 3, block)
            self.assertEqual(connection.verdict(3), "goaway 9")

    GET = b"\x82\x86\x84\x01\x01a"  # nothing of it enters the table

    def good(self, connection, stream: int, block: bytes) -> bytes:
        """The request that an HTTP/1.1 endpoint sees."""
        connection.raw(1, 0x5, stream, self.GET + block)
        self.assertEqual(connection.answer(stream)[1], b"ok")
        return self.requests[-1].lower()

    def test_section_2_3_indexes(self):
        self.broken(b"\xc0")  # §2.3.3 beyond both tables
        self.broken(b"\x80")  # §6.1 index 0
        connection = self.connection()
        self.assertIn(b"\r\nx: y\r\n", self.good(connection, 1, b"\x40\x01x\x01y"))
        # §2.3.3: the newest entry is the first behind the static table.
        self.assertIn(b"\r\nx: z\r\n", self.good(connection, 3, b"\x7e\x01z"))
        request = self.good(connection, 5, b"\xbe\xbf")
        self.assertIn(b"\r\nx: z\r\nx: y\r\n", request)

    def test_section_4_2_sizes_change_at_the_beginning_of_a_block(self):
        self.broken(self.GET + b"\x20")
        self.broken(b"\x3f\xff\xff\x7f")  # §6.3 beyond what was allowed
        connection = self.connection()
        self.good(connection, 1, b"\x40\x01x\x01y")
        # §4.3: a table of no size has no entries, and grows again.
        connection.raw(1, 0x5, 3, b"\x20\x3f\xe1\x1f" + self.GET + b"\x40\x01a\x01b")
        self.assertEqual(connection.answer(3)[1], b"ok")
        self.assertIn(b"\r\na: b\r\n", self.good(connection, 5, b"\xbe"))
        self.broken(b"\x20" + self.GET + b"\xbe", before=self.GET + b"\x40\x01x\x01y")

    def test_section_4_4_entries_are_evicted(self):
        connection = self.connection()
        self.good(connection, 1, b"\x40\x01x\x01y")
        # An entry as large as the table empties it, and stays out.
        self.good(connection, 3, b"\x40\x01a\x7f\xc1\x1f" + b"b" * 4160)
        connection.raw(1, 0x5, 5, self.GET + b"\xbe")
        self.assertEqual(connection.verdict(5), "goaway 9")

    def test_section_5_1_integers(self):
        self.broken(b"\xff\xff\xff\xff\xff\xff")
        self.broken(b"\xff" + b"\x80" * 20 + b"\x01")
        self.broken(b"\xff")  # cut off
        connection = self.connection()
        self.assertIn(b"\r\nx: y\r\n", self.good(connection, 1, b"\x00\x01x\x01y"))

    def test_section_5_2_strings(self):
        self.broken(b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")  # EOS
        self.broken(b"\x00\x01x\x82\x1f\xff\xff")  # more padding than seven bits
        self.broken(b"\x00\x01x\x81\x18")  # padding that is not the beginning of EOS
        self.broken(b"\x00\x7f\xff\xff\xff\xff\x7fx")  # a length beyond everything
        self.broken(b"\x00\x05x")  # cut off
        text = "".join(map(chr, range(32, 127))).strip()
        connection = self.connection()
        connection.send(connection.head(1, GET + [("x", text)]))  # hpack uses Huffman codes
        connection.answer(1)
        self.assertIn(f"\r\nx: {text}\r\n".encode(), self.requests[-1])

    def test_section_6_2_literals(self):
        connection = self.connection()
        # With indexing, without, and never indexed; names new and indexed.
        request = self.good(
            connection, 1, b"\x40\x01a\x011\x00\x01b\x012\x10\x01c\x013\x7a\x02me\x0f\x2b\x02me\x1f\x2b\x02me")
        for line in (b"a: 1", b"b: 2", b"c: 3"):
            self.assertIn(b"\r\n" + line + b"\r\n", request)
        # Only the first kind is in the table: `user-agent: me` is the newest entry, `a: 1` the one before.
        self.assertIn(b"\r\na: 1\r\n", self.good(connection, 3, b"\xbf"))

    def test_section_6_3_the_clients_own_limit(self):
        """SETTINGS_HEADER_TABLE_SIZE of 0: what comes back is decoded without a table."""
        connection = self.connection(settings={SettingsFrame.HEADER_TABLE_SIZE: 0})
        connection.decoder.max_allowed_table_size = 0
        connection.until(SettingsFrame)
        self.assertTrue(connection.is_alive())
        for stream in (1, 3):
            connection.send(connection.head(stream, GET))
            self.assertEqual(connection.answer(stream)[1], b"ok")
        self.assertEqual(len(connection.decoder.header_table.dynamic_entries), 0)

    def test_section_7_1_3_never_indexed_stays_so(self):
        heads = []

        def script(sock):
            upstream = Connection(sock, is_client=False)
            frame = upstream.until(HeadersFrame)
            heads.append(frame.data)
            upstream.decoder = Decoder()
            upstream.send(upstream.head(frame.stream_id, [(":status", "204")]))
            upstream.receive()

        backend = self.peer(script)
        self.port = free_port()
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}",
                "http": {"routes": [{"match": {}, "cluster": "backend"}]}}
        self.ringway(document([edge], [cluster("backend", backend, protocol="http2")]))
        connection = self.connection()
        connection.send(connection.head(1, GET + [NeverIndexedHeaderTuple("x-secret", "1"), ("x-plain", "2")]))
        self.assertEqual(connection.verdict(), "204")
        fields = {field[0]: field for field in Decoder().decode(heads[0])}
        self.assertIsInstance(fields["x-secret"], NeverIndexedHeaderTuple)
        self.assertNotIsInstance(fields["x-plain"], NeverIndexedHeaderTuple)

    def test_appendix_a_every_static_entry(self):
        """Fields that may be in a request, by their index."""
        table = HeaderTable.STATIC_TABLE
        connection = self.connection()
        skipped = {b"te", b"transfer-encoding", b"host", b"content-length", b"expect", b"cookie"}
        for index, (name, _) in enumerate(table, start=1):
            if name.startswith(b":") or name in skipped:
                continue
            literal = b"\x0f" + bytes([index - 15]) if index >= 15 else bytes([index])
            request = self.good(connection, 2 * index + 1, literal + b"\x01v")
            self.assertIn(b"\r\n" + name + b": v", request, name)


class Tolerated(HTTP2Case):
    """What is unusual, and right."""

    def test_what_must_be_ignored(self):
        self.proxy(self.recording())
        connection = self.connection()
        connection.raw(0x77, 0xFF, 0, b"unknown")  # §5.5
        connection.raw(0x77, 0xFF, 1, b"unknown")
        connection.raw(4, 0, 0, b"\x77\x77\0\0\0\1")  # §6.5.2 an unknown setting
        connection.raw(6, 0xFE, 0, b"12345678")  # §4.1 undefined flags
        connection.raw(2, 0, 1, b"\0\0\0\0\x10")  # §6.3 PRIORITY of an idle stream
        connection.raw(2, 0, 0, b"\0\0\0\0\x10")  # and of none: nobody looks at what it says
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

    def test_section_6_5_and_6_7_acknowledgements(self):
        self.proxy(self.recording())
        connection = self.connection()
        connection.raw(6, 0x1, 0, b"nobody's")  # an answer to no question
        connection.send(PingFrame(0, b"question"), SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 70_000}))
        answer = connection.until(PingFrame)
        self.assertEqual((answer.opaque_data, "ACK" in answer.flags), (b"question", True))
        self.assertTrue(any("ACK" in frame.flags for frame in connection.frames if isinstance(frame, SettingsFrame))
                        or "ACK" in connection.until(SettingsFrame).flags)

    def test_section_6_8_a_client_that_goes_away_gets_its_answers(self):
        self.proxy(self.recording())
        connection = self.connection()
        connection.send(connection.head(1, GET), GoAwayFrame(0, last_stream_id=0))
        self.assertEqual(connection.answer(1)[1], b"ok")

    def test_section_6_9_2_windows_follow_the_setting(self):
        """Also below zero, where they stay until the client opens them far enough."""
        body = 100_000

        def script(sock):
            while read_head(sock):
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % body + b"x" * body)

        self.proxy(script)
        connection = self.connection(settings={SettingsFrame.INITIAL_WINDOW_SIZE: 30_000})
        connection.open_window(0, 1 << 20)
        connection.send(connection.head(1, GET))
        while len(connection.data.get(1, b"")) < 30_000:
            connection.receive()
        connection.send(SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 10_000}))
        connection.open_window(1, 20_000)  # from -20,000 to 0
        self.assertTrue(connection.is_alive())
        self.assertEqual(len(connection.data[1]), 30_000)
        connection.send(SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: body}))
        self.assertEqual(len(connection.answer(1)[1]), body)

    def test_section_8_1_trailers_end_a_message(self):
        self.proxy(self.recording())
        connection = self.connection()
        connection.send(connection.head(1, POST, end=False), connection.head(1, [("x", "y")], end=False))
        self.assertEqual(connection.verdict(), "reset 1")  # without END_STREAM
        connection.send(connection.head(3, POST, end=False), connection.head(3, [(":path", "/")]))
        self.assertEqual(connection.verdict(3), "reset 1")  # §8.3: no pseudo-header fields in them
        self.assertTrue(connection.is_alive())

    def test_section_8_6_upgrades_are_not_of_http_2(self):
        """§3.1: `Upgrade: h2c` is ignored."""
        self.proxy(self.recording())
        client = self.client()
        client.sendall(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n")
        self.assertTrue(read_head(client).startswith(b"HTTP/1.1 200 "))


if __name__ == "__main__":
    unittest.main()
