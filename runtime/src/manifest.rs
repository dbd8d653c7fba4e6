//! What may an app use, and how long? The shape of `relume.toml`, the file beside an app that
//! `deploy`, `exec` and the upload read. Pure: whoever has the text parses it here.

mod limits;

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::limits::{Asked, Limit, LimitInForce, LimitSource, Limits, SomeLimits, Spec};
use crate::hosts::{HostRule, check_lines};
use crate::numbers::{Number, fixed};
use crate::retry::{self, RetryPolicy};

/// Source: V13.
const MAX_APP_NAME_CHARS: usize = 63;
const MAX_SECRET_NAME_CHARS: usize = 128;

/// `relume.toml`: an app's name, where its component is, and what it may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The app's name: lower-case letters, digits and inner hyphens, at most 63 characters.
    pub name: Option<String>,
    /// Path of the component, relative to this file.
    pub component: Option<String>,
    /// When a failed run is tried again. Without it, never.
    pub retry: Option<RetrySection>,
    /// Limits of one attempt, where they are not the defaults.
    #[serde(default)]
    pub limits: SomeLimits,
    /// Environment variables of the program.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Where the app may send HTTP requests: lines of `[METHODS ]PATTERN`, e.g. `api.example.com`,
    /// `GET,HEAD https://*.example.com:8443`, `http://127.0.0.1:*`. A pattern is `host`, or `*.host` for the names
    /// below it, over https unless `http://` stands before it, on the usual port unless `:port` or `:*` (any) follows.
    /// Nothing is allowed that is not listed, and no more than the operator's policy allows. Source: V11.
    #[serde(default)]
    pub allowed_hosts: Vec<String>,
    /// Names of secrets that the app gets, each as the environment variable of its name.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// What becomes of an attempt whose worker is lost. Without it: `resume` for a program that uses
    /// the journal, `fail` for any other.
    pub on_worker_loss: Option<OnWorkerLoss>,
    /// Lets a durable program use the network outside steps. Its runs are flagged: what they read there
    /// is not recorded, and a replay that reads something else diverges.
    #[serde(default)]
    pub loose_io: bool,
}

/// What becomes of an attempt whose worker is lost. Source: R41.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnWorkerLoss {
    /// It goes on in another worker, after its last recorded step.
    Resume,
    /// It ends `worker_lost`, so that the program is begun at most once; the retry policy decides.
    Fail,
}

/// What one version of an app may use: the part of the manifest that is kept with the version,
/// so that a change makes a new version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct Settings {
    /// Limits of one attempt, where they are not the defaults.
    pub limits: SomeLimits,
    /// Environment variables of the program.
    pub env: BTreeMap<String, String>,
    /// Where the app may send HTTP requests, as in [`Manifest::allowed_hosts`].
    pub allowed_hosts: Vec<String>,
    /// Names of the secrets that the app gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// As in [`Manifest::on_worker_loss`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_worker_loss: Option<OnWorkerLoss>,
    /// As in [`Manifest::loose_io`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub loose_io: bool,
}

/// When a failed run is tried again, as people write it. Tower's names. Source: R3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrySection {
    /// Attempts beyond the first: 0 to 10.
    #[schemars(range(min = 0, max = 10))]
    pub max_retries: u32,
    /// The wait before a retry in seconds: 0 to 3600.
    #[schemars(range(min = 0, max = 3600))]
    pub retry_delay_seconds: u32,
    /// Whether the wait doubles with every retry, up to an hour.
    pub use_exponential_backoff: bool,
}

impl RetrySection {
    /// The policy, or which field is out of range.
    pub fn to_policy(self) -> Result<RetryPolicy, InvalidField> {
        let max_delay_seconds = retry::MAX_DELAY.as_secs();
        in_range("max_retries", self.max_retries.into(), 0, retry::MAX_RETRIES.into())?;
        in_range("retry_delay_seconds", self.retry_delay_seconds.into(), 0, max_delay_seconds)?;
        Ok(RetryPolicy {
            max_retries: self.max_retries,
            delay: Duration::from_secs(self.retry_delay_seconds.into()),
            exponential: self.use_exponential_backoff,
        })
    }
}

impl From<RetryPolicy> for RetrySection {
    fn from(policy: RetryPolicy) -> RetrySection {
        RetrySection {
            max_retries: policy.max_retries,
            retry_delay_seconds: policy.delay.as_secs().try_into().unwrap_or(u32::MAX),
            use_exponential_backoff: policy.exponential,
        }
    }
}

/// A field holds something it may not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct InvalidField {
    /// The field's path, as in `limits.memory_mib`.
    pub field: String,
    /// What it holds, and what it may hold.
    pub message: String,
}

impl InvalidField {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> InvalidField {
        InvalidField { field: field.into(), message: message.into() }
    }
}

/// Why a text is not a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is not TOML, or a key is unknown or of the wrong type. The text shows line and key.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// A field is out of range.
    #[error("{0}")]
    Field(#[from] InvalidField),
}

impl Manifest {
    /// Reads the text of a `relume.toml`.
    pub fn parse(text: &str) -> Result<Manifest, ManifestError> {
        let manifest: Manifest = toml::from_str(text)?;
        if let Some(name) = &manifest.name {
            check_app_name("name", name)?;
        }
        manifest.limits.check()?;
        check_hosts("allowed_hosts", &manifest.allowed_hosts)?;
        for (key, value) in &manifest.env {
            let wrong = |message: &str| Err(InvalidField::new(format!("env.{key}"), message).into());
            if key.is_empty() || key.contains(['=', '\0']) {
                return wrong("a variable's name holds neither `=` nor NUL");
            }
            if value.contains('\0') {
                return wrong("a variable's value holds no NUL");
            }
        }
        for name in &manifest.secrets {
            check_secret_name("secrets", name)?;
        }
        if let Some(retry) = manifest.retry {
            retry.to_policy().map_err(|e| InvalidField::new(format!("retry.{}", e.field), e.message))?;
        }
        Ok(manifest)
    }

    /// What is kept with the version.
    pub fn settings(&self) -> Settings {
        Settings {
            limits: self.limits.clone(),
            env: self.env.clone(),
            allowed_hosts: self.allowed_hosts.clone(),
            secrets: self.secrets.clone(),
            on_worker_loss: self.on_worker_loss,
            loose_io: self.loose_io,
        }
    }

    /// The JSON Schema of `relume.toml`, for editors.
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(Manifest).to_value()
    }
}

/// The numbers of names.
pub fn numbers() -> Vec<Number> {
    vec![
        fixed("V13", "the name of an app", format!("{MAX_APP_NAME_CHARS} characters")),
        fixed("V12", "the name of a secret", format!("{MAX_SECRET_NAME_CHARS} characters")),
    ]
}

/// Refuses a name that is not 1 to 63 lower-case letters, digits and inner hyphens. Source: V13.
pub fn check_app_name(field: &str, name: &str) -> Result<(), InvalidField> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = (1..=MAX_APP_NAME_CHARS).contains(&name.len()) && name.chars().all(allowed);
    if fits && !name.starts_with('-') && !name.ends_with('-') {
        return Ok(());
    }
    let message = format!("`{name}` is no name: use 1 to 63 lower-case letters, digits and inner hyphens");
    Err(InvalidField::new(field, message))
}

/// Refuses lines that allow nothing, or everything: an app names its hosts. Source: V11.
fn check_hosts(field: &str, lines: &[String]) -> Result<(), InvalidField> {
    check_lines(lines).map_err(|why| InvalidField::new(field, why))?;
    let for_every_host = |line: &&String| HostRule::parse(line).is_ok_and(|rule| rule.is_for_every_host());
    match lines.iter().find(for_every_host) {
        None => Ok(()),
        Some(line) => {
            let why = "stands for every host, which only an operator's policy may: name the hosts, e.g. *.example.com";
            Err(InvalidField::new(field, format!("`{line}` {why}")))
        }
    }
}

/// Refuses what cannot be the name of a secret, which becomes a variable of the environment: 1 to
/// 128 letters, digits and underscores that do not begin with a digit.
pub fn check_secret_name(field: &str, name: &str) -> Result<(), InvalidField> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fits = (1..=MAX_SECRET_NAME_CHARS).contains(&name.len()) && name.chars().all(allowed);
    if fits && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    let message =
        format!("`{name}` is no name of a secret: use 1 to 128 letters, digits and underscores, no digit first");
    Err(InvalidField::new(field, message))
}

/// Refuses a number below `min` or above `max`.
pub fn in_range(field: &str, value: u64, min: u64, max: u64) -> Result<(), InvalidField> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(InvalidField::new(field, format!("{value} is out of range: it is {min} to {max}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Manifest::parse(text).expect_err("this manifest is wrong").to_string()
    }

    #[test]
    fn an_empty_manifest_has_the_default_limits() {
        let manifest = Manifest::parse("").expect("an empty manifest is one");
        assert_eq!(manifest.settings(), Settings::default());
    }

    #[test]
    fn an_unknown_key_is_shown_with_its_line() {
        let message = refused("name = \"greet\"\nmemory = 1\n");
        assert!(message.contains("line 2") && message.contains("memory"), "{message}");
    }

    #[test] // R3
    fn a_partial_retry_policy_is_refused_by_the_missing_fields_name() {
        let message = refused("[retry]\nmax_retries = 3\n");
        assert!(message.contains("retry_delay_seconds"), "{message}");
    }

    #[test] // R3
    fn a_field_out_of_range_is_named_with_its_range() {
        let text = "[retry]\nmax_retries = 11\nretry_delay_seconds = 0\nuse_exponential_backoff = false\n";
        assert_eq!(refused(text), "retry.max_retries: 11 is out of range: it is 0 to 10");
    }

    #[test] // V12
    fn a_secret_is_named_like_a_variable() {
        for name in ["", "1A", "A-B", "A=B", "key pair", "é", &"A".repeat(129)] {
            assert!(check_secret_name("secrets", name).is_err(), "{name}");
        }
        check_secret_name("secrets", "API_KEY_2").expect("a good name");
        assert!(refused("secrets = [\"A-B\"]").starts_with("secrets: `A-B`"));
    }

    #[test] // V11
    fn a_line_of_hosts_that_would_allow_nothing_or_everything_is_refused() {
        for (line, why) in [("ftp://a.example", "`https://`"), ("*", "operator"), ("GET https://*:*", "operator")] {
            let message = refused(&format!("allowed_hosts = [\"b.example\", \"{line}\"]"));
            assert!(message.starts_with(&format!("allowed_hosts: `{line}` ")) && message.contains(why), "{message}");
        }
    }

    #[test] // V13
    fn names_that_could_be_paths_are_refused() {
        for name in ["", "../x", "a/b", "A", "-a", "a-", &"a".repeat(64)] {
            assert!(check_app_name("name", name).is_err(), "{name}");
        }
        check_app_name("name", "order-pipeline-2").expect("a good name");
    }
}
