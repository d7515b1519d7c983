# SPDX-License-Identifier: GPL-2.0
"""What all tests of the lab need."""

import signal

import pytest


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Has the programs that the tests interrupt heed SIGINT.

    A shell without job control starts what it runs in the background with SIGINT ignored, and so
    do their children start, and theirs. A handler here means that they do not.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
