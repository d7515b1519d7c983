# SPDX-License-Identifier: GPL-2.0
"""The results of a whole test run: printed as they come, summed up, and kept as JUnit XML."""

import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TextIO

from lab import ktap
from lab.errors import UsageError
from lab.ktap import Status

# How much of what a failed test said is shown. All of it is in the logs.
SHOWN_LINES = 60


def matches(name: str, pattern: str) -> bool:
    """Tells whether ONLY means a test: by a part of its name, or a glob for all of it.

    Several of these are separated by ``|``.
    """
    return any(part in name or fnmatchcase(name, part) for part in pattern.split("|"))


class Results:
    """All tests of a run, by suite."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self.tests: list[tuple[str, ktap.Result]] = []

    def add(self, suite: str, results: Iterable[ktap.Result]) -> None:
        """Adds a suite's tests, and shows those that did not pass."""
        added = list(results)
        self.tests += [(suite, result) for result in added]
        counts = Counter(result.status for result in added)
        said = ", ".join(f"{counts[status]} {status}" for status in Status if counts[status])
        self._print(f"{suite}: {said or 'no tests'}")
        for result in added:
            if result.status is Status.SKIPPED:
                self._print(f"  skipped {result.name}: {result.reason}")
            elif result.status is Status.FAILED:
                self._print(f"  FAILED {result.name}")
                self._diagnose(result.diagnostics)

    def fail(self, suite: str, name: str, lines: Sequence[str]) -> None:
        """Adds something that is no test and yet went wrong, as a failed test."""
        self.add(suite, [ktap.Result(name, Status.FAILED, "", tuple(lines))])

    def count(self, status: Status) -> int:
        """Returns how many tests came out so."""
        return sum(result.status is status for _, result in self.tests)

    def refuse_none(self, only: str) -> None:
        """Refuses a run without any test: what ONLY= asks for matches nothing."""
        if not self.tests:
            raise UsageError(f"there is no test whose name has '{only}' in it")

    def close(self) -> None:
        """Prints the last line of the run."""
        self._print(", ".join(f"{self.count(status)} {status}" for status in Status))

    def write_junit(self, path: Path) -> None:
        """Writes the results in the form that CI systems read."""
        root = ET.Element("testsuites")
        for suite in dict.fromkeys(suite for suite, _ in self.tests):
            results = [result for name, result in self.tests if name == suite]
            counts = Counter(result.status for result in results)
            element = ET.SubElement(
                root,
                "testsuite",
                name=suite,
                tests=str(len(results)),
                failures=str(counts[Status.FAILED]),
                skipped=str(counts[Status.SKIPPED]),
            )
            for result in results:
                case = ET.SubElement(element, "testcase", classname=suite, name=result.name)
                if result.status is Status.FAILED:
                    failure = ET.SubElement(case, "failure")
                    failure.text = _printable("\n".join(result.diagnostics))
                elif result.status is Status.SKIPPED:
                    ET.SubElement(case, "skipped", message=_printable(result.reason))
        ET.indent(root)
        ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)

    def _diagnose(self, lines: Sequence[str]) -> None:
        left_out = len(lines) - SHOWN_LINES
        for line in lines[:SHOWN_LINES]:
            self._print(f"    {line}")
        if left_out > 0:
            self._print(f"    ({left_out} more lines)")

    def _print(self, line: str) -> None:
        print(line, file=self._out, flush=True)


def _printable(text: str) -> str:
    # XML has no way to write most control characters.
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
