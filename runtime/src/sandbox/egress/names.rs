//! What is a request called? By its `Idempotency-Key`, so that whoever gets it twice can tell, and by its
//! `traceparent`, so that whoever traces it finds the run. Both are the same whenever a step is executed.

use http::{HeaderName, HeaderValue, Request};
use sha2::{Digest, Sha256};
use uuid::Uuid;

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Source: W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A step that is being executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenKey {
    /// The same whenever the step is executed. Source: R44.
    pub key: String,
    /// Its entry in the journal.
    pub seq: u32,
    /// Counts the executions of steps, so that each begins with its first request.
    pub execution: u64,
}

/// The names of an attempt's requests.
pub struct Names {
    run_id: Uuid,
    /// The step of the last request, and how many its execution has sent.
    sent: (Option<OpenKey>, u32),
    sent_outside: u64,
}

impl Names {
    pub fn new(run_id: Uuid) -> Names {
        Names { run_id, sent: (None, 0), sent_outside: 0 }
    }

    /// Adds the headers that the program did not set itself. Outside steps there is no key: nothing is the same again.
    pub fn name<B>(&mut self, request: &mut Request<B>, step: Option<&OpenKey>) {
        let key = step.map(|step| self.key_in(step));
        let span = match &key {
            Some(key) => key.clone(),
            None => {
                self.sent_outside = self.sent_outside.saturating_add(1);
                format!("{} outside {}", self.run_id, self.sent_outside)
            }
        };
        let headers = [(IDEMPOTENCY_KEY, key), (TRACEPARENT, Some(self.traceparent(&span)))];
        for (name, value) in headers {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                request.headers_mut().entry(name).or_insert(value);
            }
        }
    }

    /// The step's key, and from its second request on with the number of the request.
    fn key_in(&mut self, step: &OpenKey) -> String {
        if self.sent.0.as_ref() != Some(step) {
            self.sent = (Some(step.clone()), 0);
        }
        self.sent.1 = self.sent.1.saturating_add(1);
        match self.sent.1 {
            1 => step.key.clone(),
            n => format!("{}-{n}", step.key),
        }
    }

    /// Version 00, the run as the trace, `span` in 64 bits, and sampled.
    fn traceparent(&self, span: &str) -> String {
        let hash = Sha256::digest(span);
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        // All zeros would be no span.
        format!("00-{}-{:016x}-01", self.run_id.simple(), u64::from_be_bytes(id).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Uuid = Uuid::from_u128(0x0192_f0c4_7d1e_7c3a_9b52_6f0e_2d4c_8a17);

    /// The two headers of the requests of the executions of steps, or of none.
    fn named(steps: &[Option<(&str, u64)>]) -> Vec<(Option<String>, String)> {
        let mut names = Names::new(RUN);
        let mut all = Vec::new();
        for step in steps {
            let step = step.map(|(key, execution)| OpenKey { key: key.to_owned(), seq: 1, execution });
            let mut request = Request::new(());
            names.name(&mut request, step.as_ref());
            let header = |name| Some(request.headers().get(name)?.to_str().expect("text").to_owned());
            all.push((header(IDEMPOTENCY_KEY), header(TRACEPARENT).expect("every request has one")));
        }
        all
    }

    #[test] // R44
    fn each_request_of_a_step_has_names_of_its_own_and_the_same_whenever_the_step_is_executed() {
        let steps = [None, Some(("run-1", 1)), Some(("run-1", 1)), Some(("run-1", 2)), Some(("run-2", 3)), None];
        let all = named(&steps);
        let keys: Vec<_> = all.iter().map(|(key, _)| key.as_deref()).collect();
        assert_eq!(keys, [None, Some("run-1"), Some("run-1-2"), Some("run-1"), Some("run-2"), None]);
        let traces: Vec<_> = all.iter().map(|(_, trace)| trace.as_str()).collect();
        assert_eq!(traces[1], traces[3]);
        for (n, trace) in traces.iter().enumerate() {
            assert!(trace.starts_with("00-0192f0c47d1e7c3a9b526f0e2d4c8a17-") && trace.ends_with("-01"), "{trace}");
            assert_eq!(trace.len(), 55);
            assert!(!traces[..n].contains(trace) || n == 3, "{trace}");
        }
        assert_eq!(named(&steps), all);
    }

    #[test]
    fn what_the_program_set_itself_stays() {
        let mut request = Request::new(());
        request.headers_mut().insert(TRACEPARENT, HeaderValue::from_static("mine"));
        Names::new(RUN).name(&mut request, None);
        assert_eq!(request.headers()[TRACEPARENT], "mine");
    }
}
