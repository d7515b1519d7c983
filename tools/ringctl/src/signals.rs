// SPDX-License-Identifier: GPL-2.0

//! Signals that end ringctl, held back while it owes somebody data.

use std::io;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

/// What ends a program that does not ask for it: a terminal that is closed or says so, and kill(1).
const ENDING: [Signal; 4] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
];

/// Holds signals back until it is dropped. One that has come meanwhile ends ringctl then, in the
/// way that it ends any program, so the exit status tells of it.
#[must_use = "signals are held back only while it lives"]
pub(crate) struct Held {
    before: SigSet,
}

impl Held {
    pub(crate) fn new() -> io::Result<Self> {
        let ending: SigSet = ENDING.into_iter().collect();
        let before = ending.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(Self { before })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It cannot fail: the mask was the thread's.
        let _ = self.before.thread_set_mask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocked() -> SigSet {
        SigSet::thread_get_mask().expect("the thread has one")
    }

    #[test]
    fn signals_are_held_back_while_it_lives() {
        let before = blocked();
        let held = Held::new().expect("signals that exist");
        for signal in ENDING {
            assert!(!before.contains(signal), "{signal}");
            assert!(blocked().contains(signal), "{signal}");
        }
        assert!(!blocked().contains(Signal::SIGTSTP));
        drop(held);
        assert_eq!(blocked(), before);
    }

    #[test]
    fn what_was_held_back_before_still_is() {
        let mut outer = SigSet::empty();
        outer.add(Signal::SIGINT);
        outer.add(Signal::SIGUSR1);
        outer.thread_block().expect("signals that exist");
        let before = blocked();
        drop(Held::new().expect("signals that exist"));
        assert_eq!(blocked(), before);
    }
}
