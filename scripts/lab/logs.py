# SPDX-License-Identifier: GPL-2.0
"""Where the logs of guests are kept: a folder for each, under the cache; the newest stay."""

import shutil
import time
from pathlib import Path

from lab import paths

KEEP = 60


def new(what: str) -> Path:
    """Makes a folder for one guest's logs."""
    folder = paths.cache() / "logs"
    folder.mkdir(exist_ok=True)
    _prune(folder)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    number = 0
    while True:
        # Two guests may start within a second.
        path = folder / f"{stamp}-{what}{f'.{number}' if number else ''}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def _prune(folder: Path) -> None:
    # The names begin with the time.
    guests = sorted(path for path in folder.iterdir() if path.is_dir())
    for old in guests[: -KEEP + 1]:
        shutil.rmtree(old, ignore_errors=True)
