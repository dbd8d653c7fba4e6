//! Is a request given up when its time is up? The input is the URL of a server that does not answer.

use std::time::Duration;

#[relume::main]
fn main(url: String) -> relume::Result<u16> {
    let get =
        || relume::http::get(&url).timeout(Duration::from_millis(200)).send().map(|answer| answer.status().as_u16());
    Ok(relume::step("get").attempts(1).run(get)?)
}
