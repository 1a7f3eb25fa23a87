"""What the integration tests share: a Ringway process, scripted peers, sockets, and a test case that cleans up."""

from .case import Case
from .configuration import cluster, document, listener
from .metrics import Metrics
from .peers import Peer
from .proxy import BINARY, Ringway
from .sockets import connect, free_port, read_exactly, read_to_end, ready, reset

__all__ = [
    "BINARY",
    "Case",
    "Metrics",
    "Peer",
    "Ringway",
    "cluster",
    "connect",
    "document",
    "free_port",
    "listener",
    "read_exactly",
    "read_to_end",
    "ready",
    "reset",
]
