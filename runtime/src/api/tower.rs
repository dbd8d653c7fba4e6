//! What do Tower's clients need to be told otherwise? They are used unmodified (R13), and know paths
//! that are not here: [`instead_of`] says what is.
//!
//! Their command line was made for runs that take seconds to start. It asks for the run until that
//! is `running`, takes every status but `pending` and `scheduled` for an end, then follows the log
//! and asks again twice a second how the run ended. A run of milliseconds would be over before
//! its first look. So it, and nobody else, sees the end of a run a moment later.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use jiff::Timestamp;

use crate::run::Status;
use crate::store::Run;

/// For how long the end of a run is kept from it: it looks twice a second.
const HIDES_END_FOR: Duration = Duration::from_secs(1);
/// For how long after its end the log stays open: until it has looked once more.
pub const FOLLOWS_FOR: Duration = Duration::from_millis(1700);

/// What to do instead, for a path of Tower's API that leads nowhere here.
pub fn instead_of(path: &str) -> Option<&'static str> {
    let parts: Vec<_> = path.strip_prefix("/v1/")?.split('/').collect();
    Some(match parts.as_slice() {
        ["apps", _, "deploy"] => "an app is a WebAssembly component: `relume deploy app.wasm` uploads it",
        ["secrets", "export"] => {
            "what a secret holds is told to the programs that name it in their manifest, and no more"
        }
        ["environments", ..] | ["secrets", "environments"] | ["apps", _, "environments", ..] => {
            "there is one environment, `default`"
        }
        ["session" | "login" | "accounts" | "user" | "whoami" | "api-keys" | "service-accounts", ..] => {
            "there are no accounts, only tokens: `relume tokens create NAME` makes one"
        }
        ["teams" | "team-invites" | "organizations" | "guests" | "plan" | "usage", ..] => {
            "there are no teams: whoever has a token of this server uses it"
        }
        ["catalogs" | "storage" | "sandbox", ..] => {
            "there are no catalogs: give a program what it needs as parameters and secrets"
        }
        ["alerts" | "webhooks" | "shouldertaps", ..] => "nobody is called: ask `GET /v1/runs?status=crashed`",
        ["runners", ..] => "`relume worker` starts a worker",
        ["stats", ..] => "count what `GET /v1/runs` lists",
        _ => return None,
    })
}

/// Whether Tower's command line asks.
pub fn is_asking(headers: &HeaderMap) -> bool {
    headers.get(USER_AGENT).is_some_and(|agent| agent == "Tower CLI")
}

/// The run as it is told to Tower's command line.
pub fn as_told(run: Run, now: Timestamp) -> Run {
    let ended_now = run.ended_at.is_some_and(|at| now.duration_since(at).unsigned_abs() < HIDES_END_FOR);
    match run.status {
        Status::Starting => Run { status: Status::Pending, ..run },
        Status::Retrying => Run { status: Status::Running, ..run },
        Status::Exited | Status::Crashed | Status::Errored if ended_now => {
            Run { status: Status::Running, ended_at: None, ended_because: None, ..run }
        }
        _ => run,
    }
}
