# SPDX-License-Identifier: GPL-2.0
"""``make distclean``: make clean, and removes the lab's cache: kernels, tools, logs."""

import argparse
import os
import shutil
from contextlib import ExitStack
from pathlib import Path

from lab import paths
from lab.clean import clean
from lab.errors import Exit
from lab.report import say


def disk_usage(folder: Path) -> int:
    """Returns the bytes that a folder takes on its disk."""
    return sum(
        (Path(here) / name).lstat().st_blocks * 512
        for here, _, files in os.walk(folder)
        for name in files
    )


def main(argv: list[str]) -> int:
    """Removes the whole cache, once nobody builds in it any more."""
    argparse.ArgumentParser(prog="make distclean", description=__doc__).parse_args(argv)
    clean()
    cache = paths.cache()
    with ExitStack() as locks:
        for lock in [*cache.glob("*.lock"), *cache.glob("*/*.lock"), *cache.glob("**/lock")]:
            locks.enter_context(paths.locked(lock, f"what {lock} guards"))
        size = disk_usage(cache)
        shutil.rmtree(cache)
    say(f"removed {cache}: {size / (1 << 30):.1f} GiB are free again")
    return Exit.PASSED
