# SPDX-License-Identifier: GPL-2.0
"""``scripts/lab.sh try FOLDER``: loads a folder's module in a guest, and unloads it.

The module is built for the plain lane's kernel, or KDIR, with KUNIT=1; the KUnit suites that are in
its Rust files have to run and pass. What it has written to the kernel's log is shown.
"""

import argparse
import re
from pathlib import Path

from lab import kunit, lane, module, suite
from lab.errors import UsageError
from lab.lane import Lane
from lab.report import say
from lab.results import Results
from lab.suite import SuiteRun
from lab.task import Task

# What the kernel says of a module in its name.
OF_THE_KERNEL = ("loading out-of-tree module", "module verification failed")


def main(argv: list[str]) -> int:
    """The verb ``try``."""
    parser = argparse.ArgumentParser(prog="try", description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args(argv).folder.resolve()
    if not (folder / "Kbuild").is_file():
        raise UsageError(f"{folder} has no module: there is no file Kbuild")
    where = lane.prepare("plain")
    name, run = load(where, folder)
    results = Results()
    results.add(f"{name} ({where.name})", run.all_results())
    for line in said(name, (run.log / "klog").read_text(errors="replace")):
        print(f"    {name}: {line}")
    say(f"{run.verdict.sentence}; logs: {run.log}")
    return run.code


def load(where: Lane, folder: Path) -> tuple[str, SuiteRun]:
    """Builds the module of a folder and loads it; returns its name, and what came of it."""
    built = module.build_external(folder, where.kernel, where.tools, flags=("KUNIT=1",))
    files = sorted(built.glob("*.ko"))
    if len(files) != 1:
        raise UsageError(f"{folder} has to have one module, and has {len(files)}")
    cases = kunit.cases(folder)
    task = Task(busybox=where.tools.tool("busybox"), module=files[0], kunit=bool(cases))
    # As the kernel calls it.
    name = files[0].stem.replace("-", "_")
    return name, suite.run(where, task, cases, where.limits(None))


def said(name: str, log: str) -> list[str]:
    """Returns what a module has written to the kernel's log, without its name."""
    lines = re.findall(rf"^\[[^]]*\] {re.escape(name)}: (.*)$", log, re.MULTILINE)
    return [line for line in lines if not line.startswith(OF_THE_KERNEL)]
