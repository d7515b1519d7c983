# SPDX-License-Identifier: GPL-2.0
"""The kernel of the debug lane has what finds the mistakes that a driver like this can make.

Without one of these a guest boots, passes all tests, and misses a class of mistakes.
"""

from lab import kernel, paths

# What the kernel must have, and what nothing else in the lab would find without it.
AIDS = {
    "CONFIG_KASAN": "use of freed memory, and access beyond a slab object",
    "CONFIG_KASAN_GENERIC": "the mode that works for Rust and under TCG",
    "CONFIG_KASAN_VMALLOC": "the same for vmalloc'ed memory: a ring's data are mapped there",
    "CONFIG_DEBUG_KMEMLEAK": "memory that nothing refers to any more",
    "CONFIG_PAGE_TABLE_CHECK": "a ring's page that is mapped after it was freed",
    "CONFIG_PAGE_TABLE_CHECK_ENFORCED": "without it, the check waits for a word at boot",
    "CONFIG_DEBUG_VM": "pages with a wrong count or in a wrong state",
    "CONFIG_DEBUG_VM_PGFLAGS": "a page's flags that contradict each other",
    "CONFIG_DEBUG_VIRTUAL": "the physical address of memory that is not mapped linearly",
    "CONFIG_SLUB_DEBUG": "objects that are left in a cache when it is destroyed",
    "CONFIG_DEBUG_LIST": "a list's entry that is added or removed twice, as in wait queues",
    "CONFIG_DEBUG_OBJECTS": "a timer or a work item that is used in a wrong state",
    "CONFIG_DEBUG_OBJECTS_FREE": "one that is freed while it is active",
    "CONFIG_DEBUG_OBJECTS_WORK": "work items, which DEBUG_OBJECTS leaves out by itself",
    "CONFIG_HARDENED_USERCOPY": "a copy to or from user space beyond an object",
    "CONFIG_HARDENED_USERCOPY_DEFAULT_ON": "without it, the check waits for a word at boot",
    "CONFIG_PROVE_LOCKING": "an order of locks that could deadlock",
    "CONFIG_PROVE_RCU": "data under RCU that are read outside of a read-side section",
    "CONFIG_DEBUG_ATOMIC_SLEEP": "a sleep under a spinlock or with preemption off",
    "CONFIG_DEBUG_PREEMPT": "data of a CPU that are used where the task may move to another",
    "CONFIG_DEBUG_LOCK_ALLOC": "a lock that is freed while it is held",
    "CONFIG_SCHED_STACK_END_CHECK": "a stack that has overflown",
    "CONFIG_DETECT_HUNG_TASK": "a task that sleeps uninterruptibly for ever",
    "CONFIG_SOFTLOCKUP_DETECTOR": "a CPU that never schedules",
    "CONFIG_WQ_WATCHDOG": "a work queue that does not get on",
    "CONFIG_FAULT_INJECTION_DEBUG_FS": "what the user tests turn failures on with",
    "CONFIG_FAILSLAB": "errors of the paths that allocate objects",
    "CONFIG_FAIL_PAGE_ALLOC": "errors of the paths that allocate a ring's pages",
    "CONFIG_FAULT_INJECTION_USERCOPY": "errors of the paths that copy to and from user space",
    "CONFIG_KCOV": "what was reached by make fuzz",
    "CONFIG_RUST_DEBUG_ASSERTIONS": "a debug_assert!() of the module or of the kernel crate",
    "CONFIG_RUST_OVERFLOW_CHECKS": "arithmetic on positions and lengths that overflows",
}


def test_the_debug_lane_has_what_finds_each_class_of_mistakes() -> None:
    fragment = (paths.ROOT / "scripts/lanes/debug.config").read_text()
    wanted = kernel.wanted(fragment)
    lacking = {symbol: why for symbol, why in AIDS.items() if wanted.get(symbol) != "y"}
    assert lacking == {}
