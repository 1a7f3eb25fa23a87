"""What a folder of results says of itself, so that a run can go on later and reports can be written again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from . import workloads as workloads_module
from .plan import Plan, Sample, read_samples
from .workload import Workload, with_workers

RECORD = "run.json"
# Rounds of the second folder of a joined report are numbered from here, of the third from twice that, and so on.
ROUNDS_PER_RUN = 1000


@dataclass
class Record:
    """One run: what was asked for, and on what it ran. `binary` is a digest of Ringway's."""

    date: str
    command: str
    commit: str
    rounds: int
    warm_up_s: float
    window_s: float
    workloads: list[str] = field(default_factory=list)
    peers: list[str] = field(default_factory=list)
    brief: list[str] = field(default_factory=list)
    workers: int = 1
    ringway: str = ""
    binary: str = ""
    machine: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)  # peer: why
    versions: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False

    def write(self, folder: Path) -> None:
        (folder / RECORD).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def read(folder: Path) -> Record:
        try:
            return Record(**json.loads((folder / RECORD).read_text()))
        except (OSError, ValueError, TypeError) as problem:
            raise SystemExit(f"bench: {folder} has no results that can be read: {problem}") from None

    def chosen(self) -> list[Workload]:
        known = {workload.name: workload for workload in workloads_module.all_workloads()}
        if self.workers > 1:
            more = [with_workers(w, self.workers) for w in known.values() if w.workers == 1]
            known |= {workload.name: workload for workload in more}
        return [known[name] for name in self.workloads if name in known]

    def plan(self, available: Sequence) -> Plan:
        peers = [peer for peer in available if peer.name in self.peers]
        return Plan(self.chosen(), peers, self.rounds, self.warm_up_s, self.window_s, frozenset(self.brief))


def digest(binary: Path) -> str:
    try:
        return hashlib.sha256(binary.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def join(folders: Sequence[Path]) -> tuple[list[Record], list[Workload], list[Sample]]:
    """Several runs as one: records, workloads and samples. Rounds pair only within their run. Where runs had another
    binary of Ringway, the last that measured a workload has all to say about it.
    """
    records = [Record.read(folder) for folder in folders]
    samples = [read_samples(folder) for folder in folders]
    newest = {s.workload: record.binary for record, found in zip(records, samples, strict=True) for s in found}
    kept = [
        replace(sample, round=sample.round + number * ROUNDS_PER_RUN)
        for number, (record, found) in enumerate(zip(records, samples, strict=True))
        for sample in found
        if record.binary == newest[sample.workload]
    ]
    chosen = {workload.name: workload for record in records for workload in record.chosen()}
    order = {workload.name: index for index, workload in enumerate(workloads_module.all_workloads())}
    return records, sorted(chosen.values(), key=lambda w: order.get(w.name, len(order))), kept
