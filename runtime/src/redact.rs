//! Where does a secret show? A [`Redactor`] knows the secrets of one run in every form in which a program writes
//! them down without meaning to, and finds them in what it prints, says and records. Pure. Source: V12.
//!
//! It is a net against accidents. A program that is given a secret can always tell it in a form that is not here.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// A shorter secret, or line of one, cannot be told from ordinary text.
pub const MIN_BYTES: usize = 8;

/// Finds the secrets of one run. Clones share what they know.
#[derive(Clone, Default)]
pub struct Redactor {
    /// `None` where there is nothing to be found: such a run pays nothing.
    known: Option<Arc<Known>>,
}

struct Known {
    forms: AhoCorasick,
    /// Of each form, which secret it is of.
    owners: Vec<usize>,
    names: Vec<String>,
    longest_bytes: usize,
}

impl Redactor {
    /// Knows none.
    pub const fn none() -> Redactor {
        Redactor { known: None }
    }

    /// Knows these secrets, each a name and what it holds.
    pub fn new(secrets: &[(String, String)]) -> Redactor {
        let (mut forms, mut owners, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
        for (owner, (_, value)) in secrets.iter().enumerate() {
            for form in pieces(value).into_iter().flat_map(forms_of) {
                if seen.insert(form.clone()) {
                    forms.push(form);
                    owners.push(owner);
                }
            }
        }
        let longest_bytes = forms.iter().map(Vec::len).max().unwrap_or(0);
        // Compact, and as fast for secrets of 32 KiB as for others.
        let mut builder = AhoCorasick::builder();
        builder.match_kind(MatchKind::LeftmostLongest).kind(Some(AhoCorasickKind::ContiguousNFA));
        let names = secrets.iter().map(|(name, _)| name.clone()).collect();
        match builder.build(&forms) {
            Ok(forms) if longest_bytes > 0 => {
                Redactor { known: Some(Arc::new(Known { forms, owners, names, longest_bytes })) }
            }
            // None long enough; and of 2^31 bytes of forms, at which a build fails, an environment has no room.
            _ => Redactor::default(),
        }
    }

    /// The secret that shows in `bytes` first, by its name.
    pub fn find(&self, bytes: &[u8]) -> Option<&str> {
        let known = self.known.as_ref()?;
        known.forms.find(bytes).map(|found| known.name(found.pattern().as_usize()))
    }

    /// The text with `[secret NAME]` in the place of each secret.
    pub fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.find(text.as_bytes()).is_none() {
            return Cow::Borrowed(text);
        }
        // A form begins and ends between characters, but for those of text that is not UTF-8 either.
        Cow::Owned(String::from_utf8_lossy(&self.bytes(text.as_bytes(), usize::MAX)).into_owned())
    }

    /// The same of bytes, up to a place `end` before which a secret that begins is replaced as a whole.
    pub fn bytes<'a>(&self, bytes: &'a [u8], end: usize) -> Cow<'a, [u8]> {
        let end = end.min(bytes.len());
        let Some(known) = &self.known else { return Cow::Borrowed(&bytes[..end]) };
        let (mut clean, mut done) = (Vec::new(), 0);
        for found in known.forms.find_iter(bytes).take_while(|found| found.start() < end) {
            clean.extend_from_slice(&bytes[done..found.start()]);
            clean.extend_from_slice(format!("[secret {}]", known.name(found.pattern().as_usize())).as_bytes());
            done = found.end();
        }
        if done == 0 {
            return Cow::Borrowed(&bytes[..end]);
        }
        clean.extend_from_slice(bytes.get(done..end).unwrap_or_default());
        Cow::Owned(clean)
    }

    /// How far beyond a place a secret may reach that begins before it.
    pub fn reach_bytes(&self) -> usize {
        self.known.as_ref().map_or(0, |known| known.longest_bytes)
    }
}

impl Known {
    fn name(&self, form: usize) -> &str {
        self.owners.get(form).and_then(|owner| self.names.get(*owner)).map_or("", String::as_str)
    }
}

/// What is looked for: a value of one line, or each long line of a longer one, which is found then wherever the
/// whole is. The first and last line of a PEM text are no secret.
fn pieces(value: &str) -> Vec<&str> {
    let is_public = |line: &str| line.starts_with("-----BEGIN ") || line.starts_with("-----END ");
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= MIN_BYTES && !is_public(line));
    let lines: Vec<_> = lines.collect();
    if lines.is_empty() && value.len() >= MIN_BYTES { vec![value] } else { lines }
}

/// The ways in which programs write a text.
fn forms_of(piece: &str) -> Vec<Vec<u8>> {
    let bytes = piece.as_bytes();
    let mut forms = vec![piece.to_owned(), hex(bytes, false), hex(bytes, true)];
    forms.extend([json(piece, false), json(piece, true), json(piece, false).replace('/', "\\/")]);
    forms.push(piece.escape_debug().to_string());
    // Of the bytes that a URL may hold as they are, each library escapes some.
    for kept in ["-_.~", "-_.~!*'()", "", "-_.~/", "-_.*"] {
        forms.extend([false, true].map(|upper| percent(bytes, kept, upper, false)));
        forms.extend([false, true].map(|upper| percent(bytes, kept, upper, true)));
    }
    // And some people escape all of them.
    forms.push(bytes.iter().map(|byte| format!("%{byte:02X}")).collect());
    forms.push(bytes.iter().map(|byte| format!("%{byte:02x}")).collect());
    forms.extend([STANDARD.encode(bytes), STANDARD_NO_PAD.encode(bytes)]);
    forms.extend([URL_SAFE.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)]);
    // As a part of something larger, as in `base64(user:password)`: the characters that hold nothing else.
    for before in 1..3 {
        let shifted = [&[0; 2][..before], bytes].concat();
        let whole = shifted.len() * 8 / 6;
        let first = (before * 8).div_ceil(6);
        for text in [STANDARD_NO_PAD.encode(&shifted), URL_SAFE_NO_PAD.encode(&shifted)] {
            forms.push(text[first..whole].to_owned());
        }
    }
    let aligned = bytes.len() * 8 / 6;
    forms.extend([STANDARD_NO_PAD.encode(bytes), URL_SAFE_NO_PAD.encode(bytes)].map(|text| text[..aligned].to_owned()));
    forms.into_iter().map(String::into_bytes).collect()
}

fn hex(bytes: &[u8], upper: bool) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes all that is written to it.
        let _ = if upper { write!(text, "{byte:02X}") } else { write!(text, "{byte:02x}") };
        text
    })
}

/// As the inside of a JSON string; with `ascii` nothing else than ASCII.
fn json(text: &str, ascii: bool) -> String {
    let quoted = serde_json::to_string(text).unwrap_or_default();
    let inside = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
    if !ascii {
        return inside.to_owned();
    }
    let mut units = [0; 2];
    let escape = |character: char| match character {
        character if character.is_ascii() => character.to_string(),
        character => character.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect(),
    };
    inside.chars().map(escape).collect()
}

fn percent(bytes: &[u8], kept: &str, upper: bool, plus: bool) -> String {
    let write = |byte: &u8| match *byte {
        byte if byte.is_ascii_alphanumeric() || kept.as_bytes().contains(&byte) => char::from(byte).to_string(),
        b' ' if plus => "+".to_owned(),
        byte if upper => format!("%{byte:02X}"),
        byte => format!("%{byte:02x}"),
    };
    bytes.iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn redactor(secrets: &[(&str, &str)]) -> Redactor {
        Redactor::new(
            &secrets.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>(),
        )
    }

    const VALUE: &str = "p@ss \"w/rd\"\\ ü~'1";

    #[test] // V12
    fn a_secret_is_found_however_it_is_written() {
        let redactor = redactor(&[("OTHER", "something else"), ("KEY", VALUE)]);
        let forms = [
            VALUE.to_owned(),
            format!("{VALUE:?}"),
            serde_json::to_string(VALUE).expect("JSON"),
            "p@ss \\\"w/rd\\\"\\\\ \\u00fc~'1".to_owned(),
            "p%40ss%20%22w%2Frd%22%5C%20%C3%BC~%271".to_owned(),
            "p%40ss+%22w%2frd%22%5c+%c3%bc%7e%271".to_owned(),
            "p%40ss%20%22w/rd%22%5C%20%C3%BC~%271".to_owned(),
            STANDARD.encode(VALUE),
            URL_SAFE_NO_PAD.encode(VALUE),
            hex(VALUE.as_bytes(), false),
            hex(VALUE.as_bytes(), true),
            VALUE.bytes().map(|byte| format!("%{byte:02X}")).collect(),
        ];
        for form in forms {
            assert_eq!(redactor.find(form.as_bytes()), Some("KEY"), "{form}");
            let told = redactor.text(&form);
            assert_eq!(told.trim_matches('"'), "[secret KEY]", "{form}");
        }
        assert_eq!(redactor.find(b"nothing of it"), None);
    }

    #[test] // V12
    fn a_secret_within_base64_of_something_larger_is_found() {
        let redactor = redactor(&[("KEY", "correct horse battery")]);
        for before in ["", "a", "ab", "abc", "user:"] {
            for after in ["", "z", "zz", "zzz"] {
                let text = format!("{before}correct horse battery{after}");
                for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
                    let told = redactor.text(&encoded);
                    assert!(told.contains("[secret KEY]"), "{text}: {told}");
                    assert!(
                        told.len() < "[secret KEY]".len() + before.len() * 2 + after.len() * 2 + 6,
                        "{text}: {told}"
                    );
                }
            }
        }
    }

    #[test] // V12
    fn each_line_of_a_long_secret_is_one_and_short_ones_are_none() {
        let pem = "-----BEGIN KEY-----\nMIIEvQIBADANBg\n  kqhkiG9w0BAQ==\nab\n-----END KEY-----\n";
        let both = redactor(&[("PEM", pem), ("SHORT", "hunter2")]);
        assert_eq!(both.text(pem), "-----BEGIN KEY-----\n[secret PEM]\n  [secret PEM]\nab\n-----END KEY-----\n");
        assert_eq!(both.text("hunter2 -----BEGIN KEY-----"), "hunter2 -----BEGIN KEY-----");
        assert_eq!(both.find(STANDARD.encode(pem).as_bytes()), Some("PEM"), "the whole holds its lines");
        assert_eq!(Redactor::new(&[]).reach_bytes(), 0);
        assert_eq!(redactor(&[("SHORT", "hunter2")]).reach_bytes(), 0, "nothing is looked for");
        assert_eq!(redactor(&[("LINES", "a\nb\nc\nd\ne")]).find(b"xa\nb\nc\nd\ne"), Some("LINES"));
    }

    #[test] // V12
    fn of_two_that_begin_alike_the_longer_is_named() {
        let redactor = redactor(&[("A", "password"), ("B", "password-2")]);
        assert_eq!(redactor.text("password password-2 password-3"), "[secret A] [secret B] [secret A]-3");
    }

    proptest! {
        #[test] // V12
        fn nothing_of_a_secret_is_left_before_the_place_where_a_text_is_cut(
            secret in "[a-z]{8,20}", before in "[0-9]{0,30}", after in "[0-9]{0,30}", end in 0_usize..80
        ) {
            let redactor = redactor(&[("K", &secret)]);
            let text = format!("{before}{secret}{after}");
            let cut = redactor.bytes(text.as_bytes(), end).into_owned();
            let cut = String::from_utf8(cut).expect("it is text").replace("[secret K]", "");
            prop_assert!(!cut.contains(|c: char| c.is_ascii_lowercase()), "{cut}");
        }
    }
}
