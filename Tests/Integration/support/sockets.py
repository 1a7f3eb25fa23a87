"""Raw sockets, spelled so that a test says what it does on the wire."""

import random
import select
import socket
import struct

# How long a test waits for something that ought to come. Only a failing test waits this long.
PATIENCE = 30

_reservations = []


def free_port() -> int:
    """A port that nobody listens on, for a server about to start; no other test gets it until this process ends.

    Not one of the ports that the kernel gives to outgoing connections: between here and the server's bind one of
    those could be taken by any connect on this machine.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        first, last = map(int, file.read().split())
    candidates = [port for port in range(2000, 65536) if not first <= port <= last]
    while True:
        port = random.choice(candidates)
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0ringway-test-port-{port}")
        except OSError:
            reservation.close()
            continue
        _reservations.append(reservation)
        with socket.socket(socket.AF_INET6) as probe:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            try:
                probe.bind(("::", port))
            except OSError:
                continue
        return port


def ready(sockets, writable: bool = False, timeout: float = 0) -> list[int]:
    """The descriptors of those that can be read, or written if that is asked for. At most `timeout` seconds.

    Not select(), whose descriptors end at 1,024: all modules run in one process, which has more.
    """
    poll = select.poll()
    for each in sockets:
        poll.register(each, select.POLLIN | (select.POLLOUT if writable else 0))
    return [descriptor for descriptor, _ in poll.poll(timeout * 1000)]


def parse(address) -> tuple[int, object]:
    """Family and address for a port of 127.0.0.1, `HOST:PORT`, `[v6]:PORT` or `unix:PATH`."""
    if isinstance(address, int):
        return socket.AF_INET, ("127.0.0.1", address)
    if address.startswith("unix:"):
        return socket.AF_UNIX, address.removeprefix("unix:")
    host, _, port = address.rpartition(":")
    if host.startswith("["):
        return socket.AF_INET6, (host.strip("[]"), int(port))
    return socket.AF_INET, (host, int(port))


def connect(address, receive_buffer: int | None = None, source: str | None = None) -> socket.socket:
    """A connection whose reads and writes fail after `PATIENCE`.

    A small `receive_buffer` makes a slow reader slow; `source` is the IP address to come from.
    """
    family, where = parse(address)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.settimeout(PATIENCE)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if source is not None:
        sock.bind((source, 0))
    try:
        sock.connect(where)
    except OSError:
        sock.close()
        raise
    return sock


def read_exactly(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = sock.recv(min(count - len(data), 1 << 20))
        if not chunk:
            raise EOFError(f"the stream ended after {len(data)} of {count} bytes")
        data += chunk
    return bytes(data)


def read_to_end(sock: socket.socket) -> bytes:
    """All that comes until the peer ends its stream; a reset raises ConnectionResetError."""
    data = bytearray()
    while chunk := sock.recv(1 << 20):
        data += chunk
    return bytes(data)


def reset(sock: socket.socket):
    """Closes with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
