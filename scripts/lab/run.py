# SPDX-License-Identifier: GPL-2.0
"""``make run``: loads the module in a guest, shows what it does, and gives a shell.

The demonstration is a script of the guest's (guest/demo), which checks what it shows. Where
stdin is no terminal there is no shell. The exit code is 0 only if all of it worked.

``make run CMD='...' EXTRA=dir`` is short for ``scripts/vm --extra dir -- '...'``.
"""

import os

from lab import vm


def main(argv: list[str]) -> int:
    """The verb ``run``."""
    options = ["--lane", os.environ.get("LANE") or "plain", *argv]
    if extra := os.environ.get("EXTRA"):
        options += ["--extra", extra]
    if command := os.environ.get("CMD"):
        return vm.main([*options, "--", command], "ringctl")
    return vm.main([*options, "--no-module", "--", "sh /lab/demo"], "ringctl")
