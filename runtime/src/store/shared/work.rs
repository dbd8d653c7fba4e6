//! What a worker does.

use std::time::Duration;

use async_trait::async_trait;
use sqlx::query_as;
use uuid::Uuid;

use super::{Backend, Db, batches, one, sessions, time_left};
use crate::run::Change;
use crate::store::model::*;
use crate::store::params::{big, int, listed, milliseconds, text, usage};
use crate::store::rows::*;
use crate::store::{PAGE_BYTES, Record, Result, StoreError, Work};

#[async_trait]
impl Record for Backend {
    async fn append_journal(&self, entries: &[(Lease, JournalEntry)]) -> Result<Vec<Option<Recorded>>> {
        batches::append_journal(self, entries).await
    }

    async fn take_event(&self, lease: Lease, seq: u32, name: &str) -> Result<Inbox> {
        let query = query_as::<Db, InboxRow>(self.statements().take_event)
            .bind(lease.run_id)
            .bind(lease.fence)
            .bind(int(seq))
            .bind(text(name));
        self.write(query).await?.pop().ok_or(StoreError::LeaseLost)?.decode()
    }

    async fn start_child(&self, parent: Lease, seq: u32, new: NewRun) -> Result<RunName> {
        // No caller's key has a space, so that it is none of theirs. What is asked for does not count: the parent's
        // journal has it, and compares.
        let key = StartKey { key: format!("child {} {seq}", parent.run_id), request_hash: Vec::new() };
        let run = self.start(NewRun { key: Some(key), ..new }, Some(parent)).await?.run;
        Ok(RunName { run_id: run.run_id, app: run.app, number: run.number })
    }

    async fn find_child(&self, parent: Lease, child: Uuid) -> Result<ChildState> {
        let query = query_as::<Db, ChildRow>(self.statements().find_child).bind(parent.run_id).bind(child);
        one(self.read(query).await?, || format!("child {child}"))
    }

    async fn append_logs(&self, lines: &[(Lease, LogLine)]) -> Result<u64> {
        batches::append_logs(self, lines).await
    }

    async fn append_calls(&self, calls: &[(Lease, Call)]) -> Result<u64> {
        batches::append_calls(self, calls).await
    }
}

#[async_trait]
impl Work for Backend {
    async fn open_session(&self, name: &str, slots: u32, lease: Duration) -> Result<WorkerSession> {
        let session = WorkerSession { worker_id: Uuid::now_v7(), lease };
        sessions::open(self, &session, name, slots).await?;
        Ok(session)
    }

    async fn renew_session(&self, session: &WorkerSession) -> Result<()> {
        sessions::renew(self, session).await
    }

    async fn close_session(&self, session: &WorkerSession) -> Result<()> {
        let query = query_as::<Db, (Uuid,)>(self.statements().close_session).bind(session.worker_id);
        if !self.write(query).await?.is_empty() {
            self.hint_everyone();
        }
        sessions::forget(self, session.worker_id);
        Ok(())
    }

    async fn claim_runs(
        &self,
        session: &WorkerSession,
        limit: u32,
        loaded: &[String],
        refused: &[String],
    ) -> Result<Vec<Assignment>> {
        let query = query_as::<Db, AssignmentRow>(self.statements().claim_runs)
            .bind(session.worker_id)
            .bind(i64::from(limit))
            .bind(listed(loaded))
            .bind(listed(refused));
        decode_all(self.write(query).await?)
    }

    async fn begin_running(&self, lease: Lease) -> Result<()> {
        let query = query_as::<Db, (Uuid,)>(self.statements().begin_running).bind(lease.run_id).bind(lease.fence);
        self.write(query).await?.pop().map(drop).ok_or(StoreError::LeaseLost)
    }

    async fn list_held(&self, session: &WorkerSession) -> Result<Vec<Lease>> {
        decode_all(self.read(query_as::<Db, LeaseRow>(self.statements().list_held).bind(session.worker_id)).await?)
    }

    async fn give_back(&self, lease: Lease) -> Result<()> {
        let query = query_as::<Db, (Uuid,)>(self.statements().give_back).bind(lease.run_id).bind(lease.fence);
        self.write(query).await?.pop().ok_or(StoreError::LeaseLost)?;
        self.hint_everyone();
        Ok(())
    }

    async fn park_run(&self, lease: Lease, park: Park) -> Result<()> {
        let used = usage(park.usage);
        let query = query_as::<Db, (bool,)>(self.statements().park_run)
            .bind(lease.run_id)
            .bind(lease.fence)
            .bind(park.waiting_on.kind.as_str())
            .bind(text(&park.waiting_on.name))
            .bind(park.waiting_on.until.map(|until| until.as_millisecond()))
            .bind(park.child)
            .bind(park.signals)
            .bind(used.fuel)
            .bind(used.peak_memory_bytes)
            .bind(used.bytes_in)
            .bind(used.bytes_out)
            .bind(park.used_loose_io);
        let (is_due,) = self.write(query).await?.pop().ok_or(StoreError::LeaseLost)?;
        match is_due {
            true => self.hint_everyone(),
            false => self.hint_here(),
        }
        Ok(())
    }

    async fn hand_back(&self, lease: Lease, is_recovery: bool) -> Result<()> {
        let query = query_as::<Db, (Uuid,)>(self.statements().hand_back);
        let query = query.bind(lease.run_id).bind(lease.fence).bind(is_recovery);
        self.write(query).await?.pop().ok_or(StoreError::LeaseLost)?;
        self.hint_everyone();
        Ok(())
    }

    async fn settle_run(&self, lease: Lease, settlement: Settlement) -> Result<()> {
        let (delay_ms, reopen_failed_step, because) = match settlement.change {
            Change::Finish { because } => (None, false, because),
            Change::Retry { after, reopen_failed_step } => (Some(milliseconds(after)), reopen_failed_step, None),
        };
        let failure = settlement.failure.as_ref();
        let used = usage(settlement.usage);
        let query = query_as::<Db, (bool, Option<Uuid>)>(self.statements().settle_run)
            .bind(lease.run_id)
            .bind(lease.fence)
            .bind(settlement.verdict.status().as_str())
            .bind(settlement.exit_code)
            .bind(failure.map(|failure| failure.kind.as_str()))
            .bind(failure.map(|failure| text(&failure.message)))
            .bind(failure.and_then(|failure| failure.backtrace.as_deref()).map(text))
            .bind(used.fuel)
            .bind(used.peak_memory_bytes)
            .bind(delay_ms)
            .bind(reopen_failed_step)
            .bind(because.map(|because| because.as_str()))
            .bind(settlement.output)
            .bind(used.bytes_in)
            .bind(used.bytes_out)
            .bind(settlement.used_loose_io);
        let (waits, parent) = self.write(query).await?.pop().ok_or(StoreError::LeaseLost)?;
        if waits {
            self.hint_here();
        }
        self.wake_parent(parent, lease.run_id).await;
        Ok(())
    }

    async fn reap_sessions(&self) -> Result<u64> {
        sessions::end_lost(self).await?;
        let taken = self.write(query_as::<Db, (Uuid,)>(self.statements().take_away_runs)).await?;
        if !taken.is_empty() {
            self.hint_everyone();
        }
        Ok(taken.len() as u64)
    }

    async fn next_due_in(&self) -> Result<Option<Duration>> {
        Ok(time_left(&self.read(query_as::<Db, (Option<i64>,)>(self.statements().next_due_in)).await?))
    }

    async fn wait_for_hint(&self) {
        self.wait().await;
    }

    async fn load_journal(&self, run_id: Uuid) -> Result<Vec<JournalEntry>> {
        decode_all(self.read(query_as::<Db, JournalRow>(self.statements().load_journal).bind(run_id)).await?)
    }

    async fn list_journal(&self, run_id: Uuid, after: u32, limit: u32) -> Result<Vec<JournalEntry>> {
        let query = query_as::<Db, JournalRow>(self.statements().list_journal)
            .bind(run_id)
            .bind(int(after))
            .bind(i64::from(limit))
            .bind(big(PAGE_BYTES));
        decode_all(self.read(query).await?)
    }

    async fn list_logs(&self, run_id: Uuid, filter: LogFilter) -> Result<Vec<LogLine>> {
        let query = query_as::<Db, LogRow>(self.statements().list_logs)
            .bind(run_id)
            .bind(filter.after_line)
            .bind(filter.attempt.map(int))
            .bind(i64::from(filter.limit))
            .bind(filter.reported_from.map(|at| at.as_millisecond()))
            .bind(filter.max_bytes.map_or(i64::MAX, big))
            .bind(filter.seq.map(int));
        decode_all(self.read(query).await?)
    }

    async fn list_calls(&self, run_id: Uuid, after: i64, limit: u32) -> Result<Vec<Call>> {
        let query = query_as::<Db, CallRow>(self.statements().list_calls);
        decode_all(self.read(query.bind(run_id).bind(after).bind(i64::from(limit))).await?)
    }
}
