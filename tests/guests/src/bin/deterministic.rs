//! Does a program that lets chance decide take the same way in every replay? Hash maps, clocks, random numbers and the
//! environment choose its steps, `rounds` times. The output is a digest of all they said.
#![allow(clippy::disallowed_methods, reason = "clocks are the question")]

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::time::{Instant, SystemTime};

use relume::{Result, sleep, step, time::millis};

#[relume::main]
fn main(rounds: u32) -> Result<String> {
    let mut digest = DefaultHasher::new();
    for round in 0..rounds {
        // Its state is in memory: drawn from inside a step as well, it would stand elsewhere in a replay.
        let choice = chance() ^ rand::random::<u64>();
        choice.hash(&mut digest);
        match choice % 4 {
            0 => step(format!("left-{round}")).given(&choice).run(|| anyhow::Ok(chance()))?.hash(&mut digest),
            1 => (0..choice % 3).try_for_each(|_| step("right").given(&chance()).run(|| anyhow::Ok(())))?,
            2 => sleep(millis(choice % 20)),
            _ => relume::now().hash(&mut digest),
        }
    }
    Ok(format!("{:x}", digest.finish()))
}

/// Everything that differs from one start of an ordinary program to the next.
fn chance() -> u64 {
    let mut digest = DefaultHasher::new();
    let words = ["Ada", "Grace", "Edsger", "Barbara", "Alan", "Donald", "Tony"];
    words.into_iter().collect::<HashSet<_>>().into_iter().for_each(|word| word.hash(&mut digest));
    (0..50).map(|i| (i, ())).collect::<HashMap<_, _>>().into_keys().for_each(|key| key.hash(&mut digest));
    (SystemTime::now(), Instant::now(), RandomState::new().hash_one(7)).hash(&mut digest);
    getrandom::u64().expect("there is chance").hash(&mut digest);
    std::env::vars().for_each(|variable| variable.hash(&mut digest));
    digest.finish()
}
