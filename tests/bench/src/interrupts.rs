// SPDX-License-Identifier: GPL-2.0

//! How many interrupts the machine has served.
//!
//! The kernel's tick goes on while something is measured, and its instructions are counted as well. A
//! stretch without an interrupt has nothing in it but what was to be measured.

use std::fs::File;
use std::io::{self, Read, Seek};

/// The kernel's count of interrupts, all kinds together.
pub struct Interrupts(File);

impl Interrupts {
    /// Opens the count.
    pub fn open() -> io::Result<Self> {
        File::open("/proc/stat").map(Self)
    }

    /// Returns the count so far.
    pub fn count(&mut self) -> io::Result<u64> {
        self.0.rewind()?;
        let mut stat = String::new();
        self.0.read_to_string(&mut stat)?;
        total(&stat).ok_or_else(|| io::Error::other("/proc/stat has no line 'intr'"))
    }
}

/// Finds the total in the text of `/proc/stat`: the first number of the line `intr`.
fn total(stat: &str) -> Option<u64> {
    let counts = stat.lines().find_map(|line| line.strip_prefix("intr "))?;
    counts.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_the_first_number_of_its_line() {
        assert_eq!(total("cpu 1 2\nintr 345 0 9 0\nctxt 7\n"), Some(345));
        assert_eq!(total("intr 5\n"), Some(5));
        assert_eq!(total("cpu 1 2\n"), None);
        assert_eq!(total("intr x\n"), None);
    }
}
