//! What a run waits for beside its steps: time, events and its children. Source: R42, R43.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Journal, JournalError, JournalWriter, MAX_WAIT, Sink, check_name};
use crate::manifest::check_app_name;
use crate::run::Status;
use crate::store::{Due, EntryKind, EntryState, JournalEntry, Lease, NewRun, StoreError, WaitKind};

/// Until when to sleep.
#[derive(Debug, Clone, Copy)]
pub enum Sleep {
    For(Duration),
    /// Milliseconds since 1970.
    Until(u64),
}

/// A child to be started.
#[derive(Debug, Clone)]
pub struct ChildStart {
    pub app: String,
    pub input: Vec<u8>,
    pub version: Option<u32>,
    pub parameters: BTreeMap<String, String>,
}

/// A child that was started, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildRun {
    pub run_id: Uuid,
    /// `app#7`.
    pub run: String,
}

/// How a child ended that did not end well, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChildFailure {
    pub status: String,
    pub message: String,
}

impl Journal {
    /// The time now, recorded.
    pub async fn read_clock(&mut self) -> Result<Timestamp, JournalError> {
        let call = self.call(EntryKind::Now, "now".to_owned(), Vec::new());
        let at = match self.take(&call)? {
            Some(entry) => entry.recorded_at,
            None => self.write(self.entry(&call, EntryState::Finished(Vec::new()), None)).await?.at,
        };
        self.meet(call, at);
        Ok(at)
    }

    /// Returns when the time has come. The entry is final from the start: it says until when.
    pub async fn sleep(&mut self, length: Sleep) -> Result<(), JournalError> {
        let (request, due) = match length {
            Sleep::For(length) => {
                let length = length.min(MAX_WAIT);
                (format!("{} ms", length.as_millis()), Due::After(length))
            }
            Sleep::Until(at_ms) => (format!("until {at_ms} ms"), Due::At(moment(at_ms))),
        };
        let call = self.call(EntryKind::Sleep, "sleep".to_owned(), request.into_bytes());
        let due_at = match self.take(&call)? {
            Some(entry) => due_at(&entry),
            None => self.write(self.entry(&call, EntryState::Finished(Vec::new()), Some(due))).await?.due_at,
        };
        let due_at = due_at.unwrap_or(self.met_at);
        self.meet(call, due_at);
        self.wait_until(due_at, WaitKind::Sleep, "sleep").await
    }

    /// The payload of the next event `name`; `None` if the timeout passes without one.
    pub async fn await_event(
        &mut self,
        name: String,
        timeout: Option<Duration>,
    ) -> Result<Option<Vec<u8>>, JournalError> {
        check_name("an event", &name)?;
        let timeout = timeout.map(|timeout| timeout.min(MAX_WAIT));
        let request = timeout.map_or("for ever".to_owned(), |timeout| format!("{} ms", timeout.as_millis()));
        let call = self.call(EntryKind::Event, name, request.into_bytes());
        let due_at = match self.take(&call)? {
            Some(JournalEntry { state: EntryState::Finished(payload), recorded_at, .. }) => {
                self.meet(call, recorded_at);
                return Ok(Some(payload));
            }
            Some(JournalEntry { state: EntryState::Failed(_), recorded_at, .. }) => {
                self.meet(call, recorded_at);
                return Ok(None);
            }
            Some(entry) => due_at(&entry),
            None => {
                self.server("events")?;
                self.write(self.entry(&call, EntryState::Waiting, timeout.map(Due::After))).await?.due_at
            }
        };
        let (lease, writer) = self.server("events")?;
        loop {
            let inbox = writer.store().take_event(lease, self.met.saturating_add(1), &call.name).await?;
            self.signals = inbox.signals;
            if let Some(payload) = inbox.event {
                self.bytes = self.bytes.saturating_add(payload.len());
                self.meet(call, inbox.now);
                return Ok(Some(payload));
            }
            let Some(due_at) = due_at else { return Err(self.parked(WaitKind::Event, &call.name, None, None)) };
            if self.now() >= due_at {
                let entry = self.entry(&call, EntryState::Failed("no event came in time".to_owned()), None);
                let at = self.write(entry).await?.at;
                self.meet(call, at);
                return Ok(None);
            }
            self.wait_until(due_at, WaitKind::Event, &call.name).await?;
        }
    }

    /// Starts a child; the message says why there is none.
    pub async fn start_child(&mut self, child: ChildStart) -> Result<Result<ChildRun, String>, JournalError> {
        let call = self.call(EntryKind::Child, child.app.clone(), child.request());
        if let Some(entry) = self.take(&call)? {
            let started = match entry.state {
                EntryState::Finished(payload) => Ok(self.read::<ChildRun>(&payload)?),
                EntryState::Failed(message) => Err(message),
                _ => return Err(senseless()),
            };
            if let Ok(child) = &started {
                self.children.insert(child.run_id, child.run.clone());
            }
            self.meet(call, entry.recorded_at);
            return Ok(started);
        }
        let (lease, writer) = self.server("runs of other apps")?;
        let seq = self.met.saturating_add(1);
        let started = match child.check() {
            Ok(()) => match writer.store().start_child(lease, seq, child.new_run()).await {
                Ok(name) => Ok(ChildRun { run_id: name.run_id, run: format!("{}#{}", name.app, name.number) }),
                Err(error @ (StoreError::NotFound(_) | StoreError::Conflict(_))) => Err(error.to_string()),
                Err(error) => return Err(error.into()),
            },
            Err(wrong) => Err(wrong),
        };
        let state = match &started {
            Ok(child) => EntryState::Finished(serde_json::to_vec(child).map_err(|_| senseless())?),
            Err(message) => EntryState::Failed(message.clone()),
        };
        let at = self.write(self.entry(&call, state, None)).await?.at;
        if let Ok(child) = &started {
            self.children.insert(child.run_id, child.run.clone());
        }
        self.meet(call, at);
        Ok(started)
    }

    /// What the child returned, once it is final.
    pub async fn await_child(
        &mut self,
        run_id: &str,
    ) -> Result<(String, Result<Option<Vec<u8>>, ChildFailure>), JournalError> {
        let child = run_id.parse::<Uuid>().ok().and_then(|id| Some((id, self.children.get(&id)?.clone())));
        let Some((child, name)) = child else {
            return Err(JournalError::Refused(format!("`{}` is no child of this run", run_id.escape_debug())));
        };
        let call = self.call(EntryKind::Result, name.clone(), Vec::new());
        match self.take(&call)? {
            Some(JournalEntry { state: EntryState::Finished(output), recorded_at, .. }) => {
                self.meet(call, recorded_at);
                return Ok((name, Ok(Some(output).filter(|output| !output.is_empty()))));
            }
            Some(JournalEntry { state: EntryState::Failed(failure), recorded_at, .. }) => {
                let failure = self.read(failure.as_bytes())?;
                self.meet(call, recorded_at);
                return Ok((name, Err(failure)));
            }
            Some(_) => {}
            None => _ = self.write(self.entry(&call, EntryState::Waiting, None)).await?,
        }
        let (lease, writer) = self.server("runs of other apps")?;
        let found = writer.store().find_child(lease, child).await?;
        self.signals = found.signals;
        let ended = match found.status {
            Status::Exited => Ok(found.output),
            status if status.is_active() => {
                return Err(self.parked(WaitKind::Child, &name, None, Some(child)));
            }
            status => {
                let message = found.failure.map_or_else(|| "it was cancelled".to_owned(), |failure| failure.message);
                Err(ChildFailure { status: status.as_str().to_owned(), message })
            }
        };
        let state = match &ended {
            Ok(output) => EntryState::Finished(output.clone().unwrap_or_default()),
            Err(failure) => EntryState::Failed(serde_json::to_string(failure).map_err(|_| senseless())?),
        };
        let at = self.write(self.entry(&call, state, None)).await?.at;
        self.meet(call, at);
        Ok((name, ended))
    }

    /// The store, which is not there for a program that runs without a server.
    fn server(&self, what: &str) -> Result<(Lease, JournalWriter), JournalError> {
        match &self.sink {
            Sink::Store { lease, writer } => Ok((*lease, writer.clone())),
            Sink::Check => Err(JournalError::Replayed),
            Sink::Tape(_) => {
                Err(JournalError::Refused(format!("{what} need a server: deploy the app and run it there")))
            }
        }
    }

    fn read<T: for<'de> Deserialize<'de>>(&self, json: &[u8]) -> Result<T, JournalError> {
        serde_json::from_slice(json).map_err(|_| senseless())
    }
}

impl ChildStart {
    /// What a replay has to give the same: the input, and behind it what else there is.
    fn request(&self) -> Vec<u8> {
        let mut request = self.input.clone();
        if let Some(version) = self.version {
            request.extend_from_slice(format!("\nversion v{version}").as_bytes());
        }
        for (name, value) in &self.parameters {
            request.extend_from_slice(format!("\n{name}={value}").as_bytes());
        }
        request
    }

    fn check(&self) -> Result<(), String> {
        check_app_name("app", &self.app).map_err(|error| error.message)?;
        for (name, value) in &self.parameters {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(format!("`{}` cannot be a parameter: no `=` in its name, and no NUL", name.escape_debug()));
            }
        }
        Ok(())
    }

    fn new_run(self) -> NewRun {
        let ChildStart { app, input, version, parameters } = self;
        NewRun { app, input, version, parameters, ..NewRun::default() }
    }
}

fn due_at(entry: &JournalEntry) -> Option<Timestamp> {
    match entry.due {
        Some(Due::At(at)) => Some(at),
        _ => None,
    }
}

/// A moment that the guest names; what is too far away is as far as a moment can be kept.
fn moment(at_ms: u64) -> Timestamp {
    const LAST_MS: i64 = 253_402_207_200_000;
    let at_ms = i64::try_from(at_ms).unwrap_or(LAST_MS).min(LAST_MS);
    Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::MAX)
}

/// An entry that no journal of ours holds.
fn senseless() -> JournalError {
    StoreError::Fault(anyhow::anyhow!("an entry of the journal makes no sense")).into()
}
