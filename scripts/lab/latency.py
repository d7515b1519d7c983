# SPDX-License-Identifier: GPL-2.0
"""What the times of tests/bench's round trips say: how long a message takes there and back.

A ratio is a quantile of a peer's times by that of the ring's, in the same round. See ratio.py for
what is given, and when there is nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from lab.ratio import CONTROL, RING, Ratio, ratio_of

# In per mille.
QUANTILES = (500, 990, 999)
# What is kept of the distributions.
STEPS = range(1, 1000)


def quantile(ordered: Sequence[int], mille: int) -> int:
    """Returns a quantile of what is in order."""
    return ordered[min(len(ordered) * mille // 1000, len(ordered) - 1)]


def describe(report: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the results as they are kept."""
    peers = {
        each["peer"]: [sorted(times) for times in each["rounds"]] for each in report["round_trips"]
    }

    def ratio(peer: str, mille: int) -> Ratio:
        pairs = zip(peers[peer], peers[RING], strict=True)
        return ratio_of([quantile(own, mille) / quantile(base, mille) for own, base in pairs])

    others = [peer for peer in peers if peer not in (RING, CONTROL)]
    controls = {mille: ratio(CONTROL, mille) for mille in QUANTILES}
    pooled = {peer: sorted(time for times in rounds for time in times)
              for peer, rounds in peers.items()}  # fmt: skip
    middle = median(pooled[RING])
    return {
        "trips": len(pooled[RING]),
        "quantiles": [
            {
                "mille": mille,
                "control": asdict(control),
                "is_good": control.is_1,
                "ratios": {peer: asdict(ratio(peer, mille)) for peer in others},
            }
            for mille, control in controls.items()
        ],
        # By the ring's median.
        "distributions": {
            peer: [round(quantile(times, mille) / middle, 4) for mille in STEPS]
            for peer, times in pooled.items()
        },
    }


def troubles(latency: Mapping[str, Any]) -> list[str]:
    """Returns a sentence for each quantile that has no figures."""
    return [
        f"at p{each['mille'] / 10:g} of the round trips the ring differs from itself: no figures"
        for each in latency["quantiles"]
        if not each["is_good"]
    ]
