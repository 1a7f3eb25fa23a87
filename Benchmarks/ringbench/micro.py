"""The command line of `Benchmarks/micro`: what single operations cost, in instructions and allocations.

Both can be counted rather than timed, so that they are the same on a busy machine and on an idle one. Each operation
runs under an instruction counter for two numbers of repetitions, and the difference is divided by theirs: what it
takes to get ready cancels out.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from . import system, tools

PACKAGE = tools.ROOT / "Micro"
THRESHOLDS = PACKAGE / "thresholds.json"
# As scripts/release builds what ships.
AS_SHIPPED = ["--static-swift-stdlib", "-Xswiftc", "-enforce-exclusivity=unchecked"]
# Valgrind 3.19 cannot read the compiler's debug information.
BUILD = ["swift", "build", "-c", "release", "--product", "repeat", "-Xlinker", "-S", *AS_SHIPPED]
FEW, MANY = 200, 1200
RUN_TIMEOUT_S = 600
EXIT_WORSE = 1
# Below this, a difference of single instructions would be a large part.
SLACK_INSTRUCTIONS = 3


@dataclass(frozen=True)
class Cost:
    """Of one operation."""

    instructions: float
    allocations: float


@dataclass(frozen=True)
class Thresholds:
    """What operations may cost. Instructions depend on the compiler, allocations hardly do."""

    compiler: str
    tolerance: float
    operations: dict[str, Cost]

    @staticmethod
    def read(path: Path) -> Thresholds:
        data = json.loads(path.read_text())
        costs = {name: Cost(**cost) for name, cost in data["operations"].items()}
        return Thresholds(data["compiler"], data["tolerance"], costs)

    def write(self, path: Path) -> None:
        lines = [
            f'    "{name}": {{"instructions": {cost.instructions:.0f}, "allocations": {cost.allocations:g}}}'
            for name, cost in self.operations.items()
        ]
        head = f'{{\n  "compiler": "{self.compiler}",\n  "tolerance": {self.tolerance:g},\n  "operations": {{\n'
        path.write_text(head + ",\n".join(lines) + "\n  }\n}\n")


@dataclass(frozen=True)
class Verdict:
    """How an operation's cost compares; `is_worse` fails the check."""

    text: str
    is_worse: bool = False
    is_better: bool = False


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 when nothing costs more than it may, 1 when something does."""
    options = _parse(arguments)
    began = time.monotonic()
    if not options.no_build:
        subprocess.run(BUILD, cwd=PACKAGE, check=True, stdout=sys.stderr)
    known = Thresholds.read(THRESHOLDS)
    compiler = _compiler()
    names = [name for name in _repeat().split() if re.search(options.only, name)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        costs = dict(zip(names, pool.map(_measure, names), strict=True))
    verdicts = {name: judge(cost, known, name, compiler) for name, cost in costs.items()}
    for name, cost in costs.items():
        limit = known.operations.get(name)
        before = f"{limit.instructions:8,.0f} {limit.allocations:4g}" if limit else f"{'–':>8} {'–':>4}"
        print(f"{name:28} {cost.instructions:8,.0f} {cost.allocations:4g}   {before}   {verdicts[name].text}")
    if options.update:
        Thresholds(compiler, known.tolerance, known.operations | costs).write(THRESHOLDS)
        return 0
    return _conclude(verdicts, [n for n in known.operations if n not in costs and re.search(options.only, n)], began)


def judge(cost: Cost, known: Thresholds, name: str, compiler: str) -> Verdict:
    """Compares `cost` with what the operation may cost."""
    limit = known.operations.get(name)
    if limit is None:
        return Verdict("new: record it with --update", is_worse=True)
    if cost.allocations > limit.allocations:
        return Verdict("ALLOCATES MORE", is_worse=True)
    slack = max(limit.instructions * known.tolerance, SLACK_INSTRUCTIONS)
    if cost.instructions > limit.instructions + slack:
        same = compiler == known.compiler
        return Verdict("SLOWER" if same else f"more than with {known.compiler}", is_worse=same)
    if cost.allocations < limit.allocations or cost.instructions < limit.instructions - slack:
        return Verdict("better", is_better=True)
    return Verdict("")


def _conclude(verdicts: dict[str, Verdict], missing: list[str], began: float) -> int:
    worse = [name for name, verdict in verdicts.items() if verdict.is_worse]
    better = [name for name, verdict in verdicts.items() if verdict.is_better]
    for name in missing:
        print(f"{name:28} is in thresholds.json and not among the operations")
    if better:
        print(f"{len(better)} are better: `Benchmarks/micro --update` keeps it that way")
    took = f"in {time.monotonic() - began:.0f} s"
    if worse or missing:
        print(f"micro: FAILED {took}: {', '.join(worse + missing)}")
        return EXIT_WORSE
    print(f"micro: {len(verdicts)} operations cost what they may, {took}")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="micro", description="Counts what single operations cost.")
    parser.add_argument("--update", action="store_true", help="make what is measured the new thresholds")
    parser.add_argument("--only", default="", metavar="REGEX", help="operations whose names match")
    parser.add_argument("--no-build", action="store_true", help="measure what is built")
    return parser.parse_args(arguments)


def _compiler() -> str:
    found = re.search(r"Swift version (\S+)", system.first_line(["swift", "--version"]))
    return found[1] if found else "?"


def _repeat(*arguments: str, under: tuple[str, ...] = ()) -> str:
    """Runs the program; its output, and what the instruction counter says."""
    # A fixed seed for hashing; dynamic lookups would be bound at their first use, which may be in the middle.
    environment = os.environ | {"SWIFT_DETERMINISTIC_HASHING": "1", "LD_BIND_NOW": "1"}
    command = [*under, str(PACKAGE / ".build/release/repeat"), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=RUN_TIMEOUT_S)
    if done.returncode:
        raise SystemExit(f"micro: {' '.join(command)}: exit {done.returncode}: {done.stderr.strip()[-400:]}")
    return done.stdout + done.stderr


def _measure(name: str) -> Cost:
    per_repetition = MANY - FEW
    instructions = [_count_instructions(name, times) for times in (FEW, MANY)]
    allocations = [int(_repeat(name, str(times))) for times in (FEW, MANY)]
    return Cost(
        (instructions[1] - instructions[0]) / per_repetition, (allocations[1] - allocations[0]) / per_repetition
    )


def _count_instructions(name: str, times: int) -> int:
    callgrind = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
    found = re.search(r"Collected : (\d+)", _repeat(name, str(times), under=callgrind))
    if not found:
        raise SystemExit("micro: valgrind did not say how many instructions it counted")
    return int(found[1])
