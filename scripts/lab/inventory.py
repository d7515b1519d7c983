# SPDX-License-Identifier: GPL-2.0
"""Lists the tests that the sources have, by suite, and reports those without a result.

``make test`` is green only if every suite that is due has shown results, and every test of the
sources is among them. What is due is read from the sources by other means than those by which a
suite finds its tests: a list that has become empty cannot vouch for itself.
"""

import functools
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import lane, paths
from lab.ktap import Result, Status

# How the missing tests are called in a summary.
SUITE = "inventory"

# A Rust file with tests, and what cargo and KUnit call a test in the end.
_ATTRIBUTE = re.compile(r"^\s*#\[(?:\w+::)*test\b", re.MULTILINE)
_FUNCTION = re.compile(
    r"^\s*#\[(?:\w+::)*test\b[^\n]*\]\s*(?:(?:#\[[^\n]*\]|//[^\n]*)\s*)*"
    r"(?:async |unsafe |pub )*fn (\w+)",
    re.MULTILINE,
)
# What rustdoc takes for an example: a block of code without the name of another language.
_FENCE = re.compile(r"^\s*//[/!] ?```([\w,]*)\s*$", re.MULTILINE)
_NO_EXAMPLE = re.compile(r"text|ignore|sh|console|c|python|json|toml")
# The tests of tests/user: a function of its own, or a rule for several kinds of rings.
_USER_TEST = re.compile(r"\btest!\((\w+)\)")
_USER_RULES = re.compile(r"= rules! \{\n(.*?)^\};", re.MULTILINE | re.DOTALL)
_USER_RULE = re.compile(r"^    (\w+): ([\w:]+),$", re.MULTILINE)
_KIND = re.compile(r"_(?:stream|record)_(?:block|drop|overwrite)_(?:shared|broadcast)(?:_hangup)?$")
_PYTHON_TEST = re.compile(r"^ *(?:async )?def (test_\w+)\(", re.MULTILINE)

# For how many kinds of rings a rule holds, by its condition: each of them is a test.
KINDS_OF = {"every": 24, "Kind::blocks": 8, "never_overwritten": 16}

# Crates that are tested by more than one suite, or by another one than the other crates.
CORE = Path("tests/core")
USER = Path("tests/user/src")
# Tests of the harness, which `make selftest` lists by itself.
RED = USER / "red.rs"


@dataclass(frozen=True)
class Suite:
    """A suite of tests, as ``make test`` names it."""

    name: str
    # The files with its tests, relative to the root.
    files: Callable[[Path], Sequence[Path]]
    # The tests in the text of one of these files, as often as each has a result.
    tests: Callable[[Path, str], Sequence[str]]
    # What the name of a result is in the sources.
    source: Callable[[str], str]
    # The lanes in which it runs; none for a suite that needs no guest.
    lanes: Collection[str] = ()
    # The reason why it may be skipped as a whole in every lane. In the lanes that one has to ask
    # for, whose kernels others have configured, each suite may be.
    may_be_skipped: str = ""

    def expected(self, root: Path = paths.ROOT) -> Counter[str]:
        """Returns the tests that the sources have."""
        return _expected(self, root)


@functools.cache
def _expected(suite: Suite, root: Path) -> Counter[str]:
    return Counter(
        name
        for file in suite.files(root)
        for name in suite.tests(file, (root / file).read_text(errors="replace"))
    )


def _glob(*patterns: str) -> Callable[[Path], list[Path]]:
    def find(root: Path) -> list[Path]:
        found = {file.relative_to(root) for pattern in patterns for file in root.glob(pattern)}
        return sorted(file for file in found if (root / file).is_file())

    return find


def _rust_tests(_: Path, text: str) -> list[str]:
    return _FUNCTION.findall(text)


def _of_crates(root: Path) -> list[Path]:
    """Returns the Rust files of all crates of the workspace but the core's."""
    members = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["members"]
    crates = [Path(member) for member in members if Path(member) != CORE]
    return _with_tests(root, [file for crate in crates for file in _glob(f"{crate}/**/*.rs")(root)])


def _with_tests(root: Path, files: Iterable[Path]) -> list[Path]:
    return [file for file in files if _ATTRIBUTE.search((root / file).read_text())]


def _of_core(root: Path) -> list[Path]:
    others = {CORE / "src/sanitizers.rs", *_of_models(root)}
    files = _glob("src/ring/**/*.rs", f"{CORE}/src/**/*.rs")(root)
    return _with_tests(root, [file for file in files if file not in others])


def _of_models(root: Path) -> list[Path]:
    return _glob(f"{CORE}/src/models/**/*.rs")(root)


def _sanitized(root: Path) -> list[Path]:
    return [*_of_core(root), CORE / "src/sanitizers.rs"]


def _proofs(sanitizer: str) -> Callable[[Path, str], list[str]]:
    """Returns what reads the tests for one sanitizer: the others are not compiled."""

    def tests(file: Path, text: str) -> list[str]:
        if file.name == "sanitizers.rs":
            modules = re.findall(r"^mod (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL)
            for name, body in modules:
                text = text if name == sanitizer else text.replace(body, "")
        return _rust_tests(file, text)

    return tests


def _examples(file: Path, text: str) -> list[str]:
    opening = _FENCE.findall(text)[::2]
    return [str(file)] * sum(not _NO_EXAMPLE.fullmatch(language) for language in opening)


def _user_tests(_: Path, text: str) -> list[str]:
    found = _USER_TEST.findall(text)
    for rules in _USER_RULES.findall(text):
        for name, condition in _USER_RULE.findall(rules):
            found += [name] * KINDS_OF[condition]
    return found


def _of_user(root: Path) -> list[Path]:
    return [file for file in _glob(f"{USER}/**/*.rs")(root) if file != RED]


def _python_tests(file: Path, text: str) -> list[str]:
    return [f"{file.stem}::{name}" for name in _PYTHON_TEST.findall(text)]


def _its_name(file: Path, _: str) -> list[str]:
    return [file.stem]


def _nothing(_: Path, __: str) -> list[str]:
    return []


def _last_word(name: str) -> str:
    return re.split(r"::|\.", name)[-1]


def _same(name: str) -> str:
    return name


SUITES = (
    Suite("tools", _of_crates, _rust_tests, _last_word),
    Suite("core", _of_core, _rust_tests, _last_word),
    Suite("core, AddressSanitizer", _sanitized, _proofs("address"), _last_word),
    Suite("core, ThreadSanitizer", _sanitized, _proofs("thread"), _last_word),
    Suite("core, models", _of_models, _rust_tests, _last_word),
    Suite(
        "tools, examples",
        _glob("tools/ringdev/src/**/*.rs"),
        _examples,
        lambda name: name.partition(" - ")[0],
    ),
    # Its tests are not in files of theirs.
    Suite("abi", _glob("tests/abi/*"), _nothing, _same),
    Suite("lab", _glob("tests/lab/**/*.py"), _python_tests, lambda name: name.partition("[")[0]),
    Suite(
        "kunit",
        lambda root: _with_tests(root, _glob("src/**/*.rs")(root)),
        _rust_tests,
        _last_word,
        lanes=lane.ALL,
    ),
    Suite("user", _of_user, _user_tests, lambda name: _KIND.sub("", name), lanes=lane.ALL),
    Suite(
        "user, 32-bit",
        _of_user,
        _user_tests,
        lambda name: _KIND.sub("", name),
        lanes=("plain",),
    ),
    Suite(
        "guide",
        _glob("Documentation/guide/*.txt"),
        _its_name,
        lambda name: name.removeprefix("guide_"),
        lanes=("plain",),
    ),
    Suite(
        "samples",
        lambda root: [
            file
            for file in _glob("tests/samples/*", "tests/tools/*")(root)
            if file.name not in ("run", "lib.sh")
        ],
        _its_name,
        _same,
        lanes=("plain",),
    ),
    Suite("compile_fail", _glob("tests/compile_fail/*.rs"), _its_name, _same, lanes=("plain",)),
    Suite(
        "new",
        _glob("samples/module/*.rs"),
        _rust_tests,
        _last_word,
        lanes=("plain",),
        may_be_skipped="its module is for one series of kernels",
    ),
    Suite(
        "fuzz",
        _glob("tests/fuzz/corpus/*"),
        _its_name,
        lambda name: name.removeprefix("fuzz_"),
        lanes=("debug",),
    ),
    # What is looked for in the module depends on the lane.
    Suite("compiled", _glob("src/ring/ordering.rs"), _nothing, _same, lanes=lane.NAMES),
    # `make selftest` has them as well.
    Suite("selftest", _glob("tests/lab/red/*.c"), _nothing, _same, lanes=lane.NAMES),
)

# The suites that run on the driver's twin in C.
OF_TWIN = ("user", "user, 32-bit")


def due(
    lanes: Iterable[str], *, on_host: bool, reds: bool, twin: bool = False
) -> dict[str, tuple[Suite, str]]:
    """Returns the suites that such a run has to show, and the lane of each, by their full names."""
    found: dict[str, tuple[Suite, str]] = {}
    if on_host:
        found |= {suite.name: (suite, "") for suite in SUITES if not suite.lanes}
    for name in lanes:
        for suite in SUITES:
            if name not in suite.lanes or (twin and suite.name not in OF_TWIN):
                continue
            if suite.name == "selftest" and not reds:
                continue
            found[full_name(suite.name, name, twin=twin)] = (suite, name)
    return found


def full_name(suite: str, lane_name: str, *, twin: bool = False) -> str:
    """Returns what a suite is called in a summary when it runs in a guest."""
    return f"{suite} ({lane_name}{', twin' if twin else ''})"


def missing(
    expected: Mapping[str, tuple[Suite, str]],
    results: Sequence[tuple[str, Result]],
    root: Path = paths.ROOT,
) -> list[Result]:
    """Returns a failure for each suite of which something has no result."""
    found = []
    for name, (suite, lane_name) in expected.items():
        shown = [result for of, result in results if of == name]
        wrong = _wrong(suite, lane_name, shown, root)
        if wrong:
            found.append(Result(name, Status.FAILED, diagnostics=tuple(wrong)))
    return found


def _wrong(suite: Suite, lane_name: str, shown: Sequence[Result], root: Path) -> list[str]:
    if not shown:
        return ["it did not run"]
    if all(result.status is Status.SKIPPED for result in shown):
        if suite.may_be_skipped or (lane_name and lane_name not in lane.NAMES):
            return []
        return [f"all of it was skipped: {shown[0].reason}"]
    have = Counter(suite.source(result.name) for result in shown)
    return [f"{name} has no result" for name in sorted(suite.expected(root) - have)]


def homeless(files: Iterable[Path], root: Path = paths.ROOT) -> list[Path]:
    """Returns the files with tests that no suite runs."""
    homes = {file for suite in SUITES for file in suite.files(root)}
    return [file for file in files if file not in homes and has_tests(root / file)]


def has_tests(file: Path) -> bool:
    """Tells whether a file has tests, of a kind that a suite could run."""
    if file.suffix not in {".rs", ".py"}:
        return False
    text = file.read_text(errors="replace")
    return bool((_ATTRIBUTE if file.suffix == ".rs" else _PYTHON_TEST).search(text))
