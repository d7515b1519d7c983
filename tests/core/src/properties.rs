// SPDX-License-Identifier: GPL-2.0

//! Arbitrary sequences of steps, from positions that are about to wrap.
//!
//! The sequences are the same in every run. `PROPTEST_RNG_SEED=N PROPTEST_CASES=N cargo test -p
//! ring-core-tests` tries others; the lab does not pass these variables on.

use crate::{
    model::{End, Model, Read, Step, Waiting, Write},
    ring::{Attributes, Capacity, Delivery, Framing, Full, Header},
};
use proptest::{prelude::*, test_runner::RngSeed};

fn config(cases: u32) -> ProptestConfig {
    let mut config = ProptestConfig::default();
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(0);
        config.cases = cases;
    }
    config.failure_persistence = None;
    config
}

fn capacities() -> impl Strategy<Value = Capacity> {
    // Small ones are full and empty often. The watermark of a stream is the whole of the first,
    // half of the second, and a quarter from the third on.
    let bytes = prop_oneof![4 => Just(4096), 2 => Just(8192), 2 => Just(16384), 1 => Just(65536)];
    bytes.prop_map(|bytes| Capacity::new(bytes, 4096).unwrap())
}

/// Positions that wrap, or that pass the end of 32 or of 63 bits, within the first few steps.
fn starts() -> impl Strategy<Value = u64> {
    let wraps = prop_oneof![Just(0u64), Just(1 << 32), Just(1 << 63)];
    (wraps, prop_oneof![Just(0), 0..20_000u64]).prop_map(|(at, below)| at.wrapping_sub(below))
}

/// Lengths around everything that has a meaning.
fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![
        4 => 1..100usize,
        4 => 1..5000usize,
        1 => 4095..4098usize,
        1 => 1..80_000usize,
        1 => Just(usize::MAX),
    ]
}

fn parts() -> impl Strategy<Value = Option<usize>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(0)),
        3 => lengths().prop_map(Some),
        5 => Just(Some(usize::MAX)),
    ]
}

fn most_often() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.8)
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Oldest), Just(End::Newest)]
}

fn waiting() -> impl Strategy<Value = Waiting> {
    any::<[bool; 3]>().prop_map(|[sleepers, pollers, every_edge]| Waiting {
        sleepers,
        pollers,
        every_edge,
    })
}

fn writes(framing: Framing) -> BoxedStrategy<Write> {
    match framing {
        Framing::Stream => {
            let any = (lengths(), lengths(), parts()).prop_map(|(a, b, publish)| Write::Bytes {
                least: a.min(b),
                most: a.max(b),
                publish,
            });
            let atomic = (1..4097usize, parts()).prop_map(|(len, publish)| Write::Bytes {
                least: len,
                most: len,
                publish,
            });
            prop_oneof![any, atomic].boxed()
        }
        Framing::Record => {
            let length = prop_oneof![
                3 => 0..64u32,
                3 => 0..1025u32,
                // Longer ones are cut to a quarter of the ring.
                1 => Just(u32::MAX),
            ];
            (length, most_often())
                .prop_map(|(length, publish)| Write::Record { length, publish })
                .boxed()
        }
    }
}

fn reads(framing: Framing) -> BoxedStrategy<Read> {
    match framing {
        Framing::Stream => (lengths(), parts())
            .prop_map(|(most, release)| Read::Bytes { most, release })
            .boxed(),
        Framing::Record => (prop_oneof![Just(0), lengths()], most_often(), any::<bool>())
            .prop_map(|(most, release, told)| Read::Records {
                most,
                release: release.then_some(told),
            })
            .boxed(),
    }
}

fn steps(framing: Framing) -> impl Strategy<Value = Step> {
    let reader = || 0..4usize;
    let read = (
        reader(),
        reads(framing),
        prop::option::weighted(0.3, writes(framing)),
    )
        .prop_map(|(reader, read, meanwhile)| Step::Read {
            reader,
            read,
            meanwhile,
        });
    let wait =
        (waiting(), waiting()).prop_map(|(readers, writers)| Step::Wait { readers, writers });
    prop_oneof![
        16 => writes(framing).prop_map(Step::Write),
        16 => read,
        2 => Just(Step::WriterLeaves),
        2 => Just(Step::ReaderLeaves),
        4 => wait,
        3 => Just(Step::Join),
        2 => reader().prop_map(|reader| Step::Part { reader }),
        2 => (reader(), ends()).prop_map(|(reader, to)| Step::Seek { reader, to }),
        2 => Just(Step::Clear),
        2 => reader().prop_map(|reader| Step::Ask { reader }),
        1 => capacities().prop_map(Step::Resize),
    ]
}

/// A test for each kind of ring, which takes any steps and compares with the model.
macro_rules! agrees_with_model {
    ($($name:ident: $framing:ident, $full:ident, $delivery:ident;)*) => {
        proptest! {
            #![proptest_config(config(100))]
            $(
                #[test]
                fn $name(
                    capacity in capacities(),
                    start in starts(),
                    steps in prop::collection::vec(steps(Framing::$framing), 1..100),
                ) {
                    let attributes = Attributes {
                        framing: Framing::$framing,
                        full: Full::$full,
                        delivery: Delivery::$delivery,
                        hangup: false,
                    };
                    let start = match attributes.framing {
                        Framing::Stream => start,
                        // Headers are aligned.
                        Framing::Record => start & !7,
                    };
                    let model = Model::new(attributes, capacity, start);
                    for step in steps {
                        model.step(step);
                    }
                    model.drain();
                }
            )*
        }
    };
}

agrees_with_model! {
    stream_block_shared: Stream, Block, Shared;
    stream_block_broadcast: Stream, Block, Broadcast;
    stream_drop_shared: Stream, Drop, Shared;
    stream_drop_broadcast: Stream, Drop, Broadcast;
    stream_overwrite_shared: Stream, Overwrite, Shared;
    stream_overwrite_broadcast: Stream, Overwrite, Broadcast;
    record_block_shared: Record, Block, Shared;
    record_block_broadcast: Record, Block, Broadcast;
    record_drop_shared: Record, Drop, Shared;
    record_drop_broadcast: Record, Drop, Broadcast;
    record_overwrite_shared: Record, Overwrite, Shared;
    record_overwrite_broadcast: Record, Overwrite, Broadcast;
}

proptest! {
    #![proptest_config(config(2000))]

    #[test]
    fn capacity_is_power_of_two_within_limits(
        bytes in prop_oneof![
            any::<u64>(),
            (0..64u32).prop_map(|bit| 1 << bit),
            (0..64u32).prop_map(|bit| (1 << bit) + 1),
            (0..64u32).prop_map(|bit| (1 << bit) - 1),
        ],
        page_bit in 12..17u32,
    ) {
        let page_size = 1 << page_bit;
        let expected = bytes.count_ones() == 1 && bytes >= page_size && bytes <= 1 << 30;
        let capacity = Capacity::new(bytes, page_size);
        prop_assert_eq!(capacity.is_some(), expected);
        if let Some(capacity) = capacity {
            prop_assert_eq!(capacity.bytes() as u64, bytes);
            let stream = Attributes::STREAM;
            let record = Attributes { framing: Framing::Record, ..stream };
            prop_assert!(stream.writer_watermark(capacity) <= capacity.bytes());
            prop_assert!(record.writer_watermark(capacity) <= capacity.bytes() / 2);
            for attributes in [stream, record] {
                prop_assert!(
                    attributes.writer_watermark(capacity) >= attributes.max_needed(capacity)
                );
            }
            prop_assert_eq!(stream.max_needed(capacity), Capacity::ATOMIC_WRITE);
            let longest = Header::stored(capacity.max_record() as u32);
            prop_assert_eq!(record.max_needed(capacity) as u64, longest);
        }
    }

}
