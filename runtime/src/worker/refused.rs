//! Which code can this worker not run at the moment? It does not claim runs of such code, so that
//! another worker may take them at once, and tries again later. Source: R29.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The wait after the first failure; it doubles with each.
const FIRST_WAIT: Duration = Duration::from_secs(5);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Digests of code that could not be made ready here.
#[derive(Default)]
pub struct Refused {
    until: Mutex<BTreeMap<String, (u32, Instant)>>,
}

impl Refused {
    /// The code could not be made ready. Returns how long this worker leaves its runs to others.
    pub fn add(&self, digest: &str) -> Duration {
        let mut until = self.until();
        let (failures, moment) = until.entry(digest.to_owned()).or_insert((0, Instant::now()));
        let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(*failures)).min(LONGEST_WAIT);
        *failures = failures.saturating_add(1);
        *moment = Instant::now() + wait;
        wait
    }

    /// The code is ready after all.
    pub fn remove(&self, digest: &str) {
        self.until().remove(digest);
    }

    /// The code whose runs are left to others now.
    pub fn digests(&self) -> Vec<String> {
        let now = Instant::now();
        self.until().iter().filter(|(_, (_, until))| *until > now).map(|(digest, _)| digest.clone()).collect()
    }

    fn until(&self) -> MutexGuard<'_, BTreeMap<String, (u32, Instant)>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)] // R29
    async fn the_wait_doubles_from_five_seconds_to_five_minutes_without_end() {
        let refused = Refused::default();
        let waits: Vec<_> = (0..40).map(|_| refused.add("code").as_secs()).collect();
        assert_eq!(waits[..8], [5, 10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(waits[39], 300);
        assert_eq!(refused.digests(), ["code"]);
        tokio::time::advance(LONGEST_WAIT).await;
        assert!(refused.digests().is_empty(), "it is tried again");
        assert_eq!(refused.add("code"), LONGEST_WAIT, "and was not forgotten");
        refused.remove("code");
        assert_eq!(refused.add("code"), FIRST_WAIT);
    }
}
