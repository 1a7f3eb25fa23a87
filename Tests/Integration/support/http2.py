"""HTTP/2 frame by frame: what real libraries would never send, and exactly what came back."""

import socket

from hpack import Decoder, Encoder
from hyperframe.frame import (
    DataFrame, Frame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
POST = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")]


class Connection:
    """One side of a connection on a socket. Frames that come are kept in `frames`, heads of streams in `heads`."""

    def __init__(self, sock: socket.socket, is_client: bool = True, settings: dict | None = None,
                 sends_settings: bool = True):
        self.sock = sock
        self.encoder = Encoder()
        self.decoder = Decoder()
        self.frames: list[Frame] = []
        self.heads: dict[int, list[list[tuple[str, str]]]] = {}
        self.data: dict[int, bytes] = {}
        self._buffer = b""
        self.acknowledges = True
        if is_client:
            sock.sendall(PREFACE)
        else:
            while len(self._buffer) < len(PREFACE) and (more := sock.recv(65536)):
                self._buffer += more
            self._buffer = self._buffer[len(PREFACE):]
        if sends_settings:
            self.send(SettingsFrame(0, settings=settings or {}))

    # Sending.

    def send(self, *frames: Frame):
        self.sock.sendall(b"".join(frame.serialize() for frame in frames))

    def raw(self, kind: int, flags: int, stream: int, payload: bytes = b""):
        """A frame of any type with any flags."""
        length = len(payload)
        self.sock.sendall(
            bytes([length >> 16, length >> 8 & 255, length & 255, kind, flags]) + stream.to_bytes(4, "big") + payload)

    def head(self, stream: int, fields, end: bool = True) -> HeadersFrame:
        frame = HeadersFrame(stream, self.encoder.encode(fields))
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def body(self, stream: int, data: bytes, end: bool = True) -> DataFrame:
        return DataFrame(stream, data, flags=["END_STREAM"] if end else [])

    # Receiving.

    def receive(self) -> Frame | None:
        """The next frame, SETTINGS acknowledged; nil at the end."""
        while True:
            if len(self._buffer) >= 9:
                frame, length = Frame.parse_frame_header(memoryview(self._buffer[:9]))
                if len(self._buffer) >= 9 + length:
                    frame.parse_body(memoryview(self._buffer[9 : 9 + length]))
                    self._buffer = self._buffer[9 + length :]
                    return self._take(frame)
            try:
                more = self.sock.recv(65536)
            except ConnectionResetError:
                return None
            if not more:
                return None
            self._buffer += more

    def _take(self, frame: Frame) -> Frame:
        self.frames.append(frame)
        if isinstance(frame, HeadersFrame):
            self.heads.setdefault(frame.stream_id, []).append(self.decoder.decode(frame.data))
        elif isinstance(frame, DataFrame):
            self.data[frame.stream_id] = self.data.get(frame.stream_id, b"") + frame.data
        elif isinstance(frame, SettingsFrame) and "ACK" not in frame.flags and self.acknowledges:
            self.send(SettingsFrame(0, flags=["ACK"]))
        return frame

    def until(self, kind: type, stream: int | None = None) -> Frame | None:
        """The next frame of a kind, and of a stream; nil if the connection ends before."""
        while frame := self.receive():
            if isinstance(frame, kind) and stream in (None, frame.stream_id):
                return frame
        return None

    def answer(self, stream: int) -> tuple[dict[str, str], bytes]:
        """The final head and the body of a response, read to its end. Trailers are in `heads`."""
        while frame := self.receive():
            if frame.stream_id != stream:
                continue
            if isinstance(frame, RstStreamFrame):
                raise AssertionError(f"stream {stream} was reset with {frame.error_code}")
            if "END_STREAM" in frame.flags:
                heads = [dict(head) for head in self.heads[stream]]
                final = next(head for head in heads if head.get(":status", "1")[0] != "1")
                return final, self.data.get(stream, b"")
        raise AssertionError(f"the connection ended before stream {stream} was answered")

    def verdict(self, stream: int = 1) -> str:
        """What became of a stream: `200` and so on, `reset CODE`, `goaway CODE`, or `closed`."""
        while frame := self.receive():
            if isinstance(frame, GoAwayFrame):
                return f"goaway {frame.error_code}"
            if isinstance(frame, RstStreamFrame) and frame.stream_id == stream:
                return f"reset {frame.error_code}"
            if isinstance(frame, HeadersFrame) and frame.stream_id == stream:
                return dict(self.heads[stream][-1])[":status"]
        return "closed"

    def is_alive(self) -> bool:
        """Whether a PING is answered."""
        self.send(PingFrame(0, b"12345678"))
        while frame := self.receive():
            if isinstance(frame, PingFrame) and "ACK" in frame.flags:
                return True
        return False

    def open_window(self, stream: int, count: int):
        self.send(WindowUpdateFrame(stream, window_increment=count))
