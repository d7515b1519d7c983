# SPDX-License-Identifier: GPL-2.0
"""What the ring is meant to reach, and whether it does.

A target that is missed fails nothing: it is shown as missed. What must not rise is in
tests/bench/instructions.json.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab import units
from lab.ratio import RING

Results = Mapping[str, Any]

SMALL = 64
PAGE = 4096
MIB = 1 << 20

# A pair by size: instructions above the floor, and by those of AF_UNIX.
PAIRS = {
    16: (230, 0.42),
    64: (230, 0.42),
    256: (230, 0.42),
    1024: (230, 0.47),
    PAGE: (240, 0.50),
    65536: (300, 0.69),
}
# What is more than fits, by peer.
THROUGH = {"pipe": 0.60, "unix": 0.75}
# A record that is read with 31 others, by what a pair takes there.
RECORDS = {"pipe": 0.45, "unix": 0.30}
# Nothing may take more than in C.
TWIN = 1.00
WAKE_UPS = 0.01
# What eight pipes take to be written to, by what the ring takes.
READERS = 8
BROADCAST = 4.0
# The time of a transfer through the better of pipe and AF_UNIX, by the ring's.
FASTER = {SMALL: 1.3, PAGE: 1.8, 65536: 1.3, MIB: 1.1}


@dataclass(frozen=True)
class Target:
    """Something to reach: a figure, and the bound that it has to keep."""

    what: str
    measured: float | None
    bound: float
    # Whether the bound is the least that it has to be, and not the most.
    is_least: bool = False
    digits: int = 2

    @property
    def bound_text(self) -> str:
        """How the bound is shown."""
        return f"{'at least' if self.is_least else 'at most'} {self.bound:.{self.digits}f}"

    @property
    def measured_text(self) -> str:
        """How what was measured is shown: with a digit more, so that a verdict can be seen."""
        if self.measured is None:
            return "-"
        return f"{self.measured:.{self.digits and self.digits + 1}f}"

    @property
    def verdict(self) -> str:
        """Whether it was reached."""
        if self.measured is None:
            return "no figure"
        missed = self.measured < self.bound if self.is_least else self.measured > self.bound
        return "missed" if missed else "met"


def judge(results: Results) -> list[Target]:
    """Returns all of them."""
    return [*_pairs(results), *_batches(results), *_broadcast(results), *_times(results)]


def _pairs(results: Results) -> Iterator[Target]:
    costs = {(each["size"], each["peer"]): each["median"] for each in results["pairs"]}

    def by(size: int, peer: str) -> float:
        return float(costs[size, RING] / costs[size, peer])

    for size, (above, unix) in PAIRS.items():
        name = units.size(size)
        over = costs[size, RING] - costs[size, "floor"]
        yield Target(f"{name}: instructions above the floor", over, above, digits=0)
        yield Target(f"{name}: instructions, ring / AF_UNIX", by(size, "unix"), unix)
        yield Target(f"{name}: instructions, ring / twin", by(size, "twin"), TWIN)
    for peer, bound in {**THROUGH, "twin": TWIN}.items():
        yield Target(f"1 MiB through 256 KiB: instructions, ring / {peer}", by(MIB, peer), bound)


def _batches(results: Results) -> Iterator[Target]:
    pairs = {each["peer"]: each["median"] for each in results["pairs"] if each["size"] == SMALL}
    single = {each["peer"]: each["median"] for each in results["batches"] if each["way"] == "write"}
    records = single["records"]
    for peer, bound in RECORDS.items():
        what = f"records of 64 B, 32 at once: instructions, ring / pair of {peer}"
        yield Target(what, records / pairs[peer], bound)
    what = "records of 64 B, 32 at once: instructions, ring / twin"
    yield Target(what, records / single["records of twin"], TWIN)


def _broadcast(results: Results) -> Iterator[Target]:
    writes = {
        (each["size"], each["peer"]): each["median"]
        for each in results["broadcast"]
        if each["way"] == "write" and each["readers"] == READERS
    }
    for size in (SMALL, PAGE):
        what = f"{units.size(size)} to {READERS} readers: instructions to write, pipes / ring"
        yield Target(what, writes[size, "pipe"] / writes[size, RING], BROADCAST, is_least=True)


def _times(results: Results) -> Iterator[Target]:
    streams = {each["size"]: each for each in results["throughput"] if each["writers"] == 1}
    for size, bound in FASTER.items():
        stream = streams[size]
        better = min(stream["ratios"][peer]["median"] for peer in ("pipe", "unix"))
        what = f"{units.size(size)}: time, better of pipe and AF_UNIX / ring"
        yield Target(what, better if stream["is_good"] else None, bound, is_least=True)
    wakes = streams[SMALL]["wakes"][RING]
    yield Target("messages of 64 B in a stream: wake-ups by message", wakes, WAKE_UPS)
