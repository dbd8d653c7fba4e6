//! What was tried, and what came of it: each test adds its cases, and the table says them by row.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use tokio::time::Instant;

/// Verdicts by row and how often each came about.
static ROWS: Mutex<BTreeMap<String, BTreeMap<String, usize>>> = Mutex::new(BTreeMap::new());

/// The cases of one test.
pub struct Cases {
    row: String,
}

impl Cases {
    /// A case came to this end. Not called for one that did not end as it should: its test fails.
    pub fn add(&mut self, verdict: &str) {
        let mut rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
        *rows.entry(self.row.clone()).or_default().entry(verdict.to_owned()).or_default() += 1;
    }
}

/// How long each test took.
static TIMES: Mutex<Vec<(Duration, &str)>> = Mutex::new(Vec::new());
/// Of how many it is told: whoever finds the suite too long begins there.
const SLOWEST: usize = 8;

/// Held while a test runs: by one that measures alone, by the others together.
static MACHINE: RwLock<()> = RwLock::new(());

/// A test of the row with which its name begins, as in `v11_...`.
pub fn test(name: &'static str, body: impl AsyncFnOnce(&mut Cases) + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let _shared = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        run(name, body)
    })
}

/// The same of a test that measures, and has the machine to itself.
pub fn test_alone(name: &'static str, body: impl AsyncFnOnce(&mut Cases) + Send + 'static) -> Trial {
    Trial::test(name, move || {
        let _alone = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        run(name, body)
    })
}

fn run(name: &'static str, body: impl AsyncFnOnce(&mut Cases)) -> Result<(), Failed> {
    let row = name.split('_').next().unwrap_or_default().to_uppercase();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let begun = Instant::now();
    runtime.block_on(body(&mut Cases { row }));
    TIMES.lock().unwrap_or_else(PoisonError::into_inner).push((begun.elapsed(), name));
    Ok(())
}

/// How many cases there were.
pub fn count() -> usize {
    let rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    rows.values().flat_map(BTreeMap::values).sum()
}

/// Whether every row has cases, and there are enough.
pub fn is_complete() -> bool {
    let rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_there = |number| rows.contains_key(&format!("V{number:02}"));
    (1..=crate::ROWS).all(is_there) && rows.values().flat_map(BTreeMap::values).sum::<usize>() >= crate::MIN_CASES
}

/// The table: row, cases, verdicts. Then what took the longest.
pub fn print() {
    let rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    println!("\n{:<5} {:>5}  verdicts", "row", "cases");
    for (row, verdicts) in rows.iter() {
        let told: Vec<_> = verdicts.iter().map(|(verdict, times)| format!("{times} {verdict}")).collect();
        println!("{row:<5} {:>5}  {}", verdicts.values().sum::<usize>(), told.join(", "));
    }
    let mut times = TIMES.lock().unwrap_or_else(PoisonError::into_inner);
    times.sort_unstable_by(|a, b| b.cmp(a));
    for (took, name) in times.iter().take(SLOWEST) {
        println!("{:>5.0} s  {name}", took.as_secs_f64());
    }
}
