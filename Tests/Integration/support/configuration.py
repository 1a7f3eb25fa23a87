"""Configurations as Python values. JSON is YAML, so what comes out is a file that `ringway run` takes."""

import json


def listener(name: str, address, cluster: str = "backend", tcp: dict | None = None, **more) -> dict:
    """A listener that proxies to `cluster`; `address` may be a port of 127.0.0.1, `tcp` has more keys of `tcp:`."""
    return {"name": name, "address": spell(address), "tcp": {"cluster": cluster} | (tcp or {})} | more


def cluster(name: str, *endpoints, **more) -> dict:
    """A cluster; endpoints are ports of 127.0.0.1, addresses, peers, or whole `{address, weight}` objects."""
    return {"name": name, "endpoints": [spell(endpoint) for endpoint in endpoints]} | more


def document(listeners: list[dict], clusters: list[dict] = (), **top) -> str:
    return json.dumps(top | {"listeners": listeners, "clusters": list(clusters)}, indent=1)


def spell(address):
    if isinstance(address, int):
        return f"127.0.0.1:{address}"
    return getattr(address, "address", address)
