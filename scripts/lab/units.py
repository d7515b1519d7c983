# SPDX-License-Identifier: GPL-2.0
"""How sizes and ratios are written."""

from collections.abc import Mapping

KIB = 1024
MIB = 1024 * KIB


def size(count: int) -> str:
    """Returns so many bytes in the largest unit that they fill."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if count >= unit:
            return f"{count // unit} {name}"
    return f"{count} B"


def ratio(of: Mapping[str, float]) -> str:
    """Returns a ratio with the interval behind it."""
    return f"{of['median']:.2f} ({of['low']:.2f} to {of['high']:.2f})"
