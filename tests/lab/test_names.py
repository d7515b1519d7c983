# SPDX-License-Identifier: GPL-2.0
"""The names in code style in documents are those of the code, or known names of others.

A word that is misspelt is in neither, so it is found without anybody having thought of it.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from test_facts import DOCUMENTS, files

from lab import paths

# Files that are no code: what stands there alone is known from nowhere.
PROSE = ("Documentation/", "README.md", "CHANGELOG.md", "packaging/man/", "tests/mutants/")
# Of these the code has none.
OF_OTHERS = {
    # of the kernel
    "CONFIG_WARN_CONTEXT_ANALYSIS", "DEBUG_ATOMIC_SLEEP", "PROVE_LOCKING", "PROVE_RCU",
    "__guarded_by", "access_ok", "copy_from_iter_vec", "device_private", "err_", "f_op",
    "kasan_report", "kernel_read", "kernel_write", "kmem", "kmem_cache_alloc", "kref",
    "kref_get", "kref_put", "preempt", "simple_read_from_buffer", "vfs_write", "wait_event",
    # programs and files of the system
    "apropos", "groupadd", "mokutil", "pahole", "subuid",
    # what clap makes completions for
    "elvish", "powershell",
    # what documents call things, or write apart
    "Decisions", "Hangup", "L", "WaitQueue", "dma", "fa", "fc", "ret", "signer",
}  # fmt: skip

# A header of the kernel's.
FILES_OF_OTHERS = {"cleanup.h"}

_CODE = re.compile(r"``(.+?)``|`([^`]+)`", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A file without its folder.
_FILE = re.compile(r"[\w-]+\.(?:rs|rst|c|h|md|py|toml|json|service|rules|conf)")


def words(text: str) -> Iterator[str]:
    """Yields the words that a document has in code style."""
    for double, single in _CODE.findall(text):
        yield from _WORD.findall(double or single)


def file_names(text: str) -> Iterator[str]:
    """Yields the files that a document names without their folders."""
    for double, single in _CODE.findall(text):
        if _FILE.fullmatch(double or single):
            yield double or single


@cache
def known() -> frozenset[str]:
    """Returns all words of the code, and of the names of its files."""
    found = set(OF_OTHERS)
    for name in files():
        found.update(_WORD.findall(name))
        # This file names what is in no code.
        if not name.startswith(PROSE) and name != "tests/lab/test_names.py":
            text = (paths.ROOT / name).read_text(errors="replace")
            found.update(_WORD.findall(text))
    return frozenset(found)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_name_in_code_style_is_known(document: Path) -> None:
    assert set(words(document.read_text())) - known() == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_file_that_is_named_without_its_folder_exists(document: Path) -> None:
    there = {Path(name).name for name in files()} | FILES_OF_OTHERS
    assert {name for name in file_names(document.read_text()) if not is_there(name, there)} == set()


def is_there(name: str, there: set[str]) -> bool:
    """Tells whether a file is of the tree, or made by the lab."""
    code = (file for file in files() if file.startswith(("scripts/", "src/", "debian/")))
    whole = re.compile(rf"\b{re.escape(name)}\b")
    return name in there or any(whole.search((paths.ROOT / file).read_text()) for file in code)


def test_names_of_others_are_not_also_in_the_code() -> None:
    text = "\n".join(document.read_text() for document in DOCUMENTS)
    assert OF_OTHERS - set(words(text)) == set()


def test_only_what_is_in_code_style_is_looked_at() -> None:
    assert list(words("Mispelt, ``one_name(two)`` and `three`.")) == ["one_name", "two", "three"]
    assert list(file_names("``guide.rs``, ``src/a.rs``, ``x = a.rs``")) == ["guide.rs"]
