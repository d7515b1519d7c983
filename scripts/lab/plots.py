# SPDX-License-Identifier: GPL-2.0
"""Draws the results of ``make bench``: ``python -m lab.plots RESULTS FOLDER``.

It runs in an environment that has matplotlib, which the lab itself does without.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lab import latency, switches, targets, units

Results = Mapping[str, Any]

# Colours that are told apart by those who see fewer: the palette of Okabe and Ito. Peers that are
# of one family share one, and differ in their lines.
COLOURS = {
    "ring": "#0072b2",
    "twin": "#e69f00",
    "pipe": "#d55e00",
    "pipe64": "#d55e00",
    "fifo": "#d55e00",
    "unix": "#009e73",
    "seqpacket": "#009e73",
    "mqueue": "#000000",
    "kfifo": "#cc79a7",
}
LINES = {"pipe64": ":", "fifo": "--", "seqpacket": "--"}
NAMES = {
    "ring": "ring",
    "twin": "the same driver in C",
    "pipe": "pipe(2)",
    "pipe64": "pipe(2), 64 KiB",
    "fifo": "FIFO",
    "unix": "AF_UNIX, stream",
    "seqpacket": "AF_UNIX, packets",
    "mqueue": "message queue",
    "kfifo": "kfifo driver in C",
}
SIZE = (7, 4.5)


def main() -> None:
    """Draws all there is."""
    results = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[2])
    mpl.use("svg")
    # The same figures give the same file, whatever the user has set up.
    mpl.rcdefaults()
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
    for name, draw in PICTURES.items():
        _save(draw(results), folder / f"{name}.svg")


def _save(figure: Figure, file: Path) -> None:
    figure.savefig(file, metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    # matplotlib ends some lines with blanks.
    lines = [line.rstrip() for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines) + "\n")


def _style(peer: str) -> dict[str, Any]:
    """How a peer looks in every picture."""
    return {"color": COLOURS[peer], "linestyle": LINES.get(peer, "-"), "label": NAMES[peer]}


def _legend(axes: Axes) -> None:
    """Says what is what beside the picture, where it hides nothing."""
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))


def _instructions(results: Results) -> Figure:
    """Instructions per pair above the floor, by size."""
    costs = {(each["peer"], each["size"]): each["median"] for each in results["pairs"]}
    sizes = sorted({size for _, size in costs})
    figure, axes = plt.subplots(figsize=SIZE)
    for peer in COLOURS:
        able = [size for size in sizes if (peer, size) in costs]
        above = [costs[peer, size] - costs["floor", size] for size in able]
        axes.plot(able, above, marker="o", **_style(peer))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [units.size(size) for size in sizes])
    axes.set_xlabel("a write and a read of")
    axes.set_ylabel("instructions above the floor")
    axes.grid(visible=True, axis="y", alpha=0.3)
    _legend(axes)
    return figure


def _broadcast(results: Results) -> Figure:
    """Instructions to write a page to several readers."""
    costs = [each for each in results["broadcast"] if each["size"] == targets.PAGE]
    figure, axes = plt.subplots(figsize=SIZE)
    for peer in dict.fromkeys(each["peer"] for each in costs):
        writes = [each for each in costs if each["peer"] == peer and each["way"] == "write"]
        readers = [each["readers"] for each in writes]
        axes.plot(readers, [each["median"] for each in writes], marker="o", **_style(peer))
        axes.set_xticks(readers)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("readers, each of which gets it")
    axes.set_ylabel("instructions to write 4 KiB")
    _legend(axes)
    return figure


def _throughput(results: Results) -> Figure:
    """Time by that of the ring, with intervals, by size."""
    cases = [case for case in results["throughput"] if case["writers"] == 1 and case["is_good"]]
    return _ratios(cases, [units.size(case["size"]) for case in cases], "messages of")


def _fan_in(results: Results) -> Figure:
    """The same by the number of writers."""
    cases = [
        case for case in results["throughput"] if case["size"] == targets.SMALL and case["is_good"]
    ]
    return _ratios(cases, [str(case["writers"]) for case in cases], "writers, messages of 64 B")


def _ratios(cases: list[Results], heads: list[str], label: str) -> Figure:
    figure, axes = plt.subplots(figsize=SIZE)
    peers = [peer for peer in COLOURS if any(peer in case["ratios"] for case in cases)]
    for index, peer in enumerate(peers):
        able = [(place, case["ratios"][peer]) for place, case in enumerate(cases)
                if peer in case["ratios"]]  # fmt: skip
        places = [place + (index - len(peers) / 2 + 0.5) * 0.09 for place, _ in able]
        medians = [ratio["median"] for _, ratio in able]
        spread = [
            [ratio["median"] - ratio["low"] for _, ratio in able],
            [ratio["high"] - ratio["median"] for _, ratio in able],
        ]
        # Markers in place of lines: filled for the first of a family.
        style = {
            **_style(peer),
            "linestyle": "none",
            "marker": "o",
            "markerfacecolor": "white" if peer in LINES else COLOURS[peer],
            "capsize": 2,
        }
        axes.errorbar(places, medians, yerr=spread, **style)
    axes.axhline(1, color=COLOURS["ring"], linewidth=1)
    axes.set_xticks(range(len(cases)), heads)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel(label)
    axes.set_ylabel("time by that of the ring")
    _legend(axes)
    return figure


def _latency(results: Results) -> Figure:
    """How many round trips are done by when: so many per mille, in nines."""
    figure, axes = plt.subplots(figsize=SIZE)
    if not results["latency"]["quantiles"][0]["is_good"]:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "no figures: the ring differs from itself", ha="center")
        return figure
    for peer, quantiles in results["latency"]["distributions"].items():
        if peer in COLOURS:
            over = [1 - mille / 1000 for mille in latency.STEPS]
            axes.plot(quantiles, over, **_style(peer))
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_yscale("log")
    shares = (0.5, 0.1, 0.01, 0.001)
    axes.set_yticks(shares, [f"{share:.1%}" for share in shares])
    axes.set_xlabel("time of a round trip by the ring's median")
    axes.set_ylabel("round trips that take longer")
    _legend(axes)
    return figure


def _waking(results: Results) -> Figure:
    """How often threads waited, and a ring woke one, by message."""
    cases = [case for case in results["throughput"] if case["writers"] == 1]
    figure, axes = plt.subplots(figsize=SIZE)
    places = range(len(cases))
    for peer in COLOURS:
        able = [place for place in places if peer in cases[place]["waits"]]
        if not able:
            continue
        waits = [cases[place]["waits"][peer] for place in able]
        axes.plot(able, waits, marker="o", **_style(peer))
    wakes = [case["wakes"]["ring"] for case in cases]
    style = {"color": COLOURS["ring"], "linestyle": "none", "marker": "x", "markersize": 9}
    axes.plot(places, wakes, **style, label="ring: wake-ups")
    axes.set_xticks(places, [units.size(case["size"]) for case in cases])
    axes.set_yscale("symlog", linthresh=0.001)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("messages of")
    axes.set_ylabel("waits by message")
    _legend(axes)
    return figure


def _switches(results: Results) -> Figure:
    """What a pair of 64 bytes takes more without each decision of the design."""
    base = switches.of_ring(results)["pairs"]["64"]
    variants = results["switches"]
    figure, axes = plt.subplots(figsize=(SIZE[0], 3))
    more = [variant["pairs"]["64"] - base for variant in variants]
    bars = axes.barh([variant["title"] for variant in variants], more, color=COLOURS["ring"])
    axes.bar_label(bars, [f"{round(value):+d}" for value in more], padding=3)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.set_xlabel("instructions more, for a write and a read of 64 B")
    return figure


# By the name of the file that the documentation shows.
PICTURES: Mapping[str, Callable[[Results], Figure]] = {
    "instructions": _instructions,
    "broadcast": _broadcast,
    "throughput": _throughput,
    "fan-in": _fan_in,
    "latency": _latency,
    "waking": _waking,
    "switches": _switches,
}

if __name__ == "__main__":
    main()
