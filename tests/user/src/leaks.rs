// SPDX-License-Identifier: GPL-2.0

//! Looking for kernel memory that was lost.

use std::fs;
use std::thread;
use std::time::Duration;

const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";

/// Kernel memory in use, in KiB: slabs, vmalloc areas, page tables and stacks.
pub fn kernel_memory() -> u64 {
    kib_of(&["SUnreclaim", "VmallocUsed", "PageTables", "KernelStack"])
}

/// Memory of slabs, in KiB, but for those that are there to be given up.
pub fn slabs() -> u64 {
    kib_of(&["SUnreclaim"])
}

/// Memory that the kernel could find for something, in KiB.
pub fn available_memory() -> u64 {
    kib_of(&["MemAvailable"])
}

/// How many areas of the kernel's address space are mapped by `vmap()`.
pub fn mapped_areas() -> usize {
    let areas = fs::read_to_string("/proc/vmallocinfo").expect("read /proc/vmallocinfo");
    areas.lines().filter(|line| line.contains(" vmap")).count()
}

fn kib_of(names: &[&str]) -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").expect("read /proc/meminfo");
    let value = |name: &str| {
        meminfo
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .unwrap_or_else(|| panic!("no {name} in /proc/meminfo"))
    };
    names.iter().map(|name| value(name)).sum()
}

pub fn can_be_found() -> Result<(), &'static str> {
    if fs::exists(KMEMLEAK).unwrap_or(false) {
        Ok(())
    } else {
        Err("the kernel has no kmemleak")
    }
}

/// Fails if kmemleak finds memory that nothing refers to any more.
pub fn assert_none() {
    // An object younger than five seconds is never reported.
    thread::sleep(Duration::from_secs(6));
    // A leak is what two scans agree on: the first may see a pointer on its way somewhere.
    for _ in 0..2 {
        fs::write(KMEMLEAK, "scan").expect("scan for leaks");
    }
    let leaks = fs::read_to_string(KMEMLEAK).expect("read the list of leaks");
    assert!(leaks.is_empty(), "{leaks}");
}
