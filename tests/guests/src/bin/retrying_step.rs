//! Is a step that fails executed again until it succeeds? It asks `{url}/try`, and prints a line each time.

#[derive(serde::Deserialize)]
struct Input {
    url: String,
}

#[relume::main]
fn main(Input { url }: Input) -> relume::Result<String> {
    Ok(relume::step("try").run(|| {
        println!("trying");
        relume::http::post(format!("{url}/try")).send()?.error_for_status()?.text()
    })?)
}
