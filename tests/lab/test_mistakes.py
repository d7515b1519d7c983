# SPDX-License-Identifier: GPL-2.0
"""``make mistakes``: what counts as what has found a mistake, and the table of it."""

import re
from pathlib import Path

import pytest

from lab import compile_fail, mistakes, module
from lab.compile_fail import Mistake
from lab.errors import Exit, UsageError
from lab.ktap import Result, Status
from lab.splat import Splat
from lab.suite import SuiteRun
from lab.verdict import Verdict

KASAN = "BUG: KASAN: slab-use-after-free in ring_leave+0x1f2/0x2c0 [ringdev]"
OOPS = "Oops: general protection fault, probably for non-canonical address 0xdffffc0000000000: 0000"
PASSED = Result("a", Status.PASSED)
FAILED = Result("a", Status.FAILED, "", ("left is not right",))


def came(*results: Result, code: Exit = Exit.PASSED, splat: str = "") -> SuiteRun:
    splats = (Splat("sanitizer", splat, (splat,)),) if splat else ()
    return SuiteRun(list(results), Verdict(code, "", splats), Path("/logs"))


@pytest.mark.parametrize(
    ("run", "found"),
    [
        (came(PASSED), "nothing"),
        (came(FAILED), "the test"),
        (came(FAILED, code=Exit.SPLAT, splat=KASAN), "BUG: KASAN: slab-use-after-free"),
        (
            came(FAILED, code=Exit.HANG),
            "hang: the guest did not get on in time and was ended",
        ),
    ],
)
def test_the_kernel_is_heard_before_the_test(run: SuiteRun, found: str) -> None:
    assert mistakes.finding(run) == found


def test_what_kasan_knows_of_an_oops_is_what_has_found_it() -> None:
    lines = (OOPS, "KASAN: null-ptr-deref in range [0x0000000000000000-0x0000000000000007]")
    run = came(FAILED, code=Exit.PANIC)
    run.verdict = Verdict(Exit.PANIC, "", (Splat("oops", OOPS, lines),))
    assert mistakes.finding(run) == "KASAN: null-ptr-deref"


def test_results_that_do_not_fit_together_are_not_nothing() -> None:
    run = came(PASSED)
    run.problems.append("b did not run")
    assert mistakes.finding(run) == "b did not run"


@pytest.mark.parametrize(
    ("headline", "stable"),
    [
        (KASAN, "BUG: KASAN: slab-use-after-free"),
        (
            "BUG: unable to handle page fault for address: ffffc90000ad4b98",
            "BUG: unable to handle page fault for address",
        ),
        (
            "INFO: task ringdev-tests:187 blocked for more than 20 seconds.",
            "INFO: task ringdev-tests blocked",
        ),
        ("DEBUG_LOCKS_WARN_ON(lock->magic != lock)", "DEBUG_LOCKS_WARN_ON(lock->magic != lock)"),
    ],
)
def test_a_report_is_cut_to_what_is_the_same_each_time(headline: str, stable: str) -> None:
    assert mistakes.stable(headline) == stable


def test_what_finds_it_has_to_be_what_is_declared() -> None:
    assert mistakes.judge("twice", "the test", came(FAILED), []).status is Status.PASSED
    other = mistakes.judge("twice", "nothing", came(FAILED), [])
    assert other.status is Status.FAILED
    assert other.diagnostics[:2] == ("found by: the test", "and not by: nothing")
    assert "left is not right" in other.diagnostics


def test_a_compiler_that_finds_it_is_news() -> None:
    told = mistakes.judge("twice", "the test", came(FAILED), ["write.c:1: warning: unused"])
    assert told.status is Status.FAILED
    assert told.diagnostics == ("the compiler finds it: write.c:1: warning: unused",)


def test_each_is_made_in_one_twin_and_each_that_is_made_is_one() -> None:
    made = set()
    for file in sorted(module.TWIN.glob("*.[ch]")):
        made |= set(re.findall(r"(?<!define )\bmistake\((\w+)\)", file.read_text()))
    assert made == {mistake.name for mistake in compile_fail.read(compile_fail.FOLDER)}


def test_the_table_is_wrapped_and_says_what_is_meant() -> None:
    refused = Mistake(Path("a_b.rs"), Path(), ("E0609: no field `core` on type",), "t", "nothing")
    lets_pass = Mistake(Path("c.rs"), Path(), (), "name_of_a_test", "the test")
    assert mistakes.table([refused, lets_pass]).splitlines() == [
        "=======  ==================================  ===========================",
        "mistake  rustc                               found in C by",
        "=======  ==================================  ===========================",
        "a b      ``E0609: no field `core` on type``  nothing",
        "c        nothing                             the test ``name_of_a_test``",
        "=======  ==================================  ===========================",
    ]


def test_the_table_in_the_documentation_is_of_the_mistakes_that_there_are() -> None:
    assert mistakes.TABLE.read_text().endswith(
        mistakes.table(compile_fail.read(compile_fail.FOLDER))
    )


def test_a_part_of_the_mistakes_is_not_recorded() -> None:
    with pytest.raises(UsageError, match="without ONLY="):
        mistakes.main(["--record", "--only", "twice"])
