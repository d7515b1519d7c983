# SPDX-License-Identifier: GPL-2.0
"""Short verbs: what they run, what they print, and the exit code that they make of it."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from lab import (
    cargo,
    compile_fail,
    debian,
    debug,
    docs,
    fuzz,
    gdb,
    in_tree,
    in_tree_build,
    kernel,
    lane,
    lint,
    mistakes,
    module,
    modules,
    packaging,
    paths,
    pytools,
    release,
    ringctl,
    run,
    rust_analyzer,
    rust_headers,
    selftest,
    toolchain,
    vm,
)
from lab.compile_fail import Mistake
from lab.errors import Exit, UsageError
from lab.kernel import Kernel
from lab.ktap import Result, Status
from lab.lane import Lane
from lab.suite import SuiteRun
from lab.toolchain import Toolchain
from lab.verdict import Verdict

TOOLS = Toolchain({"cargo": Path("/bin/cargo"), "gdb": Path("/bin/gdb"), "rustc": Path("/rustc")})


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives each test a cache and a kernel of its own, and takes the user's variables away."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("CMD", "EXTRA", "KDIR", "LANE", "ONLY"):
        monkeypatch.delenv(name, raising=False)
    tree = Kernel("plain", tmp_path / "src", tmp_path / "build", "7.3.4-lab", "key")
    where = Lane("plain", TOOLS, tree, {}, "tcg")
    monkeypatch.setattr(toolchain, "find", lambda **_: TOOLS)
    monkeypatch.setattr(lane, "prepare", lambda *_: where)
    monkeypatch.setattr(kernel, "ensure", lambda *_: tree)
    monkeypatch.setattr(Lane, "module", lambda *_, **__: tmp_path / "module/ringdev.ko")


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[list[str]]]:
    """Lets programs end with a code, and returns the calls of them."""

    def end_with(code: int) -> list[list[str]]:
        calls: list[list[str]] = []

        def end(command: Sequence[str], **_: object) -> "subprocess.CompletedProcess[str]":
            calls.append(list(command))
            return subprocess.CompletedProcess(command, code, "", "")

        monkeypatch.setattr(subprocess, "run", end)
        return calls

    return end_with


ENDS = pytest.mark.parametrize(("code", "exit_code"), [(0, Exit.PASSED), (2, Exit.BUILD_FAILED)])


@ENDS
def test_make_modules_reports_whether_the_module_was_built(
    monkeypatch: pytest.MonkeyPatch,
    ran: Callable[[int], list[list[str]]],
    code: int,
    exit_code: Exit,
) -> None:
    monkeypatch.setattr(modules, "user_tree", lambda: Path("/kdir"))
    monkeypatch.setattr(rust_headers, "complete", lambda kdir: kdir)
    monkeypatch.setattr(modules, "find_tools", lambda _: TOOLS)
    monkeypatch.setattr(kernel, "read_config", lambda _: {})
    calls = ran(code)
    assert modules.main([]) is exit_code
    [command] = calls
    assert command[:3] == ["make", "-C", "/kdir"]
    assert command[-1] == "modules"


@ENDS
def test_make_ringctl_reports_whether_the_program_was_built(
    ran: Callable[[int], list[list[str]]], code: int, exit_code: Exit
) -> None:
    calls = ran(code)
    assert ringctl.main([]) is exit_code
    assert "--package=ringctl" in calls[0]


@ENDS
def test_make_rust_analyzer_prints_the_file_that_was_written(
    ran: Callable[[int], list[list[str]]],
    capsys: pytest.CaptureFixture[str],
    code: int,
    exit_code: Exit,
) -> None:
    calls = ran(code)
    assert rust_analyzer.main([]) is exit_code
    assert calls[0][-1] == "rust-analyzer"
    assert capsys.readouterr().out == ("" if code else f"{paths.ROOT}/rust-project.json\n")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, ["--lane", "plain", "--no-module", "--", "sh /lab/demo"]),
        ({"LANE": "rt"}, ["--lane", "rt", "--no-module", "--", "sh /lab/demo"]),
        ({"CMD": "ls"}, ["--lane", "plain", "--", "ls"]),
        ({"CMD": "ls", "EXTRA": "dir"}, ["--lane", "plain", "--extra", "dir", "--", "ls"]),
    ],
)
def test_make_run_hands_its_variables_to_the_guest(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], words: list[str]
) -> None:
    calls: list[list[str]] = []

    def in_guest(argv: list[str], *_: str) -> int:
        calls.append(argv)
        return 7

    monkeypatch.setattr(vm, "main", in_guest)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert run.main([]) == 7
    assert calls == [words]


def test_gdb_attaches_to_the_guest_that_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda _, words: commands.append(words))

    def guest(*_: object, gdb: tuple[str, ...]) -> int:
        # In another terminal.
        gdb_verb([])
        [socket] = [word for word in gdb if word.startswith("unix:")]
        assert socket.removeprefix("unix:").partition(",")[0] in " ".join(commands[0])
        return 5

    gdb_verb = gdb.main
    monkeypatch.setattr(vm, "run", guest)
    assert debug.main([]) == 5
    [command] = commands
    assert command[0] == "/bin/gdb"
    for word in (f"file {tmp_path}/build/vmlinux", f"lx-symbols {tmp_path}/module"):
        assert word in command
    # The guest has ended, so nothing waits any more.
    assert not debug.waiting().exists()


def test_make_docs_has_each_tool_write_its_pages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def page(folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()

    monkeypatch.setattr(docs, "sphinx", lambda builder, _, out: page(out, f"{builder}.html"))
    monkeypatch.setattr(cargo, "document", lambda _, out: page(out, "client.html"))
    monkeypatch.setattr(module, "document", lambda _, __, out: page(out, "module.html"))
    out = tmp_path / "docs"
    docs.write(cast("Kernel", None), TOOLS, out)
    pages = {str(file.relative_to(out)) for file in out.rglob("*.html")}
    assert pages == {"html.html", "rust/client/client.html", "rust/module/module.html"}


def test_make_mistakes_judges_a_guest_without_a_mistake_and_one_for_each(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[tuple[list[str], list[str]]] = []

    def boot(_: Lane, __: Path, names: list[str], tests: list[str]) -> tuple[SuiteRun, list[str]]:
        made.append((names, tests))
        return SuiteRun([], Verdict(Exit.PASSED), tmp_path), []

    monkeypatch.setattr(mistakes, "_boot", boot)
    found = [
        Mistake(Path(f"{name}.rs"), Path("mod.rs"), (), f"test_of_{name}", mistakes.NOTHING)
        for name in ("a", "b")
    ]
    results = list(mistakes._run(lane.prepare("debug"), Path("program"), found))
    assert [result.name for result in results] == [mistakes.CONTROL, "a", "b"]
    tests = ["test_of_a", "test_of_b"]
    assert made == [([], tests), (["a"], tests[:1]), (["b"], tests[1:])]


@pytest.mark.parametrize("built", [True, False])
def test_packages_are_installed_if_they_were_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], built: bool
) -> None:
    monkeypatch.setattr(release, "refuse_dirty", lambda: None)
    monkeypatch.setattr(debian, "root", lambda *_: None)
    monkeypatch.setattr(release, "make", lambda *_: None)
    monkeypatch.setattr(packaging, "bring_rustc", lambda *_: None)
    monkeypatch.setattr(packaging, "sbom_is_valid", lambda *_: Result("sbom", Status.PASSED))
    paths.cache()
    scripts: list[str] = []

    def script(test: packaging._TestRun, name: str) -> Result:
        scripts.append(name)
        if name == "build" and built:
            (test._work / "debs").mkdir()
        return Result(name, Status.PASSED if built or name != "build" else Status.FAILED)

    monkeypatch.setattr(packaging._TestRun, "script", script)
    assert packaging.main([]) is (Exit.PASSED if built else Exit.TESTS_FAILED)
    assert scripts == ["dkms", "build", *(["install"] if built else [])]
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == ("4 passed, 0 failed, 0 skipped" if built else "2 passed, 1 failed, 0 skipped")


def test_the_last_line_of_test_in_tree_has_the_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    paths.cache()
    monkeypatch.setattr(in_tree, "write", lambda *_: [])
    monkeypatch.setattr(in_tree, "check", lambda *_: [])
    monkeypatch.setattr(in_tree_build, "build", lambda *_: [Result("left out", Status.FAILED)])
    assert in_tree_build.main([]) is Exit.TESTS_FAILED
    assert capsys.readouterr().out.splitlines()[-1] == "1 passed, 1 failed, 0 skipped"


def test_a_selftest_of_nothing_shows_no_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pytools, "tests", lambda *_: ("lab", []))
    monkeypatch.setenv("ONLY", "no-such-case")
    with pytest.raises(UsageError):
        selftest.main([])
    assert capsys.readouterr().out == ""


def test_make_fuzz_searches_and_keeps_what_it_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    booted: list[Sequence[str]] = []

    def boot(_: Lane, _built: Path, words: Sequence[str], *__: object) -> fuzz.Run:
        booted.append(words)
        report = fuzz.read_report("keep 0011\n")
        return fuzz.Run(report, Verdict(Exit.HANG), tmp_path, [], [])

    monkeypatch.setattr(fuzz, "_boot", boot)
    monkeypatch.setattr(fuzz, "_summary", lambda *_: "")
    monkeypatch.setattr(fuzz, "CORPUS", paths.ROOT / "target/no-such-corpus")
    kept: list[list[str]] = []
    monkeypatch.setattr(fuzz, "write_corpus", lambda _, programs: kept.append(programs))
    monkeypatch.setenv("MINUTES", "3")
    # What the guest came out as is what the verb comes out as.
    assert fuzz.main(["--seed", "9"]) is Exit.HANG
    [words] = booted
    assert list(words[1:6]) == ["search", "--seconds", "180", "--seed", "9"]
    assert kept == [["0011"]]


def test_the_lint_looks_at_the_files_of_the_tree(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    (tmp_path / "script").write_text("no licence\n")
    monkeypatch.setattr(lint, "tracked", lambda: [Path("script")])
    with pytest.raises(lint.Finding, match="script: no 'SPDX"):
        lint.Lint(TOOLS, kernel.ensure("plain", TOOLS)).spdx()


@pytest.fixture
def tree(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Returns the module's sources, of which a mistake becomes a part."""
    source = tmp_path / "tree/src/channel.rs"
    source.parent.mkdir(parents=True)
    source.write_text("fn channel() {}\n")
    (source.parent / "ringdev_main.rs").write_text("mod channel;\n")
    monkeypatch.setattr(paths, "ROOT", tmp_path / "tree")
    yield source
    assert source.read_text() == "fn channel() {}\n"


def test_a_mistake_is_made_in_a_copy_of_its_file(tree: Path, tmp_path: Path) -> None:
    compiler = tmp_path / "compiler"
    # It says what it was given, and that it refuses it.
    compiler.write_text(
        '#!/bin/sh\nfor last; do :; done\ncat "${last%/*}/channel.rs" >seen\n'
        """echo '{"level": "error", "message": "no", "code": null, "spans":"""
        """ [{"is_primary": true, "file_name": "a.rs"}]}' >&2\nexit 1\n"""
    )
    compiler.chmod(0o755)
    mistake = Mistake(tmp_path / "a.rs", Path("src/channel.rs"), ("no",), "test", "nothing")
    call = module.Compiler((str(compiler),), {"PATH": "/bin:/usr/bin"}, tmp_path)
    assert list(compile_fail._errors(call, [mistake], ())) == [("a.rs", ": no")]
    seen = (tmp_path / "seen").read_text()
    assert seen == f'{tree.read_text()}\n#[path = "{mistake.file}"]\nmod a;\n'
