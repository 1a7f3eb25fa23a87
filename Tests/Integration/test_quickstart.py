"""The first things that anybody runs, on ports that are free here: examples/quickstart.yaml, and the README's edge."""

import itertools
import re
import subprocess
from pathlib import Path

from support import Case, free_port, read_exactly

ROOT = Path(__file__).parents[2]
QUICKSTART = ROOT / "examples/quickstart.yaml"
EDGE = ROOT / "examples/edge.yaml"


def curl(*arguments: str) -> str:
    command = ["curl", "--silent", "--show-error", "--fail", "--max-time", "20", *arguments]
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

    def test_a_redirect(self):
        head = curl("--head", f"{self.edge}/old")
        self.assertTrue(head.startswith("HTTP/1.1 301 "), head)
        self.assertIn(f"location: {self.edge}/\n", head)
        self.assertIn("hello from upstream", curl("--location", f"{self.edge}/old"))

    def test_a_route_with_a_rate_limit(self):
        statuses = subprocess.run(
            ["curl", "-s", "--max-time", "20", "-o", "/dev/null", "-w", "%{http_code}\n", f"{self.edge}/limited?[1-8]"],
            capture_output=True,
            text=True,
        ).stdout.split()
        self.assertEqual(statuses[:5], ["200"] * 5)
        self.assertIn("429", statuses[5:])
        self.assertIn("hello from upstream", curl(self.edge), "other routes have no limit")

    def test_a_websocket_echoes(self):
        client = self.connect(f"127.0.0.1:{self.ports['8080']}")
        client.sendall(
            b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += read_exactly(client, 1)
        self.assertTrue(head.startswith(b"HTTP/1.1 101 "), head)
        self.assertIn(b"\r\nsec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n", head.lower())
        client.sendall(b"\x81\x85\x01\x02\x03\x04" + bytes(a ^ b for a, b in zip(b"hello", b"\1\2\3\4\1")))
        self.assertEqual(read_exactly(client, 7), b"\x81\x05hello")

    def test_metrics_tell_of_the_requests(self):
        for _ in range(3):
            curl(self.edge)
        text = curl(f"{self.admin}/metrics")
        self.assertIn('ringway_listener_connections_total{listener="edge"} 3\n', text)
        self.assertIn('ringway_http_requests_total{listener="edge",code_class="2xx"} 3\n', text)
        self.assertIn('ringway_cluster_requests_total{cluster="web",code_class="2xx"} 3\n', text)

    def test_clusters_tell_where_the_requests_went(self):
        for _ in range(4):
            curl(self.edge)
        text = curl(f"{self.admin}/clusters")
        for upstream in ("8081", "8082"):
            self.assertIn(f"web::127.0.0.1:{self.ports[upstream]}::cx_total::1\n", text)


class Edge(Case):
    def test_the_readme_shows_it(self):
        self.assertIn(f"```yaml\n{EDGE.read_text()}```", (ROOT / "README.md").read_text())

    def test_it_runs_as_its_own_words_say(self):
        ports: dict[str, int] = {}

        def moved(match: re.Match) -> str:
            return f"{match[1]}127.0.0.1:{ports.setdefault(match[2], free_port())}"

        text = re.sub(r"((?:address: |\[)\"?)(?:127\.0\.0\.1)?:(\d+)", moved, EDGE.read_text())
        text = text.replace("port: 8443", f"port: {ports['8443']}")
        path = self.folder / "edge.yaml"
        path.write_text(text)
        certificate = re.search(r"openssl .*\n.*edge\.pem", text)[0].replace("\\\n#", "")
        subprocess.run(certificate, shell=True, check=True, capture_output=True, cwd=self.folder)
        self.assertEqual(self.command("check", str(path)).returncode, 0)
        self.started("run", str(path))
        trust = ("--cacert", str(self.folder / "edge.pem"))
        answer = subprocess.run(
            ["curl", "-s", *trust, f"https://localhost:{ports['8443']}/"], capture_output=True, text=True, timeout=20)
        self.assertEqual(answer.stdout, "nothing here\n")
        head = curl("--head", f"http://localhost:{ports['8080']}/a?b")
        self.assertIn(f"location: https://localhost:{ports['8443']}/a?b\n", head)
