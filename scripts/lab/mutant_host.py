# SPDX-License-Identifier: GPL-2.0
"""Runs named tests in a copy of the tree, on the host or by the copy's own lab."""

import os
import re
import signal
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import cargo, pytools
from lab.errors import Exit, LabError
from lab.ktap import Result, Status
from lab.mutant_tree import Tree
from lab.toolchain import Toolchain

# The suites, as mutants name them.
CARGO: Mapping[str, tuple[str, ...]] = {
    "tools": ("ringdev", "ringctl"),
    "bench": ("ringdev-bench",),
    "user-host": ("ringdev-tests",),
    "core": ("ring-core-tests",),
    "fuzz": ("ringdev-fuzz",),
}
LAB = "lab"
LINT = "lint"
BUILD = "build"
# What the copy's own lab runs, by the verb and the lane.
MAKE = ("test", "test/plain", "test/debug", "selftest/plain", "selftest/debug")
SUITES = (*CARGO, LAB, LINT, BUILD, *MAKE)

# Seconds that the tests of one mutant may take on the host, where most take one or two, and those
# that build and boot.
QUICK = 180
SLOW = 1200
# How a command that took longer is said to have ended.
TIME_IS_UP = -signal.SIGKILL

# What builds in a copy, by the name that a mutant which must not build gives it.
_BUILDS = {
    "tools": ("ringdev", "ringctl"),
    "samples": ("flight-recorder", "log-collector"),
    "user": ("ringdev-tests",),
}


_NOT_FOUND = re.compile(
    r"^ERROR: (?:file or directory )?not found: (?:.*/)?(tests/lab/.*)$", re.MULTILINE
)


@dataclass(frozen=True)
class Came:
    """How a test came out in a copy."""

    result: Result
    # What ended it was not the test: a time limit, or the end of the guest that it ran in.
    ended: bool = False

    @property
    def failed(self) -> bool:
        """Tells whether it failed."""
        return self.result.status is Status.FAILED


class DoesNotBuild(LabError):
    """A copy does not build. The message is what the compiler says."""


def run(suite: str, tree: Tree, tests: Sequence[str], tc: Toolchain) -> dict[str, Came]:
    """Runs tests of a suite; a test that is not in the result did not run."""
    if suite == LAB:
        return _pytest(tree, tests, tc)
    if suite == LINT:
        return _lint(tree, tests)
    if suite == BUILD:
        return {test: _builds(tree, test, tc) for test in tests}
    if suite in MAKE:
        return _make(tree, tests, *suite.split("/"))
    return _cargo(tree, suite, tests, tc)


def _pytest(tree: Tree, tests: Sequence[str], tc: Toolchain) -> dict[str, Came]:
    """Runs tests of the lab. They get an empty home: a mutant may remove or fill its cache."""
    python = pytools.python(tc)
    ids = {test: f"tests/lab/{test.replace('::', '.py::', 1)}" for test in tests}
    with tempfile.TemporaryDirectory(prefix="ringdev-mutant-") as scratch:
        report = Path(scratch) / "report.xml"
        env = {**tc.env(), "HOME": scratch, "XDG_CACHE_HOME": f"{scratch}/cache"}
        words = [str(python), "-m", "pytest", "-p", "no:cacheprovider", f"--junitxml={report}"]
        # Of all mutants' tests at once most take less than a second.
        seconds = QUICK + 5 * len(ids)
        output, code = _run([*words, *ids.values()], tree.root, env, seconds)
        found = pytools.read_junit(report.read_text()) if report.exists() else []
    # It runs none at all if one of them does not exist.
    if unknown := set(_NOT_FOUND.findall(output)):
        known = [test for test, its_id in ids.items() if its_id not in unknown]
        return _pytest(tree, known, tc) if 0 < len(known) < len(ids) else {}
    if not found:
        # A file that cannot be imported fails before it has tests.
        reason = f"it took longer than {seconds} seconds" if code == TIME_IS_UP else "no test ran"
        said = (reason, *output.splitlines()[-30:])
        return {test: Came(Result(test, Status.FAILED, "", said), ended=True) for test in tests}
    return _named(found, tests)


def _named(found: Sequence[Result], tests: Sequence[str]) -> dict[str, Came]:
    """Puts results by the names of tests. A name without parameters stands for all of them."""
    came: dict[str, Came] = {}
    for test in tests:
        mine = [one for one in found if one.name == test or one.name.startswith(f"{test}[")]
        if mine:
            worst = [one for one in mine if one.status is not Status.PASSED]
            came[test] = Came((worst or mine)[0])
            if failed := [one for one in mine if one.status is Status.FAILED]:
                came[test] = Came(failed[0])
    return came


def _lint(tree: Tree, tests: Sequence[str]) -> dict[str, Came]:
    came = {}
    for test in tests:
        output, code = _run(
            [str(tree.root / "scripts/lab.sh"), "lint"],
            tree.root,
            {**os.environ, "ONLY": test, "NO_INSTALL": "1"},
            SLOW,
        )
        if match := re.search(rf"^(ok|!!) {re.escape(test)}$", output, re.MULTILINE):
            status = Status.PASSED if match[1] == "ok" else Status.FAILED
            came[test] = Came(
                Result(test, status, "", tuple(output.splitlines())), code == TIME_IS_UP
            )
    return came


def _make(tree: Tree, tests: Sequence[str], verb: str, lane: str = "") -> dict[str, Came]:
    """Runs ``make test`` or ``make selftest`` in the copy, for what takes a guest of its own."""
    env = {**os.environ, "ONLY": "|".join(tests), "LANE": lane, "NO_INSTALL": "1"}
    output, code = _run([str(tree.root / "scripts/lab.sh"), verb], tree.root, env, SLOW)
    match = re.search(r"^lab: results: (.+/junit\.xml)$", output, re.MULTILINE)
    if not match:
        if code == Exit.BUILD_FAILED:
            raise DoesNotBuild(output)
        return {}
    return _named(_read_junit(Path(match[1]).read_text()), tests)


def _read_junit(text: str) -> list[Result]:
    """Reads what ``make test`` has written."""
    found = []
    for case in ET.fromstring(text).iter("testcase"):
        name, failure = case.get("name", ""), case.find("failure")
        if failure is not None:
            said = tuple((failure.text or "").splitlines())
            found.append(Result(name, Status.FAILED, "", said))
        elif (skipped := case.find("skipped")) is not None:
            found.append(Result(name, Status.SKIPPED, skipped.get("message", "")))
        else:
            found.append(Result(name, Status.PASSED))
    return found


def _builds(tree: Tree, what: str, tc: Toolchain) -> Came:
    """Has cargo check what must not build; fails if it does not."""
    packages = [f"--package={name}" for name in _BUILDS[what]]
    code, output = _run_cargo(tree, ["check", "--all-features", *packages], tc)
    status = Status.FAILED if code else Status.PASSED
    return Came(Result(what, status, "", tuple(output.splitlines())))


def _cargo(tree: Tree, suite: str, tests: Sequence[str], tc: Toolchain) -> dict[str, Came]:
    packages = [f"--package={name}" for name in CARGO[suite]]
    features = ["--all-features"] if suite == "tools" else []
    arguments = ["test", "--no-run", "--message-format=json", *features, *packages]
    code, output = _run_cargo(tree, arguments, tc)
    if code:
        raise DoesNotBuild(output)
    found: list[Result] = []
    late = False
    for program in cargo.built_tests(output):
        listing = subprocess.run(
            [program, "--list", "--format=terse"], capture_output=True, text=True, check=True
        ).stdout
        has = {line.removesuffix(": test") for line in listing.splitlines()}
        if mine := sorted(has & set(tests)):
            # As cargo runs it, in the folder of its package.
            folder = _package_folder(tree.root, program)
            env = {**tc.env(), "RUSTC_BOOTSTRAP": "1", "CARGO_MANIFEST_DIR": str(folder)}
            command = [str(program), *cargo.LIBTEST, "--exact", *mine]
            said, code = _run(command, folder, env, QUICK)
            late |= code == TIME_IS_UP
            found += cargo.read_libtest(program.name, said, "", code)
    return {name: Came(came.result, late) for name, came in _named(found, tests).items()}


def _package_folder(root: Path, program: Path) -> Path:
    """Returns the folder of the package that a test program was built from."""
    name = re.sub(r"-[0-9a-f]+$", "", program.name)
    folders = {"ringctl": "tools/ringctl", "cli": "tools/ringctl", "ringdev": "tools/ringdev",
               "ring_core_tests": "tests/core", "ringdev_tests": "tests/user",
               "ringdev_bench": "tests/bench", "ringdev_fuzz": "tests/fuzz"}  # fmt: skip
    return root / folders.get(name, ".")


def _run_cargo(tree: Tree, arguments: Sequence[str], tc: Toolchain) -> tuple[int, str]:
    verb, *rest = arguments
    target = tree.home / "target"
    run = subprocess.run(
        [str(tc.cargo), verb, "--locked", "--target-dir", str(target), *rest],
        cwd=tree.root,
        env={**tc.env(), "RUSTC": str(tc.rustc)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return run.returncode, run.stdout + (run.stderr if run.returncode else "")


def _run(
    words: Sequence[str], folder: Path, env: Mapping[str, str], seconds: float
) -> tuple[str, int]:
    """Runs a command to its end, or to that of its time; returns what it said, and its code."""
    with subprocess.Popen(
        words,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    ) as process:
        try:
            return process.communicate(timeout=seconds)[0], process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return process.communicate()[0], TIME_IS_UP
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
