"""What drivers are given, and how they say that they could not measure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from .peers import Peer, RunningProxy, Setup
from .workload import Workload


class LoadFailed(RuntimeError):
    """The load generator could not measure; the message says why."""


def read_sample(program: str, output: str, errors: str) -> dict:
    """The line that this suite's own load generators print."""
    try:
        sample = json.loads(output)
    except json.JSONDecodeError:
        raise LoadFailed(f"{program}: {errors.strip()[-300:]}") from None
    if "failure" in sample:
        raise LoadFailed(f"{program}: {sample['failure']} ({sample['errors']} errors, {sample['accepted']} accepted)")
    return sample


@dataclass(frozen=True)
class Run:
    """One measurement: this work, on this proxy, for so long."""

    workload: Workload
    peer: Peer
    setup: Setup
    proxy: RunningProxy | None  # None: no proxy, straight to the backend
    backend_port: int
    spare_port: int
    load_cpu: int
    warm_up_s: float
    window_s: float
    rate: float = 0.0
    verify: bool = False

    @property
    def port(self) -> int:
        """Where clients connect to."""
        return self.setup.listeners[0].port if self.proxy else self.backend_port
