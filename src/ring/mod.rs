// SPDX-License-Identifier: GPL-2.0

//! The core of a ring: where bytes may be put, where they may be taken, and who must be woken.
//!
//! Nothing in this folder knows the kernel. It copies no data, takes no lock, and never sleeps;
//! it does arithmetic on positions and says what its caller may do. The same source is compiled
//! into the module, into the KUnit suites, and, by `tests/core`, on the host, where property tests
//! and a model checker run it.
//!
//! What it needs from its surroundings is [`crate::platform`] (one atomic integer and three memory
//! barriers), an implementation of [`Waiters`] for each side, and where there are records, one of
//! [`Words`] for the data.
//!
//! | file            | concept                                                          |
//! |-----------------|------------------------------------------------------------------|
//! | `attributes.rs` | [`Attributes`]: what is fixed when a ring is made                |
//! | `capacity.rs`   | [`Capacity`]: how large a ring may be, and position to offset    |
//! | `positions.rs`  | [`Positions`]: the head and the tail, shared by all              |
//! | `record.rs`     | [`Header`]: how a record lies in the ring                        |
//! | `producer.rs`   | [`Producer`]: make and reserve room, publish                     |
//! | `cursor.rs`     | [`Cursor`]: see what is unread, release it, know what is lost    |
//! | `waking.rs`     | [`Waiters`]: after a hand-over, who is woken                     |
//! | `ordering.rs`   | [`Site`]: every ordered access and barrier, by name              |

mod attributes;
mod capacity;
mod cursor;
mod ordering;
mod positions;
mod producer;
mod record;
#[cfg(any(all(test, not(loom)), CONFIG_RINGDEV_KUNIT_TEST))]
mod testing;
mod waking;

pub(crate) use attributes::{
    Attributes,
    Delivery,
    Framing,
    Full, //
};
pub(crate) use capacity::Capacity;
pub(crate) use cursor::{
    Cursor,
    Lapped,
    Received,
    View, //
};
pub(crate) use ordering::Site;
pub(crate) use positions::{
    is_beyond,
    Mark,
    Missed,
    Place,
    Positions,
    Released, //
};
pub(crate) use producer::{
    Producer,
    Written, //
};
pub(crate) use record::{
    Header,
    Words, //
};
pub(crate) use waking::{
    pass_on_to_reader,
    pass_on_to_writer,
    wake_readers,
    wake_writers,
    Waiters, //
};
