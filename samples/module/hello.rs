// SPDX-License-Identifier: GPL-2.0

//! The smallest module: it has a parameter, says something when it comes and when it goes, and has
//! a KUnit suite.
//!
//! `make new NAME=foo`, in the tree of ringdev, makes a copy of it that is called foo.

use kernel::prelude::*;

module! {
    type: Module,
    name: "hello",
    authors: ["The authors of hello"],
    description: "The smallest module",
    license: "GPL",
    params: {
        limit: u32 {
            default: 16,
            description: "A number from 1 to 64 (default: 16)",
        },
    },
}

/// The module, while it is loaded.
struct Module {
    limit: u32,
}

impl kernel::Module for Module {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let limit = checked(module_parameters::limit.value())
            .inspect_err(|_| pr_err!("limit: must be from 1 to {}\n", MAX_LIMIT))?;
        pr_info!("loaded with limit={}\n", limit);
        Ok(Self { limit })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        pr_info!("unloaded with limit={}\n", self.limit);
    }
}

const MAX_LIMIT: u32 = 64;

/// The limit, if it is one that can be.
fn checked(limit: u32) -> Result<u32> {
    match limit {
        1..=MAX_LIMIT => Ok(limit),
        _ => Err(EINVAL),
    }
}

#[cfg(CONFIG_HELLO_KUNIT_TEST)]
#[kunit_tests(hello)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_what_can_be() {
        assert_eq!(checked(1), Ok(1));
        assert_eq!(checked(64), Ok(64));
    }

    #[test]
    fn other_limits_are_refused() {
        assert_eq!(checked(0), Err(EINVAL));
        assert_eq!(checked(65), Err(EINVAL));
    }
}
