# SPDX-License-Identifier: GPL-2.0
"""Builds the programs that run outside the kernel, and runs the tests of the ring's core."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab import command, paths
from lab.errors import LabError
from lab.ktap import Result, Status
from lab.results import matches
from lab.toolchain import Toolchain

TARGET = "x86_64-unknown-linux-gnu"
TARGET_32 = "i686-unknown-linux-gnu"

# The guest has no libraries. With --target the flag is for the guest alone, not for what cargo runs
# on the host.
STATIC = "-Ctarget-feature=+crt-static"

CORE = "ring-core-tests"
CLIENT = "ringdev"
# The packages with unit tests, besides the core's.
TESTED = (CLIENT, "ringctl", "ringdev-bench", "ringdev-fuzz", "ringdev-tests")

# Has libtest tell its results as JSON, an unstable option of it.
LIBTEST = ("-Zunstable-options", "--format=json", "--report-time")

# A test program that takes longer than this hangs. The slowest takes about two minutes.
SECONDS = 900


@dataclass(frozen=True)
class Flavour:
    """One way to build and run the tests of the core."""

    suite: str
    # The folder below the target directory; flags that differ would fight over one.
    name: str
    arguments: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    # Tests that show that this flavour is what it says: they must have run, and passed.
    proof: tuple[str, ...] = ()
    packages: tuple[str, ...] = (CORE,)


def flavours(tc: Toolchain) -> list[Flavour]:
    """Returns the ways to run the tests: those of the tools, and of the core in several ways."""
    return [
        Flavour("tools", "tools", ("--all-features",), packages=TESTED),
        Flavour("core", "core"),
        Flavour(
            "core, AddressSanitizer",
            "asan",
            ("--target", TARGET),
            sanitizer_env(tc, "address"),
            proof=("sanitizers::address::",),
        ),
        Flavour(
            "core, ThreadSanitizer",
            "tsan",
            # The standard library is built along: its locks order memory as well, and the
            # sanitizer has to see that.
            ("--target", TARGET, "-Zbuild-std"),
            sanitizer_env(tc, "thread"),
            proof=("sanitizers::thread::",),
        ),
        Flavour("core, models", "loom", ("--release",), {"RUSTFLAGS": "--cfg loom"}),
    ]


def sanitizer_env(tc: Toolchain, sanitizer: str) -> dict[str, str]:
    """Returns the environment in which cargo builds for a sanitizer."""
    flags = [f"-Zsanitizer={sanitizer}"]
    # Debian's rustc comes without the runtimes; clang has them, and knows how to link them.
    if not tc.tool("sanitizers").name.startswith("librustc") and tc.llvm_bin:
        clang = tc.llvm_bin / "clang"
        flags += ["-Zexternal-clangrt", f"-Clinker={clang}", f"-Clink-arg=-fsanitize={sanitizer}"]
    # Sanitizers are an unstable option of rustc, which a release takes only on this word.
    return {"RUSTFLAGS": " ".join(flags), "RUSTC_BOOTSTRAP": "1"}


def target_dir(flavour: str) -> Path:
    """Returns where cargo builds; each flavour of flags has its own, or they would fight."""
    return paths.cache() / "target" / paths.clone_id() / flavour


def guest_programs(tc: Toolchain, *names: str) -> dict[str, Path]:
    """Builds programs for the guest, statically linked, and returns them by name.

    A package of the workspace is called as the program is that it builds.
    """
    return _static_programs(tc, names, "guest", TARGET, env={"RUSTFLAGS": STATIC})


def guest_programs_32(tc: Toolchain, *names: str) -> dict[str, Path]:
    """Builds the same programs for 32 bits."""
    # Without the second flag, io-uring refuses machines that its authors have not looked at. What
    # the kernel reads and writes there is the same for all.
    flags = f"{STATIC} --cfg=io_uring_skip_arch_check"
    env = {"RUSTFLAGS": flags, "RUSTC_BOOTSTRAP": "1"}
    # Distributions have no standard library for this target, so it is built along.
    return _static_programs(tc, names, "guest-32", TARGET_32, "-Zbuild-std", env=env)


def _static_programs(
    tc: Toolchain,
    names: Sequence[str],
    flavour: str,
    target: str,
    *arguments: str,
    env: Mapping[str, str],
) -> dict[str, Path]:
    packages = [f"--package={name}" for name in names]
    _cargo(tc, flavour, ["build", "--release", "--target", target, *arguments, *packages], env)
    folder = target_dir(flavour) / target / "release"
    return {name: folder / name for name in names}


def host_tests(tc: Toolchain, only: str = "") -> Iterator[tuple[str, list[Result]]]:
    """Runs the tests in each flavour, and the examples; yields each suite's name and its tests.

    ``only`` narrows them to the tests whose name it matches, as `results.matches` has it.
    """
    for flavour in flavours(tc):
        found: list[Result] = []
        for program in build_tests(tc, flavour):
            found += run_tests(tc, flavour, program, only)
        if found:
            found += unproven(flavour, found)
        yield flavour.suite, found
    yield "tools, examples", examples(tc, only)


def build_tests(tc: Toolchain, flavour: Flavour) -> list[Path]:
    """Builds the test programs of a flavour and returns them."""
    packages = [f"--package={name}" for name in flavour.packages]
    arguments = ["test", *packages, *flavour.arguments, "--no-run"]
    log = _cargo(tc, flavour.name, [*arguments, "--message-format=json"], flavour.env)
    if programs := built_tests(log):
        return programs
    raise LabError(f"cargo built no test program for {flavour.suite}")


def built_tests(log: str) -> list[Path]:
    """Returns the test programs that cargo says in JSON it has built."""
    messages = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [
        Path(message["executable"])
        for message in messages
        if message["reason"] == "compiler-artifact"
        and message["profile"]["test"]
        and message["executable"]
    ]


def examples(tc: Toolchain, only: str = "") -> list[Result]:
    """Runs the examples in the documentation of the client library."""
    code, output, log = _run_cargo(
        tc,
        "tools",
        ["test", f"--package={CLIENT}", "--all-features", "--doc", "--", *LIBTEST],
        {"RUSTDOC": str(tc.rustdoc), "RUSTC_BOOTSTRAP": "1"},
    )
    # Before and behind the results cargo says what it does.
    results = [line for line in output.read_text().splitlines() if line.startswith("{")]
    found = read_libtest("the examples", "\n".join(results), log.read_text(), code)
    return [result for result in found if not only or matches(result.name, only)]


def document(tc: Toolchain, out: Path) -> None:
    """Writes what rustdoc makes of the client library into ``out``; a warning fails."""
    _cargo(
        tc,
        "docs",
        ["doc", "--no-deps", f"--package={CLIENT}", "--all-features"],
        {"RUSTDOC": str(tc.rustdoc), "RUSTDOCFLAGS": "-Dwarnings"},
    )
    shutil.copytree(target_dir("docs") / "doc", out)


def run_tests(tc: Toolchain, flavour: Flavour, program: Path, only: str) -> list[Result]:
    """Runs one test program, or those of its tests that ``only`` matches.

    The proofs of a flavour run whenever one of its tests does.
    """
    env = {**tc.env(), **flavour.env, "RUSTC_BOOTSTRAP": "1"}
    chosen: list[str] = []
    if only:
        listing = subprocess.run(
            [program, "--list", "--format=terse"],
            cwd=paths.ROOT / "tests/core",
            env=env,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        names = [line.removesuffix(": test") for line in listing.splitlines()]
        chosen = [name for name in names if matches(name, only)]
        if not chosen:
            return []
        proofs = [name for name in names if name.startswith(flavour.proof)]
        chosen = list(dict.fromkeys([*chosen, *proofs]))
    with subprocess.Popen(
        [program, *LIBTEST, *(["--exact", *chosen] if chosen else [])],
        cwd=paths.ROOT / "tests/core",
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        process_group=0,
    ) as process:
        try:
            stdout, stderr = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            stdout, stderr = process.communicate()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return read_libtest(program.name, stdout, stderr, process.returncode)


def read_libtest(program: str, stdout: str, stderr: str, code: int) -> list[Result]:
    """Reads libtest's JSON. What is unfinished, uncounted or unexplained has failed."""
    found: list[Result] = []
    running: dict[str, None] = {}
    planned: int | None = None
    ended = False
    stray: list[str] = []
    for line in stdout.splitlines():
        try:
            event = json.loads(line)
            kind, what = event["type"], event["event"]
        except (ValueError, KeyError, TypeError):
            stray.append(line)
            continue
        if kind == "suite" and what == "started":
            planned = event["test_count"]
        elif kind == "suite":
            ended = True
        elif kind == "test" and what == "started":
            running[event["name"]] = None
        elif kind == "test" and what in {"ok", "failed", "ignored"}:
            running.pop(event["name"], None)
            found.append(_libtest_result(event))
    said = (*stray, *stderr.splitlines())
    found += [
        Result(name, Status.FAILED, diagnostics=(f"{_ending(code)} during this test", *said))
        for name in running
    ]
    failed = any(result.status is Status.FAILED for result in found)
    problem = ""
    if planned is None or not ended:
        problem = f"{_ending(code)} before it had told its results"
    elif planned != len(found):
        problem = f"{planned} tests were planned, {len(found)} told a result"
    elif code and not failed:
        # So ThreadSanitizer speaks: each test is fine, and there was a race.
        problem = f"{_ending(code)} although no test failed"
    elif not code and failed:
        problem = "it ended well although a test failed"
    elif not planned:
        problem = "it has no tests"
    if problem and not running:
        found.append(Result(program, Status.FAILED, diagnostics=(problem, *said)))
    return found


def _libtest_result(event: Mapping[str, str]) -> Result:
    status = {"ok": Status.PASSED, "failed": Status.FAILED, "ignored": Status.SKIPPED}
    said = event.get("stdout", "").splitlines() if event["event"] == "failed" else []
    if event.get("reason"):
        said.append(event["reason"])
    reason = event.get("message") or "ignored" if event["event"] == "ignored" else ""
    return Result(event["name"], status[event["event"]], reason, tuple(said))


def _ending(code: int) -> str:
    """Says how a program ended."""
    if code == -signal.SIGKILL:
        return f"the program was killed (it may take {SECONDS} seconds)"
    if code < 0:
        return f"the program died of {signal.Signals(-code).name}"
    return f"the program ended with exit code {code}"


def unproven(flavour: Flavour, found: Sequence[Result]) -> list[Result]:
    """Returns a failure for each proof of the flavour that did not run."""
    return [
        Result(
            f"{proof}*",
            Status.FAILED,
            diagnostics=("no test of this name ran: nothing shows that the sanitizer is awake",),
        )
        for proof in flavour.proof
        if not any(r.name.startswith(proof) and r.status is Status.PASSED for r in found)
    ]


def _cargo(tc: Toolchain, flavour: str, arguments: Sequence[str], env: Mapping[str, str]) -> str:
    """Runs a cargo that builds, and returns what it said on stdout."""
    code, output, log = _run_cargo(tc, flavour, arguments, env)
    if code:
        rendered = _compiler_messages(output.read_text(errors="replace"))
        raise LabError(f"cargo {arguments[0]} ({flavour}) failed:\n{rendered}{log.read_text()}")
    return output.read_text()


def _run_cargo(
    tc: Toolchain, flavour: str, arguments: Sequence[str], env: Mapping[str, str]
) -> tuple[int, Path, Path]:
    """Runs cargo, and returns its exit code and the files with what it said."""
    target = target_dir(flavour)
    target.mkdir(parents=True, exist_ok=True)
    output, log = target / "cargo.out", target / "cargo.log"
    verb, *rest = arguments
    with output.open("w") as out, log.open("w") as err:
        code = command.run(
            [str(tc.cargo), verb, "--locked", "--target-dir", str(target), *rest],
            cwd=paths.ROOT,
            env={**tc.env(), "RUSTC": str(tc.rustc), **env},
            log=err,
            stdout=out,
            what=f"cargo {verb} ({flavour})",
        )
    return code, output, log


def _compiler_messages(output: str) -> str:
    """Returns what the compiler said, out of cargo's JSON."""
    messages = (json.loads(line) for line in output.splitlines() if line.startswith("{"))
    return "".join(
        message["message"]["rendered"]
        for message in messages
        if message["reason"] == "compiler-message"
    )
