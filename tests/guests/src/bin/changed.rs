//! What does the report of a changed program say? `VARIANT` is how it differs from `base`; `THEN=fail` ends it.

use relume::{Result, app, sleep, step, time::millis};

#[relume::main]
fn main() -> Result<()> {
    let variant = std::env::var("VARIANT").unwrap_or_else(|_| "base".to_owned());
    let is = |name: &str| variant == name;
    let work = |name: &str, cents: u32| step(name).given(&cents).run(|| anyhow::Ok(cents));

    let [first, second] = if is("reordered") { ["charge", "reserve"] } else { ["reserve", "charge"] };
    work(first, 100)?;
    if is("inserted") {
        work("check", 100)?;
    }
    if !is("removed") {
        work(if is("renamed") { "bill" } else { second }, if is("argument") { 250 } else { 100 })?;
    }
    sleep(millis(if is("slept_longer") { 20 } else { 10 }));
    // Whether there is the app `child` is not the question.
    let _child = app("child").start::<String>(&("ok", if is("other_input") { 2 } else { 1 }));
    if !is("ended_early") {
        work("ship", 100)?;
    }
    anyhow::ensure!(std::env::var("THEN").as_deref() != Ok("fail"), "failed, as asked");
    Ok(())
}
