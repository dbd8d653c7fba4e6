//! What does the operator of this machine allow? The ceiling over what manifests, apps and runs ask
//! for: the shape of the file that `--policy` names. Pure: whoever has the text parses it here.

use std::net::SocketAddr;
use std::num::NonZeroU32;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::hosts::check_lines;
use crate::manifest::{InvalidField, SomeLimits};

/// What every app of this machine may use at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Where apps may send HTTP requests.
    pub egress: EgressPolicy,
    /// How much one client may ask of the API.
    pub api: ApiPolicy,
    /// The most that manifests, apps and runs may ask for; without a number, as much as Relume allows at all.
    pub limits: SomeLimits,
    /// What it may cost to compile an app.
    pub compile: CompilePolicy,
}

/// How much one client may ask of the API. What is over it is answered with 429, or not let in. Source: V22.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ApiPolicy {
    /// Requests of one token in a second, over time; and of one address where no token is needed.
    pub requests_per_second: NonZeroU32,
    /// How many of them may come at once.
    pub request_burst: NonZeroU32,
    /// Requests of one address in a second whose token is wrong or missing, over time; ten times as many at once.
    pub refused_per_second: NonZeroU32,
    /// Open connections of one address, of 10,000 in all. A proxy before the server is one address.
    pub connections_per_address: usize,
    /// Logs that are followed at the same time.
    pub followers: usize,
}

impl Default for ApiPolicy {
    fn default() -> ApiPolicy {
        let number = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MAX);
        ApiPolicy {
            requests_per_second: number(1_000),
            request_burst: number(2_000),
            refused_per_second: number(20),
            connections_per_address: 5_000,
            followers: 1_000,
        }
    }
}

/// What it may cost to compile an app, which a process of its own does. Source: V5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompilePolicy {
    /// Seconds of the processor's time.
    pub cpu_seconds: u32,
    /// Address space of the process, in MiB.
    pub memory_mib: u32,
    /// How many apps are compiled at the same time; others wait.
    pub at_once: u16,
}

impl Default for CompilePolicy {
    fn default() -> CompilePolicy {
        CompilePolicy { cpu_seconds: 60, memory_mib: 2048, at_once: 2 }
    }
}

/// Where apps may send HTTP requests. A request has to be allowed here and by its app's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EgressPolicy {
    /// As in a manifest; a host of `*` is every host, and `"*"` alone is everything.
    pub allowed_hosts: Vec<String>,
    /// Addresses of loopback, private and other special networks that may be reached although they
    /// are blocked by default, e.g. `127.0.0.1/32`.
    #[schemars(with = "Vec<String>")]
    pub allowed_networks: Vec<IpNet>,
    /// The name servers to ask, e.g. `10.0.0.2:53`. Without them, those of the system, after its list of hosts.
    #[schemars(with = "Vec<String>")]
    pub nameservers: Vec<SocketAddr>,
    /// Who is believed when a server says who it is.
    pub tls_roots: TlsRoots,
}

/// Who is believed when a server says who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsRoots {
    /// Whom the system believes; if it has no list, as `bundled`.
    #[default]
    System,
    /// Mozilla's list, as of this release.
    Bundled,
}

impl Default for EgressPolicy {
    fn default() -> EgressPolicy {
        EgressPolicy {
            allowed_hosts: vec!["*".to_owned()],
            allowed_networks: Vec::new(),
            nameservers: Vec::new(),
            tls_roots: TlsRoots::System,
        }
    }
}

/// Why a text is not a policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It is not TOML, or a key is unknown or of the wrong type. The text shows line and key.
    #[error("{0}")]
    Syntax(#[from] toml::de::Error),
    /// A field holds what it may not hold.
    #[error("{0}")]
    Field(#[from] InvalidField),
}

impl Policy {
    /// Reads the text of a policy file.
    pub fn parse(text: &str) -> Result<Policy, PolicyError> {
        let policy: Policy = toml::from_str(text)?;
        let hosts = check_lines(&policy.egress.allowed_hosts);
        hosts.map_err(|why| InvalidField::new("egress.allowed_hosts", why))?;
        policy.limits.check()?;
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test] // V11
    fn a_policy_may_allow_every_host_and_no_nonsense() {
        let good = "[egress]\nallowed_hosts = [\"GET *\", \"https://*\"]\nallowed_networks = [\"10.0.0.0/8\"]\n\
                    nameservers = [\"10.0.0.2:53\"]\ntls_roots = \"bundled\"\n";
        let policy = Policy::parse(good).expect("a good policy");
        assert_eq!(policy.egress.tls_roots, TlsRoots::Bundled);
        assert_eq!(Policy::parse("").expect("an empty policy is one"), Policy::default());
        for (text, field) in [
            ("[egress]\nallowed_hosts = [\"127.1\"]", "egress.allowed_hosts: `127.1`"),
            ("[egress]\nallowed_network = []", "allowed_network"),
            ("[limits]\nmemory_mib = 4097", "limits.memory_mib: 4097"),
            ("[limits]\nmemory = 1", "unknown field `memory`"),
            ("[egress]\nallowed_networks = [\"10.0.0.0/33\"]", "line 2"),
        ] {
            let said = Policy::parse(text).expect_err("a bad policy").to_string();
            assert!(said.contains(field), "{said}");
        }
    }
}
