// SPDX-License-Identifier: GPL-2.0

//! What was received is what was sent: nothing is invented, repeated, reordered, or missing without
//! having been counted as lost.

use super::calls::Brief;
use super::{Complaints, Writer, stored, writers};
use crate::abi::{ALIGN, HEADER_SIZE, Header};
use crate::history::{
    Call, EndpointId, Event, Flags, History, MODULUS, Run, origin, payload, runs,
};

const CORRUPT: &str = "what is received was sent";
const ORDER: &str = "data arrive once and in order";
const LOST: &str = "what is missing was counted as lost";

/// All that was read at one cursor.
pub struct Group<'a> {
    /// `None` where all readers share a cursor.
    pub endpoint: Option<EndpointId>,
    /// In the order in which they began.
    pub reads: Vec<&'a Event>,
}

impl Group<'_> {
    /// One read had ended before the next began, so that their order is that of the data.
    fn is_ordered(&self) -> bool {
        self.is_certain()
            && self
                .reads
                .windows(2)
                .all(|pair| pair[0].end.is_some_and(|end| end < pair[1].begin))
    }

    /// No read was going on when its process was killed.
    pub fn is_certain(&self) -> bool {
        self.reads.iter().all(|event| event.ended())
    }

    /// All data that were received can be looked at.
    pub fn is_seen(&self) -> bool {
        !self
            .reads
            .iter()
            .any(|event| event.bytes() > 0 && event.flags.has(Flags::UNSEEN))
    }
}

/// Returns the reads at each cursor.
pub fn groups(history: &History) -> Vec<Group<'_>> {
    if !history.kind.is_broadcast() {
        let reads = history.of(Call::Read).collect();
        return vec![Group {
            endpoint: None,
            reads,
        }];
    }
    (0..history.endpoints.len() as EndpointId)
        .filter(|id| history.endpoint(*id).is_some_and(|endpoint| endpoint.reads))
        .map(|id| Group {
            endpoint: Some(id),
            reads: history
                .of(Call::Read)
                .filter(|event| event.endpoint == id)
                .collect(),
        })
        .collect()
}

/// Returns the payload bytes and the number of records in what a read returned, and the space that
/// they took up in the ring; `None` if that cannot be told.
pub fn measure(history: &History, event: &Event) -> Option<(u64, u64, u64)> {
    let bytes = event.bytes();
    if !history.kind.is_record() || bytes == 0 {
        return Some((bytes, 0, bytes));
    }
    if event.flags.has(Flags::HEADERS) {
        if event.flags.has(Flags::UNSEEN) {
            return None;
        }
        let records = batch(&event.data).ok()?;
        let sum = |of: fn(u64) -> u64| {
            records
                .iter()
                .map(|(header, _)| of(u64::from(header.length)))
                .sum()
        };
        return Some((sum(|length| length), records.len() as u64, sum(stored)));
    }
    (!event.flags.has(Flags::JOINED)).then(|| (bytes, 1, stored(bytes)))
}

pub fn judge(history: &History, complaints: &mut Complaints) {
    let writers = resolved(history, writers(history));
    for group in groups(history) {
        for event in &group.reads {
            if event.flags.has(Flags::UNSEEN) || event.bytes() == 0 {
                continue;
            }
            alone(history, event, complaints);
        }
        if !group.is_seen() {
            continue;
        }
        if group.is_ordered() {
            in_order(history, &writers, &group, complaints);
        } else if group.is_certain()
            && group.endpoint.is_none()
            && writers.iter().all(|writer| writer.uncertain == 0)
            && !history.may_lose()
            && is_drained(history, &group)
        {
            as_a_whole(history, &writers, &group, complaints);
        }
    }
}

/// Settles from the ring's own count what a killed writer wrote, if there is one such writer alone.
fn resolved(history: &History, mut writers: Vec<Writer>) -> Vec<Writer> {
    let known: u64 = writers.iter().map(|writer| writer.bytes).sum();
    let last = history
        .observations
        .last()
        .map(|observation| observation.ring.bytes_in);
    let mut uncertain: Vec<_> = writers.iter_mut().filter(|w| w.uncertain > 0).collect();
    let more = last.and_then(|all| all.checked_sub(known));
    let ([writer], Some(more)) = (&mut uncertain[..], more) else {
        return writers;
    };
    if more <= writer.uncertain {
        if history.kind.is_record() && more > 0 {
            writer.records.push(more);
        }
        writer.bytes += more;
        writer.uncertain = 0;
    }
    writers
}

/// Checks what one read returned, whatever else went on.
fn alone(history: &History, event: &Event, complaints: &mut Complaints) {
    let about = |what: &str| format!("{what}: {:?}", Brief(event));
    if history.kind.is_record() && event.flags.has(Flags::HEADERS) {
        match batch(&event.data) {
            Ok(records) => {
                for (_, payload) in records {
                    complaints.demand(is_a_record(payload), CORRUPT, || about("a record"));
                }
            }
            Err(what) => complaints.demand(false, "a batch is well formed", || about(what)),
        }
        return;
    }
    if history.kind.is_record() {
        if !event.flags.has(Flags::JOINED) {
            complaints.demand(is_a_record(&event.data), CORRUPT, || about("a record"));
        }
        return;
    }
    let mut next = [None; 4];
    for run in runs(&event.data) {
        let Some(run) = run else {
            complaints.demand(false, CORRUPT, || about("a byte that nobody wrote"));
            return;
        };
        let follows = next[run.actor].is_none_or(|next| next == run.place);
        if !follows && !event.flags.has(Flags::JOINED) {
            complaints.demand(false, "a read returns bytes that follow each other", || {
                about("a gap or a repetition")
            });
            return;
        }
        next[run.actor] = Some((run.place + run.len) % MODULUS);
    }
}

/// All bytes of a record are by one writer and count up.
fn is_a_record(record: &[u8]) -> bool {
    let first = record.first().and_then(|byte| origin(*byte));
    first.is_some_and(|(writer, place)| payload(writer, place, record.len()) == record)
}

/// Takes a batch apart.
fn batch(data: &[u8]) -> Result<Vec<(Header, &[u8])>, &'static str> {
    let mut records = Vec::new();
    let mut at = 0;
    while at < data.len() {
        let header = Header::parse(&data[at..]).ok_or("a header is cut short")?;
        at += HEADER_SIZE;
        if header.flags != 0 || header.length == 0 {
            return Err("a header has unknown flags or no length");
        }
        let end = at + header.length as usize;
        records.push((header, data.get(at..end).ok_or("a payload is cut short")?));
        at = end;
        if at < data.len() {
            let next = at.next_multiple_of(ALIGN);
            if data
                .get(at..next)
                .is_none_or(|gap| gap.iter().any(|byte| *byte != 0))
            {
                return Err("there are no zeros before a header");
            }
            at = next;
        }
    }
    Ok(records)
}

/// Where the bytes or records of a writer are expected to go on.
#[derive(Clone, Copy, Default)]
struct Expected([Option<u64>; 4]);

/// What a cursor has received in the order of the ring.
struct Walk<'a> {
    history: &'a History,
    writers: &'a [Writer],
    expected: Expected,
    /// What was missing between what was received, modulo [`MODULUS`] for each gap.
    missing: u64,
    /// Whether all that is missing is in that sum.
    complete: bool,
    /// The number that the next record has, by its header.
    sequence: Option<u64>,
    /// Where the bytes of each read came from, for those writes that must stay in one piece.
    order: Vec<(usize, u64)>,
    complaints: &'a mut Complaints,
    about: String,
}

/// Checks all that was received at a cursor whose reads did not overlap.
fn in_order(history: &History, writers: &[Writer], group: &Group<'_>, complaints: &mut Complaints) {
    // A cursor that was there before anything was written has to account for everything.
    let first_write = history.of(Call::Write).map(|event| event.begin).min();
    let from_the_start = group.endpoint.is_none_or(|id| {
        let opened = history
            .endpoint(id)
            .map_or(u64::MAX, |endpoint| endpoint.opened.1);
        first_write.is_none_or(|first| opened < first)
    });
    let mut walk = Walk {
        history,
        writers,
        expected: Expected([from_the_start.then_some(0); 4]),
        missing: 0,
        complete: from_the_start,
        sequence: from_the_start.then_some(0),
        order: Vec::new(),
        complaints,
        about: String::new(),
    };
    let mut seeks: Vec<&Event> = history
        .of(Call::Seek)
        .filter(|event| Some(event.endpoint) == group.endpoint)
        .filter(|event| !event.ended() || event.result >= 0)
        .collect();
    // A seek that overlaps a read may have come before or after it.
    let overlaps = |seek: &&Event| {
        group.reads.iter().any(|read| {
            seek.begin < read.end.unwrap_or(u64::MAX) && read.begin < seek.end.unwrap_or(u64::MAX)
        })
    };
    if seeks.iter().any(overlaps) {
        return;
    }
    seeks.reverse();
    for event in &group.reads {
        while seeks.last().is_some_and(|seek| seek.begin < event.begin) {
            seeks.pop();
            walk.forget();
        }
        if event.bytes() > 0 {
            walk.about = format!("{:?}", Brief(event));
            walk.read(event);
        }
    }
    if !seeks.is_empty() {
        walk.forget();
    }
    if is_drained(history, group) {
        walk.about = format!("at the end, endpoint {:?}", group.endpoint);
        walk.end(final_lost(history, group));
    }
    walk.pieces();
}

/// Says whether a cursor had received everything at the end.
fn is_drained(history: &History, group: &Group<'_>) -> bool {
    let Some(last) = history.observations.last() else {
        return false;
    };
    match group.endpoint {
        None => last.ring.unread == 0,
        Some(id) => {
            let state = last.of(id).and_then(|state| state.cursor);
            state.is_some_and(|cursor| cursor.unread == 0)
                && !history.possibly_evicted(id, u64::MAX)
        }
    }
}

/// Returns what a cursor has lost: bytes of a stream, or records.
fn final_lost(history: &History, group: &Group<'_>) -> Option<u64> {
    let last = history.observations.last()?;
    let (records, bytes) = match group.endpoint {
        None => (last.ring.records_lost, last.ring.bytes_lost),
        Some(id) => {
            let cursor = last.of(id)?.cursor?;
            (cursor.records_lost, cursor.bytes_lost)
        }
    };
    Some(if history.kind.is_record() {
        records
    } else {
        bytes
    })
}

impl Walk<'_> {
    /// What comes next cannot be told any more.
    fn forget(&mut self) {
        self.expected = Expected::default();
        self.sequence = None;
        self.complete = false;
        self.order.clear();
    }

    fn demand(&mut self, kept: bool, rule: &'static str, what: impl FnOnce() -> String) {
        let about = &self.about;
        self.complaints
            .demand(kept, rule, || format!("{}: {about}", what()));
    }

    fn read(&mut self, event: &Event) {
        if !self.history.kind.is_record() {
            for run in runs(&event.data).map_while(|run| run) {
                self.bytes(run);
            }
            return;
        }
        if event.flags.has(Flags::HEADERS) {
            for (header, payload) in batch(&event.data).unwrap_or_default() {
                if let Some(next) = self.sequence {
                    self.demand(header.sequence == next + header.lost, LOST, || {
                        format!(
                            "record {} after {next}, {} lost",
                            header.sequence, header.lost
                        )
                    });
                }
                if !self.history.may_lose() {
                    self.demand(header.lost == 0, LOST, || format!("{header:?}"));
                }
                self.sequence = Some(header.sequence + 1);
                self.record(payload);
            }
            return;
        }
        if event.flags.has(Flags::JOINED) {
            self.joined(&event.data);
            return;
        }
        self.skip_sequence();
        self.record(&event.data);
    }

    /// A record without a header was read.
    fn skip_sequence(&mut self) {
        let known = !self.history.may_lose();
        self.sequence = self.sequence.filter(|_| known).map(|next| next + 1);
    }

    /// Takes note of bytes of a stream.
    fn bytes(&mut self, run: Run) {
        let Run { actor, place, len } = run;
        let next = match self.expected.0[actor] {
            Some(next) => {
                let gap = (place + MODULUS - next % MODULUS) % MODULUS;
                self.gap(gap, actor, next);
                next + gap
            }
            None => place,
        };
        self.expected.0[actor] = Some(next + len);
        if !self.history.may_lose() {
            self.order.push((actor, len));
        }
    }

    /// Takes note of so much that is missing.
    fn gap(&mut self, gap: u64, writer: usize, next: u64) {
        self.missing += gap;
        if gap > 0 && !self.history.may_lose() {
            self.demand(false, ORDER, || {
                format!("writer {writer} goes on {gap} (mod {MODULUS}) behind {next}")
            });
        }
    }

    /// Takes note of a record.
    fn record(&mut self, payload: &[u8]) {
        let Some((writer, place)) = payload.first().and_then(|byte| origin(*byte)) else {
            return;
        };
        let length = payload.len() as u64;
        let Some(next) = self.expected.0[writer] else {
            // Any record of this writer with this number, modulo the prime, and length.
            let found = self.number_from(writer, place, length);
            self.expected.0[writer] = found.map(|number| number + 1);
            self.demand(found.is_some() || self.uncertain(writer), CORRUPT, || {
                format!("writer {writer} wrote no record of {length} bytes like this")
            });
            return;
        };
        let gap = (place + MODULUS - next % MODULUS) % MODULUS;
        self.gap(gap, writer, next);
        match self.number_from(writer, next + gap, length) {
            Some(number) => self.expected.0[writer] = Some(number + 1),
            None => {
                let uncertain = self.uncertain(writer);
                self.demand(uncertain, CORRUPT, || {
                    format!("writer {writer} wrote no record of {length} bytes like this")
                });
                self.expected.0[writer] = Some(next + gap + 1);
            }
        }
    }

    fn uncertain(&self, writer: usize) -> bool {
        self.writers
            .get(writer)
            .is_some_and(|writer| writer.uncertain > 0)
    }

    /// Returns the first record of a writer with this length, whose number is `from`, or that and a
    /// multiple of the prime. It is `from` itself if nothing was lost, and the cursor was there from
    /// the first record on.
    fn number_from(&self, writer: usize, from: u64, length: u64) -> Option<u64> {
        let records = &self.writers.get(writer)?.records;
        let exact = !self.history.may_lose() && self.complete;
        (from..records.len() as u64)
            .step_by(MODULUS as usize)
            .take(if exact { 1 } else { usize::MAX })
            .find(|number| records[*number as usize] == length)
    }

    /// Takes note of records whose payloads follow each other.
    fn joined(&mut self, mut data: &[u8]) {
        if !self.complete {
            // Which records they are, and so where they end, cannot be told.
            self.forget();
            return;
        }
        while let Some((writer, place)) = data.first().and_then(|byte| origin(*byte)) {
            let next = self.expected.0[writer].unwrap_or(place);
            let gap = (place + MODULUS - next % MODULUS) % MODULUS;
            let records = self.writers.get(writer).map(|writer| &writer.records);
            let length = records
                .and_then(|records| records.get((next + gap) as usize))
                .copied();
            let Some(length) = length.filter(|length| *length <= data.len() as u64) else {
                // Where a record ends cannot be told.
                self.forget();
                return;
            };
            let (payload, rest) = data.split_at(length as usize);
            let known = self.expected.0[writer].is_some() && !self.history.may_lose();
            if !is_a_record(payload) {
                self.demand(!known, CORRUPT, || {
                    format!("a record of {length} bytes in a run")
                });
                self.forget();
                return;
            }
            self.skip_sequence();
            self.record(payload);
            data = rest;
        }
    }

    /// Checks that nothing is missing at the end but what was counted as lost.
    fn end(&mut self, lost: Option<u64>) {
        for (writer, sent) in self.writers.iter().enumerate() {
            if sent.uncertain > 0 {
                self.complete = false;
                continue;
            }
            let end = if self.history.kind.is_record() {
                sent.records.len() as u64
            } else {
                sent.bytes
            };
            if let Some(next) = self.expected.0[writer] {
                let gap = (end % MODULUS + MODULUS - next % MODULUS) % MODULUS;
                self.gap(gap, writer, next);
            }
        }
        if let (true, Some(lost)) = (self.complete, lost) {
            let missing = self.missing;
            self.demand(missing % MODULUS == lost % MODULUS, LOST, || {
                format!("{missing} missing and {lost} lost, modulo {MODULUS}")
            });
        }
    }

    /// Checks that writes that must stay in one piece did.
    fn pieces(&mut self) {
        // Positions are known only if nothing can be missing.
        if self.history.may_lose() || self.history.kind.is_record() || !self.complete {
            return;
        }
        let mut at = [0; 4];
        let mut before = None;
        for (writer, len) in std::mem::take(&mut self.order) {
            if let Some(other) = before.filter(|before| *before != writer) {
                let place: u64 = at[other];
                let pieces = self
                    .writers
                    .get(other)
                    .map(|other: &Writer| &other.pieces[..]);
                let torn = pieces
                    .unwrap_or_default()
                    .iter()
                    .find(|(begin, end)| (begin + 1..*end).contains(&place));
                if let Some(torn) = torn.copied() {
                    self.demand(
                        false,
                        "a write of up to PIPE_BUF bytes is contiguous",
                        || {
                            format!(
                                "{torn:?} of writer {other} is interrupted by {writer} at {place}"
                            )
                        },
                    );
                    return;
                }
            }
            at[writer] += len;
            before = Some(writer);
        }
    }
}

/// Checks what several readers have received together, whose order is not known.
fn as_a_whole(
    history: &History,
    writers: &[Writer],
    group: &Group<'_>,
    complaints: &mut Complaints,
) {
    if group
        .reads
        .iter()
        .any(|event| event.flags.has(Flags::JOINED) && event.bytes() > 0)
    {
        return;
    }
    let mut received = [[0_u64; MODULUS as usize]; 4];
    let mut count = |run: Run| {
        for place in 0..MODULUS {
            // How far behind the beginning of the run this place is.
            let behind = (place + MODULUS - run.place) % MODULUS;
            let times = run.len / MODULUS + u64::from(behind < run.len % MODULUS);
            received[run.actor][place as usize] += times;
        }
    };
    let first_of = |record: &[u8]| {
        let (actor, place) = origin(*record.first()?)?;
        Some(Run {
            actor,
            place,
            len: 1,
        })
    };
    for event in &group.reads {
        if !history.kind.is_record() {
            runs(&event.data).map_while(|run| run).for_each(&mut count);
        } else if event.flags.has(Flags::HEADERS) {
            let records = batch(&event.data).unwrap_or_default();
            let firsts = records.iter().filter_map(|(_, payload)| first_of(payload));
            firsts.for_each(&mut count);
        } else {
            first_of(&event.data).into_iter().for_each(&mut count);
        }
    }
    for (writer, sent) in writers.iter().enumerate() {
        let sent = if history.kind.is_record() {
            sent.records.len() as u64
        } else {
            sent.bytes
        };
        for place in 0..MODULUS {
            let expected = sent / MODULUS + u64::from(place < sent % MODULUS);
            let found = received[writer][place as usize];
            complaints.demand(found == expected, ORDER, || {
                format!(
                    "of writer {writer}, place {place} (mod {MODULUS}): {found} received by all \
                     readers together, {expected} sent"
                )
            });
        }
    }
}
