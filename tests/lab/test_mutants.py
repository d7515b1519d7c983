# SPDX-License-Identifier: GPL-2.0
"""Tests of planted faults: their files, what becomes of one, and the guests that run several."""

import queue
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lab import (
    decode,
    module,
    mutant,
    mutant_cargo,
    mutant_guest,
    mutant_host,
    mutant_tree,
    mutants,
    paths,
    pytools,
    selftest,
    verdict,
)
from lab.boot import Outcome
from lab.errors import Exit, LabError, UsageError
from lab.kernel import Kernel
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.mutant import Catcher, Edit, Mutant
from lab.mutant_guest import Job
from lab.mutant_host import Came
from lab.mutants import Fate, Judgement, Trial
from lab.qemu import Port
from lab.toolchain import Toolchain
from lab.verdict import Verdict

READS = Catcher("user", "it_reads")
PLANTED = Mutant("channel", "m", "hand", (Edit(Path("a"), "1\n", "2\n"),), caught_by=(READS,))


def came(status: Status, *said: str, ended: bool = False) -> Came:
    return Came(Result("it_reads", status, "", said), ended)


GOOD = {("user", "it_reads"): came(Status.PASSED)}


def fate(trial: Trial, baseline: dict[mutants.Test, Came] | None = None) -> tuple[Fate, str]:
    judgement = mutants.judge(trial, GOOD if baseline is None else baseline)
    return judgement.fate, judgement.why


def test_a_named_test_that_fails_has_caught_it() -> None:
    trial = Trial(PLANTED, came={("user", "it_reads"): came(Status.FAILED)})
    assert fate(trial) == (Fate.CAUGHT, "")


def test_each_named_test_has_to_fail() -> None:
    both = replace(PLANTED, caught_by=(READS, Catcher("user", "it_writes")))
    baseline = {**GOOD, ("user", "it_writes"): came(Status.PASSED)}
    trial = Trial(both, came={
        ("user", "it_reads"): came(Status.FAILED), ("user", "it_writes"): came(Status.PASSED)
    })  # fmt: skip
    assert fate(trial, baseline) == (Fate.SURVIVED, "user: it_writes: passed")


def test_another_test_that_fails_has_not_caught_it() -> None:
    trial = Trial(PLANTED, came={
        ("user", "it_reads"): came(Status.PASSED), ("user", "it_writes"): came(Status.FAILED)
    })  # fmt: skip
    assert fate(trial) == (Fate.SURVIVED, "user: it_reads: passed")


@pytest.mark.parametrize("trouble", ["it does not apply: ...", "it does not build: ..."])
def test_what_does_not_apply_or_build_has_survived(trouble: str) -> None:
    trial = Trial(PLANTED, trouble, {("user", "it_reads"): came(Status.FAILED)})
    assert fate(trial) == (Fate.SURVIVED, trouble)


def test_a_test_that_fails_without_the_mutant_catches_nothing() -> None:
    trial = Trial(PLANTED, came={("user", "it_reads"): came(Status.FAILED)})
    baseline = {("user", "it_reads"): came(Status.FAILED)}
    assert fate(trial, baseline) == (
        Fate.SURVIVED, "user: it_reads: failed without the mutant, too"
    )  # fmt: skip


def test_a_test_that_does_not_exist_catches_nothing() -> None:
    trial = Trial(PLANTED, came={("user", "it_reads"): came(Status.FAILED)})
    assert fate(trial, {}) == (Fate.SURVIVED, "user: it_reads: there is no such test")


@pytest.mark.parametrize("status", [Status.PASSED, Status.SKIPPED])
def test_a_test_that_passes_or_is_skipped_has_not_caught_it(status: Status) -> None:
    trial = Trial(PLANTED, came={("user", "it_reads"): came(status)})
    assert fate(trial) == (Fate.SURVIVED, f"user: it_reads: {status}")


def test_a_test_that_did_not_run_has_not_caught_it() -> None:
    assert fate(Trial(PLANTED)) == (Fate.SURVIVED, "user: it_reads: it did not run")


def test_a_guest_that_ends_is_another_reason_unless_that_is_named() -> None:
    ended = {("user", "it_reads"): came(Status.FAILED, "panic: it gave up", ended=True)}
    assert fate(Trial(PLANTED, came=ended)) == (
        Fate.SURVIVED, "user: it_reads: not the test has failed: panic: it gave up"
    )  # fmt: skip
    named = replace(PLANTED, caught_by=(replace(READS, says="panic:"),))
    assert fate(Trial(named, came=ended)) == (Fate.CAUGHT, "")


def test_a_report_has_to_contain_the_named_text() -> None:
    named = replace(PLANTED, caught_by=(replace(READS, says="KASAN"),))
    failed = {("user", "it_reads"): came(Status.FAILED, "assertion failed")}
    assert fate(Trial(named, came=failed)) == (
        Fate.SURVIVED, "user: it_reads: it fails, but says nothing of 'KASAN': assertion failed"
    )  # fmt: skip


def test_a_mutant_without_a_test_has_survived() -> None:
    trial = Trial(replace(PLANTED, caught_by=()))
    assert fate(trial) == (Fate.SURVIVED, "it names no test that catches it")


def test_an_equivalent_mutant_counts_for_nothing() -> None:
    trial = Trial(replace(PLANTED, caught_by=(), equivalent="Nobody looks at it."))
    assert fate(trial) == (Fate.EQUIVALENT, "")
    assert fate(replace(trial, trouble="it does not apply")) == (
        Fate.SURVIVED, "it does not apply"
    )  # fmt: skip


def test_the_score_leaves_out_what_is_equivalent() -> None:
    fates = [Fate.CAUGHT] * 19 + [Fate.SURVIVED] + [Fate.EQUIVALENT] * 5
    judgements = [Judgement(PLANTED, one) for one in fates]
    assert mutants.table(mutants.tally(judgements))[1] == ("channel", "19", "1", "5", "95%")
    [counts] = mutants.tally(judgements).values()
    assert mutants.score_of(counts) >= mutants.REQUIRED
    counts[Fate.SURVIVED] += 1
    assert mutants.score_of(counts) < mutants.REQUIRED


def test_variables_choose_mutants() -> None:
    other = replace(PLANTED, part="tools", name="n", in_ci=True)
    everything = [PLANTED, other]
    assert mutants.chosen(everything, "tools", "", "") == [other]
    assert mutants.chosen(everything, "", "channel/", "") == [PLANTED]
    assert mutants.chosen(everything, "", "", "ci") == [other]
    assert len(mutants.chosen(everything, "", "", "1")) == 1
    for part, only, sample in (("x", "", ""), ("", "x", ""), ("", "", "many")):
        with pytest.raises(UsageError):
            mutants.chosen(everything, part, only, sample)


def write(folder: Path, **keys: str) -> Path:
    file = folder / "channel/m.toml"
    file.parent.mkdir(exist_ok=True)
    said = {"file": '"a"', "rule": '"negate-condition"', **keys}
    edit = "[[edit]]\noriginal = '''\n1\n'''\nmutated = '''\n2\n'''\n"
    file.write_text("".join(f"{key} = {value}\n" for key, value in said.items()) + edit)
    return file


def test_a_file_is_read_as_it_is_written(tmp_path: Path) -> None:
    whole = Mutant(
        part="channel",
        name="m",
        rule="hand",
        edits=(Edit(Path("a"), "1\n", ""), Edit(Path("b"), "'x'\n", '"y"\\\n')),
        function="Channel::read",
        why="It 'loses' a \"byte\".",
        caught_by=(READS, Catcher("lab", "test_a::b[c: d]", "says: that")),
        in_ci=True,
    )
    file = tmp_path / "channel/m.toml"
    file.parent.mkdir()
    file.write_text(mutant.render(whole))
    assert mutant.read(file) == whole
    same = replace(whole, caught_by=(), equivalent="Nobody\nlooks at it.")
    file.write_text(mutant.render(same))
    assert mutant.read(file) == same


def test_an_equivalent_mutant_has_to_be_argued(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="argues"):
        mutant.read(write(tmp_path, equivalent='" "'))
    with pytest.raises(LabError, match="argues"):
        mutant.read(write(tmp_path, equivalent='"so"', caught_by='["user: it_reads"]'))


def test_a_mutant_by_hand_has_to_say_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="'why'"):
        mutant.read(write(tmp_path, rule='"hand"'))


@pytest.mark.parametrize(
    ("key", "value"), [("caught_by", '["it_reads"]'), ("caugth_by", "[]"), ("file", "")]
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, key: str, value: str) -> None:
    with pytest.raises(LabError):
        mutant.read(write(tmp_path, **{key: value}))


def test_a_mutant_applies_if_its_text_is_there_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("0\n1\n2\n")
    edits = [Edit(Path("a"), "1\n", "x\n")]
    mutant.apply(edits, tmp_path)
    assert (tmp_path / "a").read_text() == "0\nx\n2\n"
    with pytest.raises(mutant.DoesNotApply, match="0 times"):
        mutant.apply(edits, tmp_path)
    (tmp_path / "a").write_text("1\n1\n")
    with pytest.raises(mutant.DoesNotApply, match="2 times"):
        mutant.apply(edits, tmp_path)
    with pytest.raises(mutant.DoesNotApply, match="there is no b"):
        mutant.apply([Edit(Path("b"), "1\n", "")], tmp_path)


def test_what_applies_in_part_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1\n")
    (tmp_path / "b").write_text("1\n")
    with pytest.raises(mutant.DoesNotApply):
        mutant.apply([Edit(Path("a"), "1\n", "2\n"), Edit(Path("b"), "3\n", "")], tmp_path)
    assert (tmp_path / "a").read_text() == "1\n"


JOBS = [
    Job("channel/a", "user", Path("a.ko"), ("it_reads", "it_writes")),
    Job("channel/b", "kunit", Path("b.ko"), ("suite.case",)),
    Job("channel/c", "user", Path("c.ko"), ("it_reads",)),
]
KTAP = "KTAP version 1\n1..1\n"


def test_a_guest_tells_of_each_mutant_apart() -> None:
    output = (
        f"== job 0\n{KTAP}# because\nnot ok 1 it_reads\n== done 0\n"
        f"== job 1\nKTAP version 1\n1..1\n{KTAP}    ok 1 x\n== done 1\n"
    )
    found = mutant_guest.read(output, JOBS, ["panic: it gave up"])
    assert set(found) == {0, 1}
    assert found[0] == {"it_reads": came(Status.FAILED, "# because")}


def test_a_guest_that_ends_fails_what_was_running_and_begins_no_other() -> None:
    output = f"== job 0\n{KTAP}ok 1 it_reads\n== done 0\n== job 1\n"
    found = mutant_guest.read(output, JOBS, ["panic: it gave up"])
    assert not found[0]["it_reads"].ended
    assert found[1]["suite.case"].ended
    assert found[1]["suite.case"].result.diagnostics == ("panic: it gave up",)
    assert 2 not in found


Boots = list[tuple[list[str], dict[int, dict[str, Came]]]]


def run_jobs(
    monkeypatch: pytest.MonkeyPatch, boots: Boots, jobs: list[Job]
) -> list[tuple[str, dict[str, Came]]]:
    """Runs jobs in guests that come out so; each has to be asked for these mutants."""

    def boot(_where: object, _program: Path, some: list[Job]) -> object:
        mutants_of_it, came_of_it = boots.pop(0)
        assert [job.mutant for job in some] == mutants_of_it
        return SimpleNamespace(log=Path("log")), came_of_it

    monkeypatch.setattr(mutant_guest, "_boot", boot)
    where = cast("Lane", SimpleNamespace(name="plain"))
    ran = [(job.mutant, found) for job, found in mutant_guest.run(where, Path("p"), jobs)]
    assert not boots
    return ran


def test_what_a_guest_did_not_come_to_gets_another(monkeypatch: pytest.MonkeyPatch) -> None:
    good, dead = {"t": came(Status.FAILED)}, {"t": came(Status.FAILED, ended=True)}
    a, b, c = (job.mutant for job in JOBS)
    # The second ends the guest: it has one of its own, and so has what is left.
    boots: Boots = [([a, b, c], {0: good, 1: dead}), ([b], {0: dead}), ([c], {0: good})]
    assert run_jobs(monkeypatch, boots, JOBS) == [(a, good), (b, dead), (c, good)]
    # The first has had it for itself.
    boots = [([a, b], {0: dead}), ([b], {0: good})]
    assert run_jobs(monkeypatch, boots, JOBS[:2]) == [(a, dead), (b, good)]


def test_what_is_judged_by_its_verdict_has_a_guest_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    jobs = [replace(job, suite="verdict") for job in JOBS]
    boots: Boots = [([job.mutant], {0: {}}) for job in jobs]
    assert len(run_jobs(monkeypatch, boots, jobs)) == 3


def test_a_guest_that_comes_to_nothing_has_run_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    boots: Boots = [([job.mutant for job in JOBS], {})]
    assert run_jobs(monkeypatch, boots, JOBS) == [(job.mutant, {}) for job in JOBS]


def test_the_guests_script_is_a_shells_and_leaves_a_spoilt_guest(tmp_path: Path) -> None:
    text = mutant_guest.script(JOBS, "plain", take_turns=False)
    file = tmp_path / "script"
    file.write_text(text)
    subprocess.run(["sh", "-n", str(file)], check=True)
    assert text.count("tainted") == len(JOBS)
    assert text.count("lockdep_stats") == len(JOBS)
    assert "insmod" in text.split("== job 1")[1].split("== job 2")[0]
    assert "insmod" not in text.split("== job 1")[0]


def test_a_pattern_selects_one_test() -> None:
    assert mutant_guest.exactly("it_reads") == "it_r*eads"


def test_a_test_with_parameters_is_as_bad_as_its_worst() -> None:
    found = [
        Result("test_a::b[1]", Status.PASSED),
        Result("test_a::b[2]", Status.FAILED),
        Result("test_a::bc", Status.FAILED),
    ]
    named = mutant_host._named(found, ["test_a::b", "test_a::b[1]", "test_a::d"])
    assert {name: one.result.status for name, one in named.items()} == {
        "test_a::b": Status.FAILED,
        "test_a::b[1]": Status.PASSED,
    }


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> mutant_tree.Tree:
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setattr(paths, "ROOT", root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    who = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    (root / "committed").write_text("1\n")
    (root / "changed").write_text("1\n")
    for arguments in (["init", "--quiet"], ["add", "."], [*who, "commit", "--quiet", "-mx"]):
        subprocess.run(["git", "-C", str(root), *arguments], check=True)
    (root / "changed").write_text("2\n")
    (root / "new").write_text("3\n")
    return mutant_tree.Tree(0)


def test_a_copy_has_what_is_committed_and_what_is_not(tree: mutant_tree.Tree) -> None:
    texts = {name: (tree.root / name).read_text() for name in ("committed", "changed", "new")}
    assert texts == {"committed": "1\n", "changed": "2\n", "new": "3\n"}
    (paths.ROOT / "new").unlink()
    (paths.ROOT / "changed").write_text("4\n")
    again = mutant_tree.Tree(0)
    assert not (again.root / "new").exists()
    assert (again.root / "changed").read_text() == "4\n"


def test_a_copy_is_itself_again_after_a_mutant(tree: mutant_tree.Tree) -> None:
    before = (tree.root / "committed").stat().st_mtime_ns
    edits = [Edit(Path("changed"), "2\n", "5\n")]
    with tree.with_edits(edits):
        assert (tree.root / "changed").read_text() == "5\n"
        assert (paths.ROOT / "changed").read_text() == "2\n"
    assert (tree.root / "changed").read_text() == "2\n"
    # A build goes by the times of files.
    assert (tree.root / "committed").stat().st_mtime_ns == before


def test_cargo_mutants_runs_in_a_whole_run_or_if_it_is_asked_for() -> None:
    def parts(part: str, only: str, sample: str) -> list[str]:
        return [scope.part for scope in mutants.scopes(part, only, sample)]

    assert parts("", "", "") == ["core", "client"]
    assert parts("core", "", "20") == ["core"]
    assert parts("channel", "", "") == parts("", "x", "") == parts("", "", "ci") == []
    assert mutants.chosen([], "core", "", "") == []


def outcome(summary: str, name: str = "x") -> dict[str, object]:
    return {"scenario": {"Mutant": {"name": name}}, "summary": summary}


def test_what_cargo_mutants_says() -> None:
    baseline = {"scenario": "Baseline", "summary": "Success"}
    summaries = ["CaughtMutant", "Timeout", "Unviable", "CaughtMutant"]
    said = [baseline, *map(outcome, summaries), outcome("MissedMutant", "a.rs: replace + with -")]
    assert mutant_cargo.read({"outcomes": said}) == mutant_cargo.Outcome(
        caught=3, missed=("a.rs: replace + with -",), unviable=1
    )
    with pytest.raises(LabError, match="without a change"):
        mutant_cargo.read({"outcomes": [{**baseline, "summary": "Failure"}]})


def test_a_link_in_a_copy_follows_the_trees(tree: mutant_tree.Tree) -> None:
    link = paths.ROOT / "link"
    for target in ("committed", "changed"):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        mutant_tree.Tree(0)
        assert (tree.root / "link").readlink() == Path(target)


def program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("code", [0, 101])
def test_what_cargo_says_of_errors_is_kept_only_if_it_fails(
    tree: mutant_tree.Tree, tmp_path: Path, code: int
) -> None:
    # Of a build that succeeds, all of it must be JSON.
    cargo = program(tmp_path / "cargo", f"echo '{{}}'; echo warning >&2; exit {code}")
    tc = Toolchain({"cargo": cargo, "rustc": Path("/usr/bin/rustc")})
    came = mutant_host._run_cargo(tree, ["check"], tc)
    assert came == (code, "{}\n" + ("warning\n" if code else ""))


def test_cargo_mutants_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = f'echo "$@" >>{tmp_path}/calls; mkdir -p "$4/bin" "$4/target"; touch "$4/bin/$9"'
    cargo = program(tmp_path / "cargo", text)
    tc = Toolchain({"cargo": cargo, "rustc": Path("/usr/bin/rustc")})
    built = mutant_cargo.program(tc)
    assert built.exists()
    assert mutant_cargo.program(tc) == built
    [call] = (tmp_path / "calls").read_text().splitlines()
    assert f"--version {mutant_cargo.VERSION} cargo-mutants" in call


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Exit.PASSED, Status.PASSED),
        # KUnit marks the kernel.
        (Exit.TAINT, Status.PASSED),
        (Exit.LEAK, Status.FAILED),
        (Exit.SPLAT, Status.FAILED),
    ],
)
def test_a_guest_is_judged_by_its_verdict_but_for_the_mark_of_kunit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: Exit, status: Status
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths.cache()
    outcome = Outcome(tmp_path, outputs={Port.STDOUT: ""})
    monkeypatch.setattr(mutant_guest, "boot", lambda *_: outcome)
    monkeypatch.setattr(verdict, "judge", lambda *_, **__: Verdict(code))
    monkeypatch.setattr(decode, "reports", lambda *_: ["a report"])
    tree = Kernel("debug", tmp_path, tmp_path, "7.3.4", "key")
    where = Lane("debug", Toolchain({"busybox": tmp_path, "qemu": tmp_path}), tree, {}, "tcg")
    job = Job("a", "verdict/debug", tmp_path / "ringdev.ko", ("test",))
    _, came = mutant_guest._boot(where, tmp_path / "ringdev-tests", [job])
    result = came[0]["test"].result
    assert result.status is status
    if status is Status.FAILED:
        assert result.diagnostics[0].startswith(f"{code.name.lower()}: ")
        assert result.diagnostics[1] == "a report"


def test_a_guest_whose_aids_are_not_at_work_has_caught_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths.cache()
    facts = {"kernel": "7.3.4", "command": "", "exit": "0", "rmmod": "absent", "taint": "0"}
    aids = {"aids": ""}

    def boot(*_: object) -> Outcome:
        return Outcome(tmp_path, facts={**facts, **aids, "end": ""})

    monkeypatch.setattr(mutant_guest, "boot", boot)
    tree = Kernel("debug", tmp_path, tmp_path, "7.3.4", "key")
    tools = Toolchain({"busybox": tmp_path, "qemu": tmp_path})
    where = Lane("debug", tools, tree, {"CONFIG_PROVE_LOCKING": "y"}, "tcg")
    job = Job("a", "verdict/debug", tmp_path / "ringdev.ko", ("test",))
    _, came = mutant_guest._boot(where, tmp_path / "ringdev-tests", [job])
    assert came == {0: {}}
    aids["aids"] = "lockdep"
    _, came = mutant_guest._boot(where, tmp_path / "ringdev-tests", [job])
    assert came[0]["test"].result.status is Status.PASSED


@pytest.mark.parametrize(
    ("suite", "words"),
    [
        ("test", ["test", ""]),
        ("test/plain", ["test", "plain"]),
        ("selftest/debug", ["selftest", "debug"]),
    ],
)
def test_what_the_lab_of_a_copy_runs_is_read_from_its_results(
    tree: mutant_tree.Tree, tmp_path: Path, suite: str, words: list[str]
) -> None:
    (tree.root / "scripts").mkdir()
    results = tmp_path / "junit.xml"
    failed = '<testcase name="a leak"><failure>because</failure></testcase>'
    results.write_text(f"<testsuites>{failed}<testcase name='others'/></testsuites>")
    program(
        tree.root / "scripts/lab.sh",
        f'echo "$1 $LANE $ONLY $NO_INSTALL" >{tmp_path}/call; echo "lab: results: {results}"',
    )
    came = mutant_host.run(suite, tree, ["a leak"], Toolchain({}))
    assert came == {"a leak": Came(Result("a leak", Status.FAILED, "", ("because",)))}
    assert (tmp_path / "call").read_text() == f"{words[0]} {words[1]} a leak 1\n"


def test_each_suite_of_a_mutant_exists() -> None:
    catchers = [one for mutant_ in mutant.read_all() for one in mutant_.caught_by]
    assert {one.suite for one in catchers} <= set(mutants.SUITES)
    cases = {f"selftest/{case.lane}: {case.name}" for case in selftest.CASES}
    named = {f"{one.suite}: {one.test}" for one in catchers if one.suite.startswith("selftest/")}
    assert named <= cases
    for test in (one.test for one in catchers if one.suite == "lab"):
        file, _, function = test.partition("[")[0].partition("::")
        assert f"def {function}(" in (paths.ROOT / f"tests/lab/{file}.py").read_text(), test


def test_an_interrupted_run_begins_no_other_mutant(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    run = mutants.Run.__new__(mutants.Run)
    run._count = 1
    run._baseline = {}
    run._trials = {
        name: Trial(replace(PLANTED, name=name)) for name in (str(number) for number in range(50))
    }

    def try_one(trial: Trial) -> list[Job]:
        tried.append(trial.mutant.name)
        if len(tried) > 1:
            time.sleep(0.05)
        return []

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_try", try_one)
    monkeypatch.setattr(run, "_tell", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run._with_mutants()
    assert len(tried) < 10


def test_a_test_of_the_lab_that_does_not_exist_keeps_no_other_from_running(
    tree: mutant_tree.Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pytools, "python", lambda _: Path(sys.executable))
    (tree.root / "tests/lab").mkdir(parents=True)
    (tree.root / "tests/lab/test_a.py").write_text("def test_b():\n    raise ValueError\n")
    names = ["test_a::test_b", "test_a::test_c", "test_b::test_a"]
    came = mutant_host.run("lab", tree, names, Toolchain({"rustc": Path("/usr/bin/rustc")}))
    assert {name: one.result.status for name, one in came.items()} == {names[0]: Status.FAILED}
    assert (
        mutant_host.run("lab", tree, names[1:], Toolchain({"rustc": Path("/usr/bin/rustc")})) == {}
    )


class OneTree:
    """A copy of the tree in which nothing is built."""

    home = Path("/home/0")
    root = Path("/home/0/tree")

    @contextmanager
    def with_edits(self, edits: Sequence[Edit]) -> Iterator[None]:
        if edits[0].original == "gone\n":
            raise mutant.DoesNotApply("gone")
        yield


def one_run(monkeypatch: pytest.MonkeyPatch, *mutants_: Mutant, fails: set[str]) -> mutants.Run:
    """Returns a run of these mutants, in which some tests of the host fail with each."""
    tried = 0

    def on_host(
        _: str, __: mutant_tree.Tree, tests: Sequence[str], ___: Toolchain
    ) -> dict[str, Came]:
        nonlocal tried
        tried += 1
        if "does not build" in tests:
            raise mutant_host.DoesNotBuild("error: no such thing")
        bad = fails if tried > 1 else set()
        return {
            test: Came(Result(test, Status.FAILED if test in bad else Status.PASSED))
            for test in tests
        }

    monkeypatch.setattr(mutant_host, "run", on_host)
    run = mutants.Run.__new__(mutants.Run)
    run._trials = {one.full_name: Trial(one) for one in mutants_}
    run._lanes, run._baseline, run._count = {}, {}, 1
    run._tools = Toolchain({})
    run._trees = queue.SimpleQueue()
    run._trees.put(cast("mutant_tree.Tree", OneTree()))
    return run


def test_a_run_judges_each_mutant_by_the_tests_that_it_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def naming(name: str, test: str, original: str = "1\n") -> Mutant:
        edits = (Edit(Path("a"), original, "2\n"),)
        return replace(PLANTED, name=name, edits=edits, caught_by=(Catcher("lab", test),))

    planted = [naming("good", "fails"), naming("weak", "passes"), naming("old", "fails", "gone\n")]
    run = one_run(monkeypatch, *planted, fails={"fails"})
    run._modules = tmp_path / "modules"
    assert {one.mutant.name: (one.fate, one.why) for one in run.all()} == {
        "good": (Fate.CAUGHT, ""),
        "weak": (Fate.SURVIVED, "lab: passes: passed"),
        "old": (Fate.SURVIVED, "it does not apply: gone"),
    }


def test_a_mutant_that_does_not_build_has_survived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = replace(PLANTED, caught_by=(Catcher("tools", "does not build"),))
    run = one_run(monkeypatch, one, fails=set())
    run._with_mutants()
    [trial] = run._trials.values()
    assert trial.trouble == "it does not build: error: no such thing"


@pytest.mark.parametrize(
    ("fates", "code"),
    [
        ([Fate.CAUGHT] * 19 + [Fate.SURVIVED], Exit.PASSED),
        ([Fate.CAUGHT] * 18 + [Fate.SURVIVED], Exit.TESTS_FAILED),
        ([], Exit.PASSED),
    ],
)
def test_a_part_has_to_catch_95_per_cent(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    fates: list[Fate],
    code: Exit,
) -> None:
    came = [Judgement(replace(PLANTED, name=str(at)), fate) for at, fate in enumerate(fates)]
    # Another part's score does not help.
    came += [Judgement(replace(PLANTED, part="lab", name="x"), Fate.CAUGHT)] * 100
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths.cache()
    monkeypatch.setattr(mutants, "Run", lambda _: SimpleNamespace(all=lambda: came))
    assert mutants.plant([PLANTED], [], "") is code
    assert ("survived: channel/" in capsys.readouterr().out) is (Fate.SURVIVED in fates)


@pytest.mark.parametrize(("test", "name"), mutants.MODULES.items())
def test_a_mutant_that_must_not_build_is_built_for_its_lane(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, test: str, name: str
) -> None:
    def refuse(_: Path, kernel: Kernel, *__: object, **___: object) -> Path:
        raise LabError(f"error in the {kernel.lane} lane")

    one = replace(PLANTED, caught_by=(Catcher("build", test, f"in the {name} lane"),))
    assert mutants.lanes_of([one]) == [name]
    run = one_run(monkeypatch, one, fails=set())
    tree = Kernel(name, tmp_path, tmp_path, "7.3.4", "key")
    run._lanes = {name: Lane(name, Toolchain({}), tree, {}, "tcg")}
    run._modules = tmp_path
    run._baseline = {("build", test): Came(Result(test, Status.PASSED))}
    monkeypatch.setattr(module, "build_copy", refuse)
    run._with_mutants()
    [trial] = run._trials.values()
    assert mutants.judge(trial, run._baseline).fate is Fate.CAUGHT


def test_a_run_prepares_the_lanes_of_all_its_suites() -> None:
    def naming(*tests: str) -> Mutant:
        return replace(PLANTED, caught_by=tuple(mutant.catcher(test) for test in tests))

    assert mutants.lanes_of([naming("lab: a::b", "tools: c", "build: tools")]) == []
    assert mutants.lanes_of([naming("lab: a::b"), naming("user: d")]) == ["plain"]
    both = [naming("verdict/debug: e => leak"), naming("build: module")]
    assert mutants.lanes_of(both) == ["debug", "plain"]
