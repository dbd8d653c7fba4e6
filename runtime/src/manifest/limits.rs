//! How much may one attempt use, and who said so? [`Limit`] lists the numbers, [`SomeLimits`] is what somebody asked for,
//! and [`Limits`] what is in force: the default, changed by the manifest, then by the app, then by the run, and never more
//! than the operator allows.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{InvalidField, in_range};

/// One number that can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Limit {
    Fuel,
    MemoryMib,
    RunningTimeSeconds,
    StepAttempts,
    TableElements,
    Instances,
    Handles,
    CallSeconds,
    Connections,
    BodyMib,
    JournalEntryMib,
    JournalMib,
    LogLineKib,
    LogMib,
}

/// What is known of a number without asking anybody.
#[derive(Debug, Clone, Copy)]
pub struct Spec {
    /// The key, with its unit.
    pub name: &'static str,
    pub default: u64,
    pub min: u64,
    /// No operator can allow more.
    pub max: u64,
    /// What it is a limit of.
    pub about: &'static str,
    /// The row of SECURITY.md's table, or the requirement.
    pub source: &'static str,
}

const fn spec(
    name: &'static str,
    default: u64,
    (min, max): (u64, u64),
    about: &'static str,
    source: &'static str,
) -> Spec {
    Spec { name, default, min, max, about, source }
}

impl Limit {
    /// Every one, in the order in which people read them.
    pub const ALL: [Limit; 14] = [
        Limit::Fuel,
        Limit::MemoryMib,
        Limit::RunningTimeSeconds,
        Limit::StepAttempts,
        Limit::TableElements,
        Limit::Instances,
        Limit::Handles,
        Limit::CallSeconds,
        Limit::Connections,
        Limit::BodyMib,
        Limit::JournalEntryMib,
        Limit::JournalMib,
        Limit::LogLineKib,
        Limit::LogMib,
    ];

    /// The keys, in the same order.
    pub const NAMES: [&str; 14] = {
        let mut names = [""; 14];
        let mut index = 0;
        while index < names.len() {
            names[index] = Limit::ALL[index].spec().name;
            index += 1;
        }
        names
    };

    /// What is known of it. The fuel is what a core burns in about a quarter of an hour, so that a busy loop meets it or
    /// the running time, whichever the machine reaches first.
    pub const fn spec(self) -> Spec {
        match self {
            Limit::Fuel => spec(
                "fuel",
                1_000_000_000_000,
                (1, u64::MAX),
                "fuel of an attempt: about one unit for each WebAssembly instruction",
                "V1",
            ),
            Limit::MemoryMib => spec("memory_mib", 256, (1, 4096), "memory and tables of an attempt together", "V2"),
            Limit::RunningTimeSeconds => {
                spec("running_time_seconds", 900, (1, 86_400), "one execution; a parked run is none", "V1")
            }
            Limit::StepAttempts => {
                spec("step_attempts", 1000, (1, 100_000), "executions of steps, over all attempts of a run", "R27")
            }
            Limit::TableElements => spec("table_elements", 100_000, (1, 10_000_000), "elements of all tables", "V3"),
            Limit::Instances => spec("instances", 32, (1, 1000), "core instances, memories and tables, each", "V3"),
            Limit::Handles => spec("handles", 4096, (1, 65_536), "handles of resources held at once", "V3"),
            Limit::CallSeconds => {
                spec("call_seconds", 120, (1, 3600), "one HTTP call, from connecting to the end of its body", "V7")
            }
            Limit::Connections => spec("connections", 16, (1, 256), "connections open at once", "V11"),
            Limit::BodyMib => spec("body_mib", 32, (1, 1024), "one HTTP body, in each direction", "V11"),
            Limit::JournalEntryMib => {
                spec("journal_entry_mib", 4, (1, 4), "an entry of the journal, and the output", "V9")
            }
            Limit::JournalMib => spec("journal_mib", 64, (1, 256), "the journal of a run", "V9"),
            Limit::LogLineKib => spec("log_line_kib", 16, (1, 256), "a line of the log; more is cut", "V8"),
            Limit::LogMib => spec("log_mib", 10, (1, 1024), "the log of an attempt; more is dropped", "V8"),
        }
    }

    /// The one that `name` names.
    pub fn from_name(name: &str) -> Option<Limit> {
        Limit::ALL.into_iter().find(|limit| limit.spec().name == name)
    }
}

/// Limits that somebody set; the others are not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SomeLimits {
    set: BTreeMap<Limit, u64>,
}

impl SomeLimits {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// What was set, in the order of [`Limit::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = (Limit, u64)> + '_ {
        self.set.iter().map(|(limit, value)| (*limit, *value))
    }

    /// What `limit` was set to.
    pub fn get(&self, limit: Limit) -> Option<u64> {
        self.set.get(&limit).copied()
    }

    /// Sets it, or with `None` takes it back.
    pub fn set(&mut self, limit: Limit, value: Option<u64>) {
        match value {
            Some(value) => self.set.insert(limit, value),
            None => self.set.remove(&limit),
        };
    }

    /// Refuses what is out of its range, by name: `limits.memory_mib`.
    pub fn check(&self) -> Result<(), InvalidField> {
        self.iter().try_for_each(|(limit, value)| {
            let Spec { name, min, max, .. } = limit.spec();
            in_range(&format!("limits.{name}"), value, min, max)
        })
    }

    /// Refuses what is out of its range, or more than the operator allows. Source: SECURITY.
    pub fn check_under(&self, ceiling: &SomeLimits) -> Result<(), InvalidField> {
        self.check()?;
        for (limit, value) in self.iter() {
            if let Some(most) = ceiling.get(limit).filter(|most| value > *most) {
                let field = format!("limits.{}", limit.spec().name);
                return Err(InvalidField::new(field, format!("{value} is over the operator's ceiling of {most}")));
            }
        }
        Ok(())
    }
}

impl FromIterator<(Limit, u64)> for SomeLimits {
    fn from_iter<I: IntoIterator<Item = (Limit, u64)>>(set: I) -> SomeLimits {
        SomeLimits { set: set.into_iter().collect() }
    }
}

impl Serialize for SomeLimits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.set.len()))?;
        for (limit, value) in self.iter() {
            map.serialize_entry(limit.spec().name, &value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for SomeLimits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SomeLimits, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = SomeLimits;

            fn expecting(&self, text: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                text.write_str("an object of limits")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<SomeLimits, M::Error> {
                let mut limits = SomeLimits::default();
                while let Some(name) = map.next_key::<Cow<'de, str>>()? {
                    let limit = Limit::from_name(&name).ok_or_else(|| M::Error::unknown_field(&name, &Limit::NAMES))?;
                    let value = map.next_value()?;
                    if limits.set.insert(limit, value).is_some() {
                        return Err(M::Error::duplicate_field(limit.spec().name));
                    }
                }
                Ok(limits)
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

impl JsonSchema for SomeLimits {
    fn schema_name() -> Cow<'static, str> {
        "Limits".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let properties: serde_json::Map<_, _> = Limit::ALL
            .into_iter()
            .map(|limit| {
                let Spec { name, default, min, max, about, .. } = limit.spec();
                let property = serde_json::json!({
                    "type": "integer", "minimum": min, "maximum": max, "default": default, "description": about,
                });
                (name.to_owned(), property)
            })
            .collect();
        schemars::json_schema!({
            "type": "object", "description": "Limits of one attempt.", "properties": properties,
            "additionalProperties": false,
        })
    }
}

/// Who said a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitSource {
    Default,
    /// The manifest of the version.
    Manifest,
    App,
    Run,
    /// Somebody wanted more, or the default is more, than the operator allows.
    Ceiling,
}

impl LimitSource {
    /// The words used in the API and on screen.
    pub fn as_str(self) -> &'static str {
        match self {
            LimitSource::Default => "default",
            LimitSource::Manifest => "relume.toml",
            LimitSource::App => "app",
            LimitSource::Run => "run",
            LimitSource::Ceiling => "operator's ceiling",
        }
    }
}

/// A number in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitInForce {
    pub limit: Limit,
    pub value: u64,
    pub source: LimitSource,
    /// What somebody asked for, where the operator allows less.
    pub asked: Option<u64>,
}

/// All the numbers in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    in_force: [LimitInForce; Limit::ALL.len()],
}

impl Default for Limits {
    /// What holds where nobody said anything.
    fn default() -> Limits {
        Limits::in_force(&Asked::default(), &SomeLimits::default())
    }
}

/// What was asked for, and by whom. The later goes over the earlier, number by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    pub manifest: SomeLimits,
    pub app: SomeLimits,
    pub run: SomeLimits,
}

impl Limits {
    /// What holds under the operator's ceiling, and where each number comes from.
    pub fn in_force(asked: &Asked, ceiling: &SomeLimits) -> Limits {
        Limits {
            in_force: Limit::ALL.map(|limit| {
                let Spec { default, min, max, .. } = limit.spec();
                let said = [
                    (&asked.run, LimitSource::Run),
                    (&asked.app, LimitSource::App),
                    (&asked.manifest, LimitSource::Manifest),
                ];
                let said = said.into_iter().find_map(|(limits, source)| Some((limits.get(limit)?, source)));
                let (value, source) = said.unwrap_or((default, LimitSource::Default));
                let most = ceiling.get(limit).unwrap_or(max).clamp(min, max);
                if value <= most {
                    return LimitInForce { limit, value: value.max(min), source, asked: None };
                }
                LimitInForce { limit, value: most, source: LimitSource::Ceiling, asked: said.map(|(value, _)| value) }
            }),
        }
    }

    /// The numbers, in the order of [`Limit::ALL`].
    pub fn iter(&self) -> impl Iterator<Item = LimitInForce> + '_ {
        self.in_force.iter().copied()
    }

    /// One of them.
    pub fn get(&self, limit: Limit) -> u64 {
        self.in_force[limit as usize].value
    }

    /// What somebody asked for and does not get: `limits.memory_mib: 8192 is over the operator's ceiling of 4096`.
    pub fn cut(&self) -> Option<String> {
        let told = self.iter().filter_map(|in_force| {
            let (name, value) = (in_force.limit.spec().name, in_force.value);
            Some(format!("limits.{name}: {} is over the operator's ceiling of {value}", in_force.asked?))
        });
        let told: Vec<_> = told.collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    /// The fuel of an attempt.
    pub fn fuel(&self) -> u64 {
        self.get(Limit::Fuel)
    }

    /// How long an execution may take.
    pub fn running_time(&self) -> Duration {
        Duration::from_secs(self.get(Limit::RunningTimeSeconds))
    }

    /// A number of things.
    pub fn count(&self, limit: Limit) -> usize {
        self.get(limit).try_into().unwrap_or(usize::MAX)
    }

    /// A number of bytes, of a limit in MiB or KiB.
    pub fn bytes(&self, limit: Limit) -> usize {
        let unit = if limit.spec().name.ends_with("_kib") { 1024 } else { 1024 * 1024 };
        self.count(limit).saturating_mul(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(limit: Limit, value: u64) -> SomeLimits {
        [(limit, value)].into_iter().collect()
    }

    #[test]
    fn the_list_is_in_order_and_its_numbers_are_in_range() {
        for (index, limit) in Limit::ALL.into_iter().enumerate() {
            let Spec { name, default, min, max, .. } = limit.spec();
            assert_eq!(limit as usize, index, "{name}");
            assert!((min..=max).contains(&default), "{name}");
            assert_eq!(Limit::from_name(name), Some(limit));
        }
    }

    #[test]
    fn the_run_goes_over_the_app_and_the_app_over_the_manifest() {
        let mut asked = Asked { manifest: one(Limit::MemoryMib, 64), ..Asked::default() };
        let memory = |asked: &Asked, ceiling: &SomeLimits| {
            let limits = Limits::in_force(asked, ceiling);
            let LimitInForce { value, source, .. } = limits.in_force[Limit::MemoryMib as usize];
            (value, source)
        };
        let none = SomeLimits::default();
        assert_eq!(memory(&Asked::default(), &none), (256, LimitSource::Default));
        assert_eq!(memory(&asked, &none), (64, LimitSource::Manifest));
        asked.app = one(Limit::MemoryMib, 32);
        assert_eq!(memory(&asked, &none), (32, LimitSource::App));
        asked.run = one(Limit::MemoryMib, 512);
        assert_eq!(memory(&asked, &none), (512, LimitSource::Run));
        assert_eq!(memory(&asked, &one(Limit::MemoryMib, 128)), (128, LimitSource::Ceiling));
        assert_eq!(memory(&Asked::default(), &one(Limit::MemoryMib, 128)), (128, LimitSource::Ceiling));
        // What an older version let in is cut to what this one has.
        asked.run = one(Limit::MemoryMib, u64::MAX);
        assert_eq!(memory(&asked, &none), (4096, LimitSource::Ceiling));
    }

    #[test]
    fn what_is_cut_is_told_unless_nobody_asked_for_it() {
        let ceiling = one(Limit::MemoryMib, 128);
        assert_eq!(Limits::in_force(&Asked::default(), &ceiling).cut(), None);
        let asked = Asked { app: one(Limit::MemoryMib, 200), ..Asked::default() };
        let told = "limits.memory_mib: 200 is over the operator's ceiling of 128";
        assert_eq!(Limits::in_force(&asked, &ceiling).cut().as_deref(), Some(told));
        assert_eq!(asked.app.check_under(&ceiling).expect_err("too much").to_string(), told);
        assert_eq!(one(Limit::MemoryMib, 128).check_under(&ceiling), Ok(()));
    }

    #[test]
    fn units_become_bytes() {
        let limits = Limits::default();
        assert_eq!(limits.bytes(Limit::LogLineKib), 16 * 1024);
        assert_eq!(limits.bytes(Limit::JournalMib), 64 * 1024 * 1024);
    }

    #[test]
    fn limits_are_read_and_written_by_their_names() {
        let limits: SomeLimits = serde_json::from_str("{\"memory_mib\": 64}").expect("good JSON");
        assert_eq!(serde_json::to_string(&limits).expect("it serialises"), "{\"memory_mib\":64}");
        for bad in
            ["{\"memory\": 64}", "{\"memory_mib\": -1}", "{\"memory_mib\": null}", "[]", "{\"fuel\": 1, \"fuel\": 2}"]
        {
            assert!(serde_json::from_str::<SomeLimits>(bad).is_err(), "{bad}");
        }
    }
}
