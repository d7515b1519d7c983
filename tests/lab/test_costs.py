# SPDX-License-Identifier: GPL-2.0
"""What was counted: what a report must have to bear figures, and when the ring has won."""

from typing import Any

import pytest

from lab import costs, units
from lab.costs import Costs, NoFigures

Report = dict[str, Any]


def of(a_report: Report, peer: str, size: int) -> Report:
    found: Report = next(s for s in a_report["pairs"] if (s["peer"], s["size"]) == (peer, size))
    return found


def test_the_loop_and_the_interrupted_repetitions_do_not_count(counted: Costs) -> None:
    cost = next(each for each in counted["pairs"] if (each.peer, each.size) == ("ring", 64))
    assert cost.minimum == 1008
    assert cost.median == 1008
    assert cost.maximum == 1008.1
    assert cost.quiet == 5
    assert len(cost.all) == 7
    assert cost.all[1] == 1058


def test_the_share_of_the_interrupts_is_what_the_interrupted_took_longer(counted: Costs) -> None:
    one = counted["pairs"][0]
    assert costs.interrupted([one]) == pytest.approx((50 + 27 + 0.1) / sum(one.all))


def test_a_report_without_interrupts_has_no_share_of_them(report: Report) -> None:
    for section in costs.SECTIONS:
        for each in report[section]:
            each["instructions"] = [each["instructions"][0]] * 7
            each["interrupts"] = [0] * 7
    assert costs.interrupted(costs.flat(costs.read(report))) == pytest.approx(0)


def test_a_packet_is_no_larger_than_what_holds_it() -> None:
    pairs = costs.expected_pairs()
    assert (65536, "seqpacket") in pairs
    assert (1 << 20, "seqpacket") not in pairs
    assert (1 << 20, "pipe64") in pairs


@pytest.mark.parametrize(("size", "peer"), costs.expected_pairs())
def test_a_report_that_lacks_a_figure_is_refused(report: Report, size: int, peer: str) -> None:
    report["pairs"].remove(of(report, peer, size))
    with pytest.raises(NoFigures, match=f"lacks .*{size}.*{peer}"):
        costs.read(report)


def test_a_figure_needs_enough_repetitions_without_an_interrupt(report: Report) -> None:
    of(report, "pipe", 4096)["interrupts"] = [0, 2, 0, 1, 0, 1, 0]
    sentence = r"all but 4 of 7 repetitions of pipe \(pair\) at 4096 bytes"
    with pytest.raises(NoFigures, match=sentence):
        costs.read(report)


def test_repetitions_that_differ_are_refused(report: Report) -> None:
    instructions = of(report, "unix", 1024)["instructions"]
    quiet = instructions[0]
    instructions[2] = round(quiet + 0.0045 * quiet)
    costs.read(report)
    instructions[2] = round(quiet + 0.006 * quiet)
    with pytest.raises(NoFigures, match=r"unix \(pair\) at 1024 bytes differ by 0\.6%"):
        costs.read(report)


def test_a_repetition_without_its_count_of_interrupts_is_refused(report: Report) -> None:
    of(report, "ring", 64)["interrupts"].pop()
    with pytest.raises(ValueError, match="shorter"):
        costs.read(report)


def test_the_ring_wins_where_it_needs_the_fewest_everywhere(counted: Costs) -> None:
    assert costs.defeats(counted) == []


RIVALS = [
    (size, peer)
    for size, peer in costs.expected_pairs()
    if peer in costs.RIVALS and (size, peer) not in costs.NO_RIVALS
]


@pytest.mark.parametrize(("size", "rival"), RIVALS)
def test_the_ring_has_lost_where_it_needs_as_many(report: Report, size: int, rival: str) -> None:
    of(report, rival, size)["instructions"] = of(report, "ring", size)["instructions"]
    [sentence] = costs.defeats(costs.read(report))
    assert sentence.endswith(f" of {rival}")
    assert f"at {units.size(size)} " in sentence


@pytest.mark.parametrize(
    ("size", "peer"), [(64, "twin"), (64, "floor"), (64, "null"), (1 << 20, "kfifo")]
)
def test_the_others_are_no_rivals(report: Report, size: int, peer: str) -> None:
    of(report, "ring", size)["instructions"] = of(report, peer, size)["instructions"]
    assert costs.defeats(costs.read(report)) == []


def test_everything_is_put_on_record_under_a_name_of_its_own(counted: Costs) -> None:
    rows = costs.rows(counted)
    assert rows["64"]["ring"] == 1008
    assert rows["64, a batch by write"]["records"] == 500
    assert rows["4096, write to 8"] == {"ring": 400, "pipe": 4800}
    assert rows["64, over the oldest record"] == {"ring": 500, "twin": 500}
    assert sum(map(len, rows.values())) == len(costs.flat(counted))
