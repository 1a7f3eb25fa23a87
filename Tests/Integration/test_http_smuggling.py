"""Requests and responses that two readers could read in two ways: nothing of them reaches the other side.

The cases are tables in `smuggling/`. Each is played whole, byte by byte, and cut at seeded random places; each has
another request behind it on the same connection, which must be served or dropped, never read as anything else.
"""

import socket
import threading
import unittest

from smuggling.cases import Request, Response
from smuggling.peers import (
    NEXT,
    NEXT_FORWARDED,
    Player,
    Recorder,
    at_random,
    in_bytes,
    read_answers,
    send_together,
    whole,
)
from smuggling.requests import all_requests
from smuggling.responses import all_responses
from support import Case, cluster, document, free_port, read_exactly

ROUTES = [
    {"match": {"path_prefix": "/ws"}, "cluster": "backend", "upgrade": ["websocket"]},
    {"match": {"path_prefix": "/old"}, "redirect": {"prefix_rewrite": "/new"}},
    {"match": {"path_prefix": "/before/"}, "cluster": "backend", "rewrite": {"path_prefix": "/"}},
    {"match": {}, "cluster": "backend"},
]


class Smuggling(Case):
    def start(self, recorder: Recorder, **settings):
        self.recorder = recorder
        self.backend = self.peer(recorder.script)
        self.port = free_port()
        listener = {"name": "edge", "address": f"127.0.0.1:{self.port}", "http": {"routes": ROUTES} | settings}
        self.proxy = self.ringway(document([listener], [cluster("backend", self.backend)]))

    def client(self) -> socket.socket:
        sock = self.connect(f"127.0.0.1:{self.port}")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock


class Requests(Smuggling):
    def test_whole(self):
        self.play(whole)

    def test_byte_by_byte(self):
        self.play(in_bytes)

    def test_cut_at_random_places(self):
        self.play(at_random)

    def play(self, cut):
        self.start(Recorder())
        self.begun: list = []
        for case in all_requests():
            with self.subTest(str(case)):
                self.play_case(case, cut(case.raw + NEXT))
        # The proxy closes what it had begun and could not finish; only then is all of it known.
        self.proxy.signal(15)
        self.eventually(lambda: not self.proxy.is_running)
        self.assertEqual(self.recorder.taken(), [], "came after the answer")
        self.assertEqual(self.recorder.malformed, [])
        for message in self.recorder.unfinished:
            self.assertTrue(any(is_part(message, whole) for whole in self.begun), message)

    def play_case(self, case: Request, ways: list[list[bytes]]):
        if case.begun:
            self.begun.append(case.begun)
        refused_before = self.refused()
        clients = [self.client() for _ in ways]
        send_together(clients, ways)
        goes_on = case.keeps or case.reason is None and not case.closes
        statuses = [case.status, 200] if goes_on else [case.status]
        for client in clients:
            answers, ending = read_answers(client, case.raw.startswith(b"HEAD "))
            self.assertEqual(ending, "closed", answers)
            self.assertEqual([answer.status for answer in answers], statuses, answers)
            client.close()

        expected = [case.forwarded] if case.forwarded else []
        if goes_on:
            expected.append(NEXT_FORWARDED)
        received = self.recorder.taken()
        self.assertEqual(sorted(received, key=repr), sorted(expected * len(ways), key=repr))
        moved = {case.reason: len(ways)} if case.reason else {}
        after = self.refused()
        self.assertEqual(
            {
                reason: count - refused_before.get(reason, 0)
                for reason, count in after.items()
                if count != refused_before.get(reason, 0)
            },
            moved,
        )

    def refused(self) -> dict[str, float]:
        samples = self.proxy.metrics().all("ringway_http_requests_refused_total", listener="edge")
        return {dict(labels)["reason"]: count for labels, count in samples.items()}


def is_part(message, whole) -> bool:
    """The head may be cut short, then nothing follows; or it is all there and the body has begun."""
    if message.head == whole.head:
        return whole.body.startswith(message.body) and not message.trailers
    return whole.head.startswith(message.head) and not message.body


class Responses(Smuggling):
    def test_whole(self):
        self.play(Player(in_bytes=False))

    def test_byte_by_byte(self):
        self.play(Player(in_bytes=True))

    def play(self, player: Player):
        self.start(player)
        for case in all_responses():
            if player.in_bytes and not case.in_bytes:
                continue
            with self.subTest(str(case)):
                player.case = case
                self.play_case(case)
        self.assertEqual(self.recorder.malformed, [])

    def play_case(self, case: Response):
        client = self.client()
        client.sendall(case.method + b" /case HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT)
        answers, ending = read_answers(client, case.method == b"HEAD")
        client.close()
        *early, answer = answers[: len(case.informational) + 1]
        self.assertEqual(tuple(message.status for message in early), case.informational)
        self.assertEqual(answer.status, case.status, answer)
        for message in answers:
            self.assertNotIn(case.hidden, message.head + message.body + message.trailers)
        if case.status != 502:
            self.assertEqual((answer.body, answer.trailers), (case.body, case.trailers))
        behind = [message.body for message in answers[len(case.informational) + 1 :]]
        if case.broken:
            self.assertIn(ending, ["inside", "reset"], "what broke off looks complete")
            self.assertEqual(behind, [])
        else:
            self.assertEqual(ending, "closed")
            self.assertEqual(behind, [b"reused" if case.reusable else b"fresh"])

    def test_an_endpoint_that_speaks_unasked_is_not_heard(self):
        spoke = []

        def script(sock):
            reader = sock.makefile("rb")
            while reader.readline():
                while reader.readline() not in (b"\r\n", b""):
                    pass
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
                if not spoke:
                    self.may_speak.wait(10)
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
                    spoke.append(True)

        self.may_speak = threading.Event()
        recorder = Recorder()
        recorder.script = script
        self.start(recorder)
        client = self.client()
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += read_exactly(client, 1)
        self.assertEqual(read_exactly(client, 4), b"good")
        self.may_speak.set()
        self.eventually_equal(lambda: self.proxy.metrics()("ringway_cluster_connections_active", cluster="backend"), 0)
        client.sendall(NEXT)
        self.assertEqual([message.body for message in read_answers(client, False)[0]], [b"good"])


class Splitting(Smuggling):
    def test_a_redirect_cannot_be_split(self):
        self.start(Recorder())
        client = self.client()
        client.sendall(b"GET /old/%0d%0aSet-Cookie:%20evil=1?a=%0d%0aX:%20evil HTTP/1.1\r\nHost: a\r\n\r\n" + NEXT)
        (answer, _), ending = read_answers(client, False)
        self.assertEqual((answer.status, ending), (301, "closed"))
        self.assertEqual(answer.values(b"location"), [b"http://a/new/%0D%0ASet-Cookie:%20evil=1?a=%0d%0aX:%20evil"])
        self.assertEqual(answer.values(b"set-cookie"), [])


class Trust(Smuggling):
    """What the proxy says about the client cannot be taken out by the client (RFC 9110 §7.6.1)."""

    def test_connection_does_not_name_what_the_proxy_adds(self):
        self.start(Recorder(), use_remote_address=True)
        for name in [
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-request-id",
            "x-envoy-external-address",
            "x-envoy-expected-rq-timeout-ms",
            "x-envoy-original-path",
        ]:
            for field in ["", f"{name}: evil\r\n"]:
                with self.subTest(name, sent=bool(field)):
                    client = self.client()
                    client.sendall(
                        b"GET /before/x HTTP/1.1\r\nHost: a\r\n%sConnection: close, %s\r\n\r\n"
                        % (field.encode(), name.encode())
                    )
                    read_answers(client, False)
                    (request,) = self.recorder.taken(as_received=True)
                    (value,) = request.values(name.encode())
                    self.assertFalse(value.endswith(b"evil"), request)


if __name__ == "__main__":
    unittest.main()
