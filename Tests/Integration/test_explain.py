"""What `ringway explain` and `/explain` say, beside what the proxy does."""

import json
import urllib.parse

from support import Case, cluster, document, free_port

DONE, WRONG_USAGE, SYSTEM_LACKS, CONFIGURATION_ERROR = 0, 64, 69, 78

ROUTES = [
    {"name": "beta", "match": {"path_prefix": "/v1/", "methods": ["POST"]}, "cluster": "api"},
    {"match": {"path_regex": "/v1/[0-9]+", "headers": {"x-a": {"regex": "a+"}}}, "cluster": "api"},
    {"match": {"path": "/other"}, "cluster": "api"},
    {"name": "main", "match": {"path_template": "/v1/{id}"}, "cluster": "api", "timeout": "3s",
     "rewrite": {"path_template": "/x/{id}", "host": "inner"},
     "retry": {"on": ["connect-failure", "503"], "attempts": 2}},
    {"match": {"path_prefix": "/old/"}, "redirect": {"prefix_rewrite": "/new/", "scheme": "https"}},
    {"match": {"path": "/by-header"}, "cluster_header": "x-target"},
    {"match": {"path": "/fixed"}, "respond": {"status": 418, "body": "tea"}},
]


class Explain(Case):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        http = {"hosts": [{"domains": ["api.example.com"], "routes": ROUTES}], "filters": [
            {"local_rate_limit": {"requests_per_second": 1000, "burst": 1000}}]}
        listeners = [{"name": "edge", "address": f"127.0.0.1:{self.port}", "http": http}]
        self.config = document(listeners, [cluster("api", "127.0.0.1:9"), cluster("other", "127.0.0.1:9")])

    def steps(self, method: str, url: str, *headers: str) -> list[tuple[str, str]]:
        """The steps as a file explains them."""
        (self.folder / "edge.yaml").write_text(self.config)
        fields = [word for header in headers for word in ("-H", header)]
        outcome = self.command("explain", method, url, *fields, "--config", "edge.yaml", "--json")
        self.assertEqual(outcome.returncode, DONE, outcome.stderr)
        return [(step["kind"], step["text"]) for step in json.loads(outcome.stdout)["steps"]]

    def test_a_forwarded_request_is_followed_to_the_endpoint(self):
        steps = self.steps("GET", "http://api.example.com/x/../v1/12?q=1", "X-A: b")
        self.assertEqual(
            steps,
            [
                ("listener", f"edge, 127.0.0.1:{self.port}"),
                ("request", "GET api.example.com/x/../v1/12?q=1"),
                ("normalized_path", "/v1/12"),
                ("filter", "local_rate_limit"),
                ("host", "api.example.com"),
                ("not", "beta: the method is none of POST"),
                ("not", 'header x-a must match "a+", is "b"'),
                ("not", "1 more, most or all of them for other paths"),
                ("route", "main"),
                ("cluster", "api, round_robin"),
                ("endpoint", "127.0.0.1:9, weight 1"),
                ("upstream_request", "GET /x/12?q=1, host inner"),
                ("timeout", "3s"),
                ("idle_timeout", "5m"),
                ("retry", "up to 2 on connect-failure, 503, back-off 25ms"),
            ],
        )

    def test_answers_of_the_proxy_itself(self):
        base = "http://api.example.com"
        for url, headers, expected in (
            (base + "/fixed", [], [("answer", "418, 3 bytes from the configuration")]),
            (base + "/old/a?b", [], [("answer", "301"), ("location", "https://api.example.com/new/a?b")]),
            (base + "/by-header", [], [("answer", "503, flag NC: header x-target names no cluster")]),
            (base + "/none", [], [("answer", "404, flag NR: no route of this host fits")]),
            ("http://b.com/fixed", [], [("answer", "404, flag NR: no host has a domain that fits")]),
            (base + "/%00", [], [("answer", "400, refused: escaped_nul")]),
            ("/fixed", ["Host: api.example.com"], [("answer", "418, 3 bytes from the configuration")]),
        ):
            with self.subTest(url):
                self.assertEqual(self.steps("GET", url, *headers)[-len(expected):], expected)
        self.assertIn(("cluster", "other named by x-target, round_robin"),
                      self.steps("GET", base + "/by-header", "x-target: other"))

    def test_the_running_proxy_says_the_same(self):
        proxy = self.ringway(self.config)
        url = f"http://api.example.com:{self.port}/v1/12?q=1"
        file = self.command("explain", "GET", url, "-H", "X-A: a b", "--config", "ringway.yaml")
        admin = self.command("explain", "GET", url, "-H", "X-A: a b", "--admin", f"127.0.0.1:{proxy.admin_port}")
        self.assertEqual(admin.returncode, DONE, admin.stderr)
        self.assertEqual(
            [line.split("  (")[0] for line in admin.stdout.splitlines()],
            [line.split("  (")[0] for line in file.stdout.splitlines()])
        self.assertIn("(ringway.yaml:", file.stdout)
        query = urllib.parse.urlencode([("url", url), ("header", "X-A: a"), ("format", "json")])
        steps = json.loads(proxy.admin("/explain?" + query).body)["steps"]
        self.assertIn("route", [step["kind"] for step in steps])

    def test_what_cannot_be_explained_is_wrong_usage(self):
        (self.folder / "edge.yaml").write_text(self.config)
        for arguments, message in (
            (["ftp://a/"], "the URL starts with"),
            (["/", "-H", "nonsense"], "a header is NAME: VALUE"),
            (["/", "-H", "a: b\r\nc: d"], "control characters"),
            (["/", "--listener", "nobody"], 'no listener "nobody" speaks HTTP; name one of edge'),
        ):
            with self.subTest(arguments):
                outcome = self.command("explain", "GET", *arguments, "--config", "edge.yaml")
                self.assertEqual(outcome.returncode, WRONG_USAGE)
                self.assertIn(message, outcome.stderr)
        outcome = self.command("explain", "GET", "/", "--admin", f"127.0.0.1:{free_port()}")
        self.assertEqual(outcome.returncode, SYSTEM_LACKS)
        self.assertIn("no admin interface at", outcome.stderr)
        (self.folder / "bad.yaml").write_text("listeners: []")
        self.assertEqual(self.command("explain", "GET", "/", "--config", "bad.yaml").returncode, CONFIGURATION_ERROR)
