# SPDX-License-Identifier: GPL-2.0
"""``make fuzz``: runs system calls on rings, guided by coverage, and accounts for all data.

MINUTES=N is how long (10 if not given), SEED=N begins another search. The corpus in
tests/fuzz/corpus is where the search begins, and what is left of it in the end, without what adds
nothing. A program that breaks a rule, or the kernel, is left in target/fuzz; REPLAY=FILE runs it
again and again. MUTANT=PART/NAME plants that fault of tests/mutants first, begins with no corpus,
and ends when a program has found it: this is how the fuzzer itself is tested.
Documentation/lab.rst says more.
"""

import argparse
import hashlib
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab import cargo, coverage, decode, lane, logs, module, mutant, paths, verdict
from lab.boot import Outcome, boot
from lab.errors import Exit, UsageError
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.mutant import Mutant
from lab.mutant_tree import Tree
from lab.qemu import Port
from lab.report import say
from lab.results import matches
from lab.task import Task
from lab.toolchain import Toolchain
from lab.verdict import Verdict

LANE = "fuzz"
PROGRAM = "ringdev-fuzz"
CORPUS = paths.ROOT / "tests/fuzz/corpus"
# Where programs that have failed are left.
FAILURES = paths.ROOT / "target/fuzz"

# The one whose lane is booted by `make test` for the corpus, and how long that may take.
TEST_LANE = "debug"
TEST_SECONDS = 600.0

# tests/fuzz/src/ring.rs has it as well.
MAX_USER_BYTES = 1 << 20

MINUTES = 10
SEED = 1
# How often REPLAY= runs a program: what depends on a race does not fail each time.
TIMES = 200
# The copy of the tree in which MUTANT= plants a fault; `make mutants` counts its own from 0 on.
COPY = 100
# A program may take this long at the end of the search; then the corpus is made smaller.
PATIENCE = 400.0
# A program of the corpus has these many bytes in a line.
CHUNK = 12

# How the guest's program announces one in the kernel's log.
_ANNOUNCED = re.compile(r"fuzz: program (\d+)")

# What the report is about beside the numbers: whose lines are listed that were not reached.
LISTED = ("src/channel/", "src/endpoint.rs", "src/control.rs", "src/registry.rs")


@dataclass(frozen=True)
class Failure:
    """A program that broke a rule, and how."""

    program: str
    rule: str
    said: tuple[str, ...] = ()


@dataclass
class Report:
    """What the guest's program has told."""

    failures: list[Failure] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    # All that were begun, by their numbers.
    programs: dict[int, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    # Where the module's code was reached, from its beginning on.
    covered: set[int] = field(default_factory=set)


def read_report(text: str) -> Report:
    """Reads what the guest's program has told; tests/fuzz/src/main.rs has the lines."""
    report = Report()
    for line in text.splitlines():
        verb, _, rest = line.partition(" ")
        if verb == "failure":
            program, _, rule = rest.partition(" ")
            report.failures.append(Failure(program, rule))
        elif verb == "|" and report.failures:
            last = report.failures[-1]
            report.failures[-1] = Failure(last.program, last.rule, (*last.said, rest))
        elif verb == "at":
            number, _, program = rest.partition(" ")
            report.programs[int(number)] = program
        elif verb == "new":
            report.found.append(rest)
        elif verb == "keep":
            report.kept.append(rest)
        elif verb == "ran":
            report.ran.append(rest)
        elif verb == "covered":
            report.covered |= {int(place, 16) for place in rest.split()}
        elif verb == "count":
            name, _, number = rest.partition(" ")
            report.counts[name] = int(number)
    return report


def main(argv: list[str]) -> int:
    """The verb ``fuzz``."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", default=os.environ.get("MINUTES") or str(MINUTES))
    parser.add_argument("--replay", default=os.environ.get("REPLAY", ""), metavar="FILE")
    parser.add_argument("--seed", default=os.environ.get("SEED") or str(SEED))
    parser.add_argument("--mutant", default=os.environ.get("MUTANT", ""), metavar="PART/NAME")
    parser.add_argument("--empty", action="store_true", help="begin without a corpus, keep none")
    options = parser.parse_args(argv)
    if not options.minutes.isdecimal() or not int(options.minutes):
        raise UsageError(f"MINUTES={options.minutes}: a number of minutes is wanted")
    if not options.seed.isdecimal():
        raise UsageError(f"SEED={options.seed}: a number is wanted")
    file = Path(options.replay).absolute() if options.replay else None
    if file and not file.is_file():
        raise UsageError(f"REPLAY={options.replay}: there is no such file")
    planted = _mutant(options.mutant) if options.mutant else None
    where = lane.prepare(LANE, {"guest"})
    built = _module_of(planted, where) if planted else where.module(kunit=False)
    if file:
        return _replay(where, built, file)
    seconds = int(options.minutes) * 60
    if planted:
        return _prove(where, built, planted, seconds, options.seed)
    return _search(where, built, seconds, options.seed, keep=not options.empty)


def _mutant(name: str) -> Mutant:
    file = mutant.FOLDER / f"{name}.toml"
    if not file.is_file():
        raise UsageError(f"MUTANT={name}: there is no {file.relative_to(paths.ROOT)}")
    return mutant.read(file)


def _module_of(planted: Mutant, where: Lane) -> Path:
    """Builds the module of a mutant and returns the file."""
    home = paths.cache() / "mutants" / paths.clone_id()
    with paths.locked(home / f"{COPY}.lock", "planted faults"):
        tree = Tree(COPY)
        with tree.with_edits(planted.edits):
            built = module.build_copy(
                tree.root, where.kernel, where.tools, kunit=False, coverage=where.traits.coverage
            )
    return built / "ringdev.ko"


def _prove(where: Lane, built: Path, planted: Mutant, seconds: int, seed: str) -> Exit:
    """Searches for a planted fault, and fails if it is not found."""
    words = [PROGRAM, "search", "--first", "--seconds", str(seconds), "--seed", seed]
    say(f"{LANE}: {seconds // 60} minutes for {planted.full_name}, seed {seed}")
    run = _boot(where, built, words, [], where.scaled(PATIENCE) + seconds)
    code = _close(run)
    if run.problems or code in (Exit.NO_VERDICT, Exit.NOT_LOADED):
        # What ended the search was not the fault.
        return code
    found = code is not Exit.PASSED
    say(f"{planted.full_name} was {'found' if found else 'not found'}")
    return Exit.PASSED if found else Exit.TESTS_FAILED


def _search(where: Lane, built: Path, seconds: int, seed: str, *, keep: bool) -> Exit:
    files = corpus() if keep else []
    words = [PROGRAM, "search", "--seconds", str(seconds), "--seed", seed, "--corpus", "/corpus"]
    say(f"{LANE}: {seconds // 60} minutes from {len(files)} programs, seed {seed}")
    run = _boot(where, built, words, files, where.scaled(PATIENCE) + seconds)
    report = run.report
    print(_summary(run, built, where.tools))
    if keep and report.kept:
        write_corpus(CORPUS, report.kept)
        say(f"{CORPUS.relative_to(paths.ROOT)}: {len(report.kept)} programs")
    return _close(run)


def _replay(where: Lane, built: Path, file: Path) -> Exit:
    words = [PROGRAM, "replay", "--times", str(TIMES), f"/corpus/{file.name}"]
    say(f"{LANE}: {file.name}, {TIMES} times")
    run = _boot(where, built, words, [file], where.scaled(3 * PATIENCE))
    if file.name not in run.report.ran and not run.report.failures:
        run.problems.append(f"{file.name} did not run to its end")
    return _close(run)


def tests(where: Lane, only: str) -> tuple[str, list[Result]] | None:
    """Replays the corpus in a guest of another lane, and returns a result for each program."""
    files = [file for file in corpus() if matches(f"fuzz_{file.name}", only)]
    if not files:
        return None
    words = [PROGRAM, "replay", "--times", "1", *(f"/corpus/{file.name}" for file in files)]
    run = _boot(where, where.module(kunit=False), words, files, where.scaled(TEST_SECONDS))
    return f"fuzz ({where.name})", results(files, run)


@dataclass
class Run:
    """How a guest came out."""

    report: Report
    verdict: Verdict
    log: Path
    # Programs to which the kernel's trouble is put down.
    suspects: list[str]
    splats: list[str]
    problems: list[str] = field(default_factory=list)


def results(files: Sequence[Path], run: Run) -> list[Result]:
    """Returns a result for each program of the corpus, and one more if the guest is in trouble."""
    by_program = {read_program(file): file for file in files}
    failed: dict[str, list[str]] = {}
    for failure in run.report.failures:
        file = by_program.get(failure.program)
        failed.setdefault(file.name if file else "", []).extend([failure.rule, *failure.said])
    for file in files:
        if file.name not in run.report.ran and file.name not in failed:
            failed[file.name] = ["it did not run to its end", f"logs: {run.log}"]
    found = [
        Result(
            f"fuzz_{file.name}",
            Status.FAILED if file.name in failed else Status.PASSED,
            diagnostics=tuple(failed.get(file.name, ())),
        )
        for file in files
    ]
    extra = failed.get("", []) + run.problems
    if run.verdict.code is not Exit.PASSED:
        extra += [run.verdict.sentence, f"logs: {run.log}", *run.splats]
    if extra:
        found.append(Result("(the corpus as a whole)", Status.FAILED, diagnostics=tuple(extra)))
    return found


def _boot(
    where: Lane, built: Path, words: Sequence[str], files: Sequence[Path], seconds: float
) -> Run:
    program = cargo.guest_programs(where.tools, PROGRAM)
    task = Task(
        busybox=where.tools.tool("busybox"),
        module=built,
        # The programs make rings of their own, and as another user more than that one may have.
        module_args=f"default_ring=0 max_user_bytes={MAX_USER_BYTES}",
        command=f"mkdir -p /corpus; exec {shlex.join(words)}",
        programs=program,
        files={f"/corpus/{file.name}": file for file in files},
    )
    log = logs.new(LANE)
    outcome = boot(where.machine(task.append()), task, where.limits(seconds), log)
    judged = verdict.judge(where, task, outcome)
    splats = decode.reports(judged, where.kernel, where.tools, task, outcome.facts)
    run = Run(read_report(outcome.outputs[Port.STDOUT]), judged, log, [], splats)
    if judged.code not in (Exit.PASSED, Exit.LEAK) and not judged.idle:
        run.suspects = suspects(outcome.console, judged, run.report)
    run.problems = problems(outcome, run.report)
    return run


def problems(outcome: Outcome, report: Report) -> list[str]:
    """Says where the exit code of the guest's program is not what it has told."""
    status = outcome.facts.get("exit", "")
    said = outcome.outputs[Port.STDERR].splitlines()[-20:]
    if status not in ("", "0") and not report.failures:
        return [f"{PROGRAM} ended with exit code {status} and told of no failure", *said]
    if status == "0" and report.failures:
        return [f"{PROGRAM} ended with exit code 0 and told of a failure"]
    return []


def suspects(console: str, judged: Verdict, report: Report) -> list[str]:
    """Returns the program that ran when the kernel was in trouble, or got no further."""
    text = console
    if judged.splats:
        # The log has timestamps before each line, the report has none.
        headline = judged.splats[0].headline
        text = console.partition(headline)[0]
    numbers = _ANNOUNCED.findall(text)
    return [report.programs[int(number)] for number in numbers[-1:]]


def _close(run: Run) -> Exit:
    """Shows what went wrong, leaves its programs, and returns the exit code."""
    # A process that was replaced tells again what the one before it has told.
    failures = list({failure.rule: failure for failure in reversed(run.report.failures)}.values())
    if run.verdict.code is not Exit.PASSED:
        print(run.verdict.sentence)
        print("\n".join(run.splats))
        failures += [Failure(program, run.verdict.sentence) for program in run.suspects]
    for failure in failures:
        file = leave(failure)
        print(f"FAILED: {failure.rule}")
        print("\n".join(f"    {line}" for line in failure.said))
        print(f"    again: make fuzz REPLAY={file.relative_to(paths.ROOT)}")
    print("\n".join(run.problems))
    say(f"logs: {run.log}")
    if run.verdict.code is not Exit.PASSED:
        return run.verdict.code
    if failures or run.problems:
        return Exit.TESTS_FAILED
    say("no rule was broken")
    return Exit.PASSED


def leave(failure: Failure) -> Path:
    """Writes a program that has failed into a file, and returns that."""
    FAILURES.mkdir(parents=True, exist_ok=True)
    words = re.sub(r"[^a-z0-9]+", "-", failure.rule.lower()).strip("-")[:60]
    file = FAILURES / f"{words}-{short(failure.program)}"
    said = "".join(f"# {line}\n" for line in (failure.rule, *failure.said))
    file.write_text(said + lines(failure.program))
    return file


def corpus() -> list[Path]:
    """Returns the programs of the corpus."""
    return sorted(file for file in CORPUS.glob("*") if re.fullmatch(r"[0-9a-f]{12}", file.name))


def write_corpus(folder: Path, programs: Iterable[str]) -> None:
    """Makes a folder have these programs and no others."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for program in programs:
        (folder / short(program)).write_text(lines(program))


def short(program: str) -> str:
    """Returns a name for a program, by what it is."""
    return hashlib.sha256(program.encode()).hexdigest()[:12]


def lines(program: str) -> str:
    """Returns a program as its file has it: a line for the setup, and one for each step."""
    digits = 2 * CHUNK
    return "".join(f"{program[at : at + digits]}\n" for at in range(0, len(program), digits))


def read_program(file: Path) -> str:
    """Reads a program's file, without blanks and comments."""
    text = (line.partition("#")[0] for line in file.read_text().splitlines())
    return "".join("".join(text).split())


def _summary(run: Run, built: Path, tools: Toolchain) -> str:
    """Returns the report: how much ran, what it reached, and what it did not."""
    report = run.report
    counts = ", ".join(f"{number:,} {name}" for name, number in report.counts.items())
    reached = coverage.of(built, report.covered, tools)
    return "\n".join(
        [f"{len(report.found)} new programs; {counts}", "", coverage.table(reached), "",
         coverage.unreached(reached, LISTED)]
    )  # fmt: skip
