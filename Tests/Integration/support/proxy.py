"""A Ringway process: started, watched, talked to and ended."""

import http.client
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from .metrics import Metrics
from .sockets import PATIENCE

# Tests/Integration/support/proxy.py is four levels below the repository.
BINARY = os.environ.get("RINGWAY") or str(Path(__file__).parents[3] / ".build/release/ringway")


class Answer:
    """An HTTP response, read whole."""

    def __init__(self, response: http.client.HTTPResponse):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class Ringway:
    """Started by `Case.ringway`, which also ends it and shows its log when the test fails."""

    def __init__(self, arguments: list[str], folder: Path, admin_port: int | None = None, preexec=None):
        self.admin_port = admin_port
        self.log_path = folder / f"ringway-{time.monotonic_ns()}.log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [BINARY, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                preexec_fn=preexec,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait_ready(self):
        deadline = time.monotonic() + PATIENCE
        while not self._says_ready():
            if not self.is_running:
                raise AssertionError(f"ringway ended with {self.process.returncode} instead of starting")
            if time.monotonic() > deadline:
                raise AssertionError("ringway did not become ready")
            time.sleep(0.01)

    def _says_ready(self) -> bool:
        if self.admin_port is None:
            return " live" in self.log
        try:
            return self.admin("/ready").status == 200
        except OSError:
            return False

    # Admin.

    def admin(self, path: str, method: str = "GET", body=None, headers: dict | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=PATIENCE)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def metrics(self) -> Metrics:
        return Metrics(self.admin("/metrics").text)

    def configure(self, text: str) -> Answer:
        return self.admin("/config", "PUT", text.encode())

    # Process.

    def signal(self, number: int):
        self.process.send_signal(number)

    def wait(self) -> int:
        """Waits for the end; the exit code."""
        return self.process.wait(PATIENCE)

    def stop(self) -> int:
        """Ends it whatever it is doing; the exit code."""
        while self.is_running:
            self.signal(signal.SIGTERM)  # the first drains, the second ends at once
            try:
                return self.process.wait(0.2)
            except subprocess.TimeoutExpired:
                continue
        return self.process.returncode

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
