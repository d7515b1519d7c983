# SPDX-License-Identifier: GPL-2.0
"""Says what a guest's run means. Each verdict has its own exit code and a plain sentence.

A run is good only if nothing speaks against it *and* the guest's record is whole: it was told
so by the guest, last, after the module was unloaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from lab import splat
from lab.boot import Outcome
from lab.errors import Exit
from lab.lane import Lane
from lab.qemu import Port
from lab.splat import Splat
from lab.task import Task

# Bits of /proc/sys/kernel/tainted, Documentation/admin-guide/tainted-kernels.rst.
WARNED = 1 << 9
OUT_OF_TREE = 1 << 12
UNSIGNED = 1 << 13
KUNIT_RAN = 1 << 18
TAINT_LETTERS = "PFSRMBUDAWCIOELKXTNJ"

SENTENCES = {
    Exit.PASSED: "all passed",
    Exit.TESTS_FAILED: "tests failed",
    Exit.HOST_NOT_FIT: "the host is not fit to run this",
    Exit.BUILD_FAILED: "something could not be built",
    Exit.NO_VERDICT: "no verdict: the guest ended without saying how it went",
    Exit.HANG: "hang: the guest did not get on in time and was ended",
    Exit.PANIC: "panic: the guest's kernel gave up",
    Exit.SPLAT: "splat: the guest's kernel reported trouble",
    Exit.LEAK: "leak: memory was lost in the guest's kernel",
    Exit.TAINT: "taint: the guest's kernel is marked in a way that it should not be",
    Exit.NOT_LOADED: "the module was not loaded",
    Exit.NOT_UNLOADED: "the module could not be unloaded",
}


@dataclass(frozen=True)
class Verdict:
    """What came of a run: the code, what led to it, and the reports of the kernel."""

    code: Exit
    detail: str = ""
    splats: tuple[Splat, ...] = ()
    # The aids of the kernel that had to be at work to the end, and were not.
    idle: frozenset[str] = frozenset()

    @property
    def sentence(self) -> str:
        """One plain sentence."""
        return SENTENCES[self.code] + (f" ({self.detail})" if self.detail else "")


def judge(where: Lane, task: Task, outcome: Outcome) -> Verdict:
    """Judges how a guest of this lane fared.

    Neither the exit code of its command nor the results of tests count. The lane's aids must be at
    work until the end: without them, that nothing was found means nothing.
    """
    splats = _splats(outcome)
    code, detail = _first_trouble(task, outcome, splats, where.signed_modules)
    idle = where.aids - set(outcome.facts.get("aids", "").split())
    if code is Exit.PASSED and idle:
        detail = f"not at work at the end: {', '.join(sorted(idle))}"
        return Verdict(Exit.NO_VERDICT, detail, splats, idle)
    return Verdict(code, detail, splats)


def _splats(outcome: Outcome) -> tuple[Splat, ...]:
    on_console = splat.scan(outcome.console)
    # The kernel's own log has what the console was too late for, when the guest got that far.
    return tuple(on_console or splat.scan(outcome.outputs.get(Port.KLOG, "")))


def _first_trouble(
    task: Task, outcome: Outcome, splats: Sequence[Splat], signed_modules: bool
) -> tuple[Exit, str]:
    facts = outcome.facts
    if any(report.topic == "panic" for report in splats):
        return Exit.PANIC, splats[0].headline
    # Leaks have a verdict of their own, and are counted.
    if splats := [report for report in splats if report.topic != splat.LEAK]:
        then = f"; then it hung in phase '{outcome.overdue}'" if outcome.overdue else ""
        return Exit.SPLAT, splats[0].headline + then
    if outcome.overdue:
        return Exit.HANG, f"in phase '{outcome.overdue}'"
    if not facts:
        return Exit.NO_VERDICT, outcome.complaint.strip() or "it never came up"
    if facts.get("insmod", "0") != "0":
        return Exit.NOT_LOADED, "insmod failed; the console log says why"
    missing = [key for key in _due(task) if key not in facts]
    if missing:
        last = " ".join(list(facts.items())[-1]).strip()
        return Exit.NO_VERDICT, f"it never said '{missing[0]}'; its last word was '{last}'"
    if outcome.torn:
        names = ", ".join(sorted(port.name.lower() for port in outcome.torn))
        return Exit.NO_VERDICT, f"something of {names} is missing"
    if task.module and facts["rmmod"] not in ("0", "absent"):
        return Exit.NOT_UNLOADED, "rmmod failed; the console log says why"
    numbers = {key: facts[key] for key in ("exit", "leaks", "taint") if key in facts}
    for key, value in numbers.items():
        if not value.isdecimal():
            return Exit.NO_VERDICT, f"it said '{key} {value}' where a number was due"
    if int(facts.get("leaks", "0")):
        return Exit.LEAK, f"{facts['leaks']} objects; the console log has their backtraces"
    # The kernel's own log has the whole of it, whatever the console was too slow for.
    of_log = splat.everything(outcome.outputs.get(Port.KLOG, ""))
    warned = any(report.excused and report.taints for report in of_log)
    return _taint(task, int(facts["taint"]), signed_modules, warned)


def _due(task: Task) -> list[str]:
    """Returns what the guest has to say, whatever happens, in its order."""
    due = ["kernel"]
    if task.module and task.load:
        due.append("insmod")
    if task.kunit:
        due.append("kunit")
    if task.command is not None:
        due += ["command", "exit"]
    if task.module:
        due.append("rmmod")
    return [*due, "taint", "end"]


def _taint(task: Task, taint: int, signed_modules: bool, warned: bool) -> tuple[Exit, str]:
    of_a_module = OUT_OF_TREE | (UNSIGNED if signed_modules else 0)
    must = (of_a_module if task.module and task.load else 0) | (KUNIT_RAN if task.kunit else 0)
    # A command may load a module of its own.
    may = must | (of_a_module if task.command is not None else 0)
    # It has warned of nothing but allocations that failed on purpose, or we would not be here.
    may |= WARNED if warned else 0
    if must & ~taint or taint & ~may:
        return Exit.TAINT, f"{letters(taint)} where {letters(must)} was expected"
    return Exit.PASSED, ""


def letters(taint: int) -> str:
    """Returns the kernel's letters for the bits of a taint mask."""
    bits = [letter for bit, letter in enumerate(TAINT_LETTERS) if taint >> bit & 1]
    return "".join(bits) or "none"
