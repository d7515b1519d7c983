// SPDX-License-Identifier: GPL-2.0

//! Tells the tests which sanitizer they are built with, as `cfg(sanitizer = "...")`.
//!
//! The compiler's own `cfg(sanitize)` cannot be named by a crate that also has to build with a
//! stable compiler.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(sanitizer, values(\"address\", \"thread\"))");
    println!("cargo::rustc-check-cfg=cfg(loom)");
    println!("cargo::rustc-check-cfg=cfg(CONFIG_RINGDEV_KUNIT_TEST)");

    if let Ok(sanitizer) = env::var("CARGO_CFG_SANITIZE") {
        println!("cargo::rustc-cfg=sanitizer=\"{sanitizer}\"");
    }
}
