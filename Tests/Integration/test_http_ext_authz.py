"""ext_authz: a service decides, over a request of the proxy's own."""

import threading

from support import Peer, cluster, document, free_port, reset
from test_http_filters import FilterCase, post
from test_http_proxy import GET, OK, listener, read_head
from test_http_routes import get


class ExtAuthz(FilterCase):
    def authorized(self, answer, workers=1, pool=None, http=None, **settings):
        """A proxy that asks a service, which sends `answer` or plays it as a script."""
        self.questions: list[bytes] = []

        def script(sock):
            while head := read_head(sock):
                self.questions.append(head)
                sock.sendall(answer(head) if callable(answer) else answer)

        self.service = self.peer(script)
        options = {"pool": pool} if pool else {}
        self.ringway_ = self.proxy(
            self.recording(), filters=[{"ext_authz": {"cluster": "auth", "timeout": "10s"} | settings}],
            more_clusters=[cluster("auth", self.service, **options)], workers=workers, **(http or {}))
        return self.ringway_

    def test_a_request_goes_on_when_the_service_says_so(self):
        self.authorized(
            b"HTTP/1.1 200 OK\r\nX-User: joe\r\nX-Other: 1\r\nContent-Length: 2\r\n\r\nhi",
            path_prefix="/check", allowed_headers=["X-Tenant"], upstream_headers=["x-user", "x-role"])
        client = self.client()
        for _ in range(3):
            client.sendall(post("/a/b?c=d", "Authorization: Bearer 1", "Cookie: x=y", "X-Tenant: t", "X-Private: p",
                                "X-User: root", "X-Role: admin", body=b"hello"))
            self.assertEqual(self.answer(client)[1], b"ok")
        question, request = self.questions[2], self.requests[2]
        self.assertTrue(question.startswith(b"POST /check/a/b?c=d HTTP/1.1\r\nHost: a\r\n"), question)
        for field in (b"authorization: Bearer 1", b"cookie: x=y", b"X-Tenant: t", b"x-forwarded-proto: http",
                      b"Content-Length: 0", b"x-request-id: "):
            self.assertIn(b"\r\n" + field, question)
        for field in (b"X-Private", b"X-User", b"hello"):
            self.assertNotIn(field, question)
        self.assertIn(b"\r\nx-user: joe\r\n", request.lower())
        for field in (b"root", b"X-Role", b"X-Other"):
            self.assertNotIn(field, request)
        self.assertTrue(request.endswith(b"\r\n\r\nhello"))
        self.assertEqual(self.service.accepted, 1)
        self.assertEqual(self.events("ext_authz"), {"ok": 3})
        metrics = self.ringway_.metrics()
        self.assertEqual(metrics("ringway_cluster_requests_total", cluster="auth", code_class="2xx"), 3)
        self.assertEqual(metrics("ringway_cluster_requests_active", cluster="auth"), 0)

    def test_a_denial_is_the_answer_of_the_service(self):
        def answer(head):
            if b"/login" in head:
                return (b"HTTP/1.1 302 Found\r\nLocation: https://login/\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
                        b"Content-Length: 0\r\n\r\n")
            return (b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nConnection: x-hop\r\nX-Hop: 1\r\n"
                    b"Transfer-Encoding: chunked\r\n\r\n5\r\ngo aw\r\n2\r\nay\r\n0\r\n\r\n")

        self.authorized(answer)
        head, body = self.ask(get("/"))
        self.assertTrue(head.startswith(b"HTTP/1.1 401 "), head)
        self.assertIn(b"WWW-Authenticate: Bearer\r\n", head)
        self.assertIn(b"x-ringway-reason: UAEX\r\n", head)
        self.assertIn(b"Content-Length: 7\r\n", head)
        self.assertNotIn(b"X-Hop", head)
        self.assertNotIn(b"chunked", head)
        self.assertEqual(body, b"go away")
        head, _ = self.ask(get("/login"))
        self.assertIn(b"Location: https://login/\r\n", head)
        self.assertIn(b"Set-Cookie: a=1\r\n", head)
        self.assertIn(b"Set-Cookie: b=2\r\n", head)
        head, body = self.ask(post("/", body=b"x" * 100_000))
        self.assertEqual(body, b"go away")
        self.assertEqual(self.requests, [])
        self.assertEqual(self.events("ext_authz"), {"denied": 3})

    def test_failures_close(self):
        def answer(head):
            return b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n" if b"/500" in head else b"what?\r\n\r\n"

        self.authorized(answer, status_on_error=503)
        for path in ("/500", "/garbage"):
            head, body = self.ask(get(path))
            self.assertTrue(head.startswith(b"HTTP/1.1 503 "), head)
            self.assertIn(b"x-ringway-reason: UAEX\r\n", head)
            self.assertEqual(body, b"the request could not be authorized\n")
        self.service.close()
        self.assertEqual(self.status(get("/")), 503)
        self.assertEqual(self.requests, [])
        self.assertEqual(self.events("ext_authz"), {"error": 3})

    def test_failures_open_if_told_so(self):
        self.authorized(
            b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", failure_mode_allow=True, upstream_headers=["x-user"])
        self.assertEqual(self.status(get("/", "X-User: root")), 200)
        self.assertNotIn(b"root", self.requests[0])
        self.service.close()
        self.assertEqual(self.status(post("/", body=b"abc")), 200)
        self.assertTrue(self.requests[1].endswith(b"abc"))
        self.assertEqual(self.events("ext_authz"), {"error": 2, "failure_mode_allowed": 2})

    def test_a_service_that_takes_too_long(self):
        hold = threading.Event()
        self.addCleanup(hold.set)

        def answer(head):
            hold.wait()
            return OK

        self.authorized(answer, timeout="50ms")
        for _ in range(3):
            self.assertEqual(self.status(get("/")), 403)
        metrics = self.ringway_.metrics()
        self.assertEqual(metrics("ringway_cluster_request_timeouts_total", cluster="auth"), 3)
        self.assertEqual(metrics("ringway_cluster_requests_active", cluster="auth"), 0)
        self.assertEqual(self.requests, [])

    def test_a_client_that_leaves_takes_the_question_with_it(self):
        hold = threading.Event()
        self.addCleanup(hold.set)

        def answer(head):
            hold.wait()
            return OK

        proxy = self.authorized(answer)
        active = lambda: proxy.metrics()("ringway_cluster_requests_active", cluster="auth")
        client = self.client()
        client.sendall(GET)
        self.eventually_equal(active, 1)
        reset(client)
        self.eventually_equal(active, 0)
        self.eventually_equal(lambda: proxy.metrics()("ringway_http_requests_active", listener="edge"), 0)
        self.assertEqual(self.requests, [])

    def test_a_question_may_wait_for_a_connection(self):
        self.authorized(OK, pool={"max_connections": 1})
        clients = [self.client() for _ in range(20)]
        for client in clients:
            client.sendall(GET)
        for client in clients:
            self.assertEqual(self.answer(client)[1], b"ok")
        self.assertEqual(self.service.accepted, 1)

    def test_a_connection_that_was_closed_while_idle_is_no_failure(self):
        count = 0

        def script(sock):
            nonlocal count
            while read_head(sock):
                count += 1
                if count == 2:
                    return
                sock.sendall(OK)

        service = self.peer(script)
        self.ringway_ = self.proxy(
            self.recording(), filters=[{"ext_authz": {"cluster": "auth", "timeout": "10s"}}],
            more_clusters=[cluster("auth", service)])
        for _ in range(3):
            self.assertEqual(self.status(post("/", body=b"x")), 200)
        self.assertEqual(service.accepted, 2)

    def test_a_response_beyond_the_bound_is_a_failure(self):
        body = b"x" * 70_000
        self.authorized(lambda head: b"HTTP/1.1 403 No\r\n\r\n" + body if b"/open" in head
                        else b"HTTP/1.1 403 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body),
                        status_on_error=500)
        self.assertEqual(self.status(get("/")), 500)
        self.assertEqual(self.status(get("/open")), 500)
        self.assertEqual(self.status(get("/")), 500)

    def test_the_idle_timeout_of_a_request_that_waits(self):
        hold = threading.Event()
        self.addCleanup(hold.set)

        def answer(head):
            hold.wait()
            return OK

        self.authorized(answer, http={"stream_idle_timeout": "50ms"})
        head, _ = self.ask(get("/"))
        self.assertTrue(head.startswith(b"HTTP/1.1 504 "), head)
        self.eventually_equal(
            lambda: self.ringway_.metrics()("ringway_cluster_requests_active", cluster="auth"), 0)
        self.assertEqual(self.events("ext_authz"), {})

    def test_behind_other_filters(self):
        """A body that was collected before the question goes on after it, and filters behind it see an answer."""
        denied = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
        service = self.peer(lambda sock: [sock.sendall(denied if b"/no" in head else OK)
                                          for head in iter(lambda: read_head(sock), b"")])
        self.ringway_ = self.proxy(
            self.recording(), more_clusters=[cluster("auth", service)],
            filters=[{"cors": {"allow_origins": ["http://b"]}}, {"buffer": {"max_request_bytes": "64KiB"}},
                     {"ext_authz": {"cluster": "auth", "timeout": "10s"}}, {"body_limit": {"request_bytes": "10KiB"}}])
        head, _ = self.ask(post("/", "Origin: http://b", body=b"x" * 9000))
        self.assertTrue(head.startswith(b"HTTP/1.1 200 "), head)
        self.assertTrue(self.requests[0].endswith(b"x" * 9000))
        head, _ = self.ask(post("/no", "Origin: http://b", body=b"x" * 9000))
        self.assertTrue(head.startswith(b"HTTP/1.1 403 "), head)
        self.assertIn(b"access-control-allow-origin: http://b\r\n", head.lower())
        self.assertEqual(self.status(post("/", body=b"x" * 20_000)), 413)

    def test_connect_is_asked_about_without_a_tunnel(self):
        self.authorized(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(self.status(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"), 403)
        self.assertTrue(self.questions[0].startswith(b"GET / HTTP/1.1\r\nHost: a:443\r\n"), self.questions[0])
        self.assertIn(b"x-forwarded-method: CONNECT\r\n", self.questions[0])

    def test_a_reload_replaces_the_service_under_requests(self):
        hold = threading.Event()

        def answer(head):
            hold.wait(20)
            return OK

        proxy = self.authorized(answer)
        client = self.client()
        client.sendall(GET)
        self.eventually_equal(lambda: len(self.questions), 1)
        other = self.peer(lambda sock: [sock.sendall(b"HTTP/1.1 418 No\r\nContent-Length: 0\r\n\r\n")
                                        for _ in iter(lambda: read_head(sock), b"")])
        config = document(
            [listener(self.port, filters=[{"ext_authz": {"cluster": "auth", "timeout": "10s"}}])],
            [cluster("backend", self.backend), cluster("auth", other)])
        self.assertEqual(proxy.configure(config).status, 200)
        hold.set()
        self.assertEqual(self.answer(client)[1], b"ok")
        client.sendall(GET)
        self.assertTrue(self.answer(client)[0].startswith(b"HTTP/1.1 418 "))

    def test_a_cluster_that_is_not_there(self):
        error = self.refused("ext_authz: { cluster: wen }")
        self.assertIn('bad.yaml:2:25: error: unknown cluster "wen"', error)
        self.assertIn('did you mean "web"', error)
        self.assertIn('missing key "cluster"', self.refused("ext_authz: {}"))


if __name__ == "__main__":
    import unittest

    unittest.main()
