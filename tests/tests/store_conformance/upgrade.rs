//! A database that an earlier release made, with runs in every state it knew, becomes one of this release.

use relume::retry::RetryPolicy;
use relume::run::{EndedBecause, FailureKind, Status};
use relume::store::*;
use relume_tests::sql;
use sha2::{Digest, Sha384};

use crate::bed::*;

/// What the migrator calls each migration, and its text for SQLite and for Postgres.
const MIGRATIONS: [(&str, &str, &str); 2] = [
    (
        "spine",
        include_str!("../../../runtime/migrations/sqlite/0001_spine.sql"),
        include_str!("../../../runtime/migrations/postgres/0001_spine.sql"),
    ),
    (
        "runs and schedules",
        include_str!("../../../runtime/migrations/sqlite/0002_runs_and_schedules.sql"),
        include_str!("../../../runtime/migrations/postgres/0002_runs_and_schedules.sql"),
    ),
];

fn migration(bed: &Bed, index: usize) -> &'static str {
    if bed.is_postgres() { MIGRATIONS[index].2 } else { MIGRATIONS[index].1 }
}

/// Numbers and statuses of the runs, with `worker_id`, `available_at`, `ended_at` and the number of attempts.
const RUNS: [(i64, &str, &str, &str, &str, i64); 8] = [
    (1, "pending", "null", "5", "null", 0),
    (2, "running", "WORKER", "null", "null", 1),
    (3, "running", "null", "6", "null", 1),
    (4, "retrying", "null", "7", "null", 1),
    (5, "exited", "null", "null", "9", 1),
    (6, "crashed", "null", "null", "9", 2),
    (7, "errored", "null", "null", "9", 1),
    (8, "cancelled", "null", "null", "9", 1),
];

fn id(bed: &Bed, number: i64) -> String {
    format!("{}'{number:032x}'", if bed.is_postgres() { "" } else { "x" })
}

/// The statements that make such a database, as the first release would have written them.
fn the_first_schema_with_data(bed: &Bed) -> String {
    let bytes = if bed.is_postgres() { "'\\x0102'" } else { "x'0102'" };
    let mut script = migration(bed, 0).to_owned();
    script += &begin_to_remember(bed);
    script += &remember(bed, 0);
    script += &format!(
        "insert into artifacts (digest, component, created_at) values ('{digest}', {bytes}, 1);
        insert into apps (name, active_version, last_version, last_run_number, max_retries, retry_delay_ms, created_at)
            values ('greet', 1, 1, 8, 3, 30000, 4);
        insert into versions (app, version, digest, size_bytes, settings, created_at)
            values ('greet', 1, '{digest}', 2, '{settings}', 1);
        insert into tokens (token_id, name, secret_hash, created_at) values ('t', 'first', {bytes}, 1);",
        digest = upload(1).digest,
        settings = serde_json::to_string(&upload(1).settings).expect("settings are JSON"),
    );
    let lock = if bed.is_postgres() { ("lock_key, ", "77, ") } else { ("", "") };
    script += &format!(
        "insert into workers (worker_id, name, {}started_at, expires_at) values ({}, 'old', {}1, 1);",
        lock.0,
        id(bed, 99),
        lock.1
    );
    for (number, status, worker, available_at, ended_at, attempts) in RUNS {
        let (run_id, worker) = (id(bed, number), worker.replace("WORKER", &id(bed, 99)));
        let num_attempts = if status == "retrying" { attempts + 1 } else { attempts.max(1) };
        script += &format!(
            "insert into runs (run_id, app, number, version, status, num_attempts, max_retries, retry_delay_ms,
                exponential, worker_id, available_at, created_at, started_at, ended_at) values ({run_id}, 'greet',
                {number}, 1, '{status}', {num_attempts}, 3, 30000, false, {worker}, {available_at}, 2, 3, {ended_at});
            insert into run_io (run_id, input, parameters) values ({run_id}, {bytes}, '{{\"A\":\"1\"}}');"
        );
        for seq in 1..=attempts {
            let is_last = seq == num_attempts;
            let (status, ended_at) = if is_last { (status, ended_at) } else { ("crashed", "8") };
            let failure = if matches!(status, "crashed" | "errored") { "3, 'exit', 'no'" } else { "null, null, null" };
            script += &format!(
                "insert into attempts (run_id, seq, status, started_at, ended_at, exit_code, failure_kind,
                    failure_message, recoveries) values ({run_id}, {seq}, '{status}', 3, {ended_at}, {failure}, 2);"
            );
        }
        script += &format!(
            "insert into journal (run_id, seq, attempt, name, occurrence, payload, failed, took_us, recorded_at)
                values ({run_id}, 1, 1, 'charge', 1, {bytes}, false, 1, 1),
                    ({run_id}, 2, 1, 'ship', 1, {bytes}, true, 2, 3);
            insert into logs (run_id, line_num, attempt, channel, content, reported_at)
                values ({run_id}, 4, 1, 'program', 'hello', 1);"
        );
    }
    script
}

/// What the migrator writes its notes into.
fn begin_to_remember(bed: &Bed) -> String {
    let now = if bed.is_postgres() { "now()" } else { "current_timestamp" };
    let (when, bytes) = if bed.is_postgres() { ("timestamptz", "bytea") } else { ("timestamp", "blob") };
    format!(
        "create table _sqlx_migrations (version bigint primary key, description text not null,
            installed_on {when} not null default {now}, success boolean not null, checksum {bytes} not null,
            execution_time bigint not null);"
    )
}

/// What the migrator writes down once it has applied a migration.
fn remember(bed: &Bed, index: usize) -> String {
    let checksum: String = Sha384::digest(migration(bed, index)).iter().map(|byte| format!("{byte:02x}")).collect();
    let checksum = if bed.is_postgres() { format!("'\\x{checksum}'") } else { format!("x'{checksum}'") };
    format!(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
            values ({}, '{}', true, {checksum}, 1);",
        index + 1,
        MIGRATIONS[index].0
    )
}

/// What the second release would have made of it, and added.
fn the_second_schema_with_data(bed: &Bed) -> String {
    the_first_schema_with_data(bed)
        + migration(bed, 1)
        + &remember(bed, 1)
        + "update runs set ended_because = 'not_retryable', initiator = 'tower_cli' where number = 6;"
}

// R40, R53
pub async fn a_database_of_the_first_schema_is_brought_up_to_date(bed: &Bed) {
    check_upgrade(bed, &the_first_schema_with_data(bed), None).await;
}

// R40, R53
pub async fn a_database_of_the_second_schema_is_brought_up_to_date(bed: &Bed) {
    check_upgrade(bed, &the_second_schema_with_data(bed), Some(EndedBecause::NotRetryable)).await;
}

/// The database that `script` makes is usable, and has what it had; `because` is why its run 6 ended.
async fn check_upgrade(bed: &Bed, script: &str, because: Option<EndedBecause>) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let url = match bed.is_postgres() {
        true => {
            bed.sql("drop schema public cascade; create schema public").await;
            bed.url.clone()
        }
        false => format!("sqlite:{}", folder.path().join("old.db").display()),
    };
    sql::run(&url, script).await;
    let old = Bed { store: open(&url).await.expect("the schema is brought up to date"), url };

    let app = old.store.find_app("greet").await.expect("it is there");
    assert_eq!((app.policy.max_retries, app.disabled, app.timeouts), (3, false, Timeouts::default()));
    let token = old.store.find_token("t").await.expect("it is valid").1;
    assert_eq!((token.scopes.as_str(), token.expires_at), ("admin", None));
    for (number, status, .., attempts) in RUNS {
        let run = old.store.find_run("greet", number).await.expect("it is there");
        assert_eq!((run.status.as_str(), run.scheduled_at, run.starting_at), (status, run.created_at, None));
        assert_eq!(run.policy, RetryPolicy { max_retries: 3, ..app.policy });
        let failed = matches!(status, "crashed" | "errored").then_some(FailureKind::Exit);
        assert_eq!(run.failure.as_ref().map(|failure| failure.kind), failed, "{status}");
        let kept = old.attempts(&run).await;
        assert_eq!(kept.len() as i64, attempts, "{status}");
        assert!(kept.iter().all(|attempt| attempt.recoveries == 2 && attempt.started_at.is_some()));
        assert_eq!(run.ended_because, because.filter(|_| number == 6));
        assert_eq!((run.waiting_on, run.parent, run.forked_from, run.deadline_at), (None, None, None, None));
        let journal = old.store.load_journal(run.run_id).await.expect("it is there");
        let states = [EntryState::Finished(vec![1, 2]), EntryState::Failed("\u{1}\u{2}".into())];
        assert_eq!(journal.iter().map(|entry| entry.state.clone()).collect::<Vec<_>>(), states);
        for entry in journal {
            assert_eq!((entry.kind, entry.version, entry.tries, entry.tries_before), (EntryKind::Step, 1, 1, 0));
            assert_eq!((entry.due, entry.usage, entry.request), (None, Usage::default(), vec![]));
        }
    }

    assert_eq!(old.store.reap_sessions().await.expect("the database answers"), 1, "its worker is gone");
    let worker = old.worker().await;
    let claimed = old.store.claim_runs(&worker, 10, &[], &[]).await.expect("the session is valid");
    let mut numbers: Vec<_> = claimed.iter().map(|a| (a.number, a.attempt, a.recoveries, a.last_line_num)).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [(1, 1, 0, 4), (2, 1, 3, 4), (3, 1, 3, 4), (4, 2, 0, 4)]);
    for assignment in claimed {
        old.store.begin_running(assignment.lease).await.expect("the lease is valid");
        old.store.settle_run(assignment.lease, success()).await.expect("the lease is valid");
    }
    let exited = RunFilter { statuses: vec![Status::Exited], ..RunFilter::default() };
    assert_eq!(old.store.count_runs(&exited).await.expect("they are counted"), 5);
    assert_eq!(old.start().await.number, 9);
    old.store.cancel_run("greet", 9).await.expect("it is active");
    let retried = old.store.retry_run("greet", 6, None).await.expect("it crashed");
    assert_eq!((retried.num_attempts, retried.ended_because), (3, None));
    let journal = old.store.load_journal(retried.run_id).await.expect("it is there");
    assert_eq!((&journal[1].state, journal[1].tries_before), (&EntryState::Again("\u{1}\u{2}".into()), 1));
    old.store.cancel_run("greet", 6).await.expect("it is active");
    old.store.delete_app("greet", None).await.expect("none of its runs is active");
}
