// SPDX-License-Identifier: GPL-2.0

//! Client library of the ringdev driver: named ring buffers under `/dev/ring`.
//!
//! A ring lives in the kernel and outlives the programs that use it. [`Control`] makes, shows and
//! removes rings, which is for root, or for a group; [`Ring`] is an open end of one, which is for
//! whoever the mode of its node admits.
//!
//! ```no_run
//! use std::io::{Read, Write};
//!
//! use ringdev::{Control, Create, Framing, Full, Ring, RingName};
//!
//! # fn main() -> std::io::Result<()> {
//! // A flight recorder: it never makes a writer wait, and keeps what came last.
//! let name: RingName = "flight".parse()?;
//! let flight = Create::new(name.clone())
//!     .framing(Framing::Record)
//!     .full(Full::Overwrite)
//!     .capacity(1 << 20);
//! Control::open()?.create(&flight)?;
//!
//! let ring = Ring::options().write(true).open(&name)?;
//! ring.send(b"took off")?;
//!
//! let mut records = Ring::options().read(true).open(&name)?.records()?;
//! while let Some(record) = records.next_record()? {
//!     println!("{} (after {} lost): {:?}", record.sequence, record.lost, record.payload);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Errors are [`std::io::Error`] with the errno of the system call; [`explain`] says in a sentence
//! what it means there. Like `read` and `write` of the standard library, calls that wait end with
//! [`Interrupted`](std::io::ErrorKind::Interrupted) when a signal comes whose handler was installed
//! without `SA_RESTART`.
//!
//! With the feature `tokio`, an [`AsyncRing`] waits without holding up a thread.

#![deny(missing_docs, unsafe_code)]

mod abi;
mod attributes;
mod batch;
mod control;
mod create;
mod explain;
mod info;
mod name;
mod receive;
mod record;
mod records;
mod ring;
#[expect(unsafe_code, reason = "ioctls are, and here they are made safe")]
mod sys;
#[cfg(feature = "tokio")]
mod tokio;

pub use attributes::{Delivery, Framing, Full};
pub use control::{Control, Cursors, Rings};
pub use create::Create;
pub use explain::{Call, explain};
pub use info::{Cursor, Info};
pub use name::{InvalidName, RingName};
pub use record::{OwnedRecord, Record};
pub use records::Records;
pub use ring::{OpenOptions, Ring};
#[cfg(feature = "tokio")]
pub use tokio::{AsyncRecords, AsyncRing};
