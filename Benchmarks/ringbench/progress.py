"""Says what runs and how long it will take: one changing line on a terminal, a line a workload elsewhere."""

from __future__ import annotations

import shutil
import sys
import time


class Progress:
    """Learns from the runs so far how long a run takes."""

    def __init__(self, total: int, expected_run_s: float, stream=sys.stderr):
        self._total = total
        self._done = 0
        self._expected_run_s = expected_run_s
        self._begun = time.monotonic()
        self._stream = stream
        self._terminal = stream.isatty()
        self._last_heading = ""

    def remaining_s(self) -> float:
        elapsed = time.monotonic() - self._begun
        run_s = elapsed / self._done if self._done >= 5 else self._expected_run_s
        return run_s * (self._total - self._done)

    def step(self, heading: str, detail: str) -> None:
        """A run begins."""
        left = format_duration(self.remaining_s())
        if self._terminal:
            line = f"[{self._done + 1}/{self._total}] {left} left · {heading} · {detail}"
            width = shutil.get_terminal_size().columns - 1
            self._stream.write("\r\x1b[K" + line[:width])
        elif heading != self._last_heading:
            self._stream.write(f"[{self._done + 1}/{self._total}] {left} left · {heading}\n")
        self._last_heading = heading
        self._stream.flush()

    def finish_step(self) -> None:
        self._done += 1

    def say(self, text: str) -> None:
        """A line that stays."""
        self._stream.write(("\r\x1b[K" if self._terminal else "") + text + "\n")
        self._stream.flush()


def format_duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"
