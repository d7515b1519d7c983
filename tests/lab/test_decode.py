# SPDX-License-Identifier: GPL-2.0
"""Reports with files and lines: the kernel's script is called as its compilers want it."""

from pathlib import Path

import pytest

from lab import decode
from lab.errors import Exit
from lab.kernel import Kernel
from lab.splat import Splat
from lab.task import Task
from lab.toolchain import Toolchain
from lab.verdict import Verdict

REPORT = Verdict(
    Exit.SPLAT, "", (Splat("warning", "WARNING: here", ("WARNING: here", " f+0x1/0x2")),)
)


def decoded(tmp_path: Path, script: str, llvm_bin: Path | None) -> list[str]:
    """Has a script decode a report."""
    file = tmp_path / "scripts/decode_stacktrace.sh"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    tools = Toolchain({"rustc": Path("/usr/bin/rustc")}, llvm_bin=llvm_bin)
    tree = Kernel("plain", tmp_path, tmp_path, "7.3.4", "key")
    return decode.reports(REPORT, tree, tools, Task(busybox=Path("busybox")), {})


@pytest.mark.parametrize(("llvm_bin", "llvm"), [(Path("/usr/lib/llvm-19/bin"), "1"), (None, "")])
def test_the_tools_that_built_the_kernel_read_it(
    tmp_path: Path, llvm_bin: Path | None, llvm: str
) -> None:
    [text] = decoded(tmp_path, 'echo "LLVM=$LLVM $1"; cat', llvm_bin)
    assert text == f"LLVM={llvm} {tmp_path}/vmlinux\nWARNING: here\n f+0x1/0x2"


def test_a_report_that_cannot_be_decoded_is_shown_as_it_is(tmp_path: Path) -> None:
    [text] = decoded(tmp_path, "exit 1", None)
    assert text.startswith("WARNING: here\n f+0x1/0x2\n(not decoded: ")
