"""Runs the plan: rounds of all workloads, and inside a workload the peers in an order drawn anew each time.

Rounds are outermost, so that what was measured when somebody stops is a thinner version of the whole, and so that
a drift of the machine meets all peers. A fresh process for each run makes the runs independent.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from . import peers as peers_module
from . import system
from .drivers import DRIVERS
from .peers import Direct, Peer, ProxyFailed, Setup
from .progress import Progress
from .run import LoadFailed, Run
from .topology import Topology
from .workloads import CPU_PER_REQUEST, Workload

# Starting and ending a proxy and its connections, as a first guess for the time left.
OVERHEAD_S = 0.7
CHECK_WINDOW_S = 0.25
CALIBRATION_ROUND = -1
# The bytes that are compared before the first round, by protocol.
_CHECK = {"mode": "echo", "connections": 16}
CHECKS = {
    "tcp": [_CHECK | {"size": size} for size in (1 << 10, 256 << 10)],
    "http": [_CHECK | {"size": size, "http": kind} for size in (1 << 10, 256 << 10) for kind in ("get", "post")],
}


@dataclass(frozen=True)
class Plan:
    """What to run, and how long."""

    workloads: list[Workload]
    peers: list[Peer]
    rounds: int
    warm_up_s: float
    window_s: float

    def peers_for(self, workload: Workload, round_number: int) -> list[Peer]:
        """No-proxy runs only show the load generator's reach, so one of each is enough."""
        return [
            peer
            for peer in self.peers
            if peer.name in workload.peers
            and peer.supports(workload.workers, workload.topology)
            and not (isinstance(peer, Direct) and round_number > 0)
        ]

    def run_count(self) -> int:
        return sum(len(self.peers_for(w, r)) for r in range(self.rounds) for w in self.workloads)

    def expected_run_s(self) -> float:
        return self.warm_up_s + self.window_s + OVERHEAD_S


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


class Runner:
    """Runs a plan and keeps its samples, in memory and in `jsonl` as they come."""

    def __init__(self, plan: Plan, jsonl: Path, progress: Progress, seed: int | None = None):
        self.plan = plan
        self.samples: list[Sample] = []
        self._jsonl = jsonl
        self._progress = progress
        self._chance = random.Random(seed)
        self._ports = system.Ports()
        self._rates: dict[str, float] = {}

    def run(self) -> None:
        """Everything. A KeyboardInterrupt passes through; what was measured stays in `samples`."""
        for round_number in range(self.plan.rounds):
            for workload in self.plan.workloads:
                self._run_round(workload, round_number)

    def check_bytes(self) -> dict[str, str]:
        """Sends known bytes through each peer and compares what comes out, both ways; {peer: what went wrong}."""
        wrong: dict[str, str] = {}
        for peer in self.plan.peers:
            protocols = {w.protocol for w in self.plan.workloads if peer.name in w.peers}
            for load in (load for protocol in sorted(protocols) for load in CHECKS[protocol]):
                workload = Workload("check", "check", "bytes arrive unchanged", CPU_PER_REQUEST, load=load)
                self._progress.step("checking that bytes arrive unchanged", peer.label)
                # A second try, so that a machine that is busy for a moment does not cost a peer its place.
                for _ in range(2):
                    sample = self._measure(workload, peer, CALIBRATION_ROUND, window_s=CHECK_WINDOW_S, verify=True)
                    if not sample.void:
                        break
                else:
                    wrong[peer.name] = sample.void
        return wrong

    def _run_round(self, workload: Workload, round_number: int) -> None:
        participants = self.plan.peers_for(workload, round_number)
        self._chance.shuffle(participants)
        if not participants:
            return
        rate = self._rate(workload)
        for peer in participants:
            heading = f"round {round_number + 1}/{self.plan.rounds} · {workload.name}"
            self._progress.step(heading, peer.label)
            sample = self._measure(workload, peer, round_number, rate=rate)
            self.samples.append(sample)
            with self._jsonl.open("a") as lines:
                lines.write(json.dumps(asdict(sample)) + "\n")
            if sample.void:
                self._progress.say(f"void: {workload.name} · {peer.label}: {sample.void}")
            self._progress.finish_step()

    def _rate(self, workload: Workload) -> float:
        """Requests a second for an open loop: a fraction of what the slowest peer reaches in a closed one.

        The same for all peers and all rounds, so that they are compared under the same load and all can carry it.
        """
        if not workload.rate_of:
            return 0.0
        if workload.rate_of not in self._rates:
            self._rates[workload.rate_of] = self._slowest_rate(workload)
        return self._rates[workload.rate_of] * workload.rate_fraction

    def _slowest_rate(self, workload: Workload) -> float:
        rates: dict[str, list[float]] = defaultdict(list)
        for sample in self.samples:
            if sample.workload == workload.rate_of and not sample.void:
                rates[sample.peer].append(_requests_per_second(sample.raw))
        closed_loop = replace(workload, rate_of=None)
        for peer in self.plan.peers_for(workload, 1):
            if peer.name in rates:
                continue
            self._progress.step(f"finding the pace for {workload.name}", peer.label)
            sample = self._measure(closed_loop, peer, CALIBRATION_ROUND)
            if not sample.void:
                rates[peer.name].append(_requests_per_second(sample.raw))
        proxied = [median(values) for peer, values in rates.items() if peer != "direct"]
        return min(proxied, default=1000.0)

    def _measure(
        self,
        workload: Workload,
        peer: Peer,
        round_number: int,
        rate: float = 0.0,
        window_s: float | None = None,
        verify: bool = False,
    ) -> Sample:
        cpus = system.choose_cpus(workload.workers)
        with tempfile.TemporaryDirectory(prefix="ringway-bench-") as directory:
            Path(directory).chmod(0o755)  # workers that gave up root still read their configuration
            try:
                window_s = window_s or self.plan.window_s
                run = self._prepare(workload, peer, Path(directory), cpus, rate, window_s, verify)
                if isinstance(peer, Direct):
                    raw = DRIVERS[workload.driver](run)
                else:
                    with peers_module.running(peer, run.setup, cpus.proxy) as proxy:
                        raw = DRIVERS[workload.driver](replace(run, proxy=proxy))
            except (ProxyFailed, LoadFailed, OSError) as problem:
                why = " ".join(str(problem).split())
                return Sample(workload.name, peer.name, round_number, None, why, cpus.shared, {})
        raw["time"] = time.time()
        raw["config_sizes"] = asdict(workload.topology)
        void = None
        if workload.errors_void and raw["errors"]:
            void = f"{raw['errors']} errors"
        elif workload.load.get("mode") in ("echo", "churn") and not raw["requests"]:
            void = "no request was answered in the window"
        value = None if void or isinstance(peer, Direct) else workload.metric.of(raw)
        return Sample(workload.name, peer.name, round_number, value, void, cpus.shared, raw)

    def _prepare(
        self,
        workload: Workload,
        peer: Peer,
        directory: Path,
        cpus: system.CpuLayout,
        rate: float,
        window_s: float,
        verify: bool,
    ) -> Run:
        topology = workload.topology if not isinstance(peer, Direct) else Topology()
        first = self._ports.take(topology.listeners + 2)
        backend_port, spare_port = first + topology.listeners, first + topology.listeners + 1
        setup = Setup(
            topology.build(workload.protocol, first, backend_port),
            workload.workers,
            workload.load.get("size", 0),
            workload.load.get("connections", 0),
            directory,
            workload.protocol,
            workload.features,
        )
        return Run(
            workload,
            peer,
            setup,
            None,
            backend_port,
            spare_port,
            cpus.load,
            self.plan.warm_up_s * workload.time_factor,
            window_s * workload.time_factor,
            rate,
            verify,
        )


def _requests_per_second(raw: dict) -> float:
    return raw["requests"] / raw["window_ns"] * 1e9
