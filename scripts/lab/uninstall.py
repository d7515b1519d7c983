# SPDX-License-Identifier: GPL-2.0
"""``make uninstall``: removes what `make install`, with the same variables, has put there."""

import argparse

from lab import install
from lab.errors import Exit
from lab.install import Places
from lab.report import say


def uninstall(places: Places) -> None:
    """Removes the files, and those folders of them that nobody else can have need of."""
    install.refuse_unable(places)
    there = [path for path in (*places.module(), *places.files()) if path.exists()]
    if not there:
        say(f"nothing of ringdev is installed for {places.release}, nor in {places.prefix}")
    for path in there:
        path.unlink()
        print(f"  REMOVE  {path}")
    examples = places.prefix / install.EXAMPLES
    for folder in (places.updates, examples, examples.parent):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    places.depmod()


def main(argv: list[str]) -> int:
    """Runs ``make uninstall``."""
    argparse.ArgumentParser(prog="make uninstall", description=__doc__).parse_args(argv)
    uninstall(Places.asked_for())
    return Exit.PASSED
