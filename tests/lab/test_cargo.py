# SPDX-License-Identifier: GPL-2.0
"""What libtest and pytest say, and what must not be taken for success."""

import json
import sys
from pathlib import Path

import pytest

from lab import cargo, paths, pytools
from lab.cargo import Flavour, read_libtest
from lab.errors import LabError
from lab.ktap import Result, Status
from lab.toolchain import Toolchain


def event(kind: str, what: str, **more: object) -> str:
    """Returns one line of libtest's JSON."""
    return json.dumps({"type": kind, "event": what, **more})


def started(*names: str) -> list[str]:
    """Returns the beginning of a run of these tests."""
    return [event("suite", "started", test_count=len(names))] + [
        event("test", "started", name=name) for name in names
    ]


ENDED = event("suite", "ok")


def read(*lines: str, stderr: str = "", code: int = 0) -> list[Result]:
    """Reads what a program called `tests` has said."""
    return read_libtest("tests", "\n".join(lines), stderr, code)


def failures(found: list[Result]) -> dict[str, str]:
    """Returns the failed tests with what they said."""
    return {r.name: "\n".join(r.diagnostics) for r in found if r.status is Status.FAILED}


def test_passed_failed_and_ignored() -> None:
    found = read(
        *started("a", "b", "c"),
        event("test", "ok", name="a", exec_time=0.1),
        event("test", "failed", name="b", stdout="left: 1\nright: 2\n"),
        event("test", "ignored", name="c", message="no such thing here"),
        event("suite", "failed"),
        code=101,
    )
    assert found == [
        Result("a", Status.PASSED),
        Result("b", Status.FAILED, diagnostics=("left: 1", "right: 2")),
        Result("c", Status.SKIPPED, reason="no such thing here"),
    ]


def test_a_race_that_fails_no_test_is_a_failure() -> None:
    found = read(
        *started("a"),
        event("test", "ok", name="a"),
        ENDED,
        stderr="WARNING: ThreadSanitizer: data race",
        code=66,
    )
    said = failures(found)["tests"]
    assert "exit code 66 although no test failed" in said
    assert "data race" in said


def test_a_program_that_dies_fails_the_tests_that_ran() -> None:
    found = read(
        *started("a", "b"), event("test", "ok", name="a"), stderr="heap-buffer-overflow", code=-6
    )
    assert list(failures(found)) == ["b"]
    assert "died of SIGABRT" in failures(found)["b"]
    assert "heap-buffer-overflow" in failures(found)["b"]


def test_a_program_that_hangs_fails_the_tests_that_ran() -> None:
    assert "killed" in failures(read(*started("a"), code=-9))["a"]


@pytest.mark.parametrize(
    ("lines", "code", "complaint"),
    [
        ([], 0, "before it had told its results"),
        ([event("suite", "started", test_count=0), ENDED], 0, "it has no tests"),
        ([*started("a")[:1], ENDED], 0, "1 tests were planned, 0 told a result"),
        ([*started("a"), event("test", "ok", name="a")], 0, "before it had told its results"),
        (
            [*started("a"), event("test", "failed", name="a"), event("suite", "failed")],
            0,
            "it ended well although a test failed",
        ),
    ],
)
def test_what_does_not_add_up_is_a_failure(lines: list[str], code: int, complaint: str) -> None:
    assert complaint in failures(read(*lines, code=code))["tests"]


def test_noise_between_the_lines_is_kept_for_the_diagnosis() -> None:
    found = read("hello", *started("a"), event("test", "ok", name="a"), "3", ENDED, code=1)
    assert "hello\n3" in failures(found)["tests"]


@pytest.mark.parametrize(
    ("found", "proven"),
    [
        ([Result("sanitizers::thread::race", Status.PASSED)], True),
        ([Result("sanitizers::thread::race", Status.SKIPPED)], False),
        ([Result("queue::push", Status.PASSED)], False),
        ([], False),
    ],
)
def test_a_sanitizer_has_to_show_that_it_is_awake(found: list[Result], proven: bool) -> None:
    flavour = Flavour("core", "tsan", proof=("sanitizers::thread::",))
    assert bool(cargo.unproven(flavour, found)) is not proven


def test_pytests_report_is_read() -> None:
    report = """<testsuites><testsuite>
      <testcase classname="tests.lab.test_a" name="test_good[x]"/>
      <testcase classname="tests.lab.test_a" name="test_bad"><failure message="m">l 1
l 2</failure></testcase>
      <testcase classname="tests.lab.test_a" name="test_broken"><error>fixture</error></testcase>
      <testcase classname="tests.lab.test_a" name="test_not"><skipped message="no cpio"/></testcase>
    </testsuite></testsuites>"""
    assert pytools.read_junit(report) == [
        Result("test_a::test_good[x]", Status.PASSED),
        Result("test_a::test_bad", Status.FAILED, diagnostics=("l 1", "l 2")),
        Result("test_a::test_broken", Status.FAILED, diagnostics=("fixture",)),
        Result("test_a::test_not", Status.SKIPPED, reason="no cpio"),
    ]


def test_the_labs_own_tests_are_chosen_by_name() -> None:
    here = Toolchain(tools={})
    found = pytools._selected(Path(sys.executable), here, "chosen_by_name")
    assert [name.rpartition("::")[2] for name in found] == [
        "test_the_labs_own_tests_are_chosen_by_name",
    ]
    assert pytools._selected(Path(sys.executable), here, "no_such_test") == []


def test_a_test_is_called_as_in_a_summary_whatever_its_parameters_are() -> None:
    assert pytools._name("tests/lab/test_a.py::test_b[c/d.py::e]") == "test_a::test_b[c/d.py::e]"


# Sanitizers: one that is not active is noticed.

TOOLS = Toolchain(
    tools={"sanitizers": Path("/usr/lib/llvm/lib/libclang_rt.asan.a")}, llvm_bin=Path("/llvm/bin")
)
SANITIZERS = [f for f in cargo.flavours(TOOLS) if "Sanitizer" in f.suite]


@pytest.mark.parametrize("flavour", SANITIZERS, ids=lambda flavour: flavour.name)
def test_a_sanitizers_flavour_turns_it_on_and_has_a_proof_of_it(flavour: Flavour) -> None:
    [proof] = flavour.proof
    sanitizer = proof.removeprefix("sanitizers::").removesuffix("::")
    assert f"-Zsanitizer={sanitizer}" in flavour.env["RUSTFLAGS"].split()
    # What cargo runs on the host while it builds must not be built so.
    assert "--target" in flavour.arguments
    source = (paths.ROOT / "tests/core/src/sanitizers.rs").read_text()
    assert f'#[cfg(sanitizer = "{sanitizer}")]\nmod {sanitizer} {{' in source


def test_there_is_a_flavour_for_each_sanitizer() -> None:
    assert [flavour.suite for flavour in SANITIZERS] == [
        "core, AddressSanitizer",
        "core, ThreadSanitizer",
    ]


def test_the_models_are_what_the_model_checker_runs() -> None:
    [models] = [flavour for flavour in cargo.flavours(TOOLS) if flavour.suite == "core, models"]
    assert models.env["RUSTFLAGS"] == "--cfg loom"


@pytest.mark.parametrize("only", ["", "push"])
def test_a_flavour_without_its_proof_fails(monkeypatch: pytest.MonkeyPatch, only: str) -> None:
    passed = [Result("queue::push", Status.PASSED)]
    monkeypatch.setattr(cargo, "build_tests", lambda *_: [Path("tests")])
    monkeypatch.setattr(cargo, "run_tests", lambda *_: list(passed))
    monkeypatch.setattr(cargo, "examples", lambda *_: [])
    failed = {suite: failures(found) for suite, found in cargo.host_tests(TOOLS, only)}
    assert {suite: list(wrong) for suite, wrong in failed.items() if wrong} == {
        flavour.suite: [f"{flavour.proof[0]}*"] for flavour in SANITIZERS
    }


def test_a_flavour_of_which_nothing_was_meant_needs_no_proof(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cargo, "build_tests", lambda *_: [Path("tests")])
    monkeypatch.setattr(cargo, "run_tests", lambda *_: [])
    monkeypatch.setattr(cargo, "examples", lambda *_: [])
    assert not any(found for _, found in cargo.host_tests(TOOLS, "nothing"))


# Stands for a test program: it lists its tests, or runs those that it is told of.
PROGRAM = """#!/bin/sh
if [ "$1" = --list ]; then
    printf '%s: test\\n' queue::push queue::pop sanitizers::thread::race
    exit
fi
while [ "$1" != --exact ]; do shift; done
shift
echo '{"type": "suite", "event": "started", "test_count": '$#'}'
for name; do
    echo '{"type": "test", "event": "started", "name": "'"$name"'"}'
    echo '{"type": "test", "event": "ok", "name": "'"$name"'"}'
done
echo '{"type": "suite", "event": "ok"}'
"""


@pytest.mark.parametrize(
    ("only", "ran"),
    [
        ("push", ["queue::push", "sanitizers::thread::race"]),
        ("race", ["sanitizers::thread::race"]),
        ("none", []),
    ],
)
def test_the_proofs_run_with_whatever_is_chosen(tmp_path: Path, only: str, ran: list[str]) -> None:
    program = tmp_path / "tests"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    flavour = Flavour("core", "tsan", proof=("sanitizers::thread::",))
    found = cargo.run_tests(Toolchain(tools={}), flavour, program, only)
    assert [(result.name, result.status) for result in found] == [
        (name, Status.PASSED) for name in ran
    ]


@pytest.mark.parametrize(
    "name",
    ["TSAN_OPTIONS", "ASAN_OPTIONS", "LSAN_OPTIONS", "RUST_TEST_THREADS", "PROPTEST_CASES",
     "LOOM_MAX_PREEMPTIONS", "PYTEST_ADDOPTS"],
)  # fmt: skip
def test_the_users_settings_do_not_silence_a_test(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "exitcode=0")
    assert name not in Toolchain(tools={}).env()


@pytest.mark.parametrize("flavour", SANITIZERS, ids=lambda flavour: flavour.name)
def test_clang_links_the_runtime_that_it_brings(flavour: Flavour) -> None:
    sanitizer = flavour.proof[0].split("::")[1]
    flags = flavour.env["RUSTFLAGS"].split()
    for flag in ("-Zexternal-clangrt", "-Clinker=/llvm/bin/clang",
                 f"-Clink-arg=-fsanitize={sanitizer}"):  # fmt: skip
        assert flag in flags
    # A rustc that brings its own runtime links it itself.
    own = Toolchain({"sanitizers": Path("/lib/librustc-stable_rt.asan.a")}, llvm_bin=TOOLS.llvm_bin)
    assert cargo.sanitizer_env(own, sanitizer)["RUSTFLAGS"] == f"-Zsanitizer={sanitizer}"


# pytest, as cargo's tests: what it did not run is not passed.


@pytest.mark.parametrize(
    ("code", "report", "failed"),
    [
        (0, '<testcase classname="t.test_a" name="b"/>', []),
        (1, '<testcase classname="t.test_a" name="b"><failure>m</failure></testcase>',
         ["test_a::b"]),
        (1, '<testcase classname="t.test_a" name="b"/>', ["pytest"]),
        (0, "", ["pytest"]),
        (0, None, ["pytest"]),
    ],
)  # fmt: skip
def test_pytest_has_to_have_run_something_and_to_have_ended_well(
    monkeypatch: pytest.MonkeyPatch, code: int, report: str | None, failed: list[str]
) -> None:
    def run(_: Path, __: Toolchain, argument: str) -> tuple[int, str]:
        if report is not None:
            Path(argument.partition("=")[2]).write_text(f"<testsuites>{report}</testsuites>")
        return code, "what it said"

    monkeypatch.setattr(pytools, "python", lambda _: Path(sys.executable))
    monkeypatch.setattr(pytools, "_pytest", run)
    suite, found = pytools.tests(TOOLS, "")
    assert suite == pytools.SUITE
    assert list(failures(found)) == failed


def test_test_programs_are_those_that_cargo_says_it_has_built() -> None:
    def artifact(executable: str | None, *, test: bool) -> str:
        return json.dumps({"reason": "compiler-artifact", "profile": {"test": test},
                           "executable": executable})  # fmt: skip

    lines = [
        "   Compiling",
        json.dumps({"reason": "build-script-executed"}),
        artifact("/target/tests-1", test=True),
        artifact("/target/program", test=False),
        artifact(None, test=True),
    ]
    assert cargo.built_tests("\n".join(lines)) == [Path("/target/tests-1")]


def test_a_build_that_fails_shows_what_the_compiler_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said = json.dumps({"reason": "compiler-message", "message": {"rendered": "error: here\n"}})
    program = tmp_path / "cargo"
    told = tmp_path / "told"
    told.write_text(f"{said}\n")
    program.write_text(f"#!/bin/sh\ncat {told}\necho 'could not compile' >&2\nexit 101\n")
    program.chmod(0o755)
    tc = Toolchain({"cargo": program, "rustc": Path("/usr/bin/rustc")})
    with pytest.raises(LabError, match=r"(?s)error: here.*could not compile"):
        cargo.build_tests(tc, Flavour("core", "core"))
    program.write_text("#!/bin/sh\n")
    with pytest.raises(LabError, match="built no test program for core"):
        cargo.build_tests(tc, Flavour("core", "core"))
