# SPDX-License-Identifier: GPL-2.0
"""Mistakes of a driver that the compiler has to refuse: tests/compile_fail.

Each file there is a mistake in the module's own terms, and beside it what is right. It says of
which file of the module it becomes a child, and with which errors it is refused::

    //@ in: src/endpoint.rs
    //@ error: E0505: cannot move out of `endpoint` because it is borrowed

An error begins so; ``*`` stands for anything, as compilers write paths out or do not. What the
compiler has nothing against has ``none``, to be told when that changes.

Without ``--cfg mistake`` all of them compile, or the mistake might be refused for another reason.

Each is made in the driver's twin in C as well (tests/peers/twin), where it compiles. The file says
which user test meets it there, and what finds it; mistakes.py sees to that::

    //@ in C, run: info_remembers_what_readers_have_read_that_are_gone
    //@ in C, found: BUG: KASAN: slab-use-after-free
"""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from lab import module, paths
from lab.errors import LabError
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.module import Compiler
from lab.results import matches

FOLDER = paths.ROOT / "tests/compile_fail"
CONTROL = "what_is_right_compiles"
IN_C = "all_of_them_compile_in_c"

# What is written where the compiler has no error.
NO_ERROR = "none"

_DIRECTIVE = re.compile(r"^//@ (in|error|in C, run|in C, found): (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Mistake:
    """A file of the folder."""

    file: Path
    # The file of the module that it is a child of.
    parent: Path
    # CODE: MESSAGE, each a pattern of how an error begins.
    errors: tuple[str, ...]
    # The user test that meets it in the twin, and what finds it there.
    test: str
    found: str

    @property
    def name(self) -> str:
        """How the test is called."""
        return self.file.stem


def tests(where: Lane, only: str) -> list[Result]:
    """Runs those whose name ``only`` matches, and the controls."""
    everything = read(FOLDER)
    mistakes = [mistake for mistake in everything if matches(mistake.name, only)]
    if not mistakes and not any(matches(control, only) for control in (CONTROL, IN_C)):
        return []
    compiler = module.compiler(where.kernel, where.tools)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        refused = pool.map(lambda mistake: _is_refused(compiler, mistake), mistakes)
        return [_control(compiler, everything), *refused, _in_c(where, everything)]


def read(folder: Path) -> list[Mistake]:
    """Reads the folder."""
    return [_mistake(file) for file in sorted(folder.glob("*.rs"))]


def _mistake(file: Path) -> Mistake:
    said: dict[str, list[str]] = {"in": [], "error": [], "in C, run": [], "in C, found": []}
    for key, value in _DIRECTIVE.findall(file.read_text()):
        said[key].append(value.strip())
    errors = said.pop("error")
    if not errors or any(len(values) != 1 for values in said.values()):
        raise LabError(f"{file.name} has to say {', '.join(said)} once, and each error")
    [parent], [test], [found] = said.values()
    return Mistake(file, Path(parent), () if errors == [NO_ERROR] else tuple(errors), test, found)


def _control(compiler: Compiler, mistakes: Sequence[Mistake]) -> Result:
    errors = list(_errors(compiler, mistakes, ()))
    status = Status.FAILED if errors else Status.PASSED
    return Result(CONTROL, status, diagnostics=tuple(text for _, text in errors))


def _in_c(where: Lane, mistakes: Sequence[Mistake]) -> Result:
    names = [mistake.name for mistake in mistakes]
    try:
        _, warnings = module.build_mistaken(names, where.kernel, where.tools)
    except LabError as error:
        return Result(IN_C, Status.FAILED, diagnostics=tuple(str(error).splitlines()))
    return Result(IN_C, Status.FAILED if warnings else Status.PASSED, diagnostics=tuple(warnings))


def _is_refused(compiler: Compiler, mistake: Mistake) -> Result:
    errors = list(_errors(compiler, [mistake], ("--cfg", "mistake")))
    wrong = list(compare(mistake, errors))
    status = Status.FAILED if wrong else Status.PASSED
    return Result(mistake.name, status, diagnostics=tuple(wrong))


def compare(mistake: Mistake, errors: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yields what is not as the mistake says: each error has a file, and a text."""
    if mistake.errors and not errors:
        yield "the compiler has nothing against it"
    for file, text in errors:
        if Path(file).name != mistake.file.name:
            yield f"refused for something else, in {file}: {text}"
        elif not any(_begins(text, expected) for expected in mistake.errors):
            yield f"refused for something else: {text}"
    for expected in mistake.errors:
        if errors and not any(_begins(text, expected) for _, text in errors):
            yield f"not refused as expected: {expected}"


def _begins(text: str, pattern: str) -> bool:
    return fnmatchcase(text, f"{pattern}*")


def _errors(
    compiler: Compiler, mistakes: Sequence[Mistake], flags: Sequence[str]
) -> Iterator[tuple[str, str]]:
    """Compiles the module with some mistakes in it, and yields the errors: file, CODE: MESSAGE."""
    with tempfile.TemporaryDirectory(prefix="ringdev-compile-fail-") as scratch:
        module.link_sources(paths.ROOT / "src", Path(scratch) / "src")
        for mistake in mistakes:
            parent = Path(scratch) / mistake.parent
            text = parent.read_text()
            # A file of its own, in place of the link to the one of the module.
            parent.unlink()
            parent.write_text(f'{text}\n#[path = "{mistake.file}"]\nmod {mistake.name};\n')
        run = subprocess.run(
            [
                *compiler.words,
                *("-Dunused_must_use", "-Adead_code", "--error-format=json", *flags),
                *(f"--emit=metadata={scratch}/metadata", f"{scratch}/src/ringdev_main.rs"),
            ],
            cwd=compiler.folder,
            env=compiler.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        found = list(errors_of(run.stderr))
    if (run.returncode != 0) != bool(found):
        raise LabError(f"rustc ended with {run.returncode}, and said: {run.stderr[-2000:]}")
    yield from found


def errors_of(said: str) -> Iterator[tuple[str, str]]:
    """Reads rustc's JSON."""
    for line in said.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue
        # The last one, which counts the others, is nowhere.
        if message.get("level") != "error" or not message["spans"]:
            continue
        primary = next(span for span in message["spans"] if span["is_primary"])
        code = (message["code"] or {}).get("code", "")
        yield primary["file_name"], f"{code}: {message['message']}"
