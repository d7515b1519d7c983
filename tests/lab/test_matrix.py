# SPDX-License-Identifier: GPL-2.0
"""``make test-matrix``: what it runs, and what its rows say."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lab import inventory, matrix, source, test
from lab import lane as lanes
from lab.errors import Exit, HostNotFit, LabError, UsageError
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.matrix import Row
from lab.results import Results

CLANG = {
    "CONFIG_CC_IS_CLANG": "y",
    "CONFIG_CC_VERSION_TEXT": '"Debian clang version 19.1.7 (3~deb12u1)"',
    "CONFIG_RUSTC_VERSION_TEXT": '"rustc 1.85.0 (4d91de4e4 2025-02-17) (built from a tarball)"',
}
GCC = {
    "CONFIG_CC_VERSION_TEXT": '"x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0"',
    "CONFIG_RUSTC_VERSION_TEXT": '"rustc 1.85.1 (4eb161250 2025-03-15)"',
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KERNEL", "LANE", "ONLY", "RECORD", "KDIR", "KSRC"):
        monkeypatch.setenv(name, "")
    # The rows of these tests have two results, and the sources have hundreds of tests.
    monkeypatch.setattr(inventory, "missing", lambda *_: [])


def lane(config: dict[str, str]) -> Lane:
    """Returns a lane as far as a row says something of it."""
    kernel = SimpleNamespace(release="7.3.4")
    return cast("Lane", SimpleNamespace(name="plain", kernel=kernel, config=config))


def test_everything_is_every_lane_of_every_series() -> None:
    found = matrix.combinations()
    assert ("7.3", "plain") in found
    assert ("7.2", "stock") in found
    assert len(found) == len(source.SERIES) * len(lanes.ALL)


def test_it_can_be_narrowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERNEL", "7.2")
    assert [name for _, name in matrix.combinations()] == list(lanes.ALL)
    monkeypatch.setenv("LANE", "debug")
    assert matrix.combinations() == [("7.2", "debug")]
    monkeypatch.setenv("LANE", "inline")
    with pytest.raises(UsageError, match="LANE=inline"):
        matrix.combinations()


def test_what_has_compiled_a_kernel_is_said_in_short() -> None:
    assert matrix.facts(lane(CLANG)) == ("7.3.4", "plain", "1.85.0", "clang 19.1.7")
    assert matrix.facts(lane(GCC)) == ("7.3.4", "plain", "1.85.1", "gcc 14.2.0")


@pytest.mark.parametrize(("status", "failed"), [(Status.PASSED, False), (Status.FAILED, True)])
def test_a_row_fails_as_its_tests_do(
    monkeypatch: pytest.MonkeyPatch, status: Status, failed: bool
) -> None:
    def in_lane(self: test.TestRun, _name: str, *, reds: bool) -> Lane:
        assert not reds
        assert os.environ["KERNEL"] == "7.2"
        self.results = Results()
        self.results.add("user", [Result("a", status), Result("b", Status.PASSED)])
        return lane(GCC)

    monkeypatch.setattr(test.TestRun, "in_lane", in_lane)
    row = matrix.run("7.2", "stock", "")
    assert row.failed is failed
    assert row.cells[-1] == (
        "1 passed, 1 failed, 0 skipped" if failed else "2 passed, 0 failed, 0 skipped"
    )


def test_a_row_without_a_suite_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(due: Mapping[str, object], _: object) -> list[Result]:
        return [Result(name, Status.FAILED) for name in due]

    monkeypatch.setattr(inventory, "missing", missing)
    monkeypatch.setattr(test.TestRun, "in_lane", lambda *_, **__: lane(GCC))
    row = matrix.run("7.2", "stock", "")
    assert row.failed
    assert row.cells[-1] == "0 passed, 2 failed, 0 skipped"


def test_a_kernel_that_is_not_to_be_had_says_why_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def in_lane(*_: object, **__: object) -> Lane:
        raise HostNotFit("there is no mirror\nand more")

    monkeypatch.setattr(test.TestRun, "in_lane", in_lane)
    monkeypatch.setenv("KERNEL", "7.2")
    monkeypatch.setenv("LANE", "stock")
    assert matrix.main([]) == Exit.PASSED
    assert "not here: there is no mirror\n" in capsys.readouterr().out


def test_a_module_that_does_not_build_fails_its_row_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def in_lane(self: test.TestRun, name: str, **_: object) -> Lane:
        if name == "plain":
            raise LabError("the module was not built\nand more")
        self.results = Results()
        self.results.add("user", [Result("a", Status.PASSED)])
        return lane(GCC)

    monkeypatch.setattr(test.TestRun, "in_lane", in_lane)
    monkeypatch.setenv("KERNEL", "7.2")
    assert matrix.main([]) == Exit.TESTS_FAILED
    output = capsys.readouterr().out
    assert "not built: the module was not built\n" in output
    assert output.count("1 passed, 0 failed, 0 skipped") == len(lanes.ALL) - 1


def test_how_some_tests_came_out_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECORD", "1")
    monkeypatch.setenv("ONLY", "resize")
    with pytest.raises(UsageError, match="without ONLY"):
        matrix.main([])


def test_what_is_recorded_joins_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "matrix"
    old = ("7.2.12", "rt", "1.85.0", "clang 19.1.7", "1 passed, 0 failed, 0 skipped")
    stays = ("7.3.4", "plain", "1.85.0", "clang 19.1.7", "3 passed, 0 failed, 0 skipped")
    new = ("7.2.12", "rt", "1.85.0", "clang 19.1.7", "2 passed, 0 failed, 0 skipped")
    matrix.record(folder, [Row("7.2", "rt", old)], "aaaaaaa")
    matrix.record(folder, [Row("7.3", "plain", stays)], "bbbbbbb")
    matrix.record(folder, [Row("7.2", "rt", new)], "ccccccc")
    # A lane that could not run leaves what is there.
    matrix.record(folder, [matrix.no_tests("7.2", "rt", "not here", failed=False)], "ddddddd")
    lines = [line.split() for line in (folder / "table.rst").read_text().splitlines()]
    rows = [line for line in lines if line and line[0].startswith("7")]
    # In the order of the series and lanes, not in that of the runs.
    assert [(row[0], row[-1]) for row in rows] == [("7.3.4", "bbbbbbb"), ("7.2.12", "ccccccc")]
    assert rows[1][5:7] == ["2", "passed,"]
