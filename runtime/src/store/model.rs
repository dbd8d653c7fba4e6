//! What the store takes and returns. Rows and statements have their own shapes, next to them.

mod journal;
mod runs;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::manifest::{Settings, SomeLimits};
use crate::retry::RetryPolicy;

pub use self::journal::*;
pub use self::runs::*;
pub use self::work::*;

/// An app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct App {
    pub name: String,
    /// The version a run takes unless it names one; `None` before the first upload.
    pub active_version: Option<u32>,
    pub policy: RetryPolicy,
    /// For people.
    pub description: String,
    /// No run is started, and no attempt retried. Source: R8.
    pub disabled: bool,
    /// Copied onto runs when they are started; see [`NewRun::timeouts`].
    pub timeouts: Timeouts,
    /// Copied onto runs when they are started.
    pub limits: SomeLimits,
    /// Rises with every change, uploads included.
    pub revision: i64,
    pub created_at: Timestamp,
    /// Of its active schedules, the one whose tick comes first.
    pub next_tick: Option<Tick>,
}

/// When a schedule starts its next run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tick {
    pub cron: String,
    pub at: Timestamp,
}

/// How long a run may wait for a worker, and how long each of its attempts may run. `None` is
/// without end; the version's own limit of running time holds beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// In whole seconds, from when the run is due.
    pub pending: Option<Duration>,
    /// In whole seconds.
    pub running: Option<Duration>,
}

/// What to change of an app; `None` is left as it is.
#[derive(Debug, Clone, Default)]
pub struct AppChange {
    pub description: Option<String>,
    pub disabled: Option<bool>,
    pub policy: Option<RetryPolicy>,
    /// `Some(None)` takes the timeout away.
    pub pending_timeout: Option<Option<Duration>>,
    pub running_timeout: Option<Option<Duration>>,
    /// All of them; those that are not there are taken back.
    pub limits: Option<SomeLimits>,
    /// One of its versions, for runs that name none.
    pub active_version: Option<u32>,
}

/// Which apps to list, and in which order.
#[derive(Debug, Clone, Default)]
pub struct AppFilter {
    /// Part of the name.
    pub query: Option<String>,
    pub only: Option<OnlyApps>,
    /// Only these.
    pub among: Option<Vec<String>>,
    pub sort: AppSort,
    pub limit: u32,
    pub offset: u32,
}

/// Which apps to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlyApps {
    Enabled,
    Disabled,
    /// With an active run.
    Running,
    /// With an active schedule.
    Scheduled,
}

/// In which order to list apps; the newest first where it is about time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AppSort {
    #[default]
    Name,
    CreatedAt,
    UpdatedAt,
    MostRecentRun,
}

/// An upload to be stored as a version.
#[derive(Debug, Clone, Default)]
pub struct Upload {
    /// The component's sha256, in lower-case hexadecimal.
    pub digest: String,
    pub component: Vec<u8>,
    pub settings: Settings,
    /// Becomes the app's policy, if there.
    pub policy: Option<RetryPolicy>,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
    /// Only if this is the active version, or 0 and there is none; `None` is whatever is active.
    pub only_over: Option<u32>,
}

/// One immutable upload of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub app: String,
    /// From 1 for each app.
    pub number: u32,
    pub digest: String,
    pub size_bytes: u64,
    pub settings: Settings,
    /// The interfaces that the component imports; `None` of a version from before they were kept.
    pub imports: Option<Vec<String>>,
    pub created_at: Timestamp,
}

/// A token to be kept.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// The public part, by which it is looked up.
    pub token_id: String,
    pub name: String,
    /// sha256 of the secret part.
    pub secret_hash: Vec<u8>,
    /// What it may do, as `api` spells it.
    pub scopes: String,
    /// The apps that it may use; `None` is every app.
    pub apps: Option<Vec<String>>,
    /// It is valid for so long; `None` is until it is revoked.
    pub valid_for: Option<Duration>,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub token_id: String,
    pub name: String,
    /// What it may do, as `api` spells it.
    pub scopes: String,
    /// The apps that it may use; `None` is every app.
    pub apps: Option<Vec<String>>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// Runs of an app at the times that a cron expression names. Source: R45.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    pub schedule_id: Uuid,
    /// Unique.
    pub name: String,
    pub app: String,
    pub settings: ScheduleSettings,
    pub app_is_disabled: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// The tick that comes next, or is due; of no meaning while the schedule is paused.
    pub next_tick_at: Timestamp,
    pub last_tick_at: Option<Timestamp>,
}

/// What can be changed of a schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleSettings {
    pub cron: String,
    /// The name of a time zone, as in `Europe/London`.
    pub timezone: String,
    /// A tick starts no run while the run of an earlier one is active.
    pub skips_overlap: bool,
    pub is_paused: bool,
    pub parameters: BTreeMap<String, String>,
}

/// What is known of a secret without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    pub name: String,
    /// A few characters of it, by which people know which one it is.
    pub preview: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A secret to be kept.
#[derive(Debug, Clone)]
pub struct NewSecret {
    pub name: String,
    /// Encrypted by whoever holds the key.
    pub sealed: Vec<u8>,
    pub preview: String,
}
