//! The child: it gets one guest over the socket that is its stdin, gives up all else, and executes it. What it would
//! ask of a database or of the network it asks of its parent.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, anyhow, bail};
use async_trait::async_trait;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::wire::{self, Answer, Begin, NewChild, Question, Refusal, ToChild, ToParent};
use crate::journal::{Journal, JournalWriter};
use crate::log::{Log, LogLimits, LogWriter};
use crate::sandbox::{Ask, AskedAnswer, AskedError, AskedRequest, Sandbox, Task, close_inherited, confine_executor};
use crate::store::{
    Call, ChildState, Inbox, JournalEntry, Lease, LogLine, NewRun, Record, Recorded, RunName, StoreError,
};

/// Executes the guest that comes over stdin.
pub fn execute_from_stdin() -> ExitCode {
    if let Err(error) = close_inherited() {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let done = runtime.map_err(anyhow::Error::from).and_then(|runtime| runtime.block_on(execute()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute() -> anyhow::Result<()> {
    let stdin = io::stdin().as_fd().try_clone_to_owned().context("there is no socket")?;
    let socket = StdUnixStream::from(stdin);
    socket.set_nonblocking(true)?;
    let (mut from, to) = UnixStream::from_std(socket)?.into_split();
    let link = Arc::new(Link::new(to));
    let sandbox = Sandbox::asking(link.clone())?;
    let machine_code = next(&mut from).await?;
    let code = sandbox.open(&machine_code)?;
    let begin = wire::decode(&next(&mut from).await?)?;
    let pause = CancellationToken::new();
    // The threads that there are, are all there will be, and so are the files.
    if !confine_executor()? {
        bail!("this system cannot confine a process: run guests without --isolation process");
    }
    link.say(&ToParent::Ready).await?;
    tokio::spawn(listen(from, link.clone(), pause.clone()));
    let (task, log) = task(begin, link.clone(), pause)?;
    let execution = sandbox.execute(&code, task).await;
    log.finish().await;
    link.say(&ToParent::Ended(Box::new(execution))).await?;
    Ok(())
}

async fn next(from: &mut OwnedReadHalf) -> anyhow::Result<Vec<u8>> {
    wire::read(from, wire::MAX_PARENT_FRAME_BYTES).await?.ok_or_else(|| anyhow!("the parent is gone"))
}

fn task(begin: Begin, link: Arc<Link>, pause: CancellationToken) -> anyhow::Result<(Task, Log)> {
    let Begin { lease, terms, recorded, app, run, args, input, parameters, secrets, limits, .. } = begin;
    let log = Log::new(lease, terms.attempt, 0, 0, LogWriter::start(link.clone()), LogLimits::from(&limits));
    let task = Task {
        run_id: lease.run_id,
        app,
        run,
        attempt: terms.attempt,
        args,
        input,
        parameters,
        secrets,
        limits,
        settings: serde_json::from_str(&begin.settings)?,
        running_timeout: begin.running_timeout,
        fuel_used: begin.fuel_used,
        journal: Journal::new(lease, terms, recorded, JournalWriter::start(link), pause),
        log: log.clone(),
        effects: None,
    };
    Ok((task, log))
}

/// Hands out the parent's answers. Without a parent there is nothing left to do.
async fn listen(mut from: OwnedReadHalf, link: Arc<Link>, pause: CancellationToken) {
    while let Ok(Some(frame)) = wire::read(&mut from, wire::MAX_PARENT_FRAME_BYTES).await {
        match wire::decode(&frame) {
            Ok(ToChild::Answers(id, answer)) => link.answered(id, answer),
            Ok(ToChild::Pause) => pause.cancel(),
            Err(_) => break,
        }
    }
    std::process::exit(1);
}

/// The way to the parent.
struct Link {
    to: tokio::sync::Mutex<OwnedWriteHalf>,
    asked: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answer>>>,
}

impl Link {
    fn new(to: OwnedWriteHalf) -> Link {
        let (asked, waiting) = (AtomicU64::new(0), Mutex::default());
        Link { to: tokio::sync::Mutex::new(to), asked, waiting }
    }

    async fn say(&self, message: &ToParent) -> io::Result<()> {
        wire::write(&mut *self.to.lock().await, &wire::encode(message)?).await
    }

    async fn put(&self, question: Question) -> Result<Answer, StoreError> {
        let id = self.asked.fetch_add(1, Ordering::Relaxed);
        let (send, answer) = oneshot::channel();
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).insert(id, send);
        let asked = self.say(&ToParent::Asks(id, Box::new(question))).await;
        asked.map_err(|error| StoreError::Fault(error.into()))?;
        answer.await.map_err(|_| no_answer())
    }

    fn answered(&self, id: u64, answer: Answer) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(waiting) = waiting {
            // Who asked may have given up.
            let _ = waiting.send(answer);
        }
    }
}

fn no_answer() -> StoreError {
    StoreError::Fault(anyhow!("the parent did not answer what it was asked"))
}

fn or_error<T>(answered: Result<T, Refusal>) -> Result<T, StoreError> {
    answered.map_err(StoreError::from)
}

#[async_trait]
impl Record for Link {
    async fn append_journal(&self, entries: &[(Lease, JournalEntry)]) -> Result<Vec<Option<Recorded>>, StoreError> {
        let mut recorded = Vec::with_capacity(entries.len());
        for (lease, entry) in entries {
            let Answer::Append(answer) = self.put(Question::Append(*lease, entry.clone())).await? else {
                return Err(no_answer());
            };
            recorded.push(match or_error(answer) {
                Ok(written) => Some(written),
                Err(StoreError::LeaseLost) => None,
                Err(error) => return Err(error),
            });
        }
        Ok(recorded)
    }

    async fn take_event(&self, lease: Lease, seq: u32, name: &str) -> Result<Inbox, StoreError> {
        match self.put(Question::TakeEvent(lease, seq, name.to_owned())).await? {
            Answer::TakeEvent(answer) => or_error(answer),
            _ => Err(no_answer()),
        }
    }

    async fn start_child(&self, parent: Lease, seq: u32, new: NewRun) -> Result<RunName, StoreError> {
        let NewRun { app, version, input, parameters, .. } = new;
        match self.put(Question::StartChild(parent, seq, NewChild { app, version, input, parameters })).await? {
            Answer::StartChild(answer) => or_error(answer).map(|(run_id, app, number)| RunName { run_id, app, number }),
            _ => Err(no_answer()),
        }
    }

    async fn find_child(&self, parent: Lease, child: Uuid) -> Result<ChildState, StoreError> {
        match self.put(Question::FindChild(parent, child)).await? {
            Answer::FindChild(answer) => or_error(answer).map(|found| *found),
            _ => Err(no_answer()),
        }
    }

    async fn append_logs(&self, lines: &[(Lease, LogLine)]) -> Result<u64, StoreError> {
        let Some((lease, _)) = lines.first() else { return Ok(0) };
        let lines = lines.iter().map(|(_, line)| (line.channel, line.seq, line.content.clone())).collect();
        match self.put(Question::Log(*lease, lines)).await? {
            Answer::Log(written) => Ok(written),
            _ => Err(no_answer()),
        }
    }

    /// The parent makes the calls, and keeps their list.
    async fn append_calls(&self, _: &[(Lease, Call)]) -> Result<u64, StoreError> {
        Ok(0)
    }
}

#[async_trait]
impl Ask for Link {
    async fn ask(&self, request: AskedRequest) -> Result<AskedAnswer, AskedError> {
        match self.put(Question::Request(request)).await {
            Ok(Answer::Request(answer)) => answer,
            _ => Err(AskedError::ConnectionTerminated),
        }
    }
}
