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

    use serde_json::json;

    use super::*;
    use crate::stat::sample::made_up::busy;

    #[test]
    fn each_field_is_the_one_of_its_name() {
        let start = Instant::now();
        let (old, new) = (busy(start, 1), busy(start + Duration::from_secs(2), 5));
        let ring = json!({
            "name": "busy", "id": 71, "capacity": 72 << 10,
            "framing": "record", "full": "drop", "delivery": "broadcast",
            "hangup": true, "mode": "0640", "uid": 73, "gid": 74,
            "readers": 75, "writers": 76, "unread": 77 << 10, "high_water": 78 << 10,
            "records_in": 505, "bytes_in": 510,
            "records_dropped": 515, "bytes_dropped": 520,
            "records_lost": 525, "bytes_lost": 530,
            "records_out": 535, "bytes_out": 540,
            "writer_sleeps": 545, "writer_wakes": 550,
            "reader_sleeps": 555, "reader_wakes": 560,
        });
        let json_ring = JsonRing::from(&new.rings[0].info);
        assert_eq!(serde_json::to_value(json_ring).expect("JSON"), ring);

        let cursor = json!({
            "id": 81, "unread": 82 << 10, "watermark": 83 << 10, "delay_ns": 84_000,
            "records_out": 1005, "bytes_out": 1010, "records_lost": 1015, "bytes_lost": 1020,
        });
        let mut expected = ring;
        expected["cursors"] = json!([cursor]);
        let first = serde_json::to_value(sample(&new, None)).expect("JSON");
        assert_eq!(first, json!([expected]));

        // From the second sample on there are rates; each count has moved four times.
        expected["per_second"] = json!({
            "records_in": 202.0, "bytes_in": 204.0, "records_dropped": 206.0,
            "records_lost": 210.0, "bytes_lost": 212.0, "records_out": 214.0, "bytes_out": 216.0,
        });
        expected["cursors"][0]["per_second"] = json!({
            "records_out": 402.0, "bytes_out": 404.0, "records_lost": 406.0, "bytes_lost": 408.0,
        });
        let second = serde_json::to_value(sample(&new, Some(&old))).expect("JSON");
        assert_eq!(second, json!([expected]));
    }

    #[test]
    fn one_value_is_a_line_or_many() {
        let value = json!({"a": 1, "b": [2, 3]});
        assert_eq!(line(&value), "{\"a\":1,\"b\":[2,3]}\n");
        assert_eq!(
            lines(&value),
            "{\n  \"a\": 1,\n  \"b\": [\n    2,\n    3\n  ]\n}\n"
        );
    }

    #[test]
    fn a_record_that_is_text_shows_it_and_any_other_its_bytes() {
        let mut record = Record {
            sequence: 5,
            timestamp: Duration::new(6, 7),
            lost: 8,
            payload: "a \"\u{e4}\"".as_bytes(),
        };
        let fields = "\"sequence\":5,\"timestamp_ns\":6000000007,\"lost\":8";
        assert_eq!(
            line(&JsonRecord::from(record)),
            format!("{{{fields},\"payload\":\"a \\\"\u{e4}\\\"\"}}\n")
        );
        record.payload = b"\x01\xe4";
        assert_eq!(
            line(&JsonRecord::from(record)),
            format!("{{{fields},\"payload_hex\":\"01e4\"}}\n")
        );
    }
}
