"""The machine: which CPUs to use, what it is, its network settings, free ports, the processes of a proxy."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

# Paced congestion control (bbr) makes loopback bulk slower and noisier; churn uses up client ports.
CONGESTION_CONTROL = ("net.ipv4.tcp_congestion_control", "cubic")
PORT_RANGE = "net.ipv4.ip_local_port_range"
WIDE_PORT_RANGE = (10000, 65000)
CLIENT_PORTS_NEEDED = 40000
LOWEST_LISTENING_PORT = 5000


@dataclass(frozen=True)
class CpuLayout:
    """`proxy` never overlaps `load` unless the machine is too small, which `shared` then says."""

    proxy: tuple[int, ...]
    load: int
    shared: bool


def choose_cpus(workers: int) -> CpuLayout:
    """One logical CPU per physical core: the first ones for the proxy, the next one for load and backend."""
    cores: dict[str, int] = {}
    allowed = sorted(os.sched_getaffinity(0))
    for cpu in allowed:
        siblings = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
        key = siblings.read_text().strip() if siblings.exists() else str(cpu)
        cores.setdefault(key, cpu)
    cpus = sorted(cores.values())
    if len(cpus) < 2:
        cpus = allowed
    if len(cpus) > workers:
        return CpuLayout(tuple(cpus[:workers]), cpus[workers], shared=False)
    return CpuLayout(tuple(cpus[:workers]), cpus[-1], shared=True)


def describe() -> dict[str, str]:
    """What a reader must know of the machine to judge a figure."""
    cpu_info = Path("/proc/cpuinfo").read_text()
    model = next(
        (line.split(":", 1)[1].strip() for line in cpu_info.splitlines() if line.startswith("model name")), "?"
    )
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    release = platform.freedesktop_os_release().get("PRETTY_NAME", "?")
    facts = {
        "CPU": f"{model}, {os.cpu_count()} logical",
        "Kernel": f"{platform.release()} {platform.machine()}",
        "System": release,
        "Memory": f"{memory_kib / 2**20:.0f} GiB",
        "Hypervisor": "yes" if "hypervisor" in cpu_info else "none seen",
        "Descriptors a process": str(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
    }
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if governor.exists():
        facts["CPU governor"] = governor.read_text().strip()
    for setting in (CONGESTION_CONTROL[0], PORT_RANGE):
        facts[setting] = " ".join(_read_sysctl(setting).split())
    return facts


def raise_descriptor_limit() -> int:
    """Lifts the soft limit to the hard one, for the children to inherit; returns it."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


# Sysctls


def _sysctl_path(name: str) -> Path:
    return Path("/proc/sys") / name.replace(".", "/")


def _read_sysctl(name: str) -> str:
    return _sysctl_path(name).read_text().strip()


@contextlib.contextmanager
def network_settings(notes: list[str]):
    """Sets what the measurements need and puts it back; `notes` gets a line for each change or refusal."""
    wanted = [CONGESTION_CONTROL]
    low, high = map(int, _read_sysctl(PORT_RANGE).split())
    if high - low < CLIENT_PORTS_NEEDED or low < WIDE_PORT_RANGE[0]:
        wanted.append((PORT_RANGE, f"{WIDE_PORT_RANGE[0]} {WIDE_PORT_RANGE[1]}"))
    before: dict[str, str] = {}
    try:
        for name, value in wanted:
            old = _read_sysctl(name)
            if old == value:
                continue
            try:
                _sysctl_path(name).write_text(value)
                before[name] = old
                notes.append(f"{name} was `{' '.join(old.split())}`, set to `{value}` for the run and restored")
            except OSError as error:
                notes.append(f"{name} stayed `{old}` instead of `{value}` ({error.strerror}): figures may be off")
        yield
    finally:
        for name, value in before.items():
            _sysctl_path(name).write_text(value)


# Ports


class Ports:
    """Hands out listening ports below the range of client ports.

    Each run gets ports of its own: a proxy that just ended may hold its listening port for a moment
    (a ring is torn down asynchronously), and closed connections linger in TIME_WAIT on it.
    """

    def __init__(self):
        self._end = int(_read_sysctl(PORT_RANGE).split()[0])
        self._start = LOWEST_LISTENING_PORT if self._end > LOWEST_LISTENING_PORT + 2000 else 1100
        self._next = self._start

    def take(self, count: int) -> int:
        """The first of `count` consecutive free ports: unused, or else only in TIME_WAIT."""
        for tolerate_time_wait in (False, True):
            first = self._find(count, tolerate_time_wait)
            if first is not None:
                return first
        raise OSError(f"no {count} consecutive free ports between {self._start} and {self._end}")

    def _find(self, count: int, tolerate_time_wait: bool) -> int | None:
        """Goes once around from where the last ports were found."""
        passed, run = 0, 0
        while passed < self._end - self._start + count:
            if self._next >= self._end:
                self._next, run = self._start, 0
            run = run + 1 if _is_free(self._next, tolerate_time_wait) else 0
            self._next += 1
            passed += 1
            if run == count:
                return self._next - count
        return None


def _is_free(port: int, tolerate_time_wait: bool) -> bool:
    with socket.socket() as probe:
        if tolerate_time_wait:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    """Whether some process listens on `port`; asked without connecting, so no proxy notices."""
    needle = f":{port:04X} "
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError), open(table) as lines:
            for line in lines:
                local, remote_and_state = line[6:].split(" ", 1)
                if (local + " ").endswith(needle) and remote_and_state.split()[1] == "0A":
                    return True
    return False


# Processes


def processes_of_session(session: int) -> list[int]:
    """All processes that a proxy consists of; each proxy is started in a session of its own."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                found.append(int(entry.name))
    return sorted(found)


def first_line(command: list[str]) -> str:
    """A program's first line of output, for versions; "?" when it cannot run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "?"
    return ((done.stdout + done.stderr).strip().splitlines() or ["?"])[0].strip()
