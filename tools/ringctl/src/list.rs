// SPDX-License-Identifier: GPL-2.0

//! `ringctl list`: which rings there are.

use std::io;

use ringdev::{Call, Info};

use crate::failure::{Failure, Outcome};
use crate::json::{self, JsonRing};
use crate::manage::control;
use crate::output::print;
use crate::table::{self, Column, left, right};
use crate::terminal::Style;
use crate::text;

const COLUMNS: [Column<Info>; 12] = [
    left("NAME", |ring| ring.name.to_string()),
    right("CAPACITY", |ring| text::size(ring.capacity)),
    right("UNREAD", |ring| text::size(ring.unread)),
    left("FRAMING", |ring| ring.framing.to_string()),
    left("FULL", |ring| ring.full.to_string()),
    left("DELIVERY", |ring| ring.delivery.to_string()),
    left("HANGUP", |ring| {
        if ring.hangup { "on" } else { "off" }.into()
    }),
    left("MODE", |ring| format!("{:04o}", ring.mode)),
    right("UID", |ring| ring.uid.to_string()),
    right("GID", |ring| ring.gid.to_string()),
    right("READERS", |ring| ring.readers.to_string()),
    right("WRITERS", |ring| ring.writers.to_string()),
];

pub(crate) fn run(json: bool) -> Outcome {
    let rings: Vec<Info> = control()?
        .rings()
        .collect::<io::Result<_>>()
        .map_err(Failure::ring(Call::Rings, "list the rings"))?;
    if json {
        let rings: Vec<JsonRing<'_>> = rings.iter().map(JsonRing::from).collect();
        print(json::lines(&rings))
    } else {
        print(Style::of_stdout().table(&table::lines(&COLUMNS, &rings)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::stat::sample::made_up::log;

    #[test]
    fn a_ring_is_a_line() {
        let default = Info::new(0, "0".parse().expect("a name"));
        let log = log(Instant::now(), 100).rings.remove(0).info;
        assert_eq!(
            table::lines(&COLUMNS, &[default, log]).join("\n"),
            "\
NAME  CAPACITY  UNREAD  FRAMING  FULL       DELIVERY   HANGUP  MODE  UID  GID  READERS  WRITERS
0         256K       0  stream   block      shared     off     0600    0    0        0        0
log       256K    4.6K  record   overwrite  broadcast  off     0644    0    0        1        0"
        );
    }
}
