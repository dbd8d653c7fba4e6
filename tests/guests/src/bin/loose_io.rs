//! Is the network closed outside steps, unless the app says `loose_io`? The output is what the URL answers, or why not.

#[relume::main]
fn main(url: String) -> relume::Result<String> {
    let answer = relume::http::post(url).send().map_or_else(|e| e.to_string(), |answer| answer.status().to_string());
    Ok(relume::step("done").run(|| anyhow::Ok(answer.clone()))?)
}
