//! Is the key in a step the same as that of its requests, and outside one that of the run? It asks `{url}/key`.

use relume::{Result, http, idempotency_key, step};

#[relume::main]
fn main(url: String) -> Result<[String; 3]> {
    let outside = idempotency_key();
    let inside = step("key").run(|| -> Result<_> {
        http::post(format!("{url}/key")).send()?.error_for_status()?;
        Ok(idempotency_key())
    })?;
    Ok([outside, inside, idempotency_key()])
}
