// SPDX-License-Identifier: GPL-2.0

//! What a ring is to be like.

use rustix::process::{getegid, geteuid};

use crate::abi;
use crate::attributes::{Delivery, Framing, Full};
use crate::name::RingName;

/// A ring to be made by [`Control::create`](crate::Control::create).
///
/// Unless said otherwise it is like `/dev/ring/0`: a stream of 256 KiB, where writers wait and
/// readers compete, without end of file, for its owner alone.
///
/// ```
/// use ringdev::{Create, Delivery, Framing, Full};
///
/// // What /dev/kmsg is.
/// let log = Create::new("log".parse()?)
///     .framing(Framing::Record)
///     .full(Full::Overwrite)
///     .delivery(Delivery::Broadcast)
///     .mode(0o644);
/// # Ok::<(), ringdev::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it makes a ring only when it is given to Control::create"]
pub struct Create {
    name: RingName,
    capacity: u64,
    framing: Framing,
    full: Full,
    delivery: Delivery,
    hangup: bool,
    mode: u32,
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Create {
    /// A ring of this name.
    pub fn new(name: RingName) -> Self {
        Self {
            name,
            capacity: 256 << 10,
            framing: Framing::Stream,
            full: Full::Block,
            delivery: Delivery::Shared,
            hangup: false,
            mode: 0o600,
            uid: None,
            gid: None,
        }
    }

    /// How many bytes it holds: a power of two, from the size of a page to what the module
    /// parameter `max_capacity` says.
    pub fn capacity(self, bytes: u64) -> Self {
        Self {
            capacity: bytes,
            ..self
        }
    }

    /// What it keeps apart.
    pub fn framing(self, framing: Framing) -> Self {
        Self { framing, ..self }
    }

    /// What a write meets when it is full.
    pub fn full(self, full: Full) -> Self {
        Self { full, ..self }
    }

    /// Who gets the data.
    pub fn delivery(self, delivery: Delivery) -> Self {
        Self { delivery, ..self }
    }

    /// Whether it ends as a FIFO does: end of file when the last writer has gone, `EPIPE` when
    /// there is no reader.
    pub fn hangup(self, hangup: bool) -> Self {
        Self { hangup, ..self }
    }

    /// The permission bits of its node.
    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    /// Who owns its node. Without this it is the effective user of the process.
    pub fn uid(self, uid: u32) -> Self {
        Self {
            uid: Some(uid),
            ..self
        }
    }

    /// The group of its node. Without this it is the effective group of the process.
    pub fn gid(self, gid: u32) -> Self {
        Self {
            gid: Some(gid),
            ..self
        }
    }

    pub(crate) fn to_abi(&self) -> abi::Create {
        abi::Create {
            // The call fills it in.
            size: 0,
            flags: if self.hangup { abi::HANGUP } else { 0 },
            capacity: self.capacity,
            framing: self.framing.to_abi(),
            full: self.full.to_abi(),
            delivery: self.delivery.to_abi(),
            mode: self.mode,
            uid: self.uid.unwrap_or_else(|| geteuid().as_raw()),
            gid: self.gid.unwrap_or_else(|| getegid().as_raw()),
            name: self.name.to_abi(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> RingName {
        "log".parse().expect("a name")
    }

    #[test]
    fn unless_said_otherwise_it_is_like_the_default_ring() {
        let create = Create::new(name()).to_abi();
        assert_eq!(create.flags, 0);
        assert_eq!(create.capacity, 262_144);
        assert_eq!(create.framing, abi::STREAM);
        assert_eq!(create.full, abi::BLOCK);
        assert_eq!(create.delivery, abi::SHARED);
        assert_eq!(create.mode, 0o600);
        assert_eq!(create.uid, geteuid().as_raw());
        assert_eq!(create.gid, getegid().as_raw());
        assert_eq!(&create.name[..4], b"log\0");
    }

    #[test]
    fn what_is_said_is_handed_over() {
        // Each has a value of its own: a field that is filled from another one shows.
        let create = Create::new(name())
            .capacity(4096)
            .framing(Framing::Other(5))
            .full(Full::Other(6))
            .delivery(Delivery::Other(7))
            .hangup(true)
            .mode(0o640)
            .uid(8)
            .gid(9)
            .to_abi();
        assert_eq!(create.flags, abi::HANGUP);
        assert_eq!(create.capacity, 4096);
        assert_eq!(create.framing, 5);
        assert_eq!(create.full, 6);
        assert_eq!(create.delivery, 7);
        assert_eq!(create.mode, 0o640);
        assert_eq!((create.uid, create.gid), (8, 9));
    }
}
