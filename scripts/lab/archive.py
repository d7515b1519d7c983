# SPDX-License-Identifier: GPL-2.0
"""Debian's archive, by an apt configuration of the lab's own: the machine's stays as it is.

Debian's signatures vouch for what comes from it.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import HostNotFit
from lab.report import say

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


@dataclass(frozen=True)
class Archive:
    """A suite of Debian, with the list of its packages in a folder."""

    suite: str
    folder: Path

    def options(self) -> list[str]:
        """Returns what makes apt look here and nowhere else."""
        return [
            f"-oDir::Etc::SourceList={self.folder}/lab.sources",
            "-oDir::Etc::SourceParts=/dev/null",
            f"-oDir::State::Lists={self.folder}/lists",
            f"-oDir::Cache={self.folder}/cache",
            # Root's apt would drop to a user that cannot write below a home folder.
            "-oAPT::Sandbox::User=root",
            "-oAcquire::Languages=none",
            "-oAcquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
        ]

    def versions(self, package: str) -> list[str]:
        """Returns the versions that there are of a package, the newest first."""
        madison = _run(["apt-cache", *self.options(), "madison", package]).stdout
        return re.findall(rf"^\s*{re.escape(package)} \| (\S+) \|", madison, re.MULTILINE)

    def choose(self, package: str, pinned: str) -> str:
        """Returns the version that was tested if it is there, else the newest; empty if none is."""
        versions = self.versions(package)
        if not versions:
            say(f"Debian's {self.suite} has no {package} any more")
            return ""
        if pinned in versions:
            return pinned
        say(f"{package} {pinned}, which was tested, is gone from the mirror; taking {versions[0]}")
        return versions[0]

    def download(self, package: str, version: str) -> Path:
        """Fetches a package into the folder."""
        download = _run(
            ["apt-get", *self.options(), "-qq", "download", f"{package}={version}"],
            cwd=self.folder,
        )
        archive = next(self.folder.glob("*.deb"), None)
        if download.returncode or not archive:
            raise HostNotFit(f"{package} could not be downloaded:\n{download.stderr.strip()}")
        return archive


def read(suite: str, folder: Path) -> Archive | None:
    """Fetches the list of a suite's packages into ``folder``; None where there is no Debian."""
    mirror = find_mirror(suite)
    if not mirror:
        return None
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("lists/partial", "cache/archives/partial"):
        (folder / part).mkdir(parents=True)
    (folder / "lab.sources").write_text(
        f"Types: deb\nURIs: {mirror}\nSuites: {suite}\nComponents: main\nSigned-By: {KEYRING}\n"
    )
    archive = Archive(suite, folder)
    update = _run(["apt-get", *archive.options(), "-qq", "update"])
    if update.returncode:
        say(f"the Debian mirror of this machine does not have {suite}:\n{update.stderr.strip()}")
        return None
    return archive


def find_mirror(*more: str) -> str:
    """Returns the Debian mirror that this machine's apt uses; empty on other systems.

    The archive is known by the release it has, which may be one of ``more``.
    """
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb") or not KEYRING.exists():
        return ""
    try:
        system = Path("/etc/os-release").read_text()
    except OSError:
        return ""
    if not re.search(r"^ID=debian$", system, re.MULTILINE):
        return ""
    codename = re.findall(r"^VERSION_CODENAME=(\w+)$", system, re.MULTILINE)
    listing = _run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"])
    return pick_mirror(listing.stdout, *codename, *more)


def settings() -> list[str]:
    """Returns what this machine's apt is told of how to reach mirrors, as lines for another's."""
    return pick_settings(_run(["apt-config", "dump"]).stdout)


def pick_settings(dump: str) -> list[str]:
    """Returns proxies and the like, and whether a mirror may be old, from apt's configuration."""
    wanted = r"^Acquire::(?:https?::.+|Check-Valid-Until|Retries) \".+\";$"
    return re.findall(wanted, dump, re.MULTILINE)


def pick_mirror(listing: str, *releases: str) -> str:
    """Returns the mirror of Debian's main archive in apt's list of what it knows.

    The archive is known by the release it has: third parties and the security archive have others.
    """
    known = {*releases, "stable", "oldstable", "testing", "unstable", "sid"}
    for line in listing.splitlines():
        match line.split():
            case [uri, release, "main"] if release in known:
                return uri
    return ""


def _run(command: Sequence[str], cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
