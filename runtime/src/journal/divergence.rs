//! The first difference between a program and its journal, told so that a person can act on it.

use std::fmt;

use crate::store::{EntryKind, JournalEntry};

/// How much of what a call was given is shown.
const SHOWN_BYTES: usize = 240;

/// A call that a program makes of its journal, as far as a replay has to make the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub kind: EntryKind,
    pub name: String,
    /// Which use of the name, from 1.
    pub occurrence: u32,
    /// What it was given.
    pub request: Vec<u8>,
}

impl Call {
    /// The call that an entry records.
    pub fn of(entry: &JournalEntry) -> Call {
        let JournalEntry { kind, name, occurrence, request, .. } = entry;
        Call { kind: *kind, name: name.clone(), occurrence: *occurrence, request: request.clone() }
    }

    /// What kind of call it is, without its name.
    pub fn what(&self) -> &'static str {
        match self.kind {
            EntryKind::Step => "a step",
            EntryKind::Sleep => "a sleep",
            EntryKind::Now => "a reading of the clock",
            EntryKind::Event => "an event",
            EntryKind::Child => "the app of a child",
            EntryKind::Result => "a child",
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Call { kind, name, occurrence, .. } = self;
        match kind {
            EntryKind::Step => write!(f, "step `{name}`")?,
            EntryKind::Sleep => write!(f, "a sleep")?,
            EntryKind::Now => write!(f, "a reading of the clock")?,
            EntryKind::Event => write!(f, "a wait for event `{name}`")?,
            EntryKind::Child => write!(f, "the start of a run of `{name}`")?,
            EntryKind::Result => write!(f, "a wait for the end of `{name}`")?,
        }
        if *occurrence > 1 {
            write!(f, ", use {occurrence}")?;
        }
        Ok(())
    }
}

/// The program made another call than the journal holds at this place. Ends the attempt `divergence`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Divergence {
    /// The place, from 1.
    pub seq: u32,
    pub recorded: Call,
    /// `None`: the program came to its end.
    pub made: Option<Call>,
    /// The app's version that recorded the entry.
    pub recorded_version: u32,
    /// The app's version that runs.
    pub version: u32,
}

impl Divergence {
    fn difference(&self) -> String {
        let recorded = &self.recorded;
        let Some(made) = &self.made else {
            return "the program ended, and the journal goes on".to_owned();
        };
        if recorded.kind != made.kind || recorded.name != made.name {
            return "it is another call".to_owned();
        }
        if recorded.occurrence != made.occurrence {
            let (then, now) = (recorded.occurrence, made.occurrence);
            return format!("it is use {now} of that name, and was use {then}");
        }
        let (then, now) = (shown(&recorded.request, &made.request), shown(&made.request, &recorded.request));
        format!("what it is given\n    then: {then}\n    now:  {now}")
    }

    fn advice(&self) -> String {
        if self.recorded_version == self.version {
            return "the same version took another way, so it decides by something that no step recorded: the number of \
                    the attempt, a secret, or the network outside steps. Read that inside a step"
                .to_owned();
        }
        let (then, now) = (self.recorded_version, self.version);
        format!(
            "retry the run on v{then} (`relume runs retry APP#N --version v{then}`), or make v{now} take the old way up to \
             here: keep the calls in their order, and give a step that means something else a new name behind them"
        )
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Divergence { seq, recorded, made, recorded_version, version } = self;
        writeln!(f, "the program took another way than its journal, at entry {seq}")?;
        writeln!(f, "  journal (v{recorded_version}): {recorded}")?;
        match made {
            Some(made) => writeln!(f, "  program (v{version}): {made}")?,
            None => writeln!(f, "  program (v{version}): its end")?,
        }
        writeln!(f, "  difference: {}", self.difference())?;
        write!(f, "what to do: {}", self.advice())
    }
}

/// The part of `text` around the first place where it differs from `other`.
fn shown(text: &[u8], other: &[u8]) -> String {
    let same = text.iter().zip(other).take_while(|(a, b)| a == b).count();
    let start = if text.len() <= SHOWN_BYTES { 0 } else { same.saturating_sub(SHOWN_BYTES / 4) };
    let end = text.len().min(start.saturating_add(SHOWN_BYTES));
    let part = String::from_utf8_lossy(text.get(start..end).unwrap_or_default());
    // What would disturb a terminal is escaped; the quotes of JSON stay as they are.
    let shown = part.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'");
    let (before, after) = (if start > 0 { "..." } else { "" }, if end < text.len() { "..." } else { "" });
    if text.is_empty() { "nothing".to_owned() } else { format!("{before}{shown}{after}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, request: &str) -> Call {
        Call { kind: EntryKind::Step, name: name.to_owned(), occurrence: 1, request: request.into() }
    }

    fn report(recorded: Call, made: Option<Call>, version: u32) -> String {
        Divergence { seq: 3, recorded, made, recorded_version: 1, version }.to_string()
    }

    #[test] // R20
    fn the_report_says_where_what_and_what_next() {
        let report = report(call("charge", ""), Some(call("ship", "")), 2);
        assert_eq!(
            report,
            "the program took another way than its journal, at entry 3\n  \
             journal (v1): step `charge`\n  program (v2): step `ship`\n  difference: it is another call\n\
             what to do: retry the run on v1 (`relume runs retry APP#N --version v1`), or make v2 take the old way up to \
             here: keep the calls in their order, and give a step that means something else a new name behind them"
        );
    }

    #[test] // R20
    fn of_long_arguments_the_place_of_the_difference_is_shown() {
        let (then, now) = (format!("{}1{}", "a".repeat(500), "b".repeat(500)), format!("{}2", "a".repeat(500)));
        let report = report(call("charge", &then), Some(call("charge", &now)), 1);
        assert!(report.contains("a1b") && report.contains("a2") && report.len() < 1500, "{report}");
        assert!(report.contains("by something that no step recorded"), "{report}");
    }

    #[test] // R20
    fn json_is_shown_as_it_is_and_what_disturbs_a_terminal_is_not() {
        let report = report(call("charge", "[\"a\",1]"), Some(call("charge", "[\"\u{1b}[31m\n\",2]")), 2);
        assert!(report.contains("then: [\"a\",1]\n"), "{report}");
        assert!(report.contains("now:  [\"\\u{1b}[31m\\n\",2]\n"), "{report}");
    }

    #[test] // R20
    fn an_early_end_is_a_difference() {
        assert!(report(call("charge", ""), None, 1).contains("program (v1): its end"));
    }
}
