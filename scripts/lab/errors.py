# SPDX-License-Identifier: GPL-2.0
"""What the lab's exit codes mean, and the exceptions that end a run with one of them."""

from enum import IntEnum


class Exit(IntEnum):
    """The lab's exit codes.

    ``scripts/vm`` passes on the exit code of the command that it ran in the guest, so the
    lab's own verdicts lie above 125 and, to be told apart at sight, also above the 128+N
    by which a shell reports a command that died of signal N.
    """

    PASSED = 0
    TESTS_FAILED = 1
    USAGE = 2
    # The host lacks something: a tool, a package, a kernel tree, room on its disk.
    HOST_NOT_FIT = 200
    # Something that should have been built was not.
    BUILD_FAILED = 201
    # The guest ended, and nobody knows how its tests came out.
    NO_VERDICT = 202
    HANG = 203
    PANIC = 204
    SPLAT = 205
    LEAK = 206
    TAINT = 207
    NOT_LOADED = 208
    NOT_UNLOADED = 209


class LabError(Exception):
    """Ends the run. The message is shown as it is: one plain sentence, and what to do."""

    exit = Exit.BUILD_FAILED


class HostNotFit(LabError):
    """The host lacks something that the lab cannot or may not get by itself."""

    exit = Exit.HOST_NOT_FIT


class UsageError(LabError):
    """The command line asks for something that does not exist."""

    exit = Exit.USAGE
