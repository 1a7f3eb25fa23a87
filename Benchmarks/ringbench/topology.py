"""What a proxy is configured to do: listeners, each with a cluster of its own behind it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Listener:
    """One listening port and the endpoints of its cluster."""

    name: str
    port: int
    endpoints: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Topology:
    """The shape of a configuration: so many listeners, each with so many endpoints."""

    listeners: int = 1
    endpoints: int = 1

    def build(self, first_port: int, backend_port: int) -> tuple[Listener, ...]:
        """Listeners on consecutive ports. The backend answers on all of 127.0.0.0/8, which names the endpoints."""
        return tuple(
            Listener(f"l{n}", first_port + n, tuple((_host(e), backend_port) for e in range(self.endpoints)))
            for n in range(self.listeners)
        )


def _host(number: int) -> str:
    return f"127.0.{number // 250}.{number % 250 + 1}"
