# SPDX-License-Identifier: GPL-2.0
"""The record of what was counted, and the comparison with it.

tests/bench/instructions.json has a list for each kernel and pair of compilers, as what they make of
the module and of the kernel decides about the instructions. Where there is none, nothing can be
compared. ``make bench RECORD=1`` writes the one of this machine.

A list has what is done (costs.rows names it), and by peer the instructions that it takes.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from lab import paths

RECORD = paths.ROOT / "tests/bench/instructions.json"

# A rise of one of these by more than this part is a failure.
OURS = ("ring", "records")
RISE_MAX = 0.02

# Instructions by what is done and by peer.
Medians = Mapping[str, Mapping[str, float]]


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
    medians: Medians | None = json.loads(file.read_text()).get(key)
    return medians


def write(key: str, medians: Medians, file: Path = RECORD) -> None:
    """Writes the list of that name, and leaves the others as they are."""
    lists = json.loads(file.read_text()) if file.exists() else {}
    lists[key] = {
        what: {peer: round(cost) for peer, cost in costs.items()} for what, costs in medians.items()
    }
    file.write_text(json.dumps(lists, indent=1) + "\n")


def rises(recorded: Medians, medians: Medians) -> list[str]:
    """Returns a sentence for each thing that the ring needs more for than it is recorded to."""
    return [
        f"{what}: {peer} needs {medians[what][peer]:.0f} instructions,"
        f" {medians[what][peer] / cost - 1:.1%} more than the {cost:.0f} that {RECORD.name} has"
        for what, costs in recorded.items()
        for peer, cost in costs.items()
        if peer in OURS
        and peer in medians.get(what, {})
        and medians[what][peer] > cost * (1 + RISE_MAX)
    ]
