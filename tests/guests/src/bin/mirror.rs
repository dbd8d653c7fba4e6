//! Does any text come back as it was? It is printed, recorded as a step's name, argument, result or error, waited for
//! as an event, and returned; what cannot be a name is left out.

use relume::{event, step, time::millis};
use serde_json::value::RawValue;

#[derive(serde::Deserialize)]
struct Input {
    text: String,
    /// `fail`, `panic`, `wait` for an event of that name, or else return it.
    #[serde(default)]
    end: String,
}

#[relume::main]
fn main(Input { text, end }: Input) -> relume::Result<Box<RawValue>> {
    println!("{text}");
    eprintln!("{text}");
    if (1..=256).contains(&text.len()) && !text.contains('\0') {
        step(&text).given(&text).run(|| relume::Result::<_>::Ok(text.clone()))?;
        if end != "wait" {
            event(&text).timeout(millis(1)).wait::<()>().ok();
        }
    }
    step("fails").attempts(1).run(|| -> relume::Result<()> { anyhow::bail!("{text}") }).ok();
    match end.as_str() {
        "fail" => anyhow::bail!("{text}"),
        "panic" => panic!("{text}"),
        "wait" => event(&text).wait::<()>()?,
        "raw" => return Ok(step("raw").run(|| relume::Result::<_>::Ok(RawValue::from_string(text.clone())?))?),
        _ => {}
    }
    Ok(serde_json::value::to_raw_value(&text)?)
}
