// SPDX-License-Identifier: GPL-2.0

//! The rings that have a name, and what they may take up.
//!
//! # Locks
//!
//! - `Registry::rings`, a mutex: which rings there are. It is held while a node is made or removed,
//!   so that a name is free again when its node is gone, and not before. No ring's memory is found
//!   or zeroed with it held. Opening and using a ring takes it never.
//! - `Ring::charge`, a mutex: those who resize a ring, among each other. It is held while memory is
//!   found for it, and outside the locks of its channel.
//! - `Budget::users`, a mutex inside each of these: how much each user has.

use crate::{
    abi,
    channel::{
        Channel,
        Memory, //
    },
    endpoint::Endpoint,
    ring::{
        Attributes,
        Capacity, //
    },
    staging::{
        chardev::{
            Node,
            Region,
            Registration, //
        },
        compat::{
            EDQUOT,
            ENODATA, //
        },
        credentials::{
            self,
            Kgid, //
        },
        debugfs,
        trace::Label,
        uapi, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    task::Kuid, //
};

/// What nobody may exceed.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes in a ring.
    pub(crate) max_capacity: u64,
    /// Bytes in all rings that a user has made, unless it has `CAP_SYS_RESOURCE`.
    pub(crate) max_user_bytes: u64,
}

/// The name of a ring.
///
/// # Invariants
///
/// 1 to 31 letters, digits, dots, underscores and dashes, then zeros. Neither `.` nor `..` nor
/// `control`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Name([u8; Self::SIZE]);

impl Name {
    const SIZE: usize = 32;

    /// A name as the ABI has it, if it may be one.
    pub(crate) fn new(bytes: [u8; Self::SIZE]) -> Option<Self> {
        let len = bytes.iter().position(|byte| *byte == 0)?;
        let (name, rest) = bytes.split_at_checked(len)?;
        let allowed = name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
        let reserved: [&[u8]; 4] = [b"", b".", b"..", b"control"];
        // INVARIANT: Checked here.
        (allowed && !reserved.contains(&name) && rest.iter().all(|byte| *byte == 0))
            .then_some(Self(bytes))
    }

    /// The name as the ABI has it.
    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        self.0
    }

    fn as_c_str(&self) -> Result<&CStr> {
        CStr::from_bytes_until_nul(&self.0).map_err(|_| EINVAL)
    }
}

/// What a ring is called, and whose its node is.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    /// Given in ascending order, and never again.
    pub(crate) id: u64,
    pub(crate) name: Name,
    pub(crate) mode: u16,
    pub(crate) uid: Kuid,
    pub(crate) gid: Kgid,
}

/// A ring with a name, or one that had a name and is still open.
#[pin_data]
pub(crate) struct Ring {
    pub(crate) identity: Identity,
    #[pin]
    pub(crate) channel: Channel,
    // Given back after the memory of the channel, which is dropped before.
    #[pin]
    charge: Mutex<Charge>,
}

impl Ring {
    /// What it tells of itself, for a program that gave a structure of `size` bytes.
    pub(crate) fn info(&self, size: u32) -> uapi::ringdev_info {
        let statistics = self.channel.statistics();
        abi::info(size, &self.identity, self.channel.attributes(), &statistics)
    }
}

/// What a ring is made of.
pub(crate) struct Prepared {
    name: Name,
    attributes: Attributes,
    owner: (u16, Kuid, Kgid),
    // Given back after the memory, if no ring is made of it.
    memory: Memory,
    charge: Charge,
}

/// A ring in the registry. The node goes before the ring does, and so does the file in debugfs.
struct Named {
    // Held for their destructors.
    _node: Registration<Endpoint>,
    _report: debugfs::File<Ring>,
    ring: Arc<Ring>,
}

struct Rings {
    /// By ascending number.
    list: KVVec<Named>,
    next_id: u64,
}

impl Rings {
    /// The ring of that name. `ENOENT` if there is none.
    fn by_name(&self, name: Name) -> Result<Arc<Ring>> {
        self.first(|ring| ring.identity.name == name).ok_or(ENOENT)
    }

    /// The number for a node of that name. `EEXIST` if there is one, `ENOSPC` if there are as many
    /// as there may be.
    fn minor_for(&self, name: Name, region: &Region) -> Result<u32> {
        if self.by_name(name).is_ok() {
            return Err(EEXIST);
        }
        region.free_minor().ok_or(ENOSPC)
    }

    fn first(&self, is_meant: impl Fn(&Ring) -> bool) -> Option<Arc<Ring>> {
        let found = self.list.iter().find(|named| is_meant(&named.ring));
        found.map(|named| named.ring.clone())
    }
}

/// All rings that have a name.
#[pin_data]
pub(crate) struct Registry {
    #[pin]
    rings: Mutex<Rings>,
    region: Arc<Region>,
    reports: Arc<debugfs::Folder>,
    limits: Limits,
    budget: Arc<Budget>,
}

impl Registry {
    /// No rings, of which there may be as many as `region` has numbers.
    pub(crate) fn new(region: Arc<Region>, limits: Limits) -> Result<Arc<Self>> {
        let budget = Arc::pin_init(
            pin_init!(Budget {
                users <- new_mutex!(KVec::new(), "ringdev_budget"),
            }),
            GFP_KERNEL,
        )?;
        let reports = Arc::new(debugfs::Folder::new(c"ringdev"), GFP_KERNEL)?;
        let rings = Rings {
            list: KVVec::new(),
            next_id: 1,
        };
        Arc::pin_init(
            pin_init!(Self {
                rings <- new_mutex!(rings, "ringdev_rings"),
                region,
                reports,
                limits,
                budget,
            }),
            GFP_KERNEL,
        )
    }

    /// What nobody may exceed.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Makes a ring and its node.
    ///
    /// `EEXIST` if there is one of that name, `ENOSPC` if there are as many as there may be,
    /// `EDQUOT` if the caller has too much already, `ENOMEM`. May sleep.
    pub(crate) fn create(
        &self,
        name: Name,
        attributes: Attributes,
        capacity: Capacity,
        owner: (u16, Kuid, Kgid),
    ) -> Result {
        self.add(self.prepare(name, attributes, capacity, owner)?)
    }

    /// The first half of [`Registry::create`], of which nobody sees anything: all that can take
    /// long, and all that can fail but for want of a few KiB.
    pub(crate) fn prepare(
        &self,
        name: Name,
        attributes: Attributes,
        capacity: Capacity,
        owner: (u16, Kuid, Kgid),
    ) -> Result<Prepared> {
        self.rings.lock().minor_for(name, &self.region)?;
        // In this order: what the user may not have is not looked for.
        let charge = Budget::charge(&self.budget, capacity.as_u64(), self.limits.max_user_bytes)?;
        Ok(Prepared {
            name,
            attributes,
            owner,
            charge,
            memory: Memory::new(capacity)?,
        })
    }

    /// The second half: makes the ring, and then its node. `EEXIST`, `ENOSPC`, `ENOMEM`.
    pub(crate) fn add(&self, prepared: Prepared) -> Result {
        let Prepared {
            name,
            attributes,
            owner: (mode, uid, gid),
            charge,
            memory,
        } = prepared;
        let mut rings = self.rings.lock();
        // Again: another ring may have been made meanwhile.
        let minor = rings.minor_for(name, &self.region)?;
        let identity = Identity {
            id: rings.next_id,
            name,
            mode,
            uid,
            gid,
        };
        let label = Label::new(identity.id, identity.name.as_c_str()?);
        let channel = Channel::new(label, attributes, memory)?;
        let ring = Arc::pin_init(
            pin_init!(Ring {
                identity,
                channel <- channel,
                charge <- new_mutex!(charge, "ringdev_charge"),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        rings.list.reserve(1, GFP_KERNEL)?;
        let node = Node {
            name: identity.name.as_c_str()?,
            mode,
            uid,
            gid,
        };
        // Last: when it is there, the ring can be opened.
        let named = Named {
            _node: Registration::new(&self.region, minor, node, ring.clone())?,
            _report: debugfs::File::new(&self.reports, node.name, ring.clone()),
            ring,
        };
        rings.list.push_within_capacity(named).map_err(|_| ENOMEM)?;
        rings.next_id += 1;
        Ok(())
    }

    /// Takes the name and the node from a ring. `ENOENT` if there is none of that name.
    pub(crate) fn destroy(&self, name: Name) -> Result {
        let mut rings = self.rings.lock();
        let index = rings
            .list
            .iter()
            .position(|named| named.ring.identity.name == name);
        let removed = rings
            .list
            .remove(index.ok_or(ENOENT)?)
            .map_err(|_| ENOENT)?;
        let ring = removed.ring.clone();
        // The node goes with the lock held: only then is the name free again.
        drop(removed);
        drop(rings);
        ring.channel.destroy();
        Ok(())
    }

    /// The ring of that name. `ENOENT` if there is none.
    pub(crate) fn find(&self, name: Name) -> Result<Arc<Ring>> {
        self.rings.lock().by_name(name)
    }

    /// The first ring that has the number `id` or a larger one. `ENODATA` if there is none.
    pub(crate) fn next(&self, id: u64) -> Result<Arc<Ring>> {
        let rings = self.rings.lock();
        rings.first(|ring| ring.identity.id >= id).ok_or(ENODATA)
    }

    /// Changes the capacity of a ring. `ENOENT`, `EBUSY` if the data do not fit, `EDQUOT`,
    /// `ENOMEM`.
    pub(crate) fn resize(&self, name: Name, capacity: Capacity) -> Result {
        let ring = self.find(name)?;
        // One at a time, so that what is charged is what it has.
        let mut charge = ring.charge.lock();
        let before = charge.bytes;
        let after = capacity.as_u64();
        // More is charged before, and less after, so that nobody else has it meanwhile.
        charge.change(before.max(after), self.limits.max_user_bytes)?;
        let result = ring.channel.resize(capacity);
        charge.change(if result.is_ok() { after } else { before }, u64::MAX)?;
        result
    }
}

/// How many bytes the rings of each user have.
#[pin_data]
struct Budget {
    /// Those who have any.
    #[pin]
    users: Mutex<KVec<(Kuid, u64)>>,
}

impl Budget {
    /// Charges the current user. `EDQUOT` if it would have more than `max` then, unless it has
    /// `CAP_SYS_RESOURCE`; `ENOMEM`.
    fn charge(this: &Arc<Self>, bytes: u64, max: u64) -> Result<Charge> {
        let user = credentials::current_uid();
        let mut charge = Charge {
            budget: this.clone(),
            user,
            bytes: 0,
        };
        charge.change(bytes, max)?;
        Ok(charge)
    }
}

/// Bytes that a user is charged for, until this is dropped.
struct Charge {
    budget: Arc<Budget>,
    user: Kuid,
    bytes: u64,
}

impl Charge {
    /// Charges `bytes` instead. `EDQUOT` as for [`Budget::charge`]; less never fails.
    fn change(&mut self, bytes: u64, max: u64) -> Result {
        let mut users = self.budget.users.lock();
        let before = self.bytes;
        let entry = users.iter().position(|(user, _)| *user == self.user);
        let all = entry
            .and_then(|entry| users.get(entry))
            .map_or(0, |(_, all)| *all);
        let all = all.saturating_sub(before).saturating_add(bytes);
        if bytes > before && all > max && !credentials::may_exceed_resources() {
            return Err(EDQUOT);
        }
        match entry {
            Some(entry) if all == 0 => {
                users.remove(entry).map_err(|_| EINVAL)?;
            }
            Some(entry) => {
                if let Some((_, has)) = users.get_mut(entry) {
                    *has = all;
                }
            }
            None if all > 0 => users.push((self.user, all), GFP_KERNEL)?,
            None => {}
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        // Giving back is always allowed, and allocates nothing.
        let _ = self.change(0, u64::MAX);
    }
}
