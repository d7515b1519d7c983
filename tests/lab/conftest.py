# SPDX-License-Identifier: GPL-2.0
"""What all tests of the lab need."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

import habits
import pytest

from lab import costs, environment, latency, switches, throughput
from lab.costs import Costs

Report = dict[str, Any]

# What a pair costs in the report below, by peer, at no size; each byte costs an eighth.
PER_PAIR = {
    "ring": 1000,
    "pipe": 1250,
    "pipe64": 1251,
    "fifo": 1300,
    "unix": 2000,
    "seqpacket": 2100,
    "mqueue": 1800,
    "kfifo": 1100,
    "twin": 950,
    "floor": 600,
    "null": 500,
}
# What a transfer takes, by peer.
TIMES = {"ring": 1000, "again": 1000, "pipe": 1500, "unix": 3000, "kfifo": 1250, "twin": 1000}
OVERHEAD = 300
OPERATIONS = 100


def pytest_configure(config: pytest.Config) -> None:
    """Makes the tests those of a user with an empty HOME and unusual settings.

    As the lab does when it starts, it then makes the environment neutral. What a test sees of the
    settings nevertheless, the lab depends on.
    """
    folder = tempfile.TemporaryDirectory(prefix="habits-")
    config.add_cleanup(folder.cleanup)
    os.environ.pop("XDG_CACHE_HOME", None)
    os.environ.update(habits.variables(Path(folder.name)))
    os.umask(habits.UMASK)
    environment.settle()


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Has the programs that the tests interrupt heed SIGINT.

    A shell without job control starts what it runs in the background with SIGINT ignored, and so
    do their children start, and theirs. A handler here means that they do not.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


def series(peer: str, way: str, size: int, cost: float, readers: int = 1) -> Report:
    """Returns what the program says of something that it has counted."""
    total = round(OVERHEAD + OPERATIONS * cost)
    # Two of the repetitions were interrupted, and took longer.
    return {
        "peer": peer,
        "way": way,
        "size": size,
        "readers": readers,
        "operations": OPERATIONS,
        "overhead": OVERHEAD,
        "instructions": [total, total + 5000, total + 10, total, total, total + 2700, total],
        "interrupts": [0, 2, 0, 0, 0, 1, 0],
    }


@pytest.fixture
def report() -> Report:
    """Returns what the program says of a guest in which it has counted."""
    return {
        "clocksource": "tsc",
        "calibration": {"instructions": 2_000_000, "nanoseconds": 2_000_081},
        "vulnerabilities": {
            "meltdown": "Mitigation: PTI",
            "mds": "Not affected",
            "spectre_v2": "Vulnerable",
        },
        "holds": {"ring": 262144, "pipe": 262144, "unix": 442368},
        "pairs": [
            series(peer, "pair", size, PER_PAIR[peer] + size / 8)
            for size, peer in costs.expected_pairs()
        ],
        "batches": [
            series("ring", "write", 64, 450),
            series("ring", "io_uring", 64, 350),
            series("records", "write", 64, 500),
            series("records of twin", "write", 64, 400),
        ],
        "broadcast": [
            series(peer, way, size, cost * (readers if peer == "pipe" else 1), readers)
            for size in (64, 4096)
            for readers in (1, 8)
            for way in ("write", "read")
            for peer, cost in (("ring", 400), ("pipe", 600))
        ],
        "overwrite": [
            series(peer, way, size, 500)
            for size in (64, 4096)
            for peer in ("ring", "twin")
            for way in ("stream", "record")
        ],
        "memory": [{"peer": "ring", "idle": 267264, "full": 267264}],
    }


@pytest.fixture
def times() -> Report:
    """Returns what the program says of a guest in which it has compared times."""
    cases = [(64, 1), (4096, 1), (65536, 1), (1 << 20, 1), (64, 4)]
    transfers = [
        {
            "round": number,
            "size": size,
            "writers": writers,
            "peer": peer,
            "messages": 100,
            # Each round has a speed of its own.
            "nanoseconds": nanoseconds * (1 + number % 5),
            "waits": 2,
            "wakes": 1 if peer in ("ring", "again", "twin") else None,
        }
        for size, writers in cases
        for number in range(1, 10)
        for peer, nanoseconds in TIMES.items()
    ]
    trips = [{"peer": peer, "rounds": [[30, 10, 20]] * 9} for peer in ("ring", "again", "pipe")]
    return {"transfers": transfers, "round_trips": trips}


@pytest.fixture
def counted(report: Report) -> Costs:
    """Returns what the report bears."""
    return costs.read(report)


@pytest.fixture
def results(report: Report, times: Report) -> Report:
    """Returns results as far as tables and pictures need them."""
    return {
        **report,
        **{
            section: [vars(cost) for cost in found] for section, found in costs.read(report).items()
        },
        "capacity": report["holds"],
        "throughput": throughput.describe(times),
        "latency": latency.describe(times),
        "modules": {
            "ring": {"text": 50000, "seconds": 12.0},
            "twin": {"text": 25000, "seconds": 6.0},
        },
        "switches": [switches.describe("another ring", report, times)],
    }
