//! Does a run get the results and errors of the runs it starts? `fan` of `app`, each with the input `[mode, i]`.

#[derive(serde::Deserialize)]
struct Input {
    app: String,
    mode: String,
    fan: u32,
}

#[relume::main]
fn main(Input { app, mode, fan }: Input) -> relume::Result<Vec<String>> {
    let results = relume::map(app, (0..fan).map(|i| (&mode, i)));
    Ok(results.into_iter().map(|result: Result<String, _>| result.unwrap_or_else(|e| e.to_string())).collect())
}
