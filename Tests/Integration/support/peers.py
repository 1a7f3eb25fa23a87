"""Scripted TCP peers: a listening socket, and a thread that plays a script on each connection."""

import contextlib
import hashlib
import os
import socket
import threading

from .sockets import PATIENCE, parse, read_to_end, reset


class Peer:
    """Listens on a port of its own and runs `script(socket)` for every connection, each in a thread.

    Without a script connections are only kept. They are closed when the script returns, and with the peer.
    """

    def __init__(self, script=None, address: str = "127.0.0.1:0", backlog: int = 1024):
        family, where = parse(address)
        self.script = script
        self.connections: list[socket.socket] = []
        self.accepted = 0
        self._listening = socket.socket(family, socket.SOCK_STREAM)
        self._listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listening.bind(where)
        self._listening.listen(backlog)
        bound = self._listening.getsockname()
        if family == socket.AF_UNIX:
            self.address = f"unix:{bound}"
        elif family == socket.AF_INET6:
            self.address = f"[{bound[0]}]:{bound[1]}"
        else:
            self.address = f"{bound[0]}:{bound[1]}"
        self.port = None if family == socket.AF_UNIX else bound[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE)
            self.connections.append(sock)
            self.accepted += 1
            if self.script:
                threading.Thread(target=self._play, args=(sock,), daemon=True).start()

    def _play(self, sock: socket.socket):
        try:
            self.script(sock)
        except OSError:
            pass  # the other side ended the scene; tests look at what arrived, not at how a peer felt
        finally:
            sock.close()

    def stop_listening(self):
        # close() alone leaves a blocked accept() in place.
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def close(self):
        self.stop_listening()
        for sock in self.connections:
            sock.close()
        if self.address.startswith("unix:") and os.path.exists(self.address[5:]):
            os.unlink(self.address[5:])


# Scripts.


def echo(sock: socket.socket):
    while data := sock.recv(1 << 18):
        sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


def greet(name: str):
    """Says who it is, then waits for the client's end."""

    def script(sock: socket.socket):
        sock.sendall(name.encode())
        read_to_end(sock)

    return script


def digest(sock: socket.socket):
    """Reads to the end of the stream and answers with its length and SHA-256, then ends its own."""
    count, sha = 0, hashlib.sha256()
    while data := sock.recv(1 << 20):
        count += len(data)
        sha.update(data)
    sock.sendall(f"{count} {sha.hexdigest()}".encode())
    sock.shutdown(socket.SHUT_WR)


def send(data: bytes):
    """Sends `data` and its end, whatever comes in meanwhile, then reads to the end."""

    def script(sock: socket.socket):
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        read_to_end(sock)

    return script


def flood(sock: socket.socket):
    """Sends without end."""
    block = b"x" * (1 << 16)
    while True:
        sock.sendall(block)


def sink(sock: socket.socket):
    """Reads to the end and says nothing."""
    while sock.recv(1 << 20):
        pass


def reset_at_once(sock: socket.socket):
    reset(sock)


def http(body: str):
    """Answers every request, and keeps the connection."""
    response = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()

    def script(sock: socket.socket):
        pending = b""
        while data := sock.recv(65536):
            pending += data
            while b"\r\n\r\n" in pending:
                _, pending = pending.split(b"\r\n\r\n", 1)
                sock.sendall(response)

    return script
