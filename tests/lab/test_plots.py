# SPDX-License-Identifier: GPL-2.0
"""The pictures: each peer can be told from all others."""

import importlib
import sys
from types import ModuleType
from unittest.mock import MagicMock

import pytest


@pytest.fixture
def plots(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Returns the module without what draws, which is in an environment of its own."""
    for name in ("matplotlib", "matplotlib.axes", "matplotlib.figure", "matplotlib.pyplot"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    monkeypatch.delitem(sys.modules, "lab.plots", raising=False)
    return importlib.import_module("lab.plots")


def test_no_two_peers_look_the_same(plots: ModuleType) -> None:
    styles = [plots._style(peer) for peer in plots.COLOURS]
    for keys in (("label",), ("color", "linestyle")):
        looks = [tuple(style[key] for key in keys) for style in styles]
        assert len(set(looks)) == len(looks)
