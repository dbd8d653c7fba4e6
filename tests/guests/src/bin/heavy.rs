//! Does anything that a program hands to the host have an end? It hands over so many bytes in the way it is told to, so
//! many times.

use relume::{Result, app, event, step, time::millis};

#[derive(serde::Deserialize)]
struct Input {
    way: String,
    bytes: usize,
    times: u32,
}

#[relume::main]
fn main(Input { way, bytes, times }: Input) -> Result<String> {
    let text = "x".repeat(bytes);
    for _ in 0..times {
        match way.as_str() {
            "result" => _ = step("heavy").run(|| Result::<_>::Ok(text.clone()))?,
            "given" => step("heavy").given(&text).run(|| Result::<_>::Ok(()))?,
            "name" => step(&text).run(|| Result::<_>::Ok(()))?,
            "step_error" => step("heavy").attempts(1).run(|| -> Result<()> { anyhow::bail!("{text}") })?,
            "event" => _ = event(&text).timeout(millis(1)).wait::<()>(),
            "child_input" => _ = app("nobody").start::<()>(&text)?,
            "child_app" => _ = app(&text).start::<()>(&())?,
            "child_parameter" => _ = app("nobody").parameter("P", &text).start::<()>(&())?,
            "error" => anyhow::bail!("{text}"),
            "panic" => panic!("{text}"),
            _ => return Ok(text),
        }
    }
    Ok(String::new())
}
