# SPDX-License-Identifier: GPL-2.0
"""Knows which crates ringctl is made of, and packs them for who has to build it offline.

cargo wants the sources of all crates in Cargo.lock before it builds any. Most are for tests, or for
other systems than Linux; of these the packed folder has the manifest alone, and an empty library.
"""

import json
import shutil
import subprocess
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import cargo
from lab.errors import LabError
from lab.toolchain import Toolchain

PROGRAM = "ringctl"

# Has cargo look for crates in the packed folder, in place of the registry.
OFFLINE = """\
[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "vendor"
"""


@dataclass(frozen=True)
class Crate:
    """A crate that ringctl is made of."""

    name: str
    version: str
    # As its author says; an SPDX expression.
    license: str
    # Of the file in the registry; empty for those of this repository.
    checksum: str
    # The names and versions of the crates that it uses, and of those that its build does.
    uses: tuple[str, ...]
    build_uses: tuple[str, ...]

    @property
    def key(self) -> str:
        """Its name and version, as its folder is called among the packed."""
        return f"{self.name}-{self.version}"


def crates(tree: Path, tc: Toolchain) -> list[Crate]:
    """Returns the crates that ringctl of a source tree is made of, itself among them."""
    said = _cargo(
        tree,
        tc,
        *("metadata", "--locked", "--format-version=1", f"--filter-platform={cargo.TARGET}"),
    )
    lock = tomllib.loads((tree / "Cargo.lock").read_text())
    checksums = {
        f"{package['name']}-{package['version']}": package.get("checksum", "")
        for package in lock["package"]
    }
    return read_metadata(said, checksums)


def read_metadata(text: str, checksums: Mapping[str, str]) -> list[Crate]:
    """Reads what cargo says of the workspace: the crates that ringctl needs, by name."""
    metadata = json.loads(text)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    keys = {name: f"{package['name']}-{package['version']}" for name, package in packages.items()}
    found: dict[str, Crate] = {}
    left = [name for name, package in packages.items() if package["name"] == PROGRAM]
    while left:
        name = left.pop()
        if name in found:
            continue
        kinds = [(use["pkg"], {k["kind"] for k in use["dep_kinds"]}) for use in nodes[name]["deps"]]
        uses = [use for use, kind in kinds if None in kind]
        build_uses = [use for use, kind in kinds if "build" in kind]
        package = packages[name]
        found[name] = Crate(
            package["name"],
            package["version"],
            (package["license"] or "NOASSERTION").replace("/", " OR "),
            checksums[keys[name]],
            tuple(sorted(keys[use] for use in uses)),
            tuple(sorted(keys[use] for use in build_uses)),
        )
        left += uses + build_uses
    return sorted(found.values(), key=lambda crate: crate.key)


def vendor(tree: Path, tc: Toolchain, needed: Sequence[Crate]) -> Path:
    """Puts the crates that are needed into a folder of the tree, and stubs for all others."""
    folder = tree / "vendor"
    _cargo(tree, tc, "vendor", "--locked", "--versioned-dirs", str(folder))
    whole = {crate.key for crate in needed}
    for path in folder.iterdir():
        if path.name not in whole:
            _empty(path)
    (folder / "config.toml").write_text(OFFLINE)
    return folder


def _empty(crate: Path) -> None:
    """Leaves of a crate what cargo wants to see of one that it does not build."""
    manifest = (crate / "Cargo.toml").read_bytes()
    record = json.loads((crate / ".cargo-checksum.json").read_text())
    shutil.rmtree(crate)
    (crate / "src").mkdir(parents=True)
    (crate / "src/lib.rs").touch()
    (crate / "Cargo.toml").write_bytes(manifest)
    # The checksum of the whole stays: cargo compares it with Cargo.lock.
    (crate / ".cargo-checksum.json").write_text(json.dumps({**record, "files": {}}))


def _cargo(tree: Path, tc: Toolchain, *arguments: str) -> str:
    run = subprocess.run(
        [str(tc.cargo), *arguments],
        cwd=tree,
        env={**tc.env(), "RUSTC": str(tc.rustc)},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise LabError(f"cargo {arguments[0]} failed:\n{run.stderr}")
    return run.stdout
