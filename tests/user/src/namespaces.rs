// SPDX-License-Identifier: GPL-2.0

//! Users and groups as processes in other user namespaces see them, and what these may do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, pipe, read, setgid, setgroups, setuid, write};

use crate::abi::{self, Info};
use crate::control::{Ring, STREAM, control, name_of};
use crate::endpoint::Endpoint;
use crate::harness::{Test, test};
use crate::limits::{USER, as_user};
use crate::memory::PAGE;
use crate::task::Process;

pub const TESTS: &[Test] = &[
    test!(create_takes_ids_of_the_callers_user_namespace)
        .needs(has_user_namespaces)
        .no_ring(),
    test!(info_has_ids_of_the_callers_user_namespace)
        .needs(has_user_namespaces)
        .no_ring(),
    test!(root_of_a_user_namespace_has_a_quota)
        .params("default_ring=0 max_user_bytes=16384")
        .needs(has_user_namespaces)
        .alone(),
];

/// The one group that is mapped into the namespace, as the one user is.
const GROUP: u32 = 2000;

/// What ids without a mapping are shown as: /proc/sys/kernel/overflowuid.
const OVERFLOW: u32 = 65534;

fn has_user_namespaces() -> Result<(), &'static str> {
    match Path::new("/proc/self/ns/user").exists() {
        true => Ok(()),
        false => Err("the kernel has no user namespaces"),
    }
}

/// Runs `body` as root of a user namespace whose only ids are 0: outside, `USER` and `GROUP`.
fn as_root_of_a_namespace(body: impl FnOnce()) {
    let (ready, child_is_ready) = pipe().expect("pipe");
    let (maps_are_there, maps) = pipe().expect("pipe");
    let process = Process::fork(move || {
        unshare(CloneFlags::CLONE_NEWUSER).expect("unshare");
        assert_eq!(write(&child_is_ready, b"x"), Ok(1));
        assert_eq!(read(&maps_are_there, &mut [0]), Ok(1));
        setgroups(&[]).expect("setgroups");
        setgid(Gid::from_raw(0)).expect("setgid");
        setuid(Uid::from_raw(0)).expect("setuid");
        body();
    });
    assert_eq!(read(&ready, &mut [0]), Ok(1));
    let directory = format!("/proc/{}", process.sleeper.tid());
    for (file, outside) in [("uid_map", USER), ("gid_map", GROUP)] {
        fs::write(format!("{directory}/{file}"), format!("0 {outside} 1")).expect("write the map");
    }
    assert_eq!(write(&maps, b"x"), Ok(1));
    process.finish();
}

/// Returns the owner of a ring as the list of all rings has it.
fn listed(rings: &[Info], name: &str) -> (u32, u32) {
    let is_it = |info: &&Info| name_of(&info.name) == name;
    let info = rings.iter().find(is_it).expect("it is listed");
    (info.uid, info.gid)
}

fn create_takes_ids_of_the_callers_user_namespace() {
    let control = control();
    as_root_of_a_namespace(|| {
        let request = |name, uid, gid| abi::Create {
            uid,
            gid,
            ..STREAM.request(name, PAGE as u64)
        };
        assert_eq!(control.create(request("inside", 0, 0)), Ok(()));
        // There are no such users and groups here, although there are outside.
        assert_eq!(control.create(request("user", USER, 0)), Err(Errno::EINVAL));
        assert_eq!(
            control.create(request("group", 0, GROUP)),
            Err(Errno::EINVAL)
        );
    });
    let node = fs::symlink_metadata("/dev/ring/inside").expect("stat the node");
    assert_eq!((node.uid(), node.gid()), (USER, GROUP));
    let rings = control.rings();
    assert_eq!(listed(&rings, "inside"), (USER, GROUP));
    assert_eq!(rings.len(), 1);
}

fn info_has_ids_of_the_callers_user_namespace() {
    let control = control();
    let of_root = Ring::named("root", STREAM, PAGE as u64);
    let request = abi::Create {
        uid: USER,
        gid: GROUP,
        ..STREAM.request("user", PAGE as u64)
    };
    control.create(request).expect("create");
    let of_user = Ring::known("user");
    let owner = |endpoint: Endpoint| {
        let info = endpoint.info();
        (info.uid, info.gid)
    };
    let endpoints = [of_root, of_user].map(|ring| Endpoint::keep(ring.open(OFlag::O_RDONLY)));
    let outside = [(0, 0), (USER, GROUP)];
    let inside = [(OVERFLOW, OVERFLOW), (0, 0)];
    assert_eq!(endpoints.map(owner), outside);
    as_root_of_a_namespace(|| {
        assert_eq!(endpoints.map(owner), inside);
        let rings = control.rings();
        assert_eq!(["root", "user"].map(|name| listed(&rings, name)), inside);
    });
    let rings = control.rings();
    assert_eq!(["root", "user"].map(|name| listed(&rings, name)), outside);
}

/// A user's quota is the same in all namespaces: whoever enters one gains nothing by it.
fn root_of_a_user_namespace_has_a_quota() {
    let control = control();
    let create = |name| control.create(STREAM.request(name, 16384));
    as_root_of_a_namespace(|| {
        assert_eq!(create("inside"), Ok(()));
        assert_eq!(create("more"), Err(Errno::EDQUOT));
        assert_eq!(control.resize("inside", 32768), Err(Errno::EDQUOT));
    });
    as_user(USER, || assert_eq!(create("outside"), Err(Errno::EDQUOT)));
}
