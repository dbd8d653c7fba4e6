//! `runs calls`: what a run asked of other hosts, and what came of it.

use super::amounts::bytes;
use super::client::Client;
use super::failure::Failure;
use super::output::{Output, shortened};
use super::run_id::RunId;
use crate::api::wire::{Call, Calls};

const HEADING: [&str; 10] = ["CALL", "ATTEMPT", "STEP", "METHOD", "URL", "STATUS", "TOOK", "RECEIVED", "SENT", "ERROR"];

pub async fn calls(at: &RunId, client: &Client, output: Output) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut after = Some(0);
    while let Some(last) = after {
        let path = format!("{}/calls?after={last}", at.path());
        let answer = client.get::<Calls>(&format!("the calls of {at} cannot be read"), &path).await?;
        if output.json {
            output.data(&answer.text);
        }
        after = answer.body.next_after;
        rows.extend(answer.body.calls.iter().map(row));
    }
    if !output.json {
        output.table(&HEADING, &rows);
    }
    Ok(())
}

fn row(call: &Call) -> Vec<String> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        call.call_num.to_string(),
        call.attempt_seq.to_string(),
        or_none(call.step_seq.map(|seq| seq.to_string())),
        shortened(&call.method),
        shortened(&call.url),
        or_none(call.status.map(|status| status.to_string())),
        format!("{} ms", call.took_ms),
        bytes(call.bytes_in),
        bytes(call.bytes_out),
        or_none(call.error.as_deref().map(shortened)),
    ]
}
