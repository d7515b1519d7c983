// SPDX-License-Identifier: GPL-2.0

//! Names of rings, and the one place where it is decided what is one.

use std::error::Error;
use std::fmt::{self, Display};
use std::io;
use std::path::{Path, PathBuf};
use std::str::{self, FromStr};

use crate::abi::NAME_SIZE;

/// Where the nodes are.
pub(crate) const DIRECTORY: &str = "/dev/ring";

/// The node in [`DIRECTORY`] that is not a ring.
pub(crate) const CONTROL: &str = "control";

/// The name of a ring: 1 to 31 of the characters `A-Z a-z 0-9 . _ -`, but not `.`, `..` or
/// `control`, which the directory has already.
///
/// ```
/// use ringdev::RingName;
///
/// let name: RingName = "net.rx-0".parse()?;
/// assert_eq!(name.as_str(), "net.rx-0");
/// assert!("../mem".parse::<RingName>().is_err());
/// # Ok::<(), ringdev::InvalidName>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingName(String);

impl RingName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The node of the ring.
    ///
    /// ```
    /// # use std::path::Path;
    /// let name: ringdev::RingName = "0".parse()?;
    /// assert_eq!(name.path(), Path::new("/dev/ring/0"));
    /// # Ok::<(), ringdev::InvalidName>(())
    /// ```
    pub fn path(&self) -> PathBuf {
        Path::new(DIRECTORY).join(&self.0)
    }

    /// The name as the kernel takes it.
    pub(crate) fn to_abi(&self) -> [u8; NAME_SIZE] {
        let mut padded = [0; NAME_SIZE];
        padded[..self.0.len()].copy_from_slice(self.0.as_bytes());
        padded
    }

    /// The name that the kernel gave.
    pub(crate) fn from_abi(padded: &[u8; NAME_SIZE]) -> Result<Self, InvalidName> {
        let length = padded.iter().position(|byte| *byte == 0);
        let name = &padded[..length.unwrap_or(NAME_SIZE)];
        str::from_utf8(name).map_err(|_| InvalidName)?.parse()
    }
}

impl FromStr for RingName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        let fits = (1..NAME_SIZE).contains(&name.len());
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let taken = [".", "..", CONTROL].contains(&name);
        if fits && name.bytes().all(allowed) && !taken {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidName)
        }
    }
}

impl AsRef<str> for RingName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Display for RingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What is not the name of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidName;

impl Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the name of a ring is 1 to 31 of A-Z a-z 0-9 . _ -, and not '.', '..' or 'control'",
        )
    }
}

impl Error for InvalidName {}

impl From<InvalidName> for io::Error {
    fn from(invalid: InvalidName) -> Self {
        io::Error::new(io::ErrorKind::InvalidInput, invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_names() {
        let longest = "x".repeat(31);
        for name in ["0", "a", "...", ".a", "-", "A.b_c-9", "control2", &longest] {
            let parsed: RingName = name.parse().expect(name);
            assert_eq!(parsed.as_str(), name);
            assert_eq!(RingName::from_abi(&parsed.to_abi()), Ok(parsed));
        }
    }

    #[test]
    fn names_that_are_not() {
        let too_long = "x".repeat(32);
        for name in [
            "", ".", "..", "control", "a/b", "a b", "a\0", "a\n", "ä", &too_long,
        ] {
            assert_eq!(name.parse::<RingName>(), Err(InvalidName), "{name:?}");
        }
    }

    #[test]
    fn a_name_shows_as_it_is_and_heeds_widths() {
        let name: RingName = "log".parse().expect("a name");
        assert_eq!(format!("{name:>5}|{name}"), "  log|log");
        assert_eq!(AsRef::<str>::as_ref(&name), "log");
        assert_eq!(name.path(), Path::new("/dev/ring/log"));
    }

    #[test]
    fn what_is_not_a_name_is_told_in_a_sentence() {
        let error = io::Error::from("a/b".parse::<RingName>().expect_err("no name"));
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(
            error
                .to_string()
                .starts_with("the name of a ring is 1 to 31")
        );
    }

    #[test]
    fn the_kernel_is_held_to_the_same_rules() {
        assert_eq!(RingName::from_abi(&[0; NAME_SIZE]), Err(InvalidName));
        assert_eq!(RingName::from_abi(&[b'x'; NAME_SIZE]), Err(InvalidName));
        assert_eq!(RingName::from_abi(&[0xff; NAME_SIZE]), Err(InvalidName));
    }
}
