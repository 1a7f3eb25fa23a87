"""gRPC-Web, as browsers speak it, to real gRPC servers."""

import base64
import http.client
import re
import struct
import unittest
from concurrent import futures

import grpc
from support import Case, cluster, document, free_port, read_to_end
from test_grpc import Service


def frame(message: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(message)) + message


def unframe(body: bytes) -> tuple[list[bytes], dict[str, str] | None]:
    """The messages, and the trailers."""
    messages, trailers = [], None
    while body:
        flags, length = body[0], struct.unpack(">I", body[1:5])[0]
        content, body = body[5 : 5 + length], body[5 + length :]
        if flags & 0x80:
            lines = content.decode().split("\r\n")[:-1]
            trailers = dict(line.split(":", 1) for line in lines)
        else:
            messages.append(content)
    return messages, trailers


def untext(body: bytes) -> bytes:
    """Padded pieces of base64 behind each other."""
    return b"".join(base64.b64decode(piece, validate=True) for piece in re.findall(rb"[^=]+={0,2}", body))


class GRPCWeb(Case):
    def setUp(self):
        super().setUp()
        self.service = Service()
        server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
        server.add_generic_rpc_handlers([self.service])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self.addCleanup(lambda: server.stop(None).wait())
        self.port = free_port()
        web = self.peer(lambda sock: (sock.recv(65536), sock.sendall(
            b"HTTP/1.1 503 Busy\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>")))
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "http": {
            "filters": [
                {"cors": {"allow_origins": ["https://app.example.com"], "allow_methods": ["POST"],
                          "allow_headers": ["content-type", "x-grpc-web", "x-user-agent", "grpc-timeout"],
                          "expose_headers": ["grpc-status", "grpc-message"]}},
                "grpc_web"],
            "routes": [
                {"match": {"path_prefix": "/gone/"}, "cluster": "gone"},
                {"match": {"path_prefix": "/web/"}, "cluster": "web"},
                {"match": {}, "cluster": "backend", "timeout": 0}]}}
        self.proxy = self.ringway(document([edge], [
            cluster("backend", port, protocol="http2"), cluster("gone", free_port(), protocol="http2"),
            cluster("web", web)]))

    def open(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self.addCleanup(connection.close)
        return connection

    def call(self, path: str, *messages: bytes, text: bool = False, headers: dict | None = None, chunked: bool = False):
        """Status of HTTP, head, messages and trailers of a call."""
        kind = "application/grpc-web-text" if text else "application/grpc-web+proto"
        body = b"".join(map(frame, messages))
        if text:
            body = base64.b64encode(body)
        connection = self.open()
        fields = {"Content-Type": kind, "Accept": kind, "X-Grpc-Web": "1"} | (headers or {})
        pieces = (body[index : index + 1] for index in range(len(body)))
        connection.request("POST", path, pieces if chunked else body, fields, encode_chunked=chunked)
        answer = connection.getresponse()
        data = answer.read()
        expected = "application/grpc-web-text+proto" if text else "application/grpc-web+proto"
        self.assertEqual(answer.getheader("content-type"), expected)
        found, trailers = unframe(untext(data) if text else data)
        return answer, found, trailers

    def test_unary_calls(self):
        for text in (False, True):
            for chunked in (False, True):
                answer, messages, trailers = self.call("/s/Unary", b"hello", text=text, chunked=chunked)
                self.assertEqual((answer.status, messages), (200, [b"hello"]))
                self.assertEqual(trailers["grpc-status"], "0")

    def test_megabytes(self):
        message = bytes(range(256)) * 8_192
        for text in (False, True):
            _, messages, trailers = self.call("/s/Unary", message, text=text)
            self.assertEqual(messages, [message])
            self.assertEqual(trailers["grpc-status"], "0")

    def test_streams_of_the_server(self):
        for text in (False, True):
            _, messages, trailers = self.call("/s/Count", b"500", text=text)
            self.assertEqual(messages, [b"%d" % number for number in range(500)])
            self.assertEqual((trailers["grpc-status"], trailers["x-total"]), ("0", "500"))

    def test_every_message_of_a_stream_is_there_at_once(self):
        """A client can read a message before it sends the next one, wherever its text was cut."""
        client = self.connect(self.port)
        client.sendall(
            b"POST /s/Echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
            b"Content-Type: application/grpc-web-text\r\nAccept: application/grpc-web-text\r\n\r\n")
        heard = b""
        for message in (b"one", b"three", b"seven!!"):
            text = base64.b64encode(frame(message))
            for piece in (text[:-1], text[-1:]):
                client.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            while text not in heard:
                heard += client.recv(4096)
        client.sendall(b"0\r\n\r\n")
        heard += read_to_end(client)
        # The last chunk before the end is the frame of the trailers.
        last = heard.split(b"\r\n")[-4]
        self.assertEqual(unframe(untext(last))[1]["grpc-status"], "0")

    def test_errors_come_with_their_words(self):
        for text in (False, True):
            answer, messages, trailers = self.call("/s/Fail", b"", text=text)
            said = trailers or answer.headers
            self.assertEqual((said["grpc-status"], messages), ("9", []))
            self.assertEqual(said["grpc-message"], "not like this: 100 %25")

    def test_answers_of_the_proxy_and_of_others_are_in_the_words_of_grpc(self):
        answer, _, _ = self.call("/gone/Unary", b"")
        self.assertEqual((answer.status, answer.headers["grpc-status"]), (200, "14"))
        answer, messages, _ = self.call("/web/Unary", b"")
        self.assertEqual((answer.status, answer.headers["grpc-status"], messages), (200, "14", []))

    def test_deadlines(self):
        answer, _, trailers = self.call("/s/Wait", b"", headers={"Grpc-Timeout": "200m"})
        self.assertEqual((trailers or answer.headers)["grpc-status"], "4")
        self.assertTrue(self.service.cancelled.wait(30))

    def test_text_that_is_none_is_refused(self):
        connection = self.open()
        kind = "application/grpc-web-text"
        connection.request("POST", "/s/Unary", b"AAA", {"Content-Type": kind, "Accept": kind})
        answer = connection.getresponse()
        self.assertEqual((answer.status, answer.headers["grpc-status"]), (200, "13"))
        self.eventually_equal(
            lambda: self.proxy.metrics().sum("ringway_http_filter_events_total", filter="grpc_web", event="malformed"), 1)

    def test_pages_of_other_sites_are_let_in_by_cors(self):
        connection = self.open()
        connection.request("OPTIONS", "/s/Unary", headers={
            "Origin": "https://app.example.com", "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,x-grpc-web"})
        answer = connection.getresponse()
        answer.read()
        self.assertEqual(answer.status, 204)
        self.assertIn("x-grpc-web", answer.headers["access-control-allow-headers"])
        answer, messages, _ = self.call("/s/Unary", b"hi", headers={"Origin": "https://app.example.com"})
        self.assertEqual(messages, [b"hi"])
        self.assertEqual(answer.headers["access-control-allow-origin"], "https://app.example.com")
        self.assertIn("grpc-status", answer.headers["access-control-expose-headers"])


if __name__ == "__main__":
    unittest.main()
