"""What is legal once and abuse in numbers: each bound of HTTP/2 with its counter."""

import threading
import unittest

from hyperframe.frame import DataFrame, GoAwayFrame, PriorityFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame
from support.http2 import GET, POST
from test_http2 import HTTP2Case


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


if __name__ == "__main__":
    unittest.main()
