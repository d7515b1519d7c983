// SPDX-License-Identifier: GPL-2.0

//! The commands that make, change and remove rings.

use ringdev::{Call, Control, RingName};

use crate::args::Create;
use crate::failure::{Failure, Outcome};

/// Opens `/dev/ring/control`.
pub(crate) fn control() -> Outcome<Control> {
    Control::open().map_err(Failure::ring(Call::Control, "open /dev/ring/control"))
}

pub(crate) fn create(args: Create) -> Outcome {
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
    control()?.create(&ring).map_err(failure)
}

pub(crate) fn destroy(rings: &[RingName]) -> Outcome {
    let control = control()?;
    rings.iter().try_for_each(|ring| {
        let failure = Failure::ring(Call::Destroy, format!("destroy ring {ring}"));
        control.destroy(ring).map_err(failure)
    })
}

pub(crate) fn resize(ring: &RingName, capacity: u64) -> Outcome {
    let failure = Failure::ring(Call::Resize, format!("resize ring {ring}"));
    control()?.resize(ring, capacity).map_err(failure)
}

pub(crate) fn clear(rings: &[RingName]) -> Outcome {
    let control = control()?;
    rings.iter().try_for_each(|ring| {
        let failure = Failure::ring(Call::Clear, format!("clear ring {ring}"));
        control.clear(ring).map_err(failure)
    })
}

pub(crate) fn evict(ring: &RingName, cursor: u64) -> Outcome {
    let what = format!("evict reader {cursor} of ring {ring}");
    let failure = Failure::ring(Call::Evict, what);
    control()?.evict(ring, cursor).map_err(failure)
}
