# SPDX-License-Identifier: GPL-2.0
"""What the doctor finds, and when the lab cannot run."""

from pathlib import Path

import pytest

from lab import accel, doctor, kernel, packages, source
from lab.doctor import Mark
from lab.errors import Exit
from lab.packages import Packages
from lab.toolchain import MINIMUM, Survey


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with an empty cache, all tools, and no kernel tree and no KVM."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("KDIR", "KSRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Survey, "get", lambda _, tool: Path("/bin") / tool)
    monkeypatch.setattr(Packages, "known", lambda: Packages({"clang": "1:19.0"}))
    monkeypatch.setattr(packages, "_run_apt", lambda *_: pytest.fail("apt-get was run"))
    monkeypatch.setattr(accel, "DEVICE", tmp_path / "no-kvm")
    monkeypatch.setattr(kernel, "running_kernel_tree", lambda: tmp_path / "no-tree")
    monkeypatch.setattr(kernel, "ROOM", 0)
    monkeypatch.setattr(source, "ROOM", 0)


def run(capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Runs the doctor."""
    code = doctor.main([])
    return code, capsys.readouterr().out


def test_a_healthy_machine_without_any_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(capsys)
    assert code == Exit.PASSED
    assert "!!" not in said.replace("what has !!", "")
    assert "-- this kernel" in said
    assert "`make run` builds one" in said


@pytest.mark.parametrize(
    ("tool", "fatal"),
    [("llvm", True), ("rust-src", True), ("qemu", True), ("gdb", False), ("shellcheck", False)],
)
def test_a_missing_tool(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tool: str, fatal: bool
) -> None:
    monkeypatch.setattr(Survey, "get", lambda _, name: None if name == tool else Path("/bin/x"))
    code, said = run(capsys)
    assert code == (Exit.HOST_NOT_FIT if fatal else Exit.PASSED)
    line = next(line for line in said.splitlines() if line[3:].startswith(tool))
    assert line.startswith("!!" if fatal else "--")
    assert "apt-get install" in line


def test_an_old_bindgen_is_no_reason_not_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Survey, "get", lambda _, t: None if t == "bindgen" else Path("/bin/x"))
    code, said = run(capsys)
    assert code == Exit.PASSED
    assert "-- bindgen" in said


def test_a_tree_that_the_user_names_has_to_be_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".config").write_text("CONFIG_MODULES=y\nCONFIG_RUST=y\n")
    monkeypatch.setenv("KDIR", str(tmp_path))
    code, said = run(capsys)
    assert code == Exit.HOST_NOT_FIT
    assert "E0463" in said


def test_a_tree_of_another_rustc(tmp_path: Path) -> None:
    (tmp_path / "rust").mkdir()
    (tmp_path / "rust/libkernel.rmeta").touch()
    (tmp_path / ".config").write_text(
        'CONFIG_MODULES=y\nCONFIG_RUST=y\nCONFIG_RUSTC_VERSION_TEXT="rustc 1.2.3"\n'
    )
    line = doctor.check_tree("KDIR", tmp_path, Survey(MINIMUM), Mark.BAD)
    assert line.mark is Mark.BAD
    assert "E0514" in line.finding


def test_no_room(tmp_path: Path) -> None:
    assert doctor.check_room(tmp_path, 1).mark is Mark.OK
    line = doctor.check_room(tmp_path, 1 << 60)
    assert line.mark is Mark.BAD
    assert "XDG_CACHE_HOME" in line.mend


def test_a_kvm_that_may_not_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(accel, "DEVICE", tmp_path / "kvm")
    monkeypatch.setattr("os.access", lambda *_: False)
    code, said = run(capsys)
    assert code == Exit.PASSED
    assert "may not be opened" in said


@pytest.mark.parametrize(
    ("tried", "says"),
    [(None, "tries whether it works"), (True, "a guest boots under it"), (False, "no guest gets")],
)
def test_kvm_is_tried_where_there_is_a_kernel_to_try_it_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tried: bool | None, says: str
) -> None:
    (tmp_path / "kvm").touch()
    monkeypatch.setattr(accel, "DEVICE", tmp_path / "kvm")
    trees = [] if tried is None else [tmp_path / "plain-7.3.4-key/build"]
    monkeypatch.setattr(doctor, "lab_trees", lambda: trees)
    monkeypatch.setattr(kernel, "load", lambda _: None)
    monkeypatch.setattr(accel, "kvm_works", lambda *_: tried)
    assert says in str(doctor.check_kvm(Survey(MINIMUM)))
