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
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

from . import external, system
from . import peers as peers_module
from .accounting import spent_by_thread, thread_times
from .drivers import DRIVERS
from .peers import Direct, Peer, ProxyFailed, Setup
from .plan import Plan, Sample
from .progress import Progress
from .run import LoadFailed, Run
from .topology import Topology
from .workload import CPU_PER_REQUEST, Workload

CHECK_WARM_UP_S, CHECK_WINDOW_S = 0.05, 0.15
CALIBRATION_ROUND = -1
# The bytes that are compared before the first round, by protocol.
_CHECK = {"mode": "echo", "connections": 16}
CHECKS = {
    "tcp": [_CHECK | {"size": size} for size in (1 << 10, 256 << 10)],
    "http": [_CHECK | {"size": size, "http": kind} for size in (1 << 10, 256 << 10) for kind in ("get", "post")],
}


class Runner:
    """Runs what `samples` lack of a plan and keeps all of it, in memory and in `jsonl` as it comes. No workload
    begins that would probably end after `deadline`, of the monotonic clock.
    """

    def __init__(
        self,
        plan: Plan,
        jsonl: Path,
        progress: Progress,
        samples: list[Sample] | None = None,
        deadline: float | None = None,
        seed: int | None = None,
    ):
        self.plan = plan
        self.samples = samples or []
        self.out_of_time = False
        self._jsonl = jsonl
        self._progress = progress
        self._deadline = deadline
        self._chance = random.Random(seed)
        self._ports = system.Ports()
        self._done = {sample.key for sample in self.samples}
        by_name = {workload.name: workload for workload in plan.workloads}
        # An open loop goes on at the pace that it had.
        self._rates: dict[str, float] = {}
        for sample in self.samples:
            workload = by_name.get(sample.workload)
            if workload and workload.rate_of and sample.raw.get("rate"):
                self._rates[workload.rate_of] = sample.raw["rate"] / workload.rate_fraction

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
                    sample = self._measure(workload, peer, CALIBRATION_ROUND, verify=True)
                    if not sample.void:
                        break
                else:
                    wrong[peer.name] = sample.void
        return wrong

    def _run_round(self, workload: Workload, round_number: int) -> None:
        participants = [
            peer
            for peer in self.plan.peers_for(workload, round_number)
            if (workload.name, peer.name, round_number) not in self._done
        ]
        self._chance.shuffle(participants)
        if not participants or self._is_too_late(workload, len(participants)):
            return
        rate = self._rate(workload)
        for peer in participants:
            heading = f"round {round_number + 1}/{self.plan.rounds_of(workload)} · {workload.name}"
            self._progress.step(heading, peer.label)
            sample = self._measure(workload, peer, round_number, rate=rate)
            self.samples.append(sample)
            with self._jsonl.open("a") as lines:
                lines.write(json.dumps(asdict(sample)) + "\n")
            if sample.void:
                self._progress.say(f"void: {workload.name} · {peer.label}: {sample.void}")
            self._progress.finish_step(self.plan.run_s(workload))

    def _is_too_late(self, workload: Workload, runs: int) -> bool:
        if self._deadline is None:
            return False
        needed_s = runs * self._progress.learned(self.plan.run_s(workload))
        too_late = time.monotonic() + needed_s > self._deadline
        self.out_of_time = self.out_of_time or too_late
        return too_late

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
        closed_loop = replace(workload, rate_of=None, load={**workload.load, "flood": 0})
        for peer in self.plan.peers_for(workload, 1):
            if peer.name in rates or peer.is_variant:
                continue
            self._progress.step(f"finding the pace for {workload.name}", peer.label)
            sample = self._measure(closed_loop, peer, CALIBRATION_ROUND)
            if not sample.void:
                rates[peer.name].append(_requests_per_second(sample.raw))
        proxied = [median(values) for peer, values in rates.items() if peer != "direct"]
        return min(proxied, default=1000.0)

    def _measure(
        self, workload: Workload, peer: Peer, round_number: int, rate: float = 0.0, verify: bool = False
    ) -> Sample:
        cpus = system.choose_cpus(workload.workers)
        with tempfile.TemporaryDirectory(prefix="ringway-bench-") as directory:
            Path(directory).chmod(0o755)  # workers that gave up root still read their configuration
            try:
                run = self._prepare(workload, peer, Path(directory), cpus, rate, verify)
                if isinstance(peer, Direct):
                    raw = DRIVERS[workload.driver](run)
                else:
                    with (
                        external.collector(run),
                        peers_module.running(peer, run.setup, cpus.proxy) as proxy,
                        external.scraper(run) as seen,
                    ):
                        before = thread_times(proxy.pids)
                        raw = DRIVERS[workload.driver](replace(run, proxy=proxy))
                        spent = spent_by_thread(before, thread_times(proxy.pids))
                    # The thread that ran most: the worker, where there is one.
                    busiest = max(spent, key=lambda times: times.ran_ns)
                    raw |= seen | {"busiest_ran_ns": busiest.ran_ns, "busiest_waited_ns": busiest.waited_ns}
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
        elif workload.load.get("mode") == "bulk" and not raw["bytes"]:
            void = "no bytes arrived in the window"
        value = None if void or isinstance(peer, Direct) else workload.metric.of(raw)
        return Sample(workload.name, peer.name, round_number, value, void, cpus.shared, raw)

    def _prepare(
        self,
        workload: Workload,
        peer: Peer,
        directory: Path,
        cpus: system.CpuLayout,
        rate: float,
        verify: bool,
    ) -> Run:
        topology = workload.topology if not isinstance(peer, Direct) else Topology()
        first = self._ports.take(topology.listeners + 4)
        backend, spare, admin, collector = range(first + topology.listeners, first + topology.listeners + 4)
        setup = Setup(
            topology.build(workload.protocol, first, backend),
            workload.workers,
            workload.load.get("size", 0),
            workload.load.get("connections", 0),
            directory,
            workload.protocol,
            workload.features,
            admin,
            collector,
        )
        warm_up_s = CHECK_WARM_UP_S if verify else self.plan.warm_up_s * workload.time_factor
        window_s = CHECK_WINDOW_S if verify else self.plan.window_s * workload.time_factor
        return Run(workload, peer, setup, None, backend, spare, cpus.load, warm_up_s, window_s, rate, verify)


def _requests_per_second(raw: dict) -> float:
    return raw["requests"] / raw["window_ns"] * 1e9
