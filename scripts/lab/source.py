# SPDX-License-Identifier: GPL-2.0
"""Gets the kernel's source: the user's own, or Debian's package, or kernel.org's tarball."""

import os
import re
import shutil
import subprocess
import urllib.request
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from lab import paths
from lab.errors import HostNotFit
from lab.report import say

# The kernel that the lab is made for.
SERIES = "7.3"
VERSION = "7.3.4"

# Debian's package of it, the version that was tested, and where it is.
PACKAGE = f"linux-source-{SERIES}"
PINNED = "7.3.4-1~bpo13+1"
SUITE = "trixie-backports"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

# An unpacked source, and the package that it is unpacked from.
ROOM = 2 << 30

TARBALL = f"https://cdn.kernel.org/pub/linux/kernel/v7.x/linux-{VERSION}.tar.xz"


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
        if there := _kept(home):
            return there
        return _from_debian(home) or _from_tarball(home)


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


def _kept(home: Path) -> Source | None:
    """Returns a source that an earlier run unpacked: the pinned one, else the newest."""
    found = [*home.glob(f"debian-{SERIES}.*"), *home.glob(f"kernel.org-{SERIES}.*")]
    if not found:
        return None
    best = max(found, key=lambda path: (path.name == f"debian-{PINNED}", path.stat().st_mtime))
    return Source(best, tree_version(best), identity=best.name)


def _from_debian(home: Path) -> Source | None:
    """Fetches Debian's package by an apt configuration of our own; None where there is no Debian.

    The machine's own configuration stays as it is. Debian's signatures vouch for the source.
    """
    mirror = debian_mirror()
    if not mirror:
        return None
    apt = home / "apt"
    shutil.rmtree(apt, ignore_errors=True)
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True)
    (apt / "lab.sources").write_text(
        f"Types: deb\nURIs: {mirror}\nSuites: {SUITE}\nComponents: main\nSigned-By: {KEYRING}\n"
    )
    options = [
        f"-oDir::Etc::SourceList={apt}/lab.sources",
        "-oDir::Etc::SourceParts=/dev/null",
        f"-oDir::State::Lists={apt}/lists",
        f"-oDir::Cache={apt}/cache",
        # Root's apt would drop to a user that cannot write below a home folder.
        "-oAPT::Sandbox::User=root",
        "-oAcquire::Languages=none",
        "-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    ]
    say(f"fetching {PACKAGE} of Debian's {SUITE} (160 MB)")
    update = _run(["apt-get", *options, "-qq", "update"])
    if update.returncode:
        say(f"the Debian mirror of this machine does not have {SUITE}:\n{update.stderr.strip()}")
        return None
    madison = _run(["apt-cache", *options, "madison", PACKAGE]).stdout
    versions = re.findall(rf"^\s*{re.escape(PACKAGE)} \| (\S+) \|", madison, re.MULTILINE)
    if not versions:
        say(f"Debian's {SUITE} has no {PACKAGE} any more")
        return None
    # apt-cache lists the newest first.
    version = PINNED if PINNED in versions else versions[0]
    if version != PINNED:
        say(f"{PACKAGE} {PINNED}, which was tested, is gone from the mirror; taking {version}")
    download = subprocess.run(
        ["apt-get", *options, "-qq", "download", f"{PACKAGE}={version}"],
        cwd=apt,
        capture_output=True,
        text=True,
        check=False,
    )
    archive = next(apt.glob("*.deb"), None)
    if download.returncode or not archive:
        raise HostNotFit(f"{PACKAGE} could not be downloaded:\n{download.stderr.strip()}")
    say("unpacking it")
    final = home / f"debian-{version}"
    with paths.atomic_dir(final) as folder:
        _pipe(
            ["dpkg-deb", "--fsys-tarfile", str(archive)],
            ["tar", "-xO", f"./usr/src/{PACKAGE}.tar.xz"],
            ["tar", "-xJ", "--strip-components=1", "-C", str(folder)],
        )
    shutil.rmtree(apt)
    return Source(final, tree_version(final), identity=final.name)


def debian_mirror() -> str:
    """Returns the Debian mirror that this machine's apt uses; empty on other systems."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb") or not KEYRING.exists():
        return ""
    try:
        system = Path("/etc/os-release").read_text()
    except OSError:
        return ""
    if not re.search(r"^ID=debian$", system, re.MULTILINE):
        return ""
    codename = re.search(r"^VERSION_CODENAME=(\w+)$", system, re.MULTILINE)
    listing = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"])
    return pick_mirror(listing.stdout, codename.group(1) if codename else "")


def pick_mirror(listing: str, codename: str) -> str:
    """Returns the mirror of Debian's main archive in apt's list of what it knows.

    The archive is known by the release it has: third parties and the security archive have others.
    """
    releases = {codename, "stable", "oldstable", "testing", "unstable", "sid", SUITE}
    for line in listing.splitlines():
        match line.split():
            case [uri, release, "main"] if release in releases:
                return uri
    return ""


def _from_tarball(home: Path) -> Source:
    """Fetches kernel.org's tarball, whose checksum the user vouches for."""
    checksum = os.environ.get("KSRC_SHA256", "").lower()
    if not re.fullmatch(r"[0-9a-f]{64}", checksum):
        raise HostNotFit(
            f"Linux {SERIES} is not to be had as a Debian package here. Give an unpacked source as"
            f" KSRC=DIR, or the checksum of {TARBALL}, from sha256sums.asc beside it, as"
            " KSRC_SHA256=..., and the lab fetches it"
        )
    say(f"fetching {TARBALL}")
    tarball = home / "linux.tar.xz.part"
    digest = sha256()
    try:
        with urllib.request.urlopen(TARBALL, timeout=60) as answer, tarball.open("wb") as file:
            while chunk := answer.read(1 << 20):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != checksum:
            raise HostNotFit(f"{TARBALL} has the checksum {digest.hexdigest()}, not {checksum}")
        final = home / f"kernel.org-{VERSION}-{checksum[:12]}"
        with paths.atomic_dir(final) as folder:
            _pipe(["tar", "-xJf", str(tarball), "--strip-components=1", "-C", str(folder)])
    except OSError as error:
        raise HostNotFit(f"{TARBALL} could not be fetched: {error}") from error
    finally:
        tarball.unlink(missing_ok=True)
    return Source(final, tree_version(final), identity=final.name)


def _run(command: list[str]) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


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
