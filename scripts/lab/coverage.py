# SPDX-License-Identifier: GPL-2.0
"""Which lines of the module were reached, by the places that KCOV has recorded.

clang and rustc call ``__sanitizer_cov_trace_pc()`` in each basic block, and KCOV records where that
call returns to. The relocations of the module tell all the places there are.
"""

import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.errors import LabError
from lab.report import aligned
from lab.toolchain import Toolchain

TRACE = "__sanitizer_cov_trace_pc"

# The relocation is of the call's operand, behind which the call ends.
OPERAND = 4
CALL = 5

# A section of relocations begins so, and each of them is a line.
_SECTION = re.compile(r"^Relocation section '\.rela(\S+)'")
_RELOCATION = re.compile(rf"^([0-9a-f]+) .* {TRACE}\b")


# The driver's files are in the folder in which the lab builds modules; what was inlined of core or
# of the kernel crate is elsewhere.
_OF_THE_DRIVER = re.compile(r".*/in/(src/\S+\.(?:rs|c|h)):([1-9]\d*)(?: .*)?")

# A file and a number.
Line = tuple[str, int]


@dataclass
class Lines:
    """The lines of a file that have code."""

    reached: set[int] = field(default_factory=set)
    others: set[int] = field(default_factory=set)


def of(module: Path, covered: Iterable[int], tc: Toolchain) -> Mapping[str, Lines]:
    """Returns for each file of the driver which of its lines were reached."""
    if not tc.llvm_bin:
        raise LabError("coverage is read by the tools of LLVM")
    listing = _run(tc, "llvm-readelf", "--wide", "--relocs", str(module))
    places = traced(listing)
    # Of the call itself, not of what follows it.
    addresses = "".join(f"{place - CALL:#x}\n" for place in places)
    names = _run(
        tc, "llvm-symbolizer", f"--obj={module}", "--output-style=GNU", "--inlines",
        "--no-demangle", "--addresses", stdin=addresses,
    )  # fmt: skip
    wanted = set(covered)
    return lines(located(names), {place - CALL for place in wanted})


def traced(listing: str) -> list[int]:
    """Returns the places of the module's .text that KCOV can record, in what readelf lists."""
    places: list[int] = []
    section = ""
    for line in listing.splitlines():
        if match := _SECTION.match(line):
            section = match[1]
        elif section == ".text" and (match := _RELOCATION.match(line)):
            places.append(int(match[1], 16) + OPERAND)
    return sorted(places)


def located(names: str) -> dict[int, set[Line]]:
    """Reads llvm-symbolizer's answers: the driver's lines that each address belongs to.

    There are several where a function was inlined: its line, and those that led there.
    """
    found: dict[int, set[Line]] = {}
    address = 0
    for line in names.splitlines():
        if re.fullmatch(r"0x[0-9a-f]+", line):
            address = int(line, 16)
        elif match := _OF_THE_DRIVER.fullmatch(line):
            found.setdefault(address, set()).add((match[1], int(match[2])))
    return found


def lines(places: Mapping[int, set[Line]], covered: Iterable[int]) -> Mapping[str, Lines]:
    """Returns the lines that have places, by file, told by which of these were covered."""
    wanted = set(covered)
    files: dict[str, Lines] = {}
    for place, of_place in places.items():
        for name, line in of_place:
            of_file = files.setdefault(name, Lines())
            (of_file.reached if place in wanted else of_file.others).add(line)
    for of_file in files.values():
        of_file.others -= of_file.reached
    return dict(sorted(files.items()))


def table(files: Mapping[str, Lines]) -> str:
    """Returns how much of each file was reached."""
    rows: list[Sequence[str]] = [("lines", "reached", "", "file")]
    counts = [(name, len(f.reached), len(f.reached) + len(f.others)) for name, f in files.items()]
    counts.append(("all", sum(row[1] for row in counts), sum(row[2] for row in counts)))
    for name, reached, every in counts:
        rows.append((str(every), str(reached), f"{100 * reached // max(every, 1)} %", name))
    return aligned(rows)


def unreached(files: Mapping[str, Lines], listed: Sequence[str]) -> str:
    """Lists the lines of some files that were not reached."""
    said = [
        f"not reached: {name}: {', '.join(str(line) for line in sorted(of_file.others))}"
        for name, of_file in files.items()
        if name.startswith(tuple(listed)) and of_file.others
    ]
    return "\n".join(said) or "all lines that are listed were reached"


def _run(tc: Toolchain, tool: str, *arguments: str, stdin: str = "") -> str:
    assert tc.llvm_bin is not None
    return subprocess.run(
        [str(tc.llvm_bin / tool), *arguments],
        input=stdin,
        env=tc.env(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
