//! What people and other programs tell the run: [`event`] waits for one, by its name.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::bindings::relume::durable::events;
use crate::run;
use crate::time::whole_millis;

/// An event, by a name of 1 to 256 bytes. It does nothing before [`Event::wait`].
///
/// It is sent by `relume events send`, or a POST to `/v1/apps/{app}/runs/{number}/events/{name}`. It may be sent before
/// the program asks for it: it is then kept. Each is delivered once, the oldest first.
///
/// ```no_run
/// # use relume::{EventError, Result, event};
/// # use relume::time::days;
/// #[derive(serde::Deserialize)]
/// struct Approval {
///     by: String,
/// }
///
/// # fn main() -> Result<()> {
/// match event("approve").timeout(days(7)).wait::<Approval>() {
///     Ok(approval) => println!("approved by {}", approval.by),
///     Err(EventError::TimedOut { .. }) => println!("nobody approved it"),
///     Err(error) => return Err(error.into()),
/// }
/// # Ok(()) }
/// ```
pub fn event(name: impl Into<String>) -> Event {
    Event { name: name.into(), timeout: None }
}

/// An event that has a name and waits for [`wait`](Event::wait).
#[derive(Debug, Clone)]
#[must_use = "an event is not waited for before `wait`"]
pub struct Event {
    name: String,
    timeout: Option<Duration>,
}

impl Event {
    /// Sets how long to wait. Without it, [`wait`](Event::wait) waits for ever.
    pub fn timeout(mut self, timeout: Duration) -> Event {
        self.timeout = Some(timeout);
        self
    }

    /// Waits for the event, and returns its payload, which it must hold as JSON; no payload is JSON `null`. While the
    /// program waits it is not held in memory.
    ///
    /// # Errors
    /// [`EventError`] when the time is up, or the payload is not a `T`. The event is delivered then, too: who waits
    /// again waits for the next one.
    pub fn wait<T: DeserializeOwned>(self) -> Result<T, EventError> {
        match (events::await_(&self.name, self.timeout.map(whole_millis)), self.timeout) {
            (Some(payload), _) => payload_of(self.name, &payload),
            (None, timeout) => Err(EventError::TimedOut { event: self.name, timeout: timeout.unwrap_or_default() }),
        }
    }
}

fn payload_of<T: DeserializeOwned>(event: String, payload: &[u8]) -> Result<T, EventError> {
    run::read_or_null(payload).map_err(|problem| EventError::Invalid { event, problem })
}

/// An event did not bring what was waited for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// It did not come in time.
    #[error("no event `{event}` within {timeout:?}")]
    TimedOut {
        /// The event's name.
        event: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// Its payload is not of the type that was asked for.
    #[error("the event `{event}` has another payload than expected: {problem}")]
    Invalid {
        /// The event's name.
        event: String,
        /// What is wrong, and with which field.
        problem: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // R42
    fn the_payload_is_json() {
        assert_eq!(payload_of::<Vec<u8>>("approve".to_owned(), b"[1]"), Ok(vec![1]));
        assert_eq!(payload_of::<Option<u8>>("approve".to_owned(), b""), Ok(None));
        let error = payload_of::<Vec<u8>>("approve".to_owned(), b"[-1]").expect_err("-1 is no byte");
        let text = "the event `approve` has another payload than expected: [0]: invalid value: integer `-1`";
        assert!(error.to_string().starts_with(text), "{error}");
    }

    #[test] // R42
    fn a_timeout_says_what_was_waited_for() {
        let error = EventError::TimedOut { event: "approve".to_owned(), timeout: crate::time::minutes(2) };
        assert_eq!(error.to_string(), "no event `approve` within 120s");
    }
}
