# SPDX-License-Identifier: GPL-2.0
"""Finds the reports of kernel trouble ("splats") in a kernel's log.

DENY says what is a splat. ALLOW says what looks like one and is none, with the reason. Both
have fixtures in tests/lab.

A test that makes allocations fail on purpose announces it by a line to /dev/kmsg, EXPECT, and
takes it back by another, EXPECT_END. Between the two, and there only, a report of a failed
allocation is no splat, nor is one of MISTAKES. All else still is.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

EXPECT = "lab: allocations fail on purpose from here"
EXPECT_END = "lab: allocations fail on purpose up to here"

# What a test may announce.
FAILED_ALLOCATION = "failed allocation"

# What kmemleak prints of memory that nothing refers to any more: not trouble by itself, but a leak.
LEAK = "leak"

# What is a splat: patterns that are searched for in each line, and what such a line is about.
# The first that is found says the topic; the last ones catch what has no name yet.
DENY: Sequence[tuple[str, str]] = (
    (r"Kernel panic", "panic"),
    (r"rust_kernel: panicked", "Rust panic"),
    (r"kernel BUG at", "BUG"),
    (r"\bOops\b|general protection fault|[Uu]nable to handle", "oops"),
    (r"invalid opcode|double fault|stack guard page|unchecked MSR access", "oops"),
    (r"BUG: (KASAN|KFENCE|KCSAN|KMSAN)", "sanitizer"),
    (r"sleeping function called|scheduling while atomic", "sleep in atomic context"),
    (r"soft lockup|hard LOCKUP|workqueue lockup", "lockup"),
    (r"INFO: task .* blocked", "hung task"),
    (r"rcu: INFO: |detected stall|kthread starved", "RCU stall"),
    (r"suspicious RCU usage|context switch within RCU", "RCU"),
    (r"possible (circular|recursive) locking|lock inversion", "lockdep"),
    (r"inconsistent lock state|lock order detected|bad unlock balance", "lockdep"),
    (r"held lock freed|lock held when returning|still has locks held", "lockdep"),
    (r"Invalid wait context|register non-static key", "lockdep"),
    (r"turning off the locking correctness|DEBUG_LOCKS_WARN_ON", "lockdep"),
    (r"refcount_t:", "reference count"),
    (r"list_(add|del).*(corruption|should be)|corrupted stack end", "corruption"),
    (r"BUG [^ ]+ ?(\(.*\))?: |Objects remaining", "slab corruption"),
    (r"Bad (page|rss)|page_table_check", "page corruption"),
    (r"usercopy: Kernel memory", "usercopy"),
    (r"UBSAN:", "undefined behaviour"),
    (r"ODEBUG:", "object lifetime"),
    (r"kobject_add_internal failed for .* \(error: -12 ", FAILED_ALLOCATION),
    (r"cannot create duplicate filename|kobject_add_internal failed", "duplicate name"),
    (r"^unreferenced object", LEAK),
    (r"page allocation failure|vmalloc error", FAILED_ALLOCATION),
    (r"FAULT_INJECTION: forcing a failure", FAILED_ALLOCATION),
    # The kernel's own, for a module with tracepoints whose fields it has no memory to describe.
    (r"WARNING: kernel/trace/.* at event_define_fields\+", FAILED_ALLOCATION),
    (r"BUG: |WARNING: ", "warning"),
    (r"Call Trace:|-\[ cut here \]-", "stack"),
)

# Mistakes of a kernel's own that a failed allocation brings to light: the line that tells of one,
# and the line of the same report that names a kernel which makes it.
MISTAKES: Sequence[tuple[str, str]] = (
    # 7.2 counts the reference of an event's directory only once the event's fields are described,
    # and drops it also if there was no memory for them (event_create_dir()). 7.3 does not.
    (r"WARNING: kernel/trace/.* at event_file_put\+", r"^CPU: .* 7\.2\.\d+\S* #"),
)

# What a pattern above finds and is none, with the reason.
ALLOW: Sequence[tuple[str, str]] = ()

# Where a report ends. One that has no such line is taken to be its first line alone, so that
# it cannot hide another one behind it.
_END = re.compile(r"---\[ end |</TASK>")
_LONGEST = 150
# How far into a report its headline may be.
_HEAD = 6

_TIMESTAMP = re.compile(r"^(<\d+>)?\[ *\d+\.\d+\](\[ *[TC]\d+\])? ?")
_DENY = [(re.compile(pattern), topic) for pattern, topic in DENY]
_ALLOW = [re.compile(pattern) for pattern, _ in ALLOW]
_MISTAKES = [(re.compile(mistake), re.compile(kernel)) for mistake, kernel in MISTAKES]


@dataclass(frozen=True)
class Splat:
    """One report: what it is about, the line that says so, and all of it."""

    topic: str
    headline: str
    lines: tuple[str, ...]
    # It tells of an allocation that failed on purpose.
    excused: bool = False

    @property
    def taints(self) -> bool:
        """Whether the kernel marks itself as one that has warned."""
        return self.headline.startswith("WARNING: ")


def scan(log: str) -> list[Splat]:
    """Returns the splats in a kernel's log, in their order, but for those that are excused."""
    return [splat for splat in everything(log) if not splat.excused]


def everything(log: str) -> list[Splat]:
    """Returns the splats in a kernel's log, in their order."""
    return list(_splats([_TIMESTAMP.sub("", line) for line in log.splitlines()]))


def _splats(lines: Sequence[str]) -> Iterator[Splat]:
    on_purpose = False
    number = 0
    while number < len(lines):
        line = lines[number].strip()
        length = 1
        if line in (EXPECT, EXPECT_END):
            on_purpose = line == EXPECT
        elif _rank(line) is not None:
            length = _length(lines, number)
            splat = _describe(lines[number : number + length])
            yield replace(splat, excused=on_purpose and _is_of_failures(splat))
        number += length


def _is_of_failures(splat: Splat) -> bool:
    return splat.topic == FAILED_ALLOCATION or any(
        mistake.search(splat.headline) and any(kernel.search(line) for line in splat.lines)
        for mistake, kernel in _MISTAKES
    )


def _rank(line: str) -> int | None:
    """Returns the place in DENY of what this line is about."""
    if any(pattern.search(line) for pattern in _ALLOW):
        return None
    return next((rank for rank, (deny, _) in enumerate(_DENY) if deny.search(line)), None)


def _describe(report: Sequence[str]) -> Splat:
    # The line that tells most may come after a "cut here", or after "WARNING:".
    ranks = {line: rank for line in report[:_HEAD] if (rank := _rank(line)) is not None}
    headline = min(ranks, key=lambda line: ranks[line])
    return Splat(_DENY[ranks[headline]][1], headline.strip(), tuple(report))


def _length(lines: Sequence[str], start: int) -> int:
    if lines[start].startswith("unreferenced object"):
        # All that is indented belongs to it.
        rest = itertools.takewhile(lambda line: line.startswith("  "), lines[start + 1 :])
        return 1 + sum(1 for _ in rest)
    for number in range(start, min(start + _LONGEST, len(lines))):
        if _END.search(lines[number]):
            return number - start + 1
        if lines[number].strip() in (EXPECT, EXPECT_END):
            break
    return 1
