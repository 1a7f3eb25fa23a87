"""HTTP/2 with real clients and servers on both sides, with TLS and without."""

import hashlib
import os
import subprocess
import unittest

import httpx
from support import cluster, document, free_port
from support.certificates import Authority
from test_http2 import HTTP2Case


class Programs(HTTP2Case):
    """Real clients and servers."""

    def serve_files(self) -> bytes:
        """nginx with HTTP/1.1 and HTTP/2 and nghttpd behind the proxy, each with the same file."""
        data = os.urandom(3 << 20)
        self.folder.chmod(0o755)  # nginx reads as somebody else when it is started as root
        (self.folder / "www").mkdir()
        (self.folder / "www" / "file").write_bytes(data)
        http1, http2, nghttpd = free_port(), free_port(), free_port()
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; pid {self.folder}/nginx.pid; error_log stderr; worker_processes 1;
            events {{}}
            http {{
                access_log off; client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
                server {{ listen 127.0.0.1:{http1}; root {self.folder}/www; }}
                server {{ listen 127.0.0.1:{http2} http2; root {self.folder}/www; keepalive_requests 50; }}
            }}""")
        self.server("nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"))
        self.server("nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", str(self.folder / "www"), str(nghttpd))
        for port in (http1, http2, nghttpd):
            self.wait_listening(port)
        self.port = free_port()
        routes = [
            {"match": {"path_prefix": f"/{name}/"}, "cluster": name, "rewrite": {"path_prefix": "/"}}
            for name in ("http1", "http2", "nghttpd")
        ]
        edge = {"name": "edge", "address": f"127.0.0.1:{self.port}", "http": {"routes": routes}}
        self.ringway(document([edge], [
            cluster("http1", http1), cluster("http2", http2, protocol="http2"),
            cluster("nghttpd", nghttpd, protocol="http2")]))
        return data

    def test_any_version_in_to_any_version_out(self):
        data = self.serve_files()
        for version in ("--http1.1", "--http2-prior-knowledge"):
            for upstream in ("http1", "http2", "nghttpd"):
                with self.subTest(version=version, upstream=upstream):
                    command = ["curl", "-sS", version, f"http://127.0.0.1:{self.port}/{upstream}/file"]
                    answer = subprocess.run(command, capture_output=True, timeout=30, check=True)
                    self.assertEqual(hashlib.sha256(answer.stdout).digest(), hashlib.sha256(data).digest())

    def test_httpx_and_nghttp(self):
        data = self.serve_files()
        with httpx.Client(http1=False, http2=True) as client:
            for _ in range(5):
                answer = client.get(f"http://127.0.0.1:{self.port}/http2/file")
                self.assertEqual(answer.http_version, "HTTP/2")
                self.assertEqual(answer.content, data)
        url = f"http://127.0.0.1:{self.port}/nghttpd/file"
        answer = subprocess.run(["nghttp", url], capture_output=True, timeout=30, check=True)
        self.assertEqual(answer.stdout, data)

    def test_load_loses_nothing_while_the_endpoint_goes_away_again_and_again(self):
        self.serve_files()
        (self.folder / "www" / "small").write_bytes(b"x" * 100)
        url = f"http://127.0.0.1:{self.port}/http2/small"
        answer = subprocess.run(
            ["h2load", "-n", "6000", "-c", "8", "-m", "20", url], capture_output=True, timeout=60, check=True, text=True)
        self.assertIn("6000 succeeded, 0 failed, 0 errored", answer.stdout)


class Encrypted(HTTP2Case):
    """HTTP/2 within TLS, chosen by ALPN on both sides."""

    def setUp(self):
        super().setUp()
        self.folder.chmod(0o755)
        self.authority = Authority(self.folder)
        self.certificate = self.authority.issue("server", ["localhost", "IP:127.0.0.1"])
        self.data = os.urandom(2 << 20)
        (self.folder / "www").mkdir()
        (self.folder / "www" / "file").write_bytes(self.data)

    def serve(self, protocols: str, **http):
        """The proxy with TLS on both sides before an nginx that offers HTTP/1.1, or HTTP/2 as well."""
        backend = free_port()
        self.port = free_port()
        (self.folder / "nginx.conf").write_text(f"""
            daemon off; pid {self.folder}/nginx.pid; error_log stderr; worker_processes 1;
            events {{}}
            http {{
                access_log off; client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy;
                fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
                ssl_certificate {self.certificate.cert}; ssl_certificate_key {self.certificate.key};
                server {{ listen 127.0.0.1:{backend} ssl {protocols}; root {self.folder}/www; }}
            }}""")
        self.server("nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"))
        self.wait_listening(backend)
        edge = {
            "name": "edge", "address": f"127.0.0.1:{self.port}", "tls": {"certificates": [self.certificate.files]},
            "http": {"routes": [{"match": {}, "cluster": "backend"}]} | http,
        }
        tls = {"ca": str(self.authority.cert), "sni": "localhost"}
        self.ringway(document([edge], [cluster("backend", backend, protocol="http2", tls=tls)]))

    def get(self, *options: str) -> tuple[str, str, bytes]:
        """Version, status and body."""
        command = [
            "curl", "-sS", "--cacert", str(self.authority.cert), *options, "-o", "-", "-w", "%{stderr}%{http_version} %{http_code}",
            f"https://localhost:{self.port}/file",
        ]
        answer = subprocess.run(command, capture_output=True, timeout=60, check=True)
        version, status = answer.stderr.decode().split()
        return version, status, answer.stdout

    def test_both_sides_choose_it(self):
        self.serve("http2")
        self.assertEqual(self.get("--http2"), ("2", "200", self.data))
        self.assertEqual(self.get("--http1.1"), ("1.1", "200", self.data))

    def test_a_listener_without_it_does_not_offer_it(self):
        self.serve("http2", http2={"enabled": False})
        self.assertEqual(self.get("--http2"), ("1.1", "200", self.data))

    def test_an_endpoint_that_does_not_choose_it_is_not_reachable(self):
        self.serve("")
        self.assertEqual(self.get("--http2")[:2], ("2", "503"))


if __name__ == "__main__":
    unittest.main()
