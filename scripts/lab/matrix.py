# SPDX-License-Identifier: GPL-2.0
"""``make test-matrix``: the guests' tests on each series of kernels, in each lane.

A kernel that cannot be had on this machine is a row that says why, and no failure. KERNEL=, LANE=
and ONLY= narrow it. RECORD=1 writes what was run, with the commit that it was run of, into the
table in Documentation/matrix; rows that were not run stay as they were.
"""

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import lane, paths, performance, source, test, variables
from lab.errors import Exit, HostNotFit, LabError, UsageError
from lab.ktap import Status
from lab.lane import Lane
from lab.report import aligned, say
from lab.toolchain import revision

FOLDER = paths.ROOT / "Documentation/matrix"
HEAD = ".. SPDX-License-Identifier: GPL-2.0\n.. Written by `make test-matrix RECORD=1`.\n\n"
COLUMNS = ("kernel", "lane", "rustc", "compiler", "result")


@dataclass(frozen=True)
class Row:
    """How the tests came out on a kernel."""

    series: str
    lane: str
    cells: tuple[str, ...]
    failed: bool = False
    # Whether there was anything to come out.
    ran: bool = True


def main(argv: list[str]) -> int:
    """The verb ``test-matrix``."""
    parser = argparse.ArgumentParser(prog="make test-matrix", description=__doc__)
    parser.add_argument("--only", metavar="PATTERN", default=os.environ.get("ONLY", ""))
    parser.add_argument("--record", action="store_true", default=variables.is_on("RECORD"))
    options = parser.parse_args(argv)
    if options.record and options.only:
        raise UsageError("RECORD=1 writes down how all tests came out: without ONLY")
    if given := [name for name in ("KDIR", "KSRC") if os.environ.get(name)]:
        raise UsageError(f"{given[0]}= is one kernel, and the matrix is of several")
    # Of what is there now, whatever is changed while it runs.
    commit = revision(paths.ROOT)
    rows = [run(series, name, options.only) for series, name in combinations()]
    print(aligned([COLUMNS, *(row.cells for row in rows)]))
    failed = any(row.failed for row in rows)
    if options.record and not failed:
        record(FOLDER, rows, commit)
        say(f"written: {FOLDER.relative_to(paths.ROOT)}")
    return Exit.TESTS_FAILED if failed else Exit.PASSED


def record(folder: Path, rows: Sequence[Row], commit: str) -> None:
    """Writes those rows, of a commit, that have run into the table that the folder has."""
    file = folder / "rows.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    for row in (row for row in rows if row.ran):
        kept.setdefault(row.series, {})[row.lane] = [*row.cells, commit]
    kept = {
        series: {name: kept[series][name] for name in lane.ALL if name in kept[series]}
        for series in source.SERIES
        if series in kept
    }
    folder.mkdir(exist_ok=True)
    file.write_text(json.dumps(kept, indent=2) + "\n")
    cells = [tuple(row) for lanes in kept.values() for row in lanes.values()]
    (folder / "table.rst").write_text(HEAD + performance.table([(*COLUMNS, "commit"), *cells]))


def combinations() -> Sequence[tuple[str, str]]:
    """Returns the series and lanes that are meant."""
    lanes = lane.chosen(os.environ.get("LANE", ""), lane.ALL, lane.ALL)
    series = [source.series().name] if os.environ.get("KERNEL") else list(source.SERIES)
    return [(each, name) for each in series for name in lanes]


def run(series: str, name: str, only: str) -> Row:
    """Runs the tests of a lane on a kernel of that series."""
    say(f"Linux {series}, lane {name}")
    os.environ["KERNEL"] = series
    tests = test.TestRun(only)
    try:
        where = tests.in_lane(name, reds=False)
        tests.require([name], on_host=False, reds=False)
    except HostNotFit as error:
        return no_tests(series, name, f"not here: {error}", failed=False)
    except LabError as error:
        say(str(error))
        return no_tests(series, name, f"not built: {error}", failed=True)
    counts = ", ".join(f"{tests.results.count(status)} {status}" for status in Status)
    return Row(series, name, (*facts(where), counts), failed=tests.code() is not Exit.PASSED)


def no_tests(series: str, name: str, why: str, *, failed: bool) -> Row:
    """Returns the row of a lane in which nothing has run."""
    cells = (series, name, "-", "-", why.splitlines()[0])
    return Row(series, name, cells, failed=failed, ran=False)


def facts(where: Lane) -> tuple[str, str, str, str]:
    """Returns which kernel a lane has, its name, and what has compiled the kernel."""
    said = {
        name: where.config.get(f"CONFIG_{name}_VERSION_TEXT", "").strip('"')
        for name in ("RUSTC", "CC")
    }
    rustc = said["RUSTC"].removeprefix("rustc ").partition(" ")[0]
    # clang's version follows the word, and gcc's is the last of all.
    words = said["CC"].split()
    clang = where.config.get("CONFIG_CC_IS_CLANG") == "y"
    compiler = f"clang {words[words.index('version') + 1]}" if clang else f"gcc {words[-1]}"
    return where.kernel.release, where.name, rustc, compiler
