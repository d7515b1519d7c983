# SPDX-License-Identifier: GPL-2.0
"""The lane of a kernel as Debian ships it: its image, and its headers to build the module with.

Image, headers and compilers are packages in a Debian root. There ``make rust-headers`` compiles
what the headers lack, as it does on a machine that runs that kernel, and there the module is built.
"""

import hashlib
import re
from pathlib import Path

from lab import archive, command, debian, logs, paths, source
from lab.command import tail
from lab.debian import Root
from lab.errors import HostNotFit, LabError
from lab.kernel import Kernel
from lab.report import say
from lab.source import Series
from lab.toolchain import Toolchain

FLAVOUR = "+deb13-amd64"


def ensure(tc: Toolchain) -> Kernel:
    """Returns Debian's kernel of the series that KERNEL= asks for."""
    series = source.series()
    home = paths.cache() / "stock"
    home.mkdir(exist_ok=True)
    release = f"{_version(series, home).partition('-')[0]}{FLAVOUR}"
    # gcc comes with the headers.
    packages = (
        *(f"linux-headers-{release}", f"linux-binary-{release}", series.package),
        *debian.TOOLS,
    )
    root = debian.root(tc, packages, (debian.SUITE, source.SUITE))
    build = _headers(root, home, release)
    return Kernel(
        lane="stock",
        src=build.parent / "source",
        build=build,
        release=release,
        key=hashlib.sha256(f"{root.path} {build}".encode()).hexdigest()[:12],
        clang=False,
        root=root,
        own_image=root.path / f"usr/lib/modules/{release}/vmlinuz",
    )


def _version(series: Series, home: Path) -> str:
    """Returns Debian's version: what an earlier run took, the one that was tested, or the newest.

    Releases come and go on mirrors, and what was taken once goes on to be there.
    """
    kept = home / series.name
    with paths.locked(home / "lock", "the version of Debian's kernel"):
        if not kept.exists():
            packages = archive.read(source.SUITE, home / "apt")
            version = packages.choose(series.package, series.pinned) if packages else ""
            if not version:
                raise HostNotFit(f"there is no mirror of Debian here that has {series.package}")
            kept.write_text(version)
        return kept.read_text()


def _headers(root: Root, home: Path, release: str) -> Path:
    """Has the headers completed in the root, and returns what they are then."""
    log = logs.new("stock") / "rust-headers.log"
    kdir = f"/usr/src/linux-headers-{release}"
    say(f"Debian's {release}: the Rust crates of its headers (log: {log})")
    inside = root.command(
        home,
        [paths.ROOT],
        [
            *("env", f"XDG_CACHE_HOME={home}", "NO_INSTALL=1"),
            *("make", "-s", "-C", str(paths.ROOT), "rust-headers", f"KDIR={kdir}"),
        ],
    )
    with log.open("w") as output:
        code = command.run(inside, env=debian.ENVIRONMENT, log=output, what="the crates")
    said = log.read_text()
    tree = re.search(rf"^{re.escape(str(home))}/.*/build$", said, re.MULTILINE)
    if code or not tree:
        raise LabError(f"`make rust-headers` fails in {root.path}; the end of {log}:\n{tail(log)}")
    return Path(tree[0])
