# SPDX-License-Identifier: GPL-2.0
"""Where things are, and how to make files and folders that two runs may want at once."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import report

# The clone that this package is part of.
ROOT = Path(__file__).resolve().parents[2]


def cache() -> Path:
    """Returns the folder of what is worth keeping between runs; everything in it can be remade."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # The XDG specification: a relative path is to be ignored.
    path = (base if base.is_absolute() else Path.home() / ".cache") / "ringdev"
    path.mkdir(parents=True, exist_ok=True)
    return path


def clone_id() -> str:
    """Returns a short name of this clone, for what several clones keep apart in one cache."""
    return hashlib.sha256(os.fsencode(ROOT)).hexdigest()[:12]


@contextmanager
def locked(path: Path, what: str) -> Iterator[int]:
    """Holds the lock file ``path``; if another run has it, says so and waits.

    Yields the lock's file descriptor. A child that inherits it (``pass_fds``) holds the lock
    as well, so that a build which outlives a killed lab still keeps others out.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report.say(f"another run is busy with {what}: waiting for it")
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield fd
    finally:
        os.close(fd)


@contextmanager
def atomic_dir(final: Path) -> Iterator[Path]:
    """Yields an empty folder beside ``final`` that becomes ``final`` when the body succeeds.

    When the body fails, or the machine does, ``final`` is as it was before. What is built in
    the folder must not remember its own path.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{final.name}.", dir=final.parent))
    try:
        temporary.chmod(0o755)
        yield temporary
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
