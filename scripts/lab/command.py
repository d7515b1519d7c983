# SPDX-License-Identifier: GPL-2.0
"""Runs the long commands: builds, whose output goes into a log."""

import math
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from lab.report import say

# How often a user who waits hears something.
SECONDS_BETWEEN_SIGNS = 120.0

# How long a command may take to clean up; make removes the files that it had half made.
SECONDS_TO_END = 10.0


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    log: IO[str],
    stdout: IO[str] | None = None,
    lock: int | None = None,
    cwd: Path | None = None,
    what: str = "",
    timeout: float = math.inf,
) -> int:
    """Runs ``command`` to its end and returns its exit code.

    Its output goes to ``log``, or what of it is stdout to ``stdout``. It runs in a process group
    of its own, which is ended if the lab is interrupted: to end make alone would leave those
    working that make has started. It inherits ``lock``, so that one which outlives a lab that was
    killed outright still keeps the next out. While it runs, the user now and then hears that
    ``what`` is still being done. After ``timeout`` seconds it is ended, and TimeoutExpired raised.
    """
    start = time.monotonic()
    with subprocess.Popen(
        command,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=stdout or log,
        stderr=log,
        pass_fds=() if lock is None else (lock,),
        process_group=0,
    ) as process:
        try:
            while True:
                left = start + timeout - time.monotonic()
                try:
                    return process.wait(timeout=min(left, SECONDS_BETWEEN_SIGNS))
                except subprocess.TimeoutExpired:
                    if left <= SECONDS_BETWEEN_SIGNS:
                        raise
                    if what:
                        say(f"{what}: {(time.monotonic() - start) / 60:.0f} minutes so far")
        except BaseException:
            end(process)
            raise


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a command and all that it has started: politely, then not."""
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(timeout=SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def tail(log: Path, lines: int = 20) -> str:
    """Returns the last lines of a log, indented."""
    text = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in text)
