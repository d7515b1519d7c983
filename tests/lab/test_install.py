# SPDX-License-Identifier: GPL-2.0
"""What make install puts where, what it refuses, and that make uninstall leaves nothing of it."""

from pathlib import Path

import pytest

from lab import install, ringctl, toolchain, uninstall
from lab.errors import HostNotFit, LabError, UsageError

RELEASE = "7.3.4-test"

# The part of kbuild that installs.
MAKEFILE = f"""\
modules_install:
	mkdir -p $(INSTALL_MOD_PATH)/lib/modules/{RELEASE}/updates
	cp $(M)/ringdev.ko $(INSTALL_MOD_PATH)/lib/modules/{RELEASE}/updates/
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a kernel tree, and a clone in which all is built; returns its root."""
    clone, kdir, root = (tmp_path / name for name in ("clone", "kdir", "root"))
    (kdir / "include/config").mkdir(parents=True)
    (kdir / "include/config/kernel.release").write_text(f"{RELEASE}\n")
    (kdir / "Makefile").write_text(MAKEFILE)
    clone.mkdir()
    (clone / "ringdev.ko").write_bytes(f"\0license=GPL\0vermagic={RELEASE} SMP \0".encode())
    (clone / "ringctl").write_text("#!/bin/sh\n")
    (clone / "ringctl").chmod(0o755)
    monkeypatch.setattr("lab.paths.ROOT", clone)
    monkeypatch.setattr(install, "MODULE", clone / "ringdev.ko")
    monkeypatch.setattr(ringctl, "PROGRAM", clone / "ringctl")
    monkeypatch.setattr(install, "FILES", {**install.FILES, "bin/ringctl": clone / "ringctl"})
    for name in ("DESTDIR", "INSTALL_MOD_DIR", "INSTALL_MOD_PATH", "INSTALL_MOD_STRIP", "PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KDIR", str(kdir))
    root.mkdir()
    return root


def files(folder: Path) -> set[str]:
    """Returns the names of the files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_with_destdir_all_goes_below_it_and_all_of_it_goes_again(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTDIR", str(machine))
    monkeypatch.setenv("PREFIX", "/usr")
    (machine / "usr/share/doc/other").mkdir(parents=True)
    (machine / "usr/share/doc/other/notes").touch()
    assert install.main([]) == 0
    installed = files(machine) - {"usr/share/doc/other/notes"}
    assert f"lib/modules/{RELEASE}/updates/ringdev.ko" in installed
    assert "usr/bin/ringctl" in installed
    assert "usr/lib/udev/rules.d/60-ringdev.rules" in installed
    assert {"usr/share/man/man1/ringctl.1", "usr/share/man/man4/ring.4"} < installed
    assert "usr/share/doc/ringdev/examples/modules-load.conf" in installed
    assert (machine / "usr/bin/ringctl").stat().st_mode & 0o777 == 0o755
    assert not [name for name in installed if name.endswith(".new")]
    assert not [name for name in installed if "modules.dep" in name]
    assert uninstall.main([]) == 0
    assert files(machine) == {"usr/share/doc/other/notes"}
    assert not (machine / "usr/share/doc/ringdev").exists()


def test_depmod_is_for_the_root_that_the_module_is_in(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTALL_MOD_PATH", str(machine))
    monkeypatch.setenv("PREFIX", f"{machine}/usr")
    (machine / f"lib/modules/{RELEASE}").mkdir(parents=True)
    commands: list[list[str]] = []

    def run(command: list[str]) -> int:
        commands.append(command)
        return 0

    monkeypatch.setattr(install, "_run", run)
    monkeypatch.setattr("shutil.which", lambda name, **_: f"/sbin/{name}")
    install.main([])
    assert commands[0][-1] == "modules_install"
    assert commands[-1] == ["depmod", "-b", str(machine), RELEASE]


def test_a_file_of_the_user_beside_ours_is_left(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTDIR", str(machine))
    install.main([])
    own = machine / "usr/local/share/doc/ringdev/examples/own.conf"
    other = machine / f"lib/modules/{RELEASE}/updates/ringdev.ko.bak"
    own.touch()
    other.touch()
    uninstall.main([])
    assert files(machine) == {str(path.relative_to(machine)) for path in (own, other)}


def test_nothing_is_removed_twice(
    machine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DESTDIR", str(machine))
    assert uninstall.main([]) == 0
    assert "nothing of ringdev is installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [("ringdev.ko", "'make' builds it"), ("ringctl", "'make ringctl' builds it")],
)
def test_what_is_not_built_is_named_and_nothing_is_written(
    machine: Path, monkeypatch: pytest.MonkeyPatch, missing: str, sentence: str
) -> None:
    monkeypatch.setenv("DESTDIR", str(machine))
    (install.MODULE.parent / missing).unlink()
    with pytest.raises(HostNotFit, match=sentence):
        install.main([])
    assert not files(machine)


def test_a_module_for_another_kernel_is_refused(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTDIR", str(machine))
    install.MODULE.write_bytes(b"\0vermagic=7.3.3 SMP \0")
    with pytest.raises(HostNotFit, match=r"built for the kernel 7\.3\.3"):
        install.main([])
    assert not files(machine)


def test_a_kernel_that_is_not_installed_is_refused(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INSTALL_MOD_PATH", str(machine))
    monkeypatch.setenv("PREFIX", f"{machine}/usr")
    with pytest.raises(HostNotFit, match="is not installed"):
        install.main([])
    assert not files(machine)


def test_without_depmod_nothing_is_begun(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTALL_MOD_PATH", str(machine))
    monkeypatch.setenv("PREFIX", f"{machine}/usr")
    (machine / f"lib/modules/{RELEASE}").mkdir(parents=True)
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(HostNotFit, match="kmod"):
        install.main([])
    assert not files(machine)


def test_a_user_who_may_not_write_there_is_told_so(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTDIR", str(machine))
    monkeypatch.setattr("os.access", lambda path, _: path != machine)
    with pytest.raises(HostNotFit, match="this is for root"):
        install.main([])
    assert not files(machine)


def test_a_tree_that_is_no_kernel_and_a_relative_path_are_refused(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTDIR", "stage")
    with pytest.raises(UsageError, match="absolute path"):
        install.main([])
    monkeypatch.setenv("DESTDIR", str(machine))
    monkeypatch.setenv("KDIR", str(machine))
    with pytest.raises(HostNotFit, match="no built kernel tree"):
        install.main([])


def test_a_failure_of_kbuild_is_one(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DESTDIR", str(machine))
    kdir = toolchain.env_path("KDIR")
    assert kdir
    (kdir / "Makefile").write_text("modules_install:\n\tfalse\n")
    with pytest.raises(LabError, match="kbuild did not install"):
        install.main([])
    assert not files(machine)
