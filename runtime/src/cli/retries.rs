//! How is a retry policy typed? `--retries 3 --delay 30 --backoff`.

use clap::Args;

use super::failure::Failure;
use crate::api::wire::RetryPolicyBody;
use crate::manifest::RetrySection;

const NO_RETRIES: RetrySection =
    RetrySection { max_retries: 0, retry_delay_seconds: 0, use_exponential_backoff: false };

/// What was typed of a policy.
#[derive(Debug, Args)]
pub struct Retries {
    /// Try a failed run again so often (0 to 10)
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// Wait so many seconds before each retry (0 to 3600)
    #[arg(long, value_name = "SECONDS")]
    delay: Option<u32>,
    /// Double the delay with each retry
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    backoff: Option<bool>,
}

impl Retries {
    /// Whether nothing was typed.
    pub fn is_empty(&self) -> bool {
        self.retries.is_none() && self.delay.is_none() && self.backoff.is_none()
    }

    /// The policy, if all of it was typed.
    pub fn whole(&self) -> Option<RetryPolicyBody> {
        let is_whole = self.retries.is_some() && self.delay.is_some() && self.backoff.is_some();
        is_whole.then(|| self.over(&NO_RETRIES))
    }

    /// The policy of one run, in which only the number of retries has to be typed.
    pub fn of_run(&self, what: &str) -> Result<Option<RetryPolicyBody>, Failure> {
        if self.is_empty() {
            return Ok(None);
        }
        if self.retries.is_none() {
            let typed = self.delay.map_or("--backoff".into(), |delay| format!("--delay {delay}"));
            let failure = Failure::new(what).because(format!("`{typed}` says how to retry, and not how often")).usage();
            return Err(failure.hint(format!("add --retries, e.g. --retries 3 {typed}")));
        }
        Ok(Some(self.over(&NO_RETRIES)))
    }

    /// The policy with what was typed over what it was before.
    pub fn over(&self, before: &RetrySection) -> RetryPolicyBody {
        RetryPolicyBody {
            max_retries: self.retries.or(Some(before.max_retries)),
            retry_delay_seconds: self.delay.or(Some(before.retry_delay_seconds)),
            use_exponential_backoff: self.backoff.or(Some(before.use_exponential_backoff)),
        }
    }
}

/// A policy as people read it.
pub fn written(policy: &RetrySection) -> String {
    if policy.max_retries == 0 {
        return "none".into();
    }
    let growth = if policy.use_exponential_backoff { ", doubling" } else { "" };
    format!("{}, after {} s{growth}", policy.max_retries, policy.retry_delay_seconds)
}
