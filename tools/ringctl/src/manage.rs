// SPDX-License-Identifier: GPL-2.0

//! The commands that make, change and remove rings.

use std::io;

use ringdev::{Call, Control, Cursor, Info, RingName};

use crate::args::Create;
use crate::failure::{Failure, Outcome};

/// What `/dev/ring/control` does, so that tests need none.
pub(crate) trait Rings {
    fn create(&self, ring: &ringdev::Create) -> io::Result<()>;
    fn destroy(&self, ring: &RingName) -> io::Result<()>;
    fn resize(&self, ring: &RingName, capacity: u64) -> io::Result<()>;
    fn clear(&self, ring: &RingName) -> io::Result<()>;
    fn evict(&self, ring: &RingName, cursor: u64) -> io::Result<()>;
    fn all(&self) -> io::Result<Vec<Info>>;
    fn find(&self, ring: &RingName) -> io::Result<Info>;
    fn cursors(&self, ring: &RingName) -> io::Result<Vec<Cursor>>;
}

impl Rings for Control {
    fn create(&self, ring: &ringdev::Create) -> io::Result<()> {
        self.create(ring)
    }

    fn destroy(&self, ring: &RingName) -> io::Result<()> {
        self.destroy(ring)
    }

    fn resize(&self, ring: &RingName, capacity: u64) -> io::Result<()> {
        self.resize(ring, capacity)
    }

    fn clear(&self, ring: &RingName) -> io::Result<()> {
        self.clear(ring)
    }

    fn evict(&self, ring: &RingName, cursor: u64) -> io::Result<()> {
        self.evict(ring, cursor)
    }

    fn all(&self) -> io::Result<Vec<Info>> {
        self.rings().collect()
    }

    fn find(&self, ring: &RingName) -> io::Result<Info> {
        self.find(ring)
    }

    fn cursors(&self, ring: &RingName) -> io::Result<Vec<Cursor>> {
        self.cursors(ring).collect()
    }
}

/// Opens `/dev/ring/control`.
pub(crate) fn control() -> Outcome<Control> {
    Control::open().map_err(Failure::ring(Call::Control, "open /dev/ring/control"))
}

pub(crate) fn create(rings: &impl Rings, args: Create) -> Outcome {
    let failure = Failure::ring(Call::Create, format!("create ring {}", args.ring));
    let mut ring = ringdev::Create::new(args.ring)
        .capacity(args.capacity)
        .framing(args.framing.into())
        .full(args.full.into())
        .delivery(args.delivery.into())
        .hangup(args.hangup)
        .mode(args.mode);
    if let Some(uid) = args.uid {
        ring = ring.uid(uid);
    }
    if let Some(gid) = args.gid {
        ring = ring.gid(gid);
    }
    rings.create(&ring).map_err(failure)
}

pub(crate) fn destroy(rings: &impl Rings, names: &[RingName]) -> Outcome {
    names.iter().try_for_each(|ring| {
        let failure = Failure::ring(Call::Destroy, format!("destroy ring {ring}"));
        rings.destroy(ring).map_err(failure)
    })
}

pub(crate) fn resize(rings: &impl Rings, ring: &RingName, capacity: u64) -> Outcome {
    let failure = Failure::ring(Call::Resize, format!("resize ring {ring}"));
    rings.resize(ring, capacity).map_err(failure)
}

pub(crate) fn clear(rings: &impl Rings, names: &[RingName]) -> Outcome {
    names.iter().try_for_each(|ring| {
        let failure = Failure::ring(Call::Clear, format!("clear ring {ring}"));
        rings.clear(ring).map_err(failure)
    })
}

pub(crate) fn evict(rings: &impl Rings, ring: &RingName, cursor: u64) -> Outcome {
    let what = format!("evict reader {cursor} of ring {ring}");
    let failure = Failure::ring(Call::Evict, what);
    rings.evict(ring, cursor).map_err(failure)
}

/// Rings that are made up.
#[cfg(test)]
pub(crate) mod made_up {
    use std::cell::RefCell;

    use super::*;

    /// Rings that there are, and what they were asked to do.
    #[derive(Default)]
    pub(crate) struct MadeUp {
        pub(crate) rings: Vec<(Info, Vec<Cursor>)>,
        pub(crate) done: RefCell<Vec<String>>,
        /// The ring with which everything fails, and how.
        pub(crate) broken: Option<(&'static str, i32)>,
    }

    impl MadeUp {
        fn does(&self, what: String, ring: &str) -> io::Result<()> {
            match self.broken {
                Some((broken, errno)) if broken == ring => Err(io::Error::from_raw_os_error(errno)),
                _ => {
                    self.done.borrow_mut().push(what);
                    Ok(())
                }
            }
        }
    }

    impl Rings for MadeUp {
        fn create(&self, ring: &ringdev::Create) -> io::Result<()> {
            self.does(format!("{ring:?}"), "")
        }

        fn destroy(&self, ring: &RingName) -> io::Result<()> {
            self.does(format!("destroy {ring}"), ring.as_str())
        }

        fn resize(&self, ring: &RingName, capacity: u64) -> io::Result<()> {
            self.does(format!("resize {ring} {capacity}"), ring.as_str())
        }

        fn clear(&self, ring: &RingName) -> io::Result<()> {
            self.does(format!("clear {ring}"), ring.as_str())
        }

        fn evict(&self, ring: &RingName, cursor: u64) -> io::Result<()> {
            self.does(format!("evict {ring} {cursor}"), ring.as_str())
        }

        fn all(&self) -> io::Result<Vec<Info>> {
            self.does("all".into(), "")?;
            Ok(self.rings.iter().map(|(info, _)| info.clone()).collect())
        }

        fn find(&self, ring: &RingName) -> io::Result<Info> {
            let found = self.rings.iter().find(|(info, _)| info.name == *ring);
            found
                .map(|(info, _)| info.clone())
                .ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        fn cursors(&self, ring: &RingName) -> io::Result<Vec<Cursor>> {
            self.does(format!("cursors {ring}"), ring.as_str())?;
            let found = self.rings.iter().find(|(info, _)| info.name == *ring);
            Ok(found
                .map(|(_, cursors)| cursors.clone())
                .unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::OwnedFd;

    use clap::Parser;

    use super::made_up::MadeUp;
    use super::*;
    use crate::args::{Args, Command};

    /// What `ringctl create` with these options makes.
    fn created(options: &str) -> Vec<String> {
        let line = format!("ringctl create {options}");
        let args = Args::try_parse_from(line.split(' ')).expect("a command line");
        let Command::Create(args) = args.command else {
            panic!("it is another command");
        };
        let rings = MadeUp::default();
        create(&rings, args).expect("nothing fails here");
        rings.done.take()
    }

    fn names(names: &[&str]) -> Vec<RingName> {
        let names = names.iter().map(|name| name.parse().expect("a name"));
        names.collect()
    }

    #[test]
    fn a_ring_is_made_as_the_options_say() {
        let log = || ringdev::Create::new("log".parse().expect("a name"));
        assert_eq!(created("log"), [format!("{:?}", log())]);
        let line = "log -c 1M --framing record --full drop --delivery broadcast --hangup -m 640 \
                    --uid 7 --gid 8";
        let all = log()
            .capacity(1 << 20)
            .framing(ringdev::Framing::Record)
            .full(ringdev::Full::Drop)
            .delivery(ringdev::Delivery::Broadcast)
            .hangup(true)
            .mode(0o640)
            .uid(7)
            .gid(8);
        assert_eq!(created(line), [format!("{all:?}")]);
        for (name, full) in [
            ("block", ringdev::Full::Block),
            ("overwrite", ringdev::Full::Overwrite),
        ] {
            let ring = format!("{:?}", log().full(full));
            assert_eq!(created(&format!("log --full {name}")), [ring]);
        }
        assert_eq!(
            created("log --framing stream --delivery shared"),
            created("log")
        );
    }

    #[test]
    fn the_control_node_is_asked() {
        const ENOTTY: i32 = 25;
        // It is none, and knows none of the commands.
        let null = File::open("/dev/null").expect("a device");
        let control: &dyn Rings = &Control::from(OwnedFd::from(null));
        let log: RingName = "log".parse().expect("a name");
        let errno = |error: io::Error| error.raw_os_error();
        for answer in [
            control.create(&ringdev::Create::new(log.clone())),
            control.destroy(&log),
            control.resize(&log, 1),
            control.clear(&log),
            control.evict(&log, 1),
            control.all().map(drop),
            control.find(&log).map(drop),
            control.cursors(&log).map(drop),
        ] {
            assert_eq!(answer.map_err(errno), Err(Some(ENOTTY)));
        }
    }

    #[test]
    fn each_ring_that_is_named_is_dealt_with_in_order() {
        let rings = MadeUp::default();
        let [a, b] = &names(&["a", "b"])[..] else {
            unreachable!("there are two");
        };
        destroy(&rings, &names(&["a", "b"])).expect("nothing fails here");
        clear(&rings, &names(&["b", "a"])).expect("nothing fails here");
        resize(&rings, a, 1 << 17).expect("nothing fails here");
        evict(&rings, b, 99).expect("nothing fails here");
        assert_eq!(
            rings.done.take(),
            [
                "destroy a",
                "destroy b",
                "clear b",
                "clear a",
                "resize a 131072",
                "evict b 99"
            ]
        );
    }

    #[test]
    fn a_failure_names_the_ring_and_ends_it() {
        const ENOENT: i32 = 2;
        const EINVAL: i32 = 22;
        let all = names(&["a", "b", "c"]);
        let rings = MadeUp {
            broken: Some(("b", ENOENT)),
            ..MadeUp::default()
        };
        let said = |outcome: Outcome| outcome.expect_err("a failure").to_string();
        let none = "there is no such ring; look in /dev/ring for those there are [No such file or \
                    directory (os error 2)]";
        assert_eq!(
            said(destroy(&rings, &all)),
            format!("cannot destroy ring b: {none}")
        );
        assert_eq!(
            said(clear(&rings, &all)),
            format!("cannot clear ring b: {none}")
        );
        assert_eq!(
            said(resize(&rings, &all[1], 5)),
            format!("cannot resize ring b: {none}")
        );
        let reader = said(evict(&rings, &all[1], 5));
        assert!(
            reader.starts_with("cannot evict reader 5 of ring b: there is no such ring, or it has"),
            "{reader}"
        );
        assert_eq!(rings.done.take(), ["destroy a", "clear a"]);

        let rings = MadeUp {
            broken: Some(("", EINVAL)),
            ..MadeUp::default()
        };
        let args = Args::try_parse_from(["ringctl", "create", "odd"]).expect("a command line");
        let Command::Create(args) = args.command else {
            panic!("it is another command");
        };
        let odd = said(create(&rings, args));
        assert!(
            odd.starts_with("cannot create ring odd: a value is out of range"),
            "{odd}"
        );
    }
}
