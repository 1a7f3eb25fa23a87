"""The regression gate: which trees it builds, and what it calls slower."""

import contextlib
import io
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from ringbench import compare, peers, tools, workloads
from ringbench.plan import Sample
from ringbench.results import Results

NAME = "tcp-echo-1KiB-x64"


def results(head: list[float], base: list[float]) -> Results:
    raw = {"requests": 1, "errors": 0}
    samples = [Sample(NAME, "head", r, value, None, False, raw) for r, value in enumerate(head)]
    samples += [Sample(NAME, "base", r, value, None, False, raw) for r, value in enumerate(base)]
    known = [peers.Ringway(Path("a"), "base", "base"), peers.Ringway(Path("b"), "head", "head")]
    return Results(workloads.select(workloads.all_workloads(), [NAME]), known, samples)


class Verdicts(unittest.TestCase):
    def slower(self, head: list[float], base: list[float]) -> tuple[list[str], str]:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            return compare._print_verdicts(results(head, base), 0.03), said.getvalue()

    def test_only_what_is_beyond_noise_is_slower(self):
        self.assertEqual(self.slower([11.0, 11.1, 11.2], [10.0, 10.0, 10.0])[0], [NAME])
        self.assertEqual(self.slower([10.1, 10.2, 10.2], [10.0, 10.0, 10.0])[0], [])
        self.assertEqual(self.slower([9.0, 12.0, 11.0], [10.0, 10.0, 10.0])[0], [])

    def test_what_became_faster_is_said_and_does_not_fail(self):
        slower, said = self.slower([9.0, 9.1, 9.0], [10.0, 10.0, 10.0])
        self.assertEqual(slower, [])
        self.assertIn("faster", said)


class Builds(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.repository = Path(folder.name)
        self.git("init", "--quiet")
        (self.repository / "scripts").mkdir()
        self.commit("old")
        self.commit("new")

    def git(self, *arguments: str) -> None:
        who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", "-C", str(self.repository), *who, *arguments], check=True)

    def commit(self, version: str) -> None:
        """A tree whose release is a program that says which version it is."""
        script = self.repository / "scripts/release"
        program = f"printf '#!/bin/sh\\necho {version}\\n' >.build/release/ringway; chmod 755 .build/release/ringway"
        script.write_text(f'#!/bin/sh\nset -e\ncd "$(dirname "$0")/.."\nmkdir -p .build/release\n{program}\n')
        script.chmod(0o755)
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", version)

    def test_a_commit_is_built_by_its_own_script_in_a_tree_that_goes_away(self):
        with mock.patch.object(tools, "REPOSITORY", self.repository):
            with contextlib.ExitStack() as stack:
                binary = compare._build_commit("HEAD~1", stack)
                said = subprocess.run([str(binary)], capture_output=True, text=True).stdout
                self.assertEqual(said, "old\n")
            self.assertFalse(binary.exists())
        listed = subprocess.run(
            ["git", "-C", str(self.repository), "worktree", "list"], capture_output=True, text=True
        ).stdout
        self.assertEqual(len(listed.splitlines()), 1)


if __name__ == "__main__":
    unittest.main()
