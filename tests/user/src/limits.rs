// SPDX-License-Identifier: GPL-2.0

//! How many rings there may be, and how large: of everybody, of a user, of a memory cgroup.

use std::fs::{self, Permissions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Barrier};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};

use crate::cgroup::Cgroup;
use crate::control::{Kind, NODE, RECORD, Ring, STREAM, control, name_of};
use crate::harness::{Lane, Test, by_lane, lane, note, test};
use crate::leaks;
use crate::memory::PAGE;
use crate::random::Random;
use crate::task::{Process, Task};

pub const TESTS: &[Test] = &[
    test!(max_rings_is_the_most_there_may_be).params("default_ring=0 max_rings=3"),
    test!(max_capacity_is_the_most_a_ring_may_have)
        .params("default_ring=0 max_capacity=8192 capacity=4096"),
    test!(quota_of_a_user_is_edquot)
        .params("default_ring=0 max_user_bytes=16384")
        .alone(),
    test!(quota_is_given_back_with_the_last_endpoint)
        .params("default_ring=0 max_user_bytes=16384")
        .alone(),
    test!(quota_counts_what_resize_adds)
        .params("default_ring=0 max_user_bytes=16384")
        .alone(),
    test!(quota_is_of_each_user)
        .params("default_ring=0 max_user_bytes=16384")
        .alone(),
    test!(quota_covers_what_an_evicted_reader_keeps)
        .params("default_ring=0 max_user_bytes=4194304")
        .alone(),
    test!(quota_covers_all_memory_whatever_a_user_does)
        .params("default_ring=0 max_user_bytes=4194304")
        .alone()
        .seconds(40),
    test!(quota_is_not_for_root).params("default_ring=0 max_user_bytes=16384"),
    test!(memory_limit_of_a_cgroup_is_enomem).no_ring(),
    test!(memory_limit_of_a_cgroup_is_nobody_elses).no_ring(),
    test!(memory_limit_counts_cursors).no_ring(),
    test!(thousand_rings_at_once).no_ring().seconds(60),
    test!(idle_ring_takes_less_than_two_pages_beyond_its_capacity)
        .no_ring()
        .seconds(60),
    test!(rings_that_come_and_go_leave_nothing)
        .no_ring()
        .seconds(120),
    test!(memory_of_a_ring_is_given_back_to_the_page).no_ring(),
    test!(refusal_for_the_name_comes_before_that_for_the_quota_and_for_memory)
        .params("default_ring=0 max_user_bytes=1048576")
        .alone(),
    test!(quota_is_given_back_by_what_finds_no_memory)
        .params("default_ring=0 max_user_bytes=67108864")
        .alone(),
    test!(quota_keeps_nobody_from_shrinking_a_ring)
        .params("default_ring=0 max_user_bytes=1048576")
        .alone(),
    test!(quota_is_exact_when_threads_race_for_it)
        .params("default_ring=0 max_user_bytes=1048576")
        .alone(),
    test!(max_rings_is_exact_when_threads_race_for_it).params("default_ring=0 max_rings=3"),
];

// errno: CREATE ENOSPC
fn max_rings_is_the_most_there_may_be() {
    let rings = [(); 3].map(|()| Ring::small(STREAM));
    let more = || control().create(STREAM.request("more", 4096));
    for _ in 0..3 {
        assert_eq!(more(), Err(Errno::ENOSPC));
    }
    assert_eq!(control().rings().len(), 3);
    // A name that is there is the reason that helps more.
    let same = control().create(STREAM.request(rings[0].name(), 4096));
    assert_eq!(same, Err(Errno::EEXIST));
    // Whoever still has one open does not keep its place.
    let open = rings[1].both();
    rings[1].destroy();
    assert_eq!(more(), Ok(()));
    assert_eq!(more(), Err(Errno::EEXIST));
    open.take(0).expect("read");
}

fn max_capacity_is_the_most_a_ring_may_have() {
    let create = |capacity| control().create(STREAM.request("large", capacity));
    assert_eq!(create(16384), Err(Errno::EINVAL));
    assert_eq!(create(8192), Ok(()));
    assert_eq!(control().resize("large", 16384), Err(Errno::EINVAL));
    assert_eq!(control().resize("large", 4096), Ok(()));
}

/// Runs `body` as a user without rights, who may use the control node.
pub fn as_user(user: u32, body: impl FnOnce()) {
    fs::set_permissions(NODE, Permissions::from_mode(0o666)).expect("chmod the control node");
    Process::fork(|| {
        setgroups(&[]).expect("setgroups");
        setgid(Gid::from_raw(user)).expect("setgid");
        setuid(Uid::from_raw(user)).expect("setuid");
        body();
    })
    .finish();
}

pub const USER: u32 = 1000;

fn create(name: &str, capacity: u64) -> nix::Result<()> {
    control().create(STREAM.request(name, capacity))
}

// errno: CREATE EDQUOT
fn quota_of_a_user_is_edquot() {
    as_user(USER, || {
        assert_eq!(
            create("one", 32768),
            Err(Errno::EDQUOT),
            "never less than asked for"
        );
        assert_eq!(create("one", 8192), Ok(()));
        assert_eq!(create("two", 16384), Err(Errno::EDQUOT));
        assert_eq!(create("two", 4096), Ok(()));
        assert_eq!(create("three", 8192), Err(Errno::EDQUOT));
        assert_eq!(create("three", 4096), Ok(()));
        assert_eq!(create("four", 4096), Err(Errno::EDQUOT));
        // What was refused is not half there.
        assert!(!fs::exists("/dev/ring/four").expect("stat"));
        assert_eq!(control().rings().len(), 3);
        control().destroy("one").expect("destroy");
        assert_eq!(create("four", 8192), Ok(()));
        assert_eq!(create("five", 4096), Err(Errno::EDQUOT));
        // It is the user's own ring.
        let ring = nix::fcntl::open(
            "/dev/ring/four",
            OFlag::O_RDWR,
            nix::sys::stat::Mode::empty(),
        );
        assert!(ring.is_ok());
    });
}

fn quota_is_given_back_with_the_last_endpoint() {
    as_user(USER, || {
        let ring = Ring::named("open", STREAM, 16384);
        let open = ring.open(OFlag::O_RDWR);
        ring.destroy();
        // The memory is still there, and still the user's.
        assert_eq!(create("more", 4096), Err(Errno::EDQUOT));
        drop(open);
        assert_eq!(create("more", 16384), Ok(()));
    });
}

// errno: RESIZE EDQUOT
fn quota_counts_what_resize_adds() {
    as_user(USER, || {
        let ring = Ring::named("grows", STREAM, 4096);
        assert_eq!(ring.resize(32768), Err(Errno::EDQUOT));
        assert_eq!(ring.info().capacity, 4096);
        assert_eq!(ring.resize(16384), Ok(()));
        assert_eq!(create("more", 4096), Err(Errno::EDQUOT));
        // What does not go through is not charged either.
        let both = ring.both();
        both.put(&[b'x'; 5000]);
        assert_eq!(ring.resize(4096), Err(Errno::EBUSY));
        assert_eq!(create("more", 4096), Err(Errno::EDQUOT));
        assert_eq!(ring.resize(8192), Ok(()));
        assert_eq!(create("more", 8192), Ok(()));
        assert_eq!(ring.resize(16384), Err(Errno::EDQUOT));
    });
}

fn quota_is_of_each_user() {
    as_user(USER, || {
        assert_eq!(create("mine", 16384), Ok(()));
        assert_eq!(create("more", 4096), Err(Errno::EDQUOT));
    });
    as_user(USER + 1, || {
        assert_eq!(create("yours", 16384), Ok(()));
        assert_eq!(create("more", 4096), Err(Errno::EDQUOT));
    });
    // Root may make one for a user, at its own cost; and whoever resizes or destroys it, it is
    // charged to who made it.
    control().destroy("mine").expect("destroy");
    let request = crate::abi::Create {
        uid: USER,
        ..STREAM.request("given", 16384)
    };
    control().create(request).expect("create");
    as_user(USER, || {
        assert_eq!(create("mine", 16384), Ok(()));
        control().destroy("yours").expect("destroy");
        assert_eq!(create("more", 4096), Err(Errno::EDQUOT));
    });
    as_user(USER + 1, || assert_eq!(create("yours", 16384), Ok(())));
}

/// What a user may have where these tests ask for it.
const QUOTA: u64 = 4 << 20;

/// Runs `body` as a user without rights, with a function that fails if the kernel has clearly more
/// memory for that user than the quota allows. (A cgroup is charged in batches.)
fn as_watched_user(body: impl FnOnce(&dyn Fn(&str))) {
    let group = Cgroup::limited_to("max");
    Process::fork(|| {
        group.join();
        as_user(USER, || {
            let before = group.memory();
            body(&|case| {
                let more = group.memory().saturating_sub(before);
                assert!(
                    more <= 2 * QUOTA,
                    "{case}: {more} bytes, and {QUOTA} are allowed"
                );
            });
        });
    })
    .finish();
    for ring in control().rings() {
        control().destroy(name_of(&ring.name)).expect("destroy");
    }
    group.remove();
}

/// A larger ring, a reader that is evicted and stays open, and a smaller ring again.
fn quota_covers_what_an_evicted_reader_keeps() {
    as_watched_user(|check| {
        for kind in Kind::all().filter(|kind| kind.is_broadcast()) {
            let ring = Ring::new(kind, 1 << 16);
            let mut evicted = Vec::new();
            for round in 1..=20 {
                match ring.resize(QUOTA / 2) {
                    Ok(()) => {}
                    // What it keeps is charged.
                    Err(error) => {
                        assert_eq!(error, Errno::EDQUOT, "{kind}");
                        break;
                    }
                }
                let reader = ring.open(OFlag::O_RDONLY);
                ring.evict(ring.cursors()[0].id).expect("evict");
                evicted.push(reader);
                assert_eq!(ring.resize(1 << 16), Ok(()), "{kind}");
                check(&format!("{kind}, round {round}"));
            }
            for reader in &evicted {
                let answer = nix::unistd::read(reader, &mut [0]);
                assert_eq!(answer, Err(Errno::ESHUTDOWN), "{kind}");
            }
            ring.destroy();
            check(&format!("{kind}, destroyed"));
            // With the last endpoint all of it is given back.
            drop(evicted);
            let again = Ring::new(kind, QUOTA);
            again.destroy();
        }
    });
}

/// Two rings at a time, with many endpoints that outlive them or are evicted. The kinds are those
/// whose readers can be.
fn quota_covers_all_memory_whatever_a_user_does() {
    const RINGS: usize = 2;
    const ENDS: usize = 60;
    as_watched_user(|check| {
        let kinds: Vec<_> = Kind::all().filter(|kind| kind.is_broadcast()).collect();
        let mut random = Random::new(5);
        let (mut rings, mut ends) = (Vec::<Ring>::new(), Vec::<OwnedFd>::new());
        let (mut refused, mut evicted) = (0, 0);
        for step in 0..by_lane(3000, 600) {
            let size = (1 << 15) << random.up_to(6);
            let index = random.next() as usize;
            let answer = match (random.up_to(100), rings.get(index % RINGS).copied()) {
                (_, None) => {
                    let kind = kinds[index % kinds.len()];
                    let name = format!("quota-{step}");
                    let made = control().create(kind.request(&name, size));
                    if made.is_err() && !ends.is_empty() {
                        // It may be that of a ring that is gone, and still charged.
                        ends.swap_remove(index % ends.len());
                    }
                    made.map(|()| rings.push(Ring::known(&name)))
                }
                (1, Some(ring)) => {
                    ring.destroy();
                    rings.retain(|other| other.name() != ring.name());
                    Ok(())
                }
                (2..=27, Some(ring)) => ring.resize(size),
                (28..=52, Some(ring)) => {
                    let flags = [OFlag::O_RDONLY, OFlag::O_WRONLY, OFlag::O_RDWR];
                    let flags = flags[index % flags.len()] | OFlag::O_NONBLOCK;
                    ring.try_open(flags).map(|end| ends.push(end))
                }
                (53..=75, Some(ring)) => match ring.cursors().last() {
                    Some(cursor) => ring.evict(cursor.id).map(|()| evicted += 1),
                    None => Ok(()),
                },
                (76..=90, Some(_)) => {
                    if ends.len() > ENDS {
                        ends.swap_remove(index % ends.len());
                    }
                    Ok(())
                }
                (_, Some(_)) => match ends.get(index % ENDS) {
                    Some(end) => nix::unistd::write(end, &[b'x'; 1000]).map(drop),
                    None => Ok(()),
                },
            };
            match answer {
                Ok(()) => {}
                Err(Errno::EDQUOT) => refused += 1,
                // Data that do not fit, ends that only read, rings that are full or
                // gone, and nobody to write for.
                Err(
                    Errno::EBUSY
                    | Errno::EBADF
                    | Errno::EAGAIN
                    | Errno::ENOBUFS
                    | Errno::ENODEV
                    | Errno::EPIPE,
                ) => {}
                Err(error) => panic!("step {step}: {error}"),
            }
            check(&format!("step {step}"));
        }
        note!("{refused} times refused, {evicted} readers evicted");
        assert!(refused > 0 && evicted > 0);
    });
}

fn quota_is_not_for_root() {
    for number in 0..10 {
        assert_eq!(create(&format!("ring-{number}"), 16384), Ok(()));
    }
    assert_eq!(control().resize("ring-0", 1 << 20), Ok(()));
}

/// As many large rings as a cgroup has memory for.
fn fill_memory(kind: Kind, prefix: &str) -> u64 {
    for number in 0.. {
        let name = format!("{prefix}-{number}");
        match control().create(kind.request(&name, 1 << 20)) {
            Ok(()) => {}
            Err(Errno::ENOMEM) => {
                assert!(!fs::exists(format!("/dev/ring/{name}")).expect("stat"));
                assert_eq!(control().destroy(&name), Err(Errno::ENOENT));
                return number;
            }
            Err(error) => panic!("create: {error}"),
        }
    }
    unreachable!("memory has an end")
}

// errno: CREATE ENOMEM
// errno: RESIZE ENOMEM
fn memory_limit_of_a_cgroup_is_enomem() {
    let group = Cgroup::limited_to("16M");
    Process::fork(|| {
        group.join();
        let made = fill_memory(STREAM, "limited");
        note!("{made} rings of 1 MiB under a limit of 16 MiB");
        assert!((10..=16).contains(&made));
        // Again and again: nothing is left of what was refused.
        for _ in 0..20 {
            let refused = control().create(STREAM.request("too-much", 8 << 20));
            assert_eq!(refused, Err(Errno::ENOMEM));
            assert_eq!(control().resize("limited-0", 8 << 20), Err(Errno::ENOMEM));
        }
        // All of them work, and what is given back can be had again.
        let ring = nix::fcntl::open(
            "/dev/ring/limited-0",
            OFlag::O_RDWR,
            nix::sys::stat::Mode::empty(),
        );
        assert_eq!(
            nix::unistd::write(ring.expect("open"), &[0; 1000]),
            Ok(1000)
        );
        control().destroy("limited-0").expect("destroy");
        control()
            .create(STREAM.request("again", 1 << 19))
            .expect("create");
    })
    .finish();
    assert_eq!(group.kills(), 0, "and nobody was killed for it");
    for ring in control().rings() {
        control().destroy(name_of(&ring.name)).expect("destroy");
    }
    group.remove();
}

fn memory_limit_of_a_cgroup_is_nobody_elses() {
    let group = Cgroup::limited_to("16M");
    let (ours, before) = (Ring::new(STREAM, 1 << 16), leaks::kernel_memory());
    let ends = (ours.reader(), ours.writer());
    Process::fork(|| {
        group.join();
        fill_memory(STREAM, "limited");
        // In a ring that is not of the group even its processes can read and write.
        ends.1.put(&[b'x'; 1 << 16]);
        assert_eq!(ends.0.take_exactly(1 << 16), [b'x'; 1 << 16]);
    })
    .finish();
    // Those outside make rings as they like, and use those of the group.
    for number in 0..32 {
        control()
            .create(STREAM.request(&format!("free-{number}"), 1 << 20))
            .expect("create");
    }
    let limited = nix::fcntl::open(
        "/dev/ring/limited-0",
        OFlag::O_RDWR,
        nix::sys::stat::Mode::empty(),
    );
    assert_eq!(nix::unistd::write(limited.expect("open"), b"x"), Ok(1));
    assert_eq!(group.kills(), 0);
    for ring in control().rings() {
        control().destroy(name_of(&ring.name)).expect("destroy");
    }
    note!("{before} KiB before, {} KiB after", leaks::kernel_memory());
    group.remove();
}

/// Cursors are memory of who opens: it cannot be had without end at another's cost.
fn memory_limit_counts_cursors() {
    let group = Cgroup::limited_to("16M");
    let ring = Ring::small(RECORD.broadcast());
    let limit = nix::sys::resource::Resource::RLIMIT_NOFILE;
    nix::sys::resource::setrlimit(limit, 10_000, 10_000).expect("setrlimit");
    Process::fork(|| {
        group.join();
        let before = group.memory();
        let count = by_lane(4000, 500);
        for _ in 0..count {
            if ring.try_open(OFlag::O_RDONLY).map(std::mem::forget) == Err(Errno::ENOMEM) {
                break;
            }
        }
        let readers = u64::from(ring.info().readers);
        let each = (group.memory() - before) / readers;
        note!("{readers} readers, {each} bytes each");
        assert!(each >= 256, "a cursor that costs nothing");
    })
    .finish();
    assert_eq!(ring.cursors().len(), 0);
    group.remove();
}

fn thousand_rings_at_once() {
    const COUNT: usize = 1000;
    let kinds: Vec<_> = Kind::all().collect();
    let rings: Vec<_> = (0..COUNT)
        .map(|number| Ring::small(kinds[number % kinds.len()]))
        .collect();
    assert_eq!(control().rings().len(), COUNT);
    for ring in &rings {
        let both = ring.open(OFlag::O_RDWR);
        assert_eq!(
            nix::unistd::write(&both, ring.name().as_bytes()),
            Ok(ring.name().len())
        );
    }
    for (ring, kind) in rings.iter().zip(kinds.iter().cycle()) {
        let both = ring.open(OFlag::O_RDWR | OFlag::O_NONBLOCK);
        let mut bytes = [0; 100];
        match nix::unistd::read(&both, &mut bytes) {
            Ok(count) => assert_eq!(&bytes[..count], ring.name().as_bytes()),
            // The session has ended with the endpoint that wrote.
            Err(error) => assert!(error == Errno::EAGAIN && kind.hangup, "{kind}: {error}"),
        }
    }
    for ring in &rings {
        ring.destroy();
    }
    assert!(control().rings().is_empty());
}

fn idle_ring_takes_less_than_two_pages_beyond_its_capacity() {
    let count = by_lane(1000, 200);
    for kind in [STREAM, RECORD.broadcast()] {
        // The first fill caches.
        for _ in 0..50 {
            Ring::small(kind);
        }
        // Without the capacity: what is allocated by the page is counted elsewhere.
        let before = leaks::slabs();
        for _ in 0..count {
            Ring::small(kind);
        }
        let each = (leaks::slabs() - before) * 1024 / count;
        note!("{kind}: {each} bytes of slab for each of {count} rings");
        // The aids of the debug kernel take their share.
        if lane() != Lane::Debug {
            assert!(each < 2 * 4096);
        }
    }
}

fn rings_that_come_and_go_leave_nothing() {
    let kinds: Vec<_> = Kind::all().collect();
    let rounds = by_lane(3000, 300);
    let round = |number: u64| {
        let ring = Ring::small(kinds[number as usize % kinds.len()]);
        let (reader, writer) = (ring.open(OFlag::O_RDONLY), ring.open(OFlag::O_WRONLY));
        assert_eq!(nix::unistd::write(&writer, &[0; 1000]), Ok(1000));
        if number % 2 == 0 {
            ring.resize(8192).expect("resize");
        }
        if number % 3 == 0 {
            ring.clear();
        }
        if number % 5 == 0 {
            drop((reader, writer));
            ring.destroy();
        } else {
            ring.destroy();
            drop((reader, writer));
        }
    };
    (0..rounds / 10).for_each(round);
    let before = leaks::kernel_memory();
    (0..rounds).for_each(round);
    let after = leaks::kernel_memory();
    note!("{rounds} rounds: {before} KiB of kernel memory before, {after} KiB after");
    match lane() {
        // A page a round would be twice as much.
        Lane::Plain | Lane::Slow => assert!(after < before + rounds * 2),
        // The aids of this kernel keep a record of what is long gone; the lab looks for leaks.
        Lane::Debug => {}
    }
}

/// What makes memory and lets it go again, one way each. A name, and a round of it.
type Way = (&'static str, fn(Kind));

/// Pages of the rings that come and go here.
const PAGES: u64 = 16;

const WAYS: [Way; 8] = [
    ("create and destroy", |kind| {
        Ring::named("goes", kind, PAGES * PAGE as u64).destroy();
    }),
    ("destroy and then close", |kind| {
        let ring = Ring::named("goes", kind, PAGES * PAGE as u64);
        let ends = [OFlag::O_RDONLY, OFlag::O_WRONLY].map(|flags| ring.open(flags));
        assert_eq!(nix::unistd::write(&ends[1], &[0; 1000]), Ok(1000));
        ring.destroy();
    }),
    ("grow and shrink", |kind| {
        let ring = Ring::named("goes", kind, PAGES * PAGE as u64);
        for pages in [2 * PAGES, 1, 2] {
            assert_eq!(ring.resize(pages * PAGE as u64), Ok(()));
        }
        ring.destroy();
    }),
    ("a resize to less than there is", |kind| {
        let ring = Ring::named("goes", kind, PAGES * PAGE as u64);
        let ends = [OFlag::O_RDONLY, OFlag::O_WRONLY].map(|flags| ring.open(flags));
        for _ in 0..3 {
            let longest = vec![0; PAGE];
            assert_eq!(nix::unistd::write(&ends[1], &longest), Ok(PAGE));
        }
        assert_eq!(ring.resize(2 * PAGE as u64), Err(Errno::EBUSY));
        ring.destroy();
    }),
    ("a name that is there", |kind| {
        let ring = Ring::named("goes", kind, PAGE as u64);
        let again = kind.request("goes", PAGES * PAGE as u64);
        assert_eq!(control().create(again), Err(Errno::EEXIST));
        ring.destroy();
    }),
    ("a create without memory", |kind| {
        let request = kind.request("goes", 4 * LIMIT);
        assert_eq!(control().create(request), Err(Errno::ENOMEM));
    }),
    ("a resize without memory", |kind| {
        let ring = Ring::named("goes", kind, PAGE as u64);
        assert_eq!(ring.resize(4 * LIMIT), Err(Errno::ENOMEM));
        ring.destroy();
    }),
    (
        "a reader that is evicted from a ring that shrinks",
        |kind| {
            let kind = kind.broadcast();
            let ring = Ring::named("goes", kind, PAGES * PAGE as u64);
            let readers = [(); 2].map(|()| ring.open(OFlag::O_RDONLY));
            ring.evict(ring.cursors()[0].id).expect("evict");
            assert_eq!(ring.resize(PAGE as u64), Ok(()));
            drop(readers);
            ring.destroy();
        },
    ),
];

const LIMIT: u64 = 8 << 20;

/// The pages of rings are in no slab, so that neither kmemleak nor a count of slabs sees them. They
/// are charged to a cgroup, which knows their number.
fn memory_of_a_ring_is_given_back_to_the_page() {
    let rounds = by_lane(120, 60);
    let kinds: Vec<_> = Kind::all().collect();
    let group = Cgroup::limited_to(&LIMIT.to_string());
    let in_group = |way: fn(Kind), rounds: u64| {
        Process::fork(|| {
            group.join();
            for round in 0..rounds {
                way(kinds[round as usize % kinds.len()]);
            }
        })
        .finish();
    };
    for (name, way) in WAYS {
        // Once, for what is there to stay.
        in_group(way, 1);
        let areas = leaks::mapped_areas();
        let before = group.memory_at_rest();
        in_group(way, rounds);
        // A page a round would be four times as much.
        let after = group.await_memory_at_rest(before + rounds * PAGE as u64 / 4);
        note!("{name}: {before} bytes before, {after} after {rounds} rounds");
        assert_eq!(leaks::mapped_areas(), areas, "{name}");
    }
    assert_eq!(group.kills(), 0);
    group.remove();
}

/// Nothing is looked for that could not be had, and who asks is told what helps most.
fn refusal_for_the_name_comes_before_that_for_the_quota_and_for_memory() {
    let group = Cgroup::limited_to("8M");
    Process::fork(|| {
        group.join();
        as_user(USER, || {
            assert_eq!(create("much", 64 << 20), Err(Errno::EDQUOT));
            assert_eq!(create("mine", 1 << 20), Ok(()));
            assert_eq!(create("mine", 64 << 20), Err(Errno::EEXIST));
            assert_eq!(create("more", 1 << 16), Err(Errno::EDQUOT));
            assert_eq!(control().resize("mine", 64 << 20), Err(Errno::EDQUOT));
            assert_eq!(control().resize("other", 64 << 20), Err(Errno::ENOENT));
            // Before any of that, what cannot be at all.
            assert_eq!(create("mine", 3 << 20), Err(Errno::EINVAL));
            assert_eq!(control().resize("other", 3 << 20), Err(Errno::EINVAL));
        });
    })
    .finish();
    control().destroy("mine").expect("destroy");
    group.remove();
}

fn quota_is_given_back_by_what_finds_no_memory() {
    let group = Cgroup::limited_to("8M");
    Process::fork(|| {
        group.join();
        as_user(USER, || {
            assert_eq!(create("mine", 1 << 20), Ok(()));
            // Ten of them would be more than the quota.
            for _ in 0..10 {
                assert_eq!(create("more", 16 << 20), Err(Errno::ENOMEM));
                assert_eq!(control().resize("mine", 16 << 20), Err(Errno::ENOMEM));
            }
            assert_eq!(create("more", 1 << 20), Ok(()));
        });
    })
    .finish();
    for name in ["mine", "more"] {
        control().destroy(name).expect("destroy");
    }
    group.remove();
}

/// Of a ring that root has made, which may have more than anybody's quota: whoever changes it, it
/// is the rights of that one that count.
fn quota_keeps_nobody_from_shrinking_a_ring() {
    create("large", 4 << 20).expect("create");
    as_user(USER, || {
        assert_eq!(control().resize("large", 2 << 20), Ok(()));
        assert_eq!(control().resize("large", 2 << 20), Ok(()));
        assert_eq!(control().resize("large", 4 << 20), Err(Errno::EDQUOT));
        assert_eq!(control().rings()[0].capacity, 2 << 20);
        // Nor is it at this user's cost.
        assert_eq!(create("mine", 1 << 20), Ok(()));
    });
    assert_eq!(control().resize("large", 4 << 20), Ok(()));
}

/// Runs `body` in so many threads, which begin at the same time, and returns what they answer.
pub fn at_once<T: Send + 'static>(
    threads: usize,
    body: impl Fn(usize) -> T + Clone + Send + 'static,
) -> Vec<T> {
    let barrier = Arc::new(Barrier::new(threads));
    let tasks: Vec<_> = (0..threads)
        .map(|number| {
            let (body, barrier) = (body.clone(), Arc::clone(&barrier));
            Task::spawn(move || {
                barrier.wait();
                body(number)
            })
        })
        .collect();
    tasks.into_iter().map(Task::finish).collect()
}

fn quota_is_exact_when_threads_race_for_it() {
    as_user(USER, || {
        for round in 0..by_lane(50, 10) {
            let made = at_once(4, |number| create(&format!("raced-{number}"), 1 << 19));
            let refused = made.iter().filter(|made| **made == Err(Errno::EDQUOT));
            assert_eq!(refused.count(), 2, "round {round}: {made:?}");
            for (number, made) in made.into_iter().enumerate() {
                let destroyed = control().destroy(&format!("raced-{number}"));
                assert_eq!(destroyed.is_ok(), made.is_ok());
            }
        }
        // What two of them made of a ring is what it is charged with.
        create("mine", 1 << 16).expect("create");
        for round in 0..by_lane(50, 10) {
            at_once(3, |number| {
                assert_eq!(control().resize("mine", 1 << (17 + number)), Ok(()));
            });
            // Exactly that, piece by piece.
            let rest = (1 << 20) - control().rings()[0].capacity;
            let pieces: Vec<_> = (16..20).filter(|bit| rest & (1 << bit) != 0).collect();
            for bit in &pieces {
                assert_eq!(create(&format!("rest-{bit}"), 1 << bit), Ok(()), "{round}");
            }
            assert_eq!(create("more", 1 << 16), Err(Errno::EDQUOT), "round {round}");
            for bit in pieces {
                control().destroy(&format!("rest-{bit}")).expect("destroy");
            }
        }
    });
}

fn max_rings_is_exact_when_threads_race_for_it() {
    let _two = [(); 2].map(|()| Ring::new(STREAM, 1 << 16));
    for round in 0..by_lane(50, 10) {
        // Of some size, so that all of them look before one is there.
        let made = at_once(3, |number| create(&format!("raced-{number}"), 1 << 19));
        let refused = made.iter().filter(|made| **made == Err(Errno::ENOSPC));
        assert_eq!(refused.count(), 2, "round {round}: {made:?}");
        let last = made.iter().position(Result::is_ok).expect("the third");
        assert_eq!(control().rings().len(), 3);
        control()
            .destroy(&format!("raced-{last}"))
            .expect("destroy");
    }
}
