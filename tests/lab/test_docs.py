# SPDX-License-Identifier: GPL-2.0
"""The manual pages that are recorded: which of them are not what their sources say."""

from pathlib import Path

from lab import docs


def test_a_page_that_differs_or_is_missing_or_has_no_source_is_outdated(tmp_path: Path) -> None:
    for name in ("same.1", "other.4", "gone.7"):
        (tmp_path / name).write_text(name)
    pages = {"same.1": "same.1", "other.4": "changed", "new.1": "new"}
    assert docs.outdated(pages, tmp_path) == ["gone.7", "new.1", "other.4"]


def test_what_is_recorded_says_what_it_is_made_from() -> None:
    pages = list(docs.MANUAL.iterdir())
    assert {page.stem for page in pages} == {
        page.stem for page in (docs.DOCUMENTS / "man").glob("*.rst")
    }
    assert all(page.read_text().startswith(docs.HEAD) for page in pages)
