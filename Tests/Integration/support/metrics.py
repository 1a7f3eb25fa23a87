"""Prometheus text, read back."""

import re

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"(?:,|$)')


class Metrics:
    """The samples of one scrape. `metrics("ringway_bytes_total", listener="edge", direction="sent")` is one value."""

    def __init__(self, text: str):
        self.text = text
        self.samples: dict[tuple[str, frozenset], float] = {}
        for line in text.splitlines():
            if line.startswith("#"):
                continue
            match = _SAMPLE.match(line)
            if not match:
                raise ValueError(f"not a sample: {line!r}")
            name, labels, value = match.groups()
            key = (name, frozenset(_LABEL.findall(labels or "")))
            if key in self.samples:
                raise ValueError(f"twice: {line!r}")
            self.samples[key] = float(value)

    def __call__(self, name: str, **labels: str) -> float:
        return self.samples[name, frozenset(labels.items())]

    def sum(self, name: str, **labels: str) -> float:
        """Of all samples of a family that have these labels, whatever others they have."""
        return sum(self.all(name, **labels).values())

    def all(self, name: str, **labels: str) -> dict[frozenset, float]:
        wanted = set(labels.items())
        return {key: value for (sample, key), value in self.samples.items() if sample == name and wanted <= key}

    @property
    def families(self) -> set[str]:
        return {line.split()[2] for line in self.text.splitlines() if line.startswith("# TYPE ")}
