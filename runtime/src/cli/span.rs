//! How are lengths of time written and read? `in 1 min 30 s`, and `90d`.

use std::time::Duration;

use jiff::Timestamp;

/// The units from the longest on, with how long they are in seconds.
const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)];

/// A length in its two largest units: `1 min 30 s`.
pub fn length(span: Duration) -> String {
    let seconds = span.as_secs();
    let first = UNITS.iter().position(|(_, size)| seconds >= *size).unwrap_or(UNITS.len() - 1);
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (unit, size) in UNITS.iter().skip(first).take(2) {
        let count = rest / size;
        rest %= size;
        if count > 0 || parts.is_empty() {
            parts.push(format!("{count} {unit}"));
        }
    }
    parts.join(" ")
}

/// How long it is until the moment that the API wrote, by this machine's clock: `in 12 s`, or `now`.
pub fn countdown(at: &str, now: Timestamp) -> Option<String> {
    let left = at.parse::<Timestamp>().ok()?.duration_since(now);
    let left = Duration::try_from(left).unwrap_or_default();
    // Rounded up: what is due in half a second is not due now.
    let left = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    Some(if left == 0 { "now".into() } else { format!("in {}", length(Duration::from_secs(left))) })
}

/// The moment and how long it is until then.
pub fn moment(at: &str) -> String {
    match countdown(at, Timestamp::now()) {
        Some(left) => format!("{at}, {left}"),
        None => at.to_owned(),
    }
}

/// What was typed, in seconds: `90d`, `12h`, `30m`, `3600s`.
pub fn parse_seconds(text: &str) -> Result<u64, String> {
    let wrong = || "write it as 90d, 12h, 30m or 3600s".to_owned();
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let size = match unit {
        'd' => 86_400,
        'h' => 3600,
        'm' => 60,
        's' => 1,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    count.checked_mul(size).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_has_two_units_at_most() {
        let check = |seconds, expected: &str| assert_eq!(length(Duration::from_secs(seconds)), expected);
        check(0, "0 s");
        check(59, "59 s");
        check(60, "1 min");
        check(90, "1 min 30 s");
        check(3600, "1 h");
        check(3659, "1 h");
        check(86_400 + 7200 + 60, "1 d 2 h");
    }

    #[test]
    fn a_countdown_ends_with_now() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let check = |now: &str, expected: &str| {
            assert_eq!(countdown("2026-01-01T00:00:10.000Z", at(now)).as_deref(), Some(expected));
        };
        check("2026-01-01T00:00:00.000Z", "in 10 s");
        check("2026-01-01T00:00:09.500Z", "in 1 s");
        check("2026-01-01T00:00:10.000Z", "now");
        check("2026-01-01T00:01:00.000Z", "now");
        assert_eq!(countdown("soon", at("2026-01-01T00:00:00Z")), None);
    }

    #[test]
    fn a_length_is_read_with_its_unit() {
        for (text, seconds) in [("90d", 7_776_000), ("12h", 43_200), ("30m", 1800), ("3600s", 3600)] {
            assert_eq!(parse_seconds(text), Ok(seconds));
        }
        for text in ["", "90", "d", "-1d", "1.5h", "1 h", "99999999999999999999d", "9999999999999999999d", "1ä"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
