# SPDX-License-Identifier: GPL-2.0
"""``scripts/in-tree TREE``: the driver as a series of patches for a kernel tree.

In the tree the driver is drivers/misc/ringdev, its sources as they are here but for what serves
other kernels (``cfg(linux_7_2)``), which is left out as unifdef(1) would do it. The patches are
written for ``git am --signoff``: who sends them signs for them. Their author is the maintainer that
debian/control names, whoever runs this. With --check, the tree's own
checkpatch.pl and get_maintainer.pl have to be content.
"""

import argparse
import re
import shlex
import subprocess
import tempfile
import textwrap
from bisect import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lab import environment, paths, source
from lab.errors import Exit, HostNotFit, LabError, UsageError
from lab.lint import CHECKPATCH_IGNORE_EVENTS
from lab.report import say

DRIVER = "drivers/misc/ringdev"
TITLE = "RINGDEV NAMED RING BUFFERS"
OUT = paths.ROOT / "target/in-tree"
# What of the tree is edited.
EDITED = (
    "Documentation/misc-devices/index.rst",
    "Documentation/userspace-api/ioctl/ioctl-number.rst",
    "MAINTAINERS",
    "drivers/misc/Kconfig",
    "drivers/misc/Makefile",
    "tools/testing/selftests/Makefile",
)

Edit = Callable[[str], str]


@dataclass(frozen=True)
class Patch:
    """A commit of the series."""

    subject: str
    body: str
    # New files, by their paths in the tree.
    files: Mapping[str, str]
    # What is done to files that the tree has.
    edits: Mapping[str, Edit] = field(default_factory=dict)


def main(argv: list[str]) -> int:
    """The verb ``in-tree``."""
    parser = argparse.ArgumentParser(prog="scripts/in-tree", description=__doc__)
    parser.add_argument("tree", nargs="?", type=Path, help="a kernel tree; the lab's if not given")
    parser.add_argument("--out", type=Path, default=OUT, help="where the patches go")
    parser.add_argument("--check", action="store_true", help="have the tree's scripts look at them")
    options = parser.parse_args(argv)
    tree = options.tree.resolve() if options.tree else source.ensure().path
    if not source.tree_version(tree):
        raise UsageError(f"{tree} is no kernel tree")
    written = write(tree, options.out.resolve())
    for patch in written:
        print(patch)
    if options.check and (troubles := check(tree, written)):
        for trouble in troubles:
            say(trouble)
        return Exit.TESTS_FAILED
    return Exit.PASSED


def series() -> list[Patch]:
    """Returns the patches, of which each leaves a tree that builds."""
    driver = _driver()
    gaps = {place: text for place, text in driver.items() if "/staging/" in place}
    files = {place: text for place, text in driver.items() if place not in gaps}
    header, events = "include/uapi/linux/ringdev.h", "include/trace/events/ringdev.h"
    document = "Documentation/misc-devices/ringdev.rst"
    entries = {
        f"Documentation/ABI/testing/{file.name}": _entry(file.read_text())
        for file in sorted((paths.ROOT / "Documentation/ABI/testing").iterdir())
    }
    selftest = "tools/testing/selftests/ringdev"
    return [
        Patch(
            "uapi: ringdev: add the ABI of named ring buffers",
            "A ring is a character device that is made by ioctl(2) on a control device, and read"
            " and written as a pipe is. Every structure begins with its size, so that it may grow.",
            {header: _read(header)},
            {
                "MAINTAINERS": _maintained(header),
                "Documentation/userspace-api/ioctl/ioctl-number.rst": _number,
            },
        ),
        Patch(
            "misc: ringdev: add what the kernel crate lacks",
            "One file for each gap, with a safe interface that could move into the kernel crate:"
            " character devices with a class, file operations with poll, fasync and splice, waits"
            " for an amount, pages mapped twice in a row, tracepoints of a module, and others. All"
            " unsafe code of the driver is here. Nothing builds it yet.",
            {events: _of_tree(_read(events)), **gaps},
            {"MAINTAINERS": _maintained(f"{DRIVER}/staging/", events)},
        ),
        Patch(
            "misc: ringdev: add named ring buffers for user space",
            "Rings under /dev/ring with names, owners and modes: streams or records, for readers"
            " that compete or that all see everything, which wait, drop or overwrite when they are"
            " full. They outlive the processes that use them, so that the data of one that has"
            " crashed can still be read, and restarting one end loses nothing. Writers and readers"
            " share no lock, and no page fault is served under one.",
            files,
            {
                "MAINTAINERS": _maintained(f"{DRIVER}/"),
                "drivers/misc/Kconfig": _before_end('source "drivers/misc/ringdev/Kconfig"'),
                "drivers/misc/Makefile": _after_end("obj-$(CONFIG_RINGDEV)\t\t+= ringdev/"),
            },
        ),
        Patch(
            "Documentation: ringdev: describe the ABI",
            "What each call does and which errors it gives, and the entries of the ABI.",
            {document: _document(), **entries},
            {
                "MAINTAINERS": _maintained(document, "Documentation/ABI/testing/*ring*"),
                "Documentation/misc-devices/index.rst": _in_list("   ringdev"),
            },
        ),
        Patch(
            "selftests: ringdev: add a test of what programs rely on first",
            "A ring is made by its name, keeps what was written, says when it is empty or full,"
            " and is gone when it was destroyed.",
            {
                f"{selftest}/ringdev_test.c": _read("tests/selftests/ringdev_test.c"),
                f"{selftest}/Makefile": "# SPDX-License-Identifier: GPL-2.0\n"
                "CFLAGS += -O2 -Wall $(KHDR_INCLUDES)\n\n"
                "TEST_GEN_PROGS := ringdev_test\n\ninclude ../lib.mk\n",
                f"{selftest}/config": "CONFIG_RUST=y\nCONFIG_RINGDEV=m\n",
                f"{selftest}/.gitignore": "# SPDX-License-Identifier: GPL-2.0-only\nringdev_test\n",
            },
            {
                "MAINTAINERS": _maintained(selftest + "/"),
                "tools/testing/selftests/Makefile": _in_list("TARGETS += ringdev"),
            },
        ),
    ]


def write(tree: Path, out: Path) -> list[Path]:
    """Writes the series into the folder ``out``, whose patches are made anew."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.patch"):
        old.unlink()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        _git(work, "init", "--quiet")
        for name in EDITED:
            _put(work / name, (tree / name).read_text())
        _commit(work, "the tree")
        for patch in series():
            for name, text in patch.files.items():
                if (tree / name).exists():
                    raise HostNotFit(f"{tree} has {name} already")
                _put(work / name, text)
            for name, edit in patch.edits.items():
                _put(work / name, edit((work / name).read_text()))
            _commit(work, f"{patch.subject}\n\n{textwrap.fill(patch.body, 72)}")
        numbered = ("format-patch", "--quiet", "--root", "--output-directory", str(out))
        _git(work, *numbered, f"-{len(series())}")
    return sorted(out.glob("*.patch"))


def check(tree: Path, patches: list[Path]) -> list[str]:
    """Returns what the tree's scripts have against the patches."""
    found: list[str] = []
    env = {**environment.neutral(), **environment.NO_HOME}
    for patch in patches:
        # Who sends it signs it.
        command = [str(tree / "scripts/checkpatch.pl"), "--strict", "--no-signoff", "--quiet"]
        command += [
            "--terse",
            "--show-types",
            f"--ignore={','.join(sorted(CHECKPATCH_IGNORE_EVENTS))}",
            str(patch),
        ]
        run = subprocess.run(
            command, cwd=tree, env=env, capture_output=True, text=True, check=False
        )
        said = (run.stdout + run.stderr).splitlines()
        found += [line for line in said if not line.startswith("total: ")]
        get = [
            str(tree / "scripts/get_maintainer.pl"),
            "--no-git",
            "--no-git-fallback",
            "--norolestats",
        ]
        run = subprocess.run(
            [*get, str(patch)], cwd=tree, env=env, capture_output=True, text=True, check=False
        )
        if run.returncode or not run.stdout.strip():
            found.append(f"{patch.name}: get_maintainer.pl: {run.stderr.strip() or 'nobody'}")
    return found


def _driver() -> dict[str, str]:
    """Returns the driver's folder."""
    sources = paths.ROOT / "src"
    found = {
        f"{DRIVER}/{file.relative_to(sources)}": _of_tree(file.read_text())
        for file in sorted(sources.rglob("*"))
        if file.suffix in (".rs", ".c", ".h") and file.name != "uapi_generated.rs"
    }
    return {**found, f"{DRIVER}/Kconfig": _read("Kconfig"), f"{DRIVER}/Makefile": makefile()}


def makefile() -> str:
    """Returns src/Kbuild as a Makefile of the tree."""
    text = _read("src/Kbuild")
    for pattern, new in (
        # Why the file is where it is.
        (r"# The objects of the module; (?:.*\n#)+ .*\n", "# Named ring buffers for user space.\n"),
        # The header is where the kernel's are.
        (r"# A tracepoint .*\n(?=ringdev-)", ""),
        (r"CFLAGS_src/staging/trace\.o := .*\n", ""),
        (r"(?<=: )\$\(src\)/include(?=/uapi)", "$(srctree)/include"),
        # The lab's fuzzer builds the driver out of tree.
        (r"# Coverage for the fuzzer.*\nifeq.*\nKCOV.*\nendif\n\n", ""),
        # There is one kernel, and its configuration is known to rustc.
        (r"# What the kernel crate of 7\.2 .*\n", ""),
        (r"rustflags-\$\(if .*\n", ""),
        (r"\nrustflags-\$\(CONFIG_.*\n", ""),
        # So is the folder.
        (r"\$\(obj\)/src(?=[/ ])", "$(obj)"),
        (r"(?<= )src/", ""),
        (r"^ringdev-y :=", "obj-$(CONFIG_RINGDEV) += ringdev.o\nringdev-y :="),
    ):
        text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
        if not count:
            raise LabError(f"src/Kbuild has nothing like {pattern!r} to make a Makefile of")
    return text


def _of_tree(text: str) -> str:
    """Returns a source as it is in the tree: for its kernel alone, and with its paths there."""
    return re.sub(r"(?<![\w/])src/(?=\w)", f"{DRIVER}/", without_old(text))


def without_old(text: str) -> str:
    """Leaves out what is for 7.2, and the conditions of the rest."""
    kept: list[str] = []
    lines = iter(text.splitlines(keepends=True))
    for line in lines:
        if line == "#[cfg(not(linux_7_2))]\n":
            continue
        if line != "#[cfg(linux_7_2)]\n":
            kept.append(line)
            continue
        # An item of the file's own level ends where its brace does.
        while next(lines) != "}\n":
            pass
        next(lines, None)
    return "".join(kept)


def _entry(text: str) -> str:
    """Returns an entry of the ABI without the first line, which the tree's have not."""
    return text.removeprefix(".. SPDX-License-Identifier: GPL-2.0\n\n")


def _document() -> str:
    """Returns the description of the ABI, which in the tree has no others beside it."""
    text = _read("Documentation/user-api.rst")
    return (
        "".join(
            f"{paragraph}\n\n"
            for paragraph in text.rstrip().split("\n\n")
            if not re.search(r"``[\w-]+\.rst``", paragraph)
        ).rstrip("\n")
        + "\n"
    )


def _read(name: str) -> str:
    return (paths.ROOT / name).read_text()


def _put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def _maintained(*patterns: str) -> Edit:
    """Adds files to the driver's section of MAINTAINERS, which is made if it is not there."""

    def edit(text: str) -> str:
        head, mark, rest = text.partition("Maintainers List\n")
        sections = rest.split("\n\n")
        number = next(
            (at for at, section in enumerate(sections) if section.startswith(TITLE + "\n")), None
        )
        if number is None:
            new = (
                f"{TITLE}\nM:\t{_maintainer()}\nL:\trust-for-linux@vger.kernel.org\nS:\tMaintained"
            )
            titles = [section.lstrip("\n").partition("\n")[0] for section in sections]
            # The list begins behind its explanation.
            begin = next(at for at, title in enumerate(titles) if title.startswith("3C59X"))
            number = bisect(titles, TITLE, begin, key=str.upper)
            sections.insert(number, new)
        lines = sections[number].split("\n")
        kept = [line for line in lines if not line.startswith("F:")]
        files = [line.removeprefix("F:\t") for line in lines if line.startswith("F:")]
        # A folder stands for all that is in it.
        files = [file for file in files if not any(file.startswith(p) for p in patterns)]
        listed = [f"F:\t{file}" for file in sorted([*files, *patterns])]
        sections[number] = "\n".join([*kept, *listed])
        return head + mark + "\n\n".join(sections)

    return edit


def _maintainer() -> str:
    """Returns who maintains the driver, as ``Name <address>``."""
    [owner] = re.findall(r"^Maintainer: (.+)$", _read("debian/control"), re.MULTILINE)
    return str(owner)


def _number(text: str) -> str:
    """Sets numbers of ioctls aside that are those of samples so far."""
    old = "'|'   80-9F  samples/ "
    if old not in text:
        raise HostNotFit("the tree's ioctl-number.rst has no numbers for samples to take ours from")
    new = "'|'   90-9F  linux/ringdev.h\n"
    line = re.search(rf"^{re.escape(old)}.*\n", text, re.MULTILINE)
    return text.replace(line[0], line[0].replace("80-9F", "80-8F") + new) if line else text


def _before_end(line: str) -> Edit:
    return lambda text: text.replace("endmenu\n", f"{line}\nendmenu\n")


def _after_end(line: str) -> Edit:
    return lambda text: f"{text}{line}\n"


def _in_list(line: str) -> Edit:
    """Adds a line among those that are like it, in their order."""
    like = re.match(r"\s*(?:\w+ \+= )?", line)
    prefix = like[0] if like else ""

    def edit(text: str) -> str:
        lines = text.split("\n")
        listed = [
            at
            for at, other in enumerate(lines)
            if other.startswith(prefix) and re.fullmatch(r"[\w-]+", other.removeprefix(prefix))
        ]
        after = [at for at in listed if lines[at] < line]
        at = after[-1] + 1 if after else listed[0]
        return "\n".join([*lines[:at], line, *lines[at:]])

    return edit


def _commit(work: Path, message: str) -> None:
    _git(work, "add", "--all")
    name, _, address = _maintainer().rstrip(">").partition(" <")
    identity = ("-c", f"user.name={name}", "-c", f"user.email={address}")
    _git(work, *identity, "commit", "--quiet", f"--message={message}")


def _git(work: Path, *arguments: str) -> None:
    command = ["git", "-C", str(work), *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise LabError(f"{shlex.join(command)}: {run.stderr.strip()}")
