# SPDX-License-Identifier: GPL-2.0
"""Reads test results in KTAP, version 1 (Documentation/dev-tools/ktap.rst of the kernel).

Stricter than the format asks: a plan that is missing or is not what ran, a number that is
missing, doubled or out of order, a name that comes twice, and results that contradict their
subtests are problems, and a document with a problem has not passed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum


class Status(StrEnum):
    """How a test came out."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Result:
    """One test without subtests; a subtest's name begins with its parent's and a dot."""

    name: str
    status: Status
    # Why it was skipped.
    reason: str = ""
    # What it said before its result line.
    diagnostics: tuple[str, ...] = ()


@dataclass
class Report:
    """The tests of one or more documents, and what is wrong with the documents themselves."""

    results: list[Result] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def fold(self, other: "Report") -> None:
        """Adds the tests and problems of another report."""
        self.results += other.results
        self.problems += other.problems


_VERSION = "KTAP version 1"
_PLAN = re.compile(r"1\.\.(?P<count>\d+)(?:\s*# SKIP\s*(?P<reason>.*))?$")
_RESULT = re.compile(
    r"(?P<not>not )?ok (?P<number>\d+)(?: - | )?(?P<name>[^#]*?)"
    r"\s*(?:# (?P<directive>SKIP|TODO|XFAIL|TIMEOUT|ERROR)?\b\s*(?P<reason>.*))?$"
)


def parse(text: str) -> Report:
    """Reads all documents in ``text``, one after the other. None at all is a problem."""
    preamble, *documents = re.split(rf"^{_VERSION}\n", text, flags=re.MULTILINE)
    report = Report()
    for line in preamble.splitlines():
        if _RESULT.match(line.strip()) or _PLAN.match(line.strip()):
            report.problems.append(f"'{line.strip()}' comes before '{_VERSION}'")
    for document in documents:
        report.fold(_Document(document).read())
    if not documents:
        report.problems.append("there are no results at all")
    if text and not text.endswith("\n"):
        report.problems.append("the results break off in the middle of a line")
    return report


@dataclass
class _Group:
    """The tests of one indentation, as far as they have been read."""

    indent: int
    plan: int | None = None
    skipped: str | None = None
    count: int = 0
    names: set[str] = field(default_factory=set)
    results: list[Result] = field(default_factory=list)


class _Document:
    """What follows one version line."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._next = 0
        self._problems: list[str] = []

    def read(self) -> Report:
        """Reads it to its end."""
        group = self._group(0)
        return Report(group.results, self._problems)

    def _group(self, indent: int) -> _Group:
        group = _Group(indent)
        diagnostics: list[str] = []
        subtests: _Group | None = None
        while self._next < len(self._lines):
            line = self._lines[self._next].rstrip()
            text = line.lstrip(" ")
            depth = len(line) - len(text)
            plan, result = _PLAN.match(text), _RESULT.match(text)
            if depth < indent and (plan or result):
                break
            self._next += 1
            if text == _VERSION and depth > indent and subtests is None:
                subtests = self._group(depth)
            elif text.startswith("Bail out!"):
                self._problems.append(text)
            elif (plan or result) and depth != indent:
                self._problems.append(f"'{text}' stands where no group of tests is")
            elif plan:
                self._plan(group, plan)
            elif result:
                self._result(group, result, subtests, diagnostics)
                subtests, diagnostics = None, []
            elif text:
                diagnostics.append(text)
        self._close(group, subtests, diagnostics)
        return group

    def _plan(self, group: _Group, plan: re.Match[str]) -> None:
        if group.plan is not None:
            self._problems.append(f"a second plan, '{plan.group()}'")
        group.plan = int(plan["count"])
        group.skipped = plan["reason"]

    def _result(
        self,
        group: _Group,
        result: re.Match[str],
        subtests: _Group | None,
        diagnostics: Sequence[str],
    ) -> None:
        group.count += 1
        name = result["name"].strip() or f"test {result['number']}"
        if int(result["number"]) != group.count:
            self._problems.append(f"'{result.group()}' where number {group.count} was due")
        if name in group.names:
            self._problems.append(f"'{name}' comes twice")
        group.names.add(name)

        status = Status.FAILED if result["not"] else Status.PASSED
        if result["directive"] == "SKIP":
            if status is Status.FAILED:
                self._problems.append(f"'{name}' failed and was skipped at once")
            elif not result["reason"]:
                self._problems.append(f"'{name}' was skipped without a reason")
            status = Status.SKIPPED if status is Status.PASSED else status
        if subtests is None:
            reason = result["reason"] or "" if status is Status.SKIPPED else ""
            group.results.append(Result(name, status, reason, tuple(diagnostics)))
            return
        for inner in subtests.results:
            group.results.append(replace(inner, name=f"{name}.{inner.name}"))
        failed = any(inner.status is Status.FAILED for inner in subtests.results)
        if failed != (status is Status.FAILED):
            self._problems.append(f"'{result.group()}' is not what its subtests say")
        if failed and diagnostics:
            # What the group said may tell why.
            last = next(r for r in reversed(group.results) if r.status is Status.FAILED)
            place = group.results.index(last)
            joined = (*last.diagnostics, *diagnostics)
            group.results[place] = replace(last, diagnostics=joined)

    def _close(self, group: _Group, subtests: _Group | None, diagnostics: Sequence[str]) -> None:
        if subtests is not None:
            group.results += subtests.results
            self._problems.append("a group of tests has no result of its own: it was cut off")
        if group.plan is None:
            self._problems.append(f"{group.count} results without a plan")
        elif group.plan != group.count:
            said = f" ({'; '.join(diagnostics[-3:])})" if diagnostics else ""
            self._problems.append(f"{group.count} results where {group.plan} were planned{said}")
        elif group.plan == 0 and not group.skipped:
            self._problems.append("a plan of nothing at all")
