//! The journal, and what a run is told from outside: events, and the ends of its children.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Usage;
use crate::run::{Failure, Status};

/// What a journal entry is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EntryKind {
    /// A step.
    Step,
    /// A sleep, until a moment.
    Sleep,
    /// A reading of the clock.
    Now,
    /// A wait for an event.
    Event,
    /// The start of a child.
    Child,
    /// A wait for a child's end.
    Result,
}

impl EntryKind {
    /// Every kind.
    pub const ALL: [EntryKind; 6] =
        [EntryKind::Step, EntryKind::Sleep, EntryKind::Now, EntryKind::Event, EntryKind::Child, EntryKind::Result];

    /// The word used on disk, in the API and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            EntryKind::Step => "step",
            EntryKind::Sleep => "sleep",
            EntryKind::Now => "now",
            EntryKind::Event => "event",
            EntryKind::Child => "child",
            EntryKind::Result => "result",
        }
    }

    /// The kind that `word` names.
    pub fn from_word(word: &str) -> Option<EntryKind> {
        EntryKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// One entry of a run's journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// From 1 for each run, without gaps.
    pub seq: u32,
    /// The attempt that wrote it last.
    pub attempt: u32,
    /// The app's version that wrote it last.
    pub version: u32,
    pub kind: EntryKind,
    /// Of the step, the event, the child's app or the child (`app#7`); `sleep` and `now` for those.
    pub name: String,
    /// Which use of the name for the kind, from 1. Source: R20.
    pub occurrence: u32,
    /// What the call was given, as far as a replay has to give the same: a child's input, the length of a
    /// sleep, what a step says it was given. Empty if nothing.
    pub request: Vec<u8>,
    pub state: EntryState,
    /// How often the step came to an end in the attempt `attempt`.
    pub tries: u32,
    /// How often it did in earlier attempts.
    pub tries_before: u32,
    /// When a wait is over: of a step that is to be executed again, a sleep, an event with a timeout.
    pub due: Option<Due>,
    /// How long the step's body took, over all tries.
    pub took: Duration,
    /// What the step used up, over all tries.
    pub usage: Usage,
    /// How many seeds the step's hash maps were given: a replay gives out as many, so that later maps iterate as they did.
    pub seeds: u32,
    /// By the database's clock. Set when the entry is read; ignored when it is written.
    #[serde(with = "crate::store::moments")]
    pub recorded_at: Timestamp,
}

/// When something is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Due {
    /// So long after the entry is recorded. What is read is always a moment.
    After(Duration),
    At(#[serde(with = "crate::store::moments")] Timestamp),
}

/// How the call of an entry stands. The last three are final.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryState {
    /// The step that is executed at most once has begun. Source: R41.
    Begun,
    /// The step failed last with this message, and is to be executed again, when it is due.
    Again(String),
    /// The run waits for something.
    Waiting,
    /// With this result.
    Finished(Vec<u8>),
    /// With this message. An event that did not come in time, and a child that failed, end so.
    Failed(String),
    /// It was to be executed at most once, and whether it ended is unknown. Source: R41.
    Indeterminate,
}

impl JournalEntry {
    /// How many bytes it holds: what the call was given, and what came of it.
    pub fn weight(&self) -> u64 {
        let result = match &self.state {
            EntryState::Finished(output) => output.len(),
            EntryState::Failed(message) | EntryState::Again(message) => message.len(),
            EntryState::Begun | EntryState::Waiting | EntryState::Indeterminate => 0,
        };
        result.saturating_add(self.request.len()) as u64
    }
}

impl EntryState {
    /// Whether the entry will never be another.
    pub fn is_final(&self) -> bool {
        matches!(self, EntryState::Finished(_) | EntryState::Failed(_) | EntryState::Indeterminate)
    }

    /// The word used on disk, in the API and on screen.
    pub fn as_str(&self) -> &'static str {
        match self {
            EntryState::Begun => "begun",
            EntryState::Again(_) => "again",
            EntryState::Waiting => "waiting",
            EntryState::Finished(_) => "finished",
            EntryState::Failed(_) => "failed",
            EntryState::Indeterminate => "indeterminate",
        }
    }
}

/// That an entry was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    #[serde(with = "crate::store::moments")]
    pub at: Timestamp,
    /// When what it waits for is due.
    #[serde(with = "crate::store::moments::option")]
    pub due_at: Option<Timestamp>,
}

/// What a look for an event found. Source: R42.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbox {
    /// See [`Park::signals`].
    pub signals: i64,
    /// Its payload, if there is one.
    pub event: Option<Vec<u8>>,
    /// By the database's clock: when the entry that waited for the event was finished with it.
    #[serde(with = "crate::store::moments")]
    pub now: Timestamp,
}

/// What a look at a child found. Source: R43.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildState {
    /// As for [`Inbox::signals`]: of the parent.
    pub signals: i64,
    /// Of the child, if the run is one of the parent's children.
    pub status: Status,
    pub failure: Option<Failure>,
    /// What it returned, once it is final.
    pub output: Option<Vec<u8>>,
}

/// Something a run is told. Source: R42.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub event_id: Uuid,
    pub name: String,
    pub payload: Vec<u8>,
    pub sent_at: Timestamp,
    /// The journal entry that has it, once it is delivered.
    pub delivered_seq: Option<u32>,
}

/// An event to be sent.
#[derive(Debug, Clone, Default)]
pub struct NewEvent {
    pub name: String,
    pub payload: Vec<u8>,
    /// Events with the same key to the same run are one event. Source: R44.
    pub key: Option<String>,
}
