//! What was tried, and what came of it: each test adds its cases, and the table says them by row.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use libtest_mimic::Trial;

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

/// A test of the row with which its name begins, as in `v11_...`.
pub fn test(name: &'static str, body: impl AsyncFnOnce(&mut Cases) + Send + 'static) -> Trial {
    let row = name.split('_').next().unwrap_or_default().to_uppercase();
    Trial::test(name, move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        runtime.block_on(body(&mut Cases { row }));
        Ok(())
    })
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

/// The table: row, cases, verdicts.
pub fn print() {
    let rows = ROWS.lock().unwrap_or_else(PoisonError::into_inner);
    println!("\n{:<5} {:>5}  verdicts", "row", "cases");
    for (row, verdicts) in rows.iter() {
        let told: Vec<_> = verdicts.iter().map(|(verdict, times)| format!("{times} {verdict}")).collect();
        println!("{row:<5} {:>5}  {}", verdicts.values().sum::<usize>(), told.join(", "));
    }
}
