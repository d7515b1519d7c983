# SPDX-License-Identifier: GPL-2.0
"""How a peer compares with the ring: what is given."""

import pytest

from lab import ratio
from lab.ratio import Ratio


@pytest.mark.parametrize(("count", "skip"), [(5, 0), (6, 0), (9, 1), (15, 3), (25, 7)])
def test_the_interval_has_the_median_in_it_at_95_per_cent(count: int, skip: int) -> None:
    assert ratio.outside(count) == skip


def test_a_ratio_has_the_order_statistics_as_its_interval() -> None:
    values = [1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 5.0]
    assert ratio.ratio_of(values) == Ratio(5, 2, 8)


@pytest.mark.parametrize(
    ("low", "high", "good"),
    [
        (0.9, 0.96, False),
        (0.9, 0.97, True),
        (1.03, 1.5, True),
        (1.04, 1.5, False),
        (0.9, 1.35, True),
        (0.9, 1.36, False),
    ],
)
def test_a_control_reaches_1_and_is_not_wide(low: float, high: float, good: bool) -> None:
    assert Ratio(1, low, high).is_1 is good
