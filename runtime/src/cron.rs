//! When does a schedule tick? A cron expression in a time zone, and the moments it names. Nothing
//! here reads a clock. Source: R45.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::manifest::InvalidField;

/// Longer expressions are no help to anybody.
const MAX_BYTES: usize = 200;

/// A cron expression in a time zone.
pub struct Ticks {
    cron: Cron,
    timezone: TimeZone,
}

impl Ticks {
    /// Reads an expression of five fields, or of six with the seconds first, or a word such as
    /// `@daily`; and the name of a time zone. The error names the field `cron` or `timezone`.
    pub fn parse(expression: &str, timezone: &str) -> Result<Ticks, InvalidField> {
        let wrong = |why: String| InvalidField::new("cron", format!("`{expression}` is no cron expression: {why}"));
        if expression.len() > MAX_BYTES {
            return Err(InvalidField::new("cron", format!("a cron expression has at most {MAX_BYTES} bytes")));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|error| wrong(in_our_words(&error.to_string())))?;
        let timezone = TimeZone::get(timezone).map_err(|_| {
            InvalidField::new("timezone", format!("`{timezone}` is no time zone: write it as `UTC` or `Europe/London`"))
        })?;
        let ticks = Ticks { cron, timezone };
        match ticks.after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(ticks),
            None => Err(wrong("it names no moment".into())),
        }
    }

    /// The first tick after `at`. A tick that falls into the hour that a time zone skips comes
    /// when that hour is over.
    pub fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let next = self.cron.find_next_occurrence(&at.to_zoned(self.timezone.clone()), false);
        next.ok().map(|next| next.timestamp()).filter(|next| *next > at)
    }
}

/// What the library says, as the end of a sentence.
fn in_our_words(error: &str) -> String {
    let (_, why) = error.rsplit_once(": ").unwrap_or(("", error));
    why.trim_end_matches('.').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, timezone: &str, from: &str, expected: &[&str]) {
        let ticks = Ticks::parse(expression, timezone).expect("it is one");
        let mut at: Timestamp = from.parse().expect("a moment");
        for expected in expected {
            at = ticks.after(at).expect("there is another");
            assert_eq!(at.to_string(), *expected, "{expression} {timezone}");
        }
    }

    #[test] // R45
    fn a_tick_is_by_the_clock_of_its_time_zone() {
        let noon = "2026-03-01T12:00:00Z";
        check("0 9 * * *", "UTC", noon, &["2026-03-02T09:00:00Z", "2026-03-03T09:00:00Z"]);
        check("0 9 * * *", "America/New_York", noon, &["2026-03-01T14:00:00Z"]);
        check("*/15 * * * *", "UTC", noon, &["2026-03-01T12:15:00Z", "2026-03-01T12:30:00Z"]);
        check("*/20 * * * * *", "UTC", noon, &["2026-03-01T12:00:20Z", "2026-03-01T12:00:40Z"]);
        check("@daily", "UTC", noon, &["2026-03-02T00:00:00Z"]);
        check("0 0 * * MON", "UTC", noon, &["2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"]);
    }

    #[test] // R45
    fn a_day_without_or_with_two_of_an_hour_has_one_daily_tick() {
        check("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
        check("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
    }

    #[test] // R45
    fn what_is_no_expression_is_refused_by_its_field() {
        let field = |expression: &str, timezone| Ticks::parse(expression, timezone).err().map(|error| error.field);
        for expression in ["", "x", "* * * *", "60 * * * *", "* * * * * * *", "0 0 30 2 *", &"* ".repeat(300)] {
            assert_eq!(field(expression, "UTC").as_deref(), Some("cron"), "{expression}");
        }
        for timezone in ["", "Mars/Base", "../etc/passwd", "UTC\0"] {
            assert_eq!(field("@daily", timezone).as_deref(), Some("timezone"), "{timezone}");
        }
    }
}
