# SPDX-License-Identifier: GPL-2.0
"""``make new NAME=foo [DIR=DIR]``: a module of one's own, which builds, loads and has a test.

It is a copy of samples/module in a folder NAME of DIR, which is the folder beside this tree if it
is not given.
"""

import argparse
import os
import re
import shutil
from pathlib import Path

from lab import paths, source, try_module
from lab.errors import UsageError
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.report import say
from lab.results import matches

TEMPLATE = paths.ROOT / "samples/module"
FILES = (".gitignore", "Kbuild", "Makefile", "hello.rs")
LAB = "$(CURDIR)/../../scripts/lab.sh"

_NAME = re.compile(r"[a-z][a-z0-9_]{0,50}")
# What Rust, or the kernel's build of it, calls otherwise; src/Kbuild and rust/Makefile have these.
TAKEN = {
    "as", "async", "await", "box", "break", "const", "continue", "crate", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self",
    "static", "struct", "super", "trait", "true", "try", "type", "typeof", "unsafe", "unsized",
    "use", "virtual", "where", "while", "yield", "abstract", "become", "alloc", "bindings",
    "build_error", "compiler_builtins", "core", "ffi", "kernel", "macros", "pin_init",
    "proc_macro", "std", "uapi",
}  # fmt: skip

# What the copy that is tested is called, and what it says.
TESTED = "made_by_make_new"
SAYS = ["loaded with limit=16", "unloaded with limit=16"]
TEST = "new_module_builds_loads_and_unloads"

# A template is to be read, and so knows of one kernel crate: that of the first series.
SERIES = next(iter(source.SERIES))


def main(argv: list[str]) -> int:
    """The verb ``new``."""
    parser = argparse.ArgumentParser(prog="make new", description=__doc__)
    parser.add_argument("--name", default=os.environ.get("NAME", ""))
    parser.add_argument("--dir", default=os.environ.get("DIR") or str(paths.ROOT.parent))
    options = parser.parse_args(argv)
    if source.series().name != SERIES:
        raise UsageError(f"the module that `make new` makes is for Linux {SERIES}")
    folder = make(options.name, Path(options.dir).expanduser().resolve())
    say(f"made {folder}; loading it in a guest, as `make test` there does")
    return try_module.main([str(folder)])


def make(name: str, parent: Path) -> Path:
    """Makes a module of this name in a new folder of ``parent``, and returns the folder."""
    if not name:
        raise UsageError("say what the module is to be called: make new NAME=foo")
    if not _NAME.fullmatch(name) or name in TAKEN:
        raise UsageError(
            f"NAME={name}: a module is called by a letter, then at most 50 more letters, digits"
            " and _, all in lower case, and not by a word of Rust's"
        )
    if not parent.is_dir():
        raise UsageError(f"DIR={parent}: there is no such folder")
    if parent.is_relative_to(paths.ROOT):
        raise UsageError(f"DIR={parent}: choose a folder outside of {paths.ROOT}")
    folder = parent / name
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise UsageError(
            f"{folder} exists already: choose another NAME, or another folder with DIR="
        ) from error
    for file in FILES:
        text = (TEMPLATE / file).read_text()
        # The copy is no longer where the lab is.
        text = text.replace(LAB, str(paths.ROOT / "scripts/lab.sh"))
        text = text.replace("HELLO", name.upper()).replace("hello", name)
        (folder / file.replace("hello", name)).write_text(text)
    return folder


def tests(where: Lane, only: str) -> list[Result]:
    """Makes a module, and looks how it fares in a guest; its KUnit cases have results of theirs."""
    if not matches(TEST, only):
        return []
    if not where.kernel.version.startswith(f"{SERIES}."):
        return [Result(TEST, Status.SKIPPED, f"the module is for Linux {SERIES}")]
    # Always the same folder, as what is built of it stays in the cache.
    parent = paths.cache() / "new" / paths.clone_id()
    shutil.rmtree(parent, ignore_errors=True)
    parent.mkdir(parents=True)
    name, run = try_module.load(where, make(TESTED, parent))
    said = try_module.said(name, (run.log / "klog").read_text(errors="replace"))
    status = Status.PASSED if said == SAYS else Status.FAILED
    wrong = (f"it said {said}, not {SAYS}", f"logs: {run.log}")
    return [*run.all_results(), Result(TEST, status, "", () if said == SAYS else wrong)]
