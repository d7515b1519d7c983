# SPDX-License-Identifier: GPL-2.0
"""Keeps a small Debian in the cache, and runs commands in it that change nothing there."""

import hashlib
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import command, paths, source
from lab.command import tail
from lab.errors import HostNotFit
from lab.report import say
from lab.toolchain import Toolchain

SUITE = "trixie"

# What packages are built with, and what has to be there where they are installed.
PACKAGES = (
    *("bindgen", "build-essential", "cargo", "clang", "debhelper", "dh-dkms", "dkms", "kmod"),
    *("lintian", "lld", "llvm", "rustc", "systemd-standalone-sysusers"),
)

ENTER = paths.ROOT / "tests/packages/enter"


@dataclass(frozen=True)
class Root:
    """A Debian that is installed in a folder."""

    path: Path

    def run(self, work: Path, folders: Sequence[Path], script: Path, *arguments: str) -> int:
        """Runs a script in the root, without a network, and returns its exit code.

        It finds ``work`` as /work, where what it writes stays and its output goes into a log, and
        ``folders`` where the host has them, to be read.
        """
        with (work / f"{script.name}.log").open("w") as log:
            return command.run(
                [
                    *("unshare", "--mount", "--propagation=private", "--net"),
                    *("--pid", "--fork", "--kill-child"),
                    *(str(ENTER), str(self.path), str(work), *map(str, folders), "--"),
                    *(script.name, script.read_text(), *arguments),
                ],
                env={"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"},
                log=log,
                what=script.name,
            )


def root(tc: Toolchain) -> Root:
    """Returns a root of Debian; makes it if need be."""
    if os.geteuid() != 0:
        raise HostNotFit("a Debian root is for root to enter: run this by sudo, or in a container")
    mirror = source.debian_mirror()
    if not mirror:
        raise HostNotFit(f"there is no mirror of Debian here to take a root of {SUITE} from")
    made_from = " ".join((mirror, *PACKAGES))
    key = hashlib.sha256(made_from.encode()).hexdigest()[:12]
    final = paths.cache() / "roots" / f"{SUITE}-{key}"
    log = paths.cache() / "logs/root.log"
    log.parent.mkdir(exist_ok=True)
    with paths.locked(final.with_suffix(".lock"), "the Debian root") as lock:
        if not final.exists():
            say(f"making a root of Debian {SUITE}, once (3 to 10 minutes; log: {log})")
            with paths.atomic_dir(final) as folder, log.open("w") as output:
                bootstrap = [
                    *(str(tc.tool("mmdebstrap")), "--variant=minbase"),
                    *(f"--include={','.join(PACKAGES)}", SUITE, str(folder)),
                    f"deb [signed-by={source.KEYRING}] {mirror} {SUITE} main",
                ]
                if command.run(bootstrap, env=tc.env(), log=output, lock=lock, what="the root"):
                    raise HostNotFit(f"{shlex.join(bootstrap)} failed:\n{tail(log)}")
    return Root(final)
