//! The shapes of what is watched: workers, the queue, lists and runs as they change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Pages, Reason, Run, Step, time};
use crate::store;

/// A worker that lives.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Worker {
    pub worker_id: Uuid,
    /// As in `host:pid`.
    pub name: String,
    /// Runs that it can execute at the same time.
    pub slots: u64,
    /// Runs that it executes.
    pub held: u64,
    #[schema(format = DateTime)]
    pub started_at: String,
    /// When it is taken for lost, unless it renews its session.
    #[schema(format = DateTime)]
    pub expires_at: String,
}

impl From<store::LiveWorker> for Worker {
    fn from(worker: store::LiveWorker) -> Worker {
        Worker {
            worker_id: worker.worker_id,
            name: worker.name,
            slots: worker.slots,
            held: worker.held,
            started_at: time(worker.started_at),
            expires_at: time(worker.expires_at),
        }
    }
}

/// What waits for workers, and what they have.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DueRuns {
    /// Runs that wait for a worker.
    pub due: u64,
    /// Since when the one that has waited longest is due.
    #[schema(required = true, format = DateTime)]
    pub oldest_due_at: Option<String>,
    /// Runs that the workers can execute at the same time.
    pub slots: u64,
    /// Runs that they execute.
    pub held: u64,
}

impl DueRuns {
    pub fn new(due: store::DueRuns, slots: u64, held: u64) -> DueRuns {
        DueRuns { due: due.count, oldest_due_at: due.oldest_at.map(time), slots, held }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Database {
    /// `PostgreSQL` or `SQLite`.
    pub kind: String,
    /// How long it took to answer.
    pub answers_in_ms: u64,
}

/// The workers, what waits for them, and how the database is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkersState {
    pub workers: Vec<Worker>,
    pub queue: DueRuns,
    pub database: Database,
}

/// What a stream of states consists of, for the document.
#[derive(ToSchema)]
pub struct StateEvent {
    /// Which it is.
    pub event: String,
    /// JSON, as the stream says for each event.
    pub data: String,
}

/// A page of runs, and how many of each status there are among the newest 10,000.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunsState {
    pub runs: Vec<Run>,
    pub pages: Pages,
    pub counts: BTreeMap<String, u64>,
}

/// A run, and why it is where it is, the most important reason first.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunState {
    pub run: Run,
    pub reasons: Vec<Reason>,
}

/// What stands behind the entry `after` of a journal, in place of what stood there before.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChangedSteps {
    pub after: u32,
    pub steps: Vec<Step>,
}

/// How runs fared over time, the oldest part of it first.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct RunStats {
    pub buckets: Vec<Bucket>,
}

/// The runs that were created in one part of the time.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Bucket {
    #[schema(format = DateTime)]
    pub start_at: String,
    /// How many of each status.
    pub counts: BTreeMap<String, u64>,
    /// How long half of those that have ended took at most.
    #[schema(required = true)]
    pub p50_ms: Option<u64>,
    /// The same of 95 in 100.
    #[schema(required = true)]
    pub p95_ms: Option<u64>,
}
