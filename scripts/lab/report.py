# SPDX-License-Identifier: GPL-2.0
"""What the lab tells its user while it works. Standard output belongs to results."""

import sys


def say(text: str) -> None:
    """Tells the user one thing, at once, on stderr."""
    print(f"lab: {text}", file=sys.stderr, flush=True)
