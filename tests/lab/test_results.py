# SPDX-License-Identifier: GPL-2.0
"""The summary of a run, the names that ONLY= means, and the KUnit cases in the source."""

import io
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from lab import kunit
from lab.ktap import Result, Status
from lab.results import Results, matches

FOUND = [
    Result("a", Status.PASSED),
    Result("b", Status.FAILED, "", ("because", "of \x1b[31mthis")),
    Result("c", Status.SKIPPED, "no <device>"),
]


def test_the_last_line_counts() -> None:
    out = io.StringIO()
    results = Results(out)
    results.add("one", FOUND)
    results.add("two", FOUND[:1])
    results.close()
    assert out.getvalue().splitlines()[-1] == "2 passed, 1 failed, 1 skipped"


def test_nothing_at_all_is_counted_too() -> None:
    out = io.StringIO()
    Results(out).close()
    assert out.getvalue() == "0 passed, 0 failed, 0 skipped\n"


def test_what_did_not_pass_is_named_with_its_reason() -> None:
    out = io.StringIO()
    Results(out).add("one", FOUND)
    text = out.getvalue()
    assert "FAILED b" in text
    assert "because" in text
    assert "skipped c: no <device>" in text


def test_junit_has_all_of_it(tmp_path: Path) -> None:
    results = Results(io.StringIO())
    results.add("one", FOUND)
    results.write_junit(tmp_path / "junit.xml")
    suite = ET.parse(tmp_path / "junit.xml").getroot()[0]
    assert suite.attrib == {"name": "one", "tests": "3", "failures": "1", "skipped": "1"}
    failure, skipped = suite[1].find("failure"), suite[2].find("skipped")
    assert failure is not None
    assert failure.text == "because\nof \N{REPLACEMENT CHARACTER}[31mthis"
    assert skipped is not None
    assert skipped.get("message") == "no <device>"


@pytest.mark.parametrize(
    ("name", "pattern", "meant"),
    [
        ("write_blocks", "", True),
        ("write_blocks", "write", True),
        ("write_blocks", "block", True),
        ("write_blocks", "read", False),
        ("write_blocks", "write*", True),
        ("write_blocks", "*blocks", True),
        ("write_blocks", "*block", False),
        ("write_blocks", "w*e*s", True),
    ],
)
def test_only_is_a_part_of_the_name_or_a_glob(name: str, pattern: str, meant: bool) -> None:
    assert matches(name, pattern) is meant


SOURCE = """\
fn not_a_test() {}

#[macros::kunit_tests(ringdev_one)]
mod tests {
    #[test]
    fn first() {}

    // A comment.
    #[test]
    // Another.
    #[allow(unused)]
    fn second() -> Result {}

    fn helper() {}
}

#[kunit_tests(ringdev_two)]
mod more {
    #[test]
    fn first() {}
}
"""


def test_kunit_cases_are_read_from_the_source(tmp_path: Path) -> None:
    (tmp_path / "staging").mkdir()
    (tmp_path / "staging" / "x.rs").write_text(SOURCE)
    (tmp_path / "host.rs").write_text("#[test]\nfn on_the_host() {}\n")
    assert kunit.cases(tmp_path) == [
        "ringdev_one.first",
        "ringdev_one.second",
        "ringdev_two.first",
    ]


def test_this_module_has_kunit_cases() -> None:
    assert kunit.cases()


def test_only_may_name_several_patterns() -> None:
    names = ["read_waits", "read_returns", "write_waits"]
    assert [name for name in names if matches(name, "returns|write*")] == names[1:]
    assert not matches("read_waits", "x|b*")
