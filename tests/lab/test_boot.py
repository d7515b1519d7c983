# SPDX-License-Identifier: GPL-2.0
"""What boot.py sees and verdict.py makes of it, with a QEMU that plays a transcript."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.boot import OUTPUTS, Limits, Outcome, Wiring, boot
from lab.errors import Exit
from lab.kernel import Kernel
from lab.lane import Lane
from lab.qemu import Machine, Port
from lab.splat import EXPECT, EXPECT_END
from lab.task import Task
from lab.toolchain import Toolchain
from lab.verdict import KUNIT_RAN, OUT_OF_TREE, judge

Step = list[object]
HERE = Path(__file__).resolve().parent
# A lane whose kernel has no aids.
LANE = Lane(
    "plain",
    Toolchain(tools={}),
    Kernel("plain", Path("/src"), Path("/build"), "7.3.4-lab", "key"),
    {},
    "tcg",
)
PATIENT = Limits(boot=20, load=20, command=20, unload=20)

KERNEL: Step = ["record", "kernel 7.3.4"]
LOADED: Step = ["record", "insmod 0"]
STARTED: Step = ["record", "command"]
SAID: list[Step] = [["say", "STDOUT", "hello\n"], ["close", "STDOUT", "STDERR"]]
EXITED: Step = ["record", "exit 0"]
UNLOADED: Step = ["record", "rmmod 0"]
LOG: list[Step] = [["say", "KLOG", "all quiet\n"], ["close", "KLOG"]]
TAINTED: Step = ["record", f"taint {OUT_OF_TREE}"]
END: list[Step] = [["record", "end"], ["done"]]
GOOD = [KERNEL, LOADED, STARTED, *SAID, EXITED, UNLOADED, *LOG, TAINTED, *END]

LOST = """\
unreferenced object 0xff11000000f35600 (size 256):
  comm "insmod", pid 58, jiffies 4294895478
  hex dump (first 32 bytes):
    42 55 47 3a 20 00 00 00 00 00 00 00 00 00 00 00  BUG: ...........
  backtrace (crc a0e5b796):
    0xffffffffa00001f1
"""

WARN = """\
[    1.5] ------------[ cut here ]------------
[    1.5] WARNING: src/x.rs:7 at f+0x10/0x20 [ringdev], CPU#0: sh/1
[    1.5] ---[ end trace 0000000000000000 ]---
"""

# The kernel's own, excused while allocations fail on purpose.
EXCUSED = f"""\
[    1.4] {EXPECT}
[    1.5] ------------[ cut here ]------------
[    1.5] WARNING: kernel/trace/trace_events.c:3147 at event_define_fields+0x5ca/0x5f0, CPU#0: sh/1
[    1.5] ---[ end trace 0000000000000000 ]---
[    1.6] {EXPECT_END}
"""
WARNED: Step = ["record", f"taint {OUT_OF_TREE | 512}"]


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A task whose busybox has no applets."""
    busybox = tmp_path / "busybox"
    busybox.write_text("#!/bin/sh\n")
    busybox.chmod(0o755)
    module = tmp_path / "ringdev.ko"
    module.write_text("")
    return Task(busybox=busybox, module=module, command="echo hello")


@pytest.fixture
def play(task: Task, tmp_path: Path) -> Callable[..., Outcome]:
    """Returns a function that boots a guest with a transcript."""

    def run(
        transcript: list[Step], limits: Limits = PATIENT, wiring: Wiring | None = None
    ) -> Outcome:
        log = tmp_path / "log"
        log.mkdir(exist_ok=True)
        return boot(machine(transcript, tmp_path), task, limits, log, wiring)

    return run


def machine(transcript: list[Step], folder: Path) -> Machine:
    qemu = folder / "qemu"
    qemu.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{HERE}/fake_qemu.py' \"$@\"\n")
    qemu.chmod(0o755)
    return Machine(
        qemu=qemu,
        accel="tcg",
        image=Path("bzImage"),
        arguments=(json.dumps(transcript),),
    )


def without(step: Step) -> list[Step]:
    return [other for other in GOOD if other is not step]


def instead(step: Step, *others: Step) -> list[Step]:
    at = next(n for n, other in enumerate(GOOD) if other is step)
    return [*GOOD[:at], *others, *GOOD[at + 1 :]]


def test_a_good_run(task: Task, play: Callable[..., Outcome]) -> None:
    outcome = play(GOOD)
    verdict = judge(LANE, task, outcome)
    assert verdict.code is Exit.PASSED, verdict.sentence
    assert outcome.outputs[Port.STDOUT] == "hello\n"
    assert outcome.facts["exit"] == "0"
    assert not outcome.torn


@pytest.mark.parametrize(
    ("transcript", "code"),
    [
        # It ended before it had said all.
        ([], Exit.NO_VERDICT),
        ([["exit", 1]], Exit.NO_VERDICT),
        ([KERNEL], Exit.NO_VERDICT),
        (GOOD[:-3], Exit.NO_VERDICT),
        (GOOD[:-2], Exit.NO_VERDICT),
        # It has said so, but not with the nonce of this run.
        ([["say", "RECORD", "f" * 32 + " end\n"]], Exit.NO_VERDICT),
        # An output was cut off. (The guest would wait for the host; this one ends.)
        ([s for s in GOOD if s not in (SAID[1], END[1])], Exit.NO_VERDICT),
        ([s for s in GOOD if s not in (LOG[1], END[1])], Exit.NO_VERDICT),
        # A step is missing.
        (without(UNLOADED), Exit.NO_VERDICT),
        (without(LOADED), Exit.NO_VERDICT),
        (without(TAINTED), Exit.NO_VERDICT),
        (without(EXITED), Exit.NO_VERDICT),
        # A step went wrong.
        # (Without the module the guest runs nothing, and so has no output but its log.)
        ([KERNEL, ["record", "insmod 1"], *LOG, TAINTED, *END], Exit.NOT_LOADED),
        (instead(UNLOADED, ["record", "rmmod 1"]), Exit.NOT_UNLOADED),
        (instead(UNLOADED, UNLOADED, ["record", "leaks 2"]), Exit.LEAK),
        (instead(UNLOADED, UNLOADED, ["console", LOST], ["record", "leaks 1"]), Exit.LEAK),
        (instead(UNLOADED, ["console", LOST + WARN], ["record", "leaks 1"]), Exit.SPLAT),
        (instead(UNLOADED, UNLOADED, ["record", "leaks 0"]), Exit.PASSED),
        (instead(UNLOADED, UNLOADED, ["record", "leaks"]), Exit.NO_VERDICT),
        (instead(UNLOADED, ["record", "rmmod absent"]), Exit.PASSED),
        # The kernel said something, on the console or in its log.
        (instead(STARTED, STARTED, ["console", WARN]), Exit.SPLAT),
        (instead(LOG[0], ["say", "KLOG", WARN]), Exit.SPLAT),
        ([KERNEL, ["console", WARN]], Exit.SPLAT),
        ([KERNEL, LOADED, ["console", "Kernel panic - not syncing: no\n"]], Exit.PANIC),
        ([["console", WARN + "Kernel panic - not syncing: no\n"]], Exit.PANIC),
        # Bits of taint: W, none at all, and KUnit's where none was to run.
        (instead(TAINTED, WARNED), Exit.TAINT),
        ([*GOOD[:-4], ["say", "KLOG", EXCUSED], LOG[1], WARNED, *END], Exit.PASSED),
        ([*GOOD[:-4], ["say", "KLOG", EXCUSED + WARN], LOG[1], WARNED, *END], Exit.SPLAT),
        (instead(TAINTED, ["record", "taint 0"]), Exit.TAINT),
        (instead(TAINTED, ["record", f"taint {OUT_OF_TREE | KUNIT_RAN}"]), Exit.TAINT),
        (instead(TAINTED, ["record", "taint what"]), Exit.NO_VERDICT),
    ],
)
def test_each_kind_of_end_has_its_verdict(
    task: Task, play: Callable[..., Outcome], transcript: list[Step], code: Exit
) -> None:
    verdict = judge(LANE, task, play(transcript))
    assert verdict.code is code, verdict.sentence


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("aids kasan kmemleak lockdep", Exit.PASSED),
        ("aids lockdep", Exit.NO_VERDICT),
        ("aids", Exit.NO_VERDICT),
        ("kernel 7.3.4", Exit.NO_VERDICT),
    ],
)
def test_an_aid_that_is_not_at_work_spoils_a_good_run(
    task: Task, play: Callable[..., Outcome], said: str, code: Exit
) -> None:
    outcome = play(instead(TAINTED, ["record", said], TAINTED))
    with_aids = replace(LANE, config={"CONFIG_PROVE_LOCKING": "y", "CONFIG_DEBUG_KMEMLEAK": "y"})
    verdict = judge(with_aids, task, outcome)
    assert verdict.code is code
    assert ("not at work at the end: kmemleak" in verdict.sentence) is (code is Exit.NO_VERDICT)
    # Which there are is the lane's to know.
    assert judge(LANE, task, outcome).code is Exit.PASSED


def test_what_qemu_complains_of_is_told(task: Task, play: Callable[..., Outcome]) -> None:
    verdict = judge(LANE, task, play([["what is this"]]))
    assert verdict.code is Exit.NO_VERDICT
    assert "ValueError" in verdict.sentence


@pytest.mark.parametrize(
    ("before", "phase"),
    [
        ([], "boot"),
        ([KERNEL], "load"),
        ([KERNEL, LOADED, STARTED], "command"),
        (GOOD[: GOOD.index(EXITED) + 1], "unload"),
    ],
)
def test_a_guest_that_stops_in_a_phase_hangs(
    task: Task, play: Callable[..., Outcome], before: list[Step], phase: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("lab.boot.SECONDS_OF_SILENCE", 0.1)
    seconds = {"boot": 20.0, "load": 20.0, "command": 20.0, "unload": 20.0, phase: 1.0}
    began = time.monotonic()
    outcome = play([*before, ["sleep", 60]], Limits(**seconds))
    assert time.monotonic() - began < 15
    assert outcome.overdue == phase
    verdict = judge(LANE, task, outcome)
    assert verdict.code is Exit.HANG
    assert phase in verdict.sentence


def test_what_a_hanging_guest_is_made_to_say_is_logged_and_not_judged(
    task: Task, play: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.boot.SECONDS_OF_SILENCE", 2)
    transcript: list[Step] = [["console", "quiet\n"], ["sleep", 2], ["console", "Call Trace:\n"]]
    outcome = play([*transcript, ["sleep", 60]], Limits(1, 1, 1, 1))
    assert outcome.console == "quiet\n"
    assert "Call Trace" in (tmp_path / "log" / "console.log").read_text()
    assert judge(LANE, task, outcome).code is Exit.HANG


def test_input_and_output_are_passed_on_byte_by_byte(
    task: Task, play: Callable[..., Outcome], tmp_path: Path
) -> None:
    content = bytes(range(256)) * 4096
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(content)
    transcript = instead(SAID[0], ["copy", "STDOUT"])
    with source.open("rb") as stdin, target.open("wb") as stdout:
        outcome = play(transcript, wiring=Wiring(stdin=stdin.fileno(), stdout=stdout.fileno()))
    assert judge(LANE, task, outcome).code is Exit.PASSED
    assert target.read_bytes() == content


def test_a_slow_reader_is_not_the_guests_fault(task: Task, play: Callable[..., Outcome]) -> None:
    source, target = os.pipe()
    got = bytearray()

    def read_slowly() -> None:
        time.sleep(4)
        while data := os.read(source, 1 << 16):
            got.extend(data)

    reader = threading.Thread(target=read_slowly)
    reader.start()
    outcome = play(
        instead(SAID[0], ["flood", "STDOUT", 1 << 20]), Limits(20, 20, 2, 20), Wiring(stdout=target)
    )
    os.close(target)
    reader.join()
    os.close(source)
    assert judge(LANE, task, outcome).code is Exit.PASSED
    assert bytes(got) == b"x" * (1 << 20)


def test_a_reader_that_has_gone_ends_the_guest(play: Callable[..., Outcome]) -> None:
    source, target = os.pipe()
    os.close(source)
    began = time.monotonic()
    with pytest.raises(BrokenPipeError):
        play(instead(SAID[1], ["sleep", 60]), wiring=Wiring(stdout=target))
    os.close(target)
    assert time.monotonic() - began < 15


# Boots a guest whose command has the terminal, and says how that ended.
TYPIST = """
import json, sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from test_boot import PATIENT, machine
from lab.boot import boot
from lab.task import Task
from lab.toolchain import Toolchain
busybox = Path(sys.argv[3])
guest = machine(json.loads(sys.argv[4]), busybox.parent)
outcome = boot(guest, Task(busybox, command="sh", terminal=(24, 80)), PATIENT, busybox.parent)
print("exit", outcome.facts.get("exit"))
"""


def test_a_command_with_a_terminal_gets_each_key(task: Task) -> None:
    transcript = [KERNEL, STARTED, ["say", "TERMINAL", "ready\r\n"], ["type"], EXITED, *LOG, *END]
    here = [str(HERE), str(HERE.parents[1] / "scripts"), str(task.busybox)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", TYPIST, *here, json.dumps(transcript)])
    said = b""
    with contextlib.suppress(OSError):  # EIO is how a terminal says that nobody is left
        while data := os.read(terminal, 1 << 16):
            said += data
            if b"ready" in data:
                # Ctrl-C is a key like others; raw, nothing is echoed by the host's terminal.
                os.write(terminal, b"ab\x03q")
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert said == b"ready\r\nAB\x03exit 0\r\n"


# Boots a guest that says it is there and then sleeps.
SLEEPER = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[1:3]
from test_boot import PATIENT, machine
from lab.boot import Wiring, boot
from lab.task import Task
from lab.toolchain import Toolchain
busybox = Path(sys.argv[3])
guest = machine([["console", "up\\n"], ["sleep", 60]], busybox.parent)
boot(guest, Task(busybox), PATIENT, busybox.parent, Wiring(console=1))
"""


@pytest.fixture
def sleeper(task: Task) -> Iterator["subprocess.Popen[bytes]"]:
    """A process of the lab that has a guest running."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, HERE, HERE.parents[1] / "scripts", task.busybox],
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_signal_to_the_lab_ends_the_guest_and_leaves_only_logs(
    sleeper: "subprocess.Popen[bytes]", tmp_path: Path, number: signal.Signals
) -> None:
    children = f"/proc/{sleeper.pid}/task/{sleeper.pid}/children"
    guest = int(Path(children).read_text().split()[0])
    sleeper.send_signal(number)
    status = sleeper.wait(10)
    if number in (signal.SIGTERM, signal.SIGHUP):
        assert status == 128 + number
    else:
        assert status == -number
    until = time.monotonic() + 5
    while Path(f"/proc/{guest}/exe").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{guest}/exe").exists()
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    logs = {"console.log", "command", "qemu.log", *(port.name.lower() for port in OUTPUTS)}
    assert left == {"busybox", "ringdev.ko", "qemu", *logs}
