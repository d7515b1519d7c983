# SPDX-License-Identifier: GPL-2.0
"""The variables of make's command line that are switches."""

import os


def is_on(name: str) -> bool:
    """Tells whether a variable that is a switch is on: ``NAME=1``, and not ``NAME=0``."""
    return os.environ.get(name, "") not in ("", "0")
