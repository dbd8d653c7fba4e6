//! Is a step that is begun at most once left alone after a crash, and the program told so? It asks `{url}/pay`.

#[derive(serde::Deserialize)]
struct Input {
    url: String,
}

#[relume::main]
fn main(Input { url }: Input) -> relume::Result<String> {
    let pay = || relume::http::post(format!("{url}/pay")).send()?.error_for_status()?.text();
    match relume::step("pay").at_most_once().run(pay) {
        Ok(_) => Ok("paid".to_owned()),
        Err(error) if error.is_indeterminate() => Ok("unknown".to_owned()),
        Err(error) => Err(error.into()),
    }
}
