# SPDX-License-Identifier: GPL-2.0
"""Compares the errnos that Documentation/user-api.rst names with those that user tests check for.

A test says what it checks for in a comment directly above the function or the assertion:

    // errno: write EAGAIN EPIPE
    // errno: CREATE EINVAL

The call is the first word of a section with a table of errnos, or an ioctl without its prefix.
What holds for all ioctls is in the table of the section "ioctl"; what is said before the ioctls of
a node belongs to the last word of that section's title.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from lab import paths
from lab.ktap import Result, Status
from lab.results import matches

DOCUMENT = paths.ROOT / "Documentation/user-api.rst"
TESTS = paths.ROOT / "tests/user/src"

# The section whose subsections list ioctls.
IOCTLS = "ioctl"

_UNDERLINE = re.compile(r"=+|-+")
_TABLE = re.compile(r"=+( +=+)+")
# A row of a table in a section, which is not indented.
_ROW = re.compile(r"``(E[A-Z0-9]+)``( |$)")
_ERRNO = re.compile(r"``(E[A-Z0-9]+)``")
_IOCTL = re.compile(r"``(?:RINGDEV_IOC_)?([A-Z_]+)``")
_MARKER = re.compile(r"// errno: (\w+)((?: E[A-Z0-9]+)+)")


@dataclass(frozen=True, order=True)
class Pair:
    """A call, and an errno that it gives."""

    call: str
    errno: str

    def __str__(self) -> str:
        """Shows it as the markers have it."""
        return f"{self.call} {self.errno}"


@dataclass(frozen=True)
class Marker:
    """A test's word that it checks for an errno."""

    pair: Pair
    # FILE:LINE.
    place: str


def tests(only: str) -> list[Result]:
    """Compares the document with the tests."""
    known = documented(DOCUMENT.read_text())
    markers, wrong = marked(TESTS)
    found = [
        _result("each_documented_errno_is_tested", untested(known, markers)),
        _result("each_tested_errno_is_documented", [*wrong, *undocumented(known, markers)]),
    ]
    return [result for result in found if not only or matches(result.name, only)]


def _result(name: str, wrong: Sequence[str]) -> Result:
    return Result(name, Status.FAILED if wrong else Status.PASSED, diagnostics=tuple(wrong))


def untested(known: Mapping[Pair, int], markers: Sequence[Marker]) -> list[str]:
    """Returns a sentence for each errno of the document that no test checks for."""
    tested = {marker.pair for marker in markers}
    return [
        f"{DOCUMENT.name}:{line}: no test has '// errno: {pair}'"
        for pair, line in known.items()
        if pair not in tested
    ] or ([] if known else [f"{DOCUMENT.name} names no errno at all"])


def undocumented(known: Mapping[Pair, int], markers: Sequence[Marker]) -> list[str]:
    """Returns a sentence for each errno that a test checks for and the document does not name."""
    calls = {pair.call for pair in known}
    return [
        f"{marker.place}: {DOCUMENT.name} does not name {marker.pair}"
        + ("" if marker.pair.call in calls else f"; its calls are {' '.join(sorted(calls))}")
        for marker in markers
        if marker.pair not in known
    ]


def documented(text: str) -> dict[Pair, int]:
    """Returns the errnos that the document names, each with the line that does so first."""
    found: dict[Pair, int] = {}
    section = node = item = ""
    in_table = False
    lines = [*text.splitlines(), ""]
    for number, (line, following) in enumerate(pairwise(lines), 1):
        if _UNDERLINE.fullmatch(following) and line[:1].isalpha():
            if following.startswith("="):
                section, node = line, ""
            else:
                node = line
            item, in_table = "", False
        elif _TABLE.fullmatch(line):
            # A table ends with such a line, behind which nothing comes.
            in_table = bool(following)
        elif section == IOCTLS and node:
            if match := _IOCTL.fullmatch(line):
                item = match[1]
            elif line and not line[0].isspace():
                item = ""
            call = item or re.split(r"[ /]", node)[-1]
            for errno in _ERRNO.findall(line):
                found.setdefault(Pair(call, errno), number)
        elif in_table and (match := _ROW.match(line)):
            found.setdefault(Pair(re.split(r"[ ,]", section)[0], match[1]), number)
    return found


def marked(folder: Path) -> tuple[list[Marker], list[str]]:
    """Returns the markers of the tests in a folder, and a sentence for each that means nothing."""
    markers: list[Marker] = []
    wrong: list[str] = []
    for file in sorted(folder.rglob("*.rs")):
        lines = file.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            if not line.strip().startswith("// errno:"):
                continue
            place = f"{file.relative_to(folder)}:{number}"
            match = _MARKER.fullmatch(line.strip())
            if not match:
                wrong.append(f"{place}: not as in '// errno: write EAGAIN EPIPE': {line.strip()}")
                continue
            code = "\n".join(_below(lines[number:]))
            for errno in match[2].split():
                markers.append(Marker(Pair(match[1], errno), place))
                if not re.search(rf"\b{errno}\b", code):
                    wrong.append(f"{place}: what stands below it does not name {errno}")
    return markers, wrong


def _below(lines: Sequence[str]) -> Iterator[str]:
    """Yields the code that a marker is about: up to the end of the function that it is in.

    An empty line directly below the marker parts it from any code.
    """
    started = False
    for line in lines:
        if line.strip().startswith("//"):
            continue
        if not line.strip() and not started:
            return
        started = True
        yield line
        if line[:1] in {"}", "]", ")"}:
            return
