# SPDX-License-Identifier: GPL-2.0
"""The key of a kernel, its configuration, and what makes a tree of the user's own unfit."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lab import kernel, module, paths, source
from lab.debian import Root
from lab.errors import HostNotFit, LabError, UsageError
from lab.kernel import Compilers, Kernel
from lab.source import Source
from lab.toolchain import Toolchain

# Stands for kbuild: configures as it is told, notes that it built, and makes what is asked for.
FAKE_TREE = """
include $(dir $(lastword $(MAKEFILE_LIST)))told
all_targets := bzImage modules scripts_gdb
allnoconfig:
	@grep -v -F "$(FORGET)" $(KCONFIG_ALLCONFIG) > $(O)/.config
bzImage:
	@echo $@ >> $(O)/built
	@sleep $(SLEEP)
	@test -z "$(FAIL)" || { echo "no rule for zImage"; exit 1; }
	@mkdir -p $(O)/include/config && echo 7.3.4-lab > $(O)/include/config/kernel.release
modules scripts_gdb: bzImage
rustavailable:
	@echo "Rust is not there"; exit 1
"""

CLANG = {"rustc": "rustc 1.90.0", "bindgen": "bindgen 0.71.1", "clang": "clang 19", "ld.lld": "19"}


def toolchain(**versions: str) -> Toolchain:
    """Returns a toolchain of these versions."""
    tools = {"rustc": Path("/bin/rustc"), "bindgen": Path("/bin/bindgen")}
    return Toolchain(tools=tools, llvm_bin=Path("/bin"), versions={**CLANG, **versions})


def tell(tree: Path, *, forget: str = "nothing", sleep: int = 0, fail: str = "") -> None:
    """Tells the tree what to do when it is built."""
    (tree / "told").write_text(f"FORGET := {forget}\nSLEEP := {sleep}\nFAIL := {fail}\n")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel source that the lab takes for its own, and an empty cache."""
    folder = tmp_path / "tree"
    folder.mkdir()
    (folder / "Makefile").write_text(FAKE_TREE)
    tell(folder)
    monkeypatch.delenv("KDIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(source, "ensure", lambda: Source(folder, "7.3.4", "fake"))
    return folder


def built(kern: Kernel) -> int:
    """Returns how often a kernel was built."""
    return len((kern.build / "built").read_text().splitlines())


@pytest.mark.usefixtures("tree")
def test_a_kernel_is_built_once() -> None:
    first = kernel.ensure("plain", toolchain())
    assert kernel.ensure("plain", toolchain()) == first
    assert (first.lane, first.release, first.version) == ("plain", "7.3.4-lab", "7.3.4")
    assert built(first) == 1


@pytest.mark.usefixtures("tree")
def test_each_lane_and_each_compiler_has_its_own() -> None:
    keys = {
        kernel.ensure("plain", toolchain()).key,
        kernel.ensure("debug", toolchain()).key,
        kernel.ensure("plain", toolchain(rustc="rustc 1.91.0")).key,
        kernel.ensure("plain", toolchain(clang="clang 20")).key,
        kernel.ensure("plain", toolchain(bindgen="bindgen 0.72.0")).key,
    }
    assert len(keys) == 5


def test_the_key_is_of_symbols_and_not_of_comments() -> None:
    tc = Compilers(toolchain())
    key = kernel.build_key("a", "CONFIG_A=y\n", tc)
    assert kernel.build_key("a", "# Why A.\nCONFIG_A=y\n\n", tc) == key
    assert kernel.build_key("a", "CONFIG_A=m\n", tc) != key
    assert kernel.build_key("a", "CONFIG_A=y\n# CONFIG_B is not set\n", tc) != key
    assert kernel.build_key("b", "CONFIG_A=y\n", tc) != key


def test_of_two_fragments_the_last_counts() -> None:
    symbols = kernel.wanted(kernel.lane_fragment("up", "7.3.4"))
    assert symbols["CONFIG_SMP"] == symbols["CONFIG_PREEMPT"] == "n"
    assert symbols["CONFIG_PREEMPT_LAZY"] == "y"
    assert kernel.wanted(kernel.lane_fragment("plain", "7.3.4"))["CONFIG_SMP"] == "y"


def test_a_series_may_have_a_fragment_of_its_own() -> None:
    assert "CONFIG_PROC_SYSCTL" in kernel.wanted(kernel.lane_fragment("plain", "7.2.12"))
    assert "CONFIG_PROC_SYSCTL" not in kernel.wanted(kernel.lane_fragment("plain", "7.3.4"))
    assert "CONFIG_PROC_SYSCTL" not in kernel.wanted(kernel.lane_fragment("plain", "7.20"))


@pytest.mark.usefixtures("tree")
def test_the_compilers_of_a_root_build_what_is_kept_by_its_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[list[str]] = []

    def enter(
        _root: Root, work: Path, folders: Sequence[Path], inside: Sequence[str]
    ) -> Sequence[str]:
        assert work.name.startswith("newest-7.3.4-")
        assert folders == [tmp_path / "tree"]
        entered.append([*inside])
        return inside

    monkeypatch.setattr(Root, "command", enter)
    root = Root(tmp_path / "root")
    status = root.path / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text("Package: rustc\nVersion: 1.97.1\n")
    first = kernel.ensure("newest", toolchain(), root)
    assert kernel.ensure("newest", toolchain(), root) == first
    assert built(first) == 1
    assert first.root == root
    # Its compilers have their usual names, and this machine's are not named.
    assert all("LLVM=1" in command for command in entered)
    assert not any(word.startswith("RUSTC=") for command in entered for word in command)
    status.write_text("Package: rustc\nVersion: 1.98.0\n")
    assert kernel.ensure("newest", toolchain(), root).key != first.key


def test_a_build_that_failed_is_tried_again_and_shows_the_log(tree: Path) -> None:
    tell(tree, fail="1")
    with pytest.raises(LabError, match="no rule for zImage") as caught:
        kernel.ensure("plain", toolchain())
    assert "build.log" in str(caught.value)
    tell(tree)
    assert built(kernel.ensure("plain", toolchain())) == 2


def test_an_interrupted_build_goes_on(tree: Path, tmp_path: Path) -> None:
    tell(tree, sleep=60)
    program = (
        "from pathlib import Path; import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_kernel import toolchain; from lab import kernel, source\n"
        f"tree = Path({str(tree)!r})\n"
        "source.ensure = lambda: source.Source(tree, '7.3.4', 'fake')\n"
        "kernel.ensure('plain', toolchain())\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(paths.ROOT / "scripts")},
        stderr=subprocess.PIPE,
    )
    cache = tmp_path / "cache/ringdev/kernels"
    deadline = time.monotonic() + 20
    while not list(cache.glob("*/build/built")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    other.send_signal(signal.SIGINT)
    other.communicate(timeout=20)
    assert other.returncode
    # Neither a stamp nor a sleeping make is left; the lock is free, and what was built is there.
    assert not list(cache.glob("*/complete"))
    tell(tree)
    start = time.monotonic()
    assert built(kernel.ensure("plain", toolchain())) == 2
    assert time.monotonic() - start < 20


def test_a_symbol_that_does_not_take_is_named_with_the_reason(tree: Path) -> None:
    tell(tree, forget="CONFIG_RUST=y")
    (tree / "Kconfig").write_text(
        "config RUST\n\tbool\n\tdepends on HAVE_RUST\n\tdepends on \\\n\t\t!MODVERSIONS\n\n"
        "config OTHER\n\tbool\n\tdepends on NEVER\n"
    )
    with pytest.raises(HostNotFit) as caught:
        kernel.ensure("plain", toolchain())
    said = str(caught.value)
    assert "CONFIG_RUST is n; it depends on HAVE_RUST && " in said
    assert "HAVE_RUST=n, MODVERSIONS=n" in said
    assert "NEVER" not in said
    # What kbuild itself says of Rust.
    assert "Rust is not there" in said


def test_a_symbol_that_does_not_exist_is_named(tmp_path: Path) -> None:
    assert kernel.why_not("CONFIG_NONE", {}, tmp_path) == "this kernel has no such symbol"


def test_what_is_wanted_off_has_to_be_off() -> None:
    fragment = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=5\n"
    assert kernel.not_taken(fragment, {"CONFIG_A": "y", "CONFIG_C": "5"}) == {}
    config = {"CONFIG_A": "m", "CONFIG_B": "y"}
    assert kernel.not_taken(fragment, config) == {
        "CONFIG_A": "m",
        "CONFIG_B": "y",
        "CONFIG_C": "n",
    }


def test_there_are_two_lanes() -> None:
    with pytest.raises(UsageError, match="fast"):
        kernel.ensure("fast", toolchain())


@pytest.mark.usefixtures("tree")
def test_the_debug_lane_wants_clang() -> None:
    with pytest.raises(HostNotFit, match="clang"):
        kernel.ensure("debug", dataclasses.replace(toolchain(), llvm_bin=None))


@pytest.mark.usefixtures("tree")
def test_a_full_disk_is_said_before_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "ROOM", 1 << 60)
    with pytest.raises(HostNotFit, match="are free"):
        kernel.ensure("plain", toolchain())


@pytest.fixture
def kdir(tmp_path: Path) -> Path:
    """A built tree that is fit for everything."""
    for name in (
        "Module.symvers",
        "rust/libkernel.rmeta",
        "arch/x86/boot/bzImage",
        "vmlinux",
        "include/config/kernel.release",
        ".config",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".config").write_text(
        "CONFIG_MODULES=y\nCONFIG_RUST=y\nCONFIG_CC_IS_CLANG=y\n"
        'CONFIG_RUSTC_VERSION_TEXT="rustc 1.90.0 (abc 2026-01-01)"\n'
    )
    return tmp_path


def test_a_tree_of_the_users_is_taken(kdir: Path) -> None:
    kern = kernel.from_kdir(kdir, "plain")
    assert (kern.build, kern.src, kern.from_user, kern.clang) == (kdir, kdir, True, True)
    assert kernel.unfit(kdir) is None


def test_a_new_build_of_the_users_tree_is_another_kernel(kdir: Path) -> None:
    before = kernel.from_kdir(kdir, "plain").key
    os.utime(kdir / "vmlinux", (1, 1))
    assert kernel.from_kdir(kdir, "plain").key != before


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (".config", "is no built kernel tree"),
        ("rust/libkernel.rmeta", "E0463"),
        ("Module.symvers", "has no Module.symvers"),
        ("arch/x86/boot/bzImage", "has no arch/x86/boot/bzImage"),
        ("vmlinux", "has no vmlinux"),
    ],
)
def test_what_a_tree_lacks_is_named(kdir: Path, name: str, sentence: str) -> None:
    (kdir / name).unlink()
    with pytest.raises(HostNotFit, match=sentence):
        kernel.from_kdir(kdir, "plain")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("rm .config", "is no built kernel tree"),
        ("sed -i s/CONFIG_RUST=y// .config", "without CONFIG_RUST"),
        ("sed -i s/CONFIG_MODULES=y// .config", "CONFIG_MODULES"),
        ("rm rust/*.rmeta", "E0463"),
    ],
)
def test_a_tree_that_takes_no_rust_modules(kdir: Path, damage: str, sentence: str) -> None:
    subprocess.run(damage, shell=True, cwd=kdir, check=True)
    reason = kernel.unfit(kdir)
    assert reason
    assert sentence in reason
    assert "make run" in reason


def test_a_tree_of_another_rustc(kdir: Path) -> None:
    assert kernel.other_rustc(kdir, "rustc 1.90.0 (abc 2026-01-01)") is None
    reason = kernel.other_rustc(kdir, "rustc 1.95.0")
    assert reason
    assert "E0514" in reason
    assert "rustc 1.90.0" in reason


def test_gcc_built_the_tree(kdir: Path) -> None:
    config = (kdir / ".config").read_text()
    (kdir / ".config").write_text(config.replace("CONFIG_CC_IS_CLANG=y\n", ""))
    assert "LLVM=1" not in kernel.from_kdir(kdir, "plain").make(toolchain())


def test_a_build_gets_links_to_sources_and_to_nothing_else(tmp_path: Path) -> None:
    names = ["Kbuild", "src/a.rs", "src/a.o", "src/.a.o.cmd", "src/deep/b.c", "modules.order"]
    for name in names:
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).touch()
    module.link_sources(tmp_path / "tree", tmp_path / "links")
    linked = [p.relative_to(tmp_path / "links") for p in (tmp_path / "links").rglob("*")]
    assert sorted(map(str, linked)) == ["Kbuild", "src", "src/a.rs", "src/deep", "src/deep/b.c"]
