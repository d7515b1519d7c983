# SPDX-License-Identifier: GPL-2.0
"""Keeps the Python tools (ruff, mypy, pytest) in a virtual environment in the cache."""

import hashlib
import shutil
import sys
from pathlib import Path

from lab import command, paths
from lab.command import tail
from lab.errors import HostNotFit
from lab.report import say
from lab.toolchain import Toolchain

REQUIREMENTS = paths.ROOT / "scripts/requirements.txt"


def python(tc: Toolchain) -> Path:
    """Returns a Python that has the tools of scripts/requirements.txt; makes it if need be."""
    made_from = REQUIREMENTS.read_bytes() + f"{sys.version} {sys.executable}".encode()
    home = paths.cache() / "tools" / f"python-{hashlib.sha256(made_from).hexdigest()[:12]}"
    stamp = home / "complete"
    with paths.locked(home.with_suffix(".lock"), "the Python tools") as lock:
        if not stamp.exists():
            say("fetching ruff, mypy and pytest into the cache, once")
            # Virtual environments know their own path, so it is made in place.
            shutil.rmtree(home, ignore_errors=True)
            log = paths.cache() / "logs/python-tools.log"
            log.parent.mkdir(exist_ok=True)
            own = home / "bin/python"
            with log.open("w") as output:
                for step in (
                    [str(tc.tool("venv")), "-m", "venv", str(home)],
                    [str(own), "-m", "pip", "install", "--quiet", "--requirement",
                     str(REQUIREMENTS)],
                ):  # fmt: skip
                    if command.run(step, env=tc.env(), log=output, lock=lock):
                        raise HostNotFit(f"the Python tools cannot be had:\n{tail(log)}")
            stamp.touch()
    return home / "bin/python"
