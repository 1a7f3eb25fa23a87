"""The load generator against its own backend: what it counts, and what a stall does to its latencies."""

import json
import socket
import subprocess
import time
import unittest
import urllib.request

from ringbench import stats, system, tools

STALL_MS = 200


def ringload(mode: str, *options: str) -> dict:
    first = system.Ports().take(1)
    ports = [f"--proxy-port={first}", f"--backend-port={first}"]
    command = [str(tools.ringload()), mode, *ports, "--warm-up=0.05", *options]
    return json.loads(subprocess.run(command, capture_output=True, text=True, timeout=60).stdout)


def stalled_share(sample: dict) -> float:
    """The part of all latencies that is above a twentieth of the stall."""
    histogram = sample["latency_histogram"]
    slow = sum(count for value, count in histogram if value > STALL_MS * 1e6 / 20)
    return slow / sum(count for _, count in histogram)


class Ringload(unittest.TestCase):
    def test_every_measured_request_is_in_the_histogram(self):
        sample = ringload("echo", "--connections=8", "--window=0.2")
        self.assertEqual(sum(count for _, count in sample["latency_histogram"]), sample["requests"])
        self.assertGreater(sample["requests"], 0)

    def test_known_bytes_arrive_unchanged_in_all_modes(self):
        for mode in ("echo", "churn", "bulk"):
            with self.subTest(mode):
                sample = ringload(mode, "--connections=4", "--size=100000", "--window=0.2", "--verify")
                self.assertEqual(sample["errors"], 0)
                self.assertGreater(sample["bytes"], 0)

    def test_known_bytes_arrive_unchanged_over_http(self):
        for kind in ("get", "post"):
            for mode in ("echo", "churn"):
                with self.subTest(kind + " " + mode):
                    options = ("--connections=4", "--size=100000", "--window=0.2", "--verify", f"--http={kind}")
                    sample = ringload(mode, *options)
                    self.assertEqual(sample["errors"], 0)
                    self.assertGreater(sample["requests"], 0)

    def test_empty_responses_are_answers_too(self):
        sample = ringload("echo", "--connections=4", "--size=0", "--window=0.2", "--http=get")
        self.assertGreater(sample["requests"], 0)

    def test_websockets_stand_once_they_were_upgraded(self):
        sample = ringload("idle", "--connections=100", "--size=0", "--window=0.1", "--http=upgrade", "--touch")
        self.assertEqual((sample["connections"], sample["errors"]), (100, 0))

    def test_an_open_loop_sends_at_the_rate_it_was_given(self):
        sample = ringload("echo", "--connections=8", "--rate=2000", "--window=0.5")
        answered_and_waiting = sum(count for _, count in sample["latency_histogram"])
        self.assertAlmostEqual(answered_and_waiting, 1000, delta=300)

    def test_an_open_loop_counts_a_stall_against_every_request_that_it_delayed(self):
        # 200 ms of 1 s: a fifth of the requests fall due in it, and wait for its end.
        sample = ringload("echo", "--connections=4", "--rate=2000", "--window=1", f"--stall-ms={STALL_MS}")
        self.assertGreater(stalled_share(sample), 0.1)

    def test_a_closed_loop_hides_the_same_stall(self):
        # What makes the open loop necessary: here only the requests that were under way see the stall.
        sample = ringload("echo", "--connections=4", "--window=1", f"--stall-ms={STALL_MS}")
        self.assertLess(stalled_share(sample), 0.02)

    def test_the_histogram_keeps_a_value_within_its_promised_precision(self):
        sample = ringload("echo", "--connections=1", "--window=0.2")
        highest = stats.histogram_percentile(sample["latency_histogram"], 1.0)
        self.assertLessEqual(highest, sample["latency_max_ns"])
        self.assertGreater(highest, sample["latency_max_ns"] * 0.99)


class Backend(unittest.TestCase):
    def test_the_backend_alone_answers_whoever_comes(self):
        port = system.Ports().take(1)
        command = [str(tools.ringload()), "serve", "--http", "get", f"--backend-port={port}"]
        with subprocess.Popen(command) as backend:
            self.addCleanup(backend.kill)
            while not system.is_listening(port):
                time.sleep(0.01)
            for _ in range(2):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/70000/0", timeout=10) as answer:
                    self.assertEqual((answer.status, len(answer.read())), (200, 70000))
            backend.kill()


class Answers(unittest.TestCase):
    """What a proxy may answer instead of what was asked for."""

    def test_only_the_response_that_was_asked_for_counts(self):
        head = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
        cases = {
            "right": (head + "hello", False),
            "another status": (head.replace("200", "503") + "hello", True),
            "another length": (head.replace("5", "4") + "hell", True),
            "more than there should be": (head + "hello!", True),
            "no length": ("HTTP/1.1 200 OK\r\n\r\nhello", True),
            "nothing": ("", True),
        }
        for name, (answer, is_error) in cases.items():
            with self.subTest(name):
                self.assertEqual(errors_of(answer.encode(), "--http=get", "--size=5") > 0, is_error)

    def test_a_head_may_come_in_pieces(self):
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
        self.assertEqual(errors_of(answer, "--http=get", "--size=5", pause_after=12), 0)


def errors_of(answer: bytes, *options: str, pause_after: int = 0) -> int:
    """Errors that a client counts when a server has this one answer for it; a server that has none closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        command = [str(tools.ringload()), "echo", "--warm-up=0.05", "--window=0.2", *options]
        command += [f"--proxy-port={server.getsockname()[1]}", f"--backend-port={system.Ports().take(1)}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as load, server.accept()[0] as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(4096)
            connection.send(answer[:pause_after])
            time.sleep(0.02 if pause_after else 0)
            connection.sendall(answer[pause_after:])
            if not answer:
                connection.close()
            return json.loads(load.communicate(timeout=60)[0])["errors"]


if __name__ == "__main__":
    unittest.main()
