# SPDX-License-Identifier: GPL-2.0
"""Versions, as programs print them."""

import re

Version = tuple[int, ...]


def parse_version(text: str) -> Version:
    """Returns the first dotted number in ``text``; the empty tuple if it has none."""
    match = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(int(part) for part in match.group().split(".")) if match else ()


def dotted(version: Version) -> str:
    """Writes a version as people do."""
    return ".".join(map(str, version))
