# SPDX-License-Identifier: GPL-2.0
"""Draws the results of ``make bench``: ``python -m lab.plots RESULTS FOLDER``.

It runs in an environment that has matplotlib, which the lab itself does without.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from lab import throughput, units

# Colours that are told apart by those who see fewer: the palette of Okabe and Ito.
COLOURS = {
    "ring": "#0072b2",
    "pipe": "#d55e00",
    "unix": "#009e73",
    "kfifo": "#cc79a7",
    "twin": "#e69f00",
    "floor": "#888888",
    "null": "#bbbbbb",
}
NAMES = {
    "ring": "ring",
    "pipe": "pipe(2)",
    "unix": "AF_UNIX",
    "kfifo": "kfifo driver in C",
    "twin": "the same driver in C",
    "floor": "floor: two copies",
    "null": "/dev/null",
}


def main() -> None:
    """Draws all there is."""
    results = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    mpl.use("svg")
    # The same figures give the same file.
    mpl.rcParams.update(
        {
            "svg.hashsalt": "ringdev",
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "legend.frameon": False,
        }
    )
    _save(_instructions(results), folder / "instructions.svg")
    _save(_throughput(results["throughput"]), folder / "throughput.svg")


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    # matplotlib ends some lines with blanks.
    lines = [line.rstrip() for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines) + "\n")


def _instructions(results: Mapping[str, Any]) -> Figure:
    """Instructions per pair above the floor, by size."""
    costs = {(each["peer"], each["size"]): each["median"] for each in results["costs"]}
    sizes = sorted({size for _, size in costs})
    figure, axes = plt.subplots(figsize=(7, 4))
    for peer in ("unix", "pipe", "kfifo", "ring", "twin"):
        above = [costs[peer, size] - costs["floor", size] for size in sizes]
        axes.plot(sizes, above, marker="o", color=COLOURS[peer], label=NAMES[peer])
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [units.size(size) for size in sizes])
    axes.set_xlabel("a write and a read of")
    axes.set_ylabel("instructions above the floor")
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.legend()
    return figure


def _throughput(results: Mapping[str, Any]) -> Figure:
    """Time by that of the ring, with intervals, by size."""
    good = [each for each in results["sizes"] if each["is_good"]]
    figure, axes = plt.subplots(figsize=(7, 4))
    for index, peer in enumerate(throughput.RIVALS):
        places = [number + (index - 1.5) * 0.15 for number in range(len(good))]
        ratios = [each["ratios"][peer] for each in good]
        medians = [ratio["median"] for ratio in ratios]
        spread = [
            [ratio["median"] - ratio["low"] for ratio in ratios],
            [ratio["high"] - ratio["median"] for ratio in ratios],
        ]
        style = {"marker": "o", "linestyle": "none", "capsize": 3}
        axes.errorbar(places, medians, yerr=spread, color=COLOURS[peer], label=NAMES[peer], **style)
    axes.axhline(1, color=COLOURS["ring"], linewidth=1)
    axes.set_xticks(range(len(good)), [units.size(each["size"]) for each in good])
    axes.set_yscale("log", base=2)
    ticks = (0.5, 1, 2, 4, 8)
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlabel("messages of")
    axes.set_ylabel("time by that of the ring")
    axes.legend()
    return figure


if __name__ == "__main__":
    main()
