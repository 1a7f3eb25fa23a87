"""The header_mutation filter."""

from support import Case, cluster, document, free_port, read_to_end


class HeaderMutation(Case):
    def proxy(self, mutation, **http):
        self.requests = []

        def script(sock):
            data = b""
            while not data.endswith(b"\r\n\r\n"):
                data += sock.recv(65536)
            self.requests.append(data)
            sock.sendall(b"HTTP/1.1 200 OK\r\nX-Secret: s\r\nX-Kind: blue\r\nContent-Length: 2\r\n\r\nok")

        self.port = free_port()
        self.backend = self.peer(script)
        edge = {
            "name": "edge",
            "address": f"127.0.0.1:{self.port}",
            "http": {"routes": [{"match": {}, "cluster": "backend"}], "filters": [{"header_mutation": mutation}]} | http,
        }
        return self.ringway(document([edge], [cluster("backend", self.backend)]))

    def get(self, *fields):
        client = self.connect(self.port)
        lines = ["GET /p?q=1 HTTP/1.1", "Host: a", "Connection: close", *fields]
        client.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        self.source = client.getsockname()[1]
        return read_to_end(client).split(b"\r\n\r\n")[0].split(b"\r\n")

    def test_requests(self):
        self.proxy(
            {
                "request": {
                    "remove": ["x-internal"],
                    "set": {"x-client": "%DOWNSTREAM_REMOTE_ADDRESS%", "x-what": "%REQ(:METHOD)% %REQ(:PATH)%"},
                    "add": {"x-many": "two", "x-none": "%REQ(x-missing)%", "x-per": "100%%"},
                }
            }
        )
        self.get("X-Internal: 1", "X-Client: forged", "X-Many: one")
        (request,) = self.requests
        lines = request.split(b"\r\n")
        self.assertNotIn(b"X-Internal", request)
        self.assertIn(b"X-Client: 127.0.0.1:%d" % self.source, lines)
        self.assertNotIn(b"forged", request)
        self.assertIn(b"x-what: GET /p?q=1", lines)
        self.assertIn(b"X-Many: one", lines)
        self.assertIn(b"x-many: two", lines)
        self.assertNotIn(b"x-none", request)
        self.assertIn(b"x-per: 100%", lines)

    def test_responses(self):
        self.proxy(
            {
                "response": [
                    {"set": {"x-copy": "%RESP(X-Kind)%", "x-code": "%RESPONSE_CODE%", "x-host": "%UPSTREAM_HOST%"}},
                    {"remove": ["x-kind", "x-secret"]},
                ]
            }
        )
        lines = self.get()
        self.assertIn(b"x-copy: blue", lines)
        self.assertIn(b"x-code: 200", lines)
        self.assertIn(b"x-host: " + self.backend.address.encode(), lines)
        self.assertFalse([line for line in lines if line.lower().startswith((b"x-kind", b"x-secret"))])

    def test_the_order_is_that_of_the_file(self):
        self.proxy({"request": [{"set": {"x-new": "%REQ(x-old)%"}}, {"remove": ["x-old"]}]})
        self.get("X-Old: value")
        self.assertIn(b"x-new: value\r\n", self.requests[0])
        self.assertNotIn(b"X-Old", self.requests[0])

    def test_values_of_clients_cannot_begin_a_line(self):
        self.proxy({"response": {"set": {"x-echo": "%REQ(x-echo)%"}}})
        lines = self.get("X-Echo: a\tb\xe9")
        self.assertEqual([line for line in lines if line.startswith(b"x-echo")], [b"x-echo: a\tb\xc3\xa9"])

    def test_errors(self):
        def errors(mutation):
            path = self.folder / "bad.yaml"
            edge = {"name": "e", "address": ":1", "http": {
                "routes": [{"match": {}, "respond": {"status": 200}}], "filters": [{"header_mutation": mutation}]}}
            path.write_text(document([edge]))
            answer = self.command("check", str(path))
            self.assertEqual(answer.returncode, 78)
            return answer.stderr

        self.assertIn('missing key "request" or "response"', errors({}))
        self.assertIn('(did you mean "%PROTOCOL%"?)', errors({"request": {"set": {"a": "%PROTOCL%"}}}))
        self.assertIn("sets \"content-length\" itself", errors({"response": {"set": {"content-length": "1"}}}))
        self.assertIn('missing key "remove", "set" or "add"', errors({"request": {}}))
        self.assertIn("x-y z", errors({"request": {"remove": ["x-y z"]}}))
