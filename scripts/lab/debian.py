# SPDX-License-Identifier: GPL-2.0
"""Keeps small Debians in the cache, and runs commands in them that change nothing there."""

import hashlib
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import archive, command, paths
from lab.command import tail
from lab.errors import HostNotFit
from lab.report import say
from lab.toolchain import Toolchain

SUITE = "trixie"
# Where Debian has the newest compilers that it takes for fit for use.
NEWEST = "testing"

# What builds kernels and modules, beside a compiler of C.
TOOLS = (
    *("bc", "bindgen", "bison", "flex", "kmod", "libelf-dev", "libssl-dev", "make", "perl"),
    *("python3", "rust-src", "rustc", "xz-utils"),
)
CLANG = ("clang", "libc6-dev", "lld", "llvm")

# The root's own; a host's may not be for it.
ENVIRONMENT = {"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}

ENTER = Path(__file__).resolve().parent / "enter"


@dataclass(frozen=True)
class Root:
    """A Debian that is installed in a folder."""

    path: Path

    def command(self, work: Path, folders: Sequence[Path], inside: Sequence[str]) -> list[str]:
        """Returns the command that runs another in the root, without a network.

        That finds ``work``, where what it writes stays, and ``folders``, to be read, where the host
        has them; ``work`` is also /work. All else that it writes is gone afterwards.
        """
        return [
            *("unshare", "--mount", "--propagation=private", "--net"),
            *("--pid", "--fork", "--kill-child"),
            *(str(ENTER), str(self.path), str(work), *map(str, folders), "--", *inside),
        ]

    def packages(self) -> str:
        """Returns what tells the root's packages, with their versions, from others."""
        return hashlib.sha256((self.path / "var/lib/dpkg/status").read_bytes()).hexdigest()

    def run(self, work: Path, folders: Sequence[Path], script: Path, *arguments: str) -> int:
        """Runs a script in the root, with its output in a log, and returns its exit code."""
        inside = ["sh", "-c", script.read_text(), script.name, *arguments]
        with (work / f"{script.name}.log").open("w") as log:
            return command.run(
                self.command(work, folders, inside), env=ENVIRONMENT, log=log, what=script.name
            )


def root(tc: Toolchain, packages: Sequence[str], suites: Sequence[str] = (SUITE,)) -> Root:
    """Returns a root of Debian that has these packages; makes it if need be.

    It is of the first suite, and may have packages of the others.
    """
    if os.geteuid() != 0:
        raise HostNotFit("a Debian root is for root to enter: run this by sudo, or in a container")
    mirror = archive.find_mirror(*suites)
    if not mirror:
        raise HostNotFit(f"there is no mirror of Debian here to take a root of {suites[0]} from")
    made_from = " ".join((mirror, *suites, *packages))
    key = hashlib.sha256(made_from.encode()).hexdigest()[:12]
    final = paths.cache() / "roots" / f"{suites[0]}-{key}"
    log = paths.cache() / "logs/root.log"
    log.parent.mkdir(exist_ok=True)
    with paths.locked(final.with_suffix(".lock"), "the Debian root") as lock:
        if not final.exists():
            say(f"making a root of Debian {suites[0]}, once (2 to 10 minutes; log: {log})")
            with paths.atomic_dir(final) as folder, log.open("w") as output:
                signed = f"deb [signed-by={archive.KEYRING}] {mirror}"
                bootstrap = [
                    *(str(tc.tool("mmdebstrap")), "--variant=minbase"),
                    *(f"--aptopt={setting}" for setting in archive.settings()),
                    *(f"--include={','.join(packages)}", suites[0], str(folder)),
                    *(f"{signed} {suite} main" for suite in suites),
                ]
                if command.run(bootstrap, env=tc.env(), log=output, lock=lock, what="the root"):
                    raise HostNotFit(f"{shlex.join(bootstrap)} failed:\n{tail(log)}")
    return Root(final)
