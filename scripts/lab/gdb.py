# SPDX-License-Identifier: GPL-2.0
"""``make gdb``: attaches gdb to the guest of ``make debug``, with the symbols of kernel and module.

The kernel's own helpers for gdb (the lx- commands) are loaded. They put the module's symbols
where it was loaded, each time it is.
"""

import json
import os
from pathlib import Path

from lab import debug, toolchain
from lab.errors import LabError


def main(argv: list[str]) -> int:
    """The verb ``gdb``."""
    guest = debug.waiting()
    if not guest.exists():
        raise LabError("no guest waits for gdb: start one by `make debug` in another terminal")
    tools = toolchain.find(want={"gdb"})
    command = [str(tools.tool("gdb")), *arguments(json.loads(guest.read_text())), *argv]
    os.execv(command[0], command)


def arguments(guest: dict[str, str]) -> list[str]:
    """Returns what gdb is told to do first."""
    build = Path(guest["vmlinux"]).parent
    steps = (
        f"add-auto-load-safe-path {build}",
        f"file {guest['vmlinux']}",
        f"source {build}/vmlinux-gdb.py",
        f"target remote {guest['socket']}",
        f"source {Path(__file__).with_name('attach.gdb')}",
        f"lx-symbols {Path(guest['module']).parent}",
    )
    # Without -nx, a .gdbinit of the user's would have its say.
    return ["-nx", "-q", *(word for step in steps for word in ("-ex", step))]
