# SPDX-License-Identifier: GPL-2.0
"""The tables of ``make bench``: what it prints, and what the documentation shows.

Each is made of the results as they are kept, and is a list of rows, the first of which is its head.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lab import switches, targets, units
from lab.ratio import RING

Results = Mapping[str, Any]
Rows = list[list[str]]

NONE = "-"


def instructions(results: Results) -> Rows:
    """What a write and a read of a message take: a row for each size."""
    costs = {(each["size"], each["peer"]): each["median"] for each in results["pairs"]}
    peers = list(dict.fromkeys(peer for _, peer in costs))
    return [
        ["size", *peers],
        *(
            [units.size(size), *(_count(costs.get((size, peer))) for peer in peers)]
            for size in _distinct(results["pairs"], "size")
        ),
    ]


def compared(results: Results) -> Rows:
    """How the ring compares in that: a row for each size."""
    costs = {(each["size"], each["peer"]): each["median"] for each in results["pairs"]}
    others = [peer for peer in _distinct(results["pairs"], "peer") if peer not in (RING, "null")]
    others.remove("floor")
    rows = [["size", *(f"ring/{other}" for other in others), "ring - floor"]]
    for size in _distinct(results["pairs"], "size"):
        ring = costs[size, RING]
        ratios = [
            f"{ring / costs[size, other]:.3f}" if (size, other) in costs else NONE
            for other in others
        ]
        rows.append([units.size(size), *ratios, f"{ring - costs[size, 'floor']:.0f}"])
    return rows


def batches(results: Results) -> Rows:
    """What a message takes that is read with 31 others: a row for each peer."""
    costs = {(each["peer"], each["way"]): each["median"] for each in results["batches"]}
    ways = _distinct(results["batches"], "way")
    return [
        ["through", *(f"by {way}" for way in ways)],
        *(
            [peer, *(_count(costs.get((peer, way))) for way in ways)]
            for peer in _distinct(results["batches"], "peer")
        ),
    ]


def broadcast(results: Results) -> Rows:
    """What a message takes that goes to several readers: a row for each size and peer."""
    costs = {
        (each["size"], each["peer"], each["way"], each["readers"]): each["median"]
        for each in results["broadcast"]
    }
    readers = _distinct(results["broadcast"], "readers")
    ways = [(way, f"{way} {by} {count}", count) for way, by in (("write", "to"), ("read", "by"))
            for count in readers]  # fmt: skip
    return [
        ["message", "through", *(head for _, head, _ in ways)],
        *(
            [units.size(size), peer, *(_count(costs[size, peer, way, n]) for way, _, n in ways)]
            for size in _distinct(results["broadcast"], "size")
            for peer in _distinct(results["broadcast"], "peer")
        ),
    ]


def overwrite(results: Results) -> Rows:
    """What a write into a full ring takes that overwrites: a row for each size."""
    costs = {
        (each["size"], each["peer"], each["way"]): each["median"] for each in results["overwrite"]
    }
    pairs = {(each["size"], each["peer"]): each["median"] for each in results["pairs"]}
    columns = list(dict.fromkeys((peer, way) for _, peer, way in costs))
    return [
        ["message", *(f"{peer}, {way}" for peer, way in columns), "write and read of a stream"],
        *(
            [
                units.size(size),
                *(_count(costs[size, peer, way]) for peer, way in columns),
                _count(pairs[size, RING]),
            ]
            for size in _distinct(results["overwrite"], "size")
        ),
    ]


def throughput(results: Results) -> Rows:
    """How long transfers take from one writer, by the ring's time: a row for each peer."""
    cases = [case for case in results["throughput"] if case["writers"] == 1]
    return _ratios(cases, [units.size(case["size"]) for case in cases], "messages of")


def fan_in(results: Results) -> Rows:
    """How long they take from several writers, likewise."""
    size = targets.SMALL
    cases = [case for case in results["throughput"] if case["size"] == size]
    return _ratios(cases, [str(case["writers"]) for case in cases], "writers")


def latency(results: Results) -> Rows:
    """How long a round trip takes, by the ring's time: a row for each peer."""
    quantiles = results["latency"]["quantiles"]
    return _ratios(quantiles, [f"p{each['mille'] / 10:g}" for each in quantiles], "round trip")


def waking(results: Results) -> Rows:
    """How often threads waited and were woken, by message: a row for each peer."""
    cases = results["throughput"]
    heads = [
        units.size(case["size"]) + (f" from {case['writers']}" if case["writers"] > 1 else "")
        for case in cases
    ]
    rows = [["by message of", *heads]]
    for what, name in (("wakes", "{}: wake-ups"), ("waits", "{}: waits")):
        peers = dict.fromkeys(peer for case in cases for peer in case[what])
        rows += [
            [name.format(peer), *(_rate(case[what].get(peer)) for case in cases)] for peer in peers
        ]
    return rows


def memory(results: Results) -> Rows:
    """How much memory a peer takes with both ends open: a row for each."""
    return [
        ["peer", "empty", "full", "which holds"],
        *(
            [
                each["peer"],
                f"{each['idle'] / units.KIB:.1f} KiB",
                f"{each['full'] / units.KIB:.1f} KiB",
                units.size(results["capacity"][each["peer"]]),
            ]
            for each in results["memory"]
        ),
    ]


def modules(results: Results) -> Rows:
    """How large the two drivers are, and how long they take to compile."""
    drivers = results["modules"]
    base = drivers[RING]
    return [
        ["driver", "instructions and constants", "by the ring's", "time to compile by the ring's"],
        *(
            [
                name,
                f"{each['text']:,} B",
                f"{each['text'] / base['text']:.2f}",
                f"{each['seconds'] / base['seconds']:.2f}",
            ]
            for name, each in drivers.items()
        ),
    ]


def without(results: Results) -> Rows:
    """What the ring is without each decision of its design; nothing if that was not measured."""
    if "switches" not in results:
        return []
    sizes = (64, 4096, 65536)
    variants = [switches.of_ring(results), *results["switches"]]

    def times(variant: Results) -> list[str]:
        by_size = {each["size"]: each for each in variant["times"]}
        return [
            units.ratio(by_size[size]["pipe"]) if by_size[size]["is_good"] else NONE
            for size in sizes
        ]

    return [
        [
            "the ring",
            *(units.size(size) for size in sizes),
            "a record",
            *(f"pipe/ring, {units.size(size)}" for size in sizes),
        ],
        *(
            [
                variant["title"],
                *(_count(variant["pairs"][str(size)]) for size in sizes),
                _count(variant["record"]),
                *times(variant),
            ]
            for variant in variants
        ),
    ]


def aims(results: Results) -> Rows:
    """What was aimed at: a row for each target."""
    return [
        ["target", "bound", "measured", "verdict"],
        *(
            [target.what, target.bound_text, target.measured_text, target.verdict]
            for target in targets.judge(results)
        ),
    ]


# By the name of the file that the documentation includes: what stands over it when it is printed.
TABLES: Mapping[str, tuple[str, Callable[[Results], Rows]]] = {
    "instructions": ("Instructions for a write(2) and the read(2) of it", instructions),
    "compared": ("The ring's by those of the others, and above the floor", compared),
    "batches": ("By message of 64 B, when 32 are read at once", batches),
    "broadcast": ("By message to several readers", broadcast),
    "overwrite": ("By write into a full ring whose reader stands still", overwrite),
    "throughput": ("Time by that of the ring, two threads on two CPUs", throughput),
    "fan-in": ("The same for messages of 64 B from several threads", fan_in),
    "latency": ("Time of a round trip of 64 B by that of the ring", latency),
    "waking": ("Wake-ups, and threads that waited", waking),
    "memory": ("Memory of the kernel", memory),
    "modules": ("The driver and its twin", modules),
    "switches": ("Instructions and times without each decision of the design", without),
    "targets": ("Targets", aims),
}


def _ratios(cases: Sequence[Results], heads: Sequence[str], corner: str) -> Rows:
    """A row for each peer, a column for each case; nothing where the control has failed."""

    def shown(case: Results, peer: str) -> str:
        return units.ratio(case["ratios"][peer]) if _has(case, peer) else NONE

    peers = dict.fromkeys(peer for case in cases for peer in case["ratios"])
    return [
        [corner, *heads],
        *([f"{peer}/ring", *(shown(case, peer) for case in cases)] for peer in peers),
        ["ring/ring", *(units.ratio(case["control"]) for case in cases)],
    ]


def _has(case: Results, peer: str) -> bool:
    return case["is_good"] and peer in case["ratios"]


def _distinct(costs: Sequence[Results], what: str) -> list[Any]:
    return list(dict.fromkeys(each[what] for each in costs))


def _count(instructions: float | None) -> str:
    return NONE if instructions is None else f"{instructions:,.0f}"


def _rate(by_message: float | None) -> str:
    return NONE if by_message is None else f"{by_message:.4f}"
