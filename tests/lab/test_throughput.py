# SPDX-License-Identifier: GPL-2.0
"""Times of transfers: what a ratio is, and when there is none."""

from typing import Any

from lab import throughput
from lab.ratio import Ratio

Report = dict[str, Any]


def test_what_all_rounds_share_is_no_difference(times: Report) -> None:
    small, page, *_, fan_in = throughput.read(times)
    assert (small.size, small.writers, page.size, fan_in.writers) == (64, 1, 4096, 4)
    assert small.control == Ratio(1, 1, 1)
    assert small.ratios["pipe"] == Ratio(1.5, 1.5, 1.5)
    assert small.waits["ring"] == 0.02
    assert small.wakes == {"ring": 0.01, "twin": 0.01}
    assert small.is_good


def test_a_peer_that_cannot_do_a_size_has_no_figure_there(times: Report) -> None:
    times["transfers"] = [
        each for each in times["transfers"] if (each["peer"], each["size"]) != ("unix", 1 << 20)
    ]
    cases = throughput.read(times)
    assert [case.size for case in cases if "unix" not in case.ratios] == [1 << 20]


def test_a_ring_that_differs_from_itself_leaves_no_figures(times: Report) -> None:
    for each in times["transfers"]:
        if each["peer"] == "again" and each["size"] == 4096:
            each["nanoseconds"] *= 1.05
    cases = throughput.describe(times)
    assert [case["is_good"] for case in cases] == [True, False, True, True, True]
    assert throughput.troubles(cases) == [
        "at 4 KiB from 1 the ring differs from itself, by 1.05 (1.05 to 1.05): no figures"
    ]


def test_what_is_kept_says_whether_it_is_good(times: Report) -> None:
    kept = throughput.describe(times)
    assert kept[0]["ratios"]["unix"] == {"median": 3, "low": 3, "high": 3}
    assert kept[0]["is_good"] is True
