"""What the micro benchmarks call worse, better and unchanged."""

import tempfile
import unittest
from pathlib import Path

from ringbench.micro import THRESHOLDS, Cost, Thresholds, judge

KNOWN = Thresholds("6.3.1", 0.05, {"parse": Cost(1000, 0), "tiny": Cost(20, 1)})


class Verdicts(unittest.TestCase):
    def test_a_few_instructions_more_or_less_are_no_change(self):
        for name, instructions in (("parse", 1050), ("parse", 950), ("tiny", 23), ("tiny", 17)):
            verdict = judge(Cost(instructions, KNOWN.operations[name].allocations), KNOWN, name, "6.3.1")
            self.assertFalse(verdict.is_worse or verdict.is_better)

    def test_more_instructions_than_tolerated_are_worse(self):
        self.assertTrue(judge(Cost(1051, 0), KNOWN, "parse", "6.3.1").is_worse)
        self.assertTrue(judge(Cost(24, 1), KNOWN, "tiny", "6.3.1").is_worse)

    def test_another_compiler_may_make_other_instructions_but_no_more_allocations(self):
        self.assertFalse(judge(Cost(2000, 0), KNOWN, "parse", "6.4.0").is_worse)
        self.assertTrue(judge(Cost(1000, 0.5), KNOWN, "parse", "6.4.0").is_worse)

    def test_one_allocation_in_a_thousand_repetitions_is_worse(self):
        self.assertTrue(judge(Cost(1000, 0.001), KNOWN, "parse", "6.3.1").is_worse)

    def test_less_is_better(self):
        self.assertTrue(judge(Cost(900, 0), KNOWN, "parse", "6.3.1").is_better)
        self.assertTrue(judge(Cost(20, 0), KNOWN, "tiny", "6.3.1").is_better)

    def test_an_operation_without_thresholds_fails(self):
        self.assertTrue(judge(Cost(1, 0), KNOWN, "new", "6.3.1").is_worse)

    def test_what_was_written_reads_back(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "thresholds.json"
            KNOWN.write(path)
            self.assertEqual(Thresholds.read(path), KNOWN)

    def test_the_thresholds_of_this_tree_can_be_read(self):
        self.assertGreater(len(Thresholds.read(THRESHOLDS).operations), 20)


if __name__ == "__main__":
    unittest.main()
