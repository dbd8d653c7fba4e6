//! Journal entries, log lines and calls of many runs in one transaction.

use sqlx::{query, query_as};

use super::{Sqlite, begin};
use crate::store::params::{big, due, int, microseconds, milliseconds, payload, text, usage};
use crate::store::rows::recorded;
use crate::store::statements::SQLITE;
use crate::store::{Call, JournalEntry, Lease, LogLine, Recorded, Result};

pub(super) async fn append_journal(store: &Sqlite, entries: &[(Lease, JournalEntry)]) -> Result<Vec<Option<Recorded>>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut transaction = begin(&store.writer).await?;
    let (now,) = query_as::<_, (i64,)>(SQLITE.now).fetch_one(&mut *transaction).await?;
    let mut written = Vec::with_capacity(entries.len());
    for (lease, entry) in entries {
        let (due_after_ms, due_at) = due(entry);
        let used = usage(entry.usage);
        let row = query_as::<_, (i64, Option<i64>)>(SQLITE.append_journal)
            .bind(lease.run_id)
            .bind(lease.fence)
            .bind(int(entry.seq))
            .bind(int(entry.attempt))
            .bind(int(entry.version))
            .bind(entry.kind.as_str())
            .bind(text(&entry.name))
            .bind(int(entry.occurrence))
            .bind(entry.request.as_slice())
            .bind(entry.state.as_str())
            .bind(payload(&entry.state))
            .bind(int(entry.tries))
            .bind(int(entry.tries_before))
            .bind(due_after_ms)
            .bind(due_at)
            .bind(microseconds(entry.took))
            .bind(used.fuel)
            .bind(used.peak_memory_bytes)
            .bind(used.bytes_in)
            .bind(used.bytes_out)
            .bind(i64::from(entry.seeds))
            .bind(now)
            .fetch_optional(&mut *transaction)
            .await?;
        written.push(row.map(|(at, due_at)| recorded(at, due_at)).transpose()?);
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
            .bind(line.seq.map(int))
            .fetch_optional(&mut *transaction)
            .await?;
        written += u64::from(row.is_some());
    }
    transaction.commit().await?;
    Ok(written)
}

pub(super) async fn append_calls(store: &Sqlite, calls: &[(Lease, Call)]) -> Result<u64> {
    if calls.is_empty() {
        return Ok(0);
    }
    let mut transaction = begin(&store.writer).await?;
    let mut written = 0;
    for (lease, call) in calls {
        let row = query(SQLITE.append_calls)
            .bind(lease.run_id)
            .bind(lease.fence)
            .bind(call.call_num)
            .bind(int(call.attempt))
            .bind(call.seq.map(int))
            .bind(text(&call.method))
            .bind(text(&call.url))
            .bind(call.status.map(i32::from))
            .bind(call.error.as_deref().map(text))
            .bind(big(call.bytes_in))
            .bind(big(call.bytes_out))
            .bind(milliseconds(call.took))
            .fetch_optional(&mut *transaction)
            .await?;
        written += u64::from(row.is_some());
    }
    transaction.commit().await?;
    Ok(written)
}
