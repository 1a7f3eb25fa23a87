"""/metrics: what Prometheus and its tools make of it, and whether the numbers add up."""

import json
import random
import socket
import subprocess
import threading
import urllib.parse
import urllib.request

from support import Case, Metrics, cluster, connect, document, free_port, listener, read_exactly, read_to_end, reset
from support.peers import digest, echo

# The families of the documented surface that a TCP proxy has.
FAMILIES = """
    ringway_listener_connections_total ringway_listener_connections_active ringway_listener_connections_rejected_total
    ringway_cluster_connections_total ringway_cluster_connections_active ringway_cluster_connect_failures_total
    ringway_cluster_endpoints ringway_bytes_total ringway_connection_closes_total
    ringway_worker_loop_seconds_total ringway_worker_connections_active
    ringway_ring_completions_total ringway_ring_enters_total ringway_ring_overflows_total ringway_buffers_in_use
    ringway_config_generation ringway_config_applies_total
    process_cpu_seconds_total process_resident_memory_bytes process_virtual_memory_bytes process_open_fds
    process_max_fds process_start_time_seconds
"""


class MetricsCase(Case):
    def edge(self, script=echo, workers: int = 1, **more) -> int:
        port = free_port()
        self.proxy = self.ringway(
            document([listener("edge", port, **more)], [cluster("backend", self.peer(script))]), workers=workers
        )
        return port

    def traffic(self, port: int, count: int = 20):
        """Connections that end in every way: in order, by reset of the client, and refused by nobody."""
        for index in range(count):
            client = connect(port)
            client.sendall(b"x" * 100)
            read_exactly(client, 100)
            if index % 3 == 0:
                reset(client)
            else:
                client.close()


class Exposition(MetricsCase):
    def test_promtool_has_nothing_to_say(self):
        port = self.edge(workers=2)
        self.traffic(port)
        check = subprocess.run(
            ["promtool", "check", "metrics"], input=self.proxy.metrics().text, capture_output=True, text=True
        )
        self.assertEqual((check.returncode, check.stdout, check.stderr), (0, "", ""))

    def test_every_family_that_dashboards_start_from_is_there(self):
        self.edge()
        self.assertEqual(set(FAMILIES.split()) - self.proxy.metrics().families, set())

    def test_every_family_has_help_and_type_once_and_before_its_samples(self):
        self.edge()
        helped, typed, current = [], [], None
        for line in self.proxy.metrics().text.splitlines():
            if line.startswith("# HELP "):
                helped.append(line.split()[2])
            elif line.startswith("# TYPE "):
                current = line.split()[2]
                typed.append(current)
            else:
                name = line.split("{")[0].split(" ")[0]
                self.assertIn(name, {current} | {f"{current}_{part}" for part in ("bucket", "sum", "count")})
        self.assertEqual(helped, typed)
        self.assertEqual(len(typed), len(set(typed)))

    def test_the_content_type_is_that_of_the_text_format(self):
        self.edge()
        answer = self.proxy.admin("/metrics")
        self.assertEqual(answer.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")

    def test_a_prometheus_server_scrapes_it(self):
        port = self.edge()
        self.traffic(port, 6)
        web = free_port()
        (self.folder / "prometheus.yml").write_text(f"""
            global: {{ scrape_interval: 1s, scrape_timeout: 1s }}
            scrape_configs:
              - job_name: ringway
                static_configs: [{{ targets: ["127.0.0.1:{self.proxy.admin_port}"] }}]
        """)
        self.server(
            "prometheus",
            "--config.file=prometheus.yml",
            f"--storage.tsdb.path={self.folder}/data",
            f"--web.listen-address=127.0.0.1:{web}",
        )

        def query(expression: str):
            url = f"http://127.0.0.1:{web}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
            try:
                with urllib.request.urlopen(url, timeout=30) as response:
                    return json.load(response)["data"]["result"]
            except OSError:
                return []

        result = self.eventually(lambda: query('ringway_listener_connections_total{listener="edge"}'))
        self.assertEqual(result[0]["value"][1], "6")
        self.assertEqual(query("up")[0]["value"][1], "1")
        self.assertTrue(
            query('histogram_quantile(0.5, ringway_cluster_connect_duration_seconds_bucket{cluster="backend"}) > 0')
        )


class Consistency(MetricsCase):
    def test_opened_is_closed_and_active(self):
        port = self.edge(workers=2)
        held = [self.connect(port) for _ in range(5)]
        for client in held:
            client.sendall(b"x")
            read_exactly(client, 1)
        self.traffic(port, 30)
        self.eventually_equal(lambda: self.proxy.metrics()("ringway_listener_connections_active", listener="edge"), 5)
        metrics = self.proxy.metrics()
        closes = metrics.sum("ringway_connection_closes_total", listener="edge")
        self.assertEqual(metrics("ringway_listener_connections_total", listener="edge"), 35)
        self.assertEqual(closes, 30)
        self.assertEqual(metrics("ringway_cluster_connections_total", cluster="backend"), 35)
        self.assertEqual(
            metrics.sum("ringway_connection_closes_total", cluster="backend")
            + metrics("ringway_cluster_connections_active", cluster="backend"),
            35,
        )
        self.assertEqual(metrics("ringway_cluster_connect_duration_seconds_count", cluster="backend"), 35)
        # Both sides of five connections, and the one that asks.
        self.assertEqual(metrics.sum("ringway_worker_connections_active"), 11)

    def test_bytes_are_those_that_moved_spliced_or_not(self):
        port = self.edge(digest)
        small, large = 12_345, 20_000_003
        for size in (small, large):
            client = self.connect(port)
            client.sendall(random.Random(size).randbytes(size))
            client.shutdown(socket.SHUT_WR)
            answered = len(read_to_end(client))
            self.assertGreater(answered, 64)
        self.eventually_equal(lambda: self.proxy.metrics()("ringway_listener_connections_active", listener="edge"), 0)
        metrics = self.proxy.metrics()
        answers = sum(len(f"{size} ") + 64 for size in (small, large))
        for owner, received, sent in (("edge", small + large, answers), ("backend", answers, small + large)):
            label = {"listener": "edge"} if owner == "edge" else {"cluster": "backend"}
            self.assertEqual(metrics("ringway_bytes_total", direction="received", **label), received)
            self.assertEqual(metrics("ringway_bytes_total", direction="sent", **label), sent)
        spliced = metrics("ringway_spliced_bytes_total", listener="edge")
        self.assertTrue(0 < spliced <= small + large)

    def test_counters_never_go_down_while_traffic_flows(self):
        port = self.edge(workers=2)
        stop = threading.Event()

        def load():
            while not stop.is_set():
                self.traffic(port, 3)

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            before = self.proxy.metrics()
            counters = {line.split()[2] for line in before.text.splitlines() if line.endswith(" counter")}
            for _ in range(30):
                after = self.proxy.metrics()
                for key, value in before.samples.items():
                    if key[0] in counters:
                        self.assertGreaterEqual(after.samples[key], value, key)
                before = after
        finally:
            stop.set()
            for thread in threads:
                thread.join()

    def test_histogram_buckets_are_cumulative(self):
        port = self.edge()
        self.traffic(port)
        metrics = self.proxy.metrics()
        buckets = {
            float(dict(labels)["le"]): count
            for labels, count in metrics.all("ringway_cluster_connect_duration_seconds_bucket").items()
        }
        counts = [buckets[bound] for bound in sorted(buckets)]
        self.assertEqual(counts, sorted(counts))
        self.assertEqual(counts[-1], metrics("ringway_cluster_connect_duration_seconds_count", cluster="backend"))
        self.assertEqual(counts[-1], 20)
        self.assertGreater(metrics("ringway_cluster_connect_duration_seconds_sum", cluster="backend"), 0)

    def test_the_process_metrics_are_those_of_the_kernel(self):
        self.edge()
        metrics = self.proxy.metrics()
        self.assertAlmostEqual(metrics("process_open_fds"), self.proxy.descriptors(), delta=2)
        self.assertAlmostEqual(metrics("process_resident_memory_bytes"), self.proxy.resident_bytes(), delta=4 << 20)

    def test_an_unused_proxy_has_done_nothing(self):
        self.edge()
        metrics = self.proxy.metrics()
        for name in ("ringway_listener_connections_total", "ringway_bytes_total", "ringway_connection_closes_total"):
            self.assertEqual(metrics.sum(name), 0)
        self.assertEqual(metrics("ringway_config_generation"), 1)
        self.assertEqual(metrics("ringway_config_applies_total", result="applied"), 1)
        self.assertEqual(metrics("ringway_live"), 1)
