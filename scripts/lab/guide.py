# SPDX-License-Identifier: GPL-2.0
"""Runs the examples of Documentation/guide.rst in a guest, and compares what they print.

An example is a file of Documentation/guide that looks as a terminal would: a command stands behind
``# ``, the rest of it behind ``> ``, and below it what it prints. A shell of its own runs each
example; what it shows then has to be the file. Programs in C that stand there are compiled.
"""

import re
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from lab import cargo, paths, suite
from lab.errors import LabError
from lab.lane import Lane
from lab.results import matches
from lab.suite import SuiteRun
from lab.task import Task
from lab.toolchain import Toolchain

SUITE = "guide"
DOCUMENT = paths.ROOT / "Documentation/guide.rst"
FOLDER = paths.ROOT / "Documentation/guide"

_INCLUDED = re.compile(r"^\.\. literalinclude:: guide/(\S+)$", re.MULTILINE)

# Seconds that an example may take under TCG, also on a busy host.
PATIENCE = 60

# Runs the examples that it is called with. The rings of one are not there for the next.
RUNNER = f"""\
echo 'KTAP version 1'
echo "1..$#"
number=0 failed=0
for name; do
	number=$((number + 1))
	timeout {PATIENCE} sh "/extra/$name.sh" >/tmp/shown 2>&1 </dev/null
	if diff -u "/extra/$name.txt" /tmp/shown >/tmp/differs; then
		echo "ok $number guide_$name"
	else
		sed 's/^/# /' /tmp/differs
		echo "not ok $number guide_$name"
		failed=1
	fi
	for ring in /dev/ring/*; do
		case $ring in
		*/control | */0) ;;
		*) ringctl destroy "${{ring##*/}}" ;;
		esac
	done
done
exit "$failed"
"""


def examples(document: str) -> list[str]:
    """Returns the names of the examples that the guide shows, in its order."""
    files = [Path(name) for name in _INCLUDED.findall(document)]
    return [file.stem for file in files if file.suffix == ".txt"]


def script(transcript: str) -> str:
    """Returns a script that shows the commands of a transcript, and runs them."""
    commands: list[list[str]] = []
    for line in transcript.splitlines():
        if line.startswith("# "):
            commands.append([line])
        elif line.startswith("> ") and commands:
            commands[-1].append(line)
        elif not commands:
            raise LabError(f"an example begins with what nothing has printed: {line}")
    lines: list[str] = []
    for shown in commands:
        lines.append(f"printf '%s\\n' {' '.join(shlex.quote(line) for line in shown)}")
        lines += [line[2:] for line in shown]
    return "\n".join(lines) + "\n"


def run(where: Lane, only: str) -> SuiteRun | None:
    """Runs the examples whose name ``only`` matches, if there are any."""
    names = [name for name in examples(DOCUMENT.read_text()) if matches(f"guide_{name}", only)]
    if not names:
        return None
    with tempfile.TemporaryDirectory() as name:
        extra, programs = Path(name) / "extra", Path(name) / "bin"
        extra.mkdir()
        programs.mkdir()
        for example in names:
            text = (FOLDER / f"{example}.txt").read_text()
            (extra / f"{example}.txt").write_text(text)
            (extra / f"{example}.sh").write_text(script(text))
        (extra / "run").write_text(RUNNER)
        task = Task(
            busybox=where.tools.tool("busybox"),
            module=where.module(kunit=False),
            command=shlex.join(["sh", "/extra/run", *names]),
            programs={
                **cargo.guest_programs(where.tools, "ringctl"),
                **compiled(where.tools, programs),
            },
            extra=extra,
        )
        limits = where.limits(where.scaled(PATIENCE * len(names)))
        return suite.run(where, task, [f"guide_{name}" for name in names], limits)


def compiled(tc: Toolchain, folder: Path) -> Mapping[str, Path]:
    """Compiles the guide's programs in C, statically, and returns them by name."""
    programs: dict[str, Path] = {}
    for source in sorted(FOLDER.glob("*.c")):
        programs[source.stem] = folder / source.stem
        flags: Sequence[str] = ("-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-static")
        build = subprocess.run(
            ["cc", *flags, "-o", str(programs[source.stem]), str(source)],
            env=tc.env(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if build.returncode:
            raise LabError(f"{source.name} does not compile:\n{build.stderr}")
    return programs
