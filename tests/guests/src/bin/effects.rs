//! How often does the world see each step? Step `step-i` POSTs to `{url}/step-i`, once; the answers are the output.

use relume::{Result, http, step};

#[derive(serde::Deserialize)]
struct Input {
    url: String,
    steps: u32,
}

#[relume::main]
fn main(Input { url, steps }: Input) -> Result<Vec<String>> {
    let post = |name: &str| http::post(format!("{url}/{name}")).send()?.error_for_status()?.text();
    (1..=steps).map(|i| format!("step-{i}")).map(|name| Ok(step(&name).attempts(1).run(|| post(&name))?)).collect()
}
