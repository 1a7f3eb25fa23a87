"""Scrapes give way to everything else on the machine, and come all the same where it is never idle."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from support import Case, Metrics, cluster, document, free_port, listener

SCHED_IDLE = 5


class Scrapes(Case):
    # A busy CPU leaves them three milliseconds of a second: the page takes longer than they are patient.
    CLUSTERS = 1000

    def edge(self):
        clusters = [cluster(f"c-{number:04}", "127.0.0.1:1") for number in range(self.CLUSTERS)]
        self.proxy = self.ringway(document([listener("edge", free_port(), cluster="c-0000")], clusters), workers=1)
        self.threads = {
            (thread / "comm").read_text().strip(): thread for thread in Path(f"/proc/{self.proxy.pid}/task").iterdir()
        }

    def ran_ns(self, name: str) -> int:
        return int((self.threads[name] / "schedstat").read_text().split()[0])

    def scrape(self) -> Metrics:
        metrics = Metrics(self.proxy.admin("/metrics").text)
        self.assertEqual(len(metrics.all("ringway_cluster_connections_total")), self.CLUSTERS)
        return metrics

    @contextlib.contextmanager
    def one_busy_cpu(self) -> Iterator[None]:
        """All of the proxy on a CPU that somebody else keeps busy."""
        cpu = min(os.sched_getaffinity(0))
        for thread in self.threads.values():
            os.sched_setaffinity(int(thread.name), {cpu})
        spin = f"import os; os.sched_setaffinity(0, {{{cpu}}}); print(flush=True)\nwhile True: pass"
        with subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) as spinner:
            try:
                spinner.stdout.readline()
                yield
            finally:
                spinner.kill()

    def test_their_thread_runs_where_nothing_else_wants_to(self):
        self.edge()
        self.scrape()
        self.assertEqual(os.sched_getscheduler(int(self.threads["scrapes-idle"].name)), SCHED_IDLE)
        self.assertGreater(self.ran_ns("scrapes-idle"), 0)

    def test_a_busy_machine_is_scraped_all_the_same(self):
        self.edge()
        before = self.ran_ns("scrapes")
        with self.one_busy_cpu():
            self.scrape()
        self.assertGreater(self.ran_ns("scrapes"), before, "the thread for machines that are never idle")
