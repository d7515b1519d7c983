# SPDX-License-Identifier: GPL-2.0
"""``make debug``: boots a guest that waits for gdb before its first instruction.

``make gdb``, in another terminal, attaches to it. LANE= chooses the kernel, CMD= what runs
there instead of a shell.
"""

import json
import os
from pathlib import Path

from lab import lane, paths, vm
from lab.errors import LabError
from lab.report import say


def main(argv: list[str]) -> int:
    """The verb ``debug``."""
    command = os.environ.get("CMD") or "exec sh"
    options = vm.parser().parse_args([*argv, "--timeout", "0", "--console", "--", command])
    where = lane.prepare(os.environ.get("LANE") or "plain")
    guest = waiting()
    if guest.exists():
        raise LabError(f"a guest of this clone waits for gdb already; if not, remove {guest}")
    socket = guest.with_suffix(".socket")
    facts = {
        "socket": str(socket),
        "vmlinux": str(where.kernel.vmlinux),
        "module": str(where.module(kunit=False)),
    }
    guest.parent.mkdir(exist_ok=True)
    guest.write_text(json.dumps(facts))
    say("the guest waits for gdb: `make gdb` in another terminal, then 'continue' there")
    try:
        return vm.run(
            where, options, command, gdb=("-S", "-gdb", f"unix:{socket},server=on,wait=off")
        )
    finally:
        guest.unlink()
        socket.unlink(missing_ok=True)


def waiting() -> Path:
    """Returns the file that says where this clone's guest waits, while there is one."""
    return paths.cache() / "gdb" / f"{paths.clone_id()}.json"
