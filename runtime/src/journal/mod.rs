//! What has this run already done? A [`Journal`] answers a program's calls from the record and
//! appends new ones: steps in `steps`, sleeps, events and children in `waits`. A call that has to wait for
//! long is answered with [`JournalError::Parked`], and the program is started again when there is
//! something to go on with. The appends of all runs of a worker meet in a [`JournalWriter`].

mod divergence;
mod parts;
mod steps;
mod waits;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub use self::divergence::{Call, Divergence};
pub use self::parts::{JournalParts, size};
pub use self::steps::{Begun, Failed, LiveStep, Spent, StepFailure, StepOptions};
pub use self::waits::{ChildFailure, ChildRun, ChildStart, Sleep};
pub use self::writer::JournalWriter;
use crate::manifest::{Limit, Limits};
use crate::numbers::{self, Number, fixed};
use crate::redact::Redactor;
use crate::store::{Due, EntryKind, EntryState, JournalEntry, Lease, Recorded, StoreError, Usage, WaitKind, WaitingOn};

/// The longest name of a step or an event. Source: V6.
pub const MAX_NAME_BYTES: usize = 256;
/// A wait of this length or less happens in place. Source: R24.
const MAX_WAIT_IN_PLACE: Duration = Duration::from_secs(2);
/// No wait is longer: a hundred years, which a moment in the database can still hold.
const MAX_WAIT: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// The entries of one run, as one execution of its program meets them.
pub struct Journal {
    terms: Terms,
    /// Recorded before this execution, and not met yet.
    recorded: VecDeque<JournalEntry>,
    /// How many entries this execution has met; the next one has `seq = met + 1`.
    met: u32,
    /// When the last entry that was met came to be.
    met_at: Timestamp,
    /// How often each name was used.
    uses: HashMap<(EntryKind, String), u32>,
    /// The children that were met, by id.
    children: BTreeMap<Uuid, String>,
    bytes: usize,
    /// What is to be told of its size.
    warning: Option<String>,
    /// Executions of steps over the whole run. Source: R27.
    step_attempts: u32,
    signals: i64,
    began: Instant,
    /// How much time a test left out.
    skipped: Duration,
    sink: Sink,
    /// Once cancelled, no new entry begins.
    pause: CancellationToken,
    secrets: Redactor,
}

/// What holds for an execution.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Terms {
    pub attempt: u32,
    /// The app's version that is executed.
    pub version: u32,
    pub limits: JournalLimits,
    /// The run in which the journal began: the run itself, or the one it was forked from.
    pub origin_run_id: Uuid,
    /// When that was asked for: where the program's clock begins.
    #[serde(with = "crate::store::moments")]
    pub origin_at: Timestamp,
    /// Now, by the database's clock.
    #[serde(with = "crate::store::moments")]
    pub now: Timestamp,
    /// From now; a step is not executed again when its wait would end then or later. Source: R28.
    pub until_deadline: Option<Duration>,
    /// What the run has been told, see [`crate::store::Park::signals`].
    pub signals: i64,
}

/// How much a journal may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalLimits {
    /// How often steps may be executed over the whole run. Source: R27.
    pub step_attempts: u32,
    /// The largest entry: what a call is given, and its result. Source: V9.
    pub entry_bytes: usize,
    /// The largest sum of a run's entries. Source: V9.
    pub total_bytes: usize,
}

impl From<&Limits> for JournalLimits {
    fn from(limits: &Limits) -> JournalLimits {
        JournalLimits {
            step_attempts: limits.get(Limit::StepAttempts).try_into().unwrap_or(u32::MAX),
            entry_bytes: limits.bytes(Limit::JournalEntryMib),
            total_bytes: limits.bytes(Limit::JournalMib),
        }
    }
}

enum Sink {
    Store {
        lease: Lease,
        writer: JournalWriter,
    },
    Tape(Tape),
    /// What is not recorded is not executed.
    Check,
}

/// A journal in memory. Clones are the same journal.
#[derive(Clone, Default)]
pub struct Tape {
    state: Arc<Mutex<TapeState>>,
}

#[derive(Default)]
struct TapeState {
    entries: BTreeMap<u32, JournalEntry>,
    writes: u32,
    crash: Option<Crash>,
    skips_waits: bool,
}

/// Where a journal in memory ends the program, for a test of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Before write `n` from 1: what it was about is not recorded.
    Before(u32),
    /// After it.
    After(u32),
}

impl Tape {
    /// A tape for a test: it ends the program at `crash`, and every wait is over at once.
    pub fn for_test(crash: Option<Crash>) -> Tape {
        Tape { state: Arc::new(Mutex::new(TapeState { crash, skips_waits: true, ..TapeState::default() })) }
    }

    /// What was recorded, by `seq`.
    pub fn entries(&self) -> Vec<JournalEntry> {
        self.state().entries.values().cloned().collect()
    }

    /// How often something was recorded.
    pub fn writes(&self) -> u32 {
        self.state().writes
    }

    fn state(&self) -> std::sync::MutexGuard<'_, TapeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, mut entry: JournalEntry, now: Timestamp) -> Result<Recorded, JournalError> {
        let mut state = self.state();
        state.writes += 1;
        if state.crash == Some(Crash::Before(state.writes)) {
            return Err(JournalError::Crashed);
        }
        let due_at = entry.due.map(|due| match due {
            Due::After(wait) => now.saturating_add(wait).unwrap_or(Timestamp::MAX),
            Due::At(at) => at,
        });
        (entry.recorded_at, entry.due) = (now, due_at.map(Due::At));
        state.entries.insert(entry.seq, entry);
        if state.crash == Some(Crash::After(state.writes)) {
            return Err(JournalError::Crashed);
        }
        Ok(Recorded { at: now, due_at })
    }
}

/// Why a call cannot be answered.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The program asked for something other than what it did before.
    #[error(transparent)]
    Divergence(Box<Divergence>),
    /// The program broke a rule; the text says which.
    #[error("{0}")]
    Refused(String),
    /// The run made as many step attempts as it may.
    #[error("the run made {0} step attempts, and may make no more (`limits.step_attempts`)")]
    StepLimit(u32),
    /// The worker is about to stop: the run goes on elsewhere.
    #[error("the worker is being drained")]
    Paused,
    /// The run is to be put aside.
    #[error("the run waits for {}", .0.waiting_on.name)]
    Parked(Box<Parking>),
    /// Everything that is recorded was met: the end of a check.
    #[error("the journal was replayed to its end")]
    Replayed,
    /// Here the test wants the program to end.
    #[error("the program was ended for a test")]
    Crashed,
    /// The entry could not be written or read.
    #[error("the journal could not be written: {0}")]
    Store(#[source] Arc<StoreError>),
}

/// What a run that is to be put aside waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parking {
    pub waiting_on: WaitingOn,
    pub child: Option<Uuid>,
    pub signals: i64,
}

impl From<StoreError> for JournalError {
    fn from(error: StoreError) -> JournalError {
        JournalError::Store(Arc::new(error))
    }
}

impl Journal {
    /// A journal that begins with `recorded` and appends under `lease`. Nothing new begins once
    /// `pause` is cancelled.
    pub fn new(
        lease: Lease,
        terms: Terms,
        recorded: Vec<JournalEntry>,
        writer: JournalWriter,
        pause: CancellationToken,
    ) -> Journal {
        Journal::with_sink(terms, recorded, Sink::Store { lease, writer }, pause)
    }

    /// A journal for programs that run without a server: it begins with `recorded`, and what is
    /// appended is on `tape`.
    pub fn on_tape(terms: Terms, recorded: Vec<JournalEntry>, tape: Tape) -> Journal {
        for entry in &recorded {
            tape.state().entries.insert(entry.seq, entry.clone());
        }
        Journal::with_sink(terms, recorded, Sink::Tape(tape), CancellationToken::new())
    }

    /// A journal that answers what is recorded, and then ends the program with [`JournalError::Replayed`].
    pub fn check(terms: Terms, recorded: Vec<JournalEntry>) -> Journal {
        Journal::with_sink(terms, recorded, Sink::Check, CancellationToken::new())
    }

    fn with_sink(terms: Terms, recorded: Vec<JournalEntry>, sink: Sink, pause: CancellationToken) -> Journal {
        let step_attempts = recorded.iter().filter(|entry| entry.kind == EntryKind::Step);
        Journal {
            terms,
            bytes: recorded.iter().map(size).fold(0, usize::saturating_add),
            warning: None,
            step_attempts: step_attempts.fold(0, |sum, entry| sum.saturating_add(all_tries(entry))),
            recorded: recorded.into(),
            met: 0,
            met_at: terms.origin_at,
            uses: HashMap::new(),
            children: BTreeMap::new(),
            signals: terms.signals,
            began: Instant::now(),
            skipped: Duration::ZERO,
            sink,
            pause,
            secrets: Redactor::none(),
        }
    }

    /// From now on no entry is written in which one of these secrets shows. A replay needs what was recorded, so an
    /// entry is refused and not changed. Source: V12.
    pub fn guard(&mut self, secrets: Redactor) {
        self.secrets = secrets;
    }

    /// What holds for this execution.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// That the journal is half full, once when it comes to be. Source: V9.
    pub fn take_warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// Whether the next call is one that was recorded before this execution.
    pub fn is_replaying(&self) -> bool {
        !self.recorded.is_empty()
    }

    /// The last entry that was met, and when it came to be: 0 and the run's creation before the first.
    pub fn last_met(&self) -> (u32, Timestamp) {
        (self.met, self.met_at)
    }

    /// Says that the program came to its end. A journal that goes on is a divergence.
    pub fn end(&self) -> Result<(), JournalError> {
        match self.recorded.front() {
            Some(entry) => Err(self.divergence(entry, None)),
            None => Ok(()),
        }
    }

    /// Now, by the database's clock; a little late, never early.
    fn now(&self) -> Timestamp {
        let passed = self.began.elapsed().saturating_add(self.skipped);
        self.terms.now.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }

    fn call(&self, kind: EntryKind, name: String, request: Vec<u8>) -> Call {
        let key = (kind, name);
        let occurrence = self.uses.get(&key).map_or(1, |uses| uses.saturating_add(1));
        Call { kind, name: key.1, occurrence, request }
    }

    /// The entry recorded at this place, which has to be of `call`; `None` if the call is a new one.
    fn take(&mut self, call: &Call) -> Result<Option<JournalEntry>, JournalError> {
        let is_check = matches!(self.sink, Sink::Check);
        let Some(entry) = self.recorded.front() else {
            if is_check {
                return Err(JournalError::Replayed);
            }
            if self.pause.is_cancelled() {
                return Err(JournalError::Paused);
            }
            self.check_secrets(&format!("the name of {}", call.what()), call.name.as_bytes())?;
            self.check_secrets(&format!("what {call} is given"), &call.request)?;
            let (size, most) = (call.request.len(), self.terms.limits.entry_bytes);
            if size > most {
                return Err(JournalError::Refused(format!(
                    "{call} is given {size} bytes; the most is {most} (`limits.journal_entry_mib`)"
                )));
            }
            return Ok(None);
        };
        let is_same = entry.kind == call.kind
            && entry.name == call.name
            && entry.occurrence == call.occurrence
            && entry.request == call.request;
        if !is_same {
            return Err(self.divergence(entry, Some(call.clone())));
        }
        if is_check && !entry.state.is_final() {
            return Err(JournalError::Replayed);
        }
        Ok(self.recorded.pop_front())
    }

    fn divergence(&self, entry: &JournalEntry, made: Option<Call>) -> JournalError {
        let (recorded_version, version) = (entry.version, self.terms.version);
        // What is recorded shows none; what is asked for now was refused if it were new.
        let made = made.map(|call| Call {
            name: self.secrets.text(&call.name).into_owned(),
            request: self.secrets.bytes(&call.request, usize::MAX).into_owned(),
            ..call
        });
        let divergence = Divergence { seq: entry.seq, recorded: Call::of(entry), made, recorded_version, version };
        JournalError::Divergence(Box::new(divergence))
    }

    /// The call is answered for good.
    fn meet(&mut self, call: Call, at: Timestamp) {
        self.met += 1;
        self.met_at = self.met_at.max(at);
        self.uses.insert((call.kind, call.name), call.occurrence);
    }

    /// The entry of `call` at this place, to be written.
    fn entry(&self, call: &Call, state: EntryState, due: Option<Due>) -> JournalEntry {
        JournalEntry {
            seq: self.met.saturating_add(1),
            attempt: self.terms.attempt,
            version: self.terms.version,
            kind: call.kind,
            name: call.name.clone(),
            occurrence: call.occurrence,
            request: call.request.clone(),
            state,
            tries: 0,
            tries_before: 0,
            due,
            took: Duration::ZERO,
            usage: Usage::default(),
            seeds: 0,
            recorded_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn check_secrets(&self, what: &str, bytes: &[u8]) -> Result<(), JournalError> {
        let Some(secret) = self.secrets.find(bytes) else { return Ok(()) };
        Err(JournalError::Refused(format!(
            "{what} shows the secret `{secret}`, and what is recorded is shown to whoever may read runs: use the secret \
             within a step, and return what came of it instead"
        )))
    }

    /// Durable when this returns.
    async fn write(&mut self, entry: JournalEntry) -> Result<Recorded, JournalError> {
        let JournalLimits { entry_bytes, total_bytes, .. } = self.terms.limits;
        let (size, call) = (size(&entry), Call::of(&entry));
        if let EntryState::Finished(result) = &entry.state {
            self.check_secrets(&format!("the result of {call}"), result)?;
        }
        if size > entry_bytes {
            return Err(JournalError::Refused(format!(
                "the entry of {call} has {size} bytes; the most is {entry_bytes} (`limits.journal_entry_mib`)"
            )));
        }
        let before = self.bytes;
        if before.saturating_add(size) > total_bytes {
            return Err(JournalError::Refused(format!(
                "with the entry of {call} the journal of this run would exceed {total_bytes} bytes \
                 (`limits.journal_mib`)"
            )));
        }
        // An entry that is written anew counts again: the sum is a limit, not an account.
        self.bytes = before.saturating_add(size);
        if before <= total_bytes / 2 && self.bytes > total_bytes / 2 {
            let mib = total_bytes / (1024 * 1024);
            self.warning = Some(format!(
                "the journal is half full: it has {} bytes with the entry of {call}, and the most is {mib} MiB \
                 (`limits.journal_mib`)",
                self.bytes
            ));
        }
        match &self.sink {
            Sink::Store { lease, writer } => writer.append(*lease, entry).await.map_err(JournalError::Store),
            Sink::Tape(tape) => tape.write(entry, self.now()),
            Sink::Check => Err(JournalError::Replayed),
        }
    }

    /// Returns when `due_at` has come, if that is soon. Source: R24.
    async fn wait_until(&mut self, due_at: Timestamp, kind: WaitKind, name: &str) -> Result<(), JournalError> {
        let left = Duration::try_from(due_at.duration_since(self.now())).unwrap_or_default();
        if left.is_zero() {
            return Ok(());
        }
        match &self.sink {
            Sink::Check => Err(JournalError::Replayed),
            Sink::Tape(tape) if tape.state().skips_waits => {
                self.skipped = self.skipped.saturating_add(left);
                Ok(())
            }
            Sink::Store { .. } if left > MAX_WAIT_IN_PLACE => Err(self.parked(kind, name, Some(due_at), None)),
            _ => tokio::select! {
                () = sleep(left) => Ok(()),
                () = self.pause.cancelled() => Err(JournalError::Paused),
            },
        }
    }

    fn parked(&self, kind: WaitKind, name: &str, until: Option<Timestamp>, child: Option<Uuid>) -> JournalError {
        let waiting_on = WaitingOn { kind, name: name.to_owned(), until };
        JournalError::Parked(Box::new(Parking { waiting_on, child, signals: self.signals }))
    }
}

/// The numbers of names and waits.
pub fn numbers() -> Vec<Number> {
    vec![
        fixed("V6", "the name of a step or an event", numbers::bytes(MAX_NAME_BYTES)),
        fixed("R24", "a wait that is not worth putting a run aside", numbers::time(MAX_WAIT_IN_PLACE)),
    ]
}

fn all_tries(entry: &JournalEntry) -> u32 {
    entry.tries.saturating_add(entry.tries_before)
}

/// Refuses a name that no entry can have.
fn check_name(of: &str, name: &str) -> Result<(), JournalError> {
    if name.contains('\0') {
        return Err(JournalError::Refused(format!(
            "the name of {of} has no NUL, and this one has: `{}`",
            name.escape_debug()
        )));
    }
    if (1..=MAX_NAME_BYTES).contains(&name.len()) {
        return Ok(());
    }
    let length = name.len();
    Err(JournalError::Refused(format!("the name of {of} has 1 to {MAX_NAME_BYTES} bytes, and this one has {length}")))
}
