// SPDX-License-Identifier: GPL-2.0

//! Quantities as people read them.

use std::time::Duration;

/// Bytes in at most five characters: exactly where that is short, else rounded down, so that what
/// is not yet full does not look full.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
    let mut unit = 0;
    // The unit in which there are fewer than 1024.
    while bytes >> (10 * unit) >= 1024 {
        unit += 1;
    }
    let (name, shift) = (UNITS[unit], 10 * unit);
    let whole = bytes >> shift;
    let rest = bytes - (whole << shift);
    if rest == 0 || whole >= 100 {
        return format!("{whole}{name}");
    }
    // Tenths of the unit; 10 times the rest has 64 bits, as the rest has at most 60.
    format!("{whole}.{}{name}", (rest * 10) >> shift)
}

/// A delay in the largest unit of which it has one.
pub(crate) fn delay(delay: Duration) -> String {
    // That is how Debug shows durations, but with a micro sign.
    format!("{delay:?}").replace('\u{b5}', "u")
}

/// So many a second, or what stands for "not known yet".
pub(crate) fn rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".into(),
        Some(rate) if rate > 0.0 && rate < 9.95 => format!("{rate:.1}"),
        Some(rate) => format!("{rate:.0}"),
    }
}

/// So many bytes a second.
pub(crate) fn size_rate(rate: Option<f64>) -> String {
    match rate {
        None => "-".into(),
        // A cast from a float saturates.
        Some(rate) => size(rate.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_or_rounded_down() {
        for (bytes, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1K"),
            (1536, "1.5K"),
            (262_144, "256K"),
            (262_143, "255K"),
            (10_239, "9.9K"),
            (1 << 20, "1M"),
            ((1 << 20) - 1, "1023K"),
            (u64::MAX, "15.9E"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn delays_are_ascii() {
        assert_eq!(delay(Duration::from_micros(500)), "500us");
        assert_eq!(delay(Duration::from_millis(1500)), "1.5s");
    }

    #[test]
    fn rates_have_a_digit_more_when_they_are_small() {
        assert_eq!(rate(None), "-");
        assert_eq!(rate(Some(0.0)), "0");
        assert_eq!(rate(Some(0.25)), "0.2");
        assert_eq!(rate(Some(9.94)), "9.9");
        assert_eq!(rate(Some(9.95)), "10");
        assert_eq!(rate(Some(9.96)), "10");
        assert_eq!(rate(Some(123_456.7)), "123457");
        assert_eq!(size_rate(None), "-");
        assert_eq!(size_rate(Some(2048.2)), "2K");
        assert_eq!(size_rate(Some(f64::INFINITY)), "15.9E");
    }
}
