# SPDX-License-Identifier: GPL-2.0
"""The archive, as another program reads it."""

import io
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import paths
from lab.initramfs import Archive
from lab.task import Task, write_initramfs

CPIO = shutil.which("cpio")


def write(source: Path) -> bytes:
    file = io.BytesIO()
    archive = Archive(file)
    archive.character_device("dev/console", 5, 1, 0o600)
    archive.text("etc/motto", "odd\n", 0o640)
    archive.link("bin/sh", "busybox")
    archive.tree("extra", source)
    archive.finish()
    return file.getvalue()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "deep" / "deeper").mkdir(parents=True)
    (folder / "deep" / "program").write_bytes(b"\0\1\2\3\4")
    (folder / "deep" / "program").chmod(0o750)
    (folder / "deep" / "deeper" / "empty").touch()
    (folder / "link").symlink_to("deep/program")
    os.mkfifo(folder / "fifo")
    return folder


@pytest.mark.skipif(CPIO is None, reason="there is no cpio(1) to read the archive with")
def test_cpio_reads_what_was_written(source: Path, tmp_path: Path) -> None:
    archive = write(source)
    assert CPIO is not None
    listing = subprocess.run(
        [CPIO, "--list", "--verbose", "--numeric-uid-gid", "--quiet"],
        input=archive, capture_output=True, check=True,
    ).stdout.decode()  # fmt: skip
    entries = {line.split()[8]: line.split() for line in listing.splitlines() if "5," not in line}
    assert entries["etc/motto"][0] == "-rw-r-----"
    assert entries["etc/motto"][2:4] == ["0", "0"]
    assert entries["extra/deep/program"][0] == "-rwxr-x---"
    assert entries["extra/deep/deeper"][0].startswith("d")
    assert "extra/fifo" not in entries
    assert "crw-------" in listing

    target = tmp_path / "target"
    target.mkdir()
    subprocess.run(
        [CPIO, "--extract", "--make-directories", "--quiet", "--no-preserve-owner",
         "--nonmatching", "dev/console"],
        input=archive, cwd=target, check=True,
    )  # fmt: skip
    assert (target / "etc/motto").read_text() == "odd\n"
    assert (target / "extra/link").read_bytes() == b"\0\1\2\3\4"
    assert (target / "extra/deep/deeper/empty").read_bytes() == b""
    assert (target / "bin/sh").readlink() == Path("busybox")


def test_the_same_input_gives_the_same_archive(source: Path) -> None:
    first = write(source)
    os.utime(source / "deep" / "program", (1, 1))
    assert write(source) == first


def test_each_folder_comes_once_and_before_what_is_in_it(source: Path) -> None:
    names = [entry for entry in _names(write(source)) if entry != "TRAILER!!!"]
    assert len(names) == len(set(names))
    for name in names:
        parent = name.rpartition("/")[0]
        assert not parent or names.index(parent) < names.index(name)


def _names(archive: bytes) -> list[str]:
    names = []
    at = 0
    while at < len(archive):
        header = archive[at : at + 110].decode()
        assert header.startswith("070701")
        size, length = int(header[54:62], 16), int(header[94:102], 16)
        names.append(archive[at + 110 : at + 110 + length - 1].decode())
        at += 110 + length
        at += -at % 4
        at += size
        at += -at % 4
    return names


@pytest.mark.skipif(CPIO is None, reason="there is no cpio(1) to read the archive with")
def test_a_guest_has_what_its_first_process_needs(tmp_path: Path) -> None:
    assert CPIO
    busybox = tmp_path / "busybox"
    busybox.write_text("#!/bin/sh\nprintf '%s\\n' busybox sh mount\n")
    busybox.chmod(0o755)
    module = tmp_path / "ringdev.ko"
    module.write_text("the module")
    archive = io.BytesIO()
    task = Task(busybox=busybox, module=module, module_args="capacity=1 x='y'", command="id -un")
    write_initramfs(archive, task, "nonce")
    target = tmp_path / "target"
    target.mkdir()
    subprocess.run(
        [CPIO, "--extract", "--make-directories", "--quiet", "--no-preserve-owner",
         "--nonmatching", "dev/console"],
        input=archive.getvalue(), cwd=target, check=True,
    )  # fmt: skip
    # Commands show the names of users and groups.
    for file in ("passwd", "group"):
        assert (target / "etc" / file).read_text().startswith("root:x:0:")
    for name in ("init", "lab/lib.sh", "lab/demo"):
        script = paths.ROOT / "scripts/lab/guest" / Path(name).name
        assert (target / name).read_text() == script.read_text()
    assert os.access(target / "init", os.X_OK)
    assert (target / "bin/mount").readlink() == Path("busybox")
    assert (target / "lib/ringdev.ko").read_text() == "the module"
    assert (target / "lab/command").read_text() == "id -un"
    said = subprocess.run(
        ["sh", "-c", '. lab/spec; echo "$NONCE $MODULE $LOAD $MODULE_ARGS $COMMAND"'],
        cwd=target, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said == "nonce /lib/ringdev.ko 1 capacity=1 x='y' pipes\n"
