//! Runs and steps from claim to settlement, beside plain inserts of single rows into the same database.

use std::time::Duration;

use relume::executor::Isolation;
use relume::store::Run;
use relume::worker::{Shutdown, WorkerOptions, work};
use relume_tests::node::{Node, sandbox, vault};
use serde_json::json;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::table::{Figure, median, timed};

/// Ours and the baseline in turns, so often.
const ROUNDS: usize = 5;
/// Runs in turn in a round, for their latency.
const LATENCY_RUNS: usize = 30;
/// Steps of the run that shows how long a step takes.
const LONG_RUN_STEPS: u32 = 100;
/// Steps of a run for steps/s.
const RUN_STEPS: u32 = 10;
/// Runs of a round for each one at once.
const RUNS_PER_SLOT: u32 = 20;
const INSERTS_PER_CLIENT: u32 = 200;
/// How often the end of a run is looked for.
const LOOK_EVERY: Duration = Duration::from_micros(200);

/// What is measured of one database.
pub async fn figures(name: &str, node: Node) -> Vec<Figure> {
    let plain = Plain::open(&node.url).await;
    let app = node.deploy("repeated_steps", "").await;
    let (mut inserts, mut latencies, mut steps) = (vec![], vec![], vec![]);
    let mut rates: [(Vec<f64>, Vec<f64>); 2] = Default::default();
    for _ in 0..ROUNDS {
        inserts.extend(plain.latencies().await);
        let worker = Worker::start(&node, 16);
        finish(&node, &node.start(&app, json!(1), &[]).await).await;
        for _ in 0..LATENCY_RUNS {
            latencies.push(timed(run(&node, &app, 0)).await.1);
        }
        steps.push(timed(run(&node, &app, LONG_RUN_STEPS)).await.1 / LONG_RUN_STEPS);
        worker.end().await;
        for (at_once, (ours, baseline)) in [1, 10].into_iter().zip(&mut rates) {
            baseline.push(plain.inserts_per_second(at_once).await);
            ours.push(steps_per_second(&node, &app, at_once).await);
        }
    }
    let insert = ("an insert", median(inserts));
    let [one, ten] = rates.map(|(ours, baseline)| (median(ours), median(baseline)));
    vec![
        Figure::time(format!("{name}: a run without steps, idle, p50"), median(latencies), insert, ""),
        Figure::time(format!("{name}: a step, one run at a time"), median(steps), insert, ""),
        Figure::rate(format!("{name}: steps, 1 run at a time"), one.0, ("inserts, 1 client", one.1), ""),
        Figure::rate(format!("{name}: steps, 10 runs at once"), ten.0, ("inserts, 10 clients", ten.1), ""),
    ]
}

/// From the request to the end, as the database shows it.
async fn run(node: &Node, app: &str, steps: u32) {
    finish(node, &node.start(app, json!(steps), &[]).await).await;
}

async fn finish(node: &Node, run: &Run) {
    while node.store.find_run(&run.app, run.number).await.expect("the run is there").status.is_active() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The runs wait for a worker; from its start to the end of the last of them.
async fn steps_per_second(node: &Node, app: &str, at_once: u32) -> f64 {
    let mut runs = vec![];
    for _ in 0..RUNS_PER_SLOT * at_once {
        runs.push(node.start(app, json!(RUN_STEPS), &[]).await);
    }
    let began = Instant::now();
    let worker = Worker::start(node, at_once as usize);
    for run in &runs {
        finish(node, run).await;
    }
    let took = began.elapsed();
    worker.end().await;
    f64::from(RUNS_PER_SLOT * at_once * RUN_STEPS) / took.as_secs_f64()
}

struct Worker {
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<()>,
}

impl Worker {
    fn start(node: &Node, slots: usize) -> Worker {
        let shutdown = Shutdown::new();
        let options = WorkerOptions {
            name: "bench".to_owned(),
            slots,
            lease: Duration::from_secs(15),
            isolation: Isolation::None,
        };
        let working = work(node.store.clone(), sandbox(), vault(), options, shutdown.clone());
        let task = tokio::spawn(async { working.await.expect("it ends well") });
        Worker { shutdown, task }
    }

    async fn end(self) {
        self.shutdown.drain();
        self.task.await.expect("the worker does not panic");
    }
}

/// A table and nothing else, with the durability of Relume's own.
#[derive(Clone)]
enum Plain {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Plain {
    const CREATE: &str =
        "create table plain (run_id uuid, seq bigint, name text, payload bytea, primary key (run_id, seq))";
    const INSERT: &str = "insert into plain (run_id, seq, name, payload) values ($1, $2, $3, $4)";

    async fn open(url: &str) -> Plain {
        match url.strip_prefix("sqlite:") {
            Some(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(format!("{path}.plain"))
                    .create_if_missing(true)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Full);
                let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.expect("a file");
                sqlx::query(Plain::CREATE).execute(&pool).await.expect("a table");
                Plain::Sqlite(pool)
            }
            None => {
                let pool = PgPoolOptions::new().max_connections(10).test_before_acquire(false).connect(url).await;
                let pool = pool.expect("the server is there");
                sqlx::query(Plain::CREATE).execute(&pool).await.expect("a table");
                Plain::Postgres(pool)
            }
        }
    }

    /// Inserts one row: durable when this returns.
    async fn insert(&self, run_id: Uuid, seq: u32) {
        let payload = &b"{}"[..];
        let inserted = match self {
            Plain::Sqlite(pool) => {
                let query = sqlx::query(Plain::INSERT).bind(run_id).bind(i64::from(seq)).bind("again").bind(payload);
                query.execute(pool).await.map(|_| ())
            }
            Plain::Postgres(pool) => {
                let query = sqlx::query(Plain::INSERT).bind(run_id).bind(i64::from(seq)).bind("again").bind(payload);
                query.execute(pool).await.map(|_| ())
            }
        };
        inserted.expect("it is written");
    }

    /// Of single inserts in turn.
    async fn latencies(&self) -> Vec<Duration> {
        let run_id = Uuid::now_v7();
        let mut latencies = vec![];
        for seq in 0..INSERTS_PER_CLIENT {
            latencies.push(timed(self.insert(run_id, seq)).await.1);
        }
        latencies
    }

    async fn inserts_per_second(&self, clients: u32) -> f64 {
        let began = Instant::now();
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let plain = self.clone();
            tasks.spawn(async move { plain.latencies().await });
        }
        tasks.join_all().await;
        f64::from(clients * INSERTS_PER_CLIENT) / began.elapsed().as_secs_f64()
    }
}
