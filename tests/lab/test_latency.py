# SPDX-License-Identifier: GPL-2.0
"""Times of round trips: quantiles, and when there are none."""

from typing import Any

from lab import latency

Report = dict[str, Any]


def test_quantiles_are_values_that_occurred() -> None:
    assert [latency.quantile(range(1000), mille) for mille in latency.QUANTILES] == [500, 990, 999]
    assert latency.quantile([7], 999) == 7


def test_a_quantile_is_compared_within_its_round(times: Report) -> None:
    ring, _, pipe = times["round_trips"]
    pipe["rounds"] = [[60, 20, 40 * number] for number in range(1, 10)]
    ring["rounds"] = [[30, 10, 20 * number] for number in range(1, 10)]
    kept = latency.describe(times | {"round_trips": [ring, {**ring, "peer": "again"}, pipe]})
    assert kept["trips"] == 27
    assert [each["mille"] for each in kept["quantiles"]] == [500, 990, 999]
    for each in kept["quantiles"]:
        assert each["is_good"]
        assert each["ratios"] == {"pipe": {"median": 2, "low": 2, "high": 2}}
    assert latency.troubles(kept) == []


def test_a_ring_that_differs_from_itself_leaves_no_figures(times: Report) -> None:
    times["round_trips"][1]["rounds"] = [[30, 10, 22]] * 9
    kept = latency.describe(times)
    assert [each["is_good"] for each in kept["quantiles"]] == [False, True, True]
    assert latency.troubles(kept) == [
        "at p50 of the round trips the ring differs from itself: no figures"
    ]


def test_a_distribution_is_by_the_rings_median(times: Report) -> None:
    ring = latency.describe(times)["distributions"]["ring"]
    assert len(ring) == len(latency.STEPS)
    assert (ring[0], ring[499], ring[-1]) == (0.5, 1.0, 1.5)
