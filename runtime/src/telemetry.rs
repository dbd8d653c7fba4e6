//! What is counted, and how is it told? The names of all numbers, and what each means; [`Metrics`] adds them up, in a
//! process that has an address to tell them at. Whoever counts calls the facade `metrics`, which does nothing in another.
//!
//! No name or label is chosen by a caller or a guest: what is counted stays small, and tells no secret.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

pub const RUNS_CLAIMED: &str = "relume_runs_claimed_total";
pub const ATTEMPTS_ENDED: &str = "relume_attempts_ended_total";
pub const ATTEMPTS_RUNNING: &str = "relume_attempts_running";
pub const SLOTS: &str = "relume_slots";
pub const CLAIM_SECONDS: &str = "relume_claim_seconds";
pub const JOURNAL_ENTRIES: &str = "relume_journal_entries_total";
pub const JOURNAL_FLUSH_SECONDS: &str = "relume_journal_flush_seconds";
pub const LOG_LINES: &str = "relume_log_lines_total";
pub const LOG_LINES_DROPPED: &str = "relume_log_lines_dropped_total";
pub const EGRESS_CALLS: &str = "relume_egress_calls_total";
pub const EGRESS_REFUSED: &str = "relume_egress_refused_total";
pub const CODE_LOADED: &str = "relume_code_loaded_total";
pub const STORE_ERRORS: &str = "relume_store_errors_total";
pub const API_REQUESTS: &str = "relume_api_requests_total";
pub const API_REQUEST_SECONDS: &str = "relume_api_request_seconds";
pub const API_LIMITED: &str = "relume_api_limited_total";
pub const API_CONNECTIONS: &str = "relume_api_connections";
pub const UPLOADS: &str = "relume_uploads_total";

/// What kind of number it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// Every number, with its labels where it has any.
pub const ALL: [(Kind, &str, &str); 18] = [
    (Kind::Counter, RUNS_CLAIMED, "Runs that this worker has claimed"),
    (Kind::Counter, ATTEMPTS_ENDED, "Attempts that came to their end here, by `verdict` and `kind` of failure"),
    (Kind::Gauge, ATTEMPTS_RUNNING, "Attempts that are executed at the moment"),
    (Kind::Gauge, SLOTS, "Attempts that this worker executes at the same time at most"),
    (Kind::Histogram, CLAIM_SECONDS, "How long the database took to hand out runs"),
    (Kind::Counter, JOURNAL_ENTRIES, "Journal entries that were committed"),
    (Kind::Histogram, JOURNAL_FLUSH_SECONDS, "How long the database took to commit journal entries"),
    (Kind::Counter, LOG_LINES, "Lines of programs that were kept"),
    (Kind::Counter, LOG_LINES_DROPPED, "Lines of programs that were over a limit"),
    (Kind::Counter, EGRESS_CALLS, "HTTP requests of programs, refused ones included"),
    (Kind::Counter, EGRESS_REFUSED, "HTTP requests of programs that were refused"),
    (
        Kind::Counter,
        CODE_LOADED,
        "Compiled apps that were asked for, by where they came `from`: memory, disk, compiler",
    ),
    (Kind::Counter, STORE_ERRORS, "Failures of the database, by `kind`: unavailable, fault"),
    (Kind::Counter, API_REQUESTS, "Requests to the API, by `method`, `route` and `status`"),
    (Kind::Histogram, API_REQUEST_SECONDS, "How long the API took to begin its answers, by `route`"),
    (Kind::Counter, API_LIMITED, "Requests and connections that were over a limit, by `limit`"),
    (Kind::Gauge, API_CONNECTIONS, "Open connections to the API"),
    (Kind::Counter, UPLOADS, "Uploads, by `outcome`: accepted, refused"),
];

/// From half a millisecond, which a commit takes, to half a minute, at which the database gives up.
const BUCKETS_SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The numbers of this process. Clones tell the same.
#[derive(Clone)]
pub struct Metrics {
    recorder: PrometheusHandle,
}

impl Metrics {
    /// Counts from now on. Once in a process: a second time is an error, and what is counted is told by the first.
    pub fn start() -> anyhow::Result<Metrics> {
        let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS_SECONDS)?.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| anyhow::anyhow!("another part of the process counts"))?;
        for (kind, name, text) in ALL {
            match kind {
                Kind::Counter => metrics::describe_counter!(name, text),
                Kind::Gauge => metrics::describe_gauge!(name, text),
                Kind::Histogram => metrics::describe_histogram!(name, text),
            }
        }
        Ok(Metrics { recorder: handle })
    }

    /// In the text format of Prometheus, which is a request's whole answer.
    pub fn text(&self) -> String {
        self.recorder.render()
    }

    /// Adds up what has been measured since; without it that would stay in memory one by one.
    pub fn add_up(&self) {
        self.recorder.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_says_what_it_counts_and_in_which_unit() {
        let names: BTreeSet<_> = ALL.iter().map(|(_, name, _)| *name).collect();
        assert_eq!(names.len(), ALL.len());
        for (kind, name, text) in ALL {
            assert!(name.starts_with("relume_") && !text.is_empty() && !text.ends_with('.'), "{name}");
            assert_eq!(kind == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(kind == Kind::Histogram, name.ends_with("_seconds"), "{name}");
        }
    }
}
