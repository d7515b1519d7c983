# SPDX-License-Identifier: GPL-2.0
"""What the KTAP parser takes for passed, and what it does not."""

import pytest

from lab.ktap import Result, Status, parse

KUNIT = """\
KTAP version 1
1..1
    KTAP version 1
    # Subtest: ringdev_ring
    1..3
    ok 1 empty_ring_has_nothing_to_read
    # full_ring_takes_nothing: ASSERTION FAILED at src/ring/mod.rs:212
    not ok 2 full_ring_takes_nothing
    ok 3 wraps # SKIP no memory
# ringdev_ring: pass:1 fail:1 skip:1 total:3
not ok 1 ringdev_ring
"""


def test_a_flat_document() -> None:
    report = parse("KTAP version 1\n1..3\nok 1 a\n# of b\nnot ok 2 - b\nok 3 c # SKIP why\n")
    assert report.problems == []
    assert report.results == [
        Result("a", Status.PASSED),
        Result("b", Status.FAILED, "", ("# of b",)),
        Result("c", Status.SKIPPED, "why"),
    ]


def test_subtests_bear_the_name_of_their_group() -> None:
    report = parse(KUNIT)
    assert report.problems == []
    assert [(result.name, result.status) for result in report.results] == [
        ("ringdev_ring.empty_ring_has_nothing_to_read", Status.PASSED),
        ("ringdev_ring.full_ring_takes_nothing", Status.FAILED),
        ("ringdev_ring.wraps", Status.SKIPPED),
    ]
    failed = report.results[1].diagnostics
    assert any("ASSERTION FAILED" in line for line in failed)


def test_documents_may_follow_each_other() -> None:
    report = parse(KUNIT + KUNIT.replace("ringdev_ring", "ringdev_other"))
    assert report.problems == []
    assert len(report.results) == 6


def test_a_document_may_say_that_all_of_it_was_skipped() -> None:
    report = parse("KTAP version 1\n1..0 # SKIP no such device\n")
    assert report.problems == []
    assert report.results == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no results at all"),
        ("hello\n", "no results at all"),
        ("ok 1 a\n", "no results at all"),
        ("ok 1 a\nKTAP version 1\n1..1\nok 1 a\n", "comes before"),
        ("KTAP version 1\n", "without a plan"),
        ("KTAP version 1\nok 1 a\n", "without a plan"),
        ("KTAP version 1\n1..0\n", "nothing at all"),
        ("KTAP version 1\n1..2\nok 1 a\n", "1 results where 2 were planned"),
        ("KTAP version 1\n1..1\nok 1 a\nok 2 b\n", "2 results where 1 were planned"),
        ("KTAP version 1\n1..2\n1..2\nok 1 a\nok 2 b\n", "a second plan"),
        ("KTAP version 1\n1..2\nok 1 a\nok 1 b\n", "number 2 was due"),
        ("KTAP version 1\n1..2\nok 2 a\nok 1 b\n", "number 1 was due"),
        ("KTAP version 1\n1..2\nok 1 a\nok 2 a\n", "comes twice"),
        ("KTAP version 1\n1..1\nok 1 a # SKIP\n", "without a reason"),
        ("KTAP version 1\n1..1\nnot ok 1 a # SKIP why\n", "failed and was skipped"),
        ("KTAP version 1\n1..1\nok 1 a\nBail out! no memory\n", "Bail out!"),
        ("KTAP version 1\n1..1\nok 1 a", "middle of a line"),
        ("KTAP version 1\n1..1\nok 1 a\n  not ok 2 b\n", "where no group of tests is"),
        (KUNIT.replace("not ok 1", "ok 1"), "not what its subtests say"),
        (KUNIT.replace("not ok 2", "ok 2"), "not what its subtests say"),
        (KUNIT.replace("1..3", "1..4"), "3 results where 4 were planned"),
        (KUNIT.replace("not ok 1 ringdev_ring\n", ""), "cut off"),
        (KUNIT.replace("    ok 3 wraps # SKIP no memory\n", ""), "2 results where 3"),
    ],
)
def test_what_is_not_as_it_should_be_is_a_problem(text: str, problem: str) -> None:
    assert any(problem in found for found in parse(text).problems)


def test_kunit_that_is_off_leaves_a_plan_without_results() -> None:
    # What debugfs has of a suite whose module was loaded with kunit.enable=0.
    text = KUNIT.splitlines(keepends=True)
    off = "".join([*text[:5], "ok 1 ringdev_ring\n"])
    assert any("0 results where 3 were planned" in found for found in parse(off).problems)
