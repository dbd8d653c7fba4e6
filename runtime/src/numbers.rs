//! How is a number told that bounds something? Each module tells its own, `relume doctor --limits` and SECURITY.md all of
//! them. Pure.

use std::time::Duration;

/// A number that bounds what a program, a caller or an upload can make grow, wait or loop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number {
    /// The row of SECURITY.md's table, or the requirement: `V9`.
    pub source: &'static str,
    /// What it bounds.
    pub about: String,
    /// With its unit.
    pub value: String,
    /// Who said it: `built in` if nobody can say anything else.
    pub from: String,
}

/// One that nobody can set.
pub fn fixed(source: &'static str, about: impl Into<String>, value: impl Into<String>) -> Number {
    Number { source, about: about.into(), value: value.into(), from: "built in".into() }
}

/// A count, in groups of three digits: `100,000`.
pub fn count(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut grouped = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes, in the largest unit that leaves a whole number: `64 MiB`, `255 bytes`.
pub fn bytes(number: impl TryInto<u64>) -> String {
    let number = number.try_into().unwrap_or(u64::MAX);
    for (unit, name) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if number >= unit && number.is_multiple_of(unit) {
            return format!("{} {name}", count(number / unit));
        }
    }
    format!("{} bytes", count(number))
}

/// A length of time: `10 ms`, `120 s`.
pub fn time(length: Duration) -> String {
    match length.subsec_millis() {
        0 => format!("{} s", count(length.as_secs())),
        _ => format!("{} ms", count(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_in_units_that_people_read() {
        assert_eq!((count(7_u64), count(999_u64)), ("7".into(), "999".into()));
        assert_eq!((count(100_000_u64), count(1_000_000_000_000_u64)), ("100,000".into(), "1,000,000,000,000".into()));
        assert_eq!((bytes(64_u64 << 20), bytes(2_u64 << 30)), ("64 MiB".into(), "2 GiB".into()));
        assert_eq!((bytes((4_u64 << 20) + (64 << 10)), bytes(255_u64)), ("4,160 KiB".into(), "255 bytes".into()));
        assert_eq!((time(Duration::from_millis(10)), time(Duration::from_secs(120))), ("10 ms".into(), "120 s".into()));
    }
}
