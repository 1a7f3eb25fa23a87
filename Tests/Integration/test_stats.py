"""/metrics, /stats and /stats/prometheus: the formats, Envoy's names, and scrapes of very many series."""

import gzip
import http.client
import json
import re
import socket
import struct
import subprocess
import threading

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as text_families

from support import Case, Metrics, cluster, connect, document, free_port, listener
from support.certificates import Authority
from support.peers import http as web
from support.sockets import PATIENCE

# What Prometheus sends.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)

# What dashboards and alerts that were made for Envoy ask for: Envoy Gateway, the Grafana mixin, Google Cloud.
ENVOY = """
    envoy_cluster_upstream_rq_total envoy_cluster_upstream_rq_xx envoy_cluster_upstream_rq_time
    envoy_cluster_upstream_rq envoy_cluster_upstream_rq_rx_reset envoy_cluster_upstream_rq_tx_reset
    envoy_http_downstream_rq_rx_reset
    envoy_cluster_upstream_rq_active envoy_cluster_upstream_rq_timeout envoy_cluster_upstream_cx_total
    envoy_cluster_upstream_cx_active envoy_cluster_upstream_cx_rx_bytes_total envoy_cluster_upstream_cx_tx_bytes_total
    envoy_cluster_membership_total envoy_cluster_membership_healthy envoy_cluster_membership_degraded
    envoy_cluster_membership_excluded envoy_cluster_outlier_detection_ejections_active envoy_cluster_warming_state
    envoy_cluster_manager_cds_update_attempt envoy_cluster_manager_cds_update_success
    envoy_cluster_manager_cds_update_failure
    envoy_http_downstream_rq_total envoy_http_downstream_rq_xx envoy_http_downstream_rq_time
    envoy_http_downstream_rq_active envoy_http_downstream_rq_timeout envoy_http_downstream_cx_total
    envoy_http_downstream_cx_active envoy_http_downstream_cx_rx_bytes_total envoy_http_downstream_cx_tx_bytes_total
    envoy_listener_downstream_cx_total envoy_listener_downstream_cx_active
    envoy_tcp_downstream_cx_total envoy_tcp_downstream_cx_rx_bytes_total envoy_tcp_downstream_cx_tx_bytes_total
    envoy_server_live envoy_server_uptime envoy_server_memory_allocated envoy_server_memory_heap_size
    envoy_cluster_upstream_cx_connect_fail envoy_cluster_upstream_cx_connect_timeout
    envoy_cluster_upstream_rq_pending_active envoy_cluster_upstream_rq_pending_overflow envoy_cluster_upstream_rq_retry
    envoy_cluster_upstream_rq_retry_success envoy_cluster_upstream_rq_retry_overflow envoy_cluster_lb_healthy_panic
    envoy_listener_worker_downstream_cx_active envoy_server_concurrency envoy_server_state
    envoy_server_days_until_first_cert_expiring envoy_cluster_upstream_rq_active_overflow
    envoy_cluster_circuit_breakers_default_cx_open envoy_cluster_circuit_breakers_default_rq_open
    envoy_cluster_circuit_breakers_default_rq_pending_open envoy_cluster_circuit_breakers_default_rq_retry_open
"""

# The same, of clusters with health checks and of listeners with TLS.
ENVOY_MORE = """
    envoy_cluster_health_check_attempt envoy_cluster_health_check_success envoy_cluster_health_check_failure
    envoy_listener_ssl_handshake envoy_listener_ssl_connection_error
    envoy_listener_ssl_certificate_expiration_unix_time_seconds
"""


class StatsCase(Case):
    def edge(self, workers: int = 1, clusters: int = 0, **top):
        """An `http:` and a `tcp:` listener before a web server, and clusters that nobody uses."""
        self.port, self.tcp_port = free_port(), free_port()
        routes = [
            {"match": {"path": "/gone"}, "respond": {"status": 410, "body": "gone\n"}},
            {"match": {}, "cluster": "backend"},
        ]
        http_edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "http": {"routes": routes}}
        others = [cluster(f"other-{number:04}", "127.0.0.1:1") for number in range(clusters)]
        self.config = document(
            [http_edge, listener("raw", self.tcp_port)],
            [cluster("backend", self.peer(web("hello"))), *others],
            **top,
        )
        self.proxy = self.ringway(self.config, workers=workers)
        return self.proxy

    def get(self, path: str, count: int = 1):
        for _ in range(count):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            connection.request("GET", path)
            connection.getresponse().read()
            connection.close()
        self.eventually_equal(lambda: self.proxy.metrics()("ringway_http_requests_active", listener="edge"), 0)

    def scrape(self, path: str = "/metrics", **headers: str):
        answer = self.proxy.admin(path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        self.assertEqual(answer.status, 200)
        return answer


class Formats(StatsCase):
    def test_accept_chooses_between_text_and_openmetrics(self):
        self.edge()
        for accept, kind in (
            (None, "text/plain"),
            (PROMETHEUS, "application/openmetrics-text"),
            ("application/openmetrics-text", "application/openmetrics-text"),
            ('application/openmetrics-text; version="1.0.0"', "application/openmetrics-text"),
            ("application/openmetrics-text;version=0.0.1,text/plain", "text/plain"),
            ("application/openmetrics-text;q=0.3,text/plain;q=0.7", "text/plain"),
            ("application/openmetrics-text;q=0", "text/plain"),
            ("*/*", "text/plain"),
            ("text/html", "text/plain"),
            ("text/plain;q=0.1,*/*;q=0.9,application/openmetrics-text;q=0.5", "application/openmetrics-text"),
        ):
            with self.subTest(accept):
                headers = {"Accept": accept} if accept else {}
                answer = self.scrape(**headers)
                self.assertEqual(answer.headers["content-type"].split(";")[0], kind)
                self.assertEqual(answer.headers["vary"], "Accept, Accept-Encoding")

    def test_openmetrics_is_what_its_reference_parser_takes(self):
        self.edge(workers=2)
        self.get("/", 3)
        text = self.scrape(Accept="application/openmetrics-text; version=1.0.0").text
        families = {family.name: family for family in openmetrics_families(text)}
        self.assertTrue(text.endswith("\n# EOF\n"))
        self.assertEqual(families["ringway_build"].type, "info")
        self.assertEqual(families["ringway_bytes"].unit, "bytes")
        requests = families["ringway_http_requests"]
        self.assertEqual((requests.type, requests.samples[0].name), ("counter", "ringway_http_requests_total"))
        duration = families["ringway_http_request_duration_seconds"]
        self.assertEqual((duration.type, duration.unit), ("histogram", "seconds"))

    def test_openmetrics_and_text_have_the_same_samples(self):
        self.edge()
        plain = {sample[:2] for family in text_families(self.scrape().text) for sample in self.samples(family)}
        other = self.scrape(Accept="application/openmetrics-text").text
        self.assertEqual({sample[:2] for family in openmetrics_families(other) for sample in self.samples(family)}, plain)

    @staticmethod
    def samples(family):
        return [(sample.name, frozenset(sample.labels.items())) for sample in family.samples]

    def test_gzip_is_the_same_text_smaller(self):
        self.edge()
        for encoding in ("gzip", "deflate, gzip;q=0.5", "*"):
            with self.subTest(encoding):
                answer = self.scrape(Accept_Encoding=encoding)
                self.assertEqual(answer.headers["content-encoding"], "gzip")
                text = gzip.decompress(answer.body).decode()
                self.assertEqual(set(Metrics(text).samples), set(self.proxy.metrics().samples))
                self.assertLess(len(answer.body) * 3, len(text))
        for encoding in ("gzip;q=0", "identity", "br", "gzip;q=0.2, identity"):
            with self.subTest(encoding):
                self.assertNotIn("content-encoding", self.scrape(Accept_Encoding=encoding).headers)

    def test_promtool_takes_all_that_prometheus_would_get(self):
        self.edge(workers=2)
        self.get("/", 2)
        check = subprocess.run(
            ["promtool", "check", "metrics"], input=self.scrape().text, capture_output=True, text=True)
        self.assertEqual((check.returncode, check.stdout, check.stderr), (0, "", ""))


class Envoy(StatsCase):
    def test_every_series_that_dashboards_ask_for_is_there(self):
        self.edge()
        families = {
            line.split()[2] for line in self.scrape("/stats/prometheus").text.splitlines() if line.startswith("# TYPE")
        }
        self.assertEqual(set(ENVOY.split()) - families, set())

    def test_checks_and_tls_have_theirs(self):
        certificate = Authority(self.folder).issue("edge")
        edge = {"name": "edge", "address": f"127.0.0.1:{free_port()}", "tls": {"certificates": [certificate.files]},
                "http": {"routes": [{"match": {}, "cluster": "backend"}]}}
        backend = cluster("backend", self.peer(web("hello")), health_check={"http": {"path": "/"}})
        self.proxy = self.ringway(document([edge], [backend]))
        families = {
            line.split()[2] for line in self.scrape("/stats/prometheus").text.splitlines() if line.startswith("# TYPE")
        }
        self.assertEqual(set(ENVOY_MORE.split()) - families, set())

    def test_a_parser_of_prometheus_takes_it(self):
        self.edge(workers=2)
        self.assertGreater(len(list(text_families(self.scrape("/stats/prometheus").text))), 50)

    def test_values_are_those_of_our_own_families(self):
        self.edge(workers=2)
        self.get("/", 7)
        self.get("/gone", 2)
        envoy = Metrics(self.scrape("/stats/prometheus").text)
        own = self.proxy.metrics()
        manager = {"envoy_http_conn_manager_prefix": "edge"}
        self.assertEqual(envoy("envoy_http_downstream_rq_total", **manager), 9)
        self.assertEqual(envoy("envoy_http_downstream_rq_xx", **manager, envoy_response_code_class="4"), 2)
        self.assertEqual(envoy("envoy_http_downstream_rq_xx", **manager, envoy_response_code_class="2"), 7)
        self.assertEqual(envoy("envoy_http_downstream_rq_time_count", **manager), 9)
        upstream = {"envoy_cluster_name": "backend"}
        self.assertEqual(envoy("envoy_cluster_upstream_rq_xx", **upstream, envoy_response_code_class="2"), 7)
        self.assertEqual(envoy("envoy_cluster_upstream_rq", **upstream, envoy_response_code="200"), 7)
        self.assertEqual(envoy.sum("envoy_cluster_upstream_rq", **upstream), 7)
        self.assertEqual(envoy("envoy_cluster_upstream_rq_time_count", **upstream), 7)
        self.assertEqual(envoy("envoy_cluster_membership_healthy", **upstream), 1)
        seconds = own("ringway_cluster_request_duration_seconds_sum", cluster="backend")
        self.assertAlmostEqual(envoy("envoy_cluster_upstream_rq_time_sum", **upstream), seconds * 1000, places=6)
        address = f"127.0.0.1_{self.port}"
        self.assertEqual(envoy("envoy_listener_downstream_cx_total", envoy_listener_address=address), 9)
        self.assertEqual(
            envoy.sum("envoy_listener_worker_downstream_cx_total", envoy_listener_address=address), 9)
        self.assertEqual(envoy("envoy_server_concurrency"), 2)
        self.assertEqual(envoy("envoy_server_live"), 1)

    def test_requests_that_are_broken_off_are_counted_by_who_does_it(self):
        self.break_off()

    def test_they_are_counted_where_nobody_remembers_requests(self):
        self.break_off(stats={"recent_requests": 0})

    def break_off(self, **top):
        asked = threading.Event()

        def moody(sock):
            head = sock.recv(65536)
            if b"/cut" not in head:
                asked.set()
                sock.recv(65536)

        self.port = free_port()
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}",
                "http": {"routes": [{"match": {}, "cluster": "backend"}]}}
        self.proxy = self.ringway(document([edge], [cluster("backend", self.peer(moody))], **top))
        self.get("/cut")
        client = self.connect(self.port)
        client.sendall(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertTrue(asked.wait(PATIENCE))
        # A reset: the end of what the client sends would not mean that it waits for nothing.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

        def resets() -> list:
            envoy = Metrics(self.scrape("/stats/prometheus").text)
            upstream = {"envoy_cluster_name": "backend"}
            return [
                envoy("envoy_cluster_upstream_rq_rx_reset", **upstream),
                envoy("envoy_cluster_upstream_rq_tx_reset", **upstream),
                envoy("envoy_http_downstream_rq_rx_reset", envoy_http_conn_manager_prefix="edge"),
                # What was never answered counts among all of them.
                envoy("envoy_cluster_upstream_rq_total", **upstream),
                envoy("envoy_http_downstream_rq_total", envoy_http_conn_manager_prefix="edge"),
                envoy("envoy_http_downstream_rq_completed", envoy_http_conn_manager_prefix="edge"),
            ]

        self.eventually_equal(resets, [1, 1, 1, 2, 2, 1])

    def test_limits_and_times_are_told_apart(self):
        held = threading.Event()
        self.addCleanup(held.set)

        def silent(sock):
            sock.recv(65536)
            held.wait(PATIENCE)

        self.port = free_port()
        routes = [
            {"match": {"path": "/whole"}, "cluster": "slow", "timeout": "50ms"},
            {"match": {"path": "/tries"}, "cluster": "slow",
             "retry": {"on": ["reset"], "attempts": 2, "per_try_timeout": "50ms", "back_off": "1ms"}},
            {"match": {"path": "/requests"}, "cluster": "requests"},
            {"match": {"path": "/pending"}, "cluster": "pending"},
        ]
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "http": {"routes": routes}}
        peer = self.peer(silent)
        self.proxy = self.ringway(document([edge], [
            cluster("slow", peer), cluster("requests", peer, pool={"max_requests": 1}),
            cluster("pending", peer, pool={"max_connections": 1, "max_pending": 1})]))

        def ask(path: str):
            client = self.connect(self.port)
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            return client

        def status(client) -> int:
            return int(client.recv(65536).split()[1])

        self.assertEqual([status(ask("/whole")), status(ask("/tries"))], [504, 504])
        first = ask("/requests")
        self.eventually_equal(
            lambda: self.proxy.metrics()("ringway_cluster_requests_active", cluster="requests"), 1)
        self.assertEqual([status(ask("/requests")) for _ in range(3)], [503] * 3)
        waiting = [ask("/pending")]
        self.eventually_equal(
            lambda: self.proxy.metrics()("ringway_cluster_requests_active", cluster="pending"), 1)
        waiting.append(ask("/pending"))
        self.eventually_equal(
            lambda: self.proxy.metrics()("ringway_cluster_pending_requests", cluster="pending"), 1)
        self.assertEqual([status(ask("/pending")) for _ in range(2)], [503] * 2)

        own, envoy = self.proxy.metrics(), Metrics(self.scrape("/stats/prometheus").text)
        for name, limit, count in (
            ("requests", "max_requests", 3), ("requests", "max_pending", 0), ("pending", "max_pending", 2),
            ("pending", "max_requests", 0), ("pending", "max_connections", 0),
        ):
            self.assertEqual(own("ringway_cluster_overflows_total", cluster=name, limit=limit), count, (name, limit))
        for name, stat, count in (
            ("slow", "upstream_rq_timeout", 1), ("slow", "upstream_rq_per_try_timeout", 3),
            ("slow", "upstream_rq_total", 4), ("slow", "upstream_rq_retry", 2),
            ("requests", "upstream_rq_active_overflow", 3), ("requests", "upstream_rq_pending_overflow", 0),
            ("requests", "circuit_breakers_default_rq_open", 1), ("pending", "upstream_rq_pending_overflow", 2),
            ("pending", "upstream_rq_active_overflow", 0), ("pending", "circuit_breakers_default_rq_pending_open", 1),
            ("pending", "circuit_breakers_default_cx_open", 1), ("slow", "circuit_breakers_default_cx_open", 0),
        ):
            self.assertEqual(envoy(f"envoy_cluster_{stat}", envoy_cluster_name=name), count, (name, stat))
        self.assertEqual(own("ringway_cluster_request_timeouts_total", cluster="slow"), 4)
        for client in (first, *waiting):
            client.close()

    def test_buckets_are_envoys_and_cumulative(self):
        self.edge()
        self.get("/", 5)
        buckets = Metrics(self.scrape("/stats/prometheus").text).all("envoy_http_downstream_rq_time_bucket")
        bounds = {dict(labels)["le"]: count for labels, count in buckets.items()}
        self.assertEqual(len(bounds), 20)
        counts = [bounds[bound] for bound in sorted(bounds, key=float)]
        self.assertEqual(counts, sorted(counts))
        self.assertEqual((bounds["3600000"], bounds["+Inf"]), (5, 5))


class Stats(StatsCase):
    def lines(self, query: str = "") -> dict[str, str]:
        return dict(line.split(": ", 1) for line in self.scrape("/stats" + query).text.splitlines())

    def test_lines_are_envoys_and_ours(self):
        self.edge()
        self.get("/", 4)
        lines = self.lines()
        self.assertEqual(lines["cluster.backend.upstream_rq_2xx"], "4")
        self.assertEqual(lines["http.edge.downstream_rq_total"], "4")
        self.assertEqual(lines[f"listener.127.0.0.1_{self.port}.downstream_cx_total"], "4")
        self.assertEqual(lines["server.live"], "1")
        self.assertEqual(lines['ringway_http_requests_total{listener="edge",code_class="2xx"}'], "4")

    def test_a_filter_is_a_regular_expression(self):
        self.edge()
        self.assertEqual(set(self.lines("?filter=%5Eserver%5C.live%24")), {"server.live"})
        self.assertEqual(
            set(self.lines("?filter=upstream_rq_%5B24%5Dxx%24")),
            {"cluster.backend.upstream_rq_2xx", "cluster.backend.upstream_rq_4xx"},
        )
        self.assertEqual(self.lines("?filter=nothing-has-this-name"), {})

    def test_a_filter_that_is_none_is_a_bad_request(self):
        self.edge()
        for pattern in ("%28", "%5B", "a" * 2000):
            self.assertEqual(self.proxy.admin("/stats?filter=" + pattern).status, 400)
        self.assertEqual(self.proxy.admin("/stats?format=xml").status, 400)

    def test_a_filter_that_backtracks_elsewhere_does_not_here(self):
        self.edge()
        self.assertEqual(self.lines("?filter=" + "(a*)*" * 20 + "$zzz"), {})

    def test_unused_stats_are_left_out_on_request(self):
        self.edge()
        self.get("/", 1)
        used = self.lines("?usedonly")
        self.assertIn("cluster.backend.upstream_rq_2xx", used)
        self.assertNotIn("cluster.backend.upstream_rq_5xx", used)
        self.assertEqual([line for line, value in used.items() if value in ("0", "0.0")], [])

    def test_histograms_are_quantiles(self):
        self.edge()
        self.assertEqual(self.lines()["http.edge.downstream_rq_time"], "No recorded values")
        self.get("/", 10)
        line = self.lines()["http.edge.downstream_rq_time"]
        labels = [label for label, _ in re.findall(r"P([0-9.]+)\(nan,([0-9.e+-]+)\)", line)]
        self.assertEqual(labels, "0 25 50 75 90 95 99 99.5 99.9 100".split())

    def test_json_has_envoys_shape(self):
        self.edge()
        self.get("/", 3)
        answer = self.scrape("/stats?format=json")
        self.assertEqual(answer.headers["content-type"], "application/json")
        plain, histograms = answer.json["stats"][:-1], answer.json["stats"][-1]["histograms"]
        values = {entry["name"]: entry["value"] for entry in plain}
        self.assertEqual(values["cluster.backend.upstream_rq_2xx"], 3)
        self.assertEqual(values['ringway_config_generation'], 1)
        computed = {entry["name"]: entry["values"] for entry in histograms["computed_quantiles"]}
        times = [value["cumulative"] for value in computed["http.edge.downstream_rq_time"]]
        self.assertEqual(len(times), len(histograms["supported_quantiles"]))
        self.assertEqual(times, sorted(times))

    def test_json_parses_whatever_the_filter_leaves(self):
        self.edge()
        for pattern in ("nothing-has-this-name", "rq_time", "server.live", "connect", "."):
            with self.subTest(pattern):
                json.loads(self.scrape("/stats?format=json&filter=" + pattern).text)

    def test_the_prometheus_format_is_envoys_page(self):
        self.edge()
        self.assertEqual(
            set(Metrics(self.scrape("/stats?format=prometheus").text).samples),
            set(Metrics(self.scrape("/stats/prometheus").text).samples),
        )


class ManySeries(StatsCase):
    def test_a_large_scrape_comes_in_parts_and_whole(self):
        self.edge(clusters=400)
        answer = self.scrape()
        self.assertEqual(answer.headers["transfer-encoding"], "chunked")
        metrics = Metrics(answer.text)
        self.assertEqual(len(metrics.all("ringway_cluster_connections_total")), 401)
        compressed = self.scrape(Accept_Encoding="gzip")
        self.assertEqual(set(Metrics(gzip.decompress(compressed.body).decode()).samples), set(metrics.samples))
        text = self.scrape(Accept="application/openmetrics-text").text
        self.assertGreater(len(list(openmetrics_families(text))), 50)
        json.loads(self.scrape("/stats?format=json").text)

    def test_a_client_without_chunks_gets_all_until_the_end(self):
        self.edge(clusters=100)
        with connect(self.proxy.admin_port) as client:
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            received = b""
            while data := client.recv(65536):
                received += data
        head, body = received.split(b"\r\n\r\n", 1)
        self.assertNotIn(b"chunked", head.lower())
        self.assertEqual(set(Metrics(body.decode()).samples), set(self.proxy.metrics().samples))

    def test_answers_follow_each_other_on_one_connection(self):
        self.edge(clusters=100)
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.admin_port, timeout=PATIENCE)
        self.addCleanup(connection.close)
        for path in ("/metrics", "/ready", "/stats", "/metrics", "/clusters?format=json"):
            connection.request("GET", path)
            answer = connection.getresponse()
            self.assertEqual(answer.status, 200)
            self.assertTrue(answer.read())

    def test_clients_that_do_not_read_hold_nobody_up(self):
        self.edge(clusters=400)
        held = []
        for _ in range(20):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", self.proxy.admin_port))
            self.addCleanup(client.close)
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            held.append(client)
        for client in held:
            self.assertTrue(client.recv(16))
        self.assertEqual(self.proxy.admin("/ready").text, "LIVE\n")
        self.assertEqual(len(self.proxy.metrics().all("ringway_cluster_connections_total")), 401)
        # What they did not take is made when they take it: little of it is in memory.
        before = self.proxy.resident_bytes()
        for client in held[:10]:
            client.close()
        self.get("/", 3)
        self.assertLess(self.proxy.resident_bytes(), before + (8 << 20))

    def test_the_budget_folds_what_has_no_room(self):
        self.edge(clusters=200, stats={"max_series": 10_000})
        self.get("/", 3)
        metrics = self.proxy.metrics()
        envoy = Metrics(self.scrape("/stats/prometheus").text)
        self.assertLessEqual(len(metrics.samples), 10_000)
        self.assertLessEqual(len(envoy.samples), 10_000)
        folded = metrics("ringway_stats_folded_owners")
        self.assertTrue(0 < folded < 200)
        self.assertGreater(metrics("ringway_stats_folded_series"), folded)
        shown = metrics.all("ringway_cluster_endpoints", state="healthy")
        self.assertEqual(len(shown), 201 - folded + 1)
        # Nothing is lost in sums.
        self.assertEqual(sum(shown.values()), 201)
        self.assertEqual(metrics("ringway_cluster_endpoints", state="healthy", cluster="(overflow)"), folded)
        self.assertEqual(envoy.sum("envoy_cluster_membership_total"), 201)

    def test_who_has_series_keeps_them(self):
        self.edge(clusters=200, stats={"max_series": 10_000})
        names = {dict(labels)["cluster"] for labels in self.proxy.metrics().all("ringway_cluster_connections_total")}
        config = json.loads(self.config)
        config["clusters"].insert(0, cluster("another", "127.0.0.1:1"))
        self.assertEqual(self.proxy.configure(json.dumps(config)).status, 200)
        after = {dict(labels)["cluster"] for labels in self.proxy.metrics().all("ringway_cluster_connections_total")}
        self.assertEqual(names, after)

    def test_listeners_routes_and_filters_fold_as_well(self):
        """What is asked at the last listener counts in sums, before and after a reload that moves it about."""
        port = free_port()

        def config(listeners: int, routes: int) -> str:
            def http_listener(number: int) -> dict:
                address = port if number == listeners - 1 else free_port()
                return {"name": f"l-{number}" if number < listeners - 1 else "last", "address": f"127.0.0.1:{address}",
                        "http": {"filters": [{"rbac": {"action": "allow", "policies": [{"name": "all"}]}}], "routes": [
                            {"name": f"r-{route}", "match": {"path": f"/{route}"}, "respond": {"status": 200}}
                            for route in range(routes)]}}

            return document(
                [http_listener(number) for number in range(listeners)],
                [cluster(f"c-{number}", "127.0.0.1:1") for number in range(20)], stats={"max_series": 10_000})

        self.port = port
        self.proxy = self.ringway(config(60, 60))

        def ask(count: int):
            for number in range(count):
                client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
                client.request("GET", f"/{number % 60}")
                self.assertEqual(client.getresponse().status, 200)
                client.close()

        def sums() -> list:
            own, envoy = self.proxy.metrics(), Metrics(self.scrape("/stats/prometheus").text)
            self.assertLessEqual(len(own.samples), 10_000)
            self.assertLessEqual(len(envoy.samples), 10_000)
            self.assertGreater(own("ringway_stats_folded_owners"), 0)
            return [
                own.sum("ringway_http_requests_total"), own.sum("ringway_route_requests_total"),
                own.sum("ringway_http_request_duration_seconds_count"),
                own.sum("ringway_http_filter_events_total", filter="rbac", event="allowed"),
                envoy.sum("envoy_http_downstream_rq_total"), own.sum("ringway_cluster_endpoints"),
            ]

        ask(120)
        self.eventually_equal(sums, [120, 120, 120, 120, 120, 20])
        self.assertTrue(self.proxy.metrics().all("ringway_route_requests_total", route="(overflow)"))
        # Half of the listeners and some of the routes are gone; the last one goes on as it was.
        self.assertEqual(self.proxy.configure(config(50, 90)).status, 200)
        ask(60)
        self.eventually_equal(sums, [180, 180, 180, 180, 180, 20])
