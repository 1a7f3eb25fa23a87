"""What a proxy is configured to do: listeners, the clusters behind them, and for HTTP the routes between."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cluster:
    """Endpoints that do the same work."""

    name: str
    endpoints: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Route:
    """Requests whose path starts with `prefix` go to `cluster`."""

    name: str
    prefix: str
    cluster: str


@dataclass(frozen=True)
class Listener:
    """One listening port. At layer 4 its only cluster bears its name."""

    name: str
    port: int
    clusters: tuple[Cluster, ...]
    routes: tuple[Route, ...] = ()

    @property
    def backend_port(self) -> int:
        return self.clusters[0].endpoints[0][1]


@dataclass(frozen=True)
class Topology:
    """The shape of a configuration: so many listeners, and behind each so many clusters with so many endpoints.

    Several clusters need several routes, which only HTTP has.
    """

    listeners: int = 1
    endpoints: int = 1
    clusters: int = 1
    routes: int = 1

    @property
    def is_plain(self) -> bool:
        """Whether a proxy without features can do it."""
        return self == Topology()

    def build(self, protocol: str, first_port: int, backend_port: int) -> tuple[Listener, ...]:
        """Listeners on consecutive ports. The backend answers on all of 127.0.0.0/8, which names the endpoints."""
        endpoints = tuple((_host(number), backend_port) for number in range(self.endpoints))
        if protocol == "tcp":
            return tuple(
                Listener(f"l{number}", first_port + number, (Cluster(f"l{number}", endpoints),))
                for number in range(self.listeners)
            )
        clusters = tuple(Cluster(f"c{number}", endpoints) for number in range(self.clusters))
        return tuple(
            Listener(f"l{number}", first_port + number, clusters, tuple(self._routes()))
            for number in range(self.listeners)
        )

    def _routes(self):
        """All but the last have a prefix of their own, which load generators put in front of their paths."""
        for number in range(self.routes):
            prefix = "/" if number == self.routes - 1 else f"/routes/{number}/"
            yield Route(f"r{number}", prefix, f"c{number % self.clusters}")


def _host(number: int) -> str:
    return f"127.0.{number // 250}.{number % 250 + 1}"
