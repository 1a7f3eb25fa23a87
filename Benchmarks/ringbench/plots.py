"""Plots as SVG, written by hand so that nothing has to be installed; PNG through rsvg-convert where it is there."""

from __future__ import annotations

import math
import subprocess
from dataclasses import dataclass
from html import escape
from pathlib import Path

from . import tools

# Okabe and Ito's colours, which people with any colour vision can tell apart.
COLOURS = {
    "ringway": "#D55E00",
    "haproxy": "#0072B2",
    "haproxy-splice": "#56B4E9",
    "haproxy-pipes": "#A6D8F5",
    "ringway-reuseport": "#F0A868",
    "ringway-scraped": "#F0A868",
    "ringway-observed": "#F0A868",
    "ringway-traced": "#B8860B",
    "nginx": "#009E73",
    "envoy": "#CC79A7",
    "limit-copying": "#8A8A8A",
    "limit-splicing": "#8A8A8A",
    "limit-forwarding": "#8A8A8A",
    "limit": "#8A8A8A",
    "base": "#0072B2",
    "head": "#D55E00",
}
WIDTH, LABEL_WIDTH, RIGHT = 860, 190, 130
BAR, GAP, TOP, BOTTOM = 15, 16, 84, 34
ROW = 24


@dataclass(frozen=True)
class Bar:
    """A value with the extremes of its samples; `text` stands at its end."""

    peer: str
    label: str
    value: float
    low: float
    high: float
    text: str


def bars(title: str, subtitle: str, footnote: str, groups: list[tuple[str, list[Bar]]]) -> str:
    """Horizontal bars in groups, one colour a peer, whiskers from the lowest to the highest sample."""
    everything = [bar for _, group in groups for bar in group]
    longest = max((max(bar.value, bar.high) for bar in everything), default=1.0) or 1.0
    scale = (WIDTH - LABEL_WIDTH - RIGHT) / longest
    height = TOP + sum(len(group) * BAR + GAP for _, group in groups) + BOTTOM
    parts, y = _heading(title, subtitle, footnote, height), TOP
    parts += _legend(everything, 68)
    for name, group in groups:
        middle = y + len(group) * BAR / 2
        parts += [_text(LABEL_WIDTH - 10, middle + 4, name, 12, anchor="end")]
        for bar in group:
            parts += _bar(bar, y, scale)
            y += BAR
        y += GAP
    return _document(WIDTH, height, parts)


def _heading(title: str, subtitle: str, footnote: str, height: float) -> list[str]:
    return [
        _text(16, 26, title, 17, weight="600"),
        _text(16, 46, subtitle, 12, "#555"),
        _text(16, height - 8, footnote, 10, "#777"),
    ]


def multiples(title: str, subtitle: str, footnote: str, rows: list[tuple[str, str, list[Bar]]]) -> str:
    """A row of dots for each (name, note, values), on a logarithmic axis with a line at 1: what lies to the right of
    it costs more, what lies to the left less. Thin lines are intervals.
    """
    left, right = 292, 96
    everything = [bar for _, _, dots in rows for bar in dots]
    low = min([0.5, *(bar.value for bar in everything)]) * 0.9
    high = max([4.0, *(bar.value for bar in everything)]) * 1.1
    height = TOP + 24 + len(rows) * ROW + BOTTOM
    bottom = height - BOTTOM + 4

    def x_of(value: float) -> float:
        part = math.log(min(max(value, low), high) / low) / math.log(high / low)
        return left + part * (WIDTH - left - right)

    parts = _heading(title, subtitle, footnote, height) + _legend(everything, 68)
    parts.append(_text(WIDTH - right + 14, TOP + 6, "Ringway", 11, COLOURS["ringway"], weight="600"))
    for tick in (2.0**power for power in range(-6, 7)):
        if low <= tick <= high:
            x, is_one = x_of(tick), tick == 1
            style = 'stroke="#222" stroke-width="1.5"' if is_one else 'stroke="#ddd"'
            parts.append(f'<line x1="{x:.1f}" y1="{TOP + 12}" x2="{x:.1f}" y2="{bottom:.1f}" {style}/>')
            colour, weight = (COLOURS["ringway"], "600") if is_one else ("#222", "400")
            parts.append(_text(x, TOP + 6, f"{tick:.2g} ×", 11, colour, anchor="middle", weight=weight))
    y = TOP + 24.0
    for index, (name, note, dots) in enumerate(rows):
        centre = y + ROW / 2
        if index % 2 == 0:
            parts.insert(0, f'<rect x="0" y="{y:.1f}" width="{WIDTH}" height="{ROW}" fill="#f6f6f6"/>')
        parts += [
            _text(left - 12, centre + 4, name, 12, anchor="end"),
            _text(WIDTH - right + 14, centre + 4, note, 12),
        ]
        for bar in dots:
            colour, x = COLOURS.get(bar.peer, "#444"), x_of(bar.value)
            span = f'x1="{x_of(bar.low):.1f}" y1="{centre:.1f}" x2="{x_of(bar.high):.1f}" y2="{centre:.1f}"'
            parts.append(f'<line {span} stroke="{colour}" stroke-width="2" stroke-opacity="0.5"/>')
            if bar.peer.startswith("limit"):
                mark = f'd="M{x:.1f} {centre - 8:.1f}v16" stroke="{colour}" stroke-width="3"'
                parts.append(f"<path {mark}/>")
            else:
                parts.append(f'<circle cx="{x:.1f}" cy="{centre:.1f}" r="5.5" fill="{colour}"/>')
        y += ROW
    return _document(WIDTH, height, parts)


def _bar(bar: Bar, y: float, scale: float) -> list[str]:
    colour, centre = COLOURS.get(bar.peer, "#444"), y + BAR / 2 - 1
    length = max(bar.value, 0.0) * scale
    low, high = LABEL_WIDTH + max(bar.low, 0.0) * scale, LABEL_WIDTH + max(bar.high, 0.0) * scale
    return [
        f'<rect x="{LABEL_WIDTH}" y="{y:.1f}" width="{length:.1f}" height="{BAR - 2}" fill="{colour}"/>',
        f'<line x1="{low:.1f}" y1="{centre:.1f}" x2="{high:.1f}" y2="{centre:.1f}" stroke="#222" stroke-width="1"/>',
        _text(max(high, LABEL_WIDTH + length) + 5, y + BAR - 4, bar.text, 11, "#222"),
    ]


def _legend(everything: list[Bar], y: float) -> list[str]:
    parts, x = [], float(LABEL_WIDTH)
    for peer, label in dict((bar.peer, bar.label) for bar in everything).items():
        parts.append(f'<rect x="{x:.0f}" y="{y - 9:.0f}" width="10" height="10" fill="{COLOURS.get(peer, "#444")}"/>')
        parts.append(_text(x + 14, y, label, 11))
        x += 26 + 6.2 * len(label)
    return parts


def percentile_curves(title: str, footnote: str, curves: list[tuple[str, str, list[tuple[float, float]]]]) -> str:
    """Latency over percentile, as 1/(1-p), both logarithmic. A curve is (peer, label, [(p, us)])."""
    left, right, top, bottom, width, height = 70, 150, 50, 64, WIDTH, 420
    values = [us for _, _, points in curves for _, us in points if us > 0]
    if not values:
        return _document(width, height, [_text(16, 26, title, 17, weight="600")])
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)
    deepest = max(-math.log10(1 - p) for _, _, points in curves for p, _ in points)

    def x_of(p: float) -> float:
        return left - math.log10(1 - p) / deepest * (width - left - right)

    def y_of(us: float) -> float:
        return top + (high - math.log10(us)) / max(high - low, 1) * (height - top - bottom)

    size = 17 if len(title) <= 80 else 13
    parts = [_text(16, 26, title, size, weight="600"), _text(16, height - 10, footnote, 10, "#777")]
    for power in range(low, high + 1):
        y = y_of(10.0**power)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - right}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(_text(left - 8, y + 4, _duration(power), 11, anchor="end"))
    for p, name in (
        (0.0, "min"),
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
    ):
        if -math.log10(1 - p) <= deepest + 1e-9:
            parts.append(
                f'<line x1="{x_of(p):.1f}" y1="{top}" x2="{x_of(p):.1f}" y2="{height - bottom}" stroke="#ddd"/>'
            )
            parts.append(_text(x_of(p), height - bottom + 18, name, 11, anchor="middle"))
    ends: list[float] = []
    for peer, label, points in sorted(curves, key=lambda curve: curve[2][-1][1]):
        path = " ".join(f"{x_of(p):.1f},{y_of(us):.1f}" for p, us in points if us > 0)
        colour = COLOURS.get(peer, "#444")
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = y_of(points[-1][1])
        if ends:
            y = min(y, ends[-1] - 14)  # labels go up the right edge, none over another
        ends.append(y)
        parts.append(_text(width - right + 8, y + 4, label, 12, colour))
    return _document(width, height, parts)


def _duration(power: int) -> str:
    """10 to the power of `power` microseconds."""
    unit, name = max((u, n) for u, n in ((-3, "ns"), (0, "us"), (3, "ms"), (6, "s")) if u <= max(power, -3))
    return f"{10 ** (power - unit)} {name}"


def save(svg: str, path: Path) -> None:
    """Writes `path` (.svg) and, where rsvg-convert is there, a PNG of twice the size beside it."""
    path.write_text(svg)
    converter = tools.executable("rsvg-convert")
    if converter:
        subprocess.run([converter, "-z", "2", "-o", str(path.with_suffix(".png")), str(path)], check=False)


def _text(
    x: float, y: float, text: str, size: int, colour: str = "#111", anchor: str = "start", weight: str = "400"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}"'
        f' font-weight="{weight}">{escape(text)}</text>'
    )


def _document(width: float, height: float, parts: list[str]) -> str:
    size = f'width="{width}" height="{height:.0f}" viewBox="0 0 {width} {height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}'
    style = ' font-family="DejaVu Sans, Helvetica, Arial, sans-serif">'
    return "\n".join([head + style, '<rect width="100%" height="100%" fill="white"/>', *parts, "</svg>"]) + "\n"
