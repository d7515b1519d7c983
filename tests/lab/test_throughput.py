# SPDX-License-Identifier: GPL-2.0
"""Times of transfers: what a ratio is, and when there is none."""

from typing import Any

import pytest

from lab import throughput
from lab.throughput import Ratio

ROUNDS = range(1, 16)
# What a transfer takes, by peer, when nothing disturbs it.
TIMES = {"ring": 1000, "again": 1000, "pipe": 1500, "unix": 3000, "kfifo": 1250, "twin": 1000}


def report(**times: int) -> dict[str, Any]:
    transfers = [
        {
            "round": number,
            "size": size,
            "peer": peer,
            "messages": 100,
            # Each round has a speed of its own.
            "nanoseconds": nanoseconds * (1 + number % 5),
            "waits": 2,
        }
        for number in ROUNDS
        for size in (64, 1 << 20)
        for peer, nanoseconds in (TIMES | times).items()
    ]
    trips = [{"peer": peer, "nanoseconds": [10, 30, 20]} for peer in ("ring", "pipe")]
    return {"transfers": transfers, "round_trips": trips}


def test_what_all_rounds_share_is_no_difference() -> None:
    small, large = throughput.read(report())
    assert (small.size, large.size) == (64, 1 << 20)
    assert small.control == Ratio(1, 1, 1)
    assert small.ratios["pipe"] == Ratio(1.5, 1.5, 1.5)
    assert small.waits["ring"] == 0.02
    assert small.is_good


def test_a_ring_that_differs_from_itself_leaves_no_figures() -> None:
    sizes = throughput.read(report(again=1050))
    assert not any(size.is_good for size in sizes)
    assert throughput.troubles(sizes)[0] == (
        "at 64 B the ring differs from itself, by 1.05 (1.05-1.05): no figures"
    )
    row = throughput.table(sizes).splitlines()[1].split()
    assert row[:6] == ["64", "B", "-", "-", "-", "-"]
    assert all(size.is_good for size in throughput.read(report(again=1020)))


@pytest.mark.parametrize(("count", "skip"), [(5, 0), (6, 0), (9, 1), (15, 3), (25, 7)])
def test_the_interval_has_the_median_in_it_at_95_per_cent(count: int, skip: int) -> None:
    assert throughput.outside(count) == skip


def test_a_ratio_has_the_order_statistics_as_its_interval() -> None:
    values = [1.0, 9.0, 2.0, 8.0, 3.0, 7.0, 4.0, 6.0, 5.0]
    assert throughput.ratio_of(values) == Ratio(5, 2, 8)


def test_quantiles_are_values_that_occurred() -> None:
    assert throughput.quantiles(list(range(1000))) == {500: 500, 990: 990, 999: 999}
    assert throughput.quantiles([7]) == {500: 7, 990: 7, 999: 7}


def test_the_tables_are_aligned() -> None:
    lines = throughput.table(throughput.read(report())).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "1.50 (1.50-1.50)" in lines[1]
    assert lines[2].split()[:2] == ["1", "MiB"]
    trips = throughput.latencies(report()).splitlines()
    assert trips[0].split() == ["round", "trip", "p50", "p99", "p99.9"]
    assert trips[2].split() == ["pipe", "1.00", "1.00", "1.00"]


def test_what_is_kept_says_whether_it_is_good() -> None:
    kept = throughput.describe(report())
    assert kept["sizes"][0]["ratios"]["unix"] == {"median": 3, "low": 3, "high": 3}
    assert kept["sizes"][0]["is_good"] is True
    assert kept["round_trips"]["ring"] == {500: 20, 990: 30, 999: 30}
