# SPDX-License-Identifier: GPL-2.0
"""How a peer compares with the ring over the rounds of a measurement.

Given are the median over the rounds, and the interval from one order statistic to another that has
the median of all rounds there could be in it with a probability of at least 95 per cent.

In each round the ring is measured a second time, under the name "again". What comes out between it
and itself is how far the measurement can be trusted: where its interval does not reach to within
three per cent of 1, or is so wide that nearly anything would lie in it, there are no figures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

RING = "ring"
CONTROL = "again"
TOLERANCE = 0.03
# How far the ends of a control's interval may be apart, as the one by the other.
WIDEST = 1.5
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Ratio:
    """A peer's time by the ring's."""

    median: float
    low: float
    high: float

    @property
    def is_1(self) -> bool:
        """Whether that is what a control has to come out as."""
        reaches_1 = self.low <= 1 + TOLERANCE and self.high >= 1 - TOLERANCE
        return reaches_1 and self.high <= self.low * WIDEST


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
