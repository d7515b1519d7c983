// SPDX-License-Identifier: GPL-2.0

//! A clock that counts instructions, and the proof that it does.
//!
//! Under `-icount shift=0` QEMU lets a nanosecond of the guest's time pass with each instruction.
//! The kernel reads that time from a counter whose frequency it has measured, so what it makes of
//! it may be off by that measurement's error. A loop of known length tells by how much.

use std::arch::asm;

use rustix::time::{ClockId, clock_gettime};

/// How many instructions the loop of the calibration has.
const LOOP: u64 = 2_000_000;

/// By how many thousandths the clock may be off.
const TOLERANCE: u64 = 5;

/// What the clock made of the loop.
#[derive(Debug)]
pub struct Calibration {
    /// The instructions of the loop.
    pub instructions: u64,
    /// The nanoseconds that it took: the shortest of some runs, since a timer interrupt may fall
    /// into one.
    pub nanoseconds: u64,
}

/// Returns the time in nanoseconds since some moment.
#[inline(always)]
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // CAST: Neither is ever negative.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Runs the loop, and says whether a nanosecond is an instruction.
pub fn calibrate() -> Result<Calibration, String> {
    let nanoseconds = (0..9).map(|_| time_loop()).min().unwrap_or(0);
    if !is_close(nanoseconds) {
        return Err(format!(
            "a loop of {LOOP} instructions took {nanoseconds} ns: here a nanosecond is not an \
             instruction, as it is under QEMU's -icount shift=0"
        ));
    }
    Ok(Calibration {
        instructions: LOOP,
        nanoseconds,
    })
}

fn is_close(nanoseconds: u64) -> bool {
    nanoseconds.abs_diff(LOOP) * 1000 <= LOOP * TOLERANCE
}

fn time_loop() -> u64 {
    let start = now();
    // SAFETY: Counts a register of its own down to zero, and touches nothing else.
    unsafe {
        asm!(
            "2:",
            "dec {left}",
            "jnz 2b",
            left = inout(reg) LOOP / 2 => _,
            options(nomem, nostack),
        );
    }
    now() - start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_percent_is_tolerated_and_no_more() {
        assert!(is_close(LOOP));
        assert!(is_close(LOOP + LOOP / 200));
        assert!(is_close(LOOP - LOOP / 200));
        assert!(!is_close(LOOP + LOOP / 200 + 1));
        assert!(!is_close(LOOP - LOOP / 200 - 1));
        assert!(!is_close(0));
    }
}
