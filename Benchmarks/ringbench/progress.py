"""Says what runs and how long it will take: one changing line on a terminal, a line a workload elsewhere."""

from __future__ import annotations

import shutil
import sys
import time

# So many runs teach how wrong the plan's guess is.
ENOUGH_RUNS = 5


class Progress:
    """Knows how long the plan guesses the runs to take, and learns how wrong that is."""

    def __init__(self, total: int, expected_s: float, deadline: float | None = None, stream=sys.stderr):
        self._total, self._expected_s = total, expected_s
        self._done, self._done_s = 0, 0.0
        self._deadline = deadline
        self._begun: float | None = None
        self._spent_s = 0.0
        self._stream = stream
        self._terminal = stream.isatty()
        self._last_heading = ""

    def learned(self, expected_s: float) -> float:
        """What such a guess means, as far as is known by now."""
        return expected_s * self._spent_s / self._done_s if self._done >= ENOUGH_RUNS else expected_s

    def remaining_s(self) -> float:
        left_s = self.learned(self._expected_s - self._done_s)
        return left_s if self._deadline is None else max(0.0, min(left_s, self._deadline - time.monotonic()))

    def step(self, heading: str, detail: str) -> None:
        """A run begins."""
        self._begun = time.monotonic()
        left = format_duration(self.remaining_s())
        if self._terminal:
            line = f"[{self._done + 1}/{self._total}] {left} left · {heading} · {detail}"
            width = shutil.get_terminal_size().columns - 1
            self._stream.write("\r\x1b[K" + line[:width])
        elif heading != self._last_heading:
            self._stream.write(f"[{self._done + 1}/{self._total}] {left} left · {heading}\n")
        self._last_heading = heading
        self._stream.flush()

    def finish_step(self, expected_s: float) -> None:
        """The run that began last took what the plan had guessed as `expected_s`."""
        self._done += 1
        self._done_s += expected_s
        self._spent_s += time.monotonic() - (self._begun or time.monotonic())

    def say(self, text: str) -> None:
        """A line that stays."""
        self._stream.write(("\r\x1b[K" if self._terminal else "") + text + "\n")
        self._stream.flush()


def format_duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"
