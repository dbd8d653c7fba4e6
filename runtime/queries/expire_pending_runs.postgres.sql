-- Cancels the runs for which no worker came in time. Returns one row per run. One that is being written is left to the
-- next time.
update runs
set status = 'cancelled', ended_at = now_ms(), ended_because = 'pending_timeout', available_at = null,
    pending_until = null, fence = fence + 1
where run_id in (select run_id from runs where pending_until <= (select now_ms()) for update skip locked)
returning run_id
