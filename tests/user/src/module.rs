// SPDX-License-Identifier: GPL-2.0

//! Loading and unloading ringdev.ko.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::kmod::{DeleteModuleFlags, ModuleInitFlags, delete_module, finit_module};

use crate::control;

/// Where the guest has the module.
pub const FILE: &str = "/lib/ringdev.ko";

/// The device node of the default ring.
pub const NODE: &str = "/dev/ring/0";

/// The module's folder in sysfs, which is there while the module is.
const SYSFS: &str = "/sys/module/ringdev";

/// Loads the module, as insmod does.
pub fn load(params: &str) -> nix::Result<()> {
    let file = File::open(FILE).expect("open the module's file");
    load_file(&file, params)
}

/// Loads the module from its open file.
pub fn load_file(file: &File, params: &str) -> nix::Result<()> {
    let params = CString::new(params).expect("parameters without a NUL");
    finit_module(file, &params, ModuleInitFlags::empty())
}

/// Unloads the module, as rmmod does: at once or not at all.
pub fn unload() -> nix::Result<()> {
    delete_module(c"ringdev", DeleteModuleFlags::O_NONBLOCK)
}

pub fn is_loaded() -> bool {
    Path::new(SYSFS).exists()
}

/// How many endpoints are open, if nobody has the control node open.
pub fn endpoints() -> u32 {
    let references = references();
    // Each holds the module twice: as a file of its operations, and as one of its device.
    assert_eq!(references % 2, 0);
    references / 2
}

/// How many references hold the module: what is open does.
pub fn references() -> u32 {
    fs::read_to_string(format!("{SYSFS}/refcnt"))
        .expect("read the module's reference count")
        .trim()
        .parse()
        .expect("a number in refcnt")
}

/// Waits until no endpoint is open. The kernel closes some files late: those of io_uring and
/// of messages in flight are put by a worker, not by the process that ends.
pub fn await_unused() -> Result<(), String> {
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        match references() {
            0 => return Ok(()),
            count if Instant::now() > patience => {
                return Err(format!("{count} references to the module are left"));
            }
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Unloads the module if it is loaded, and loads it with the given parameters.
pub fn reload(params: &str) -> Result<(), String> {
    if is_loaded() {
        await_unused()?;
        unload().map_err(|error| format!("delete_module: {error}"))?;
    }
    match load(params) {
        Ok(()) => Ok(()),
        Err(error) => Err(format!("finit_module: {}", describe(error))),
    }
}

/// Destroys the rings that a test has left behind, and throws away what is in the default one.
pub fn tidy_up() -> Result<(), String> {
    control::destroy_others()?;
    if !Path::new(NODE).exists() {
        return Ok(());
    }
    let ring = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(NODE);
    let mut ring = ring.map_err(|error| format!("open {NODE}: {error}"))?;
    match io::copy(&mut ring, &mut io::sink()) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(format!("empty the ring: {error}")),
        Ok(_) => Err("a read of the ring saw an end".to_owned()),
    }
}

fn describe(error: Errno) -> String {
    format!("{error:?} ({})", error.desc())
}
