//! Does the input arrive, typed, and the output leave?

use serde::{Deserialize, Serialize};

#[derive(Deserialize, Serialize)]
struct Message {
    text: String,
}

#[relume::main]
fn main(message: Message) -> relume::Result<Message> {
    Ok(message)
}
