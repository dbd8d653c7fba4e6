//! The shapes of apps and versions.

use serde::{Deserialize, Serialize};

use super::{Pages, Parameter, Run, time};
use crate::manifest::{InvalidField, RetrySection, Settings};
use crate::store;

/// `POST /v1/apps`.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CreateApp {
    pub name: Option<String>,
}

/// An app.
#[derive(Debug, Serialize, Deserialize)]
pub struct App {
    pub name: String,
    pub owner: String,
    pub short_description: String,
    /// The active version, as in `v3`.
    pub version: Option<String>,
    pub status: String,
    pub health_status: String,
    pub is_externally_accessible: bool,
    pub schedule: Option<String>,
    pub next_run_at: Option<String>,
    /// 0 is no limit, here and in the next field: limits hold for an attempt, by version.
    pub pending_timeout: u32,
    pub running_timeout: u32,
    pub retry_policy: RetrySection,
    pub created_at: String,
}

impl From<store::App> for App {
    fn from(app: store::App) -> App {
        App {
            name: app.name,
            owner: String::new(),
            short_description: String::new(),
            version: app.active_version.map(version_name),
            status: "active".into(),
            health_status: "healthy".into(),
            is_externally_accessible: false,
            schedule: None,
            next_run_at: None,
            pending_timeout: 0,
            running_timeout: 0,
            retry_policy: app.policy.into(),
            created_at: time(app.created_at),
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct AppOnly {
    pub app: App,
}

/// An app with its latest runs.
#[derive(Debug, Serialize, Deserialize)]
pub struct AppWithRuns {
    pub app: App,
    pub runs: Vec<Run>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct AppList {
    pub apps: Vec<AppWithRuns>,
    pub pages: Pages,
}

/// A version of an app.
#[derive(Debug, Serialize, Deserialize)]
pub struct AppVersion {
    /// As in `v3`.
    pub version: String,
    /// The sha256 of the component, in hexadecimal.
    pub content_checksum: String,
    pub size_bytes: u64,
    pub created_at: String,
    pub parameters: Vec<Parameter>,
    pub towerfile: String,
    pub settings: Settings,
    /// Whether the app uses the journal. Told with an upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable: Option<bool>,
    /// The interfaces the component imports. Told with an upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imports: Option<Vec<String>>,
}

impl From<store::Version> for AppVersion {
    fn from(version: store::Version) -> AppVersion {
        AppVersion {
            version: version_name(version.number),
            content_checksum: version.digest,
            size_bytes: version.size_bytes,
            created_at: time(version.created_at),
            parameters: Vec::new(),
            towerfile: String::new(),
            settings: version.settings,
            durable: None,
            imports: None,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
pub struct VersionOnly {
    pub version: AppVersion,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct VersionList {
    pub versions: Vec<AppVersion>,
}

/// How people write a version: `v3`.
pub fn version_name(number: u32) -> String {
    format!("v{number}")
}

/// A version in a request: `"v3"`, or its number.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a version is written \"v1\"")]
pub enum VersionRef {
    Number(u32),
    Name(String),
}

impl VersionRef {
    /// The version's number, or what is wrong.
    pub fn number(&self) -> Result<u32, InvalidField> {
        let (number, written) = match self {
            VersionRef::Number(number) => (Some(*number), number.to_string()),
            VersionRef::Name(name) => (name.strip_prefix('v').unwrap_or(name).parse().ok(), name.clone()),
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
        for json in ["\"v0\"", "0", "\"x\"", "\"\"", "\"vv1\""] {
            check(json, None);
        }
    }
}
