// SPDX-License-Identifier: GPL-2.0

//! Looking at rings, and how fast they move between two looks.

use std::io;
use std::time::{Duration, Instant};

use ringdev::{Call, Cursor, Info, RingName};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::manage::Rings;

/// What rings were like at a time.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) at: Instant,
    pub(crate) rings: Vec<Ring>,
}

/// What a ring was like.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) info: Info,
    pub(crate) cursors: Vec<Cursor>,
}

impl Sample {
    /// Looks at these rings, or at all if there are none among `names`.
    pub(crate) fn take(rings: &impl Rings, names: &[RingName]) -> Outcome<Self> {
        let at = Instant::now();
        let infos: Vec<Info> = if names.is_empty() {
            rings
                .all()
                .map_err(Failure::ring(Call::Rings, "list the rings"))?
        } else {
            names
                .iter()
                .map(|name| {
                    let failure = Failure::ring(Call::Rings, format!("find ring {name}"));
                    rings.find(name).map_err(failure)
                })
                .collect::<Outcome<_>>()?
        };
        let mut found = Vec::new();
        for info in infos {
            match rings.cursors(&info.name) {
                Ok(cursors) => found.push(Ring { info, cursors }),
                // It was destroyed just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let what = format!("list the readers of ring {}", info.name);
                    return Err(Failure::ring(Call::Cursors, what)(error));
                }
            }
        }
        Ok(Self { at, rings: found })
    }

    /// How fast the ring has moved since the earlier sample, if it was there.
    pub(crate) fn ring_rates(&self, ring: &Ring, earlier: Option<&Self>) -> Option<RingRates> {
        let earlier = earlier?;
        let since = self.at.duration_since(earlier.at);
        let old = &earlier.ring(ring)?.info;
        let new = &ring.info;
        let rate = |count: fn(&Info) -> u64| per_second(count(old), count(new), since);
        Some(RingRates {
            records_in: rate(|info| info.records_in)?,
            bytes_in: rate(|info| info.bytes_in)?,
            records_dropped: rate(|info| info.records_dropped)?,
            records_lost: rate(|info| info.records_lost)?,
            bytes_lost: rate(|info| info.bytes_lost)?,
            records_out: rate(|info| info.records_out)?,
            bytes_out: rate(|info| info.bytes_out)?,
        })
    }

    /// How fast a cursor of the ring has moved since the earlier sample, if it was there.
    pub(crate) fn cursor_rates(
        &self,
        ring: &Ring,
        cursor: &Cursor,
        earlier: Option<&Self>,
    ) -> Option<CursorRates> {
        let earlier = earlier?;
        let since = self.at.duration_since(earlier.at);
        let cursors = &earlier.ring(ring)?.cursors;
        let old = cursors.iter().find(|old| old.id == cursor.id)?;
        let rate = |count: fn(&Cursor) -> u64| per_second(count(old), count(cursor), since);
        Some(CursorRates {
            records_out: rate(|cursor| cursor.records_out)?,
            bytes_out: rate(|cursor| cursor.bytes_out)?,
            records_lost: rate(|cursor| cursor.records_lost)?,
            bytes_lost: rate(|cursor| cursor.bytes_lost)?,
        })
    }

    /// The same ring in this sample. By number: another ring may have taken its name.
    fn ring(&self, ring: &Ring) -> Option<&Ring> {
        self.rings.iter().find(|old| old.info.id == ring.info.id)
    }
}

/// Counts a second of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct RingRates {
    pub(crate) records_in: f64,
    pub(crate) bytes_in: f64,
    pub(crate) records_dropped: f64,
    pub(crate) records_lost: f64,
    pub(crate) bytes_lost: f64,
    pub(crate) records_out: f64,
    pub(crate) bytes_out: f64,
}

/// Counts a second of a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct CursorRates {
    pub(crate) records_out: f64,
    pub(crate) bytes_out: f64,
    pub(crate) records_lost: f64,
    pub(crate) bytes_lost: f64,
}

/// None if no time has passed.
fn per_second(old: u64, new: u64, since: Duration) -> Option<f64> {
    if since.is_zero() {
        return None;
    }
    Some(new.saturating_sub(old) as f64 / since.as_secs_f64())
}

/// Samples that are made up.
#[cfg(test)]
pub(crate) mod made_up {
    use ringdev::{Delivery, Framing, Full};

    use super::*;

    /// A ring with a reader, in which everything that is counted has moved `times` times, each by
    /// another number. No two numbers of the ring or the reader are the same, so none can be taken
    /// for another.
    pub(crate) fn busy(at: Instant, times: u64) -> Sample {
        let mut info = Info::new(71, "busy".parse().expect("a name"));
        info.capacity = 72 << 10;
        info.framing = Framing::Record;
        info.full = Full::Drop;
        info.delivery = Delivery::Broadcast;
        info.hangup = true;
        info.mode = 0o640;
        info.uid = 73;
        info.gid = 74;
        info.readers = 75;
        info.writers = 76;
        info.unread = 77 << 10;
        info.high_water = 78 << 10;
        let counts = [
            &mut info.records_in,
            &mut info.bytes_in,
            &mut info.records_dropped,
            &mut info.bytes_dropped,
            &mut info.records_lost,
            &mut info.bytes_lost,
            &mut info.records_out,
            &mut info.bytes_out,
            &mut info.writer_sleeps,
            &mut info.writer_wakes,
            &mut info.reader_sleeps,
            &mut info.reader_wakes,
        ];
        for (number, count) in (1..).zip(counts) {
            *count = (100 + number) * times;
        }
        let mut cursor = Cursor::default();
        cursor.id = 81;
        cursor.unread = 82 << 10;
        cursor.watermark = 83 << 10;
        cursor.delay = Duration::from_micros(84);
        let counts = [
            &mut cursor.records_out,
            &mut cursor.bytes_out,
            &mut cursor.records_lost,
            &mut cursor.bytes_lost,
        ];
        for (number, count) in (1..).zip(counts) {
            *count = (200 + number) * times;
        }
        Sample {
            at,
            rings: vec![Ring {
                info,
                cursors: vec![cursor],
            }],
        }
    }

    /// A log with a reader, a second after `at` and with so many records in it.
    pub(crate) fn log(at: Instant, records: u64) -> Sample {
        let mut info = Info::new(7, "log".parse().expect("a name"));
        info.framing = Framing::Record;
        info.full = Full::Overwrite;
        info.delivery = Delivery::Broadcast;
        info.mode = 0o644;
        info.readers = 1;
        info.unread = 48 * records;
        info.records_in = records;
        info.bytes_in = 10 * records;
        let mut cursor = Cursor::default();
        cursor.id = 3;
        cursor.unread = 48 * records;
        cursor.records_lost = records / 10;
        Sample {
            at,
            rings: vec![Ring {
                info,
                cursors: vec![cursor],
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::made_up::{busy, log};
    use super::*;
    use crate::manage::made_up::MadeUp;

    /// Three rings, the second of which has two readers and the third none.
    fn three(broken: Option<(&'static str, i32)>) -> MadeUp {
        let info = |id, name: &str| Info::new(id, name.parse().expect("a name"));
        let cursor = |id| {
            let mut cursor = Cursor::default();
            cursor.id = id;
            cursor
        };
        MadeUp {
            rings: vec![
                (info(4, "a"), vec![cursor(10)]),
                (info(5, "b"), vec![cursor(11), cursor(12)]),
                (info(6, "c"), vec![]),
            ],
            broken,
            ..MadeUp::default()
        }
    }

    /// The numbers of rings and of their cursors.
    fn numbers(sample: &Sample) -> Vec<(u64, Vec<u64>)> {
        let rings = sample.rings.iter();
        rings
            .map(|ring| {
                let cursors = ring.cursors.iter().map(|cursor| cursor.id).collect();
                (ring.info.id, cursors)
            })
            .collect()
    }

    fn names(names: &[&str]) -> Vec<RingName> {
        let names = names.iter().map(|name| name.parse().expect("a name"));
        names.collect()
    }

    #[test]
    fn all_rings_are_looked_at_unless_some_are_named() {
        let (a, b, c) = ((4, vec![10]), (5, vec![11, 12]), (6, vec![]));
        let before = Instant::now();
        let sample = Sample::take(&three(None), &[]).expect("nothing fails here");
        assert_eq!(numbers(&sample), [a.clone(), b, c.clone()]);
        assert!(before <= sample.at && sample.at <= Instant::now());
        let sample = Sample::take(&three(None), &names(&["c", "a"])).expect("they are there");
        assert_eq!(numbers(&sample), [c, a]);
    }

    #[test]
    fn a_ring_that_is_gone_is_left_out_unless_it_was_named() {
        const ENOENT: i32 = 2;
        let sample = Sample::take(&three(Some(("b", ENOENT))), &[]).expect("two are there");
        assert_eq!(numbers(&sample), [(4, vec![10]), (6, vec![])]);
        let failure = Sample::take(&three(None), &names(&["a", "d"])).expect_err("no ring");
        let said = failure.to_string();
        assert!(said.starts_with("cannot find ring d: "), "{said}");
    }

    #[test]
    fn what_cannot_be_looked_at_is_a_failure() {
        const EIO: i32 = 5;
        for (broken, expected) in [
            ("", "cannot list the rings: Input/output error"),
            ("b", "cannot list the readers of ring b: Input/output error"),
        ] {
            let failure = Sample::take(&three(Some((broken, EIO))), &[]).expect_err("broken");
            let said = failure.to_string();
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn each_rate_is_that_of_its_count() {
        let start = Instant::now();
        let (old, new) = (busy(start, 3), busy(start + Duration::from_secs(2), 7));
        let ring = &new.rings[0];
        // Each count has moved four times in two seconds.
        let expected = RingRates {
            records_in: 202.0,
            bytes_in: 204.0,
            records_dropped: 206.0,
            records_lost: 210.0,
            bytes_lost: 212.0,
            records_out: 214.0,
            bytes_out: 216.0,
        };
        assert_eq!(new.ring_rates(ring, Some(&old)), Some(expected));
        let expected = CursorRates {
            records_out: 402.0,
            bytes_out: 404.0,
            records_lost: 406.0,
            bytes_lost: 408.0,
        };
        let rates = new.cursor_rates(ring, &ring.cursors[0], Some(&old));
        assert_eq!(rates, Some(expected));
    }

    #[test]
    fn no_two_numbers_that_are_made_up_are_the_same() {
        let sample = busy(Instant::now(), 3);
        let text = format!("{:?}", sample.rings);
        let mut numbers: Vec<u64> = text
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|digits| digits.parse().ok())
            .collect();
        let count = numbers.len();
        assert!(count >= 29, "{text}");
        // A field that is not made up has nothing but what all such fields have.
        assert!(!numbers.contains(&0), "{text}");
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "{text}");
    }

    #[test]
    fn rates_are_by_the_second() {
        let start = Instant::now();
        let (old, new) = (log(start, 100), log(start + Duration::from_secs(2), 300));
        let ring = &new.rings[0];
        let rates = new.ring_rates(ring, Some(&old)).expect("both are there");
        assert_eq!(rates.records_in, 100.0);
        assert_eq!(rates.bytes_in, 1000.0);
        assert_eq!(rates.records_out, 0.0);
        let rates = new
            .cursor_rates(ring, &ring.cursors[0], Some(&old))
            .expect("both are there");
        assert_eq!(rates.records_lost, 10.0);
    }

    #[test]
    fn what_was_not_there_has_no_rate() {
        let start = Instant::now();
        let (mut old, new) = (log(start, 100), log(start + Duration::from_secs(1), 200));
        let ring = &new.rings[0];
        assert_eq!(new.ring_rates(ring, None), None);
        old.rings[0].cursors[0].id = 2;
        assert!(new.ring_rates(ring, Some(&old)).is_some());
        let cursor = &ring.cursors[0];
        assert_eq!(new.cursor_rates(ring, cursor, Some(&old)), None);
        // A new ring of the same name is another ring.
        old.rings[0].info.id = 6;
        assert_eq!(new.ring_rates(ring, Some(&old)), None);
    }

    #[test]
    fn no_time_and_no_progress_are_no_trouble() {
        assert_eq!(per_second(1, 2, Duration::ZERO), None);
        assert_eq!(per_second(2, 1, Duration::from_secs(1)), Some(0.0));
    }
}
