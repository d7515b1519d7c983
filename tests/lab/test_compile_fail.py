# SPDX-License-Identifier: GPL-2.0
"""Mistakes that must not compile: what a refusal has to be like to count."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lab import compile_fail, module, paths
from lab.compile_fail import Mistake
from lab.errors import LabError
from lab.kernel import Kernel
from lab.ktap import Status
from lab.lane import Lane
from lab.toolchain import Toolchain

MISTAKE = Mistake(
    Path("/tests/twice.rs"),
    Path("src/ring/producer.rs"),
    ("E0382: use of moved value: `room`",),
    "record_is_read",
    "the test",
)
REFUSED = ("/tests/twice.rs", "E0382: use of moved value: `room`")


def diagnostic(level: str, text: str, code: str | None, file: str | None) -> str:
    spans = [{"is_primary": True, "file_name": file}] if file else []
    message = {"level": level, "message": text, "spans": spans}
    return json.dumps({**message, "code": code and {"code": code, "explanation": None}})


def test_the_expected_error_alone_will_do() -> None:
    assert list(compile_fail.compare(MISTAKE, [REFUSED])) == []


def test_what_compiles_is_told() -> None:
    assert list(compile_fail.compare(MISTAKE, [])) == ["the compiler has nothing against it"]


@pytest.mark.parametrize(
    "other",
    [
        ("/tests/twice.rs", "E0425: cannot find value `rooom` in this scope"),
        ("/src/channel/mod.rs", "E0382: use of moved value: `room`"),
    ],
)
def test_another_error_spoils_it(other: tuple[str, str]) -> None:
    [said] = compile_fail.compare(MISTAKE, [REFUSED, other])
    assert "something else" in said
    alone = list(compile_fail.compare(MISTAKE, [other]))
    assert any("something else" in said for said in alone)


def test_each_error_that_is_expected_has_to_come() -> None:
    two = replace(MISTAKE, errors=(*MISTAKE.errors, "E0505: *borrowed"))
    [said] = compile_fail.compare(two, [REFUSED])
    assert said == "not refused as expected: E0505: *borrowed"
    borrowed = ("/tests/twice.rs", "E0505: cannot move out of `x` because it is borrowed here")
    assert list(compile_fail.compare(two, [REFUSED, borrowed])) == []


def test_what_compiles_and_is_known_to_has_to_go_on_to() -> None:
    known = replace(MISTAKE, errors=())
    assert list(compile_fail.compare(known, [])) == []
    [said] = compile_fail.compare(known, [REFUSED])
    assert "something else" in said


def test_errors_are_read_and_warnings_and_the_sum_are_not() -> None:
    said = "\n".join(
        [
            diagnostic("warning", "unused variable", None, "/a.rs"),
            diagnostic("error", "mismatched types", "E0308", "/a.rs"),
            diagnostic("error", "cannot find macro `x`", None, "/b.rs"),
            diagnostic("error", "aborting due to 2 previous errors", None, None),
            "and a line that is no JSON",
        ]
    )
    assert list(compile_fail.errors_of(said)) == [
        ("/a.rs", "E0308: mismatched types"),
        ("/b.rs", ": cannot find macro `x`"),
    ]


def test_a_file_says_where_it_belongs_what_refuses_it_and_what_finds_it(tmp_path: Path) -> None:
    where, error = "//@ in: src/endpoint.rs\n", "//@ error: E0614: type\n"
    in_c = "//@ in C, run: fionread\n//@ in C, found: BUG: KASAN: wild\n"
    file = tmp_path / "a.rs"
    file.write_text(where + error + in_c)
    there = (file, Path("src/endpoint.rs"))
    assert compile_fail.read(tmp_path) == [
        Mistake(*there, ("E0614: type",), "fionread", "BUG: KASAN: wild")
    ]
    file.write_text(f"{where}//@ error: none\n{in_c}")
    assert compile_fail.read(tmp_path) == [Mistake(*there, (), "fionread", "BUG: KASAN: wild")]
    for bad in (where + error, where + in_c, error + in_c, where + where + error + in_c):
        file.write_text(bad)
        with pytest.raises(LabError, match=r"a\.rs has to say"):
            compile_fail.read(tmp_path)


def test_those_of_the_project_belong_to_files_that_there_are() -> None:
    mistakes = compile_fail.read(compile_fail.FOLDER)
    assert len(mistakes) >= 14
    for mistake in mistakes:
        assert (paths.ROOT / mistake.parent).is_file(), mistake.name
        assert "mistake)" in mistake.file.read_text(), mistake.name


@pytest.fixture
def where(monkeypatch: pytest.MonkeyPatch) -> Lane:
    """Returns a lane in which the mistakes are compiled."""
    monkeypatch.setattr(compile_fail, "read", lambda _: [MISTAKE])
    monkeypatch.setattr(module, "compiler", lambda *_: None)
    monkeypatch.setattr(module, "build_mistaken", lambda *_: (Path("twin.ko"), []))
    tree = Kernel("plain", Path("/src"), Path("/build"), "7.3.4", "key")
    return Lane("plain", Toolchain({}), tree, {}, "tcg")


Refuse = Callable[[bool], list[tuple[str, str]]]


@pytest.mark.parametrize(
    ("errors", "failed"),
    [
        (lambda mistaken: [REFUSED] if mistaken else [], []),
        (lambda _: [], [MISTAKE.name]),
        # What stands beside the mistake does not compile either: it may be what is refused.
        (lambda _: [REFUSED], [compile_fail.CONTROL]),
    ],
)
def test_a_mistake_is_refused_and_what_is_beside_it_is_not(
    where: Lane, monkeypatch: pytest.MonkeyPatch, errors: Refuse, failed: list[str]
) -> None:
    monkeypatch.setattr(compile_fail, "_errors", lambda *of: iter(errors(bool(of[2]))))
    found = compile_fail.tests(where, "")
    assert [result.name for result in found] == [
        compile_fail.CONTROL, MISTAKE.name, compile_fail.IN_C,
    ]  # fmt: skip
    assert [result.name for result in found if result.status is Status.FAILED] == failed
    assert compile_fail.tests(where, "no such mistake") == []


def test_a_mistake_in_c_has_to_compile_without_a_warning(
    where: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> tuple[Path, list[str]]:
        raise LabError("it does not compile")

    monkeypatch.setattr(compile_fail, "_errors", lambda *of: iter([REFUSED] if of[2] else []))
    for build in (lambda *_: (Path("twin.ko"), ["a warning"]), broken):
        monkeypatch.setattr(module, "build_mistaken", build)
        [in_c] = [one for one in compile_fail.tests(where, "") if one.name == compile_fail.IN_C]
        assert in_c.status is Status.FAILED
