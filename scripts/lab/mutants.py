# SPDX-License-Identifier: GPL-2.0
"""``make mutants``: plants faults, and sees whether the tests that must find them do.

Each fault of tests/mutants is made in a copy of the tree, and the tests that its file names are run
there: they, and no others, have to fail. A mutant that does not apply or does not build, of which a
named test passes, or fails for another reason than the one that is named, has survived; so has one
whose named tests fail without it as well. Each part has to catch 95 % of its mutants, without those
that are argued to be equivalent to the original.

PART=NAME runs one part alone, ONLY=PATTERN the mutants with such a name, SAMPLE=N so many of them,
SAMPLE=ci those that CI runs. ``cargo-mutants`` does the same to all functions of the core and of
the tools, if nothing narrows the run or PART=core or PART=client asks for it; with SAMPLE=N, to one
in N.
"""

import argparse
import json
import os
import queue
import random
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from shutil import copy2, rmtree

from lab import (
    cargo,
    lane,
    logs,
    module,
    mutant,
    mutant_cargo,
    mutant_guest,
    mutant_host,
    paths,
    toolchain,
)
from lab.errors import Exit, LabError, UsageError
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.mutant import Catcher, DoesNotApply, Mutant
from lab.mutant_guest import Job
from lab.mutant_host import Came, DoesNotBuild
from lab.mutant_tree import Tree
from lab.report import aligned, say
from lab.results import matches

PARTS = (*mutant.PARTS, *mutant_cargo.PARTS)
SUITES = (*mutant_host.SUITES, *mutant_guest.SUITES)
REQUIRED = 0.95
IN_CI = "ci"
# What does not build, of a mutant that the compiler has to refuse, and in which lane. The plain one
# compiles no tracepoints.
MODULES = {"module": "plain", "module/debug": "debug"}

# A test, as mutants name it.
Test = tuple[str, str]


class Fate(StrEnum):
    """What became of a mutant."""

    CAUGHT = "caught"
    SURVIVED = "survived"
    EQUIVALENT = "equivalent"


@dataclass(frozen=True)
class Judgement:
    """What became of a mutant, and why it is not caught."""

    mutant: Mutant
    fate: Fate
    why: str = ""


@dataclass
class Trial:
    """What has come of a mutant so far."""

    mutant: Mutant
    # Why its tests could not be run.
    trouble: str = ""
    came: dict[Test, Came] = field(default_factory=dict)


def judge(trial: Trial, baseline: Mapping[Test, Came]) -> Judgement:
    """Says what became of a mutant. All tests that it names must have caught it."""
    one = trial.mutant
    if trial.trouble:
        return Judgement(one, Fate.SURVIVED, trial.trouble)
    if one.equivalent:
        return Judgement(one, Fate.EQUIVALENT)
    if not one.caught_by:
        return Judgement(one, Fate.SURVIVED, "it names no test that catches it")
    for catcher in one.caught_by:
        if why := escaped(catcher, baseline, trial.came):
            return Judgement(one, Fate.SURVIVED, f"{catcher.suite}: {catcher.test}: {why}")
    return Judgement(one, Fate.CAUGHT)


def escaped(catcher: Catcher, baseline: Mapping[Test, Came], came: Mapping[Test, Came]) -> str:
    """Says why a test has not caught a mutant; nothing if it has."""
    key = (catcher.suite, catcher.test)
    before, after = baseline.get(key), came.get(key)
    if before is None:
        return "there is no such test"
    if before.result.status is not Status.PASSED:
        return f"{before.result.status} without the mutant, too"
    if after is None:
        return "it did not run"
    if not after.failed:
        return str(after.result.status)
    said = "\n".join(after.result.diagnostics)
    if catcher.says and catcher.says not in said:
        return f"it fails, but says nothing of '{catcher.says}': {first_line(said)}"
    if after.ended and not catcher.says:
        return f"not the test has failed: {first_line(said)}"
    return ""


def first_line(text: str) -> str:
    """Returns the first line of a text that has one."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def table(scores: Mapping[str, Mapping[Fate, int]]) -> list[tuple[str, ...]]:
    """Returns the rows of the table: a part each."""
    rows: list[tuple[str, ...]] = [("part", *(str(fate) for fate in Fate), "score")]
    for part, counts in scores.items():
        score = f"{score_of(counts):.0%}"
        rows.append((part, *(str(counts[fate]) for fate in Fate), score))
    return rows


def tally(judgements: Iterable[Judgement]) -> dict[str, dict[Fate, int]]:
    """Counts what became of the mutants of each part."""
    counts: dict[str, dict[Fate, int]] = {}
    for one in judgements:
        part = counts.setdefault(one.mutant.part, dict.fromkeys(Fate, 0))
        part[one.fate] += 1
    return counts


def score_of(counts: Mapping[Fate, int]) -> float:
    """Returns the share of the mutants that are caught of those that are not equivalent."""
    of = counts[Fate.CAUGHT] + counts[Fate.SURVIVED]
    return counts[Fate.CAUGHT] / of if of else 1.0


def chosen(everything: Sequence[Mutant], part: str, only: str, sample: str) -> list[Mutant]:
    """Returns the mutants that the variables ask for."""
    if part and part not in PARTS:
        raise UsageError(f"PART={part}: there are {', '.join(PARTS)}")
    found = [one for one in everything if part in ("", one.part) and matches(one.full_name, only)]
    if sample == IN_CI:
        found = [one for one in found if one.in_ci]
    elif sample:
        if not sample.isdecimal():
            raise UsageError(f"SAMPLE={sample} is neither a number nor 'ci'")
        draw = random.Random(time.strftime("%F"))
        found = draw.sample(found, min(int(sample), len(found)))
    if not found and part not in mutant_cargo.PARTS:
        raise UsageError("there is no such mutant")
    return found


def scopes(part: str, only: str, sample: str) -> list[mutant_cargo.Scope]:
    """Returns what cargo-mutants is to change: what PART asks for, or else all in a whole run."""
    if part:
        return [scope for scope in mutant_cargo.SCOPES if scope.part == part]
    return [] if only or sample else list(mutant_cargo.SCOPES)


def lanes_of(mutants: Iterable[Mutant]) -> list[str]:
    """Returns the lanes for whose kernels the module is built."""
    catchers = [catcher for one in mutants for catcher in one.caught_by]
    builds = [one.test for one in catchers if one.suite == mutant_host.BUILD]
    of_guests = {mutant_guest.SUITES[s.suite] for s in catchers if s.suite in mutant_guest.SUITES}
    return sorted(of_guests | {MODULES[test] for test in builds if test in MODULES})


def main(argv: list[str]) -> int:
    """The verb ``mutants``."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--part", default=os.environ.get("PART", ""))
    parser.add_argument("--only", metavar="PATTERN", default=os.environ.get("ONLY", ""))
    parser.add_argument("--sample", metavar="N", default=os.environ.get("SAMPLE", ""))
    options = parser.parse_args(argv)
    mutants = chosen(mutant.read_all(), options.part, options.only, options.sample)
    if unknown := sorted({c.suite for one in mutants for c in one.caught_by} - set(SUITES)):
        raise LabError(f"mutants name suites that do not exist: {', '.join(unknown)}")
    home = paths.cache() / "mutants" / paths.clone_id()
    with paths.locked(home / "lock", "planted faults"):
        return plant(mutants, scopes(options.part, options.only, options.sample), options.sample)


def plant(mutants: Sequence[Mutant], wanted: Sequence[mutant_cargo.Scope], sample: str) -> int:
    """Runs what was chosen, prints what came of it, and returns the exit code."""
    began = time.monotonic()
    judgements = Run(mutants).all() if mutants else []
    scores = tally(judgements)
    survivors = [
        f"{one.mutant.full_name}: {one.why}" for one in judgements if one.fate is Fate.SURVIVED
    ]
    for scope in wanted:
        say(f"cargo-mutants: {scope.part}")
        tools = toolchain.find(want={"tools"})
        share = f"0/{sample}" if sample else ""
        came = mutant_cargo.run(scope, Tree(0), tools, share)
        scores[scope.part] = {
            Fate.CAUGHT: came.caught,
            Fate.SURVIVED: len(came.missed),
            Fate.EQUIVALENT: 0,
        }
        survivors += [f"{scope.part}: {name}" for name in came.missed]
    for survivor in survivors:
        print(f"survived: {survivor}")
    log = logs.new("mutants")
    fates = [[one.mutant.full_name, one.fate, one.why] for one in judgements]
    (log / "mutants.json").write_text(json.dumps(fates, indent=1))
    print(aligned(table(scores)))
    minutes = (time.monotonic() - began) / 60
    count = sum(sum(counts.values()) for counts in scores.values())
    print(f"{count} mutants in {minutes:.0f} minutes; results: {log}/mutants.json")
    passed = all(score_of(counts) >= REQUIRED for counts in scores.values())
    return Exit.PASSED if passed else Exit.TESTS_FAILED


class Run:
    """One call of ``make mutants``."""

    def __init__(self, mutants: Sequence[Mutant]) -> None:
        """Gets the tools, and the kernels of the lanes that the mutants' tests run in."""
        self._trials = {one.full_name: Trial(one) for one in mutants}
        lanes = lanes_of(mutants)
        self._lanes: dict[str, Lane] = {name: lane.prepare(name, {"guest"}) for name in lanes}
        self._tools = toolchain.find(want={"tools", "lab-tests"})
        self._program = (
            cargo.guest_programs(self._lanes[lanes[0]].tools, mutant_guest.PROGRAM)[
                mutant_guest.PROGRAM
            ]
            if lanes
            else Path()
        )
        self._modules = paths.cache() / "mutants" / paths.clone_id() / "modules"
        self._baseline: dict[Test, Came] = {}
        self._count = len(os.sched_getaffinity(0))
        self._trees: queue.SimpleQueue[Tree] = queue.SimpleQueue()
        for number in range(self._count):
            self._trees.put(Tree(number))

    def all(self) -> list[Judgement]:
        """Runs everything, and judges it."""
        rmtree(self._modules, ignore_errors=True)
        self._modules.mkdir(parents=True)
        self._without_a_mutant()
        self._with_mutants()
        return [judge(trial, self._baseline) for trial in self._trials.values()]

    def _tests(self) -> dict[str, list[str]]:
        """Returns all tests that mutants name, by their suites."""
        tests: dict[str, dict[str, None]] = defaultdict(dict)
        for trial in self._trials.values():
            for catcher in trial.mutant.caught_by:
                tests[catcher.suite][catcher.test] = None
        return {suite: list(names) for suite, names in tests.items()}

    def _without_a_mutant(self) -> None:
        """Runs the named tests as they are: what fails here catches nothing."""
        jobs: dict[str, list[Job]] = defaultdict(list)
        for suite, tests in self._tests().items():
            say(f"without a mutant: {len(tests)} tests of {suite}")
            if suite in mutant_guest.SUITES:
                name = mutant_guest.SUITES[suite]
                with self._a_tree() as tree:
                    file = self._module(tree, "none", suite)
                some = [[test] for test in tests] if suite in mutant_guest.VERDICT else [tests]
                jobs[name] += [Job("no mutant", suite, file, tuple(names)) for names in some]
            else:
                with self._a_tree() as tree:
                    self._note(self._baseline, suite, self._on_host(suite, tree, tests))
        for name, mine in jobs.items():
            for job, came in mutant_guest.run(self._lanes[name], self._program, mine):
                self._note(self._baseline, job.suite, came)

    def _with_mutants(self) -> None:
        """Runs each mutant's tests: several on the host at once, and guests in this thread."""
        waiting: dict[str, list[Job]] = defaultdict(list)
        with ThreadPoolExecutor(self._count) as pool:
            futures: dict[Future[list[Job]], Trial] = {
                pool.submit(self._try, trial): trial for trial in self._trials.values()
            }
            try:
                for done, future in enumerate(as_completed(futures), 1):
                    if not future.result():
                        self._tell(futures[future])
                    for job in future.result():
                        waiting[mutant_guest.SUITES[job.suite]].append(job)
                    for name, jobs in waiting.items():
                        if len(jobs) >= mutant_guest.TOGETHER or done == len(futures):
                            self._in_guests(name, jobs)
                            jobs.clear()
            except BaseException:
                # Ctrl-C waits for what runs, and not for all that was to come.
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _in_guests(self, name: str, jobs: Sequence[Job]) -> None:
        if jobs:
            for job, came in mutant_guest.run(self._lanes[name], self._program, jobs):
                self._note(self._trials[job.mutant].came, job.suite, came)
                self._tell(self._trials[job.mutant])

    def _tell(self, trial: Trial) -> None:
        """Says what has become of a mutant so far."""
        one = judge(trial, self._baseline)
        say(f"{one.mutant.full_name}: {one.fate}" + (f": {one.why}" if one.why else ""))

    def _try(self, trial: Trial) -> list[Job]:
        """Runs a mutant's tests on the host, and returns what is to be run in guests."""
        one = trial.mutant
        jobs: list[Job] = []
        tests: dict[str, list[str]] = defaultdict(list)
        for catcher in one.caught_by:
            tests[catcher.suite].append(catcher.test)
        with self._a_tree() as tree:
            try:
                with tree.with_edits(one.edits):
                    for suite, names in tests.items():
                        if suite in mutant_guest.SUITES:
                            file = self._module(tree, one.full_name.replace("/", "-"), suite)
                            jobs.append(Job(one.full_name, suite, file, tuple(names)))
                        else:
                            self._note(trial.came, suite, self._on_host(suite, tree, names))
            except DoesNotApply as error:
                trial.trouble = f"it does not apply: {error}"
            except DoesNotBuild as error:
                trial.trouble = f"it does not build: {_error_of(str(error))}"
        return [] if trial.trouble else jobs

    def _on_host(self, suite: str, tree: Tree, tests: Sequence[str]) -> dict[str, Came]:
        modules = [test for test in tests if suite == mutant_host.BUILD and test in MODULES]
        came = {test: self._module_builds(tree, test) for test in modules}
        if others := [test for test in tests if test not in modules]:
            came |= mutant_host.run(suite, tree, others, self._tools)
        return came

    def _module_builds(self, tree: Tree, test: str) -> Came:
        """Builds the module where that has to fail."""
        suite = next(s for s, name in mutant_guest.USER.items() if name == MODULES[test])
        try:
            self._module(tree, tree.home.name, suite, anew=True)
        except DoesNotBuild as error:
            return Came(Result(test, Status.FAILED, "", tuple(str(error).splitlines())))
        return Came(Result(test, Status.PASSED))

    def _module(self, tree: Tree, name: str, suite: str, *, anew: bool = False) -> Path:
        """Builds the module of a copy, and keeps it for a guest."""
        where = self._lanes[mutant_guest.SUITES[suite]]
        kunit = suite in mutant_guest.KUNIT
        kept = self._modules / f"{name}-{where.name}-{'kunit' if kunit else 'user'}.ko"
        if anew or not kept.exists():
            try:
                built = module.build_copy(tree.root, where.kernel, where.tools, kunit=kunit)
            except LabError as error:
                raise DoesNotBuild(str(error)) from error
            copy2(built / "ringdev.ko", kept)
        return kept

    @contextmanager
    def _a_tree(self) -> Iterator[Tree]:
        tree = self._trees.get()
        try:
            yield tree
        finally:
            self._trees.put(tree)

    @staticmethod
    def _note(into: dict[Test, Came], suite: str, came: Mapping[str, Came]) -> None:
        into.update({(suite, test): one for test, one in came.items()})


def _error_of(said: str) -> str:
    """Returns the first line of a build's output that is an error."""
    return next((line.strip() for line in said.splitlines() if "error" in line), first_line(said))
