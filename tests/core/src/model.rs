// SPDX-License-Identifier: GPL-2.0

//! A ring in a thread of its own, beside a queue that does the same in the plainest way.

use crate::ring::{
    Capacity, Consumer, Positions, Producer, Waiters, pass_on_to_reader, pass_on_to_writer,
    wake_readers, wake_writers,
};
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    ops::Range,
};

/// One thing that a writer or a reader does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// Reserve, fill the whole room, and publish so many bytes of it, or drop the room.
    Write {
        least: usize,
        most: usize,
        publish: Option<usize>,
    },
    /// Look at the unread bytes, and release so many of them, or drop them.
    Read { most: usize, release: Option<usize> },
    /// A writer leaves without a word.
    WriterLeaves,
    /// A reader leaves without a word.
    ReaderLeaves,
    /// These wait from now on.
    Wait { readers: Waiting, writers: Waiting },
}

/// Who waits on a side.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) sleepers: bool,
    pub(crate) pollers: bool,
    pub(crate) every_edge: bool,
}

/// Who has been woken on a side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Woken {
    /// For how many bytes, each time.
    sleepers: Vec<usize>,
    /// How often.
    pollers: usize,
}

#[derive(Default)]
struct Recorder {
    waiting: Cell<Waiting>,
    woken: RefCell<Woken>,
}

impl Waiters for Recorder {
    fn has_sleepers(&self) -> bool {
        self.waiting.get().sleepers
    }

    fn wake_sleeper(&self, bytes: usize) {
        self.woken.borrow_mut().sleepers.push(bytes);
    }

    fn has_pollers(&self) -> bool {
        self.waiting.get().pollers
    }

    fn wants_every_edge(&self) -> bool {
        self.waiting.get().every_edge
    }

    fn wake_pollers(&self) {
        self.woken.borrow_mut().pollers += 1;
    }
}

/// The ring, and what it ought to be.
pub(crate) struct Model {
    positions: Positions,
    producer: Producer,
    consumer: Consumer,
    data: Vec<u8>,
    readers: Recorder,
    writers: Recorder,

    capacity: usize,
    watermark: usize,
    bytes: VecDeque<u8>,
    next: u8,
}

impl Model {
    pub(crate) fn new(capacity: Capacity, start: u64) -> Self {
        Self {
            positions: Positions::new(capacity, start),
            producer: Producer::new(start),
            consumer: Consumer::new(start),
            data: vec![0; capacity.bytes()],
            readers: Recorder::default(),
            writers: Recorder::default(),
            capacity: capacity.bytes(),
            watermark: (capacity.bytes() / 4).max(4096),
            bytes: VecDeque::new(),
            next: 0,
        }
    }

    /// Takes a step on both, and checks that they agree on everything that can be seen.
    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Write {
                least,
                most,
                publish,
            } => self.write(least, most, publish),
            Step::Read { most, release } => self.read(most, release),
            Step::WriterLeaves => {
                pass_on_to_writer(&self.positions, &self.writers);
                // One that fits into whatever room there is.
                let passed_on = self.sleeping_writer(self.free() > 0);
                self.expect_woken(Woken::default(), passed_on);
            }
            Step::ReaderLeaves => {
                pass_on_to_reader(&self.positions, &self.readers);
                let passed_on = self.sleeping_reader(!self.bytes.is_empty());
                self.expect_woken(passed_on, Woken::default());
            }
            Step::Wait { readers, writers } => {
                self.readers.waiting.set(readers);
                self.writers.waiting.set(writers);
            }
        }
        assert_eq!(self.positions.unread(), self.bytes.len());
        assert_eq!(self.positions.room(), self.free());
    }

    /// Reads everything that is left.
    pub(crate) fn drain(&mut self) {
        while !self.bytes.is_empty() {
            self.step(Step::Read {
                most: usize::MAX,
                release: Some(usize::MAX),
            });
        }
    }

    fn free(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    fn write(&mut self, least: usize, most: usize, publish: Option<usize>) {
        let (before, free) = (self.bytes.len(), self.free());
        let room = self.producer.reserve(&self.positions, least, most);
        let Some(room) = room else {
            assert!(free < least.max(1), "{free} free bytes were kept back");
            return;
        };
        assert!(free >= least.max(1), "{free} free bytes are too few");
        let span = room.span();
        assert_eq!(span.len, free.min(most));
        let filled: Vec<u8> = (0..span.len)
            .map(|i| self.next.wrapping_add(i as u8))
            .collect();
        let (first, second) = places(span.offset, span.len, self.capacity);
        self.data[first.clone()].copy_from_slice(&filled[..first.len()]);
        self.data[second].copy_from_slice(&filled[first.len()..]);

        let Some(publish) = publish else {
            return;
        };
        let published = room.publish(publish);
        self.bytes.extend(&filled[..publish.min(span.len)]);
        self.next = self.next.wrapping_add(publish.min(span.len) as u8);

        wake_readers(&self.positions, published, &self.readers);
        let Waiting {
            pollers,
            every_edge,
            ..
        } = self.readers.waiting.get();
        let woken = Woken {
            pollers: (pollers && (every_edge || before == 0)).into(),
            ..self.sleeping_reader(true)
        };
        self.expect_woken(woken, Woken::default());
    }

    fn read(&mut self, most: usize, release: Option<usize>) {
        let free = self.free();
        let unread = self.consumer.unread(&self.positions, most);
        let Some(unread) = unread else {
            assert!(self.bytes.is_empty(), "bytes were kept back");
            return;
        };
        let span = unread.span();
        assert_eq!(span.len, self.bytes.len().min(most));
        let (first, second) = places(span.offset, span.len, self.capacity);
        let expected = &self.bytes.make_contiguous()[..span.len];
        assert!(expected[..first.len()] == self.data[first.clone()]);
        assert!(expected[first.len()..] == self.data[second]);

        let Some(release) = release else {
            return;
        };
        let released = unread.release(release);
        self.bytes.drain(..release.min(span.len));

        wake_writers(&self.positions, released, &self.writers);
        let Waiting {
            pollers,
            every_edge,
            ..
        } = self.writers.waiting.get();
        let woken = Woken {
            pollers: (pollers && (every_edge || free == 0)).into(),
            ..self.sleeping_writer(self.free() >= self.watermark)
        };
        self.expect_woken(Woken::default(), woken);
    }

    /// A reader that is woken, for one byte, if `woken` says so and one sleeps.
    fn sleeping_reader(&self, woken: bool) -> Woken {
        let woken = woken && self.readers.waiting.get().sleepers;
        Woken {
            sleepers: woken.then_some(1).into_iter().collect(),
            pollers: 0,
        }
    }

    /// A writer that is woken, for all the room there is, if `woken` says so and one sleeps.
    fn sleeping_writer(&self, woken: bool) -> Woken {
        let woken = woken && self.writers.waiting.get().sleepers;
        Woken {
            sleepers: woken.then_some(self.free()).into_iter().collect(),
            pollers: 0,
        }
    }

    fn expect_woken(&self, readers: Woken, writers: Woken) {
        assert_eq!(self.readers.woken.take(), readers, "readers");
        assert_eq!(self.writers.woken.take(), writers, "writers");
    }
}

/// Where the bytes of a span are in data that is there once, of a ring that maps it twice.
fn places(offset: usize, len: usize, capacity: usize) -> (Range<usize>, Range<usize>) {
    assert!(offset < capacity, "{offset} is beyond the data");
    assert!(
        len <= capacity,
        "{len} bytes from {offset} end beyond the data"
    );
    let end = offset + len;
    (offset..end.min(capacity), 0..end.saturating_sub(capacity))
}
