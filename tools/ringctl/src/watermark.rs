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
    if ring.info().map_err(failure())?.delivery == Delivery::Broadcast {
        return Err(Failure::Refused {
            what: format!("tell the watermark of ring {name}"),
            why: "with broadcast delivery each reader has its own; set it in the program that \
                  reads, and see them with ringctl stat",
        });
    }
    match bytes {
        Some(bytes) => {
            // A ring that wakes at once delays nothing.
            let delay = if bytes > 1 { delay } else { Duration::ZERO };
            let what = format!("set the watermark of ring {name}");
            ring.set_watermark(bytes, delay)
                .map_err(Failure::ring(Call::Watermark, what))
        }
        None => print(format!(
            "{}\n",
            sentence(&ring.cursor().map_err(failure())?)
        )),
    }
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
        cursor.watermark = 4096;
        cursor.delay = Duration::from_millis(10);
        assert_eq!(
            sentence(&cursor),
            "readers are woken at 4K unread bytes or after 10ms"
        );
    }
}
