# SPDX-License-Identifier: GPL-2.0
"""``make fuzz``: what the guest's program tells, what is made of it, and the corpus."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab import fuzz, mutant, paths
from lab.boot import Outcome
from lab.errors import Exit, UsageError
from lab.fuzz import Failure, Run
from lab.kernel import Kernel
from lab.ktap import Status
from lab.lane import Lane
from lab.qemu import Port
from lab.splat import Splat
from lab.toolchain import Toolchain
from lab.verdict import Verdict

PROGRAM = "00112233445566778899aabb" + "0102030405060708090a0b0c" + "aabbcc"
OTHER = "ff112233445566778899aabb"

TOLD = f"""new {PROGRAM}
failure {PROGRAM} data arrive once and in order
| Setup {{ pages: 1 }}
| 0: Clear
|
failure {OTHER} whoever waits is woken
count programs 7
count programs 9
count calls 120
keep {OTHER}
covered 1a 2b
covered ff
ran abc
"""


def run(told: str = "", code: Exit = Exit.PASSED, *problems: str) -> Run:
    report = fuzz.read_report(told)
    return Run(report, Verdict(code), Path("/logs"), [], [], list(problems))


def test_what_the_program_tells_is_read() -> None:
    report = fuzz.read_report(TOLD)
    assert report.failures == [
        Failure(PROGRAM, "data arrive once and in order", ("Setup { pages: 1 }", "0: Clear", "")),
        Failure(OTHER, "whoever waits is woken"),
    ]
    assert report.found == [PROGRAM]
    assert report.kept == [OTHER]
    assert report.counts == {"programs": 9, "calls": 120}
    assert report.covered == {0x1A, 0x2B, 0xFF}
    assert report.ran == ["abc"]


def test_a_failure_leaves_a_file_that_can_be_replayed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(fuzz, "FAILURES", tmp_path / "failures")
    file = fuzz.leave(fuzz.read_report(TOLD).failures[0])
    assert file.name.startswith("data-arrive-once-and-in-order-")
    assert "# 0: Clear\n" in file.read_text()
    assert fuzz.read_program(file) == PROGRAM
    assert file.read_text().splitlines()[-1] == "aabbcc"


def test_the_corpus_is_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "CORPUS", tmp_path / "corpus")
    fuzz.write_corpus(fuzz.CORPUS, [PROGRAM])
    fuzz.write_corpus(fuzz.CORPUS, [PROGRAM, OTHER])
    assert {fuzz.read_program(file) for file in fuzz.corpus()} == {PROGRAM, OTHER}
    fuzz.write_corpus(fuzz.CORPUS, [OTHER])
    assert [fuzz.read_program(file) for file in fuzz.corpus()] == [OTHER]
    # Something else in the folder is no program.
    (fuzz.CORPUS / "README").write_text("")
    assert len(fuzz.corpus()) == 1


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    fuzz.write_corpus(tmp_path / "corpus", [PROGRAM, OTHER])
    return sorted((tmp_path / "corpus").iterdir())


def statuses(files: list[Path], came: Run) -> Mapping[str, Status]:
    return {result.name: result.status for result in fuzz.results(files, came)}


def test_each_program_of_the_corpus_has_a_result(files: list[Path]) -> None:
    ran = "".join(f"ran {file.name}\n" for file in files)
    assert set(statuses(files, run(ran)).values()) == {Status.PASSED}
    assert len(statuses(files, run(ran))) == len(files)


def test_a_program_that_did_not_run_has_failed(files: list[Path]) -> None:
    found = statuses(files, run(f"ran {files[0].name}\n"))
    assert found[f"fuzz_{files[0].name}"] is Status.PASSED
    assert found[f"fuzz_{files[1].name}"] is Status.FAILED


def test_a_broken_rule_fails_its_program_alone(files: list[Path]) -> None:
    ran = "".join(f"ran {file.name}\n" for file in files)
    wrong = fuzz.read_program(files[1])
    found = fuzz.results(files, run(f"failure {wrong} a rule\n| how\n{ran}"))
    assert [result.status for result in found] == [Status.PASSED, Status.FAILED]
    assert found[1].diagnostics == ("a rule", "how")


@pytest.mark.parametrize(
    ("told", "code", "problems"),
    [
        ("", Exit.LEAK, []),
        ("", Exit.PASSED, ["it ended with exit code 2"]),
        (f"failure {'77' * 12} a rule\n", Exit.PASSED, []),
    ],
)
def test_trouble_of_the_whole_is_a_failure(
    files: list[Path], told: str, code: Exit, problems: list[str]
) -> None:
    ran = "".join(f"ran {file.name}\n" for file in files)
    found = statuses(files, run(ran + told, code, *problems))
    assert found["(the corpus as a whole)"] is Status.FAILED


def test_a_report_of_the_kernel_is_put_down_to_the_program_before_it() -> None:
    console = (
        "[    1.0] fuzz: program 1\n"
        "[    2.0] fuzz: program 2\n"
        "[    2.1] BUG: KASAN: slab-use-after-free in f\n"
        "[    3.0] fuzz: program 3\n"
    )
    headline = "BUG: KASAN: slab-use-after-free in f"
    judged = Verdict(Exit.SPLAT, "", (Splat("sanitizer", headline, (headline,)),))
    report = fuzz.read_report(f"at 1 {PROGRAM}\nat 2 {OTHER}\nat 3 33\n")
    assert fuzz.suspects(console, judged, report) == [OTHER]
    assert fuzz.suspects(console, Verdict(Exit.HANG), report) == ["33"]
    assert fuzz.suspects("", Verdict(Exit.HANG), report) == []


@pytest.mark.parametrize(
    ("code", "told", "wrong"),
    [
        ("0", "", False),
        ("1", f"failure {OTHER} a rule\n", False),
        ("2", "", True),
        ("137", "", True),
        ("0", f"failure {OTHER} a rule\n", True),
        # The guest never said: its verdict speaks of that.
        ("", "", False),
    ],
)
def test_the_exit_code_has_to_fit_what_was_told(code: str, told: str, *, wrong: bool) -> None:
    outcome = Outcome(Path("/logs"), {"exit": code} if code else {}, outputs={Port.STDERR: "why"})
    assert bool(fuzz.problems(outcome, fuzz.read_report(told))) is wrong


def test_the_exit_code_is_that_of_what_went_wrong(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(fuzz, "FAILURES", tmp_path / "target/fuzz")
    assert fuzz._close(run()) is Exit.PASSED
    assert fuzz._close(run(TOLD)) is Exit.TESTS_FAILED
    assert fuzz._close(run("", Exit.LEAK)) is Exit.LEAK
    problem = run("", Exit.PASSED, "it did not run to its end")
    assert fuzz._close(problem) is Exit.TESTS_FAILED
    assert len(list((tmp_path / "target/fuzz").iterdir())) == 2


@pytest.mark.parametrize(
    "words",
    [["--minutes=0"], ["--minutes=x"], ["--seed=-1"], ["--replay=/no"], ["--mutant=channel/no"]],
)
def test_a_wrong_variable_is_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        fuzz.main(words)


KERNEL = Kernel("debug", Path("/"), Path("/"), "7.3.4-lab", "key")
WHERE = Lane("fuzz", Toolchain(tools={}), KERNEL, {}, "tcg")
PLANTED = mutant.Mutant("channel", "some-fault", mutant.BY_HAND, ())


@pytest.mark.parametrize(
    ("came", "code"),
    [
        (run(TOLD), Exit.PASSED),
        (run("", Exit.SPLAT), Exit.PASSED),
        (run(), Exit.TESTS_FAILED),
        # What ended the search was not the fault.
        (run("", Exit.PASSED, "it ended with exit code 2"), Exit.TESTS_FAILED),
        (run("", Exit.NOT_LOADED), Exit.NOT_LOADED),
    ],
)
def test_a_planted_fault_has_to_be_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, came: Run, code: Exit
) -> None:
    words: list[str] = []

    def boot(_: Lane, __: Path, told: list[str], files: list[Path], ___: float) -> Run:
        words.extend(told)
        assert not files
        return came

    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(fuzz, "FAILURES", tmp_path / "target/fuzz")
    monkeypatch.setattr(fuzz, "_boot", boot)
    assert fuzz._prove(WHERE, Path("/ringdev.ko"), PLANTED, 60, "1") is code
    assert "--first" in words
    # No corpus: what is found is found from nothing.
    assert "--corpus" not in words


def test_a_mutant_is_known_by_its_part_and_name() -> None:
    assert fuzz._mutant("channel/evict-in-two-sections").full_name == (
        "channel/evict-in-two-sections"
    )


def test_the_program_knows_the_limit_that_the_module_gets() -> None:
    source = (paths.ROOT / "tests/fuzz/src/ring.rs").read_text()
    shift = re.search(r"^const MAX_USER_BYTES: u64 = 1 << (\d+);$", source, re.MULTILINE)
    assert shift
    assert 1 << int(shift[1]) == fuzz.MAX_USER_BYTES


def test_the_committed_corpus_is_small_and_named_by_what_it_is() -> None:
    files = fuzz.corpus()
    assert sum(file.stat().st_size for file in files) < 400_000
    assert {file.name for file in files} == {fuzz.short(fuzz.read_program(file)) for file in files}
    assert len(files) == len(list(fuzz.CORPUS.glob("*")))


HEADER = (paths.ROOT / "include/uapi/linux/ringdev.h").read_text()
SYZKALLER = (paths.ROOT / "tests/fuzz/syzkaller/ringdev.txt").read_text()


def test_the_description_for_syzkaller_has_every_ioctl() -> None:
    declared = set(re.findall(r"^#define (RINGDEV_IOC_\w+)", HEADER, re.MULTILINE))
    described = re.findall(r"^ioctl\$(RINGDEV_IOC_\w+)\(.*const\[(\w+)\]", SYZKALLER, re.MULTILINE)
    assert {name for name, _ in described} == declared
    assert all(name == constant for name, constant in described)


def test_the_description_for_syzkaller_has_every_field_in_its_place() -> None:
    for name, body in re.findall(
        r"^struct (ringdev_\w+) \{\n(.*?)^\};", HEADER, re.MULTILINE | re.DOTALL
    ):
        if name == "ringdev_record":
            # Only a read returns it.
            continue
        fields = re.findall(r"^\t__?\w+ (\w+)|^\tchar (\w+)", body, re.MULTILINE)
        wanted = [one or other for one, other in fields]
        match = re.search(rf"^{name} \{{\n(.*?)^\}}", SYZKALLER, re.MULTILINE | re.DOTALL)
        assert match, name
        found: list[str] = []
        for field, kind in re.findall(r"^\t(\w+)\t+(\S.*)$", match[1], re.MULTILINE):
            counters = re.match(r"array\[int64, (\d+)\]", kind)
            count = int(counters[1]) if counters else 0
            # Counters of the same width stand together.
            found += wanted[len(found) : len(found) + count] if counters else [field]
        assert found == wanted, name


def test_the_description_for_syzkaller_says_that_nobody_has_checked_it() -> None:
    assert "UNCHECKED" in SYZKALLER
