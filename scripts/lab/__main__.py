# SPDX-License-Identifier: GPL-2.0
"""``python3 -m lab VERB [ARGUMENT]...``: finds the verb's module and runs it."""

import errno
import importlib
import os
import signal
import sys
from types import FrameType

from lab import environment
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
    "fuzz": "fuzz",
    "gdb": "gdb",
    "in-tree": "in_tree",
    "install": "install",
    "lint": "lint",
    "mistakes": "mistakes",
    "modules": "modules",
    "mutants": "mutants",
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
        say("interrupted; what was built is kept")
        return 128 + signal.SIGINT
    except BrokenPipeError:
        return 128 + signal.SIGPIPE
    except OSError as error:
        if not (why := lacking(error)):
            raise
        say(why)
        return Exit.HOST_NOT_FIT
    return code


def lacking(error: OSError) -> str:
    """Returns what the host lacks, if that is what the error says; all others are the lab's own."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"there is no room left on the disk ({error}); make some and start again"
    # The lab's own files have whole paths: a bare name is that of a program.
    if isinstance(error, FileNotFoundError) and os.sep not in os.fspath(error.filename or os.sep):
        return f"'{error.filename}' is missing: install it"
    return ""


if __name__ == "__main__":
    environment.settle()
    sys.exit(main(sys.argv[1:]))
