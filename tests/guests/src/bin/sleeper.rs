//! Does a sleep of so many milliseconds end, later, and never earlier? The output is when it began and ended.

use relume::{now, sleep, time::millis};

#[relume::main]
fn main(length_ms: u64) -> relume::Result<[u128; 2]> {
    let began_at = now();
    sleep(millis(length_ms));
    Ok([began_at, now()].map(|moment| moment.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis()))
}
