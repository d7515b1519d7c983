# SPDX-License-Identifier: GPL-2.0
"""The module's KUnit cases, as its source has them: what a run has to show results for."""

import re
from pathlib import Path

from lab import paths

# The attribute of a suite, alone or inside a cfg_attr() that host tests need.
_SUITE = re.compile(r"^\s*(?:#\[[^\n]*?)?(?:\w+::)*kunit_tests\((\w+)\)", re.MULTILINE)
_CASE = re.compile(r"#\[test\]\s*(?:(?:#\[[^\]]*\]|//[^\n]*)\s*)*(?:unsafe )?fn (\w+)")


def cases(source: Path = paths.ROOT / "src") -> list[str]:
    """Returns the names of all cases, SUITE.CASE, in the order of the files.

    A suite is an inline module, and in this tree the last thing of its file but for another.
    """
    found = []
    for file in sorted(source.rglob("*.rs")):
        _, *parts = _SUITE.split(file.read_text())
        for suite, text in zip(parts[::2], parts[1::2], strict=True):
            found += [f"{suite}.{case}" for case in _CASE.findall(text)]
    return found
