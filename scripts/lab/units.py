# SPDX-License-Identifier: GPL-2.0
"""How sizes are written."""

KIB = 1024
MIB = 1024 * KIB


def size(count: int) -> str:
    """Returns so many bytes in the largest unit that they fill."""
    for unit, name in ((MIB, "MiB"), (KIB, "KiB")):
        if count >= unit:
            return f"{count // unit} {name}"
    return f"{count} B"
