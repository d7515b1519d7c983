# SPDX-License-Identifier: GPL-2.0
"""Puts files and lines to the addresses in a splat, by the kernel's own decode_stacktrace.sh."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from lab.kernel import Kernel
from lab.task import Task
from lab.toolchain import Toolchain
from lab.verdict import Verdict

# It runs addr2line for each frame, on a vmlinux with debug information.
SECONDS = 120.0


def reports(
    verdict: Verdict, kernel: Kernel, tools: Toolchain, task: Task, facts: Mapping[str, str]
) -> list[str]:
    """Returns the reports of a guest's kernel with decoded frames.

    ``facts`` are what the guest said; the address of the module's code is among them.
    """
    text = facts.get("text", "")
    symbols = _symbols(task.module, tools) if task.module and verdict.splats and text else []
    found: list[str] = []
    for splat in verdict.splats:
        # The module may be gone when the kernel names its functions.
        lines = [_named(line, int(text, 16), symbols, task) for line in splat.lines] if text else []
        found.append(_decode(lines or list(splat.lines), kernel, tools, task.module))
    return found


def _decode(lines: list[str], kernel: Kernel, tools: Toolchain, module: Path | None) -> str:
    """Returns a report with decoded frames, or as it is, with the reason."""
    report = "\n".join(lines)
    script = kernel.src / "scripts" / "decode_stacktrace.sh"
    command = [str(script), str(kernel.vmlinux), "auto"]
    if module:
        command.append(str(module.parent))
    env = tools.env()
    if tools.llvm_bin:
        env["LLVM"] = "1"
    try:
        done = subprocess.run(
            command,
            input=report + "\n",
            capture_output=True,
            text=True,
            errors="replace",
            env=env,
            timeout=SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{report}\n(not decoded: {error})"
    return done.stdout.rstrip()


def _named(line: str, text: int, symbols: list[tuple[int, int, str]], task: Task) -> str:
    """Writes a line that is an address of the module's code as the kernel writes its frames."""
    match = re.fullmatch(r"(\s+)0x([0-9a-f]{16})", line)
    if not match or not task.module:
        return line
    address = int(match[2], 16) - text
    for start, size, name in symbols:
        if start <= address < start + size:
            return f"{match[1]}{name}+{address - start:#x}/{size:#x} [{task.module.stem}]"
    return line


def _symbols(module: Path, tools: Toolchain) -> list[tuple[int, int, str]]:
    """Returns the functions of a module's code: where they begin in it, their sizes and names."""
    readelf = str(tools.llvm_bin / "llvm-readelf") if tools.llvm_bin else "readelf"
    try:
        listing = subprocess.run(
            [readelf, "--wide", "--sections", "--symbols", str(module)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        # Reports without these names are better than none.
        return []
    code = re.search(r"^\s*\[\s*(\d+)\] \.text\s", listing, re.MULTILINE)
    rows = re.findall(
        r"^\s*\d+: ([0-9a-f]+)\s+(\d+) FUNC\s+\w+\s+\w+\s+(\d+) (\S+)$", listing, re.MULTILINE
    )
    return [
        (int(start, 16), int(size), name)
        for start, size, section, name in rows
        if code and section == code[1]
    ]
