# SPDX-License-Identifier: GPL-2.0
"""Targets: when one is met, and that nothing is said of what was not measured."""

from typing import Any

import pytest

from lab import targets
from lab.targets import Target

Report = dict[str, Any]


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (Target("", 0.42, 0.42), "met"),
        (Target("", 0.4201, 0.42), "missed"),
        (Target("", 4.0, 4.0, is_least=True), "met"),
        (Target("", 3.99, 4.0, is_least=True), "missed"),
        (Target("", None, 4.0), "no figure"),
    ],
)
def test_a_bound_itself_is_good_enough(target: Target, verdict: str) -> None:
    assert target.verdict == verdict


def test_what_was_measured_has_a_digit_more_than_its_bound() -> None:
    assert Target("", 0.4239, 0.42).measured_text == "0.424"
    assert Target("", 0.4239, 0.42).bound_text == "at most 0.42"
    assert Target("", 223.4, 230, digits=0).measured_text == "223"
    assert Target("", 4.5, 4, is_least=True).bound_text == "at least 4.00"
    assert Target("", None, 4).measured_text == "-"


def test_each_target_has_its_figure(results: Report) -> None:
    measured = {target.what: target.measured for target in targets.judge(results)}
    assert measured["64 B: instructions above the floor"] == 400
    assert measured["64 B: instructions, ring / AF_UNIX"] == 1008 / 2008
    assert measured["1 MiB through 256 KiB: instructions, ring / twin"] == 132072 / 132022
    assert measured["records of 64 B, 32 at once: instructions, ring / pair of pipe"] == 500 / 1258
    assert measured["records of 64 B, 32 at once: instructions, ring / twin"] == 1.25
    assert measured["4 KiB to 8 readers: instructions to write, pipes / ring"] == 12
    assert measured["64 B: time, better of pipe and AF_UNIX / ring"] == 1.5
    assert measured["messages of 64 B in a stream: wake-ups by message"] == 0.01


def test_a_time_whose_control_failed_is_no_figure(results: Report) -> None:
    results["throughput"][0]["is_good"] = False
    silent = [target.what for target in targets.judge(results) if target.verdict == "no figure"]
    assert silent == ["64 B: time, better of pipe and AF_UNIX / ring"]
