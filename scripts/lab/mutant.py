# SPDX-License-Identifier: GPL-2.0
"""Planted faults: tests/mutants, one file each.

A mutant replaces text in files of the tree. It names no lines: the text that it replaces has as
many whole lines as it takes to stand in its file exactly once, so that it still applies after
changes elsewhere in the file, and no longer applies where its own lines have changed::

    file = "src/channel/read.rs"       # the file that it is about
    function = "Channel::finish"       # where in the file
    rule = "delete-statement"          # how it was made; "hand": somebody wrote it
    caught_by = ["user: reader_resumes_at_its_sequence"]

    [[edit]]
    original = '''...'''
    mutated = '''...'''

An edit may name another ``file``. A mutant that is written by hand says in ``why`` what is wrong
with it. ``equivalent`` argues that no test can tell a mutant from the original.

``caught_by`` has the tests that must fail, all of them, as ``SUITE: TEST``. With ``=> TEXT`` behind
it, the report of the failure must contain the text. CI runs those that say ``in_ci = true``.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import paths
from lab.errors import LabError

FOLDER = paths.ROOT / "tests/mutants"
PARTS = ("channel", "endpoint", "staging", "tools", "lab", "documents")
BY_HAND = "hand"

_KEYS = {"file", "function", "rule", "why", "caught_by", "equivalent", "in_ci", "edit"}
_QUOTES = "'''"


class DoesNotApply(LabError):
    """The tree no longer has the text that a mutant replaces, or has it more than once."""


@dataclass(frozen=True)
class Edit:
    """A text that is replaced."""

    file: Path
    original: str
    mutated: str


@dataclass(frozen=True)
class Catcher:
    """A test that must fail."""

    suite: str
    test: str
    # What its report must contain.
    says: str = ""

    def __str__(self) -> str:
        """Returns it as a mutant's file has it."""
        return f"{self.suite}: {self.test}" + (f" => {self.says}" if self.says else "")


@dataclass(frozen=True)
class Mutant:
    """A planted fault."""

    part: str
    name: str
    rule: str
    edits: tuple[Edit, ...]
    function: str = ""
    why: str = ""
    caught_by: tuple[Catcher, ...] = ()
    equivalent: str = ""
    # It is one of those that CI runs.
    in_ci: bool = False

    @property
    def full_name(self) -> str:
        """The name with that of the part."""
        return f"{self.part}/{self.name}"


def read_all(folder: Path = FOLDER) -> list[Mutant]:
    """Reads the mutants of all parts, in the order of the parts and names."""
    return [read(file) for part in PARTS for file in sorted((folder / part).glob("*.toml"))]


def read(file: Path) -> Mutant:
    """Reads a mutant's file."""
    try:
        said = tomllib.loads(file.read_text())
        if unknown := sorted(said.keys() - _KEYS):
            raise LabError(f"{file.name}: unknown: {', '.join(unknown)}")
        about = Path(said["file"])
        edits = tuple(
            Edit(Path(edit.get("file", about)), edit["original"], edit["mutated"])
            for edit in said["edit"]
        )
        catchers = tuple(catcher(text) for text in said.get("caught_by", []))
        found = Mutant(
            part=file.parent.name,
            name=file.stem,
            rule=said["rule"],
            edits=edits,
            function=said.get("function", ""),
            why=said.get("why", "").strip(),
            caught_by=catchers,
            equivalent=said.get("equivalent", "").strip(),
            in_ci=said.get("in_ci", False),
        )
    except (KeyError, ValueError) as error:
        raise LabError(f"{file}: {error}") from error
    if found.rule == BY_HAND and not found.why:
        raise LabError(f"{file}: a mutant that was written by hand says in 'why' what is wrong")
    if "equivalent" in said and (not found.equivalent or found.caught_by):
        raise LabError(f"{file}: 'equivalent' argues why no test can catch it, so none is named")
    if any(edit.original == edit.mutated for edit in edits):
        raise LabError(f"{file}: an edit changes nothing")
    return found


def catcher(text: str) -> Catcher:
    """Reads ``SUITE: TEST => TEXT``."""
    test, _, says = (part.strip() for part in text.partition("=>"))
    suite, colon, name = (part.strip() for part in test.partition(": "))
    if not (suite and colon and name):
        raise ValueError(f"'{text}' is not SUITE: TEST")
    return Catcher(suite, name, says)


def applies(edits: Sequence[Edit], tree: Path) -> bool:
    """Tells whether a mutant can be made of a tree."""
    return all(
        (tree / edit.file).is_file() and (tree / edit.file).read_text().count(edit.original) == 1
        for edit in edits
    )


def apply(edits: Sequence[Edit], tree: Path) -> None:
    """Makes a mutant of a tree, or raises DoesNotApply and leaves the tree as it was."""
    texts: dict[Path, str] = {}
    for edit in edits:
        file = tree / edit.file
        if file not in texts:
            if not file.is_file():
                raise DoesNotApply(f"there is no {edit.file}")
            texts[file] = file.read_text()
        if (count := texts[file].count(edit.original)) != 1:
            raise DoesNotApply(f"{edit.file} has the original text {count} times, not once")
        texts[file] = texts[file].replace(edit.original, edit.mutated)
    for file, text in texts.items():
        file.write_text(text)


def render(mutant: Mutant) -> str:
    """Returns the content of a mutant's file."""
    [about, *_] = mutant.edits
    lines = ["# SPDX-License-Identifier: GPL-2.0", f'file = "{about.file}"']
    if mutant.function:
        lines.append(f"function = {_string(mutant.function)}")
    lines.append(f'rule = "{mutant.rule}"')
    if mutant.why:
        lines.append(f"why = {_string(mutant.why)}")
    if mutant.caught_by:
        tests = (_string(str(test)) for test in mutant.caught_by)
        lines += ["caught_by = [", *(f"    {test}," for test in tests), "]"]
    if mutant.in_ci:
        lines.append("in_ci = true")
    if mutant.equivalent:
        lines.append(f"equivalent = {_string(mutant.equivalent)}")
    for edit in mutant.edits:
        lines += ["", "[[edit]]"]
        if edit.file != about.file:
            lines.append(f'file = "{edit.file}"')
        lines += [f"original = {_block(edit.original)}", f"mutated = {_block(edit.mutated)}"]
    return "\n".join(lines) + "\n"


def _string(text: str) -> str:
    if "\n" in text:
        return _block(text.rstrip("\n") + "\n")
    if "'" not in text:
        return f'"{text}"' if '"' not in text and "\\" not in text else f"'{text}'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unfit(text: str) -> bool:
    """Tells whether a mutant's file cannot hold a text."""
    return _QUOTES in text or "\r" in text


def _block(text: str) -> str:
    if unfit(text):
        raise LabError(f"TOML cannot hold {_QUOTES} in a literal text")
    return f"{_QUOTES}\n{text}{_QUOTES}"
