"""The base of all integration tests."""

import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from .peers import Peer
from .proxy import BINARY, Ringway
from .sockets import PATIENCE, connect, free_port


class Case(unittest.TestCase):
    """Starts proxies and peers, ends them after the test, and shows the proxies' logs if it failed.

    Every proxy must still be running at the end of its test, and end with 0 when told to, unless the test ended it
    itself: a crash that no assertion noticed is a failure all the same.
    """

    def run(self, result=None):
        self._logs = []
        before = len(result.failures) + len(result.errors) if result else 0
        super().run(result)
        if result and len(result.failures) + len(result.errors) > before:
            for log in self._logs:
                print(f"\n--- log of ringway, {self.id()} ---\n{log[-8000:]}", file=sys.stderr)
        return result

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="ringway-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    # Processes and peers.

    def ringway(self, config: str, *arguments: str, workers: int = 1, admin: bool = True, preexec=None) -> Ringway:
        """`ringway run` with this configuration, ready."""
        path = self.folder / "ringway.yaml"
        path.write_text(config)
        return self.started("run", str(path), *arguments, workers=workers, admin=admin, preexec=preexec)

    def started(self, *arguments: str, workers: int = 1, admin: bool = True, preexec=None) -> Ringway:
        """A `ringway` with a command of its own choice, ready."""
        port = free_port() if admin else None
        options = ["--workers", str(workers)]
        if admin:
            options += ["--admin", f"127.0.0.1:{port}"]
        proxy = Ringway([*arguments, *options], self.folder, port, preexec)
        self.addCleanup(self._end, proxy)
        proxy.wait_ready()
        return proxy

    def _end(self, proxy: Ringway):
        crashed = not proxy.is_running and proxy.process.returncode not in (0, -signal.SIGKILL)
        code = proxy.stop()
        self._logs.append(proxy.log)
        self.assertFalse(crashed, f"ringway ended by itself with {code}")
        self.assertIn(code, (0, -signal.SIGKILL), "ringway's exit code")

    def command(self, *arguments: str, preexec=None, **options) -> subprocess.CompletedProcess:
        """A `ringway` that ends by itself."""
        return subprocess.run(
            [BINARY, *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            cwd=self.folder,
            preexec_fn=preexec,
            **options,
        )

    def peer(self, script=None, address: str = "127.0.0.1:0", backlog: int = 1024) -> Peer:
        peer = Peer(script, address, backlog)
        self.addCleanup(peer.close)
        return peer

    def connect(self, address, receive_buffer: int | None = None):
        sock = connect(address, receive_buffer)
        self.addCleanup(sock.close)
        return sock

    def fate(self, address, source: str | None = None) -> str:
        """What becomes of a connection that says "ping": `served` with any answer, `ended`, or `reset`."""
        try:
            with connect(address, source=source) as client:
                client.sendall(b"ping")
                return "served" if client.recv(4) else "ended"
        except (ConnectionResetError, BrokenPipeError):
            return "reset"

    def server(self, *command: str, **options) -> subprocess.Popen:
        """A server of somebody else, ended with the test."""
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder, **options
        )

        def end():
            process.terminate()
            process.wait(PATIENCE)

        self.addCleanup(end)
        return process

    def nginx(self, server: str, http: str = "") -> int:
        """An nginx with one server; the port that it listens on. `http` goes beside the server."""
        port = free_port()
        folder = self.folder / f"nginx-{port}"
        folder.mkdir()
        temporary = "".join(
            f"{kind}_temp_path {folder}/{kind}; " for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
            f"events {{ worker_connections 4096; }}\n"
            f"http {{ access_log off; {temporary} {http}\n"
            f"server {{ listen 127.0.0.1:{port} backlog=4096; {server} }} }}\n")
        folder.chmod(0o755)  # for its worker, which is somebody else when root starts it
        self.folder.chmod(0o755)
        self.server("nginx", "-c", str(folder / "nginx.conf"))
        self.wait_listening(port)
        return port

    # Waiting.

    def eventually(self, check, message: str = "it did not come about"):
        """Waits until `check()` answers something true, and returns it."""
        deadline = time.monotonic() + PATIENCE
        while not (value := check()):
            if time.monotonic() > deadline:
                self.fail(f"{message}; last seen: {value!r}")
            time.sleep(0.01)
        return value

    def eventually_equal(self, get, expected, message: str = ""):
        """Waits until `get()` is `expected`."""
        deadline = time.monotonic() + PATIENCE
        while (value := get()) != expected:
            if time.monotonic() > deadline:
                self.assertEqual(value, expected, message)
            time.sleep(0.01)

    def wait_listening(self, address):
        """Waits until somebody accepts connections there: for servers that are not Ringway."""

        def accepts():
            try:
                connect(address).close()
                return True
            except OSError:
                return False

        self.eventually(accepts, f"nobody listens on {address}")
