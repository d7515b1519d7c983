# SPDX-License-Identifier: GPL-2.0
"""``make rust-analyzer``: writes rust-project.json, by which editors understand the module."""

import argparse
import subprocess

from lab import kernel, modules, paths, toolchain
from lab.errors import Exit


def main(argv: list[str]) -> int:
    """Describes the crates for KDIR's kernel, else for the lab's plain one."""
    argparse.ArgumentParser(prog="make rust-analyzer", description=__doc__).parse_args(argv)
    if kdir := toolchain.env_path("KDIR"):
        tc = modules.find_tools(kdir, "analyzer")
    else:
        tc = toolchain.find(lane="plain", want={"kernel"})
        kdir = kernel.ensure("plain", tc).build
    command = ["make", "-C", str(kdir), *tc.make_vars(), f"M={paths.ROOT}", "rust-analyzer"]
    run = subprocess.run(command, env=tc.env(), check=False)
    if run.returncode:
        return Exit.BUILD_FAILED
    print(paths.ROOT / "rust-project.json")
    return Exit.PASSED
