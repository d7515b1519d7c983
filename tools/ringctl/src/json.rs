// SPDX-License-Identifier: GPL-2.0

//! What ringctl prints as JSON: the fields of `include/uapi/linux/ringdev.h` under their names.

use std::fmt::Write;
use std::str;

use ringdev::{Cursor, Info, Record};
use serde::Serialize;

use crate::stat::sample::{CursorRates, RingRates, Sample};

/// A ring.
#[derive(Serialize)]
pub(crate) struct JsonRing<'a> {
    name: &'a str,
    id: u64,
    capacity: u64,
    framing: String,
    full: String,
    delivery: String,
    hangup: bool,
    /// In octal, as people write it.
    mode: String,
    uid: u32,
    gid: u32,
    readers: u32,
    writers: u32,
    unread: u64,
    high_water: u64,
    records_in: u64,
    bytes_in: u64,
    records_dropped: u64,
    bytes_dropped: u64,
    records_lost: u64,
    bytes_lost: u64,
    records_out: u64,
    bytes_out: u64,
    writer_sleeps: u64,
    writer_wakes: u64,
    reader_sleeps: u64,
    reader_wakes: u64,
}

impl<'a> From<&'a Info> for JsonRing<'a> {
    fn from(info: &'a Info) -> Self {
        Self {
            name: info.name.as_str(),
            id: info.id,
            capacity: info.capacity,
            framing: info.framing.to_string(),
            full: info.full.to_string(),
            delivery: info.delivery.to_string(),
            hangup: info.hangup,
            mode: format!("{:04o}", info.mode),
            uid: info.uid,
            gid: info.gid,
            readers: info.readers,
            writers: info.writers,
            unread: info.unread,
            high_water: info.high_water,
            records_in: info.records_in,
            bytes_in: info.bytes_in,
            records_dropped: info.records_dropped,
            bytes_dropped: info.bytes_dropped,
            records_lost: info.records_lost,
            bytes_lost: info.bytes_lost,
            records_out: info.records_out,
            bytes_out: info.bytes_out,
            writer_sleeps: info.writer_sleeps,
            writer_wakes: info.writer_wakes,
            reader_sleeps: info.reader_sleeps,
            reader_wakes: info.reader_wakes,
        }
    }
}

/// A ring with its cursors.
#[derive(Serialize)]
pub(crate) struct JsonStat<'a> {
    #[serde(flatten)]
    ring: JsonRing<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<RingRates>,
    cursors: Vec<JsonCursor>,
}

/// A cursor.
#[derive(Serialize)]
struct JsonCursor {
    id: u64,
    unread: u64,
    records_out: u64,
    bytes_out: u64,
    records_lost: u64,
    bytes_lost: u64,
    watermark: u64,
    delay_ns: u128,
    #[serde(skip_serializing_if = "Option::is_none")]
    per_second: Option<CursorRates>,
}

impl JsonCursor {
    fn new(cursor: &Cursor, per_second: Option<CursorRates>) -> Self {
        Self {
            id: cursor.id,
            unread: cursor.unread,
            records_out: cursor.records_out,
            bytes_out: cursor.bytes_out,
            records_lost: cursor.records_lost,
            bytes_lost: cursor.bytes_lost,
            watermark: cursor.watermark,
            delay_ns: cursor.delay.as_nanos(),
            per_second,
        }
    }
}

/// The rings of a sample, with rates since the earlier one.
pub(crate) fn sample<'a>(sample: &'a Sample, earlier: Option<&Sample>) -> Vec<JsonStat<'a>> {
    sample
        .rings
        .iter()
        .map(|ring| JsonStat {
            ring: (&ring.info).into(),
            per_second: sample.ring_rates(ring, earlier),
            cursors: ring
                .cursors
                .iter()
                .map(|cursor| JsonCursor::new(cursor, sample.cursor_rates(ring, cursor, earlier)))
                .collect(),
        })
        .collect()
}

/// A record.
#[derive(Serialize)]
pub(crate) struct JsonRecord<'a> {
    sequence: u64,
    timestamp_ns: u128,
    lost: u64,
    #[serde(flatten)]
    payload: Payload<'a>,
}

/// JSON has no bytes, only text.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Payload<'a> {
    Payload(&'a str),
    /// Two digits a byte, where it is not text.
    PayloadHex(String),
}

impl<'a> From<Record<'a>> for JsonRecord<'a> {
    fn from(record: Record<'a>) -> Self {
        Self {
            sequence: record.sequence,
            timestamp_ns: record.timestamp.as_nanos(),
            lost: record.lost,
            payload: match str::from_utf8(record.payload) {
                Ok(text) => Payload::Payload(text),
                Err(_) => Payload::PayloadHex(hex(record.payload)),
            },
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all");
    }
    text
}

/// One value on a line.
pub(crate) fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("numbers and text under fixed names") + "\n"
}

/// One value on many lines, for people.
pub(crate) fn lines(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("numbers and text under fixed names") + "\n"
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use serde_json::{Value, json};

    use super::*;
    use crate::stat::sample::made_up::log;

    #[test]
    fn a_ring_has_all_its_fields() {
        let log = log(Instant::now(), 5);
        assert_eq!(
            serde_json::to_value(JsonRing::from(&log.rings[0].info)).expect("JSON"),
            json!({
                "name": "log", "id": 7, "capacity": 262_144,
                "framing": "record", "full": "overwrite", "delivery": "broadcast",
                "hangup": false, "mode": "0644", "uid": 0, "gid": 0,
                "readers": 1, "writers": 0, "unread": 240, "high_water": 0,
                "records_in": 5, "bytes_in": 50,
                "records_dropped": 0, "bytes_dropped": 0, "records_lost": 0, "bytes_lost": 0,
                "records_out": 0, "bytes_out": 0,
                "writer_sleeps": 0, "writer_wakes": 0, "reader_sleeps": 0, "reader_wakes": 0,
            })
        );
    }

    #[test]
    fn rates_are_there_from_the_second_sample_on() {
        let start = Instant::now();
        let (old, new) = (log(start, 0), log(start + Duration::from_secs(1), 20));
        let first = serde_json::to_value(sample(&old, None)).expect("JSON");
        assert_eq!(first[0].get("per_second"), None);
        assert_eq!(first[0]["cursors"][0]["id"], 3);
        let second = serde_json::to_value(sample(&new, Some(&old))).expect("JSON");
        assert_eq!(second[0]["per_second"]["records_in"], 20.0);
        assert_eq!(second[0]["cursors"][0]["per_second"]["records_lost"], 2.0);
    }

    #[test]
    fn bytes_that_are_not_text_are_in_hex() {
        assert_eq!(hex(b"\x00\xff"), "00ff");
        let payloads = [
            (Payload::Payload("a\n"), json!({"payload": "a\n"})),
            (
                Payload::PayloadHex(hex(b"\xff")),
                json!({"payload_hex": "ff"}),
            ),
        ];
        for (payload, fields) in payloads {
            let record = JsonRecord {
                sequence: 1,
                timestamp_ns: 2,
                lost: 3,
                payload,
            };
            let line = line(&record);
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let value: Value = serde_json::from_str(&line).expect("JSON");
            let mut expected = json!({"sequence": 1, "timestamp_ns": 2, "lost": 3});
            let fields = fields.as_object().expect("an object").clone();
            expected.as_object_mut().expect("an object").extend(fields);
            assert_eq!(value, expected);
        }
    }
}
