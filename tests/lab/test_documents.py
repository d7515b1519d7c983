# SPDX-License-Identifier: GPL-2.0
"""What the documents quote of the sources is there, and so are the files and tests that they name.

A document that quotes code names its file before, as in ``src/ring/mod.rs``; the last that was
named counts. A paragraph that begins with "Tests:" is a list of names of tests.
"""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import paths

FOLDER = paths.ROOT / "Documentation"
DOCUMENTS = sorted([*FOLDER.glob("*.rst"), *(FOLDER / "man").glob("*.rst")])

_FILE = re.compile(r"``(src/[\w./]+\.\w+)``")
# Any file or folder of ours.
_PATH = re.compile(
    r"``((?:Documentation|include|packaging|samples|scripts|src|tests|tools)/[\w./-]+)``"
)
_CODE = re.compile(r"( *)\.\. code-block:: (?:rust|c)")
_TESTS = re.compile(r"^ *Tests: (.*?)(?:\n\s*\n|\Z)", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"``(\w+)``")
# A test of the user tests, a rule for all kinds of rings, a test of the core or of KUnit.
_TEST = re.compile(
    r"\btest!\((\w+)\)|^    (\w+): (?:every|Kind::\w+),$|#\[test\]\s+fn (\w+)\(", re.MULTILINE
)


def quotes(text: str) -> Iterator[tuple[str, str]]:
    """Yields the pieces of code of a document, each with the file that it should be from."""
    file = ""
    lines = iter([*text.splitlines(), "end"])
    line = next(lines)
    while line != "end":
        if named := _FILE.findall(line):
            file = named[-1]
        match = _CODE.fullmatch(line)
        line = next(lines)
        if not match:
            continue
        code = []
        while not line or line.startswith(match[1] + " "):
            code.append(line)
            line = next(lines)
        yield file, textwrap.dedent("\n".join(code)).strip("\n")


def stands_in(code: str, source: str) -> bool:
    """Tells whether the lines stand in a source, one below the other, wherever they begin.

    A document has no tabs.
    """
    wanted = code.splitlines()
    there = source.expandtabs().splitlines()
    return any(
        textwrap.dedent("\n".join(there[at : at + len(wanted)])) == code
        for at in range(len(there) - len(wanted) + 1)
    )


def named_tests(text: str) -> list[str]:
    """Returns the tests that a document names."""
    return [name for listed in _TESTS.findall(text) for name in _NAME.findall(listed)]


def all_tests() -> set[str]:
    """Returns the tests that there are."""
    folders = ("src", "tests/core/src", "tests/user/src")
    files = [file for folder in folders for file in (paths.ROOT / folder).rglob("*.rs")]
    found = [match for file in files for match in _TEST.finditer(file.read_text())]
    return {name for match in found for name in match.groups() if name}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_quotes_is_in_the_source(document: Path) -> None:
    for file, code in quotes(document.read_text()):
        source = (paths.ROOT / file).read_text()
        assert stands_in(code, source), f"not in {file}:\n{code}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_file_that_a_document_names_exists(document: Path) -> None:
    named = _PATH.findall(document.read_text())
    assert [path for path in named if not (paths.ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_test_that_a_document_names_exists(document: Path) -> None:
    assert set(named_tests(document.read_text())) - all_tests() == set()


def test_there_are_quotes_and_names_to_check() -> None:
    text = {document.name: document.read_text() for document in DOCUMENTS}
    assert len(list(quotes(text["tour.rst"]))) > 10
    assert len(named_tests(text["threat-model.rst"])) > 10


def test_code_is_compared_with_the_file_named_last() -> None:
    text = "``src/a.rs`` and ``src/b.rs``:\n\n  .. code-block:: rust\n\n    a {\n\n      b\n\nEnd."
    assert list(quotes(text)) == [("src/b.rs", "a {\n\n  b")]


def test_lines_have_to_be_the_same_but_for_where_they_begin() -> None:
    source = "fn f() {\n    if a {\n        b\n    }\n}\n"
    assert stands_in("if a {\n    b\n}", source)
    assert not stands_in("if a {\n  b\n}", source)
    assert not stands_in("if a {\n}", source)
    assert not stands_in("if a", source)


def test_only_lists_of_tests_are_taken_for_names() -> None:
    assert named_tests("See ``a``.\n\nTests: ``b``,\n``c``.\n\n``d``\n") == ["b", "c"]


def test_tests_of_each_sort_are_known() -> None:
    known = all_tests()
    assert {"poll_times_out", "destroy_wakes_pollers", "every_byte_appears_twice"} < known
    assert {"head_release_is_needed", "full_ring_has_no_room"} < known


def test_the_manual_page_has_each_ioctl_with_its_structure() -> None:
    header = (paths.ROOT / "include/uapi/linux/ringdev.h").read_text()
    defined = re.findall(r"^#define (RINGDEV_IOC_\w+)\s+_IO", header, re.MULTILINE)
    page = (FOLDER / "man/ring.rst").read_text()
    listed = re.findall(r"^``(RINGDEV_IOC_\w+)`` \(struct (\w+)\)$", page, re.MULTILINE)
    assert sorted(name for name, _ in listed) == sorted(defined)
    assert {structure for _, structure in listed} <= set(
        re.findall(r"^struct (\w+) \{$", header, re.MULTILINE)
    )
