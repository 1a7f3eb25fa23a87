"""The admin interface, as HTTP and as an interface."""

import contextlib
import http.client
import json
import signal
import socket
import threading

from support import Case, cluster, document, free_port, listener, read_exactly, read_to_end, ready, reset
from support.peers import echo, greet

READS = [
    "/", "/metrics", "/ready", "/clusters", "/listeners", "/server_info", "/stats", "/stats/prometheus", "/config_dump",
    "/config",
]
CHANGES = ["/drain_listeners", "/quitquitquit"]


class Admin(Case):
    def setUp(self):
        super().setUp()
        self.port = free_port()
        self.upstream = self.peer(greet("one"))
        self.config = document([listener("edge", self.port)], [cluster("backend", self.upstream)])
        self.proxy = self.ringway(self.config)

    def raw(self, request: bytes) -> bytes:
        """What comes back until the server closes."""
        client = self.connect(self.proxy.admin_port)
        client.sendall(request)
        return read_to_end(client)

    def status(self, request: bytes) -> int:
        return int(self.raw(request).split(b" ", 2)[1])


class Pages(Admin):
    def test_reads_take_get_and_head_and_nothing_else(self):
        for path in READS:
            with self.subTest(path):
                answer = self.proxy.admin(path)
                self.assertEqual(answer.status, 200)
                self.assertGreater(len(answer.body), 0)
                head = self.proxy.admin(path, "HEAD")
                self.assertEqual((head.status, head.body), (200, b""))
                self.assertEqual(head.headers["content-type"], answer.headers["content-type"])
                self.assertGreater(int(head.headers["content-length"]), 0)
                for method in ("POST", "DELETE", "PATCH", "OPTIONS") + (("PUT",) if path != "/config" else ()):
                    refused = self.proxy.admin(path, method)
                    self.assertEqual(refused.status, 405)
                    allowed = "GET, HEAD, PUT" if path == "/config" else "GET, HEAD"
                    self.assertEqual(refused.headers["allow"], allowed)

    def test_changes_do_not_happen_by_reading(self):
        for path in CHANGES:
            for method in ("GET", "HEAD", "DELETE"):
                with self.subTest(path, method=method):
                    refused = self.proxy.admin(path, method)
                    self.assertEqual(refused.status, 405)
                    self.assertIn("POST", refused.headers["allow"])
        self.assertEqual(self.proxy.admin("/ready").text, "LIVE\n")

    def test_what_is_not_there_is_not_found(self):
        for path in ("/nowhere", "/metrics/", "/Metrics", "/%6detrics2", "//metrics"):
            with self.subTest(path):
                self.assertEqual(self.proxy.admin(path).status, 404)

    def test_the_index_names_every_page(self):
        text = self.proxy.admin("/").text
        for path in READS[1:] + CHANGES:
            self.assertIn(path, text)

    def test_json_forms_parse_and_say_what_the_text_says(self):
        clusters = self.proxy.admin("/clusters?format=json")
        self.assertEqual(clusters.headers["content-type"], "application/json")
        backend = clusters.json["clusters"][0]
        self.assertEqual(backend["name"], "backend")
        self.assertEqual(backend["endpoints"][0]["address"], self.upstream.address)
        self.assertIn(f"backend::{self.upstream.address}::cx_active::0\n", self.proxy.admin("/clusters").text)
        edge = self.proxy.admin("/listeners?format=json").json["listeners"][0]
        self.assertEqual((edge["name"], edge["address"]), ("edge", f"127.0.0.1:{self.port}"))
        self.assertEqual(self.proxy.admin("/listeners").text, f"edge::127.0.0.1:{self.port}\n")
        info = self.proxy.admin("/server_info").json
        self.assertEqual((info["state"], info["workers"], info["config_generation"]), ("LIVE", 1, 1))
        self.assertGreater(len(self.proxy.admin("/stats?format=json").json["stats"]), 50)

    def test_every_answer_says_who_it_is_from_and_when(self):
        for path in ("/ready", "/nowhere"):
            headers = self.proxy.admin(path).headers
            self.assertEqual(headers["server"], "ringway")
            self.assertRegex(headers["date"], r"^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$")


class Configuration(Admin):
    def test_what_is_got_is_what_was_put(self):
        answer = self.proxy.admin("/config")
        self.assertEqual(answer.text, self.config)
        self.assertEqual(answer.headers["etag"], '"1"')
        text = "# a comment that stays\n" + self.config
        applied = self.proxy.configure(text)
        self.assertEqual((applied.status, applied.json), (200, {"generation": 2}))
        answer = self.proxy.admin("/config")
        self.assertEqual((answer.text, answer.headers["etag"]), (text, '"2"'))

    def test_secrets_are_not_shown(self):
        def config(user: str, token: str) -> str:
            return (
                f'listeners:\n  - name: edge\n    address: "127.0.0.1:{self.port}"  # the edge\n    http:\n'
                f"      filters: [basic_auth: {{ users: [{user}] }}]\n"
                f"      routes:\n        - match: {{}}\n          cluster: web\n"
                f"          request_headers: {{ set: {{ authorization: {token} }} }}\n"
                f'clusters: [{{ name: web, endpoints: ["127.0.0.1:9"] }}]\n'
            )

        digest = '"alice:{SHA}qUqP5cyxm6YcTAhz05Hph5gvu9M="'
        self.assertEqual(self.proxy.configure(config(digest, "Bearer xyz")).status, 200)
        shown = config('"[redacted]"', '"[redacted]"')
        for page in ("/config", "/config_dump"):
            self.assertEqual(self.proxy.admin(page).text, shown)
        dump = self.proxy.admin("/config_dump?format=json").json
        self.assertEqual(dump["generation"], 2)
        http = dump["config"]["listeners"][0]["http"]
        self.assertEqual(http["filters"], [{"basic_auth": {"users": ["[redacted]"]}}])
        self.assertEqual(http["routes"][0]["request_headers"]["set"], {"authorization": "[redacted]"})
        refused = self.proxy.configure(shown)
        self.assertEqual(refused.status, 422)
        error = refused.json["errors"][0]
        self.assertEqual((error["line"], error["column"]), (5, 39))
        self.assertEqual(self.proxy.metrics()("ringway_config_generation"), 2)

    def test_a_new_configuration_is_in_effect_with_the_answer(self):
        other = self.peer(greet("two"))
        for name, peer in (("two", other), ("one", self.upstream), ("two", other)):
            answer = self.proxy.configure(document([listener("edge", self.port)], [cluster("backend", peer)]))
            self.assertEqual(answer.status, 200)
            self.assertEqual(read_exactly(self.connect(self.port), 3).decode(), name)

    def test_a_change_of_another_generation_is_refused(self):
        for match, status in (('"7"', 409), ("7", 409), ('"1"', 200), ('"1"', 409), ("2", 200), ("*", 200)):
            with self.subTest(match):
                answer = self.proxy.admin("/config", "PUT", self.config.encode(), {"If-Match": match})
                self.assertEqual(answer.status, status)
        self.assertEqual(self.proxy.admin("/server_info").json["config_generation"], 4)

    def test_an_if_match_that_is_no_generation_is_a_bad_request(self):
        answer = self.proxy.admin("/config", "PUT", self.config.encode(), {"If-Match": '"latest"'})
        self.assertEqual(answer.status, 400)

    def test_errors_are_listed_with_their_places(self):
        answer = self.proxy.configure('listeners:\n  - nam: edge\n    address: "127.0.0.1:99999"\n    tcp: pg\n')
        self.assertEqual(answer.status, 422)
        errors = answer.json["errors"]
        self.assertGreaterEqual(len(errors), 3)
        first = next(error for error in errors if "nam" in error["problem"] and error["suggestion"])
        self.assertEqual((first["line"], first["column"], first["suggestion"]), (2, 5, "name"))
        for error in errors:
            self.assertEqual(set(error), {"line", "column", "problem", "expected", "suggestion", "text"})
        self.assertEqual(self.proxy.admin("/config").headers["etag"], '"1"')
        self.assertEqual(self.proxy.metrics()("ringway_config_applies_total", result="rejected"), 1)

    def test_what_belongs_to_the_process_cannot_be_changed(self):
        for change in ({"buffers": {"size": "64KiB"}},):
            text = document([listener("edge", self.port)], [cluster("backend", self.upstream)], **change)
            answer = self.proxy.configure(text)
            self.assertEqual(answer.status, 422)
            self.assertIn("restart", answer.text)

    def test_bodies_that_are_no_configuration(self):
        for body, status in ((b"", 422), (b"listeners: [", 422), (b"\xff\xfe", 400), (b"null", 422), (b"[1,2]", 422)):
            with self.subTest(body):
                self.assertEqual(self.proxy.admin("/config", "PUT", body).status, status)

    def test_a_large_configuration_is_taken(self):
        text = self.config + "\n" + "# " + "x" * (1 << 20) + "\n"
        self.assertEqual(self.proxy.configure(text).status, 200)
        self.assertEqual(self.proxy.admin("/config").text, text)

    def test_a_client_that_expects_continue_gets_it(self):
        body = self.config.encode()
        client = self.connect(self.proxy.admin_port)
        client.sendall(
            b"PUT /config HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        self.assertEqual(read_exactly(client, 25), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.sendall(body)
        self.assertIn(b"200 OK", read_to_end(client))


class Requests(Admin):
    def test_requests_that_are_too_large(self):
        self.assertEqual(self.status(b"PUT /config HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n"), 413)
        self.assertEqual(self.status(b"GET / HTTP/1.1\r\nHost: x\r\nx: " + b"y" * 20_000 + b"\r\n\r\n"), 431)
        self.assertEqual(self.status(b"GET /" + b"y" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"), 414)

    def test_requests_that_are_none(self):
        for request in (
            b"hello\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: x\r\nHost : y\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
        ):
            with self.subTest(request):
                self.assertEqual(self.status(request), 400)
        self.assertEqual(self.status(b"GET / HTTP/3.0\r\nHost: x\r\n\r\n"), 505)

    def test_a_request_in_single_bytes(self):
        client = self.connect(self.proxy.admin_port)
        for byte in b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            client.sendall(bytes([byte]))
        self.assertTrue(read_to_end(client).endswith(b"LIVE\n"))

    def test_a_request_that_never_ends_holds_up_nobody(self):
        slow = [self.connect(self.proxy.admin_port) for _ in range(20)]
        for client in slow:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
        self.assertEqual(self.proxy.admin("/metrics").status, 200)

    def test_pipelined_requests_are_answered_in_order(self):
        paths = ["/ready", "/metrics", "/ready", "/listeners", "/nowhere", "/ready"]
        requests = b"".join(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for path in paths[:-1])
        client = self.connect(self.proxy.admin_port)
        client.sendall(requests + b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = []
        file = client.makefile("rb")
        for _ in paths:
            status = int(file.readline().split()[1])
            headers = http.client.parse_headers(file)
            answers.append((status, file.read(int(headers["content-length"]))))
        self.assertEqual([status for status, _ in answers], [200, 200, 200, 200, 404, 200])
        self.assertEqual(answers[0][1], b"LIVE\n")
        self.assertIn(b"# TYPE", answers[1][1])
        self.assertEqual(answers[3][1], f"edge::127.0.0.1:{self.port}\n".encode())
        self.assertEqual(file.read(), b"")

    def test_a_connection_serves_many_requests(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.admin_port, timeout=30)
        connection.connect()
        first = connection.sock
        for path in ["/ready", "/metrics", "/nowhere", "/clusters"] * 25:
            connection.request("GET", path)
            connection.getresponse().read()
        self.assertIs(connection.sock, first)
        connection.close()

    def test_http_1_0_closes_unless_asked_to_stay(self):
        self.assertIn(b"LIVE", self.raw(b"GET /ready HTTP/1.0\r\n\r\n"))
        client = self.connect(self.proxy.admin_port)
        client.sendall(b"GET /ready HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.assertIn(b"keep-alive", client.recv(4096).lower())
        client.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
        self.assertIn(b"LIVE", read_to_end(client))

    def test_a_client_that_half_closes_gets_its_answer(self):
        client = self.connect(self.proxy.admin_port)
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        self.assertIn(b"ringway_build_info", read_to_end(client))

    def test_clients_that_leave_before_the_answer(self):
        for _ in range(100):
            client = self.connect(self.proxy.admin_port)
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            reset(client)
        self.assertEqual(self.proxy.admin("/metrics").status, 200)


class ManyAtOnce(Case):
    """With so much to render that requests queue up."""

    def setUp(self):
        super().setUp()
        listeners = [listener(f"l{index}", f"unix:{self.folder}/{index}", cluster=f"c{index}") for index in range(80)]
        clusters = [cluster(f"c{index}", *range(1000, 1010)) for index in range(80)]
        self.proxy = self.ringway(document(listeners, clusters))

    def test_many_scrapes_at_once_are_all_answered(self):
        statuses = []
        threads = [
            threading.Thread(target=lambda: statuses.append(self.proxy.admin("/metrics").status)) for _ in range(50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(statuses, [200] * 50)

    def test_ready_does_not_wait_for_scrapes(self):
        scrapes = [self.connect(self.proxy.admin_port) for _ in range(100)]
        for scrape in scrapes:
            scrape.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(self.proxy.admin("/ready").status, 200)
        answered = ready(scrapes)
        self.assertLess(len(answered), len(scrapes), "the scrapes were over before /ready was answered")

    def test_scrapes_that_nobody_reads_hold_up_nobody(self):
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        for _ in range(20):
            self.connect(self.proxy.admin_port, receive_buffer=4096).sendall(request * 20)
        self.assertEqual(self.proxy.admin("/ready").status, 200)
        self.assertEqual(self.proxy.admin("/metrics").status, 200)

    def test_more_requests_than_may_wait_are_told_so(self):
        clients = [self.connect(self.proxy.admin_port) for _ in range(300)]
        for client in clients:
            client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        statuses = {read_to_end(client).split(b" ", 2)[1] for client in clients}
        self.assertLessEqual(statuses, {b"200", b"503"})
        self.assertIn(b"200", statuses)


class Ending(Admin):
    def test_quitquitquit_answers_and_ends_the_process(self):
        answer = self.proxy.admin("/quitquitquit", "POST")
        self.assertEqual((answer.status, answer.text), (200, "OK\n"))
        self.assertEqual(self.proxy.wait(), 0)

    def test_drain_listeners_keeps_connections_and_the_process(self):
        port = free_port()
        echoing = self.peer(echo)
        self.proxy.configure(document([listener("edge", port, cluster="echo")], [cluster("echo", echoing)]))
        client = self.connect(port)
        client.sendall(b"x")
        read_exactly(client, 1)
        self.assertEqual(self.proxy.admin("/drain_listeners", "POST").status, 200)

        def is_closed():
            with contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
                self.connect(port).close()
                return False
            return True

        self.eventually(is_closed)
        self.assertEqual((self.proxy.admin("/ready").status, self.proxy.admin("/ready").text), (503, "DRAINING\n"))
        self.assertEqual(self.proxy.admin("/server_info").json["state"], "DRAINING")
        self.assertEqual(self.proxy.metrics()("ringway_live"), 0)
        client.sendall(b"still")
        self.assertEqual(read_exactly(client, 5), b"still")
        self.assertEqual(self.proxy.configure(self.config).status, 422, "a draining proxy takes no configuration")
        # The first signal after it drains, too.
        self.proxy.signal(signal.SIGTERM)
        client.sendall(b"still")
        self.assertEqual(read_exactly(client, 5), b"still")
        client.close()
        self.assertEqual(self.proxy.wait(), 0)

    def test_answers_are_json_when_errors_are(self):
        answer = self.proxy.configure("x")
        self.assertEqual(json.loads(answer.body)["errors"][0]["line"], 1)
