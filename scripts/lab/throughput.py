# SPDX-License-Identifier: GPL-2.0
"""What the times of tests/bench's transfers say: how peers compare with the ring.

A ratio is a peer's time by the ring's, in the same round: above 1 the ring is faster. Given are the
median over the rounds, and the interval from one order statistic to another that has the median of
all rounds there could be in it with a probability of at least 95 per cent.

In each round the ring is measured a second time, under the name "again". What comes out between it
and itself is how far the measurement can be trusted: where its interval does not reach to within
three per cent of 1, the size has no figures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from lab import units
from lab.report import aligned

RING = "ring"
CONTROL = "again"
RIVALS = ("pipe", "unix", "kfifo", "twin")
TOLERANCE = 0.03
CONFIDENCE = 0.95
# Of round trips, in per mille.
QUANTILES = (500, 990, 999)


@dataclass(frozen=True)
class Ratio:
    """A peer's time by the ring's."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """Shows the median, and the interval behind it."""
        return f"{self.median:.2f} ({self.low:.2f}-{self.high:.2f})"


@dataclass(frozen=True)
class Size:
    """How the peers compare for messages of one size."""

    size: int
    control: Ratio
    # By peer; none if the control failed.
    ratios: Mapping[str, Ratio]
    # How often a thread waited for the other, by message, by peer.
    waits: Mapping[str, float]

    @property
    def is_good(self) -> bool:
        """Whether the control came out as it has to."""
        return self.control.low <= 1 + TOLERANCE and self.control.high >= 1 - TOLERANCE


def read(report: Mapping[str, Any]) -> list[Size]:
    """Works out how the peers compare, by size."""
    transfers: dict[tuple[int, int, str], Mapping[str, Any]] = {
        (each["size"], each["round"], each["peer"]): each for each in report["transfers"]
    }
    sizes = sorted({size for size, _, _ in transfers})
    rounds = sorted({number for _, number, _ in transfers})

    def ratio(size: int, peer: str) -> Ratio:
        return ratio_of(
            [
                transfers[size, number, peer]["nanoseconds"]
                / transfers[size, number, RING]["nanoseconds"]
                for number in rounds
            ]
        )

    def waits(size: int, peer: str) -> float:
        of_rounds = [transfers[size, number, peer] for number in rounds]
        return float(median(each["waits"] / each["messages"] for each in of_rounds))

    return [
        Size(
            size,
            ratio(size, CONTROL),
            {peer: ratio(size, peer) for peer in RIVALS},
            {peer: waits(size, peer) for peer in (RING, *RIVALS)},
        )
        for size in sizes
    ]


def ratio_of(values: Sequence[float]) -> Ratio:
    """Returns the median and its interval."""
    ordered = sorted(values)
    skip = outside(len(ordered))
    return Ratio(median(ordered), ordered[skip], ordered[-1 - skip])


def outside(count: int) -> int:
    """Returns how many of so many values lie on each side of the interval."""
    # The median is below the k-th smallest if fewer than k of the values fall below it, each of
    # which does so with a probability of one half.
    below, skip = 0.0, 0
    while skip < count // 2:
        below += math.comb(count, skip) / 2**count
        if 2 * below > 1 - CONFIDENCE:
            break
        skip += 1
    return max(skip - 1, 0)


def quantiles(nanoseconds: Sequence[int]) -> dict[int, int]:
    """Returns the quantiles of round trips, in per mille and nanoseconds."""
    ordered = sorted(nanoseconds)
    return {
        mille: ordered[min(len(ordered) * mille // 1000, len(ordered) - 1)] for mille in QUANTILES
    }


def describe(report: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the results as they are kept."""
    return {
        "sizes": [asdict(size) | {"is_good": size.is_good} for size in read(report)],
        "round_trips": {
            each["peer"]: quantiles(each["nanoseconds"]) for each in report["round_trips"]
        },
    }


def table(sizes: Sequence[Size]) -> str:
    """Returns the ratios, aligned: a row for each size."""
    rows = [("message", *(f"{peer}/ring" for peer in RIVALS), "ring/ring", "waits of the ring")]
    for each in sizes:
        figures = [str(each.ratios[peer]) if each.is_good else "-" for peer in RIVALS]
        waits = f"{each.waits[RING]:.3f}" if each.is_good else "-"
        rows.append((units.size(each.size), *figures, str(each.control), waits))
    return aligned(rows)


def troubles(sizes: Sequence[Size]) -> list[str]:
    """Returns a sentence for each size that has no figures."""
    return [
        f"at {units.size(each.size)} the ring differs from itself, by {each.control}: no figures"
        for each in sizes
        if not each.is_good
    ]


def latencies(report: Mapping[str, Any]) -> str:
    """Returns what a round trip takes, aligned: a row for each peer."""
    rows = [("round trip", *(f"p{mille / 10:g}" for mille in QUANTILES))]
    ring = next(each for each in report["round_trips"] if each["peer"] == RING)
    base = quantiles(ring["nanoseconds"])
    for each in report["round_trips"]:
        own = quantiles(each["nanoseconds"])
        rows.append((each["peer"], *(f"{own[mille] / base[mille]:.2f}" for mille in QUANTILES)))
    return aligned(rows)
