# SPDX-License-Identifier: GPL-2.0
"""Builds the programs that run outside the kernel, and runs the tests of the ring's core."""

import subprocess
from pathlib import Path

from lab import paths
from lab.errors import LabError
from lab.toolchain import Toolchain

TARGET = "x86_64-unknown-linux-gnu"

# The programs of the guest: the packages of the workspace and what they build.
GUEST_PROGRAMS = ("ringdev-tests", "ringdev-bench")


def target_dir(flavour: str) -> Path:
    """Returns where cargo builds; each flavour of flags has its own, or they would fight."""
    return paths.cache() / "target" / paths.clone_id() / flavour


def guest_programs(tc: Toolchain) -> dict[str, Path]:
    """Builds the guest's programs, statically linked, and returns them by name."""
    target = target_dir("guest")
    command = [
        str(tc.cargo),
        "build",
        "--locked",
        "--quiet",
        "--release",
        "--target",
        TARGET,
        "--target-dir",
        str(target),
        *(f"--package={name}" for name in GUEST_PROGRAMS),
    ]
    # With --target the flags are for the guest alone, not for what cargo runs on the host.
    env = {**tc.env(), "RUSTC": str(tc.rustc), "RUSTFLAGS": "-Ctarget-feature=+crt-static"}
    run = subprocess.run(
        command, cwd=paths.ROOT, env=env, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise LabError(f"the guest's programs do not build:\n{run.stderr}")
    return {name: target / TARGET / "release" / name for name in GUEST_PROGRAMS}
