//! The shapes of apps and versions.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    CapabilityBody, DifferenceBody, LimitsBody, LimitsChange, Pages, Parameter, RetryPolicyBody, Run, active_unless,
    nullable, time, told, words,
};
use crate::capabilities::capabilities;
use crate::manifest::{InvalidField, RetrySection, Settings, SomeLimits};
use crate::store;

/// `POST /v1/apps`.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApp {
    /// 1 to 63 lower-case letters, digits and inner hyphens.
    #[schema(nullable = false, required = true, value_type = words::AppName)]
    pub name: Option<String>,
    /// At most 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000, pattern = "^[^\\u0000]*$")]
    pub short_description: Option<String>,
    /// `false`: apps are not reached from the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub is_externally_accessible: Option<bool>,
    /// Null, for the same reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub subdomain: Option<String>,
    /// The name again, as some of Tower's clients send it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub slug: Option<String>,
    #[serde(default, rename = "$schema", skip_serializing)]
    #[schema(ignore)]
    pub schema: Option<String>,
}

/// `PATCH /v1/apps/{app}`, and Tower's `PUT`: what is absent stays, and so does what is null but for `retry_policy`
/// and `limits`.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateApp {
    /// At most 1000 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1000, pattern = "^[^\\u0000]*$")]
    pub description: Option<String>,
    /// For future runs; null is the default: no retries.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<RetryPolicyBody>)]
    pub retry_policy: Option<Option<RetryPolicyBody>>,
    /// How long a run may wait for a worker before it is cancelled, in seconds: 0 (for ever) to 2592000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2592000)]
    pub pending_timeout: Option<u32>,
    /// How long an attempt may run, in seconds: 0 (as long as its version may) to 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 86400)]
    pub running_timeout: Option<u32>,
    /// For future runs, over those of the version; null takes all of them back.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<LimitsChange>)]
    pub limits: Option<Option<LimitsBody>>,
    /// The version of runs that name none, as in `v2`: an older one is a way back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionRef>,
    /// `active` or `disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<words::Activity>)]
    pub status: Option<String>,
    /// `false`: apps are not reached from the web.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub is_externally_accessible: Option<bool>,
    /// Null, for the same reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub subdomain: Option<String>,
    #[serde(default, rename = "$schema", skip_serializing)]
    #[schema(ignore)]
    pub schema: Option<String>,
}

/// An app.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct App {
    #[schema(value_type = words::AppName)]
    pub name: String,
    pub owner: String,
    pub short_description: String,
    /// The active version, as in `v3`.
    #[schema(required = true, value_type = Option<words::VersionName>)]
    pub version: Option<String>,
    /// `active` or `disabled`.
    #[schema(value_type = words::Activity)]
    pub status: String,
    pub health_status: String,
    pub is_externally_accessible: bool,
    /// The cron expression of the active schedule whose tick comes next.
    #[schema(required = true)]
    pub schedule: Option<String>,
    #[schema(required = true, format = DateTime)]
    pub next_run_at: Option<String>,
    /// How long a run may wait for a worker, in seconds; 0 is for ever.
    pub pending_timeout: u64,
    /// How long an attempt may run, in seconds; 0 is as long as its version may.
    pub running_timeout: u64,
    #[schema(value_type = RetryPolicyBody)]
    pub retry_policy: RetrySection,
    /// What is set for its runs, over the limits of the version.
    #[serde(default)]
    #[schema(value_type = LimitsBody)]
    pub limits: SomeLimits,
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl From<store::App> for App {
    fn from(app: store::App) -> App {
        App {
            name: app.name,
            owner: String::new(),
            short_description: app.description,
            version: app.active_version.map(version_name),
            status: active_unless(app.disabled),
            health_status: "healthy".into(),
            is_externally_accessible: false,
            next_run_at: app.next_tick.as_ref().map(|tick| time(tick.at)),
            schedule: app.next_tick.map(|tick| tick.cron),
            pending_timeout: app.timeouts.pending.map_or(0, |timeout| timeout.as_secs()),
            running_timeout: app.timeouts.running.map_or(0, |timeout| timeout.as_secs()),
            retry_policy: app.policy.into(),
            limits: app.limits,
            created_at: time(app.created_at),
        }
    }
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppOnly {
    pub app: App,
}

/// An app that was changed. Tower's clients want it twice.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct UpdatedApp {
    pub app: App,
    #[serde(rename = "App")]
    pub app_again: App,
}

/// An app with its latest runs.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppWithRuns {
    pub app: App,
    pub runs: Vec<Run>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppList {
    pub apps: Vec<AppWithRuns>,
    pub pages: Pages,
}

/// A version of an app.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppVersion {
    /// As in `v3`.
    #[schema(value_type = words::VersionName)]
    pub version: String,
    /// The sha256 of the component, in hexadecimal.
    pub content_checksum: String,
    pub size_bytes: u64,
    #[schema(format = DateTime)]
    pub created_at: String,
    pub parameters: Vec<Parameter>,
    pub towerfile: String,
    #[schema(value_type = Object)]
    pub settings: Settings,
    /// Whether the app uses the journal. Told with an upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub durable: Option<bool>,
    /// The interfaces the component imports. Not told of a version from before they were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub imports: Option<Vec<String>>,
    /// What it may do that not every program may.
    #[serde(default)]
    pub capabilities: Vec<CapabilityBody>,
    /// To the version that was active before. Told with an upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub difference: Option<DifferenceBody>,
}

impl From<store::Version> for AppVersion {
    fn from(version: store::Version) -> AppVersion {
        AppVersion {
            version: version_name(version.number),
            content_checksum: version.digest,
            size_bytes: version.size_bytes,
            capabilities: told(&capabilities(version.imports.as_deref(), &version.settings)),
            created_at: time(version.created_at),
            parameters: Vec::new(),
            towerfile: String::new(),
            settings: version.settings,
            durable: None,
            imports: version.imports,
            difference: None,
        }
    }
}

/// `POST /v1/apps/{app}/versions`.
#[derive(ToSchema)]
pub struct UploadParts {
    /// The component.
    #[schema(value_type = String, format = Binary)]
    pub component: Vec<u8>,
    /// Its `relume.toml`, if it has one.
    #[schema(nullable = false)]
    pub manifest: Option<String>,
    /// `true`, as the parameter `approve`.
    #[schema(nullable = false)]
    pub approve: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionOnly {
    pub version: AppVersion,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct VersionList {
    pub versions: Vec<AppVersion>,
}

/// How people write a version: `v3`.
pub fn version_name(number: u32) -> String {
    format!("v{number}")
}

/// A version in a request: `"v3"`, or its number.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged, expecting = "a version is written \"v1\"")]
pub enum VersionRef {
    #[schema(value_type = words::VersionNumber)]
    Number(u32),
    #[schema(value_type = words::VersionName)]
    Name(String),
}

impl VersionRef {
    /// The version's number, or what is wrong.
    pub fn number(&self) -> Result<u32, InvalidField> {
        let (number, written) = match self {
            VersionRef::Number(number) => (Some(*number), number.to_string()),
            VersionRef::Name(name) => {
                let digits = name.strip_prefix('v').unwrap_or(name);
                // Rust would read `+1` and `01` too.
                (digits.parse().ok().filter(|_| digits.starts_with(|c: char| matches!(c, '1'..='9'))), name.clone())
            }
        };
        let number = number.filter(|number| *number >= 1);
        number.ok_or_else(|| InvalidField::new("version", format!("`{written}` is no version: the first is `v1`")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_people_write_them() {
        let check = |json: &str, expected: Option<u32>| {
            let version: VersionRef = serde_json::from_str(json).expect("good JSON");
            assert_eq!(version.number().ok(), expected, "{json}");
        };
        for (json, expected) in [("\"v3\"", Some(3)), ("\"3\"", Some(3)), ("3", Some(3))] {
            check(json, expected);
        }
        for json in ["\"v0\"", "0", "\"x\"", "\"\"", "\"vv1\"", "\"v01\"", "\"+1\""] {
            check(json, None);
        }
    }
}
