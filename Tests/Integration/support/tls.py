"""A TLS client whose records pass through our hands: to send them in pieces, changed, or to end one side only."""

import socket
import ssl

from .sockets import PATIENCE


class RecordClient:
    """Handshaken when it is made."""

    def __init__(self, port: int, context: ssl.SSLContext, name: str = "localhost", piece: int | None = None):
        self.piece = piece
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._until(self.tls.do_handshake)

    def _flush(self):
        data = self.outgoing.read()
        step = self.piece or max(len(data), 1)
        for start in range(0, len(data), step):
            self.socket.sendall(data[start : start + step])

    def _until(self, action):
        while True:
            try:
                result = action()
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                data = self.socket.recv(1 << 16)
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()

    def records(self, data: bytes) -> bytes:
        """What would be sent for `data`."""
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view) :]
        return self.outgoing.read()

    def send(self, data: bytes):
        view = memoryview(data)
        while view:
            view = view[self.tls.write(view) :]
            self._flush()

    def end(self):
        """Sends close_notify, and reads on."""
        try:
            self.tls.unwrap()
        except ssl.SSLWantReadError:
            pass
        self._flush()

    def recv(self, count: int = 1 << 16) -> bytes:
        """b"" after a close_notify; an SSLEOFError where the socket ends without one."""
        try:
            return self._until(lambda: self.tls.read(count))
        except ssl.SSLZeroReturnError:
            return b""

    def read_to_end(self) -> bytes:
        data = bytearray()
        while part := self.recv():
            data += part
        return bytes(data)

    def close(self):
        self.socket.close()
