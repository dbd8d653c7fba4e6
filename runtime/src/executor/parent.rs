//! The parent of one guest's process: starts it, gives it the task, answers what it asks, and takes its word for how
//! the attempt ended as far as it can be true. The child may have been taken over by its guest. So it is asked for nothing
//! else than its own run, in frames and sizes that have limits; and it is killed when this is dropped.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::COMMAND;
use super::wire::{self, Answer, Begin, NewChild, Question, Refusal, ToChild, ToParent};
use crate::journal::{self, JournalLimits, JournalParts, JournalWriter, MAX_NAME_BYTES};
use crate::log::Log;
use crate::manifest::Limit;
use crate::redact::Redactor;
use crate::run::{Failure, FailureKind, Outcome};
use crate::sandbox::{Code, Execution, Interrupted, Outlet, Sandbox, Task, hiding};
use crate::store::{JournalEntry, Lease, NewRun, Usage};

/// How long a child may take until its guest runs, and how much longer than the guest may to say how that ended.
const MARGIN: Duration = Duration::from_secs(30);
/// How many questions of a child may wait for an answer.
const MAX_QUESTIONS: usize = 32;
/// How much of them.
const MAX_QUESTION_BYTES: usize = 32 * 1024 * 1024;
/// What a child may say on stderr.
const MAX_WORDS_BYTES: u64 = 4096;
/// The longest explanation of a failure, and the longest backtrace.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Executes one attempt in a process of its own.
pub async fn execute(sandbox: &Sandbox, code: &Code, task: Task) -> Execution {
    let hidden = Redactor::new(&task.secrets);
    task.log.hide(hidden.clone());
    let Some(mut outlet) = sandbox.outlet(code, &task) else {
        return broken(&anyhow!("a guest's process cannot have one of its own"));
    };
    let execution = match start(sandbox, code) {
        Ok((child, socket, machine_code)) => attend(child, socket, machine_code, task, &mut outlet).await,
        Err(error) => broken(&error),
    };
    outlet.close();
    let (bytes_in, bytes_out) = outlet.bytes();
    let Execution { end, usage, .. } = execution;
    let usage = Usage { bytes_in, bytes_out, ..usage };
    Execution { end: end.map(|outcome| hiding(&hidden, outcome)), usage, used_loose_io: outlet.used_loose_io() }
}

/// The attempt ends by our fault.
fn broken(error: &anyhow::Error) -> Execution {
    tracing::error!(error = format!("{error:#}"), "a guest's process failed");
    let message = format!("the process of the guest failed: {error:#}");
    Execution::without_program(Outcome::failed(FailureKind::Host, message))
}

fn start(sandbox: &Sandbox, code: &Code) -> anyhow::Result<(Child, UnixStream, Vec<u8>)> {
    let program = sandbox.program().context("there is no program to start")?;
    let machine_code = sandbox.machine_code(code)?;
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new(program);
    command.arg0("relume").arg(COMMAND).env_clear().stdin(Stdio::from(OwnedFd::from(theirs)));
    command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = command.spawn().context("it cannot be started")?;
    Ok((child, UnixStream::from_std(ours)?, machine_code))
}

/// What is known of a run here, whatever its child says.
struct Attended {
    lease: Lease,
    journal: JournalWriter,
    log: Log,
    limits: JournalLimits,
    /// The last entry of its journal, and what all weigh.
    last_seq: u32,
    journal_bytes: usize,
    /// What the child was told, which explains an end.
    lease_was_lost: bool,
    store_was_away: bool,
}

async fn attend(
    mut child: Child,
    socket: UnixStream,
    machine_code: Vec<u8>,
    task: Task,
    outlet: &mut Outlet,
) -> Execution {
    let Task { app, run, args, input, parameters, secrets, settings, running_timeout, fuel_used, .. } = task;
    let Task { limits, journal, log, .. } = task;
    let Some(JournalParts { lease, terms, recorded, writer, pause }) = journal.into_parts() else {
        return broken(&anyhow!("only a run with a store is executed in a process of its own"));
    };
    let time = limits.running_time().min(running_timeout.unwrap_or(Duration::MAX));
    let time = time.min(terms.until_deadline.unwrap_or(Duration::MAX)).saturating_add(MARGIN);
    let fuel = limits.fuel().saturating_sub(fuel_used);
    let memory_bytes = limits.bytes(Limit::MemoryMib) as u64;
    let mut attended = Attended {
        lease,
        journal: writer,
        log,
        limits: terms.limits,
        last_seq: recorded.last().map_or(0, |entry| entry.seq),
        journal_bytes: recorded.iter().map(journal::size).fold(0, usize::saturating_add),
        lease_was_lost: false,
        store_was_away: false,
    };
    let settings = match serde_json::to_string(&settings) {
        Ok(settings) => settings,
        Err(error) => return broken(&error.into()),
    };
    let begin = Begin {
        lease,
        terms,
        recorded,
        app,
        run,
        args,
        input,
        parameters,
        secrets,
        settings,
        limits,
        running_timeout,
        fuel_used,
    };
    let stderr = child.stderr.take();
    let words = async {
        let mut words = Vec::new();
        if let Some(stderr) = stderr {
            // What cannot be read was not said.
            let _ = stderr.take(MAX_WORDS_BYTES).read_to_end(&mut words).await;
        }
        String::from_utf8_lossy(&words).trim().escape_debug().to_string()
    };
    let talk = async {
        let (mut from, mut to) = socket.into_split();
        wire::write(&mut to, &machine_code).await?;
        drop(machine_code);
        wire::write(&mut to, &wire::encode(&begin)?).await?;
        drop(begin);
        match timeout(MARGIN, next(&mut from)).await.context("it does not begin")?? {
            Some((ToParent::Ready, _)) => {}
            Some(_) => bail!("it began with something else"),
            None => return Ok(None),
        }
        let paused = pause.cancelled();
        timeout(time, converse(&mut from, &mut to, paused, &mut attended, outlet)).await.context("it does not end")?
    };
    let (ended, words) = tokio::join!(
        async {
            let ended: anyhow::Result<Option<Execution>> = talk.await;
            // It has said all it had to say, or what it says counts no more.
            let _ = child.start_kill();
            ended
        },
        words
    );
    let status = child.wait().await;
    let is_paused = pause.is_cancelled();
    match ended {
        Ok(Some(execution)) => believed(execution, &attended, is_paused, fuel, memory_bytes),
        Ok(None) => {
            broken(&anyhow!("{}{}", how_it_ended(status), if words.is_empty() { words } else { format!(": {words}") }))
        }
        Err(error) if words.is_empty() => broken(&error),
        Err(error) => broken(&error.context(words)),
    }
}

fn how_it_ended(status: std::io::Result<std::process::ExitStatus>) -> String {
    match status {
        Ok(status) => match status.signal() {
            Some(signal) => format!("it was killed by signal {signal}"),
            None => format!("it ended by itself ({status})"),
        },
        Err(error) => format!("how it ended is unknown: {error}"),
    }
}

/// The next message and how long it was.
async fn next(from: &mut OwnedReadHalf) -> anyhow::Result<Option<(ToParent, usize)>> {
    match wire::read(from, wire::MAX_FRAME_BYTES).await {
        Ok(Some(frame)) => Ok(Some((wire::decode(&frame).context("it says what makes no sense")?, frame.len()))),
        Ok(None) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(error.into()),
        // As a killed process leaves it.
        Err(_) => Ok(None),
    }
}

/// Answers until the child says how the attempt ended; `None` if it ends before.
async fn converse(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    paused: impl Future<Output = ()>,
    attended: &mut Attended,
    outlet: &mut Outlet,
) -> anyhow::Result<Option<Execution>> {
    let mut answers = FuturesUnordered::new();
    let mut open_bytes = 0_usize;
    let mut was_paused = false;
    tokio::pin!(paused);
    // A frame that was read half-way is not to be lost when something else comes first.
    let mut reading = Box::pin(next_of(from));
    loop {
        let has_room = answers.len() < MAX_QUESTIONS && open_bytes < MAX_QUESTION_BYTES;
        tokio::select! {
            () = &mut paused, if !was_paused => {
                was_paused = true;
                wire::write(to, &wire::encode(&ToChild::Pause)?).await?;
            }
            Some((id, answer, length)) = answers.next() => {
                open_bytes = open_bytes.saturating_sub(length);
                attended.note(&answer);
                if wire::write(to, &wire::encode(&ToChild::Answers(id, answer))?).await.is_err() {
                    return Ok(None);
                }
            }
            (message, from) = &mut reading, if has_room => {
                match message? {
                    None => return Ok(None),
                    Some((ToParent::Ready, _)) => bail!("it begins twice"),
                    Some((ToParent::Ended(execution), _)) => return Ok(Some(*execution)),
                    Some((ToParent::Asks(id, question), length)) => {
                        open_bytes = open_bytes.saturating_add(length);
                        let answer = attended.answer(*question, outlet)?;
                        answers.push(async move { (id, answer.await, length) });
                    }
                }
                reading = Box::pin(next_of(from));
            }
        }
    }
}

async fn next_of(from: &mut OwnedReadHalf) -> (anyhow::Result<Option<(ToParent, usize)>>, &mut OwnedReadHalf) {
    (next(from).await, from)
}

type Answering = std::pin::Pin<Box<dyn Future<Output = Answer> + Send>>;

impl Attended {
    fn answer(&mut self, question: Question, outlet: &mut Outlet) -> anyhow::Result<Answering> {
        match question {
            Question::Request(request) => {
                let answering = outlet.answer(request);
                Ok(Box::pin(async move { Answer::Request(answering.await) }))
            }
            question => self.about(question),
        }
    }

    /// Refuses what no child of ours asks.
    fn about(&mut self, question: Question) -> anyhow::Result<Answering> {
        let own = self.lease;
        let check = |lease: Lease| if lease == own { Ok(()) } else { Err(anyhow!("it asks for another run")) };
        let journal = self.journal.clone();
        Ok(match question {
            Question::Append(lease, entry) => {
                check(lease)?;
                self.check_entry(&entry)?;
                Box::pin(async move {
                    Answer::Append(journal.append(lease, entry).await.map_err(|error| Refusal::from(&*error)))
                })
            }
            Question::TakeEvent(lease, seq, name) => {
                check(lease)?;
                if seq > self.last_seq || name.len() > MAX_NAME_BYTES {
                    bail!("it asks for an event that it does not wait for");
                }
                Box::pin(async move {
                    let inbox = journal.store().take_event(lease, seq, &name).await;
                    Answer::TakeEvent(inbox.map_err(|error| Refusal::from(&error)))
                })
            }
            Question::StartChild(lease, seq, NewChild { app, version, input, parameters }) => {
                check(lease)?;
                // One for each entry, so that there are not more than a journal holds.
                if seq > self.last_seq.saturating_add(1) || input.len() > self.limits.entry_bytes {
                    bail!("it starts a run that no program of ours starts");
                }
                let new = NewRun { app, version, input, parameters, ..NewRun::default() };
                Box::pin(async move {
                    let started = journal.store().start_child(lease, seq, new).await;
                    let started = started.map(|name| (name.run_id, name.app, name.number));
                    Answer::StartChild(started.map_err(|error| Refusal::from(&error)))
                })
            }
            Question::FindChild(lease, child) => {
                check(lease)?;
                Box::pin(async move {
                    let found = journal.store().find_child(lease, child).await;
                    Answer::FindChild(found.map(Box::new).map_err(|error| Refusal::from(&error)))
                })
            }
            Question::Log(lease, lines) => {
                check(lease)?;
                let log = self.log.clone();
                let written = lines.len() as u64;
                for (channel, seq, content) in lines {
                    log.relay(channel, seq, content);
                }
                Box::pin(async move {
                    log.store_lines().await;
                    Answer::Log(written)
                })
            }
            Question::Request(_) => bail!("it asks for a request where there is no way out"),
        })
    }

    /// An entry at its place, and not too much of it.
    fn check_entry(&mut self, entry: &JournalEntry) -> anyhow::Result<()> {
        let bytes = journal::size(entry);
        self.journal_bytes = self.journal_bytes.saturating_add(bytes);
        // What is written anew counts again, as it does in a journal.
        if bytes > self.limits.entry_bytes || self.journal_bytes > self.limits.total_bytes {
            bail!("it writes more than a journal may hold");
        }
        if entry.name.len() > MAX_NAME_BYTES || entry.seq == 0 || entry.seq > self.last_seq.saturating_add(1) {
            bail!("it writes an entry that has no place in its journal");
        }
        self.last_seq = self.last_seq.max(entry.seq);
        Ok(())
    }

    /// Remembers what may be the reason of an end.
    fn note(&mut self, answer: &Answer) {
        let refusal = match answer {
            Answer::Append(Err(refusal))
            | Answer::TakeEvent(Err(refusal))
            | Answer::StartChild(Err(refusal))
            | Answer::FindChild(Err(refusal)) => refusal,
            _ => return,
        };
        self.lease_was_lost |= matches!(refusal, Refusal::LeaseLost);
        self.store_was_away |= matches!(refusal, Refusal::Unavailable(_));
    }
}

/// The end that a child tells of, as far as it can be true.
fn believed(execution: Execution, attended: &Attended, is_paused: bool, fuel: u64, memory_bytes: u64) -> Execution {
    let Execution { end, usage, .. } = execution;
    let is_possible = match &end {
        Ok(Outcome::Exited { output }) => {
            output.as_ref().is_none_or(|output| output.len() <= attended.limits.entry_bytes)
        }
        Ok(Outcome::Failed { .. } | Outcome::NotRetryable { .. }) => true,
        Err(Interrupted::LeaseLost) => attended.lease_was_lost,
        Err(Interrupted::StoreUnavailable) => attended.store_was_away,
        Err(Interrupted::Paused) => is_paused,
        Err(Interrupted::Parked(parking)) => parking.waiting_on.name.len() <= MAX_MESSAGE_BYTES,
        Err(Interrupted::Replayed | Interrupted::Crashed) => false,
    };
    if !is_possible {
        return broken(&anyhow!("it tells of an end that cannot be"));
    }
    let usage = Usage {
        fuel: usage.fuel.min(fuel),
        peak_memory_bytes: usage.peak_memory_bytes.min(memory_bytes),
        ..Usage::default()
    };
    Execution { end: end.map(shortened), usage, used_loose_io: false }
}

fn shortened(outcome: Outcome) -> Outcome {
    let cut = |mut text: String| {
        text.truncate(text.floor_char_boundary(MAX_MESSAGE_BYTES));
        text
    };
    let cut =
        |Failure { kind, message, backtrace }| Failure { kind, message: cut(message), backtrace: backtrace.map(cut) };
    match outcome {
        Outcome::Exited { output } => Outcome::Exited { output },
        Outcome::Failed { failure, exit_code } => Outcome::Failed { failure: cut(failure), exit_code },
        Outcome::NotRetryable { failure, exit_code } => Outcome::NotRetryable { failure: cut(failure), exit_code },
    }
}

#[cfg(test)]
mod tests;
