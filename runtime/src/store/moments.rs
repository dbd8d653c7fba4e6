//! How a moment goes from one process of ours to another: in nanoseconds since 1970.

use jiff::Timestamp;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub fn serialize<S: Serializer>(moment: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    moment.as_nanosecond().serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    Timestamp::from_nanosecond(i128::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// The same of a moment that may not be there.
pub mod option {
    use super::*;

    pub fn serialize<S: Serializer>(moment: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
        moment.map(Timestamp::as_nanosecond).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
        let nanoseconds = Option::<i128>::deserialize(deserializer)?;
        nanoseconds.map(|n| Timestamp::from_nanosecond(n).map_err(D::Error::custom)).transpose()
    }
}
