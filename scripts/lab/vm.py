# SPDX-License-Identifier: GPL-2.0
"""``scripts/vm``: runs a command in a guest, as if it ran here.

The exit code is the command's own. A code of the lab's (they begin at 200, above the 128+N of
a command that died of signal N) always comes with a line on stderr that begins with "vm:";
without that line, the code is the command's.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from lab import cargo, decode, lane, logs, terminal, verdict
from lab.boot import Limits, Wiring, boot
from lab.errors import Exit, LabError, UsageError
from lab.task import Task

# A command's time limit in seconds, unless told otherwise. A person at a terminal has none.
TIMEOUT = 900.0

# Not the 2 of argparse, which may as well be the command's.
USAGE = 125


class Parser(argparse.ArgumentParser):
    """A parser whose exit code for a wrong call cannot be taken for the command's."""

    def error(self, message: str) -> NoReturn:
        """Ends the program."""
        self.print_usage(sys.stderr)
        self.exit(USAGE, f"vm: {message}\n")


def parser() -> Parser:
    """Returns the parser of the command line."""
    codes = [f"  {code.value}  {text}" for code, text in verdict.SENTENCES.items() if code > USAGE]
    result = Parser(
        prog="scripts/vm",
        description="Boots a guest, loads the module, runs COMMAND by sh -c, and unloads it.",
        epilog="The exit code is COMMAND's (128+N if signal N killed it). After a line 'vm: ...'\n"
        f"on stderr it is the lab's:\n  {USAGE}  wrong call\n" + "\n".join(codes),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    result.add_argument("--lane", choices=lane.ALL, default="plain")
    result.add_argument(
        "--extra", type=Path, metavar="DIR", help="a folder that the guest has as /extra"
    )
    result.add_argument(
        "--console", action="store_true", help="show the kernel's console on stderr"
    )
    result.add_argument(
        "--no-module", action="store_true", help="do not load the module, /lib/ringdev.ko"
    )
    result.add_argument(
        "--module-args", default="", metavar="ARGS", help="parameters for the module"
    )
    result.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help=f"the command's time limit (default {TIMEOUT:.0f}; 0: none, as at a terminal)",
    )
    result.add_argument("command", nargs="+", metavar="COMMAND")
    return result


def main(argv: list[str], *programs: str) -> int:
    """The verb ``vm``. The guest has ``programs`` of the workspace as well."""
    try:
        return prepare_and_run(parser().parse_args(argv), programs)
    except UsageError as error:
        parser().error(str(error))
    except LabError as error:
        print(f"vm: {error}", file=sys.stderr)
        return error.exit


def prepare_and_run(options: argparse.Namespace, programs: Sequence[str]) -> int:
    """Does what the command line asks for."""
    if options.extra and not options.extra.is_dir():
        parser().error(f"--extra {options.extra}: no such folder")
    where = lane.prepare(options.lane, {"guest"} if programs else ())
    built = cargo.guest_programs(where.tools, *programs) if programs else {}
    return run(where, options, " ".join(options.command), programs=built)


def run(
    where: lane.Lane,
    options: argparse.Namespace,
    command: str,
    *,
    gdb: tuple[str, ...] = (),
    programs: Mapping[str, Path] = MappingProxyType({}),
) -> int:
    """Runs ``command`` in a guest of the lane that has these ``programs``.

    With QEMU arguments ``gdb`` the guest waits for that.
    """
    interactive = terminal.is_interactive()
    task = Task(
        busybox=where.tools.tool("busybox"),
        module=where.module(kunit=False),
        load=not options.no_module,
        module_args=options.module_args,
        command=command,
        programs=programs,
        extra=options.extra,
        terminal=terminal.size() if interactive else None,
        term=os.environ.get("TERM", "dumb"),
    )
    wiring = Wiring(
        stdin=None if interactive else 0,
        stdout=1,
        stderr=2,
        console=2 if options.console else None,
    )
    timeout = (0.0 if interactive else TIMEOUT) if options.timeout is None else options.timeout
    limits = Limits(None, None, None, None) if gdb else where.limits(timeout or None)
    # gdb knows the addresses that the kernel was linked for.
    append = (*task.append(), "nokaslr") if gdb else task.append()
    machine = where.machine(append, gdb)
    log = logs.new(f"{where.name}-vm")
    try:
        outcome = boot(machine, task, limits, log, wiring)
    except KeyboardInterrupt:
        print(f"vm: interrupted; logs: {log}", file=sys.stderr)
        return 128 + signal.SIGINT
    judged = verdict.judge(where, task, outcome)
    if judged.code is Exit.PASSED:
        return int(outcome.facts["exit"])
    for report in decode.reports(judged, where.kernel, where.tools, task, outcome.facts):
        print(report, file=sys.stderr)
    print(f"vm: {judged.sentence}; logs: {log}", file=sys.stderr)
    return judged.code
