//! The shapes of what a version may do.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::capabilities::{Capability, Difference};

/// Something that not every program may do.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = Capability)]
pub struct CapabilityBody {
    /// `network`, `secret`, `environment`, `loose_io`, `import` or `limit`.
    pub kind: String,
    /// The line of `allowed_hosts`, the secret, the variable, the package, or the limit.
    pub name: String,
    /// For a person, as in `may reach api.example.com`.
    pub text: String,
    /// It is imported, and every call of it is refused.
    pub always_refused: bool,
}

impl From<&Capability> for CapabilityBody {
    fn from(capability: &Capability) -> CapabilityBody {
        CapabilityBody {
            kind: capability.kind().into(),
            name: capability.name().into(),
            text: capability.to_string(),
            always_refused: capability.is_refused(),
        }
    }
}

/// As told of a version.
pub fn told(capabilities: &BTreeSet<Capability>) -> Vec<CapabilityBody> {
    capabilities.iter().map(CapabilityBody::from).collect()
}

/// What a version may do and the one before may not, and the other way round.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = CapabilityDifference)]
pub struct DifferenceBody {
    pub added: Vec<CapabilityBody>,
    pub removed: Vec<CapabilityBody>,
}

impl From<&Difference> for DifferenceBody {
    fn from(difference: &Difference) -> DifferenceBody {
        let told = |found: &[Capability]| found.iter().map(CapabilityBody::from).collect();
        DifferenceBody { added: told(&difference.added), removed: told(&difference.removed) }
    }
}
