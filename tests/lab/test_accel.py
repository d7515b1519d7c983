# SPDX-License-Identifier: GPL-2.0
"""Whether guests run under KVM is tried once, and remembered."""

from pathlib import Path

import pytest

from lab import accel
from lab.errors import HostNotFit, UsageError
from lab.kernel import Kernel


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Returns a kernel to try it with, on a machine that has the device."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("ACCEL", raising=False)
    monkeypatch.setattr(accel, "DEVICE", tmp_path / "kvm")
    (tmp_path / "kvm").touch()
    (tmp_path / "qemu").touch()
    (tmp_path / "bzImage").touch()
    return Kernel("plain", tmp_path, tmp_path, "7.3.4", "key", own_image=tmp_path / "bzImage")


@pytest.mark.parametrize("works", [True, False])
def test_kvm_is_tried_once(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    tries: list[Path] = []

    def probe(_: Path, image: Path) -> bool:
        tries.append(image)
        return works

    monkeypatch.setattr(accel, "_probe", probe)
    for _ in range(2):
        assert accel.choose(tmp_path / "qemu", kernel) == ("kvm" if works else "tcg")
    assert tries == [kernel.image]
    # Another kernel is another try.
    kernel.image.write_text("another")
    accel.choose(tmp_path / "qemu", kernel)
    assert len(tries) == 2


def test_without_the_device_nothing_is_tried(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accel.DEVICE.unlink()
    monkeypatch.setattr(accel, "_probe", lambda *_: pytest.fail("it was tried"))
    assert accel.choose(tmp_path / "qemu", kernel) == "tcg"
    monkeypatch.setenv("ACCEL", "kvm")
    with pytest.raises(HostNotFit, match="cannot open"):
        accel.choose(tmp_path / "qemu", kernel)


def test_the_user_decides_without_a_try(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accel, "_probe", lambda *_: pytest.fail("it was tried"))
    for word in ("kvm", "tcg"):
        monkeypatch.setenv("ACCEL", word)
        assert accel.choose(tmp_path / "qemu", kernel) == word
    monkeypatch.setenv("ACCEL", "xen")
    with pytest.raises(UsageError, match="ACCEL=xen"):
        accel.choose(tmp_path / "qemu", kernel)
