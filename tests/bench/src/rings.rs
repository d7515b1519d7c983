// SPDX-License-Identifier: GPL-2.0

//! Rings of the two drivers that are measured: the one in Rust, and its twin in C.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use ringdev::{Control, Create, Ring};
use rustix::fs::{Mode, OFlags, open};

use crate::peer::CAPACITY;

/// Who makes a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The module.
    Rust,
    /// `tests/peers/twin`.
    Twin,
}

impl Driver {
    pub const ALL: [Self; 2] = [Self::Rust, Self::Twin];

    /// The name that its rings have among the peers.
    pub fn peer(self) -> &'static str {
        match self {
            Self::Rust => "ring",
            Self::Twin => "twin",
        }
    }

    /// The path of a node.
    pub fn path(self, name: &str) -> String {
        match self {
            Self::Rust => format!("/dev/ring/{name}"),
            Self::Twin => format!("/dev/ring-twin/{name}"),
        }
    }

    /// Makes a ring with the capacity that all peers have.
    pub fn create(self, name: &str, attributes: impl Fn(Create) -> Create) -> io::Result<()> {
        let ring = Create::new(name.parse()?).capacity(CAPACITY as u64);
        self.control()?.create(&attributes(ring))
    }

    /// Opens an end of a ring.
    pub fn open(self, name: &str, flags: OFlags) -> io::Result<Ring> {
        let end = open(self.path(name), flags | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Ring::from(end))
    }

    fn control(self) -> io::Result<Control> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(self.path("control"))?;
        Ok(Control::from(OwnedFd::from(file)))
    }
}
