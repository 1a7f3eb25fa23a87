"""The first thing that anybody runs: examples/quickstart.yaml, on ports that are free here."""

import itertools
import re
import subprocess
from pathlib import Path

from support import Case, free_port

QUICKSTART = Path(__file__).parents[2] / "examples/quickstart.yaml"


def curl(url: str) -> str:
    command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "20", url]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Quickstart(Case):
    def setUp(self):
        super().setUp()
        self.ports: dict[str, int] = {}

        def moved(match: re.Match) -> str:
            return f"127.0.0.1:{self.ports.setdefault(match[1], free_port())}"

        text = re.sub(r"127\.0\.0\.1:(\d+)", moved, QUICKSTART.read_text())
        self.edge = f"http://127.0.0.1:{self.ports['8080']}"
        self.admin = f"http://127.0.0.1:{self.ports['9901']}"
        path = self.folder / "quickstart.yaml"
        path.write_text(text)
        self.proxy = self.started("run", str(path), admin=False, workers=1)

    def test_requests_go_to_the_upstreams_in_turn(self):
        answers = [curl(self.edge) for _ in range(6)]
        self.assertEqual(set(answers), {"hello from upstream one\n", "hello from upstream two\n"})
        for first, second in itertools.pairwise(answers):
            self.assertNotEqual(first, second)

    def test_metrics_tell_of_the_requests(self):
        for _ in range(3):
            curl(self.edge)
        text = curl(f"{self.admin}/metrics")
        self.assertIn('ringway_listener_connections_total{listener="edge"} 3\n', text)
        self.assertIn('ringway_cluster_connections_total{cluster="web"} 3\n', text)

    def test_clusters_tell_where_the_requests_went(self):
        for _ in range(4):
            curl(self.edge)
        text = curl(f"{self.admin}/clusters")
        for upstream in ("8081", "8082"):
            self.assertIn(f"web::127.0.0.1:{self.ports[upstream]}::cx_total::2\n", text)
