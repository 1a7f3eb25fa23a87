"""The filter that lets requests pass or not by rules: rbac."""

from test_http_proxy import HTTPCase
from test_http_routes import get


class Access(HTTPCase):
    def filtering(self, *filters: dict, **http):
        return self.proxy(self.recording(), filters=list(filters), **http)

    def status(self, request: bytes) -> int:
        client = self.client()
        client.sendall(request)
        return int(self.answer(client)[0].split()[1])

    def events(self, proxy, event: str) -> int:
        return int(proxy.metrics()("ringway_http_filter_events_total", listener="edge", filter="rbac", event=event))


class RBAC(Access):
    def test_allow_lets_through_what_a_policy_fits(self):
        proxy = self.filtering({"rbac": {"policies": [
            {"name": "readers", "match": {"methods": ["GET", "HEAD"], "path_prefix": "/docs/"}},
            {"name": "robots", "match": {"path": "/robots.txt"}},
            {"match": {"path_template": "/users/{id}/photo", "headers": {"x-team": {"regex": "a|b"}}}},
        ]}})
        for request, status in (
            (get("/docs/x"), 200), (get("/docs/x", method="DELETE"), 403), (get("/docs"), 403),
            (get("/x/../docs/y"), 200), (get("/docs/../admin"), 403), (get("/%64ocs/"), 200),
            (get("/robots.txt", method="POST"), 200), (get("/robots.txt/"), 403),
            (get("/users/1/photo", "X-Team: a"), 200), (get("/users/1/photo", "X-Team: ab"), 403),
            (get("/users/1/photo"), 403),
        ):
            with self.subTest(request):
                self.assertEqual(self.status(request), status)
        self.assertEqual((self.events(proxy, "allowed"), self.events(proxy, "denied")), (5, 6))

    def test_deny_refuses_what_a_policy_fits(self):
        self.filtering({"rbac": {"action": "deny", "policies": [{"match": {"path_regex": "/private(/.*)?"}}]}})
        self.assertEqual([self.status(get(path)) for path in ("/", "/private", "/private/x", "/privateer")],
                         [200, 403, 403, 200])

    def test_sources_are_peers(self):
        for sources, status in ((["127.0.0.0/8"], 200), (["10.0.0.0/8", "::/0"], 403)):
            with self.subTest(sources):
                self.filtering({"rbac": {"policies": [{"sources": sources}]}})
                self.assertEqual(self.status(get("/", "X-Forwarded-For: 10.0.0.1")), status)

    def test_a_shadow_only_counts(self):
        proxy = self.filtering({"rbac": {"shadow": True, "policies": [{"match": {"path": "/a"}}]}})
        self.assertEqual([self.status(get(path)) for path in ("/a", "/b")], [200, 200])
        self.assertEqual((self.events(proxy, "shadow_denied"), self.events(proxy, "denied")), (1, 0))

    def test_a_denied_request_with_a_body_keeps_the_connection(self):
        self.filtering({"rbac": {"policies": [{"match": {"path": "/a"}}]}})
        client = self.client()
        client.sendall(b"POST /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" + get("/a"))
        self.assertIn(b" 403 ", self.answer(client)[0])
        self.assertIn(b" 200 ", self.answer(client)[0])

    def test_errors_have_their_place(self):
        (self.folder / "bad.yaml").write_text("""\
listeners:
  - name: edge
    address: 127.0.0.1:80
    http:
      filters:
        - rbac: { action: allov, policies: [{}, { match: { path_regex: "(" } }, { sources: [10.0.0.1/8], mach: 1 }] }
      routes: [{ match: {}, respond: { status: 200 } }]
""")
        outcome = self.command("check", "bad.yaml")
        self.assertEqual(outcome.returncode, 78)
        places = [line.split(": error: ")[0] for line in outcome.stderr.splitlines()]
        self.assertEqual(places[:4], ["bad.yaml:6:27", "bad.yaml:6:45", "bad.yaml:6:72", "bad.yaml:6:93"])
        for text in ('did you mean "allow"', 'missing key "sources" or "match"', "no regular expression: missing )",
                     'unknown key "mach"'):
            self.assertIn(text, outcome.stderr)
