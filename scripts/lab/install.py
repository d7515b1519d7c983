# SPDX-License-Identifier: GPL-2.0
"""``make install``: puts into the system what `make` and `make ringctl` have built.

The module goes where kbuild's modules_install has it, below INSTALL_MOD_PATH; everything else
below PREFIX. With DESTDIR all of it goes below that folder, for somebody to make a package of, and
depmod is left to whoever installs that. Nothing is built here, as this is for root, and nothing is
written before it is clear that all of it can be.
"""

import argparse
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import modules, paths, ringctl, toolchain
from lab.errors import Exit, HostNotFit, LabError, UsageError

MODULE = paths.ROOT / "ringdev.ko"

PREFIX = "/usr/local"
# What is installed below PREFIX, and the file here that it is made from.
EXAMPLES = "share/doc/ringdev/examples"
FILES: Mapping[str, Path] = {
    "bin/ringctl": ringctl.PROGRAM,
    "lib/sysusers.d/ringdev.conf": paths.ROOT / "packaging/sysusers.conf",
    "lib/udev/rules.d/60-ringdev.rules": paths.ROOT / "packaging/60-ringdev.rules",
    **{
        f"share/man/man{page.suffix[1:]}/{page.name}": page
        for page in sorted((paths.ROOT / "packaging/man").iterdir())
    },
    **{f"{EXAMPLES}/{path.name}": path for path in sorted((paths.ROOT / "samples/boot").iterdir())},
}

# Variables of kbuild's modules_install that are handed on.
KBUILD = ("INSTALL_MOD_DIR", "INSTALL_MOD_STRIP")

# What kbuild appends to the name of a module that it compresses.
COMPRESSED = ("", ".gz", ".xz", ".zst")


@dataclass(frozen=True)
class Places:
    """Where an installation goes."""

    kdir: Path
    release: str
    # Set if this is for a package, not for this machine.
    destdir: str
    # What lib/modules is below.
    mod_path: Path
    prefix: Path

    @classmethod
    def asked_for(cls) -> "Places":
        """Reads the variables of make; refuses what would go astray."""
        kdir = modules.user_tree()
        release = os.uname().release
        # What was installed for the running kernel can be removed when its headers are gone.
        if toolchain.env_path("KDIR"):
            release = release_of(kdir)
        destdir = os.environ.get("DESTDIR", "")
        mod_path = os.environ.get("INSTALL_MOD_PATH", "")
        prefix = os.environ.get("PREFIX") or PREFIX
        for name, value in (
            ("DESTDIR", destdir),
            ("INSTALL_MOD_PATH", mod_path),
            ("PREFIX", prefix),
        ):
            if value and not value.startswith("/"):
                raise UsageError(f"{name}={value}: has to be an absolute path")
        return cls(
            kdir, release, destdir, Path(destdir + (mod_path or "/")), Path(destdir + prefix)
        )

    @property
    def modules(self) -> Path:
        """The folder of this kernel's modules."""
        return self.mod_path / "lib/modules" / self.release

    @property
    def updates(self) -> Path:
        """The folder that kbuild puts modules into that are not the kernel's own."""
        return self.modules / (os.environ.get("INSTALL_MOD_DIR") or "updates")

    def module(self) -> list[Path]:
        """Returns the names that the module may have there."""
        return [self.updates / f"{MODULE.name}{suffix}" for suffix in COMPRESSED]

    def files(self) -> Mapping[Path, Path]:
        """Returns each file below PREFIX, and what it is made from."""
        return {self.prefix / name: source for name, source in FILES.items()}

    def depmod(self) -> None:
        """Tells modprobe what modules there are, where there is a system to tell."""
        if self.destdir or not self.modules.is_dir():
            return
        # kbuild would do this only where System.map is, which distributions' headers lack.
        command = ["depmod", "-b", str(self.mod_path), self.release]
        if _run(command):
            raise LabError(f"'{' '.join(command)}' failed; modprobe does not know of the change")


def release_of(kdir: Path) -> str:
    """Returns the release of a built kernel tree."""
    try:
        return (kdir / "include/config/kernel.release").read_text().strip()
    except OSError:
        raise HostNotFit(f"{kdir} is no built kernel tree; give one as KDIR") from None


def built_for(module: Path) -> str:
    """Returns the release of the kernel that a module was built for; empty if it says none."""
    match = re.search(rb"\0vermagic=(\S+) ", module.read_bytes())
    return match.group(1).decode() if match else ""


def refuse_unready(places: Places) -> None:
    """Says what is to be done first, if anything."""
    if not MODULE.exists():
        raise HostNotFit(f"there is no {MODULE.name} here; 'make' builds it")
    built, wanted = built_for(MODULE), release_of(places.kdir)
    if built != wanted:
        raise HostNotFit(
            f"{MODULE.name} was built for the kernel {built}, and that of {places.kdir} is"
            f" {wanted}; give the KDIR that it was built for, or run 'make' again"
        )
    if not ringctl.PROGRAM.exists():
        raise HostNotFit("ringctl is not built; 'make ringctl' builds it")
    if not places.destdir and not places.modules.is_dir():
        raise HostNotFit(
            f"the kernel {places.release} of {places.kdir} is not installed: there is no"
            f" {places.modules}"
        )


def refuse_unable(places: Places) -> None:
    """Says so if this user may not write where this would write, or has no depmod."""
    if not places.destdir and not shutil.which("depmod", path=_env()["PATH"]):
        raise HostNotFit("there is no depmod here; Debian's package kmod has it")
    for folder in dict.fromkeys((places.updates, *(file.parent for file in places.files()))):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            raise HostNotFit(f"{there} may not be written by this user: this is for root")


def install(places: Places) -> None:
    """Installs everything."""
    refuse_unready(places)
    refuse_unable(places)
    command = [
        *("make", "-C", str(places.kdir), f"M={paths.ROOT}"),
        f"INSTALL_MOD_PATH={str(places.mod_path).rstrip('/')}",
        *(f"{name}={value}" for name in KBUILD if (value := os.environ.get(name))),
        "DEPMOD=true",
        "modules_install",
    ]
    if _run(command):
        raise LabError("kbuild did not install the module, and said above why")
    for target, source in places.files().items():
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside it, then over it: a ringctl that is running stays whole.
        new = target.with_name(f".{target.name}.new")
        shutil.copyfile(source, new)
        new.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
        new.replace(target)
        print(f"  INSTALL {target}")
    places.depmod()


def _env() -> dict[str, str]:
    return toolchain.build_env(None, None)


def _run(command: list[str]) -> int:
    return subprocess.run(command, env=_env(), check=False).returncode


def main(argv: list[str]) -> int:
    """Runs ``make install``."""
    argparse.ArgumentParser(prog="make install", description=__doc__).parse_args(argv)
    install(Places.asked_for())
    return Exit.PASSED
