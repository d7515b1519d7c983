# SPDX-License-Identifier: GPL-2.0
"""Writes the guest's root file system: a cpio archive in the kernel's "newc" format.

The format is described in Documentation/driver-api/early-userspace/buffer-format.rst of the
kernel. Written here and not by cpio(1), so that the archive needs no staging folder, no root
for /dev/console and for files that belong to root, and comes out the same each time. It is
not compressed: under TCG the guest would take longer to unpack it than QEMU takes to read it.
"""

import os
import stat
from pathlib import Path
from typing import BinaryIO

MAGIC = "070701"
TRAILER = "TRAILER!!!"
# Sizes in the header are eight hexadecimal digits.
MAX_SIZE = 0xFFFFFFFF


class Archive:
    """A newc archive being written. Parents of a path are made when they are first needed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inode = 0
        self._folders: set[str] = set()

    def finish(self) -> None:
        """Marks the archive's end, without which the kernel takes it for broken."""
        self._entry(TRAILER, 0, b"")
        self._file.flush()

    def folder(self, name: str, mode: int = 0o755) -> None:
        """Adds a folder, unless it is there already."""
        if name in self._folders:
            return
        self._parents(name)
        self._folders.add(name)
        self._entry(name, stat.S_IFDIR | mode, b"")

    def text(self, name: str, content: str, mode: int = 0o644) -> None:
        """Adds a file with this content."""
        self._parents(name)
        self._entry(name, stat.S_IFREG | mode, content.encode())

    def file(self, name: str, source: Path, mode: int | None = None) -> None:
        """Adds a copy of ``source``, with its own permissions if none are given."""
        self._parents(name)
        content = source.read_bytes()
        if mode is None:
            mode = stat.S_IMODE(source.stat().st_mode)
        self._entry(name, stat.S_IFREG | mode, content)

    def link(self, name: str, target: str) -> None:
        """Adds a symbolic link."""
        self._parents(name)
        self._entry(name, stat.S_IFLNK | 0o777, os.fsencode(target))

    def character_device(self, name: str, major: int, minor: int, mode: int) -> None:
        """Adds a device node."""
        self._parents(name)
        self._entry(name, stat.S_IFCHR | mode, b"", (major, minor))

    def tree(self, name: str, source: Path) -> None:
        """Adds everything below the folder ``source``, links as links; not sockets or devices."""
        self.folder(name, stat.S_IMODE(source.stat().st_mode))
        for entry in sorted(os.scandir(source), key=lambda entry: entry.name):
            inside = f"{name}/{entry.name}"
            if entry.is_symlink():
                self.link(inside, str(Path(entry.path).readlink()))
            elif entry.is_dir():
                self.tree(inside, Path(entry.path))
            elif entry.is_file():
                self.file(inside, Path(entry.path))

    def _parents(self, name: str) -> None:
        parent, slash, _ = name.rpartition("/")
        if slash:
            self.folder(parent)

    def _entry(
        self, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)
    ) -> None:
        if len(content) > MAX_SIZE:
            raise ValueError(f"{name} is too large for a cpio archive")
        if name != TRAILER:
            self._inode += 1
        encoded = os.fsencode(name) + b"\0"
        fields = (
            self._inode if name != TRAILER else 0,
            mode,
            0,  # uid
            0,  # gid
            1,  # links
            0,  # modification time: the same input gives the same archive
            len(content),
            0,  # device that the file is on
            0,
            *device,
            len(encoded),
            0,  # checksum, unused in this format
        )
        header = MAGIC + "".join(f"{field:08X}" for field in fields)
        self._file.write(header.encode())
        self._file.write(encoded)
        self._pad(len(header) + len(encoded))
        self._file.write(content)
        self._pad(len(content))

    def _pad(self, length: int) -> None:
        self._file.write(bytes(-length % 4))
