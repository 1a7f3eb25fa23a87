"""The command itself, with nothing but the bare relays: interrupted, gone on with, reported again."""

import json
import shutil
import signal
import subprocess
import sys
import time
import unittest
from collections import Counter
from pathlib import Path

from ringbench import peers, tools
from ringbench.plan import SAMPLES
from ringbench.record import Record

ROUNDS = 6
TIMEOUT_S = 120


@unittest.skipIf(peers.Limit("copying", "").missing(), "the bare relays do not run here")
class Command(unittest.TestCase):
    def setUp(self):
        self.before = set(tools.RESULTS.glob("*"))
        self.addCleanup(self.remove_results)

    def remove_results(self):
        for folder in self.new_results():
            shutil.rmtree(folder)

    def new_results(self) -> list[Path]:
        return sorted(set(tools.RESULTS.glob("*")) - self.before)

    def bench(self, *options: str) -> subprocess.Popen:
        command = [sys.executable, str(tools.ROOT / "bench"), "--no-install", *options]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def finish(self, process: subprocess.Popen) -> str:
        with process:
            return process.communicate(timeout=TIMEOUT_S)[0]

    def samples(self, folder: Path) -> list[dict]:
        path = folder / SAMPLES
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def test_a_run_that_is_interrupted_keeps_what_it_has_and_goes_on(self):
        only = ["--only", "tcp-echo-1KiB-x1,tcp-latency-50", "--peers", "limit-copying"]
        process = self.bench(*only, "--runs", str(ROUNDS), "--window", "0.1")
        deadline = time.monotonic() + TIMEOUT_S
        while not (new := self.new_results()) or len(self.samples(new[0])) < 2:
            self.assertIsNone(process.poll())
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = self.finish(process)
        self.assertEqual(process.returncode, 130, said)
        (folder,) = self.new_results()
        kept = self.samples(folder)
        self.assertLess(len(kept), 2 * ROUNDS)
        self.assertIn("**interrupted**", (folder / "report.md").read_text())
        self.assertIn(f"--resume {folder}", said)

        resumed = self.bench("--resume", str(folder))
        self.assertIn("Report:", self.finish(resumed))
        self.assertEqual(resumed.returncode, 0)
        every = self.samples(folder)
        self.assertEqual(every[: len(kept)], kept)
        self.assertEqual(set(Counter((s["workload"], s["peer"], s["round"]) for s in every).values()), {1})
        self.assertEqual(len(every), 2 * ROUNDS)
        # An open loop keeps its pace.
        self.assertEqual(len({s["raw"]["rate"] for s in every if s["workload"] == "tcp-latency-50"}), 1)
        self.assertFalse(Record.read(folder).interrupted)

    def test_a_run_ends_in_the_time_that_it_was_given(self):
        options = ["--only", "tcp-echo-1KiB-x1", "--peers", "limit", "--runs", "90", "--minutes", "0.1"]
        process = self.bench(*options, "--window", "0.2")
        said = self.finish(process)
        self.assertEqual(process.returncode, 0, said)
        (folder,) = self.new_results()
        self.assertLess(len(self.samples(folder)), 90)
        self.assertIn("the time that was given ended", (folder / "report.md").read_text())

    def test_several_runs_make_one_report(self):
        for _ in range(2):
            self.finish(
                self.bench("--only", "tcp-echo-1KiB-x1", "--peers", "limit", "--runs", "1", "--window", "0.1")
            )
            time.sleep(1)  # folders are named by the second
        folders = self.new_results()
        self.assertEqual(len(folders), 2)
        said = self.finish(self.bench("--report", *map(str, folders)))
        text = Path(said.partition("Report: ")[2].splitlines()[0]).read_text()
        self.assertEqual(text.count("- Run of "), 2)


if __name__ == "__main__":
    unittest.main()
