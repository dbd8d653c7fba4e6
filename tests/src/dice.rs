//! Chance for tests: another each time, and the same again with the seed that was printed.

use std::time::Duration;

use uuid::Uuid;

/// Names the seed to be taken, as in `RELUME_SEED=7`.
const SEED: &str = "RELUME_SEED";

/// A source of numbers that look random.
#[derive(Debug)]
pub struct Dice {
    state: u64,
}

impl Dice {
    /// With the seed that the environment names, or a new one. Prints it.
    ///
    /// # Panics
    /// When what the environment names is no number.
    pub fn cast() -> Dice {
        let seed = match std::env::var(SEED) {
            Ok(seed) => seed.parse().unwrap_or_else(|error| panic!("{SEED}={seed}: {error}")),
            Err(_) => Uuid::now_v7().as_u64_pair().1,
        };
        eprintln!("{SEED}={seed}");
        Dice { state: seed }
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // Splitmix64: short, and good enough for anything but secrets.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % n
    }

    /// One of them.
    pub fn pick<'a, T>(&mut self, items: &'a mut [T]) -> &'a mut T {
        let index = self.below(items.len() as u64);
        &mut items[index as usize]
    }

    /// A length of time below `limit`, in whole milliseconds.
    pub fn moment(&mut self, limit: Duration) -> Duration {
        Duration::from_millis(self.below(limit.as_millis() as u64))
    }
}
