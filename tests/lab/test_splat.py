# SPDX-License-Identifier: GPL-2.0
"""Which lines of a kernel's log are reports of trouble, and which only look like it."""

import pytest

from lab.splat import ALLOW, DENY, EXPECT, EXPECT_END, everything, scan

QUIET = """\
[    0.000000] Linux version 7.3.4 (clang version 22.1) #1 SMP PREEMPT
[    0.000000] Command line: console=ttyS0 panic=-1 oops=panic ignore_loglevel
[    0.021913] Calibrating delay loop (skipped), value calculated using timer frequency..
[    0.190245] rcu: Preemptible hierarchical RCU implementation.
[    0.190245] rcu: 	RCU lockdep checking is enabled.
[    0.222134] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
[    0.700101] kmemleak: Kernel memory leak detector initialized (mem pool available: 59622)
[    0.801134] clocksource: Watchdog remote CPU 1 read timed out
[    1.012345] ACPI BIOS Error (bug): Could not resolve symbol [\\_SB.PCI0], AE_NOT_FOUND
[    1.112345] Spectre V2 : Vulnerable
[    2.000000] ringdev: loading out-of-tree module taints kernel.
[    2.100000] ringdev: capacity=100000: must be a power of two from 4096 to 1073741824
[    2.200000] kunit: module red_kunit: tests ran
[    2.300000] ringdev-tests[61]: segfault at 0 ip 0000000000401136 sp 00007ffc8a1b2c50 error 4
[    2.400000] process 62 (ringdev-tests) no longer affine to cpu1
[    2.500000] random: crng init done
"""

WARN = """\
[    2.595367] ------------[ cut here ]------------
[    2.595568] red: as it was told to
[    2.595699] WARNING: red.c:27 at warn+0x7/0x10 [red], CPU#1: insmod/53
[    2.597433] Modules linked in: red(O+)
[    2.598494] CPU: 1 UID: 0 PID: 53 Comm: insmod Tainted: G           O        7.3.4 #1 PREEMPT
[    2.607501] RIP: 0010:warn+0x7/0x10 [red]
[    2.617283] Call Trace:
[    2.619332]  <TASK>
[    2.619648]  do_one_initcall+0xf5/0x230
[    2.635090]  entry_SYSCALL_64_after_hwframe+0x4b/0x53
[    2.642000]  </TASK>
[    2.642100] ---[ end trace 0000000000000000 ]---
"""

OOPS = """\
[    3.341791] BUG: kernel NULL pointer dereference, address: 0000000000000008
[    3.342697] #PF: supervisor write access in kernel mode
[    3.346823] Oops: Oops: 0002 [#1] SMP
[    3.355771] RIP: 0010:oops+0x0/0x10 [red]
[    3.372973] Call Trace:
[    3.373983]  <TASK>
[    3.374282]  do_one_initcall+0xf5/0x230
[    3.410103]  </TASK>
[    3.411270] ---[ end trace 0000000000000000 ]---
[    3.412000] Kernel panic - not syncing: Fatal exception
"""

LOCKDEP = """\
[    7.120001]
[    7.120002] ======================================================
[    7.120003] WARNING: possible circular locking dependency detected
[    7.120004] 7.3.4 #1 Tainted: G           O
[    7.120005] ------------------------------------------------------
[    7.120006] insmod/53 is trying to acquire lock:
[    7.120007] ffffffffc0204020 (first){+.+.}-{4:4}, at: lockdep+0x8d/0xc0 [red]
[    7.120008] but task is already holding lock:
[    7.120009] ffffffffc02040a0 (second){+.+.}-{4:4}, at: lockdep+0x81/0xc0 [red]
[    7.120010] 1 lock held by insmod/53:
[    7.120011] stack backtrace:
[    7.120012] Call Trace:
[    7.120013]  <TASK>
[    7.120014]  dump_stack_lvl+0x77/0xb0
[    7.120015]  </TASK>
"""

ALLOCATION = """\
[    9.000001] insmod: vmalloc error: size 16384, failed to allocate pages, mode:0xcc0(GFP_KERNEL)
[    9.000002] CPU: 0 UID: 0 PID: 81 Comm: insmod Tainted: G           O        7.3.4 #1 PREEMPT
[    9.000003] Call Trace:
[    9.000004]  <TASK>
[    9.000005]  warn_alloc+0x100/0x1a0
[    9.000006]  </TASK>
[    9.000007] Mem-Info:
"""

# What 7.3.4 says when it has no memory for the fields of a module's events.
FIELDS = """\
[    9.614355] ------------[ cut here ]------------
[    9.614573] WARNING: kernel/trace/trace_events.c:3147 at event_define_fields+0x5ca/0x5f0
[    9.615760] Modules linked in: ringdev(O+) [last unloaded: ringdev(O)]
[    9.621837] Call Trace:
[    9.622080]  <TASK>
[    9.622304]  event_create_dir+0xad/0x9b0
[    9.626444]  </TASK>
[    9.627691] ---[ end trace 0000000000000000 ]---
[    9.628016] error code is -12
"""

# What 7.2.12 says, later, of such an event.
TWICE = """\
[    9.714355] ------------[ cut here ]------------
[    9.714573] WARNING: kernel/trace/trace_events.c:1302 at event_file_put+0xbb/0xf0, CPU#1: s/81
[    9.715760] Modules linked in: ringdev(O-) [last unloaded: ringdev(O)]
[    9.716494] CPU: 1 UID: 0 PID: 81 Comm: s Tainted: G        W  O        7.2.12 #1 PREEMPT
[    9.717501] RIP: 0010:event_file_put+0xbb/0xf0
[    9.721837] Call Trace:
[    9.726444]  </TASK>
[    9.727691] ---[ end trace 0000000000000000 ]---
"""


def topics(log: str) -> list[str]:
    return [splat.topic for splat in scan(log)]


def on_purpose(log: str) -> str:
    return f"[    8.9] {EXPECT}\n{log}[    9.9] {EXPECT_END}\n"


def test_an_ordinary_log_has_no_splat() -> None:
    assert scan(QUIET) == []


def test_a_report_is_one_splat_with_the_line_that_tells_most() -> None:
    (splat,) = scan(QUIET + WARN + QUIET)
    assert splat.headline == "WARNING: red.c:27 at warn+0x7/0x10 [red], CPU#1: insmod/53"
    assert splat.lines[0].startswith("------------[ cut here")
    assert splat.lines[-1].strip() == "</TASK>"


def test_reports_that_follow_each_other_are_told_apart() -> None:
    assert topics(WARN + LOCKDEP + QUIET + OOPS) == ["warning", "lockdep", "oops", "panic"]


def test_a_report_without_an_end_hides_nothing_behind_it() -> None:
    cut = WARN.splitlines(keepends=True)[2]
    assert topics(cut + QUIET * 12 + OOPS) == ["warning", "oops", "panic"]


def test_timestamps_and_levels_do_not_matter() -> None:
    bare = "\n".join(line.partition("] ")[2] for line in WARN.splitlines())
    levelled = "\n".join(f"<4>{line}" for line in WARN.splitlines())
    with_caller = WARN.replace("] ", "][    T53] ")
    for log in (bare, levelled, with_caller):
        assert [splat.headline for splat in scan(log)] == [scan(WARN)[0].headline]


EXAMPLES = [
    ("Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000009", "panic"),
    ("rust_kernel: panicked at src/ring/mod.rs:10:5:", "Rust panic"),
    ("kernel BUG at mm/slub.c:4321!", "BUG"),
    ("Oops: general protection fault, probably for non-canonical address 0xdead", "oops"),
    ("Oops: int3: 0000 [#1] PREEMPT SMP", "oops"),
    ("BUG: unable to handle page fault for address: ffffc90000100000", "oops"),
    ("traps: PANIC: double fault, error_code: 0x0", "oops"),
    ("BUG: KASAN: slab-use-after-free in use_after_free+0x60/0x80 [red]", "sanitizer"),
    ("BUG: KFENCE: out-of-bounds read in test+0x10/0x20", "sanitizer"),
    ("BUG: sleeping function called from invalid context at mm.h:318", "sleep in atomic"),
    ("BUG: scheduling while atomic: insmod/53/0x00000002", "sleep in atomic"),
    ("watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [sh:40]", "lockup"),
    ("BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!", "lockup"),
    ("INFO: task insmod:53 blocked for more than 120 seconds.", "hung task"),
    ("rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:", "RCU stall"),
    ("rcu: INFO: rcu_preempt self-detected stall on CPU", "RCU stall"),
    ("rcu: rcu_preempt kthread starved for 2502 jiffies! g1234", "RCU stall"),
    ("WARNING: suspicious RCU usage", "RCU"),
    ("WARNING: possible recursive locking detected", "lockdep"),
    ("WARNING: possible irq lock inversion dependency detected", "lockdep"),
    ("WARNING: inconsistent lock state", "lockdep"),
    ("WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected", "lockdep"),
    ("WARNING: bad unlock balance detected!", "lockdep"),
    ("WARNING: lock held when returning to user space!", "lockdep"),
    ("[ BUG: Invalid wait context ]", "lockdep"),
    ("INFO: trying to register non-static key.", "lockdep"),
    ("turning off the locking correctness validator.", "lockdep"),
    ("DEBUG_LOCKS_WARN_ON(lock->magic != lock)", "lockdep"),
    ("refcount_t: underflow; use-after-free.", "reference count"),
    ("list_add corruption. prev->next should be next (ffff8880), but was 0", "corruption"),
    ("list_del corruption, ffff888001234567->next is LIST_POISON1", "corruption"),
    ("BUG kmalloc-64 (Tainted: G           O      ): Right Redzone overwritten", "slab"),
    ("BUG kmalloc-193 (Not tainted): Objects remaining on __kmem_cache_shutdown()", "slab"),
    ("BUG: Bad page state in process sh  pfn:12345", "page corruption"),
    ("BUG: Bad rss-counter state mm:00000000 type:MM_ANONPAGES val:1", "page corruption"),
    ("usercopy: Kernel memory exposure attempt detected from SLUB object", "usercopy"),
    ("UBSAN: array-index-out-of-bounds in drivers/misc/x.c:10:5", "undefined behaviour"),
    ("ODEBUG: free active (active state 0) object: 0 object type: work_struct", "object"),
    ("sysfs: cannot create duplicate filename '/class/misc/0'", "duplicate name"),
    ("kobject: kobject_add_internal failed for 0 (error: -2 parent: misc)", "duplicate name"),
    ("kobject: kobject_add_internal failed for 0 (error: -12 parent: misc)", "failed allocation"),
    ("unreferenced object 0xff11000000f35600 (size 256):", "leak"),
    ("sh: page allocation failure: order:4, mode:0x40dc0(GFP_KERNEL)", "failed allocation"),
    ("FAULT_INJECTION: forcing a failure.", "failed allocation"),
    ("BUG: something that has no name yet", "warning"),
    ("WARNING: CPU: 0 PID: 53 at red.c:27 warn+0x7/0x10 [red]", "warning"),
    ("Call Trace:", "stack"),
    ("------------[ cut here ]------------", "stack"),
]


@pytest.mark.parametrize(("line", "topic"), EXAMPLES)
def test_each_kind_of_report_is_known_by_its_line(line: str, topic: str) -> None:
    (found,) = topics(f"{QUIET}[   12.345678] {line}\n{QUIET}")
    assert found.startswith(topic)


def test_each_topic_has_an_example_above() -> None:
    shown = {scan(line)[0].topic for line, _ in EXAMPLES}
    assert shown == {topic for _, topic in DENY}


def test_a_leak_has_all_that_is_indented() -> None:
    dump = "  hex dump (first 32 bytes):\n    42 55 47 3a 20 00  BUG: ..\n  backtrace (crc 1):\n"
    leak = f"unreferenced object 0xff11000000f35600 (size 256):\n{dump}"
    splats = scan(leak + leak + WARN)
    assert [splat.topic for splat in splats] == ["leak", "leak", "warning"]
    assert splats[0].lines == tuple(leak.splitlines())


def test_nothing_is_excused_without_a_reason() -> None:
    assert all(reason for _, reason in ALLOW)


def test_allocations_that_fail_on_purpose_are_excused() -> None:
    assert topics(ALLOCATION) == ["failed allocation"]
    assert topics(on_purpose(ALLOCATION)) == []
    assert topics(on_purpose("[    9.0] FAULT_INJECTION: forcing a failure.\n")) == []
    assert topics(FIELDS) == ["failed allocation"]
    assert topics(on_purpose(FIELDS)) == []
    reports = everything(on_purpose(FIELDS + ALLOCATION))
    assert [report.taints for report in reports] == [True, False]
    assert topics(on_purpose(FIELDS + WARN)) == ["warning"]


def test_a_mistake_of_one_kernel_is_excused_in_that_kernel_alone() -> None:
    assert topics(TWICE) == ["warning"]
    assert topics(on_purpose(TWICE)) == []
    assert [report.taints for report in everything(on_purpose(TWICE))] == [True]
    assert topics(on_purpose(TWICE.replace("7.2.12", "7.3.4"))) == ["warning"]
    assert topics(on_purpose(TWICE.replace("event_file_put", "event_file_get"))) == ["warning"]
    (cut,) = TWICE.splitlines(keepends=True)[1:2]
    assert topics(on_purpose(cut)) == ["warning"]


def test_nothing_else_is_excused_meanwhile() -> None:
    assert topics(on_purpose(ALLOCATION + WARN + ALLOCATION)) == ["warning"]


def test_nothing_is_excused_before_or_afterwards() -> None:
    assert topics(ALLOCATION + on_purpose("") + ALLOCATION) == ["failed allocation"] * 2


def test_the_announcement_is_a_line_of_its_own() -> None:
    assert topics(f"[    8.9] somebody said '{EXPECT}'\n{ALLOCATION}") == ["failed allocation"]


def test_an_unfinished_report_does_not_swallow_the_end_of_the_announcement() -> None:
    cut = "".join(ALLOCATION.splitlines(keepends=True)[:1])
    assert topics(on_purpose(cut) + WARN) == ["warning"]
