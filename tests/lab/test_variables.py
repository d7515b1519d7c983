# SPDX-License-Identifier: GPL-2.0
"""Variables that are switches: off where they are not given, or 0."""

import pytest

from lab import variables


@pytest.mark.parametrize(("value", "on"), [("1", True), ("yes", True), ("0", False), ("", False)])
def test_a_switch_is_off_if_it_is_0(monkeypatch: pytest.MonkeyPatch, value: str, on: bool) -> None:
    monkeypatch.setenv("RECORD", value)
    assert variables.is_on("RECORD") is on


def test_a_switch_that_is_not_given_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECORD", raising=False)
    assert not variables.is_on("RECORD")
