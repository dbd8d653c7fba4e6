//! Hash maps iterate in a replay as they did before, also behind a step that made maps of its own.
//!
//! The standard library asks for the keys of hash maps once, and then adds one to them for each map. A replay skips a
//! step's body, so the maps behind it would get other keys. The journal therefore keeps how many keys were given
//! out while the step was executed, and a replay takes as many.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::hint::black_box;

use siphasher::sip::SipHasher13;

/// How many keys a body may take and still be followed. Beyond it, later maps may iterate in another order.
const MAX_FOLLOWED: u32 = 1 << 24;

thread_local! {
    /// The keys that were taken last, as far as they are known.
    static LAST: Cell<Option<(u64, u64)>> = const { Cell::new(None) };
}

/// Takes the first keys, so that the standard library does not ask for them in a step.
pub fn init() {
    let (k0, k1) = wasip2::random::insecure_seed::insecure_seed();
    let seen = probe();
    // Should the standard library ever make its keys in another way, nothing is followed.
    let is_known = hash(k0, k1) == seen;
    LAST.set(is_known.then_some((k0, k1)));
}

/// The place where a step begins.
pub struct Mark {
    began: Option<(u64, u64)>,
}

impl Mark {
    /// Takes keys, to know the place.
    pub fn new() -> Mark {
        find();
        Mark { began: LAST.get() }
    }

    /// How many keys were given out since, this look and the mark's own included.
    pub fn taken(&self) -> u32 {
        find();
        match (self.began, LAST.get()) {
            (Some((then, _)), Some((now, _))) => u32::try_from(now.wrapping_sub(then)).map_or(0, |taken| taken + 1),
            _ => 0,
        }
    }
}

/// Takes as many keys as a step did that is skipped.
pub fn skip(taken: u32) {
    for _ in 0..taken.min(MAX_FOLLOWED) {
        black_box(RandomState::new());
    }
    LAST.set(LAST.get().map(|(k0, k1)| (k0.wrapping_add(taken.into()), k1)));
}

/// Takes keys, and finds out which they are.
fn find() {
    let seen = probe();
    let found = LAST.get().and_then(|(k0, k1)| {
        let mut next = (1..=MAX_FOLLOWED).map(|n| k0.wrapping_add(n.into()));
        next.find(|k0| hash(*k0, k1) == seen).map(|k0| (k0, k1))
    });
    LAST.set(found);
}

fn probe() -> u64 {
    RandomState::new().build_hasher().finish()
}

fn hash(k0: u64, k1: u64) -> u64 {
    SipHasher13::new_with_keys(k0, k1).finish()
}
