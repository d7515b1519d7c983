# SPDX-License-Identifier: GPL-2.0
"""Where the kernel's source comes from."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from lab import archive, source
from lab.errors import HostNotFit

PINNED, VERSION = source.SERIES["7.3"].pinned, source.SERIES["7.3"].version

MAKEFILE = "# SPDX-License-Identifier: GPL-2.0\nVERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\n"


@pytest.fixture(autouse=True)
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the cache elsewhere, and takes the user's sources and Debian away."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("KSRC", "KSRC_SHA256", "KERNEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(archive, "find_mirror", lambda *_: "")


def tree(path: Path, text: str = MAKEFILE) -> Path:
    """Makes what looks like a kernel source."""
    path.mkdir(parents=True)
    (path / "Makefile").write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (MAKEFILE + "EXTRAVERSION =\n", "7.3.4"),
        (MAKEFILE.replace("SUBLEVEL = 4", "SUBLEVEL = 0") + "EXTRAVERSION = -rc6\n", "7.3.0-rc6"),
        ("all:\n\ttrue\n", ""),
    ],
)
def test_the_version_of_a_tree(tmp_path: Path, text: str, version: str) -> None:
    assert source.tree_version(tree(tmp_path / "tree", text)) == version


def test_no_tree_has_no_version(tmp_path: Path) -> None:
    assert source.tree_version(tmp_path) == ""


def test_the_users_source_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tree(tmp_path / "mine")
    monkeypatch.setenv("KSRC", str(mine))
    found = source.ensure()
    assert (found.path, found.version, found.from_user) == (mine, "7.3.4", True)


def test_the_users_source_has_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSRC", str(tmp_path))
    with pytest.raises(HostNotFit, match="is not a kernel source tree"):
        source.ensure()


def test_the_users_source_has_to_be_clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tree(tmp_path / "mine")
    (mine / ".config").touch()
    monkeypatch.setenv("KSRC", str(mine))
    with pytest.raises(HostNotFit, match="mrproper"):
        source.ensure()


def test_the_pinned_source_is_kept_before_others(tmp_path: Path) -> None:
    home = tmp_path / "cache/ringdev/source"
    for name in ("debian-7.3.9-1~bpo13+1", f"debian-{PINNED}", "kernel.org-7.3.4-abc"):
        tree(home / name)
    assert source.ensure().path.name == f"debian-{PINNED}"


MIRROR = """\
http://mirror/third nodistro main
http://mirror/debian-security/ bookworm-security main
http://mirror/debian/ bookworm contrib
http://mirror/debian/ bookworm-updates main
http://mirror/debian/ bookworm main
"""


@pytest.mark.parametrize(
    ("listing", "mirror"),
    [
        (MIRROR, "http://mirror/debian/"),
        (MIRROR.replace(" bookworm main", " stable main"), "http://mirror/debian/"),
        (MIRROR.replace(" bookworm main", " jammy main"), ""),
        ("", ""),
    ],
)
def test_the_mirror_is_that_of_the_main_archive(listing: str, mirror: str) -> None:
    assert archive.pick_mirror(listing, "bookworm") == mirror


def test_a_root_reaches_mirrors_as_this_machine_does() -> None:
    dump = """\
Acquire "";
Acquire::AllowInsecureRepositories "0";
Acquire::http::Proxy "http://proxy:3142";
Acquire::http::Proxy::example.org "DIRECT";
Acquire::https "";
Acquire::Check-Valid-Until "false";
Acquire::IndexTargets::deb::Packages::Optional "0";
Dir::Cache "var/cache/apt";
"""
    assert archive.pick_settings(dump) == [
        'Acquire::http::Proxy "http://proxy:3142";',
        'Acquire::http::Proxy::example.org "DIRECT";',
        'Acquire::Check-Valid-Until "false";',
    ]


@pytest.fixture
def tarball(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A tarball where the lab looks for kernel.org's."""
    with tarfile.open(tmp_path / "linux.tar.xz", "w:xz") as archive:
        entry = tarfile.TarInfo(f"linux-{VERSION}/Makefile")
        entry.size = len(MAKEFILE)
        archive.addfile(entry, io.BytesIO(MAKEFILE.encode()))
    monkeypatch.setattr(source.Series, "tarball", (tmp_path / "linux.tar.xz").as_uri())
    return (tmp_path / "linux.tar.xz").read_bytes()


@pytest.mark.usefixtures("tarball")
def test_a_tarball_without_its_checksum_is_not_fetched() -> None:
    with pytest.raises(HostNotFit, match=r"KSRC=DIR.*KSRC_SHA256"):
        source.ensure()


def test_a_tarball_is_fetched_once(tarball: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KSRC_SHA256", hashlib.sha256(tarball).hexdigest())
    found = source.ensure()
    assert found.version == "7.3.4"
    assert not found.from_user
    monkeypatch.delenv("KSRC_SHA256")
    monkeypatch.setattr(source.Series, "tarball", "file:///nonexistent")
    assert source.ensure() == found


@pytest.mark.usefixtures("tarball")
def test_another_tarball_than_the_checksums_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSRC_SHA256", "0" * 64)
    with pytest.raises(HostNotFit, match="has the checksum"):
        source.ensure()
    assert [p.name for p in (tmp_path / "cache/ringdev/source").iterdir()] == ["lock"]


def test_a_broken_pipeline_is_not_taken_for_a_source(tmp_path: Path) -> None:
    with pytest.raises(HostNotFit, match="false"):
        source._pipe(["false"], ["cat"])
    source._pipe(["true"], ["cat"])
    assert not list(tmp_path.glob("cache/ringdev/source/*"))
