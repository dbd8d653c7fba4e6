//! Who computes when? A guest that mostly waits for the host goes on as soon as it can. Those that compute without a
//! pause take [`Turns`], on all processors but one: what is left serves the others, the database and the API, so that
//! no number of endless loops slows down a run beside them.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// What a guest may compute without waiting for a turn: two ticks of the engine's clock.
const BURST: Duration = Duration::from_millis(20);
/// A guest that waits for so long may compute for a fourth of it.
const WAIT_FOR_EACH: u32 = 4;
/// Beyond this nobody is behind another: an old loop is not put off by ever new ones.
const MAX_DEBT: Duration = Duration::from_secs(1);

/// The turns of all guests. Clones share them.
#[derive(Clone)]
pub struct Turns {
    state: Arc<Mutex<State>>,
}

struct State {
    free: usize,
    /// By what they have computed, then in the order in which they came.
    waiting: BTreeMap<(Duration, u64), oneshot::Sender<Turn>>,
    arrived: u64,
}

/// The right to compute, until it is dropped. Empty once it was passed on.
struct Turn(Option<Turns>);

/// A guest stopped.
enum Stop<T> {
    Ended(T),
    /// It could go on.
    Interrupted,
}

impl Turns {
    /// Turns for all processors but one.
    pub fn new() -> Turns {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let state = State { free: processors.saturating_sub(1).max(1), waiting: BTreeMap::new(), arrived: 0 };
        Turns { state: Arc::new(Mutex::new(state)) }
    }

    /// Executes a guest, which sets `interrupted` when it yields though it could go on.
    pub async fn share<F: Future>(&self, interrupted: &AtomicBool, guest: F) -> F::Output {
        let mut guest = pin!(guest);
        let (mut debt, mut waits_since, mut turn) = (Duration::ZERO, None::<Instant>, None);
        loop {
            if debt > BURST {
                turn = Some(self.take(debt).await);
            }
            let stop = poll_fn(|context| {
                let began = Instant::now();
                if let Some(since) = waits_since.take() {
                    debt = debt.saturating_sub(began.duration_since(since) / WAIT_FOR_EACH);
                    if debt > BURST {
                        return Poll::Ready(Stop::Interrupted);
                    }
                }
                let polled = guest.as_mut().poll(context);
                let now = Instant::now();
                debt = debt.saturating_add(now.duration_since(began)).min(MAX_DEBT);
                match polled {
                    Poll::Ready(end) => Poll::Ready(Stop::Ended(end)),
                    Poll::Pending if interrupted.swap(false, Ordering::Relaxed) => Poll::Ready(Stop::Interrupted),
                    Poll::Pending => {
                        (waits_since, turn) = (Some(now), None);
                        Poll::Pending
                    }
                }
            });
            match stop.await {
                Stop::Ended(end) => return end,
                Stop::Interrupted => {
                    turn = None;
                    // Whoever may end this guest gets to look first.
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    async fn take(&self, debt: Duration) -> Turn {
        let waiting = {
            let mut state = self.state();
            if state.free > 0 {
                state.free -= 1;
                return Turn(Some(self.clone()));
            }
            let (sender, waiting) = oneshot::channel();
            state.arrived = state.arrived.wrapping_add(1);
            let place = (debt, state.arrived);
            state.waiting.insert(place, sender);
            waiting
        };
        // A sender is dropped only after it has sent.
        waiting.await.unwrap_or(Turn(None))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(turns) = self.0.take() else { return };
        loop {
            let next = {
                let mut state = turns.state();
                let Some((_, next)) = state.waiting.pop_first() else {
                    state.free += 1;
                    return;
                };
                next
            };
            match next.send(Turn(Some(turns.clone()))) {
                Ok(()) => return,
                // It was dropped while it waited.
                Err(mut back) => back.0 = None,
            }
        }
    }
}
