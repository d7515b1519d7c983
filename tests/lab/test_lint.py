# SPDX-License-Identifier: GPL-2.0
"""Shows that the lint's own checks find what they are for."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import docs, kernel, lint, module, paths, pytools, toolchain
from lab.errors import LabError, UsageError
from lab.kernel import Kernel
from lab.toolchain import Toolchain

SPDX = "SPDX-License-Identifier: GPL-2.0"


def write(root: Path, name: str, text: str) -> Path:
    """Writes a file of a made-up repository, and returns its name there."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)
    return Path(name)


@pytest.mark.parametrize(
    "text",
    [
        f"// {SPDX}\n",
        f"#!/bin/sh\n# {SPDX}\n",
        f"/* {SPDX} WITH Linux-syscall-note */\n",
        f".. {SPDX}\n\nTitle\n",
    ],
)
def test_a_licence_in_its_place(tmp_path: Path, text: str) -> None:
    assert lint.spdx_missing([write(tmp_path, "file", text)], tmp_path) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fn f() {}\n",
        f"\n// {SPDX}\n",
        f"// A comment first.\n// {SPDX}\n",
        "// SPDX-License-Identifier: MIT\n",
        f"// {SPDX}1\n",
    ],
)
def test_no_licence_or_another_or_elsewhere(tmp_path: Path, text: str) -> None:
    assert len(lint.spdx_missing([write(tmp_path, "file", text)], tmp_path)) == 1


def test_files_that_cannot_hold_a_licence_are_named_one_by_one(tmp_path: Path) -> None:
    exempt = [write(tmp_path, name, "x") for name in ("COPYING", "Cargo.lock")]
    assert lint.spdx_missing(exempt, tmp_path) == []
    assert lint.spdx_missing([write(tmp_path, "COPYING.txt", "x")], tmp_path)


def test_unsafe_outside_staging(tmp_path: Path) -> None:
    text = "// SAFETY: never mind.\nunsafe { f() }\n"
    assert lint.unsafe_rules([write(tmp_path, "src/ring/mod.rs", text)], tmp_path) == [
        "src/ring/mod.rs:2: unsafe outside src/staging/"
    ]
    assert lint.unsafe_rules([write(tmp_path, "src/staging/mod.rs", text)], tmp_path) == []


def test_unsafe_in_staging_without_its_reason(tmp_path: Path) -> None:
    file = write(tmp_path, "src/staging/mod.rs", "fn f() {\n    unsafe { g() }\n}\n")
    assert lint.unsafe_rules([file], tmp_path) == [
        "src/staging/mod.rs:2: unsafe has no SAFETY comment before it"
    ]


@pytest.mark.parametrize(
    ("name", "text", "shell"),
    [
        ("a.sh", "", True),
        ("run", "#!/usr/bin/env bash\n", True),
        ("init", "#!/bin/sh\n", True),
        ("init", "#!/bin/busybox sh\n", True),
        ("a.py", "#!/usr/bin/env python3\n", False),
        ("a", "sh\n", False),
    ],
)
def test_shell_scripts_are_known(tmp_path: Path, name: str, text: str, shell: bool) -> None:
    assert lint.is_shell(write(tmp_path, name, text), tmp_path) is shell


@pytest.fixture(scope="module")
def tools() -> Toolchain:
    """A compiler and its tools; `make test` comes with them."""
    return toolchain.find(want={"host-tests"}, install=False)


@pytest.mark.parametrize(
    ("body", "panics"),
    [("array[index]", True), ("*array.get(index).unwrap_or(&0)", False)],
)
def test_a_call_that_may_panic_is_seen(
    tmp_path: Path, tools: Toolchain, body: str, panics: bool
) -> None:
    source = tmp_path / "probe.rs"
    source.write_text(
        "#![no_std]\n#[unsafe(no_mangle)]\n"
        f"pub fn probe(array: &[u8], index: usize) -> u8 {{ {body} }}\n"
    )
    binary = tmp_path / "probe.o"
    subprocess.run(
        [tools.rustc, "--crate-type=lib", "--edition=2021", "-O", "--emit=obj", "-o", binary,
         source],
        env=tools.env(),
        check=True,
    )  # fmt: skip
    assert bool(lint.panic_calls(binary, tools)) is panics


@pytest.mark.parametrize(
    ("script", "found"),
    [
        ("cat >/dev/null", ""),
        # What rustfmt 1.8 does with a difference in what it reads from stdin.
        ("cat >/dev/null; echo 'Diff in <stdin>:1:'", "Diff in <stdin>:1:"),
        ("cat >/dev/null; echo 'error: no' >&2; exit 1", "error: no"),
        ("cat >/dev/null; exit 1", "rustfmt failed and said nothing"),
    ],
)
def test_a_difference_is_found_whatever_the_exit_code(script: str, found: str) -> None:
    assert lint.misformatted(["sh", "-c", script], "fn main() {}\n", {}) == found


def test_rustfmt_itself_finds_what_it_would_change() -> None:
    rustfmt = shutil.which("rustfmt")
    # That of rustup is none where HOME has no settings of rustup.
    if not rustfmt or subprocess.run([rustfmt, "--version"], check=False).returncode:
        pytest.skip("there is no rustfmt here: make lint installs it")
    command = [rustfmt, "--check", "--edition", "2021"]
    assert lint.misformatted(command, "fn main() {}\n", os.environ) == ""
    assert "Diff in" in lint.misformatted(command, "fn main( ) {}\n", os.environ)


def test_only_names_the_checks_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[str] = []

    class MadeUp:
        def __init__(self, *_: object) -> None:
            pass

        def checks(self) -> dict[str, object]:
            return {name: lambda name=name: ran.append(name) for name in ("ruff", "mypy", "docs")}

    monkeypatch.setattr(lint, "Lint", MadeUp)
    monkeypatch.setattr(toolchain, "find", lambda **_: None)
    monkeypatch.setattr(kernel, "ensure", lambda *_: None)
    assert lint.main(["--only", "ruff|docs"]) == 0
    assert ran == ["ruff", "docs"]
    assert capsys.readouterr().out == "ok ruff\nok docs\n"
    with pytest.raises(UsageError):
        lint.main(["--only", "x"])


# A check that finds nothing must have looked.

FOUND = "it was found"


@pytest.fixture
def checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], lint.Lint]:
    """Returns the lint of a tree in which each program, or none, finds something."""

    def make(finds: bool) -> lint.Lint:
        root = tmp_path / str(finds)
        program = root / "program"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{f'echo {FOUND}; exit 1' if finds else ':'}\n")
        program.chmod(0o755)
        licence = "" if finds else f"// {SPDX}\n"
        files = [
            write(root, "src/a.rs", f"{licence}fn f() {{{' unsafe { g() }' if finds else ''}}}\n"),
            write(root, "src/staging/helpers.c", f"// {SPDX}\n"),
            write(root, "include/trace/events/ringdev.h", f"/* {SPDX} */\n"),
            write(root, "script", f"#!/bin/sh\n# {SPDX}\n"),
        ]

        def build(*_: object, **__: object) -> Path:
            if finds:
                raise LabError(FOUND)
            return root

        monkeypatch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        monkeypatch.setattr(paths, "ROOT", root)
        monkeypatch.setattr(lint, "tracked", lambda: files)
        monkeypatch.setattr(pytools, "python", lambda *_: program)
        monkeypatch.setattr(module, "lint", build)
        monkeypatch.setattr(module, "lint_external", build)
        monkeypatch.setattr(docs, "check", build)
        monkeypatch.setattr(module, "build", lambda *_, **__: root)
        monkeypatch.setattr(lint, "panic_calls", lambda *_: [FOUND] if finds else [])
        tools = ("rustfmt", "shellcheck", "perl", "venv", "cargo", "rustc")
        tc = Toolchain(dict.fromkeys(tools, program))
        return lint.Lint(tc, Kernel("plain", root, root, "7.3.4", "key"))

    return make


CHECKS = list(lint.Lint.__new__(lint.Lint).checks())


@pytest.mark.parametrize("name", CHECKS)
def test_each_check_reports_what_it_finds(checked: Callable[[bool], lint.Lint], name: str) -> None:
    checked(False).checks()[name]()
    own = {"SPDX": "no 'SPDX", "unsafe": "unsafe outside"}
    with pytest.raises(lint.Finding, match=own.get(name, FOUND)):
        checked(True).checks()[name]()


@pytest.mark.parametrize("kunit", [False, True])
def test_the_module_is_linted_with_its_suites_and_without(
    checked: Callable[[bool], lint.Lint], monkeypatch: pytest.MonkeyPatch, kunit: bool
) -> None:
    def warn(*_: object, **how: bool) -> None:
        if how["kunit"] is kunit:
            raise LabError(FOUND)

    one = checked(False)
    monkeypatch.setattr(module, "lint", warn)
    with pytest.raises(lint.Finding, match=FOUND):
        one.clippy_module()
