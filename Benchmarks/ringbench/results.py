"""Questions that reports ask of the samples: medians, ratios, floors, targets."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from . import stats
from .peers import Peer
from .plan import Sample
from .workload import Metric, Workload

# The name that targets use for the cheaper of the bare relays.
LIMIT = "limit"
# Whom reports are about.
SUBJECT = "ringway"


@dataclass(frozen=True)
class Target:
    """A promise of the project about `workload`: what it takes is at most `ratio` times what `peer` takes, or at most
    `at_most`. With `over`, what Ringway itself takes in that workload is the measure of both. `subject` is the
    variant of Ringway that promises it.
    """

    workload: str
    source: str
    set: str = ""
    peer: str | None = None
    over: str | None = None
    ratio: float | None = None
    at_most: float | None = None
    subject: str = SUBJECT

    @staticmethod
    def read(path: Path) -> list[Target]:
        return [Target(**entry) for entry in json.loads(path.read_text())["targets"]]


@dataclass(frozen=True)
class Verdict:
    """Whether a target is reached. `certain` is False where the confidence interval holds both answers."""

    target: Target
    measured: float | None
    interval: stats.Estimate | None
    reached: bool | None
    certain: bool


class Results:
    """All samples of a run, by workload and peer. Void ones only count as void."""

    def __init__(self, workloads: list[Workload], peers: list[Peer], samples: list[Sample]):
        self.workloads = [w for w in workloads if any(s.workload == w.name for s in samples)]
        self.peers = peers
        self.by_name = {workload.name: workload for workload in workloads}
        self._valid: dict[tuple[str, str], list[Sample]] = defaultdict(list)
        self.void: list[Sample] = []
        for sample in samples:
            (self.void if sample.void else self._valid[sample.workload, sample.peer]).append(sample)

    def samples(self, workload: str, peer: str) -> list[Sample]:
        return self._valid[workload, peer]

    def peers_of(self, workload: Workload) -> list[Peer]:
        return [peer for peer in self.peers if self.samples(workload.name, peer.name)]

    def values(self, workload: str, peer: str) -> dict[int, float]:
        """The metric by round."""
        return {s.round: s.value for s in self.samples(workload, peer) if s.value is not None}

    def spread(self, workload: str, peer: str) -> stats.Spread | None:
        values = list(self.values(workload, peer).values())
        return stats.spread(values) if values else None

    def other_metric(self, workload: str, peer: str, of: Callable[[dict], float | None]) -> float | None:
        """The median of something else that the raw samples hold."""
        values = [value for s in self.samples(workload, peer) if (value := of(s.raw)) is not None]
        return median(values) if values else None

    def limit(self, workload: Workload) -> Peer | None:
        """The cheaper bare relay, if one ran."""
        limits = [peer for peer in self.peers_of(workload) if peer.is_limit]
        costs = [(spread.median, peer) for peer in limits if (spread := self.spread(workload.name, peer.name))]
        return min(costs, key=lambda cost: cost[0])[1] if costs else None

    def ratio(self, workload: Workload, peer: str, to: str) -> stats.Estimate | None:
        return stats.paired_ratio(self.values(workload.name, peer), self.values(workload.name, to))

    def growth(self, workload: Workload, peer: str) -> stats.Estimate | None:
        """How the metric differs from the smaller case, where both measure the same thing."""
        base = self.by_name.get(workload.grows_from or "")
        if not base:
            return None
        small = self._values_of_metric(base.name, peer, workload.metric)
        return stats.paired_ratio(self.values(workload.name, peer), small)

    def _values_of_metric(self, workload: str, peer: str, metric: Metric) -> dict[int, float]:
        found = {sample.round: metric.of(sample.raw) for sample in self.samples(workload, peer)}
        return {round_number: value for round_number, value in found.items() if value is not None}

    def latency_histogram(self, workload: str, peer: str) -> list[tuple[int, int]]:
        return stats.merge_histograms(s.raw["latency_histogram"] for s in self.samples(workload, peer))

    def verdicts(self, targets: list[Target]) -> list[Verdict]:
        return [self._verdict(target, target.subject) for target in targets]

    def _verdict(self, target: Target, subject: str) -> Verdict:
        unmeasured = Verdict(target, None, None, None, False)
        workload = self.by_name.get(target.workload)
        own = self.spread(target.workload, subject)
        if workload is None or own is None:
            return unmeasured
        if target.at_most is not None and target.over is None:
            certain = (own.low <= target.at_most) == (own.high <= target.at_most)
            return Verdict(target, own.median, None, own.median <= target.at_most, certain)
        estimate = self._compared(target, workload, subject)
        wanted = target.ratio if target.at_most is None else target.at_most
        if estimate is None or wanted is None:
            return unmeasured
        return Verdict(target, estimate.value, estimate, estimate.value <= wanted, estimate.excludes(wanted, wanted))

    def _compared(self, target: Target, workload: Workload, subject: str) -> stats.Estimate | None:
        if target.over is not None:
            compare = stats.paired_ratio if target.at_most is None else stats.paired_difference
            return compare(self.values(workload.name, subject), self.values(target.over, subject))
        other = target.peer
        if other == LIMIT:
            limit = self.limit(workload)
            other = limit.name if limit else None
        return self.ratio(workload, subject, other) if other else None
