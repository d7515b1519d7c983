# SPDX-License-Identifier: GPL-2.0
"""What the times of tests/bench's transfers say: how peers compare with the ring.

A ratio is a peer's time by the ring's, in the same round: above 1 the ring is faster. See ratio.py
for what is given, and when there is nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from lab import units
from lab.ratio import CONTROL, RING, Ratio, ratio_of


@dataclass(frozen=True)
class Case:
    """How the peers compare for messages of one size, from so many writers."""

    size: int
    writers: int
    control: Ratio
    # By peer, without the ring.
    ratios: Mapping[str, Ratio]
    # How often a thread waited for another, by message, by peer.
    waits: Mapping[str, float]
    # How often a peer woke a thread, by message; of those that count it.
    wakes: Mapping[str, float]

    @property
    def is_good(self) -> bool:
        """Whether the control came out as it has to."""
        return self.control.is_1


def read(report: Mapping[str, Any]) -> list[Case]:
    """Works out how the peers compare, by size and number of writers."""
    transfers = report["transfers"]
    cases = dict.fromkeys((each["size"], each["writers"]) for each in transfers)
    return [
        _case(size, writers, [t for t in transfers if (t["size"], t["writers"]) == (size, writers)])
        for size, writers in cases
    ]


def _case(size: int, writers: int, transfers: list[Mapping[str, Any]]) -> Case:
    peers: dict[str, dict[int, Mapping[str, Any]]] = {}
    for each in transfers:
        peers.setdefault(each["peer"], {})[each["round"]] = each
    ring = peers[RING]

    def ratio(peer: str) -> Ratio:
        of_rounds = peers[peer].items()
        return ratio_of([t["nanoseconds"] / ring[number]["nanoseconds"] for number, t in of_rounds])

    def by_message(peer: str, what: str) -> float:
        return float(median(t[what] / t["messages"] for t in peers[peer].values()))

    others = [peer for peer in peers if peer not in (RING, CONTROL)]
    counting = [peer for peer in (RING, *others) if peers[peer][1]["wakes"] is not None]
    return Case(
        size,
        writers,
        ratio(CONTROL),
        {peer: ratio(peer) for peer in others},
        {peer: by_message(peer, "waits") for peer in (RING, *others)},
        {peer: by_message(peer, "wakes") for peer in counting},
    )


def describe(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the results as they are kept."""
    return [asdict(case) | {"is_good": case.is_good} for case in read(report)]


def troubles(cases: list[dict[str, Any]]) -> list[str]:
    """Returns a sentence for each case that has no figures."""
    return [
        f"at {units.size(case['size'])} from {case['writers']} the ring differs from itself, by"
        f" {units.ratio(case['control'])}: no figures"
        for case in cases
        if not case["is_good"]
    ]
