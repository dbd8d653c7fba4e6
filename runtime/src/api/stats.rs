//! How have runs fared? By status and by how long they took, over time.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use jiff::Timestamp;

use super::auth::Caller;
use super::extract::QueryParams;
use super::wire::{Bucket, ProblemBody, RunStats, time, words};
use super::{Api, Problem};
use crate::store::{RunFilter, RunTimes};

/// So many of the newest runs are looked at, so that the question costs the same however many there are.
const MAX_SAMPLE: u32 = 10_000;
/// Parts of the time that is asked for.
const BUCKETS: i64 = 48;

/// How many of the newest runs are of each status, whatever statuses the filter asks for.
pub async fn counts(api: &Api, filter: &RunFilter) -> Result<BTreeMap<String, u64>, Problem> {
    let filter = RunFilter { limit: MAX_SAMPLE, ..filter.clone() };
    let mut counts = BTreeMap::new();
    for run in api.store.sample_runs(&filter).await? {
        *counts.entry(run.status.as_str().to_owned()).or_default() += 1;
    }
    Ok(counts)
}

/// Show how runs fared over time
///
/// Of the newest 10,000 runs that were created in the last `span`: how many of each status, and how long they took.
#[utoipa::path(get, path = "/runs/stats", operation_id = "show_run_stats", tag = "runs",
    params(("app" = inline(Option<words::AppName>), Query, description = "Only runs of this app"),
        ("span" = inline(Option<words::Span>), Query)),
    responses((status = 200, body = RunStats), (status = 404, body = ProblemBody)))]
pub async fn stats(
    State(api): State<Api>,
    Extension(caller): Extension<Caller>,
    mut query: QueryParams,
) -> Result<Json<RunStats>, Problem> {
    let app = query.text("app")?;
    let span = query.take("span", "`1h`, `24h`, `7d` or `30d`", span)?.unwrap_or(Duration::from_hours(24));
    query.finish()?;
    if let Some(app) = &app {
        caller.check_app(app)?;
        api.store.find_app(app).await?;
    }
    let now = api.store.now().await?;
    let from = now.saturating_sub(span).unwrap_or(Timestamp::UNIX_EPOCH);
    let filter =
        RunFilter { app, among: caller.apps(), created_from: Some(from), limit: MAX_SAMPLE, ..RunFilter::default() };
    let sample = api.store.sample_runs(&filter).await?;
    Ok(Json(RunStats { buckets: buckets(&sample, from, span) }))
}

fn span(word: &str) -> Option<Duration> {
    Some(match word {
        "1h" => Duration::from_hours(1),
        "24h" => Duration::from_hours(24),
        "7d" => Duration::from_hours(7 * 24),
        "30d" => Duration::from_hours(30 * 24),
        _ => return None,
    })
}

fn buckets(sample: &[RunTimes], from: Timestamp, span: Duration) -> Vec<Bucket> {
    let width = (i64::try_from(span.as_millis()).unwrap_or(i64::MAX) / BUCKETS).max(1);
    let mut parts = vec![(BTreeMap::<String, u64>::new(), Vec::new()); BUCKETS as usize];
    for run in sample {
        let place = (run.created_at.as_millisecond() - from.as_millisecond()) / width;
        // What was created while this was asked belongs to the last one.
        let (counts, took) = &mut parts[usize::try_from(place.clamp(0, BUCKETS - 1)).unwrap_or_default()];
        *counts.entry(run.status.as_str().to_owned()).or_default() += 1;
        if let (Some(started), Some(ended)) = (run.started_at, run.ended_at) {
            took.push(u64::try_from(ended.as_millisecond() - started.as_millisecond()).unwrap_or_default());
        }
    }
    let start = |place: usize| Timestamp::from_millisecond(from.as_millisecond() + place as i64 * width);
    parts
        .into_iter()
        .enumerate()
        .map(|(place, (counts, mut took))| {
            took.sort_unstable();
            let part = |hundredths: usize| took.get((took.len() * hundredths / 100).min(took.len().saturating_sub(1)));
            let start_at = time(start(place).unwrap_or(from));
            Bucket { start_at, counts, p50_ms: part(50).copied(), p95_ms: part(95).copied() }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Status;

    #[test]
    fn runs_are_told_where_they_were_created() {
        let at = |ms| Timestamp::from_millisecond(ms).expect("a time");
        let run = |created, took: Option<i64>| RunTimes {
            status: if took.is_some() { Status::Exited } else { Status::Running },
            created_at: at(created),
            started_at: Some(at(created)),
            ended_at: took.map(|took| at(created + took)),
        };
        let span = Duration::from_millis(4800);
        let sample = [run(5_850, Some(40)), run(1_150, Some(10)), run(1_100, Some(30)), run(1_000, None)];
        let told = buckets(&sample, at(1_000), span);
        assert_eq!(told.len(), 48);
        assert_eq!(told[0].counts, BTreeMap::from([("running".to_owned(), 1)]));
        assert_eq!((told[0].p50_ms, told[0].p95_ms), (None, None));
        assert_eq!((told[1].counts["exited"], told[1].p50_ms, told[1].p95_ms), (2, Some(30), Some(30)));
        assert_eq!((told[47].counts["exited"], told[47].p50_ms), (1, Some(40)), "later than the last one");
        assert_eq!(told[1].start_at, "1970-01-01T00:00:01.100Z");
    }
}
