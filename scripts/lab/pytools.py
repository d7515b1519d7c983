# SPDX-License-Identifier: GPL-2.0
"""Keeps the Python tools (ruff, mypy, pytest) in a virtual environment in the cache."""

import ast
import contextlib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from lab import command, environment, paths
from lab.command import tail
from lab.errors import HostNotFit
from lab.ktap import Result, Status
from lab.report import say
from lab.results import matches
from lab.toolchain import Toolchain

# What the lab's own tests are called in a summary.
SUITE = "lab"

# The tests are quick; if they take longer than this, one of them hangs.
SECONDS = 300

REQUIREMENTS = paths.ROOT / "scripts/requirements.txt"


def python(tc: Toolchain, requirements: Path = REQUIREMENTS) -> Path:
    """Returns a Python that has what the file asks for; makes it if need be."""
    made_from = requirements.read_bytes() + f"{sys.version} {sys.executable}".encode()
    home = paths.cache() / "tools" / f"python-{hashlib.sha256(made_from).hexdigest()[:12]}"
    stamp = home / "complete"
    with paths.locked(home.with_suffix(".lock"), "the Python tools") as lock:
        if not stamp.exists():
            say(f"fetching the Python tools of {requirements.name} into the cache, once")
            # Virtual environments know their own path, so it is made in place.
            shutil.rmtree(home, ignore_errors=True)
            log = paths.cache() / "logs/python-tools.log"
            log.parent.mkdir(exist_ok=True)
            own = home / "bin/python"
            with log.open("w") as output:
                for step in (
                    [str(tc.tool("venv")), "-m", "venv", str(home)],
                    [str(own), "-m", "pip", "install", "--quiet", "--requirement",
                     str(requirements)],
                ):  # fmt: skip
                    env = pip_env(own, tc.env()) if own.exists() else tc.env()
                    if command.run(step, env=env, log=output, lock=lock):
                        raise HostNotFit(f"the Python tools cannot be had:\n{tail(log)}")
            stamp.touch()
    return home / "bin/python"


def pip_env(python: Path, env: dict[str, str]) -> dict[str, str]:
    """Returns an environment in which pip reads none of its files.

    What these say of mirrors, proxies and certificates is in variables; it is all that counts.
    """
    listing = [str(python), "-m", "pip", "config", "list"]
    run = subprocess.run(listing, env=env, capture_output=True, text=True, check=False)
    found: dict[str, str] = {}
    # The second section overrides the first.
    for section in ("global", "install"):
        for name, value in re.findall(rf"^{section}\.([\w-]+)=(.*)$", run.stdout, re.MULTILINE):
            variable = f"PIP_{name.replace('-', '_').upper()}"
            if environment.KEPT.fullmatch(variable):
                found[variable] = " ".join(ast.literal_eval(value).split())
    return {**found, **env, "PIP_CONFIG_FILE": os.devnull}


def tests(tc: Toolchain, only: str) -> tuple[str, list[Result]]:
    """Runs the lab's own tests; returns the suite's name and its tests."""
    interpreter = python(tc)
    selected = _selected(interpreter, tc, only) if only else []
    if only and not selected:
        return SUITE, []
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code, output = _pytest(interpreter, tc, f"--junitxml={report}", *selected)
        said = tuple(output.splitlines())
        found = read_junit(report.read_text()) if report.exists() else []
    if code and not any(result.status is Status.FAILED for result in found):
        why = f"pytest ended with exit code {code} although no test failed"
        found.append(Result("pytest", Status.FAILED, diagnostics=(why, *said)))
    elif not found:
        found.append(Result("pytest", Status.FAILED, diagnostics=("it ran no tests", *said)))
    return SUITE, found


def read_junit(text: str) -> list[Result]:
    """Reads the results of pytest's JUnit XML."""
    found: list[Result] = []
    for case in ET.fromstring(text).iter("testcase"):
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name', '')}"
        trouble = [*case.iter("failure"), *case.iter("error")]
        skipped = next(case.iter("skipped"), None)
        if trouble:
            said = "\n".join(element.text or "" for element in trouble)
            found.append(Result(name, Status.FAILED, diagnostics=tuple(said.splitlines())))
        elif skipped is not None:
            found.append(Result(name, Status.SKIPPED, reason=skipped.get("message", "")))
        else:
            found.append(Result(name, Status.PASSED))
    return found


def _selected(interpreter: Path, tc: Toolchain, only: str) -> list[str]:
    """Returns the ids of the tests that ``only`` matches."""
    _, output = _pytest(interpreter, tc, "--collect-only", "-q")
    ids = [line for line in output.splitlines() if "::" in line]
    return [test for test in ids if matches(_name(test), only)]


def _name(test: str) -> str:
    """Returns what a summary calls the test of this id; its parameters may have any character."""
    file, _, rest = test.partition("::")
    return f"{Path(file).stem}::{rest}"


def _pytest(interpreter: Path, tc: Toolchain, *arguments: str) -> tuple[int, str]:
    """Runs pytest, and returns its exit code and what it said; ends it if it hangs."""
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = command.run(
                [str(interpreter), "-m", "pytest", "-p", "no:cacheprovider", *arguments],
                cwd=paths.ROOT,
                env=tc.env(),
                log=log,
                timeout=SECONDS,
            )
            log.seek(0)
            return code, log.read()
        log.seek(0)
        return 1, f"{log.read()}\nended after {SECONDS} seconds"
