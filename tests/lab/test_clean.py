# SPDX-License-Identifier: GPL-2.0
"""What clean and distclean take away, and what they leave."""

from pathlib import Path

import pytest

from lab import clean, distclean, paths

PRODUCTS = (
    ".Module.symvers.cmd",
    ".module-common.o",
    "Module.symvers",
    "modules.order",
    "ringdev.ko",
    "ringdev.mod.c",
    "rust-project.json",
    "src/.ringdev_main.o.cmd",
    "src/ringdev_main.o",
    "scripts/lab/__pycache__/paths.pyc",
    "target/debug/a",
)
SOURCES = ("Kbuild", "Makefile", "src/ringdev_main.rs", "src/helpers.c", "notes.txt", ".git/x.o")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone in which somebody has built, and a cache."""
    folder = tmp_path / "clone"
    for name in (*PRODUCTS, *SOURCES):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    monkeypatch.setattr(paths, "ROOT", folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (paths.cache() / "kernels/plain").mkdir(parents=True)
    (paths.cache() / "kernels/plain.lock").touch()
    (paths.cache() / "kernels/plain/vmlinux").write_bytes(bytes(1 << 20))
    return folder


def files(folder: Path) -> set[str]:
    """Returns the names of the files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_clean_takes_what_was_built_here_and_nothing_else(root: Path) -> None:
    assert clean.main([]) == 0
    assert files(root) == set(SOURCES)
    assert (paths.cache() / "kernels/plain/vmlinux").exists()


def test_distclean_takes_the_cache_as_well_and_says_how_much(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = paths.cache()
    assert distclean.disk_usage(cache) >= 1 << 20
    assert distclean.main([]) == 0
    assert files(root) == set(SOURCES)
    assert not cache.exists()
    assert "GiB" in capsys.readouterr().err
