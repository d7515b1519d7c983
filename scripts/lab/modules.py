# SPDX-License-Identifier: GPL-2.0
"""``make modules``: ringdev.ko in this tree, for the user's kernel."""

import argparse
import os
import subprocess
from pathlib import Path

from lab import kernel, module, paths, rust_headers, toolchain
from lab.errors import Exit, HostNotFit


def user_tree() -> Path:
    """Returns the kernel tree that the user builds for: KDIR, else the running kernel's."""
    return toolchain.env_path("KDIR") or kernel.running_kernel_tree()


def find_tools(kdir: Path, *more: str) -> toolchain.Toolchain:
    """Returns the tools that built the tree, and those for ``more`` purposes.

    Refuses a tree that takes no Rust modules.
    """
    if reason := kernel.unfit(kdir):
        raise HostNotFit(reason)
    config = kernel.read_config(kdir / ".config")
    want = {"module", "clang"} if config.get("CONFIG_CC_IS_CLANG") == "y" else {"module"}
    tc = toolchain.find(want=want | set(more), kdir=kdir)
    if reason := kernel.other_rustc(kdir, tc.rustc_version):
        raise HostNotFit(reason)
    return tc


def main(argv: list[str]) -> int:
    """Builds the module in the source tree, as people who build modules expect."""
    argparse.ArgumentParser(prog="make modules", description=__doc__).parse_args(argv)
    kdir = rust_headers.complete(user_tree())
    tc = find_tools(kdir)
    module.refuse_awkward_paths(paths.ROOT)
    command = [
        "make",
        "-C",
        str(kdir),
        *tc.make_vars(),
        *kernel.cc_var(kernel.read_config(kdir / ".config")),
        f"M={paths.ROOT}",
        f"-j{len(os.sched_getaffinity(0))}",
        "modules",
    ]
    run = subprocess.run(command, env=tc.env(), check=False)
    return Exit.BUILD_FAILED if run.returncode else Exit.PASSED
