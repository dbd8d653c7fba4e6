//! What both databases do in the same way. This folder is compiled twice, once inside
//! `postgres` and once inside `sqlite`: each provides the names of the next line, and reads and
//! writes in its own manner. So every line below has plain types, and none is written twice.

use super::{Backend, Db, batches, sessions};

mod apps;
mod keys;
mod runs;
mod schedules;
mod work;

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::query_as;

use crate::store::rows::{Row, moment};
use crate::store::{Result, Store, StoreError};

#[async_trait]
impl Store for Backend {
    fn kind(&self) -> &'static str {
        <Db as sqlx::Database>::NAME
    }

    async fn ping(&self) -> Result<()> {
        self.read(query_as::<Db, (i32,)>(self.statements().ping)).await?;
        Ok(())
    }

    async fn now(&self) -> Result<Timestamp> {
        let row = self.read(query_as::<Db, (i64,)>(self.statements().now)).await?.pop();
        moment(row.map(|(now,)| now).unwrap_or_default())
    }
}

fn one<R: Row>(mut rows: Vec<R>, what: impl FnOnce() -> String) -> Result<R::Value> {
    rows.pop().ok_or_else(|| StoreError::NotFound(what()))?.decode()
}

/// The answer to how many milliseconds are left: none for what is overdue.
fn time_left(rows: &[(Option<i64>,)]) -> Option<Duration> {
    let milliseconds = rows.first().and_then(|(milliseconds,)| *milliseconds)?;
    Some(Duration::from_millis(milliseconds.try_into().unwrap_or(0)))
}

/// The answer to `select count(*)`.
fn counted(rows: &[(i64,)]) -> u64 {
    rows.first().map_or(0, |(count,)| count.unsigned_abs())
}
