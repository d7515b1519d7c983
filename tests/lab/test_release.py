# SPDX-License-Identifier: GPL-2.0
"""What a release is made of, and that it is the same each time."""

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from lab import crates, paths, release, sbom
from lab.crates import Crate
from lab.errors import HostNotFit, LabError
from lab.toolchain import Toolchain

TIME = 1_700_000_000


def test_the_version_is_the_same_everywhere() -> None:
    assert release.other_versions() == []


def test_a_copy_that_was_forgotten_is_named(tmp_path: Path) -> None:
    for name in ("Cargo.toml", *release.COPIES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((paths.ROOT / name).read_text())
    manifest = tmp_path / "Cargo.toml"
    own = release.version()
    manifest.write_text(manifest.read_text().replace(f'"{own}"', '"9.8.7"'))
    assert release.version(tmp_path) == "9.8.7"
    assert release.other_versions(tmp_path) == [f"{name} says {own}" for name in release.COPIES]


def test_the_changes_of_one_version() -> None:
    text = "# Changes\n\n## 0.2.0\n\n- New.\n\n- More.\n\n## 0.1.0\n\nThe first.\n"
    assert release.changes(text, "0.2.0") == "- New.\n\n- More.\n"
    assert release.changes(text, "0.1.0") == "The first.\n"
    assert release.changes(text, "0.3.0") == ""
    assert release.changes((paths.ROOT / "CHANGELOG.md").read_text(), release.version())


def test_a_release_has_what_is_committed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree, folder = tmp_path / "tree", tmp_path / "folder"
    (tree / "in").mkdir(parents=True)
    folder.mkdir()
    monkeypatch.setattr(paths, "ROOT", tree)
    (tree / "in/run").write_text("#!/bin/sh\n")
    (tree / "in/run").chmod(0o755)
    (tree / "link").symlink_to("in/run")
    (tree / ".gitignore").write_text("ignored\n")
    identity = ("-c", "user.name=A Name", "-c", "user.email=name@example.org")
    for command in (("init", "--quiet"), ("add", "."), (*identity, "commit", "-qm", "all")):
        subprocess.run(["git", *command], cwd=tree, check=True)
    (tree / "in/run").write_text("changed since\n")
    (tree / "ignored").touch()

    release.unpack("HEAD", folder)
    names = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    assert names == {".gitignore", "in", "in/run", "link"}
    assert (folder / "link").read_text() == "#!/bin/sh\n"
    assert (folder / "in/run").stat().st_mode & 0o100
    with pytest.raises(HostNotFit, match="is the disk full"):
        release.unpack("HEAD", tmp_path / "where there is no room")


def test_an_archive_tells_of_nothing_but_its_files(tmp_path: Path) -> None:
    (tmp_path / "tree/folder").mkdir(parents=True)
    (tmp_path / "tree/folder/run").write_text("#!/bin/sh\n")
    (tmp_path / "tree/folder/run").chmod(0o700)
    (tmp_path / "tree/link").symlink_to("folder/run")
    (tmp_path / "tree/text").write_text("text\n")
    first = release.pack(tmp_path / "tree", "name", TIME)
    (tmp_path / "tree/text").chmod(0o600)
    os.utime(tmp_path / "tree/text", (1, 1))
    assert release.pack(tmp_path / "tree", "name", TIME) == first
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        entries = {entry.name: entry for entry in tar}
    assert list(entries) == ["name/folder", "name/folder/run", "name/link", "name/text"]
    assert {(e.uid, e.uname, e.mtime) for e in entries.values()} == {(0, "root", TIME)}
    assert [entries[name].mode for name in ("name/folder/run", "name/text")] == [0o755, 0o644]
    assert entries["name/link"].linkname == "folder/run"


def test_a_tree_with_changes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    release.refuse_dirty()
    (tmp_path / "new").touch()
    with pytest.raises(LabError, match=r"changes that are in none:\n +\?\? new"):
        release.refuse_dirty()


def package(name: str, *uses: tuple[str, str | None], **more: str) -> tuple[object, object]:
    """Returns what cargo says of a package, and of what it uses, each with its kind."""
    deps = [{"pkg": f"id-{use}", "dep_kinds": [{"kind": kind}]} for use, kind in uses]
    named = {"id": f"id-{name}", "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0"}
    return {**named, **more}, {"id": f"id-{name}", "deps": deps}


METADATA = [
    package("ringctl", ("ringdev", None), ("proptest", "dev"), license="GPL-2.0"),
    package("ringdev", ("serde_core", None), ("cc", "build"), license="GPL-2.0"),
    package("serde_core"),
    package("cc"),
    package("proptest"),
]


def read() -> list[Crate]:
    """Returns the crates of that."""
    packages, nodes = zip(*METADATA, strict=True)
    text = json.dumps({"packages": packages, "resolve": {"nodes": nodes}})
    names = ("ringctl", "ringdev", "serde_core", "cc", "proptest")
    sums = {f"{name}-1.0.0": "" if name.startswith("ring") else "ab" * 32 for name in names}
    return crates.read_metadata(text, sums)


def test_ringctl_is_made_of_what_it_and_its_build_use() -> None:
    found = read()
    assert [crate.name for crate in found] == ["cc", "ringctl", "ringdev", "serde_core"]
    client = found[2]
    assert client.uses == ("serde_core-1.0.0",)
    assert client.build_uses == ("cc-1.0.0",)
    assert found[0].license == "MIT OR Apache-2.0"


def test_the_bill_of_materials_names_what_it_is_about() -> None:
    first = sbom.document("0.1.0", "c0ffee", TIME, "cd" * 32, read())
    assert sbom.document("0.1.0", "c0ffee", TIME, "cd" * 32, read()) == first
    document = json.loads(first)
    assert document["creationInfo"]["created"] == "2023-11-14T22:13:20Z"
    ids = {package["SPDXID"] for package in document["packages"]}
    assert len(ids) == len(document["packages"]) == 5
    for relation in document["relationships"]:
        assert {relation["spdxElementId"], relation["relatedSpdxElement"]} <= {
            *ids,
            "SPDXRef-DOCUMENT",
        }
    by_name = {package["name"]: package for package in document["packages"][1:]}
    assert by_name["serde_core"]["externalRefs"][0]["referenceLocator"] == (
        "pkg:cargo/serde_core@1.0.0"
    )
    assert "externalRefs" not in by_name["ringctl"]


def test_a_checksum_is_named_where_there_is_one() -> None:
    document = json.loads(sbom.document("0.1.0", "c0ffee", TIME, "cd" * 32, read()))
    sums = {
        package["name"]: [one["checksumValue"] for one in package.get("checksums", [])]
        for package in document["packages"][1:]
    }
    of_the_registry = ["ab" * 32]
    assert document["packages"][0]["checksums"][0]["checksumValue"] == "cd" * 32
    assert sums == {"cc": of_the_registry, "ringctl": [], "ringdev": [],
                    "serde_core": of_the_registry}  # fmt: skip


def test_of_crates_that_are_not_needed_only_stubs_are_packed(tmp_path: Path) -> None:
    program = tmp_path / "cargo"
    # It fetches two crates.
    program.write_text("""#!/bin/sh
for last; do :; done
for crate in needed-1.0.0 other-1.0.0; do
    mkdir -p "$last/$crate/src"
    echo 'fn f() {}' >"$last/$crate/src/lib.rs"
    echo '[package]' >"$last/$crate/Cargo.toml"
    echo '{"package": "12", "files": {"src/lib.rs": "34"}}' >"$last/$crate/.cargo-checksum.json"
done
""")
    program.chmod(0o755)
    tc = Toolchain({"cargo": program, "rustc": Path("/usr/bin/rustc")})
    needed = Crate("needed", "1.0.0", "MIT", "12", (), ())
    folder = crates.vendor(tmp_path, tc, [needed])
    assert (folder / "needed-1.0.0/src/lib.rs").read_text() == "fn f() {}\n"
    assert (folder / "other-1.0.0/src/lib.rs").read_text() == ""
    record = json.loads((folder / "other-1.0.0/.cargo-checksum.json").read_text())
    assert record == {"package": "12", "files": {}}
    assert (folder / "config.toml").read_text() == crates.OFFLINE
