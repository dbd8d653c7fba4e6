//! Journal entries and log lines of many runs in one statement: an array for each column.

use sqlx::query_as;

use super::Postgres;
use crate::store::params::{int, microseconds, outcome, text};
use crate::store::statements::POSTGRES;
use crate::store::{JournalEntry, Lease, LogLine, Result};

pub(super) async fn append_journal(store: &Postgres, entries: &[(Lease, JournalEntry)]) -> Result<Vec<bool>> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let (payloads, failed): (Vec<_>, Vec<_>) = entries.iter().map(|(_, entry)| outcome(&entry.outcome)).unzip();
    let query = query_as::<_, (i64,)>(POSTGRES.append_journal)
        .bind(column(entries, |(lease, _)| lease.run_id))
        .bind(column(entries, |(lease, _)| lease.fence))
        .bind(column(entries, |(_, entry)| int(entry.seq)))
        .bind(column(entries, |(_, entry)| int(entry.attempt)))
        .bind(column(entries, |(_, entry)| text(&entry.name)))
        .bind(column(entries, |(_, entry)| int(entry.occurrence)))
        .bind(payloads)
        .bind(failed)
        .bind(column(entries, |(_, entry)| microseconds(entry.took)));
    let mut written = vec![false; entries.len()];
    for (position,) in store.write(query).await? {
        let index = usize::try_from(position).ok().and_then(|position| position.checked_sub(1));
        if let Some(written) = index.and_then(|index| written.get_mut(index)) {
            *written = true;
        }
    }
    Ok(written)
}

pub(super) async fn append_logs(store: &Postgres, lines: &[(Lease, LogLine)]) -> Result<u64> {
    if lines.is_empty() {
        return Ok(0);
    }
    let query = query_as::<_, (i64,)>(POSTGRES.append_logs)
        .bind(column(lines, |(lease, _)| lease.run_id))
        .bind(column(lines, |(lease, _)| lease.fence))
        .bind(column(lines, |(_, line)| line.line_num))
        .bind(column(lines, |(_, line)| int(line.attempt)))
        .bind(column(lines, |(_, line)| line.channel.as_str()))
        .bind(column(lines, |(_, line)| text(&line.content)));
    let row = store.write(query).await?.pop();
    Ok(row.map_or(0, |(count,)| count.unsigned_abs()))
}

fn column<'a, T, C>(rows: &'a [T], cell: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(cell).collect()
}
