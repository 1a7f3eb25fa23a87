"""The command line of `Benchmarks/bench`."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from . import peers as peers_module
from . import publish, report, system, tools, workloads
from .peers import Peer
from .plan import SAMPLES, Plan, Sample, read_samples
from .progress import Progress, format_duration
from .record import Record, digest, join
from .results import Results, Target, Verdict
from .runner import Runner
from .workload import FEW_ROUNDS, Workload, with_workers

DEFAULT_ROUNDS, DEFAULT_WARM_UP_S, DEFAULT_WINDOW_S = 6, 0.2, 0.8
QUICK_ROUNDS, QUICK_WARM_UP_S, QUICK_WINDOW_S = 3, 0.2, 0.6
# What is left of three minutes for a report and its plots.
QUICK_MINUTES = 2.8
# Checking bytes and finding paces, before and between the runs.
PREPARATION_S = 45
MOST_ROUNDS = 99
OUT_OF_TIME = "the time that was given ended"
DEFAULT_RINGWAY = tools.REPOSITORY / ".build/release/ringway"
EXIT_NOTHING_TO_RUN, EXIT_INTERRUPTED = 69, 130


def main(arguments: list[str] | None = None) -> int:
    options = _parse(arguments)
    if options.list:
        _print_list(options)
        return 0
    if options.report:
        return _report_again(options)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _bench(options, arguments)
    except KeyboardInterrupt:
        print("bench: interrupted before anything was measured", file=sys.stderr)
        return EXIT_INTERRUPTED


def _bench(options: argparse.Namespace, arguments: list[str] | None) -> int:
    notes: list[str] = []
    system.raise_descriptor_limit()
    if not options.no_install:
        tools.install_missing(notes)
    for compiled in (tools.ringload, tools.tlsload, tools.http2_backend):
        compiled()
    if options.resume:
        folder, record = options.resume, _resumed(options.resume)
        plan, left_out = record.plan(peers_module.known_peers(Path(record.ringway))), record.left_out
    else:
        available, left_out = _available(_chosen_peers(options))
        plan = _plan(options, available)
        record = _record(options, plan, arguments, notes, left_out)
        folder = tools.RESULTS / time.strftime("%Y-%m-%d-%H%M%S")
    if not plan.run_count():
        print(
            "bench: nothing to run; --list shows the workloads, and here is why peers are missing:", file=sys.stderr
        )
        print("\n".join(f"  {name}: {why}" for name, why in left_out.items()), file=sys.stderr)
        return EXIT_NOTHING_TO_RUN
    folder.mkdir(parents=True, exist_ok=True)
    samples = _run(plan, folder, record, options.minutes)
    record.write(folder)
    written = _write_report(folder, plan.workloads, samples, [record])
    print(f"\nReport: {written}", file=sys.stderr)
    if record.interrupted:
        print(f"To go on: Benchmarks/bench --resume {folder}", file=sys.stderr)
    return EXIT_INTERRUPTED if record.interrupted else 0


def _interrupt(*_: object) -> None:
    """Makes TERM end a run as Ctrl-C does."""
    raise KeyboardInterrupt


def _run(plan: Plan, folder: Path, record: Record, minutes: float | None) -> list[Sample]:
    samples = read_samples(folder)
    # Without a line that was cut short.
    (folder / SAMPLES).write_text("".join(json.dumps(asdict(sample)) + "\n" for sample in samples))
    done = frozenset(sample.key for sample in samples)
    deadline = time.monotonic() + 60 * minutes if minutes else None
    runs, expected_s = plan.run_count(done), plan.expected_s(done)
    if not runs:
        print("bench: all of it is measured", file=sys.stderr)
        return samples
    progress = Progress(runs, expected_s, deadline)
    progress.say(f"{runs} runs, about {format_duration(progress.remaining_s())}; Ctrl-C keeps what is there")
    record.interrupted = False
    record.notes = [note for note in record.notes if not note.startswith(OUT_OF_TIME)]
    with system.network_settings(record.notes):
        record.machine = system.describe()
        record.write(folder)
        runner = Runner(plan, folder / SAMPLES, progress, samples, deadline)
        try:
            for peer, problem in runner.check_bytes().items():
                progress.say(f"left out: {peer}: {problem}")
                record.left_out[peer] = f"the check of its bytes failed: {problem}"
            plan.peers[:] = [peer for peer in plan.peers if peer.name not in record.left_out]
            runner.run()
        except KeyboardInterrupt:
            record.interrupted = True
            progress.say("interrupted: writing the report of what was measured")
    record.notes = list(dict.fromkeys(record.notes))
    if runner.out_of_time:
        measured = f"after {len(runner.samples)} runs"
        record.notes.append(f"{OUT_OF_TIME} {measured}: fewer rounds for some workloads")
    return runner.samples


def _write_report(folder: Path, chosen: list[Workload], samples: list[Sample], records: list[Record]) -> Path:
    return report.write(folder, *_results(chosen, samples, records), records)


def _results(chosen: list[Workload], samples: list[Sample], records: list[Record]) -> tuple[Results, list[Verdict]]:
    known = peers_module.known_peers(Path(records[-1].ringway))
    results = Results(chosen, [peer for peer in known if any(s.peer == peer.name for s in samples)], samples)
    return results, results.verdicts(Target.read(tools.ROOT / "targets.json"))


def _report_again(options: argparse.Namespace) -> int:
    """One report from the raw samples of several runs."""
    records, chosen, samples = join(options.report)
    folder = tools.RESULTS / time.strftime("joined-%Y-%m-%d-%H%M%S") if len(options.report) > 1 else options.report[0]
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Report: {_write_report(folder, chosen, samples, records)}", file=sys.stderr)
    if options.publish:
        results, verdicts = _results(chosen, samples, records)
        publish.publish(folder, results, verdicts, records, tools.REPOSITORY)
        print("Published: Benchmarks/RESULTS.md, Benchmarks/plots, README.md", file=sys.stderr)
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description="Measures Ringway beside its peers on this machine.")
    parser.add_argument("--quick", action="store_true", help="a few workloads in three minutes")
    parser.add_argument("--only", metavar="NAMES", help="groups or workloads, comma-separated, * as wildcard")
    parser.add_argument(
        "--targets",
        metavar="SETS",
        help="only what these sets of targets need, as in targets.json: layer-4,http; or all",
    )
    parser.add_argument("--peers", metavar="NAMES", help="comma-separated; see --list (`limit`: both bare relays)")
    parser.add_argument(
        "--runs",
        type=int,
        metavar="N",
        help=f"rounds (default {DEFAULT_ROUNDS}, {FEW_ROUNDS} where no target is; quick {QUICK_ROUNDS})",
    )
    parser.add_argument(
        "--minutes", type=float, metavar="M", help="as many rounds as fit into that time, and not longer than it"
    )
    parser.add_argument("--window", type=float, metavar="S", help=f"measured seconds (default {DEFAULT_WINDOW_S})")
    parser.add_argument("--workers", type=int, metavar="N", help="workers of each proxy, for all chosen workloads")
    parser.add_argument("--ringway", type=Path, metavar="PATH", default=DEFAULT_RINGWAY, help="the binary to measure")
    parser.add_argument("--resume", type=Path, metavar="DIR", help="go on with a run that was interrupted")
    parser.add_argument(
        "--report",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="measure nothing: one report from the samples of these runs",
    )
    parser.add_argument(
        "--publish", action="store_true", help="with --report: make it Benchmarks/RESULTS.md and the README's table"
    )
    parser.add_argument("--no-install", action="store_true", help="install nothing, leave out what is missing")
    parser.add_argument("--list", action="store_true", help="show workloads, peers and times, run nothing")
    options = parser.parse_args(arguments)
    for name in ("runs", "window", "workers", "minutes"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            parser.error(f"--{name} must be positive")
    if options.publish and not options.report:
        parser.error("--publish needs --report")
    if options.quick and options.minutes is None:
        options.minutes = QUICK_MINUTES
    options.ringway = options.ringway.resolve()
    return options


def _print_list(options: argparse.Namespace) -> None:
    everything, known = workloads.all_workloads(), peers_module.known_peers(DEFAULT_RINGWAY)
    for workload in everything:
        marks = " (quick)" if workload.quick else ""
        print(f"{workload.group:9} {workload.name:28} {workload.metric.unit:14} {workload.title}{marks}")
    print("peers: " + ", ".join(peer.name for peer in known))
    targets = Target.read(tools.ROOT / "targets.json")

    def takes(chosen: list[Workload], brief: frozenset[str] = frozenset()) -> str:
        plan = Plan(chosen, known, options.runs or DEFAULT_ROUNDS, DEFAULT_WARM_UP_S, DEFAULT_WINDOW_S, brief)
        return f"{plan.run_count():5} runs, {format_duration(plan.expected_s() + PREPARATION_S)}"

    print(f"\nWith {options.runs or DEFAULT_ROUNDS} rounds, if nothing else needs the machine:")
    print(f"  {'everything':30} {takes(everything, _brief(everything, targets))}")
    print(f"  {'--targets all':30} {takes(_needed(everything, targets))}")
    for name in dict.fromkeys(target.set for target in targets):
        print(f"  --targets {name:20} {takes(_needed(everything, [t for t in targets if t.set == name]))}")
    for group in dict.fromkeys(workload.group for workload in everything):
        print(f"  --only {group:23} {takes([w for w in everything if w.group == group])}")


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


def _wanted_targets(options: argparse.Namespace) -> list[Target]:
    everything = Target.read(tools.ROOT / "targets.json")
    if not options.targets or options.targets == "all":
        return everything
    known, wanted = dict.fromkeys(target.set for target in everything), options.targets.split(",")
    for name in wanted:
        if name not in known:
            raise SystemExit(
                f"bench: no set of targets is called {name!r}; expected all or some of: {', '.join(known)}"
            )
    return [target for target in everything if target.set in wanted]


def _needed(chosen: list[Workload], targets: list[Target]) -> list[Workload]:
    """Those without which `targets` have no answer."""
    needed = {name for target in targets for name in (target.workload, target.over)}
    return [workload for workload in chosen if workload.name in needed]


def _brief(chosen: list[Workload], targets: list[Target]) -> frozenset[str]:
    """Those on which no target hangs: a few rounds of them are enough."""
    needed = {workload.name for workload in _needed(chosen, targets)}
    return frozenset(workload.name for workload in chosen if workload.name not in needed)


def _plan(options: argparse.Namespace, available: list[Peer]) -> Plan:
    chosen, targets = workloads.all_workloads(), _wanted_targets(options)
    if options.targets:
        chosen = _needed(chosen, targets)
    if options.only:
        chosen = workloads.select(chosen, options.only.split(","))
    elif options.quick:
        chosen = [workload for workload in chosen if workload.quick]
    brief = frozenset() if options.runs or options.quick else _brief(chosen, targets)
    if options.workers and options.workers > 1:
        chosen = [with_workers(w, options.workers) for w in chosen if w.workers == 1]
    named = {name for workload in chosen for name in workload.peers}
    peers = [peer for peer in available if peer.name in named]
    window_s = options.window or (QUICK_WINDOW_S if options.quick else DEFAULT_WINDOW_S)
    warm_up_s = QUICK_WARM_UP_S if options.quick else DEFAULT_WARM_UP_S

    def of(rounds: int) -> Plan:
        return Plan(chosen, peers, rounds, warm_up_s, window_s, brief)

    if options.runs or options.quick or not options.minutes:
        return of(options.runs or (QUICK_ROUNDS if options.quick else DEFAULT_ROUNDS))
    affordable_s = 60 * options.minutes - PREPARATION_S
    fitting = [rounds for rounds in range(1, MOST_ROUNDS + 1) if of(rounds).expected_s() <= affordable_s]
    return of(max(fitting, default=1))


def _record(
    options: argparse.Namespace,
    plan: Plan,
    arguments: list[str] | None,
    notes: list[str],
    left_out: dict[str, str],
) -> Record:
    return Record(
        date=time.strftime("%d %b %Y"),
        command=_shown_command(sys.argv[1:] if arguments is None else arguments),
        commit=_commit(),
        rounds=plan.rounds,
        warm_up_s=plan.warm_up_s,
        window_s=plan.window_s,
        workloads=[workload.name for workload in plan.workloads],
        peers=[peer.name for peer in plan.peers],
        brief=sorted(plan.brief),
        workers=options.workers or 1,
        ringway=str(options.ringway),
        binary=digest(options.ringway),
        notes=notes,
        left_out=left_out,
        versions={peer.name: peer.version() for peer in plan.peers},
    )


def _shown_command(arguments: list[str]) -> str:
    """For reports, which others read: a path says nothing there but its last part."""
    return shlex.join(
        ["Benchmarks/bench", *(Path(word).name if word.startswith("/") else word for word in arguments)]
    )


def _resumed(folder: Path) -> Record:
    """Only the same binary goes on: another one's figures are another run, to be joined by --report."""
    record = Record.read(folder)
    if record.binary != digest(Path(record.ringway)):
        raise SystemExit(f"bench: {record.ringway} is not the binary that {folder} has measured; start another run")
    return record


def _commit() -> str:
    git = ["git", "-C", str(tools.REPOSITORY)]
    described = system.first_line([*git, "describe", "--always", "--dirty", "--tags"])
    when = subprocess.run([*git, "log", "-1", "--format=%cs"], capture_output=True, text=True).stdout.strip()
    return f"{described} of {when}" if when else described
