# SPDX-License-Identifier: GPL-2.0
"""What a guest is to do, and the root file system that has what it needs for it."""

import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from lab.initramfs import Archive

# The shell scripts that run in the guest.
SCRIPTS = Path(__file__).resolve().parent / "guest"

# A name that no suite has.
NO_SUITE = "none"


@dataclass(frozen=True)
class Task:
    """What a guest is to do: load a module, run a command, unload the module."""

    busybox: Path
    # The guest has it in /lib.
    module: Path | None = None
    # More modules in the guest's /lib, which its command may load.
    other_modules: tuple[Path, ...] = ()
    # Load it before the command runs.
    load: bool = True
    module_args: str = ""
    # Run the module's KUnit suites when it is loaded, and report their results.
    kunit: bool = False
    # Given to sh -c.
    command: str | None = None
    # Programs for the guest's /bin, by name.
    programs: Mapping[str, Path] = field(default_factory=dict)
    # Further files of the host, by their paths in the guest.
    files: Mapping[str, Path] = field(default_factory=dict)
    # A folder of the host whose content is the guest's /extra.
    extra: Path | None = None
    # Rows and columns of the terminal that the command has, if it has one.
    terminal: tuple[int, int] | None = None
    term: str = "dumb"

    def append(self) -> tuple[str, ...]:
        """Returns what the task adds to the kernel's command line."""
        if not self.kunit:
            return ("kunit.enable=0",)
        # allnoconfig leaves both off. The first allows suites to run, the second has them do so:
        # none at boot, as the guest takes the filter away before it loads the module.
        return ("kunit.enable=1", "kunit.autorun=1", f"kunit.filter_glob={NO_SUITE}")


def write_initramfs(file: BinaryIO, task: Task, nonce: str) -> None:
    """Writes the guest's root file system for this task."""
    archive = Archive(file)
    for name in ("dev", "proc", "run", "sys", "tmp", "root", "extra"):
        archive.folder(name)
    # The kernel opens it for the first process, before /dev is mounted.
    archive.character_device("dev/console", 5, 1, 0o600)
    archive.file("bin/busybox", task.busybox, 0o755)
    for applet in _applets(task.busybox):
        if applet != "busybox":
            archive.link(f"bin/{applet}", "busybox")
    for name, program in task.programs.items():
        archive.file(f"bin/{name}", program, 0o755)
    for module in (*([task.module] if task.module else []), *task.other_modules):
        archive.file(f"lib/{module.name}", module, 0o644)
    for place, content in task.files.items():
        archive.file(place.removeprefix("/"), content)
    if task.extra:
        archive.tree("extra", task.extra)
    archive.text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
    archive.text("etc/group", "root:x:0:\n")
    archive.file("init", SCRIPTS / "init", 0o755)
    archive.file("lab/lib.sh", SCRIPTS / "lib.sh", 0o644)
    archive.file("lab/demo", SCRIPTS / "demo", 0o644)
    archive.text("lab/spec", _spec(task, nonce), 0o600)
    if task.command is not None:
        archive.text("lab/command", task.command)
    archive.finish()


def _spec(task: Task, nonce: str) -> str:
    rows, columns = task.terminal or (0, 0)
    values = {
        "NONCE": nonce,
        "MODULE": f"/lib/{task.module.name}" if task.module else "",
        "LOAD": "1" if task.module and task.load else "",
        "MODULE_ARGS": task.module_args,
        "KUNIT": "1" if task.kunit else "",
        "COMMAND": "" if task.command is None else "terminal" if task.terminal else "pipes",
        "TERM": task.term,
        "ROWS": str(rows),
        "COLUMNS": str(columns),
    }
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _applets(busybox: Path) -> list[str]:
    listing = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True)
    return listing.stdout.split()
