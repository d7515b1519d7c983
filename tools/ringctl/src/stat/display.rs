// SPDX-License-Identifier: GPL-2.0

//! Samples as tables.

use ringdev::Cursor;

use super::sample::{CursorRates, Ring, RingRates, Sample};
use crate::table::{self, Column, left, right};
use crate::terminal::Style;
use crate::text;

const RINGS: [Column<Ring>; 13] = [
    left("RING", |ring| ring.info.name.to_string()),
    right("CAPACITY", |ring| text::size(ring.info.capacity)),
    right("UNREAD", |ring| text::size(ring.info.unread)),
    right("HIGH", |ring| text::size(ring.info.high_water)),
    right("IN", |ring| ring.info.records_in.to_string()),
    right("BYTES", |ring| text::size(ring.info.bytes_in)),
    right("OUT", |ring| ring.info.records_out.to_string()),
    right("BYTES", |ring| text::size(ring.info.bytes_out)),
    right("DROPPED", |ring| ring.info.records_dropped.to_string()),
    right("LOST", |ring| ring.info.records_lost.to_string()),
    right("BYTES", |ring| text::size(ring.info.bytes_lost)),
    right("W-SLEEPS", |ring| ring.info.writer_sleeps.to_string()),
    right("R-SLEEPS", |ring| ring.info.reader_sleeps.to_string()),
];

/// A ring, and how fast it moves.
struct LiveRing<'a> {
    ring: &'a Ring,
    rates: Option<RingRates>,
}

impl LiveRing<'_> {
    fn count(&self, rate: fn(RingRates) -> f64) -> String {
        text::rate(self.rates.map(rate))
    }

    fn size(&self, rate: fn(RingRates) -> f64) -> String {
        text::size_rate(self.rates.map(rate))
    }

    fn ends(&self) -> String {
        format!("{}r {}w", self.ring.info.readers, self.ring.info.writers)
    }
}

fn live_rings<'a>() -> [Column<LiveRing<'a>>; 12] {
    [
        left("RING", |row| row.ring.info.name.to_string()),
        right("CAPACITY", |row| text::size(row.ring.info.capacity)),
        right("UNREAD", |row| text::size(row.ring.info.unread)),
        right("HIGH", |row| text::size(row.ring.info.high_water)),
        right("IN/s", |row| row.count(|rates| rates.records_in)),
        right("BYTES/s", |row| row.size(|rates| rates.bytes_in)),
        right("OUT/s", |row| row.count(|rates| rates.records_out)),
        right("BYTES/s", |row| row.size(|rates| rates.bytes_out)),
        right("DROPPED/s", |row| row.count(|rates| rates.records_dropped)),
        right("LOST/s", |row| row.count(|rates| rates.records_lost)),
        right("BYTES/s", |row| row.size(|rates| rates.bytes_lost)),
        right("ENDS", LiveRing::ends),
    ]
}

/// A cursor, and how fast it moves.
struct CursorRow<'a> {
    ring: &'a Ring,
    cursor: &'a Cursor,
    rates: Option<CursorRates>,
}

impl CursorRow<'_> {
    fn count(&self, rate: fn(CursorRates) -> f64) -> String {
        text::rate(self.rates.map(rate))
    }

    fn size(&self, rate: fn(CursorRates) -> f64) -> String {
        text::size_rate(self.rates.map(rate))
    }

    fn watermark(&self) -> String {
        match self.cursor.watermark {
            0 | 1 => "-".into(),
            bytes => format!("{} {}", text::size(bytes), text::delay(self.cursor.delay)),
        }
    }
}

fn cursors<'a>() -> [Column<CursorRow<'a>>; 8] {
    [
        left("RING", |row| row.ring.info.name.to_string()),
        right("CURSOR", |row| row.cursor.id.to_string()),
        right("UNREAD", |row| text::size(row.cursor.unread)),
        right("OUT", |row| row.cursor.records_out.to_string()),
        right("BYTES", |row| text::size(row.cursor.bytes_out)),
        right("LOST", |row| row.cursor.records_lost.to_string()),
        right("BYTES", |row| text::size(row.cursor.bytes_lost)),
        right("WATERMARK", CursorRow::watermark),
    ]
}

fn live_cursors<'a>() -> [Column<CursorRow<'a>>; 8] {
    [
        left("RING", |row| row.ring.info.name.to_string()),
        right("CURSOR", |row| row.cursor.id.to_string()),
        right("UNREAD", |row| text::size(row.cursor.unread)),
        right("OUT/s", |row| row.count(|rates| rates.records_out)),
        right("BYTES/s", |row| row.size(|rates| rates.bytes_out)),
        right("LOST/s", |row| row.count(|rates| rates.records_lost)),
        right("BYTES/s", |row| row.size(|rates| rates.bytes_lost)),
        right("WATERMARK", CursorRow::watermark),
    ]
}

/// What has happened since the rings were made.
pub(super) fn totals(sample: &Sample, style: Style) -> String {
    let mut text = style.table(&table::lines(&RINGS, &sample.rings));
    let rows = cursor_rows(sample, None);
    if !rows.is_empty() {
        text.push('\n');
        text += &style.table(&table::lines(&cursors(), &rows));
    }
    text
}

/// What happens now, as lines, with the style of headings where there are some.
pub(super) fn live(
    sample: &Sample,
    earlier: Option<&Sample>,
    heading: Style,
) -> Vec<(Style, String)> {
    let rings: Vec<LiveRing<'_>> = sample
        .rings
        .iter()
        .map(|ring| LiveRing {
            ring,
            rates: sample.ring_rates(ring, earlier),
        })
        .collect();
    let mut lines = styled(table::lines(&live_rings(), &rings), heading);
    let rows = cursor_rows(sample, earlier);
    if !rows.is_empty() {
        lines.push((Style::Plain, String::new()));
        lines.extend(styled(table::lines(&live_cursors(), &rows), heading));
    }
    lines
}

fn styled(lines: Vec<String>, heading: Style) -> Vec<(Style, String)> {
    let first = |number| if number == 0 { heading } else { Style::Plain };
    let styled = |(number, line)| (first(number), line);
    lines.into_iter().enumerate().map(styled).collect()
}

fn cursor_rows<'a>(sample: &'a Sample, earlier: Option<&Sample>) -> Vec<CursorRow<'a>> {
    let mut rows = Vec::new();
    for ring in &sample.rings {
        for cursor in &ring.cursors {
            rows.push(CursorRow {
                ring,
                cursor,
                rates: sample.cursor_rates(ring, cursor, earlier),
            });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::stat::sample::made_up::{busy, log};

    fn text(lines: Vec<(Style, String)>) -> String {
        let lines: Vec<String> = lines.into_iter().map(|(_, line)| line).collect();
        lines.join("\n")
    }

    #[test]
    fn once_it_is_what_has_happened() {
        assert_eq!(
            totals(&log(Instant::now(), 100), Style::Plain),
            "\
RING  CAPACITY  UNREAD  HIGH   IN  BYTES  OUT  BYTES  DROPPED  LOST  BYTES  W-SLEEPS  R-SLEEPS
log       256K    4.6K     0  100   1000    0      0        0     0      0         0         0

RING  CURSOR  UNREAD  OUT  BYTES  LOST  BYTES  WATERMARK
log        3    4.6K    0      0    10      0          -
"
        );
    }

    #[test]
    fn live_it_is_what_happens() {
        let start = Instant::now();
        let old = log(start, 100);
        let mut new = log(start + Duration::from_secs(1), 300);
        new.rings[0].cursors[0].watermark = 4096;
        new.rings[0].cursors[0].delay = Duration::from_micros(500);
        assert_eq!(
            text(live(&new, Some(&old), Style::Plain)),
            "\
RING  CAPACITY  UNREAD  HIGH  IN/s  BYTES/s  OUT/s  BYTES/s  DROPPED/s  LOST/s  BYTES/s   ENDS
log       256K   14.0K     0   200     1.9K      0        0          0       0        0  1r 0w

RING  CURSOR  UNREAD  OUT/s  BYTES/s  LOST/s  BYTES/s  WATERMARK
log        3   14.0K      0        0      20        0   4K 500us"
        );
    }

    #[test]
    fn each_column_is_what_its_heading_says() {
        assert_eq!(
            totals(&busy(Instant::now(), 3), Style::Plain),
            "\
RING  CAPACITY  UNREAD  HIGH   IN  BYTES  OUT  BYTES  DROPPED  LOST  BYTES  W-SLEEPS  R-SLEEPS
busy       72K     77K   78K  303    306  321    324      309   315    318       327       333

RING  CURSOR  UNREAD  OUT  BYTES  LOST  BYTES  WATERMARK
busy      81     82K  603    606   609    612   83K 84us
"
        );
        let start = Instant::now();
        let (old, new) = (busy(start, 3), busy(start + Duration::from_secs(1), 4));
        assert_eq!(
            text(live(&new, Some(&old), Style::Plain)),
            "\
RING  CAPACITY  UNREAD  HIGH  IN/s  BYTES/s  OUT/s  BYTES/s  DROPPED/s  LOST/s  BYTES/s     ENDS
busy       72K     77K   78K   101      102    107      108        103     105      106  75r 76w

RING  CURSOR  UNREAD  OUT/s  BYTES/s  LOST/s  BYTES/s  WATERMARK
busy      81     82K    201      202     203      204   83K 84us"
        );
    }

    #[test]
    fn only_headings_have_the_style_of_headings() {
        let lines = live(&busy(Instant::now(), 3), None, Style::Terminal);
        let styles: Vec<Style> = lines.into_iter().map(|(style, _)| style).collect();
        let (bold, plain) = (Style::Terminal, Style::Plain);
        assert_eq!(styles, [bold, plain, plain, bold, plain]);
        let text = totals(&busy(Instant::now(), 3), Style::Terminal);
        assert_eq!(text.matches("\x1b[1mRING").count(), 2, "{text:?}");
    }

    #[test]
    fn the_first_look_has_no_rates() {
        let lines = text(live(&log(Instant::now(), 100), None, Style::Plain));
        let row = lines.lines().nth(1).expect("a row");
        assert_eq!(row.matches('-').count(), 7, "{row}");
    }

    #[test]
    fn rings_without_readers_have_no_table_of_them() {
        let mut sample = log(Instant::now(), 100);
        sample.rings[0].cursors.clear();
        assert_eq!(totals(&sample, Style::Plain).lines().count(), 2);
        assert_eq!(live(&sample, None, Style::Plain).len(), 2);
    }
}
