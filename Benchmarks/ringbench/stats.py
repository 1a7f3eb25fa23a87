"""Medians, spread, ratios with a confidence interval, and percentiles of histograms."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

# Below this many pairs an interval would be theatre.
MINIMUM_PAIRS = 3
BOOTSTRAP_RESAMPLES = 4000


@dataclass(frozen=True)
class Spread:
    """The middle and the extremes of a few samples."""

    median: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Estimate:
    """A median of what rounds say; `low` and `high` bound its 95 % confidence interval, if there is one."""

    value: float
    low: float | None
    high: float | None
    count: int

    def excludes(self, low: float, high: float) -> bool:
        """Whether the whole interval lies outside [low, high]."""
        return self.low is not None and self.high is not None and (self.low > high or self.high < low)


def spread(samples: Sequence[float]) -> Spread:
    return Spread(median(samples), min(samples), max(samples), len(samples))


def percentile(samples: Sequence[float], fraction: float) -> float:
    """By linear interpolation between the closest ranks; `fraction` is 0...1."""
    ordered = sorted(samples)
    position = fraction * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def paired_ratio(numerators: dict[int, float], denominators: dict[int, float]) -> Estimate | None:
    """Compares two series that are keyed by round, pairing what ran in the same round: neighbours in time share the
    machine's mood, so a round's ratio is the unit that is resampled.
    """
    rounds = [r for r in numerators if r in denominators and denominators[r] > 0]
    return estimate([numerators[r] / denominators[r] for r in rounds])


def paired_difference(more: dict[int, float], less: dict[int, float]) -> Estimate | None:
    """The same for the difference of two series."""
    return estimate([more[r] - less[r] for r in more if r in less])


def estimate(values: Sequence[float], seed: int = 1) -> Estimate | None:
    """Their median with the percentile bootstrap's interval. Fixed seed: the same samples give the same report."""
    if len(values) < MINIMUM_PAIRS:
        return Estimate(median(values), None, None, len(values)) if values else None
    chance = random.Random(seed)
    medians = [median(chance.choices(values, k=len(values))) for _ in range(BOOTSTRAP_RESAMPLES)]
    return Estimate(median(values), percentile(medians, 0.025), percentile(medians, 0.975), len(values))


def merge_histograms(histograms: Iterable[Iterable[Sequence[int]]]) -> list[tuple[int, int]]:
    """Adds up histograms of (lowest value of the bucket, count) pairs."""
    total: Counter[int] = Counter()
    for histogram in histograms:
        for value, count in histogram:
            total[value] += count
    return sorted(total.items())


def histogram_percentile(histogram: Sequence[Sequence[int]], fraction: float) -> int | None:
    """The bucket value that at least `fraction` of the counted values do not exceed; None when empty."""
    total = sum(count for _, count in histogram)
    if not total:
        return None
    seen = 0
    for value, count in histogram:
        seen += count
        if seen >= fraction * total:
            return value
    return histogram[-1][0]
