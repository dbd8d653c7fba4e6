//! One program executed in this process, with nothing behind it: its journal is in memory, every wait is over at once,
//! and nobody keeps its log.

use std::time::Duration;

use jiff::Timestamp;
use relume::journal::{Journal, JournalLimits, Tape, Terms};
use relume::log::Log;
use relume::manifest::{Asked, Manifest, Settings};
use relume::run::{Outcome, Verdict};
use relume::sandbox::{Code, Execution, Sandbox, Task};
use relume::store::JournalEntry;
use uuid::Uuid;

use crate::node::sandbox;

/// A program that is ready to be executed.
#[derive(Clone)]
pub struct Alone {
    sandbox: Sandbox,
    code: Code,
    settings: Settings,
    input: Vec<u8>,
    running_timeout: Option<Duration>,
    recorded: Vec<JournalEntry>,
}

impl Alone {
    /// Compiles a component; `manifest` is the text of its `relume.toml`.
    ///
    /// # Panics
    /// When it is no app.
    pub async fn new(component: Vec<u8>, manifest: &str) -> Alone {
        Alone::within(sandbox(), component, manifest).await
    }

    /// The same, in this sandbox.
    ///
    /// # Panics
    /// When it is no app.
    pub async fn within(sandbox: Sandbox, component: Vec<u8>, manifest: &str) -> Alone {
        let inspection = sandbox.inspect(component.clone()).await.expect("it is an app");
        let code = sandbox.load(&inspection.digest, async || Ok(component)).await.expect("it was compiled");
        let settings = Manifest::parse(manifest).expect("the test's manifest is right").settings();
        Alone { sandbox, code, settings, input: vec![], running_timeout: None, recorded: vec![] }
    }

    /// With this input.
    #[must_use]
    pub fn input(mut self, input: &[u8]) -> Alone {
        self.input = input.to_vec();
        self
    }

    /// With so much time.
    #[must_use]
    pub fn time(mut self, time: Duration) -> Alone {
        self.running_timeout = Some(time);
        self
    }

    /// With these entries in its journal.
    #[must_use]
    pub fn recorded(mut self, entries: Vec<JournalEntry>) -> Alone {
        self.recorded = entries;
        self
    }

    /// Executes it. Dropping the future ends the program.
    pub async fn execute(&self) -> Execution {
        let limits = self.sandbox.limits(&Asked { manifest: self.settings.limits.clone(), ..Asked::default() });
        let now = Timestamp::now();
        let run_id = Uuid::now_v7();
        let terms = Terms {
            attempt: 1,
            version: 1,
            limits: JournalLimits::from(&limits),
            origin_run_id: run_id,
            origin_at: now,
            now,
            until_deadline: None,
            signals: 0,
        };
        let task = Task {
            run_id,
            app: "alone".to_owned(),
            run: "alone#1".to_owned(),
            attempt: 1,
            args: vec![],
            input: self.input.clone(),
            parameters: Default::default(),
            secrets: vec![],
            settings: self.settings.clone(),
            limits,
            running_timeout: self.running_timeout,
            fuel_used: 0,
            journal: Journal::on_tape(terms, self.recorded.clone(), Tape::for_test(None)),
            log: Log::to_nowhere(),
            effects: None,
        };
        self.sandbox.execute(&self.code, task).await
    }

    /// How it ends: `exited`, `crashed fuel`.
    ///
    /// # Panics
    /// When the host failed: no program may cause that.
    pub async fn verdict(&self) -> String {
        self.ended().await.0
    }

    /// How it ends, and what the failure says.
    ///
    /// # Panics
    /// When the host failed: no program may cause that.
    pub async fn ended(&self) -> (String, String) {
        let outcome = match self.execute().await.end {
            Ok(outcome) => outcome,
            Err(interrupted) => return (format!("interrupted {interrupted:?}"), String::new()),
        };
        assert_ne!(outcome.verdict(), Verdict::Errored, "a program made Relume fail: {outcome:?}");
        match outcome {
            Outcome::Exited { .. } => ("exited".to_owned(), String::new()),
            Outcome::Failed { failure, .. } | Outcome::NotRetryable { failure, .. } => {
                (format!("crashed {}", failure.kind.as_str()), failure.message)
            }
        }
    }
}
