"""Makes a report the project's own: Benchmarks/RESULTS.md with its plots, and the one table in the README."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from .record import Record
from .results import Results, Verdict

# The README's rows: a workload, and what it is called there.
ROWS = [
    ("tcp-echo-1KiB-x64", "TCP: 1 KiB request and response, 64 connections"),
    ("tcp-echo-1KiB-x1000", "TCP: the same, 1,000 connections"),
    ("tcp-echo-256KiB-x64", "TCP: 256 KiB request and response, 64 connections"),
    ("tcp-bulk-x1", "TCP: one stream, per GB"),
    ("tcp-churn-x64", "TCP: connect, one exchange, close"),
    ("http-get-1KiB-x64", "GET of 1 KiB, 64 keep-alive connections"),
    ("http-get-1KiB-x1000", "GET of 1 KiB, 1,000 keep-alive connections"),
    ("featured-get-1KiB-x64", "GET of 1 KiB, 64 connections, JSON access log, five filters, 100 routes"),
    ("http-get-64KiB-x64", "GET of 64 KiB, 64 keep-alive connections"),
    ("http-get-1MiB-x64", "GET of 1 MiB, 64 keep-alive connections"),
    ("tls-get-1KiB-x64", "HTTPS GET of 1 KiB, 64 keep-alive connections"),
    ("tls-handshake-full", "a full TLS handshake and one GET"),
    ("h2c-h1-get-1KiB-10x10", "HTTP/2 GET of 1 KiB to HTTP/1.1, 10 connections of 10 streams"),
    ("grpc-h2c-unary-1KiB-10x10", "gRPC unary call of 1 KiB, 10 connections of 10 calls"),
    ("memory-idle", "memory per idle proxied TCP connection"),
    ("memory-http-idle", "memory per idle HTTP client"),
    ("tls-memory-idle", "memory per idle TLS client"),
    ("memory-websocket-idle", "memory per idle WebSocket"),
]
# The columns, and the variants of a proxy of which the cheapest stands in its column.
COLUMNS = {
    "Ringway": {"ringway": ""},
    "HAProxy": {"haproxy": "", "haproxy-splice": ", splicing", "haproxy-pipes": ", splicing"},
    "nginx": {"nginx": ""},
    "Envoy": {"envoy": ""},
}
BEGIN, END = "<!-- Benchmarks/bench --publish: begin -->", "<!-- Benchmarks/bench --publish: end -->"
UNITS = {"us/request": "us", "us/connection": "us", "us/call": "us", "CPU s/GB": "s", "B/connection": "B"}


def publish(folder: Path, results: Results, verdicts: list[Verdict], records: list[Record], repository: Path) -> None:
    """`folder` has a report and its plots."""
    benchmarks = repository / "Benchmarks"
    plots = benchmarks / "plots"
    plots.mkdir(exist_ok=True)
    for old in plots.glob("*.svg"):
        old.unlink()
    for plot in folder.glob("*.svg"):
        shutil.copy(plot, plots / plot.name)
    (benchmarks / "RESULTS.md").write_text(results_page((folder / "report.md").read_text()))
    readme = repository / "README.md"
    readme.write_text(in_readme(readme.read_text(), readme_section(results, verdicts, records)))


def results_page(report: str) -> str:
    title, _, rest = report.partition("\n")
    lead = (
        "Written by `Benchmarks/bench --report --publish` from the raw samples; nothing in it is edited."
        " [READING.md](READING.md) says what stands behind the figures, [README.md](README.md) how they came about."
    )
    rest = re.sub(r"(!\[[^]]*\]\()", r"\1plots/", rest)
    return f"{title}\n\n{lead}\n{rest}"


def in_readme(text: str, section: str) -> str:
    """What lies between the marks is replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"bench: README.md lacks the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n{section}\n{END}{after}"


def readme_section(results: Results, verdicts: list[Verdict], records: list[Record]) -> str:
    header = ["Work", *COLUMNS, "Bare relay in C"]
    lines = ["| " + " | ".join(header) + " |", "| --- |" + " ---: |" * (len(header) - 1)]
    lines += [row for workload, title in ROWS if (row := _row(results, workload, title))]
    machine = records[-1].machine
    where = f"{machine.get('CPU', '?')}, Linux {machine.get('Kernel', '?').split()[0]}, loopback, {records[-1].date}"
    plot = "![What each proxy needs against Ringway](Benchmarks/plots/summary.svg)"
    measured = [verdict for verdict in verdicts if verdict.reached is not None]
    reached = sum(bool(verdict.reached) for verdict in measured)
    promises = f"Of {len(verdicts)} targets {len(measured)} were measured and {reached} reached."
    return "\n".join([*lines, "", plot, "", f"{where}. {promises} {_weakest(results)}"])


def _row(results: Results, name: str, title: str) -> str | None:
    workload = results.by_name.get(name)
    if workload is None or not results.spread(name, "ringway"):
        return None
    cells = {column: _cheapest(results, name, variants) for column, variants in COLUMNS.items()}
    lowest = min(cost for cost, _ in cells.values() if cost is not None)
    texts = [_cell(workload.metric, cost, note, cost == lowest) for cost, note in cells.values()]
    limit = results.limit(workload)
    floor = results.spread(name, limit.name).median if limit else None
    return "| " + " | ".join([title, *texts, _cell(workload.metric, floor, "", False)]) + " |"


def _cheapest(results: Results, workload: str, variants: dict[str, str]) -> tuple[float | None, str]:
    found = [(s.median, note) for peer, note in variants.items() if (s := results.spread(workload, peer))]
    return min(found, default=(None, ""))


def _cell(metric, cost: float | None, note: str, best: bool) -> str:
    if cost is None:
        return ""
    digits = 0 if cost >= 100 else 3 if metric.unit == "CPU s/GB" else 1
    text = f"{cost:,.{digits}f} {UNITS.get(metric.unit, metric.unit)}"
    return (f"**{text}**" if best else text) + note


def _weakest(results: Results) -> str:
    """The rows in which Ringway is furthest from the cheapest peer: they are not left out."""
    behind = []
    for name, title in ROWS:
        own = results.spread(name, "ringway")
        others = [
            _cheapest(results, name, variants)[0] for column, variants in COLUMNS.items() if column != "Ringway"
        ]
        others = [cost for cost in others if cost]
        if own and others and own.median > 1.02 * min(others):
            behind.append((own.median / min(others), title))
    if not behind:
        return "In no row another proxy is more than 2 % cheaper."
    worst = sorted(behind, reverse=True)[:4]
    return (
        "The weakest rows: "
        + "; ".join(f"{title} ({factor:.2f} times the cheapest)" for factor, title in worst)
        + "."
    )
