"""The HTTP filters that decide by themselves: buffer, body_limit, direct_response, health_check, csrf, basic_auth."""

import base64
import hashlib
import socket
import subprocess
import threading

from support import document, read_to_end
from test_http_proxy import OK, HTTPCase, listener, read_exactly, read_head
from test_http_routes import RouteCase, get

EVENTS = "ringway_http_filter_events_total"


def post(path: str, *fields: str, body: bytes = b"", method: str = "POST") -> bytes:
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: a", *fields, f"Content-Length: {len(body)}", "", ""])
    return head.encode() + body


class FilterCase(RouteCase):
    def filtered(self, *filters: dict, script=None, **http):
        self.ringway_ = self.proxy(script or self.recording(), filters=list(filters), **http)
        return self.ringway_

    def events(self, name: str) -> dict[str, float]:
        found = self.ringway_.metrics().all(EVENTS, listener="edge", filter=name)
        return {dict(key)["event"]: value for key, value in found.items() if value}

    def refused(self, text: str) -> str:
        """What `check` says about a filter, given as YAML."""
        path = self.folder / "bad.yaml"
        path.write_text(
            "listeners: [{ name: l, address: ':1', http: { routes: [{ match: {}, cluster: web }], filters: [\n"
            f"  {text}\n] }} }}]\nclusters: [{{ name: web, endpoints: ['127.0.0.1:1'] }}]\n")
        result = self.command("check", str(path))
        self.assertEqual(result.returncode, 78, result)
        return result.stderr


class Buffer(FilterCase):
    def test_the_endpoint_hears_of_a_request_when_all_of_it_is_there(self):
        self.filtered({"buffer": {"max_request_bytes": "64KiB"}})
        client = self.client()
        request = post("/", body=b"x" * 1000)
        client.sendall(request[:-1])
        # Another request gets through meanwhile.
        self.assertEqual(self.status(get("/other")), 200)
        self.assertEqual(len(self.requests), 1)
        client.sendall(request[-1:])
        self.assertEqual(self.answer(client)[1], b"ok")
        self.assertTrue(self.requests[1].endswith(b"\r\n\r\n" + b"x" * 1000))

    def test_a_body_of_unknown_length_goes_on_with_its_length(self):
        self.filtered({"buffer": {"max_request_bytes": "64KiB"}})
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        for body, expected in [(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", b"abcde"), (b"0\r\n\r\n", b"")]:
            client = self.client()
            for byte in head + body:
                client.sendall(bytes([byte]))
            self.assertEqual(self.answer(client)[1], b"ok")
            request = self.requests.pop()
            self.assertIn(b"content-length: %d\r\n" % len(expected), request.lower())
            self.assertNotIn(b"transfer-encoding", request.lower())
            self.assertTrue(request.endswith(b"\r\n\r\n" + expected))

    def test_trailers_keep_a_request_chunked(self):
        trailers: list[bytes] = []

        def script(sock):
            read_head(sock)
            data = b""
            while not data.endswith(b"\r\n\r\n"):
                data += sock.recv(100)
            trailers.append(data)
            sock.sendall(OK)

        self.filtered({"buffer": {"max_request_bytes": "64KiB"}}, script=script)
        self.assertEqual(self.status(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"), 200)
        self.assertEqual(trailers, [b"3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"])

    def test_what_is_too_large_is_refused(self):
        self.filtered({"buffer": {"max_request_bytes": "10B"}})
        self.assertEqual(self.status(post("/", body=b"x" * 10)), 200)
        self.assertEqual(self.status(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n"), 413)
        self.assertEqual(
            self.status(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n" + b"x" * 11), 413)
        self.assertEqual(len(self.requests), 1)
        self.assertEqual(self.events("buffer"), {"too_large": 2})

    def test_a_client_that_waits_for_100_gets_it_here(self):
        self.filtered({"buffer": {"max_request_bytes": "64KiB"}})
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        self.assertTrue(read_head(client).startswith(b"HTTP/1.1 100 Continue\r\n"))
        client.sendall(b"hi")
        self.assertEqual(self.answer(client)[1], b"ok")
        self.assertNotIn(b"\r\nexpect:", self.requests[0].lower())

    def test_a_megabyte_with_curl_and_many_of_them_in_turn(self):
        self.filtered({"buffer": {"max_request_bytes": "2MiB"}}, limits={"buffer_bytes": "2MiB"}, script=self.hashing)
        data = bytes(range(256)) * 4096
        (self.folder / "body").write_bytes(data)
        sha = hashlib.sha256(data).hexdigest()
        for options in [[], ["-H", "Transfer-Encoding: chunked"], ["-H", "Expect: 100-continue"]]:
            answer = subprocess.run(
                ["curl", "-sS", "--data-binary", "@body", *options, f"http://127.0.0.1:{self.port}/"],
                cwd=self.folder, capture_output=True, text=True, timeout=30)
            self.assertEqual(answer.stdout, sha, answer.stderr)

    @staticmethod
    def hashing(sock):
        while head := read_head(sock):
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            digest = hashlib.sha256(read_exactly(sock, length)).hexdigest().encode()
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(digest), digest))

    def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(self):
        proxy = self.filtered({"buffer": {"max_request_bytes": "64KiB"}})
        client = self.client()
        client.sendall(post("/", body=b"x" * 1000)[:-1])
        self.eventually_equal(lambda: proxy.metrics()("ringway_http_requests_active", listener="edge"), 1)
        client.close()
        self.eventually_equal(lambda: proxy.metrics()("ringway_http_requests_active", listener="edge"), 0)
        self.assertEqual(self.status(get("/")), 200)
        self.assertEqual(len(self.requests), 1)


class BodyLimit(FilterCase):
    def test_requests(self):
        self.filtered({"body_limit": {"request_bytes": "10B"}})
        self.assertEqual(self.status(post("/", body=b"x" * 10)), 200)
        self.assertEqual(self.status(post("/", body=b"x" * 11)), 413)
        chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nxxxxxx\r\n"
        self.assertEqual(self.status(chunked + b"4\r\nxxxx\r\n0\r\n\r\n"), 200)
        client = self.client()
        client.sendall(chunked)
        self.eventually_equal(
            lambda: self.ringway_.metrics()("ringway_cluster_requests_active", cluster="backend"), 1)
        client.sendall(b"5\r\nxxxxx\r\n0\r\n\r\n")
        self.assertTrue(self.answer(client)[0].startswith(b"HTTP/1.1 413 "))
        self.assertEqual(self.events("body_limit"), {"request_too_large": 2})

    def test_responses(self):
        def script(sock):
            while head := read_head(sock):
                if b"/head" in head:
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                elif b"/long" in head:
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + b"y" * 11)
                elif b"/chunked" in head:
                    sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nyyyyyy\r\n")
                    sock.sendall(b"6\r\nyyyyyy\r\n0\r\n\r\n")
                else:
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + b"y" * 10)

        self.filtered({"body_limit": {"response_bytes": "10B"}}, script=script)
        self.assertEqual(self.status(get("/")), 200)
        # The answer instead is longer than the limit, and no response of the endpoint.
        self.assertEqual(self.ask(get("/long"))[1], b"the response is too large\n")
        client = self.client()
        client.sendall(get("/head", method="HEAD"))
        self.assertIn(b"Content-Length: 1000\r\n", read_head(client))
        client = self.client()
        client.sendall(get("/chunked"))
        answer = read_to_end(client)
        self.assertNotIn(b"0\r\n\r\n", answer)
        self.assertEqual(self.events("body_limit"), {"response_too_large": 2})


class Answers(FilterCase):
    def test_direct_response(self):
        self.filtered({"direct_response": {"status": 503, "body": "closed\n", "headers": {"retry-after": "60"}}})
        head, body = self.ask(get("/"))
        self.assertTrue(head.startswith(b"HTTP/1.1 503 "))
        self.assertIn(b"retry-after: 60\r\n", head.lower())
        self.assertEqual(body, b"closed\n")
        self.assertEqual(self.status(post("/", body=b"x" * 100_000)), 503)
        self.assertEqual(self.backend.accepted, 0)

    def test_health_check(self):
        proxy = self.filtered({"health_check": {"path": "/healthz", "headers": {"x-check": "1"}}})
        check = get("/healthz", "X-Check: 1")
        self.assertEqual(self.ask(check)[1], b"OK\n")
        self.assertEqual(proxy.admin("/healthcheck/fail").status, 405)
        self.assertEqual(proxy.admin("/healthcheck/fail", "POST").status, 200)
        self.assertEqual((proxy.admin("/ready").status, proxy.admin("/ready").text), (503, "DRAINING\n"))
        head, _ = self.ask(check)
        self.assertTrue(head.startswith(b"HTTP/1.1 503 "))
        self.assertIn(b"x-envoy-immediate-health-check-fail: true\r\n", head.lower())
        # Everything else goes on as before, such as checks of another kind.
        for request in (get("/"), get("/healthz"), get("/healthz", "X-Check: 2")):
            self.assertEqual(self.ask(request)[1], b"ok")
        self.assertEqual(len(self.requests), 3)
        self.assertEqual(proxy.admin("/healthcheck/ok", "POST").status, 200)
        self.assertEqual(proxy.admin("/ready").status, 200)
        self.assertEqual(self.status(check), 200)
        self.assertEqual(self.events("health_check"), {"ok": 2, "failed": 1})


class CSRF(FilterCase):
    def test_requests_of_other_sites_are_refused(self):
        self.filtered({"csrf": {"additional_origins": ["www.friend.com", "*.trusted.com"]}})
        for fields, status in [
            (["Origin: http://a"], 200),
            (["Origin: https://A:443"], 200),
            (["Origin: http://a:8080"], 403),
            (["Origin: http://evil.com"], 403),
            (["Origin: http://evil.com", "Referer: http://a/x"], 403),
            (["Referer: http://a/path?x=http://evil.com"], 200),
            (["Referer: http://evil.com/http://a"], 403),
            (["Origin: null"], 403),
            (["Origin: null", "Referer: http://a/"], 403),
            (["Origin: a"], 403),
            ([], 403),
            (["Origin: https://www.friend.com"], 200),
            (["Origin: https://x.www.friend.com"], 403),
            (["Origin: https://x.y.trusted.com"], 200),
            (["Origin: https://trusted.com"], 403),
            (["Origin: https://eviltrusted.com"], 403),
        ]:
            for method in ("POST", "PUT", "PATCH", "DELETE"):
                self.assertEqual(self.status(post("/", *fields, method=method)), status, (method, fields))
        for method in ("GET", "OPTIONS"):
            self.assertEqual(self.status(get("/", "Origin: http://evil.com", method=method)), 200)
        self.assertEqual(self.events("csrf"), {"valid": 20, "invalid": 28, "missing_origin": 16})

    def test_shadow_mode_counts_and_lets_pass(self):
        self.filtered({"csrf": {"shadow": True}})
        self.assertEqual(self.status(post("/", "Origin: http://evil.com")), 200)
        self.assertEqual(self.status(post("/")), 200)
        self.assertEqual(self.events("csrf"), {"invalid": 1, "missing_origin": 1})


def entry(name: str, password: str) -> str:
    """As `htpasswd -s` writes it."""
    return f"{name}:{{SHA}}{base64.b64encode(hashlib.sha1(password.encode()).digest()).decode()}"


def basic(name: str, password: str) -> str:
    return "Authorization: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class BasicAuth(FilterCase):
    def test_who_knows_a_password_passes(self):
        self.filtered({"basic_auth": {"users": [entry("joe", "se:cret"), entry("ann", "")], "realm": "office"}})
        for credentials, status in [
            (basic("joe", "se:cret"), 200),
            (basic("ann", ""), 200),
            (basic("joe", "Se:cret"), 401),
            (basic("ann", "se:cret"), 401),
            (basic("bob", ""), 401),
            (basic("", ""), 401),
            ("Authorization: basic " + basic("joe", "se:cret").split()[-1], 200),
            ("Authorization: Bearer abc", 401),
            ("Authorization: Basic", 401),
            ("Authorization: Basic !!!!", 401),
            ("Authorization: Basic am9l", 401),
            ("Authorization: Basic " + "A" * 5000, 401),
            (basic("joe", "se:cret") + "\r\n" + basic("ann", ""), 401),
            ("X-None: 1", 401),
        ]:
            self.assertEqual(self.status(get("/", credentials)), status, credentials)
        head, _ = self.ask(get("/"))
        self.assertIn(b'www-authenticate: basic realm="office", charset="utf-8"\r\n', head.lower())
        self.assertIn(b"Authorization: Basic", self.requests[0])
        self.assertEqual(self.events("basic_auth"), {"allowed": 3, "denied": 12})

    def test_the_endpoint_gets_the_name_instead(self):
        self.filtered({"basic_auth": {
            "users": [entry("joe", "secret")], "remove_header": True, "username_header": "X-User"}})
        answer = subprocess.run(
            ["curl", "-sS", "-u", "joe:secret", "-H", "X-User: root", f"http://127.0.0.1:{self.port}/"],
            capture_output=True, text=True, timeout=30)
        self.assertEqual(answer.stdout, "ok", answer.stderr)
        self.assertIn(b"X-User: joe\r\n", self.requests[0])
        self.assertNotIn(b"root", self.requests[0])
        self.assertNotIn(b"Authorization", self.requests[0])

    def test_a_file_is_read_again_by_a_reload(self):
        users = self.folder / "users"
        users.write_text("# people\n" + entry("joe", "old") + "\n\n")
        proxy = self.filtered({"basic_auth": {"file": str(users)}})
        self.assertEqual(self.status(get("/", basic("joe", "old"))), 200)
        users.write_text(entry("joe", "new") + "\r\n")
        self.assertEqual(proxy.configure((self.folder / "ringway.yaml").read_text()).status, 200)
        self.assertEqual(self.status(get("/", basic("joe", "old"))), 401)
        self.assertEqual(self.status(get("/", basic("joe", "new"))), 200)
        self.assertEqual(self.events("basic_auth"), {"allowed": 2, "denied": 1})
        self.assertNotIn("{SHA}", proxy.log)

    def test_errors_name_the_place_and_not_the_secret(self):
        for text, expected in [
            ("basic_auth: { users: ['joe:hunter2'] }", "another digest than {SHA}"),
            ("basic_auth: { users: ['hunter2'] }", "no name before a colon"),
            ("basic_auth: { users: ['joe:{SHA}aHVudGVyMg=='] }", "another digest than {SHA}"),
            ("basic_auth: { users: ['joe:$apr1$hunter2'] }", "another digest than {SHA}"),
            ("basic_auth: { users: [{ joe: hunter2 }] }", "is not text"),
            ("basic_auth: { users: [] }", "0 users"),
            ("basic_auth: { file: /nonexistent }", "cannot be read"),
            ("basic_auth: {}", '"users" or "file"'),
        ]:
            error = self.refused(text)
            self.assertIn(expected, error)
            self.assertNotIn("hunter2", error)
            self.assertNotIn("aHVudGVyMg", error)


class Errors(FilterCase):
    def test_routes_with_errors_hide_no_errors_of_filters(self):
        path = self.folder / "bad.yaml"
        path.write_text(
            "listeners: [{ name: l, address: ':1', http: { filters: [ext_authz: { cluster: wen }], routes: [\n"
            "  { match: {}, cluster: web, rewrite: { path_prefix: / } }] } }]\n"
            "clusters: [{ name: web, endpoints: ['127.0.0.1:1'] }]\n")
        for command in ("check", "run"):
            result = self.command(command, str(path))
            self.assertEqual(result.returncode, 78, result)
            self.assertIn("bad.yaml:2:", result.stderr)
            self.assertIn('unknown cluster "wen"', result.stderr)


class Reloads(FilterCase):
    def test_counts_survive_and_requests_under_way_finish(self):
        proxy = self.filtered({"buffer": {"max_request_bytes": "10B"}})
        self.assertEqual(self.status(post("/", body=b"x" * 11)), 413)
        client = self.client()
        client.sendall(post("/", body=b"x" * 9)[:-1])
        self.eventually_equal(lambda: proxy.metrics()("ringway_http_requests_active", listener="edge"), 1)
        config = document(
            [listener(self.port, filters=[{"buffer": {"max_request_bytes": "5B"}}])],
            [{"name": "backend", "endpoints": [self.backend.address]}])
        self.assertEqual(proxy.configure(config).status, 200)
        client.sendall(b"x")
        self.assertEqual(self.answer(client)[1], b"ok")
        client.sendall(post("/", body=b"x" * 9))
        self.assertTrue(self.answer(client)[0].startswith(b"HTTP/1.1 413 "))
        self.assertEqual(self.events("buffer"), {"too_large": 2})
