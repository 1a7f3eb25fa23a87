"""The peers' configuration files.

`@name@` is replaced, `%% each KIND` ... `%% end` repeats its lines, `%% if NAME` ... `%% end` keeps or drops them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from .topology import Cluster, Listener

_PLACEHOLDER = re.compile(r"@([a-z_]+)@")


def render(template: Path, variables: dict[str, object], listeners: tuple[Listener, ...]) -> str:
    """Fills `template`. A placeholder without a value is an error, so that a typo cannot pass."""
    lines = iter(template.read_text().splitlines())
    clusters = tuple({cluster.name: cluster for listener in listeners for cluster in listener.clusters}.values())
    return "".join(f"{line}\n" for line in _render_block(_parse(lines), variables, listeners, clusters))


def _parse(lines) -> list:
    """Nested lists: a string is a line, a tuple (word, name, body) is a block."""
    body: list = []
    for line in lines:
        match line.split():
            case ["%%", "each" | "if" as word, name]:
                body.append((word, name, _parse(lines)))
            case ["%%", "end"]:
                return body
            case _:
                body.append(line)
    return body


def _render_block(
    body: list, variables: dict[str, object], listeners: tuple[Listener, ...], clusters: tuple[Cluster, ...]
) -> Iterator[str]:
    for item in body:
        match item:
            case str():
                yield _PLACEHOLDER.sub(lambda match: str(variables[match[1]]), item)
            case ("if", name, inner):
                if variables[name]:
                    yield from _render_block(inner, variables, listeners, clusters)
            case ("each", "listener", inner):
                for listener in listeners:
                    names = {"name": listener.name, "port": listener.port}
                    yield from _render_block(inner, variables | names, (listener,), listener.clusters)
            case ("each", "cluster", inner):
                for cluster in clusters:
                    yield from _render_block(inner, variables | {"cluster": cluster.name}, listeners, (cluster,))
            case ("each", "endpoint", inner):
                for cluster in clusters:
                    for number, (host, port) in enumerate(cluster.endpoints):
                        names = {"endpoint_name": f"e{number}", "host": host, "endpoint_port": port}
                        yield from _render_block(inner, variables | names, listeners, clusters)
            case ("each", "route", inner):
                for listener in listeners:
                    for route in listener.routes:
                        names = {"route": route.name, "prefix": route.prefix, "cluster": route.cluster}
                        yield from _render_block(inner, variables | names, listeners, clusters)
            case (_, name, _):
                raise ValueError(f"%% each {name}: expected listener, cluster, endpoint or route")
