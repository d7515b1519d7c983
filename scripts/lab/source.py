# SPDX-License-Identifier: GPL-2.0
"""Gets the kernel's source: the user's own, or Debian's package, or kernel.org's tarball."""

import os
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lab import archive, paths
from lab.errors import HostNotFit, UsageError
from lab.report import say

# Debian's packages of the kernels are here.
SUITE = "trixie-backports"


@dataclass(frozen=True)
class Series:
    """A series of kernels, and of it the one that was tested."""

    name: str
    version: str
    # Debian's version of its package.
    pinned: str

    @property
    def package(self) -> str:
        """Debian's package of the source."""
        return f"linux-source-{self.name}"

    @property
    def tarball(self) -> str:
        """Where kernel.org has it."""
        major = self.name.partition(".")[0]
        return f"https://cdn.kernel.org/pub/linux/kernel/v{major}.x/linux-{self.version}.tar.xz"


# The first is the one that the lab is made for.
SERIES: Mapping[str, Series] = {
    each.name: each
    for each in (
        Series("7.3", "7.3.4", "7.3.4-1~bpo13+1"),
        Series("7.2", "7.2.12", "7.2.12-1~bpo13+1"),
    )
}

# An unpacked source, and the package that it is unpacked from.
ROOM = 2 << 30


def series() -> Series:
    """Returns the series that KERNEL= asks for."""
    name = os.environ.get("KERNEL") or next(iter(SERIES))
    if name not in SERIES:
        raise UsageError(f"KERNEL={name}: the lab knows {' and '.join(SERIES)}")
    return SERIES[name]


@dataclass(frozen=True)
class Source:
    """An unpacked kernel source tree."""

    path: Path
    version: str
    # All that tells this source from another.
    identity: str
    from_user: bool = False


def ensure() -> Source:
    """Returns the source to build from; fetches it if it is not there."""
    if ksrc := os.environ.get("KSRC"):
        return from_ksrc(Path(ksrc))
    home = paths.cache() / "source"
    with paths.locked(home / "lock", "the kernel source"):
        wanted = series()
        return _kept(home, wanted) or _from_debian(home, wanted) or _from_tarball(home, wanted)


def from_ksrc(path: Path) -> Source:
    """Returns the user's own source tree."""
    path = path.expanduser().resolve()
    version = tree_version(path)
    if not version:
        raise HostNotFit(f"KSRC={path} is not a kernel source tree")
    if (path / ".config").exists() or (path / "include/config").exists():
        raise HostNotFit(
            f"KSRC={path} was built in; the lab builds in a folder of its own, for"
            " which kbuild wants a clean source: 'make mrproper' there, or give"
            " the built tree as KDIR"
        )
    return Source(path, version, identity=f"{path} {version}", from_user=True)


def tree_version(tree: Path) -> str:
    """Reads the version from a kernel tree's Makefile; empty if it is none."""
    try:
        head = (tree / "Makefile").read_text(errors="replace")[:1000]
    except OSError:
        return ""
    found: list[tuple[str, str]] = re.findall(r"^([A-Z]+) =[ ]*(\S*)$", head, re.MULTILINE)
    parts = dict(found)
    if not {"VERSION", "PATCHLEVEL"} <= parts.keys():
        return ""
    number = (parts.get(part) for part in ("VERSION", "PATCHLEVEL", "SUBLEVEL"))
    return ".".join(part for part in number if part) + parts.get("EXTRAVERSION", "")


def _kept(home: Path, wanted: Series) -> Source | None:
    """Returns a source that an earlier run unpacked: the pinned one, else the newest."""
    found = [*home.glob(f"debian-{wanted.name}.*"), *home.glob(f"kernel.org-{wanted.name}.*")]
    if not found:
        return None
    pinned = f"debian-{wanted.pinned}"
    best = max(found, key=lambda path: (path.name == pinned, path.stat().st_mtime))
    return Source(best, tree_version(best), identity=best.name)


def _from_debian(home: Path, wanted: Series) -> Source | None:
    """Fetches Debian's package; None where there is no Debian, or it has none."""
    package = wanted.package
    debian = archive.read(SUITE, home / "apt")
    if not debian or not (version := debian.choose(package, wanted.pinned)):
        return None
    say(f"fetching {package} of Debian's {SUITE} (160 MB)")
    deb = debian.download(package, version)
    say("unpacking it")
    final = home / f"debian-{version}"
    with paths.atomic_dir(final) as folder:
        _pipe(
            ["dpkg-deb", "--fsys-tarfile", str(deb)],
            ["tar", "-xO", f"./usr/src/{package}.tar.xz"],
            ["tar", "-xJ", "--strip-components=1", "-C", str(folder)],
        )
    shutil.rmtree(debian.folder)
    return Source(final, tree_version(final), identity=final.name)


def _from_tarball(home: Path, wanted: Series) -> Source:
    """Fetches kernel.org's tarball, whose checksum the user vouches for."""
    checksum = os.environ.get("KSRC_SHA256", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", checksum):
        raise HostNotFit(
            f"Linux {wanted.name} is not to be had as a Debian package here. Give an unpacked"
            f" source as KSRC=DIR, or the checksum of {wanted.tarball}, from sha256sums.asc beside"
            " it, as KSRC_SHA256=..., and the lab fetches it"
        )
    say(f"fetching {wanted.tarball}")
    tarball = home / "linux.tar.xz.part"
    digest = sha256()
    try:
        with (
            urllib.request.urlopen(wanted.tarball, timeout=60) as answer,
            tarball.open("wb") as file,
        ):
            while chunk := answer.read(1 << 20):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != checksum:
            raise HostNotFit(
                f"{wanted.tarball} has the checksum {digest.hexdigest()}, not {checksum}"
            )
        final = home / f"kernel.org-{wanted.version}-{checksum[:12]}"
        with paths.atomic_dir(final) as folder:
            _pipe(["tar", "-xJf", str(tarball), "--strip-components=1", "-C", str(folder)])
    except OSError as error:
        raise HostNotFit(f"{wanted.tarball} could not be fetched: {error}") from error
    finally:
        tarball.unlink(missing_ok=True)
    return Source(final, tree_version(final), identity=final.name)


def _pipe(*commands: list[str]) -> None:
    """Runs commands as a pipeline, and fails if any of them does."""
    running: list[subprocess.Popen[bytes]] = []
    for command in commands:
        source = running[-1].stdout if running else None
        last = command is commands[-1]
        running.append(
            subprocess.Popen(command, stdin=source, stdout=None if last else subprocess.PIPE)
        )
        if source:
            source.close()
    codes = [process.wait() for process in running]
    if any(codes):
        failed = " | ".join(command[0] for command in commands)
        raise HostNotFit(f"'{failed}' failed while unpacking the kernel; is the disk full?")
