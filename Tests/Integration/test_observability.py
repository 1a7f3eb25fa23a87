"""examples/observability: what Prometheus' tools say of it, and whether it names what there is."""

import http.client
import json
import re
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from support import cluster, connect, document, free_port, listener
from support.certificates import Authority
from support.peers import echo
from support.peers import http as web
from test_stats import ENVOY, ENVOY_MORE, StatsCase

FOLDER = Path(__file__).parents[2] / "examples/observability"
# What a counter of our own looks like in an expression; histograms are asked for by their parts.
NAME = re.compile(r"\b(?:ringway|process)_[a-z0-9_]+\b")
# Families that a configuration without TLS and without access logs has none of.
ELSEWHERE = {
    "ringway_tls_certificate_not_after_seconds", "ringway_access_log_lines_dropped_total",
}


class Observability(StatsCase):
    def promtool(self, *arguments: str):
        check = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)

    def test_promtool_takes_configuration_and_rules(self):
        self.promtool("check", "config", "prometheus.yml")
        self.promtool("check", "rules", "alerts.yml")

    def test_the_alerts_fire_when_they_should(self):
        self.promtool("test", "rules", "alerts_test.yml")

    def test_every_metric_that_is_asked_for_is_there(self):
        self.edge()
        self.get("/gone")
        names = {name for name, _ in self.proxy.metrics().samples} | ELSEWHERE
        dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
        expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
        expressions += [variable["query"] for variable in dashboard["templating"]["list"]]
        expressions += [line for line in (FOLDER / "alerts.yml").read_text().splitlines() if "{{" not in line]
        asked = {name for expression in expressions for name in NAME.findall(expression)}
        self.assertGreater(len(asked), 30)
        self.assertEqual(asked - names, set())

    def test_the_dashboard_has_queries_that_parse(self):
        dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
        rules = [
            {"record": f"panel:{panel['id']}:{number}", "expr": re.sub(
                r"\$__rate_interval", "1m", target["expr"]).replace("$instance", ".*").replace(
                "$listener", ".*").replace("$cluster", ".*")}
            for panel in dashboard["panels"]
            for number, target in enumerate(panel.get("targets", []))
        ]
        path = self.folder / "dashboard-rules.json"
        path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        self.promtool("check", "rules", str(path))


class WithPrometheus(StatsCase):
    """A Prometheus of its own that scrapes a busy proxy every half a second."""

    def setUp(self):
        super().setUp()
        self.port, self.raw_port = free_port(), free_port()
        certificate = Authority(self.folder).issue("edge")
        routes = [
            {"match": {"path": "/gone"}, "respond": {"status": 410}},
            {"match": {"path": "/down"}, "cluster": "down"},
            {"match": {"path": "/checked"}, "cluster": "checked"},
            {"match": {}, "cluster": "backend"},
        ]
        backend = self.peer(web("hello"))
        self.proxy = self.ringway(document(
            [
                {"name": "edge", "address": f"127.0.0.1:{self.port}",
                 "http": {"routes": routes, "access_log": [{"path": str(self.folder / "access.log")}]}},
                {"name": "secure", "address": f"127.0.0.1:{free_port()}",
                 "tls": {"certificates": [certificate.files]}, "http": {"routes": routes[:1]}},
                listener("raw", self.raw_port, "bytes"),
            ],
            [
                cluster("backend", backend), cluster("bytes", self.peer(echo)),
                cluster("down", f"127.0.0.1:{free_port()}"),
                cluster("checked", backend, health_check={"http": {"path": "/"}, "interval": "100ms"}),
            ],
        ), workers=2)
        stop = threading.Event()
        load = threading.Thread(target=self.load, args=(stop,))
        load.start()
        self.addCleanup(load.join)
        self.addCleanup(stop.set)
        self.prometheus = f"127.0.0.1:{free_port()}"
        config = (FOLDER / "prometheus.yml").read_text().replace("15s", "500ms")
        config = config.replace("127.0.0.1:9901", f"127.0.0.1:{self.proxy.admin_port}")
        path = self.folder / "prometheus.yml"
        path.write_text(config.replace("alerts.yml", str(FOLDER / "alerts.yml")))
        self.server(
            "prometheus", f"--config.file={path}", f"--storage.tsdb.path={self.folder / 'series'}",
            f"--web.listen-address={self.prometheus}")
        self.wait_listening(self.prometheus)
        self.eventually(self.is_ready)

    def is_ready(self) -> bool:
        """It listens before it answers questions."""
        try:
            with urllib.request.urlopen(f"http://{self.prometheus}/-/ready"):
                return True
        except urllib.error.HTTPError:
            return False

    def load(self, stop: threading.Event):
        while not stop.is_set():
            for path in ("/", "/gone", "/down", "/checked"):
                client = http.client.HTTPConnection("127.0.0.1", self.port)
                client.request("GET", path)
                client.getresponse().read()
                client.close()
            with connect(self.raw_port) as client:
                client.sendall(b"x")
                client.recv(1)
            stop.wait(0.01)

    def ask(self, path: str, **query: str):
        url = f"http://{self.prometheus}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url) as answer:
            return json.load(answer)["data"]

    def has_values(self, expression: str) -> bool:
        return any(series["value"][1] != "NaN" for series in self.ask("query", query=expression)["result"])

    def test_every_panel_of_the_dashboard_has_data(self):
        dashboard = json.loads((FOLDER / "grafana-dashboard.json").read_text())
        expressions = [
            re.sub(r"\$(instance|listener|cluster)", ".*", target["expr"].replace("$__rate_interval", "20s"))
            for panel in dashboard["panels"] for target in panel.get("targets", [])
        ]
        self.assertGreater(len(expressions), 30)
        for expression in expressions:
            with self.subTest(expression):
                self.eventually(lambda expression=expression: self.has_values(expression))

    def test_envoys_names_are_stored_and_the_rules_are_evaluated(self):
        for name in (ENVOY + ENVOY_MORE).split():
            with self.subTest(name):
                # What begins with its first event, and histograms, are there by other names or not yet.
                expression = f'{{__name__=~"{name}(_count)?", job="ringway-envoy"}}'
                self.eventually(lambda expression=expression: self.has_values(expression))
        self.eventually_equal(
            lambda: {(target["health"], target["lastError"]) for target in self.ask("targets")["activeTargets"]},
            {("up", "")})

        def states() -> set[str]:
            return {rule["health"] for group in self.ask("rules")["groups"] for rule in group["rules"]}

        self.eventually_equal(states, {"ok"})
        # Nobody listens at the endpoint of one cluster, whose requests are a quarter of all.
        self.eventually_equal(
            lambda: {alert["labels"]["alertname"] for alert in self.ask("alerts")["alerts"]}
            & {"RingwayConnectFailures", "RingwayServerErrors"},
            {"RingwayConnectFailures", "RingwayServerErrors"})
