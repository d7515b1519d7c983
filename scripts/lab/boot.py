# SPDX-License-Identifier: GPL-2.0
"""Boots one guest, gives it its task, and collects what comes of it.

This file decides nothing: an Outcome is what was seen, and verdict.py says what it means.
A guest is booted once. There is no second try here or anywhere above, because a failure that
goes away the second time is a race, and the reason to have this lab.
"""

import contextlib
import functools
import operator
import os
import secrets
import select
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from lab import paths, qemu, terminal
from lab.channel import Record, Stream
from lab.qemu import Machine, Port
from lab.task import Task, write_initramfs

CHUNK = 1 << 16
# What poll(2) reports unasked.
ENDINGS = select.POLLERR | select.POLLHUP | select.POLLNVAL
OUTPUTS = (Port.STDOUT, Port.STDERR, Port.RESULTS, Port.KLOG)
# The answer to a SysRq comes over the console, slowly. It has ended when nothing more comes.
SECONDS_OF_SILENCE = 2.0
SECONDS_FOR_BREAK = 0.5

# The phase that begins with a record of the guest.
PHASES = {"kernel": "load", "command": "command", "exit": "unload"}


@dataclass(frozen=True)
class Limits:
    """How many seconds each phase may take. None is for ever."""

    boot: float | None  # until the guest's init runs
    load: float | None  # loading the module, with its KUnit suites
    command: float | None
    unload: float | None  # unloading the module, and looking for leaks

    def of(self, phase: str) -> float | None:
        """Returns the limit of a phase."""
        limit: float | None = getattr(self, phase)
        return limit


@dataclass(frozen=True)
class Wiring:
    """Where the ends of a guest's ports are on the host, as file descriptors."""

    # What the command reads, to its end.
    stdin: int | None = None
    # Who gets its outputs. The others, and the KUnit results, are collected.
    stdout: int | None = None
    stderr: int | None = None
    # Who sees the kernel's console as it is written, besides the log.
    console: int | None = None


@dataclass
class Outcome:
    """What was seen of a guest."""

    log: Path
    facts: Mapping[str, str] = field(default_factory=dict)
    # The kernel's console, up to the moment when a limit was passed.
    console: str = ""
    outputs: Mapping[Port, str] = field(default_factory=dict)
    # Outputs of which something is missing: the guest did not close them.
    torn: frozenset[Port] = frozenset()
    # The phase that took longer than it may.
    overdue: str | None = None
    # How QEMU ended.
    status: int = 0
    complaint: str = ""
    seconds: float = 0.0


def boot(
    machine: Machine, task: Task, limits: Limits, log: Path, wiring: Wiring | None = None
) -> Outcome:
    """Boots a guest for ``task`` and returns when it has ended. Logs go to the folder ``log``.

    Whatever ends the lab meanwhile ends the guest as well, and leaves nothing but the logs.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_signals_as_exceptions())
        run = _Run(task, limits, log, wiring or Wiring(), stack)
        run.start(machine, task)
        run.loop()
        return run.outcome()


class _Flow:
    """Bytes on their way from one file descriptor to another, or into memory.

    Nothing more is read while something waits to be written, so that whoever writes too fast
    for the reader is stopped, be it the host or the guest's command.
    """

    def __init__(
        self,
        source: int,
        target: int | None,
        feed: Callable[[bytes], bytes],
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self.source = source
        self.target = target
        self.open = True
        self._feed = feed
        self._at_end = at_end
        self._backlog = b""

    @property
    def blocked(self) -> bool:
        """Something waits to be written."""
        return bool(self._backlog)

    def interest(self) -> tuple[int, int] | None:
        """Returns the file descriptor and the event that it waits for."""
        if self._backlog and self.target is not None:
            return self.target, select.POLLOUT
        return (self.source, select.POLLIN) if self.open else None

    def advance(self) -> None:
        """Does what can be done without waiting, now that the event has come."""
        if self._backlog and self.target is not None:
            # Of a pipe, poll(2) promises room for no more than this.
            written = os.write(self.target, self._backlog[: select.PIPE_BUF])
            self._backlog = self._backlog[written:]
            return
        try:
            data = os.read(self.source, CHUNK)
        except OSError:  # A socket whose other end died with QEMU; a closed stdin.
            data = b""
        if data:
            self.put(self._feed(data))
            return
        self.open = False
        if self._at_end:
            self._at_end()

    def put(self, data: bytes) -> None:
        """Adds to what is to be written."""
        if self.target is not None:
            self._backlog += data

    def abandon(self) -> None:
        """Gives up: nobody reads any more."""
        self.open = False
        self._backlog = b""


class _Run:
    """One guest, from its start to its end. The stack undoes whatever is begun here."""

    def __init__(
        self, task: Task, limits: Limits, log: Path, wiring: Wiring, stack: contextlib.ExitStack
    ) -> None:
        self._task = task
        self._limits = limits
        self._log = log
        self._wiring = wiring
        self._stack = stack
        self._nonce = secrets.token_hex(16)
        self._record = Record(self._nonce, self._heard)
        self._streams = {port: Stream(self._nonce) for port in OUTPUTS}
        self._collected = {port: bytearray() for port in OUTPUTS}
        self._console = bytearray()
        self._console_when_overdue: int | None = None
        self._console_log = stack.enter_context((log / "console.log").open("wb", buffering=0))
        # From the guest: these end when QEMU does. To the guest: these do not matter then.
        self._from_guest: list[_Flow] = []
        self._to_guest: list[_Flow] = []
        self._ours: dict[str, socket.socket] = {}
        self._qemu: subprocess.Popen[bytes] | None = None
        self._answered = False
        self._overdue: str | None = None
        self._phase = "boot"
        self._began = self._phase_began = time.monotonic()

    def start(self, machine: Machine, task: Task) -> None:
        """Starts QEMU with the task's root file system."""
        # Without a name, so that it is gone with the last process that has it open.
        archive = tempfile.TemporaryFile(dir=paths.cache())  # noqa: SIM115 - closed by the stack
        self._stack.enter_context(archive)
        write_initramfs(archive, task, self._nonce)
        theirs = self._connect()
        command = machine.command(f"/dev/fd/{archive.fileno()}", theirs)
        (self._log / "command").write_text(shlex.join(command) + "\n")
        with (self._log / "qemu.log").open("wb") as complaints:
            self._qemu = subprocess.Popen(
                # A lab that is killed outright takes the guest along.
                ["setpriv", "--pdeathsig=KILL", *command],
                stdin=subprocess.DEVNULL,
                stdout=complaints,
                stderr=complaints,
                pass_fds=[archive.fileno(), *(end.fileno() for end in theirs.values())],
                # Ctrl-C at the terminal is for the lab, which then ends QEMU.
                process_group=0,
            )
        self._stack.callback(self._stop)
        for end in theirs.values():
            end.close()

    def loop(self) -> None:
        """Passes everything on until QEMU has ended and all that it said has arrived."""
        while self._alive:
            before = time.monotonic()
            self._step(self._seconds_left())
            if any(flow.blocked for flow in self._from_guest):
                # The guest may be waiting for whoever reads its output: not its fault.
                self._phase_began += time.monotonic() - before
            self._answer()
            if self._seconds_left() == 0:
                self._overdue = self._phase
                self._interrogate()
                self._stop()

    def outcome(self) -> Outcome:
        """Returns what was seen, when all is over."""
        assert self._qemu is not None
        # What it was made to say afterwards is for the reader of the log.
        console = self._console[: self._console_when_overdue]
        return Outcome(
            log=self._log,
            facts=self._record.facts,
            console=console.decode(errors="replace"),
            outputs={port: data.decode(errors="replace") for port, data in self._collected.items()},
            torn=frozenset(port for port in self._expected() if not self._streams[port].complete),
            overdue=self._overdue,
            status=self._qemu.wait(),
            complaint=(self._log / "qemu.log").read_text(errors="replace"),
            seconds=time.monotonic() - self._began,
        )

    @property
    def _alive(self) -> bool:
        return any(flow.open or flow.blocked for flow in self._from_guest)

    def _step(self, seconds: float | None) -> None:
        """Waits for something to happen, if not longer than this, and passes it on."""
        waiting: dict[int, list[tuple[int, _Flow]]] = {}
        for flow in [*self._from_guest, *self._to_guest]:
            if interest := flow.interest():
                fd, event = interest
                waiting.setdefault(fd, []).append((event, flow))
        poll = select.poll()
        for fd, waits in waiting.items():
            # The terminal's socket is waited for in both directions.
            poll.register(fd, functools.reduce(operator.or_, (event for event, _ in waits)))
        for fd, came in poll.poll(None if seconds is None else seconds * 1000):
            for event, flow in waiting[fd]:
                if came & (event | ENDINGS):
                    self._advance(flow)

    def _seconds_left(self) -> float | None:
        """Returns what is left of the phase's time; None when there is no limit any more."""
        limit = self._limits.of(self._phase)
        if limit is None or self._overdue:
            return None
        return max(0.0, self._phase_began + limit - time.monotonic())

    def _interrogate(self) -> None:
        """Has a guest that hangs write to its console what its CPUs and its tasks do."""
        self._console_when_overdue = len(self._console)
        for sysrq in (b"l", b"t"):
            # A break on the console makes a SysRq of the next character.
            self._ours[qemu.MONITOR].send(f"chardev-send-break {qemu.CONSOLE}\n".encode())
            self._wait(SECONDS_FOR_BREAK)
            self._ours[qemu.CONSOLE].send(sysrq)
            length = -1
            while length != len(self._console):
                length = len(self._console)
                self._wait(SECONDS_OF_SILENCE)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self._alive and (left := until - time.monotonic()) > 0:
            self._step(left)

    def _expected(self) -> list[Port]:
        """Returns the outputs that the guest has to close."""
        expected = [Port.KLOG]
        if self._record.facts.get("insmod", "0") != "0":
            # Without its module it does nothing that has an output.
            return expected
        if self._task.command is not None and not self._task.terminal:
            expected += [Port.STDOUT, Port.STDERR]
        if self._task.kunit:
            expected.append(Port.RESULTS)
        return expected

    def _connect(self) -> dict[str, socket.socket]:
        """Makes the guest's ports and returns their other ends, by name, for QEMU.

        The guest sees them appear in this order, and waits for the last.
        """
        theirs: dict[str, socket.socket] = {}

        def port(name: str) -> int:
            ours, theirs[name] = socket.socketpair()
            self._ours[name] = self._stack.enter_context(ours)
            return ours.fileno()

        def unchanged(data: bytes) -> bytes:
            return data

        def end_of_input() -> None:
            # QEMU tells the guest, where read(2) returns 0 after the last byte.
            self._ours[Port.STDIN.name].shutdown(socket.SHUT_WR)

        self._from_guest += [
            _Flow(port(qemu.CONSOLE), self._wiring.console, self._on_console),
            _Flow(port(qemu.MONITOR), None, unchanged),
            _Flow(port(Port.RECORD.name), None, self._record.feed),
        ]
        stdin = port(Port.STDIN.name)
        targets = {Port.STDOUT: self._wiring.stdout, Port.STDERR: self._wiring.stderr}
        for output, stream in self._streams.items():
            target = targets.get(output)
            feed = self._collector(output) if target is None else stream.feed
            self._from_guest.append(_Flow(port(output.name), target, feed))
        if self._wiring.stdin is None:
            end_of_input()
        else:
            self._to_guest.append(_Flow(self._wiring.stdin, stdin, unchanged, end_of_input))
        if self._task.terminal:
            self._from_guest.append(_Flow(port(qemu.TERMINAL), 1, unchanged))
        return theirs

    def _collector(self, output: Port) -> Callable[[bytes], bytes]:
        log = self._stack.enter_context((self._log / output.name.lower()).open("wb", buffering=0))

        def collect(data: bytes) -> bytes:
            content = self._streams[output].feed(data)
            self._collected[output] += content
            log.write(content)
            return b""

        return collect

    def _on_console(self, data: bytes) -> bytes:
        self._console += data
        self._console_log.write(data)
        return data

    def _heard(self, key: str) -> None:
        """Takes note of a step that the guest has made."""
        with (self._log / "record").open("a") as log:
            log.write(f"{time.monotonic() - self._began:8.3f} {key} {self._record.facts[key]}\n")
        if key in PHASES:
            self._phase = PHASES[key]
            self._phase_began = time.monotonic()
        if key == "command" and self._task.terminal:
            self._stack.enter_context(terminal.raw(self._resized))
            keys = self._ours[qemu.TERMINAL].fileno()
            self._to_guest.append(_Flow(0, keys, _watch_for_escape))

    def _resized(self, rows: int, columns: int) -> None:
        self._ours[Port.RECORD.name].send(f"size {rows} {columns}\n".encode())

    def _answer(self) -> None:
        """Lets the guest go when everything has arrived, and not before."""
        # What is lost will not come, however long one waits.
        streams = "lost" in self._record.facts or all(
            self._streams[port].complete for port in self._expected()
        )
        if self._record.complete and streams and not self._answered and not self._overdue:
            self._answered = True
            self._ours[Port.RECORD.name].send(b"done\n")

    def _advance(self, flow: _Flow) -> None:
        try:
            flow.advance()
        except BrokenPipeError:
            if flow in self._from_guest:
                raise
            # The guest's command, or QEMU, has ended before it read all of its input.
            flow.abandon()

    def _stop(self) -> None:
        if self._qemu and self._qemu.poll() is None:
            self._qemu.kill()
            self._qemu.wait()


def _watch_for_escape(keys: bytes) -> bytes:
    if terminal.ESCAPE in keys:
        raise KeyboardInterrupt
    return keys


@contextlib.contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """Lets SIGTERM and SIGHUP unwind the stack, as SIGINT does."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
