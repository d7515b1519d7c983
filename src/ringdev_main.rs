// SPDX-License-Identifier: GPL-2.0

//! ringdev: named ring buffers under /dev/ring.
//!
//! This file declares the module and its parameters, and wires the parts together. A call goes one
//! way: `staging/file.rs` (from C), [`endpoint`] (what is asked), [`channel`] (lock, copy, wake),
//! [`ring`] (where, and who).

use kernel::{
    c_str,
    page::PAGE_SIZE,
    prelude::*,
    sync::Arc, //
};

mod abi;
mod channel;
mod control;
mod endpoint;
mod platform;
mod registry;
mod report;
mod ring;
mod staging;

use crate::{
    control::Control,
    registry::{
        Limits,
        Name,
        Registry, //
    },
    ring::{
        Attributes,
        Capacity, //
    },
    staging::{
        chardev::Region,
        compat::{
            flag,
            value,
            with_flag, //
        },
        credentials::{
            kuid_from_current_ns,
            Kgid, //
        },
        misc::{
            Options,
            Registration, //
        }, //
    }, //
};

macro_rules! declare {
    ($flag:ident, $set:tt) => {
        module! {
            type: Ringdev,
            name: "ringdev",
            authors: ["The ringdev developers"],
            description: "Named ring buffers under /dev/ring",
            license: "GPL",
            params: {
                default_ring: $flag {
                    default: $set,
                    description: "Create /dev/ring/0 (default: 1)",
                },
                capacity: u64 {
                    default: 262144,
                    description: "Bytes in /dev/ring/0, a power of two up to max_capacity (262144)",
                },
                max_capacity: u64 {
                    default: 1073741824,
                    description: "The most bytes that a ring may have (default and at most: 1073741824)",
                },
                max_rings: u32 {
                    default: 4096,
                    description: "How many rings there may be, from 1 to 65536 (default: 4096)",
                },
                max_user_bytes: u64 {
                    default: 67108864,
                    description: "The most bytes that a user's rings may have together (default: 67108864)",
                },
            },
        }
    };
}
with_flag!(declare);

/// The module, while it is loaded.
struct Ringdev {
    // Held for their destructors, in this order: nobody makes a ring while the rings go.
    _control: Pin<KBox<Registration<Control>>>,
    _registry: Arc<Registry>,
}

impl kernel::Module for Ringdev {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let page_size = PAGE_SIZE as u64;
        let max_capacity = value(&module_parameters::max_capacity);
        let max_rings = value(&module_parameters::max_rings);

        if max_capacity < Capacity::min(page_size) || max_capacity > Capacity::MAX {
            pr_err!(
                "max_capacity={}: must be from {} to {}\n",
                max_capacity,
                Capacity::min(page_size),
                Capacity::MAX
            );
            return Err(EINVAL);
        }
        if !(1..=MAX_RINGS).contains(&max_rings) {
            pr_err!("max_rings={}: must be from 1 to {}\n", max_rings, MAX_RINGS);
            return Err(EINVAL);
        }
        let Some(default_ring) = flag(&module_parameters::default_ring) else {
            pr_err!("default_ring: must be 0 or 1\n");
            return Err(EINVAL);
        };
        let default_ring = if default_ring {
            let bytes = value(&module_parameters::capacity);
            let Ok(capacity) = abi::capacity(bytes, max_capacity) else {
                pr_err!(
                    "capacity={}: must be a power of two from {} to {}\n",
                    bytes,
                    Capacity::min(page_size),
                    max_capacity
                );
                return Err(EINVAL);
            };
            Some(capacity)
        } else {
            None
        };

        let region = Arc::pin_init(Region::new(c_str!("ring"), max_rings), GFP_KERNEL)?;
        let limits = Limits {
            max_capacity,
            max_user_bytes: value(&module_parameters::max_user_bytes),
        };
        let registry = Registry::new(region, limits)?;
        // A load that fails does not wait for those who have opened a node by then, and their
        // operations go with the module: what can fail, or takes long, comes before there is one.
        let default_ring = default_ring
            .map(|capacity| {
                registry.prepare(default_name()?, Attributes::STREAM, capacity, root_only()?)
            })
            .transpose()?;
        let node = Options {
            name: c_str!("ring-control"),
            nodename: c_str!("ring/control"),
            mode: 0o600,
        };
        let control = KBox::pin_init(Registration::new(node, registry.clone()), GFP_KERNEL)?;
        if let Some(prepared) = default_ring {
            registry.add(prepared)?;
        }
        Ok(Self {
            _control: control,
            _registry: registry,
        })
    }
}

/// The most rings that there may be: that many device numbers are set aside at most.
const MAX_RINGS: u32 = 65536;

/// The name of the default ring.
fn default_name() -> Result<Name> {
    let mut name = [0; 32];
    name[0] = b'0';
    Name::new(name).ok_or(EINVAL)
}

/// The mode, owner and group of the default ring's node.
fn root_only() -> Result<(u16, kernel::task::Kuid, Kgid)> {
    let uid = kuid_from_current_ns(0).ok_or(EINVAL)?;
    let gid = Kgid::from_current_ns(0).ok_or(EINVAL)?;
    Ok((0o600, uid, gid))
}
