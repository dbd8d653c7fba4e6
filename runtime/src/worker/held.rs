//! Which runs does this worker execute? The worker's side of the comparison with the database.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::store::Lease;

/// The runs this worker executes.
#[derive(Default)]
pub struct Held {
    /// By run id; a run appears once.
    runs: BTreeMap<uuid::Uuid, Run>,
}

struct Run {
    lease: Lease,
    taken: CancellationToken,
    /// Dead once the attempt's task is done with the run.
    alive: std::sync::Weak<()>,
}

/// One attempt's side: it is over when this is dropped.
pub struct Holding {
    /// Cancelled when the run is no longer this worker's.
    pub taken: CancellationToken,
    _alive: Arc<()>,
}

impl Held {
    /// A run was claimed.
    pub fn add(&mut self, lease: Lease) -> Holding {
        let alive = Arc::new(());
        let taken = CancellationToken::new();
        self.runs.retain(|_, run| run.alive.strong_count() > 0);
        self.runs.insert(lease.run_id, Run { lease, taken: taken.clone(), alive: Arc::downgrade(&alive) });
        Holding { taken, _alive: alive }
    }

    /// Tells the attempts whose lease is not among `ours` that their run was taken, and returns
    /// the leases among `ours` that no attempt here knows of.
    pub fn reconcile(&mut self, ours: &[Lease]) -> Vec<Lease> {
        self.runs.retain(|_, run| run.alive.strong_count() > 0);
        for run in self.runs.values() {
            if !ours.contains(&run.lease) {
                run.taken.cancel();
            }
        }
        ours.iter().filter(|lease| !self.runs.contains_key(&lease.run_id)).copied().collect()
    }

    /// Forgets them all.
    pub fn clear(&mut self) {
        self.runs.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn lease(n: u128, fence: i64) -> Lease {
        Lease { run_id: Uuid::from_u128(n), fence }
    }

    #[test] // R12
    fn an_attempt_whose_lease_is_gone_is_told() {
        let mut held = Held::default();
        let (kept, taken, newer) = (held.add(lease(1, 0)), held.add(lease(2, 0)), held.add(lease(3, 0)));
        assert_eq!(held.reconcile(&[lease(1, 0), lease(3, 1)]), []);
        assert!(!kept.taken.is_cancelled());
        assert!(taken.taken.is_cancelled());
        assert!(newer.taken.is_cancelled(), "the fence rose");
    }

    #[test] // R40
    fn a_run_that_no_attempt_knows_is_given_back() {
        let mut held = Held::default();
        let known = held.add(lease(1, 0));
        assert_eq!(held.reconcile(&[lease(1, 0), lease(2, 5)]), [lease(2, 5)]);
        drop(known);
        assert_eq!(held.reconcile(&[lease(1, 0)]), [lease(1, 0)]);
    }
}
