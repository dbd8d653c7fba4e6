//! What may a program know of time and chance? A plain one everything, a durable one only what a
//! replay can tell it again: outside steps its clocks and random numbers follow from the run and
//! its journal. Inside a step they are real, as nothing but its result may leave it.
//!
//! A guest that sleeps outside a step does wake, though its clock stands still: std's
//! `thread::sleep` asks for a length (`subscribe-duration`) and looks at no clock, `sleep_until` for
//! the difference to the clock as it stands, and the host waits on a clock of its own. What never
//! ends is a loop of the guest's that waits for the clock to move; fuel and running time end it.
//!
//! Random numbers outside steps are no secrets: whoever knows the run's id can work them out.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rand_core::TryRng;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use uuid::Uuid;
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// What the wall clock counts, as the database's does. Were it finer inside a step than the moment at
/// which the step is recorded, it would go back when the step ends.
const WALL_RESOLUTION: Duration = Duration::from_millis(1);
/// What the other clock counts.
const RESOLUTION: Duration = Duration::from_nanos(1);
/// How much randomness is made at once: one sha256.
const BLOCK_BYTES: usize = 32;

/// Time and chance of one execution. Clones share everything.
#[derive(Clone)]
pub struct Derived {
    /// `None` if everything is real.
    state: Option<Arc<Mutex<State>>>,
}

impl Derived {
    /// For a program that uses the journal. `run_id` and `created_at` are those of the run in which
    /// the journal began (of a fork, its origin's), `now` is the database's clock.
    pub fn durable(run_id: Uuid, created_at: Timestamp, now: Timestamp) -> Derived {
        let created = since_1970(created_at);
        let state = State {
            run_id,
            created,
            clock: created,
            seq: 0,
            real: (since_1970(now), Instant::now()),
            in_step: false,
            secure: Stream::new(b'r'),
            insecure: Stream::new(b'i'),
        };
        Derived { state: Some(Arc::new(Mutex::new(state))) }
    }

    /// For a plain program: nothing is derived.
    pub fn real() -> Derived {
        Derived { state: None }
    }

    /// The program met entry `seq` of its journal, which was recorded at `at`: the clock stands
    /// there now, unless it was later already, and the random numbers begin anew.
    pub fn reached(&self, seq: u32, at: Timestamp) {
        let Some(mut state) = self.state() else { return };
        let at = since_1970(at);
        state.clock = state.clock.max(at);
        if at > state.real_now() {
            // The entry is newer than what we thought the database's clock to be.
            state.real = (at, Instant::now());
        }
        state.seq = seq;
        state.secure = Stream::new(state.secure.name);
        state.insecure = Stream::new(state.insecure.name);
    }

    /// From here on everything is real.
    pub fn enter_step(&self) {
        if let Some(mut state) = self.state() {
            state.in_step = true;
        }
    }

    /// From here on everything is derived, and goes on where it was when the step began.
    pub fn leave_step(&self) {
        if let Some(mut state) = self.state() {
            state.in_step = false;
        }
    }

    /// Makes this what the guest of `wasi` knows.
    pub fn set(&self, wasi: &mut WasiCtxBuilder) {
        let Some(state) = &self.state else { return };
        wasi.wall_clock(Clock(state.clone())).monotonic_clock(Clock(state.clone()));
        wasi.secure_random(Random { state: state.clone(), stream: |state| &mut state.secure });
        wasi.insecure_random(Random { state: state.clone(), stream: |state| &mut state.insecure });
        wasi.insecure_random_seed(lock(state).hash_seed());
    }

    fn state(&self) -> Option<MutexGuard<'_, State>> {
        self.state.as_deref().map(lock)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A moment as a length of time; 1970 for those before.
fn since_1970(moment: Timestamp) -> Duration {
    Duration::try_from(moment.as_duration()).unwrap_or_default()
}

struct State {
    run_id: Uuid,
    /// Moments are lengths since 1970.
    created: Duration,
    /// Where the clock stands outside steps.
    clock: Duration,
    /// The last entry that was met, 0 before the first.
    seq: u32,
    /// The database's clock at a moment of ours.
    real: (Duration, Instant),
    in_step: bool,
    secure: Stream,
    insecure: Stream,
}

impl State {
    fn now(&self) -> Duration {
        match self.in_step {
            true => self.clock.max(self.real_now()),
            false => self.clock,
        }
    }

    /// The database's clock, as far as we know it.
    fn real_now(&self) -> Duration {
        self.real.0.saturating_add(self.real.1.elapsed())
    }

    /// The seed of the guest's hash maps. The same inside steps, where std may first ask for it: the
    /// maps outside would keep it.
    fn hash_seed(&self) -> u128 {
        let bytes = digest(self.run_id, b's', 0, 0);
        bytes[..16].iter().fold(0, |seed, byte| seed << 8 | u128::from(*byte))
    }
}

/// Random bytes that are the same for the same run, entry and place in the stream.
fn digest(run_id: Uuid, name: u8, seq: u32, block: u64) -> [u8; BLOCK_BYTES] {
    let hash = Sha256::new_with_prefix(b"relume").chain_update([name]).chain_update(run_id);
    hash.chain_update(seq.to_be_bytes()).chain_update(block.to_be_bytes()).finalize().into()
}

/// The random numbers since the last entry.
struct Stream {
    /// Tells the streams apart.
    name: u8,
    /// How many blocks were made.
    blocks: u64,
    block: [u8; BLOCK_BYTES],
    /// How much of `block` is used up.
    used: usize,
}

impl Stream {
    fn new(name: u8) -> Stream {
        Stream { name, blocks: 0, block: [0; BLOCK_BYTES], used: BLOCK_BYTES }
    }

    fn fill(&mut self, run_id: Uuid, seq: u32, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == BLOCK_BYTES {
                self.block = digest(run_id, self.name, seq, self.blocks);
                self.blocks = self.blocks.wrapping_add(1);
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }
}

/// Both of the guest's clocks: its wall clock, and the time since the run was asked for.
struct Clock(Arc<Mutex<State>>);

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        WALL_RESOLUTION
    }

    fn now(&self) -> Duration {
        let now = lock(&self.0).now();
        Duration::new(now.as_secs(), now.subsec_millis() * 1_000_000)
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        nanoseconds(RESOLUTION)
    }

    fn now(&self) -> u64 {
        let state = lock(&self.0);
        nanoseconds(state.now().saturating_sub(state.created))
    }
}

fn nanoseconds(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

/// A source of random numbers.
struct Random {
    state: Arc<Mutex<State>>,
    stream: fn(&mut State) -> &mut Stream,
}

impl Random {
    fn fill(&self, bytes: &mut [u8]) {
        let mut state = lock(&self.state);
        if state.in_step {
            // Without randomness we cannot serve anyone: the attempt ends as our fault.
            return getrandom::fill(bytes).expect("the system has random bytes");
        }
        let (run_id, seq) = (state.run_id, state.seq);
        (self.stream)(&mut state).fill(run_id, seq, bytes);
    }

    fn array<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.array()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.array()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::Rng;

    const CREATED_AT: Timestamp = Timestamp::constant(1_000_000, 0);

    fn after(seconds: i64) -> Timestamp {
        CREATED_AT + Duration::from_secs(seconds.unsigned_abs())
    }

    /// Claimed an hour after the run was asked for.
    fn derived(run: u128) -> Derived {
        Derived::durable(Uuid::from_u128(run), CREATED_AT, after(3600))
    }

    fn shared(derived: &Derived) -> Arc<Mutex<State>> {
        derived.state.clone().expect("a durable program's clock is derived")
    }

    /// What the guest's clocks show, as lengths since the run was asked for.
    fn clocks(derived: &Derived) -> (Duration, Duration) {
        let clock = Clock(shared(derived));
        let wall = HostWallClock::now(&clock).saturating_sub(since_1970(CREATED_AT));
        (wall, Duration::from_nanos(HostMonotonicClock::now(&clock)))
    }

    fn secure(derived: &Derived) -> Random {
        Random { state: shared(derived), stream: |state| &mut state.secure }
    }

    fn insecure(derived: &Derived) -> Random {
        Random { state: shared(derived), stream: |state| &mut state.insecure }
    }

    /// The next random numbers of both kinds.
    fn drawn(derived: &Derived) -> [u64; 2] {
        [secure(derived).next_u64(), insecure(derived).next_u64()]
    }

    #[test] // R40
    fn outside_steps_the_clock_stands_at_the_last_entry_and_never_goes_back() {
        let derived = derived(1);
        let stands_at = |seconds| assert_eq!(clocks(&derived), [Duration::from_secs(seconds); 2].into());
        stands_at(0);
        derived.reached(1, after(5));
        stands_at(5);
        derived.reached(2, after(3));
        stands_at(5);
        derived.enter_step();
        derived.leave_step();
        stands_at(5);
    }

    #[test]
    fn inside_a_step_the_clock_is_the_databases_and_moves() {
        let derived = derived(1);
        derived.enter_step();
        let (began, _) = clocks(&derived);
        assert!(began >= Duration::from_secs(3600), "{began:?}");
        // Does not end if the clock stands.
        while clocks(&derived).0 == began {}
        // The database turns out to be ahead of what was known of it.
        derived.reached(1, after(7200));
        let (ahead, _) = clocks(&derived);
        assert!(ahead >= Duration::from_secs(7200), "{ahead:?}");
        while clocks(&derived).1 <= ahead {}
    }

    #[test] // R40
    fn a_moment_inside_a_step_is_never_later_than_the_moment_at_which_it_is_recorded() {
        let derived = derived(1);
        derived.enter_step();
        let (inside, _) = clocks(&derived);
        // The database writes down whole milliseconds.
        assert_eq!(inside.subsec_nanos() % 1_000_000, 0, "{inside:?}");
        derived.leave_step();
        derived.reached(1, CREATED_AT + inside);
        assert_eq!(clocks(&derived).0, inside);
    }

    #[test] // R40
    fn random_numbers_repeat_for_the_same_run_and_entry_and_for_no_other() {
        let history = |run| {
            let derived = derived(run);
            let before = [drawn(&derived), drawn(&derived)];
            derived.reached(1, after(1));
            let first = drawn(&derived);
            derived.reached(2, after(1));
            [before[0], before[1], first, drawn(&derived)].concat()
        };
        assert_eq!(history(1), history(1));
        let mut all = [history(1), history(2)].concat();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 16, "no two are the same");
    }

    #[test] // R40
    fn what_is_drawn_inside_a_step_is_real_and_leaves_no_trace_outside() {
        let after_a_step = |executed| {
            let derived = derived(1);
            drawn(&derived);
            let mut inside = None;
            if executed {
                derived.enter_step();
                inside = Some(drawn(&derived));
                derived.leave_step();
            }
            (inside, drawn(&derived))
        };
        let (replayed, executed, again) = (after_a_step(false), after_a_step(true), after_a_step(true));
        assert_eq!(replayed.1, executed.1);
        assert_ne!(executed.0, again.0);
    }

    #[test]
    fn a_number_is_the_same_bytes_however_it_is_asked_for() {
        let mut bytes = [0; 76];
        secure(&derived(1)).fill_bytes(&mut bytes);
        let derived = derived(1);
        let mut random = secure(&derived);
        assert_eq!(random.next_u32().to_le_bytes(), bytes[..4]);
        for eight in bytes[4..].chunks(8) {
            assert_eq!(random.next_u64().to_le_bytes(), eight);
        }
    }

    #[test] // R40
    fn the_seed_of_hash_maps_is_one_for_each_run() {
        let seed = |derived: &Derived| lock(&shared(derived)).hash_seed();
        let run = derived(1);
        let before = seed(&run);
        run.reached(1, after(1));
        run.enter_step();
        assert_eq!(seed(&run), before);
        assert_ne!(seed(&derived(2)), before);
    }
}
