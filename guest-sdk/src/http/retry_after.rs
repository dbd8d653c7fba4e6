//! What an answer says about when to ask again. Source: RFC 9110, 10.2.3 (`Retry-After`) and 5.6.7 (dates).

use std::time::Duration;

use ::http::StatusCode;

use super::Response;

/// The wait that a 429 or 503 asks for by `Retry-After`: so many seconds, or until a date. Dates are counted from the
/// answer's own `Date`, which every server with a clock sends, so that no two clocks have to agree.
pub(super) fn of(response: &Response) -> Option<Duration> {
    if !matches!(response.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let value = response.header("Retry-After")?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let sent_at = since_1970(response.header("Date")?.trim())?;
    Some(since_1970(value)?.saturating_sub(sent_at))
}

/// The moment of `Sun, 06 Nov 1994 08:49:37 GMT`, the one form that servers may send today.
fn since_1970(date: &str) -> Option<Duration> {
    let mut parts = date.split_once(", ")?.1.split_ascii_whitespace();
    let day = number(parts.next()?, 1, 31)?;
    let month = MONTHS.iter().position(|month| Some(*month) == parts.clone().next()).map(|month| month as u64)?;
    let year = number(parts.nth(1)?, 1970, 9999)?;
    let mut clock = parts.next()?.split(':');
    let (hour, minute, second) =
        (number(clock.next()?, 0, 23)?, number(clock.next()?, 0, 59)?, number(clock.next()?, 0, 60)?);
    (parts.next() == Some("GMT")).then_some(())?;

    // Years are counted from March, so that the day a leap year has more is the last of the one before.
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day;
    Some(Duration::from_secs((days - DAYS_TO_1970) * 86_400 + hour * 3_600 + minute * 60 + second))
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// What the days above come to on the day before 1 January 1970, when none had passed.
const DAYS_TO_1970: u64 = 719_469;

fn number(digits: &str, least: u64, most: u64) -> Option<u64> {
    digits.parse().ok().filter(|number| (least..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use ::http::Method;

    use super::*;

    fn wait(status: u16, headers: &[(&str, &str)]) -> Option<u64> {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
        let status = StatusCode::from_u16(status).expect("it is one");
        let url = "http://shop/charge".to_owned();
        of(&Response { method: Method::POST, url, status, headers, body: vec![] }).map(|wait| wait.as_secs())
    }

    #[test] // R23
    fn seconds_are_taken_as_they_are() {
        assert_eq!(wait(429, &[("retry-after", "120")]), Some(120));
        assert_eq!(wait(503, &[("retry-after", " 0 ")]), Some(0));
        assert_eq!((wait(503, &[]), wait(503, &[("retry-after", "soon")])), (None, None));
        assert_eq!(wait(500, &[("retry-after", "120")]), None);
    }

    #[test] // R23
    fn a_date_is_counted_from_the_date_of_the_answer() {
        let until = ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(wait(503, &[until, ("date", "Sat, 05 Nov 1994 08:49:00 GMT")]), Some(86_437));
        assert_eq!(wait(503, &[until, ("date", "Mon, 07 Nov 1994 08:49:00 GMT")]), Some(0));
        assert_eq!(wait(503, &[until]), None);
    }

    #[test]
    fn dates_are_what_the_calendar_says() {
        let seconds = |date| since_1970(date).map(|since| since.as_secs());
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(seconds("Tue, 29 Feb 2000 00:00:00 GMT"), Some(951_782_400));
        assert_eq!(seconds("Wed, 01 Mar 2000 00:00:00 GMT"), Some(951_868_800));
        assert_eq!(seconds("Fri, 31 Dec 9999 23:59:59 GMT"), Some(253_402_300_799));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["", "soon", "Sun, 06 Nov 1994", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(since_1970(text), None, "{text}");
        }
        assert_eq!(since_1970("Sun, 06 Foo 1994 08:49:37 GMT"), None);
    }
}
