"""Programs that people put in front of and behind a TCP proxy: curl, nginx, openssl, socat."""

import hashlib
import random
import subprocess
from pathlib import Path

from support import Case, cluster, document, free_port, listener
from support.sockets import PATIENCE


def run(*command: str, stdin: bytes = b"") -> bytes:
    return subprocess.run(command, input=stdin, capture_output=True, check=True, timeout=PATIENCE).stdout


class Programs(Case):
    def proxy_to(self, upstream_port: int, **options) -> int:
        port = free_port()
        self.proxy = self.ringway(document([listener("edge", port)], [cluster("backend", upstream_port)]), **options)
        return port


class Nginx(Programs):
    def setUp(self):
        super().setUp()
        self.origin = free_port()
        self.file = random.Random(7).randbytes(8 << 20)
        (self.folder / "www").mkdir()
        (self.folder / "www/file").write_bytes(self.file)
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; pid nginx.pid; error_log stderr; worker_processes 1;
            events {{}}
            http {{
                access_log off;
                client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
                uwsgi_temp_path uwsgi; scgi_temp_path scgi;
                server {{ listen 127.0.0.1:{self.origin}; root {self.folder}/www; }}
            }}
        """)
        # nginx's workers run as another user when it is started as root.
        self.folder.chmod(0o755)
        self.server("nginx", "-p", str(self.folder), "-c", "nginx.conf")
        self.wait_listening(self.origin)
        self.edge = self.proxy_to(self.origin)

    def test_a_file_arrives_as_it_is(self):
        got = run("curl", "-sSf", f"http://127.0.0.1:{self.edge}/file")
        self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(self.file).digest())

    def test_requests_share_a_connection(self):
        urls = [f"http://127.0.0.1:{self.edge}/file"] * 5
        got = run("curl", "-sSf", *urls)
        self.assertEqual(got, self.file * 5)
        self.assertEqual(self.proxy.metrics()("ringway_listener_connections_total", listener="edge"), 1)

    def test_requests_in_parallel(self):
        urls = [f"http://127.0.0.1:{self.edge}/file"] * 8
        outputs = [f"out{index}" for index in range(8)]
        options = [option for output in outputs for option in ("-o", str(self.folder / output))]
        run("curl", "-sSf", "--parallel", "--parallel-immediate", *options, *urls)
        for output in outputs:
            self.assertEqual((self.folder / output).read_bytes(), self.file)


class OpenSSL(Programs):
    """TLS passes through untouched: the certificate that the client checks is the server's."""

    def setUp(self):
        super().setUp()
        self.origin = free_port()
        run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "cert.pem")),
        )
        (self.folder / "page.txt").write_text("through TLS\n")
        self.server(
            "openssl",
            "s_server",
            "-accept",
            f"127.0.0.1:{self.origin}",
            "-cert",
            "cert.pem",
            "-key",
            "key.pem",
            "-WWW",
            "-quiet",
        )
        self.wait_listening(self.origin)
        self.edge = self.proxy_to(self.origin)

    def test_handshake_and_exchange(self):
        for version in ("-tls1_2", "-tls1_3"):
            with self.subTest(version):
                answer = run(
                    *("openssl", "s_client", "-connect", f"127.0.0.1:{self.edge}", "-servername", "localhost"),
                    *("-CAfile", str(self.folder / "cert.pem"), "-verify_return_error", "-quiet", version),
                    stdin=b"GET /page.txt HTTP/1.0\r\n\r\n",
                )
                self.assertIn(b"through TLS\n", answer)


class Socat(Programs):
    def test_a_pipeline_of_two_ends(self):
        data = random.Random(11).randbytes(5 << 20)
        (self.folder / "in").write_bytes(data)
        origin = free_port()
        receiver = self.server("socat", "-u", f"TCP-LISTEN:{origin},bind=127.0.0.1,reuseaddr", "CREATE:out")
        # One connection is all that this server takes, so it is not tried first.
        edge = self.proxy_to(origin)
        table = Path("/proc/net/tcp")
        self.eventually(lambda: f":{origin:04X} 00000000:0000 0A" in table.read_text(), "socat listens")
        run("socat", "-u", f"OPEN:{self.folder}/in", f"TCP:127.0.0.1:{edge}")
        self.assertEqual(receiver.wait(PATIENCE), 0)
        self.assertEqual((self.folder / "out").read_bytes(), data)

    def test_a_command_behind_the_proxy_sees_the_end_of_its_input(self):
        # sort prints nothing before its input ends: a half-close has to arrive, and the answer to come back after it.
        origin = free_port()
        self.server("socat", f"TCP-LISTEN:{origin},bind=127.0.0.1,reuseaddr,fork", "EXEC:sort")
        self.wait_listening(origin)
        edge = self.proxy_to(origin)
        for _ in range(3):
            answer = run("socat", "-t30", "STDIO", f"TCP:127.0.0.1:{edge}", stdin=b"pear\nfig\napple\n")
            self.assertEqual(answer, b"apple\nfig\npear\n")

    def test_unix_sockets_on_both_sides(self):
        self.server("socat", f"UNIX-LISTEN:{self.folder}/up.sock,fork", "EXEC:cat")
        self.wait_listening(f"unix:{self.folder}/up.sock")
        self.ringway(
            document(
                [listener("edge", f"unix:{self.folder}/edge.sock")],
                [cluster("backend", f"unix:{self.folder}/up.sock")],
            )
        )
        answer = run("socat", "-t30", "STDIO", f"UNIX-CONNECT:{self.folder}/edge.sock", stdin=b"across\n")
        self.assertEqual(answer, b"across\n")
