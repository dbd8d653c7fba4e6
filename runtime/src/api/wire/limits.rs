//! The shapes of limits: what is set for an app or a run, and what is in force.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::manifest::{InvalidField, Limit, Limits, SomeLimits, Spec};

/// Limits as they are sent: read by [`LimitsBody::over`], which can name the one at fault.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(transparent, expecting = "an object of limits")]
pub struct LimitsBody(pub BTreeMap<String, Value>);

impl LimitsBody {
    /// What is set once these are set too, each alone; a null takes one back. Neither ranges nor the operator's ceiling
    /// are looked at.
    pub fn over(&self, before: &SomeLimits) -> Result<SomeLimits, InvalidField> {
        let mut limits = before.clone();
        for (name, value) in &self.0 {
            let wrong = |message: String| InvalidField::new(format!("limits.{name}"), message);
            let limit = Limit::from_name(name)
                .ok_or_else(|| wrong(format!("there is no such limit; there are {}", Limit::NAMES.join(", "))))?;
            let Spec { min, max, .. } = limit.spec();
            let number = match value {
                Value::Null => None,
                value => {
                    Some(value.as_u64().ok_or_else(|| wrong(format!("it is a whole number from {min} to {max}")))?)
                }
            };
            limits.set(limit, number);
        }
        Ok(limits)
    }
}

impl FromIterator<(Limit, Option<u64>)> for LimitsBody {
    fn from_iter<I: IntoIterator<Item = (Limit, Option<u64>)>>(limits: I) -> LimitsBody {
        LimitsBody(limits.into_iter().map(|(limit, value)| (limit.spec().name.to_owned(), value.into())).collect())
    }
}

fn schema(types: SchemaType) -> RefOr<Schema> {
    let mut object = ObjectBuilder::new()
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .description(Some("Limits, as in relume.toml."));
    for limit in Limit::ALL {
        let Spec { name, min, max, about, .. } = limit.spec();
        let range = |number: u64| Some(usize::try_from(number).unwrap_or(usize::MAX));
        let number = ObjectBuilder::new().schema_type(types.clone()).description(Some(about));
        object = object.property(name, number.minimum(range(min)).maximum(range(max)));
    }
    object.into()
}

impl PartialSchema for LimitsBody {
    fn schema() -> RefOr<Schema> {
        schema(SchemaType::Type(Type::Integer))
    }
}

impl ToSchema for LimitsBody {
    fn name() -> Cow<'static, str> {
        "Limits".into()
    }
}

/// Of a change: a null takes a limit back.
pub struct LimitsChange;

impl PartialSchema for LimitsChange {
    fn schema() -> RefOr<Schema> {
        schema(SchemaType::Array(vec![Type::Integer, Type::Null]))
    }
}

impl ToSchema for LimitsChange {
    fn name() -> Cow<'static, str> {
        "LimitsChange".into()
    }
}

/// A limit in force, and where it comes from.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EffectiveLimit {
    /// With its unit, as in `memory_mib`.
    pub name: String,
    pub value: u64,
    /// `default`, `relume.toml`, `app`, `run`, or `operator's ceiling`.
    pub source: String,
}

/// As told of one thing.
pub fn effective_limits(limits: &Limits) -> Vec<EffectiveLimit> {
    let told = limits.iter().map(|in_force| EffectiveLimit {
        name: in_force.limit.spec().name.into(),
        value: in_force.value,
        source: in_force.source.as_str().into(),
    });
    told.collect()
}

/// The limits of an app's next run.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct AppLimits {
    pub limits: Vec<EffectiveLimit>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_set_alone_and_a_null_takes_it_back() {
        let before: SomeLimits = [(Limit::MemoryMib, 64), (Limit::Fuel, 7)].into_iter().collect();
        let body: LimitsBody = serde_json::from_str("{\"fuel\": null, \"log_mib\": 1}").expect("good JSON");
        let after = body.over(&before).expect("good limits");
        assert_eq!(after, [(Limit::MemoryMib, 64), (Limit::LogMib, 1)].into_iter().collect());
    }

    #[test]
    fn what_is_no_limit_is_named() {
        for (text, field) in [
            ("{\"memory\": 1}", "limits.memory"),
            ("{\"fuel\": -1}", "limits.fuel"),
            ("{\"fuel\": 1.5}", "limits.fuel"),
            ("{\"fuel\": \"1\"}", "limits.fuel"),
            ("{\"fuel\": 1e99}", "limits.fuel"),
        ] {
            let body: LimitsBody = serde_json::from_str(text).expect("good JSON");
            assert_eq!(body.over(&SomeLimits::default()).expect_err(text).field, field);
        }
    }
}
