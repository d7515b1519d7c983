// SPDX-License-Identifier: GPL-2.0

//! /dev/ring/control: rings are made, listed, changed and destroyed here.
//!
//! Whoever can open the node for writing can do all of it; opened for reading it can only be asked
//! which rings there are.

use crate::{
    abi,
    registry::{
        Name,
        Registry, //
    },
    staging::{
        credentials::{
            kuid_from_current_ns,
            Kgid, //
        },
        file::{
            Access,
            FileOperations, //
        },
        uapi, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    uaccess::UserPtr, //
};

/// An open file of /dev/ring/control.
pub(crate) struct Control {
    registry: Arc<Registry>,
    access: Access,
}

#[vtable]
impl FileOperations for Control {
    type Device = Arc<Registry>;
    type OwnerModule = crate::LocalModule;

    fn open(registry: &Arc<Registry>, access: Access) -> Result<Self> {
        let registry = registry.clone();
        Ok(Self { registry, access })
    }

    fn ioctl(&self, command: u32, argument: usize) -> Result<isize> {
        let registry = &self.registry;
        let argument = UserPtr::from_addr(argument);
        match command {
            uapi::RINGDEV_IOC_NEXT => {
                let asked: uapi::ringdev_info = uapi::take(argument)?;
                abi::known_flags(asked.flags, 0)?;
                let ring = registry.next(asked.id)?;
                uapi::give(&ring.info(asked.size), argument)?;
            }
            uapi::RINGDEV_IOC_NEXT_CURSOR => {
                let asked: uapi::ringdev_cursor = uapi::take(argument)?;
                abi::known_flags(asked.flags, 0)?;
                let ring = registry.find(name(asked.name)?)?;
                let cursor = ring.channel.next_cursor(asked.id)?;
                let cursor = abi::cursor(asked.size, &ring.identity.name, &cursor);
                uapi::give(&cursor, argument)?;
            }
            uapi::RINGDEV_IOC_CREATE
            | uapi::RINGDEV_IOC_DESTROY
            | uapi::RINGDEV_IOC_RESIZE
            | uapi::RINGDEV_IOC_CLEAR
            | uapi::RINGDEV_IOC_EVICT
                if !self.access.write =>
            {
                return Err(EBADF);
            }
            uapi::RINGDEV_IOC_CREATE => {
                let create: uapi::ringdev_create = uapi::take(argument)?;
                registry.create(
                    name(create.name)?,
                    abi::attributes(&create)?,
                    abi::capacity(create.capacity, registry.limits().max_capacity)?,
                    (
                        abi::mode(create.mode)?,
                        kuid_from_current_ns(create.uid).ok_or(EINVAL)?,
                        Kgid::from_current_ns(create.gid).ok_or(EINVAL)?,
                    ),
                )?;
            }
            uapi::RINGDEV_IOC_DESTROY => registry.destroy(take_name(argument)?)?,
            uapi::RINGDEV_IOC_RESIZE => {
                let resize: uapi::ringdev_resize = uapi::take(argument)?;
                abi::known_flags(resize.flags, 0)?;
                let capacity = abi::capacity(resize.capacity, registry.limits().max_capacity)?;
                registry.resize(name(resize.name)?, capacity)?;
            }
            uapi::RINGDEV_IOC_CLEAR => registry.find(take_name(argument)?)?.channel.clear(),
            uapi::RINGDEV_IOC_EVICT => {
                let evict: uapi::ringdev_evict = uapi::take(argument)?;
                abi::known_flags(evict.flags, 0)?;
                registry
                    .find(name(evict.name)?)?
                    .channel
                    .evict(evict.cursor)?;
            }
            _ => return Err(ENOTTY),
        }
        Ok(0)
    }
}

/// The name that a command is about.
fn take_name(argument: UserPtr) -> Result<Name> {
    let asked: uapi::ringdev_name = uapi::take(argument)?;
    abi::known_flags(asked.flags, 0)?;
    name(asked.name)
}

fn name(bytes: [u8; uapi::RINGDEV_NAME_SIZE as usize]) -> Result<Name> {
    Name::new(bytes).ok_or(EINVAL)
}
