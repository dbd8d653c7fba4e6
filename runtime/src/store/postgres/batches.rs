//! Journal entries, log lines and calls of many runs in one statement: an array for each column.

use sqlx::query_as;

use super::Postgres;
use crate::store::params::{big, due, int, microseconds, milliseconds, payload, text, usage};
use crate::store::rows::recorded;
use crate::store::statements::POSTGRES;
use crate::store::{Call, JournalEntry, Lease, LogLine, Recorded, Result};

/// The row of an answer: the entry's position, from 1, when it was written and when it is due.
type Written = (i64, i64, Option<i64>);

pub(super) async fn append_journal(
    store: &Postgres,
    entries: &[(Lease, JournalEntry)],
) -> Result<Vec<Option<Recorded>>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let (due_after_ms, due_at): (Vec<_>, Vec<_>) = entries.iter().map(|(_, entry)| due(entry)).unzip();
    let used = column(entries, |(_, entry)| usage(entry.usage));
    let query = query_as::<_, Written>(POSTGRES.append_journal)
        .bind(column(entries, |(lease, _)| lease.run_id))
        .bind(column(entries, |(lease, _)| lease.fence))
        .bind(column(entries, |(_, entry)| int(entry.seq)))
        .bind(column(entries, |(_, entry)| int(entry.attempt)))
        .bind(column(entries, |(_, entry)| int(entry.version)))
        .bind(column(entries, |(_, entry)| entry.kind.as_str()))
        .bind(column(entries, |(_, entry)| text(&entry.name)))
        .bind(column(entries, |(_, entry)| int(entry.occurrence)))
        .bind(column(entries, |(_, entry)| entry.request.as_slice()))
        .bind(column(entries, |(_, entry)| entry.state.as_str()))
        .bind(column(entries, |(_, entry)| payload(&entry.state)))
        .bind(column(entries, |(_, entry)| int(entry.tries)))
        .bind(column(entries, |(_, entry)| int(entry.tries_before)))
        .bind(due_after_ms)
        .bind(due_at)
        .bind(column(entries, |(_, entry)| microseconds(entry.took)))
        .bind(column(&used, |used| used.fuel))
        .bind(column(&used, |used| used.peak_memory_bytes))
        .bind(column(&used, |used| used.bytes_in))
        .bind(column(&used, |used| used.bytes_out))
        .bind(column(entries, |(_, entry)| i64::from(entry.seeds)));
    let mut written = vec![None; entries.len()];
    for (position, at, due_at) in store.write(query).await? {
        let index = usize::try_from(position).ok().and_then(|position| position.checked_sub(1));
        if let Some(written) = index.and_then(|index| written.get_mut(index)) {
            *written = Some(recorded(at, due_at)?);
        }
    }
    Ok(written)
}

pub(super) async fn append_logs(store: &Postgres, lines: &[(Lease, LogLine)]) -> Result<u64> {
    if lines.is_empty() {
        return Ok(0);
    }
    let query = query_as::<_, (i64, String)>(POSTGRES.append_logs)
        .bind(column(lines, |(lease, _)| lease.run_id))
        .bind(column(lines, |(lease, _)| lease.fence))
        .bind(column(lines, |(_, line)| line.line_num))
        .bind(column(lines, |(_, line)| int(line.attempt)))
        .bind(column(lines, |(_, line)| line.channel.as_str()))
        .bind(column(lines, |(_, line)| text(&line.content)))
        .bind(column(lines, |(_, line)| line.seq.map(int)));
    let row = store.write(query).await?.pop();
    Ok(row.map_or(0, |(count, _)| count.unsigned_abs()))
}

pub(super) async fn append_calls(store: &Postgres, calls: &[(Lease, Call)]) -> Result<u64> {
    if calls.is_empty() {
        return Ok(0);
    }
    let query = query_as::<_, (i64,)>(POSTGRES.append_calls)
        .bind(column(calls, |(lease, _)| lease.run_id))
        .bind(column(calls, |(lease, _)| lease.fence))
        .bind(column(calls, |(_, call)| call.call_num))
        .bind(column(calls, |(_, call)| int(call.attempt)))
        .bind(column(calls, |(_, call)| call.seq.map(int)))
        .bind(column(calls, |(_, call)| text(&call.method)))
        .bind(column(calls, |(_, call)| text(&call.url)))
        .bind(column(calls, |(_, call)| call.status.map(i32::from)))
        .bind(column(calls, |(_, call)| call.error.as_deref().map(text)))
        .bind(column(calls, |(_, call)| big(call.bytes_in)))
        .bind(column(calls, |(_, call)| big(call.bytes_out)))
        .bind(column(calls, |(_, call)| milliseconds(call.took)));
    let row = store.write(query).await?.pop();
    Ok(row.map_or(0, |(count,)| count.unsigned_abs()))
}

fn column<'a, T, C>(rows: &'a [T], cell: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(cell).collect()
}
