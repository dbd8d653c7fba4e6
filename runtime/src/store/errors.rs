//! How errors of the databases become errors of the store.

use std::borrow::Cow;

use super::StoreError;
use crate::telemetry::STORE_ERRORS;

/// SQLSTATEs that say the server cannot serve us at the moment. Classes by their first two
/// characters: 08 is a lost connection, 53 a lack of connections, memory or space.
const UNAVAILABLE_CLASSES: [&str; 2] = ["08", "53"];

/// Shutting down (57P01-57P03), a statement that ran into its time limit (57014), a standby that
/// is not or no longer the primary (25006), a lock not granted in time (55P03), a deadlock or
/// conflict that undid the statement (40P01, 40001): asked again, it may succeed.
const UNAVAILABLE_CODES: [&str; 8] = ["57P01", "57P02", "57P03", "57014", "25006", "55P03", "40P01", "40001"];

/// SQLite's primary code for a database locked by another process. Extended codes repeat it in
/// their low byte.
const SQLITE_BUSY: i32 = 5;

impl StoreError {
    /// What another process says of a database that it cannot reach.
    pub fn unavailable(cause: String) -> StoreError {
        StoreError::Unavailable(sqlx::Error::Io(std::io::Error::other(cause)))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        let is_unavailable = is_unavailable(&error);
        let kind = if is_unavailable { "unavailable" } else { "fault" };
        metrics::counter!(STORE_ERRORS, "kind" => kind).increment(1);
        if is_unavailable { StoreError::Unavailable(error) } else { StoreError::Fault(error.into()) }
    }
}

fn is_unavailable(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        Error::Io(_) | Error::Tls(_) | Error::PoolTimedOut | Error::PoolClosed | Error::WorkerCrashed => true,
        // What the driver says when a connection ends in the middle of an answer.
        Error::Protocol(_) => true,
        Error::Database(error) => error.code().is_some_and(is_unavailable_code),
        _ => false,
    }
}

fn is_unavailable_code(code: Cow<'_, str>) -> bool {
    // A SQLSTATE has five characters, SQLite's codes are numbers of at most four digits.
    if code.len() < 5 {
        return code.parse::<i32>().is_ok_and(|code| code & 0xff == SQLITE_BUSY);
    }
    UNAVAILABLE_CODES.contains(&&*code) || UNAVAILABLE_CLASSES.iter().any(|class| code.starts_with(class))
}

/// Whether the error is a violated primary key or unique constraint.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_unique_violation())
}

/// Whether the error is a row that refers to one that was deleted meanwhile.
pub(super) fn is_orphan(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.is_foreign_key_violation())
}

/// What is on disk makes no sense.
pub(super) fn senseless(what: &str) -> StoreError {
    StoreError::Fault(anyhow::anyhow!("{what} in the database makes no sense"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_may_come_back_is_unavailable() {
        for code in ["08006", "57P01", "53300", "40P01", "5", "517"] {
            assert!(is_unavailable_code(code.into()), "{code}");
        }
        for code in ["23505", "42601", "22021", "1", "2067"] {
            assert!(!is_unavailable_code(code.into()), "{code}");
        }
        assert!(is_unavailable(&sqlx::Error::PoolTimedOut));
        assert!(!is_unavailable(&sqlx::Error::RowNotFound));
    }
}
