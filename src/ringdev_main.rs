// SPDX-License-Identifier: GPL-2.0

//! ringdev: named ring buffers under /dev/ring.
//!
//! This file declares the module and its parameters, and wires the parts together. A call goes one
//! way: `staging/file.rs` (from C), [`endpoint`] (what is asked), [`channel`] (lock, copy, wake),
//! [`ring`] (where, and who).

use kernel::{
    c_str,
    page::PAGE_SIZE,
    prelude::*, //
};

mod channel;
mod endpoint;
mod platform;
mod ring;
mod staging;

use crate::{
    channel::Channel,
    endpoint::Endpoint,
    ring::Capacity,
    staging::misc::{
        Options,
        Registration, //
    }, //
};

module! {
    type: Ringdev,
    name: "ringdev",
    authors: ["The ringdev developers"],
    description: "Named ring buffers under /dev/ring",
    license: "GPL",
    params: {
        default_ring: bool {
            default: true,
            description: "Create /dev/ring/0 (default: 1)",
        },
        capacity: u64 {
            default: 262144,
            description: "Bytes of data in /dev/ring/0, a power of two from the page size to 1 GiB (default: 262144)",
        },
    },
}

/// The module, while it is loaded.
struct Ringdev {
    // Held for its destructor.
    _default_ring: Option<Pin<KBox<Registration<Endpoint>>>>,
}

impl kernel::Module for Ringdev {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let bytes = module_parameters::capacity.value();
        let page_size = PAGE_SIZE as u64;
        let Some(capacity) = Capacity::new(bytes, page_size) else {
            pr_err!(
                "capacity={}: must be a power of two from {} to {}\n",
                bytes,
                Capacity::min(page_size),
                Capacity::MAX
            );
            return Err(EINVAL);
        };

        let default_ring = if module_parameters::default_ring.value() {
            let node = Options {
                name: c_str!("ring-0"),
                nodename: c_str!("ring/0"),
                mode: 0o600,
            };
            let channel = Channel::new(capacity)?;
            Some(KBox::pin_init(
                Registration::new(node, channel),
                GFP_KERNEL,
            )?)
        } else {
            None
        };

        Ok(Self {
            _default_ring: default_ring,
        })
    }
}
