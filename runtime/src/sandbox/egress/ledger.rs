//! What was called, and what came of it? Each call of an attempt, sent or refused, is one entry of the run's list,
//! written once it is over, and at the end of the attempt at the latest.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use http::{Method, Uri};
use jiff::Timestamp;
use tokio::time::Instant;

use super::bodies::Traffic;
use super::failures::Failed;
use crate::log::Log;
use crate::store;
use crate::telemetry::{EGRESS_CALLS, EGRESS_REFUSED};

/// The longest address of a call that is kept.
const MAX_URL_BYTES: usize = 2048;
/// The longest method that is kept: longer ones are nobody's.
const MAX_METHOD_BYTES: usize = 32;

/// The calls of an attempt.
pub struct Ledger {
    log: Log,
    attempt: u32,
    traffic: Traffic,
    /// Those that may not be over.
    open: Mutex<Vec<Weak<Call>>>,
}

/// One call. Dropped, it is over.
pub struct Call {
    log: Log,
    traffic: Traffic,
    began: Instant,
    received: AtomicU64,
    sent: AtomicU64,
    /// `None` once it is over.
    entry: Mutex<Option<store::Call>>,
}

impl Ledger {
    /// The calls of the attempt `attempt` go where its log goes, and their bytes are counted in `traffic`.
    pub fn new(log: Log, attempt: u32, traffic: Traffic) -> Ledger {
        Ledger { log, attempt, traffic, open: Mutex::default() }
    }

    /// Begins a call from the step `seq`.
    pub fn begin(&self, seq: Option<u32>, method: &Method, uri: &Uri) -> Arc<Call> {
        metrics::counter!(EGRESS_CALLS).increment(1);
        let entry = store::Call {
            call_num: 0,
            attempt: self.attempt,
            seq,
            method: cut(self.log.hidden(method.as_str()), MAX_METHOD_BYTES),
            url: cut(self.log.hidden(&without_secrets(uri)), MAX_URL_BYTES),
            status: None,
            error: None,
            bytes_in: 0,
            bytes_out: 0,
            took: Duration::ZERO,
            recorded_at: Timestamp::UNIX_EPOCH,
        };
        let call = Arc::new(Call {
            log: self.log.clone(),
            traffic: self.traffic.clone(),
            began: Instant::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            entry: Mutex::new(Some(entry)),
        });
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|call| call.strong_count() > 0);
        open.push(Arc::downgrade(&call));
        call
    }

    /// The attempt is over, and so are its calls.
    pub fn close(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap_or_else(PoisonError::into_inner));
        for call in open.iter().filter_map(Weak::upgrade) {
            call.end(Some("the attempt ended first"));
        }
    }
}

impl Call {
    /// Counts bytes of its answer's body.
    pub fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        self.traffic.add_received(bytes);
    }

    /// Counts bytes of its body.
    pub fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        self.traffic.add_sent(bytes);
    }

    /// It was answered; its body may follow.
    pub fn answered(&self, status: u16) {
        let mut entry = self.entry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = &mut *entry {
            entry.status = Some(status);
        }
    }

    /// It came to nothing, or broke off. A refusal is said in the log, unless the program only repeats what it did
    /// before, and was refused then.
    pub fn fail(&self, failed: &Failed) {
        if failed.is_refusal {
            metrics::counter!(EGRESS_REFUSED).increment(1);
        }
        match failed.is_refusal {
            true if self.log.is_muted() => return drop(self.take()),
            true => self.log.setup(&format!("refused: {}", failed.why)),
            false => {}
        }
        self.end(Some(&failed.why));
    }

    fn take(&self) -> Option<store::Call> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// It is over, if it was not yet.
    pub fn end(&self, error: Option<&str>) {
        let Some(entry) = self.take() else { return };
        self.log.call(store::Call {
            error: error.map(|error| self.log.hidden(error)),
            bytes_in: self.received.load(Ordering::Relaxed),
            bytes_out: self.sent.load(Ordering::Relaxed),
            took: self.began.elapsed(),
            ..entry
        });
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Some("the program gave it up"));
    }
}

/// The URL without what may be a key or a password: its query and `user:password@`.
fn without_secrets(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{}://{host}{}", uri.scheme_str().unwrap_or_default(), uri.path())
}

/// At most so many bytes of a text.
fn cut(mut text: String, max_bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(max_bytes));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // V12
    fn no_key_of_an_address_is_kept() {
        let uri: Uri = "https://me:pass@api.example:8443/v1/x?key=1".parse().expect("a URL");
        assert_eq!(without_secrets(&uri), "https://api.example:8443/v1/x");
        assert_eq!(cut("aé".to_owned(), 2), "a");
    }
}
