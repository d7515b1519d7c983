# SPDX-License-Identifier: GPL-2.0
"""``make ringctl``: builds ringctl in this tree, for `make install`."""

import argparse
import subprocess

from lab import paths, toolchain
from lab.errors import Exit

PROGRAM = paths.ROOT / "target/release/ringctl"


def main(argv: list[str]) -> int:
    """Builds the program where cargo puts it."""
    argparse.ArgumentParser(prog="make ringctl", description=__doc__).parse_args(argv)
    tc = toolchain.find(want={"tools"})
    command = [
        *(str(tc.cargo), "build", "--release", "--locked", "--package=ringctl"),
        f"--target-dir={paths.ROOT / 'target'}",
    ]
    env = {**tc.env(), "RUSTC": str(tc.rustc)}
    run = subprocess.run(command, cwd=paths.ROOT, env=env, check=False)
    return Exit.BUILD_FAILED if run.returncode else Exit.PASSED
