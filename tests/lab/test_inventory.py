# SPDX-License-Identifier: GPL-2.0
"""Each test of the sources must show a result, and each suite that is due must run."""

import math
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab import (
    abi,
    cargo,
    compile_fail,
    compiled,
    errnos,
    fuzz,
    guide,
    inventory,
    kunit,
    lane,
    lint,
    logs,
    new,
    paths,
    pytools,
    samples,
    selftest,
    suite,
    test,
    toolchain,
)
from lab.errors import Exit
from lab.kernel import Kernel
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.suite import SuiteRun
from lab.task import Task
from lab.toolchain import Toolchain
from lab.verdict import Verdict

SUITES = {suite.name: suite for suite in inventory.SUITES}
# Their tests are not in files of theirs: that there are some is all that is known.
OF_CODE = {"abi", "compiled", "selftest"}
HOST = [name for name, suite in SUITES.items() if not suite.lanes]


def results(name: str) -> list[Result]:
    """Returns what a suite shows when all is well."""
    tests = list(SUITES[name].expected().elements()) or ["a"]
    return [Result(test, Status.PASSED) for test in tests]


# What the sources have.


def test_each_file_with_tests_has_a_suite() -> None:
    assert inventory.homeless(lint.tracked()) == []


def test_each_suite_has_tests() -> None:
    for name, each in SUITES.items():
        assert each.files(paths.ROOT), name
        assert each.expected() or name in OF_CODE, name


@pytest.mark.parametrize(
    ("name", "test"),
    [
        ("tools", "a_pattern_is_a_part_or_a_glob"),
        ("core", "capacity_is_power_of_two_within_limits"),
        ("core", "full_ring_has_no_room"),
        ("core, AddressSanitizer", "a_byte_beyond_the_data_is_found"),
        ("core, ThreadSanitizer", "head_release_is_needed"),
        ("core, models", "sleeping_reader_is_woken"),
        ("tools, examples", "tools/ringdev/src/lib.rs"),
        ("lab", "test_inventory::test_tests_of_each_sort_are_found"),
        ("kunit", "full_ring_has_no_room"),
        ("user", "poll_times_out"),
        ("user, 32-bit", "destroy_wakes_pollers"),
        ("guide", "poll"),
        ("samples", "shell_together_keeps_lines_whole"),
        ("samples", "ringctl_cat_follows_a_ring"),
        ("compile_fail", "published_twice"),
        ("new", "limits_are_what_can_be"),
    ],
)
def test_tests_of_each_sort_are_found(name: str, test: str) -> None:
    assert test in SUITES[name].expected()


def test_a_suite_has_no_tests_of_the_other_sanitizer() -> None:
    assert "head_release_is_needed" not in SUITES["core, AddressSanitizer"].expected()
    assert "a_byte_beyond_the_data_is_found" not in SUITES["core, ThreadSanitizer"].expected()
    assert "a_run_without_fault_is_clean" in SUITES["core, ThreadSanitizer"].expected()


def test_a_rule_for_all_kinds_of_rings_is_a_test_for_each() -> None:
    text = (paths.ROOT / "include/uapi/linux/ringdev.h").read_text()
    create = text.partition("* struct ringdev_create")[2].partition("*/")[0]
    lines = re.findall(r"@(?:flags|framing|full|delivery): (.*)", create)
    choices = [len(re.findall(r"RINGDEV_\w+|\b0\b", line)) for line in lines]
    assert math.prod(choices) == inventory.KINDS_OF["every"]
    expected = SUITES["user"].expected()
    assert expected["destroy_wakes_pollers"] == inventory.KINDS_OF["every"]
    # Of three ways to meet a full ring, one blocks, and two never overwrite.
    assert expected["destroy_ends_a_blocked_write"] * 3 == inventory.KINDS_OF["every"]
    assert expected["what_fits_exactly_goes_in"] * 3 == inventory.KINDS_OF["every"] * 2


def test_a_kind_of_ring_that_a_rule_was_not_tried_with_is_missed() -> None:
    shown = [result for result in results("user") if result.name != "destroy_wakes_pollers"]
    shown += [Result("destroy_wakes_pollers_stream_block_shared", Status.PASSED)] * 12
    assert missing("user", shown, "plain") == "destroy_wakes_pollers has no result"


def test_tests_of_the_harness_are_not_among_the_user_tests() -> None:
    assert "panic_fails" not in SUITES["user"].expected()


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("samples/flight-recorder/src/main.rs", "#[cfg(test)]\nmod tests {\n    #[test]\n    fn"),
        ("tools/new/src/lib.rs", "#[tokio::test]\nasync fn a() {}\n"),
        ("scripts/test_lab.py", "def test_a() -> None:\n"),
        ("samples/python/ring.py", "class Tests:\n    def test_a(self):\n"),
    ],
)
def test_a_file_with_tests_that_no_suite_runs_is_found(
    tmp_path: Path, place: str, text: str
) -> None:
    (tmp_path / "Cargo.toml").write_text('[workspace]\nmembers = ["tools/ringctl"]\n')
    file = tmp_path / place
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert inventory.homeless([Path(place)], tmp_path) == [Path(place)]


def test_a_crate_of_the_workspace_is_tested_with_the_tools(tmp_path: Path) -> None:
    (tmp_path / "Cargo.toml").write_text('[workspace]\nmembers = ["tools/new"]\n')
    file = tmp_path / "tools/new/src/lib.rs"
    file.parent.mkdir(parents=True)
    file.write_text("#[test]\n#[should_panic]\n// why\nfn a() {}\n\n// #[test]\n// fn b() {}\n")
    assert inventory.homeless([file.relative_to(tmp_path)], tmp_path) == []
    assert SUITES["tools"].expected(tmp_path) == {"a": 1}


def test_each_package_with_unit_tests_is_tested() -> None:
    packages = {
        tomllib.loads((paths.ROOT.joinpath(*file.parts[:2]) / "Cargo.toml").read_text())["package"][
            "name"
        ]
        for file in SUITES["tools"].files(paths.ROOT)
    }
    assert packages == set(cargo.TESTED)


# What has no result.


def missing(name: str, shown: list[Result], lane_name: str = "") -> str:
    """Returns what is said of a suite with these results."""
    found = inventory.missing({name: (SUITES[name], lane_name)}, [(name, each) for each in shown])
    assert [result.name for result in found] in ([], [name])
    assert all(result.status is Status.FAILED for result in found)
    return "\n".join(line for result in found for line in result.diagnostics)


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_with_all_its_results_is_whole(name: str) -> None:
    assert missing(name, results(name)) == ""


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_that_did_not_run_is_missing(name: str) -> None:
    assert missing(name, []) == "it did not run"


@pytest.mark.parametrize("name", [name for name in SUITES if SUITES[name].expected()])
def test_each_test_has_to_have_a_result(name: str) -> None:
    shown = results(name)
    assert f"{SUITES[name].source(shown[-1].name)} has no result" in missing(name, shown[:-1])


@pytest.mark.parametrize(
    ("name", "result", "test"),
    [
        ("core", "ring::cursor::tests::a", "a"),
        ("kunit", "ringdev_cursor.a", "a"),
        ("user", "a_stream_block_shared_hangup", "a"),
        ("user", "a_record_overwrite_broadcast", "a"),
        ("lab", "test_b::test_a[x-y::z]", "test_b::test_a"),
        ("tools, examples", "tools/a.rs - a::b (line 3)", "tools/a.rs"),
        ("guide", "guide_a", "a"),
    ],
)
def test_a_result_is_known_by_what_its_source_is_called(name: str, result: str, test: str) -> None:
    assert SUITES[name].source(result) == test


SKIPPED = [Result("kunit", Status.SKIPPED, "this kernel has no KUnit")]


def test_a_suite_is_not_skipped_as_a_whole_in_a_lane_of_ours() -> None:
    assert missing("kunit", SKIPPED, "plain") == "all of it was skipped: this kernel has no KUnit"
    assert "all of it was skipped" in missing("core", SKIPPED)


def test_a_suite_may_be_skipped_where_others_have_configured_the_kernel() -> None:
    assert missing("kunit", SKIPPED, "stock") == ""
    assert missing("new", SKIPPED, "plain") == ""


def test_what_is_due_depends_on_the_run() -> None:
    everything = inventory.due(("plain", "debug"), on_host=True, reds=True)
    assert set(HOST) < set(everything)
    assert {"kunit (plain)", "kunit (debug)", "selftest (debug)", "guide (plain)"} < set(everything)
    assert "user, 32-bit (debug)" not in everything
    stock = inventory.due(("stock",), on_host=False, reds=False)
    assert set(stock) == {"kunit (stock)", "user (stock)"}
    twin = inventory.due(("plain",), on_host=False, reds=False, twin=True)
    assert set(twin) == {"user (plain, twin)", "user, 32-bit (plain, twin)"}


# `make test`.

CASES = [f"s.{case}" for case in SUITES["kunit"].expected().elements()]
USER = list(SUITES["user"].expected().elements())


def prepared(name: str, _: object) -> Lane:
    """Returns a lane as if its kernel had been built."""
    kernel = Kernel(name, Path("/src"), Path("/build"), "7.3.4-lab", "key")
    symbols = ("CONFIG_KUNIT", *test.NARROW.symbols)
    tools = Toolchain(tools={"busybox": Path("/bin/busybox")})
    return Lane(name, tools, kernel, dict.fromkeys(symbols, "y"), "tcg")


def good(found: list[Result]) -> SuiteRun:
    """Returns what comes of a guest in which all is well."""
    return SuiteRun(found, Verdict(Exit.PASSED), Path("/log"))


@pytest.fixture(autouse=True)
def _all_is_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Has each suite of `make test` show its results, without running anything."""

    def flavours(*_: object) -> Iterator[tuple[str, list[Result]]]:
        for name in HOST:
            if name not in {"abi", "lab"}:
                yield name, results(name)

    def boot(_: Lane, __: Task, expected: list[str], *___: object) -> SuiteRun:
        return good([Result(name, Status.PASSED) for name in expected])

    for name in ("LANE", "ONLY", "TWIN"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(logs, "new", lambda _: tmp_path)
    monkeypatch.setattr(toolchain, "find", lambda **_: Toolchain(tools={}))
    monkeypatch.setattr(lane, "prepare", prepared)
    monkeypatch.setattr(Lane, "module", lambda *_, **__: Path("/ringdev.ko"))
    monkeypatch.setattr(test.TestRun, "_module", lambda *_: Path("/ringdev.ko"))
    monkeypatch.setattr(test.TestRun, "_list", lambda *_: USER)
    monkeypatch.setattr(
        test, "WIDTHS", [
            test.Width(width.suite, width.want, lambda *_: {test.PROGRAM: Path("/program")},
                       width.symbols, width.lanes)
            for width in test.WIDTHS
        ],
    )  # fmt: skip
    monkeypatch.setattr(test, "NATIVE", test.WIDTHS[0])
    monkeypatch.setattr(cargo, "host_tests", flavours)
    monkeypatch.setattr(abi, "tests", lambda *_: ("abi", results("abi")))
    monkeypatch.setattr(errnos, "tests", lambda *_: [])
    monkeypatch.setattr(pytools, "tests", lambda *_: ("lab", results("lab")))
    monkeypatch.setattr(kunit, "cases", lambda *_: CASES)
    monkeypatch.setattr(suite, "run", boot)
    monkeypatch.setattr(compile_fail, "tests", lambda *_: results("compile_fail"))
    monkeypatch.setattr(compiled, "tests", lambda *_: results("compiled"))
    monkeypatch.setattr(fuzz, "tests", lambda *_: ("fuzz (debug)", results("fuzz")))
    monkeypatch.setattr(guide, "run", lambda *_: good(results("guide")))
    monkeypatch.setattr(samples, "run", lambda *_: good(results("samples")))
    monkeypatch.setattr(new, "tests", lambda *_: results("new"))
    monkeypatch.setattr(selftest, "run", lambda *_: results("selftest"))


def said(capsys: pytest.CaptureFixture[str], code: int) -> str:
    """Runs `make test`, which has to end so, and returns what it says is missing."""
    assert test.main([]) == code
    return capsys.readouterr().out.partition("inventory: ")[2]


def test_a_whole_run_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, Exit.PASSED) == ""


Plant = Callable[[pytest.MonkeyPatch], None]
ABSENT: dict[str, Plant] = {
    "kunit (debug)": lambda patch: patch.setattr(kunit, "cases", lambda *_: []),
    "user (plain)": lambda patch: patch.setattr(test.TestRun, "_list", lambda *_: []),
    "user, 32-bit (plain)": lambda patch: patch.setattr(test, "WIDTHS", test.WIDTHS[:1]),
    "guide (plain)": lambda patch: patch.setattr(guide, "run", lambda *_: None),
    "samples (plain)": lambda patch: patch.setattr(samples, "names", lambda *_: []),
    "compile_fail (plain)": lambda patch: patch.setattr(compile_fail, "tests", lambda *_: []),
    "compiled (debug)": lambda patch: patch.setattr(compiled, "tests", lambda *_: []),
    "new (plain)": lambda patch: patch.setattr(new, "tests", lambda *_: []),
    "selftest (debug)": lambda patch: patch.setattr(selftest, "cases", lambda *_, **__: []),
    "lab": lambda patch: patch.setattr(pytools, "tests", lambda *_: ("lab", [])),
    "abi": lambda patch: patch.setattr(abi, "tests", lambda *_: ("abi", [])),
    "core": lambda patch: patch.setattr(test.TestRun, "on_host", lambda _: None),
}


@pytest.mark.parametrize("name", ABSENT)
def test_a_run_without_a_suite_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    ABSENT[name](monkeypatch)
    assert f"FAILED {name}\n    it did not run" in said(capsys, Exit.TESTS_FAILED)


@pytest.mark.parametrize("name", [name for name in HOST if name not in {"abi", "lab"}])
def test_a_run_without_a_flavour_of_the_host_tests_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    others = [(other, results(other)) for other in HOST if other != name]
    monkeypatch.setattr(cargo, "host_tests", lambda *_: iter(others))
    assert f"FAILED {name}\n    it did not run" in said(capsys, Exit.TESTS_FAILED)


@pytest.mark.parametrize("replayed", [True, False])
def test_a_corpus_has_to_be_replayed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, replayed: bool
) -> None:
    # Any file will do for a program.
    corpus = replace(SUITES["fuzz"], files=lambda _: [Path("README.md")])
    found = ("fuzz (debug)", [Result("fuzz_README", Status.PASSED)]) if replayed else None
    suites = [corpus if each.name == "fuzz" else each for each in inventory.SUITES]
    monkeypatch.setattr(inventory, "SUITES", suites)
    monkeypatch.setattr(fuzz, "tests", lambda *_: found)
    missed = said(capsys, Exit.PASSED if replayed else Exit.TESTS_FAILED)
    assert ("FAILED fuzz (debug)\n    it did not run" in missed) is not replayed


def test_a_run_without_a_test_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(test.TestRun, "_list", lambda *_: USER[1:])
    assert f"FAILED user (plain)\n    {USER[0]} has no result" in said(capsys, Exit.TESTS_FAILED)


def test_only_a_whole_run_has_to_be_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLY", "poll")
    assert test.main([]) == Exit.PASSED


def test_the_host_is_not_due_in_a_run_of_one_lane(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LANE", "plain")
    monkeypatch.setattr(test.TestRun, "on_host", lambda _: pytest.fail("it ran on the host"))
    assert said(capsys, Exit.PASSED) == ""


def test_kunit_is_skipped_with_a_reason_where_a_kernel_has_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lane, "prepare", lambda *of: replace(prepared(*of), config={}))
    monkeypatch.setattr(suite, "run", lambda *_, **__: pytest.fail("it ran"))
    monkeypatch.setattr(kunit, "cases", lambda *_: ["suite.a", "suite.b"])
    monkeypatch.setattr(test.TestRun, "_list", lambda *_: [])
    test.TestRun("suite.").in_lane("stock", reds=False)
    assert "skipped kunit: this kernel has no KUnit built in (2 cases)" in capsys.readouterr().out


def test_trouble_of_a_guest_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def boot(_: Lane, __: Task, expected: list[str], *___: object) -> SuiteRun:
        found = [Result(name, Status.PASSED) for name in expected]
        return SuiteRun(found, Verdict(Exit.LEAK), Path("/log"))

    monkeypatch.setattr(suite, "run", boot)
    assert said(capsys, Exit.LEAK) == ""
