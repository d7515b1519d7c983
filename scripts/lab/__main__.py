# SPDX-License-Identifier: GPL-2.0
"""``python3 -m lab VERB [ARGUMENT]...``: finds the verb's module and runs it."""

import importlib
import signal
import sys
from types import FrameType

from lab.errors import Exit, LabError
from lab.report import say

# Verb: the module that does it. Each has a ``main(argv: list[str]) -> int``.
VERBS = {
    "abi": "abi",
    "bench": "bench",
    "clean": "clean",
    "debug": "debug",
    "distclean": "distclean",
    "docs": "docs",
    "doctor": "doctor",
    "gdb": "gdb",
    "in-tree": "in_tree",
    "install": "install",
    "lint": "lint",
    "mistakes": "mistakes",
    "modules": "modules",
    "new": "new",
    "release": "release",
    "ringctl": "ringctl",
    "run": "run",
    "rust-headers": "rust_headers",
    "rust-analyzer": "rust_analyzer",
    "selftest": "selftest",
    "sign": "sign",
    "test": "test",
    "test-in-tree": "in_tree_build",
    "test-matrix": "matrix",
    "test-packages": "packaging",
    "try": "try_module",
    "uninstall": "uninstall",
    "vm": "vm",
}


def _leave(number: int, _frame: FrameType | None) -> None:
    """Lets a signal unwind the stack, so that what was started is ended as well."""
    raise SystemExit(128 + number)


def main(argv: list[str]) -> int:
    """Runs one verb and turns what went wrong into a sentence and an exit code."""
    verb = argv[0] if argv else ""
    if verb not in VERBS:
        say(f"no such verb: '{verb}'. There are: {' '.join(VERBS)}")
        return Exit.USAGE
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    try:
        code: int = importlib.import_module(f"lab.{VERBS[verb]}").main(argv[1:])
    except LabError as error:
        say(str(error))
        return error.exit
    except KeyboardInterrupt:
        say("interrupted; the next run goes on from here")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
