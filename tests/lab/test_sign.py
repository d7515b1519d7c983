# SPDX-License-Identifier: GPL-2.0
"""``make sign``: which key it takes, what it refuses, and what it calls."""

from pathlib import Path

import pytest

from lab import sign
from lab.errors import Exit, HostNotFit, LabError, UsageError

# Appends what the kernel's program appends, after what it was called with.
SIGN_FILE = """#!/bin/sh
[ "$1" = sha384 ] || exit 1
printf '%s~Module signature appended~\\n' "$2 $3" >>"$4"
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module, a kernel tree with the program, and a key and a certificate."""
    file = tmp_path / "ringdev.ko"
    file.write_bytes(b"module")
    program = tmp_path / "kdir/scripts/sign-file"
    program.parent.mkdir(parents=True)
    program.write_text(SIGN_FILE)
    program.chmod(0o755)
    (tmp_path / "kdir/.config").write_text('CONFIG_MODULE_SIG_HASH="sha384"\n')
    for name in ("mok.key", "mok.der"):
        (tmp_path / name).touch()
    monkeypatch.setattr(sign, "MODULE", file)
    monkeypatch.setattr(sign, "KEYS", ())
    monkeypatch.setenv("KDIR", str(tmp_path / "kdir"))
    monkeypatch.setenv("KEY", str(tmp_path / "mok.key"))
    monkeypatch.setenv("CERT", str(tmp_path / "mok.der"))
    return file


def test_the_kernels_program_signs_with_the_kernels_hash(module: Path) -> None:
    assert sign.main([]) == Exit.PASSED
    key = module.parent / "mok.key"
    assert module.read_bytes().startswith(f"module{key} ".encode())
    assert module.read_bytes().endswith(sign.SIGNED)


def test_what_is_signed_is_not_signed_again(module: Path) -> None:
    sign.main([])
    before = module.read_bytes()
    with pytest.raises(HostNotFit, match="signed already"):
        sign.main([])
    assert module.read_bytes() == before


def test_without_a_module_there_is_nothing_to_sign(module: Path) -> None:
    module.unlink()
    with pytest.raises(HostNotFit, match="'make' builds it"):
        sign.main([])


def test_a_kernel_without_signatures_needs_none(module: Path) -> None:
    (module.parent / "kdir/scripts/sign-file").unlink()
    with pytest.raises(HostNotFit, match="CONFIG_MODULE_SIG"):
        sign.main([])


def test_a_program_that_fails_is_told_of(module: Path) -> None:
    (module.parent / "kdir/.config").write_text('CONFIG_MODULE_SIG_HASH="md5"\n')
    with pytest.raises(LabError, match="failed"):
        sign.main([])
    assert module.read_bytes() == b"module"


@pytest.mark.usefixtures("module")
def test_a_key_needs_its_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CERT")
    with pytest.raises(UsageError, match="belong together"):
        sign.find_key()


def test_a_key_that_is_not_there_is_named(module: Path) -> None:
    (module.parent / "mok.der").unlink()
    with pytest.raises(UsageError, match=r"mok\.der"):
        sign.find_key()


def test_the_distributions_key_is_taken_where_none_is_given(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KEY", "CERT"):
        monkeypatch.delenv(name)
    with pytest.raises(HostNotFit, match="KEY= and CERT="):
        sign.find_key()
    pair = (module.parent / "mok.key", module.parent / "mok.der")
    monkeypatch.setattr(sign, "KEYS", ((module.parent / "none", module.parent / "mok.der"), pair))
    assert sign.find_key() == pair
