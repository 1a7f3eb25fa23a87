"""The suite's own data: names that fit together, templates that fill, verdicts that follow from samples."""

import io
import json
import socket
import tempfile
import time
import unittest
from dataclasses import asdict
from pathlib import Path

from ringbench import cli, drawing, peers, plots, publish, report, system, templates, tools, workloads
from ringbench.plan import SAMPLES, Plan, Sample, read_samples
from ringbench.progress import Progress
from ringbench.record import Record, join
from ringbench.results import LIMIT, Results, Target
from ringbench.topology import Listener, Topology


def sample(workload: str, peer: str, round_number: int, value: float, void: str | None = None) -> Sample:
    raw = {
        "requests": 1000,
        "bytes": 10**6,
        "errors": 0,
        "window_ns": 10**9,
        "proxy_cpu_ns": int(value * 1e6),
        "proxy_stat_cpu_ns": int(value * 1e6),
        "load_cpu_ns": 5 * 10**8,
        "proxy_context_switches": 10,
        "resident_idle_bytes": 2**20,
        "resident_loaded_bytes": 2**21,
        "connections": 64,
        "latency_histogram": [[1000, 990], [9000, 10]],
    }
    return Sample(workload, peer, round_number, value, void, False, raw)


def example_results(ours: float = 8.0) -> Results:
    known = peers.known_peers(Path("/nowhere/ringway"))
    figures = {"ringway": ours, "haproxy": 10.0, "limit-copying": 7.5, "limit-splicing": 9.0}
    samples = [sample("tcp-echo-1KiB-x64", name, r, value) for name, value in figures.items() for r in range(5)]
    samples.append(sample("tcp-echo-1KiB-x64", "haproxy", 5, 1.0, void="3 errors"))
    return Results(workloads.all_workloads(), known, samples)


class Workloads(unittest.TestCase):
    def test_names_are_unique_and_references_exist(self):
        everything = workloads.all_workloads()
        names = [workload.name for workload in everything]
        self.assertEqual(len(names), len(set(names)))
        known = {peer.name for peer in peers.known_peers(Path("ringway"))}
        for workload in everything:
            self.assertLessEqual(set(workload.peers), known)
            for reference in (workload.rate_of, workload.grows_from):
                self.assertIn(reference, [*names, None])

    def test_targets_name_workloads_and_peers_that_exist(self):
        by_name = {workload.name: workload for workload in workloads.all_workloads()}
        for target in Target.read(tools.ROOT / "targets.json"):
            self.assertIn(target.workload, by_name)
            self.assertIn(target.peer, [*by_name[target.workload].peers, LIMIT, None])
            self.assertIn(target.over, [*by_name, None])
            self.assertIn(target.subject, by_name[target.workload].peers)

    def test_a_pattern_selects_by_group_and_by_name(self):
        chosen = workloads.select(workloads.all_workloads(), ["churn", "tcp-bulk-*4"])
        self.assertEqual([w.name for w in chosen], ["tcp-bulk-x64", "tcp-churn-x64", "http-churn-x64"])

    def test_the_first_word_of_names_selects_a_protocol(self):
        chosen = {w.name for w in workloads.select(workloads.all_workloads(), ["http"])}
        self.assertLessEqual({"http-get-1KiB-x64", "http-churn-x64", "http-latency-50"}, chosen)
        self.assertTrue(all(name.startswith("http") for name in chosen))

    def test_a_pattern_that_selects_nothing_is_refused(self):
        with self.assertRaises(SystemExit):
            workloads.select(workloads.all_workloads(), ["tpc"])

    def test_runs_without_a_proxy_happen_once(self):
        chosen = workloads.select(workloads.all_workloads(), ["tcp-echo-1KiB-x64"])
        plan = Plan(chosen, [peers.Direct()], rounds=7, warm_up_s=0.1, window_s=0.1)
        self.assertEqual(plan.run_count(), 1)

    def test_where_no_promise_hangs_on_it_a_few_rounds_are_enough(self):
        chosen = workloads.select(workloads.all_workloads(), ["tcp-echo-1KiB-x64", "tcp-echo-1KiB-x1", "memory-idle"])
        known = [peer for peer in peers.known_peers(Path("ringway")) if peer.name == "ringway"]
        plan = Plan(chosen, known, 7, 0.1, 0.1, cli._brief(chosen, Target.read(tools.ROOT / "targets.json")))
        rounds = {workload.name: plan.rounds_of(workload) for workload in chosen}
        self.assertEqual(rounds, {"tcp-echo-1KiB-x64": 7, "tcp-echo-1KiB-x1": 3, "memory-idle": 3})
        self.assertEqual(plan.run_count(), 13)
        self.assertEqual(plan.run_count(done=frozenset({("memory-idle", "ringway", 2)})), 12)

    def test_a_full_run_takes_an_hour_and_a_quick_one_three_minutes(self):
        targets, everything = Target.read(tools.ROOT / "targets.json"), workloads.all_workloads()
        known = peers.known_peers(Path("ringway"))
        full = Plan(
            everything,
            known,
            cli.DEFAULT_ROUNDS,
            cli.DEFAULT_WARM_UP_S,
            cli.DEFAULT_WINDOW_S,
            cli._brief(everything, targets),
        )
        self.assertLess(full.expected_s() + cli.PREPARATION_S, 65 * 60)
        quick = [workload for workload in everything if workload.quick]
        plan = Plan(quick, known, cli.QUICK_ROUNDS, cli.QUICK_WARM_UP_S, cli.QUICK_WINDOW_S)
        self.assertLess(plan.expected_s(), 60 * cli.QUICK_MINUTES)


class ProgressDisplay(unittest.TestCase):
    def test_what_is_left_is_learned_from_what_was_done(self):
        progress = Progress(20, expected_s=200, stream=io.StringIO())
        self.assertEqual(progress.remaining_s(), 200)
        for _ in range(10):
            progress.step("w", "p")
            progress.finish_step(expected_s=10)
        # The guess was ten seconds a run, and they took none.
        self.assertLess(progress.remaining_s(), 1)

    def test_a_deadline_bounds_what_is_left(self):
        progress = Progress(20, expected_s=200, deadline=time.monotonic() + 30, stream=io.StringIO())
        self.assertLessEqual(progress.remaining_s(), 30)


class SeveralRuns(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_folder(self, name: str, workload: str, binary: str, value: float, rounds: int = 3) -> Path:
        folder = self.folder / name
        folder.mkdir()
        record = Record("1 Jan 2026", name, "abc", rounds, 0.1, 0.1, workloads=[workload], binary=binary)
        record.write(folder)
        samples = [sample(workload, "ringway", number, value) for number in range(rounds)]
        (folder / SAMPLES).write_text("".join(json.dumps(asdict(s)) + "\n" for s in samples))
        return folder

    def test_a_record_reads_as_it_was_written(self):
        folder = self.run_folder("a", "tcp-echo-1KiB-x64", "1", 8.0)
        self.assertEqual(Record.read(folder).chosen()[0].name, "tcp-echo-1KiB-x64")
        with self.assertRaises(SystemExit):
            Record.read(self.folder)

    def test_a_line_that_was_cut_short_does_not_count(self):
        folder = self.run_folder("a", "tcp-echo-1KiB-x64", "1", 8.0)
        text = (folder / SAMPLES).read_text()
        (folder / SAMPLES).write_text(text[:-20])
        self.assertEqual(len(read_samples(folder)), 2)

    def test_rounds_of_several_runs_add_up_and_never_pair(self):
        folders = [self.run_folder(name, "tcp-echo-1KiB-x64", "1", 8.0) for name in ("a", "b")]
        _, chosen, samples = join(folders)
        self.assertEqual([workload.name for workload in chosen], ["tcp-echo-1KiB-x64"])
        self.assertEqual(len({s.round for s in samples}), 6)

    def test_another_binary_replaces_what_an_older_one_measured(self):
        old = self.run_folder("old", "tcp-echo-1KiB-x64", "1", 8.0)
        kept = self.run_folder("kept", "tcp-churn-x64", "1", 50.0)
        new = self.run_folder("new", "tcp-echo-1KiB-x64", "2", 7.0)
        _, _, samples = join([old, kept, new])
        values = {(s.workload, s.value) for s in samples}
        self.assertEqual(values, {("tcp-churn-x64", 50.0), ("tcp-echo-1KiB-x64", 7.0)})

    def test_a_run_goes_on_only_with_its_own_binary(self):
        with self.assertRaises(SystemExit):
            cli._resumed(self.run_folder("a", "tcp-echo-1KiB-x64", "1", 8.0))

    def test_the_readme_gets_one_table_between_its_marks(self):
        results, record = example_results(), Record("1 Jan 2026", "bench", "abc", 5, 0.3, 1.2)
        section = publish.readme_section(results, [], [record])
        self.assertIn("| **8.0 us** | 10.0 us |", section)
        text = publish.in_readme(f"a\n{publish.BEGIN}\nold\n{publish.END}\nb", section)
        self.assertNotIn("old", text)
        self.assertTrue(text.startswith("a\n") and text.endswith("\nb"))
        with self.assertRaises(SystemExit):
            publish.in_readme("no marks", section)

    def test_the_results_page_finds_its_plots(self):
        page = publish.results_page("# Title\n\n![Cost](summary.svg)\n")
        self.assertIn("![Cost](plots/summary.svg)", page)


class FreePorts(unittest.TestCase):
    def test_each_run_gets_ports_of_its_own(self):
        ports = system.Ports()
        first, second = ports.take(3), ports.take(3)
        self.assertGreaterEqual(abs(first - second), 3)

    def test_a_port_that_somebody_listens_on_is_passed_over(self):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken = system.Ports().take(1)
            listener.bind(("127.0.0.1", taken))
            listener.listen()
            self.assertTrue(system.is_listening(taken))
            first = system.Ports().take(5)
            self.assertNotIn(taken, range(first, first + 5))
        self.assertFalse(system.is_listening(taken))


class Templates(unittest.TestCase):
    def test_every_peer_configuration_fills_for_many_listeners_and_endpoints(self):
        listeners = Topology(listeners=3, endpoints=300).build("tcp", first_port=7000, backend_port=7999)
        for text in self.written(peers.Setup(listeners, 2, 1024, 64, self.folder)):
            self.assertIn("7002", text)
            self.assertIn("127.0.1.50", text)

    def test_every_peer_configuration_fills_for_many_routes_and_clusters(self):
        listeners = Topology(routes=30, clusters=20).build("http", first_port=7000, backend_port=7999)
        for text in self.written(peers.Setup(listeners, 1, 1024, 64, self.folder, "http")):
            self.assertIn("/routes/28/", text)
            self.assertIn("c19", text)
            self.assertEqual(text.count("/routes/7/"), 1)

    def test_upgrades_are_configured_only_where_they_are_asked_for(self):
        listeners = Topology().build("http", first_port=7000, backend_port=7999)
        plain, upgrading = (
            self.written(peers.Setup(listeners, 1, 0, 64, self.folder, "http", frozenset(features)))
            for features in ((), ("upgrade",))
        )
        for without, having in zip(plain, upgrading, strict=True):
            self.assertGreater(having.lower().count("upgrade"), without.lower().count("upgrade"))

    def test_logs_and_filters_are_on_everywhere_or_nowhere(self):
        listeners = Topology(routes=3).build("http", first_port=7000, backend_port=7999)
        for features, expected in (((), False), (("featured",), True)):
            setup = peers.Setup(listeners, 1, 1024, 64, self.folder, "http", frozenset(features))
            for text in self.written(setup):
                self.assertEqual("x-served-by" in text.lower(), expected)
                self.assertEqual("access_log:" in text or "log_format " in text or "log-format" in text, expected)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def written(self, setup: peers.Setup) -> list[str]:
        """All that each peer is configured by, one text a peer. HAProxy needs nothing for upgrades."""
        texts = []
        for peer in peers.known_peers(Path("ringway")):
            if peer.templates and not (setup.protocol == "http" and setup.message_bytes == 0 and "hap" in peer.name):
                texts.append(peer.write_config(setup).read_text())
                texts[-1] += "".join((setup.directory / name).read_text() for name in peer.more_files)
        return texts

    def test_a_placeholder_without_value_is_an_error(self):
        with tempfile.NamedTemporaryFile("w", suffix=".in") as template:
            template.write("x @unknown@\n")
            template.flush()
            with self.assertRaises(KeyError):
                templates.render(Path(template.name), {}, (Listener("l0", 1, ()),))


class Verdicts(unittest.TestCase):
    def test_a_ratio_is_compared_with_its_target(self):
        reached, missed = example_results().verdicts(
            [
                Target("tcp-echo-1KiB-x64", "test", peer="haproxy", ratio=0.82),
                Target("tcp-echo-1KiB-x64", "test", peer="haproxy", ratio=0.75),
            ]
        )
        self.assertTrue(reached.reached and reached.certain)
        self.assertFalse(missed.reached)
        self.assertTrue(missed.certain)

    def test_the_limit_is_the_cheaper_relay(self):
        (verdict,) = example_results().verdicts([Target("tcp-echo-1KiB-x64", "test", peer=LIMIT, ratio=1.1)])
        self.assertAlmostEqual(verdict.measured, 8.0 / 7.5)

    def test_a_workload_is_compared_with_another_one(self):
        samples = [sample("scale-http-routes-10", "ringway", r, 10.0 + r) for r in range(3)]
        samples += [sample("scale-http-routes-10000", "ringway", r, 10.2 + r) for r in range(3)]
        results = Results(workloads.all_workloads(), peers.known_peers(Path("ringway")), samples)
        names = {"workload": "scale-http-routes-10000", "over": "scale-http-routes-10", "source": "test"}
        difference, ratio, missed = results.verdicts(
            [Target(**names, at_most=0.3), Target(**names, ratio=1.05), Target(**names, at_most=0.1)]
        )
        self.assertTrue(difference.reached and difference.certain and ratio.reached)
        self.assertAlmostEqual(difference.measured, 0.2)
        self.assertFalse(missed.reached)

    def test_what_was_not_measured_is_neither_reached_nor_missed(self):
        (verdict,) = example_results().verdicts([Target("tcp-churn-x64", "test", peer="haproxy", ratio=0.87)])
        self.assertIsNone(verdict.reached)

    def test_void_runs_do_not_count(self):
        results = example_results()
        self.assertEqual(results.spread("tcp-echo-1KiB-x64", "haproxy").low, 10.0)
        self.assertEqual(len(results.void), 1)


class Reports(unittest.TestCase):
    def test_a_report_shows_figures_targets_weak_spots_and_void_runs(self):
        record = Record("1 Jan 2026", "bench", "abc", 5, 0.3, 1.2, machine={"CPU": "test"})
        results = example_results(ours=11.0)
        verdicts = results.verdicts([Target("tcp-echo-1KiB-x64", "test", peer="haproxy", ratio=0.82)])
        with tempfile.TemporaryDirectory() as folder:
            text = report.write(Path(folder), results, verdicts, [record]).read_text()
            self.assertTrue((Path(folder) / "summary.svg").exists())
        self.assertIn("1.10 [1.10–1.10]", text)
        self.assertIn("**missed**", text)
        self.assertIn("## Where Ringway needs more than a peer", text)
        self.assertIn("3 errors", text)

    def test_targets_are_counted_by_set_and_what_was_not_measured_is_named(self):
        results = example_results()
        targets = [
            Target("tcp-echo-1KiB-x64", "test", set="layer-4", peer="haproxy", ratio=0.82),
            Target("tcp-churn-x64", "test", set="layer-4", peer="haproxy", ratio=0.87),
        ]
        text = report._targets(results.verdicts(targets))
        self.assertIn("| layer-4 | 1 | 0 | 0 | 1 |", text)
        self.assertIn("Not measured: tcp-churn-x64 (haproxy).", text)

    def test_a_variant_of_ringway_is_the_subject_of_its_own_targets(self):
        samples = [sample("observed-get-1KiB-x64", "ringway", r, 10.0) for r in range(3)]
        samples += [sample("observed-get-1KiB-x64", "ringway-observed", r, 10.2) for r in range(3)]
        results = Results(workloads.all_workloads(), peers.known_peers(Path("ringway")), samples)
        target = Target("observed-get-1KiB-x64", "t", peer="ringway", subject="ringway-observed", ratio=1.03)
        (verdict,) = results.verdicts([target])
        self.assertTrue(verdict.reached)
        self.assertEqual(report._weak_spots(results), "")

    def test_the_summary_shows_each_proxy_in_its_best_setting_against_ringway(self):
        known = peers.known_peers(Path("ringway"))
        figures = {"ringway": 10.0, "haproxy": 20.0, "haproxy-splice": 15.0, "limit-splicing": 5.0}
        samples = [sample("tcp-bulk-x1", name, r, value) for name, value in figures.items() for r in range(3)]
        results = Results(workloads.all_workloads(), known, samples)
        _, note, dots = drawing._multiples(results, results.by_name["tcp-bulk-x1"])
        self.assertEqual(note, "10.000 s")
        self.assertEqual([(dot.peer, dot.value) for dot in dots], [("limit-copying", 0.5), ("haproxy", 1.5)])
        self.assertIn("<circle", plots.multiples("", "", "", [("", note, dots)]))

    def test_text_in_plots_is_escaped(self):
        svg = plots.bars("a < b & c", "", "", [("g", [plots.Bar("ringway", "R", 1.0, 0.9, 1.1, "1.0")])])
        self.assertIn("a &lt; b &amp; c", svg)


if __name__ == "__main__":
    unittest.main()
