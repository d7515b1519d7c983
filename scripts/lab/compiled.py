# SPDX-License-Identifier: GPL-2.0
"""Looks at what the compiler has made of the module: its memory ordering, and its checks.

The models of tests/core prove the ring with a platform.rs of their own. That the module's own one
does what it says is looked for in the module: each site of src/ring/ordering.rs must be a call of
the kernel's function that orders memory in this way. The kernel crate calls these functions of C,
so a call is a relocation, and the debug information has the lines that were compiled to it. On x86
only the full barrier becomes an instruction, in the function that is called.

In the debug lane, the functions written in Rust must be instrumented for KASAN, and have checks of
arithmetic. The compiler leaves these out without a word if it is not told to make them.
"""

import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import paths
from lab.errors import LabError
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.results import matches
from lab.toolchain import Toolchain

SUITE = "compiled"

SOURCES = paths.ROOT / "src"
SITES = SOURCES / "ring/ordering.rs"

# The functions of platform.rs, and the kernel's function that each of them must be compiled to.
ORDERINGS: Mapping[str, str] = {
    "load_acquire": "rust_helper_atomic64_read_acquire",
    "store_release": "rust_helper_atomic64_set_release",
    "full_barrier": "rust_helper_smp_mb",
    "write_barrier": "rust_helper_smp_wmb",
    "read_barrier": "rust_helper_smp_rmb",
}
FULL_BARRIER = ORDERINGS["full_barrier"]

# What a full barrier is on x86: an instruction with a LOCK prefix, or MFENCE.
_FULL = re.compile(r"\b(?:lock|mfence)\b")

_ENUM = re.compile(r"^pub\(crate\) enum Site \{$(.*?)^\}$", re.MULTILINE | re.DOTALL)
_VARIANT = re.compile(r"^    (\w+),$", re.MULTILINE)
_USE = re.compile(rf"\b({'|'.join(ORDERINGS)})\([^;{{}}]*?\bSite::(\w+)")
_RELOCATIONS = re.compile(r"^Relocation section '\.rela?(\.[\w.]+)'.*?:\n(.*?)(?=^$|\Z)",
                          re.MULTILINE | re.DOTALL)  # fmt: skip
_RELOCATION = re.compile(r"^([0-9a-f]+)\s+\S+\s+R_\w+\s+\S+\s+(\w+)", re.MULTILINE)
_FRAME = re.compile(r"^(\S+):(\d+)(?: .*)?$")

# Tests of the debug lane, and the functions that instrumented code calls.
CHECKS: Mapping[str, re.Pattern[str]] = {
    "accesses_of_rust_are_checked_by_kasan": re.compile(r"__asan_(?:report_)?(?:load|store)"),
    "arithmetic_of_rust_is_checked_for_overflow": re.compile(r"panic_const_(?:add|sub)_overflow"),
}
# Each of the core's files with code that indexes memory or counts is instrumented if one is.
INSTRUMENTED = ("src/channel/", "src/ring/")


@dataclass(frozen=True)
class Use:
    """A place in the source where memory is ordered at a site."""

    site: str
    # The function of platform.rs that is called there.
    ordering: str
    # The file below the root, and the line of the call.
    file: str
    line: int


@dataclass(frozen=True)
class Call:
    """A call in the module's code."""

    function: str
    # The places in the source that it was compiled from, innermost first.
    frames: tuple[tuple[str, int], ...]


def names(lane_name: str, only: str = "") -> list[str]:
    """Returns the tests for a lane, or those of them whose name ``only`` matches."""
    tests = {"plain": [_name(site) for site in sites()] + [_FULL_TEST], "debug": list(CHECKS)}
    return [name for name in tests.get(lane_name, []) if matches(name, only)]


_FULL_TEST = "full_barrier_is_an_instruction"


def _name(site: str) -> str:
    """Returns what the test of a site is called."""
    return f"{re.sub(r'(?<!^)(?=[A-Z])', '_', site).lower()}_is_in_the_module"


def tests(where: Lane, only: str) -> list[Result]:
    """Runs the tests for a lane whose name ``only`` matches."""
    wanted = names(where.name, only)
    if not wanted:
        return []
    if where.config.get("CONFIG_RUST_INLINE_HELPERS") == "y":
        reason = "this kernel's functions in C are compiled into the module"
        return [Result(name, Status.SKIPPED, reason) for name in wanted]
    module = where.module(kunit=False)
    found = _checks(where, module) if where.name == "debug" else _orderings(where, module)
    return [result for result in found if result.name in wanted]


def _result(name: str, wrong: Sequence[str]) -> Result:
    return Result(name, Status.FAILED if wrong else Status.PASSED, diagnostics=tuple(wrong))


# The memory ordering.


def _orderings(where: Lane, module: Path) -> Iterator[Result]:
    found = calls(module, re.compile("|".join(ORDERINGS.values())), where.tools)
    every = uses(SOURCES)
    for site in sites():
        wrong = missing([use for use in every if use.site == site], found)
        yield _result(_name(site), wrong)
    code = disassembly(FULL_BARRIER, where.kernel.vmlinux, where.tools)
    yield _result(
        _FULL_TEST, [] if _FULL.search(code) else ["there is none in it:", *code.splitlines()]
    )


def sites(file: Path = SITES) -> list[str]:
    """Returns the names of the sites."""
    [body] = _ENUM.findall(file.read_text())
    return _VARIANT.findall(body)


def uses(folder: Path) -> list[Use]:
    """Returns the places below a folder of sources where memory is ordered at a site."""
    found = []
    for file in sorted(folder.rglob("*.rs")):
        text = file.read_text()
        for match in _USE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Use(match[2], match[1], str(file.relative_to(folder.parent)), line))
    return found


def missing(of_site: Sequence[Use], found: Sequence[Call]) -> list[str]:
    """Returns a sentence for each use of a site that was not compiled to what it should be."""
    if not of_site:
        return ["the site is in the list, and used nowhere"]
    return [
        f"{use.file}:{use.line}: {use.ordering}() is not compiled to {ORDERINGS[use.ordering]}()"
        for use in of_site
        if not any(_is_of(use, call) for call in found)
    ]


def _is_of(use: Use, call: Call) -> bool:
    return call.function == ORDERINGS[use.ordering] and any(
        file.endswith(f"/{use.file}") and line == use.line for file, line in call.frames
    )


# The checks of the debug lane.


def _checks(where: Lane, module: Path) -> Iterator[Result]:
    for name, function in CHECKS.items():
        found = calls(module, function, where.tools)
        checked = {file for call in found for file, _ in call.frames}
        wrong = [
            f"nothing of {folder} calls such a function"
            for folder in INSTRUMENTED
            if not any(f"/{folder}" in file for file in checked)
        ]
        yield _result(name, wrong)


# What the tools say.


def calls(module: Path, function: re.Pattern[str], tc: Toolchain) -> list[Call]:
    """Returns the calls in a module's code of the functions whose name the pattern matches."""
    relocations = _run(tc, "readelf", "--wide", "--relocs", str(module))
    places = [
        (address, symbol)
        for address, symbol in relocations_of(".text", relocations)
        if function.search(symbol)
    ]
    if not places:
        return []
    # The address of a call stands behind its first byte.
    addresses = "".join(f"{address - 1:#x}\n" for address, _ in places)
    said = _run(tc, "addr2line", "-a", "-i", "-f", "-e", str(module), stdin=addresses)
    frames = frames_of(said)
    if len(frames) != len(places):
        raise LabError(f"addr2line was asked for {len(places)} places, and named {len(frames)}")
    return [Call(symbol, found) for (_, symbol), found in zip(places, frames, strict=True)]


def relocations_of(section: str, listing: str) -> list[tuple[int, str]]:
    """Reads the addresses and symbols of a section's relocations from what readelf says."""
    return [
        (int(address, 16), symbol)
        for name, rows in _RELOCATIONS.findall(listing)
        if name == section
        for address, symbol in _RELOCATION.findall(rows)
    ]


def frames_of(said: str) -> list[tuple[tuple[str, int], ...]]:
    """Reads what addr2line says: the places of each address, innermost first."""
    found: list[tuple[tuple[str, int], ...]] = []
    for block in re.split(r"^0x[0-9a-f]+$", said, flags=re.MULTILINE)[1:]:
        # A function, and below it the place.
        lines = block.strip().splitlines()[1::2]
        places = [match for line in lines if (match := _FRAME.match(line))]
        found.append(tuple((match[1], int(match[2])) for match in places))
    return found


def disassembly(function: str, image: Path, tc: Toolchain) -> str:
    """Returns the instructions of a function of the kernel, without their addresses."""
    option = "--disassemble-symbols" if tc.llvm_bin else "--disassemble"
    said = _run(tc, "objdump", "-d", "--no-show-raw-insn", f"{option}={function}", str(image))
    return "\n".join(re.findall(r"^\s*[0-9a-f]+:\s+(.*)$", said, re.MULTILINE))


def _run(tc: Toolchain, tool: str, *arguments: str, stdin: str = "") -> str:
    program = str(tc.llvm_bin / f"llvm-{tool}") if tc.llvm_bin else tool
    return subprocess.run(
        [program, *arguments], input=stdin, capture_output=True, text=True, env=tc.env(), check=True
    ).stdout
