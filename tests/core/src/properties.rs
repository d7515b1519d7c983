// SPDX-License-Identifier: GPL-2.0

//! Arbitrary sequences of steps, from positions that are about to wrap.
//!
//! The sequences are the same in every run. `PROPTEST_RNG_SEED=N PROPTEST_CASES=N` try others.

use crate::{
    model::{Model, Step, Waiting},
    ring::Capacity,
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
    // Small ones are full and empty often. The watermark is the whole of the first, half of the
    // second, and a quarter from the third on.
    let bytes = prop_oneof![Just(4096), Just(8192), Just(16384), Just(65536)];
    bytes.prop_map(|bytes| Capacity::new(bytes, 4096).unwrap())
}

/// Positions that wrap, or that pass the end of 32 bits, within the first few steps.
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

fn waiting() -> impl Strategy<Value = Waiting> {
    any::<[bool; 3]>().prop_map(|[sleepers, pollers, every_edge]| Waiting {
        sleepers,
        pollers,
        every_edge,
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let write = (lengths(), lengths(), parts()).prop_map(|(a, b, publish)| Step::Write {
        least: a.min(b),
        most: a.max(b),
        publish,
    });
    let atomic_write = (1..4097usize, parts()).prop_map(|(len, publish)| Step::Write {
        least: len,
        most: len,
        publish,
    });
    let read = (lengths(), parts()).prop_map(|(most, release)| Step::Read { most, release });
    let wait =
        (waiting(), waiting()).prop_map(|(readers, writers)| Step::Wait { readers, writers });
    prop_oneof![
        4 => write,
        4 => atomic_write,
        8 => read,
        1 => Just(Step::WriterLeaves),
        1 => Just(Step::ReaderLeaves),
        2 => wait,
    ]
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn ring_agrees_with_model(
        capacity in capacities(),
        start in starts(),
        steps in prop::collection::vec(steps(), 1..100),
    ) {
        let mut model = Model::new(capacity, start);
        for step in steps {
            model.step(step);
        }
        model.drain();
    }
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
            prop_assert!(capacity.writer_watermark() <= capacity.bytes());
            prop_assert!(capacity.writer_watermark() >= Capacity::ATOMIC_WRITE);
        }
    }

    #[test]
    fn offset_is_position_modulo_capacity(capacity in capacities(), position: u64) {
        prop_assert_eq!(capacity.offset(position) as u64, position % capacity.bytes() as u64);
    }
}
