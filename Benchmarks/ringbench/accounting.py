"""What the operating system says that processes used; the same accounts as those of load/accounting.c."""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

_TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)
_RSS = re.compile(r"^Rss:\s+(\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Usage:
    """Of some processes, since they began."""

    cpu_ns: int
    stat_cpu_ns: int
    context_switches: int

    @staticmethod
    def of(pids: list[int]) -> Usage:
        switches = sum(_context_switches(pid) for pid in pids)
        return Usage(sum(map(cpu_ns, pids)), sum(map(_stat_cpu_ns, pids)), switches)


def cpu_ns(pid: int) -> int:
    """The process CPU clock, whose id is made of the process's as clock_getcpuclockid(3) does."""
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return 0


@dataclass(frozen=True)
class ThreadTimes:
    """Of a thread since it began, by the scheduler's own count (proc(5), schedstat)."""

    ran_ns: int
    # Ready to run, and somebody else had the CPU.
    waited_ns: int


def thread_times(pids: list[int]) -> dict[int, ThreadTimes]:
    """Of each thread that lives, by its id."""
    found: dict[int, ThreadTimes] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                fields = _read(pid, f"task/{task.name}/schedstat").split()
                if fields:
                    found[int(task.name)] = ThreadTimes(int(fields[0]), int(fields[1]))
    return found


def spent_by_thread(before: dict[int, ThreadTimes], after: dict[int, ThreadTimes]) -> list[ThreadTimes]:
    """Between two readings."""
    none = ThreadTimes(0, 0)
    return [
        ThreadTimes(now.ran_ns - then.ran_ns, now.waited_ns - then.waited_ns)
        for thread, now in after.items()
        for then in [before.get(thread, none)]
    ]


def resident_bytes(pids: list[int]) -> int:
    return sum(1024 * sum(map(int, _RSS.findall(_read(pid, "smaps_rollup")))) for pid in pids)


def _stat_cpu_ns(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return _TICK_NS * (int(fields[11]) + int(fields[12])) if fields else 0


def _context_switches(pid: int) -> int:
    with contextlib.suppress(OSError):
        tasks = [entry.name for entry in Path(f"/proc/{pid}/task").iterdir()]
        return sum(int(n) for task in tasks for n in _SWITCHES.findall(_read(pid, f"task/{task}/status")))
    return 0


def _read(pid: int, name: str) -> str:
    """Nothing when the process or thread is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_text()
    return ""
