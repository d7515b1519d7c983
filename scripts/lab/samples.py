# SPDX-License-Identifier: GPL-2.0
"""Builds what is in samples/, and tests it in a guest, with ringctl and the client library.

tests/samples and tests/tools have a script for each test.
"""

import importlib.util
import py_compile
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lab import cargo, command, paths, suite
from lab.command import tail
from lab.errors import LabError
from lab.lane import Lane
from lab.results import matches
from lab.suite import SuiteRun
from lab.task import Task
from lab.toolchain import Toolchain

FOLDER = paths.ROOT / "samples"
SCRIPT = FOLDER / "python/ring.py"
TESTS = paths.ROOT / "tests/samples"
# Those of ringctl and of the client library, which run in the same guest and in the same way.
TOOLS_TESTS = paths.ROOT / "tests/tools"
# What runs the scripts in the guest, and what they have in common.
SHARED = ("run", "lib.sh")

# Programs of the workspace that the tests call.
PROGRAMS = ("flight-recorder", "log-collector", "ringctl", "ringdev-client-tests")

# The guest has no Python: of the one that runs the lab it gets what the script needs. It is called
# so that it looks at nothing but its own library.
INTERPRETER = Path(sys.executable).resolve()
ALONE = ("-I", "-S", "-B")
LIST_MODULES = """
import asyncio, contextlib, io, runpy, sys
sys.argv = [sys.argv[1], "--help"]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    runpy.run_path(sys.argv[0], run_name="__main__")
asyncio.run(asyncio.sleep(0))
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
"""
# A library, as ldd tells where the loader looks for it; and the loader itself.
_LIBRARY = re.compile(r"^\t(?:\S+ => )?(/\S+) \(0x", re.MULTILINE)

# Seconds that all tests together may take under TCG.
PATIENCE = 240.0


def names(only: str = "") -> list[str]:
    """Returns the tests, or those of them whose name ``only`` matches."""
    return [name for name in sorted(_scripts()) if name not in SHARED and matches(name, only)]


def _scripts() -> dict[str, Path]:
    """Returns the scripts of the tests, and what they share, by name."""
    return {path.name: path for folder in (TESTS, TOOLS_TESTS) for path in folder.iterdir()}


def run(where: Lane, only: str) -> SuiteRun:
    """Runs the tests whose name ``only`` matches, in one guest."""
    tests = names(only)
    scripts = _scripts()
    task = Task(
        busybox=where.tools.tool("busybox"),
        module=where.module(kunit=False),
        command=f"PYTHON='{shlex.join([str(INTERPRETER), *ALONE])}' "
        + shlex.join(["sh", "/lab/samples/run", *tests]),
        programs={
            **cargo.guest_programs(where.tools, *PROGRAMS),
            **c_programs(where.tools),
            **{script.name: script for script in (FOLDER / "shell").iterdir()},
        },
        files={
            **{f"/lab/samples/{name}": scripts[name] for name in (*SHARED, *tests)},
            "/lab/samples/ring.py": SCRIPT,
            **python_files(SCRIPT),
        },
    )
    return suite.run(where, task, tests, where.limits(where.scaled(PATIENCE)))


def c_programs(tc: Toolchain) -> dict[str, Path]:
    """Builds samples/c for a guest, and returns the programs by name."""
    sources = sorted((FOLDER / "c").glob("*.c"))
    target = cargo.target_dir("samples-c")
    target.mkdir(parents=True, exist_ok=True)
    log = target / "make.log"
    make = [str(tc.tool("make")), "-f", str(FOLDER / "c/Makefile")]
    flags = ["CFLAGS=-O2 -Werror", "LDFLAGS=-static"]
    with log.open("w") as output:
        if command.run([*make, *flags], cwd=target, env=tc.env(), log=output):
            raise LabError(f"samples/c does not build:\n{tail(log)}")
    return {source.stem: target / source.stem for source in sources}


def python_files(script: Path) -> dict[str, Path]:
    """Returns what of this Python a guest needs for a script, by the paths that it has there.

    These are those of the host: an interpreter looks for its library around itself.
    """
    modules = _run(str(INTERPRETER), *ALONE, "-c", LIST_MODULES, str(script)).splitlines()
    programs = [str(INTERPRETER), *(name for name in modules if name.endswith(".so"))]
    libraries = _LIBRARY.findall(_run("ldd", *programs))
    # What is frozen into the interpreter names no file, or one that nobody has to have.
    names = {str(INTERPRETER), *modules, *libraries} - {str(script)}
    files = {name: Path(name) for name in sorted(names) if Path(name).is_file()}
    return {**files, **_compiled([name for name in files if name.endswith(".py")])}


def _compiled(modules: Sequence[str]) -> dict[str, Path]:
    """Compiles modules of Python, as a guest would take half a minute to do it."""
    cache = cargo.target_dir("samples-python")
    cache.mkdir(parents=True, exist_ok=True)
    files = {}
    for number, name in enumerate(modules):
        place = importlib.util.cache_from_source(name)
        files[place] = cache / f"{number}.pyc"
        # Not to be compared with the time of the source, which a guest's files do not have.
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        py_compile.compile(name, str(files[place]), doraise=True, invalidation_mode=mode)
    return files


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
