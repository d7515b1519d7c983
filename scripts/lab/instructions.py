# SPDX-License-Identifier: GPL-2.0
"""The record of what a pair of calls costs, and the comparison with it.

tests/bench/instructions.json has a list for each kernel and pair of compilers, as what they make of
the module and of the kernel decides about the instructions. Where there is none, nothing can be
compared. ``make bench RECORD=1`` writes the one of this machine.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from lab import paths

RECORD = paths.ROOT / "tests/bench/instructions.json"

# A rise by more than this part is a failure.
RISE_MAX = 0.02

# Instructions by size and peer.
Medians = Mapping[int, Mapping[str, float]]


def built_by(release: str, config: Mapping[str, str]) -> str:
    """Returns the name of a list: the kernel's release, and what compiled it and the module."""
    compilers = [config.get(f"CONFIG_{name}_VERSION_TEXT", "?") for name in ("RUSTC", "CC")]
    return ", ".join([f"Linux {release}", *(text.strip('"') for text in compilers)])


def names(file: Path = RECORD) -> list[str]:
    """Returns the names of the lists."""
    return list(json.loads(file.read_text()))


def read(key: str, file: Path = RECORD) -> Medians | None:
    """Returns the list of that name, if there is one."""
    if not file.exists():
        return None
    lists = json.loads(file.read_text())
    if key not in lists:
        return None
    return {int(size): costs for size, costs in lists[key].items()}


def write(key: str, medians: Medians, file: Path = RECORD) -> None:
    """Writes the list of that name, and leaves the others as they are."""
    lists = json.loads(file.read_text()) if file.exists() else {}
    lists[key] = {
        str(size): {peer: round(cost) for peer, cost in costs.items()}
        for size, costs in medians.items()
    }
    file.write_text(json.dumps(lists, indent=1) + "\n")


def rises(recorded: Medians, medians: Medians) -> list[str]:
    """Returns a sentence for each size at which the ring needs more than it is recorded to."""
    return [
        f"at {size} bytes the ring needs {medians[size]['ring']:.0f} instructions,"
        f" {medians[size]['ring'] / costs['ring'] - 1:.1%} more than the {costs['ring']:.0f} that"
        f" {RECORD.name} has"
        for size, costs in recorded.items()
        if size in medians and medians[size]["ring"] > costs["ring"] * (1 + RISE_MAX)
    ]
