"""Reads HTTP/1.1 off the wire as strictly as the RFCs allow, to judge what the proxy wrote."""

import re
from dataclasses import dataclass

_START_LINES = {
    "request": re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/1\.1"),
    "response": re.compile(rb"HTTP/1\.1 [1-5][0-9][0-9] [\t -~]*"),
}
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([\t -~\x80-\xff]*)")
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,16}")


class Malformed(Exception):
    """What was written is not the one form that everybody reads alike."""


@dataclass(frozen=True)
class Message:
    """A message with its chunks joined: `head` up to and with the empty line, `trailers` line by line."""

    head: bytes
    body: bytes = b""
    trailers: bytes = b""

    @property
    def start(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def status(self) -> int:
        return int(self.start.split()[1])

    def values(self, name: bytes) -> list[bytes]:
        lines = (line.partition(b": ") for line in self.head.split(b"\r\n")[1:])
        return [value for found, _, value in lines if found.lower() == name.lower()]


class Reader:
    """Takes messages off the front of what has been received."""

    def __init__(self, kind: str):
        self._start_line = _START_LINES[kind]
        self.data = b""
        self.ended = False

    def next(self, without_body: bool = False) -> Message | None:
        """The next message if all of it is here. `without_body` is for answers to HEAD."""
        head, rest = self._head()
        if head is None:
            return None
        message, rest, complete = self._body(Message(head), rest, without_body)
        if not complete:
            return None
        self.data = rest
        return message

    def unfinished(self) -> Message | None:
        """What there is of a message that never became complete, nil when nothing is left."""
        if not self.data:
            return None
        head, rest = self._head()
        if head is None:
            return Message(self.data)
        return self._body(Message(head), rest, False)[0]

    def _head(self):
        end = self.data.find(b"\r\n\r\n")
        if end < 0:
            return None, self.data
        start, *fields = self.data[:end].split(b"\r\n")
        if not self._start_line.fullmatch(start):
            raise Malformed(f"start line {start!r}")
        for field in fields:
            if not _FIELD.fullmatch(field):
                raise Malformed(f"field line {field!r}")
        return self.data[: end + 4], self.data[end + 4 :]

    def _body(self, message: Message, rest: bytes, without_body: bool):
        codings, lengths = message.values(b"transfer-encoding"), message.values(b"content-length")
        if len(codings) + len(lengths) > 1 or codings not in ([], [b"chunked"]):
            raise Malformed(f"framing of {message.head!r}")
        is_response = message.head.startswith(b"HTTP/")
        if is_response and (without_body or message.status in (204, 304) or message.status < 200):
            return message, rest, True
        if codings:
            return self._chunks(message, rest)
        if lengths:
            length = int(lengths[0])
            return Message(message.head, rest[:length]), rest[length:], len(rest) >= length
        if is_response:  # until the end of the connection
            return Message(message.head, rest), b"", self.ended
        return message, rest, True

    def _chunks(self, message: Message, rest: bytes):
        body = b""
        while True:
            line, found, behind = rest.partition(b"\r\n")
            if not found:
                return Message(message.head, body), rest, False
            if not _CHUNK_SIZE.fullmatch(line):
                raise Malformed(f"chunk size {line!r}")
            size = int(line, 16)
            if size == 0:
                return self._trailers(Message(message.head, body), behind)
            data = behind[:size]
            body += data
            if len(behind) < size + 2:
                return Message(message.head, body), rest, False
            if behind[size : size + 2] != b"\r\n":
                raise Malformed(f"end of chunk {behind[size : size + 2]!r}")
            rest = behind[size + 2 :]

    def _trailers(self, message: Message, rest: bytes):
        trailers = b""
        while True:
            line, found, rest = rest.partition(b"\r\n")
            if not found:
                return Message(message.head, message.body, trailers), rest, False
            if not line:
                return Message(message.head, message.body, trailers), rest, True
            if not _FIELD.fullmatch(line):
                raise Malformed(f"trailer {line!r}")
            trailers += line + b"\r\n"
