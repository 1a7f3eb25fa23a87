"""What is to be measured and how often, how long that takes, and what a measurement leaves behind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .peers import Direct, Peer
from .workload import FEW_ROUNDS, Workload

SAMPLES = "samples.jsonl"


@dataclass(frozen=True)
class Plan:
    """What to run, and how long. The workloads in `brief` get no more than a few rounds."""

    workloads: list[Workload]
    peers: list[Peer]
    rounds: int
    warm_up_s: float
    window_s: float
    brief: frozenset[str] = frozenset()

    def rounds_of(self, workload: Workload) -> int:
        most = FEW_ROUNDS if workload.name in self.brief else self.rounds
        return min(self.rounds, workload.rounds or self.rounds, most)

    def peers_for(self, workload: Workload, round_number: int) -> list[Peer]:
        """No-proxy runs only show the load generator's reach, so one of each is enough."""
        if round_number >= self.rounds_of(workload):
            return []
        return [
            peer
            for peer in self.peers
            if peer.name in workload.peers
            and peer.supports(workload.workers, workload.topology)
            and not (isinstance(peer, Direct) and round_number > 0)
        ]

    def run_s(self, workload: Workload) -> float:
        """A first guess at what one run takes."""
        return (self.warm_up_s + self.window_s) * workload.time_factor + workload.overhead_s

    def run_count(self, done: frozenset[tuple[str, str, int]] = frozenset()) -> int:
        return len(self._runs(done))

    def expected_s(self, done: frozenset[tuple[str, str, int]] = frozenset()) -> float:
        return sum(self._runs(done))

    def _runs(self, done: frozenset[tuple[str, str, int]]) -> list[float]:
        """What each run that is not done takes."""
        return [
            self.run_s(workload)
            for round_number in range(self.rounds)
            for workload in self.workloads
            for peer in self.peers_for(workload, round_number)
            if (workload.name, peer.name, round_number) not in done
        ]


@dataclass(frozen=True)
class Sample:
    """One run's outcome. `void` says why it does not count; `value` is the workload's metric."""

    workload: str
    peer: str
    round: int
    value: float | None
    void: str | None
    shared_cpu: bool
    raw: dict

    @property
    def key(self) -> tuple[str, str, int]:
        return self.workload, self.peer, self.round


def read_samples(folder: Path) -> list[Sample]:
    """A last line that was cut short, when the machine went down, does not count."""
    path = folder / SAMPLES
    samples = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            samples.append(Sample(**json.loads(line)))
        except json.JSONDecodeError:
            break
    return samples
