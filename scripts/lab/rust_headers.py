# SPDX-License-Identifier: GPL-2.0
"""``make rust-headers``: what a kernel's headers lack for modules in Rust.

Debian builds its kernels with CONFIG_RUST, but its packages of headers are without the kernel's
compiled crates (rust/*.rmeta), and rustc can compile nothing against them. Here the crates are
compiled again, from the source, by the compilers and with the configuration that the kernel was
built from. It has to be the same source and the same compilers: they are part of the crates'
hashes, these of the names of their functions, and a module that looks for other names than the
kernel has is refused when it is loaded. That the names are the same is seen to at the end.

The result is a tree in the cache, which ``make modules`` and what else takes a KDIR can build with;
they make it themselves where it is missing. The running kernel's headers are meant if KDIR names no
others. The source is Debian's package of it, of the headers' version, or KSRC.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab import command, kernel, packages, paths, source, toolchain
from lab.command import tail
from lab.errors import Exit, HostNotFit, LabError
from lab.report import say
from lab.toolchain import Toolchain

# Where Debian's packages of the source put it.
SOURCES = Path("/usr/src")

# The source that is unpacked, and what is built of it.
ROOM = 3 << 30

MINUTES = 4

TARGETS = ("prepare", "modules_prepare")


@dataclass(frozen=True)
class Headers:
    """The headers of a kernel that has Rust."""

    path: Path
    release: str
    # Debian's version of the package; empty if Debian did not build it.
    debian: str

    @property
    def version(self) -> str:
        """The version of the source."""
        return re.split(r"[-+]", self.release)[0]

    @property
    def package(self) -> str:
        """Debian's package of the source."""
        return f"linux-source-{'.'.join(self.version.split('.')[:2])}"


def main(argv: list[str]) -> int:
    """The verb ``rust-headers``. Prints the tree."""
    argparse.ArgumentParser(prog="make rust-headers", description=__doc__).parse_args(argv)
    kdir = toolchain.env_path("KDIR") or kernel.running_kernel_tree()
    tree = complete(kdir)
    if reason := kernel.unfit(tree):
        raise HostNotFit(reason)
    print(tree)
    return Exit.PASSED


def incomplete(kdir: Path) -> Headers | None:
    """Returns the headers in ``kdir`` if they lack the crates alone, and the source is known."""
    config = kernel.read_config(kdir / ".config")
    release = _line(kdir / "include/config/kernel.release")
    if config.get("CONFIG_RUST") != "y" or not release or not kernel.lacks_crates(kdir):
        return None
    debian = re.search(r" Debian (\S+) \(", _line(kdir / "include/generated/utsversion.h"))
    if not debian and not os.environ.get("KSRC"):
        return None
    return Headers(kdir.resolve(), release, debian[1] if debian else "")


def complete(kdir: Path) -> Path:
    """Returns a tree that modules in Rust can be built with, for the kernel of ``kdir``.

    That is ``kdir`` itself if nothing is missing there, or something that cannot be made here.
    """
    headers = incomplete(kdir)
    if not headers:
        return kdir
    tools = toolchain.find(want={"rust-headers"}, kdir=kdir)
    if reason := other_compilers(headers, tools):
        raise HostNotFit(reason)
    return _build(headers, tools)


def _line(path: Path) -> str:
    try:
        return path.read_text().splitlines()[-1].strip()
    except (OSError, IndexError):
        return ""


def other_compilers(headers: Headers, tools: Toolchain) -> str | None:
    """Says in one sentence which compiler is not the one that built the kernel; None if all are."""
    config = kernel.read_config(headers.path / ".config")
    here = {
        "rustc": tools.rustc_version,
        "bindgen": tools.versions.get("bindgen", ""),
        "C compiler": "",
    }
    theirs = {
        "rustc": config.get("CONFIG_RUSTC_VERSION_TEXT", "").strip('"'),
        "bindgen": config.get("CONFIG_BINDGEN_VERSION_TEXT", "").strip('"'),
        "C compiler": config.get("CONFIG_CC_VERSION_TEXT", "").strip('"'),
    }
    if cc := theirs["C compiler"].partition(" ")[0]:
        here["C compiler"] = toolchain.first_line([cc, "--version"])
    for name, version in theirs.items():
        if version and version != here[name]:
            return (
                f"the crates of {headers.release} have to be compiled by what built it: its {name}"
                f" was '{version}', and here is '{here[name] or 'none'}'; its distribution has"
                " the right one, and `make test LANE=stock` shows how that is used on others"
            )
    return None


def _build(headers: Headers, tools: Toolchain) -> Path:
    """Compiles the crates, unless they are there, and returns the tree."""
    made_from = [headers.path, headers.release, headers.debian, os.environ.get("KSRC", "")]
    made_from += [tools.rustc_version, (headers.path / ".config").stat().st_mtime_ns]
    key = hashlib.sha256(repr(made_from).encode()).hexdigest()[:12]
    home = paths.cache() / "rust-headers" / f"{headers.release}-{key}"
    build, log, stamp = home / "build", home / "build.log", home / "complete"
    with paths.locked(home.with_suffix(home.suffix + ".lock"), "the kernel's crates") as lock:
        if stamp.exists():
            return build
        home.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(home).free) < ROOM:
            raise HostNotFit(
                f"the crates of {headers.release} and the source that they are compiled from take"
                f" {ROOM >> 30} GiB in {home}, and {free >> 20} MiB are free"
            )
        tree = _source(headers, home)
        shutil.rmtree(build, ignore_errors=True)
        build.mkdir()
        for name in (".config", "Module.symvers"):
            shutil.copy(headers.path / name, build)
        config = kernel.read_config(build / ".config")
        make = [
            *("make", "-C", str(tree), f"O={build}", *tools.make_vars(), *kernel.cc_var(config)),
            f"LOCALVERSION={headers.release.removeprefix(headers.version)}",
        ]
        if config.get("CONFIG_CC_IS_CLANG") != "y":
            make = [word for word in make if word != "LLVM=1"]
        say(
            f"compiling the Rust crates of {headers.release}, which its headers lack: about"
            f" {MINUTES} minutes on 2 cores, once (log: {log})"
        )
        with log.open("w") as output:
            for step in (["olddefconfig"], [f"-j{len(os.sched_getaffinity(0))}", *TARGETS]):
                code = command.run(
                    [*make, *step], env=tools.env(), log=output, lock=lock, what="the crates"
                )
                if code:
                    raise LabError(
                        f"the crates of {headers.release} do not build; the end of {log}:"
                        f"\n{tail(log)}"
                    )
        check(headers, build)
        stamp.touch()
    return build


def _source(headers: Headers, home: Path) -> Path:
    """Returns the source that the kernel was built from."""
    if ksrc := os.environ.get("KSRC"):
        tree = source.from_ksrc(Path(ksrc)).path
    else:
        tree = home / "source"
        if not tree.exists():
            _unpack(headers, tree)
    if (version := source.tree_version(tree)) != headers.version:
        raise HostNotFit(f"{headers.release} was built from {headers.version}, not from {version}")
    return tree


def _unpack(headers: Headers, tree: Path) -> None:
    """Unpacks Debian's package of the source, of the version that the kernel was built from."""
    tarball = SOURCES / f"{headers.package}.tar.xz"
    wanted = f"{headers.package}={headers.debian}"
    if not tarball.exists():
        packages.install_one(wanted, f"{headers.release} was built from it")
    query = ["dpkg-query", "--show", "--showformat", "${Version}", headers.package]
    version = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    if version != headers.debian:
        raise HostNotFit(
            f"{headers.release} was built from {headers.package} {headers.debian}, and installed is"
            f" {version or 'none'}: apt-get install {wanted}"
        )
    say(f"unpacking {tarball}")
    with paths.atomic_dir(tree) as folder:
        unpack = ["tar", "-xJf", str(tarball), "--strip-components=1", "-C", str(folder)]
        if subprocess.run(unpack, check=False).returncode:
            raise HostNotFit(f"{tarball} could not be unpacked; is the disk full?")


def check(headers: Headers, build: Path) -> None:
    """Refuses crates whose functions have other names than those that the kernel has."""
    symvers = (headers.path / "Module.symvers").read_text()
    kernels = {line.split("\t")[1] for line in symvers.splitlines()}
    made = (build / "rust/exports_kernel_generated.h").read_text()
    names = re.findall(r"^EXPORT_SYMBOL_RUST_GPL\((\w+)\);", made, re.MULTILINE)
    if not names or (strange := [name for name in names if name not in kernels]):
        raise LabError(
            f"the crates that were compiled are not those of {headers.release}, which has no"
            f" {strange[0] if names else 'function of theirs'}; was it built from another source?"
        )
