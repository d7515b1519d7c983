// SPDX-License-Identifier: GPL-2.0

//! Looking at rings, and how fast they move between two looks.

use std::io;
use std::time::{Duration, Instant};

use ringdev::{Call, Control, Cursor, Info, RingName};
use serde::Serialize;

use crate::failure::{Failure, Outcome};

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
    pub(crate) fn take(control: &Control, names: &[RingName]) -> Outcome<Self> {
        let at = Instant::now();
        let infos: Vec<Info> = if names.is_empty() {
            control
                .rings()
                .collect::<io::Result<_>>()
                .map_err(Failure::ring(Call::Rings, "list the rings"))?
        } else {
            names
                .iter()
                .map(|name| {
                    let failure = Failure::ring(Call::Rings, format!("find ring {name}"));
                    control.find(name).map_err(failure)
                })
                .collect::<Outcome<_>>()?
        };
        let mut rings = Vec::new();
        for info in infos {
            match control.cursors(&info.name).collect() {
                Ok(cursors) => rings.push(Ring { info, cursors }),
                // It was destroyed just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let what = format!("list the readers of ring {}", info.name);
                    return Err(Failure::ring(Call::Cursors, what)(error));
                }
            }
        }
        Ok(Self { at, rings })
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
    use super::made_up::log;
    use super::*;

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
