# SPDX-License-Identifier: GPL-2.0
"""The lane of Debian's own kernel: which one it takes, and how it is built for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lab import archive, command, kernel, source, stock
from lab.archive import Archive
from lab.debian import Root
from lab.errors import HostNotFit, LabError
from lab.kernel import Kernel
from lab.toolchain import Toolchain

SERIES = source.SERIES["7.3"]


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def mirror(monkeypatch: pytest.MonkeyPatch, *versions: str) -> None:
    """Has Debian's mirror offer these versions of everything."""
    monkeypatch.setattr(archive, "read", Archive)
    monkeypatch.setattr(Archive, "versions", lambda *_: list(versions))


def test_the_version_that_was_tested_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror(monkeypatch, "7.3.9-1~bpo13+1", SERIES.pinned)
    assert stock._version(SERIES, tmp_path) == SERIES.pinned


def test_what_was_taken_once_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    mirror(monkeypatch, "7.3.8-1~bpo13+1")
    assert stock._version(SERIES, tmp_path) == "7.3.8-1~bpo13+1"
    assert "taking 7.3.8-1~bpo13+1" in capsys.readouterr().err
    mirror(monkeypatch, "7.3.9-1~bpo13+1", SERIES.pinned)
    assert stock._version(SERIES, tmp_path) == "7.3.8-1~bpo13+1"


def test_where_there_is_no_mirror_there_is_no_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "read", lambda *_: None)
    with pytest.raises(HostNotFit, match=r"linux-source-7\.3"):
        stock._version(SERIES, tmp_path)


def says(line: str, code: int = 0) -> Callable[..., int]:
    """Returns what runs a command that says a line, and that ends with a code."""

    def run(_command: object, *, log: "object", **_: object) -> int:
        print("lab: compiling", line, sep="\n", file=log)  # type: ignore[call-overload]
        return code

    return run


def test_the_tree_is_what_the_root_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "ringdev/rust-headers/7.3.4-1/build"
    monkeypatch.setattr(command, "run", says(str(tree)))
    assert stock._headers(Root(Path("/root-of-debian")), tmp_path, "7.3.4") == tree


@pytest.mark.parametrize(("line", "code"), [("/elsewhere/build", 0), ("", 0), ("/x/build", 1)])
def test_a_root_in_which_it_fails_gives_no_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, code: int
) -> None:
    monkeypatch.setattr(command, "run", says(line, code))
    with pytest.raises(LabError, match="fails in /root-of-debian"):
        stock._headers(Root(Path("/root-of-debian")), tmp_path, "7.3.4")


def test_in_a_root_its_own_compilers_build(tmp_path: Path) -> None:
    (tmp_path / ".config").write_text(
        'CONFIG_CC_IS_GCC=y\nCONFIG_CC_VERSION_TEXT="x86_64-linux-gnu-gcc-14 (Debian) 14.2.0"\n'
    )
    tools = Toolchain({"rustc": Path("/usr/bin/rustc")}, llvm_bin=Path("/usr/lib/llvm-19/bin"))
    shipped = Kernel("stock", tmp_path, tmp_path, "7.3.4", "key", clang=False, root=Root(tmp_path))
    assert shipped.make(tools, "modules") == [
        *("make", "-C", str(tmp_path), "CC=x86_64-linux-gnu-gcc-14", "modules")
    ]


def test_a_gcc_that_has_no_name_of_its_own_is_not_named() -> None:
    assert kernel.cc_var({"CONFIG_CC_IS_GCC": "y", "CONFIG_CC_VERSION_TEXT": '"gcc (D) 12"'}) == []
    assert kernel.cc_var({"CONFIG_CC_VERSION_TEXT": '"Debian clang version 19"'}) == []
