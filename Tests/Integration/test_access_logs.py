"""Access logs: what their lines say, where they go, and that they hold nothing up."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import threading
import time
import unittest

from support import Case, cluster, document, free_port, read_exactly, read_to_end, reset
from support.peers import echo, reset_at_once

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Backend: one\r\n\r\nok"


def answering(response=OK):
    """A script that answers every request, and keeps the connection."""

    def script(sock):
        pending = b""
        while data := sock.recv(65536):
            pending += data
            while b"\r\n\r\n" in pending:
                _, pending = pending.split(b"\r\n\r\n", 1)
                sock.sendall(response)

    return script


class LogCase(Case):
    def proxy(self, logs, script=answering(), routes=None, workers=1, clusters=None, **http):
        """A proxy with these access logs in front of a peer."""
        self.port = free_port()
        self.logs = logs
        clusters = clusters or [cluster("backend", self.peer(script))]
        self.config = document([self.edge(logs, routes, **http)], clusters)
        return self.ringway(self.config, workers=workers)

    def edge(self, logs, routes=None, **http) -> dict:
        routes = routes or [{"match": {}, "cluster": "backend"}]
        return {
            "name": "edge",
            "address": f"127.0.0.1:{self.port}",
            "http": {"routes": routes, "access_log": logs} | http,
        }

    def path(self, name="access.log") -> str:
        return str(self.folder / name)

    def exchange(self, request: bytes) -> bytes:
        client = self.connect(self.port)
        client.sendall(request)
        return read_to_end(client)

    def get(self, target="/", *fields: str, host="a") -> bytes:
        lines = [f"GET {target} HTTP/1.1", f"Host: {host}", "Connection: close", *fields]
        return self.exchange("\r\n".join(lines).encode() + b"\r\n\r\n")

    def lines(self, count: int, name="access.log") -> list[str]:
        """The lines of a log, once there are so many."""
        def read():
            try:
                with open(self.path(name), encoding="utf-8") as file:
                    return file.read().splitlines()
            except FileNotFoundError:
                return []

        self.eventually(lambda: len(read()) >= count, f"there are not {count} lines")
        lines = read()
        self.assertEqual(len(lines), count, lines)
        return lines

    def objects(self, count: int, name="access.log") -> list[dict]:
        return [json.loads(line) for line in self.lines(count, name)]

    def fields(self, **fields: str) -> list[dict]:
        return [{"path": self.path(), "format": fields}]


class Lines(LogCase):
    def test_the_default_line_is_envoys(self):
        self.proxy([{"path": self.path()}])
        self.get("/x?y=1", "User-Agent: me", "X-Request-Id: id-1")
        (line,) = self.lines(1)
        self.assertRegex(
            line,
            r'^\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "GET /x\?y=1 HTTP/1\.1" 200 - 0 2 \d+ \d+ "-" "me" '
            r'"id-1" "a" "127\.0\.0\.1:\d+"$',
        )

    def test_json(self):
        self.proxy([{"path": self.path(), "format": "json"}])
        self.get("/x", "User-Agent: me")
        (line,) = self.objects(1)
        self.assertEqual(line["method"], "GET")
        self.assertEqual(line["path"], "/x")
        self.assertEqual(line["response_code"], 200)
        self.assertEqual(line["response_flags"], "-" if line["response_flags"] else None)
        self.assertEqual(line["response_code_details"], "via_upstream")
        self.assertEqual(line["bytes_sent"], 2)
        self.assertEqual(line["user_agent"], "me")
        self.assertIsNone(line["route_name"])
        self.assertEqual(line["upstream_cluster"], "backend")
        self.assertRegex(line["downstream_remote_address"], r"^127\.0\.0\.1:\d+$")
        self.assertEqual(line["downstream_local_address"], f"127.0.0.1:{self.port}")
        self.assertIsInstance(line["duration"], int)

    def test_bytes_of_bodies(self):
        def script(sock):
            reader = sock.makefile("rb")
            while reader.readline():
                while reader.readline().strip():
                    pass
                while int(reader.readline().strip(), 16):
                    reader.readline()
                    pass
                reader.readline()
                sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n")

        self.proxy(self.fields(rx="%BYTES_RECEIVED%", tx="%BYTES_SENT%"), script)
        self.exchange(
            b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"5\r\n12345\r\n6\r\n678901\r\n0\r\n\r\n")
        self.assertEqual(self.objects(1), [{"rx": 11, "tx": 7}])

    def test_fields_of_responses_and_trailers(self):
        response = (
            b"HTTP/1.1 200 OK\r\nX-Backend: one\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Sum: 97\r\n\r\n")
        self.proxy(
            self.fields(backend="%RESP(X-Backend)%", server="%RESP(server)%", sum="%TRAILER(x-sum)%",
                        none="%RESP(x-none)%", other="%RESP(x-none?x-backend)%"),
            answering(response))
        self.get()
        self.assertEqual(
            self.objects(1),
            [{"backend": "one", "server": "ringway", "sum": "97", "none": None, "other": "one"}])

    def test_local_answers(self):
        self.proxy(
            self.fields(code="%RESPONSE_CODE%", details="%RESPONSE_CODE_DETAILS%", flags="%RESPONSE_FLAGS%",
                        host="%UPSTREAM_HOST%", route="%ROUTE_NAME%", sent="%BYTES_SENT%"),
            routes=[{"name": "fixed", "match": {"path": "/a"}, "respond": {"status": 201, "body": "four"}}])
        self.get("/a")
        self.get("/b")
        self.assertEqual(
            self.objects(2),
            [
                {"code": 201, "details": "direct_response", "flags": None, "host": None, "route": "fixed", "sent": 4},
                {"code": 404, "details": "route_not_found", "flags": "NR", "host": None, "route": None, "sent": 17},
            ])

    def test_the_path_before_a_rewrite(self):
        self.proxy(
            self.fields(path="%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", now="%REQ(:PATH)%"),
            routes=[{"match": {"path_prefix": "/old/"}, "cluster": "backend", "rewrite": {"path_prefix": "/new/"}}])
        self.get("/old/x")
        self.assertEqual(self.objects(1), [{"path": "/old/x", "now": "/new/x"}])

    def test_http_2(self):
        self.proxy(
            self.fields(protocol="%PROTOCOL%", path="%REQ(:PATH)%", authority="%REQ(:AUTHORITY)%", sent="%BYTES_SENT%"))
        for path in ("one", "two"):
            subprocess.run(
                ["curl", "-s", "--http2-prior-knowledge", "--max-time", "10", f"http://127.0.0.1:{self.port}/{path}"],
                check=True, stdout=subprocess.DEVNULL)
        authority = f"127.0.0.1:{self.port}"
        self.assertEqual(
            self.objects(2),
            [{"protocol": "HTTP/2", "path": f"/{path}", "authority": authority, "sent": 2} for path in ("one", "two")])

    def test_pipelined_requests_have_a_line_each(self):
        self.proxy(self.fields(path="%REQ(:PATH)%", id="%CONNECTION_ID%"))
        requests = [f"GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n" for n in range(99)]
        self.exchange("".join(requests).encode() + b"GET /99 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        lines = self.objects(100)
        self.assertEqual([line["path"] for line in lines], [f"/{n}" for n in range(100)])
        self.assertEqual(len({line["id"] for line in lines}), 1)

    def test_upgrades_are_counted_to_their_end(self):
        def script(sock):
            while not sock.recv(65536).endswith(b"\r\n\r\n"):
                pass
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            echo(sock)

        self.proxy(
            self.fields(code="%RESPONSE_CODE%", rx="%BYTES_RECEIVED%", tx="%BYTES_SENT%"), script,
            routes=[{"match": {}, "cluster": "backend", "upgrade": ["x"]}])
        client = self.connect(self.port)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        client.sendall(b"z" * 100_000)
        self.assertEqual(read_exactly(client, 100_000), b"z" * 100_000)
        client.close()
        self.assertEqual(self.objects(1), [{"code": 101, "rx": 100_000, "tx": 100_000}])


class WhatWentWrong(LogCase):
    def logs(self):
        return self.fields(
            code="%RESPONSE_CODE%", flags="%RESPONSE_FLAGS%", details="%RESPONSE_CODE_DETAILS%", method="%REQ(:METHOD)%")

    def test_what_is_not_http(self):
        self.proxy(self.logs())
        self.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nX\x01: y\r\n\r\n")
        (line,) = self.objects(1)
        self.assertEqual((line["code"], line["flags"], line["method"]), (400, "DPE", None))
        self.assertTrue(line["details"])

    def test_a_head_in_pieces_that_is_not_http(self):
        self.proxy(self.logs())
        client = self.connect(self.port)
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n":
            client.sendall(bytes([byte]))
        read_to_end(client)
        self.assertEqual([line["code"] for line in self.objects(1)], [400])

    def test_an_answer_that_breaks_off(self):
        def script(sock):
            sock.recv(65536)
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")

        self.proxy(self.logs(), script)
        with contextlib.suppress(ConnectionResetError):
            self.get()
        self.assertEqual(
            self.objects(1),
            [{"code": 200, "flags": "UC", "method": "GET",
              "details": "upstream_reset_after_response_started{connection_termination}"}])

    def test_a_client_that_is_gone(self):
        def script(sock):
            sock.recv(65536)
            self.asked.set()
            sock.recv(1)

        self.asked = threading.Event()
        self.proxy(self.logs() , script)
        client = self.connect(self.port)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.asked.wait(10)
        reset(client)
        (line,) = self.objects(1)
        self.assertEqual(
            line, {"code": 0, "flags": "DC", "details": "downstream_remote_disconnect", "method": "GET"})

    def test_a_request_that_takes_too_long(self):
        self.proxy(self.logs(), request_timeout="50ms")
        client = self.connect(self.port)
        client.sendall(b"GET / HT")
        read_to_end(client)
        (line,) = self.objects(1)
        self.assertEqual((line["code"], line["details"]), (408, "request_header_timeout"))

    def test_an_endpoint_that_takes_too_long(self):
        self.proxy(
            self.logs(), lambda sock: sock.recv(1) and time.sleep(1),
            routes=[{"match": {}, "cluster": "backend", "timeout": "50ms"}])
        self.get()
        (line,) = self.objects(1)
        self.assertEqual((line["code"], line["flags"]), (504, "UT"))

    def test_an_endpoint_that_is_not_there(self):
        port = free_port()
        self.proxy(
            self.fields(
                code="%RESPONSE_CODE%", flags="%RESPONSE_FLAGS%", host="%UPSTREAM_HOST%",
                why="%UPSTREAM_TRANSPORT_FAILURE_REASON%", tries="%UPSTREAM_REQUEST_ATTEMPT_COUNT%"),
            clusters=[cluster("backend", port)],
            routes=[{"match": {}, "cluster": "backend", "retry": {"on": ["connect-failure"], "attempts": 2}}])
        self.get()
        self.assertEqual(
            self.objects(1),
            [{"code": 503, "flags": "UF", "host": f"127.0.0.1:{port}", "why": "connect_refused", "tries": 3}])

    def test_an_endpoint_that_hangs_up(self):
        self.proxy(self.logs(), reset_at_once)
        self.get()
        (line,) = self.objects(1)
        self.assertEqual((line["code"], line["flags"]), (502, "UC"))


class HostileBytes(LogCase):
    VALUES = [
        b'"', b"\\", b'"}\\u0000{"', b"%s%n%REQ(X)%", b"a\tb", b"\xff\xfe", b"\xc3(", b"\xed\xa0\x80", "é日🙂".encode(),
        b"\xc2\x9b2J", bytes(range(0x80, 0x100)), b"x" * 30_000, b'"' * 20_000,
    ]

    def send_them_all(self):
        for value in self.VALUES:
            answer = self.exchange(
                b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nUser-Agent: " + value + b"\r\n\r\n")
            self.assertIn(b" 200 ", answer.split(b"\r\n")[0], value)

    def test_each_line_is_json(self):
        self.proxy([{"path": self.path(), "format": "json"}])
        self.send_them_all()
        lines = self.objects(len(self.VALUES))
        for value, line in zip(self.VALUES, lines):
            if len(value) < 1000:
                self.assertEqual(line["user_agent"].count("\ufffd") == 0, value.decode(errors="replace").count("\ufffd") == 0)
                if b"\xff" not in value and b"\xed" not in value and b"\xc3(" not in value:
                    self.assertEqual(line["user_agent"], value.decode())
            else:
                self.assertEqual(len(line["user_agent"]), 16_384)

    def test_each_line_of_text_is_one_line_of_ascii(self):
        self.proxy([{"path": self.path(), "format": '"%REQ(USER-AGENT)%" end'}])
        self.send_them_all()
        for value, line in zip(self.VALUES, self.lines(len(self.VALUES))):
            self.assertTrue(line.startswith('"') and line.endswith('" end'))
            inner = line[1:-5]
            self.assertTrue(inner.isascii() and inner.isprintable())
            self.assertNotIn('"', inner)
            back = inner.encode().decode("unicode_escape").encode("latin-1")
            self.assertEqual(back, value[:16_384])


class Filters(LogCase):
    def test_only_what_fits_is_logged(self):
        routes = [
            {"match": {"path": f"/{status}"}, "respond": {"status": status}} for status in (200, 204, 404, 500, 503)
        ]
        logs = [
            {"path": self.path("errors"), "format": "%RESPONSE_CODE%", "filter": {"status": "5xx"}},
            {"path": self.path("some"), "format": "%RESPONSE_CODE%", "filter": [{"status": 204}, {"flags": ["NR"]}]},
            {"path": self.path("none"), "format": "%RESPONSE_CODE%", "filter": {"sampling": "0%"}},
            {"path": self.path("all"), "format": "%RESPONSE_CODE%"},
        ]
        self.proxy(logs, routes=routes)
        for path in (200, 204, 404, 500, 503, "x"):
            self.get(f"/{path}")
        self.assertEqual(self.lines(6, "all"), ["200", "204", "404", "500", "503", "404"])
        self.assertEqual(self.lines(2, "errors"), ["500", "503"])
        self.assertEqual(self.lines(2, "some"), ["204", "404"])
        self.assertEqual(self.lines(0, "none"), [])


class Files(LogCase):
    def test_usr1_goes_on_in_a_new_file(self):
        proxy = self.proxy([{"path": self.path(), "format": "%REQ(:PATH)%"}])
        self.get("/1")
        self.lines(1)
        os.rename(self.path(), self.path("old.log"))
        self.get("/2")
        self.assertEqual(self.lines(2, "old.log"), ["/1", "/2"])
        proxy.signal(signal.SIGUSR1)
        self.eventually(lambda: os.path.exists(self.path()))
        self.get("/3")
        self.assertEqual(self.lines(1), ["/3"])
        self.assertEqual(self.lines(2, "old.log"), ["/1", "/2"])

    def test_the_admin_interface_does_the_same(self):
        proxy = self.proxy([{"path": self.path(), "format": "%REQ(:PATH)%"}])
        os.rename(self.path(), self.path("old.log"))
        self.assertEqual(proxy.admin("/reopen_logs").status, 405)
        self.assertEqual(proxy.admin("/reopen_logs", "POST").status, 200)
        self.eventually(lambda: os.path.exists(self.path()))
        self.get("/1")
        self.assertEqual(self.lines(1), ["/1"])

    def test_files_are_not_for_everybody_and_are_appended_to(self):
        with open(self.path(), "w") as file:
            file.write("before\n")
        os.chmod(self.path(), 0o644)
        self.proxy([{"path": self.path(), "format": "%REQ(:PATH)%"}, {"path": self.path("new"), "format": "json"}])
        self.assertEqual(stat.S_IMODE(os.stat(self.path("new")).st_mode) & 0o007, 0)
        self.assertEqual(stat.S_IMODE(os.stat(self.path()).st_mode), 0o644)
        self.get("/1")
        self.assertEqual(self.lines(2), ["before", "/1"])

    def test_standard_output(self):
        proxy = self.proxy([{"path": "/dev/stdout", "format": "line %REQ(:PATH)%"}])
        self.get("/1")
        self.eventually(lambda: "line /1\n" in proxy.log)
        self.get("/2")
        self.eventually(lambda: "line /2\n" in proxy.log)
        proxy.signal(signal.SIGTERM)
        proxy.wait()
        # The process's own log goes to the same file, and neither has overwritten the other.
        self.assertEqual([line for line in proxy.log.splitlines() if line.startswith("line")], ["line /1", "line /2"])
        self.assertIn("draining", proxy.log)
        self.assertIn("live", proxy.log)

    def test_a_pipe_as_standard_output(self):
        port = free_port()
        self.port = port
        path = self.folder / "piped.yaml"
        path.write_text(document([self.edge([{"path": "/dev/stdout", "format": "%REQ(:PATH)%"}],
                                            [{"match": {}, "respond": {"status": 200}}])]))
        from support import BINARY

        process = subprocess.Popen([BINARY, "run", str(path), "--workers", "1"], stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, cwd=self.folder)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.kill)
        self.wait_listening(port)
        self.get("/1")
        self.assertEqual(process.stdout.readline(), b"/1\n")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(10), 0)

    def test_nothing_is_lost_at_the_end(self):
        proxy = self.proxy([{"path": self.path(), "format": "%REQ(:PATH)%"}])
        client = self.connect(self.port)
        client.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" * 500)
        received = b""
        while received.count(b"\r\n\r\nok") < 500:
            received += client.recv(65536)
        proxy.signal(signal.SIGTERM)
        self.assertEqual(proxy.wait(), 0)
        with open(self.path()) as file:
            self.assertEqual(len(file.readlines()), 500)

    def test_what_a_drain_cuts_off_is_logged(self):
        asked = threading.Event()

        def script(sock):
            sock.recv(65536)
            asked.set()
            sock.recv(1)

        self.port = free_port()
        config = document([self.edge(self.fields(path="%REQ(:PATH)%", flags="%RESPONSE_FLAGS%"))],
                          [cluster("backend", self.peer(script))], drain_timeout="100ms")
        proxy = self.ringway(config)
        client = self.connect(self.port)
        client.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        asked.wait(10)
        proxy.signal(signal.SIGTERM)
        self.assertEqual(proxy.wait(), 0)
        self.assertEqual(self.objects(1), [{"path": "/x", "flags": "DC"}])

    def test_a_fifo_that_nobody_reads_holds_nothing_up(self):
        os.mkfifo(self.path("fifo"))
        proxy = self.proxy(
            [{"path": self.path("fifo"), "format": "%REQ(X-LONG)%"}, {"path": self.path(), "format": "%REQ(:PATH)%"}])
        metrics = lambda name, **labels: proxy.metrics()(f"ringway_access_log_{name}", path=self.path("fifo"), **labels)
        long = "x" * 16_000
        request = f"GET / HTTP/1.1\r\nHost: a\r\nX-Long: {long}\r\n\r\n".encode()
        client = self.connect(self.port)
        count = 0
        # The pipe and 4 MiB of ring take about 266 lines.
        for _ in range(12):
            for _ in range(25):
                client.sendall(request)
            received = b""
            while received.count(b"\r\n\r\nok") < 25:
                received += client.recv(65536)
            count += 25
        self.assertEqual(count, 300)
        self.assertGreater(metrics("lines_dropped_total", reason="full"), 0)
        self.assertEqual(metrics("lines_total") + metrics("lines_dropped_total", reason="full"), 300)
        self.lines(300)
        # A reader gets whole lines, all that were not dropped.
        with open(self.path("fifo"), "rb") as fifo:
            for _ in range(int(metrics("lines_total"))):
                self.assertEqual(fifo.readline(), long.encode() + b"\n")

    def test_a_full_disk_is_counted_and_the_lines_wait(self):
        proxy = self.proxy([{"path": "/dev/full", "format": "%REQ(:PATH)%"}])
        self.get("/1")
        self.eventually(lambda: proxy.metrics()("ringway_access_log_write_errors_total", path="/dev/full") > 0)
        self.assertIn("an access log cannot be written", proxy.log)
        self.assertIn(b" 200 ", self.get("/2"))
        proxy.signal(signal.SIGTERM)
        self.assertEqual(proxy.wait(), 0)
        self.assertIn("could not be written", proxy.log)

    def test_many_clients_on_two_workers_have_whole_lines(self):
        self.proxy([{"path": self.path(), "format": "<%REQ(:PATH)%>"}], workers=2)

        def client(name):
            sock = self.connect(self.port)
            for number in range(200):
                sock.sendall(f"GET /{name}/{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                data = b""
                while not data.endswith(b"ok"):
                    data += sock.recv(4096)

        threads = [threading.Thread(target=client, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(
            sorted(self.lines(1600)), sorted(f"</{name}/{number}>" for name in range(8) for number in range(200)))


class Reload(LogCase):
    def test_a_log_goes_on_and_a_changed_format_is_for_new_requests(self):
        proxy = self.proxy([{"path": self.path(), "format": "one %REQ(:PATH)%"}])
        client = self.connect(self.port)

        def request(target):
            client.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            data = b""
            while not data.endswith(b"ok"):
                data += client.recv(4096)

        request("/1")
        changed = self.config.replace("one %REQ", "two %REQ")
        self.assertEqual(proxy.configure(changed).status, 200)
        request("/2")
        self.assertEqual(self.lines(2), ["one /1", "two /2"])
        self.assertEqual(proxy.metrics()("ringway_access_log_lines_total", path=self.path()), 2)

    def test_a_log_that_is_gone_is_closed(self):
        proxy = self.proxy([{"path": self.path(), "format": "%REQ(:PATH)%"}])
        self.get("/1")
        self.lines(1)
        other = self.config.replace("access.log", "other.log")
        self.assertEqual(proxy.configure(other).status, 200)
        self.get("/2")
        self.assertEqual(self.lines(1, "other.log"), ["/2"])

        def open_files():
            links = []
            for fd in os.listdir(f"/proc/{proxy.pid}/fd"):
                with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                    links.append(os.readlink(f"/proc/{proxy.pid}/fd/{fd}"))
            return links

        self.eventually(lambda: self.path() not in open_files())
        self.assertEqual(proxy.configure(self.config).status, 200)
        self.get("/3")
        self.assertEqual(self.lines(2), ["/1", "/3"])

    def test_a_path_that_cannot_be_opened_changes_nothing(self):
        proxy = self.proxy([{"path": self.path(), "format": "%REQ(:PATH)%"}])
        answer = proxy.configure(self.config.replace("access.log", "no/such/folder"))
        self.assertEqual(answer.status, 422)
        self.assertIn("cannot be opened", answer.text)
        self.get("/1")
        self.assertEqual(self.lines(1), ["/1"])


class Errors(LogCase):
    def check(self, log) -> str:
        self.port = 1
        path = self.folder / "bad.yaml"
        path.write_text(document([self.edge([log], [{"match": {}, "respond": {"status": 200}}])]))
        answer = self.command("check", str(path))
        self.assertEqual(answer.returncode, 78)
        ran = self.command("run", str(path))
        self.assertEqual(ran.returncode, 78)
        self.assertEqual(ran.stderr, answer.stderr)
        return answer.stderr

    def test_a_path_that_cannot_be_opened(self):
        errors = self.check({"path": "no/such/folder/log"})
        self.assertRegex(errors, r'^\S+:\d+:\d+: error: the access log "no/such/folder/log" cannot be opened: No such ')
        self.assertIn("Is a directory", self.check({"path": "/"}))

    def test_an_operator_that_does_not_exist(self):
        self.assertIn('(did you mean "%DURATION%"?)', self.check({"path": "log", "format": "%DURATIO%"}))
        self.assertIn('"%REQ(:PTH)%"', self.check({"path": "log", "format": {"a": "%REQ(:PTH)%"}}))

    def test_a_check_creates_nothing(self):
        self.port = 1
        path = self.folder / "good.yaml"
        path.write_text(document([self.edge([{"path": "log"}], [{"match": {}, "respond": {"status": 200}}])]))
        self.assertEqual(self.command("check", str(path)).returncode, 0)
        self.assertFalse((self.folder / "log").exists())


class TCP(LogCase):
    def tcp(self, script, log, **more):
        self.port = free_port()
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "tcp": {"cluster": "backend", "access_log": [log]}}
        return self.ringway(document([edge | more], [cluster("backend", self.peer(script))]))

    def test_a_connection(self):
        self.tcp(echo, {"path": self.path(), "format": "json"})
        client = self.connect(self.port)
        client.sendall(b"x" * 100_000)
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(len(read_to_end(client)), 100_000)
        (line,) = self.objects(1)
        self.assertEqual((line["bytes_received"], line["bytes_sent"]), (100_000, 100_000))
        self.assertIsNone(line["response_flags"])
        self.assertEqual(line["connection_termination_details"], "finished")
        self.assertEqual(line["upstream_cluster"], "backend")
        self.assertRegex(line["downstream_remote_address"], r"^127\.0\.0\.1:\d+$")

    def test_one_that_is_refused(self):
        self.tcp(echo, {"path": self.path(), "format": "%RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS%"},
                 access={"deny": ["127.0.0.0/8"]})
        self.fate(self.port)
        self.assertEqual(self.lines(1), ["- denied"])

    def test_one_that_was_reset(self):
        self.tcp(echo, {"path": self.path(), "format": "%RESPONSE_FLAGS%"})
        client = self.connect(self.port)
        client.sendall(b"x")
        read_exactly(client, 1)
        reset(client)
        self.assertEqual(self.lines(1), ["DC"])


if __name__ == "__main__":
    unittest.main()
