# SPDX-License-Identifier: GPL-2.0
"""New modules: what a copy of the template has, and which names and folders are refused."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lab import kunit, new, paths, try_module
from lab.errors import UsageError
from lab.ktap import Status
from lab.lane import Lane


def test_a_copy_has_the_name_everywhere(tmp_path: Path) -> None:
    folder = new.make("foo_2", tmp_path)
    assert folder == tmp_path / "foo_2"
    made = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(made) == {".gitignore", "Kbuild", "Makefile", "foo_2.rs"}
    assert "hello" not in "".join(made.values()).lower()
    assert 'name: "foo_2",' in made["foo_2.rs"]
    assert "--cfg CONFIG_FOO_2_KUNIT_TEST" in made["Kbuild"]
    assert "#[cfg(CONFIG_FOO_2_KUNIT_TEST)]" in made["foo_2.rs"]
    assert kunit.cases(folder)
    assert all(case.startswith("foo_2.") for case in kunit.cases(folder))


def test_a_copy_finds_the_lab(tmp_path: Path) -> None:
    folder = new.make("foo", tmp_path)
    run = subprocess.run(
        ["make", "-n", "test"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert f"{paths.ROOT}/scripts/lab.sh try {folder}" in run.stdout


def test_what_a_module_says_is_not_what_the_kernel_says_of_it() -> None:
    log = (
        "[    1.1] foo: loading out-of-tree module taints kernel.\n[    1.2] foo: loaded\n"
        "[    1.3] food: loaded\n[    1.4] bar: foo: loaded\n[    1.5] foo: unloaded\n"
    )
    assert try_module.said("foo", log) == ["loaded", "unloaded"]


def test_the_template_is_all_there() -> None:
    assert new.LAB in (new.TEMPLATE / "Makefile").read_text()
    for file in new.FILES:
        assert (new.TEMPLATE / file).is_file()


@pytest.mark.parametrize(
    "name", ["", "2fast", "two words", "a-b", "../up", "Foo", "fn", "kernel", "x" * 52, "a\n"]
)
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="called"):
        new.make(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "foo").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        new.make("foo", tmp_path)
    assert list((tmp_path / "foo").iterdir()) == []


def test_a_folder_has_to_be_there_and_outside_of_the_tree(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        new.make("foo", tmp_path / "nothing")
    with pytest.raises(UsageError, match="outside of"):
        new.make("foo", paths.ROOT / "samples")
    assert not (paths.ROOT / "samples/foo").exists()


def test_it_is_for_one_series(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KERNEL", "7.2")
    with pytest.raises(UsageError, match=r"for Linux 7\.3"):
        new.main(["--name", "foo", "--dir", str(tmp_path)])
    assert not [*tmp_path.iterdir()]
    where = cast("Lane", SimpleNamespace(kernel=SimpleNamespace(version="7.2.12")))
    [result] = new.tests(where, "")
    assert (result.status, result.reason) == (Status.SKIPPED, "the module is for Linux 7.3")
