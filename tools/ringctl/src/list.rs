// SPDX-License-Identifier: GPL-2.0

//! `ringctl list`: which rings there are.

use ringdev::{Call, Info};

use crate::failure::{Failure, Outcome};
use crate::json::{self, JsonRing};
use crate::manage::Rings;
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

pub(crate) fn run(rings: &impl Rings, json: bool) -> Outcome {
    print(list(rings, json, Style::of_stdout())?)
}

fn list(rings: &impl Rings, json: bool, style: Style) -> Outcome<String> {
    let rings = rings
        .all()
        .map_err(Failure::ring(Call::Rings, "list the rings"))?;
    Ok(if json {
        let rings: Vec<JsonRing<'_>> = rings.iter().map(JsonRing::from).collect();
        json::lines(&rings)
    } else {
        style.table(&table::lines(&COLUMNS, &rings))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::manage::made_up::MadeUp;
    use crate::stat::sample::made_up::busy;

    fn rings() -> MadeUp {
        let default = Info::new(0, "0".parse().expect("a name"));
        let busy = busy(Instant::now(), 1).rings.remove(0).info;
        MadeUp {
            rings: vec![(default, vec![]), (busy, vec![])],
            ..MadeUp::default()
        }
    }

    #[test]
    fn a_ring_is_a_line() {
        assert_eq!(
            list(&rings(), false, Style::Plain).expect("nothing fails here"),
            "\
NAME  CAPACITY  UNREAD  FRAMING  FULL   DELIVERY   HANGUP  MODE  UID  GID  READERS  WRITERS
0         256K       0  stream   block  shared     off     0600    0    0        0        0
busy       72K     77K  record   drop   broadcast  on      0640   73   74       75       76
"
        );
        let bold = list(&rings(), false, Style::Terminal).expect("nothing fails here");
        assert!(bold.starts_with("\x1b[1mNAME"), "{bold}");
    }

    #[test]
    fn as_json_it_is_an_array() {
        let text = list(&rings(), true, Style::Terminal).expect("nothing fails here");
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value.as_array().map(Vec::len), Some(2));
        assert_eq!(value[1]["name"], "busy");
        assert!(text.ends_with("]\n"));
        assert!(text.lines().count() > 50, "it is for people: {text}");
    }

    #[test]
    fn what_cannot_be_listed_is_a_failure() {
        const EIO: i32 = 5;
        let rings = MadeUp {
            broken: Some(("", EIO)),
            ..MadeUp::default()
        };
        let failure = list(&rings, false, Style::Plain).expect_err("broken");
        assert_eq!(
            failure.to_string(),
            "cannot list the rings: Input/output error (os error 5)"
        );
    }
}
