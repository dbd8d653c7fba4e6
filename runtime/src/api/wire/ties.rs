//! The shapes of what ties a run to others and to the world: what it waits for, where it comes from, what it is told,
//! and how it is run again.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{VersionRef, payload, time, words};
use crate::store;

/// What a parked run waits for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WaitingOn {
    #[schema(value_type = words::WaitKind)]
    pub kind: String,
    /// Of the step, the event, or the child (`app#7`); `sleep` for a sleep.
    pub name: String,
    /// Until when at the latest; null is for ever.
    #[schema(required = true, format = DateTime)]
    pub until: Option<String>,
}

impl From<store::WaitingOn> for WaitingOn {
    fn from(waiting: store::WaitingOn) -> WaitingOn {
        WaitingOn { kind: waiting.kind.as_str().into(), name: waiting.name, until: waiting.until.map(time) }
    }
}

/// Another run.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunName {
    pub run_id: Uuid,
    pub app: String,
    pub number: i64,
    /// As people write it: `app#7`.
    pub run: String,
}

impl From<store::RunName> for RunName {
    fn from(name: store::RunName) -> RunName {
        let run = format!("{}#{}", name.app, name.number);
        RunName { run_id: name.run_id, app: name.app, number: name.number, run }
    }
}

/// Where a forked run comes from.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ForkedFrom {
    pub run_id: Uuid,
    pub app: String,
    pub number: i64,
    /// As people write it: `app#7`.
    pub run: String,
    /// The first entry of the journal that was not taken over.
    pub from_step: u32,
}

impl From<store::Fork> for ForkedFrom {
    fn from(fork: store::Fork) -> ForkedFrom {
        let RunName { run_id, app, number, run } = fork.run.into();
        ForkedFrom { run_id, app, number, run, from_step: fork.from_seq }
    }
}

/// Something a run was told.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Event {
    pub event_id: Uuid,
    pub name: String,
    #[schema(value_type = Value)]
    pub payload: Box<RawValue>,
    /// Instead of `payload`, which is null then, where that is JSON which not every parser reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub payload_base64: Option<String>,
    #[schema(format = DateTime)]
    pub sent_at: String,
    /// The journal entry that has it; null until it is delivered.
    #[schema(required = true)]
    pub delivered_seq: Option<u32>,
}

impl From<store::Event> for Event {
    fn from(event: store::Event) -> Event {
        let (payload, payload_base64) = payload(Some(event.payload));
        Event {
            event_id: event.event_id,
            name: event.name,
            payload,
            payload_base64,
            sent_at: time(event.sent_at),
            delivered_seq: event.delivered_seq,
        }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventOnly {
    pub event: Event,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// The first one first.
    pub events: Vec<Event>,
    /// For `?after=`; null when these were the last for now.
    #[serde(default)]
    #[schema(required = true)]
    pub next_after: Option<Uuid>,
}

/// `POST /v1/apps/{app}/runs/{number}/retry`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRun {
    /// Without it the one that the run has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionRef>,
}

/// `POST /v1/apps/{app}/runs/{number}/fork`.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ForkRun {
    /// The first entry of the journal that is not taken over: 1 takes over none.
    #[schema(nullable = false, required = true, minimum = 1, maximum = 2147483647)]
    pub from_step: Option<u32>,
    /// Without it the one that the run has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionRef>,
}
