//! Many runs at once: counts the primes below 50,000 in 50 parts, each a run of its own, and adds them up.
//!
//! The input is `{"parts": 50}`; the answer is 5133. Each part is a run of this same app, with an input such as
//! `{"part": 7}`. They are spread over all workers there are, while the run that started them is in none.

use relume::{Result, map, run, step};
use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Work {
    /// So many parts, from 0.
    Parts(u32),
    /// The numbers from a thousand times this on.
    Part(u32),
}

#[relume::main]
fn main(work: Work) -> Result<u64> {
    match work {
        Work::Parts(n) => {
            let counts = map(run::app(), (0..n).map(Work::Part));
            counts.into_iter().map(|count: Result<u64, _>| Ok(count?)).sum()
        }
        Work::Part(part) => Ok(step("count").run(|| Ok::<_, relume::Error>(primes_of(part)))?),
    }
}

/// How many primes there are among the thousand numbers of the part.
fn primes_of(part: u32) -> u64 {
    let first = u64::from(part) * 1000;
    println!("from {first} on");
    (first..first + 1000).filter(|n| is_prime(*n)).count() as u64
}

fn is_prime(n: u64) -> bool {
    n >= 2 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d))
}
