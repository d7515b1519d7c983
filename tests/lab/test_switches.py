# SPDX-License-Identifier: GPL-2.0
"""The ring without a decision of its design: patches, and what is measured."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab import module, paths, switches, tables
from lab.errors import LabError
from lab.kernel import Kernel
from lab.toolchain import Toolchain

Report = dict[str, Any]

KERNEL = Kernel("plain", Path("/src"), Path("/build"), "7.3.4-lab", "key")


@pytest.mark.parametrize("switch", switches.read(), ids=lambda switch: switch.patch.stem)
def test_a_decision_can_be_taken_back(switch: switches.Switch) -> None:
    check = ["git", "apply", "--check", str(switch.patch)]
    run = subprocess.run(check, cwd=paths.ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"it does not apply any more: {run.stderr}"
    assert switch.title


def test_a_patch_says_what_it_does(tmp_path: Path) -> None:
    (tmp_path / "mute.patch").write_text("diff --git a/Kbuild b/Kbuild\nTitle: not here\n")
    with pytest.raises(LabError, match=r"mute\.patch has no line 'Title"):
        switches.read(tmp_path)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one source file, whose modules are its sources as they would be compiled."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "root"
    (root / "src").mkdir(parents=True)
    (root / "src/one.rs").write_text("one\n")
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setattr(module, "_build", lambda folder, *_: folder)
    return root


def patch(folder: Path, before: str) -> Path:
    file = folder / "two.patch"
    file.write_text(
        "Title: two\n\ndiff --git a/src/one.rs b/src/one.rs\n--- a/src/one.rs\n+++ b/src/one.rs\n"
        f"@@ -1 +1 @@\n-{before}\n+two\n"
    )
    return file


def test_sources_are_patched_in_a_copy(tree: Path, tmp_path: Path) -> None:
    tools = Toolchain(tools={})
    built = module.build_patched(patch(tmp_path, "one"), KERNEL, tools)
    assert (built / "src/one.rs").read_text() == "two\n"
    assert (tree / "src/one.rs").read_text() == "one\n"

    # Not anew, or it would be compiled anew each time.
    age = (built / "src/one.rs").stat().st_mtime_ns
    assert module.build_patched(patch(tmp_path, "one"), KERNEL, tools) == built
    assert (built / "src/one.rs").stat().st_mtime_ns == age

    (tree / "src/more.rs").write_text("more\n")
    module.build_patched(patch(tmp_path, "one"), KERNEL, tools)
    assert (built / "src/one.rs").read_text() == "two\n"
    assert (built / "src/more.rs").read_text() == "more\n"


def test_a_patch_that_does_not_apply_is_named(tree: Path, tmp_path: Path) -> None:
    assert tree.exists()
    with pytest.raises(LabError, match=r"two\.patch has to be made anew"):
        module.build_patched(patch(tmp_path, "other"), KERNEL, Toolchain(tools={}))


def test_each_variant_has_a_row_behind_the_ring_as_it_is(results: Report) -> None:
    base = switches.of_ring(results)
    del results["switches"]
    assert tables.without(results) == []
    slower = {
        **base,
        "title": "slower",
        "record": 600.0,
        "times": [{**each, "is_good": False} for each in base["times"]],
    }
    head, first, second = tables.without({**results, "switches": [slower]})
    assert head[:5] == ["the ring", "64 B", "4 KiB", "64 KiB", "a record"]
    assert first[0] == "as it is"
    assert first[4] == "500"
    assert second == ["slower", *first[1:4], "600", "-", "-", "-"]


def test_a_variant_is_described_as_the_ring_is(report: Report, times: Report) -> None:
    described = switches.describe("other", report, times)
    assert described["pairs"]["64"] == pytest.approx(1008)
    assert described["record"] == pytest.approx(500)
    assert all(each["pipe"]["median"] > 1 for each in described["times"])
