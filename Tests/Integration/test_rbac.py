"""The rbac filter."""

import json

from support import Case, document, free_port, read_to_end


class RBAC(Case):
    def proxy(self, rbac, **http):
        self.port = free_port()
        self.log = self.folder / "access.log"
        edge = {
            "name": "edge",
            "address": f"127.0.0.1:{self.port}",
            "http": {
                "routes": [{"match": {}, "respond": {"status": 200, "body": "in"}}],
                "filters": [{"rbac": rbac}],
                "access_log": [{
                    "path": str(self.log),
                    "format": {
                        "details": "%RESPONSE_CODE_DETAILS%",
                        "policy": "%DYNAMIC_METADATA(rbac:policy)%",
                        "shadow": "%DYNAMIC_METADATA(rbac:shadow_result)%",
                        "shadow_policy": "%DYNAMIC_METADATA(rbac:shadow_policy)%",
                    },
                }],
            } | http,
        }
        return self.ringway(document([edge]))

    def get(self, target="/", *fields, method="GET") -> int:
        client = self.connect(self.port)
        client.sendall(
            "\r\n".join([f"{method} {target} HTTP/1.1", "Host: a", "Connection: close", *fields, "", ""]).encode())
        return int(read_to_end(client).split(b" ")[1])

    def lines(self, count):
        def read():
            return self.log.read_text().splitlines() if self.log.exists() else []

        self.eventually(lambda: len(read()) == count)
        return [json.loads(line) for line in read()]

    def test_what_fits_no_policy_is_denied(self):
        proxy = self.proxy({
            "action": "allow",
            "policies": [
                {"name": "readers", "match": {"methods": ["GET"], "path_prefix": "/public/"}},
                {"name": "admins", "match": {"headers": {"x-token": "secret"}}},
            ],
        })
        self.assertEqual(self.get("/public/a"), 200)
        self.assertEqual(self.get("/public/a", method="POST"), 403)
        self.assertEqual(self.get("/private"), 403)
        self.assertEqual(self.get("/private", "X-Token: secret"), 200)
        self.assertEqual(self.get("/public/../private"), 403)
        self.assertEqual(self.get("/%70ublic/a"), 200)
        self.assertEqual([line["policy"] for line in self.lines(6)],
                         ["readers", "none", "none", "admins", "none", "readers"])
        self.assertEqual(self.lines(6)[1]["details"], "rbac_access_denied")
        metrics = proxy.metrics()
        self.assertEqual(metrics("ringway_http_filter_events_total", listener="edge", filter="rbac", event="allowed"), 3)
        self.assertEqual(metrics("ringway_http_filter_events_total", listener="edge", filter="rbac", event="denied"), 3)

    def test_what_fits_a_policy_is_denied(self):
        self.proxy({"action": "deny", "policies": [{"name": "bad", "match": {"path_regex": "/admin(/.*)?"}}]})
        self.assertEqual(self.get("/admin"), 403)
        self.assertEqual(self.get("/admin/x"), 403)
        self.assertEqual(self.get("/administrator"), 200)

    def test_addresses(self):
        self.proxy({"action": "allow", "policies": [{"name": "home", "sources": ["127.0.0.0/8"]}]})
        self.assertEqual(self.get(), 200)
        # Without use_remote_address the last entry of x-forwarded-for is the client.
        self.assertEqual(self.get("/", "X-Forwarded-For: 10.0.0.1"), 403)
        self.assertEqual(self.get("/", "X-Forwarded-For: 10.0.0.1, 127.0.0.9"), 200)
        self.assertEqual(self.get("/", "X-Forwarded-For: 2001:db8::1"), 403)

    def test_addresses_at_the_edge_cannot_be_made_up(self):
        self.proxy({"action": "allow", "policies": [{"name": "far", "sources": ["10.0.0.0/8"]}]}, use_remote_address=True)
        self.assertEqual(self.get("/", "X-Forwarded-For: 10.0.0.1"), 403)

    def test_the_peer_of_the_connection(self):
        self.proxy({"action": "allow", "policies": [{"name": "home", "direct_sources": ["127.0.0.0/8"]}]})
        self.assertEqual(self.get("/", "X-Forwarded-For: 10.0.0.1"), 200)

    def test_all_of_a_policy_must_hold(self):
        self.proxy({"action": "allow", "policies": [
            {"name": "both", "sources": ["127.0.0.1"], "match": {"path": "/a"}}]})
        self.assertEqual(self.get("/a"), 200)
        self.assertEqual(self.get("/b"), 403)
        self.assertEqual(self.get("/a", "X-Forwarded-For: 10.0.0.1"), 403)

    def test_shadow_mode_only_counts(self):
        proxy = self.proxy({"action": "deny", "shadow": True, "policies": [{"name": "bad", "match": {"path": "/x"}}]})
        self.assertEqual(self.get("/x"), 200)
        self.assertEqual(self.get("/y"), 200)
        self.assertEqual([(line["shadow"], line["shadow_policy"], line["policy"]) for line in self.lines(2)],
                         [("denied", "bad", None), ("allowed", "none", None)])
        metrics = proxy.metrics()
        self.assertEqual(metrics("ringway_http_filter_events_total", listener="edge", filter="rbac", event="shadow_denied"), 1)
        self.assertEqual(metrics("ringway_http_filter_events_total", listener="edge", filter="rbac", event="shadow_allowed"), 1)

    def test_errors(self):
        def errors(rbac):
            path = self.folder / "bad.yaml"
            edge = {"name": "e", "address": ":1", "http": {
                "routes": [{"match": {}, "respond": {"status": 200}}], "filters": [{"rbac": rbac}]}}
            path.write_text(document([edge]))
            answer = self.command("check", str(path))
            self.assertEqual(answer.returncode, 78)
            return answer.stderr

        self.assertIn('missing key "action"', errors({"policies": [{"name": "a"}]}))
        self.assertIn('(did you mean "allow"?)', errors({"action": "alow", "policies": [{"name": "a"}]}))
        self.assertIn("at least 1", errors({"action": "deny", "policies": []}))
        self.assertIn("unknown key \"pth\"", errors({"action": "deny", "policies": [{"name": "a", "match": {"pth": "/"}}]}))
        self.assertIn("regular expression", errors(
            {"action": "deny", "policies": [{"name": "a", "match": {"path_regex": "("}}]}))
