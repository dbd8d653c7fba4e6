//! What did a program ask of the world? For a test that compares two executions.

use std::sync::{Arc, Mutex, PoisonError};

/// The requests of an execution, in their order. Clones are the same list.
#[derive(Clone, Default)]
pub struct Effects {
    requests: Arc<Mutex<Vec<Effect>>>,
}

/// A request that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The key of the step that sent it, see [`super::egress::OpenKey`]; `None` outside steps.
    pub step: Option<String>,
    pub method: String,
    pub url: String,
    pub idempotency_key: Option<String>,
    pub body: Vec<u8>,
}

impl Effects {
    pub(super) fn add(&self, effect: Effect) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(effect);
    }

    /// The requests so far.
    pub fn list(&self) -> Vec<Effect> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
