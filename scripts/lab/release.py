# SPDX-License-Identifier: GPL-2.0
"""``make release``: the files of a release, in target/dist.

All of them are made from the commit alone, and with the same git and cargo they are the same to the
byte whenever they are made: the sources as git has them, the crates of ringctl, what they all are
(SPDX), what changed, and the checksums. The version is that of Cargo.toml.
"""

import argparse
import gzip
import io
import os
import re
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from lab import crates, environment, paths, sbom, toolchain
from lab.errors import Exit, HostNotFit, LabError
from lab.toolchain import Toolchain

# Where else the version stands, and how: kbuild, DKMS and Debian's tools cannot read Cargo.toml.
COPIES: Mapping[str, str] = {
    "CHANGELOG.md": r"^## ([\d.]+)",
    "debian/changelog": r"^ringdev \(([\d.]+)\)",
    "dkms.conf": r'^PACKAGE_VERSION="([\d.]+)"$',
    "src/staging/helpers.c": r'^MODULE_VERSION\("([\d.]+)"\);$',
}

DIST = paths.ROOT / "target/dist"
SUMS = "SHA256SUMS"


def version(tree: Path = paths.ROOT) -> str:
    """Returns the version of what is in a tree."""
    manifest = tomllib.loads((tree / "Cargo.toml").read_text())
    found: str = manifest["workspace"]["package"]["version"]
    return found


def other_versions(tree: Path = paths.ROOT) -> list[str]:
    """Says which files have another version than Cargo.toml; their first is the newest."""
    wanted = version(tree)
    found: list[str] = []
    for name, pattern in COPIES.items():
        match = re.search(pattern, (tree / name).read_text(), re.MULTILINE)
        if not match or match.group(1) != wanted:
            found.append(f"{name} says {match.group(1) if match else 'nothing'}")
    return found


def changes(text: str, wanted: str) -> str:
    """Returns what a changelog says of one version."""
    section = re.search(rf"^## {re.escape(wanted)}\b.*\n+((?:(?!## ).*\n)*)", text, re.MULTILINE)
    return section.group(1).rstrip() + "\n" if section else ""


def unpack(commit: str, folder: Path) -> None:
    """Puts the files of a commit into a folder, the same ones for all clones."""
    commit = _git("rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    objects = _git("rev-parse", "--path-format=absolute", "--git-path", "objects").decode().strip()
    with tempfile.TemporaryDirectory() as empty:
        # A repository without settings: in the clone, .git/info/attributes would count.
        _git("init", "--quiet", "--bare", "--template=", empty)
        env = {"GIT_DIR": empty, "GIT_ALTERNATE_OBJECT_DIRECTORIES": objects}
        archive = _git("archive", "--format=tar", commit, **env)
    # tarfile warns if it is not given a filter, and has none in Python 3.11.2, that of Debian 12.
    command = ["tar", "-x", "-C", str(folder)]
    if subprocess.run(command, input=archive, check=False).returncode:
        raise HostNotFit(f"{commit} could not be unpacked; is the disk full?")


def make(folder: Path, tc: Toolchain) -> None:
    """Makes the files of a release of the commit that is checked out."""
    commit = _git("rev-parse", "HEAD").decode().strip()
    time = int(_git("log", "-1", "--format=%ct").decode())
    with tempfile.TemporaryDirectory() as name:
        tree = Path(name)
        unpack(commit, tree)
        if others := other_versions(tree):
            raise LabError(f"Cargo.toml says {version(tree)}, but {', '.join(others)}")
        stem = f"ringdev-{version(tree)}"
        needed = crates.crates(tree, tc)
        files = {
            f"{stem}.tar.gz": pack(tree, stem, time),
            f"{stem}-vendor.tar.gz": pack(crates.vendor(tree, tc, needed), "vendor", time),
            f"{stem}-changes.md": changes(
                (tree / "CHANGELOG.md").read_text(), version(tree)
            ).encode(),
        }
        tarball = sha256(files[f"{stem}.tar.gz"]).hexdigest()
        files[f"{stem}.spdx.json"] = sbom.document(
            version(tree), commit, time, tarball, needed
        ).encode()
    sums = "".join(f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    files[SUMS] = sums.encode()
    with paths.atomic_dir(folder) as new:
        for file, content in files.items():
            (new / file).write_bytes(content)


def pack(folder: Path, prefix: str, time: int) -> bytes:
    """Returns a folder as a compressed archive that tells of nothing but its files."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for path in sorted(folder.rglob("*")):
            entry = tar.gettarinfo(path, f"{prefix}/{path.relative_to(folder)}")
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = "root"
            entry.mtime = time
            entry.mode = 0o755 if path.is_dir() or entry.mode & 0o100 else 0o644
            if path.is_file() and not path.is_symlink():
                with path.open("rb") as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)
    return packed.getvalue()


def refuse_dirty() -> None:
    """Refuses a tree in which there is something that no commit has."""
    changed = _git("status", "--porcelain", "--untracked-files=no").decode().splitlines()
    # status would leave out new files that .git/info/exclude names.
    listing = ("ls-files", "--others", "--directory", "--no-empty-directory", environment.GITIGNORE)
    changed += [f"?? {name}" for name in _git(*listing).decode().splitlines()]
    if changed:
        raise LabError(
            "a release is made from a commit, and this tree has changes that are in none:\n"
            + "\n".join(f"    {line}" for line in changed)
        )


def _git(*arguments: str, **env: str) -> bytes:
    run = subprocess.run(
        ["git", *arguments],
        cwd=paths.ROOT,
        env={**os.environ, **env},
        capture_output=True,
        check=False,
    )
    if run.returncode:
        raise LabError(f"git {arguments[0]} failed: {run.stderr.decode().strip()}")
    return run.stdout


def main(argv: list[str]) -> int:
    """Makes a release and says what is in it."""
    argparse.ArgumentParser(prog="make release", description=__doc__).parse_args(argv)
    refuse_dirty()
    make(DIST, toolchain.find(want={"tools"}))
    for path in sorted(DIST.iterdir()):
        print(path.relative_to(paths.ROOT))
    return Exit.PASSED
