# SPDX-License-Identifier: GPL-2.0
"""Writes what ``make bench`` has found into Documentation/performance: tables and pictures.

performance.rst includes them, and is not touched: what is measured is not typed, and what is said
of it is not generated.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab import command, paths, pytools
from lab.errors import LabError
from lab.tables import TABLES
from lab.toolchain import Toolchain

FOLDER = paths.ROOT / "Documentation/performance"
REQUIREMENTS = paths.ROOT / "scripts/requirements-plots.txt"
HEAD = ".. SPDX-License-Identifier: GPL-2.0\n.. Written by `make bench RECORD=1`.\n\n"


def write(results: Mapping[str, Any], kept: Path, tc: Toolchain) -> None:
    """Writes them all; ``kept`` is the file that has the results."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in render(results).items():
        (FOLDER / name).write_text(text)
    python = pytools.python(tc, REQUIREMENTS)
    log = paths.cache() / "logs/plots.log"
    with log.open("w") as output:
        code = command.run(
            [str(python), "-m", "lab.plots", str(kept), str(FOLDER)],
            env={**tc.env(), "PYTHONPATH": str(paths.ROOT / "scripts")},
            log=output,
        )
    if code:
        raise LabError(f"the pictures cannot be drawn:\n{command.tail(log)}")


def render(results: Mapping[str, Any]) -> dict[str, str]:
    """Returns the tables by their files' names."""
    tables = {f"{name}.rst": HEAD + table(rows(results)) for name, (_, rows) in TABLES.items()}
    return {"setting.rst": HEAD + _setting(results), **tables}


def _setting(results: Mapping[str, Any]) -> str:
    return (
        f"Linux {results['kernel']}, plain lane; {results['rustc']}; {results['qemu']},"
        f" ``{results['cpu']}``; times under {results['accel']}.\n"
    )


def table(rows: Sequence[Sequence[str]]) -> str:
    """Returns a simple table of reStructuredText; its first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule]) + "\n"
