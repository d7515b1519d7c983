# SPDX-License-Identifier: GPL-2.0
"""``make lint`` runs each linter that the documents name: none is dropped without notice."""

import re

from lab import lint, paths

NAMES = list(lint.Lint.__new__(lint.Lint).checks())


def documented() -> list[str]:
    """Returns the checks of the table in contributing.rst."""
    text = (paths.ROOT / "Documentation/contributing.rst").read_text()
    section = re.split(r"^What make lint checks\n=+\n", text, flags=re.MULTILINE)[1]
    table = re.split(r"^[= ]+$", section, flags=re.MULTILINE)[2]
    return re.findall(r"^``([^`]+)`` ", table, re.MULTILINE)


def test_make_lint_runs_what_the_documents_say() -> None:
    assert documented() == NAMES


def test_each_check_runs_a_function_of_its_own() -> None:
    checks = lint.Lint.__new__(lint.Lint).checks()
    assert len({check.__name__ for check in checks.values()}) == len(NAMES)
