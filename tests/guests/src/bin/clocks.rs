//! What do the clocks show outside a step, inside one, and after it? Six readings of the wall clock in microseconds, and
//! of a stopwatch. Before the last two it sleeps, outside of steps.
#![allow(clippy::disallowed_methods, reason = "clocks are the question")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use relume::{Result, step};

type Reading = (u128, u128);

#[relume::main]
fn main() -> Result<Vec<Reading>> {
    let began = Instant::now();
    let read = || -> Reading {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (wall.as_micros(), began.elapsed().as_micros())
    };
    let before = [read(), read()];
    let inside = step("look").run(|| {
        let first = read();
        let mut second = read();
        while second.0 == first.0 || second.1 == first.1 {
            second = read();
        }
        anyhow::Ok([first, second])
    })?;
    let after = read();
    std::thread::sleep(Duration::from_millis(20));
    Ok([&before[..], &inside, &[after, read()]].concat())
}
