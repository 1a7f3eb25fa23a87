"""examples/observability: what Prometheus' tools say of it, and whether it names what there is."""

import json
import re
import subprocess
from pathlib import Path

from test_stats import StatsCase

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
