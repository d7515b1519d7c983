# SPDX-License-Identifier: GPL-2.0
"""Has ``cargo-mutants`` change every function of the core and of the tools, in turn.

It makes the changes, builds, and runs all host tests of the crate; what no test notices is missed.
A change that does not build counts for nothing, and one that a test never ends with is caught.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import command, paths
from lab.command import tail
from lab.errors import HostNotFit, LabError
from lab.mutant import FOLDER
from lab.mutant_tree import Tree
from lab.report import say
from lab.toolchain import Toolchain

# The last one that Rust 1.85 builds.
VERSION = "26.0.0"
CONFIG = FOLDER / "cargo-mutants.toml"

# How often tests may take longer than they do without a change, and how long they may at least.
TIMES_LONGER = 5
SECONDS = 60

# The crate of the core's tests is nothing but tests, which are not changed.
_ONLY_TESTS = "#![cfg(test)]\n"
_CORE = Path("tests/core/src/lib.rs")


@dataclass(frozen=True)
class Scope:
    """What is changed, and by whose tests it is found."""

    part: str
    packages: tuple[str, ...]
    # The files, as globs.
    files: tuple[str, ...]
    features: tuple[str, ...] = ()


SCOPES = (
    Scope("core", ("ring-core-tests",), ("src/ring/**",)),
    Scope("client", ("ringdev", "ringctl"), ("tools/**/src/**",), ("--all-features",)),
)
PARTS = tuple(scope.part for scope in SCOPES)


@dataclass(frozen=True)
class Outcome:
    """What came of the changes to a scope."""

    caught: int
    missed: tuple[str, ...]
    # Those that do not build.
    unviable: int


def program(tc: Toolchain) -> Path:
    """Builds cargo-mutants into the cache and returns it."""
    final = paths.cache() / f"tools/cargo-mutants-{VERSION}"
    log = paths.cache() / "logs/cargo-mutants.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with paths.locked(final.with_suffix(".lock"), "building cargo-mutants") as lock:
        if not final.exists():
            say(f"building cargo-mutants {VERSION}, once (2 to 4 minutes; log: {log})")
            with paths.atomic_dir(final) as root, log.open("w") as output:
                install = [
                    *(str(tc.cargo), "install", "--locked", "--root", str(root)),
                    *("--target-dir", str(root / "target")),
                    *("--version", VERSION, "cargo-mutants"),
                ]
                env = {**tc.env(), "RUSTC": str(tc.rustc)}
                if command.run(install, env=env, log=output, lock=lock, what="cargo-mutants"):
                    raise HostNotFit(f"cargo-mutants did not build; the end of {log}:\n{tail(log)}")
                shutil.rmtree(root / "target")
    return final / "bin/cargo-mutants"


def run(scope: Scope, tree: Tree, tc: Toolchain, share: str = "") -> Outcome:
    """Changes what is in a scope, or a share of it (``1/20``), and returns what came of it."""
    core = tree.root / _CORE
    text = core.read_text()
    out = tree.home / scope.part
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    if scope.part == "core":
        if text.count(_ONLY_TESTS) != 1:
            raise LabError(f"{_CORE} has to have the line {_ONLY_TESTS.strip()}")
        core.write_text(text.replace(_ONLY_TESTS, ""))
    try:
        with (out / "log").open("w") as log:
            command.run(
                arguments(scope, program(tc), out, share),
                cwd=tree.root,
                env={**tc.env(), "RUSTC": str(tc.rustc), "CARGO": str(tc.cargo)},
                log=log,
                what=f"cargo-mutants ({scope.part})",
            )
    finally:
        core.write_text(text)
    outcomes = out / "mutants.out/outcomes.json"
    if not outcomes.exists():
        raise LabError(f"cargo-mutants has not come to its end:\n{tail(out / 'log')}")
    return read(json.loads(outcomes.read_text()))


def arguments(scope: Scope, cargo_mutants: Path, out: Path, share: str) -> list[str]:
    """Returns the command."""
    jobs = len(os.sched_getaffinity(0))
    return [
        *(str(cargo_mutants), "mutants", "--config", str(CONFIG), "--output", str(out)),
        *("--colors", "never", "--no-times", "--jobs", str(jobs)),
        *("--timeout-multiplier", str(TIMES_LONGER), "--minimum-test-timeout", str(SECONDS)),
        *(word for name in scope.packages for word in ("--package", name)),
        *(word for name in scope.files for word in ("--file", name)),
        *(["--shard", share] if share else []),
        *scope.features,
    ]


def read(outcomes: Mapping[str, object]) -> Outcome:
    """Reads what cargo-mutants has written."""
    found = outcomes["outcomes"]
    if not isinstance(found, Sequence):
        raise LabError("cargo-mutants has written what is not known")
    caught, unviable = 0, 0
    missed: list[str] = []
    for one in found:
        scenario, summary = one["scenario"], one["summary"]
        if scenario == "Baseline":
            if summary != "Success":
                raise LabError("the tests fail without a change, too")
        elif summary in ("CaughtMutant", "Timeout"):
            caught += 1
        elif summary == "Unviable":
            unviable += 1
        else:
            missed.append(scenario["Mutant"]["name"])
    return Outcome(caught, tuple(missed), unviable)
