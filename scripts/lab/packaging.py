# SPDX-License-Identifier: GPL-2.0
"""``make test-packages``: builds what a release is shipped as, and installs it in a Debian.

That is a root of Debian in the cache, without a network; it needs no guest, but to be root. The
release is that of the commit that is checked out. The kernel that DKMS builds for is the plain
lane's, with the rustc that has built it, since no other can build modules for it.
"""

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab import debian, kernel, logs, paths, pytools, release, toolchain
from lab.command import tail
from lab.debian import Root
from lab.errors import Exit
from lab.kernel import Kernel
from lab.ktap import Result, Status
from lab.report import say
from lab.results import Results
from lab.toolchain import Toolchain

SUITE = "packages"

# What packages are built with, and what has to be there where they are installed.
PACKAGES = (
    *("bindgen", "build-essential", "cargo", "clang", "debhelper", "dh-dkms", "dkms", "kmod"),
    *("lintian", "lld", "llvm", "rustc", "systemd-standalone-sysusers"),
)

SCRIPTS = paths.ROOT / "tests/packages"

REQUIREMENTS = paths.ROOT / "scripts/requirements-sbom.txt"

# A C library's parts belong to its loader: those of the root are used.
LIBC = re.compile(r"(ld-linux.*|lib(c|dl|m|pthread|rt))\.so\.\d+")


def bring_rustc(rustc: Path, folder: Path) -> None:
    """Makes a rustc of the host run elsewhere: a copy of it, its libraries, and what starts it."""
    folder.mkdir()
    listing = subprocess.run(["ldd", str(rustc)], capture_output=True, text=True, check=True).stdout
    libraries = [Path(path) for path in re.findall(r"=> (/\S+)", listing)]
    for file in [path for path in libraries if not LIBC.fullmatch(path.name)]:
        shutil.copy(file, folder)
    shutil.copy(rustc, folder / "rustc.real")
    start = folder / "rustc"
    start.write_text('#!/bin/sh\nLD_LIBRARY_PATH=${0%/*} exec "${0%/*}/rustc.real" "$@"\n')
    start.chmod(0o755)


def sbom_is_valid(tc: Toolchain, document: Path) -> Result:
    """Has the tool of those who made the format say what it thinks of the bill of materials."""
    validator = pytools.python(tc, REQUIREMENTS).with_name("pyspdxtools")
    run = subprocess.run(
        [str(validator), "--infile", str(document)], capture_output=True, text=True, check=False
    )
    status = Status.FAILED if run.returncode else Status.PASSED
    return Result("sbom", status, diagnostics=tuple((run.stdout + run.stderr).splitlines()))


class _TestRun:
    """One call of ``make test-packages``."""

    def __init__(self, root: Root, plain: Kernel, work: Path, log: Path) -> None:
        self._root = root
        self._kernel = plain
        self._work = work
        self._log = log

    def script(self, name: str) -> Result:
        """Runs a script of tests/packages in the root."""
        say(f"{SUITE}: {name}")
        arguments = (release.version(), self._kernel.release, str(self._kernel.build))
        folders = (self._kernel.src, self._kernel.build)
        code = self._root.run(self._work, folders, SCRIPTS / name, *arguments)
        log = shutil.move(self._work / f"{name}.log", self._log)
        if not code:
            return Result(name, Status.PASSED)
        said = (f"exit code {code}; the end of {log}:", *tail(Path(log), 40).splitlines())
        return Result(name, Status.FAILED, diagnostics=said)


def main(argv: list[str]) -> int:
    """Runs the tests; one that needs what another has built comes after it."""
    argparse.ArgumentParser(prog="make test-packages", description=__doc__).parse_args(argv)
    release.refuse_dirty()
    tc = toolchain.find(lane="plain", want={"kernel", "tools", "root", "lab-tests"})
    root = debian.root(tc, PACKAGES)
    plain = kernel.ensure("plain", tc)
    log = logs.new("packages")
    results = Results()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        release.make(work / "dist", tc)
        bring_rustc(tc.rustc, work / "rust")
        shutil.copy(SCRIPTS / "kernels", work)
        run = _TestRun(root, plain, work, log)
        document = work / f"dist/ringdev-{release.version()}.spdx.json"
        results.add(SUITE, [sbom_is_valid(tc, document), *map(run.script, ("dkms", "build"))])
        if (work / "debs").exists():
            results.add(SUITE, [run.script("install")])
    say(f"logs: {log}")
    results.close()
    return Exit.TESTS_FAILED if results.count(Status.FAILED) else Exit.PASSED
