# SPDX-License-Identifier: GPL-2.0
"""``make clean``: removes what was built in this tree."""

import argparse
import os
import re
import shutil
from pathlib import Path

from lab import paths
from lab.errors import Exit

# What kbuild makes for a module, by name.
PRODUCT = re.compile(
    r".*\.(o|ko|a|mod|mod\.c|rmeta|symvers)|\..*\.(cmd|d)|modules\.order|rust-project\.json"
    r"|uapi_generated\.rs"
)
# What cargo and the Python tools make.
PRODUCT_FOLDERS = {"target", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


def products(root: Path) -> list[Path]:
    """Returns the files and folders below ``root`` that builds have made."""
    found: list[Path] = []
    for folder, subfolders, files in os.walk(root):
        here = Path(folder)
        found += [here / name for name in subfolders if name in PRODUCT_FOLDERS]
        subfolders[:] = [n for n in subfolders if n != ".git" and n not in PRODUCT_FOLDERS]
        found += [here / name for name in files if PRODUCT.fullmatch(name)]
    return found


def clean() -> None:
    """Removes what was built in this tree; the cache stays."""
    for path in products(paths.ROOT):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def main(argv: list[str]) -> int:
    """Runs ``make clean``."""
    argparse.ArgumentParser(prog="make clean", description=__doc__).parse_args(argv)
    clean()
    return Exit.PASSED
