# SPDX-License-Identifier: GPL-2.0
"""What each decision of the design buys: the ring without it, measured like the ring.

tests/bench/without has a patch for each of them, which takes it back in the sources of the module;
what the patch says of itself comes before its first file. Costs are counted, and times compared
with those of a pipe, as the ring without a decision and the ring with it cannot be loaded into one
kernel.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab import costs, paths, throughput
from lab.errors import LabError
from lab.ratio import RING

FOLDER = paths.ROOT / "tests/bench/without"

# What takes part: all that tests/bench has to be told to measure.
RECORDS = "records"
COUNTED = (RING, RECORDS)
PIPE = "pipe"
TIMED = (RING, "again", PIPE)

_TITLE = re.compile(r"^Title: (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Switch:
    """A decision that can be taken back."""

    # What the ring is like without it.
    title: str
    patch: Path


def read(folder: Path = FOLDER) -> list[Switch]:
    """Returns all there are, in the order of their files."""
    return [_switch(patch) for patch in sorted(folder.glob("*.patch"))]


def _switch(patch: Path) -> Switch:
    head = re.split(r"^diff --git ", patch.read_text(), maxsplit=1, flags=re.MULTILINE)[0]
    title = _TITLE.search(head)
    if not title:
        raise LabError(f"{patch.name} has no line 'Title: ...' before its first file")
    return Switch(title[1], patch)


def describe(title: str, report: Mapping[str, Any], times: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what was measured of a ring that is like that, as it is kept."""
    counted = costs.read(report, (RING,))
    results = {section: [asdict(cost) for cost in each] for section, each in counted.items()}
    return _describe(title, {**results, "throughput": throughput.describe(times)})


def of_ring(results: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the same of the ring as it is, out of the results of the whole."""
    return _describe("as it is", results)


def _describe(title: str, results: Mapping[str, Any]) -> dict[str, Any]:
    pairs = {str(each["size"]): each["median"] for each in results["pairs"] if each["peer"] == RING}
    record = next(each["median"] for each in results["batches"] if each["peer"] == RECORDS)
    return {
        "title": title,
        "pairs": pairs,
        "record": record,
        "times": [
            {
                "size": case["size"],
                "pipe": case["ratios"][PIPE],
                "is_good": case["is_good"],
                "wakes": case["wakes"][RING],
            }
            for case in results["throughput"]
            if case["writers"] == 1
        ],
    }
