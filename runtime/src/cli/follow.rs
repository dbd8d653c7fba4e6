//! How is a log followed? Server-sent events, connected again after the last line whenever the
//! connection ends before the run does.

use std::ops::ControlFlow;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Method;

use super::client::Client;
use super::failure::Failure;
use super::run_id::RunId;
use crate::api::wire::{LogLine, StreamNotice};

/// A server that restarts is back after this many tries.
const MAX_TRIES: u32 = 10;
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// Calls `on_line` for every line of the run, and returns when it is over, or when that says so.
pub async fn follow(
    client: &Client,
    at: &RunId,
    attempt: Option<u32>,
    mut on_line: impl FnMut(&LogLine) -> ControlFlow<()>,
) -> Result<(), Failure> {
    let what = format!("the log of {at} cannot be followed");
    let query = attempt.map(|attempt| format!("?attempt={attempt}")).unwrap_or_default();
    let path = format!("{}/logs/stream{query}", at.path());
    let (mut last_line, mut tries) = (0, 0);
    loop {
        let request = client.request(Method::GET, &path)?.header("Last-Event-ID", last_line.to_string());
        match client.send(&what, request).await {
            Ok(response) => {
                let mut chunks = response.bytes_stream();
                let mut events = Events::default();
                while let Some(Ok(chunk)) = chunks.next().await {
                    for event in events.push(&chunk) {
                        tries = 0;
                        match event.name.as_str() {
                            "log" => {
                                let line: LogLine = read(&what, &event.data)?;
                                last_line = line.line_num;
                                if on_line(&line).is_break() {
                                    return Ok(());
                                }
                            }
                            "warning" if read::<StreamNotice>(&what, &event.data)?.end_of_stream => return Ok(()),
                            _ => {}
                        }
                    }
                }
            }
            // Worth another try only if it was there before.
            Err(failure) if failure.exit_code != 10 || tries == 0 && last_line == 0 => return Err(failure),
            Err(failure) if tries == MAX_TRIES => return Err(failure),
            Err(_) => {}
        }
        tries += 1;
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
}

fn read<T: serde::de::DeserializeOwned>(what: &str, data: &str) -> Result<T, Failure> {
    serde_json::from_str(data).map_err(|e| Failure::new(what).because(format!("an event is not Relume's: {e}")))
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    name: String,
    data: String,
}

/// Bytes become events.
#[derive(Default)]
struct Events {
    partial: Vec<u8>,
    event: Event,
}

impl Events {
    fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        self.partial.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(length) = self.partial[start..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.partial[start..start + length]).into_owned();
            start += length + 1;
            match line.trim_end_matches('\r').split_once(':') {
                Some(("event", name)) => name.trim_start().clone_into(&mut self.event.name),
                Some(("data", data)) => self.event.data.push_str(data.strip_prefix(' ').unwrap_or(data)),
                _ if line.trim_end().is_empty() => {
                    let event = std::mem::take(&mut self.event);
                    events.extend(Some(event).filter(|event| !event.data.is_empty()));
                }
                _ => {}
            }
        }
        self.partial.drain(..start);
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_the_bytes_arrive() {
        let text = b"event: log\nid: 1\ndata: {\"a\": \"b: c\"}\n\n: ping\n\nevent: warning\ndata: {}\n\nevent: log\n";
        for size in 1..=text.len() {
            let mut events = Events::default();
            let read: Vec<Event> = text.chunks(size).flat_map(|chunk| events.push(chunk)).collect();
            let event = |name: &str, data: &str| Event { name: name.into(), data: data.into() };
            assert_eq!(read, [event("log", "{\"a\": \"b: c\"}"), event("warning", "{}")], "{size}");
        }
    }
}
