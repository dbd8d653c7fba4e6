//! How often may one client ask? Each token has a rate of its own, and each address one for requests that no token
//! answers for, and a lower one for tokens that are wrong. Source: V22.

use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::StatusCode;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Problem;
use super::doors::Peer;
use crate::policy::ApiPolicy;
use crate::telemetry::API_LIMITED;

/// How many requests pass between two looks for clients that have been quiet: they are forgotten then, so that what is
/// kept is of the clients of the last seconds.
const FORGET_EVERY: u32 = 1024;

/// For how many seconds' worth of wrong tokens an address may ask at once: a deployment whose token was revoked has many
/// clients.
const REFUSED_BURST: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// The rates of all clients.
pub struct Rates {
    tokens: Rate<String>,
    open: Rate<Peer>,
    refused: Rate<Peer>,
}

struct Rate<K: Hash + Eq + Clone> {
    limiter: DefaultKeyedRateLimiter<K>,
    checks: AtomicU32,
    name: &'static str,
}

impl Rates {
    /// As the operator allows.
    pub fn new(policy: &ApiPolicy) -> Rates {
        let (each_second, burst) = (policy.requests_per_second, policy.request_burst);
        Rates {
            tokens: Rate::new("token", each_second, burst),
            open: Rate::new("address", each_second, burst),
            refused: Rate::new(
                "refused",
                policy.refused_per_second,
                policy.refused_per_second.saturating_mul(REFUSED_BURST),
            ),
        }
    }

    /// A request with this token, which is good.
    pub fn of_token(&self, token_id: &str) -> Result<(), Problem> {
        self.tokens.check(&token_id.to_owned(), "this token asks")
    }

    /// A request to what is open to everybody.
    pub fn of_anyone(&self, peer: Peer) -> Result<(), Problem> {
        self.open.check(&peer, "this address asks")
    }

    /// A request with a token that is wrong, or with none.
    pub fn of_refused(&self, peer: Peer) -> Result<(), Problem> {
        self.refused.check(&peer, "this address asks without a valid token")
    }
}

impl<K: Hash + Eq + Clone> Rate<K> {
    fn new(name: &'static str, each_second: NonZeroU32, burst: NonZeroU32) -> Rate<K> {
        let limiter = RateLimiter::keyed(Quota::per_second(each_second).allow_burst(burst));
        Rate { limiter, checks: AtomicU32::new(0), name }
    }

    fn check(&self, key: &K, who_asks: &str) -> Result<(), Problem> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        let Err(not_yet) = self.limiter.check_key(key) else { return Ok(()) };
        metrics::counter!(API_LIMITED, "limit" => self.name).increment(1);
        let wait = not_yet.wait_time_from(DefaultClock::default().now());
        Err(too_many(format!("{who_asks} too often"), wait))
    }
}

/// The problem of one who has to come back later.
pub fn too_many(detail: String, wait: Duration) -> Problem {
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).retry_after(wait);
    problem.hint("wait as long as `Retry-After` says")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn policy(each_second: u32) -> ApiPolicy {
        let each_second = NonZeroU32::new(each_second).expect("not 0");
        ApiPolicy { requests_per_second: each_second, request_burst: each_second, ..ApiPolicy::default() }
    }

    #[test] // V22
    fn a_client_that_asks_too_often_waits_and_no_other() {
        let rates = Rates::new(&policy(3));
        for _ in 0..3 {
            rates.of_token("a").expect("within its burst");
        }
        let problem = rates.of_token("a").expect_err("one too many");
        assert_eq!((problem.status.as_u16(), problem.code), (429, "too_many_requests"));
        assert_eq!(problem.retry_after, Some(Duration::from_secs(1)), "whole seconds");
        rates.of_token("b").expect("another token");
    }

    #[test] // V22
    fn a_million_addresses_are_not_remembered() {
        let rates = Rates::new(&ApiPolicy::default());
        for n in 0..1_000_000_u32 {
            rates.of_anyone(Peer::at(Ipv4Addr::from_bits(n).into())).expect("once each");
        }
        let kept = rates.open.limiter.len();
        assert!(kept < 500_000, "{kept} are kept");
    }
}
