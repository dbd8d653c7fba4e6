//! The shapes of the JSON that goes over the wire. Names are Tower's where Tower has them; the
//! CLI reads the same structs. Times are RFC 3339.

mod apps;
mod capabilities;
mod calls;
mod keys;
mod limits;
mod records;
mod runs;
mod schedules;
mod start;
mod ties;
mod watched;
pub mod words;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

pub use self::apps::*;
pub use self::calls::*;
pub use self::capabilities::*;
pub use self::keys::*;
pub use self::limits::*;
pub use self::records::*;
pub use self::runs::*;
pub use self::schedules::*;
pub use self::start::*;
pub use self::ties::*;
pub use self::watched::*;

/// A moment in UTC with milliseconds, which is what people compare.
pub fn time(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// RFC 9457, with our `code`, `field` and `hint`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub field: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub hint: Option<String>,
    /// The hint once more, where Tower's clients look for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorDetail>,
}

/// What to do about the field at fault.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub location: Option<String>,
}

/// Which part of a list this is, and where it goes on.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Pages {
    pub page_size: u32,
    /// For `?cursor=`, where a list takes that; null at the end.
    #[schema(required = true)]
    pub next_cursor: Option<String>,
    /// From 1; 0 is the whole list. Absent when the page was asked for by `cursor` or `limit`, like the next two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub page: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub num_pages: Option<u64>,
    /// Of all pages together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub total: Option<u64>,
}

/// Tells a null from a field that is not there.
pub fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// Bytes as JSON, or else as base64 and a null.
pub fn payload(bytes: Option<Vec<u8>>) -> (Box<RawValue>, Option<String>) {
    let null = RawValue::NULL.to_owned();
    let Some(bytes) = bytes else { return (null, None) };
    match serde_json::from_slice(&bytes) {
        Ok(json) if depth(&bytes) <= MAX_DEPTH && serde_json::from_slice::<Strict>(&bytes).is_ok() => (json, None),
        _ => (null, Some(BASE64.encode(&bytes))),
    }
}

/// Deeper JSON from a guest breaks the parsers of those who read it. Source: V10.
const MAX_DEPTH: usize = 100;

/// How deep valid JSON is nested.
fn depth(json: &[u8]) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// JSON that every parser reads: some valid JSON is not, as it holds half of a surrogate pair, or a number that is out
/// of range. Source: V10.
struct Strict;

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strict, D::Error> {
        deserializer.deserialize_any(Strict)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Strict;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_str<E>(self, _: &str) -> Result<Strict, E> {
        Ok(Strict)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Strict, A::Error> {
        while items.next_element::<Strict>()?.is_some() {}
        Ok(Strict)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Strict, A::Error> {
        while entries.next_entry::<Strict, Strict>()?.is_some() {}
        Ok(Strict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_long_as_each_other() {
        let at = |milliseconds| time(Timestamp::from_millisecond(milliseconds).expect("in range"));
        assert_eq!((at(0).as_str(), at(810).as_str()), ("1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.810Z"));
    }

    #[test]
    fn a_payload_is_json_or_base64() {
        let check = |bytes: &[u8], json: &str, base64: Option<&str>| {
            let (shown, encoded) = payload(Some(bytes.to_vec()));
            assert_eq!((shown.get(), encoded.as_deref()), (json, base64));
        };
        check(b"{\"b\":1.50,\"a\":2}", "{\"b\":1.50,\"a\":2}", None);
        check(b"hi", "null", Some("aGk="));
        check(b"\xff", "null", Some("/w=="));
        check(b"[1e999]", "null", Some("WzFlOTk5XQ=="));
        check(b"{\"\\ud800\":0}", "null", Some("eyJcdWQ4MDAiOjB9"));
        check(b"{\"\\u0000\":[null,true,-1.5,{}]}", "{\"\\u0000\":[null,true,-1.5,{}]}", None);
        assert!(payload(None).1.is_none());
    }

    #[test] // V10
    fn deep_json_is_not_embedded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth)).into_bytes();
        assert!(payload(Some(nested(100))).1.is_none());
        assert!(payload(Some(nested(101))).1.is_some());
        assert!(payload(Some(nested(1_000_000))).1.is_some());
        assert_eq!(depth(br#"["[[\"[[", {"a": "]"}]"#), 2);
    }
}
