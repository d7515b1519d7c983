// SPDX-License-Identifier: GPL-2.0

//! The core of a ring: where bytes may be put, where they may be taken, and who must be woken.
//!
//! Nothing in this folder knows the kernel. It copies no data, takes no lock, and never sleeps;
//! it does arithmetic on positions and says what its caller may do. The same source is compiled
//! into the module, into the KUnit suites, and, by `tests/core`, on the host, where property tests
//! and a model checker run it.
//!
//! What it needs from its surroundings is [`crate::platform`] (one atomic integer and one memory
//! barrier) and an implementation of [`Waiters`] for each side.
//!
//! | file           | concept                                                           |
//! |----------------|-------------------------------------------------------------------|
//! | `capacity.rs`  | [`Capacity`]: how large a ring may be, and position to offset     |
//! | `positions.rs` | [`Positions`]: the head and the tail, shared by both sides        |
//! | `producer.rs`  | [`Producer`]: reserve room, publish bytes                         |
//! | `consumer.rs`  | [`Consumer`]: see bytes, release them                             |
//! | `waking.rs`    | [`Waiters`]: after a hand-over, who is woken                      |
//! | `ordering.rs`  | [`Site`]: every ordered access and barrier, by name               |

mod capacity;
mod consumer;
mod ordering;
mod positions;
mod producer;
mod waking;

pub(crate) use capacity::Capacity;
pub(crate) use consumer::Consumer;
pub(crate) use ordering::Site;
pub(crate) use positions::Positions;
pub(crate) use producer::Producer;
pub(crate) use waking::{
    pass_on_to_reader,
    pass_on_to_writer,
    wake_readers,
    wake_writers,
    Waiters, //
};
