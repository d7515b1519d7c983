# SPDX-License-Identifier: GPL-2.0
"""Writes what ``make bench`` has found into Documentation/performance: tables and pictures.

performance.rst includes them, and is not touched: what is measured is not typed, and what is said
of it is not generated.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab import command, paths, pytools, throughput, units
from lab.errors import LabError
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
    return {
        "setting.rst": HEAD + _setting(results),
        "instructions.rst": HEAD + _instructions(results["costs"]),
        "batches.rst": HEAD + _batches(results["batches"]),
        "throughput.rst": HEAD + _throughput(results["throughput"]),
    }


def _setting(results: Mapping[str, Any]) -> str:
    accel = results["throughput"]["accel"]
    return (
        f"Linux {results['kernel']}, plain lane; {results['rustc']}; {results['qemu']},"
        f" ``{results['cpu']}``; times under {accel}.\n"
    )


def _instructions(costs: Sequence[Mapping[str, Any]]) -> str:
    peers = list(dict.fromkeys(each["peer"] for each in costs))
    medians = {(each["size"], each["peer"]): each["median"] for each in costs}
    rows = [["size", *peers, "ring above the floor", "ring / pipe", "ring / unix", "ring / twin"]]
    for size in dict.fromkeys(each["size"] for each in costs):
        ring = medians[size, "ring"]
        rows.append(
            [
                units.size(size),
                *(f"{medians[size, peer]:,.0f}" for peer in peers),
                f"{ring - medians[size, 'floor']:.0f}",
                *(f"{ring / medians[size, rival]:.3f}" for rival in ("pipe", "unix", "twin")),
            ]
        )
    return table(rows)


def _batches(batches: Sequence[Mapping[str, Any]]) -> str:
    rows = [["through", "instructions"]]
    rows += [[each["peer"], f"{each['median']:,.0f}"] for each in batches]
    return table(rows)


def _throughput(results: Mapping[str, Any]) -> str:
    peers = throughput.RIVALS
    rows = [["messages of", *(f"{peer} / ring" for peer in peers), "ring / ring", "waits"]]
    for each in results["sizes"]:
        ratios = [each["ratios"][peer] for peer in peers]
        shown = [_ratio(ratio) if each["is_good"] else "-" for ratio in ratios]
        waits = f"{each['waits']['ring']:.3f}" if each["is_good"] else "-"
        rows.append([units.size(each["size"]), *shown, _ratio(each["control"]), waits])
    return table(rows)


def _ratio(ratio: Mapping[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Returns a simple table of reStructuredText; its first row is the head."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = "  ".join("=" * width for width in widths)
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join([rule, lines[0], rule, *lines[1:], rule]) + "\n"
