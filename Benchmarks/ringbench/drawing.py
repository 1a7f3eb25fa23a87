"""The plots of a report."""

from __future__ import annotations

from pathlib import Path

from . import plots, stats
from .record import Record
from .results import SUBJECT, Results
from .workload import P99, RESIDENT, Workload

# What plots show as one: a proxy in whichever of these settings costs least.
BEST_OF = {
    "bare relay in C": ("limit-copying", "limit-splicing", "limit-forwarding"),
    "HAProxy (its best setting)": ("haproxy", "haproxy-splice", "haproxy-pipes"),
    "nginx": ("nginx",),
    "Envoy": ("envoy",),
}
PERCENTILES = [0.0, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999]


def draw_all(folder: Path, results: Results, record: Record) -> dict[str, Path]:
    """Draws what there is; {what: file}."""
    machine = f"{record.machine.get('CPU', '')}, Linux {record.machine.get('Kernel', '')}, {record.date}"
    drawn: dict[str, Path] = {}

    def draw(name: str, svg: str) -> None:
        drawn[name] = folder / f"{name}.svg"
        plots.save(svg, drawn[name])

    shown = sorted((w for w in results.workloads if w.summary), key=lambda w: w.metric is RESIDENT)
    rows = [row for w in shown if (row := _multiples(results, w))]
    if rows:
        subtitle = (
            "CPU per unit of work, and memory, as a multiple of Ringway's; right of the line: Ringway needs less"
        )
        draw("summary", plots.multiples("What the others need where Ringway needs 1", subtitle, machine, rows))
    memory = [(w.short, _absolute_bars(results, w)) for w in results.workloads if w.metric is RESIDENT]
    if memory:
        title, subtitle = "Resident memory per idle connection", "Bytes, both sides together; whiskers: all runs"
        draw("memory", plots.bars(title, subtitle, machine, memory))
    for workload in results.workloads:
        if workload.metric is not P99:
            continue
        curves = [
            (p.name, p.label, points)
            for p in results.peers_of(workload)
            if (points := _curve(results, workload, p.name))
        ]
        if curves:
            draw(workload.name, plots.percentile_curves(f"Latency: {workload.short}", machine, curves))
    return drawn


def _multiples(results: Results, workload: Workload) -> tuple[str, str, list[plots.Bar]] | None:
    """What each proxy in its best setting, and the bare relay, needs against Ringway in the same round."""
    own = results.spread(workload.name, SUBJECT)
    if not own:
        return None
    dots = []
    for label, variants in BEST_OF.items():
        costs = [(s.median, peer) for peer in variants if (s := results.spread(workload.name, peer))]
        ratio = results.ratio(workload, min(costs)[1], SUBJECT) if costs else None
        if ratio and ratio.value > 0:
            low, high = ratio.low or ratio.value, ratio.high or ratio.value
            dots.append(plots.Bar(variants[0], label, ratio.value, low, high, ""))
    unit = workload.metric.unit.partition("/")[0].removeprefix("CPU ")
    digits = 0 if own.median >= 100 else workload.metric.digits
    return workload.short, f"{own.median:,.{digits}f} {unit}", dots


def _absolute_bars(results: Results, workload: Workload) -> list[plots.Bar]:
    found = []
    for peer in results.peers_of(workload):
        spread = results.spread(workload.name, peer.name)
        if spread:
            found.append(
                plots.Bar(peer.name, peer.label, spread.median, spread.low, spread.high, f"{spread.median:,.0f}")
            )
    return found


def _curve(results: Results, workload: Workload, peer: str) -> list[tuple[float, float]]:
    histogram = results.latency_histogram(workload.name, peer)
    points = [(p, stats.histogram_percentile(histogram, p)) for p in PERCENTILES]
    return [(p, latency_ns / 1e3) for p, latency_ns in points if latency_ns is not None]
