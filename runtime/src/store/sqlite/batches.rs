//! Journal entries and log lines of many runs in one transaction.

use sqlx::query;

use super::{Sqlite, begin};
use crate::store::params::{int, microseconds, outcome, text};
use crate::store::statements::SQLITE;
use crate::store::{JournalEntry, Lease, LogLine, Result};

pub(super) async fn append_journal(store: &Sqlite, entries: &[(Lease, JournalEntry)]) -> Result<Vec<bool>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = begin(&store.writer).await?;
    let mut written = Vec::with_capacity(entries.len());
    for (lease, entry) in entries {
        let (payload, failed) = outcome(&entry.outcome);
        let row = query(SQLITE.append_journal)
            .bind(lease.run_id)
            .bind(lease.fence)
            .bind(int(entry.seq))
            .bind(int(entry.attempt))
            .bind(text(&entry.name))
            .bind(int(entry.occurrence))
            .bind(payload)
            .bind(failed)
            .bind(microseconds(entry.took))
            .fetch_optional(&mut *transaction)
            .await?;
        written.push(row.is_some());
    }
    transaction.commit().await?;
    Ok(written)
}

pub(super) async fn append_logs(store: &Sqlite, lines: &[(Lease, LogLine)]) -> Result<u64> {
    if lines.is_empty() {
        return Ok(0);
    }
    let mut transaction = begin(&store.writer).await?;
    let mut written = 0;
    for (lease, line) in lines {
        let row = query(SQLITE.append_logs)
            .bind(lease.run_id)
            .bind(lease.fence)
            .bind(line.line_num)
            .bind(int(line.attempt))
            .bind(line.channel.as_str())
            .bind(text(&line.content))
            .fetch_optional(&mut *transaction)
            .await?;
        written += u64::from(row.is_some());
    }
    transaction.commit().await?;
    Ok(written)
}
