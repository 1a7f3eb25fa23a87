"""Runs the integration tests. What fails is tried once more, alone, and named either way.

The tests use real sockets, clocks and processes, and a machine that stands still for a second can fail one of them. A
test that fails twice has found something.
"""

import os
import sys
import unittest
from pathlib import Path

# Zipkin's published classes are older than the protobuf library that others want. Before any module imports that.
os.environ.setdefault("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", "python")

# More than this is no accident.
SECOND_TRIES_MAX = 10


def failed_cases(result: unittest.TestResult) -> list[unittest.TestCase]:
    cases = {}
    for test, _ in result.failures + result.errors:
        case = getattr(test, "test_case", test)
        cases[case.id()] = case
    return list(cases.values())


def main() -> int:
    folder = str(Path(__file__).parent)
    loader = unittest.TestLoader()
    runner = unittest.TextTestRunner(verbosity=2)
    result = runner.run(loader.discover(folder, top_level_dir=folder))
    failed = failed_cases(result)
    if result.testsRun == 0:
        return 1
    if result.wasSuccessful():
        return 0
    if len(failed) > SECOND_TRIES_MAX or any(case.id().startswith("unittest.loader.") for case in failed):
        return 1
    names = [case.id() for case in failed]
    print(f"\nFailed, and tried once more: {', '.join(names)}\n", file=sys.stderr, flush=True)
    second = runner.run(unittest.TestSuite(loader.loadTestsFromName(name) for name in names))
    if second.wasSuccessful():
        print(f"\nPassed at the second try: {', '.join(names)}", file=sys.stderr)
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
