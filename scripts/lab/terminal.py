# SPDX-License-Identifier: GPL-2.0
"""The terminal that the lab was called from, while it belongs to a guest's command."""

import os
import signal
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

# Ends the guest whatever it does, as in telnet and virsh. All else goes to the guest.
ESCAPE = b"\x1d"  # Ctrl-]


def is_interactive() -> bool:
    """Tells whether a person sits before all of stdin, stdout and stderr."""
    return all(os.isatty(fd) for fd in (0, 1, 2))


def size() -> tuple[int, int]:
    """Returns the terminal's rows and columns."""
    columns, rows = os.get_terminal_size(0)
    return rows, columns


@contextmanager
def raw(resized: Callable[[int, int], None]) -> Iterator[None]:
    """Passes each key on as it is, and calls ``resized`` when the terminal changes its size."""

    def on_resize(_signal: int, _frame: FrameType | None) -> None:
        resized(*size())

    before = termios.tcgetattr(0)
    handler = signal.signal(signal.SIGWINCH, on_resize)
    try:
        # What has been typed ahead is for the guest as well.
        tty.setraw(0, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)
