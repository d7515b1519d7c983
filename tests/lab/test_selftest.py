# SPDX-License-Identifier: GPL-2.0
"""``make selftest``: a call that tests nothing is refused."""

import pytest

from lab import pytools, selftest, toolchain
from lab.errors import UsageError


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LANE", "ONLY"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(toolchain, "find", lambda **_: None)
    monkeypatch.setattr(pytools, "tests", lambda *_: ("lab", []))


def test_a_pattern_that_matches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLY", "no-such-test")
    with pytest.raises(UsageError, match="no-such-test"):
        selftest.main([])


def test_a_lane_without_guests_that_come_out_red(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANE", "stock")
    with pytest.raises(UsageError, match="LANE=stock: there are plain, debug"):
        selftest.main([])
