//! Relume as an operator runs it, under hostile guests and callers: a server, and a worker beside it.

use relume_tests::postgres::Postgres;
use relume_tests::process::Process;
use relume_tests::server::Server;
use serde_json::{Value, json};

/// What encrypts secrets, which both processes have.
pub const KEY: (&str, &str) =
    ("RELUME_SECRETS_KEY", "2222222222222222222222222222222222222222222222222222222222222222");

/// A server and its worker, which say all they can.
pub struct World {
    pub server: Server,
    pub worker: Process,
}

impl World {
    /// One on each database.
    pub fn both() -> [World; 2] {
        [World::sqlite(&[]), World::postgres(&[])]
    }

    /// On a new SQLite database; `args` are the server's.
    pub fn sqlite(args: &[&str]) -> World {
        World::beside(Server::sqlite_with(args, &[KEY, ("RELUME_LOG", "debug")]))
    }

    /// On a new database of the shared PostgreSQL.
    pub fn postgres(args: &[&str]) -> World {
        World::beside(Server::on_with(Postgres::shared().database(), args, &[KEY, ("RELUME_LOG", "debug")]))
    }

    fn beside(server: Server) -> World {
        let env = [KEY, ("RELUME_LOG", "debug"), ("CANARY_OF_THE_WORKER", "not-for-guests-4711")];
        let worker = Process::worker(&server.database, 15, &env);
        World { server, worker }
    }

    /// Starts a run and returns it when it is over.
    pub async fn run(&self, app: &str, body: Value) -> Value {
        let run = self.server.start_run(app, body).await;
        self.finished(app, &run["number"]).await
    }

    /// Starts a run with `input` and returns it when it is over.
    pub async fn run_with(&self, app: &str, input: Value) -> Value {
        self.run(app, json!({"input": input})).await
    }

    /// The run when it is over. Who follows its log is told.
    pub async fn finished(&self, app: &str, number: &Value) -> Value {
        let path = format!("/v1/apps/{app}/runs/{number}");
        let log = self.server.get(&format!("{path}/logs/stream")).await.text;
        assert!(log.contains("\"end_of_stream\":true"), "{log}");
        self.server.get(&path).await.json()["run"].clone()
    }

    /// All that the two processes have logged.
    pub fn logged(&self) -> String {
        [self.server.process.said(), self.worker.said()].concat().join("\n")
    }
}
