# SPDX-License-Identifier: GPL-2.0
"""Puts files and lines to the addresses in a splat, by the kernel's own decode_stacktrace.sh."""

import os
import subprocess
from pathlib import Path

from lab.kernel import Kernel
from lab.splat import Splat
from lab.toolchain import Toolchain

# It runs addr2line for each frame, on a vmlinux with debug information.
SECONDS = 120.0


def decode(splat: Splat, kernel: Kernel, tools: Toolchain, module: Path | None) -> str:
    """Returns the report with decoded frames, or as it is, with the reason."""
    report = "\n".join(splat.lines)
    script = kernel.src / "scripts" / "decode_stacktrace.sh"
    command = [str(script), str(kernel.vmlinux), "auto"]
    if module:
        command.append(str(module.parent))
    environment = {**os.environ, **tools.env()}
    if tools.llvm_bin:
        environment["LLVM"] = "1"
    try:
        done = subprocess.run(
            command,
            input=report + "\n",
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"{report}\n(not decoded: {error})"
    return done.stdout.rstrip()
