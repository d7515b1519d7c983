// SPDX-License-Identifier: GPL-2.0

//! Making, listing and destroying rings: names, nodes, owners, and what is refused.

use std::collections::HashSet;
use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};

use crate::abi::{self, Info};
use crate::cgroup::Cgroup;
use crate::control::{Control, Kind, NODE, RECORD, Ring, STREAM, control, name_of};
use crate::endpoint::Endpoint;
use crate::harness::{Test, by_lane, note, test};
use crate::leaks;
use crate::limits::at_once;
use crate::module;
use crate::node::become_nobody;
use crate::random::Random;
use crate::task::{Process, Task};

pub const TESTS: &[Test] = &[
    test!(control_is_a_character_device_for_root_only),
    test!(control_cannot_be_read_or_written),
    test!(create_makes_a_node_that_works),
    test!(create_takes_names_of_1_to_31_characters),
    test!(create_refuses_other_names),
    test!(create_refuses_what_it_does_not_know),
    test!(create_takes_every_power_of_two).seconds(40),
    test!(create_refuses_a_name_that_is_there),
    test!(create_gives_the_node_its_mode_and_owner),
    test!(create_does_not_look_at_the_umask),
    test!(create_shows_no_node_that_is_more_open_than_asked_for),
    test!(create_says_in_sysfs_what_the_node_is),
    test!(create_half_made_leaves_nothing),
    test!(create_of_a_large_ring_holds_up_no_other),
    test!(mode_of_the_node_decides_who_opens_it),
    test!(destroy_of_the_unknown_is_enoent),
    test!(open_of_a_destroyed_ring_is_enodev),
    test!(open_of_a_ring_that_is_gone_is_enxio),
    test!(destroy_takes_the_default_ring_too).alone(),
    test!(destroy_of_an_unused_ring_lets_the_module_go)
        .no_ring()
        .loads_modules(),
    test!(next_lists_all_rings_in_order).no_ring(),
    test!(next_finds_its_way_while_rings_come_and_go)
        .no_ring()
        .seconds(40),
    test!(read_only_control_may_look_but_not_touch),
    test!(create_and_destroy_race_with_open).seconds(60),
    test!(create_of_one_name_by_several_at_once_succeeds_once).no_ring(),
    test!(create_and_destroy_of_one_name_race).no_ring(),
    test!(sigkill_ends_a_large_create_and_resize)
        .no_ring()
        .seconds(40),
    test!(access_mode_3_opens_for_neither).no_ring(),
];

fn control_is_a_character_device_for_root_only() {
    let node = fs::symlink_metadata(NODE).expect("stat the node");
    assert!(node.file_type().is_char_device());
    assert_eq!(node.mode() & 0o7777, 0o600);
    assert_eq!((node.uid(), node.gid()), (0, 0));
    Process::fork(|| {
        become_nobody();
        for flags in [OFlag::O_RDONLY, OFlag::O_WRONLY, OFlag::O_RDWR] {
            assert_eq!(Control::open(flags).map(drop), Err(Errno::EACCES));
        }
    })
    .finish();
}

fn control_cannot_be_read_or_written() {
    let control = fs::File::options().read(true).write(true).open(NODE);
    let control = Endpoint::keep(control.expect("open").into());
    assert_eq!(control.take(10), Err(Errno::EINVAL));
    assert_eq!(control.write(b"x"), Err(Errno::EINVAL));
}

fn create_makes_a_node_that_works() {
    let ring = Ring::named("works", STREAM, 4096);
    let node = fs::symlink_metadata("/dev/ring/works").expect("stat the node");
    assert!(node.file_type().is_char_device());
    let both = ring.both();
    both.put(b"hello");
    assert_eq!(ring.reader().take(10), Ok(b"hello".to_vec()));
}

/// Creates a ring with a name that need not be one.
fn create_named(name: [u8; abi::NAME_SIZE]) -> nix::Result<()> {
    let mut request = STREAM.request("", 4096);
    request.name = name;
    control().create(request)
}

fn create_takes_names_of_1_to_31_characters() {
    let longest = "abcdefghijklmnopqrstuvwxyz-1234";
    assert_eq!(longest.len(), 31);
    for name in [
        "a", "Z", "9", "-", "_", "...", ".a", "a.", "-rf", "controls", "Control", longest,
    ] {
        create_named(abi::name(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(
            fs::exists(format!("/dev/ring/{name}")).expect("stat"),
            "{name}"
        );
        control().destroy(name).expect("destroy");
    }
    // Every character that may be in one.
    for byte in (0..=255_u8).filter(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte)) {
        create_named(abi::name(&format!("x{}", char::from(byte)))).expect("create");
    }
}

// errno: ioctl EINVAL
// errno: CREATE EINVAL
fn create_refuses_other_names() {
    for name in [
        "", ".", "..", "control", "a/b", "/", "../x", "a b", " ", "a\n", "%s", "é",
    ] {
        assert_eq!(
            create_named(abi::name(name)),
            Err(Errno::EINVAL),
            "{name:?}"
        );
    }
    // No end, and something behind the end.
    assert_eq!(create_named([b'a'; 32]), Err(Errno::EINVAL));
    let mut more = abi::name("name");
    more[31] = b'x';
    assert_eq!(create_named(more), Err(Errno::EINVAL));
    for byte in 1..=255_u8 {
        if !byte.is_ascii_alphanumeric() && !b"._-".contains(&byte) {
            let mut name = abi::name("x");
            name[1] = byte;
            assert_eq!(create_named(name), Err(Errno::EINVAL), "{byte:#x}");
            // The same rule for the other commands.
            let name = abi::Name {
                name,
                ..Default::default()
            };
            for command in [abi::DESTROY, abi::CLEAR] {
                let answer = abi::call(control(), command, &mut name.clone());
                assert_eq!(answer, Err(Errno::EINVAL), "{byte:#x}");
            }
        }
    }
}

/// Values that no 32-bit field of a request may have.
fn wrong_values() -> impl Iterator<Item = u32> {
    // Every bit alone, and others.
    let bits = (0..32).map(|bit| 1 << bit);
    bits.chain([3, 5, 0x7fff_ffff, 0xffff_fffe, u32::MAX])
}

// errno: CREATE EINVAL
fn create_refuses_what_it_does_not_know() {
    let name = "wrong";
    let right = RECORD.request(name, 4096);
    let control = control();
    let mut tried = 0;
    let mut refuse = |request: abi::Create| {
        assert_eq!(control.create(request), Err(Errno::EINVAL), "{request:?}");
        tried += 1;
    };
    for wrong in wrong_values() {
        if wrong != abi::HANGUP {
            refuse(abi::Create {
                flags: wrong,
                ..right
            });
        }
        if wrong > 1 {
            refuse(abi::Create {
                framing: wrong,
                ..right
            });
            refuse(abi::Create {
                delivery: wrong,
                ..right
            });
        }
        if wrong > 2 {
            refuse(abi::Create {
                full: wrong,
                ..right
            });
        }
        if wrong > 0o777 {
            refuse(abi::Create {
                mode: wrong,
                ..right
            });
        }
    }
    for mode in [0o1000, 0o1777, 0o2755, 0o4755, 0o10600, 0o20600] {
        refuse(abi::Create { mode, ..right });
    }
    // -1 is nobody.
    refuse(abi::Create {
        uid: u32::MAX,
        ..right
    });
    refuse(abi::Create {
        gid: u32::MAX,
        ..right
    });
    for capacity in [
        0,
        1,
        2048,
        4095,
        4097,
        12288,
        (1 << 30) + 1,
        1 << 31,
        1 << 32,
    ] {
        refuse(abi::Create { capacity, ..right });
    }
    for capacity in [(1 << 32) + 4096, 1 << 63, u64::MAX] {
        refuse(abi::Create { capacity, ..right });
    }
    note!("{tried} requests refused");
    assert!(!fs::exists("/dev/ring/wrong").expect("stat"));
    assert_eq!(control.destroy(name), Err(Errno::ENOENT));
}

fn create_takes_every_power_of_two() {
    for shift in 12..=22 {
        let ring = Ring::new(STREAM, 1 << shift);
        assert_eq!(ring.both().fill(), 1 << shift);
        ring.destroy();
    }
}

// errno: CREATE EEXIST
fn create_refuses_a_name_that_is_there() {
    let ring = Ring::named("there", STREAM, 4096);
    ring.writer().put(b"stays");
    for kind in Kind::all() {
        let answer = control().create(kind.request("there", 8192));
        assert_eq!(answer, Err(Errno::EEXIST));
    }
    assert_eq!(
        control().create(STREAM.request("0", 4096)),
        Err(Errno::EEXIST)
    );
    assert_eq!(ring.info().capacity, 4096);
    assert_eq!(ring.reader().take(10), Ok(b"stays".to_vec()));
}

/// Mode and owners of a node.
fn permission(path: &str) -> (u32, u32, u32) {
    let node = fs::symlink_metadata(path).expect("stat the node");
    (node.mode() & 0o7777, node.uid(), node.gid())
}

fn create_gives_the_node_its_mode_and_owner() {
    let modes = [
        0, 0o1, 0o400, 0o600, 0o620, 0o622, 0o640, 0o660, 0o666, 0o755, 0o777,
    ];
    for (mode, uid, gid) in modes.map(|mode| (mode, 1000 + mode, 2000 + mode)) {
        let name = format!("mode-{mode:o}");
        let request = abi::Create {
            mode,
            uid,
            gid,
            ..STREAM.request(&name, 4096)
        };
        control().create(request).expect("create");
        assert_eq!(permission(&format!("/dev/ring/{name}")), (mode, uid, gid));
        let rings = control().rings();
        let info = rings
            .iter()
            .find(|info| name_of(&info.name) == name)
            .expect("it is listed");
        assert_eq!((info.mode, info.uid, info.gid), (mode, uid, gid));
    }
}

fn create_does_not_look_at_the_umask() {
    for mask in [0, 0o22, 0o77, 0o777] {
        let before = umask(Mode::from_bits_truncate(mask));
        let name = format!("mask-{mask:o}");
        let request = abi::Create {
            mode: 0o666,
            ..STREAM.request(&name, 4096)
        };
        let made = control().create(request);
        umask(before);
        made.expect("create");
        assert_eq!(permission(&format!("/dev/ring/{name}")), (0o666, 0, 0));
    }
}

/// Watches the folder from before a node appears. At no moment may it allow more than was asked
/// for. (devtmpfs makes it as root's and passes it on, so for a moment it may allow less.)
fn create_shows_no_node_that_is_more_open_than_asked_for() {
    const OWNER: (u32, u32) = (1234, 5678);
    const MODE: u32 = 0o640;
    let watch = Inotify::init(InitFlags::empty()).expect("inotify_init");
    watch
        .add_watch("/dev/ring", AddWatchFlags::IN_ALL_EVENTS)
        .expect("inotify_add_watch");
    let stop = Arc::new(AtomicBool::new(false));
    let rounds = by_lane(200, 40);
    // One looks whenever something happens, the others all the time.
    let lookers: Vec<_> = (0..2)
        .map(|_| {
            let stop = Arc::clone(&stop);
            Task::spawn(move || {
                let (mut seen, mut early) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    let Ok(node) = fs::symlink_metadata("/dev/ring/watched") else {
                        std::thread::yield_now();
                        continue;
                    };
                    let mode = node.mode() & 0o7777;
                    assert_eq!(mode & !MODE, 0, "{mode:o}");
                    // Owner and group are two things, and stat(2) looks at them one by one.
                    let owner = (node.uid(), node.gid());
                    assert!([OWNER.0, 0].contains(&owner.0), "{owner:?}");
                    assert!([OWNER.1, 0].contains(&owner.1), "{owner:?}");
                    seen += 1;
                    early += u32::from(owner != OWNER);
                }
                (seen, early)
            })
        })
        .collect();
    let mut told = HashSet::new();
    for _ in 0..rounds {
        let (uid, gid) = OWNER;
        let request = abi::Create {
            mode: MODE,
            uid,
            gid,
            ..STREAM.request("watched", 4096)
        };
        control().create(request).expect("create");
        // When it is made it is as it will stay.
        assert_eq!(permission("/dev/ring/watched"), (MODE, uid, gid));
        control().destroy("watched").expect("destroy");
        let events = watch.read_events().expect("read inotify");
        told.extend(events.into_iter().map(|event| event.mask.bits()));
    }
    stop.store(true, Ordering::Relaxed);
    for looker in lookers {
        let (seen, early) = looker.finish();
        note!("seen {seen} times, as root's still {early} times");
    }
    assert!(told.contains(&AddWatchFlags::IN_CREATE.bits()));
    assert!(told.contains(&AddWatchFlags::IN_DELETE.bits()));
}

fn create_says_in_sysfs_what_the_node_is() {
    let request = abi::Create {
        mode: 0o640,
        uid: 7,
        gid: 8,
        ..STREAM.request("told", 4096)
    };
    control().create(request).expect("create");
    let uevent = fs::read_to_string("/sys/class/ring/told/uevent").expect("read uevent");
    for line in ["DEVNAME=ring/told", "DEVMODE=0640", "DEVUID=7", "DEVGID=8"] {
        assert!(
            uevent.lines().any(|found| found == line),
            "{line}: {uevent}"
        );
    }
    control().destroy("told").expect("destroy");
    assert!(!fs::exists("/sys/class/ring/told").expect("stat"));
}

/// A file that is in the way of the node: whatever the answer is, it is the whole truth.
fn create_half_made_leaves_nothing() {
    fs::write("/dev/ring/taken", "").expect("write a file");
    let made = control().create(STREAM.request("taken", 4096));
    note!("answered {made:?}");
    let listed = control()
        .rings()
        .iter()
        .any(|info| name_of(&info.name) == "taken");
    assert_eq!(listed, made.is_ok());
    if made.is_ok() {
        control().destroy("taken").expect("destroy");
    }
    assert!(
        fs::exists("/dev/ring/taken").expect("stat"),
        "another's file stays"
    );
    fs::remove_file("/dev/ring/taken").expect("remove the file");
    Ring::named("taken", STREAM, 4096).both().put(b"works");
}

fn mode_of_the_node_decides_who_opens_it() {
    let nobody = 65534;
    for (mode, uid, gid, read, write) in [
        (0o600, 0, 0, false, false),
        (0o604, 0, 0, true, false),
        (0o602, 0, 0, false, true),
        (0o640, 0, nobody, true, false),
        (0o620, 0, nobody, false, true),
        (0o600, nobody, 0, true, true),
        (0o066, nobody, 0, false, false),
    ] {
        let request = abi::Create {
            mode,
            uid,
            gid,
            ..STREAM.request("whose", 4096)
        };
        control().create(request).expect("create");
        Process::fork(|| {
            become_nobody();
            let may = |flags| {
                let path = "/dev/ring/whose";
                match nix::fcntl::open(path, flags, Mode::empty()) {
                    Ok(_) => true,
                    Err(Errno::EACCES) => false,
                    Err(error) => panic!("open: {error}"),
                }
            };
            assert_eq!(may(OFlag::O_RDONLY), read, "{mode:o}");
            assert_eq!(may(OFlag::O_WRONLY), write, "{mode:o}");
            assert_eq!(may(OFlag::O_RDWR), read && write, "{mode:o}");
        })
        .finish();
        control().destroy("whose").expect("destroy");
    }
}

// errno: DESTROY ENOENT
// errno: CLEAR ENOENT
// errno: RESIZE ENOENT
// errno: EVICT ENOENT
// errno: NEXT_CURSOR ENOENT
fn destroy_of_the_unknown_is_enoent() {
    let control = control();
    let ring = Ring::named("known", STREAM, 4096);
    for name in ["unknown", "know", "knownn", "Known"] {
        assert_eq!(control.destroy(name), Err(Errno::ENOENT));
        assert_eq!(control.clear(name), Err(Errno::ENOENT));
        assert_eq!(control.resize(name, 8192), Err(Errno::ENOENT));
        assert_eq!(control.evict(name, 1), Err(Errno::ENOENT));
        assert_eq!(control.next_cursor(name, 0), Err(Errno::ENOENT));
    }
    ring.destroy();
    assert_eq!(
        control.destroy("known"),
        Err(Errno::ENOENT),
        "once is enough"
    );
}

/// Whoever has found the node before it goes may come too late: here by way of an endpoint.
// errno: open ENODEV
fn open_of_a_destroyed_ring_is_enodev() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let both = ring.both();
        let path = format!("/proc/self/fd/{}", both.as_raw_fd());
        ring.destroy();
        for flags in [OFlag::O_RDONLY, OFlag::O_WRONLY, OFlag::O_RDWR] {
            let opened = nix::fcntl::open(path.as_str(), flags, Mode::empty());
            assert_eq!(opened.map(drop), Err(Errno::ENODEV), "{kind}");
        }
        // Nobody is counted who did not get in.
        assert_eq!((both.info().readers, both.info().writers), (1, 1));
    }
}

/// Who has found the node, and opens it when the ring is gone and nobody has it open.
// errno: open ENXIO
fn open_of_a_ring_that_is_gone_is_enxio() {
    let ring = Ring::small(STREAM);
    let node = nix::fcntl::open(ring.path().as_str(), OFlag::O_PATH, Mode::empty()).expect("open");
    ring.destroy();
    let path = format!("/proc/self/fd/{}", node.as_raw_fd());
    let opened = nix::fcntl::open(path.as_str(), OFlag::O_RDWR, Mode::empty());
    assert_eq!(opened.map(drop), Err(Errno::ENXIO));
}

fn destroy_takes_the_default_ring_too() {
    control().destroy("0").expect("destroy");
    assert!(!fs::exists(module::NODE).expect("stat"));
    Ring::named("0", RECORD, 4096).both().put(b"another");
}

fn destroy_of_an_unused_ring_lets_the_module_go() {
    let ring = Ring::small(STREAM);
    // Rings that nobody has open go with the module.
    Ring::small(RECORD);
    let open = ring.open(OFlag::O_RDWR);
    ring.destroy();
    // An endpoint of a ring without a name still holds the module.
    assert_eq!(module::endpoints(), 1);
    assert_eq!(module::unload(), Err(Errno::EWOULDBLOCK));
    drop(open);
    module::unload().expect("unload");
    assert!(!fs::exists("/dev/ring").expect("stat"));
    module::load("default_ring=0").expect("load");
}

// errno: NEXT ENODATA
fn next_lists_all_rings_in_order() {
    let control = control();
    assert_eq!(control.next(0), Err(Errno::ENODATA));
    let names: Vec<_> = (0..20).map(|number| format!("ring-{number}")).collect();
    for name in &names {
        Ring::named(name, STREAM, 4096);
    }
    let rings = control.rings();
    let listed: Vec<_> = rings.iter().map(|info| name_of(&info.name)).collect();
    assert_eq!(listed, names);
    assert!(rings.is_sorted_by(|one, two| one.id < two.id));
    // From any number on.
    for pair in rings.windows(2) {
        assert_eq!(control.next(pair[0].id), Ok(pair[0]));
        assert_eq!(control.next(pair[0].id + 1), Ok(pair[1]));
    }
    let last = rings[19].id;
    for beyond in [last + 1, u64::MAX] {
        assert_eq!(control.next(beyond), Err(Errno::ENODATA));
    }
    // What the caller has left in the other fields does not matter.
    assert_eq!(
        abi::call(&control, abi::NEXT, &mut rings[3].clone()),
        Ok(())
    );
}

fn next_finds_its_way_while_rings_come_and_go() {
    let stays: Vec<_> = (0..3).map(|number| format!("stays-{number}")).collect();
    for name in &stays {
        Ring::named(name, STREAM, 4096);
    }
    let changer = Task::spawn(|| {
        let mut random = Random::new(5);
        for _ in 0..by_lane(1000, 200) {
            let name = format!("comes-{}", random.up_to(4));
            let _ = control().create(STREAM.request(&name, 4096));
            let _ = control().destroy(&format!("comes-{}", random.up_to(4)));
        }
    });
    let mut times = 0;
    while !changer.is_finished() {
        let rings = control().rings();
        assert!(rings.is_sorted_by(|one, two| one.id < two.id));
        let names: HashSet<_> = rings.iter().map(|info| name_of(&info.name)).collect();
        assert!(stays.iter().all(|name| names.contains(name.as_str())));
        times += 1;
    }
    changer.finish();
    note!("listed {times} times");
}

/// To find and to zero memory takes long, and others on the control node do not wait for it.
fn create_of_a_large_ring_holds_up_no_other() {
    const LARGE: u64 = 64 << 20;
    type Command = fn(&Control) -> nix::Result<()>;
    let commands: [(&str, Command); 2] = [
        ("create", |control| {
            control.create(STREAM.request("large", LARGE))
        }),
        ("resize", |control| control.resize("large", 2 * LARGE)),
    ];
    let control = control();
    for (name, command) in commands {
        let begun = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&begun);
        let large = Task::spawn(move || {
            let control = self::control();
            told.store(true, Ordering::Relaxed);
            command(&control)
        });
        while !begun.load(Ordering::Relaxed) {}
        let mut meanwhile = 0;
        loop {
            control.create(STREAM.request("small", 4096)).expect("make");
            control.destroy("small").expect("destroy");
            if large.is_finished() {
                break;
            }
            meanwhile += 1;
        }
        assert_eq!(large.finish(), Ok(()));
        note!("{meanwhile} rings came and went during one {name}");
        // With a lock held for all that time it is one, or two.
        assert!(meanwhile > 2);
    }
}

// errno: control EBADF
fn read_only_control_may_look_but_not_touch() {
    let ring = Ring::named("looked-at", STREAM.broadcast(), 4096);
    let _reader = ring.reader();
    let looking = Control::open(OFlag::O_RDONLY).expect("open");
    assert!(
        looking
            .rings()
            .iter()
            .any(|info| name_of(&info.name) == "looked-at")
    );
    let cursor = looking.next_cursor("looked-at", 0).expect("there is one");
    let refused = Err(Errno::EBADF);
    assert_eq!(looking.create(STREAM.request("new", 4096)), refused);
    assert_eq!(looking.create(STREAM.request("looked-at", 1)), refused);
    assert_eq!(looking.destroy("looked-at"), refused);
    assert_eq!(looking.destroy("unknown"), refused);
    assert_eq!(looking.clear("looked-at"), refused);
    assert_eq!(looking.resize("looked-at", 8192), refused);
    assert_eq!(looking.evict("looked-at", cursor.id), refused);
    assert_eq!(ring.info().capacity, 4096);
    // Whoever may write may do all.
    let writing = Control::open(OFlag::O_WRONLY).expect("open");
    assert_eq!(writing.next_cursor("looked-at", 0), Ok(cursor));
    assert_eq!(writing.resize("looked-at", 8192), Ok(()));
}

/// Somebody opens what another makes and takes away. An endpoint that could be opened works, or
/// says that its ring is gone.
fn create_and_destroy_race_with_open() {
    let stop = Arc::new(AtomicBool::new(false));
    let openers: Vec<_> = (0..3)
        .map(|_| {
            let stop = Arc::clone(&stop);
            Task::spawn(move || {
                let (mut opened, mut absent) = (0, 0);
                while !stop.load(Ordering::Relaxed) {
                    let flags = OFlag::O_RDWR | OFlag::O_NONBLOCK;
                    match nix::fcntl::open("/dev/ring/raced", flags, Mode::empty()) {
                        Ok(fd) => {
                            opened += 1;
                            // Others may have filled it.
                            let written = nix::unistd::write(&fd, b"x");
                            let full = matches!(written, Err(Errno::EAGAIN | Errno::ENOBUFS));
                            let expected = full || matches!(written, Ok(1) | Err(Errno::ENODEV));
                            assert!(expected, "{written:?}");
                            let read = nix::unistd::read(&fd, &mut [0; 10]);
                            let expected = matches!(read, Ok(_) | Err(Errno::EAGAIN));
                            assert!(expected, "{read:?}");
                        }
                        Err(Errno::ENOENT | Errno::ENODEV | Errno::ENXIO) => absent += 1,
                        Err(error) => panic!("open: {error}"),
                    }
                }
                (opened, absent)
            })
        })
        .collect();
    let kinds: Vec<_> = Kind::all().collect();
    for round in 0..by_lane(600, 100) as usize {
        let kind = kinds[round % kinds.len()];
        let ring = Ring::named("raced", kind, 4096);
        for _ in 0..round % 4 {
            std::thread::yield_now();
        }
        ring.destroy();
    }
    stop.store(true, Ordering::Relaxed);
    let (mut opened, mut absent) = (0, 0);
    for opener in openers {
        let counts = opener.finish();
        opened += counts.0;
        absent += counts.1;
    }
    note!("opened {opened} times, not there {absent} times");
    assert!(opened > 0 && absent > 0);
}

/// One ring, one node, and everybody else is told that there is one. A second one would be a
/// complaint in the kernel's log, of a folder that is there already.
fn create_of_one_name_by_several_at_once_succeeds_once() {
    const THREADS: usize = 3;
    let control = control();
    for round in 0..by_lane(150, 30) {
        // With so much memory to be found, all have looked before one of them is done.
        let made = at_once(THREADS, |number| {
            let request = STREAM.request("raced", 1 << (17 + number));
            self::control().create(request)
        });
        let refused = made.iter().filter(|made| **made == Err(Errno::EEXIST));
        assert_eq!(refused.count(), THREADS - 1, "round {round}: {made:?}");
        let winner = made.iter().position(Result::is_ok).expect("one of them");
        let rings = control.rings();
        assert_eq!(rings.len(), 1);
        // It is the one that was answered for, whole, and under its node.
        assert_eq!(rings[0].capacity, 1 << (17 + winner));
        let node = nix::fcntl::open("/dev/ring/raced", OFlag::O_RDWR, Mode::empty());
        let node = Endpoint::keep(node.expect("open"));
        assert_eq!(
            node.info(),
            Info {
                readers: 1,
                writers: 1,
                ..rings[0]
            }
        );
        nix::unistd::close(node.as_raw_fd()).expect("close");
        control.destroy("raced").expect("destroy");
        assert_eq!(
            control.destroy("raced"),
            Err(Errno::ENOENT),
            "round {round}"
        );
        assert!(!fs::exists("/dev/ring/raced").expect("stat"));
    }
}

/// Some make a ring that others destroy and others change. The name is free when its node is gone,
/// and not before: else two nodes would be one.
fn create_and_destroy_of_one_name_race() {
    let rounds = by_lane(100, 20) as usize;
    let over = Arc::new(AtomicBool::new(false));
    let counts = at_once(4, move |number| {
        let control = self::control();
        let mut done = 0;
        while !over.load(Ordering::Relaxed) {
            let answer = match number {
                0 | 1 => control.create(RECORD.broadcast().request("raced", 1 << 16)),
                2 => control.destroy("raced"),
                _ => control
                    .resize("raced", 1 << 17)
                    .and_then(|()| control.clear("raced")),
            };
            match (number, answer) {
                (_, Ok(())) => done += 1,
                (0 | 1, Err(Errno::EEXIST)) | (2 | 3, Err(Errno::ENOENT)) => {}
                (_, Err(error)) => panic!("thread {number}: {error}"),
            }
            if number == 2 && done == rounds {
                over.store(true, Ordering::Relaxed);
            }
        }
        done
    });
    note!(
        "made {} and {}, changed {}",
        counts[0],
        counts[1],
        counts[3]
    );
    // Made and not destroyed is there, with its node, or is not.
    let left = counts[0] + counts[1] - rounds;
    assert_eq!(control().rings().len(), left);
    assert_eq!(fs::exists("/dev/ring/raced").expect("stat"), left == 1);
    assert_eq!(control().destroy("raced").is_ok(), left == 1);
}

/// Whoever is killed while memory is found for it dies long before there is enough, and nothing is
/// left of what there was.
fn sigkill_ends_a_large_create_and_resize() {
    type Command = fn(&Control, u64) -> nix::Result<()>;
    let commands: [(&str, Command); 2] = [
        ("create", |control, capacity| {
            control.create(STREAM.request("large", capacity))
        }),
        ("resize", |control, capacity| {
            control.resize("small", capacity)
        }),
    ];
    const SMALL: u64 = 1 << 16;
    let small = Ring::named("small", STREAM, SMALL);
    small.writer().put(b"stays");
    // As large as can be, of a power of two.
    let capacity = (1 << (leaks::available_memory() * 1024 / 2).ilog2()).min(1 << 30);
    let group = Cgroup::limited_to("max");
    for (name, command) in commands {
        let mut killed = 0;
        // The last of the memory may be found just before the signal comes.
        for _ in 0..3 {
            let before = group.memory_at_rest();
            let process = Process::fork(|| {
                group.join();
                let _ = command(&control(), capacity);
            });
            // In the middle of it.
            while group.memory() < before + capacity / 8 {
                std::thread::yield_now();
            }
            process.kill(Signal::SIGKILL);
            process.wait();
            let rings = control().rings();
            if rings.len() == 1 && rings[0].capacity == SMALL {
                killed += 1;
                group.await_memory_at_rest(before + SMALL);
                assert!(!fs::exists("/dev/ring/large").expect("stat"));
            } else if name == "create" {
                control().destroy("large").expect("destroy");
            } else {
                small.resize(SMALL).expect("take it back");
            }
        }
        note!("{name}: {killed} of 3 were killed in the middle of it");
        assert!(killed > 0, "{name}");
    }
    group.remove();
    assert_eq!(small.reader().take(10), Ok(b"stays".to_vec()));
}

/// open(2) takes an access mode that is neither reading nor writing, for what only ioctl(2) is for.
fn access_mode_3_opens_for_neither() {
    for kind in Kind::all() {
        let ring = Ring::small(kind);
        let (reader, writer) = (ring.reader(), ring.writer());
        let neither = Endpoint::keep(ring.open(OFlag::O_ACCMODE));
        assert_eq!((neither.info().readers, neither.info().writers), (1, 1));
        assert_eq!(ring.cursors().len(), 1, "{kind}");
        assert_eq!(neither.take(10), Err(Errno::EBADF));
        assert_eq!(neither.write(b"x"), Err(Errno::EBADF));
        assert_eq!(neither.try_cursor(), Err(Errno::EBADF));
        let any = PollFlags::POLLIN | PollFlags::POLLOUT | PollFlags::POLLPRI;
        writer.put(b"x");
        assert_eq!(neither.ready(any), PollFlags::empty(), "{kind}");
        assert_eq!(reader.take(10), Ok(b"x".to_vec()));
        nix::unistd::close(neither.as_raw_fd()).expect("close");
        assert_eq!((reader.info().readers, reader.info().writers), (1, 1));
        ring.destroy();
    }
    let ring = Ring::named("there", STREAM, 1 << 16);
    let looking = Control::open(OFlag::O_ACCMODE).expect("open");
    assert_eq!(looking.rings().len(), 1);
    assert_eq!(
        looking.create(STREAM.request("new", 1 << 16)),
        Err(Errno::EBADF)
    );
    assert_eq!(looking.destroy(ring.name()), Err(Errno::EBADF));
}
