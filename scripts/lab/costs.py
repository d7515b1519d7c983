# SPDX-License-Identifier: GPL-2.0
"""What the counts of tests/bench say: instructions, and whether they can bear figures."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from lab import units
from lab.errors import Exit, LabError

# What a pair is counted of.
SIZES = (16, 64, 256, 1024, 4096, 65536, 1 << 20)
PEERS = ("ring", "pipe", "pipe64", "fifo", "unix", "seqpacket", "mqueue", "kfifo", "twin", "floor",
         "null")  # fmt: skip
RIVALS = ("pipe", "pipe64", "fifo", "unix", "seqpacket", "mqueue", "kfifo")
# A kfifo copies 256 KiB under its mutex, and a ring 128 KiB at most, so that nobody waits for long:
# where more goes through in one call, one cannot have both.
NO_RIVALS = {(1 << 20, "kfifo")}
# The largest message of those that cannot have more in one than they hold.
LARGEST = {"seqpacket": 65536, "mqueue": 65536, "null": 65536}

# The parts of a report that are counted.
SECTIONS = ("pairs", "batches", "broadcast", "overwrite")

# A figure rests on at least so many repetitions without an interrupt ...
QUIET_MIN = 5
# ... and means something if they agree to this part of it. They do to a ten-thousandth.
SPREAD_MAX = 0.005


class NoFigures(LabError):
    """Something was measured, but not what the figures would claim."""

    def __init__(self, sentence: str, code: Exit = Exit.NO_VERDICT) -> None:
        super().__init__(sentence)
        self.exit = code


@dataclass(frozen=True)
class Cost:
    """What an operation costs, in instructions."""

    peer: str
    # How its calls are made.
    way: str
    # Bytes in a message, and to how many readers it goes.
    size: int
    readers: int
    # How many there are in a repetition.
    operations: int
    minimum: float
    median: float
    maximum: float
    quiet: int
    all: tuple[float, ...]

    @property
    def spread(self) -> float:
        """How far the quiet repetitions differ, as a part of their median."""
        return (self.maximum - self.minimum) / self.median


# By section of the report.
Costs = Mapping[str, Sequence[Cost]]


def read(report: Mapping[str, Any], peers: Sequence[str] = PEERS) -> Costs:
    """Works out what everything costs. Refuses a report that cannot bear the figures."""
    costs = {section: [_cost(series) for series in report[section]] for section in SECTIONS}
    have = {(cost.size, cost.peer) for cost in costs["pairs"]}
    if missing := [pair for pair in expected_pairs(peers) if pair not in have]:
        raise NoFigures(f"the report lacks {missing}")
    return costs


def expected_pairs(peers: Sequence[str] = PEERS) -> list[tuple[int, str]]:
    """Returns the sizes and peers that a pair is counted of."""
    return [(size, peer) for size in SIZES for peer in peers if size <= LARGEST.get(peer, size)]


def _cost(series: Mapping[str, Any]) -> Cost:
    peer, size, operations = series["peer"], series["size"], series["operations"]
    name = f"{peer} ({series['way']}) at {size} bytes"
    every = tuple((total - series["overhead"]) / operations for total in series["instructions"])
    pieces = zip(every, series["interrupts"], strict=True)
    quiet = [cost for cost, interrupts in pieces if interrupts == 0]
    if len(quiet) < QUIET_MIN:
        raise NoFigures(
            f"interrupts fell into all but {len(quiet)} of {len(every)} repetitions of {name}"
        )
    cost = Cost(
        peer, series["way"], size, series["readers"], operations,
        min(quiet), median(quiet), max(quiet), len(quiet), every,
    )  # fmt: skip
    if cost.spread > SPREAD_MAX:
        raise NoFigures(
            f"the repetitions of {name} differ by {cost.spread:.1%}: from {cost.minimum:.1f} to"
            f" {cost.maximum:.1f} instructions"
        )
    return cost


def flat(costs: Costs) -> list[Cost]:
    """Returns the costs of all sections."""
    return [cost for section in costs.values() for cost in section]


def interrupted(costs: Iterable[Cost]) -> float:
    """Returns the share of the instructions that interrupts took."""
    costs = list(costs)
    executed = sum(sum(cost.all) * cost.operations for cost in costs)
    wanted = sum(cost.median * len(cost.all) * cost.operations for cost in costs)
    return 1 - wanted / executed


def defeats(costs: Costs) -> list[str]:
    """Returns a sentence for each size and rival where the ring does not need fewer."""
    pairs = {(cost.size, cost.peer): cost.median for cost in costs["pairs"]}
    return [
        f"at {units.size(size)} the ring needs {pairs[size, 'ring']:.0f} instructions, not"
        f" fewer than the {cost:.0f} of {peer}"
        for (size, peer), cost in pairs.items()
        if peer in RIVALS and (size, peer) not in NO_RIVALS and pairs[size, "ring"] >= cost
    ]


def rows(costs: Costs) -> dict[str, dict[str, float]]:
    """Returns the medians by what is done and by peer: what is put on record."""
    names: Mapping[str, Callable[[Cost], str]] = {
        "pairs": lambda cost: f"{cost.size}",
        "batches": lambda cost: f"{cost.size}, a batch by {cost.way}",
        "broadcast": lambda cost: f"{cost.size}, {cost.way} to {cost.readers}",
        "overwrite": lambda cost: f"{cost.size}, over the oldest {cost.way}",
    }
    table: dict[str, dict[str, float]] = {}
    for section, name in names.items():
        for cost in costs[section]:
            table.setdefault(name(cost), {})[cost.peer] = cost.median
    return table
