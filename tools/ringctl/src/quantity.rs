// SPDX-License-Identifier: GPL-2.0

//! Quantities as people write them on the command line.

use std::time::Duration;

/// How many bytes `text` says: a number, with K, M, G or T for powers of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KIB" => 10,
        "M" | "MIB" => 20,
        "G" | "GIB" => 30,
        "T" | "TIB" => 40,
        _ => return Err(not_a_size()),
    };
    let number: u64 = plain_number(digits).ok_or_else(not_a_size)?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "that is more than 64 bits can count".into())
}

fn not_a_size() -> String {
    "a size is a number of bytes, or one with K, M, G or T, such as 64K".into()
}

/// A number without a sign, which `u64::from_str` would take.
fn plain_number(digits: &str) -> Option<u64> {
    digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| digits.parse().ok())?
}

/// How long `text` says: a number with ns, us, ms or s.
pub(crate) fn parse_delay(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let nanoseconds: u64 = match &text[digits.len()..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => return Err(not_a_delay()),
    };
    plain_number(digits)
        .and_then(|number| number.checked_mul(nanoseconds))
        .map(Duration::from_nanos)
        .ok_or_else(not_a_delay)
}

fn not_a_delay() -> String {
    "a time is a number with ns, us, ms or s, such as 10ms".into()
}

/// An interval in seconds, such as 0.5. Shorter than a hundredth would only be a load.
pub(crate) fn parse_seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|interval| *interval >= Duration::from_millis(10))
        .ok_or_else(|| "an interval is a number of seconds, at least 0.01".into())
}

/// Permission bits in octal.
pub(crate) fn parse_mode(text: &str) -> Result<u32, String> {
    plain_number(text)
        .and_then(|_| u32::from_str_radix(text, 8).ok())
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "a mode is an octal number up to 0777, such as 0644".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64K", 65_536),
            ("64k", 65_536),
            ("64KiB", 65_536),
            ("12B", 12),
            ("1M", 1 << 20),
            ("3G", 3 << 30),
            ("1T", 1 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "+1",
            "1.5K",
            "64 K",
            "64KB",
            "0x10",
            "4ä",
            "ä",
            "99999999T",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn delays() {
        assert_eq!(parse_delay("10ms"), Ok(Duration::from_millis(10)));
        assert_eq!(parse_delay("500us"), Ok(Duration::from_micros(500)));
        assert_eq!(parse_delay("7ns"), Ok(Duration::from_nanos(7)));
        assert_eq!(parse_delay("60s"), Ok(Duration::from_secs(60)));
        for text in ["", "10", "ms", "1.5s", "-1s", "1m", "99999999999s"] {
            assert!(parse_delay(text).is_err(), "{text}");
        }
    }

    #[test]
    fn intervals() {
        assert_eq!(parse_seconds("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for text in ["", "0", "-1", "inf", "NaN", "1e30", "0.001"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn modes() {
        assert_eq!(parse_mode("644"), Ok(0o644));
        assert_eq!(parse_mode("0600"), Ok(0o600));
        for text in ["", "8", "+7", "1000", "rw"] {
            assert!(parse_mode(text).is_err(), "{text}");
        }
    }
}
