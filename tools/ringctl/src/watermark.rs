// SPDX-License-Identifier: GPL-2.0

//! `ringctl watermark`: shows or sets when readers of a ring are woken.

use std::time::Duration;

use ringdev::{Call, Cursor, Delivery, Ring, RingName};

use crate::failure::{Failure, Outcome};
use crate::output::print;
use crate::text;

pub(crate) fn run(name: &RingName, bytes: Option<u64>, delay: Duration) -> Outcome {
    let ring = Ring::options()
        .read(true)
        .open(name)
        .map_err(Failure::ring(Call::Open, format!("open ring {name}")))?;
    let failure = || Failure::ring(Call::Info, format!("look at ring {name}"));
    check(name, ring.info().map_err(failure())?.delivery)?;
    match bytes {
        Some(bytes) => {
            let what = format!("set the watermark of ring {name}");
            ring.set_watermark(bytes, delay_of(bytes, delay))
                .map_err(Failure::ring(Call::Watermark, what))
        }
        None => print(sentence(&ring.cursor().map_err(failure())?) + "\n"),
    }
}

/// Fails unless the ring has one watermark.
fn check(name: &RingName, delivery: Delivery) -> Outcome {
    if delivery == Delivery::Broadcast {
        return Err(Failure::Refused {
            what: format!("tell the watermark of ring {name}"),
            why: "with broadcast delivery each reader has its own; set it in the program that \
                  reads, and see them with ringctl stat",
        });
    }
    Ok(())
}

/// Returns the delay of a watermark. A ring that wakes at once delays nothing.
fn delay_of(bytes: u64, delay: Duration) -> Duration {
    if bytes > 1 { delay } else { Duration::ZERO }
}

fn sentence(cursor: &Cursor) -> String {
    if cursor.watermark > 1 {
        let (bytes, delay) = (text::size(cursor.watermark), text::delay(cursor.delay));
        format!("readers are woken at {bytes} unread bytes or after {delay}")
    } else {
        "readers are woken at once".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_a_sentence() {
        let mut cursor = Cursor::default();
        assert_eq!(sentence(&cursor), "readers are woken at once");
        cursor.watermark = 1;
        assert_eq!(sentence(&cursor), "readers are woken at once");
        cursor.watermark = 2;
        cursor.delay = Duration::from_micros(500);
        assert_eq!(
            sentence(&cursor),
            "readers are woken at 2 unread bytes or after 500us"
        );
        cursor.watermark = 4096;
        cursor.delay = Duration::from_millis(10);
        assert_eq!(
            sentence(&cursor),
            "readers are woken at 4K unread bytes or after 10ms"
        );
    }
    #[test]
    fn only_a_ring_with_one_position_has_a_watermark() {
        let name = "news".parse().expect("a name");
        check(&name, Delivery::Shared).expect("it has one");
        let failure = check(&name, Delivery::Broadcast).expect_err("refused");
        let said = failure.to_string();
        assert!(
            said.starts_with("cannot tell the watermark of ring news: with broadcast delivery"),
            "{said}"
        );
    }

    #[test]
    fn a_ring_that_wakes_at_once_delays_nothing() {
        let delay = Duration::from_millis(10);
        assert_eq!(delay_of(0, delay), Duration::ZERO);
        assert_eq!(delay_of(1, delay), Duration::ZERO);
        assert_eq!(delay_of(2, delay), delay);
    }
}
