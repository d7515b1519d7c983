# SPDX-License-Identifier: GPL-2.0
"""``make doctor``: checks the tools, the host and the kernel trees, one line each, with the mend.

It changes nothing and installs nothing. Its exit code says whether the lab can run: a kernel
that takes no Rust modules is worth a line, but no reason for the lab not to run.
"""

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lab import accel, kernel, modules, packages, paths, rust_headers, source, toolchain
from lab.errors import Exit, HostNotFit
from lab.toolchain import Survey


class Mark(Enum):
    """How a line came out."""

    OK = "ok"
    NOTE = "--"
    BAD = "!!"


@dataclass(frozen=True)
class Line:
    """What was looked at, what was found, and how to mend it."""

    mark: Mark
    subject: str
    finding: str
    mend: str = ""

    def __str__(self) -> str:
        """Shows the line as the user sees it."""
        return f"{self.mark.value} {self.subject:<12} {self.finding}" + (
            f": {self.mend}" if self.mend else ""
        )


def check_tools(survey: Survey) -> Iterator[Line]:
    """Checks what `make run` needs, then what only other commands need."""
    run = {tool for want in ("kernel", "boot") for tool in toolchain.WANTS[want]}
    every = {tool for want in toolchain.WANTS.values() for tool in want}
    for tool in sorted(every, key=lambda name: (name not in run, name)):
        path = survey.get(tool)
        reason, _ = packages.REASONS[tool]
        if path:
            version = survey.versions.get({"llvm": "clang"}.get(tool, tool), "")
            yield Line(Mark.OK, tool, f"{path}" + (f" ({version})" if version else ""))
        elif tool == "bindgen" and toolchain.cached_bindgen_possible(survey):
            yield Line(Mark.NOTE, tool, "too old or not there", "the lab builds one in its cache")
        elif tool in run:
            yield Line(Mark.BAD, tool, f"not there or not fit; {reason}", mend(survey, {tool}))
        else:
            yield Line(Mark.NOTE, tool, f"not there or not fit; {reason}", mend(survey, {tool}))
    for passed in survey.passed_over:
        yield Line(Mark.NOTE, "passed over", passed)


def mend(survey: Survey, missing: set[str]) -> str:
    """Returns what to do about missing tools."""
    if not shutil.which("apt-cache"):
        return "install it"
    known = packages.Packages.known()
    try:
        chosen = known.choose(missing, survey.minimum, survey.in_use())
    except packages.NoMatch as error:
        return " ".join(str(error).split())
    return f"apt-get {shlex.join(packages.install_command(known, chosen))}"


def check_python() -> Line:
    """Checks what this runs on."""
    version = ".".join(map(str, sys.version_info[:3]))
    return Line(Mark.OK, "python", f"{sys.executable} ({version})")


def check_room(cache: Path, needed: int) -> Line:
    """Checks that the cache's disk has room for what the lab still has to build."""
    free = shutil.disk_usage(cache).free
    finding = f"{free / (1 << 30):.0f} GiB free in {cache}"
    if free < needed:
        return Line(
            Mark.BAD,
            "room",
            finding,
            f"the lab needs {needed / (1 << 30):.0f} more: make room, or set XDG_CACHE_HOME",
        )
    return Line(Mark.OK, "room", finding)


def lab_trees() -> Iterable[Path]:
    """Returns the kernels that the lab has built and keeps."""
    return sorted(
        stamp.parent / "build" for stamp in (paths.cache() / "kernels").glob("*/complete")
    )


def check_tree(name: str, kdir: Path, survey: Survey, bad: Mark) -> Line:
    """Checks whether a module in Rust can be built for a kernel tree."""
    if headers := rust_headers.incomplete(kdir):
        return Line(
            Mark.NOTE,
            name,
            f"{kdir} has no compiled Rust crates",
            f"`make modules` compiles them of {headers.package} first",
        )
    if reason := kernel.unfit(kdir):
        return Line(bad, name, reason)
    text = toolchain.built_by(kdir)
    own = Survey(survey.minimum, rustc_text=text)
    own.get("rustc")
    if reason := kernel.other_rustc(kdir, own.versions.get("rustc", "")):
        return Line(bad, name, reason)
    return Line(Mark.OK, name, f"{kdir} takes modules in Rust (built by {text})")


def check_kvm(survey: Survey) -> Line:
    """Checks whether guests can run faster than by emulation."""
    qemu = survey.get("qemu")
    if not accel.DEVICE.exists():
        return Line(Mark.NOTE, "kvm", f"no {accel.DEVICE}", "guests are emulated (TCG), slower")
    if not os.access(accel.DEVICE, os.R_OK | os.W_OK):
        return Line(
            Mark.NOTE,
            "kvm",
            f"{accel.DEVICE} may not be opened by this user",
            "join its group ('adduser $USER kvm'); until then guests are emulated (TCG)",
        )
    trees = [tree for tree in lab_trees() if tree.parent.name.startswith("plain-")]
    if not qemu or not trees:
        return Line(
            Mark.NOTE, "kvm", f"{accel.DEVICE} is there", "`make run` tries whether it works"
        )
    if accel.kvm_works(qemu, kernel.load(trees[-1].parent)):
        return Line(Mark.OK, "kvm", "a guest boots under it")
    return Line(
        Mark.NOTE,
        "kvm",
        f"{accel.DEVICE} opens, but no guest gets anywhere under it, as on some nested hosts",
        "guests are emulated (TCG), slower",
    )


def check_trees(survey: Survey) -> Iterator[Line]:
    """Checks the user's kernel, and the lab's own."""
    if os.environ.get("KDIR"):
        # What the user names is what the lab would boot.
        yield check_tree("KDIR", modules.user_tree(), survey, Mark.BAD)
        try:
            kernel.from_kdir(modules.user_tree(), "plain")
        except HostNotFit as error:
            yield Line(Mark.BAD, "KDIR", str(error))
    else:
        yield check_tree("this kernel", kernel.running_kernel_tree(), survey, Mark.NOTE)
    trees = list(lab_trees())
    for tree in trees:
        yield check_tree("the lab's", tree, survey, Mark.NOTE)
    if not trees:
        yield Line(Mark.NOTE, "the lab's", "no kernel built yet", "`make run` builds one")


def main(argv: list[str]) -> int:
    """Prints the lines; fails if the lab cannot run here."""
    argparse.ArgumentParser(prog="make doctor", description=__doc__).parse_args(argv)
    kdir = toolchain.env_path("KDIR")
    survey = Survey(
        toolchain.minimums(kdir / "source" if kdir else None, kdir, toolchain.env_path("KSRC"))
    )
    built = any(lab_trees())
    good = True
    for line in [
        check_python(),
        *check_tools(survey),
        check_room(paths.cache(), kernel.FULL if built else kernel.ROOM + source.ROOM),
        check_kvm(survey),
        *check_trees(survey),
    ]:
        good &= line.mark is not Mark.BAD
        print(line, flush=True)
    print("doctor: the lab can run" if good else "doctor: the lab cannot run; mend what has !!")
    return Exit.PASSED if good else Exit.HOST_NOT_FIT
