# SPDX-License-Identifier: GPL-2.0
"""Builds what is in samples/, and tests it in a guest: tests/samples has a script for each test."""

import shlex
from pathlib import Path

from lab import cargo, command, paths, suite
from lab.command import tail
from lab.errors import LabError
from lab.lane import Lane
from lab.results import matches
from lab.suite import SuiteRun
from lab.task import Task
from lab.toolchain import Toolchain

FOLDER = paths.ROOT / "samples"
TESTS = paths.ROOT / "tests/samples"
# What runs the scripts in the guest, and what they have in common.
SHARED = ("run", "lib.sh")

# Programs of the workspace that the tests call.
PROGRAMS = ("flight-recorder", "log-collector", "ringctl")

# Seconds that all tests together may take under TCG.
PATIENCE = 180.0


def names(only: str = "") -> list[str]:
    """Returns the tests, or those of them whose name ``only`` matches."""
    found = sorted(path.name for path in TESTS.iterdir() if path.name not in SHARED)
    return [name for name in found if matches(name, only)]


def run(where: Lane, only: str) -> SuiteRun:
    """Runs the tests whose name ``only`` matches, in one guest."""
    tests = names(only)
    task = Task(
        busybox=where.tools.tool("busybox"),
        module=where.module(kunit=False),
        command=shlex.join(["sh", "/lab/samples/run", *tests]),
        programs={
            **cargo.guest_programs(where.tools, *PROGRAMS),
            **c_programs(where.tools),
            **{script.name: script for script in (FOLDER / "shell").iterdir()},
        },
        files={f"/lab/samples/{name}": TESTS / name for name in (*SHARED, *tests)},
    )
    return suite.run(where, task, tests, where.limits(where.scaled(PATIENCE)))


def c_programs(tc: Toolchain) -> dict[str, Path]:
    """Builds samples/c for a guest, and returns the programs by name."""
    sources = sorted((FOLDER / "c").glob("*.c"))
    target = cargo.target_dir("samples-c")
    target.mkdir(parents=True, exist_ok=True)
    log = target / "make.log"
    make = [str(tc.tool("make")), "-f", str(FOLDER / "c/Makefile")]
    flags = ["CFLAGS=-O2 -Werror", "LDFLAGS=-static"]
    with log.open("w") as output:
        if command.run([*make, *flags], cwd=target, env=tc.env(), log=output):
            raise LabError(f"samples/c does not build:\n{tail(log)}")
    return {source.stem: target / source.stem for source in sources}
