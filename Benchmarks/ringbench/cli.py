"""The command line of `Benchmarks/bench`."""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from . import peers as peers_module
from . import report, system, tools, workloads
from .peers import Peer
from .progress import Progress, format_duration
from .results import Results, Target
from .runner import Plan, Runner

DEFAULT_ROUNDS, DEFAULT_WARM_UP_S, DEFAULT_WINDOW_S = 7, 0.3, 1.2
QUICK_ROUNDS, QUICK_WARM_UP_S, QUICK_WINDOW_S = 3, 0.2, 0.8
DEFAULT_RINGWAY = tools.REPOSITORY / ".build/release/ringway"


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    if options.list:
        _print_list()
        return 0
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _bench(options, arguments)
    except KeyboardInterrupt:
        print("bench: interrupted before anything was measured", file=sys.stderr)
        return 130


def _bench(options: argparse.Namespace, arguments: list[str] | None) -> int:
    notes: list[str] = []
    system.raise_descriptor_limit()
    if not options.no_install:
        tools.install_missing(notes)
    tools.ringload()
    available, left_out = _available(_chosen_peers(options))
    targets = _targets(options)
    plan = _plan(options, available, targets)
    if not plan.run_count():
        print(
            "bench: nothing to run; --list shows the workloads, and here is why peers are missing:", file=sys.stderr
        )
        print("\n".join(f"  {name}: {why}" for name, why in left_out.items()), file=sys.stderr)
        return 69
    folder = tools.RESULTS / time.strftime("%Y-%m-%d-%H%M%S")
    folder.mkdir(parents=True)
    context = report.Context(
        date=time.strftime("%d %b %Y"),
        command=_command_line(arguments),
        commit=_commit(),
        machine={},
        rounds=plan.rounds,
        warm_up_s=plan.warm_up_s,
        window_s=plan.window_s,
        notes=notes,
        left_out=left_out,
        versions={peer.name: peer.version() for peer in available},
    )
    runner = _run(plan, folder, context)
    written = _write_report(folder, runner, plan, targets, context)
    print(f"\nReport: {written}", file=sys.stderr)
    return 130 if context.interrupted else 0


def _interrupt(*_: object) -> None:
    """Makes TERM end a run as Ctrl-C does."""
    raise KeyboardInterrupt


def _run(plan: Plan, folder: Path, context: report.Context) -> Runner:
    progress = Progress(plan.run_count(), plan.expected_run_s())
    progress.say(
        f"{plan.run_count()} runs, about {format_duration(progress.remaining_s())}; Ctrl-C keeps what is there"
    )
    with system.network_settings(context.notes):
        context.machine.update(system.describe())
        runner = Runner(plan, folder / "samples.jsonl", progress)
        try:
            for peer, problem in runner.check_bytes().items():
                progress.say(f"left out: {peer}: {problem}")
                context.left_out[peer] = f"the check of its bytes failed: {problem}"
            plan.peers[:] = [peer for peer in plan.peers if peer.name not in context.left_out]
            runner.run()
        except KeyboardInterrupt:
            context.interrupted = True
            progress.say("interrupted: writing the report of what was measured")
    return runner


def _write_report(folder: Path, runner: Runner, plan: Plan, targets: list[Target], context: report.Context) -> Path:
    results = Results(plan.workloads, plan.peers, runner.samples)
    verdicts = results.verdicts(targets)
    return report.write(folder, results, verdicts, context)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measures Ringway beside its peers on this machine.")
    parser.add_argument("--quick", action="store_true", help="a few workloads in about three minutes")
    parser.add_argument("--only", metavar="NAMES", help="groups or workloads, comma-separated, * as wildcard")
    parser.add_argument(
        "--targets", metavar="SETS", help="only what these sets of targets need, as in targets.json: layer-4,http"
    )
    parser.add_argument("--peers", metavar="NAMES", help="comma-separated; see --list (`limit`: both bare relays)")
    parser.add_argument(
        "--runs", type=int, metavar="N", help=f"rounds (default {DEFAULT_ROUNDS}, quick {QUICK_ROUNDS})"
    )
    parser.add_argument("--window", type=float, metavar="S", help=f"measured seconds (default {DEFAULT_WINDOW_S})")
    parser.add_argument("--workers", type=int, metavar="N", help="workers of each proxy, for all chosen workloads")
    parser.add_argument("--ringway", type=Path, metavar="PATH", default=DEFAULT_RINGWAY, help="the binary to measure")
    parser.add_argument("--no-install", action="store_true", help="install nothing, leave out what is missing")
    parser.add_argument("--list", action="store_true", help="show workloads and peers, run nothing")
    options = parser.parse_args(arguments)
    for name, value in (("--runs", options.runs), ("--window", options.window), ("--workers", options.workers)):
        if value is not None and value <= 0:
            parser.error(f"{name} must be positive")
    options.ringway = options.ringway.resolve()
    return options


def _print_list() -> None:
    for workload in workloads.all_workloads():
        marks = " (quick)" if workload.quick else ""
        print(f"{workload.group:9} {workload.name:28} {workload.metric.unit:14} {workload.title}{marks}")
    print("peers: " + ", ".join(peer.name for peer in peers_module.known_peers(DEFAULT_RINGWAY)))


def _chosen_peers(options: argparse.Namespace) -> list[Peer]:
    known = peers_module.known_peers(options.ringway)
    if not options.peers:
        return known
    wanted = options.peers.split(",")
    for name in wanted:
        if name != "limit" and name not in {peer.name for peer in known}:
            raise SystemExit(
                f"bench: no peer is called {name!r}; expected: limit, {', '.join(p.name for p in known)}"
            )
    return [peer for peer in known if peer.name in wanted or (peer.is_limit and "limit" in wanted)]


def _available(candidates: list[Peer]) -> tuple[list[Peer], dict[str, str]]:
    left_out = {peer.name: why for peer in candidates if (why := peer.missing())}
    return [peer for peer in candidates if peer.name not in left_out], left_out


def _targets(options: argparse.Namespace) -> list[Target]:
    everything = Target.read(tools.ROOT / "targets.json")
    if not options.targets:
        return everything
    known, wanted = dict.fromkeys(target.set for target in everything), options.targets.split(",")
    for name in wanted:
        if name not in known:
            raise SystemExit(f"bench: no set of targets is called {name!r}; expected one of: {', '.join(known)}")
    return [target for target in everything if target.set in wanted]


def _plan(options: argparse.Namespace, available: list[Peer], targets: list[Target]) -> Plan:
    chosen = workloads.all_workloads()
    if options.targets:
        needed = {name for target in targets for name in (target.workload, target.over)}
        chosen = [workload for workload in chosen if workload.name in needed]
    if options.only:
        chosen = workloads.select(chosen, options.only.split(","))
    elif options.quick:
        chosen = [workload for workload in chosen if workload.quick]
    if options.workers and options.workers > 1:
        chosen = [workloads.with_workers(w, options.workers) for w in chosen if w.workers == 1]
    rounds = options.runs or (QUICK_ROUNDS if options.quick else DEFAULT_ROUNDS)
    window = options.window or (QUICK_WINDOW_S if options.quick else DEFAULT_WINDOW_S)
    plan = Plan(chosen, available, rounds, QUICK_WARM_UP_S if options.quick else DEFAULT_WARM_UP_S, window)
    named = {name for workload in chosen for name in workload.peers}
    return replace(plan, peers=[peer for peer in available if peer.name in named])


def _command_line(arguments: list[str] | None) -> str:
    return shlex.join(["Benchmarks/bench", *(sys.argv[1:] if arguments is None else arguments)])


def _commit() -> str:
    git = ["git", "-C", str(tools.REPOSITORY)]
    described = system.first_line([*git, "describe", "--always", "--dirty", "--tags"])
    when = subprocess.run([*git, "log", "-1", "--format=%cs"], capture_output=True, text=True).stdout.strip()
    return f"{described} of {when}" if when else described
