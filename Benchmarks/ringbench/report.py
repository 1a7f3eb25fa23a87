"""Writes report.md and the plots of one run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import drawing, stats
from .record import ROUNDS_PER_RUN, Record
from .results import LIMIT, SUBJECT, Results, Target, Verdict
from .workload import LOST, P99, RESIDENT, Workload

# A load generator busier than this may itself be what a throughput or a latency shows.
LOAD_BUSY_LIMIT = 0.9


def write(folder: Path, results: Results, verdicts: list[Verdict], records: list[Record]) -> Path:
    """Writes everything into `folder` and returns the report's path. Several records are several runs in one."""
    drawn = drawing.draw_all(folder, results, records[-1])
    sections = [
        _heading(records),
        _summary(results, drawn),
        _targets(verdicts),
        _weak_spots(results),
        *(_workload(results, workload, drawn) for workload in results.workloads),
        _growth(results),
        _void(results),
        _how(results, records),
    ]
    report = folder / "report.md"
    report.write_text("\n\n".join(section for section in sections if section) + "\n")
    return report


# Sections


def _heading(records: list[Record]) -> str:
    machine, notes = dict(records[-1].machine), [note for record in records for note in record.notes]
    lines = [f"# Benchmarks of {records[-1].date}", ""]
    lines += [f"- {name}: {value}" for name, value in machine.items()]
    if any(record.machine != machine for record in records):
        lines.append("- **The runs below did not all have this machine**: see their own reports")
    for record in records:
        lines.append(
            f"- Run of {record.date}: `{record.command}`, tree {record.commit}, {record.rounds} rounds,"
            f" {record.window_s:g} s windows after {record.warm_up_s:g} s of warm-up"
            + (" (**interrupted**: fewer rounds for some)" if record.interrupted else "")
        )
    lines += [f"- Note: {note}" for note in dict.fromkeys(notes)]
    left_out = {peer: why for record in records for peer, why in record.left_out.items()}
    lines += [f"- Left out: {peer} ({why})" for peer, why in left_out.items()]
    return "\n".join(lines)


def _summary(results: Results, drawn: dict[str, Path]) -> str:
    """The table and the plot for the README."""
    shown = [w for w in results.workloads if w.summary]
    if not shown:
        return ""
    peers = [p for p in results.peers if not (p.is_limit or p.is_variant or p.name == "direct")]
    peers = [p for p in peers if any(results.spread(w.name, p.name) for w in shown)]
    rows = []
    for workload in shown:
        spreads = {p.name: results.spread(workload.name, p.name) for p in peers}
        best = min((s.median for s in spreads.values() if s), default=None)
        limit = results.limit(workload)
        cells = [_value(spreads[p.name], workload, bold_at=best) for p in peers]
        floor = _value(results.spread(workload.name, limit.name), workload) if limit else "–"
        rows.append([f"{workload.title}", workload.metric.unit, *cells, floor])
    table = _table(["Workload", "Unit", *(p.label for p in peers), "Bare relay"], rows, first_right=2)
    parts = ["## Summary", "Medians; lower is better, the lowest is bold.", table]
    if "summary" in drawn:
        parts.append(f"![What each proxy needs against Ringway]({drawn['summary'].name})")
    return "\n\n".join(parts)


def _targets(verdicts: list[Verdict]) -> str:
    measured = [verdict for verdict in verdicts if verdict.reached is not None]
    reached = sum(bool(verdict.reached) for verdict in measured)
    lead = f"{reached} of {len(measured)} measured targets are reached, {len(measured) - reached} are missed;"
    lead += f" {len(verdicts) - len(measured)} of all {len(verdicts)} were not measured."
    parts = ["## Targets", lead, _counts_by_set(verdicts)]
    if measured:
        header = ["Workload", "Against", "Target", "Measured [95 % interval]", "Outcome", "Source"]
        parts.append(_table(header, [_target(verdict) for verdict in measured], first_right=9))
    missing = [verdict.target for verdict in verdicts if verdict.reached is None]
    if missing:
        against: dict[str, list[str]] = {}
        for target in missing:
            against.setdefault(target.workload, []).append(_against(target))
        texts = (f"{workload} ({', '.join(others)})" for workload, others in against.items())
        parts.append("Not measured: " + ", ".join(texts) + ".")
    return "\n\n".join(parts)


def _counts_by_set(verdicts: list[Verdict]) -> str:
    rows = []
    for name in dict.fromkeys(verdict.target.set for verdict in verdicts):
        of_set = [verdict for verdict in verdicts if verdict.target.set == name]
        reached = [verdict for verdict in of_set if verdict.reached]
        missed = [verdict for verdict in of_set if verdict.reached is False]
        unsure = sum(not verdict.certain for verdict in [*reached, *missed])
        unmeasured = len(of_set) - len(reached) - len(missed)
        rows.append([name, *map(str, (len(reached), len(missed), unsure, unmeasured))])
    return _table(["Targets of", "Reached", "Missed", "of both: within noise", "Not measured"], rows)


def _target(verdict: Verdict) -> list[str]:
    target = verdict.target
    doubt = "" if verdict.certain else " (within noise)" if _has_interval(verdict) else " (too few runs)"
    outcome = ("reached" if verdict.reached else "**missed**") + doubt
    figure = _ratio_text(verdict.interval) or f"{verdict.measured:,.2f}"
    who = target.workload if target.subject == SUBJECT else f"{target.workload} ({target.subject})"
    return [who, _against(target), f"≤ {_wanted(target):g}", figure, outcome, f"{target.set}: {target.source}"]


def _against(target: Target) -> str:
    return target.over or ("bare relay" if target.peer == LIMIT else target.peer or "itself")


def _wanted(target: Target) -> float | None:
    return target.ratio if target.at_most is None else target.at_most


def _has_interval(verdict: Verdict) -> bool:
    return verdict.interval is None or verdict.interval.low is not None


def _weak_spots(results: Results) -> str:
    """Where some peer needs less than Ringway: left in on purpose."""
    lines = []
    for workload in results.workloads:
        for peer in results.peers_of(workload):
            if peer.name == SUBJECT or peer.is_limit or peer.is_variant:
                continue
            ratio = results.ratio(workload, SUBJECT, peer.name)
            if ratio and ratio.value > 1:
                certain = "" if ratio.excludes(1, 1) else " (within noise)"
                lines.append(f"- {workload.title}: {_ratio_text(ratio)} of {peer.label}{certain}")
    return "\n\n".join(["## Where Ringway needs more than a peer", "\n".join(lines)]) if lines else ""


def _workload(results: Results, workload: Workload, drawn: dict[str, Path]) -> str:
    limit = results.limit(workload)
    has_subject = bool(results.spread(workload.name, SUBJECT))
    columns = _columns(results, workload, limit.name if limit else None, has_subject)
    rows = [[peer.label, *(text(peer.name) for _, text in columns)] for peer in results.peers_of(workload)]
    table = _table(["Proxy", *(title for title, _ in columns)], rows)
    parts = [f"### {workload.name}", f"{workload.title[0].upper()}{workload.title[1:]}.", table]
    every = [sample for peer in results.peers_of(workload) for sample in results.samples(workload.name, peer.name)]
    if workload.rate_of and every:
        rate = max(sample.raw["rate"] for sample in every)
        offered = f"Offered: {rate:,.0f} requests/s; latencies count from when a request was due."
        parts.insert(2, offered + " Who answers fewer per second did not keep up.")
    if any(sample.shared_cpu for sample in every):
        parts.append("Too few CPUs to keep proxy and load apart: only the CPU figures mean something here.")
    if workload.name in drawn:
        parts.append(f"![{workload.title}]({drawn[workload.name].name})")
    return "\n\n".join(parts)


def _columns(
    results: Results, workload: Workload, limit: str | None, has_subject: bool
) -> list[tuple[str, Callable[[str], str]]]:
    """The columns that mean something for this workload: (title, text for a peer)."""
    name, mode = workload.name, workload.load.get("mode")

    def other(of: Callable[[dict], float | None], form: str) -> Callable[[str], str]:
        def text(peer: str) -> str:
            value = results.other_metric(name, peer, of)
            return "–" if value is None else format(value, form)

        return text

    def latency(fraction: float) -> Callable[[str], str]:
        return other(
            lambda raw: _scaled(stats.histogram_percentile(raw["latency_histogram"], fraction), 1e-3), ",.0f"
        )

    def lost(peer: str) -> str:
        raws = [sample.raw for sample in results.samples(name, peer)]
        return f"{sum(r['errors'] for r in raws)} in {sum(r['requests'] for r in raws):,}"

    columns: list[tuple[str, Callable[[str], str]]] = []
    if workload.metric is LOST:
        columns += [("Lost requests", lost), ("Reloads", other(lambda raw: raw.get("reloads"), ",.0f"))]
    else:
        columns.append(
            (f"{workload.metric.unit} [range]", lambda peer: _value_with_range(results.spread(name, peer), workload))
        )
        if has_subject:
            columns.append(
                ("Ringway / it [95 %]", lambda peer: _ratio_text(results.ratio(workload, SUBJECT, peer)) or "–")
            )
        if limit:
            columns.append(
                ("× bare relay", lambda peer: _ratio_text(results.ratio(workload, peer, limit), False) or "–")
            )
    if mode == "bulk":
        columns.append(("GB/s", other(lambda raw: raw["bytes"] / raw["window_ns"], ".2f")))
    elif mode in ("echo", "churn"):
        columns.append(("per second", other(lambda raw: raw["requests"] / raw["window_ns"] * 1e9, ",.0f")))
        columns += [("p50 us", latency(0.5)), ("p99 us", latency(0.99))]
    if workload.metric is P99:
        columns.append(("p99.9 us", latency(0.999)))
        columns.append(("CPU us/request", other(_cpu_us_per_request, ".2f")))
    if any(peer.is_collected for peer in results.peers_of(workload)):
        columns.append(("spans dropped", other(lambda raw: raw.get("spans_dropped"), ",.0f")))
    if any(peer.is_scraped for peer in results.peers_of(workload)):
        columns.append(("worker waits", other(_waited, ".1%")))
    if workload.load.get("flood"):
        columns.append(("handshakes/s", other(lambda raw: raw["handshakes"] / raw["window_ns"] * 1e9, ",.0f")))
    columns.append(("RSS idle → loaded MiB", lambda peer: _resident(results, name, peer)))
    if workload.metric is not RESIDENT:
        columns.append(
            ("switches/s", other(lambda raw: raw["proxy_context_switches"] / raw["window_ns"] * 1e9, ",.0f"))
        )
        columns.append(("load CPU busy", lambda peer: _load_busy(results, name, peer)))
    return columns


def _waited(raw: dict) -> float | None:
    """The share of its time in which the busiest thread was ready and another one had its CPU."""
    if "busiest_ran_ns" not in raw:
        return None
    return raw["busiest_waited_ns"] / max(1, raw["busiest_ran_ns"] + raw["busiest_waited_ns"])


def _growth(results: Results) -> str:
    rows = []
    for workload in results.workloads:
        cells = {p.label: results.growth(workload, p.name) for p in results.peers_of(workload)}
        text = ", ".join(f"{label} {_ratio_text(ratio)}" for label, ratio in cells.items() if ratio)
        if text:
            rows.append([workload.name, workload.grows_from or "", workload.metric.unit, text])
    if not rows:
        return ""
    table = _table(["Workload", "Against", "Unit", "Factor [95 %]"], rows, first_right=9)
    return "\n\n".join(["## How cost grows", "The same proxy in the larger and in the smaller case.", table])


def _void(results: Results) -> str:
    if not results.void:
        return ""
    lines = [f"- {s.workload} · {s.peer} · round {s.round % ROUNDS_PER_RUN + 1}: {s.void}" for s in results.void]
    return "\n\n".join(["## Void runs", "Runs with errors do not count.", "\n".join(lines)])


def _how(results: Results, records: list[Record]) -> str:
    versions = {peer: version for record in records for peer, version in record.versions.items()}
    rows = [[p.label, versions.get(p.name, ""), p.options()] for p in results.peers]
    table = _table(["Proxy", "Version", "Options"], rows, first_right=9)
    text = (
        "The proxy runs on CPUs of its own, load and backend on another; each run starts a fresh process, and the"
        " peers' order is drawn anew in each round. CPU time is the operating system's account of all the proxy's"
        " processes (the process CPU clock, checked against /proc/PID/stat)"
        f"{_accounts_agree(results)}. Ratios pair what ran in the same round; intervals are bootstrapped over rounds."
        " `Benchmarks/README.md` says more, and what these figures cannot say."
    )
    return "\n\n".join(["## How it was measured", text, table])


def _accounts_agree(results: Results) -> str:
    """How far the two accounts of CPU time lie apart in sum, over runs long enough for 10 ms ticks."""
    raws = [s.raw for w in results.workloads for p in results.peers_of(w) for s in results.samples(w.name, p.name)]
    fine = sum(raw.get("proxy_cpu_ns", 0) for raw in raws)
    coarse = sum(raw.get("proxy_stat_cpu_ns", 0) for raw in raws)
    return f"; they differ by {abs(fine - coarse) / fine:.1%} in sum here" if fine else ""


# Texts


def _table(header: list[str], rows: list[list[str]], first_right: int = 1) -> str:
    """A Markdown table; columns from `first_right` on are aligned to the right."""
    rule = ["---" if n < first_right else "---:" for n in range(len(header))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}"


def _value(spread: stats.Spread | None, workload: Workload, bold_at: float | None = None) -> str:
    if spread is None:
        return "–"
    text = _number(spread.median, workload.metric.digits)
    return f"**{text}**" if spread.median == bold_at else text


def _value_with_range(spread: stats.Spread | None, workload: Workload) -> str:
    if spread is None:
        return "–"
    digits = workload.metric.digits
    return f"{_number(spread.median, digits)} [{_number(spread.low, digits)}–{_number(spread.high, digits)}]"


def _ratio_text(ratio: stats.Estimate | None, interval: bool = True) -> str:
    if ratio is None:
        return ""
    if not interval or ratio.low is None or ratio.high is None:
        return f"{ratio.value:.2f}"
    return f"{ratio.value:.2f} [{ratio.low:.2f}–{ratio.high:.2f}]"


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _cpu_us_per_request(raw: dict) -> float | None:
    return raw["proxy_cpu_ns"] / 1e3 / raw["requests"] if raw["requests"] else None


def _resident(results: Results, workload: str, peer: str) -> str:
    idle = results.other_metric(workload, peer, lambda raw: raw["resident_idle_bytes"] / 2**20)
    loaded = results.other_metric(workload, peer, lambda raw: raw["resident_loaded_bytes"] / 2**20)
    return f"{idle:,.0f} → {loaded:,.0f}" if idle and loaded else "–"


def _load_busy(results: Results, workload: str, peer: str) -> str:
    busy = results.other_metric(workload, peer, lambda raw: raw["load_cpu_ns"] / raw["window_ns"])
    if busy is None:
        return "–"
    return f"{busy:.0%}" + (" (!)" if busy > LOAD_BUSY_LIMIT and peer != "direct" else "")
