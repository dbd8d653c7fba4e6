//! How does a process that stays end? The first signal asks it to, the second does not wait.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;

/// After the second signal: time to give runs back, no more.
const STOP_TIME: Duration = Duration::from_secs(2);

/// How the task of a server or worker ended.
pub type Joined = Result<anyhow::Result<()>, tokio::task::JoinError>;

/// Waits for `end`; the first signal calls `on_first`, the second `on_second` and then waits no
/// longer than [`STOP_TIME`].
pub async fn until_stopped(
    mut signals: Signals,
    end: impl Future<Output = Joined>,
    on_first: impl FnOnce(),
    on_second: impl FnOnce(),
) -> Result<(), Failure> {
    tokio::pin!(end);
    tokio::select! {
        ended = &mut end => return ended_with(ended),
        () = signals.next() => on_first(),
    }
    tokio::select! {
        ended = &mut end => return ended_with(ended),
        () = signals.next() => on_second(),
    }
    match tokio::time::timeout(STOP_TIME, end).await {
        Ok(ended) => ended_with(ended),
        Err(_) => Err(Failure::new("stopped at once").because("a second signal came before the end")),
    }
}

fn ended_with(joined: Joined) -> Result<(), Failure> {
    match joined {
        Ok(ended) => ended.map_err(Failure::from),
        Err(panic) => Err(Failure::new("a part of the program failed").because(panic)),
    }
}

/// Ctrl-C and SIGTERM.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on they are caught.
    pub fn new() -> Result<Signals, Failure> {
        let listen = |kind| signal(kind).map_err(|e| Failure::new("signals cannot be caught").because(e));
        Ok(Signals { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for one of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
