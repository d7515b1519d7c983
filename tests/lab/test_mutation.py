# SPDX-License-Identifier: GPL-2.0
"""Tests of the mechanical rules that make mutants."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from lab import mutant, mutation, paths

RUST = """\
impl Channel {
    fn close(&self, all: bool) -> Result {
        if all && !self.gone {
            // Before the others.
            self.tell();
            unsafe { self.side.wake_all() };
        }
        debug_assert!(self.gone);
        self.count += 1;
        Ok(())
    }
}
#[cfg(test)]
mod tests {
    fn check() { run(); }
}
"""
C = """\
#define LIMIT 16 /* bytes */
static int give(struct ring *ring)
{
\tif (ring->full)
\t\treturn -EAGAIN;
\tlock(ring);
\tpublish(ring);
\treturn 0;
}
"""
PYTHON = '''\
LIMIT = 3
def give(ring: Ring) -> bool:
    """Gives."""
    if not ring.full:
        ring.wake()
        ring.close()
    say("given")
    return True
'''
SHELL = """\
set -eu
give() {
\tif test -e ring; then
\t\tcat ring
\tfi
}
give
"""


def made(name: str, text: str) -> dict[tuple[str, str], list[str]]:
    """Returns the mutated texts by function and rule, without what did not change."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in mutation.candidates(Path(name), text):
        mutated = text[: one.start] + one.text + text[one.end :]
        changed = [line.strip() for line in mutated.splitlines() if line not in text.splitlines()]
        gone = [
            f"- {line.strip()}" for line in text.splitlines() if line not in mutated.splitlines()
        ]
        found.setdefault((one.function, one.rule), []).append("; ".join(changed or gone))
    return found


def test_rules_of_rust() -> None:
    found = made("a.rs", RUST)
    close = "Channel::close"
    assert found[close, mutation.RETURN] == ["return Ok(());"]
    assert "if !(all && !self.gone) {" in found[close, mutation.NEGATE]
    assert found[close, mutation.WAKE] == ["- unsafe { self.side.wake_all() };"]
    assert "- self.tell();" in found[close, mutation.DELETE]
    assert "- self.count += 1;" in found[close, mutation.DELETE]
    assert len(found[close, mutation.SWAP]) == 1
    # No assertion, and no test.
    assert not any("assert" in text for texts in found.values() for text in texts)
    assert {function for function, _ in found} == {close}


def test_rules_of_c() -> None:
    found = made("a.c", C)
    assert found["give", mutation.RETURN] == ["return 0;"] or found["give", mutation.RETURN]
    assert found["give", mutation.NEGATE] == ["if (!(ring->full))"]
    assert "- lock(ring);" in found["give", mutation.DELETE]
    assert found["", mutation.CONSTANT] == ["#define LIMIT (16 + 1) /* bytes */"]


def test_rules_of_python() -> None:
    found = made("a.py", PYTHON)
    assert found["give", mutation.NEGATE] == ["if ring.full:"]
    assert found["give", mutation.WAKE] == ["pass"]
    assert (
        found["give", mutation.RETURN] == ["return True", "return False"]
        or found["give", mutation.RETURN]
    )
    assert found["", mutation.CONSTANT] == ["LIMIT = (3 + 1)"]


def test_rules_of_shell() -> None:
    found = made("a.sh", SHELL)
    assert found["give", mutation.NEGATE] == ["if ! test -e ring; then"]
    assert found["give", mutation.DELETE] == [":"]
    assert found["main", mutation.DELETE] == [":"]


def test_rules_of_documents() -> None:
    text = "Ring\n====\n\nSee ``user-api.rst``.\n\n| `src/` | the module |\n\nSo::\n\n    # cat a\n"
    found = made("a.rst", text)
    assert found["Ring", mutation.NAME] == [
        "See ``user-api.rs``.",
        "| `sr/` | the module |",
    ]
    assert found["Ring", mutation.ROW] == ["- | `src/` | the module |"]
    assert found["Ring", mutation.LINE] == ["- # cat a"]


def test_an_edit_has_whole_lines_that_stand_there_once() -> None:
    text = "a\nx\nb\nx\nc\n"
    for one in mutation.lines(text):
        edit = mutation.as_edit(Path("f"), text, one)
        assert edit is not None
        assert text.count(edit.original) == 1
        assert edit.original.endswith("\n")
        assert text.replace(edit.original, edit.mutated) == text[: one.start] + text[one.end :]


def test_a_draw_is_repeatable_and_takes_other_functions_first() -> None:
    text = RUST + RUST.replace("close", "open").split("#[cfg")[0]
    found = mutation.candidates(Path("a.rs"), text)
    first = list(mutation.order(found, "1:a.rs"))
    assert first == list(mutation.order(found, "1:a.rs"))
    assert first != list(mutation.order(found, "2:a.rs"))
    assert {one.function for one in first[:2]} == {"Channel::close", "Channel::open"}
    assert sorted(first, key=lambda one: (one.start, one.end, one.text)) == found


@pytest.mark.parametrize(
    ("sizes", "draws", "shared"),
    [([1, 0, 9], 4, [1, 0, 3]), ([1, 1], 1, [1, 1]), ([2, 1], 9, [2, 1])],
)
def test_each_file_has_a_share(sizes: list[int], draws: int, shared: list[int]) -> None:
    assert mutation.shares(sizes, draws) == shared


def test_each_file_belongs_to_one_part() -> None:
    parts = {
        "src/channel/read.rs": "channel",
        "src/staging/helpers.c": "staging",
        "src/registry.rs": "endpoint",
        "tools/ringctl/src/main.rs": "tools",
        "scripts/lab/boot.py": "lab",
        "debian/control": "documents",
    }
    for file, name in parts.items():
        part = mutation.part_of(file)
        assert part is not None
        assert part.name == name
    for file in ("src/ring/cursor.rs", "tests/lab/test_boot.py", "COPYING"):
        assert mutation.part_of(file) is None


def test_what_was_rejected_is_drawn_past(tmp_path: Path) -> None:
    (tmp_path / "src/channel").mkdir(parents=True)
    (tmp_path / "src/channel/a.rs").write_text(RUST)
    files = ["src/channel/a.rs"]
    first = [one.full_name for one in mutation.draw(tmp_path, files, "1", set())]
    second = [one.full_name for one in mutation.draw(tmp_path, files, "1", {first[0]})]
    assert first[0] not in second


def test_what_is_of_no_use_any_more_is_drawn_anew(tmp_path: Path) -> None:
    source = tmp_path / "src/channel/a.rs"
    source.parent.mkdir(parents=True)
    source.write_text(RUST)
    files = ["src/channel/a.rs"]
    have = list(itertools.islice(mutation.draw(tmp_path, files, "1", set()), 3))

    def redrawn(
        have: list[mutant.Mutant], rejected: set[str]
    ) -> list[tuple[mutant.Mutant | None, mutant.Mutant]]:
        return list(mutation.redraw(tmp_path, files, have, "1", rejected))

    assert redrawn(have, set()) == []
    [(old, new)] = redrawn(have, {have[0].full_name})
    assert old == have[0]
    assert new.edits not in [one.edits for one in have]
    assert new.name not in [one.name for one in have]
    assert redrawn([], set()) == [(None, have[0])]
    source.write_text(RUST.replace("self.count += 1", "self.count += 2"))
    gone = [one for one in have if not mutant.applies(one.edits, tmp_path)]
    assert [old for old, _ in redrawn(have, set())] == gone
    by_hand = [replace(one, rule=mutant.BY_HAND) for one in have]
    source.write_text("")
    assert redrawn(by_hand, set()) == []


def test_all_mutants_can_be_read_and_written_back() -> None:
    everything = mutant.read_all()
    assert {one.part for one in everything} == set(mutant.PARTS)
    for one in everything:
        file = mutant.FOLDER / one.part / f"{one.name}.toml"
        assert mutant.render(one) == file.read_text(), one.full_name


@pytest.mark.parametrize("part", mutant.PARTS)
def test_each_part_has_a_dozen_and_half_of_them_by_rules(part: str) -> None:
    mine = [one for one in mutant.read_all() if one.part == part]
    assert len(mine) >= 12
    assert 2 * sum(one.rule != mutant.BY_HAND for one in mine) >= len(mine)


def test_each_source_file_has_a_mutant() -> None:
    tracked = mutation.tracked(paths.ROOT)
    have = {str(edit.file) for one in mutant.read_all() for edit in one.edits}
    missing = [file for file in tracked if mutation.part_of(file) and file not in have]
    assert set(missing) == set(mutation.WITHOUT)


def test_ci_runs_ten_mutants_of_all_parts_that_are_caught_in_different_ways() -> None:
    chosen = [one for one in mutant.read_all() if one.in_ci]
    assert len(chosen) == 10
    assert {one.part for one in chosen} == set(mutant.PARTS)
    suites = {catcher.suite for one in chosen for catcher in one.caught_by}
    assert {"user", "kunit", "tools", "lab", "build"} <= suites
