# SPDX-License-Identifier: GPL-2.0
"""What the lab tells its user while it works. Standard output belongs to results."""

import sys
from collections.abc import Sequence


def say(text: str) -> None:
    """Tells the user one thing, at once, on stderr."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Returns a table whose columns are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.rjust, row, widths)) for row in rows)
