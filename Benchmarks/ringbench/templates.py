"""The peers' configuration files: `@name@` is replaced, `%% each KIND` ... `%% end` repeats its lines."""

from __future__ import annotations

import re
from pathlib import Path

from .topology import Listener

_PLACEHOLDER = re.compile(r"@([a-z_]+)@")


def render(template: Path, variables: dict[str, object], listeners: tuple[Listener, ...]) -> str:
    """Fills `template`. A placeholder without a value is an error, so that a typo cannot pass."""
    lines = iter(template.read_text().splitlines())
    return "\n".join(_render_block(_parse(lines), variables, listeners)) + "\n"


def _parse(lines) -> list:
    """Nested lists: a string is a line, a tuple (kind, body) is a repeated block."""
    body: list = []
    for line in lines:
        match line.split():
            case ["%%", "each", kind]:
                body.append((kind, _parse(lines)))
            case ["%%", "end"]:
                return body
            case _:
                body.append(line)
    return body


def _render_block(body: list, variables: dict[str, object], listeners: tuple[Listener, ...]):
    for item in body:
        if isinstance(item, str):
            yield _PLACEHOLDER.sub(lambda match: str(variables[match[1]]), item)
            continue
        kind, inner = item
        if kind == "listener":
            for listener in listeners:
                names = {"name": listener.name, "port": listener.port}
                yield from _render_block(inner, variables | names, (listener,))
        elif kind == "endpoint":
            for listener in listeners:
                for number, (host, port) in enumerate(listener.endpoints):
                    names = {"endpoint_name": f"e{number}", "host": host, "endpoint_port": port}
                    yield from _render_block(inner, variables | names, listeners)
        else:
            raise ValueError(f"%% each {kind}: expected listener or endpoint")
