"""The filters that let requests pass or not: rbac and csrf."""

from test_http_proxy import HTTPCase
from test_http_routes import get


class Access(HTTPCase):
    def filtering(self, *filters: dict, **http):
        return self.proxy(self.recording(), filters=list(filters), **http)

    def status(self, request: bytes) -> int:
        client = self.client()
        client.sendall(request)
        return int(self.answer(client)[0].split()[1])

    def denied(self, proxy, name: str, mode: str = "enforced") -> int:
        return int(proxy.metrics()("ringway_http_requests_denied_total", listener="edge", filter=name, mode=mode))


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
        self.assertEqual(self.denied(proxy, "rbac"), 6)

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
        self.assertEqual((self.denied(proxy, "rbac", "shadow"), self.denied(proxy, "rbac")), (1, 0))

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
        - csrf: { allow_hosts: ["*", "a b"] }
      routes: [{ match: {}, respond: { status: 200 } }]
""")
        outcome = self.command("check", "bad.yaml")
        self.assertEqual(outcome.returncode, 78)
        places = [line.split(": error: ")[0] for line in outcome.stderr.splitlines()]
        self.assertEqual(places[:4], ["bad.yaml:6:27", "bad.yaml:6:45", "bad.yaml:6:72", "bad.yaml:6:93"])
        for text in ('did you mean "allow"', 'missing key "sources" or "match"', "no regular expression: missing )",
                     'unknown key "mach"', '"a b"'):
            self.assertIn(text, outcome.stderr)


class CSRF(Access):
    def post(self, *fields: str, host: str = "shop.com", method: str = "POST") -> int:
        lines = [f"{method} / HTTP/1.1", f"Host: {host}", "Content-Length: 0", *fields, "", ""]
        return self.status("\r\n".join(lines).encode())

    def test_only_pages_of_the_same_site_change_things(self):
        proxy = self.filtering({"csrf": {"allow_hosts": ["*.partner.com", "friend.com"]}})
        for fields, status in (
            (["Origin: https://shop.com"], 200), (["Origin: http://SHOP.com"], 200),
            (["Origin: https://shop.com:443"], 200), (["Origin: https://shop.com:8443"], 403),
            (["Origin: http://shop.com:443"], 403),
            (["Origin: https://evil.com"], 403), (["Origin: https://shop.com.evil.com"], 403),
            (["Origin: https://evil.com/shop.com"], 403), (["Origin: null"], 403), ([], 403),
            (["Referer: https://shop.com/page?x"], 200), (["Referer: https://evil.com/shop.com"], 403),
            (["Origin: null", "Referer: https://shop.com/"], 200),
            (["Origin: https://evil.com", "Referer: https://shop.com/"], 403),
            (["Origin: https://www.partner.com"], 200), (["Origin: https://partner.com"], 403),
            (["Origin: https://friend.com:99"], 200), (["Origin: shop.com"], 403), (["Origin: https://"], 403),
        ):
            with self.subTest(fields):
                self.assertEqual(self.post(*fields), status)
        self.assertEqual(self.denied(proxy, "csrf"), 12)
        self.assertEqual(self.post("Origin: https://shop.com:8443", host="shop.com:8443"), 200)
        self.assertEqual(self.post("Origin: http://shop.com", host="shop.com:80"), 200)

    def test_reading_is_free(self):
        self.filtering({"csrf": {}})
        for method in ("GET", "OPTIONS"):
            self.assertEqual(self.status(get("/", "Origin: https://evil.com", method=method)), 200)
        for method in ("PUT", "DELETE", "PATCH", "BREW"):
            self.assertEqual(self.post("Origin: https://evil.com", method=method), 403)

    def test_a_shadow_only_counts(self):
        proxy = self.filtering({"csrf": {"shadow": True}})
        self.assertEqual(self.post("Origin: https://evil.com"), 200)
        self.assertEqual(self.denied(proxy, "csrf", "shadow"), 1)
