"""Copies of requests for other clusters: whole, unseen by the client, and never in anybody's way."""

import contextlib
import signal
import threading

from support import cluster, document, free_port, read_to_end
from test_http_proxy import OK, HTTPCase, listener, read_body, read_head


class Mirror(HTTPCase):
    def mirroring(self, shadow_script=None, mirror=None, routes=None, shadow=None):
        """A proxy with a recording backend and a shadow that plays `shadow_script`, recording if there is none."""
        self.copies: list[bytes] = []

        def record(sock):
            while head := read_head(sock):
                self.copies.append(head + read_body(sock, head))
                sock.sendall(OK.replace(b"200 OK", b"500 No"))

        self.shadow = shadow or self.peer(shadow_script or record)
        routes = routes or [{"match": {}, "cluster": "backend", "mirror": mirror or {"cluster": "shadow"}}]
        return self.proxy(self.recording(), routes, more_clusters=[cluster("shadow", self.shadow)])

    def results(self, proxy) -> dict[str, int]:
        """The copies by what came of them."""
        return {
            result: int(proxy.metrics()(
                "ringway_cluster_mirrored_requests_total", cluster="shadow", result=result))
            for result in ("completed", "failed", "cut_off", "refused")
        }

    def ends(self, proxy, **expected: int):
        whole = {"completed": 0, "failed": 0, "cut_off": 0, "refused": 0} | expected
        self.eventually_equal(lambda: self.results(proxy), whole)

    def test_the_copy_is_the_request_as_the_endpoint_gets_it_for_another_host(self):
        routes = [{"match": {"path_prefix": "/a/"}, "cluster": "backend", "mirror": {"cluster": "shadow"},
                   "rewrite": {"path_prefix": "/b/"}, "request_headers": {"set": {"X-In": "1"}}}]
        proxy = self.mirroring(routes=routes)
        client = self.client()
        for host in (b"h.com", b"h.com:81", b"[::1]:81"):
            client.sendall(b"GET /a/x?y HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            head, body = self.answer(client)
            self.assertTrue(head.startswith(b"HTTP/1.1 200 "), head)
            self.assertEqual(body, b"ok")
        self.ends(proxy, completed=3)
        for request, copy in zip(sorted(self.requests), sorted(self.copies), strict=True):
            expected = request.replace(b"Host: h.com", b"Host: h.com-shadow")
            self.assertEqual(copy, expected)
            self.assertIn(b"X-In: 1\r\n", copy)
        self.assertEqual(
            proxy.metrics()("ringway_cluster_requests_total", cluster="shadow", code_class="5xx"), 3)

    def test_bodies_are_copied(self):
        proxy = self.mirroring()
        client = self.client()
        body = bytes(range(256)) * 2000
        client.sendall(b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        self.assertEqual(self.answer(client)[1], b"ok")
        self.ends(proxy, completed=1)
        self.assertTrue(self.copies[0].endswith(b"\r\n\r\n" + body))

    def test_chunks_and_trailers_are_copied(self):
        end = b"X-T: 1\r\n\r\n"
        copies: list[bytes] = []

        def script(sock):
            data = b""
            while not data.endswith(end) and (more := sock.recv(4096)):
                data += more
            copies.append(data)
            sock.sendall(OK)

        routes = [{"match": {}, "cluster": "backend", "mirror": {"cluster": "shadow"}}]
        proxy = self.proxy(script, routes, more_clusters=[cluster("shadow", self.peer(script))])
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        self.eventually(lambda: proxy.metrics()("ringway_cluster_requests_active", cluster="shadow") == 1)
        client.sendall(b"4\r\ndefg\r\n0\r\n" + end)
        self.assertEqual(self.answer(client)[1], b"ok")
        self.ends(proxy, completed=1)
        self.assertEqual(len({copy.split(b"\r\n\r\n", 1)[1] for copy in copies}), 1)
        self.assertTrue(copies[0].endswith(b"\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n" + end), copies[0])

    def test_several_clusters_and_shares(self):
        other: list[bytes] = []

        def script(sock):
            while head := read_head(sock):
                other.append(head)
                sock.sendall(OK)

        peer = self.peer(script)
        mirror = [{"cluster": "shadow", "fraction": "0%"}, {"cluster": "other", "fraction": "100%"}]
        routes = [{"match": {}, "cluster": "backend", "mirror": mirror}]
        self.shadow = self.peer(script)
        proxy = self.proxy(self.recording(), routes, more_clusters=[
            cluster("shadow", self.shadow), cluster("other", peer)])
        client = self.client()
        for _ in range(20):
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            self.answer(client)
        self.eventually_equal(lambda: len(other), 20)
        self.ends(proxy)

    def test_a_shadow_that_is_not_there_is_nobodys_concern(self):
        proxy = self.mirroring(shadow=f"127.0.0.1:{free_port()}")
        client = self.client()
        for _ in range(3):
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
            self.assertEqual(self.answer(client)[1], b"ok")
        self.ends(proxy, failed=3)

    def test_a_shadow_that_does_not_read_is_cut_off(self):
        release = threading.Event()
        self.addCleanup(release.set)
        proxy = self.mirroring(lambda sock: release.wait())
        client = self.client()
        length = 64 << 20
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
        piece = b"x" * (1 << 20)
        for _ in range(length // len(piece)):
            client.sendall(piece)
        self.assertEqual(self.answer(client)[1], b"ok")
        self.ends(proxy, cut_off=1)

    def test_a_request_that_breaks_off_leaves_no_copy(self):
        ended = threading.Event()

        def script(sock):
            read_head(sock)
            with contextlib.suppress(ConnectionResetError):
                read_to_end(sock)
            ended.set()

        proxy = self.mirroring(script)
        client = self.client()
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
        self.eventually(lambda: proxy.metrics()("ringway_cluster_requests_active", cluster="shadow") == 1)
        client.close()
        self.ends(proxy, cut_off=1)
        self.assertTrue(ended.wait(10))

    def test_a_shadow_that_does_not_answer_runs_out_of_time(self):
        release = threading.Event()
        self.addCleanup(release.set)
        routes = [{"match": {}, "cluster": "backend", "timeout": "200ms", "mirror": {"cluster": "shadow"}}]
        proxy = self.mirroring(lambda sock: release.wait(), routes=routes)
        client = self.client()
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(self.answer(client)[1], b"ok")
        self.ends(proxy, failed=1)
        self.assertEqual(proxy.metrics()("ringway_cluster_requests_active", cluster="shadow"), 0)

    def test_copies_outlive_their_configuration(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def script(sock):
            while head := read_head(sock):
                read_body(sock, head)
                release.wait()
                sock.sendall(OK)

        proxy = self.mirroring(script)
        uploading = self.client()
        uploading.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
        client = self.client()
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.answer(client)
        self.eventually(lambda: proxy.metrics()("ringway_cluster_requests_active", cluster="shadow") == 2)
        plain = document([listener(self.port)], [cluster("backend", self.backend)])
        (self.folder / "ringway.yaml").write_text(plain)
        proxy.process.send_signal(signal.SIGHUP)
        self.eventually(lambda: proxy.metrics()("ringway_config_generation") == 2)
        uploading.sendall(b"def")
        self.assertEqual(self.answer(uploading)[1], b"ok")
        release.set()
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(self.answer(client)[1], b"ok")
