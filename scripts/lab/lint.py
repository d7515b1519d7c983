# SPDX-License-Identifier: GPL-2.0
"""``make lint``: format, warnings and style of everything in the repository."""

import argparse
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from lab import (
    cargo,
    docs,
    environment,
    kernel,
    module,
    new,
    paths,
    pytools,
    rust_source,
    toolchain,
)
from lab.errors import Exit, LabError, UsageError
from lab.kernel import Kernel
from lab.results import matches
from lab.toolchain import Toolchain

# Files that cannot hold an SPDX line, and why not.
NO_SPDX = (
    "COPYING",  # the licence's own text
    "Cargo.lock",  # written by cargo
    "debian/*",  # for Debian's tools; debian/copyright speaks for them
    "debian/source/*",
    "Documentation/guide/*.txt",  # what a terminal shows, and the guide
    "Documentation/matrix/rows.json",  # JSON has no comments
    "Documentation/performance/*.svg",  # drawn by matplotlib
    "tests/bench/instructions.json",  # JSON as well
    "tests/fuzz/corpus/*",  # programs in hexadecimal
    "tests/lab/fixtures/*",  # what kernels and programs have said, as they said it
)

# What checkpatch.pl shall not say, and why not.
CHECKPATCH_IGNORE = {
    # Kbuild and Kconfig name the files that they are in where a reader has to look there.
    "EMBEDDED_FILENAME",
    # A module parameter's description is one string, as modinfo prints it; the same check lets
    # C's MODULE_PARM_DESC pass.
    "LONG_LINE_STRING",
    # The wrapper of waitqueue_active() has its comment where the barrier is: at its Rust caller.
    "WAITQUEUE_ACTIVE",
}

# What it shall not say of headers of tracepoints, which are laid out as the kernel's are.
CHECKPATCH_IGNORE_EVENTS = CHECKPATCH_IGNORE | {"OPEN_ENDED_LINE", "PARENTHESIS_ALIGNMENT"}

SHELLS = {"sh", "bash", "dash"}


class Finding(Exception):
    """What one of the checks has to say."""


def tracked() -> list[Path]:
    """Returns the repository's files, relative to its root: the tracked and the not yet added."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", environment.GITIGNORE],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listing.returncode:
        raise LabError(f"make lint asks git for the files of this tree: {listing.stderr.strip()}")
    names = dict.fromkeys(name for name in listing.stdout.split("\0") if name)
    return [Path(name) for name in names if (paths.ROOT / name).is_file()]


def spdx_missing(files: Iterable[Path], root: Path) -> list[str]:
    """Returns what does not name the licence on its first line, or its second after a ``#!``."""
    found: list[str] = []
    for file in files:
        if any(file.match(pattern) for pattern in NO_SPDX):
            continue
        with (root / file).open(errors="replace") as text:
            first, second = text.readline(), text.readline()
        line = second if first.startswith("#!") else first
        if not re.search(r"SPDX-License-Identifier: GPL-2\.0( WITH Linux-syscall-note)?\b", line):
            found.append(f"{file}: no 'SPDX-License-Identifier: GPL-2.0' where it belongs")
    return found


def unsafe_rules(files: Iterable[Path], root: Path) -> list[str]:
    """Returns where the module breaks the rules of `unsafe`."""
    found: list[str] = []
    for file in files:
        if file.suffix != ".rs" or file.parts[0] != "src":
            continue
        text = (root / file).read_text()
        if file.parts[:2] == ("src", "staging"):
            found += [
                f"{file}:{line}: unsafe {what}"
                for line, what in rust_source.undocumented_unsafe(text)
            ]
        else:
            found += [
                f"{file}:{line}: unsafe outside src/staging/"
                for line in rust_source.unsafe_lines(text)
            ]
    return found


def is_shell(file: Path, root: Path) -> bool:
    """Says whether ``file`` is a shell script, by its name or its first line."""
    if file.suffix == ".sh":
        return True
    with (root / file).open(errors="replace") as content:
        first = content.readline(200)
    words = first.removeprefix("#!").split()
    return first.startswith("#!") and any(Path(word).name in SHELLS for word in words)


def panic_calls(binary: Path, tc: Toolchain) -> list[str]:
    """Returns the functions of core::panicking that an object file or a module calls."""
    nm = str(tc.llvm_bin / "llvm-nm") if tc.llvm_bin else "nm"
    listing = subprocess.run(
        [nm, "--undefined-only", "--format=just-symbols", str(binary)],
        env=tc.env(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    # As rustc writes the name of a module, its length comes first.
    return [f"{binary.name} calls {symbol}" for symbol in listing.split() if "9panicking" in symbol]


class Lint:
    """The checks, each a method that raises a Finding if there is something to mend."""

    def __init__(self, tc: Toolchain, tree: Kernel) -> None:
        """Prepares to check the repository with these tools, against this kernel."""
        self.tc = tc
        self.kernel = tree
        self.files = tracked()

    def checks(self) -> Mapping[str, Callable[[], None]]:
        """Returns the checks by the names under which they are shown."""
        return {
            "SPDX": self.spdx,
            "unsafe": self.unsafe,
            "rustfmt": self.rustfmt,
            "shellcheck": self.shellcheck,
            "ruff": self.ruff,
            "mypy": self.mypy,
            "checkpatch": self.checkpatch,
            "ABI entries": self.abi_entries,
            "clippy (module)": self.clippy_module,
            "clippy (samples/module)": self.clippy_template,
            "no panic path": self.panic_paths,
            "clippy (host)": self.clippy_host,
            "clippy (loom)": self.clippy_loom,
            "docs": self.docs,
        }

    def spdx(self) -> None:
        """Each file names its licence."""
        _tell(spdx_missing(self.files, paths.ROOT))

    def unsafe(self) -> None:
        """The module's `unsafe` is where it belongs and says why it is sound."""
        _tell(unsafe_rules(self.files, paths.ROOT))

    def rustfmt(self) -> None:
        """Rust has the kernel's format; outside the module, that of its newer edition."""
        found: list[str] = []
        for file in self.files:
            if file.suffix != ".rs":
                continue
            edition = "2021" if self._in_kernel(file) else "2024"
            command = [
                *(str(self.tc.rustfmt), "--check", "--color", "never"),
                *("--edition", edition, "--style-edition", edition),
                *("--config-path", str(self.kernel.src / ".rustfmt.toml")),
            ]
            if said := misformatted(command, (paths.ROOT / file).read_text(), self.tc.env()):
                found.append(said.replace("<stdin>", str(file)))
        _tell(found)

    @staticmethod
    def _in_kernel(file: Path) -> bool:
        """Says whether kbuild compiles ``file``: the module, and the modules of the red tests."""
        return not any(
            (paths.ROOT / folder / "Cargo.toml").exists() for folder in file.parents[:-1]
        )

    def shellcheck(self) -> None:
        """Shell scripts are as shellcheck likes them."""
        scripts = [str(file) for file in self.files if is_shell(file, paths.ROOT)]
        self._run([str(self.tc.tool("shellcheck")), "--norc", "--", *scripts])

    def ruff(self) -> None:
        """Python is as ruff likes it."""
        python = str(pytools.python(self.tc))
        self._run([python, "-m", "ruff", "check", "--quiet", "--output-format=concise", "."])
        self._run([python, "-m", "ruff", "format", "--check", "--quiet", "--diff", "."])

    def mypy(self) -> None:
        """Python's types fit."""
        self._run([str(pytools.python(self.tc)), "-m", "mypy", "--no-error-summary"])

    def checkpatch(self) -> None:
        """What the kernel's own reviewers' script says of what kbuild and C compilers read."""
        files = [
            file
            for file in self.files
            if file.name in {"Kbuild", "Kconfig"}
            or file.suffix in {".c", ".h"}
            or file.parts[0] in {"src", "include"}
        ]
        events = [file for file in files if file.parts[:2] == ("include", "trace")]
        others = [file for file in files if file not in events]
        for some, ignore in ((others, CHECKPATCH_IGNORE), (events, CHECKPATCH_IGNORE_EVENTS)):
            self._run(
                [
                    *(str(self.tc.tool("perl")), str(self.kernel.src / "scripts/checkpatch.pl")),
                    *("--strict", "--no-tree", "--quiet", "--terse", "--show-types"),
                    *("--no-summary", "--ignore", ",".join(sorted(ignore))),
                    *("--file", *map(str, some)),
                ],
                **environment.NO_HOME,
            )

    def abi_entries(self) -> None:
        """What the kernel's own script says of Documentation/ABI; it always ends well."""
        script = self.kernel.src / "tools/docs/get_abi.py"
        run = subprocess.run(
            [
                str(self.tc.tool("venv")),
                "-B",
                str(script),
                "--dir",
                "Documentation/ABI",
                "validate",
            ],
            cwd=paths.ROOT,
            env=self.tc.env(),
            capture_output=True,
            text=True,
            check=False,
        )
        _tell((run.stdout + run.stderr).splitlines())

    def clippy_module(self) -> None:
        """The module builds without a warning of any compiler, with KUnit suites and without."""
        for kunit in (False, True):
            try:
                module.lint(self.kernel, self.tc, kunit=kunit)
            except LabError as error:
                raise Finding(str(error)) from error

    def clippy_template(self) -> None:
        """So does the module that people begin with."""
        try:
            module.lint_external(new.TEMPLATE, self.kernel, self.tc, flags=["KUNIT=1"])
        except LabError as error:
            raise Finding(str(error)) from error

    def panic_paths(self) -> None:
        """The module as users get it never calls what makes Rust panic."""
        built = module.build(self.kernel, self.tc, kunit=False) / "ringdev.ko"
        _tell(panic_calls(built, self.tc))

    def clippy_host(self) -> None:
        """The crates outside the kernel are as clippy likes them."""
        self._clippy("clippy", [])

    def clippy_loom(self) -> None:
        """So are the models, which are there only under another configuration."""
        self._clippy("clippy-loom", ["--package", "ring-core-tests"], RUSTFLAGS="--cfg loom")

    def docs(self) -> None:
        """Sphinx and rustdoc make pages without a warning."""
        try:
            docs.check(self.kernel, self.tc)
        except LabError as error:
            raise Finding(str(error)) from error

    def _clippy(self, flavour: str, arguments: Sequence[str], **env: str) -> None:
        self._run(
            [
                *(str(self.tc.cargo), "clippy", "--locked", "--quiet", "--all-targets"),
                *("--target-dir", str(cargo.target_dir(flavour)), *arguments),
                *("--", "--deny", "warnings"),
            ],
            **env,
        )

    def _run(self, command: Sequence[str], **env: str) -> None:
        """Runs a linter, which has something to say if it fails."""
        run = subprocess.run(
            command,
            cwd=paths.ROOT,
            env={**self.tc.env(), **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if run.returncode:
            raise Finding(run.stdout.rstrip() or f"{command[0]} failed and did not say why")


def misformatted(command: Sequence[str], text: str, env: Mapping[str, str]) -> str:
    """Returns what ``rustfmt --check`` would change in a text, or says of it.

    Read from stdin, rustfmt leaves the modules alone that a file names: they are checked for
    themselves, and those of src/ring belong to two crates. But then it also exits with 0, whatever
    it would change; so what it prints counts.
    """
    run = subprocess.run(
        command, env=dict(env), input=text, capture_output=True, text=True, check=False
    )
    said = (run.stdout + run.stderr).rstrip()
    return said or ("rustfmt failed and said nothing" if run.returncode else "")


def _tell(found: Sequence[str]) -> None:
    if found:
        raise Finding("\n".join(found))


def main(argv: list[str]) -> int:
    """Runs every check, also after one has failed, and says how each came out."""
    parser = argparse.ArgumentParser(prog="make lint", description=__doc__)
    parser.add_argument("--only", metavar="PATTERN", default=os.environ.get("ONLY", ""))
    options = parser.parse_args(argv)
    tc = toolchain.find(lane="plain", want={"kernel", "lint"})
    lint = Lint(tc, kernel.ensure("plain", tc))
    chosen = {name: check for name, check in lint.checks().items() if matches(name, options.only)}
    if not chosen:
        raise UsageError(f"there is no check whose name has '{options.only}' in it")
    failed: list[str] = []
    for name, check in chosen.items():
        try:
            check()
        except Finding as finding:
            failed.append(name)
            print(f"!! {name}", *f"{finding}".splitlines(), sep="\n    ", flush=True)
        else:
            print(f"ok {name}", flush=True)
    if failed:
        print(f"lint: to be mended: {', '.join(failed)}")
    return Exit.TESTS_FAILED if failed else Exit.PASSED
