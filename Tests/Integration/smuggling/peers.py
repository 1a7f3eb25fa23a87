"""The two ends: a client that sends raw bytes in pieces, and an endpoint that keeps what it receives."""

import random
import re
import socket
import threading
import time

from .cases import Response
from .wire import Malformed, Message, Reader

#: Asked behind every case, on the same connection: served or not, never mistaken for something else.
NEXT = b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
NEXT_FORWARDED = Message(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")

# What the proxy adds to every request on its way.
_OWN_FIELDS = re.compile(
    rb"\r\n(?:x-forwarded-proto: http|x-request-id: [0-9a-f-]{36}|x-envoy-expected-rq-timeout-ms: \d+)(?=\r\n)"
)


class Recorder:
    """An endpoint that answers every complete request with its target, and keeps all that arrives."""

    def __init__(self):
        self._lock = threading.Lock()
        self.requests: list[Message] = []
        #: What connections ended in the middle of.
        self.unfinished: list[Message] = []
        self.malformed: list[str] = []

    def script(self, sock: socket.socket):
        reader = Reader("request")
        try:
            while data := _received(sock):
                reader.data += data
                while request := reader.next():
                    with self._lock:
                        self.requests.append(request)
                    self.answer(sock, request)
            if rest := reader.unfinished():
                with self._lock:
                    self.unfinished.append(_without_own_fields(rest))
        except Malformed as error:
            with self._lock:
                self.malformed.append(f"{error} in {reader.data!r}")

    def answer(self, sock: socket.socket, request: Message):
        method, target, _ = request.start.split(b" ")
        body = b"" if method == b"HEAD" else target
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(target), body))

    def taken(self, as_received: bool = False) -> list[Message]:
        """The requests since the last call, without what the proxy adds to every request."""
        with self._lock:
            requests, self.requests = self.requests, []
        return requests if as_received else [_without_own_fields(request) for request in requests]


class Player(Recorder):
    """An endpoint that plays the case on `/case`, whole or byte by byte, and answers everything else properly."""

    def __init__(self, in_bytes: bool):
        super().__init__()
        self.in_bytes = in_bytes
        self.case: Response | None = None
        self._played = threading.local()

    def answer(self, sock: socket.socket, request: Message):
        if b" /case " not in request.start:
            # Says whether its connection has served a case before: whether the proxy used it again.
            reused = getattr(self._played, "case", False)
            body = b"reused" if reused else b"fresh"
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            return
        self._played.case = True
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (in_bytes if self.in_bytes else whole)(self.case.raw)[0]:
            sock.sendall(piece)
        if self.case.then == "close":
            sock.shutdown(socket.SHUT_WR)
        elif self.case.then == "reset":
            time.sleep(0.05)  # so that what was sent has left
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 16)
    except OSError:  # a reset: what came before it counts
        return b""


def _without_own_fields(message: Message) -> Message:
    return Message(_OWN_FIELDS.sub(b"", message.head), message.body, message.trailers)


# The client.


def whole(raw: bytes) -> list[list[bytes]]:
    return [[raw]]


def in_bytes(raw: bytes) -> list[list[bytes]]:
    """Byte by byte; what is very long in larger pieces."""
    step = 1 if len(raw) < 2000 else 97
    return [[raw[start : start + step] for start in range(0, len(raw), step)]]


def at_random(raw: bytes, count: int = 6) -> list[list[bytes]]:
    """In two or three pieces, in `count` ways that depend on nothing but the bytes."""
    dice = random.Random(raw)
    ways = []
    for _ in range(count):
        cuts = sorted(dice.sample(range(1, len(raw)), dice.choice([1, 2])))
        ways.append([raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)])])
    return ways


def send_together(sockets: list[socket.socket], ways: list[list[bytes]]):
    """Piece by piece on each socket; with a moment between few pieces, so that they are read apart."""
    for turn in range(max(map(len, ways))):
        for sock, pieces in zip(sockets, ways):
            if turn < len(pieces):
                try:
                    sock.sendall(pieces[turn])
                except OSError:
                    pass  # refused and closed already; the answer tells
        if len(ways) > 1:
            time.sleep(0.002)


def read_answers(sock: socket.socket, first_is_for_head: bool) -> tuple[list[Message], str]:
    """All answers on a connection until the proxy ends it, and how it ended: `closed`, `reset`, or `inside` one."""
    reader = Reader("response")
    ending = "closed"
    try:
        while data := sock.recv(1 << 16):
            reader.data += data
    except ConnectionResetError:
        ending = "reset"
    reader.ended = ending == "closed"
    answers: list[Message] = []
    while answer := reader.next(without_body=first_is_for_head and not any(a.status >= 200 for a in answers)):
        answers.append(answer)
    if rest := reader.unfinished():
        answers.append(rest)
        ending = "inside"
    return answers, ending
