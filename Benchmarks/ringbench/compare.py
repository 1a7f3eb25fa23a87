"""The command line of `Benchmarks/compare`: has this tree become slower than another commit?

Builds both, alternates their binaries over a set of workloads, and calls a workload changed only when the whole
confidence interval of its ratio lies beyond a threshold.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from . import system, tools, workloads
from .peers import Peer, Ringway
from .plan import SAMPLES, Plan
from .progress import Progress, format_duration
from .results import Results
from .runner import Runner

DEFAULT_WORKLOADS = ",".join(
    [
        *("tcp-echo-1KiB-x64", "tcp-echo-1KiB-x1000", "tcp-echo-64KiB-x64", "tcp-bulk-x1", "tcp-churn-x64"),
        *("http-get-1KiB-x64", "http-get-1KiB-x1000", "http-get-64KiB-x64", "http-churn-x64"),
        *("memory-idle", "memory-http-idle"),
    ]
)
DEFAULT_ROUNDS, DEFAULT_THRESHOLD = 9, 0.03
WARM_UP_S, WINDOW_S = 0.3, 1.0
EXIT_SLOWER = 1


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when nothing became slower, 1 when something did."""
    options = _parse(arguments)
    chosen = workloads.select(workloads.all_workloads(), options.only.split(","))  # before builds that take minutes
    system.raise_descriptor_limit()
    with contextlib.ExitStack() as stack:
        base = options.base_binary or _build_commit(options.base, stack)
        head = options.ringway or _build(tools.REPOSITORY)
        results, interrupted = _measure(base, head, chosen, options)
    slower = _print_verdicts(results, options.threshold)
    if interrupted:
        return 130
    return EXIT_SLOWER if slower else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="compare", description="Compares this tree's speed with a commit's.")
    parser.add_argument("base", metavar="COMMIT", help="what to compare with: a commit, branch or tag")
    parser.add_argument("--only", default=DEFAULT_WORKLOADS, metavar="NAMES", help="workloads as in `bench --list`")
    parser.add_argument("--runs", type=int, default=DEFAULT_ROUNDS, metavar="N", help="rounds (default %(default)s)")
    parser.add_argument(
        "--window", type=float, default=WINDOW_S, metavar="S", help="measured seconds (default %(default)s)"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=DEFAULT_THRESHOLD,
        metavar="FRACTION",
        help="changes within it are not reported (default %(default)s)",
    )
    parser.add_argument("--ringway", type=Path, metavar="PATH", help="this tree's binary, instead of building it")
    parser.add_argument("--base-binary", type=Path, metavar="PATH", help="the other binary, instead of building it")
    return parser.parse_args(arguments)


def _build_commit(commit: str, stack: contextlib.ExitStack) -> Path:
    """Builds `commit` in a worktree of its own, which goes away with `stack`."""
    git = ["git", "-C", str(tools.REPOSITORY)]
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ringway-base-"))) / "tree"
    subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(folder), commit], check=True)
    stack.callback(subprocess.run, [*git, "worktree", "remove", "--force", str(folder)])
    return _build(folder)


def _build(tree: Path) -> Path:
    """As what ships is built, by that tree's own script; commits from before there was one are built plainly."""
    print(f"building {tree}", file=sys.stderr)
    script = tree / "scripts/release"
    command = [str(script)] if script.exists() else ["swift", "build", "-c", "release", "--product", "ringway"]
    subprocess.run(command, cwd=tree, check=True, stdout=sys.stderr)
    return tree / ".build/release/ringway"


def _measure(
    base: Path, head: Path, chosen: list[workloads.Workload], options: argparse.Namespace
) -> tuple[Results, bool]:
    peers: list[Peer] = [
        Ringway(base.resolve(), "base", f"base ({options.base})"),
        Ringway(head.resolve(), "head", "this tree"),
    ]
    for peer in peers:
        if why := peer.missing():
            raise SystemExit(f"compare: {why}")
    names = tuple(peer.name for peer in peers)
    chosen = [replace(workload, peers=names) for workload in chosen]
    plan = Plan(chosen, peers, options.runs, WARM_UP_S, options.window)
    folder = tools.RESULTS / time.strftime("compare-%Y-%m-%d-%H%M%S")
    folder.mkdir(parents=True)
    progress = Progress(plan.run_count(), plan.expected_s())
    progress.say(
        f"{plan.run_count()} runs, about {format_duration(progress.remaining_s())}; Ctrl-C keeps what is there"
    )
    runner, interrupted = Runner(plan, folder / SAMPLES, progress), False
    notes: list[str] = []
    with system.network_settings(notes):
        try:
            runner.run()
        except KeyboardInterrupt:
            interrupted = True
    for note in notes:
        progress.say(note)
    return Results(chosen, peers, runner.samples), interrupted


def _print_verdicts(results: Results, threshold: float) -> list[str]:
    """Prints a line a workload and returns the slower ones."""
    slower = []
    for workload in results.workloads:
        ratio = results.ratio(workload, "head", "base")
        own, other = results.spread(workload.name, "head"), results.spread(workload.name, "base")
        if ratio is None or own is None or other is None:
            print(f"{workload.name:26} not measured")
            continue
        interval = "too few runs" if ratio.low is None else f"[{ratio.low:.3f}, {ratio.high:.3f}]"
        verdict = "no change beyond noise"
        if ratio.excludes(1 - threshold, 1 + threshold):
            verdict = "SLOWER" if ratio.value > 1 else "faster"
        if verdict == "SLOWER":
            slower.append(workload.name)
        figures = f"{other.median:10,.2f} → {own.median:10,.2f} {workload.metric.unit:13}"
        print(f"{workload.name:26} {figures} ratio {ratio.value:.3f} {interval:16} {verdict}")
    for sample in results.void:
        print(f"void: {sample.workload} · {sample.peer} · round {sample.round + 1}: {sample.void}")
    return slower
